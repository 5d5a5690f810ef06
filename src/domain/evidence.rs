//! What proves that a server rebooted after an interrupt.
//!
//! Never: negative evidence. Not having seen a reboot proves nothing and re-arms nothing.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::limits::{dump_window, later};
use super::remediation::State;
use super::server::Server;

/// How far the cloud's clock may be behind ours when an `uptime` is compared with the intent of a call that the cloud
/// took.
pub const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(60);

/// What an attempt left to compare with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    /// When the intent was committed.
    pub intent_at: Timestamp,
    /// `uptime` that the pre-flight saw.
    pub uptime_at: Option<Timestamp>,
    /// Memory that the dump must hold.
    pub memory_bytes: u64,
}

/// `uptime` is told in whole seconds: one of the intent's own second may lie after it.
pub(super) const UPTIME_UNIT: SignedDuration = SignedDuration::from_millis(999);

/// Positive evidence of a reboot. It proves a reboot after the intent, not that our call caused it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// What kind of evidence.
    pub kind: &'static str,
    /// What it proves.
    pub proves: &'static str,
    /// `uptime` before.
    pub uptime_before: Option<Timestamp>,
    /// `uptime` after.
    pub uptime_after: Timestamp,
}

/// A reboot is proven when the server runs with no operation and its `uptime` has moved to after the intent. `state` is
/// where the remediation stands.
pub fn reboot(baseline: &Baseline, server: &Server, state: State) -> Option<Evidence> {
    let after = server.uptime_at?;
    let moved = baseline.uptime_at.is_some_and(|before| after > before);
    // The cloud said that it took the call: a date shortly before it tells more of two clocks than of another reboot.
    // Of a lost call nothing is known, and whoever restarted the server a moment before would pass for its effect.
    let taken = matches!(state, State::Accepted | State::Unconfirmed);
    let tolerance = if taken { CLOCK_TOLERANCE } else { UPTIME_UNIT };
    let dated = later(after, tolerance) >= baseline.intent_at;
    (moved && dated && server.is_running() && server.is_idle()).then_some(Evidence {
        kind: "uptime",
        proves: "a reboot after the intent",
        uptime_before: baseline.uptime_at,
        uptime_after: after,
    })
}

/// When waiting for the reboot of an accepted interrupt is over.
pub fn unconfirmed_at(baseline: &Baseline, window: SignedDuration) -> Timestamp {
    later(later(baseline.intent_at, window), dump_window(baseline.memory_bytes))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, server};
    use super::*;

    #[test]
    fn a_reboot_from_before_the_intent_never_proves_a_lost_call() {
        let proof = |state: State, after: i64| {
            let baseline = Baseline { intent_at: at(0), uptime_at: Some(at(-9000)), memory_bytes: 1 };
            let seen = Server { uptime_at: Some(at(after)), ..server() };
            reboot(&baseline, &seen, state).is_some()
        };
        for (state, after, proven) in [
            (State::Unknown, 0, true),
            (State::Unknown, -1, false),
            (State::Unknown, -60, false),
            (State::Accepted, -60, true),
            (State::Unconfirmed, -60, true),
            (State::Accepted, -61, false),
            (State::Accepted, -9000, false),
        ] {
            assert_eq!(proof(state, after), proven, "{state:?} {after}");
        }
        // Nobody rebooted it, though its clock is ahead of ours.
        let baseline = Baseline { intent_at: at(0), uptime_at: Some(at(5)), memory_bytes: 1 };
        let same = Server { uptime_at: Some(at(5)), ..server() };
        assert_eq!(reboot(&baseline, &same, State::Accepted), None);
    }
}
