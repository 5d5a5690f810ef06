//! What histories reached, so that a green run is known not to be empty.
//!
//! Never: judges.

use std::collections::BTreeMap;

use unhang::domain::decision::Decision;
use unhang::domain::guard::Reason;
use unhang::domain::remediation::State;

/// Counts of what was reached, by kind, word and reason.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally(BTreeMap<(&'static str, &'static str, &'static str), u64>);

impl Tally {
    fn add(&mut self, kind: &'static str, word: &'static str, reason: &'static str) {
        *self.0.entry((kind, word, reason)).or_default() += 1;
    }

    pub(crate) fn decided(&mut self, decision: Decision, reason: Option<Reason>) {
        self.add("decided", decision.as_str(), reason.map_or("-", Reason::as_str));
    }

    pub(crate) fn cancelled(&mut self, guard: Reason) {
        self.add("cancelled", guard.as_str(), "-");
    }

    pub(crate) fn asked(&mut self, guard: Reason) {
        self.add("asked", guard.as_str(), "-");
    }

    pub(crate) fn waited(&mut self, guard: Reason) {
        self.add("waited", guard.as_str(), "-");
    }

    pub(crate) fn guard(&mut self, what: &'static str) {
        self.add("guard", what, "-");
    }

    pub(crate) fn state(&mut self, state: State) {
        self.add("state", state.as_str(), "-");
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(*what).or_default() += count;
        }
    }

    /// What of [`REACHED`] was not.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let has = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let reason = words.get(2).copied().unwrap_or("-");
            self.0.keys().any(|key| *key == (words[0], words[1], reason))
        };
        REACHED.into_iter().filter(|line| !has(line)).collect()
    }
}

/// What a run of some size must have reached, or it proves nothing.
const REACHED: [&str; 56] = [
    "state settling",
    "state awaiting_approval",
    "state queued",
    "state intent",
    "state accepted",
    "state confirmed",
    "state unconfirmed",
    "state rejected",
    "state not_sent",
    "state unknown",
    "state closed_happened",
    "state closed_not_happened",
    "state cancelled",
    "state expired",
    "decided remediate",
    "decided awaiting_approval",
    "decided awaiting_approval propose_only",
    "decided awaiting_approval stale",
    "decided pending",
    "decided duplicate duplicate",
    "decided awaiting_approval rebooted",
    "cancelled rebooted",
    "decided suppressed unknown_open",
    "decided suppressed cooldown",
    "decided suppressed dump_window",
    "decided suppressed resolved",
    "decided suppressed hold",
    "decided suppressed storm",
    "decided suppressed stale",
    "decided suppressed ambiguous_policy",
    "decided suppressed not_eligible",
    "decided ignored no_policy",
    "cancelled cancelled",
    "cancelled resolved",
    "cancelled hold",
    "cancelled not_eligible",
    "cancelled silenced",
    "cancelled maintenance",
    "cancelled expired",
    "asked shadow",
    "waited spacing",
    "waited blind",
    "waited budget_policy",
    "waited budget_region",
    "waited budget_global",
    "waited budget_server",
    "guard storm",
    "guard demoted",
    "guard restored",
    "guard quarantine",
    "guard gap",
    "guard collected",
    "cancelled storm",
    "cancelled breaker_open",
    "cancelled cooldown",
    "decided suppressed breaker_open",
];
