//! Simulated remediations: hold-down, approval, intent and end, by the production questions.
//!
//! Never: sends, or knows an answer of the cloud that the record does not have.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::Replay;
use super::report::{Act, End};
use crate::domain::alert::Alert;
use crate::domain::claim::{
    Claim, Health, Preflight, PreflightSeen, Settled, Waiting, approvable, claim, settled,
};
use crate::domain::decision::Decision;
use crate::domain::facts::Past;
use crate::domain::guard::{Check, Reason};
use crate::domain::limits::later;
use crate::domain::policy::{Policy, Rules, Trust};
use crate::domain::remediation::{Outcome, State};
use crate::domain::server::Server;
use crate::domain::still_named::Resolved;
use crate::domain::storm;
use crate::store::RecordedLife;

/// A call that was never made is taken as confirmed after so long.
const CONFIRMED_AFTER: SignedDuration = SignedDuration::from_mins(5);
/// A queued one whose wait names no end asks again after so long.
const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// Where a simulated remediation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Settling,
    Asking,
    Queued,
    Sent { intent_at: Timestamp, ends_as: State },
}

/// One simulated remediation that is not over.
#[derive(Debug)]
pub(super) struct Life {
    waiting: Waiting,
    trust: Trust,
    stage: Stage,
    /// When it is looked at next.
    due: Timestamp,
    fingerprints: BTreeSet<String>,
    /// A person is asked, or was.
    asked: bool,
    recorded: Option<(String, RecordedLife)>,
    decided_at: Timestamp,
}

/// What an alert that opens one brings.
pub(super) struct Opening<'a> {
    pub(super) alert: &'a Alert,
    pub(super) source: &'a str,
    pub(super) trust: Trust,
    pub(super) decision: Decision,
    pub(super) server: &'a Server,
    pub(super) received_at: Timestamp,
    pub(super) recorded_id: Option<&'a str>,
}

impl Life {
    /// Its identifier in traces.
    pub(super) fn id(&self) -> &str {
        &self.waiting.remediation_id
    }

    /// Its state, as a decision about another alert sees it.
    pub(super) fn state(&self) -> State {
        match self.stage {
            Stage::Settling => State::Settling,
            Stage::Asking => State::AwaitingApproval,
            Stage::Queued => State::Queued,
            Stage::Sent { ends_as: State::Unknown, .. } => State::Unknown,
            Stage::Sent { .. } => State::Accepted,
        }
    }

    fn is_before_intent(&self) -> bool {
        !matches!(self.stage, Stage::Sent { .. })
    }

    /// Another notice of the same server.
    pub(super) fn joins(&mut self, fingerprint: &str, received_at: Timestamp) {
        if self.is_before_intent() {
            self.fingerprints.insert(fingerprint.to_owned());
            self.waiting.last_notice_at = self.waiting.last_notice_at.max(received_at);
        }
    }

    /// When a person took it back, as recorded.
    fn taken_back_at(&self) -> Option<Timestamp> {
        let (_, life) = self.recorded.as_ref()?;
        (life.state == State::Cancelled && life.reason.as_deref() == Some(Reason::Cancelled.as_str()))
            .then_some(life.finished_at)
            .flatten()
    }

    /// What the cloud or a second signal said against it, as recorded.
    fn refused_then(&self) -> Option<Reason> {
        let (_, life) = self.recorded.as_ref()?;
        let reason = life.reason.as_deref().and_then(Reason::parse)?;
        let by_others = matches!(reason, Reason::NotEligible | Reason::NotCorroborated | Reason::Rebooted);
        (by_others && life.intent_at.is_none()).then_some(reason)
    }

    /// The recorded intent, where it came about in the same way.
    fn intent_then(&self) -> Option<Timestamp> {
        let (_, life) = self.recorded.as_ref()?;
        life.intent_at.filter(|_| life.needed_person == self.asked)
    }

    fn act(&self, end: End, reason: Option<Reason>, at: Timestamp) -> Act {
        let recorded = self.recorded.as_ref();
        let was_sent = recorded.is_some_and(|(_, life)| life.intent_at.is_some());
        Act {
            server_instance_no: self.waiting.server.no.clone(),
            region_code: self.waiting.server.region.clone(),
            server_name: self.waiting.server.name.clone(),
            policy: self.waiting.policy.clone(),
            decided_at: self.decided_at,
            end,
            at,
            reason,
            recorded_id: recorded.map(|(id, _)| id.clone()),
            recorded_state: recorded.map(|(_, life)| life.state),
            same: was_sent == (end == End::Sent),
        }
    }
}

impl Replay {
    /// Opens a simulated remediation of a server.
    pub(super) fn open(&mut self, place: usize, policy: &Policy, opening: &Opening<'_>) {
        let now = opening.received_at;
        self.opened += 1;
        let recorded = opening.recorded_id.and_then(|id| {
            let life = self.world.record.lives.get(id)?;
            Some((id.to_owned(), life.clone()))
        });
        let needs_person = opening.decision == Decision::AwaitingApproval;
        let mut life = Life {
            waiting: Waiting {
                remediation_id: format!("simulated-{}", self.opened),
                source: opening.source.to_owned(),
                alert: opening.alert.clone(),
                server: opening.server.clone(),
                policy: policy.name.clone(),
                policy_hash: policy.hash(),
                needs_person,
                last_notice_at: now,
                episode_started_at: opening.alert.starts_at,
                decided_at: now,
                waiting_since: now,
                approved_at: None,
                confirmed_at: None,
            },
            trust: opening.trust,
            stage: Stage::Settling,
            due: now,
            fingerprints: BTreeSet::from([opening.alert.fingerprint.clone()]),
            asked: needs_person,
            recorded,
            decided_at: now,
        };
        self.wait(&mut life, place, later(now, policy.settle), now);
        self.lives.insert(place, life);
    }

    /// Looks at it again then, or when a person takes it back before.
    fn wait(&mut self, life: &mut Life, place: usize, until: Timestamp, now: Timestamp) {
        let taken_back = life.taken_back_at().filter(|at| *at > now && life.is_before_intent());
        life.due = taken_back.map_or(until, |at| at.min(until));
        self.due.insert((life.due, place));
    }

    /// A notice that an alert is over takes back what has not been sent.
    pub(super) fn resolved(&mut self, fingerprint: &str, now: Timestamp) {
        let hit = |life: &Life| life.is_before_intent() && life.fingerprints.contains(fingerprint);
        let hits: Vec<usize> =
            self.lives.iter().filter(|(_, life)| hit(life)).map(|(place, _)| *place).collect();
        for place in hits {
            self.ended.1.insert(place);
            if let Some(life) = self.lives.remove(&place) {
                self.due.remove(&(life.due, place));
                self.counts.act(life.act(End::Cancelled, Some(Reason::Resolved), now));
            }
        }
    }

    /// Lets everything happen that is due by now.
    pub(super) fn pass_time(&mut self, now: Timestamp) {
        while let Some(&(at, place)) = self.due.first().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, place));
            if let Some(life) = self.lives.remove(&place) {
                self.step(life, place, at);
            }
        }
        self.world.pass(&self.rules, now);
    }

    fn step(&mut self, mut life: Life, place: usize, now: Timestamp) {
        if let Stage::Sent { intent_at, ends_as } = life.stage {
            let (server, policy) = (&life.waiting.server, &life.waiting.policy);
            self.world.over(server, policy, intent_at, ends_as, now);
            return;
        }
        if life.taken_back_at().is_some_and(|at| at <= now) {
            return self.counts.act(life.act(End::Cancelled, Some(Reason::Cancelled), now));
        }
        let rules = std::sync::Arc::clone(&self.rules);
        let policy = rules.policies.iter().find(|policy| policy.name == life.waiting.policy);
        let Some(policy) = policy else { return };
        self.world.pass(&rules, now);
        let fingerprint = life.waiting.alert.fingerprint.clone();
        self.world.prepare(policy, &rules, Some(&life.waiting.server), &fingerprint, now);
        self.world.facts.trust = Some(life.trust);
        match life.stage {
            Stage::Settling => {
                let (verdict, _trace) = settled(&life.waiting, &rules, &self.world.facts, now);
                match verdict {
                    Settled::Queue => {
                        life.stage = Stage::Queued;
                        self.claim(life, place, &rules, policy, now);
                    }
                    Settled::AskPerson(_) => self.ask(life, place, policy, now),
                    Settled::Cancel(check) => self.refuse(&life, End::Cancelled, &check, &rules, now),
                    Settled::Expire(check) => self.refuse(&life, End::Expired, &check, &rules, now),
                }
            }
            Stage::Asking => self.answer(life, place, &rules, policy, now),
            Stage::Queued | Stage::Sent { .. } => self.claim(life, place, &rules, policy, now),
        }
    }

    fn ask(&mut self, mut life: Life, place: usize, policy: &Policy, now: Timestamp) {
        life.stage = Stage::Asking;
        life.asked = true;
        life.waiting.waiting_since = now;
        let approved = life.recorded.as_ref().and_then(|(_, then)| then.approved_at);
        let until = approved.unwrap_or_else(|| later(now, policy.approval_wait)).max(now);
        self.wait(&mut life, place, until, now);
        self.lives.insert(place, life);
    }

    fn answer(&mut self, mut life: Life, place: usize, rules: &Rules, policy: &Policy, now: Timestamp) {
        let approved = life.recorded.as_ref().and_then(|(_, then)| then.approved_at);
        if approved.is_none_or(|at| at > now) {
            return self.counts.act(life.act(End::Unanswered, Some(Reason::Expired), now));
        }
        if let (Err(check), _trace) = approvable(&life.waiting, rules, &self.world.facts, now) {
            return self.refuse(&life, End::Cancelled, &check, rules, now);
        }
        life.stage = Stage::Queued;
        life.waiting.approved_at = Some(now);
        // Whoever approves vouches for the server.
        life.waiting.confirmed_at = Some(now);
        life.waiting.last_notice_at = life.waiting.last_notice_at.max(now);
        self.claim(life, place, rules, policy, now);
    }

    fn claim(&mut self, mut life: Life, place: usize, rules: &Rules, policy: &Policy, now: Timestamp) {
        if let Some(then) = life.intent_then().filter(|at| *at > now) {
            self.wait(&mut life, place, then, now);
            self.lives.insert(place, life);
            return;
        }
        if let Some(reason) = life.refused_then() {
            return self.counts.act(life.act(End::Cancelled, Some(reason), now));
        }
        let seen = PreflightSeen::Server(Box::new(life.waiting.server.clone()));
        // Nobody can ask the past whose name it was: it led to this server then.
        let named = life.waiting.decided().to_resolve(policy);
        let named = named.map(|name| Resolved { name, servers: Ok(vec![life.waiting.server.clone()]) });
        let preflight = Preflight { read_at: now, seen, named, signals: Vec::new() };
        let facts = &self.world.facts;
        let (verdict, _trace) = claim(&life.waiting, rules, facts, Some(&preflight), &Health::default(), now);
        match verdict {
            Claim::Go(server) => self.send(life, place, policy, &server, now),
            Claim::Wait(check) => {
                let until =
                    check.until.map_or_else(|| later(now, ASK_AGAIN), |at| at.max(later(now, ASK_AGAIN)));
                // What waits grows old: it is asked again when its notice is too old.
                let old = later(life.waiting.last_notice_at, policy.notice_age_max);
                let old = later(old, SignedDuration::from_millis(1));
                let next = if old > now { until.min(old) } else { until };
                self.wait(&mut life, place, next, now);
                self.lives.insert(place, life);
            }
            Claim::NeedPreflight => {
                self.wait(&mut life, place, later(now, ASK_AGAIN), now);
                self.lives.insert(place, life);
            }
            Claim::AskPerson(_) => self.ask(life, place, policy, now),
            Claim::Cancel(check) => self.refuse(&life, End::Cancelled, &check, rules, now),
            Claim::Expire(check) => self.refuse(&life, End::Expired, &check, rules, now),
        }
    }

    fn refuse(&mut self, life: &Life, end: End, check: &Check, rules: &Rules, now: Timestamp) {
        if check.guard == Reason::Storm {
            let (server, policy) = (&life.waiting.server, &life.waiting.policy);
            if let Some(trip) = storm::trip(rules, &self.world.facts.storm, server, policy) {
                self.world.storm_opens(trip, now);
            }
        }
        self.counts.act(life.act(end, Some(check.guard), now));
    }

    fn send(&mut self, mut life: Life, place: usize, policy: &Policy, server: &Server, now: Timestamp) {
        let then = life.recorded.as_ref().map(|(_, then)| then.clone());
        let then = then.and_then(|then| Some((then.intent_at?, then.outcome?, then.state, then.finished_at)));
        let (outcome, ends_as, over_at) = match then {
            Some((intent_at, outcome, state, finished_at)) => {
                let took = |at: Timestamp| later(now, at.duration_since(intent_at));
                (outcome, state, finished_at.map_or(Timestamp::MAX, took))
            }
            None => (Outcome::Accepted, State::Confirmed, later(now, CONFIRMED_AFTER)),
        };
        let past = Past {
            remediation_id: life.waiting.remediation_id.clone(),
            intent_at: now,
            server_no: server.no.clone(),
            region: server.region.clone(),
            policy: policy.name.clone(),
            outcome: Some(outcome),
            memory_bytes: server.memory_bytes,
            cooldown_until: later(now, policy.cooldown),
        };
        let refused = matches!(outcome, Outcome::Rejected | Outcome::NotSent);
        let until_then = if refused || over_at == Timestamp::MAX { ends_as } else { State::Accepted };
        self.world.sent(past, until_then, server);
        self.counts.act(life.act(End::Sent, None, now));
        life.stage = Stage::Sent { intent_at: now, ends_as };
        life.due = if refused { now } else { over_at.max(now) };
        self.due.insert((life.due, place));
        self.lives.insert(place, life);
    }

    /// Tells of everything that is not over at the end of the range.
    pub(super) fn end_of_range(&mut self, until: Timestamp) {
        for (_, life) in std::mem::take(&mut self.lives) {
            if life.is_before_intent() {
                let end = if life.stage == Stage::Asking { End::Unanswered } else { End::Waiting };
                self.counts.act(life.act(end, None, until));
            }
        }
    }
}
