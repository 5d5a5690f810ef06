//! Guards: one question each that can say no, with the reason and the end of the no.
//!
//! Never: a bare `bool`. Every answer says what was seen and what the limit was, so that the trace explains itself.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        /// Why nothing was done. The list is closed; each has an entry in `docs/RUNBOOK.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Reason { $($(#[$doc])* $variant,)+ }

        impl Reason {
            /// All reasons, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word used in JSON, store and metrics.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Reads the word.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

reasons! {
    /// The sender said that it is over.
    Resolved = "resolved",
    /// No enabled policy matched.
    NoPolicy = "no_policy",
    /// More than one enabled policy matched.
    AmbiguousPolicy = "ambiguous_policy",
    /// No label names a target.
    TargetMissing = "target_missing",
    /// The cloud does not know the target.
    TargetUnknown = "target_unknown",
    /// The alert's labels, or the cloud's answer, name more than one server.
    TargetAmbiguous = "target_ambiguous",
    /// What named the server names another one now, none, or several.
    TargetChanged = "target_changed",
    /// The alert names another region than the policy's, or one that the account does not have.
    RegionUnknown = "region_unknown",
    /// Hypervisor, system, status, operation or identity forbid it.
    NotEligible = "not_eligible",
    /// The server was started after the alert began, or again after the decision.
    Rebooted = "rebooted",
    /// The policy's deny list names the server.
    DeniedServer = "denied_server",
    /// The notice is too old.
    Stale = "stale",
    /// The alert claims to begin in the future.
    FromFuture = "from_future",
    /// A remediation of this server is already under way.
    Duplicate = "duplicate",
    /// A silence mutes it.
    Silenced = "silenced",
    /// A maintenance window covers it.
    Maintenance = "maintenance",
    /// A hold stops it.
    Hold = "hold",
    /// Too many servers at once.
    Storm = "storm",
    /// We cannot see: cloud reads fail or the clock is unsound.
    Blind = "blind",
    /// The circuit breaker is open.
    BreakerOpen = "breaker_open",
    /// The server was interrupted too recently.
    Cooldown = "cooldown",
    /// A memory dump may be being written.
    DumpWindow = "dump_window",
    /// An earlier attempt on this server ended unknown and nobody has settled it.
    UnknownOpen = "unknown_open",
    /// The server's budget is spent.
    BudgetServer = "budget_server",
    /// The policy's budget is spent.
    BudgetPolicy = "budget_policy",
    /// The region's budget is spent.
    BudgetRegion = "budget_region",
    /// The global budget is spent.
    BudgetGlobal = "budget_global",
    /// Too soon after the last attempt, or another is in flight.
    Spacing = "spacing",
    /// A second signal did not agree.
    NotCorroborated = "not_corroborated",
    /// The policy only watches.
    Shadow = "shadow",
    /// The source may only propose.
    ProposeOnly = "propose_only",
    /// It waited too long.
    Expired = "expired",
    /// A person, or a changed policy, took it back.
    Cancelled = "cancelled",
    /// Something newer took its place.
    Superseded = "superseded",
    /// The alert could not be used.
    QuarantinedAlert = "quarantined_alert",
}

/// What a guard answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// No objection.
    Pass,
    /// Stops the alert at the decision, cancels the remediation at the intent.
    Stop,
    /// Does not suppress at the decision; at the intent the remediation stays queued and asks again.
    Wait,
    /// An age is over: the remediation expires.
    Expire,
    /// A person must approve first.
    AskPerson,
    /// The guard is not switched on.
    NotConfigured,
}

impl Verdict {
    /// The word used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Stop => "stop",
            Self::Wait => "wait",
            Self::Expire => "expire",
            Self::AskPerson => "ask_person",
            Self::NotConfigured => "not_configured",
        }
    }
}

/// One line of the guard trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Which guard, by the reason it would give.
    pub guard: Reason,
    /// Its answer.
    pub verdict: Verdict,
    /// What it saw.
    pub seen: String,
    /// What it compared with.
    pub limit: String,
    /// When time lifts the no.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<Timestamp>,
}

/// All guards that were asked, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct Trace(pub Vec<Check>);

impl Trace {
    /// Adds a guard's answer.
    pub fn note(
        &mut self,
        guard: Reason,
        verdict: Verdict,
        seen: impl Into<String>,
        limit: impl Into<String>,
        until: Option<Timestamp>,
    ) {
        self.0.push(Check { guard, verdict, seen: seen.into(), limit: limit.into(), until });
    }

    /// The first guard that gave this answer.
    pub fn first(&self, verdict: Verdict) -> Option<&Check> {
        self.0.iter().find(|check| check.verdict == verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_reads_back_as_itself() {
        for &reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{}\"", reason.as_str()));
        }
    }
}
