//! How an alert names its server: what the policy's target rules read from its labels.
//!
//! Never: looks a name up, or mends a label that holds something else than its rule reads.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::address::address;
use super::alert::Alert;
use super::facts::TargetFact;
use super::policy::{Policy, TargetKind};
use super::server::{Server, ServerNo};

/// Longest name that is looked up.
const NAME_MAX: usize = 255;

/// How an alert names its server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "by", content = "value", rename_all = "snake_case")]
pub enum TargetName {
    /// By `serverInstanceNo`.
    No(ServerNo),
    /// By address.
    Ip(IpAddr),
    /// By `serverName`.
    Name(ServerName),
}

impl std::fmt::Display for TargetName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::No(no) => write!(f, "server {no}"),
            Self::Ip(ip) => write!(f, "address {ip}"),
            Self::Name(name) => write!(f, "name {}", name.as_str()),
        }
    }
}

/// A server's name in lower case: names have no case. The vendor allows `a-z`, `0-9` and `-` only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServerName(String);

impl ServerName {
    /// The name without its case.
    pub fn new(text: &str) -> Self {
        Self(text.to_lowercase())
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first dot, where the name has a domain. An address has none.
    pub fn first_part(&self) -> Option<Self> {
        let (first, _domain) = self.0.split_once('.')?;
        (!first.is_empty() && address(&self.0).is_none()).then(|| Self(first.to_owned()))
    }

    /// How the cloud is asked for the servers of this name: as it spells the server that has it, where one is known.
    pub fn spelt_for(&self, server: &Server) -> String {
        if self.among(&[server]).is_empty() {
            self.first_part().unwrap_or_else(|| self.clone()).0
        } else {
            server.name.clone()
        }
    }

    /// The servers that this name names: those whose name it is, else those whose name its first part is.
    pub fn among<'s>(&self, servers: &[&'s Server]) -> Vec<&'s Server> {
        let called = |name: &Self| -> Vec<&'s Server> {
            servers.iter().copied().filter(|server| Self::new(&server.name) == *name).collect()
        };
        let whole = called(self);
        if whole.is_empty() { self.first_part().as_ref().map_or(whole, called) } else { whole }
    }
}

/// Whether an entry of a list of servers, a number or a name, means this server.
pub fn means(entry: &str, server_no: &str, server_name: &str) -> bool {
    entry == server_no || entry.to_lowercase() == server_name.to_lowercase()
}

/// What the policy's target rules read from an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// No label holds what its rule reads.
    Missing {
        /// The labels that were looked for.
        labels: Vec<String>,
    },
    /// A label holds something that no rule may pass over.
    Malformed {
        /// The label.
        label: String,
        /// What was expected.
        why: String,
    },
    /// At least one rule fits.
    Target {
        /// What the first rule that fits reads: it decides.
        name: TargetName,
        /// What the other rules read: none may name another server.
        others: Vec<TargetName>,
    },
}

/// Reads how the alert names its server. A rule whose label is absent, or does not hold what the rule reads, is passed over.
pub fn target_name(policy: &Policy, alert: &Alert) -> Named {
    let (mut first, mut others) = (None, Vec::new());
    for rule in &policy.targets {
        let Some(value) = alert.labels.get(&rule.label).filter(|value| !value.trim().is_empty()) else {
            continue;
        };
        match (read(rule.kind, value), &first) {
            (Ok(None), _) => {}
            (Ok(Some(name)), None) => first = Some(name),
            (Ok(Some(name)), Some(before)) if *before == name => {}
            (Ok(Some(name)), Some(_)) => others.push(name),
            (Err(why), _) => return Named::Malformed { label: format!("label {}", rule.label), why },
        }
    }
    match first {
        Some(name) => Named::Target { name, others },
        None => Named::Missing { labels: policy.targets.iter().map(|rule| rule.label.clone()).collect() },
    }
}

/// What a rule reads from a label: `None` where it does not fit, an error where the value must not be passed over.
fn read(kind: TargetKind, value: &str) -> Result<Option<TargetName>, String> {
    if value.chars().any(char::is_control) {
        return Err("expected no control character".to_owned());
    }
    let value = value.trim();
    match kind {
        TargetKind::ServerNo => {
            ServerNo::parse(value).map(|no| Some(TargetName::No(no))).map_err(|error| error.to_string())
        }
        TargetKind::Ip => Ok(address(value).map(TargetName::Ip)),
        TargetKind::Name if value.len() <= NAME_MAX => Ok(Some(TargetName::Name(ServerName::new(value)))),
        TargetKind::Name => Err(format!("expected a server name of at most {NAME_MAX} characters")),
    }
}

/// A name with a domain whose first part alone names this server, where the alert was read by one.
pub fn named_by_first_part(policy: &Policy, alert: &Alert, server: &Server) -> Option<String> {
    let has_domain = |label: &String| alert.labels.get(label).is_some_and(|value| value.contains('.'));
    let by_name = |kind| kind == TargetKind::Name;
    if !policy.targets.iter().any(|rule| by_name(rule.kind) && has_domain(&rule.label)) {
        return None;
    }
    let Named::Target { name: TargetName::Name(name), others: _ } = target_name(policy, alert) else {
        return None;
    };
    (name != ServerName::new(&server.name)).then(|| name.as_str().to_owned())
}

/// A sender that names a region, and another one than the policy's, is talking of another server.
pub fn speaks_of_another_region(policy: &Policy, alert: &Alert) -> Option<TargetFact> {
    let said = alert.labels.get("region_code").filter(|said| *said != policy.region.as_str())?;
    Some(TargetFact::RegionUnknown {
        seen: format!("region_code {said}"),
        wanted: format!("{}, the region of the policy", policy.region),
    })
}

/// The address that the alert's labels give, by the first address rule of the policy whose label holds one. It is what
/// the sender says: nothing is done with it before the cloud says that it is this server's.
pub fn claimed_address(policy: &Policy, alert: &Alert) -> Option<IpAddr> {
    let rules = policy.targets.iter().filter(|rule| rule.kind == TargetKind::Ip);
    rules.filter_map(|rule| alert.labels.get(&rule.label)).find_map(|value| address(value))
}

/// What a list of servers says of a name, where each of them has it.
pub fn fact_of(name: &TargetName, servers: &[&Server]) -> TargetFact {
    match servers {
        [] => TargetFact::Unknown { named: name.to_string() },
        [server] => TargetFact::Found(Box::new((*server).clone())),
        several => TargetFact::Ambiguous {
            named: name.to_string(),
            numbers: several.iter().map(|server| server.no.clone()).collect(),
        },
    }
}

impl TargetName {
    /// Whether this label, which `known` is known of, names another server than the one that was found.
    pub fn contradicts(&self, server: &Server, known: &TargetFact) -> bool {
        if let Self::No(no) = self {
            return *no != server.no;
        }
        match known {
            TargetFact::Found(other) => other.no != server.no,
            TargetFact::Ambiguous { named: _, numbers } => !numbers.contains(&server.no),
            TargetFact::Missing { .. }
            | TargetFact::Malformed { .. }
            | TargetFact::Pending
            | TargetFact::Unreadable { .. }
            | TargetFact::Unknown { .. }
            | TargetFact::RegionUnknown { .. }
            | TargetFact::Disagree { .. } => false,
        }
    }
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
