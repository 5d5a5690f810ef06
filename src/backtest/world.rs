//! The simulated past: what holds, counts and is known at a moment, as facts for the production guards.
//!
//! Never: judges; it fills in [`Facts`], and the domain decides.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::domain::breaker::Tried;
use crate::domain::facts::{Facts, Live, Past, TargetFact};
use crate::domain::guest::GuestFacts;
use crate::domain::limits::{earlier, later, look_back};
use crate::domain::policy::{Policy, Rules};
use crate::domain::remediation::State;
use crate::domain::server::{RegionCode, Server};
use crate::domain::sightings::{Dated, Sighted, Sightings};
use crate::domain::storm::{Kind, Sighting, Storm, StormFacts, Trip};
use crate::store::Record;

/// A storm that nobody is known to have cleared is taken as cleared after so long.
const CLEARED_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// Attempts that no limit counts any more are forgotten so often.
const FORGET_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// Newest attempts of a policy that its breaker looks at, beyond those that could open it.
const TRIED_MORE: usize = 100;

#[derive(Debug)]
struct RegionStorm {
    facts: StormFacts,
    /// Until when each sighting counts.
    seen: Dated<Timestamp>,
    clears_at: Option<Timestamp>,
}

impl Default for RegionStorm {
    fn default() -> Self {
        Self { facts: StormFacts::default(), seen: Dated::new(Timestamp::MIN), clears_at: None }
    }
}

/// What is known at a moment.
#[derive(Debug)]
pub(super) struct World {
    pub(super) record: Record,
    pub(super) facts: Facts,
    /// Policies whose mode is a wish: they are never demoted.
    wished: Vec<String>,
    storms: BTreeMap<RegionCode, RegionStorm>,
    /// Region whose storm is in the facts.
    region: Option<RegionCode>,
    ends: BTreeMap<String, Timestamp>,
    tried: BTreeMap<String, Vec<Tried>>,
    next_change: Timestamp,
    next_forgetting: Timestamp,
    storm_number: i64,
}

impl World {
    pub(super) fn new(mut record: Record, rules: &Rules, wished: Vec<String>, since: Timestamp) -> Self {
        let mut kinds: BTreeMap<RegionCode, BTreeMap<(String, String), u32>> = BTreeMap::new();
        for server in &record.servers {
            let kind = (server.hypervisor_code.clone(), server.platform_code.clone());
            *kinds.entry(server.region.clone()).or_default().entry(kind).or_default() += 1;
        }
        let mut storms: BTreeMap<RegionCode, RegionStorm> = BTreeMap::new();
        for policy in &rules.policies {
            storms.entry(policy.region.clone()).or_default();
        }
        for (region, kinds) in kinds {
            let kind =
                |((hypervisor_code, platform_code), count)| Kind { hypervisor_code, platform_code, count };
            storms.entry(region).or_default().facts.kinds = kinds.into_iter().map(kind).collect();
        }
        let facts = Facts {
            target: TargetFact::Pending,
            newest_resolved_end: None,
            ended_in_delivery: false,
            trust: None,
            joined_end: None,
            live: None,
            attempts: std::mem::take(&mut record.attempts),
            holds: Vec::new(),
            hold_file: None,
            silences: std::mem::take(&mut record.silences).into(),
            storm: StormFacts::default(),
            tried: Vec::new(),
            demoted: None,
            quarantine: None,
            unwatched: Vec::new(),
            listed_uptime_at: None,
            incident_opened_at: None,
            heartbeats: Vec::new(),
            guest: GuestFacts::default(),
        };
        Self {
            tried: std::mem::take(&mut record.tried),
            record,
            facts,
            wished,
            storms,
            region: None,
            ends: BTreeMap::new(),
            next_change: since,
            next_forgetting: since,
            storm_number: 0,
        }
    }

    /// Brings up to a moment what people set and cleared, and forgets attempts that no limit counts.
    pub(super) fn pass(&mut self, rules: &Rules, now: Timestamp) {
        if now >= self.next_forgetting {
            let oldest = earlier(now, look_back(rules));
            self.facts.attempts.retain(|past| past.intent_at >= oldest || past.cooldown_until >= now);
            self.next_forgetting = later(now, FORGET_EVERY);
        }
        if now < self.next_change {
            return;
        }
        let holds = &self.record.holds;
        let runs =
            |from: Timestamp, until: Option<Timestamp>| from <= now && until.is_none_or(|until| now < until);
        self.facts.holds = holds.iter().filter(|hold| runs(hold.set_at, hold.until)).cloned().collect();
        let quarantine = self.record.quarantines.iter().find(|(from, until)| runs(*from, *until));
        self.facts.quarantine = quarantine.map(|(from, _)| format!("quarantine since {from}"));
        let bounds = holds.iter().flat_map(|hold| [Some(hold.set_at), hold.until]);
        let bounds =
            bounds.chain(self.record.quarantines.iter().flat_map(|(from, until)| [Some(*from), *until]));
        self.next_change = bounds.flatten().filter(|at| *at > now).min().unwrap_or(Timestamp::MAX);
    }

    /// Fills the facts in for a question under a policy.
    pub(super) fn prepare(
        &mut self,
        policy: &Policy,
        rules: &Rules,
        server: Option<&Server>,
        fingerprint: &str,
        now: Timestamp,
    ) {
        self.enter(&policy.region, now);
        let facts = &mut self.facts;
        facts.newest_resolved_end = self.ends.get(fingerprint).copied();
        facts.live = None;
        let reset =
            self.record.resets.get(&policy.name).and_then(|all| all.iter().rev().find(|at| **at <= now));
        let since = reset.copied().unwrap_or(Timestamp::MIN);
        let most = usize::try_from(rules.breaker.failures).unwrap_or(usize::MAX).saturating_add(TRIED_MORE);
        facts.tried.clear();
        if let Some(tried) = self.tried.get(&policy.name) {
            facts.tried.extend(tried.iter().take_while(|one| one.intent_at > since).take(most));
        }
        let wished = self.wished.contains(&policy.name);
        let demotion = self.record.demotions.get(&policy.name);
        facts.demoted = demotion.filter(|demotion| !wished && demotion.at <= now).cloned();
        facts.guest = GuestFacts::default();
        if let Some(server) = server
            && !(self.record.collected.is_empty() && self.record.attested.is_empty())
        {
            let place = (server.region.to_string(), server.no.to_string());
            let own = |at: Timestamp| server.created_at <= at && at <= now;
            let collected = self.record.collected.get(&place);
            facts.guest.dump_collected_at =
                collected.and_then(|all| all.iter().rev().find(|at| own(**at))).copied();
            let attested = self.record.attested.get(&place);
            facts.guest.dump_settings =
                attested.and_then(|all| all.iter().rev().find(|one| own(one.at))).cloned();
        }
    }

    /// Names the server's live remediation.
    pub(super) fn lives(&mut self, remediation_id: &str, state: State) {
        let live = Live { remediation_id: remediation_id.to_owned(), incident_id: String::new(), state };
        self.facts.live = Some(live);
    }

    fn enter(&mut self, region: &RegionCode, now: Timestamp) {
        if self.region.as_ref() != Some(region) {
            if let Some(before) = self.region.take()
                && let Some(storm) = self.storms.get_mut(&before)
            {
                std::mem::swap(&mut storm.facts, &mut self.facts.storm);
            }
            let storm = self.storms.entry(region.clone()).or_default();
            std::mem::swap(&mut storm.facts, &mut self.facts.storm);
            self.region = Some(region.clone());
        }
        let Some(storm) = self.storms.get_mut(region) else { return };
        let facts = &mut self.facts.storm;
        if storm.clears_at.is_some_and(|at| at <= now) {
            // What was seen before a clearing was looked at by the person who cleared.
            storm.clears_at = None;
            facts.open = None;
            storm.seen = Dated::new(Timestamp::MIN);
        }
        // Shared, the counts would be copied by the next change.
        facts.sightings = Sightings::default();
        facts.sightings = storm.seen.later_than(now);
    }

    fn see(&mut self, sighting: &Sighting, in_flight: bool, until: Timestamp) {
        let Some(storm) = self.region.as_ref().and_then(|region| self.storms.get_mut(region)) else { return };
        // What was counted before is counted anew at the next question; until then nobody shares it.
        self.facts.storm.sightings = Sightings::default();
        storm.seen.put(sighting, in_flight, until);
    }

    /// A server fires, as an alert of the policy of the last question says.
    pub(super) fn fires(&mut self, server: &Server, policy: &str, rules: &Rules, at: Timestamp) {
        // What is seen while a storm is open is forgotten when it is cleared.
        if self.facts.storm.open.is_some() {
            return;
        }
        let until = later(at, rules.storm.window);
        self.see(&Sighting::of(server, policy), false, until);
    }

    /// Opens a storm in the region of the last question.
    pub(super) fn storm_opens(&mut self, trip: Trip, now: Timestamp) {
        let Some(region) = self.region.clone() else { return };
        if self.facts.storm.open.is_some() {
            return;
        }
        let Some(storm) = self.storms.get_mut(&region) else { return };
        let cleared = self.record.clearings.get(region.as_str());
        let cleared = cleared.and_then(|all| all.iter().find(|at| **at > now)).copied();
        storm.clears_at = Some(cleared.unwrap_or_else(|| later(now, CLEARED_AFTER)));
        self.storm_number += 1;
        self.facts.storm.open = Some(Storm { id: self.storm_number, opened_at: now, why: trip.why });
    }

    /// Notes an end of an alert.
    pub(super) fn ended(&mut self, fingerprint: &str, at: Timestamp) {
        match self.ends.get_mut(fingerprint) {
            Some(newest) => *newest = at.max(*newest),
            None => drop(self.ends.insert(fingerprint.to_owned(), at)),
        }
    }

    /// An interrupt that would have been sent counts from now on.
    pub(super) fn sent(&mut self, past: Past, state: State, server: &Server) {
        let tried = Tried { intent_at: past.intent_at, outcome: past.outcome, state, by_record: false };
        self.tried.entry(past.policy.clone()).or_default().insert(0, tried);
        if !state.is_terminal() {
            self.see(&Sighting::of(server, &past.policy), true, Timestamp::MAX);
        }
        self.facts.attempts.insert(0, past);
    }

    /// A sent one has come to its end.
    pub(super) fn over(
        &mut self,
        server: &Server,
        policy: &str,
        intent_at: Timestamp,
        state: State,
        now: Timestamp,
    ) {
        let tried = self.tried.get_mut(policy);
        if let Some(one) = tried.and_then(|all| all.iter_mut().find(|one| one.intent_at == intent_at)) {
            one.state = state;
        }
        self.enter(&server.region, now);
        let Some(storm) = self.storms.get_mut(&server.region) else { return };
        self.facts.storm.sightings = Sightings::default();
        let sent = |sighted: &Sighted| sighted.2 && sighted.0 == server.no;
        let over: Vec<Sighting> = storm
            .seen
            .iter()
            .filter(|(sighted, _, _)| sent(sighted))
            .map(|(_, one, _)| one.clone())
            .collect();
        for sighting in over {
            storm.seen.put(&sighting, true, now);
        }
    }
}
