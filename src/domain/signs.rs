//! Signs of a storm that a decided alert gives: that its server fires, and that too many do.
//!
//! Never: counts itself; that is [`super::storm`].

use super::alert::{Alert, AlertStatus};
use super::decision::{Decided, Origin, Question};
use super::facts::Facts;
use super::guard::{Reason, Verdict};
use super::policy::{Policy, Rules};
use super::server::Server;
use super::storm::{self, Trip};

/// Whether the alert is a sign that its server hangs now: not one that ended, nor a late notice of it.
pub fn fires(alert: &Alert, decided: &Decided) -> bool {
    alert.status == AlertStatus::Firing && decided.reason != Some(Reason::Resolved)
}

/// The storm that an alert shows and that is not open yet: by the number of servers, or because its sender left some
/// out.
pub fn storm_shown(
    question: &Question<'_>,
    policy: &Policy,
    rules: &Rules,
    facts: &Facts,
    server: Option<&Server>,
    decided: &Decided,
) -> Option<Trip> {
    let stops = decided.trace.0.iter().any(|c| c.guard == Reason::Storm && c.verdict == Verdict::Stop);
    if facts.storm.open.is_some() || !stops || !fires(question.alert, decided) {
        return None;
    }
    // A person who replays tells nothing new about what was left out then.
    if question.truncated && question.origin == Origin::Source {
        return Some(Trip::truncated(&policy.name, server));
    }
    storm::trip(rules, &facts.storm, server?, &policy.name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::decision::{Decision, decide};
    use super::super::policy::{Mode, Trust};
    use super::super::storm::{Sighting, Storm};
    use super::super::testing::{alert, at, facts, policy, rules, server};
    use super::*;

    /// The storm that an alert shows among these facts.
    fn shown(alert: &Alert, origin: Origin<'_>, truncated: bool, facts: &Facts) -> Option<Trip> {
        let question =
            Question { alert, source: "am", trust: Trust::Act, received_at: at(0), truncated, origin };
        let rules = rules(Mode::Auto);
        let decided = decide(&question, &rules, facts, at(0));
        storm_shown(&question, &policy(Mode::Auto), &rules, facts, Some(&server()), &decided)
    }

    fn crowd() -> Facts {
        let mut crowd = facts();
        for n in 1..4 {
            let mut other = server();
            other.no = super::super::server::ServerNo::parse(&format!("9100000{n}")).unwrap();
            crowd.storm.sightings.push(&Sighting::of(&other, "hung-windows"));
        }
        crowd
    }

    #[test]
    fn a_cut_group_and_too_many_servers_show_a_storm_and_nothing_else_does() {
        let source = Origin::Source;
        let cut = shown(&alert(), source, true, &facts()).unwrap();
        assert_eq!((cut.servers, cut.why.contains("left alerts out")), (BTreeSet::from([server().no]), true));
        assert_eq!(shown(&alert(), source, false, &crowd()).unwrap().servers.len(), 4);
        assert_eq!(shown(&alert(), source, false, &facts()), None);
        let replayed = shown(&alert(), Origin::Person("kim"), true, &crowd()).unwrap();
        assert!(replayed.why.contains("4 servers"), "what was left out then says nothing now: {replayed:?}");
        let mut open = crowd();
        open.storm.open = Some(Storm { id: 1, opened_at: at(-1), why: "w".to_owned() });
        assert_eq!(shown(&alert(), source, true, &open), None, "one is open");
    }

    #[test]
    fn an_alert_that_is_over_is_no_sign() {
        let late = Decided {
            decision: Decision::Suppressed,
            reason: Some(Reason::Resolved),
            until: None,
            detail: String::new(),
            policy: None,
            trace: super::super::guard::Trace::default(),
        };
        assert!(!fires(&alert(), &late));
        let ended = Alert { status: AlertStatus::Resolved, ..alert() };
        assert!(!fires(&ended, &Decided { reason: None, ..late.clone() }));
        assert!(fires(&alert(), &Decided { reason: None, ..late.clone() }));
        let mut trace = super::super::guard::Trace::default();
        trace.note(Reason::Storm, Verdict::Stop, "many", "few", None);
        let ended = Alert { status: AlertStatus::Resolved, ..alert() };
        let (trust, received_at) = (Trust::Act, at(0));
        let question = Question {
            alert: &ended,
            source: "am",
            trust,
            received_at,
            truncated: true,
            origin: Origin::Source,
        };
        let rules = rules(Mode::Auto);
        let decided = Decided { trace, ..late };
        let shown = storm_shown(&question, &policy(Mode::Auto), &rules, &crowd(), None, &decided);
        assert_eq!(shown, None);
    }
}
