//! Circuit breaker: a run of bad outcomes stops a policy, and one attempt at a time finds out whether it is over.
//!
//! Never: a counter. What counts is the list of attempts since a person last reset it.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::guard::{Reason, Trace, Verdict};
use super::limits::later;
use super::remediation::{Outcome, State};

/// `[breaker]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakerRules {
    /// Bad attempts in a row that open it (default 3).
    pub failures: u32,
    /// How long it stays open after the last of them (default 1 h).
    #[schema(value_type = String, pattern = "^-?PT[0-9HMS.]+$")]
    pub open_for: SignedDuration,
}

impl Default for BreakerRules {
    fn default() -> Self {
        Self { failures: 3, open_for: SignedDuration::from_hours(1) }
    }
}

/// One attempt of the policy with the state of its remediation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    /// When the intent was committed.
    pub intent_at: Timestamp,
    /// How the call ended; `None` while in flight.
    pub outcome: Option<Outcome>,
    /// Where the remediation stands.
    pub state: State,
    /// All that confirms it is the cloud's own record of the call: nobody saw a reboot.
    pub by_record: bool,
}

/// What an attempt says of its policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The reboot was seen, or a person says that it happened.
    Good,
    /// Refused, lost, or accepted without effect.
    Bad,
    /// Nobody knows yet.
    Pending,
    /// The call arrived, and whether it had an effect nobody will know.
    Unjudged,
}

impl Tried {
    /// What it says; `None` where nothing was sent.
    pub fn end(&self) -> Option<End> {
        match (self.outcome, self.state) {
            (Some(Outcome::NotSent), _) => None,
            (Some(Outcome::Rejected), _)
            | (
                Some(Outcome::Accepted | Outcome::Unknown),
                State::Unknown | State::Unconfirmed | State::ClosedNotHappened,
            ) => Some(End::Bad),
            (Some(Outcome::Accepted | Outcome::Unknown), State::Confirmed) if self.by_record => {
                Some(End::Unjudged)
            }
            (Some(Outcome::Accepted | Outcome::Unknown), State::Confirmed | State::ClosedHappened) => {
                Some(End::Good)
            }
            (
                None | Some(Outcome::Accepted | Outcome::Unknown),
                State::Settling
                | State::AwaitingApproval
                | State::Queued
                | State::Intent
                | State::Accepted
                | State::Confirmed
                | State::Unconfirmed
                | State::Rejected
                | State::NotSent
                | State::Unknown
                | State::ClosedHappened
                | State::ClosedNotHappened
                | State::Cancelled
                | State::Expired,
            ) => Some(End::Pending),
        }
    }
}

/// How a policy's breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Breaker {
    /// Attempts go on.
    Closed,
    /// None goes on.
    Open {
        /// Until then.
        until: Timestamp,
    },
    /// One attempt may try, while none is pending.
    HalfOpen {
        /// One is pending.
        pending: bool,
    },
}

/// Bad attempts since the newest good one. Pending and unjudged ones say nothing.
pub fn bad_in_a_row(tried: &[Tried]) -> usize {
    let ends = tried.iter().filter_map(Tried::end);
    ends.take_while(|end| *end != End::Good).filter(|end| *end == End::Bad).count()
}

/// How the breaker stands by the attempts of its policy, newest first.
pub fn breaker(rules: &BreakerRules, tried: &[Tried], now: Timestamp) -> Breaker {
    let failures = usize::try_from(rules.failures).unwrap_or(usize::MAX);
    // One that tried a half-open breaker and is not judged leaves it as open as a bad one does, without counting.
    let last = tried.iter().find(|one| matches!(one.end(), Some(End::Bad | End::Unjudged)));
    let Some(last) = last.filter(|_| bad_in_a_row(tried) >= failures) else {
        return Breaker::Closed;
    };
    let until = later(last.intent_at, rules.open_for);
    if now < until {
        return Breaker::Open { until };
    }
    Breaker::HalfOpen { pending: tried.iter().any(|one| one.end() == Some(End::Pending)) }
}

/// Asks the breaker of a policy.
pub fn ask(trace: &mut Trace, rules: &BreakerRules, tried: &[Tried], now: Timestamp) {
    let limit = format!("below {} in a row; a person may reset it", rules.failures);
    let bad = bad_in_a_row(tried);
    let (verdict, seen, until) = match breaker(rules, tried, now) {
        Breaker::Closed => (Verdict::Pass, format!("{bad} bad attempts in a row"), None),
        Breaker::Open { until } => (Verdict::Stop, format!("{bad} bad attempts in a row"), Some(until)),
        Breaker::HalfOpen { pending: true } => {
            (Verdict::Stop, "half-open, and the attempt that tries it is not judged yet".to_owned(), None)
        }
        Breaker::HalfOpen { pending: false } => {
            (Verdict::Pass, "half-open: one attempt may try".to_owned(), None)
        }
    };
    trace.note(Reason::BreakerOpen, verdict, seen, limit, until);
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
