//! The dispatcher, the tasks of requests and the verifier of one process, cut into steps between which anything may happen.
//!
//! Never: decides; `settled`, `approvable`, `claim`, `transition` and `reboot` do.

use jiff::{SignedDuration, Timestamp};
use unhang::domain::claim::{
    Claim, PREFLIGHT_AGE_MAX, Preflight, PreflightSeen, Settled, approvable, claim, settled,
};
use unhang::domain::evidence::{Baseline, reboot, unconfirmed_at};
use unhang::domain::facts::Past;
use unhang::domain::guard::{Reason, Verdict};
use unhang::domain::limits::later;
use unhang::domain::remediation::{Event, Outcome, State, TRIES_MAX};
use unhang::domain::server::Server;

use super::bugs::Bug;
use super::cloud::Request;
use super::memory::Attempt;
use super::values::{MINUTE, RULES, SECOND, at, ms};
use super::world::{Kept, Process, Send, Sending, Work, World};

const SEND_WITHIN: i64 = 10 * SECOND;

impl World {
    /// The next step of a process's dispatcher.
    pub(crate) fn tick(&mut self, p: usize) {
        match self.processes[p].work.take() {
            Some(Work::Ask { rem, kept, may_read }) => self.ask_claim(p, rem, kept, may_read),
            Some(Work::Read { rem }) => self.read(p, rem),
            Some(Work::Undo { nonce }) => self.undo(p, nonce),
            None => self.look(p),
        }
    }

    /// Takes one of the due remediations.
    fn look(&mut self, p: usize) {
        let now = self.now(p);
        let wanted = |state: State| match state {
            State::Settling | State::Queued => true,
            State::AwaitingApproval => self.bug != Some(Bug::NoReview),
            _ => false,
        };
        let lost = |number: usize| self.bug == Some(Bug::LostWakeUp) && number > 0;
        let due: Vec<usize> = (0..self.store.rems.len())
            .filter(|r| {
                let rem = &self.store.rems[*r];
                let tries = self.store.attempts.iter().filter(|attempt| attempt.rem == *r).count();
                wanted(rem.state) && at(rem.not_before) <= now && !lost(tries)
            })
            .collect();
        if due.is_empty() {
            return;
        }
        let rem = due[self.rng.below(due.len())];
        match self.store.rems[rem].state {
            State::Settling => self.settle(p, rem, now),
            State::AwaitingApproval => self.review(p, rem, now),
            _ => {
                let time = self.time;
                let process = &mut self.processes[p];
                process.kept.retain(|kept| time - kept.true_at <= 30 * SECOND);
                let kept = process.kept.iter().rev().find(|kept| kept.rem == rem).cloned();
                process.work = Some(Work::Ask { rem, kept, may_read: true });
            }
        }
    }

    fn settle(&mut self, p: usize, rem: usize, now: Timestamp) {
        if now < at(self.store.rems[rem].settle_until) {
            return;
        }
        let rules = self.rules(p);
        let facts = self.facts_about(rem, rules, now);
        let (verdict, _) = settled(&self.store.rems[rem].waiting, rules, &facts, now);
        let storm = matches!(&verdict, Settled::Cancel(check) if check.guard == Reason::Storm);
        let event = match verdict {
            Settled::Queue => Event::Settled,
            Settled::AskPerson(_) => Event::NeedsApproval,
            Settled::Cancel(check) => {
                self.tally.cancelled(check.guard);
                Event::Cancelled
            }
            Settled::Expire(_) => Event::Expired,
        };
        let fate = self.fate();
        let server = self.store.rems[rem].waiting.server.clone();
        self.commit(fate, now, |world| {
            if storm {
                world.open_storm_if_seen(rem, &server, &facts, rules, now);
            }
            world.shift(rem, event, now);
        });
        self.say(10, rem, |_| format!("r{rem} settles: {event:?} ({fate:?})"));
    }

    fn review(&mut self, p: usize, rem: usize, now: Timestamp) {
        let rules = self.rules(p);
        let facts = self.facts_about(rem, rules, now);
        let (verdict, _) = approvable(&self.store.rems[rem].waiting, rules, &facts, now);
        let Err(check) = verdict else { return };
        let event = if check.verdict == Verdict::Expire { Event::Expired } else { Event::Cancelled };
        let fate = self.fate();
        self.commit(fate, now, |world| world.shift(rem, event, now));
        self.say(11, rem, |_| format!("r{rem} is no longer approvable: {} ({fate:?})", check.guard.as_str()));
    }

    /// The claim transaction.
    fn ask_claim(&mut self, p: usize, rem: usize, kept: Option<Kept>, may_read: bool) {
        if self.store.rems[rem].state != State::Queued {
            return;
        }
        let now = self.now(p);
        let rules = self.rules(p);
        let health = self.health(p);
        let facts = self.facts_about(rem, rules, now);
        // Its age is asked of the monotonic clock as well: the other one may stand still.
        let young = |kept: &&Kept| self.time - kept.true_at <= 30 * SECOND;
        let seen = kept.as_ref().filter(young).map(|kept| &kept.seen);
        let (verdict, _) = claim(&self.store.rems[rem].waiting, rules, &facts, seen, &health, now);
        match verdict {
            Claim::NeedPreflight if may_read => self.processes[p].work = Some(Work::Read { rem }),
            Claim::NeedPreflight => {}
            Claim::Wait(check) => {
                self.tally.waited(check.guard);
                self.say(12, rem, |_| format!("r{rem} waits: {} {}", check.guard.as_str(), check.seen));
            }
            Claim::AskPerson(check) => {
                self.tally.asked(check.guard);
                let fate = self.fate();
                self.commit(fate, now, |world| world.shift(rem, Event::NeedsApproval, now));
                self.say(13, rem, |_| format!("r{rem} asks a person: {} ({fate:?})", check.guard.as_str()));
            }
            Claim::Cancel(check) | Claim::Expire(check) => {
                let expire = check.verdict == Verdict::Expire;
                let event = if expire { Event::Expired } else { Event::Cancelled };
                self.tally.cancelled(check.guard);
                let fate = self.fate();
                let server = match seen.map(|seen| &seen.seen) {
                    Some(PreflightSeen::Server(server)) => server.as_ref().clone(),
                    _ => self.store.rems[rem].waiting.server.clone(),
                };
                self.commit(fate, now, |world| {
                    if check.guard == Reason::Storm {
                        world.open_storm_if_seen(rem, &server, &facts, rules, now);
                    }
                    world.shift(rem, event, now);
                });
                self.say(13, rem, |_| {
                    format!("r{rem} {event:?}: {} {} ({fate:?})", check.guard.as_str(), check.seen)
                });
            }
            Claim::Go(server) => {
                // Only a read can have let it go; without one the checker sees an age beyond any limit.
                let read_age = kept.map_or(i64::MAX, |kept| self.time - kept.true_at);
                self.commit_intent(p, rem, *server, read_age, now);
            }
        }
    }

    fn commit_intent(&mut self, p: usize, rem: usize, server: Server, read_age: i64, now: Timestamp) {
        self.nonces += 1;
        let (nonce, signed_at) = (self.nonces, self.time + self.wall_off);
        let send_before = self.time + SEND_WITHIN;
        let Process { epoch, config, began_stalled, .. } = self.processes[p];
        let fate = self.fate();
        let index = self.store.rems[rem].server;
        if self.bug == Some(Bug::CallBeforeCommit) {
            self.hand_to_network(nonce, index, signed_at, send_before);
        }
        let done = self.commit(fate, now, |world| {
            let waiting = &world.store.rems[rem].waiting;
            let policy = RULES[config].policies.iter().find(|policy| policy.name == waiting.policy).unwrap();
            let past = Past {
                remediation_id: waiting.remediation_id.clone(),
                intent_at: now,
                server_no: waiting.server.no.clone(),
                region: waiting.server.region.clone(),
                policy: waiting.policy.clone(),
                outcome: None,
                memory_bytes: server.memory_bytes,
                cooldown_until: later(now, policy.cooldown),
            };
            let tries = world.store.attempts.iter().filter(|attempt| attempt.rem == rem).count();
            let attempt = Attempt {
                nonce,
                rem,
                number: u32::try_from(tries).unwrap() + 1,
                epoch,
                signed_at,
                uptime_at: server.uptime_at.map(ms),
                past,
                server: index,
                true_at: world.time,
                read_age,
                read: Box::new(server),
                began_stalled,
                config,
            };
            world.store.attempts.push(attempt);
            world.shift(rem, Event::Claimed, now).unwrap();
        });
        self.say(14, rem, |_| format!("r{rem} intent {nonce} of epoch {epoch} ({fate:?})"));
        let process = &mut self.processes[p];
        process.kept.retain(|kept| kept.rem != rem);
        if done.is_some() {
            let stage =
                if self.bug == Some(Bug::CallBeforeCommit) { Sending::Waiting } else { Sending::Ready };
            process.sends.push(Send { nonce, server: index, signed_at, send_before, stage });
        } else {
            process.work = Some(Work::Undo { nonce });
        }
    }

    /// The pre-flight read.
    fn read(&mut self, p: usize, rem: usize) {
        let real = &self.cloud.real[self.store.rems[rem].server];
        let mut server = real.present.then(|| Box::new(real.server.clone()));
        if let Some(server) = server.as_mut().filter(|_| self.bug == Some(Bug::BootUnseen)) {
            server.uptime_at = self.store.rems[rem].waiting.server.uptime_at;
        }
        let readable = !self.faults || !self.rng.chance(60);
        let seen = match server {
            _ if !readable => PreflightSeen::Unreadable("no answer".to_owned()),
            Some(server) => PreflightSeen::Server(server),
            None => PreflightSeen::Gone,
        };
        let off = self.wall_off.abs() > MINUTE;
        let read_at = self.now(p);
        let process = &mut self.processes[p];
        if readable {
            process.clock_fault = off;
        }
        let kept = Kept {
            rem,
            true_at: self.time,
            seen: Preflight { read_at, seen, named: None, signals: Vec::new() },
        };
        process.kept.retain(|kept| kept.rem != rem);
        process.kept.push(kept.clone());
        process.work = Some(Work::Ask { rem, kept: Some(kept), may_read: false });
        self.say(15, rem, |_| format!("r{rem} pre-flight read"));
    }

    /// A commit failed: an intent that is there all the same was not sent, and says so.
    fn undo(&mut self, p: usize, nonce: u64) {
        let now = self.now(p);
        let fate = self.fate();
        let done = self.commit(fate, now, |world| world.write_outcome(nonce, Outcome::NotSent, false, now));
        if done.is_none() {
            self.processes[p].work = Some(Work::Undo { nonce });
        }
        self.say(16, 0, |_| format!("intent {nonce} is looked for after its commit failed ({fate:?})"));
    }

    fn hand_to_network(&mut self, nonce: u64, server: usize, signed_at: i64, send_before: i64) {
        let handed_at = self.time;
        let request =
            Request { nonce, server, signed_at, handed_at, send_before, arrived: false, effect_at: None };
        self.cloud.ledger.push(request);
    }

    /// The next step of the task of a request.
    pub(crate) fn go_on(&mut self, p: usize, index: usize) {
        let send = self.processes[p].sends[index].clone();
        match send.stage {
            Sending::Ready => self.hand_over(p, index, &send),
            Sending::Waiting => {
                // The process gives up waiting; the request may still be on its way.
                let outcome =
                    if self.bug == Some(Bug::LostIsNotSent) { Outcome::NotSent } else { Outcome::Unknown };
                let arrived = self.cloud.ledger.iter().any(|one| one.nonce == send.nonce && one.arrived);
                let answered = self.cloud.replies.iter().any(|one| one.nonce == send.nonce);
                if (arrived && !answered) || (self.faults && self.rng.chance(200)) {
                    let stage = Sending::Answered { outcome, unauthorized: false };
                    self.processes[p].sends[index].stage = stage;
                    self.say(17, 0, |_| format!("request {} has no answer", send.nonce));
                }
            }
            Sending::Answered { outcome, unauthorized } => self.finish(p, index, outcome, unauthorized),
        }
    }

    fn hand_over(&mut self, p: usize, index: usize, send: &Send) {
        let late = self.time > send.send_before && self.bug != Some(Bug::LateSend);
        let failed = self.faults && self.rng.chance(150);
        let stage = if late || failed {
            Sending::Answered { outcome: Outcome::NotSent, unauthorized: false }
        } else {
            let again = self.bug == Some(Bug::SignAgain);
            let signed_at = if again { self.time + self.wall_off } else { send.signed_at };
            self.journal.push(send.nonce);
            self.hand_to_network(send.nonce, send.server, signed_at, send.send_before);
            Sending::Waiting
        };
        self.processes[p].sends[index].stage = stage;
        self.say(18, 0, |_| format!("request {}: {stage:?}", send.nonce));
    }

    /// Stores an outcome, whatever it takes; nothing is sent until it is stored.
    fn finish(&mut self, p: usize, index: usize, outcome: Outcome, unauthorized: bool) {
        let nonce = self.processes[p].sends[index].nonce;
        let now = self.now(p);
        let fate = self.fate();
        let done = self.commit(fate, now, |world| world.write_outcome(nonce, outcome, unauthorized, now));
        if done.is_some() {
            self.processes[p].sends.remove(index);
            self.processes[p].halted = false;
        } else {
            self.processes[p].halted = true;
            self.hold_file = true;
        }
        self.say(19, 0, |_| format!("request {nonce} ended {outcome:?} ({fate:?})"));
    }

    /// Writes the end of an attempt and moves its remediation, in the caller's transaction.
    pub(crate) fn write_outcome(&mut self, nonce: u64, outcome: Outcome, raises_hold: bool, now: Timestamp) {
        let Some(index) = self.store.attempts.iter().position(|attempt| attempt.nonce == nonce) else {
            return;
        };
        let attempt = &mut self.store.attempts[index];
        let late = attempt.past.outcome == Some(Outcome::Unknown)
            && matches!(outcome, Outcome::Accepted | Outcome::Rejected);
        if attempt.past.outcome.is_some() && !late && self.bug != Some(Bug::OutcomeRewritten) {
            return;
        }
        let lost = outcome == Outcome::Unknown && self.bug == Some(Bug::ResendUnknown);
        let outcome = if lost { Outcome::NotSent } else { outcome };
        attempt.past.outcome = Some(outcome);
        let (rem, number) = (attempt.rem, attempt.number);
        let (event, pause) = match outcome {
            Outcome::Accepted => (Event::Accepted, None),
            Outcome::Rejected => (Event::Rejected, None),
            Outcome::Unknown => (Event::Lost, None),
            Outcome::NotSent if number < TRIES_MAX => {
                (Event::NotSentTryAgain, Some(if number == 1 { 5 } else { 15 }))
            }
            Outcome::NotSent => (Event::NotSentForGood, None),
        };
        if self.shift(rem, event, now).is_some()
            && let Some(pause) = pause
        {
            self.store.rems[rem].not_before = ms(now) + pause * SECOND;
        }
        if raises_hold {
            self.insert_hold(unhang::domain::hold::HoldScope::Global, None, now);
        }
    }

    /// The verifier looks at one remediation that waits for proof.
    pub(crate) fn verify(&mut self, p: usize) {
        let open = |state: State| matches!(state, State::Accepted | State::Unknown | State::Unconfirmed);
        let acted = |outcome| matches!(outcome, Some(Outcome::Accepted | Outcome::Unknown));
        let attempts: Vec<usize> = (0..self.store.attempts.len())
            .filter(|a| acted(self.store.attempts[*a].past.outcome))
            .filter(|a| open(self.store.rems[self.store.attempts[*a].rem].state))
            .collect();
        if attempts.is_empty() || (self.faults && self.rng.chance(100)) {
            return;
        }
        let attempt = &self.store.attempts[attempts[self.rng.below(attempts.len())]];
        let (rem, server) = (attempt.rem, attempt.server);
        let past = &attempt.past;
        let uptime_at = attempt.uptime_at.map(at);
        let baseline = Baseline { intent_at: past.intent_at, uptime_at, memory_bytes: past.memory_bytes };
        let now = self.now(p);
        let real = &self.cloud.real[server];
        let same = real.present && real.server.identity() == self.store.rems[rem].waiting.server.identity();
        let state = self.store.rems[rem].state;
        let evidence = if same { reboot(&baseline, &real.server, state) } else { None };
        let over = now >= unconfirmed_at(&baseline, SignedDuration::from_mins(15));
        let event = match evidence {
            Some(_) => Event::RebootSeen,
            None if over && self.store.rems[rem].state == State::Accepted => Event::NoRebootInTime,
            None => return,
        };
        let fate = self.fate();
        self.commit(fate, now, |world| world.shift(rem, event, now));
        self.say(20, rem, |_| format!("r{rem} verified: {event:?} ({fate:?})"));
    }
}

const _: () =
    assert!(PREFLIGHT_AGE_MAX.as_secs() == 30, "the kept reads live as long as the claim trusts them");
