//! One history: which step comes next, how much time passes before it, and what is looked at after it.
//!
//! Never: a step that is not drawn from the seed.

use std::hash::Hasher;

use super::bugs::Bug;
use super::tally::Tally;
use super::values::{CHANGES, FLAVOURS, HOUR, MINUTE, SECOND, STORMY};
use super::world::{Sending, World};

/// What one history ended as.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) broken: Vec<(u8, String)>,
    pub(crate) hash: u64,
    pub(crate) told: Vec<String>,
    pub(crate) tally: Tally,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Tell,
    Deliver,
    Tick,
    Send,
    Arrive,
    Reply,
    Verify,
    Person,
    Stir,
    LookUp,
    Crash,
    Rival,
    Clock,
    Reload,
    ClearUp,
    Beat,
    Copy,
}

/// Plays one history. With `settling` faults stop at the end and everything must come to an end.
pub(crate) fn play(seed: u64, bug: Option<Bug>, settling: bool, telling: bool) -> Ended {
    let mut world = World::new(seed, bug, telling);
    let steps = 60 + world.rng.below(90);
    for _ in 0..steps {
        world.step();
        if world.over || !world.checker.broken.is_empty() {
            break;
        }
    }
    if settling && world.restored.is_none() && world.checker.broken.is_empty() {
        world.calm_down();
    }
    let World { checker, hash, told, tally, .. } = world;
    Ended { broken: checker.broken, hash: hash.finish(), told: told.unwrap_or_default(), tally }
}

impl World {
    fn step(&mut self) {
        self.pass_time();
        let step = self.choose();
        let p = self.processes.len().saturating_sub(if self.rng.chance(700) { 1 } else { 2 });
        // An owner that was replaced goes on with its own work; it takes nothing in any more.
        let newest = self.processes.len().saturating_sub(1);
        match step {
            _ if self.processes.is_empty() && self.rng.chance(300) => {
                let server = self.rng.below(self.cloud.real.len());
                self.cloud.reboot(server, self.time);
                self.say(8, server, |_| format!("server {server} is rebooted while nobody watches"));
            }
            _ if self.processes.is_empty() => self.restart(),
            Step::Tell => self.tell(),
            Step::Deliver => self.deliver(newest),
            Step::Tick => self.tick(p),
            Step::Send => self.send_on(p),
            Step::Arrive => self.arrive(),
            Step::Reply => self.reply(),
            Step::Verify => self.verify(newest),
            Step::Person => self.person(newest),
            Step::Stir => {
                let server = self.rng.below(self.cloud.real.len());
                self.cloud.stir(server, self.time, &mut self.rng);
                self.say(1, server, |_| format!("server {server} is stirred"));
            }
            Step::LookUp => self.look_up(newest),
            Step::Crash => {
                self.crash(p);
                self.say(2, p, |_| "a process dies".to_owned());
            }
            Step::ClearUp if self.restored.is_some() => self.reconcile(),
            Step::ClearUp => self.clear_up(newest),
            Step::Beat => self.beat(newest),
            Step::Copy => self.back_up_or_restore(),
            Step::Rival => self.restart(),
            Step::Clock => {
                self.wall_off =
                    self.rng.pick(&[0, 0, 0, 45 * SECOND, -45 * SECOND, HOUR, -HOUR, 30 * HOUR, -30 * HOUR]);
                self.say(3, 0, |world| format!("the wall clock is off by {} s", world.wall_off / SECOND));
            }
            Step::Reload => {
                let config = self.rng.below(FLAVOURS * CHANGES);
                let flavour = self.processes[newest].config / CHANGES;
                let other = self.rng.chance(100);
                self.processes[newest].config =
                    if other { config } else { flavour * CHANGES + config % CHANGES };
                self.say(4, config, |world| format!("configuration {}", world.processes[newest].config));
            }
        }
        self.observe();
    }

    /// The checker looks at what the step did.
    fn observe(&mut self) {
        for (index, rem) in self.store.rems.iter().enumerate().rev().take(3) {
            self.hash.write_usize(index);
            self.hash.write_i64(rem.version);
            self.tally.state(rem.state);
        }
        let mut checker = std::mem::take(&mut self.checker);
        checker.look(self);
        self.checker = checker;
    }

    fn pass_time(&mut self) {
        let busy = self.processes.iter().any(|process| process.work.is_some() || !process.sends.is_empty());
        let step = if busy {
            self.rng.weighted(&[
                (50, 0),
                (25, SECOND),
                (10, 4 * SECOND),
                (8, 12 * SECOND),
                (4, 40 * SECOND),
                (1, 20 * MINUTE),
            ])
        } else {
            self.rng.weighted(&[
                (40, 0),
                (20, SECOND),
                (14, 20 * SECOND),
                (14, 2 * MINUTE),
                (6, 8 * MINUTE),
                (4, 35 * MINUTE),
                (2, 2 * HOUR),
                (1, 7 * HOUR),
            ])
        };
        let odd = self.rng.pick(&[0, 0, 1, 999]);
        self.advance(step + odd);
    }

    fn choose(&mut self) -> Step {
        let sends = self.processes.iter().any(|process| !process.sends.is_empty());
        let works = self.processes.iter().any(|process| process.work.is_some());
        let travels = self.cloud.ledger.iter().any(|request| !request.arrived);
        let waits = self.store.rems.iter().any(|rem| rem.state.is_before_intent());
        let stopped = !self.store.demoted.is_empty()
            || self.store.storms.iter().any(|storm| storm.cleared_at.is_none());
        let stormy = self.processes.last().is_some_and(|process| process.config / CHANGES == STORMY);
        let on = |yes: bool, weight: usize| if yes { weight } else { 0 };
        self.rng.weighted(&[
            (16, Step::Tell),
            (on(!self.network.is_empty(), 24), Step::Deliver),
            (8 + on(waits, 30) + on(works, 60), Step::Tick),
            (on(sends, 50), Step::Send),
            (on(travels, 40), Step::Arrive),
            (on(!self.cloud.replies.is_empty(), 40), Step::Reply),
            (6, Step::Verify),
            (12, Step::Person),
            (3, Step::Stir),
            (on(!self.store.pending.is_empty(), 12), Step::LookUp),
            (3, Step::Crash),
            (2, Step::Rival),
            (2, Step::Clock),
            (2, Step::Reload),
            (on(self.restored.is_some(), 4) + on(stopped, if stormy { 4 } else { 20 }), Step::ClearUp),
            (on(self.beating, 14), Step::Beat),
            (on(self.restored.is_none(), 1), Step::Copy),
        ])
    }

    fn restart(&mut self) {
        let config =
            self.processes.last().map_or(self.rng.below(FLAVOURS) * CHANGES, |process| process.config);
        self.start(config);
        self.say(5, 0, |world| format!("a process starts; epoch {}", world.store.epoch));
    }

    fn send_on(&mut self, p: usize) {
        let count = self.processes[p].sends.len();
        if count > 0 {
            let index = self.rng.below(count);
            self.go_on(p, index);
        }
    }

    fn arrive(&mut self) {
        let travelling: Vec<usize> =
            (0..self.cloud.ledger.len()).filter(|index| !self.cloud.ledger[*index].arrived).collect();
        if travelling.is_empty() {
            return;
        }
        let index = travelling[self.rng.below(travelling.len())];
        let faults = self.faults;
        self.cloud.arrive(index, self.time, faults, &mut self.rng);
        self.say(6, index, |world| format!("the cloud: {:?}", world.cloud.ledger[index]));
    }

    /// An answer reaches the process that waits for it; any other is lost.
    fn reply(&mut self) {
        if self.cloud.replies.is_empty() {
            return;
        }
        let index = self.rng.below(self.cloud.replies.len());
        let reply = self.cloud.replies.swap_remove(index);
        for send in self.processes.iter_mut().flat_map(|process| &mut process.sends) {
            if send.nonce == reply.nonce && send.stage == Sending::Waiting {
                send.stage = Sending::Answered { outcome: reply.outcome, unauthorized: reply.unauthorized };
            }
        }
        self.say(7, 0, |_| format!("the cloud's answer arrives: {reply:?}"));
    }

    /// Faults stop, people clear their holds; then time passes and nothing but the service works.
    fn calm_down(&mut self) {
        self.faults = false;
        self.wall_off = 0;
        self.hold_file = false;
        self.network.clear();
        self.store.holds.iter_mut().for_each(|(_, cleared)| *cleared = true);
        while !self.processes.is_empty() {
            self.crash(0);
        }
        self.restart();
        // A clock that once ran ahead keeps the service blind until the wall has caught up.
        let behind = (self.store.latest - self.time).max(0);
        let end = self.time + behind + 4 * HOUR;
        while self.time < end {
            self.advance(3 * MINUTE);
            for _ in 0..12 {
                self.tick(0);
                self.observe();
                self.send_on(0);
                self.observe();
                self.arrive();
                self.reply();
                self.observe();
            }
            self.verify(0);
            self.observe();
            self.look_up(0);
            self.observe();
            let open = |rem: &super::memory::Rem| !rem.state.is_terminal();
            // While the clock is unsound nothing moves but the wall.
            if self.health(0).clock.is_some() && self.processes[0].floor > self.time + HOUR {
                self.advance(self.processes[0].floor - 30 * MINUTE - self.time);
            }
            if !self.checker.broken.is_empty()
                || (!self.store.rems.iter().any(open) && self.store.pending.is_empty())
            {
                break;
            }
        }
        let mut checker = std::mem::take(&mut self.checker);
        checker.look_at_the_end(self);
        self.checker = checker;
    }
}
