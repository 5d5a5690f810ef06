//! The life of one remediation: its states and the only moves between them.
//!
//! Never: a way from `Unknown` back to `Queued`. What may have been sent is never sent again.

use serde::{Deserialize, Serialize};

/// Where a remediation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Held down, so that a resolve can come.
    Settling,
    /// A person is asked.
    AwaitingApproval,
    /// May be claimed by the dispatcher.
    Queued,
    /// The intent is durable; the one request may be on its way.
    Intent,
    /// The cloud took it.
    Accepted,
    /// The reboot was seen.
    Confirmed,
    /// No reboot seen in time.
    Unconfirmed,
    /// The cloud refused it, with no effect.
    Rejected,
    /// Proof that no byte left, three times.
    NotSent,
    /// It may have been sent. Never again by machine.
    Unknown,
    /// A person says that it happened.
    ClosedHappened,
    /// Two people say that it did not happen.
    ClosedNotHappened,
    /// Taken back before the intent.
    Cancelled,
    /// Grew too old before the intent.
    Expired,
}

/// What happened to a remediation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A person must be asked: after the hold-down, or because the queue may no longer act alone.
    NeedsApproval,
    /// The hold-down is over and the policy may act.
    Settled,
    /// A person approved.
    Approved,
    /// The intent was committed.
    Claimed,
    /// The cloud accepted.
    Accepted,
    /// The cloud refused on the documented list.
    Rejected,
    /// Proof that no byte left; it may be tried again.
    NotSentTryAgain,
    /// Proof that no byte left; no try is left.
    NotSentForGood,
    /// Anything else.
    Lost,
    /// Positive evidence of a reboot.
    RebootSeen,
    /// The cloud's own record shows our call, whose answer was lost.
    CallSeen,
    /// The verification window is over.
    NoRebootInTime,
    /// A person settled: it happened.
    SettledHappened,
    /// Two people settled: it did not happen.
    SettledNotHappened,
    /// Taken back.
    Cancelled,
    /// Too old.
    Expired,
}

impl Event {
    /// All events.
    pub const ALL: [Self; 16] = [
        Self::NeedsApproval,
        Self::Settled,
        Self::Approved,
        Self::Claimed,
        Self::Accepted,
        Self::Rejected,
        Self::NotSentTryAgain,
        Self::NotSentForGood,
        Self::Lost,
        Self::RebootSeen,
        Self::CallSeen,
        Self::NoRebootInTime,
        Self::SettledHappened,
        Self::SettledNotHappened,
        Self::Cancelled,
        Self::Expired,
    ];
}

/// A move that is not on the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a remediation that is {from:?} cannot take {event:?}")]
pub struct IllegalTransition {
    /// The state it was in.
    pub from: State,
    /// What was tried.
    pub event: Event,
}

/// All legal moves. What is not listed is illegal.
pub fn transition(from: State, event: Event) -> Result<State, IllegalTransition> {
    use Event as E;
    use State as S;
    match (from, event) {
        (S::Settling | S::Queued, E::NeedsApproval) => Ok(S::AwaitingApproval),
        (S::Settling, E::Settled) | (S::AwaitingApproval, E::Approved) | (S::Intent, E::NotSentTryAgain) => {
            Ok(S::Queued)
        }
        (S::Settling | S::AwaitingApproval | S::Queued, E::Cancelled) => Ok(S::Cancelled),
        (S::Settling | S::AwaitingApproval | S::Queued, E::Expired) => Ok(S::Expired),
        (S::Queued, E::Claimed) => Ok(S::Intent),
        (S::Intent | S::Unknown, E::Accepted) => Ok(S::Accepted),
        (S::Intent | S::Unknown, E::Rejected) => Ok(S::Rejected),
        (S::Intent, E::NotSentForGood) => Ok(S::NotSent),
        (S::Intent, E::Lost) => Ok(S::Unknown),
        (S::Accepted | S::Unconfirmed | S::Unknown, E::RebootSeen) | (S::Unknown, E::CallSeen) => {
            Ok(S::Confirmed)
        }
        (S::Accepted, E::NoRebootInTime) => Ok(S::Unconfirmed),
        (S::Unconfirmed | S::Unknown, E::SettledHappened) => Ok(S::ClosedHappened),
        (S::Unconfirmed | S::Unknown, E::SettledNotHappened) => Ok(S::ClosedNotHappened),
        (from, event) => Err(IllegalTransition { from, event }),
    }
}

impl State {
    /// All states.
    pub const ALL: [Self; 14] = [
        Self::Settling,
        Self::AwaitingApproval,
        Self::Queued,
        Self::Intent,
        Self::Accepted,
        Self::Confirmed,
        Self::Unconfirmed,
        Self::Rejected,
        Self::NotSent,
        Self::Unknown,
        Self::ClosedHappened,
        Self::ClosedNotHappened,
        Self::Cancelled,
        Self::Expired,
    ];

    /// Nothing more will happen.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Confirmed
            | Self::Rejected
            | Self::NotSent
            | Self::ClosedHappened
            | Self::ClosedNotHappened
            | Self::Cancelled
            | Self::Expired => true,
            Self::Settling
            | Self::AwaitingApproval
            | Self::Queued
            | Self::Intent
            | Self::Accepted
            | Self::Unconfirmed
            | Self::Unknown => false,
        }
    }

    /// No request can have left yet, and it may still be taken back.
    pub fn is_before_intent(self) -> bool {
        matches!(self, Self::Settling | Self::AwaitingApproval | Self::Queued)
    }

    /// What it wants of a person, as a word of conditions and pages: a decision, a settlement, a look.
    pub fn wants(self) -> Option<&'static str> {
        match self {
            Self::AwaitingApproval => Some("approval"),
            Self::Unknown => Some("unknown"),
            Self::Unconfirmed => Some("unconfirmed"),
            Self::Settling
            | Self::Queued
            | Self::Intent
            | Self::Accepted
            | Self::Confirmed
            | Self::Rejected
            | Self::NotSent
            | Self::ClosedHappened
            | Self::ClosedNotHappened
            | Self::Cancelled
            | Self::Expired => None,
        }
    }

    /// The word used in JSON, store and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Settling => "settling",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Queued => "queued",
            Self::Intent => "intent",
            Self::Accepted => "accepted",
            Self::Confirmed => "confirmed",
            Self::Unconfirmed => "unconfirmed",
            Self::Rejected => "rejected",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
            Self::ClosedHappened => "closed_happened",
            Self::ClosedNotHappened => "closed_not_happened",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// 2xx, parsed, return code 0.
    Accepted,
    /// A definite refusal on the documented list.
    Rejected,
    /// Proof that no byte of the request left.
    NotSent,
    /// Anything else.
    Unknown,
}

impl Outcome {
    /// The word used in JSON, store and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Accepted, Self::Rejected, Self::NotSent, Self::Unknown]
            .into_iter()
            .find(|o| o.as_str() == text)
    }
}

/// Tries of one remediation in all; each but the last is proven not sent.
pub const TRIES_MAX: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_stays_terminal() {
        for state in State::ALL.into_iter().filter(|s| s.is_terminal()) {
            for event in Event::ALL {
                assert!(transition(state, event).is_err(), "{state:?} {event:?}");
            }
        }
    }

    /// Once a request may have left, no sequence of events leads to a second claim.
    #[test]
    fn nothing_that_may_have_been_sent_is_ever_queued_again() {
        let mut reached = vec![State::Unknown, State::Accepted, State::Unconfirmed];
        let mut seen = std::collections::BTreeSet::new();
        while let Some(state) = reached.pop() {
            if !seen.insert(state) {
                continue;
            }
            reached.extend(Event::ALL.into_iter().filter_map(|event| transition(state, event).ok()));
        }
        assert!(!seen.contains(&State::Queued) && !seen.contains(&State::Intent), "{seen:?}");
    }

    #[test]
    fn only_a_queued_remediation_can_be_claimed() {
        for state in State::ALL {
            assert_eq!(transition(state, Event::Claimed).is_ok(), state == State::Queued, "{state:?}");
        }
    }

    #[test]
    fn cancelling_ends_at_the_intent() {
        for state in State::ALL {
            assert_eq!(transition(state, Event::Cancelled).is_ok(), state.is_before_intent(), "{state:?}");
            assert_eq!(transition(state, Event::Expired).is_ok(), state.is_before_intent(), "{state:?}");
        }
    }

    #[test]
    fn these_are_the_moves_and_there_are_no_others() {
        use Event as E;
        use State as S;
        let moves = [
            (S::Settling, E::NeedsApproval, S::AwaitingApproval),
            (S::Queued, E::NeedsApproval, S::AwaitingApproval),
            (S::Settling, E::Settled, S::Queued),
            (S::Settling, E::Cancelled, S::Cancelled),
            (S::Settling, E::Expired, S::Expired),
            (S::AwaitingApproval, E::Approved, S::Queued),
            (S::AwaitingApproval, E::Cancelled, S::Cancelled),
            (S::AwaitingApproval, E::Expired, S::Expired),
            (S::Queued, E::Claimed, S::Intent),
            (S::Queued, E::Cancelled, S::Cancelled),
            (S::Queued, E::Expired, S::Expired),
            (S::Intent, E::Accepted, S::Accepted),
            (S::Intent, E::Rejected, S::Rejected),
            (S::Intent, E::NotSentTryAgain, S::Queued),
            (S::Intent, E::NotSentForGood, S::NotSent),
            (S::Intent, E::Lost, S::Unknown),
            (S::Accepted, E::RebootSeen, S::Confirmed),
            (S::Accepted, E::NoRebootInTime, S::Unconfirmed),
            (S::Unconfirmed, E::RebootSeen, S::Confirmed),
            (S::Unconfirmed, E::SettledHappened, S::ClosedHappened),
            (S::Unconfirmed, E::SettledNotHappened, S::ClosedNotHappened),
            (S::Unknown, E::Accepted, S::Accepted),
            (S::Unknown, E::Rejected, S::Rejected),
            (S::Unknown, E::RebootSeen, S::Confirmed),
            (S::Unknown, E::CallSeen, S::Confirmed),
            (S::Unknown, E::SettledHappened, S::ClosedHappened),
            (S::Unknown, E::SettledNotHappened, S::ClosedNotHappened),
        ];
        for from in State::ALL {
            for event in Event::ALL {
                let to = moves.iter().find(|(a, b, _)| (*a, *b) == (from, event)).map(|(.., to)| *to);
                assert_eq!(transition(from, event).ok(), to, "{from:?} {event:?}");
            }
        }
    }

    #[test]
    fn words_read_back() {
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()), Some(state));
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{}\"", state.as_str()));
        }
        for outcome in [Outcome::Accepted, Outcome::Rejected, Outcome::NotSent, Outcome::Unknown] {
            assert_eq!(Outcome::parse(outcome.as_str()), Some(outcome));
            assert_eq!(serde_json::to_string(&outcome).unwrap(), format!("\"{}\"", outcome.as_str()));
        }
        assert_eq!((State::parse("done"), Outcome::parse("lost")), (None, None));
    }
}
