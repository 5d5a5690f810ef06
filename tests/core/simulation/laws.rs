//! The checker's part for storm (law 24), breaker, ladder, heartbeats, watch gaps and restored stores (law 42).
//!
//! Never: asks a production function that judges.

use std::collections::BTreeSet;

use unhang::domain::policy::Rules;
use unhang::domain::remediation::{Outcome, State};

use super::checker::Checker;
use super::guards::{BEAT_WITHIN, UNDERWAY};
use super::memory::{Attempt, Rem};
use super::values::{MINUTE, SECOND, ms};
use super::world::World;

const CLOCKS: i64 = MINUTE + 5 * SECOND;

impl Checker {
    /// A store that does not know all that was sent sends nothing.
    pub(crate) fn look_at_restored(&mut self, world: &World, (attempts, ledger): (usize, usize)) {
        self.must(world.store.attempts.len() == attempts, 42, "an intent of a restored store");
        self.must(world.cloud.ledger.len() == ledger, 42, "a request of a restored store");
    }

    pub(crate) fn judge_storm(&mut self, world: &World, attempt: &Attempt, rules: &Rules, now: i64) {
        let region = attempt.past.region.as_str();
        let open = world.store.storms.iter().any(|row| row.region == region && row.cleared_at.is_none());
        self.must(!open, 24, "an intent in a storm");
        let cleared = self.cleared.get(region).copied().unwrap_or(i64::MIN);
        let from = (now - rules.storm.window.as_secs() * SECOND).max(cleared);
        let seen = self.sighted.iter().filter(|(of, _, seen_at)| of == region && *seen_at > from);
        let mut servers: BTreeSet<&str> = seen.map(|(_, no, _)| no.as_str()).collect();
        let underway = world.store.rems.iter().filter(|rem| {
            UNDERWAY.contains(&rem.state)
                && rem.waiting.server.region.as_str() == region
                && rem.created_at > cleared
        });
        servers.extend(underway.map(|rem| rem.waiting.server.no.as_str()));
        servers.insert(attempt.past.server_no.as_str());
        // All servers of a region are of one zone here, and too few for their share to matter.
        let count = u32::try_from(servers.len()).unwrap();
        let storm = &rules.storm;
        let bearable = count <= storm.count && count < storm.same_zone;
        self.must(bearable, 24, &format!("{count} servers of {region} are in trouble"));
    }

    /// Bad attempts in a row since the last reset: enough of them stop the policy for a while, then one tries alone.
    pub(crate) fn judge_breaker(
        &mut self,
        world: &World,
        earlier: &[Attempt],
        attempt: &Attempt,
        rules: &Rules,
        now: i64,
    ) {
        let reset = world.store.resets.get(&attempt.past.policy).copied().unwrap_or(i64::MIN);
        let of = earlier.iter().filter(|a| a.past.policy == attempt.past.policy);
        let mut newest: Vec<(i64, Option<bool>)> = Vec::new();
        for one in of.filter(|one| ms(one.past.intent_at) > reset) {
            let state = world.store.rems[one.rem].state;
            let good = match (one.past.outcome, state) {
                (Some(Outcome::NotSent), _) => continue,
                (Some(Outcome::Rejected), _) => Some(false),
                (None, _) | (Some(_), State::Intent | State::Accepted) => None,
                (Some(_), State::Confirmed | State::ClosedHappened) => Some(true),
                (Some(_), _) => Some(false),
            };
            newest.push((ms(one.past.intent_at), good));
        }
        newest.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let run: Vec<i64> = newest
            .iter()
            .take_while(|(_, good)| *good != Some(true))
            .filter(|(_, good)| *good == Some(false))
            .map(|(at, _)| *at)
            .collect();
        if run.len() < usize::try_from(rules.breaker.failures).unwrap() {
            return;
        }
        let open_for = rules.breaker.open_for.as_secs() * SECOND;
        self.must(now - run[0] >= open_for, 0, "an intent of a policy whose breaker is open");
        let pending = newest.iter().any(|(_, good)| good.is_none());
        self.must(!pending, 0, "a second attempt while one tries the breaker");
    }

    pub(crate) fn judge_standing(&mut self, world: &World, attempt: &Attempt, rem: &Rem, now: i64) {
        let policy = &attempt.past.policy;
        let demoted = self.demoted.contains(policy) || world.store.demoted.contains_key(policy);
        self.must(!demoted || !rem.approvals.is_empty(), 31, "a demoted policy acted alone");
        if world.beating {
            let heard = world.store.beat.is_some_and(|at| now - at <= BEAT_WITHIN);
            self.must(heard, 0, "an intent while a heartbeat is missing");
        }
        let Some(uptime_at) = attempt.uptime_at else { return };
        let unseen = world.dark.iter().any(|(from, until)| *from < uptime_at && uptime_at <= *until);
        let cooldown = ms(attempt.past.cooldown_until) - now;
        let rested = attempt.true_at - uptime_at >= cooldown - 2 * CLOCKS;
        self.must(!unseen || rested, 0, "less than a cooldown after a reboot that nobody watched");
    }

    /// By the servers as they really were: none that booted after it hung, unless a person said afterwards that it hangs; and
    /// none in which a dump of that boot may be being written.
    pub(crate) fn judge_boots(&mut self, world: &World, attempt: &Attempt, rem: &Rem) {
        let seen_at = attempt.true_at - attempt.read_age.min(MINUTE);
        let boots = || world.cloud.real[attempt.server].boots.iter().copied().filter(|at| *at < seen_at);
        let alert = &rem.waiting.alert;
        let hung_at = alert.starts_at.map_or(rem.opened_true_at, |at| ms(at).min(rem.opened_true_at));
        // What a clock hid of a confirmation that an earlier process took is not known, as with the age of notices.
        let hidden = |stalled: i64| attempt.began_stalled.map_or(0, |began| (began - stalled).max(0));
        for boot in boots().filter(|boot| *boot >= hung_at) {
            let confirmed = rem.confirmed.iter().any(|(at, stalled)| at + hidden(*stalled) > boot);
            self.must(confirmed, 52, "it booted after it hung, and nobody has seen it hang since");
        }
        let memory = i64::try_from(attempt.read.memory_bytes).unwrap();
        let dump = (30 * MINUTE).max(2 * memory / 50_000 + 15 * MINUTE);
        let rested = boots().all(|boot| attempt.true_at - boot >= dump - 2 * CLOCKS);
        self.must(rested, 53, "inside the dump window of a boot");
    }
}
