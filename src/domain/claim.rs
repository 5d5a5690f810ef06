//! The questions asked of a remediation that already lives: at the end of its hold-down, at an approval,
//! and inside the intent transaction.
//!
//! Never: answers "go" from a remembered answer. Every guard is asked with facts read in the same transaction.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::alert::Alert;
use super::corroboration::{self, SIGNAL_ASK_AGAIN, Seen, Signal};
use super::facts::Facts;
use super::guard::{Check, Reason, Trace, Verdict};
use super::ladder;
use super::limits;
use super::policy::{Mode, Policy, Rules, Trust};
use super::reboot::Hang;
use super::server::{Identity, Server};
use super::standing::{Standing, ask_standing};
use super::still_named::{Decided, Resolved};

/// Oldest pre-flight read that an intent may rest on.
pub const PREFLIGHT_AGE_MAX: SignedDuration = SignedDuration::from_secs(30);
/// Oldest approval that an intent may rest on.
pub const APPROVAL_AGE_MAX: SignedDuration = SignedDuration::from_mins(10);
/// A server that was seen busy is read again after this long.
pub const BUSY_READ_AGAIN: SignedDuration = SignedDuration::from_secs(3);

/// What is known of the remediation itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Its identifier.
    pub remediation_id: String,
    /// Source that opened it.
    pub source: String,
    /// Alert that opened it.
    pub alert: Alert,
    /// Server as it was when decided.
    pub server: Server,
    /// Policy in charge.
    pub policy: String,
    /// Hash of that policy when decided.
    pub policy_hash: String,
    /// Whether a person must approve, decided at the beginning.
    pub needs_person: bool,
    /// When the last firing notice came, or a person vouched for it.
    pub last_notice_at: Timestamp,
    /// When the episode began.
    pub episode_started_at: Option<Timestamp>,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// When it began to wait for approval.
    pub waiting_since: Timestamp,
    /// When a person approved.
    pub approved_at: Option<Timestamp>,
    /// When a person last said that the server hangs: an order, a replay, or an approval that confirms it.
    pub confirmed_at: Option<Timestamp>,
}

impl Waiting {
    /// The alert and the server that it was decided for.
    pub fn decided(&self) -> Decided<'_> {
        Decided { source: &self.source, alert: &self.alert, server: &self.server }
    }
}

/// What the pre-flight read saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preflight {
    /// When the answer came.
    pub read_at: Timestamp,
    /// The server, or what went wrong.
    pub seen: PreflightSeen,
    /// What the alert's name led to, where it is no number; not read for a server that cannot be interrupted now.
    pub named: Option<Resolved>,
    /// Second signals, asked together with it, in the order of the policy.
    pub signals: Vec<Signal>,
}

/// Result of a pre-flight read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreflightSeen {
    /// The server as it is.
    Server(Box<Server>),
    /// The cloud does not know it any more.
    Gone,
    /// The read failed.
    Unreadable(String),
}

/// Things about ourselves that forbid sending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// Why we may not send at all: foreign epoch, an outcome that could not be stored, shutting down.
    pub halted: Option<String>,
    /// Why the clock cannot be trusted.
    pub clock: Option<String>,
    /// Why the cloud cannot be seen: its reads fail one after the other.
    pub reads: Option<String>,
    /// Why the disk has too little room left.
    pub disk: Option<String>,
    /// The newest time in which the clock stood still.
    pub stall: Option<Stall>,
}

/// What the intent transaction may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Commit the intent; the server is as the pre-flight saw it.
    Go(Box<Server>),
    /// Read the server first.
    NeedPreflight,
    /// Stay queued and ask again.
    Wait(Check),
    /// It may no longer go on alone: a person is asked.
    AskPerson(Check),
    /// Take it back.
    Cancel(Check),
    /// Too old.
    Expire(Check),
}

/// What the end of the hold-down leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// May be claimed.
    Queue,
    /// A person is asked.
    AskPerson(Option<Reason>),
    /// Take it back.
    Cancel(Check),
    /// Too old.
    Expire(Check),
}

/// Asks whether the policy is still the one that was decided by.
fn ask_policy<'r>(trace: &mut Trace, waiting: &Waiting, rules: &'r Rules) -> Option<&'r Policy> {
    let policy =
        rules.policies.iter().find(|policy| policy.name == waiting.policy && policy.mode != Mode::Off);
    let same = policy.filter(|policy| policy.hash() == waiting.policy_hash);
    let seen = match (policy, same) {
        (None, _) => "the policy is gone or switched off",
        (Some(_), None) => "the policy was changed",
        (Some(_), Some(_)) => "unchanged",
    };
    let verdict = if same.is_some() { Verdict::Pass } else { Verdict::Stop };
    trace.note(Reason::Cancelled, verdict, seen, format!("policy {}", waiting.policy), None);
    same
}

/// A time in which the clock stood still at its floor, because the wall clock had been set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// The floor: what was noted up to then is older than it seems.
    pub until: Timestamp,
    /// By how much, at most.
    pub by: SignedDuration,
}

/// How old something noted at `at` is, with what a clock that stood still does not show.
fn age(at: Timestamp, stall: Option<Stall>, now: Timestamp) -> SignedDuration {
    now.duration_since(at).saturating_add(hidden(at, stall))
}

fn hidden(at: Timestamp, stall: Option<Stall>) -> SignedDuration {
    stall.filter(|stall| at <= stall.until).map_or(SignedDuration::ZERO, |stall| stall.by)
}

/// The hang that it was decided about. What we noted ourselves may be older than it seems.
fn hang(waiting: &Waiting, facts: &Facts, stall: Option<Stall>) -> Hang {
    let earliest = |at: Timestamp| limits::earlier(at, hidden(at, stall));
    let decided_at = earliest(waiting.decided_at);
    let first = waiting.alert.starts_at.or_else(|| facts.incident_opened_at.map(earliest));
    Hang {
        began_at: first.map_or(decided_at, |at| at.min(decided_at)),
        decided_uptime_at: waiting.server.uptime_at,
        confirmed_at: waiting.confirmed_at.map(earliest),
    }
}

fn ask_notice(trace: &mut Trace, waiting: &Waiting, policy: &Policy, stall: Option<Stall>, now: Timestamp) {
    let age = age(waiting.last_notice_at, stall, now);
    let verdict = if age > policy.notice_age_max { Verdict::Expire } else { Verdict::Pass };
    let limit = format!("≤ {:#}", policy.notice_age_max);
    trace.note(Reason::Expired, verdict, format!("last notice {age:#} ago"), limit, None);
}

fn ask_resolved(trace: &mut Trace, waiting: &Waiting, facts: &Facts) {
    let over = facts
        .newest_resolved_end
        .is_some_and(|end| waiting.alert.starts_at.is_none_or(|starts_at| starts_at <= end));
    let verdict = if over { Verdict::Stop } else { Verdict::Pass };
    trace.note(Reason::Resolved, verdict, if over { "resolved" } else { "firing" }, "still firing", None);
    // An end that came while a try was in flight found nothing to cancel; the next try must not go out.
    let verdict = if facts.joined_end.is_some() { Verdict::Stop } else { Verdict::Pass };
    let seen = facts.joined_end.map_or_else(|| "none".to_owned(), |at| format!("an end noticed {at}"));
    trace.note(Reason::Resolved, verdict, seen, "no end of an alert that opened or joined it", None);
}

fn ask_source(trace: &mut Trace, waiting: &Waiting, facts: &Facts) {
    let verdict = if facts.trust.is_some() { Verdict::Pass } else { Verdict::Stop };
    let seen = if facts.trust.is_some() { "configured" } else { "no longer configured" };
    trace.note(Reason::Cancelled, verdict, seen, format!("source {}", waiting.source), None);
}

/// Whether a person must say yes: as decided at the beginning, or because the source is believed less since.
fn needs_person(waiting: &Waiting, facts: &Facts) -> bool {
    waiting.needs_person || facts.trust == Some(Trust::Propose)
}

/// Asks all guards that do not need a pre-flight read, on `server`.
fn ask_all(
    waiting: &Waiting,
    server: &Server,
    rules: &Rules,
    facts: &Facts,
    stall: Option<Stall>,
    now: Timestamp,
) -> (Trace, Option<Policy>) {
    let mut trace = Trace::default();
    let policy = ask_policy(&mut trace, waiting, rules);
    ask_source(&mut trace, waiting, facts);
    ask_resolved(&mut trace, waiting, facts);
    if let Some(policy) = policy {
        waiting.decided().ask_inventory(&mut trace, policy, &facts.target);
    }
    if let Some(policy) = policy {
        let (alert, source) = (&waiting.alert, waiting.source.as_str());
        let hang = hang(waiting, facts, stall);
        let on = Standing { rules, policy, facts, alert, source, server, hang };
        ask_standing(&mut trace, &on, now);
    }
    (trace, policy.cloned())
}

/// What the end of the hold-down leads to.
pub fn settled(waiting: &Waiting, rules: &Rules, facts: &Facts, now: Timestamp) -> (Settled, Trace) {
    let (mut trace, policy) = ask_all(waiting, &waiting.server, rules, facts, None, now);
    if let Some(policy) = &policy {
        ask_notice(&mut trace, waiting, policy, None, now);
    }
    if let Some(stop) = trace.first(Verdict::Stop).cloned() {
        return (Settled::Cancel(stop), trace);
    }
    if let Some(old) = trace.first(Verdict::Expire).cloned() {
        return (Settled::Expire(old), trace);
    }
    let old_episode = policy.as_ref().is_some_and(|policy| episode_is_old(waiting, policy, now));
    let asks =
        needs_person(waiting, facts) || policy.as_ref().is_some_and(|policy| is_demoted(policy, facts));
    let verdict = match (trace.first(Verdict::AskPerson), asks, old_episode) {
        (Some(check), _, _) => Settled::AskPerson(Some(check.guard)),
        (None, true, _) => Settled::AskPerson(None),
        (None, false, true) => Settled::AskPerson(Some(Reason::Stale)),
        (None, false, false) => Settled::Queue,
    };
    (verdict, trace)
}

/// Whether the policy would act alone by its configuration, and may not.
fn is_demoted(policy: &Policy, facts: &Facts) -> bool {
    ladder::effective(policy.mode, facts.demoted.as_ref()) < policy.mode
}

fn episode_is_old(waiting: &Waiting, policy: &Policy, now: Timestamp) -> bool {
    waiting.episode_started_at.is_some_and(|at| now.duration_since(at) > policy.episode_age_max)
}

/// Whether an approval may be taken now: every guard that stops, asked again. What the trace says must be asked of a
/// person needs one who confirms that the server still hangs.
pub fn approvable(
    waiting: &Waiting,
    rules: &Rules,
    facts: &Facts,
    now: Timestamp,
) -> (Result<(), Check>, Trace) {
    let (mut trace, policy) = ask_all(waiting, &waiting.server, rules, facts, None, now);
    if let Some(policy) = &policy {
        let waited = now.duration_since(waiting.waiting_since);
        let verdict = if waited > policy.approval_wait { Verdict::Expire } else { Verdict::Pass };
        let limit = format!("≤ {:#}", policy.approval_wait);
        trace.note(Reason::Expired, verdict, format!("waited {waited:#}"), limit, None);
    }
    let no = trace.first(Verdict::Stop).or_else(|| trace.first(Verdict::Expire)).cloned();
    (no.map_or(Ok(()), Err), trace)
}

/// The intent transaction's question: every guard, on the server as the pre-flight saw it.
/// Stops win over ages, ages over questions to a person, those over waits.
pub fn claim(
    waiting: &Waiting,
    rules: &Rules,
    facts: &Facts,
    preflight: Option<&Preflight>,
    health: &Health,
    now: Timestamp,
) -> (Claim, Trace) {
    let fresh = preflight.filter(|seen| now.duration_since(seen.read_at) <= PREFLIGHT_AGE_MAX);
    let seen = fresh.map(|preflight| &preflight.seen);
    let server = match seen {
        Some(PreflightSeen::Server(server)) => server.as_ref(),
        Some(PreflightSeen::Gone | PreflightSeen::Unreadable(_)) | None => &waiting.server,
    };
    let (mut trace, policy) = ask_all(waiting, server, rules, facts, health.stall, now);
    ask_health(&mut trace, health);
    if let Some(policy) = &policy {
        ask_notice(&mut trace, waiting, policy, health.stall, now);
        ask_approval(&mut trace, waiting, policy, facts, health.stall, now);
    }
    limits::ask_pace(&mut trace, rules, &facts.attempts, &waiting.remediation_id, now);
    ask_preflight(&mut trace, seen, &waiting.server.identity());
    if let (Some(policy), Some(PreflightSeen::Server(_))) = (&policy, seen) {
        waiting.decided().ask(&mut trace, policy, fresh.and_then(|preflight| preflight.named.as_ref()));
    }
    if let Some(policy) = &policy {
        let signals = fresh.map(|preflight| preflight.signals.as_slice());
        corroboration::ask(&mut trace, &policy.corroborate, signals, now);
    }

    let verdict = if let Some(stop) = trace.first(Verdict::Stop) {
        Claim::Cancel(stop.clone())
    } else if let Some(old) = trace.first(Verdict::Expire) {
        Claim::Expire(old.clone())
    } else if let Some(asks) = trace.first(Verdict::AskPerson) {
        Claim::AskPerson(asks.clone())
    } else if let Some(wait) = first_wait(&trace, fresh.is_none(), server) {
        let busy = !server.is_idle();
        let read_before =
            |gap| preflight.is_none_or(|preflight| now.duration_since(preflight.read_at) >= gap);
        // A new read is also what shows that the clocks agree again, and that the cloud can be read again.
        let unnamed =
            |preflight: &Preflight| preflight.named.as_ref().is_some_and(|name| name.servers.is_err());
        let unseen = matches!(seen, Some(PreflightSeen::Unreadable(_)))
            || fresh.is_some_and(unnamed)
            || health.clock.is_some()
            || health.reads.is_some();
        let untold = fresh.is_some_and(|preflight| {
            preflight.signals.iter().any(|signal| matches!(signal.seen, Seen::CouldNotTell(_)))
        });
        let again =
            ((busy || unseen) && read_before(BUSY_READ_AGAIN)) || (untold && read_before(SIGNAL_ASK_AGAIN));
        if again { Claim::NeedPreflight } else { Claim::Wait(wait) }
    } else {
        match seen {
            Some(PreflightSeen::Server(server)) => Claim::Go(server.clone()),
            Some(PreflightSeen::Gone | PreflightSeen::Unreadable(_)) | None => Claim::NeedPreflight,
        }
    };
    (verdict, trace)
}

/// The first wait that counts. Without a fresh pre-flight the operation seen when deciding says nothing.
fn first_wait(trace: &Trace, without_preflight: bool, server: &Server) -> Option<Check> {
    let stale_operation =
        |check: &Check| without_preflight && check.guard == Reason::NotEligible && !server.is_idle();
    trace.0.iter().find(|check| check.verdict == Verdict::Wait && !stale_operation(check)).cloned()
}

/// Wanted of a process that was halted, is stopping, or cannot write its journal.
pub(super) const MAY_SEND: &str = "this process may send";
/// Wanted of the clock.
pub(super) const SOUND_CLOCK: &str = "a clock that agrees with store and cloud";
/// Wanted of the disk.
pub(super) const ROOM_ON_DISK: &str = "room on the disk of the store";

fn ask_health(trace: &mut Trace, health: &Health) {
    let mut ask = |no: &Option<String>, limit: &str| {
        let verdict = if no.is_some() { Verdict::Wait } else { Verdict::Pass };
        trace.note(Reason::Blind, verdict, no.as_deref().unwrap_or("sound"), limit, None);
    };
    ask(&health.halted, MAY_SEND);
    ask(&health.clock, SOUND_CLOCK);
    ask(&health.reads, "reads of the cloud that work");
    ask(&health.disk, ROOM_ON_DISK);
}

fn ask_approval(
    trace: &mut Trace,
    waiting: &Waiting,
    policy: &Policy,
    facts: &Facts,
    stall: Option<Stall>,
    now: Timestamp,
) {
    if let Some(approved_at) = waiting.approved_at {
        let age = age(approved_at, stall, now);
        let verdict = if age > APPROVAL_AGE_MAX { Verdict::Expire } else { Verdict::Pass };
        let limit = format!("≤ {APPROVAL_AGE_MAX:#}");
        trace.note(Reason::Expired, verdict, format!("approved {age:#} ago"), limit, None);
    } else {
        let asked = waiting.needs_person;
        let verdict = if asked { Verdict::Stop } else { Verdict::Pass };
        let seen = if asked { "nobody approved" } else { "no approval needed" };
        trace.note(Reason::Cancelled, verdict, seen, "an approval where one is needed", None);
        // What has changed since the hold-down ended takes nothing back: it asks a person.
        let mut ask = |guard, asks, seen: &str, limit: &str| {
            let verdict = if asks { Verdict::AskPerson } else { Verdict::Pass };
            trace.note(guard, verdict, seen, limit, None);
        };
        let proposes = facts.trust == Some(Trust::Propose);
        ask(Reason::ProposeOnly, proposes, if proposes { "trust propose" } else { "trust act" }, "trust act");
        let demoted = is_demoted(policy, facts);
        let seen = if demoted { "the policy was demoted" } else { "not demoted" };
        ask(Reason::Shadow, demoted, seen, "a policy that may act alone");
        let old = episode_is_old(waiting, policy, now);
        let limit = format!("≤ {:#} without a person", policy.episode_age_max);
        ask(Reason::Stale, old, "age of the episode", &limit);
    }
}

fn ask_preflight(trace: &mut Trace, seen: Option<&PreflightSeen>, identity: &Identity) {
    match seen {
        None => {}
        Some(PreflightSeen::Gone) => {
            trace.note(
                Reason::NotEligible,
                Verdict::Stop,
                "the cloud does not know it any more",
                "a server",
                None,
            );
        }
        Some(PreflightSeen::Unreadable(why)) => {
            trace.note(Reason::Blind, Verdict::Wait, why, "a readable pre-flight", None);
        }
        Some(PreflightSeen::Server(server)) => {
            let same = server.identity() == *identity;
            let verdict = if same { Verdict::Pass } else { Verdict::Stop };
            let seen = format!("{} created {}", server.name, server.created_at);
            let limit = format!("{} created {}", identity.name, identity.created_at);
            trace.note(Reason::NotEligible, verdict, seen, limit, None);
        }
    }
}

#[cfg(test)]
#[path = "claim_tests.rs"]
mod tests;
