//! Senders, the network before us, and the intake: deliveries come late, twice, in another order, or not at all.
//!
//! Never: decides; `decide` and `decide_under` do.

use jiff::Timestamp;
use unhang::domain::alert::Alert;
use unhang::domain::claim::Waiting;
use unhang::domain::decision::{
    Decided, Decision, FUTURE_MAX, Origin, Question, Route, decide, decide_under, route,
};
use unhang::domain::facts::{Facts, TargetFact};
use unhang::domain::limits::later;
use unhang::domain::policy::{Policy, Trust};
use unhang::domain::remediation::{Event, State};
use unhang::domain::server::Server;

use super::bugs::Bug;
use super::memory::{Delivery, Pending, Rem, Told};
use super::values::{HOUR, MINUTE, Notice, RULES, SECOND, SOURCES, alert, at, ms};
use super::world::{Post, World};

/// Stands for the source of an order by hand.
pub(crate) const BY_HAND: &str = "by-hand";

/// One alert with what its delivery says of it.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub(crate) source: &'static str,
    pub(crate) trust: Trust,
    pub(crate) received_at: i64,
    pub(crate) true_at: i64,
    pub(crate) stalled: i64,
    pub(crate) truncated: bool,
    pub(crate) person: Option<u8>,
    pub(crate) server: usize,
}

/// The server that a fact names.
pub(crate) fn found(fact: &TargetFact) -> Option<Server> {
    match fact {
        TargetFact::Found(server) => Some(server.as_ref().clone()),
        _ => None,
    }
}

impl World {
    /// Something begins, goes on or ends, and a sender tells of it.
    pub(crate) fn tell(&mut self) {
        let begin = self.episodes.is_empty() || self.rng.chance(550);
        let notice = if begin {
            let kind = self.rng.weighted(&[(30, 0), (22, 1), (10, 2), (36, 3), (2, 4)]);
            let server =
                if kind == 2 { 5 } else { self.rng.weighted(&[(30, 0), (30, 1), (30, 2), (5, 3), (5, 4)]) };
            let late = self.rng.pick(&[0, 0, 0, 30 * SECOND, 7 * MINUTE, 7 * HOUR]);
            let notice = Notice {
                server,
                kind,
                two_teams: self.rng.chance(if kind == 3 { 40 } else { 150 }),
                starts_at: (!self.rng.chance(50)).then_some(self.time - late),
                ends_at: None,
                resolved: false,
                sender_time: None,
            };
            self.episodes.push(notice.clone());
            notice
        } else {
            let index = self.rng.below(self.episodes.len());
            if self.rng.chance(350) {
                let mut notice = self.episodes.swap_remove(index);
                notice.resolved = true;
                notice.ends_at = (!self.rng.chance(200)).then_some(self.time);
                notice
            } else {
                self.episodes[index].clone()
            }
        };
        let mut notice = notice;
        notice.sender_time = self.rng.chance(300).then_some(self.time);
        let mut notices = vec![notice];
        if self.rng.chance(120)
            && let Some(other) = self.episodes.last().cloned()
            && other != notices[0]
        {
            notices.push(other);
        }
        let source = self.rng.weighted(&[(50, 0), (40, 1), (10, 2)]);
        let post = Post { source, notices, truncated: self.rng.chance(30) };
        let copies = if self.rng.chance(250) { 2 } else { 1 };
        for _ in 0..copies {
            self.network.push(post.clone());
        }
        self.say(30, source, |_| format!("{} tells: {:?}", SOURCES[source].0, post.notices));
    }

    /// The network delivers something, not always in order; sometimes it loses it or delivers it again.
    pub(crate) fn deliver(&mut self, p: usize) {
        if self.network.is_empty() {
            return;
        }
        let newest = self.network.len() - 1;
        let index = if self.rng.chance(600) { newest } else { self.rng.below(newest + 1) };
        let post = self.network.swap_remove(index);
        if self.faults && self.rng.chance(60) {
            return;
        }
        if self.faults && self.rng.chance(100) {
            self.network.push(post.clone());
        }
        if !self.faults || self.rng.chance(850) {
            self.refresh_inventory();
        }
        let now = self.now(p);
        let fate = self.fate();
        let done = self.commit(fate, now, |world| world.take_in(p, &post, now));
        self.say(31, 0, |_| format!("delivered: {:?} truncated {} ({fate:?})", post.notices, post.truncated));
        if done.is_none() {
            // Answered 503: the sender tries again.
            self.network.push(post);
        }
    }

    /// A complete read of the cloud replaces what is known of servers.
    fn refresh_inventory(&mut self) {
        let present = self.cloud.real.iter().filter(|real| real.present);
        self.store.inventory = present.map(|real| real.server.clone()).collect();
    }

    fn take_in(&mut self, p: usize, post: &Post, now: Timestamp) {
        let dedupable = post.notices.iter().all(|notice| !notice.resolved);
        let same = |old: &Delivery| {
            old.source == post.source
                && old.notices == post.notices
                && old.truncated == post.truncated
                && ms(now) - old.received_at < MINUTE
        };
        if dedupable && self.store.deliveries.iter().any(same) {
            return;
        }
        self.store.deliveries.push(Delivery {
            source: post.source,
            received_at: ms(now),
            notices: post.notices.clone(),
            truncated: post.truncated,
        });
        for notice in &post.notices {
            let (source, trust) = SOURCES[post.source];
            let arrived = Arrived {
                source,
                trust,
                received_at: ms(now),
                true_at: self.time,
                stalled: self.stalled,
                truncated: post.truncated,
                person: None,
                server: notice.server,
            };
            let pending = self.rng.chance(40);
            self.take_alert(p, &arrived, notice, pending, now);
        }
    }

    /// Decides one alert and makes what follows from it.
    pub(crate) fn take_alert(
        &mut self,
        p: usize,
        arrived: &Arrived,
        notice: &Notice,
        pending: bool,
        now: Timestamp,
    ) {
        let alert = alert(notice);
        let rules = self.rules(p);
        let fact = match route(rules, arrived.source, &alert) {
            Route::One(_) if pending => TargetFact::Pending,
            Route::One(_) => self.known(notice.server),
            Route::None | Route::Several(_) => TargetFact::Pending,
        };
        let server = found(&fact);
        let (decided, facts) = self.decide(p, arrived, &alert, fact, None, now);
        self.note_seen(rules, arrived, &alert, &decided, &facts, server.as_ref(), now);
        if notice.resolved {
            if arrived.person.is_none() {
                self.resolve(arrived, &alert, now);
            }
            return;
        }
        if decided.decision == Decision::Pending {
            let source = SOURCES.iter().position(|(name, _)| *name == arrived.source).unwrap_or(0);
            let received_at = arrived.received_at;
            let Arrived { true_at, stalled, truncated, .. } = *arrived;
            let notice = notice.clone();
            self.store.pending.push(Pending { source, received_at, true_at, stalled, notice, truncated });
        }
        self.join(p, arrived, &alert, &decided, now);
    }

    /// What the inventory says of a server.
    pub(crate) fn known(&self, server: usize) -> TargetFact {
        let no = format!("9000000{}", server + 1);
        match self.store.inventory.iter().find(|known| known.no.as_str() == no) {
            Some(known) => TargetFact::Found(Box::new(known.clone())),
            None => TargetFact::Unknown { named: no },
        }
    }

    /// Asks the production functions.
    pub(crate) fn decide(
        &mut self,
        p: usize,
        arrived: &Arrived,
        alert: &Alert,
        fact: TargetFact,
        under: Option<&Policy>,
        now: Timestamp,
    ) -> (Decided, Facts) {
        let rules = self.rules(p);
        let person = arrived.person.map(|person| format!("p{person}"));
        let server = matches!(fact, TargetFact::Found(_)).then_some(arrived.server);
        let policy = under.or(match route(rules, arrived.source, alert) {
            Route::One(policy) => Some(policy),
            Route::None | Route::Several(_) => None,
        });
        let guards = policy.map(|policy| (policy.region.as_str(), policy.name.as_str()));
        let facts = self.facts_of(fact, server, None, &alert.fingerprint, guards, rules, now, false);
        let question = Question {
            alert,
            source: arrived.source,
            trust: arrived.trust,
            received_at: at(arrived.received_at),
            truncated: arrived.truncated,
            origin: person.as_deref().map_or(Origin::Source, Origin::Person),
        };
        let decided = match under {
            Some(policy) => decide_under(policy, &question, rules, &facts, now),
            None => decide(&question, rules, &facts, now),
        };
        self.tally.decided(decided.decision, decided.reason);
        (decided, facts)
    }

    /// A resolved notice: the newest end moves forward, and what has not been sent is taken back.
    fn resolve(&mut self, arrived: &Arrived, alert: &Alert, now: Timestamp) {
        let received = at(arrived.received_at);
        let ended_at = alert.ends_at.unwrap_or(received).min(later(received, FUTURE_MAX));
        let newest = self.store.resolved.entry(alert.fingerprint.clone()).or_insert((i64::MIN, 0));
        *newest = (newest.0.max(ms(ended_at)), ms(now));
        self.store.told.push(Told::Ended(alert.fingerprint.clone(), ms(ended_at)));
        for rem in 0..self.store.rems.len() {
            let row = &self.store.rems[rem];
            let opened = row.waiting.alert.fingerprint == alert.fingerprint;
            let seen_by_claim = row.waiting.alert.starts_at.is_none_or(|starts_at| starts_at <= ended_at);
            let left = self.lean && opened && seen_by_claim;
            if row.joined.iter().any(|(one, _)| *one == alert.fingerprint)
                && row.state.is_before_intent()
                && !left
            {
                self.shift(rem, Event::Cancelled, now);
            }
        }
    }

    /// Opens or joins a remediation.
    pub(crate) fn join(
        &mut self,
        p: usize,
        arrived: &Arrived,
        alert: &Alert,
        decided: &Decided,
        now: Timestamp,
    ) {
        let fingerprint = alert.fingerprint.clone();
        match decided.decision {
            Decision::Remediate | Decision::AwaitingApproval => {
                self.open(p, arrived, alert, decided, now);
            }
            Decision::Duplicate => {
                let Some(live) = self.store.live(arrived.server) else { return };
                let forgets = self.bug == Some(Bug::ForgetJoined);
                let row = &mut self.store.rems[live];
                if row.state.is_before_intent() {
                    let received = at(arrived.received_at);
                    row.waiting.last_notice_at = row.waiting.last_notice_at.max(received);
                    if arrived.true_at >= row.noticed_true_at {
                        row.noticed_true_at = arrived.true_at;
                        row.noticed_stalled = arrived.stalled;
                    }
                    if !forgets && !row.joined.iter().any(|(one, _)| *one == fingerprint) {
                        row.joined.push((fingerprint.clone(), ms(received)));
                    }
                    self.store.told.push(Told::Joined(live, fingerprint));
                }
            }
            Decision::Pending
            | Decision::Suppressed
            | Decision::Resolved
            | Decision::Ignored
            | Decision::Quarantined => {}
        }
    }

    fn open(&mut self, p: usize, arrived: &Arrived, alert: &Alert, decided: &Decided, now: Timestamp) {
        let config = self.processes[p].config;
        let name = decided.policy.as_deref().unwrap();
        let policy = RULES[config].policies.iter().find(|policy| policy.name == name).unwrap();
        let TargetFact::Found(server) = self.known(arrived.server) else { return };
        let rem = self.store.rems.len();
        let settle = if arrived.person.is_some() { 0 } else { ms(later(now, policy.settle)) - ms(now) };
        let waiting = Waiting {
            remediation_id: format!("r{rem}"),
            source: arrived.source.to_owned(),
            alert: alert.clone(),
            server: *server,
            policy: policy.name.clone(),
            policy_hash: policy.hash(),
            needs_person: decided.decision == Decision::AwaitingApproval,
            last_notice_at: at(arrived.received_at),
            episode_started_at: alert.starts_at,
            decided_at: now,
            waiting_since: now,
            approved_at: None,
            confirmed_at: arrived.person.map(|_| at(arrived.received_at)),
        };
        self.store.told.push(Told::Opened(rem, alert.fingerprint.clone()));
        self.store.rems.push(Rem {
            server: arrived.server,
            state: State::Settling,
            version: 1,
            requested_by: arrived.person,
            settle_until: ms(now) + settle,
            not_before: ms(now) + settle,
            joined: vec![(alert.fingerprint.clone(), arrived.received_at)],
            sender_time: alert.sender_time.map(ms),
            received_at: arrived.received_at,
            noticed_true_at: arrived.true_at,
            noticed_stalled: arrived.stalled,
            truncated: arrived.truncated,
            config,
            created_at: ms(now),
            opened_true_at: arrived.true_at,
            confirmed: arrived.person.map(|_| (arrived.true_at, arrived.stalled)).into_iter().collect(),
            approvals: Vec::new(),
            said: Vec::new(),
            waiting,
        });
    }

    /// The look-up of a pending alert has an answer.
    pub(crate) fn look_up(&mut self, p: usize) {
        if self.store.pending.is_empty() {
            return;
        }
        let index = self.rng.below(self.store.pending.len());
        self.refresh_inventory();
        let now = self.now(p);
        let fate = self.fate();
        self.commit(fate, now, |world| {
            let pending = world.store.pending.swap_remove(index);
            let (source, trust) = SOURCES[pending.source];
            let arrived = Arrived {
                source,
                trust,
                received_at: pending.received_at,
                true_at: pending.true_at,
                stalled: pending.stalled,
                truncated: pending.truncated,
                person: None,
                server: pending.notice.server,
            };
            world.take_alert(p, &arrived, &pending.notice, false, now);
        });
        self.say(32, 0, |_| format!("a pending alert is decided ({fate:?})"));
    }
}
