//! Advice: what would have to change for a guard to pass, in plain words and with the command that changes it.
//!
//! Never: a way around a guard. Where only time helps, it says so.

use super::claim::{MAY_SEND, ROOM_ON_DISK, SOUND_CLOCK};
use super::guard::{Check, Reason};
use super::limits::ONLY_TIME;
use super::remediation::State;

/// What an advice is about: the names that go into its commands. What is not known stays a word in capitals.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The server, as a person calls it.
    pub server: &'a str,
    /// The policy.
    pub policy: Option<&'a str>,
    /// The remediation.
    pub remediation: Option<&'a str>,
}

/// What would have to change for this guard to pass, for the person who asks at 3 a.m.
pub fn what_would_change(check: &Check, about: About<'_>) -> String {
    let (limit, server) = (&check.limit, about.server);
    let until = check.until.map_or_else(|| "it is lifted".to_owned(), |until| until.to_string());
    match check.guard {
        Reason::Resolved => "a new firing notice with a later start; this one was over".to_owned(),
        Reason::NoPolicy => format!("the labels of the alert, or a policy that matches them: {limit}"),
        Reason::AmbiguousPolicy => {
            format!("the matches of the policies {}, so that exactly one claims the alert", check.seen)
        }
        Reason::TargetMissing => format!("the alert rule: it must carry one of the labels {limit}"),
        Reason::TargetUnknown => {
            "the label's value or the policy's region: the cloud knows no such server there".to_owned()
        }
        Reason::TargetAmbiguous => "the labels: name one server, by its number".to_owned(),
        Reason::TargetChanged => {
            "the alert's address or name: it must lead to the same server again, then a new notice".to_owned()
        }
        Reason::RegionUnknown => {
            format!("the alert's region_code or the policy's region: {}; expected {limit}", check.seen)
        }
        Reason::NotEligible => not_eligible(check, server),
        Reason::Rebooted => format!(
            "look at {server}: it was started after this alert began. If it hangs again, approve the next notice with \
             --confirm-still-hung, or wait for an alert that begins after the boot"
        ),
        Reason::DeniedServer => "deny_servers of the policy, which names this server".to_owned(),
        Reason::Stale => format!("a fresh notice, or a person's approval; wanted was {limit}"),
        Reason::FromFuture => "the clock of the sender: the alert claims to begin in the future".to_owned(),
        Reason::Duplicate | Reason::UnknownOpen => live(check),
        Reason::Silenced => {
            let id = number_after(&check.seen, "silence");
            format!("wait until {until}, or `unhang silence end {id} --reason TEXT`")
        }
        Reason::Maintenance => format!("wait until {until} and for a new notice, or change the window"),
        Reason::Hold => hold(check),
        Reason::Storm if check.seen.contains("left alerts out") => {
            "the sender must send complete groups: max_alerts 0 and a finer group_by".to_owned()
        }
        Reason::Storm => {
            let id = number_after(&check.seen, "storm");
            format!("a person looks at what they share, then `unhang storm clear {id} --reason TEXT`")
        }
        Reason::Blind => blind(check),
        Reason::BreakerOpen => {
            let policy = about.policy.unwrap_or("POLICY");
            format!("a person looks at the bad outcomes, then `unhang breaker reset {policy} --reason TEXT`")
        }
        Reason::Cooldown if limit.ends_with(ONLY_TIME) => {
            let why = limit.trim_end_matches(ONLY_TIME);
            format!("only time: wait until {until}; wanted is {why}, and a collected dump does not end it")
        }
        Reason::Cooldown => format!(
            "wait until {until}, or collect the dump and say so: `unhang dump-collected {server} --reason TEXT`"
        ),
        Reason::DumpWindow => {
            format!("wait until {until}: a memory dump may be being written, and nobody can override that")
        }
        Reason::BudgetServer | Reason::BudgetPolicy | Reason::BudgetRegion | Reason::BudgetGlobal => {
            format!("wait until {until}: the budget {limit} is spent, and people are bound by it too")
        }
        Reason::Spacing => "only time: attempts keep a distance".to_owned(),
        Reason::NotCorroborated => "the second signal: it did not agree".to_owned(),
        Reason::Shadow => {
            "the policy's mode: shadow only watches, approve asks a person, auto acts".to_owned()
        }
        Reason::ProposeOnly => {
            let id = about.remediation.unwrap_or("ID");
            format!(
                "a person's approval: `unhang approve {id} --reason TEXT`; for good, trust = \"act\" of the source"
            )
        }
        Reason::Expired => "a fresh notice: this one waited too long".to_owned(),
        Reason::Cancelled => "a new notice: a person or a changed policy took this one back".to_owned(),
        Reason::Superseded => "nothing: something newer took its place".to_owned(),
        Reason::QuarantinedAlert => format!("the payload of the sender: {}", check.seen),
    }
}

/// A hold ends by the one who set it, a quarantine by a person who has reconciled.
fn hold(check: &Check) -> String {
    if check.seen.contains("hold file") {
        return "`unhang hold clear --file`".to_owned();
    }
    if check.seen.starts_with("quarantine ") {
        return "`unhang quarantine show`: look at the servers it names, then `unhang quarantine clear --reason TEXT`"
            .to_owned();
    }
    let id = number_after(&check.seen, "hold");
    let wait = check.until.map_or_else(String::new, |until| format!("wait until {until}, or "));
    format!("{wait}`unhang hold clear {id} --reason TEXT`")
}

/// What we cannot see has many causes, and each is put right elsewhere.
fn blind(check: &Check) -> String {
    let (seen, limit) = (&check.seen, &check.limit);
    match limit.as_str() {
        MAY_SEND => format!(
            "this process: {seen}. Put that right; a hold file that it left is removed by a person who has looked \
             at the last attempt: `unhang hold clear --file`"
        ),
        SOUND_CLOCK => format!("the clock of this machine: {seen}; it lifts once time is kept again"),
        ROOM_ON_DISK => format!("room on the disk of the store: {seen}; it lifts once there is room"),
        _ if limit.starts_with('≤') => {
            format!("a heartbeat of the sender: {seen}, wanted {limit}; the next one lifts it")
        }
        _ => format!("reads of the cloud: {seen}; wanted is {limit}, and it lifts by itself"),
    }
}

fn not_eligible(check: &Check, server: &str) -> String {
    if check.limit.starts_with("an attestation") {
        return format!("the guest of {server} attests its settings: config/windows/Set-CrashDump.ps1");
    }
    if check.limit == "the eligibility table" {
        return "the server itself: only Windows on a listed hypervisor is interrupted".to_owned();
    }
    format!("the server: it was {}, wanted was {}", check.seen, check.limit)
}

/// What a live remediation waits for; the check's words are "ID is STATE".
fn live(check: &Check) -> String {
    let (id, state) = check.seen.split_once(" is ").unwrap_or((&check.seen, ""));
    next_step(id, state).unwrap_or_else(|| format!("the end of remediation {id}, which the alert joined"))
}

/// What a remediation in this state waits for that a person can do.
pub fn next_step(id: &str, state: &str) -> Option<String> {
    match State::parse(state)? {
        State::AwaitingApproval => Some(format!("an approver: `unhang approve {id} --reason TEXT`")),
        State::Unknown | State::Unconfirmed => {
            let settle = format!("unhang settle {id} --verdict");
            Some(format!(
                "a person says what came of it: `{settle} happened --reason TEXT`, or after a look at the cloud's \
                 activity record `{settle} not-happened --activity-checked --reason TEXT`"
            ))
        }
        State::Settling | State::Queued | State::Intent | State::Accepted => {
            Some(format!("nothing: remediation {id} is {state} and goes on by itself"))
        }
        State::Confirmed
        | State::Rejected
        | State::NotSent
        | State::ClosedHappened
        | State::ClosedNotHappened
        | State::Cancelled
        | State::Expired => None,
    }
}

/// The number behind a word in a guard's own sentence, such as `hold 7 by lead`.
fn number_after<'t>(text: &'t str, word: &str) -> &'t str {
    let rest = text.split_once(word).map_or("", |(_, rest)| rest.trim_start());
    let number = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap_or_default();
    if number.is_empty() { "ID" } else { number }
}

#[cfg(test)]
#[path = "advice_tests.rs"]
mod tests;
