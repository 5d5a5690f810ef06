//! One alert: its facts, its decision, and what is made of it, inside the transaction of its delivery.
//!
//! Never: a decision of its own; that is `domain::decision`.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{AlertAnswer, sightings};
use crate::config::Config;
use crate::domain::alert::{Alert, AlertStatus, BY_HAND};
use crate::domain::audit::{Actor, AuditEvent};
use crate::domain::decision::{
    Decided, Decision, FUTURE_MAX, Origin, Question, Route, decide, decide_under, route,
};
use crate::domain::facts::TargetFact;
use crate::domain::guard::{Reason, Trace, Verdict};
use crate::domain::ids::{DeliveryId, IncidentId, RemediationId};
use crate::domain::limits::{earlier, later, look_back};
use crate::domain::policy::{Policy, Trust};
use crate::domain::remediation::Event;
use crate::domain::server::{RegionCode, Server, ServerNo};
use crate::domain::signs::storm_shown;
use crate::domain::storm::Trip;
use crate::domain::target::{Named, TargetName, speaks_of_another_region, target_name};
use crate::moves::{agreed, close_if_over, event_about};
use crate::service::hold_file;
use crate::store::{
    AlertDecision, FactSource, FactsWanted, GuardsWanted, Move, NewRemediation, Renewal, StoreError, Tx,
};

/// What is known of an alert beside the alert itself.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// Its delivery.
    pub delivery_id: &'a DeliveryId,
    /// Place in it.
    pub idx: usize,
    /// Its source.
    pub source: &'a str,
    /// How far that source is believed.
    pub trust: Trust,
    /// When the delivery came.
    pub received_at: Timestamp,
    /// The sender left alerts out.
    pub truncated: bool,
    /// Fingerprints that the delivery says are over, as far as they have been decided: ends come first.
    pub ends: &'a [String],
    /// Our trace.
    pub trace_id: &'a str,
    /// The person who replays or orders.
    pub person: Option<&'a str>,
    /// The delivery that was replayed.
    pub replay_of: Option<&'a DeliveryId>,
}

/// A recorded decision: its answer, and what the caller records of it.
#[derive(Debug)]
pub struct Done {
    /// The answer.
    pub answer: AlertAnswer,
    /// How it is recorded.
    pub says: Says,
}

/// How a decision is recorded.
#[derive(Debug)]
pub enum Says {
    /// By a row of its own, which is written, and by this event, which the caller appends.
    News(AuditEvent),
    /// By its delivery alone: it says no more than was recorded of the alert not long ago.
    Again(Renewed),
}

/// A renewed notice of a delivery.
#[derive(Debug)]
pub struct Renewed {
    /// What the delivery keeps.
    pub renewal: Renewal,
    /// When it refreshed the remediation that it is about.
    pub noticed_at: Option<Timestamp>,
}

/// What must be known of the target before it can be decided: from the inventory, or from a look-up just made.
#[derive(Debug, Clone)]
pub struct KnownTarget {
    /// The server, or why there is none.
    pub fact: TargetFact,
}

pub(super) async fn quarantine(
    tx: &mut Tx,
    told: &Told<'_>,
    fingerprint: Option<&str>,
    why: &str,
    config: &Config,
    now: Timestamp,
) -> Result<Done, StoreError> {
    let decided = quarantined(why);
    let target = Target::default();
    write_decision(tx, told, fingerprint, None, &decided, &target, &Joined::default(), config, now, None)
        .await
}

/// Decides one readable alert, makes what follows from it, and records the decision. With `pending` the row of a
/// pending alert is decided anew instead of adding one.
pub async fn decide_and_record(
    tx: &mut Tx,
    told: &Told<'_>,
    alert: &Alert,
    config: &Config,
    now: Timestamp,
    pending: Option<(i64, Option<KnownTarget>)>,
) -> Result<Done, StoreError> {
    let (row, known) = match pending {
        Some((row, known)) => (Some(row), known),
        None => (None, None),
    };
    let alone = Told { ends: &[], ..*told };
    let (mut decided, mut target) =
        ask(&mut tx.remembered(), &alone, alert, config, None, known.clone(), now).await?;
    if decided.decision.creates_remediation() {
        // Whom an interrupt would go to is not taken from memory, and the rest of its delivery has a say. The guards may
        // be: each is asked again, from the file, in the moment before.
        (decided, target) =
            ask(&mut tx.remembered_but_the_target(), told, alert, config, None, known, now).await?;
    }
    sightings::note(tx, told, alert, &decided, &target, now).await?;
    let mut ended = None;
    let joined = match (alert.status, told.person) {
        (AlertStatus::Resolved, None) => {
            let (fingerprint, ended_at) = resolve(tx, told, alert, &config.hash, now).await?;
            ended = fingerprint;
            Joined { ended_at: Some(ended_at), ..Joined::default() }
        }
        // A replayed end is an old one: it changes nothing that is true now.
        (AlertStatus::Resolved, Some(_)) => Joined::default(),
        (AlertStatus::Firing, _) => join(tx, told, alert, &decided, &target, config, now).await?,
    };
    let fingerprint = Some(ended.as_deref().unwrap_or(&alert.fingerprint));
    write_decision(tx, told, fingerprint, Some(alert), &decided, &target, &joined, config, now, row).await
}

/// The target of a decision.
#[derive(Debug, Clone, Default)]
pub(super) struct Target {
    /// Region of the policy.
    pub(super) region: Option<RegionCode>,
    /// The server, where it is known.
    pub(super) server: Option<Server>,
    /// The number, where at least that is known.
    pub(super) no: Option<ServerNo>,
    /// The storm that this alert shows, where none is open yet.
    pub(super) storm: Option<Trip>,
}

/// Loads facts and decides, changing nothing. `under` names the policy where a person did.
pub(super) async fn ask(
    facts_from: &mut impl FactSource,
    told: &Told<'_>,
    alert: &Alert,
    config: &Config,
    under: Option<&Policy>,
    known: Option<KnownTarget>,
    now: Timestamp,
) -> Result<(Decided, Target), StoreError> {
    let question = Question {
        alert,
        source: told.source,
        trust: told.trust,
        received_at: told.received_at,
        truncated: told.truncated,
        origin: told.person.map_or(Origin::Source, Origin::Person),
    };
    let policy = match (under, route(&config.rules, told.source, alert)) {
        (Some(policy), _) | (None, Route::One(policy)) => Some(policy),
        (None, Route::None | Route::Several(_)) => None,
    };
    let mut target = Target { region: policy.map(|policy| policy.region.clone()), ..Target::default() };
    let fact = match (policy, known) {
        (None, _) => TargetFact::Pending,
        (Some(_), Some(known)) if told.source == BY_HAND => known.fact,
        (Some(policy), known) => {
            target_fact(facts_from, policy, alert, known, config, &mut target, now).await?
        }
    };
    if let TargetFact::Found(server) = &fact {
        target.no = Some(server.no.clone());
        target.server = Some(server.as_ref().clone());
    }
    let server = target.server.as_ref().map(|server| (server.region.clone(), server.no.clone()));
    let wanted = FactsWanted {
        target: fact,
        server,
        fingerprint: alert.fingerprint.clone(),
        ends: told.ends.to_vec(),
        trust: Some(told.trust),
        remediation: None,
        starts_at: alert.starts_at,
        attempts_since: earlier(now, look_back(&config.rules)),
        now,
        hold_file: hold_file(&config.store.hold_file),
        guards: policy.map(|policy| GuardsWanted::new(&policy.region, &policy.name, &config.rules, now)),
        heartbeats: policy.map_or_else(Vec::new, |policy| config.heartbeats_of(told.source, &policy.name)),
    };
    let facts = facts_from.facts(wanted).await?;
    let decided = match under {
        Some(policy) => decide_under(policy, &question, &config.rules, &facts, now),
        None => decide(&question, &config.rules, &facts, now),
    };
    target.storm = policy.and_then(|policy| {
        storm_shown(&question, policy, &config.rules, &facts, target.server.as_ref(), &decided)
    });
    Ok((decided, target))
}

async fn target_fact(
    facts_from: &mut impl FactSource,
    policy: &Policy,
    alert: &Alert,
    known: Option<KnownTarget>,
    config: &Config,
    target: &mut Target,
    now: Timestamp,
) -> Result<TargetFact, StoreError> {
    let (name, others) = match target_name(policy, alert) {
        Named::Missing { labels } => return Ok(TargetFact::Missing { labels }),
        Named::Malformed { label, why } => return Ok(TargetFact::Malformed { label, why }),
        Named::Target { name, others } => (name, others),
    };
    if let Some(elsewhere) = speaks_of_another_region(policy, alert) {
        return Ok(elsewhere);
    }
    if let TargetName::No(no) = &name {
        target.no = Some(no.clone());
    }
    let fresh_for: SignedDuration = config.inventory.fresh_for;
    let fact = match known {
        Some(known) => known.fact,
        None => facts_from.target(&policy.region, &name, now, fresh_for).await?,
    };
    agreed(facts_from, &policy.region, fact, &others, now, fresh_for).await
}

/// A resolved notice: moves the newest end forward, takes back what has not been sent, closes what is over. Returns the
/// end that was noted, and the fingerprint that it ends where that is not its own: an end that gives none, and takes
/// nothing back by its own, ends the alert that has the same labels.
async fn resolve(
    tx: &mut Tx,
    told: &Told<'_>,
    alert: &Alert,
    config_hash: &str,
    now: Timestamp,
) -> Result<(Option<String>, Timestamp), StoreError> {
    let latest = later(told.received_at, FUTURE_MAX);
    let ended_at = alert.ends_at.unwrap_or(told.received_at).min(latest);
    let mut cancellable = tx.cancellable_by(&alert.fingerprint).await?;
    let mut known_as = None;
    if cancellable.is_empty() && alert.is_named_by_its_labels() {
        known_as = tx.waiting_for(&alert.labels).await?;
        if let Some(fingerprint) = &known_as {
            cancellable = tx.cancellable_by(fingerprint).await?;
        }
    }
    let fingerprint = known_as.as_deref().unwrap_or(&alert.fingerprint);
    let mut incidents = tx.note_resolved(fingerprint, ended_at, now).await?;
    for remediation in cancellable {
        let detail = format!("{} of {} resolved", alert.name, told.source);
        let with = Move { reason: Some(Reason::Resolved), detail, ..Move::default() };
        if let Some(state) = tx.move_remediation(&remediation, Event::Cancelled, &with, now).await? {
            let actor = Actor::source(told.source);
            let mut trace = Trace::default();
            trace.note(Reason::Resolved, Verdict::Stop, &with.detail, "still firing", None);
            let mut event =
                event_about(&remediation, "remediation_moved", actor, now).with_detail(&serde_json::json!({
                    "from": remediation.state, "to": state, "detail": with.detail, "trace": trace,
                    "configHash": config_hash,
                }));
            // What moved it is the notice, not the alert that opened it.
            event.trace_id = Some(told.trace_id.to_owned());
            event.delivery_id = Some(told.delivery_id.to_string());
            event.source = Some(told.source.to_owned());
            event.reason = Some(Reason::Resolved.as_str().to_owned());
            tx.append(&event).await?;
        }
        if !incidents.contains(&remediation.incident_id) {
            incidents.push(remediation.incident_id);
        }
    }
    for incident in incidents {
        close_if_over(tx, &incident, now).await?;
    }
    Ok((known_as, ended_at))
}

/// What a decision changed beside its own row.
#[derive(Debug, Default)]
pub(super) struct Joined {
    pub(super) incident: Option<IncidentId>,
    pub(super) remediation: Option<RemediationId>,
    /// When the notice came with which the alert opened or joined the remediation.
    pub(super) noticed_at: Option<Timestamp>,
    /// Hash of the policy that the remediation was opened under.
    pub(super) policy_hash: Option<String>,
    /// Seal of the remediation that was opened.
    pub(super) remediation_seal: Option<String>,
    /// The end of the alert that was noted.
    pub(super) ended_at: Option<Timestamp>,
}

/// Joins the server's incident, and opens or joins a remediation.
pub(super) async fn join(
    tx: &mut Tx,
    told: &Told<'_>,
    alert: &Alert,
    decided: &Decided,
    target: &Target,
    config: &Config,
    now: Timestamp,
) -> Result<Joined, StoreError> {
    let Some(server) = &target.server else { return Ok(Joined::default()) };
    let tells_nothing_new =
        matches!(decided.reason, Some(Reason::Resolved | Reason::Stale | Reason::FromFuture))
            && !decided.decision.creates_remediation();
    if tells_nothing_new {
        return Ok(Joined::default());
    }
    let incident = tx.join_incident(server, now).await?;
    if incident.opened {
        let mut event = AuditEvent::new(now, "incident_opened", Actor::service("intake"))
            .with_detail(&serde_json::json!({ "serverName": server.name, "alert": alert.name }));
        event.trace_id = Some(told.trace_id.to_owned());
        event.delivery_id = Some(told.delivery_id.to_string());
        event.incident_id = Some(incident.id.to_string());
        event.server_instance_no = Some(server.no.to_string());
        event.region_code = Some(server.region.to_string());
        tx.append(&event).await?;
    }
    // An order by hand is no alert: nothing would ever say that it ended.
    if told.source != BY_HAND {
        tx.note_firing(&incident.id, told.source, &alert.fingerprint, now);
    }
    let mut joined = Joined { incident: Some(incident.id), ..Joined::default() };
    match decided.decision {
        Decision::Remediate | Decision::AwaitingApproval => {
            if let Some(made) = create(tx, told, alert, decided, server, config, &joined, now).await? {
                joined = Joined { incident: joined.incident, noticed_at: Some(told.received_at), ..made };
            }
        }
        Decision::Duplicate => {
            if let Some((id, joins)) = tx.join_live(server, &alert.fingerprint, told.received_at).await? {
                joined.remediation = Some(id);
                joined.noticed_at = joins.then_some(told.received_at);
            }
        }
        Decision::Pending
        | Decision::Suppressed
        | Decision::Resolved
        | Decision::Ignored
        | Decision::Quarantined => {}
    }
    Ok(joined)
}

#[expect(clippy::too_many_arguments, reason = "everything that a remediation remembers")]
async fn create(
    tx: &mut Tx,
    told: &Told<'_>,
    alert: &Alert,
    decided: &Decided,
    server: &Server,
    config: &Config,
    joined: &Joined,
    now: Timestamp,
) -> Result<Option<Joined>, StoreError> {
    let named = decided.policy.as_deref();
    let policy = config.rules.policies.iter().find(|policy| Some(policy.name.as_str()) == named);
    let (Some(policy), Some(incident_id)) = (policy, &joined.incident) else { return Ok(None) };
    let (id, policy_hash) = (RemediationId::generate(), policy.hash());
    let settle = if told.person.is_some() { SignedDuration::ZERO } else { policy.settle };
    let delivery_id = tx.has_delivery(told.delivery_id).await?.then_some(told.delivery_id);
    let seal = tx.insert_remediation(&NewRemediation {
        id: &id,
        incident_id,
        server,
        policy: &policy.name,
        policy_hash: &policy_hash,
        config_hash: &config.hash,
        source: told.source,
        alert,
        needs_person: decided.decision == Decision::AwaitingApproval,
        reason: decided.reason,
        requested_by: told.person,
        replay_of: told.replay_of,
        delivery_id,
        trace_id: told.trace_id,
        now,
        noticed_at: told.received_at,
        settle_until: later(now, settle),
        episode_started_at: alert.starts_at,
        confirmed_at: told.person.map(|_| told.received_at),
    })?;
    Ok(Some(Joined {
        remediation: Some(id),
        policy_hash: Some(policy_hash),
        remediation_seal: Some(seal),
        ..Joined::default()
    }))
}

#[expect(clippy::too_many_arguments, reason = "everything that a decision remembers")]
pub(super) async fn write_decision(
    tx: &mut Tx,
    told: &Told<'_>,
    fingerprint: Option<&str>,
    alert: Option<&Alert>,
    decided: &Decided,
    target: &Target,
    joined: &Joined,
    config: &Config,
    now: Timestamp,
    pending_row: Option<i64>,
) -> Result<Done, StoreError> {
    let trace = trace_of(decided)?;
    let row = AlertDecision {
        delivery_id: told.delivery_id,
        idx: told.idx,
        source: told.source,
        fingerprint,
        alert,
        received_at: told.received_at,
        server_no: target.no.as_ref().map(ServerNo::as_str),
        region_code: target.region.as_ref().map(RegionCode::as_str),
        decided,
        trace: &trace,
        config_hash: &config.hash,
        decided_at: now,
        incident_id: joined.incident.as_ref(),
        remediation_id: joined.remediation.as_ref(),
    };
    let mut seal = None;
    match pending_row {
        // What never changes of it was told when it was taken in.
        Some(id) => {
            tx.redecide_alert(id, &row).await?;
        }
        None => {
            // What a person replays is that person's act.
            let renewal = if told.person.is_none() { tx.renewal(&row)? } else { None };
            match renewal {
                Some(renewal) => {
                    let says = Says::Again(Renewed { renewal, noticed_at: joined.noticed_at });
                    return Ok(Done { answer: answer_of(&row), says });
                }
                None => seal = Some(tx.insert_alert(&row)?),
            }
        }
    }
    Ok(Done { answer: answer_of(&row), says: Says::News(event_of(told, &row, joined, seal.as_deref())) })
}

pub(super) fn answer_of(row: &AlertDecision<'_>) -> AlertAnswer {
    AlertAnswer {
        fingerprint: row.fingerprint.map(str::to_owned),
        server_instance_no: row.server_no.map(str::to_owned),
        decision: row.decided.decision,
        reason: row.decided.reason,
        until: row.decided.until,
        incident_id: row.incident_id.map(IncidentId::to_string),
        remediation_id: row.remediation_id.map(RemediationId::to_string),
        detail: row.decided.detail.clone(),
    }
}

/// The trace as it is written, in the row of the alert and in the audit.
pub(super) fn trace_of(decided: &Decided) -> Result<Box<RawValue>, StoreError> {
    serde_json::value::to_raw_value(&decided.trace).map_err(|_error| StoreError::Unreadable { what: "trace" })
}

/// What the event of a decision tells beside its columns.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OfDecision<'a> {
    idx: usize,
    fingerprint: Option<&'a str>,
    alert: Option<&'a str>,
    status: Option<AlertStatus>,
    until: Option<Timestamp>,
    detail: &'a str,
    trace: &'a RawValue,
    config_hash: &'a str,
    noticed_at: Option<Timestamp>,
    policy_hash: Option<&'a str>,
    ended_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert_seal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remediation_seal: Option<&'a str>,
}

/// `alert_seal`: that of the row, where it was made now.
pub(super) fn event_of(
    told: &Told<'_>,
    row: &AlertDecision<'_>,
    joined: &Joined,
    alert_seal: Option<&str>,
) -> AuditEvent {
    let actor = told.person.map_or_else(|| Actor::source(told.source), Actor::person);
    let mut event = AuditEvent::new(row.decided_at, "alert_decided", actor).with_detail(&OfDecision {
        idx: row.idx,
        fingerprint: row.fingerprint,
        alert: row.alert.map(|alert| alert.name.as_str()),
        status: row.alert.map(|alert| alert.status),
        until: row.decided.until,
        detail: &row.decided.detail,
        trace: row.trace,
        config_hash: row.config_hash,
        noticed_at: joined.noticed_at,
        policy_hash: joined.policy_hash.as_deref(),
        ended_at: joined.ended_at,
        confirmed_at: told.person.map(|_| told.received_at),
        alert_seal,
        remediation_seal: joined.remediation_seal.as_deref(),
    });
    event.trace_id = Some(told.trace_id.to_owned());
    event.delivery_id = Some(told.delivery_id.to_string());
    event.incident_id = row.incident_id.map(IncidentId::to_string);
    event.remediation_id = row.remediation_id.map(RemediationId::to_string);
    event.server_instance_no = row.server_no.map(str::to_owned);
    event.region_code = row.region_code.map(str::to_owned);
    event.source = Some(told.source.to_owned());
    event.policy.clone_from(&row.decided.policy);
    event.decision = Some(row.decided.decision.as_str().to_owned());
    event.reason = row.decided.reason.map(|reason| reason.as_str().to_owned());
    event
}

/// The answer to a decision that changed nothing.
pub(super) fn plain_answer(
    fingerprint: Option<&str>,
    server: Option<String>,
    decided: &Decided,
) -> AlertAnswer {
    AlertAnswer {
        fingerprint: fingerprint.map(str::to_owned),
        server_instance_no: server,
        decision: decided.decision,
        reason: decided.reason,
        until: decided.until,
        incident_id: None,
        remediation_id: None,
        detail: decided.detail.clone(),
    }
}

/// The decision on an alert that could not be read.
pub(super) fn quarantined(why: &str) -> Decided {
    let mut trace = Trace::default();
    trace.note(Reason::QuarantinedAlert, Verdict::Stop, why, "a readable alert", None);
    Decided {
        decision: Decision::Quarantined,
        reason: Some(Reason::QuarantinedAlert),
        until: None,
        detail: why.to_owned(),
        policy: None,
        trace,
    }
}
