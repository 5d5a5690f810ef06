//! Facts made of the model's state, and the verdicts of production functions on them.
//!
//! Never: a verdict that production did not give. One is remembered by everything that it was given from.

use std::collections::BTreeMap;

use unhang::domain::alert::Alert;
use unhang::domain::claim::{
    Claim, Health, Preflight, PreflightSeen, Settled, Waiting, approvable, claim, settled,
};
use unhang::domain::decision::{Decision, Origin, Question, decide};
use unhang::domain::facts::{Facts, Live, Past, TargetFact};
use unhang::domain::guard::Verdict;
use unhang::domain::guest::GuestFacts;
use unhang::domain::hold::{Hold, HoldScope};
use unhang::domain::limits::later;
use unhang::domain::policy::{Mode, Policy, Rules, Trust};
use unhang::domain::remediation::Event;
use unhang::domain::server::Server;
use unhang::domain::storm::StormFacts;

use super::state::{Attempt, COOLDOWN, INSTANTS, Known, Plant, Read, Rem, State};
use crate::simulation::values::{Notice, RULES, SECOND, alert, at, servers};

/// What a question was answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Go,
    Read,
    Wait,
    /// The remediation moves.
    Move(Event),
    Fine,
    Opens,
    Joins,
    Suppressed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Claim { rem: u8, read: Option<Read>, halted: bool },
    Settled(u8),
    Approvable(u8),
    Decide(u8),
}

/// Everything that a verdict can depend on.
type Key = (Asked, u8, bool, u8, [[Option<u8>; 2]; 2], Vec<Rem>, Vec<(u8, u8, Option<Known>)>);

/// Asks production, and remembers.
pub(super) struct Judge {
    pub(super) plant: Option<Plant>,
    approval: [Rules; 2],
    auto: [Rules; 2],
    servers: Vec<Server>,
    hashes: [String; 2],
    known: BTreeMap<Key, Answer>,
    pub(super) needs_person: bool,
}

fn rules(mode: Mode, change: usize) -> Rules {
    let mut rules = RULES[0].clone();
    let policy =
        Policy { mode, approval_wait: jiff::SignedDuration::from_mins(30), ..rules.policies[3].clone() };
    assert_eq!(policy.cooldown.as_secs(), COOLDOWN, "the instants fit the policy");
    rules.policies = vec![policy];
    rules.limits.in_flight = 1;
    rules.limits.spacing = jiff::SignedDuration::from_secs(30);
    // A change that leaves every limit as it is: only the hash tells.
    rules.policies[0].deny_servers = vec!["nobody".to_owned(); change];
    rules
}

impl Judge {
    pub(super) fn new(plant: Option<Plant>) -> Self {
        let auto = [rules(Mode::Auto, 0), rules(Mode::Auto, 1)];
        let approval = [rules(Mode::Approve, 0), rules(Mode::Approve, 1)];
        let hashes = [auto[0].policies[0].hash(), auto[1].policies[0].hash()];
        Self {
            plant,
            approval,
            auto,
            servers: servers(),
            hashes,
            known: BTreeMap::new(),
            needs_person: false,
        }
    }

    /// Which world is explored: with approvals or without.
    pub(super) fn with_approval(&mut self, yes: bool) {
        if yes && !self.needs_person {
            self.needs_person = true;
            self.hashes = [self.approval[0].policies[0].hash(), self.approval[1].policies[0].hash()];
        }
    }

    /// A server, with its last start where there was one.
    fn server(&self, server: u8, boot: Option<u8>) -> Server {
        let known = &self.servers[usize::from(server)];
        let uptime_at = boot.map(|at| instant(at, 0)).or(known.uptime_at);
        Server { uptime_at, ..known.clone() }
    }

    fn rules(&self, state: &State) -> &Rules {
        let of = if self.needs_person { &self.approval } else { &self.auto };
        &of[usize::from(state.policy)]
    }

    /// The one place where facts are made of the model's state.
    fn facts(&self, state: &State, server: u8, claiming: bool) -> Facts {
        let live = state.live(server).filter(|_| !claiming).map(|rem| Live {
            remediation_id: format!("r{rem}"),
            incident_id: "i".to_owned(),
            state: state.rems[rem].state,
        });
        let hold = Hold {
            id: 1,
            scope: HoldScope::Global,
            author: "p".to_owned(),
            reason: "because".to_owned(),
            set_at: at(0),
            until: None,
        };
        let held = state.hold && !(claiming && self.plant == Some(Plant::HoldNotRead));
        Facts {
            target: TargetFact::Found(Box::new(self.server(server, state.boots[usize::from(server)]))),
            newest_resolved_end: state.resolved[usize::from(server)].map(|end| instant(end, 0)),
            ended_in_delivery: false,
            trust: Some(Trust::Act),
            joined_end: None,
            live,
            attempts: state.attempts.iter().rev().map(|attempt| self.past(state, *attempt)).collect(),
            holds: if held { vec![hold] } else { Vec::new() },
            hold_file: None,
            silences: [].into(),
            storm: StormFacts::default(),
            tried: Vec::new(),
            demoted: None,
            quarantine: None,
            unwatched: Vec::new(),
            listed_uptime_at: None,
            incident_opened_at: None,
            guest: GuestFacts::default(),
            heartbeats: Vec::new(),
        }
    }

    fn past(&self, state: &State, attempt: Attempt) -> Past {
        let server = &self.servers[usize::from(state.rems[usize::from(attempt.rem)].server)];
        let freed = self.plant == Some(Plant::FreeOnUnknown);
        let outcome = attempt.outcome.map(|known| match known {
            Known::Unknown if freed => Known::NotSent.outcome(),
            _ => known.outcome(),
        });
        let intent_at = instant(attempt.at, 0);
        Past {
            remediation_id: format!("r{}", attempt.rem),
            intent_at,
            server_no: server.no.clone(),
            region: server.region.clone(),
            policy: "hung-fast".to_owned(),
            outcome,
            memory_bytes: server.memory_bytes,
            cooldown_until: later(intent_at, jiff::SignedDuration::from_secs(COOLDOWN)),
        }
    }

    fn alert(server: u8, begun: u8) -> Alert {
        alert(&Notice {
            server: usize::from(server),
            kind: 3,
            two_teams: false,
            starts_at: Some(INSTANTS[usize::from(begun)] * SECOND),
            ends_at: None,
            resolved: false,
            sender_time: None,
        })
    }

    fn waiting(&self, state: &State, rem: usize) -> Waiting {
        let row = &state.rems[rem];
        Waiting {
            remediation_id: format!("r{rem}"),
            source: "am-a".to_owned(),
            alert: Self::alert(row.server, row.begun),
            server: self.server(row.server, row.boot),
            policy: "hung-fast".to_owned(),
            policy_hash: self.hashes[usize::from(row.policy)].clone(),
            needs_person: self.needs_person,
            last_notice_at: instant(row.notice, 0),
            episode_started_at: Some(instant(row.begun, 0)),
            decided_at: instant(row.begun, 0),
            waiting_since: instant(row.begun, 0),
            approved_at: row.approved.map(|at| instant(at, 0)),
            confirmed_at: row.approved.map(|at| instant(at, 0)),
        }
    }

    fn ask(&mut self, state: &State, asked: Asked, answer: impl FnOnce(&Self) -> Answer) -> Answer {
        let attempts = state.attempts.iter().map(|a| (a.rem, a.at, a.outcome)).collect();
        let outside = [state.resolved, state.boots];
        let key: Key = (asked, state.now, state.hold, state.policy, outside, state.rems.clone(), attempts);
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let answer = answer(self);
        self.known.insert(key, answer);
        answer
    }

    /// `claim`, for a process that kept a read of that instant.
    pub(super) fn claim(&mut self, state: &State, rem: usize, read: Option<Read>, halted: bool) -> Answer {
        let asked = Asked::Claim { rem: small(rem), read, halted };
        self.ask(state, asked, |judge| {
            let server = state.rems[rem].server;
            let unseen = judge.plant == Some(Plant::BootUnseen);
            let preflight = read.map(|read| {
                let boot = if unseen { state.rems[rem].boot } else { read.boot };
                let seen = PreflightSeen::Server(Box::new(judge.server(server, boot)));
                Preflight { read_at: instant(read.at, 0), seen, named: None, signals: Vec::new() }
            });
            let health = Health { halted: halted.then(|| "another owner".to_owned()), ..Health::default() };
            let facts = judge.facts(state, server, true);
            let waiting = judge.waiting(state, rem);
            let now = instant(state.now, 0);
            match claim(&waiting, judge.rules(state), &facts, preflight.as_ref(), &health, now).0 {
                Claim::Go(_) => Answer::Go,
                Claim::NeedPreflight => Answer::Read,
                Claim::Wait(_) => Answer::Wait,
                Claim::AskPerson(_) => Answer::Move(Event::NeedsApproval),
                Claim::Cancel(_) => Answer::Move(Event::Cancelled),
                Claim::Expire(_) => Answer::Move(Event::Expired),
            }
        })
    }

    /// `settled`.
    pub(super) fn settled(&mut self, state: &State, rem: usize) -> Answer {
        self.ask(state, Asked::Settled(small(rem)), |judge| {
            let facts = judge.facts(state, state.rems[rem].server, true);
            let waiting = judge.waiting(state, rem);
            match settled(&waiting, judge.rules(state), &facts, instant(state.now, 0)).0 {
                Settled::Queue => Answer::Move(Event::Settled),
                Settled::AskPerson(_) => Answer::Move(Event::NeedsApproval),
                Settled::Cancel(_) => Answer::Move(Event::Cancelled),
                Settled::Expire(_) => Answer::Move(Event::Expired),
            }
        })
    }

    /// `approvable`.
    pub(super) fn approvable(&mut self, state: &State, rem: usize) -> Answer {
        self.ask(state, Asked::Approvable(small(rem)), |judge| {
            let facts = judge.facts(state, state.rems[rem].server, true);
            let waiting = judge.waiting(state, rem);
            match approvable(&waiting, judge.rules(state), &facts, instant(state.now, 0)).0 {
                Ok(()) => Answer::Fine,
                Err(check) if check.verdict == Verdict::Expire => Answer::Move(Event::Expired),
                Err(_) => Answer::Move(Event::Cancelled),
            }
        })
    }

    /// `decide`, for an alert that begins now.
    pub(super) fn decide(&mut self, state: &State, server: u8) -> Answer {
        self.ask(state, Asked::Decide(server), |judge| {
            let alert = Self::alert(server, state.now);
            let question = Question {
                alert: &alert,
                source: "am-a",
                trust: Trust::Act,
                received_at: instant(state.now, 0),
                truncated: false,
                origin: Origin::Source,
            };
            let facts = judge.facts(state, server, false);
            match decide(&question, judge.rules(state), &facts, instant(state.now, 0)).decision {
                Decision::Remediate | Decision::AwaitingApproval => Answer::Opens,
                Decision::Duplicate => Answer::Joins,
                _ => Answer::Suppressed,
            }
        })
    }
}

fn small(index: usize) -> u8 {
    u8::try_from(index).unwrap()
}

/// The time of an instant.
pub(super) fn instant(index: u8, plus: i64) -> jiff::Timestamp {
    at((INSTANTS[usize::from(index)] + plus) * SECOND)
}
