//! The world of one history: time, clocks, processes, the stored state, the cloud and the network between them.
//!
//! Never: judges whether to act. Facts and rules are built here, in one place each; production functions judge.

use std::hash::{DefaultHasher, Hash};

use jiff::{SignedDuration, Timestamp};
use unhang::domain::claim::{Health, Preflight, Stall};
use unhang::domain::facts::{Facts, Gap, Live, TargetFact};
use unhang::domain::guest::GuestFacts;
use unhang::domain::limits::{COOLDOWN_MAX, WATCH_GAP_MIN, earlier, look_back};
use unhang::domain::policy::{Rules, Trust};
use unhang::domain::remediation::{Event, Outcome, State, transition};
use unhang::domain::server::Server;
use unhang::domain::storm::StormFacts;

use super::bugs::Bug;
use super::checker::Checker;
use super::cloud::Cloud;
use super::memory::Memory;
use super::tally::Tally;
use super::values::{CHANGES, FLAVOURS, HOUR, MINUTE, Notice, RULES, SECOND, at, ms};
use crate::prng::Prng;

/// A pre-flight read that a process keeps, with the world's time at which it was made.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) rem: usize,
    pub(crate) true_at: i64,
    pub(crate) seen: Preflight,
}

/// What a dispatcher is in the middle of. Time may pass, and anything may happen, between two of its steps.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// The claim transaction comes next.
    Ask { rem: usize, kept: Option<Kept>, may_read: bool },
    /// The pre-flight read comes next.
    Read { rem: usize },
    /// A commit failed: look whether the intent is there.
    Undo { nonce: u64 },
}

/// Where the task of a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sending {
    /// The intent is committed; not handed to the HTTP client yet.
    Ready,
    /// Handed over; the answer is not here yet.
    Waiting,
    /// The answer is here; its outcome is not stored yet.
    Answered { outcome: Outcome, unauthorized: bool },
}

/// The task of one request.
#[derive(Debug, Clone)]
#[expect(clippy::struct_field_names, reason = "the deadline is called so everywhere")]
pub(crate) struct Send {
    pub(crate) nonce: u64,
    pub(crate) server: usize,
    pub(crate) signed_at: i64,
    /// Deadline for the hand-over, in the world's time: it is monotonic.
    pub(crate) send_before: i64,
    pub(crate) stage: Sending,
}

/// One running process; everything in it is lost in a crash.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) epoch: i64,
    pub(crate) floor: i64,
    /// What its clock knows of times in which it stood still, and how far the wall was behind when last looked at.
    pub(crate) stall: Option<Stall>,
    pub(crate) behind: i64,
    /// How long our clock had stood still in all when it began; `None` where it saw that and trusts nothing older.
    pub(crate) began_stalled: Option<i64>,
    pub(crate) clock_fault: bool,
    pub(crate) halted: bool,
    pub(crate) config: usize,
    pub(crate) kept: Vec<Kept>,
    pub(crate) work: Option<Work>,
    pub(crate) sends: Vec<Send>,
}

/// A delivery on its way to us.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) source: usize,
    pub(crate) notices: Vec<Notice>,
    pub(crate) truncated: bool,
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Good,
    /// Rolled back as a whole.
    Failed,
    /// Reported as failed, yet durable.
    FailedButThere,
}

/// One history.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each switches one kind of event")]
pub(crate) struct World {
    pub(crate) rng: Prng,
    pub(crate) bug: Option<Bug>,
    /// Resolved notices do not take back by themselves what their alert opened; the claim must see them.
    pub(crate) lean: bool,
    /// Whether anything may still go wrong.
    pub(crate) faults: bool,
    pub(crate) time: i64,
    pub(crate) wall_off: i64,
    /// How long, in all, our clock stood still because the wall had been set back.
    pub(crate) stalled: i64,
    /// The latest time that a process which died had seen.
    pub(crate) lost_floor: i64,
    pub(crate) store: Memory,
    pub(crate) cloud: Cloud,
    pub(crate) hold_file: bool,
    pub(crate) processes: Vec<Process>,
    pub(crate) episodes: Vec<Notice>,
    pub(crate) network: Vec<Post>,
    pub(crate) nonces: u64,
    pub(crate) checker: Checker,
    pub(crate) tally: Tally,
    /// Whether a heartbeat is expected.
    pub(crate) beating: bool,
    /// The newest stamp in the journal, by the wall, and the world's time of it.
    pub(crate) stamp: (i64, i64),
    /// Nonces in the journal: it is not part of the store.
    pub(crate) journal: Vec<u64>,
    /// Times in which no process ran, with a wall clock that was right.
    pub(crate) dark: Vec<(i64, i64)>,
    pub(crate) backup: Option<Box<Memory>>,
    /// Attempts and requests there were when an older store was put in place.
    pub(crate) restored: Option<(usize, usize)>,
    /// Nothing more is looked at in this history.
    pub(crate) over: bool,
    pub(crate) told: Option<Vec<String>>,
    pub(crate) hash: DefaultHasher,
}

impl World {
    /// A world at its beginning, with one process running.
    pub(crate) fn new(seed: u64, bug: Option<Bug>, telling: bool) -> Self {
        let mut rng = Prng::new(seed);
        let config = rng.below(FLAVOURS) * CHANGES;
        let lean = rng.chance(250);
        let beating = rng.chance(150);
        let mut cloud = Cloud::new();
        for index in 0..cloud.real.len() {
            if rng.chance(100) {
                let age = rng.pick(&[20 * MINUTE, 40 * MINUTE, 3 * HOUR]);
                cloud.reboot(index, -age);
            }
        }
        let inventory = cloud.real.iter().map(|real| real.server.clone()).collect();
        let store = Memory { inventory, ..Memory::default() };
        let mut world = Self {
            rng,
            bug,
            lean,
            faults: true,
            time: 0,
            wall_off: 0,
            stalled: 0,
            lost_floor: 0,
            store,
            cloud,
            hold_file: false,
            processes: Vec::new(),
            episodes: Vec::new(),
            network: Vec::new(),
            nonces: 0,
            checker: Checker::default(),
            tally: Tally::default(),
            beating,
            stamp: (0, 0),
            journal: Vec::new(),
            dark: vec![(i64::MIN, 0)],
            backup: None,
            restored: None,
            over: false,
            told: telling.then(Vec::new),
            hash: DefaultHasher::new(),
        };
        world.start(config);
        world
    }

    /// The one place where facts are made of the stored state. `server` names the one whose live remediation counts.
    #[expect(clippy::too_many_arguments, reason = "each is asked for by one caller alone")]
    pub(crate) fn facts_of(
        &self,
        target: TargetFact,
        server: Option<usize>,
        rem: Option<usize>,
        fingerprint: &str,
        guards: Option<(&str, &str)>,
        rules: &Rules,
        now: Timestamp,
        claiming: bool,
    ) -> Facts {
        let live = server.filter(|_| self.bug != Some(Bug::TwoLive)).and_then(|server| {
            let rem = &self.store.rems[self.store.live(server)?];
            Some(Live {
                remediation_id: rem.waiting.remediation_id.clone(),
                incident_id: "i".to_owned(),
                state: rem.state,
            })
        });
        let since = earlier(now, look_back(rules));
        let past = self.store.attempts.iter().rev().map(|attempt| attempt.past.clone());
        let mut attempts: Vec<_> =
            past.filter(|past| past.intent_at >= since || past.cooldown_until >= now).collect();
        if self.bug == Some(Bug::FreeOnUnknown) {
            let unknown = attempts.iter_mut().filter(|past| past.outcome == Some(Outcome::Unknown));
            unknown.for_each(|past| past.outcome = Some(Outcome::NotSent));
        }
        let forgotten = claiming && self.bug == Some(Bug::ForgetHold);
        let holds = self.store.holds.iter().filter(|(_, cleared)| !cleared && !forgotten);
        let silences = self.store.silences.iter().filter(|(_, ended)| !ended);
        let server_no = match &target {
            TargetFact::Found(server) => Some(server.no.to_string()),
            _ => None,
        };
        let mut facts = Facts {
            target,
            newest_resolved_end: self.store.resolved.get(fingerprint).map(|(end, _)| at(*end)),
            ended_in_delivery: false,
            joined_end: rem.and_then(|rem| self.joined_end(rem)),
            trust: Some(Trust::Act),
            live,
            attempts,
            holds: holds.map(|(hold, _)| hold.clone()).collect(),
            hold_file: (self.hold_file && !forgotten).then(|| "the hold file is there".to_owned()),
            silences: silences.map(|(silence, _)| silence.clone()).collect(),
            storm: StormFacts::default(),
            tried: Vec::new(),
            demoted: None,
            quarantine: None,
            unwatched: Vec::new(),
            listed_uptime_at: None,
            incident_opened_at: None,
            guest: GuestFacts::default(),
            heartbeats: Vec::new(),
        };
        self.common_facts(&mut facts, server_no.as_deref(), since);
        if let Some((region, policy)) = guards {
            self.guard_facts(&mut facts, region, policy, rules, now);
        }
        facts
    }

    /// Facts about a remediation that already lives, as the claim, the settle and the approval read them.
    pub(crate) fn facts_about(&self, rem: usize, rules: &Rules, now: Timestamp) -> Facts {
        let waiting = &self.store.rems[rem].waiting;
        let target = TargetFact::Found(Box::new(waiting.server.clone()));
        let guards = Some((waiting.server.region.as_str(), waiting.policy.as_str()));
        let mut facts =
            self.facts_of(target, None, Some(rem), &waiting.alert.fingerprint, guards, rules, now, true);
        let same = |known: &&Server| known.identity() == waiting.server.identity();
        let listed = self.store.inventory.iter().find(same).and_then(|known| known.uptime_at);
        facts.listed_uptime_at = listed.filter(|_| self.bug != Some(Bug::BootUnseen));
        facts
    }

    /// When the newest end was noticed of an alert that had opened or joined the remediation by then.
    fn joined_end(&self, rem: usize) -> Option<Timestamp> {
        if self.bug == Some(Bug::ForgetJoined) {
            return None;
        }
        let noticed = |(fingerprint, joined_at): &(String, i64)| {
            let (_, noticed_at) = self.store.resolved.get(fingerprint)?;
            (noticed_at >= joined_at).then(|| at(*noticed_at))
        };
        self.store.rems[rem].joined.iter().filter_map(noticed).max()
    }

    /// Rules that a process works by.
    pub(crate) fn rules(&self, process: usize) -> &'static Rules {
        &RULES[self.processes[process].config]
    }

    /// What a process says of itself in a claim.
    pub(crate) fn health(&self, process: usize) -> Health {
        let process = &self.processes[process];
        let behind = process.floor - (self.time + self.wall_off) > 5 * SECOND;
        let foreign = self.bug != Some(Bug::NoEpoch) && self.store.epoch != process.epoch;
        Health {
            halted: (process.halted || foreign).then(|| "halted".to_owned()),
            clock: (process.clock_fault || behind).then(|| "unsound".to_owned()),
            stall: process.stall.filter(|_| self.bug != Some(Bug::ForgetStall)),
            ..Health::default()
        }
    }

    /// Every running process looks at its clock: the floor moves on, or the clock stands still, and that is noted.
    fn look_at_clocks(&mut self) {
        let wall = self.time + self.wall_off;
        for process in &mut self.processes {
            process.floor = process.floor.max(wall);
            let behind = process.floor - wall;
            if behind > 5 * SECOND {
                let until = at(process.floor);
                let same = process.stall.is_some_and(|stall| stall.until == until);
                let further = (behind - if same { process.behind } else { 0 }).max(0);
                let before = process.stall.map_or(SignedDuration::ZERO, |stall| stall.by);
                process.behind = behind;
                let by = before.saturating_add(SignedDuration::from_millis(further));
                process.stall = Some(Stall { until, by });
            }
        }
    }

    /// The process's clock: the wall, never behind what it or the store has seen.
    pub(crate) fn now(&mut self, process: usize) -> Timestamp {
        let wall = self.time + self.wall_off;
        let process = &mut self.processes[process];
        process.floor = process.floor.max(wall);
        at(process.floor)
    }

    /// The world's time moves on. Our clock stands still while the wall is behind what we have seen, and nobody looks at it
    /// while no process runs.
    pub(crate) fn advance(&mut self, step: i64) {
        self.look_at_clocks();
        let seen = self.processes.iter().map(|process| process.floor).max().unwrap_or(0);
        let behind = seen.max(self.store.latest) - (self.time + self.wall_off);
        let unwatched = self.processes.is_empty() && self.wall_off != 0;
        self.stalled += if unwatched { step } else { behind.clamp(0, step) };
        self.time += step;
        self.cloud.pass(self.time);
        self.look_at_clocks();
        if !self.processes.is_empty() {
            self.stamp = (self.time + self.wall_off, self.time);
        }
    }

    /// What will become of the next commit.
    pub(crate) fn fate(&mut self) -> Fate {
        if !self.faults || !self.rng.chance(40) {
            return Fate::Good;
        }
        if self.rng.chance(500) { Fate::Failed } else { Fate::FailedButThere }
    }

    /// Runs a transaction. `None` when it was reported as failed.
    pub(crate) fn commit<T>(
        &mut self,
        fate: Fate,
        now: Timestamp,
        job: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        let before = (fate == Fate::Failed).then(|| self.store.clone());
        self.store.latest = self.store.latest.max(ms(now));
        let done = job(self);
        if let Some(before) = before {
            self.store = before;
        }
        (fate == Fate::Good).then_some(done)
    }

    /// Moves a remediation along a legal move; nothing happens otherwise.
    pub(crate) fn shift(&mut self, rem: usize, event: Event, now: Timestamp) -> Option<State> {
        let row = &mut self.store.rems[rem];
        let to = transition(row.state, event).ok()?;
        row.state = to;
        row.version += 1;
        if to == State::AwaitingApproval {
            row.waiting.waiting_since = now;
        }
        self.after_move(rem, to, now);
        Some(to)
    }

    /// A new process takes over: a new epoch, and what older ones left in flight becomes unknown.
    pub(crate) fn start(&mut self, config: usize) {
        let now = at(self.store.latest.max(self.time + self.wall_off));
        let fate = if self.processes.is_empty() && self.store.epoch == 0 { Fate::Good } else { self.fate() };
        let done = self.commit(fate, now, |world| {
            world.store.epoch += 1;
            let epoch = world.store.epoch;
            let orphans: Vec<u64> = world
                .store
                .attempts
                .iter()
                .filter(|attempt| attempt.past.outcome.is_none() && attempt.epoch < epoch)
                .map(|attempt| attempt.nonce)
                .collect();
            for nonce in orphans {
                world.write_outcome(nonce, Outcome::Unknown, false, now);
            }
            world.compare(now);
            epoch
        });
        // A start that fails is tried again by whoever starts it; the older owners are stale all the same.
        let Some(epoch) = done else { return };
        // What a dead process had seen beyond the stored time is gone over again where the wall was set back.
        self.stalled += (std::mem::take(&mut self.lost_floor) - ms(now)).max(0);
        if self.processes.is_empty() && self.wall_off == 0 && self.stamp.0 == self.stamp.1 {
            let (_, from) = self.stamp;
            self.dark.extend((self.time - from > 10 * MINUTE).then_some((from, self.time)));
        }
        let behind = ms(now) - (self.time + self.wall_off);
        let doubts = behind > 5 * SECOND;
        self.processes.push(Process {
            epoch,
            floor: ms(now),
            stall: doubts.then_some(Stall { until: now, by: COOLDOWN_MAX }),
            behind,
            began_stalled: (!doubts).then_some(self.stalled),
            clock_fault: false,
            halted: false,
            config,
            kept: Vec::new(),
            work: None,
            sends: Vec::new(),
        });
        // The lock lets one live; a second one is what a lock that failed would leave.
        if self.processes.len() > 2 {
            self.crash(0);
        }
    }

    /// At a start: what the journal knows of and the store does not, and a time in which nobody watched.
    fn compare(&mut self, now: Timestamp) {
        let known = |nonce: &u64| self.store.attempts.iter().any(|attempt| attempt.nonce == *nonce);
        if self.bug != Some(Bug::TrustRestored) && !self.journal.iter().all(known) {
            self.tally.guard("quarantine");
            self.store.quarantine = Some("the journal knows of more attempts".to_owned());
        }
        if self.store.epoch == 1 && self.bug != Some(Bug::NoFirstGap) {
            self.store.gaps.push(Gap { from: Timestamp::UNIX_EPOCH, until: now });
        }
        let from = at(self.stamp.0);
        let away = now.duration_since(from).max(SignedDuration::from_millis(self.time - self.stamp.1));
        let gap = self.processes.is_empty() && away > WATCH_GAP_MIN && from < now;
        if gap && self.bug != Some(Bug::NoGaps) {
            self.tally.guard("gap");
            self.store.gaps.push(Gap { from, until: now });
        }
    }

    /// A process dies: its memory is lost, what it handed over may still arrive.
    pub(crate) fn crash(&mut self, process: usize) {
        let dead = self.processes.remove(process);
        self.lost_floor = self.lost_floor.max(dead.floor);
    }

    /// Notes a line of the story, and folds it into the hash of the history.
    pub(crate) fn say(&mut self, code: u32, detail: usize, words: impl FnOnce(&Self) -> String) {
        (code, detail, self.time, self.store.rems.len(), self.store.attempts.len()).hash(&mut self.hash);
        if self.told.is_some() {
            let line = format!("{:>9.3} s  {}", seconds(self.time), words(self));
            self.told.get_or_insert_default().push(line);
        }
    }
}

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "only shown to people")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}
