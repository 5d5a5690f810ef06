//! Cooldown, dump window, budgets and spacing, computed from attempts.
//!
//! Never: a counter. What counts is the list of attempts, and a missing limit is never "no limit".

use jiff::{SignedDuration, Timestamp};

use super::facts::{Gap, Past};
use super::guard::{Reason, Trace, Verdict};
use super::policy::{Budget, Policy, Rules};
use super::remediation::Outcome;
use super::server::{Server, ServerNo};

/// Least length of the dump window.
pub const DUMP_WINDOW_MIN: SignedDuration = SignedDuration::from_mins(30);
/// Time for the reboot on top of writing the dump.
pub const DUMP_REBOOT: SignedDuration = SignedDuration::from_mins(15);
/// Speed that a dump is written at, in bytes per second. It goes to the disk twice: page file, then dump file.
pub const DUMP_BYTES_PER_SECOND: u64 = 50_000_000;
/// How long a refused attempt blocks its server.
pub const REJECTED_BLOCK: SignedDuration = SignedDuration::from_mins(15);
/// Ends the limit of a cooldown that a collected dump does not lift.
pub const ONLY_TIME: &str = "; only time lifts it";
/// Look-back that covers every cooldown the configuration accepts.
pub const COOLDOWN_MAX: SignedDuration = SignedDuration::from_hours(24 * 366);

/// `at + span`, clamped at the end of time.
pub fn later(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}

/// `at - span`, clamped at the beginning of time.
pub fn earlier(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_sub(span).unwrap_or(Timestamp::MIN)
}

/// How long after an interrupt a memory dump may be being written: `max(30 min, 2 × memory ÷ 50 MB/s + 15 min)`.
/// Nobody can override it.
pub fn dump_window(memory_bytes: u64) -> SignedDuration {
    let seconds = memory_bytes.saturating_mul(2).div_ceil(DUMP_BYTES_PER_SECOND);
    let writing = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX / 2));
    writing.saturating_add(DUMP_REBOOT).max(DUMP_WINDOW_MIN)
}

/// The end of the last dump window of a server: it counts from each interrupt of ours and from the newest boot that the
/// cloud tells of, whoever caused it. Nobody ends it earlier.
pub fn dump_window_until(attempts: &[Past], server: &Server) -> Option<Timestamp> {
    let booted = server.uptime_at.map(|at| later(at, dump_window(server.memory_bytes)));
    interrupted_until(attempts, &server.no, server.memory_bytes).max(booted)
}

/// The end of the dump window of a server's newest interrupt; its memory is now `memory_bytes`.
pub fn interrupted_until(attempts: &[Past], server_no: &ServerNo, memory_bytes: u64) -> Option<Timestamp> {
    attempts
        .iter()
        .filter(|past| past.server_no == *server_no && past.may_have_acted())
        .map(|past| later(past.intent_at, dump_window(past.memory_bytes.max(memory_bytes))))
        .max()
}

/// The end of the cooldown of a server: `cooldown` after each interrupt, or later where the policy that sent it said so.
pub fn cooldown_until(
    attempts: &[Past],
    server: &Server,
    cooldown: SignedDuration,
    dump_collected_at: Option<Timestamp>,
) -> Option<Timestamp> {
    // What was collected is the dump of the server of this region; the same number elsewhere is another machine.
    let collected =
        |past: &Past| past.region == server.region && dump_collected_at.is_some_and(|at| past.intent_at < at);
    attempts
        .iter()
        .filter(|past| past.server_no == server.no && past.may_have_acted() && !collected(past))
        .map(|past| later(past.intent_at, cooldown).max(past.cooldown_until))
        .max()
}

/// Asks for the dump window and the cooldown of one server. A collected dump ends the cooldown of the attempts before
/// it, not their dump window, and not the block that a refusal leaves.
pub fn ask_rest(
    trace: &mut Trace,
    policy: &Policy,
    attempts: &[Past],
    server: &Server,
    dump_collected_at: Option<Timestamp>,
    now: Timestamp,
) {
    let own = || attempts.iter().filter(|past| past.server_no == server.no);
    let dump_until = dump_window_until(attempts, server).filter(|until| now < *until);
    note(trace, Reason::DumpWindow, dump_until, "no dump may be being written");
    let cooldown_until = cooldown_until(attempts, server, policy.cooldown, dump_collected_at);
    let cooldown_until = cooldown_until.filter(|until| now < *until);
    note(trace, Reason::Cooldown, cooldown_until, &format!("cooldown {:#}", policy.cooldown));
    let refused_until = own()
        .filter(|past| past.outcome == Some(Outcome::Rejected))
        .map(|past| later(past.intent_at, REJECTED_BLOCK))
        .max()
        .filter(|until| now < *until);
    let limit = format!("no refusal within {REJECTED_BLOCK:#}{ONLY_TIME}");
    note(trace, Reason::Cooldown, refused_until, &limit);
}

/// Longest time without a sign of life in which a reboot still counts as seen.
pub const WATCH_GAP_MIN: SignedDuration = SignedDuration::from_mins(10);

/// Asks whether the server was rebooted while this service saw nothing: whoever did it, it rests as after an interrupt.
pub fn ask_unwatched(trace: &mut Trace, policy: &Policy, gaps: &[Gap], server: &Server, now: Timestamp) {
    let unseen = server.uptime_at.filter(|at| gaps.iter().any(|gap| gap.from < *at && *at <= gap.until));
    let until = unseen.map(|at| later(at, policy.cooldown)).filter(|until| now < *until);
    let limit = format!("cooldown {:#} after a reboot nobody watched{ONLY_TIME}", policy.cooldown);
    note(trace, Reason::Cooldown, until, &limit);
}

fn note(trace: &mut Trace, guard: Reason, until: Option<Timestamp>, limit: &str) {
    match until {
        Some(until) => trace.note(guard, Verdict::Stop, format!("until {until}"), limit, Some(until)),
        None => trace.note(guard, Verdict::Pass, "free", limit, None),
    }
}

/// Asks the budgets of server, policy, region and service.
pub fn ask_budgets(
    trace: &mut Trace,
    rules: &Rules,
    policy: &Policy,
    attempts: &[Past],
    server: &Server,
    now: Timestamp,
) {
    let of_server: Vec<Timestamp> = attempts
        .iter()
        .filter(|past| past.server_no == server.no && past.may_have_acted())
        .map(|past| past.intent_at)
        .collect();
    let of_policy = times(attempts, |past| past.policy == policy.name);
    let of_region = times(attempts, |past| past.region == server.region);
    let of_all = times(attempts, |_| true);
    ask_budget(trace, Reason::BudgetServer, &rules.limits.server, &of_server, now);
    ask_budget(trace, Reason::BudgetPolicy, &policy.budget, &of_policy, now);
    ask_budget(trace, Reason::BudgetRegion, &rules.limits.region, &of_region, now);
    ask_budget(trace, Reason::BudgetGlobal, &rules.limits.global, &of_all, now);
}

fn times(attempts: &[Past], counts: impl Fn(&Past) -> bool) -> Vec<Timestamp> {
    attempts.iter().filter(|past| counts(past)).map(|past| past.intent_at).collect()
}

fn ask_budget(trace: &mut Trace, guard: Reason, budgets: &[Budget], spent: &[Timestamp], now: Timestamp) {
    for budget in budgets {
        let usage = usage(*budget, spent, now);
        let verdict = if usage.free { Verdict::Pass } else { Verdict::Wait };
        trace.note(guard, verdict, format!("{} spent", usage.spent), budget.to_string(), usage.free_at);
    }
}

/// How much of a budget is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Attempts inside the window that ends now.
    pub spent: usize,
    /// Whether one more fits.
    pub free: bool,
    /// When one more fits, if time can make it fit.
    pub free_at: Option<Timestamp>,
}

/// Counts the attempts in the window `(now - window, now]`. One more fits only if every window that will hold
/// it holds at most `count`.
pub fn usage(budget: Budget, spent: &[Timestamp], now: Timestamp) -> Usage {
    let from = earlier(now, budget.window);
    let mut inside: Vec<Timestamp> = spent.iter().copied().filter(|at| *at > from).collect();
    inside.sort_unstable();
    let allowed = usize::try_from(budget.count).unwrap_or(usize::MAX);
    let free = inside.len() < allowed;
    // With `count` allowed, one more fits once all but `count - 1` of those inside have left the window.
    let leaves = if free || allowed == 0 { None } else { inside.get(inside.len() - allowed).copied() };
    Usage { spent: inside.len(), free, free_at: leaves.map(|at| later(at, budget.window)) }
}

/// Asks for the gap to the last attempt of another remediation, and for those in flight.
pub fn ask_pace(trace: &mut Trace, rules: &Rules, attempts: &[Past], remediation_id: &str, now: Timestamp) {
    let in_flight = attempts.iter().filter(|past| past.outcome.is_none()).count();
    let allowed = usize::try_from(rules.limits.in_flight).unwrap_or(0);
    let verdict = if in_flight < allowed { Verdict::Pass } else { Verdict::Wait };
    trace.note(Reason::Spacing, verdict, format!("{in_flight} in flight"), format!("< {allowed}"), None);
    let last =
        attempts.iter().filter(|past| past.remediation_id != remediation_id).map(|p| p.intent_at).max();
    let free_at = last.map(|at| later(at, rules.limits.spacing)).filter(|until| now < *until);
    let verdict = if free_at.is_some() { Verdict::Wait } else { Verdict::Pass };
    let seen = last.map_or_else(|| "no attempt yet".to_owned(), |at| format!("last attempt {at}"));
    trace.note(Reason::Spacing, verdict, seen, format!("spacing {:#}", rules.limits.spacing), free_at);
}

/// The longest time back that any limit looks.
pub fn look_back(rules: &Rules) -> SignedDuration {
    let limits = &rules.limits;
    let windows =
        limits.server.iter().chain(&limits.region).chain(&limits.global).map(|budget| budget.window);
    let policies = rules
        .policies
        .iter()
        .flat_map(|policy| policy.budget.iter().map(|budget| budget.window).chain([policy.cooldown]));
    // No server has more memory than 32 TiB; its dump window bounds the rest.
    windows.chain(policies).chain([dump_window(32 << 40), REJECTED_BLOCK]).max().unwrap_or(COOLDOWN_MAX)
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
