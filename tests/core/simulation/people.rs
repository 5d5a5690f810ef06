//! What people do: approve, deny, settle, hold, silence, replay, order by hand.
//!
//! Never: a way around a guard. What is asked of people here is what the service asks of them.

use jiff::Timestamp;
use unhang::domain::alert::{Alert, AlertStatus};
use unhang::domain::claim::approvable;
use unhang::domain::guard::Verdict;
use unhang::domain::hold::{Hold, HoldScope, Silence};
use unhang::domain::matcher::{Matcher, Matchers};
use unhang::domain::policy::Trust;
use unhang::domain::remediation::{Event, State};

use super::bugs::Bug;
use super::intake::{Arrived, BY_HAND, found};
use super::memory::Approval;
use super::values::{HOUR, KINDS, MINUTE, SOURCES, at, ms};
use super::world::World;

const PEOPLE: [u8; 3] = [0, 1, 2];

impl World {
    /// Somebody does something.
    pub(crate) fn person(&mut self, p: usize) {
        let act = self.rng.weighted(&[
            (60, 0),
            (6, 1),
            (22, 2),
            (6, 3),
            (20, 4),
            (4, 5),
            (7, 6),
            (10, 7),
            (10, 8),
            (6, 9),
        ]);
        let person = self.rng.pick(&PEOPLE);
        match act {
            0 => self.approve(p, person),
            1 => self.take_back(p),
            2 => self.settle_open_end(p, person),
            3 => self.set_hold(p),
            4 => self.clear_hold(p),
            5 => {
                self.hold_file = !self.hold_file;
                self.say(40, 0, |world| format!("the hold file is there: {}", world.hold_file));
            }
            6 => self.silence(p),
            7 => self.replay(p, person),
            9 => self.collect(p),
            _ => self.order(p, person),
        }
    }

    fn one_in(&mut self, wanted: fn(State) -> bool) -> Option<usize> {
        let rems = &self.store.rems;
        let found: Vec<usize> = (0..rems.len()).filter(|rem| wanted(rems[*rem].state)).collect();
        (!found.is_empty()).then(|| found[self.rng.below(found.len())])
    }

    fn approve(&mut self, p: usize, person: u8) {
        let Some(rem) = self.one_in(|state| state == State::AwaitingApproval) else { return };
        let (now, rules) = (self.now(p), self.rules(p));
        let row = &self.store.rems[rem];
        let seen_version = if self.rng.chance(100) { row.version - 1 } else { row.version };
        let own = row.requested_by == Some(person) && self.bug != Some(Bug::ApproveOwn);
        if own || seen_version != row.version {
            return;
        }
        let facts = self.facts_about(rem, rules, now);
        let vouches = self.rng.chance(500);
        let row = &self.store.rems[rem];
        let mut waiting = row.waiting.clone();
        waiting.confirmed_at = vouches.then_some(now).or(waiting.confirmed_at);
        let (verdict, trace) = approvable(&waiting, rules, &facts, now);
        if verdict.is_err() || trace.first(Verdict::AskPerson).is_some() {
            return;
        }
        let policy = rules.policies.iter().find(|policy| policy.name == row.waiting.policy);
        let fresh =
            policy.is_some_and(|p| now.duration_since(row.waiting.last_notice_at) <= p.notice_age_max);
        if !fresh && !vouches {
            return;
        }
        let fate = self.fate();
        self.commit(fate, now, |world| {
            let (time, stalled) = (world.time, world.stalled);
            let row = &mut world.store.rems[rem];
            let version = row.version;
            let waited = ms(now) - ms(row.waiting.waiting_since);
            row.approvals.push(Approval { person, at: ms(now), seen_version, version, waited });
            row.waiting.approved_at = Some(now);
            row.not_before = ms(now);
            if vouches {
                row.waiting.last_notice_at = row.waiting.last_notice_at.max(now);
                row.waiting.confirmed_at = Some(now);
                row.confirmed.push((time, stalled));
                row.noticed_true_at = time;
                row.noticed_stalled = stalled;
            }
            world.shift(rem, Event::Approved, now).unwrap();
        });
        self.say(41, rem, |_| format!("r{rem} approved by p{person}, vouched: {vouches} ({fate:?})"));
    }

    fn take_back(&mut self, p: usize) {
        let Some(rem) = self.one_in(State::is_before_intent) else { return };
        let (now, fate) = (self.now(p), self.fate());
        self.commit(fate, now, |world| world.shift(rem, Event::Cancelled, now));
        self.say(42, rem, |_| format!("r{rem} taken back by a person ({fate:?})"));
    }

    /// "It happened" takes one person; "it did not" takes two, ten minutes after the intent, and leaves a hold.
    fn settle_open_end(&mut self, p: usize, person: u8) {
        let open = |state: State| matches!(state, State::Unknown | State::Unconfirmed);
        let Some(rem) = self.one_in(open) else { return };
        let now = self.now(p);
        let happened = self.rng.chance(300);
        let intents = self.store.attempts.iter().filter(|attempt| attempt.rem == rem);
        let last = intents.map(|attempt| ms(attempt.past.intent_at)).max().unwrap_or(i64::MIN);
        if !happened && ms(now) < last + 10 * MINUTE {
            return;
        }
        let fate = self.fate();
        self.commit(fate, now, |world| {
            let row = &mut world.store.rems[rem];
            row.said.retain(|(who, _)| *who != person);
            row.said.push((person, happened));
            let agreeing = row.said.iter().filter(|(_, said)| *said == happened).count();
            if happened {
                world.shift(rem, Event::SettledHappened, now);
            } else if agreeing >= 2 {
                let no = row.waiting.server.no.to_string();
                world.shift(rem, Event::SettledNotHappened, now);
                world.insert_hold(HoldScope::Server(no), None, now);
            }
        });
        self.say(43, rem, |_| format!("r{rem}: p{person} says happened: {happened} ({fate:?})"));
    }

    /// A hold row.
    pub(crate) fn insert_hold(&mut self, scope: HoldScope, until: Option<Timestamp>, now: Timestamp) {
        let id = i64::try_from(self.store.holds.len()).unwrap();
        let (author, reason) = ("p0".to_owned(), "because".to_owned());
        self.store.holds.push((Hold { id, scope, author, reason, set_at: now, until }, false));
    }

    fn set_hold(&mut self, p: usize) {
        let now = self.now(p);
        let scope = match self.rng.below(5) {
            0 => HoldScope::Global,
            1 => HoldScope::Source(self.rng.pick(&SOURCES).0.to_owned()),
            2 => HoldScope::Policy("hung-fast".to_owned()),
            3 => HoldScope::Region("KR".to_owned()),
            _ => HoldScope::Server(format!("9000000{}", self.rng.below(3) + 1)),
        };
        let until = self.rng.chance(400).then(|| at(ms(now) + 5 * MINUTE));
        let fate = self.fate();
        let words = format!("hold on {scope:?} until {until:?} ({fate:?})");
        self.commit(fate, now, |world| world.insert_hold(scope, until, now));
        self.say(44, 0, |_| words);
    }

    fn clear_hold(&mut self, p: usize) {
        let (now, fate) = (self.now(p), self.fate());
        self.hold_file = false;
        self.commit(fate, now, |world| world.store.holds.iter_mut().for_each(|(_, cleared)| *cleared = true));
        self.say(45, 0, |_| format!("holds cleared ({fate:?})"));
    }

    fn silence(&mut self, p: usize) {
        let now = self.now(p);
        let fate = self.fate();
        let (kind, ends) = (self.rng.below(KINDS.len()), self.rng.chance(500));
        self.commit(fate, now, |world| {
            let id = i64::try_from(world.store.silences.len()).unwrap();
            if ends {
                world.store.silences.iter_mut().for_each(|(_, ended)| *ended = true);
                return;
            }
            let silence = Silence {
                id,
                matchers: Matchers(vec![Matcher::equal("alertname", KINDS[kind])]),
                author: "p1".to_owned(),
                comment: "because".to_owned(),
                starts_at: now,
                ends_at: at(ms(now) + HOUR),
            };
            world.store.silences.push((silence, false));
        });
        self.say(46, kind, |_| format!("silence of {} set or all ended: {ends} ({fate:?})", KINDS[kind]));
    }

    /// A stored delivery is decided again for a person; ends in it change nothing.
    fn replay(&mut self, p: usize, person: u8) {
        if self.store.deliveries.is_empty() {
            return;
        }
        let delivery = self.store.deliveries[self.rng.below(self.store.deliveries.len())].clone();
        let (now, fate) = (self.now(p), self.fate());
        self.commit(fate, now, |world| {
            for notice in &delivery.notices {
                let (source, trust) = SOURCES[delivery.source];
                let arrived = Arrived {
                    source,
                    trust,
                    received_at: ms(now),
                    true_at: world.time,
                    stalled: world.stalled,
                    truncated: delivery.truncated,
                    person: Some(person),
                    server: notice.server,
                };
                world.take_alert(p, &arrived, notice, false, now);
            }
        });
        self.say(47, 0, |_| format!("p{person} replays {:?} ({fate:?})", delivery.notices));
    }

    /// An order by hand names a server and the policy whose limits hold.
    fn order(&mut self, p: usize, person: u8) {
        let rules = self.rules(p);
        let policy = &rules.policies[self.rng.below(4)];
        let server = if policy.region.as_str() == "JP" { 5 } else { self.rng.below(5) };
        let now = self.now(p);
        let fingerprint = format!("by-hand-{}", self.store.rems.len());
        let labels = [("alertname", "ordered by hand".to_owned()), ("ordered_by", format!("p{person}"))];
        let alert = Alert {
            fingerprint,
            status: AlertStatus::Firing,
            name: "ordered by hand".to_owned(),
            labels: labels.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
            starts_at: None,
            ends_at: None,
            sender_time: None,
            never_actionable: None,
        };
        let arrived = Arrived {
            source: BY_HAND,
            trust: Trust::Act,
            received_at: ms(now),
            true_at: self.time,
            stalled: self.stalled,
            truncated: false,
            person: Some(person),
            server,
        };
        let fate = self.fate();
        let word = self.commit(fate, now, |world| {
            let fact = world.known(server);
            let seen = found(&fact);
            let (decided, facts) = world.decide(p, &arrived, &alert, fact, Some(policy), now);
            world.note_seen(rules, &arrived, &alert, &decided, &facts, seen.as_ref(), now);
            world.join(p, &arrived, &alert, &decided, now);
            decided.decision
        });
        self.say(48, server, |_| format!("p{person} orders server {server} under {}: {word:?}", policy.name));
    }
}
