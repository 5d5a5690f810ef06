//! Corroboration: what second signals say of a server that is thought to hang, and the guard over them.
//!
//! Never: takes "could not tell" for agreement, or an old answer for a new one.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::guard::{Reason, Trace, Verdict};

/// Oldest signal that an intent may rest on; signals are asked together with the pre-flight read.
pub const SIGNAL_AGE_MAX: SignedDuration = SignedDuration::from_secs(30);
/// A signal that could not tell is asked again after this long.
pub const SIGNAL_ASK_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// One second signal that a policy wants. Part of the policy's hash; its secret is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = SecondSignal)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// What is asked.
    #[serde(flatten)]
    pub ask: Ask,
    /// Longest wait for the answer.
    #[schema(value_type = String, pattern = "^-?PT[0-9HMS.]+$")]
    pub timeout: SignedDuration,
}

/// What a second signal asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Ask {
    /// No listed port of the server's private address takes a connection.
    TcpClosed {
        /// TCP ports.
        ports: Vec<u16>,
    },
    /// A query of Prometheus that returns at least one row.
    Promql {
        /// Scheme, host and path before `/api/v1/query`.
        url: String,
        /// The query; `$ip`, `$name` and `$no` stand for the server.
        query: String,
    },
    /// The alert is still active in Alertmanager: neither gone, nor silenced, nor inhibited.
    Alertmanager {
        /// Scheme, host and path before `/api/v2/alerts`.
        url: String,
    },
    /// The event is still open in Cloud Insight (`SearchEvent`).
    CloudInsight,
}

impl Wanted {
    /// The word of the configuration.
    pub fn kind(&self) -> &'static str {
        match self.ask {
            Ask::TcpClosed { .. } => "tcp_closed",
            Ask::Promql { .. } => "promql",
            Ask::Alertmanager { .. } => "alertmanager",
            Ask::CloudInsight => "cloud_insight",
        }
    }

    /// What it must say.
    pub fn limit(&self) -> String {
        match &self.ask {
            Ask::TcpClosed { ports } => {
                let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                format!("no connection to port {}", ports.join(", "))
            }
            Ask::Promql { .. } => "at least one row".to_owned(),
            Ask::Alertmanager { .. } => "the alert still active".to_owned(),
            Ask::CloudInsight => "the event still open".to_owned(),
        }
    }

    /// Whether it can never agree to an order by hand: no sender knows that alert, and it carries an address only if
    /// `has_address` says so.
    pub fn is_deaf_to_orders(&self, has_address: bool) -> bool {
        match &self.ask {
            Ask::Alertmanager { .. } | Ask::CloudInsight => true,
            Ask::TcpClosed { .. } | Ask::Promql { .. } => self.needs_address() && !has_address,
        }
    }

    /// Whether it cannot be asked without the server's address.
    pub fn needs_address(&self) -> bool {
        match &self.ask {
            Ask::TcpClosed { .. } => true,
            Ask::Promql { url: _, query } => query.contains("$ip"),
            Ask::Alertmanager { .. } | Ask::CloudInsight => false,
        }
    }
}

/// What a second signal said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It agrees that the server hangs; how.
    Agrees(String),
    /// It says that the server does not hang, or that nothing is to be done; why.
    Disagrees(String),
    /// No answer, or none that can be read; why.
    CouldNotTell(String),
}

/// One second signal as it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// Kind of the signal.
    pub name: &'static str,
    /// What it said.
    pub seen: Seen,
    /// When it was asked.
    pub asked_at: Timestamp,
}

/// Asks the guard inside the intent transaction: one line for each signal that the policy wants. `signals` are those
/// of a fresh pre-flight, in the order of the policy; without a fresh pre-flight there is nothing to say yet.
pub fn ask(trace: &mut Trace, wanted: &[Wanted], signals: Option<&[Signal]>, now: Timestamp) {
    if wanted.is_empty() {
        note_none(trace);
        return;
    }
    let Some(signals) = signals else { return };
    for (index, wanted) in wanted.iter().enumerate() {
        let kind = wanted.kind();
        let signal = signals.get(index).filter(|signal| signal.name == kind);
        let fresh = signal.filter(|signal| now.duration_since(signal.asked_at) <= SIGNAL_AGE_MAX);
        let (verdict, seen) = match fresh.map(|signal| &signal.seen) {
            Some(Seen::Agrees(how)) => (Verdict::Pass, how.clone()),
            Some(Seen::Disagrees(why)) => (Verdict::Stop, why.clone()),
            Some(Seen::CouldNotTell(why)) => (Verdict::Wait, format!("could not tell: {why}")),
            None => (Verdict::Wait, "could not tell: not asked lately".to_owned()),
        };
        trace.note(Reason::NotCorroborated, verdict, format!("{kind}: {seen}"), wanted.limit(), None);
    }
}

/// Notes at the first decision that the signals come later: whoever decides there calls nobody.
pub fn note_unasked(trace: &mut Trace, wanted: &[Wanted]) {
    if wanted.is_empty() {
        note_none(trace);
    }
    for wanted in wanted {
        let seen = format!("{}: not asked yet", wanted.kind());
        trace.note(Reason::NotCorroborated, Verdict::Wait, seen, wanted.limit(), None);
    }
}

fn note_none(trace: &mut Trace) {
    trace.note(Reason::NotCorroborated, Verdict::NotConfigured, "no second signal is configured", "-", None);
}

#[cfg(test)]
mod tests {
    use super::super::testing::at;
    use super::*;

    fn wanted() -> Vec<Wanted> {
        let timeout = SignedDuration::from_secs(3);
        vec![
            Wanted { ask: Ask::TcpClosed { ports: vec![3389, 445] }, timeout },
            Wanted { ask: Ask::CloudInsight, timeout },
        ]
    }

    fn said(signals: &[(&'static str, Seen)]) -> String {
        let signals: Vec<Signal> =
            signals.iter().map(|(name, seen)| Signal { name, seen: seen.clone(), asked_at: at(0) }).collect();
        verdicts(&wanted(), Some(&signals), 0)
    }

    fn verdicts(wanted: &[Wanted], signals: Option<&[Signal]>, seconds: i64) -> String {
        let mut trace = Trace::default();
        ask(&mut trace, wanted, signals, at(seconds));
        assert!(trace.0.iter().all(|check| check.guard == Reason::NotCorroborated), "{trace:?}");
        trace.0.iter().map(|check| format!("{:?}", check.verdict)).collect::<Vec<_>>().join(" ")
    }

    fn agrees() -> Seen {
        Seen::Agrees("closed".into())
    }

    #[test]
    fn an_order_by_hand_asks_only_what_can_answer_it() {
        let deaf = |ask: Ask, has_address: bool| {
            Wanted { ask, timeout: SignedDuration::from_secs(3) }.is_deaf_to_orders(has_address)
        };
        let url = || "http://127.0.0.1:9090".to_owned();
        let query = |query: &str| Ask::Promql { url: url(), query: query.to_owned() };
        let limit = Wanted { ask: Ask::TcpClosed { ports: vec![3389, 445] }, timeout: SignedDuration::ZERO };
        assert_eq!(limit.limit(), "no connection to port 3389, 445");
        for has_address in [false, true] {
            assert!(deaf(Ask::Alertmanager { url: url() }, has_address));
            assert!(deaf(Ask::CloudInsight, has_address));
            assert_eq!(deaf(Ask::TcpClosed { ports: vec![3389] }, has_address), !has_address);
            assert_eq!(deaf(query("up{instance=\"$ip\"} == 0"), has_address), !has_address);
            assert!(!deaf(query("up{name=\"$name\"} == 0"), has_address));
        }
    }

    #[test]
    fn each_signal_is_a_line_and_only_agreement_passes() {
        let no = || Seen::Disagrees("3389 answers".into());
        let unclear = || Seen::CouldNotTell("no answer".into());
        assert_eq!(said(&[("tcp_closed", agrees()), ("cloud_insight", agrees())]), "Pass Pass");
        assert_eq!(said(&[("tcp_closed", agrees()), ("cloud_insight", no())]), "Pass Stop");
        assert_eq!(said(&[("tcp_closed", unclear()), ("cloud_insight", agrees())]), "Wait Pass");
        assert_eq!(said(&[("tcp_closed", unclear()), ("cloud_insight", no())]), "Wait Stop");
    }

    #[test]
    fn a_signal_that_is_missing_out_of_place_or_old_could_not_tell() {
        assert_eq!(said(&[]), "Wait Wait");
        assert_eq!(said(&[("tcp_closed", agrees())]), "Pass Wait");
        assert_eq!(said(&[("cloud_insight", agrees()), ("tcp_closed", agrees())]), "Wait Wait");
        let signals = ["tcp_closed", "cloud_insight"]
            .map(|name| Signal { name, seen: agrees(), asked_at: at(0) })
            .to_vec();
        assert_eq!(verdicts(&wanted(), Some(&signals), 30), "Pass Pass");
        assert_eq!(verdicts(&wanted(), Some(&signals), 31), "Wait Wait");
    }

    #[test]
    fn what_is_not_configured_or_not_asked_yet_is_said() {
        assert_eq!(verdicts(&[], None, 0), "NotConfigured");
        assert_eq!(verdicts(&[], Some(&[]), 0), "NotConfigured");
        assert_eq!(verdicts(&wanted(), None, 0), "");
        let mut trace = Trace::default();
        note_unasked(&mut trace, &wanted());
        assert!(trace.0.iter().all(|check| check.seen.ends_with("not asked yet")), "{trace:?}");
        assert_eq!(trace.0.len(), 2);
    }
}
