//! What a backtest found: decisions by policy and server beside those of the record, lives of remediations, differences.
//!
//! Never: leaves out that something was left out; what is cut is counted.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::decision::Decision;
use crate::domain::guard::Reason;
use crate::domain::policy::Mode;
use crate::domain::remediation::State;
use crate::domain::server::{RegionCode, ServerNo};

/// Differences and lives that are told one by one; all are counted.
pub const TOLD_MAX: usize = 1000;

/// What a backtest cannot know: a word for each thing, by which pages find it in their language, and the sentence.
pub const ASSUMPTIONS: [(&str, &str); 8] = [
    (
        "state",
        "state and start of a server are the record's where that refused it for them; else it runs, is idle and was not rebooted",
    ),
    (
        "inventory",
        "servers are as the inventory describes them now; one that is gone since is unknown, unless it had a remediation",
    ),
    (
        "signals",
        "second signals and heartbeats are taken as agreeing, unless the record shows a remediation that they stopped",
    ),
    (
        "people",
        "holds, silences, quarantines, collected dumps, attestations, approvals and denials are as people gave them then",
    ),
    (
        "ends",
        "a call ends as the recorded one did; one that was never made is taken as accepted, and as confirmed 5 min later",
    ),
    (
        "storms",
        "a storm ends when the record's next one in that region was cleared, else a day after it opened",
    ),
    (
        "demotions",
        "of demotions only those that nobody has taken back are known; a wished mode is not demoted",
    ),
    (
        "orders",
        "replays and orders by hand are left out; ends that were noticed before the range are not known",
    ),
];

/// Decisions by word and reason.
type Decisions = BTreeMap<(Decision, Option<Reason>), u64>;

/// One line of a count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = BacktestCount)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// The decision.
    pub decision: Decision,
    /// Its reason.
    pub reason: Option<Reason>,
    /// Alerts that it would be given to.
    pub simulated: u64,
    /// Alerts that it was given to.
    pub recorded: u64,
}

/// Simulated and recorded decisions about the same alerts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    simulated: Decisions,
    recorded: Decisions,
}

impl Tally {
    pub(super) fn simulate(&mut self, decision: Decision, reason: Option<Reason>) {
        *self.simulated.entry((decision, reason)).or_default() += 1;
    }

    pub(super) fn record(&mut self, decision: Decision, reason: Option<Reason>) {
        *self.recorded.entry((decision, reason)).or_default() += 1;
    }

    fn add(&mut self, other: &Self) {
        for (of, from) in [(&mut self.simulated, &other.simulated), (&mut self.recorded, &other.recorded)] {
            for (key, count) in from {
                *of.entry(*key).or_default() += count;
            }
        }
    }

    /// Every decision that was given or would be.
    pub fn counts(&self) -> Vec<Count> {
        let keys: std::collections::BTreeSet<_> = self.simulated.keys().chain(self.recorded.keys()).collect();
        let count = |key: &(Decision, Option<Reason>)| Count {
            decision: key.0,
            reason: key.1,
            simulated: self.simulated.get(key).copied().unwrap_or(0),
            recorded: self.recorded.get(key).copied().unwrap_or(0),
        };
        keys.into_iter().map(count).collect()
    }

    fn would(&self, decision: Decision) -> u64 {
        self.simulated.iter().filter(|((one, _), _)| *one == decision).map(|(_, count)| count).sum()
    }
}

impl Serialize for Tally {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.counts().serialize(serializer)
    }
}

/// One server under one policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = BacktestServer)]
#[serde(rename_all = "camelCase")]
pub struct OfServer {
    /// The server; `None` where none could be named.
    pub server_instance_no: Option<ServerNo>,
    /// Its region.
    pub region_code: Option<RegionCode>,
    /// Its name.
    pub server_name: Option<String>,
    /// Decisions.
    #[schema(value_type = Vec<Count>)]
    pub decisions: Tally,
}

/// One policy, or the alerts that none claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = BacktestPolicy)]
#[serde(rename_all = "camelCase")]
pub struct OfPolicy {
    /// Its name; `None` for alerts that no single policy claims.
    pub policy: Option<String>,
    /// The mode it was replayed in.
    pub mode: Option<Mode>,
    /// Alerts that would have begun a remediation that acts by itself.
    pub would_remediate: u64,
    /// Alerts that would have begun one that asks a person.
    pub would_ask: u64,
    /// Interrupts that would have been sent.
    pub would_send: u64,
    /// Interrupts that were sent.
    pub was_sent: u64,
    /// Decisions.
    #[schema(value_type = Vec<Count>)]
    pub decisions: Tally,
    /// Decisions by server.
    pub servers: Vec<OfServer>,
}

/// How a simulated remediation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = BacktestEnd)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The interrupt would have been sent.
    Sent,
    /// It would have been taken back.
    Cancelled,
    /// It would have grown too old.
    Expired,
    /// It would wait for a person, and the record has no answer of one.
    Unanswered,
    /// It would still wait at the end of the range.
    Waiting,
}

impl End {
    /// The word used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Unanswered => "unanswered",
            Self::Waiting => "waiting",
        }
    }
}

/// One simulated remediation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = BacktestRemediation)]
#[serde(rename_all = "camelCase")]
pub struct Act {
    /// The server.
    pub server_instance_no: ServerNo,
    /// Its region.
    pub region_code: RegionCode,
    /// Its name.
    pub server_name: String,
    /// The policy.
    pub policy: String,
    /// When it would have been decided.
    pub decided_at: Timestamp,
    /// How it would have ended, or been sent.
    pub end: End,
    /// When.
    pub at: Timestamp,
    /// Why it ended unsent.
    pub reason: Option<Reason>,
    /// The recorded remediation of the same alert.
    pub recorded_id: Option<String>,
    /// Where that stands.
    pub recorded_state: Option<State>,
    /// It ended as the recorded one did: both sent, or both not.
    pub same: bool,
}

/// One alert that would be decided otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = BacktestDifference)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Its delivery.
    pub delivery_id: String,
    /// When that came.
    pub received_at: Timestamp,
    /// The server, where it is known.
    pub server_instance_no: Option<String>,
    /// The policy that would be in charge.
    pub policy: Option<String>,
    /// What was decided.
    pub recorded: Decision,
    /// Why.
    pub recorded_reason: Option<Reason>,
    /// What would be.
    pub simulated: Decision,
    /// Why.
    pub simulated_reason: Option<Reason>,
    /// One sentence on that.
    pub detail: String,
}

/// Alerts that were not replayed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = BacktestLeftOut)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// A person replayed them.
    pub replayed: u64,
    /// Nobody could read them.
    pub unreadable: u64,
    /// The configuration has no such source.
    pub source_gone: u64,
}

/// What a backtest found.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Backtest)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Alerts from here.
    pub since: Timestamp,
    /// The last alert that was looked at.
    pub until: Timestamp,
    /// Alerts that were looked at.
    pub alerts: u64,
    /// Alerts that are told of in the range.
    pub alerts_in_range: u64,
    /// The whole range was replayed.
    pub complete: bool,
    /// Why not.
    pub cut: Option<&'static str>,
    /// Alerts that were not replayed.
    pub left_out: LeftOut,
    /// By policy.
    pub policies: Vec<OfPolicy>,
    /// Simulated remediations.
    pub remediations: Vec<Act>,
    /// All of them, also those that are not told one by one.
    pub remediations_total: u64,
    /// Alerts that would be decided otherwise.
    pub differences: Vec<Difference>,
    /// All of them.
    pub differences_total: u64,
    /// What it cannot know.
    pub assumptions: Vec<&'static str>,
}

/// Counts while the replay goes on.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// By place of the policy and of the server.
    pub(super) tallies: BTreeMap<(Option<usize>, Option<usize>), Tally>,
    pub(super) acts: Vec<Act>,
    pub(super) acts_total: u64,
    /// Sends by policy.
    pub(super) sends: BTreeMap<String, u64>,
    pub(super) differences: Vec<Difference>,
    pub(super) differences_total: u64,
    pub(super) left_out: LeftOut,
    pub(super) alerts: u64,
}

impl Counts {
    pub(super) fn act(&mut self, act: Act) {
        self.acts_total += 1;
        if act.end == End::Sent {
            *self.sends.entry(act.policy.clone()).or_default() += 1;
        }
        if self.acts.len() < TOLD_MAX {
            self.acts.push(act);
        }
    }

    pub(super) fn differs(&mut self, difference: impl FnOnce() -> Difference) {
        self.differences_total += 1;
        if self.differences.len() < TOLD_MAX {
            self.differences.push(difference());
        }
    }

    /// One policy with its servers, those that would be touched most first.
    pub(super) fn of_policy(
        &self,
        place: Option<usize>,
        server: impl Fn(usize) -> Option<OfServer>,
    ) -> OfPolicy {
        let mut all = Tally::default();
        let mut servers = Vec::new();
        for (_, tally) in self.tallies.iter().filter(|((policy, _), _)| *policy == place) {
            all.add(tally);
        }
        for ((_, at), tally) in self.tallies.iter().filter(|((policy, _), _)| *policy == place) {
            let nobody = || OfServer {
                server_instance_no: None,
                region_code: None,
                server_name: None,
                decisions: Tally::default(),
            };
            let mut one = at.and_then(&server).unwrap_or_else(nobody);
            one.decisions = tally.clone();
            servers.push(one);
        }
        let touched = |one: &OfServer| {
            one.decisions.would(Decision::Remediate) + one.decisions.would(Decision::AwaitingApproval)
        };
        servers.sort_by_key(|one| std::cmp::Reverse(touched(one)));
        OfPolicy {
            policy: None,
            mode: None,
            would_remediate: all.would(Decision::Remediate),
            would_ask: all.would(Decision::AwaitingApproval),
            would_send: 0,
            was_sent: 0,
            decisions: all,
            servers,
        }
    }
}
