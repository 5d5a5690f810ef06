//! Facts that decisions are made from, as values. The store and the inventory fill them in.
//!
//! Never: a judgement. Cooldown, budgets and windows are computed from these in `limits`.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::alert::Alert;
use super::breaker::Tried;
use super::guest::GuestFacts;
use super::hold::{Hold, Silence};
use super::ladder::Demotion;
use super::policy::{Policy, TargetKind, Trust};
use super::remediation::{Outcome, State};
use super::server::{RegionCode, Server, ServerNo};
use super::storm::StormFacts;

/// How an alert names its server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "by", content = "value", rename_all = "snake_case")]
pub enum TargetName {
    /// By `serverInstanceNo`.
    No(ServerNo),
    /// By address.
    Ip(IpAddr),
    /// By exact `serverName`.
    Name(String),
}

impl std::fmt::Display for TargetName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::No(no) => write!(f, "server {no}"),
            Self::Ip(ip) => write!(f, "address {ip}"),
            Self::Name(name) => write!(f, "name {name}"),
        }
    }
}

/// What the policy's target rules read from an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// None of the labels is present.
    Missing {
        /// The labels that were looked for.
        labels: Vec<String>,
    },
    /// The label is there, but is not what it should be.
    Malformed {
        /// The label.
        label: String,
        /// What was expected.
        why: String,
    },
    /// A well-formed name.
    Target(TargetName),
}

/// Reads the target's name; the first label that is present and not empty decides.
pub fn target_name(policy: &Policy, alert: &Alert) -> Named {
    let present = |label: &str| alert.labels.get(label).map(|v| v.trim()).filter(|v| !v.is_empty());
    let Some((rule, value)) = policy.targets.iter().find_map(|rule| Some((rule, present(&rule.label)?)))
    else {
        return Named::Missing { labels: policy.targets.iter().map(|rule| rule.label.clone()).collect() };
    };
    let malformed =
        |why: &str| Named::Malformed { label: format!("label {}", rule.label), why: why.to_owned() };
    match rule.kind {
        TargetKind::ServerNo => match ServerNo::parse(value) {
            Ok(no) => Named::Target(TargetName::No(no)),
            Err(error) => malformed(&error.to_string()),
        },
        TargetKind::Ip => match address(value) {
            Some(ip) => Named::Target(TargetName::Ip(ip)),
            None => malformed("expected an IP address, with or without a port"),
        },
        TargetKind::Name if value.len() <= 255 && !value.chars().any(char::is_control) => {
            Named::Target(TargetName::Name(value.to_owned()))
        }
        TargetKind::Name => malformed("expected a server name of at most 255 characters"),
    }
}

/// A sender that names a region, and another one than the policy's, is talking of another server.
pub fn speaks_of_another_region(policy: &Policy, alert: &Alert) -> bool {
    alert.labels.get("region_code").is_some_and(|region| region != policy.region.as_str())
}

/// The address that the alert's labels give, by the first address rule of the policy whose label holds one. It is what
/// the sender says: nothing is done with it before the cloud says that it is this server's.
pub fn claimed_address(policy: &Policy, alert: &Alert) -> Option<IpAddr> {
    let rules = policy.targets.iter().filter(|rule| rule.kind == TargetKind::Ip);
    rules.filter_map(|rule| alert.labels.get(&rule.label)).find_map(|value| address(value.trim()))
}

fn address(value: &str) -> Option<IpAddr> {
    let with_port = || value.parse::<std::net::SocketAddr>().ok().map(|addr| addr.ip());
    let bracketed = || value.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    value.parse().ok().or_else(with_port).or_else(bracketed)
}

/// What is known of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetFact {
    /// No label names one.
    Missing {
        /// The labels that were looked for.
        labels: Vec<String>,
    },
    /// The label's value is no such name.
    Malformed {
        /// The label.
        label: String,
        /// What was expected.
        why: String,
    },
    /// Not in a fresh list; it must be looked up.
    Pending,
    /// The look-up failed; nothing can be said.
    Unreadable {
        /// What failed.
        why: String,
    },
    /// A complete answer of the cloud does not hold it.
    Unknown {
        /// How it was named.
        named: String,
    },
    /// A complete answer of the cloud holds several.
    Ambiguous {
        /// How it was named.
        named: String,
        /// How many.
        count: usize,
    },
    /// Exactly one server.
    Found(Box<Server>),
}

/// The live remediation of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Live {
    /// Its identifier.
    pub remediation_id: String,
    /// Its incident.
    pub incident_id: String,
    /// Where it stands.
    pub state: State,
}

/// One attempt of the past, as far as limits look at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Past {
    /// Its remediation.
    pub remediation_id: String,
    /// When the intent was committed.
    pub intent_at: Timestamp,
    /// Its server.
    pub server_no: ServerNo,
    /// Its region.
    pub region: RegionCode,
    /// Its policy.
    pub policy: String,
    /// How it ended; `None` while in flight.
    pub outcome: Option<Outcome>,
    /// Memory of the server, which the dump must hold.
    pub memory_bytes: u64,
    /// End of the cooldown by the policy that sent it: a laxer policy does not shorten it.
    pub cooldown_until: Timestamp,
}

impl Past {
    /// Whether the request may have had an effect. Only *not sent* and *rejected* certainly had none.
    pub fn may_have_acted(&self) -> bool {
        match self.outcome {
            Some(Outcome::NotSent | Outcome::Rejected) => false,
            Some(Outcome::Accepted | Outcome::Unknown) | None => true,
        }
    }
}

/// What is known of one heartbeat that is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Its source.
    pub source: String,
    /// Silence that is borne.
    pub within: SignedDuration,
    /// The last one; `None` when there never was one.
    pub last_at: Option<Timestamp>,
}

/// All facts about one question.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The target.
    pub target: TargetFact,
    /// End of the newest resolved notice of the same fingerprint, from any source.
    pub newest_resolved_end: Option<Timestamp>,
    /// How far the source is believed now; `None` where the configuration no longer has it.
    pub trust: Option<Trust>,
    /// When the newest end was noticed of an alert that had opened or joined the remediation by then.
    pub joined_end: Option<Timestamp>,
    /// The server's live remediation.
    pub live: Option<Live>,
    /// Every attempt that any limit may still count, newest first.
    pub attempts: Vec<Past>,
    /// Holds that have not been cleared.
    pub holds: Vec<Hold>,
    /// Why the hold file stops everything: it is there, or cannot be read.
    pub hold_file: Option<String>,
    /// Silences, shared: whether one has ended is asked where it is matched.
    pub silences: Arc<[Silence]>,
    /// How many servers of the region fire, and the storm that is open there.
    pub storm: StormFacts,
    /// The policy's newest attempts since its breaker was last reset, newest first.
    pub tried: Vec<Tried>,
    /// The policy's demotion that nobody has taken back.
    pub demoted: Option<Demotion>,
    /// Why nothing is sent at all: the store is in quarantine until a person has reconciled it.
    pub quarantine: Option<String>,
    /// Times in which this service saw nothing.
    pub unwatched: Vec<Gap>,
    /// `uptime` of the server in the newest list of the cloud; only of a remediation's server.
    pub listed_uptime_at: Option<Timestamp>,
    /// When the server's open incident began; only for an alert that gives no start.
    pub incident_opened_at: Option<Timestamp>,
    /// Heartbeats that are expected; empty where none is configured.
    pub heartbeats: Vec<Heartbeat>,
    /// What the server's guest and its people said.
    pub guest: GuestFacts,
}

/// A time in which this service saw nothing. A reboot in it may have been anybody's interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// The last sign of life before it.
    pub from: Timestamp,
    /// The start that ended it.
    pub until: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::super::policy::Mode;
    use super::super::testing;
    use super::*;

    fn named(rules: &[&str], labels: &[(&str, &str)]) -> Named {
        let mut policy = testing::policy(Mode::Auto);
        policy.targets =
            rules.iter().map(|rule| super::super::policy::TargetRule::parse(rule).unwrap()).collect();
        let mut alert = testing::alert();
        alert.labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        target_name(&policy, &alert)
    }

    #[test]
    fn the_address_that_is_claimed_is_that_of_an_address_rule() {
        let mut policy = testing::policy(Mode::Auto);
        let rule = |text: &str| super::super::policy::TargetRule::parse(text).unwrap();
        policy.targets = ["label:no", "label:instance as ip", "label:other as ip"].map(rule).to_vec();
        let mut alert = testing::alert();
        let mut claimed = |labels: &[(&str, &str)]| {
            alert.labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            claimed_address(&policy, &alert).map(|ip| ip.to_string())
        };
        assert_eq!(claimed(&[("no", "10.0.0.1")]), None);
        assert_eq!(claimed(&[("no", "1"), ("instance", " 10.0.0.2:9182 ")]).as_deref(), Some("10.0.0.2"));
        assert_eq!(claimed(&[("instance", "host"), ("other", "10.0.0.3")]).as_deref(), Some("10.0.0.3"));
    }

    #[test]
    fn the_first_label_that_is_there_decides_and_no_later_one_mends_it() {
        const RULES: [&str; 3] = ["label:no", "label:instance as ip", "label:host as name"];
        let labels = vec!["no".to_owned(), "instance".to_owned(), "host".to_owned()];
        assert_eq!(named(&RULES, &[("other", "1")]), Named::Missing { labels: labels.clone() });
        assert_eq!(named(&RULES, &[("no", " "), ("instance", "")]), Named::Missing { labels });
        let no = TargetName::No(ServerNo::parse("7").unwrap());
        assert_eq!(named(&RULES, &[("no", " 7 "), ("instance", "10.0.0.1")]), Named::Target(no));
        for ip in ["10.0.0.1", "10.0.0.1:9182"] {
            let found = named(&RULES, &[("instance", ip), ("host", "win-app-01")]);
            assert_eq!(found, Named::Target(TargetName::Ip("10.0.0.1".parse().unwrap())), "{ip}");
        }
        for ip in ["::1", "[::1]", "[::1]:9182"] {
            let found = named(&RULES, &[("instance", ip)]);
            assert_eq!(found, Named::Target(TargetName::Ip("::1".parse().unwrap())), "{ip}");
        }
        let name = TargetName::Name("win-app-01".to_owned());
        assert_eq!(named(&RULES, &[("host", "win-app-01")]), Named::Target(name));
        let longest = "x".repeat(255);
        assert_eq!(named(&RULES, &[("host", &longest)]), Named::Target(TargetName::Name(longest.clone())));
        let long = "x".repeat(256);
        for bad in [("no", "7x"), ("instance", "host:9182"), ("host", "win\u{7}app"), ("host", long.as_str())]
        {
            let both = [bad, ("host", "win-app-01")];
            let found = named(&RULES, if bad.0 == "host" { &both[..1] } else { &both });
            let label = format!("label {}", bad.0);
            assert!(matches!(&found, Named::Malformed { label: told, .. } if *told == label), "{found:?}");
        }
    }
}
