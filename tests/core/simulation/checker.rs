//! The laws, checked over stored state and ledger after every step. All arithmetic here is the checker's own.
//!
//! Laws of the effect (7 to 19), the limits (20 to 23, 25), cancelling (26 to 31), the state (32 to 34, 36); law 24 as
//! far as a truncated group goes; the mutes and the deny list of the intent under number 0. Laws 45 and 47 once faults stop.
//!
//! Storm, breaker, ladder and restored stores are in `laws`.
//!
//! Never: asks a production function that judges.

use std::collections::{BTreeMap, BTreeSet};

use unhang::domain::policy::{Budget, Mode, Policy, Rules};
use unhang::domain::remediation::{Outcome, State};

use super::memory::{Attempt, Told};
use super::values::{HOUR, MINUTE, RULES, SECOND, ms};
use super::world::World;

/// How far our clock may be from the cloud's before nothing is sent, and the wall behind the store.
const CLOCKS: i64 = MINUTE + 5 * SECOND;
/// A signature is good for this long, so an effect may come this long after its intent.
const SIGNATURE: i64 = 5 * MINUTE;
/// Whether a notice grows old also while the clock of an earlier process stood still, if it stood still no longer when this
/// one began. It does not: a process knows of its own stalls, and at its beginning of one that goes on.
const ENDED_STALLS_COUNT: bool = false;

/// The legal moves, as the contract lists them.
pub(crate) const LEGAL: [(State, State); 26] = [
    (State::Settling, State::AwaitingApproval),
    (State::Settling, State::Queued),
    (State::AwaitingApproval, State::Queued),
    (State::Queued, State::AwaitingApproval),
    (State::Settling, State::Cancelled),
    (State::Settling, State::Expired),
    (State::AwaitingApproval, State::Cancelled),
    (State::AwaitingApproval, State::Expired),
    (State::Queued, State::Cancelled),
    (State::Queued, State::Expired),
    (State::Queued, State::Intent),
    (State::Intent, State::Queued),
    (State::Intent, State::NotSent),
    (State::Intent, State::Accepted),
    (State::Intent, State::Rejected),
    (State::Intent, State::Unknown),
    (State::Unknown, State::Accepted),
    (State::Unknown, State::Rejected),
    (State::Unknown, State::Confirmed),
    (State::Unknown, State::ClosedHappened),
    (State::Unknown, State::ClosedNotHappened),
    (State::Accepted, State::Confirmed),
    (State::Accepted, State::Unconfirmed),
    (State::Unconfirmed, State::Confirmed),
    (State::Unconfirmed, State::ClosedHappened),
    (State::Unconfirmed, State::ClosedNotHappened),
];

const TERMINAL: [State; 7] = [
    State::Confirmed,
    State::Rejected,
    State::NotSent,
    State::ClosedHappened,
    State::ClosedNotHappened,
    State::Cancelled,
    State::Expired,
];

/// Budgets of one scope, its name, and which attempts it counts.
type Scope<'a> = (&'a [Budget], &'static str, &'a dyn Fn(&Attempt) -> bool);

/// What the checker remembers between steps, and the laws it found broken.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    states: Vec<(State, i64)>,
    outcomes: Vec<Option<Outcome>>,
    told: usize,
    ends: BTreeMap<String, i64>,
    /// Fingerprints that opened or joined each remediation.
    members: BTreeMap<usize, Vec<String>>,
    /// Remediations of which a member has resolved.
    over: Vec<usize>,
    requests: usize,
    /// Region, server and time of every firing alert.
    pub(crate) sighted: Vec<(String, String, i64)>,
    /// When a person last cleared the storm of a region.
    pub(crate) cleared: BTreeMap<String, i64>,
    /// Policies of which an attempt ended unknown since a person promoted them.
    pub(crate) demoted: BTreeSet<String>,
    pub(crate) broken: Vec<(u8, String)>,
}

impl Checker {
    fn fail(&mut self, law: u8, words: impl Into<String>) {
        self.broken.push((law, words.into()));
    }

    pub(crate) fn must(&mut self, holds: bool, law: u8, words: &str) {
        if !holds {
            self.fail(law, words);
        }
    }

    /// Looks at everything that the last step changed.
    pub(crate) fn look(&mut self, world: &World) {
        if let Some(before) = world.restored {
            self.look_at_restored(world, before);
            return;
        }
        self.look_at_notices(world);
        self.look_at_states(world);
        self.look_at_requests(world);
        for (index, attempt) in world.store.attempts.iter().enumerate() {
            if index >= self.outcomes.len() {
                self.judge_intent(world, index, attempt);
                self.outcomes.push(None);
            }
            self.judge_outcome(world, index, attempt);
        }
        let dead = |a: &Attempt| a.past.outcome.is_none() && a.epoch < world.store.epoch;
        self.must(!world.store.attempts.iter().any(dead), 36, "an intent of a dead epoch is still in flight");
    }

    fn look_at_notices(&mut self, world: &World) {
        for told in &world.store.told[self.told..] {
            match told {
                Told::Opened(rem, fingerprint) => {
                    let starts_at = world.store.rems[*rem].waiting.alert.starts_at.map(ms);
                    let over =
                        self.ends.get(fingerprint).is_some_and(|end| starts_at.is_none_or(|at| at <= *end));
                    self.must(!over, 27, "a notice of an ended episode opened a remediation");
                    self.members.entry(*rem).or_default().push(fingerprint.clone());
                }
                Told::Joined(rem, fingerprint) => {
                    self.members.entry(*rem).or_default().push(fingerprint.clone());
                }
                Told::Sighted(region, no, at) => self.sighted.push((region.clone(), no.clone(), *at)),
                Told::StormCleared(region, at) => {
                    self.cleared.insert(region.clone(), *at);
                }
                Told::Promoted(policy) => {
                    self.demoted.remove(policy);
                }
                Told::Ended(fingerprint, end) => {
                    let newest = self.ends.entry(fingerprint.clone()).or_insert(i64::MIN);
                    *newest = (*newest).max(*end);
                    let of = |(rem, members): (&usize, &Vec<String>)| {
                        members.contains(fingerprint).then_some(*rem)
                    };
                    self.over.extend(self.members.iter().filter_map(of));
                }
            }
        }
        self.told = world.store.told.len();
    }

    fn look_at_states(&mut self, world: &World) {
        for (index, rem) in world.store.rems.iter().enumerate() {
            if index >= self.states.len() {
                self.must(rem.state == State::Settling, 32, "a remediation did not begin settling");
                let age = rem.sender_time.map_or(0, |at| (rem.received_at - at).abs());
                let fresh = rem.requested_by.is_some() || age <= 5 * MINUTE;
                self.must(fresh, 29, "a stale delivery opened a remediation");
                self.must(!rem.truncated, 24, "a truncated group opened a remediation");
                self.states.push((rem.state, rem.version));
                continue;
            }
            let (before, version) = self.states[index];
            if (rem.state, rem.version) == (before, version) {
                continue;
            }
            let words = format!("r{index}: {before:?} to {:?}", rem.state);
            self.must(!TERMINAL.contains(&before), 33, &words);
            self.must(LEGAL.contains(&(before, rem.state)), 32, &words);
            self.must(rem.version == version + 1, 32, "a move did not count");
            self.states[index] = (rem.state, rem.version);
        }
        for server in 0..world.cloud.real.len() {
            let live = |rem: &&super::memory::Rem| rem.server == server && !TERMINAL.contains(&rem.state);
            self.must(
                world.store.rems.iter().filter(live).count() <= 1,
                34,
                "two live remediations of a server",
            );
        }
    }

    fn look_at_requests(&mut self, world: &World) {
        let known = self.outcomes.len();
        for request in &world.cloud.ledger[self.requests..] {
            let nonce = request.nonce;
            let found = world.store.attempts.iter().take(known).find(|attempt| attempt.nonce == nonce);
            self.must(request.handed_at <= request.send_before, 15, "handed over after its deadline");
            let same = world.cloud.ledger.iter().filter(|other| other.nonce == nonce).count();
            self.must(same == 1, 7, "two requests of one attempt");
            let Some(attempt) = found else {
                self.fail(10, "a request without a durable intent that is older than it");
                continue;
            };
            self.must(attempt.signed_at == request.signed_at, 19, "the time on the wire is not the intent's");
            let of_rem = |other: &&super::cloud::Request| {
                world.store.attempts.iter().any(|a| a.nonce == other.nonce && a.rem == attempt.rem)
            };
            let requests = world.cloud.ledger.iter().filter(of_rem).count();
            self.must(requests == 1, 7, "two requests of one remediation");
        }
        self.requests = world.cloud.ledger.len();
    }

    fn judge_outcome(&mut self, world: &World, index: usize, attempt: &Attempt) {
        let (before, now) = (self.outcomes[index], attempt.past.outcome);
        if before != now {
            let late = before == Some(Outcome::Unknown)
                && matches!(now, Some(Outcome::Accepted | Outcome::Rejected));
            self.must(before.is_none() || late, 32, "an outcome was rewritten");
            self.outcomes[index] = now;
            if now == Some(Outcome::Unknown) {
                self.demoted.insert(attempt.past.policy.clone());
            }
        }
        let request = world.cloud.ledger.iter().find(|request| request.nonce == attempt.nonce);
        let effect = request.is_some_and(|request| request.effect_at.is_some());
        match now {
            Some(Outcome::NotSent) => {
                self.must(request.is_none(), 17, "not sent, but the ledger has a request");
            }
            Some(Outcome::Rejected) => self.must(!effect, 17, "rejected, but it had an effect"),
            Some(Outcome::Accepted) => self.must(effect, 18, "accepted, but the ledger has no effect"),
            Some(Outcome::Unknown) | None => {}
        }
    }

    /// Everything that an intent must find, at the moment of its commit.
    fn judge_intent(&mut self, world: &World, index: usize, attempt: &Attempt) {
        let now = ms(attempt.past.intent_at);
        let rem = &world.store.rems[attempt.rem];
        let rules = &RULES[attempt.config];
        self.must(attempt.epoch == world.store.epoch, 36, "an intent of a stale epoch");
        let policy_of = |config: usize| RULES[config].policies.iter().find(|p| p.name == rem.waiting.policy);
        let policy = policy_of(attempt.config);
        let same = policy.is_some() && policy == policy_of(rem.config);
        self.must(same, 30, "the policy is not the one that was decided by");
        let Some(policy) = policy.filter(|policy| policy.mode == Mode::Auto || policy.mode == Mode::Approve)
        else {
            self.fail(11, "no enabled policy at the intent");
            return;
        };
        self.must(!self.over.contains(&attempt.rem), 26, "an alert of it had resolved");
        self.judge_server(attempt, rem);
        self.judge_mutes(world, attempt, rem, rules, policy, now);
        self.judge_ages(attempt, rem, policy, now);
        let earlier = &world.store.attempts[..index];
        for before in earlier.iter().filter(|before| before.rem == attempt.rem) {
            let proven = before.past.outcome == Some(Outcome::NotSent);
            self.must(proven, 16, "a second try after one that is not proven not sent");
        }
        self.must(attempt.number <= 3, 7, "a fourth try");
        self.judge_rest(world, earlier, attempt, policy, now);
        self.judge_limits(earlier, attempt, rules, policy, now);
        self.judge_storm(world, attempt, rules, now);
        self.judge_breaker(world, earlier, attempt, rules, now);
        self.judge_standing(world, attempt, rem, now);
        self.judge_boots(world, attempt, rem);
    }

    fn judge_server(&mut self, attempt: &Attempt, rem: &super::memory::Rem) {
        let (read, decided) = (&attempt.read, &rem.waiting.server);
        let same =
            (&read.no, &read.name, read.created_at) == (&decided.no, &decided.name, decided.created_at);
        self.must(same, 12, "the server is not the one that was decided about");
        let listed =
            read.platform_code.starts_with("WND") && ["XEN", "KVM"].contains(&read.hypervisor_code.as_str());
        self.must(listed, 13, "outside the eligibility table");
        self.must(read.status_code == "RUN", 13, "not RUN");
        self.must(read.operation_code == "NULL", 13, "an operation runs");
        self.must(attempt.read_age <= 30 * SECOND, 14, "the pre-flight is older than 30 s");
    }

    fn judge_mutes(
        &mut self,
        world: &World,
        attempt: &Attempt,
        rem: &super::memory::Rem,
        rules: &Rules,
        policy: &Policy,
        now: i64,
    ) {
        let past = &attempt.past;
        let held = world.store.holds.iter().any(|(hold, cleared)| {
            let (scope, name) = hold.scope.parts();
            let covers = match scope {
                "global" => true,
                "source" => name == rem.waiting.source,
                "policy" => name == past.policy,
                "region" => name == past.region.as_str(),
                _ => name == past.server_no.as_str(),
            };
            !cleared && covers && hold.until.is_none_or(|until| now < ms(until))
        });
        self.must(!held && !world.hold_file, 28, "an intent under a hold");
        let alertname = rem.waiting.alert.labels.get("alertname").cloned().unwrap_or_default();
        let silenced = world.store.silences.iter().any(|(silence, ended)| {
            let texts = silence.matchers.texts();
            let named = texts.iter().any(|text| *text == format!("alertname=\"{alertname}\""));
            !ended && named && ms(silence.starts_at) <= now && now < ms(silence.ends_at)
        });
        self.must(!silenced, 0, "an intent under a silence");
        let name = &attempt.read.name;
        let muted = rules.maintenance.iter().any(|window| window.servers.contains(name));
        self.must(!muted, 0, "an intent in a maintenance window");
        self.must(!policy.deny_servers.contains(name), 0, "an intent on a denied server");
    }

    fn judge_ages(&mut self, attempt: &Attempt, rem: &super::memory::Rem, policy: &Policy, now: i64) {
        let notice = now - ms(rem.waiting.last_notice_at);
        self.must(notice <= 15 * MINUTE, 29, "the last notice is older than 15 min");
        let before = attempt.began_stalled.map_or(0, |began| (began - rem.noticed_stalled).max(0));
        let stood_still = if ENDED_STALLS_COUNT { 0 } else { before };
        let really = attempt.true_at - rem.noticed_true_at - stood_still;
        self.must(really <= 15 * MINUTE + 2 * CLOCKS, 29, "a clock kept an old notice young");
        let settled = rem.requested_by.is_some() || now - rem.created_at >= policy.settle.as_secs() * SECOND;
        self.must(settled, 32, "an intent before the hold-down was over");
        let old = rem.waiting.episode_started_at.is_some_and(|at| now - ms(at) > 6 * HOUR);
        let asked = policy.mode == Mode::Approve
            || rem.waiting.needs_person
            || old
            || (rem.waiting.source == "insight" && rem.requested_by.is_none());
        if !asked && rem.approvals.is_empty() {
            return;
        }
        let [approval] = rem.approvals[..] else {
            self.fail(31, format!("{} approvals where one is needed", rem.approvals.len()));
            return;
        };
        self.must(now - approval.at <= 10 * MINUTE, 31, "the approval is older than 10 min");
        self.must(Some(approval.person) != rem.requested_by, 31, "approved by the one who asked for it");
        self.must(approval.seen_version == approval.version, 31, "approved at another version");
        self.must(approval.waited <= HOUR, 31, "approved after the approval wait");
    }

    /// Cooldown and dump window, by stored times exactly and by the ledger with the tolerance of the clocks.
    fn judge_rest(
        &mut self,
        world: &World,
        earlier: &[Attempt],
        attempt: &Attempt,
        policy: &Policy,
        now: i64,
    ) {
        for before in earlier.iter().filter(|before| before.server == attempt.server) {
            let gap = now - ms(before.past.intent_at);
            let request = world.cloud.ledger.iter().find(|request| request.nonce == before.nonce);
            let effect = request.is_some_and(|request| request.effect_at.is_some());
            let cleared = matches!(before.past.outcome, Some(Outcome::NotSent | Outcome::Rejected));
            if before.past.outcome == Some(Outcome::Rejected) {
                self.must(gap >= 15 * MINUTE, 8, "less than 15 min after a refusal");
            }
            if cleared && !effect {
                continue;
            }
            let of = &RULES[before.config].policies;
            let own = of.iter().find(|policy| policy.name == before.past.policy);
            let longest = own.map_or(policy.cooldown, |own| own.cooldown.max(policy.cooldown));
            // A person who collected the dump ends the cooldown, and never the dump window.
            let collected = world.store.collected.get(attempt.past.server_no.as_str());
            let ended = collected.is_some_and(|at| ms(before.past.intent_at) < *at);
            let cooldown = if ended { 0 } else { longest.as_secs() * SECOND };
            let memory = i64::try_from(before.read.memory_bytes.max(attempt.read.memory_bytes)).unwrap();
            let dump = (30 * MINUTE).max(2 * memory / 50_000 + 15 * MINUTE);
            self.must(gap >= cooldown, 8, "inside the cooldown");
            self.must(gap >= dump, 9, "inside the dump window");
            let really = attempt.true_at - before.true_at;
            self.must(really >= cooldown.max(dump) - 2 * CLOCKS, 25, "a clock re-opened the cooldown");
            let since_effect = request.and_then(|request| request.effect_at).map(|at| attempt.true_at - at);
            let least = cooldown.max(dump) - 2 * CLOCKS - SIGNATURE;
            self.must(since_effect.is_none_or(|gap| gap >= least), 8, "a second effect inside the cooldown");
        }
    }

    /// Budgets over every sliding window that this intent ends, spacing, and what is in flight.
    fn judge_limits(
        &mut self,
        earlier: &[Attempt],
        attempt: &Attempt,
        rules: &Rules,
        policy: &Policy,
        now: i64,
    ) {
        let in_flight = earlier.iter().filter(|a| a.past.outcome.is_none()).count();
        self.must(in_flight < usize::try_from(rules.limits.in_flight).unwrap(), 21, "too many in flight");
        let others = earlier.iter().filter(|a| a.rem != attempt.rem).map(|a| ms(a.past.intent_at)).max();
        let spacing = rules.limits.spacing.as_secs() * SECOND;
        self.must(others.is_none_or(|last| now - last >= spacing), 22, "too soon after the last");
        let count = |budget: &Budget, counts: &dyn Fn(&Attempt) -> bool| {
            let from = now - budget.window.as_secs() * SECOND;
            let spent = earlier.iter().filter(|a| ms(a.past.intent_at) > from && counts(a)).count() + 1;
            spent <= usize::try_from(budget.count).unwrap()
        };
        let acted = |a: &Attempt| !matches!(a.past.outcome, Some(Outcome::NotSent | Outcome::Rejected));
        let past = &attempt.past;
        let scopes: [Scope<'_>; 4] = [
            (&rules.limits.server, "server", &|a| a.past.server_no == past.server_no && acted(a)),
            (&policy.budget, "policy", &|a| a.past.policy == past.policy),
            (&rules.limits.region, "region", &|a| a.past.region == past.region),
            (&rules.limits.global, "global", &|_| true),
        ];
        for (budgets, scope, counts) in scopes {
            let kept = budgets.iter().all(|budget| count(budget, counts));
            self.must(kept, 20, &format!("the budget of the {scope} is overspent"));
        }
    }

    /// Once faults have stopped for long enough: everything is terminal or with a person, and nothing waits for proof.
    pub(crate) fn look_at_the_end(&mut self, world: &World) {
        for (index, rem) in world.store.rems.iter().enumerate() {
            let with_person = matches!(rem.state, State::Unknown | State::Unconfirmed);
            let ended = TERMINAL.contains(&rem.state) || with_person;
            let words = format!("r{index} is still {:?}", rem.state);
            self.must(ended, if rem.state == State::Accepted { 47 } else { 45 }, &words);
        }
        self.must(world.store.pending.is_empty(), 45, "an alert still waits for its target");
    }
}
