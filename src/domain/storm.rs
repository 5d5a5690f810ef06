//! Storm: many servers of a region at once point to the network or the monitoring, not to the servers.
//!
//! Never: ends by itself. An open storm is cleared by a person.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::guard::{Reason, Trace, Verdict};
use super::policy::Rules;
use super::server::{Server, ServerNo};
use super::sightings::Sightings;

/// `[storm]`: trips above max(count, share × eligible servers of the region), or at `same_zone` in one place.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StormRules {
    /// Part of the eligible servers of a region, above 0 and up to 1 (default 0.1).
    pub share: f64,
    /// Servers that are always bearable (default 2).
    pub count: u32,
    /// Servers of one zone, subnet or placement group at which it trips (default 3).
    pub same_zone: u32,
    /// Window in which distinct servers are counted (default 10 min).
    #[schema(value_type = String, pattern = "^-?PT[0-9HMS.]+$")]
    pub window: SignedDuration,
}

impl Default for StormRules {
    fn default() -> Self {
        Self { share: 0.1, count: 2, same_zone: 3, window: SignedDuration::from_mins(10) }
    }
}

/// One server that counts: a policy's firing alert named it within the window, or it was interrupted and nobody
/// knows yet what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The server.
    pub server_no: ServerNo,
    /// The policy that the alert matched.
    pub policy: String,
    /// `zoneCode`; empty where none.
    pub zone_code: String,
    /// `subnetNo`; empty where none.
    pub subnet_no: String,
    /// `placementGroupNo`; empty where none.
    pub placement_group_no: String,
}

impl Sighting {
    /// The sighting of a server by an alert that a policy claims.
    pub fn of(server: &Server, policy: &str) -> Self {
        Self {
            server_no: server.no.clone(),
            policy: policy.to_owned(),
            zone_code: server.zone_code.clone(),
            subnet_no: server.subnet_no.clone(),
            placement_group_no: server.placement_group_no.clone(),
        }
    }

    /// Where it stands; an empty name is no place.
    pub fn places(&self) -> [(&'static str, &str); 3] {
        [
            ("zone", &self.zone_code),
            ("subnet", &self.subnet_no),
            ("placement group", &self.placement_group_no),
        ]
    }
}

/// Servers of the region's inventory that eligibility cannot tell apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// `hypervisorType.code`
    pub hypervisor_code: String,
    /// `platformType.code`
    pub platform_code: String,
    /// How many.
    pub count: u32,
}

/// A storm that nobody has cleared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Storm {
    /// Row number.
    pub id: i64,
    /// Since when.
    pub opened_at: Timestamp,
    /// What was seen.
    pub why: String,
}

/// What is known of one region.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StormFacts {
    /// The storm that is open; then nothing else is read.
    pub open: Option<Storm>,
    /// Servers that count, since the window began or the last storm was cleared.
    pub sightings: Sightings,
    /// The inventory; not read while too few servers fire for their share to matter.
    pub kinds: Vec<Kind>,
}

/// A storm that was seen and is not open yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trip {
    /// What was seen.
    pub why: String,
    /// The servers.
    pub servers: BTreeSet<ServerNo>,
    /// The policies that had a part in it.
    pub policies: BTreeSet<String>,
}

impl Trip {
    /// The storm that a group too big to tell is a sign of.
    pub fn truncated(policy: &str, server: Option<&Server>) -> Self {
        Self {
            why: "a sender left alerts out of a group".to_owned(),
            servers: server.map(|server| server.no.clone()).into_iter().collect(),
            policies: BTreeSet::from([policy.to_owned()]),
        }
    }
}

/// What the count of servers says.
#[derive(Debug, Clone, PartialEq)]
struct Count {
    servers: usize,
    bearable: f64,
    why: Option<String>,
}

fn count(rules: &Rules, facts: &StormFacts, own: &Sighting) -> Count {
    let allowed = |kind: &&Kind| rules.eligibility.allows_kind(&kind.hypervisor_code, &kind.platform_code);
    let eligible: u32 =
        facts.kinds.iter().filter(allowed).fold(0, |sum, kind| sum.saturating_add(kind.count));
    let storm = &rules.storm;
    let bearable = f64::from(storm.count).max(storm.share * f64::from(eligible));
    let servers = facts.sightings.servers_with(own);
    let distinct = u32::try_from(servers).unwrap_or(u32::MAX);
    let crowded = || {
        let limit = usize::try_from(storm.same_zone).unwrap_or(usize::MAX);
        facts.sightings.crowded_with(own, limit)
    };
    let mut why = None;
    if f64::from(distinct) > bearable {
        why = Some(format!("{distinct} servers within {:#}", storm.window));
    } else if let Some((place, name, distinct)) = crowded() {
        why = Some(format!("{distinct} servers of {place} {name} within {:#}", storm.window));
    }
    Count { servers, bearable, why }
}

/// Asks whether there is a storm in the server's region. The server itself counts.
pub fn ask(trace: &mut Trace, rules: &Rules, facts: &StormFacts, server: &Server, policy: &str) {
    if let Some(open) = &facts.open {
        let seen = format!("storm {} since {}: {}", open.id, open.opened_at, open.why);
        trace.note(Reason::Storm, Verdict::Stop, seen, "no storm; a person clears it", None);
        return;
    }
    let own = Sighting::of(server, policy);
    let count = count(rules, facts, &own);
    let StormRules { share, same_zone, .. } = rules.storm;
    let share = if facts.kinds.is_empty() { format!(" or {share} of all") } else { String::new() };
    let limit = format!("at most {}{share}, below {same_zone} in one place", count.bearable);
    let verdict = if count.why.is_some() { Verdict::Stop } else { Verdict::Pass };
    let seen = count.why.unwrap_or_else(|| format!("{} servers", count.servers));
    trace.note(Reason::Storm, verdict, seen, limit, None);
}

/// The storm that these facts show and that is not open yet.
pub fn trip(rules: &Rules, facts: &StormFacts, server: &Server, policy: &str) -> Option<Trip> {
    if facts.open.is_some() {
        return None;
    }
    let own = Sighting::of(server, policy);
    let why = count(rules, facts, &own).why?;
    let (mut servers, mut policies) = (facts.sightings.servers(), facts.sightings.policies());
    servers.insert(own.server_no);
    policies.insert(own.policy);
    Some(Trip { why, servers, policies })
}

#[cfg(test)]
#[path = "storm_tests.rs"]
mod tests;
