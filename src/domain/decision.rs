//! `decide()`: what one alert leads to, and why. Facts in, one value out.
//!
//! Never: reads a store or a clock, and never answers without a trace of every guard it asked.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::alert::{Alert, AlertStatus};
use super::corroboration;
use super::facts::{Facts, TargetFact};
use super::guard::{Reason, Trace, Verdict};
use super::ladder;
use super::limits;
use super::policy::{Mode, Policy, Rules, Trust};
use super::reboot::Hang;
use super::remediation::State;
use super::server::{Server, ServerNo};
use super::standing::{Standing, ask_standing};
use super::target::named_by_first_part;

/// An alert that claims to begin later than this after now is refused.
pub const FUTURE_MAX: SignedDuration = SignedDuration::from_mins(5);

/// The word that answers an alert.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// A remediation was created and will act by itself.
    Remediate,
    /// A remediation was created and a person is asked.
    AwaitingApproval,
    /// The target must be looked up first.
    Pending,
    /// A remediation of the same server lives; this alert joined it.
    Duplicate,
    /// A guard said no.
    Suppressed,
    /// The alert says it is over.
    Resolved,
    /// Nothing here is meant to act on it.
    Ignored,
    /// It could not be used.
    Quarantined,
}

impl Decision {
    /// All words.
    pub const ALL: [Self; 8] = [
        Self::Remediate,
        Self::AwaitingApproval,
        Self::Pending,
        Self::Duplicate,
        Self::Suppressed,
        Self::Resolved,
        Self::Ignored,
        Self::Quarantined,
    ];

    /// The word used in JSON, store and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Remediate => "remediate",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Pending => "pending",
            Self::Duplicate => "duplicate",
            Self::Suppressed => "suppressed",
            Self::Resolved => "resolved",
            Self::Ignored => "ignored",
            Self::Quarantined => "quarantined",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|decision| decision.as_str() == text)
    }

    /// Whether a remediation comes of it.
    pub fn creates_remediation(self) -> bool {
        matches!(self, Self::Remediate | Self::AwaitingApproval)
    }
}

/// Who brings the alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin<'a> {
    /// Its source, just now.
    Source,
    /// A person who replays a stored delivery or orders by hand. Sender-time age and the source's trust are
    /// not asked; every other guard is.
    Person(&'a str),
}

/// A decision with its reason and the guards behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decided {
    /// The word.
    pub decision: Decision,
    /// The reason of a no, or of asking a person.
    pub reason: Option<Reason>,
    /// When time lifts the no.
    pub until: Option<Timestamp>,
    /// One sentence for people.
    pub detail: String,
    /// The policy in charge, where exactly one matched.
    pub policy: Option<String>,
    /// Every guard that was asked.
    pub trace: Trace,
}

/// Which policies claim an alert.
#[derive(Debug)]
pub enum Route<'r> {
    /// Exactly one.
    One(&'r Policy),
    /// None.
    None,
    /// More than one: nobody can say which limits hold, so nothing is done.
    Several(Vec<&'r str>),
}

/// Finds the policy for an alert.
pub fn route<'r>(rules: &'r Rules, source: &str, alert: &Alert) -> Route<'r> {
    let mut claiming = rules.policies.iter().filter(|policy| policy.claims(source, alert));
    match (claiming.next(), claiming.next()) {
        (None, _) => Route::None,
        (Some(policy), None) => Route::One(policy),
        (Some(first), Some(second)) => {
            Route::Several([first, second].into_iter().chain(claiming).map(|p| p.name.as_str()).collect())
        }
    }
}

/// What is asked about one alert.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The alert.
    pub alert: &'a Alert,
    /// Its source.
    pub source: &'a str,
    /// How far that source is believed.
    pub trust: Trust,
    /// When the delivery came in.
    pub received_at: Timestamp,
    /// The delivery left alerts out.
    pub truncated: bool,
    /// Who brings it.
    pub origin: Origin<'a>,
}

/// Decides one alert. Guards are asked in the order of the contract; the first no gives the reason.
pub fn decide(question: &Question<'_>, rules: &Rules, facts: &Facts, now: Timestamp) -> Decided {
    let alert = question.alert;
    let mut trace = Trace::default();
    if alert.status == AlertStatus::Resolved {
        trace.note(Reason::Resolved, Verdict::Stop, "status resolved", "status firing", None);
        return answer(Decision::Resolved, None, None, "the sender says that it is over", None, trace);
    }
    if let Some(why) = &alert.never_actionable {
        trace.note(Reason::QuarantinedAlert, Verdict::Stop, why, "an alert about a server", None);
        return answer(Decision::Ignored, Some(Reason::QuarantinedAlert), None, why, None, trace);
    }
    let policy = match route(rules, question.source, alert) {
        Route::One(policy) => policy,
        Route::None => {
            let mut all = rules.policies.iter();
            if let Some(label) = all.find_map(|policy| unsound_label(policy, rules, facts, alert)) {
                return refuse_unsound(label, None, trace);
            }
            let wanted = wanted_labels(rules, question.source, alert);
            trace.note(Reason::NoPolicy, Verdict::Stop, "0 policies match", wanted, None);
            let why = "no enabled policy matches its labels";
            return answer(Decision::Ignored, Some(Reason::NoPolicy), None, why, None, trace);
        }
        Route::Several(names) => {
            let why = format!("policies {} match; exactly one must", names.join(", "));
            trace.note(Reason::AmbiguousPolicy, Verdict::Stop, names.join(", "), "exactly 1", None);
            return answer(Decision::Suppressed, Some(Reason::AmbiguousPolicy), None, &why, None, trace);
        }
    };
    decide_under(policy, question, rules, facts, now)
}

/// Policies that are told of to an alert that none of them claims.
const NEAR_MISSES_MAX: usize = 5;

/// What each policy would have wanted of an alert that none claims.
fn wanted_labels(rules: &Rules, source: &str, alert: &Alert) -> String {
    let near: Vec<String> = rules
        .policies
        .iter()
        .take(NEAR_MISSES_MAX)
        .map(|policy| {
            let unmet = policy.matchers.0.iter().filter(|matcher| !matcher.matches(&alert.labels));
            let mut wants: Vec<String> = unmet.map(ToString::to_string).collect();
            if !policy.sources.is_empty() && !policy.sources.iter().any(|name| name == source) {
                wants.push(format!("source {}", policy.sources.join(" or ")));
            }
            if policy.mode == Mode::Off {
                wants.push("to be switched on".to_owned());
            }
            format!("{} wants {}", policy.name, wants.join(", "))
        })
        .collect();
    if near.is_empty() { "exactly 1; none is configured".to_owned() } else { near.join("; ") }
}

/// Decides one alert under a policy that is already known: found by [`route`], or named by a person, which is
/// the match that the laws ask for.
pub fn decide_under(
    policy: &Policy,
    question: &Question<'_>,
    rules: &Rules,
    facts: &Facts,
    now: Timestamp,
) -> Decided {
    let alert = question.alert;
    let mut trace = Trace::default();
    trace.note(Reason::NoPolicy, Verdict::Pass, &policy.name, "exactly 1", None);
    if let Some(label) = unsound_label(policy, rules, facts, alert) {
        return refuse_unsound(label, Some(&policy.name), trace);
    }
    ask_ages(&mut trace, question, policy, facts, now);
    let Some(server) = ask_target(&mut trace, policy, alert, &facts.target) else {
        return conclude_without_server(policy, facts, trace);
    };
    ask_live(&mut trace, facts);
    let hang = hang(question, facts, server);
    let on = Standing { rules, policy, facts, alert, source: question.source, server, hang };
    ask_standing(&mut trace, &on, now);
    corroboration::note_unasked(&mut trace, &policy.corroborate);
    ask_mode(&mut trace, question, policy, facts, now);
    conclude(policy, facts, trace)
}

/// The hang that the alert tells of. Whoever replays or orders says with it that the server hangs.
fn hang(question: &Question<'_>, facts: &Facts, server: &Server) -> Hang {
    let received_at = question.received_at;
    let first = question.alert.starts_at.or(facts.incident_opened_at);
    Hang {
        began_at: first.map_or(received_at, |at| at.min(received_at)),
        decided_uptime_at: server.uptime_at,
        confirmed_at: match question.origin {
            Origin::Source => None,
            Origin::Person(_) => Some(received_at),
        },
    }
}

/// The label that is read to decide about the alert, and holds what nobody may decide by. Labels that nothing reads may
/// hold anything.
fn unsound_label<'a>(policy: &Policy, rules: &Rules, facts: &Facts, alert: &'a Alert) -> Option<&'a str> {
    let silences = facts.silences.iter().map(|silence| &silence.matchers);
    let windows = rules.maintenance.iter().map(|window| &window.matchers);
    let reads = |label: &str| {
        label == "region_code"
            || policy.targets.iter().any(|rule| rule.label == label)
            || silences.clone().chain(windows.clone()).chain([&policy.matchers]).any(|all| all.reads(label))
    };
    alert.labels.keys().map(String::as_str).find(|label| alert.is_unsound(label) && reads(label))
}

fn refuse_unsound(label: &str, policy: Option<&str>, mut trace: Trace) -> Decided {
    let (seen, limit) = (format!("label {label}"), "a text without control characters; correct the rule");
    trace.note(Reason::QuarantinedAlert, Verdict::Stop, &seen, limit, None);
    let detail = sentence(&seen, limit);
    answer(Decision::Quarantined, Some(Reason::QuarantinedAlert), None, &detail, policy, trace)
}

fn ask_ages(trace: &mut Trace, question: &Question<'_>, policy: &Policy, facts: &Facts, now: Timestamp) {
    let alert = question.alert;
    if let Some(starts_at) = alert.starts_at {
        let latest = limits::later(now, FUTURE_MAX);
        let verdict = if starts_at > latest { Verdict::Stop } else { Verdict::Pass };
        trace.note(Reason::FromFuture, verdict, starts_at.to_string(), format!("≤ {latest}"), None);
    }
    match (question.origin, alert.sender_time) {
        (Origin::Source, Some(sent_at)) => {
            let age = question.received_at.duration_since(sent_at);
            let fresh = age <= policy.delivery_age_max && age >= -FUTURE_MAX;
            let verdict = if fresh { Verdict::Pass } else { Verdict::Stop };
            trace.note(
                Reason::Stale,
                verdict,
                format!("{age:#}"),
                format!("≤ {:#}", policy.delivery_age_max),
                None,
            );
        }
        (Origin::Source, None) => {
            trace.note(
                Reason::Stale,
                Verdict::NotConfigured,
                "the sender gives no time of its own",
                "-",
                None,
            );
        }
        (Origin::Person(_), _) => {
            trace.note(Reason::Stale, Verdict::NotConfigured, "ordered by a person", "-", None);
        }
    }
    if let Some(ended_at) = facts.newest_resolved_end {
        // Without a start nobody can tell this notice from a late one of the ended episode.
        let over = alert.starts_at.is_none_or(|starts_at| starts_at <= ended_at);
        let verdict = if over { Verdict::Stop } else { Verdict::Pass };
        let seen = alert.starts_at.map_or_else(|| "no start".to_owned(), |at| at.to_string());
        trace.note(Reason::Resolved, verdict, seen, format!("after {ended_at}"), None);
    }
    if facts.ended_in_delivery {
        let seen = "the same delivery ends an alert that opened or joined a remediation of this server";
        trace.note(Reason::Resolved, Verdict::Stop, seen, "a later delivery", None);
    }
    let verdict = if question.truncated { Verdict::Stop } else { Verdict::Pass };
    let seen = if question.truncated { "the sender left alerts out" } else { "complete" };
    trace.note(Reason::Storm, verdict, seen, "a complete group", None);
}

fn ask_target<'f>(
    trace: &mut Trace,
    policy: &Policy,
    alert: &Alert,
    target: &'f TargetFact,
) -> Option<&'f Server> {
    let mut no = |reason, seen: &str, limit: &str| {
        trace.note(reason, Verdict::Stop, seen, limit, None);
        None
    };
    match target {
        TargetFact::Missing { labels } => {
            no(Reason::TargetMissing, "none of the labels names a server", &labels.join(", "))
        }
        TargetFact::Malformed { label, why } => no(Reason::QuarantinedAlert, label, why),
        TargetFact::Pending => no(Reason::TargetUnknown, "not looked up yet", "an entry of a fresh list"),
        TargetFact::Unreadable { why } => no(Reason::Blind, why, "a complete answer of the cloud"),
        TargetFact::Unknown { named } => no(Reason::TargetUnknown, named, "a server of the region"),
        TargetFact::Ambiguous { named, numbers } => {
            no(Reason::TargetAmbiguous, &several(named, numbers), "exactly 1")
        }
        TargetFact::Disagree { seen } => no(Reason::TargetAmbiguous, seen, "the same server by every label"),
        TargetFact::RegionUnknown { seen, wanted } => no(Reason::RegionUnknown, seen, wanted),
        TargetFact::Found(server) => {
            let seen = named_by_first_part(policy, alert, server)
                .map(|whole| format!("{}, by the first part of {whole}", server.no));
            let seen = seen.as_deref().unwrap_or(server.no.as_str());
            trace.note(Reason::TargetUnknown, Verdict::Pass, seen, "exactly 1", None);
            Some(server)
        }
    }
}

/// Servers that are told of by number where one name names several.
const SEVERAL_MAX: usize = 5;

/// A name and the servers that it names.
pub(super) fn several(named: &str, numbers: &[ServerNo]) -> String {
    let told: Vec<&str> = numbers.iter().take(SEVERAL_MAX).map(ServerNo::as_str).collect();
    match numbers.len() {
        0 => format!("{named}: several servers"),
        count => format!("{named}: {count} servers, {}", told.join(", ")),
    }
}

fn conclude_without_server(policy: &Policy, facts: &Facts, trace: Trace) -> Decided {
    let earlier = trace.first(Verdict::Stop).cloned();
    let reason = earlier.as_ref().map(|check| check.guard);
    let pending = matches!(facts.target, TargetFact::Pending)
        && trace.0.iter().filter(|check| check.verdict == Verdict::Stop).count() == 1;
    let decision = match (pending, reason) {
        (true, _) => Decision::Pending,
        (false, Some(Reason::QuarantinedAlert)) => Decision::Quarantined,
        (false, _) => Decision::Suppressed,
    };
    let reason = if pending { None } else { reason };
    let detail = earlier.map_or_else(String::new, |check| sentence(&check.seen, &check.limit));
    answer(decision, reason, None, &detail, Some(&policy.name), trace)
}

fn ask_live(trace: &mut Trace, facts: &Facts) {
    let Some(live) = &facts.live else {
        trace.note(Reason::Duplicate, Verdict::Pass, "none", "no live remediation", None);
        return;
    };
    let guard = if live.state == State::Unknown { Reason::UnknownOpen } else { Reason::Duplicate };
    let seen = format!("{} is {}", live.remediation_id, live.state.as_str());
    trace.note(guard, Verdict::Stop, seen, "no live remediation", None);
}

fn ask_mode(trace: &mut Trace, question: &Question<'_>, policy: &Policy, facts: &Facts, now: Timestamp) {
    let demoted = facts.demoted.as_ref();
    let verdict = match ladder::effective(policy.mode, demoted) {
        Mode::Off | Mode::Shadow => Verdict::Stop,
        Mode::Approve => Verdict::AskPerson,
        Mode::Auto => Verdict::Pass,
    };
    let mut seen = format!("mode {}", policy.mode.as_str());
    if let Some(demotion) = demoted {
        seen = format!("{seen}, demoted to approve at {}: {}", demotion.at, demotion.why);
    }
    trace.note(Reason::Shadow, verdict, seen, "mode auto", None);
    if question.origin == Origin::Source {
        let verdict = if question.trust == Trust::Act { Verdict::Pass } else { Verdict::AskPerson };
        let seen = if question.trust == Trust::Act { "trust act" } else { "trust propose" };
        trace.note(Reason::ProposeOnly, verdict, seen, "trust act", None);
    }
    if let Some(starts_at) = question.alert.starts_at {
        let age = now.duration_since(starts_at);
        let verdict = if age > policy.episode_age_max { Verdict::AskPerson } else { Verdict::Pass };
        let limit = format!("≤ {:#} without a person", policy.episode_age_max);
        trace.note(Reason::Stale, verdict, format!("episode of {age:#}"), limit, None);
    }
}

fn conclude(policy: &Policy, facts: &Facts, trace: Trace) -> Decided {
    let name = Some(policy.name.as_str());
    if let Some(stop) = trace.first(Verdict::Stop).cloned() {
        let decision =
            if stop.guard == Reason::Duplicate { Decision::Duplicate } else { Decision::Suppressed };
        let detail = sentence(&stop.seen, &stop.limit);
        return answer(decision, Some(stop.guard), stop.until, &detail, name, trace);
    }
    debug_assert!(facts.live.is_none(), "a live remediation stops");
    let asks: Vec<Reason> =
        trace.0.iter().filter(|check| check.verdict == Verdict::AskPerson).map(|check| check.guard).collect();
    if asks.is_empty() {
        return answer(Decision::Remediate, None, None, "every guard passed", name, trace);
    }
    // The mode itself is no reason worth a word; a source that may only propose, or an old episode, is.
    let reason = asks.into_iter().find(|guard| *guard != Reason::Shadow);
    let detail = match reason {
        Some(Reason::ProposeOnly) => "the source may only propose; a person must approve",
        Some(Reason::Rebooted) => "started after the alert began; a person must see that it hangs again",
        Some(_) => "the episode is old; a person must approve",
        None if policy.mode == Mode::Auto => "the policy was demoted; a person must approve",
        None => "the policy asks a person",
    };
    answer(Decision::AwaitingApproval, reason, None, detail, name, trace)
}

fn sentence(seen: &str, limit: &str) -> String {
    format!("{seen} (wanted: {limit})")
}

fn answer(
    decision: Decision,
    reason: Option<Reason>,
    until: Option<Timestamp>,
    detail: &str,
    policy: Option<&str>,
    trace: Trace,
) -> Decided {
    Decided { decision, reason, until, detail: detail.to_owned(), policy: policy.map(str::to_owned), trace }
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
