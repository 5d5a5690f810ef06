//! Storm, breaker, ladder, heartbeats, watch gaps and quarantine in the world: what the store keeps of them, and people.
//!
//! Never: judges; `storm::ask`, `storm::trip`, `breaker::ask`, `ladder::fallen` and the rest do.

use jiff::{SignedDuration, Timestamp};
use unhang::domain::alert::{Alert, AlertStatus};
use unhang::domain::breaker::Tried;
use unhang::domain::decision::Decided;
use unhang::domain::facts::{Facts, Heartbeat};
use unhang::domain::guard::{Reason, Verdict};
use unhang::domain::guest::GuestFacts;
use unhang::domain::ladder::{Demotion, fallen};
use unhang::domain::limits::earlier;
use unhang::domain::policy::Rules;
use unhang::domain::remediation::{Outcome, State};
use unhang::domain::server::Server;
use unhang::domain::sightings::Sightings;
use unhang::domain::storm::{Kind, Sighting, Storm, StormFacts, Trip, trip};

use super::bugs::Bug;
use super::intake::{Arrived, BY_HAND};
use super::memory::{StormRow, Told};
use super::values::{MINUTE, at, ms};
use super::world::World;

/// Silence of a heartbeat that is borne.
pub(crate) const BEAT_WITHIN: i64 = 10 * MINUTE;

/// States of remediations that count as servers in trouble: something was sent, and nobody knows yet what came of it.
pub(crate) const UNDERWAY: [State; 4] = [State::Intent, State::Accepted, State::Unconfirmed, State::Unknown];

impl World {
    /// What is known of one region.
    pub(crate) fn storm_facts(&self, region: &str, rules: &Rules, now: Timestamp) -> StormFacts {
        let newest = self.store.storms.iter().enumerate().rfind(|(_, storm)| storm.region == region);
        let mut cleared_at = i64::MIN;
        if let Some((id, row)) = newest.filter(|_| self.bug != Some(Bug::StormEnds)) {
            let Some(at_ms) = row.cleared_at else {
                let id = i64::try_from(id).unwrap();
                let open = Some(Storm { id, opened_at: at(row.opened_at), why: row.why.clone() });
                return StormFacts { open, ..StormFacts::default() };
            };
            cleared_at = at_ms;
        }
        let since = ms(earlier(now, rules.storm.window));
        let seen =
            self.store.sightings.iter().filter(|((of, _, _), (_, seen_at))| {
                of == region && *seen_at > since && *seen_at > cleared_at
            });
        let seen = seen.map(|(_, (sighting, _))| sighting.clone());
        let underway = self.store.rems.iter().filter(|rem| {
            rem.waiting.server.region.as_str() == region
                && UNDERWAY.contains(&rem.state)
                && rem.created_at > cleared_at
        });
        let underway = underway.map(|rem| Sighting::of(&rem.waiting.server, &rem.waiting.policy));
        let mut sightings: Sightings = seen.chain(underway).collect();
        if self.bug == Some(Bug::StormEnds) {
            sightings = Sightings::default();
        }
        let mut kinds: Vec<Kind> = Vec::new();
        if sightings.len() >= usize::try_from(rules.storm.count).unwrap() {
            for server in self.store.inventory.iter().filter(|server| server.region.as_str() == region) {
                let (hypervisor, platform) = (&server.hypervisor_code, &server.platform_code);
                let same =
                    |kind: &&mut Kind| kind.hypervisor_code == *hypervisor && kind.platform_code == *platform;
                match kinds.iter_mut().find(same) {
                    Some(kind) => kind.count += 1,
                    None => kinds.push(Kind {
                        hypervisor_code: hypervisor.clone(),
                        platform_code: platform.clone(),
                        count: 1,
                    }),
                }
            }
        }
        StormFacts { open: None, sightings, kinds }
    }

    /// The policy's attempts after a time, newest first, with the state of their remediations.
    fn tried(&self, policy: &str, since: Option<i64>) -> Vec<Tried> {
        let after = since.unwrap_or(i64::MIN);
        let of = self.store.attempts.iter().filter(|attempt| {
            let past = &attempt.past;
            past.policy == policy && past.outcome != Some(Outcome::NotSent) && ms(past.intent_at) > after
        });
        let mut tried: Vec<Tried> = of
            .map(|attempt| Tried {
                by_record: false,
                intent_at: attempt.past.intent_at,
                outcome: attempt.past.outcome,
                state: self.store.rems[attempt.rem].state,
            })
            .collect();
        tried.sort_by_key(|one| one.intent_at);
        tried.reverse();
        tried
    }

    /// Fills in what the guards of a policy in a region look at.
    pub(crate) fn guard_facts(
        &self,
        facts: &mut Facts,
        region: &str,
        policy: &str,
        rules: &Rules,
        now: Timestamp,
    ) {
        facts.storm = self.storm_facts(region, rules, now);
        if self.bug != Some(Bug::BreakerForgets) {
            facts.tried = self.tried(policy, self.store.resets.get(policy).copied());
        }
        if self.bug != Some(Bug::NoLadder) {
            facts.demoted = self.store.demoted.get(policy).cloned();
        }
    }

    /// Fills in what does not depend on the policy.
    pub(crate) fn common_facts(&self, facts: &mut Facts, server_no: Option<&str>, since: Timestamp) {
        facts.quarantine.clone_from(&self.store.quarantine);
        facts.unwatched = self.store.gaps.iter().filter(|gap| gap.until >= since).copied().collect();
        let collected = server_no.and_then(|no| self.store.collected.get(no)).copied();
        facts.guest = GuestFacts { dump_collected_at: collected.map(at), ..GuestFacts::default() };
        if self.beating && self.bug != Some(Bug::NoBeat) {
            let within = SignedDuration::from_millis(BEAT_WITHIN);
            let last_at = self.store.beat.map(at);
            facts.heartbeats = vec![Heartbeat { source: "am-a".to_owned(), within, last_at }];
        }
    }

    fn demote(&mut self, policy: &str, why: String, now: Timestamp) {
        if !self.store.demoted.contains_key(policy) {
            self.tally.guard("demoted");
            self.store.demoted.insert(policy.to_owned(), Demotion { at: now, why });
        }
    }

    /// Looks at the record of a policy after one of its remediations has moved.
    pub(crate) fn after_move(&mut self, rem: usize, to: State, now: Timestamp) {
        let policy = self.store.rems[rem].waiting.policy.clone();
        let why = match to {
            State::Unknown => Some("an attempt ended unknown".to_owned()),
            State::Confirmed
            | State::Unconfirmed
            | State::Rejected
            | State::ClosedHappened
            | State::ClosedNotHappened => {
                fallen(&self.tried(&policy, self.store.promoted.get(&policy).copied()))
            }
            _ => None,
        };
        if let Some(why) = why {
            self.demote(&policy, why, now);
        }
    }

    fn open_storm(&mut self, region: &str, trip: &Trip, now: Timestamp) {
        let open = |storm: &StormRow| storm.region == region && storm.cleared_at.is_none();
        if self.store.storms.iter().any(open) {
            return;
        }
        self.tally.guard("storm");
        let (region, why) = (region.to_owned(), trip.why.clone());
        self.store.storms.push(StormRow { region, why, opened_at: ms(now), cleared_at: None });
        for policy in &trip.policies {
            self.demote(policy, trip.why.clone(), now);
        }
    }

    /// Opens the storm that the facts about a remediation show.
    pub(crate) fn open_storm_if_seen(
        &mut self,
        rem: usize,
        server: &Server,
        facts: &Facts,
        rules: &Rules,
        now: Timestamp,
    ) {
        let policy = self.store.rems[rem].waiting.policy.clone();
        if let Some(trip) = trip(rules, &facts.storm, server, &policy) {
            self.open_storm(server.region.as_str(), &trip, now);
        }
    }

    /// Keeps that an alert's server fires, and opens the storm that it shows.
    #[expect(clippy::too_many_arguments, reason = "one caller for each kind of alert")]
    pub(crate) fn note_seen(
        &mut self,
        rules: &Rules,
        arrived: &Arrived,
        alert: &Alert,
        decided: &Decided,
        facts: &Facts,
        server: Option<&Server>,
        now: Timestamp,
    ) {
        let policy =
            decided.policy.as_deref().and_then(|name| rules.policies.iter().find(|p| p.name == name));
        let fires = alert.status == AlertStatus::Firing && decided.reason != Some(Reason::Resolved);
        let Some(policy) = policy.filter(|_| fires) else { return };
        let region = policy.region.as_str();
        let stops = decided.trace.0.iter().any(|c| c.guard == Reason::Storm && c.verdict == Verdict::Stop);
        let shown = if facts.storm.open.is_some() || !stops {
            None
        } else if arrived.truncated && arrived.person.is_none() {
            Some(Trip::truncated(&policy.name, server))
        } else {
            server.and_then(|server| trip(rules, &facts.storm, server, &policy.name))
        };
        if let Some(server) = server.filter(|_| arrived.source != BY_HAND) {
            let sighting = Sighting::of(server, &policy.name);
            let key = (region.to_owned(), server.no.to_string(), policy.name.clone());
            let received = arrived.received_at;
            let row = self.store.sightings.entry(key).or_insert((sighting.clone(), received));
            *row = (sighting, row.1.max(received));
            self.store.told.push(Told::Sighted(region.to_owned(), server.no.to_string(), received));
        }
        if let Some(trip) = shown {
            self.open_storm(region, &trip, now);
        }
    }

    /// Somebody looks at what only a person may end.
    pub(crate) fn clear_up(&mut self, p: usize) {
        let now = self.now(p);
        let fate = self.fate();
        let act = self.rng.below(4);
        let done = self.commit(fate, now, |world| match act {
            0 | 1 => {
                for row in world.store.storms.iter_mut().filter(|row| row.cleared_at.is_none()) {
                    row.cleared_at = Some(ms(now));
                    world.store.told.push(Told::StormCleared(row.region.clone(), ms(now)));
                }
            }
            2 => {
                for (policy, _) in std::mem::take(&mut world.store.demoted) {
                    world.store.promoted.insert(policy.clone(), ms(now));
                    world.store.told.push(Told::Promoted(policy));
                }
            }
            _ => {
                let policies: Vec<String> =
                    world.store.attempts.iter().map(|a| a.past.policy.clone()).collect();
                world.store.resets.extend(policies.into_iter().map(|policy| (policy, ms(now))));
            }
        });
        self.say(49, act, |_| format!("a person clears storms, promotes or resets: {act} ({done:?})"));
    }

    /// A person reconciles a store that was restored; with that its history ends.
    pub(crate) fn reconcile(&mut self) {
        if self.restored.is_some() && self.rng.chance(300) {
            self.over = true;
        }
    }

    /// A person has collected the dump of a server.
    pub(crate) fn collect(&mut self, p: usize) {
        if self.store.attempts.is_empty() {
            return;
        }
        let index = self.rng.below(self.store.attempts.len());
        let no = self.store.attempts[index].past.server_no.to_string();
        let (now, fate) = (self.now(p), self.fate());
        self.tally.guard("collected");
        let words = format!("the dump of {no} is collected ({fate:?})");
        self.commit(fate, now, |world| world.store.collected.insert(no, ms(now)));
        self.say(50, 0, |_| words);
    }

    /// A source gives a sign of life.
    pub(crate) fn beat(&mut self, p: usize) {
        let (now, fate) = (self.now(p), self.fate());
        self.commit(fate, now, |world| world.store.beat = Some(ms(now)));
        self.say(51, 0, |_| format!("a heartbeat ({fate:?})"));
    }

    /// A copy of the store is made; or the last one is put in its place, with every process down.
    pub(crate) fn back_up_or_restore(&mut self) {
        if self.backup.is_none() || self.rng.chance(500) {
            self.backup = Some(Box::new(self.store.clone()));
            self.say(52, 0, |_| "a copy of the store is made".to_owned());
            return;
        }
        while !self.processes.is_empty() {
            self.crash(0);
        }
        if let Some(copy) = self.backup.take() {
            self.store = *copy;
        }
        let known = |nonce: u64| self.store.attempts.iter().any(|attempt| attempt.nonce == nonce);
        // A copy that knows of everything that was sent is no older store in the sense of the law.
        self.over = self.cloud.ledger.iter().all(|request| known(request.nonce));
        self.restored = Some((self.store.attempts.len(), self.cloud.ledger.len()));
        if !self.over {
            self.tally.guard("restored");
        }
        self.say(53, 0, |_| "an older store is put in place".to_owned());
    }
}
