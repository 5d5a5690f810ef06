//! Backtest: what a configuration would have done to recorded alerts, by the production decisions over a simulated past.
//!
//! Never: sends, writes, or tells of a difference without the alert that shows it.

mod lives;
mod report;
mod run;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

pub use report::{
    ASSUMPTIONS, Act, Count, Difference, End, LeftOut, OfPolicy, OfServer, Report, TOLD_MAX, Tally,
};
pub use run::{Cut, Progress, Wanted, run};

use crate::config::Config;
use crate::domain::alert::{Alert, AlertStatus};
use crate::domain::decision::{
    Decided, Decision, FUTURE_MAX, Origin, Question, Route, decide, decide_under, route,
};
use crate::domain::facts::TargetFact;
use crate::domain::guard::{Reason, Trace};
use crate::domain::limits::later;
use crate::domain::policy::{Mode, Policy, Rules, Trust};
use crate::domain::reboot;
use crate::domain::server::Server;
use crate::domain::signs::{fires, storm_shown};
use crate::domain::target::{Named, ServerName, TargetName, speaks_of_another_region, target_name};
use crate::store::{Record, RecordedAlert};

use lives::{Life, Opening};
use report::Counts;
use world::World;

/// A mode that policies are replayed in instead of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The policy; `None`: all of them.
    pub policy: Option<String>,
    /// The mode.
    pub mode: Mode,
}

/// A replay of recorded alerts, fed in their order.
#[derive(Debug)]
pub struct Replay {
    rules: Arc<Rules>,
    trust: BTreeMap<String, Trust>,
    world: World,
    servers: Vec<Arc<Server>>,
    by_no: BTreeMap<String, Vec<usize>>,
    by_name: BTreeMap<ServerName, Vec<usize>>,
    lives: BTreeMap<usize, Life>,
    due: BTreeSet<(Timestamp, usize)>,
    counts: Counts,
    opened: u64,
    /// The delivery that is replayed, and the servers for which it ended an alert that opened or joined.
    ended: (String, BTreeSet<usize>),
    since: Timestamp,
    now: Timestamp,
}

impl Replay {
    /// A replay from a time on, by the rules of a configuration.
    pub fn new(config: &Config, wish: Option<&Wish>, record: Record, since: Timestamp) -> Self {
        let mut rules = config.rules.clone();
        let mut wished = Vec::new();
        for policy in &mut rules.policies {
            // Nobody can ask a second signal about the past.
            policy.corroborate.clear();
            let named = |wish: &&Wish| wish.policy.as_ref().is_none_or(|name| *name == policy.name);
            if let Some(wish) = wish.filter(named) {
                policy.mode = wish.mode;
                wished.push(policy.name.clone());
            }
        }
        let mut known: BTreeSet<(String, String)> = BTreeSet::new();
        let place = |server: &Server| (server.region.to_string(), server.no.to_string());
        known.extend(record.servers.iter().map(place));
        let gone =
            record.lives.values().map(|life| &life.server).filter(|server| known.insert(place(server)));
        let gone: Vec<Server> = gone.cloned().collect();
        let mut servers = Vec::new();
        let (mut by_no, mut by_name) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
        for mut server in record.servers.iter().cloned().chain(gone) {
            // What the cloud said of it then is in the record, where it mattered.
            "RUN".clone_into(&mut server.status_code);
            "NULL".clone_into(&mut server.operation_code);
            server.uptime_at = Some(server.created_at);
            by_no.entry(server.no.to_string()).or_default().push(servers.len());
            by_name.entry(ServerName::new(&server.name)).or_default().push(servers.len());
            servers.push(Arc::new(server));
        }
        let trust = config.sources.iter().map(|source| (source.name.clone(), source.trust)).collect();
        Self {
            trust,
            world: World::new(record, &rules, wished, since),
            rules: Arc::new(rules),
            servers,
            by_no,
            by_name,
            lives: BTreeMap::new(),
            due: BTreeSet::new(),
            counts: Counts::default(),
            opened: 0,
            ended: (String::new(), BTreeSet::new()),
            since,
            now: since,
        }
    }

    /// Replays recorded alerts; they must follow those fed before.
    pub fn feed(&mut self, rows: &[RecordedAlert]) {
        for delivery in rows.chunk_by(|one, next| one.delivery_id == next.delivery_id) {
            let mut alerts = Vec::with_capacity(delivery.len());
            for row in delivery {
                self.counts.alerts += 1;
                if row.replayed {
                    self.counts.left_out.replayed += 1;
                    continue;
                }
                let alert = row.alert.as_deref().and_then(|text| serde_json::from_str::<Alert>(text).ok());
                let (Some(alert), Some(then)) = (alert, Decision::parse(&row.decision)) else {
                    self.counts.left_out.unreadable += 1;
                    continue;
                };
                let Some(trust) = self.trust.get(&row.source).copied() else {
                    self.counts.left_out.source_gone += 1;
                    continue;
                };
                alerts.push((row, alert, trust, then));
            }
            alerts.sort_by(|(_, one, ..), (_, other, ..)| one.decided_before(other));
            for (row, alert, trust, then) in alerts {
                if self.ended.0 != row.delivery_id {
                    self.ended = (row.delivery_id.clone(), BTreeSet::new());
                }
                self.one(row, &alert, trust, then);
            }
        }
    }

    fn one(&mut self, row: &RecordedAlert, alert: &Alert, trust: Trust, then: Decision) {
        let now = self.now.max(row.received_at);
        self.now = now;
        self.pass_time(now);
        let rules = Arc::clone(&self.rules);
        let question = Question {
            alert,
            source: &row.source,
            trust,
            received_at: now,
            truncated: row.truncated,
            origin: Origin::Source,
        };
        let policy = match route(&rules, &row.source, alert) {
            Route::One(policy) => Some(policy),
            Route::None | Route::Several(_) => None,
        };
        let then_reason = row.reason.as_deref().and_then(Reason::parse);
        let (decided, place) = self.decided(&question, policy, row, then_reason);
        if let Some(policy) = policy {
            self.follow(&question, policy, &decided, place, row);
        } else if alert.status == AlertStatus::Resolved {
            self.end(alert, now);
        }
        self.compare(row, &decided, place, then, then_reason);
    }

    fn decided(
        &mut self,
        question: &Question<'_>,
        policy: Option<&Policy>,
        row: &RecordedAlert,
        then: Option<Reason>,
    ) -> (Decided, Option<usize>) {
        let (rules, now) = (Arc::clone(&self.rules), question.received_at);
        let Some(policy) = policy else {
            return (decide(question, &rules, &self.world.facts, now), None);
        };
        let (target, place) = self.target(policy, question.alert, row, then);
        let server = place.and_then(|place| self.servers.get(place)).cloned();
        self.world.prepare(policy, &rules, server.as_deref(), &question.alert.fingerprint, now);
        self.world.facts.target = target;
        self.world.facts.ended_in_delivery = place.is_some_and(|place| self.ended.1.contains(&place));
        if let Some(life) = place.and_then(|place| self.lives.get(&place)) {
            self.world.lives(life.id(), life.state());
        }
        let acts = question.alert.status == AlertStatus::Firing && question.alert.never_actionable.is_none();
        let facts = &self.world.facts;
        let decided = if acts {
            decide_under(policy, question, &rules, facts, now)
        } else {
            decide(question, &rules, facts, now)
        };
        (decided, place)
    }

    /// What follows from a decision: sightings, a storm, a remediation that is opened, joined or taken back.
    fn follow(
        &mut self,
        question: &Question<'_>,
        policy: &Policy,
        decided: &Decided,
        place: Option<usize>,
        row: &RecordedAlert,
    ) {
        let (rules, now, alert) = (Arc::clone(&self.rules), question.received_at, question.alert);
        let server = place.and_then(|place| self.servers.get(place)).cloned();
        let storm = storm_shown(question, policy, &rules, &self.world.facts, server.as_deref(), decided);
        if let (Some(server), true) = (&server, fires(alert, decided) && decided.policy.is_some()) {
            self.world.fires(server, &policy.name, &rules, now);
        }
        if let Some(trip) = storm {
            self.world.storm_opens(trip, now);
        }
        if alert.status == AlertStatus::Resolved {
            return self.end(alert, now);
        }
        let (Some(place), Some(server)) = (place, server) else { return };
        if decided.decision.creates_remediation() {
            let opening = Opening {
                alert,
                source: question.source,
                trust: question.trust,
                decision: decided.decision,
                server: &server,
                received_at: now,
                recorded_id: row.remediation_id.as_deref(),
            };
            self.open(place, policy, &opening);
        } else if decided.decision == Decision::Duplicate
            && let Some(life) = self.lives.get_mut(&place)
        {
            life.joins(&alert.fingerprint, now);
        }
    }

    fn end(&mut self, alert: &Alert, now: Timestamp) {
        let ended_at = alert.ends_at.unwrap_or(now).min(later(now, FUTURE_MAX));
        self.world.ended(&alert.fingerprint, ended_at);
        self.resolved(&alert.fingerprint, now);
    }

    /// The target as it was resolved then; where the rules name another one now, as the inventory knows it.
    fn target(
        &self,
        policy: &Policy,
        alert: &Alert,
        row: &RecordedAlert,
        then: Option<Reason>,
    ) -> (TargetFact, Option<usize>) {
        let name = match target_name(policy, alert) {
            Named::Missing { labels } => return (TargetFact::Missing { labels }, None),
            Named::Malformed { label, why } => return (TargetFact::Malformed { label, why }, None),
            Named::Target { name, others: _ } => name,
        };
        if let Some(elsewhere) = speaks_of_another_region(policy, alert) {
            return (elsewhere, None);
        }
        let named = name.to_string();
        match then {
            Some(Reason::TargetUnknown) => return (TargetFact::Unknown { named }, None),
            Some(Reason::TargetAmbiguous) => {
                return (TargetFact::Ambiguous { named, numbers: Vec::new() }, None);
            }
            Some(Reason::RegionUnknown) => {
                let (seen, wanted) = (policy.region.to_string(), "a region of the account".to_owned());
                return (TargetFact::RegionUnknown { seen, wanted }, None);
            }
            Some(Reason::Blind) if row.server_no.is_none() => {
                return (TargetFact::Unreadable { why: "as recorded".to_owned() }, None);
            }
            Some(_) | None => {}
        }
        let here = |place: &&usize| self.servers.get(**place).is_some_and(|one| one.region == policy.region);
        let find = |all: Option<&Vec<usize>>| all.and_then(|all| all.iter().find(here)).copied();
        let place = match &name {
            TargetName::No(no) => find(self.by_no.get(no.as_str())),
            TargetName::Name(name) => find(row.server_no.as_ref().and_then(|no| self.by_no.get(no)))
                .or_else(|| self.named(policy, name)),
            TargetName::Ip(_) => find(row.server_no.as_ref().and_then(|no| self.by_no.get(no))),
        };
        let Some((place, server)) = place.and_then(|place| Some((place, self.servers.get(place)?))) else {
            return (TargetFact::Unknown { named }, None);
        };
        let mut server = server.as_ref().clone();
        if matches!(then, Some(Reason::NotEligible | Reason::Rebooted | Reason::DumpWindow)) {
            as_seen_then(&mut server, row.trace.as_deref());
        }
        (TargetFact::Found(Box::new(server)), Some(place))
    }

    /// The first server of the policy's region with this name, else with its first part.
    fn named(&self, policy: &Policy, name: &ServerName) -> Option<usize> {
        let here = |place: &&usize| self.servers.get(**place).is_some_and(|one| one.region == policy.region);
        let find = |name: &ServerName| self.by_name.get(name)?.iter().find(here).copied();
        find(name).or_else(|| find(&name.first_part()?))
    }

    fn compare(
        &mut self,
        row: &RecordedAlert,
        decided: &Decided,
        place: Option<usize>,
        then: Decision,
        then_reason: Option<Reason>,
    ) {
        let at =
            |name: Option<&str>| self.rules.policies.iter().position(|one| Some(one.name.as_str()) == name);
        let (ours, theirs) = (at(decided.policy.as_deref()), at(row.policy.as_deref()));
        // An alert that no policy claims any more is told of under none, with the server that it was about.
        let place = place.or_else(|| self.by_no.get(row.server_no.as_deref()?)?.first().copied());
        let tallies = &mut self.counts.tallies;
        tallies.entry((ours, place)).or_default().simulate(decided.decision, decided.reason);
        tallies.entry((theirs, place)).or_default().record(then, then_reason);
        if (decided.decision, decided.reason) != (then, then_reason) {
            self.counts.differs(|| Difference {
                delivery_id: row.delivery_id.clone(),
                received_at: row.received_at,
                server_instance_no: row.server_no.clone(),
                policy: decided.policy.clone(),
                recorded: then,
                recorded_reason: then_reason,
                simulated: decided.decision,
                simulated_reason: decided.reason,
                detail: decided.detail.clone(),
            });
        }
    }

    /// What was found.
    pub fn finish(mut self, until: Timestamp) -> Report {
        let until = until.max(self.now);
        self.pass_time(until);
        self.end_of_range(until);
        let server = |place: usize| {
            let server = self.servers.get(place)?;
            Some(OfServer {
                server_instance_no: Some(server.no.clone()),
                region_code: Some(server.region.clone()),
                server_name: Some(server.name.clone()),
                decisions: Tally::default(),
            })
        };
        let mut policies: Vec<OfPolicy> = Vec::new();
        for (place, policy) in self.rules.policies.iter().enumerate() {
            let mut one = self.counts.of_policy(Some(place), server);
            one.policy = Some(policy.name.clone());
            one.mode = Some(policy.mode);
            one.would_send = self.counts.sends.get(&policy.name).copied().unwrap_or(0);
            one.was_sent = self.world.record.sent_under(&policy.name);
            policies.push(one);
        }
        policies.push(self.counts.of_policy(None, server));
        Report {
            since: self.since,
            until,
            alerts: self.counts.alerts,
            alerts_in_range: self.counts.alerts,
            complete: true,
            cut: None,
            left_out: self.counts.left_out,
            policies,
            remediations: self.counts.acts,
            remediations_total: self.counts.acts_total,
            differences: self.counts.differences,
            differences_total: self.counts.differences_total,
            assumptions: ASSUMPTIONS.iter().map(|(_word, text)| *text).collect(),
        }
    }
}

/// Puts back what the guards saw of the server when they refused it, or asked a person.
fn as_seen_then(server: &mut Server, trace: Option<&str>) {
    let trace: Trace = trace.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    for check in &trace.0 {
        if let Some(at) = reboot::booted_at(check) {
            server.uptime_at = Some(at);
        }
        if check.guard != Reason::NotEligible {
            continue;
        }
        match check.limit.as_str() {
            "RUN" => server.status_code.clone_from(&check.seen),
            "NULL" => {
                if let Some(operation) = check.seen.strip_prefix("operation ") {
                    operation.clone_into(&mut server.operation_code);
                }
            }
            _ => {}
        }
    }
}
