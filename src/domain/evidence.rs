//! What proves that a server rebooted after an interrupt.
//!
//! Never: negative evidence. Not having seen a reboot proves nothing and re-arms nothing.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::limits::{dump_window, later};
use super::server::Server;

/// How far the cloud's clock may be off ours when an `uptime` is compared with an intent.
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

/// Positive evidence of a reboot. It proves a reboot after the intent, not that our call caused it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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

/// A reboot is proven when the server runs with no operation and its `uptime` has moved to after the intent.
pub fn reboot(baseline: &Baseline, server: &Server) -> Option<Evidence> {
    let after = server.uptime_at?;
    let moved = baseline.uptime_at.is_some_and(|before| after > before);
    let dated = later(after, CLOCK_TOLERANCE) >= baseline.intent_at;
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
