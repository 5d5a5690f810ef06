//! Policies and limits: what the operator allows, as values.
//!
//! Never: has a default that acts. A missing limit is never "no limit".

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::alert::Alert;
use super::breaker::BreakerRules;
use super::corroboration::Wanted;
use super::hold::Maintenance;
use super::matcher::Matchers;
use super::server::{Eligibility, RegionCode};
use super::storm::StormRules;

/// How far a policy may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Not enabled.
    Off,
    /// Decides and records everything, sends nothing.
    Shadow,
    /// Asks a person first.
    Approve,
    /// Acts by itself.
    Auto,
}

impl Mode {
    /// The word used in configuration, JSON and store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Shadow => "shadow",
            Self::Approve => "approve",
            Self::Auto => "auto",
        }
    }
}

/// How far a source is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Its alerts may only propose; a person approves.
    Propose,
    /// Its alerts may act where the policy allows it.
    Act,
}

/// How a label names the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// The label holds a `serverInstanceNo`.
    ServerNo,
    /// The label holds an address, with or without a port.
    Ip,
    /// The label holds the exact `serverName`.
    Name,
}

/// One way to find the target, written `label:NAME`, `label:NAME as ip` or `label:NAME as name`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TargetRule {
    /// The label to read.
    pub label: String,
    /// What it holds.
    pub kind: TargetKind,
}

impl TargetRule {
    /// Reads the configuration's form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fail = || format!("expected label:NAME, label:NAME as ip or label:NAME as name, got {text:?}");
        let rest = text.trim().strip_prefix("label:").ok_or_else(fail)?;
        let mut words = rest.split_whitespace();
        let label = words.next().ok_or_else(fail)?.to_owned();
        let kind = match (words.next(), words.next(), words.next()) {
            (None, None, None) => TargetKind::ServerNo,
            (Some("as"), Some("ip"), None) => TargetKind::Ip,
            (Some("as"), Some("name"), None) => TargetKind::Name,
            _ => return Err(fail()),
        };
        Ok(Self { label, kind })
    }
}

/// At most `count` attempts in every window of length `window`. Zero means never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Attempts allowed.
    pub count: u32,
    /// Length of the sliding window.
    pub window: SignedDuration,
}

impl Budget {
    /// Reads `2/1h`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fail = || format!("expected COUNT/WINDOW such as 2/1h, got {text:?}");
        let (count, window) = text.split_once('/').ok_or_else(fail)?;
        let count = count.trim().parse().map_err(|_not_a_number| fail())?;
        let window: SignedDuration = window.trim().parse().map_err(|_not_a_duration| fail())?;
        if window <= SignedDuration::ZERO {
            return Err(fail());
        }
        Ok(Self { count, window })
    }
}

impl std::fmt::Display for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{:#}", self.count, self.window)
    }
}

impl Serialize for Budget {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One policy of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Unique name.
    pub name: String,
    /// How far it may go.
    pub mode: Mode,
    /// Labels an alert must have.
    #[serde(rename = "match")]
    pub matchers: Matchers,
    /// Sources it listens to; empty means all configured ones.
    pub sources: Vec<String>,
    /// Region of its servers, always explicit.
    pub region: RegionCode,
    /// Ways to find the target, in order; the first label that is present decides.
    pub targets: Vec<TargetRule>,
    /// Servers that are never touched, by number or exact name.
    pub deny_servers: Vec<String>,
    /// Hold-down between the decision and the queue.
    #[schema(value_type = String, pattern = "^-?PT[0-9HMS.]+$")]
    pub settle: SignedDuration,
    /// Gap between attempts on one server.
    #[schema(value_type = String, pattern = "^-?PT[0-9HMS.]+$")]
    pub cooldown: SignedDuration,
    /// Attempts allowed for this policy.
    #[schema(value_type = Vec<String>, examples(json!(["2/1h"])))]
    pub budget: Vec<Budget>,
    /// Oldest age of the sender's own time at receipt.
    #[schema(value_type = String, pattern = "^-?PT[0-9HMS.]+$")]
    pub delivery_age_max: SignedDuration,
    /// Oldest age of the last firing notice at the intent.
    #[schema(value_type = String, pattern = "^-?PT[0-9HMS.]+$")]
    pub notice_age_max: SignedDuration,
    /// Age of the episode above which a person is asked, whatever the mode.
    #[schema(value_type = String, pattern = "^-?PT[0-9HMS.]+$")]
    pub episode_age_max: SignedDuration,
    /// How long an approval is waited for.
    #[schema(value_type = String, pattern = "^-?PT[0-9HMS.]+$")]
    pub approval_wait: SignedDuration,
    /// Oldest attestation of dump settings that an interrupt may rest on; `None`: none is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^-?PT[0-9HMS.]+$")]
    pub require_attestation: Option<SignedDuration>,
    /// Second signals that must agree before the intent. Left out of the hash where there are none, so that policies
    /// without them keep theirs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub corroborate: Vec<Wanted>,
}

impl Policy {
    /// SHA-256 (hex) over everything the policy says. A remediation remembers it; a changed policy cancels.
    pub fn hash(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        hex::encode(Sha256::digest(text))
    }

    /// Whether this policy is switched on and claims the alert.
    pub fn claims(&self, source: &str, alert: &Alert) -> bool {
        self.mode != Mode::Off
            && (self.sources.is_empty() || self.sources.iter().any(|name| name == source))
            && self.matchers.matches(&alert.labels)
    }
}

/// Limits beyond a single policy.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Attempts per server; counts every attempt except those recorded not sent or rejected.
    #[schema(value_type = Vec<String>, examples(json!(["2/1h"])))]
    pub server: Vec<Budget>,
    /// Attempts per region; counts every attempt.
    #[schema(value_type = Vec<String>, examples(json!(["2/1h"])))]
    pub region: Vec<Budget>,
    /// Attempts of the whole service; counts every attempt.
    #[schema(value_type = Vec<String>, examples(json!(["2/1h"])))]
    pub global: Vec<Budget>,
    /// Intents that may be in flight at once.
    pub in_flight: u32,
    /// Least gap between two attempts of different remediations.
    #[schema(value_type = String, pattern = "^-?PT[0-9HMS.]+$")]
    pub spacing: SignedDuration,
}

/// Everything of the configuration that decisions are made from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rules {
    /// Policies by their order in the configuration.
    pub policies: Vec<Policy>,
    /// Limits beyond a single policy.
    pub limits: Limits,
    /// Which servers may be interrupted at all.
    pub eligibility: Eligibility,
    /// Planned mutes.
    pub maintenance: Vec<Maintenance>,
    /// When many servers at once stop everything in their region.
    pub storm: StormRules,
    /// When a run of bad outcomes stops a policy.
    pub breaker: BreakerRules,
    /// How far the cloud's clock may be from ours while anything is sent.
    pub clock_skew_max: SignedDuration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_rules_read_the_documented_forms() {
        let rule = |label: &str, kind| TargetRule { label: label.into(), kind };
        assert_eq!(TargetRule::parse("label:no").unwrap(), rule("no", TargetKind::ServerNo));
        assert_eq!(TargetRule::parse("label:instance as ip").unwrap(), rule("instance", TargetKind::Ip));
        assert_eq!(TargetRule::parse("label:host as name").unwrap(), rule("host", TargetKind::Name));
        for bad in ["", "no", "label:", "label:x as", "label:x as number", "label:x as ip twice"] {
            assert!(TargetRule::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn modes_have_the_words_of_the_configuration() {
        for (mode, word) in
            [(Mode::Off, "off"), (Mode::Shadow, "shadow"), (Mode::Approve, "approve"), (Mode::Auto, "auto")]
        {
            assert_eq!(mode.as_str(), word);
            assert_eq!(serde_json::to_string(&mode).unwrap(), format!("\"{word}\""));
        }
    }

    #[test]
    fn budgets_read_count_and_window() {
        let budget = Budget::parse("2/1h").unwrap();
        assert_eq!((budget.count, budget.window), (2, SignedDuration::from_hours(1)));
        assert_eq!(Budget::parse("0/24h").unwrap().count, 0);
        for bad in ["", "2", "x/1h", "2/", "-1/1h", "2/0s", "2/-1h"] {
            assert!(Budget::parse(bad).is_err(), "{bad}");
        }
    }
}
