//! Replays and orders by hand: dry runs change nothing; executed ones make a new remediation under every guard.
//!
//! Never: answers a repeated key with anything but the first answer.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Hand, Refusal};
use crate::config::{Config, SourceConfig};
use crate::domain::alert::Envelope;
use crate::domain::audit::{Actor, AuditEvent, chain_hash};
use crate::domain::decision::{Decided, Decision};
use crate::domain::guard::{Trace, Verdict};
use crate::domain::ids::{DeliveryId, TraceId};
use crate::domain::policy::Policy;
use crate::domain::target::claimed_address;
use crate::intake::{self, AlertAnswer, Answer, Arrival, Order};
use crate::service::Service;
use crate::sources::{self, ParseLimits};
use crate::store::{
    AuditFilter, DeliveryRow, IdempotentAnswer, KeptBody, NewDelivery, PageRequest, StoreError, Tx,
};

/// A person's key for one request, with a hash of what it asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The key.
    pub key: String,
    /// Hash of route and body.
    pub parameters: String,
}

/// What a dry run says: every alert as it was decided, and as it would be now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplayTried {
    /// `dry_run`
    mode: &'static str,
    /// The stored delivery.
    delivery_id: DeliveryId,
    /// Its source.
    source: String,
    /// When it came.
    received_at: Timestamp,
    /// One for each alert, in the order of the body.
    alerts: Vec<AlertTried>,
}

/// One alert of a dry run.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct AlertTried {
    /// What was answered; none where that delivery could not be read.
    #[schema(value_type = Option<AlertAnswer>)]
    then: Value,
    /// What would be answered.
    now: AlertAnswer,
    /// Decision or reason differ.
    changed: bool,
    /// Every guard that was asked.
    trace: Trace,
}

/// What an executed replay answers.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// The answer to the new delivery.
    #[serde(flatten)]
    answer: Answer,
    /// `execute`
    mode: &'static str,
    /// The stored delivery.
    replay_of: Option<DeliveryId>,
    /// Why.
    reason: String,
    /// What was answered then; none where that delivery could not be read.
    #[schema(value_type = Option<Vec<AlertAnswer>>)]
    original: Value,
}

/// What an order by hand answers.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ordered {
    /// `dry_run` or `execute`.
    mode: &'static str,
    /// Our trace.
    trace_id: TraceId,
    /// Why.
    reason: String,
    /// What was decided.
    decision: AlertAnswer,
    /// Every guard that was asked.
    trace: Trace,
}

/// The answer that was given for a key, or the refusal of its reuse.
async fn given_before(
    tx: &mut Tx,
    person: &str,
    key: Option<&Idempotency>,
    now: Timestamp,
) -> Result<Option<Result<Value, Refusal>>, StoreError> {
    let Some(key) = key else { return Ok(None) };
    let Some(kept) = tx.idempotent_answer(person, &key.key, now).await? else { return Ok(None) };
    if kept.parameters != key.parameters {
        return Ok(Some(Err(Refusal::KeyReused)));
    }
    let answer = serde_json::from_str(&kept.answer)
        .map_err(|_error| StoreError::Unreadable { what: "kept answer" })?;
    Ok(Some(Ok(answer)))
}

async fn keep(
    tx: &mut Tx,
    person: &str,
    key: Option<&Idempotency>,
    answer: &Value,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(key) = key else { return Ok(()) };
    let kept =
        IdempotentAnswer { parameters: key.parameters.clone(), status: 200, answer: answer.to_string() };
    tx.keep_answer(person, &key.key, &kept, now).await
}

/// Replays a stored delivery. A dry run says what would be decided now beside what was decided then; an executed one
/// decides anew, linked to the original. Every guard holds, a known end included. A body that is not the one of the audit is
/// refused, dry or not.
pub async fn replay(
    service: &Service,
    id: &DeliveryId,
    person: &str,
    reason: &str,
    execute: bool,
    key: Option<Idempotency>,
) -> Hand<Value> {
    let config = service.config();
    let Some(stored) = service.store.delivery(id).await? else { return Ok(Err(Refusal::NotFound)) };
    let Some(source) = config.sources.iter().find(|source| source.name == stored.source) else {
        let why = format!("source {} is not configured any more", stored.source);
        return Ok(Err(Refusal::NotReplayable { why }));
    };
    let now = service.clock.now();
    if let Err(why) = as_it_was_taken_in(service, id, &stored).await? {
        return refuse_changed(service, id, &stored, person, why, now).await;
    }
    let limits = ParseLimits::from(&config.server);
    let envelope = match sources::parse(source, &limits, &stored.body, stored.sender_time, now) {
        Ok(envelope) => envelope,
        Err(error) => return Ok(Err(Refusal::NotReplayable { why: error.to_string() })),
    };
    if !execute {
        return dry_run(service, id, &stored, source, &envelope, person, &config).await;
    }
    let arrival = arrival(id, &stored, source, envelope, person, &config, now);
    let job = Arc::new((arrival, person.to_owned(), reason.to_owned(), key, stored.answer.clone()));
    let done = service
        .store
        .write(move |tx| {
            let (job, config) = (Arc::clone(&job), Arc::clone(&config));
            Box::pin(async move {
                let (arrival, person, reason, key, original) = job.as_ref();
                if let Some(before) = given_before(tx, person, key.as_ref(), now).await? {
                    return Ok((before, Vec::new()));
                }
                let (taken, outcomes) = intake::record(tx, arrival, &config).await?;
                let answer = serde_json::from_str(&taken.answer)
                    .map_err(|_error| StoreError::Unreadable { what: "answer" })?;
                let answer = json!(Replayed {
                    answer,
                    mode: "execute",
                    replay_of: arrival.delivery.replay_of.clone(),
                    reason: reason.clone(),
                    original: original_alerts(original),
                });
                keep(tx, person, key.as_ref(), &answer, now).await?;
                Ok((Ok(answer), outcomes))
            })
        })
        .await?;
    intake::announce(service, &stored.source, &done.1);
    Ok(done.0)
}

/// Whether a stored delivery is the one that its event tells of: the event is the one that was chained, and names this body
/// and this source. What was changed since would decide about another server than the sender meant.
async fn as_it_was_taken_in(
    service: &Service,
    id: &DeliveryId,
    stored: &DeliveryRow,
) -> Result<Result<(), &'static str>, StoreError> {
    let page = PageRequest { limit: 1, cursor: None, ascending: true };
    let mut told = None;
    for kind in ["delivery_received", "delivery_repeated", "delivery_replayed", "delivery_unreadable"] {
        let filter = AuditFilter {
            delivery_id: Some(id.to_string()),
            kind: Some(kind.to_owned()),
            ..AuditFilter::default()
        };
        told = told.or(service.store.audit(&filter, &page).await?.items.into_iter().next());
    }
    let Some(item) = told else {
        return Ok(Err(
            "the audit event of this delivery is not in the store any more, so its body cannot be compared",
        ));
    };
    let ring = service.config().audit.ring();
    let key = match &item.key_id {
        None => None,
        Some(key_id) => match ring.find(key_id) {
            None => return Ok(Err("its audit event needs a key that is not configured")),
            found => found,
        },
    };
    if chain_hash(key, &item.prev_hash, item.seq, &item.event) != item.hash {
        return Ok(Err("its audit event is not the one that was chained"));
    }
    let detail: Value = serde_json::from_str(&item.event.detail).unwrap_or(Value::Null);
    let hash = hex::encode(Sha256::digest(&stored.body));
    if detail.get("bodySha256").and_then(Value::as_str) != Some(hash.as_str()) {
        return Ok(Err("its stored body is not the one that was taken in: the hash in the audit is another"));
    }
    if item.event.source.as_deref() != Some(stored.source.as_str()) {
        return Ok(Err("its stored source is not the one that it came from"));
    }
    Ok(Ok(()))
}

/// Refuses a replay of what was changed, with an event that says so.
async fn refuse_changed(
    service: &Service,
    id: &DeliveryId,
    stored: &DeliveryRow,
    person: &str,
    why: &'static str,
    now: Timestamp,
) -> Hand<Value> {
    tracing::error!(delivery.id = %id, source = stored.source, why, "a replay is refused; run audit verify --deep");
    let mut event = AuditEvent::new(now, "replay_refused", Actor::person(person)).with_detail(&json!({
        "why": why, "bodySha256": hex::encode(Sha256::digest(&stored.body)),
    }));
    event.delivery_id = Some(id.to_string());
    event.source = Some(stored.source.clone());
    service
        .store
        .write(move |tx| {
            let event = event.clone();
            Box::pin(async move { tx.append(&event).await.map(|_| ()) })
        })
        .await?;
    Ok(Err(Refusal::NotReplayable { why: why.to_owned() }))
}

fn original_alerts(answer: &str) -> Value {
    let answer: Value = serde_json::from_str(answer).unwrap_or(Value::Null);
    answer.get("alerts").cloned().unwrap_or(Value::Null)
}

fn arrival(
    id: &DeliveryId,
    stored: &DeliveryRow,
    source: &SourceConfig,
    envelope: Envelope,
    person: &str,
    config: &Config,
    now: Timestamp,
) -> Arrival {
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    Arrival {
        delivery: NewDelivery {
            id: DeliveryId::generate(),
            trace_id: TraceId::generate().to_string(),
            source: source.name.clone(),
            received_at: now,
            peer: "replay".to_owned(),
            credential: -1,
            body_sha256: hex::encode(Sha256::digest(&stored.body)),
            body: KeptBody::of(stored.body.clone().into(), envelope.all_read()),
            sender_time: stored.sender_time,
            alert_count: count(envelope.alerts.len()),
            truncated: i64::try_from(envelope.truncated).unwrap_or(i64::MAX),
            dedupable: false,
            replay_of: Some(id.clone()),
            actor: person.to_owned(),
            config_hash: config.hash.clone(),
        },
        envelope,
        trust: source.trust,
        person: Some(person.to_owned()),
        parent_span: None,
    }
}

async fn dry_run(
    service: &Service,
    id: &DeliveryId,
    stored: &DeliveryRow,
    source: &SourceConfig,
    envelope: &Envelope,
    person: &str,
    config: &Config,
) -> Hand<Value> {
    let now = service.clock.now();
    let mut store = service.store.clone();
    let decided =
        intake::explain(&mut store, &source.name, source.trust, envelope, Some(person), config, now).await?;
    let original = original_alerts(&stored.answer);
    let alerts = decided
        .into_iter()
        .enumerate()
        .map(|(idx, (now, trace))| {
            let then = original.get(idx).cloned().unwrap_or(Value::Null);
            let word = json!(now.decision);
            let changed =
                then.get("decision") != Some(&word) || then.get("reason") != Some(&json!(now.reason));
            AlertTried { then, now, changed, trace }
        })
        .collect();
    Ok(Ok(json!(ReplayTried {
        mode: "dry_run",
        delivery_id: id.clone(),
        source: stored.source.clone(),
        received_at: stored.received_at,
        alerts,
    })))
}

/// Decides an order by hand; with `execute` it makes a remediation, or is refused by the first guard that says no.
pub async fn order(service: &Service, order: Order, execute: bool, key: Option<Idempotency>) -> Hand<Value> {
    let config = service.config();
    let policy = config.rules.policies.iter().find(|policy| policy.name == order.policy).cloned();
    let Some(policy) = policy else {
        let why =
            format!("there is no policy {}; an order by hand names one whose limits hold", order.policy);
        return Ok(Err(Refusal::Policy { why }));
    };
    if policy.region != order.region {
        let why = format!("policy {} is for region {}, not {}", policy.name, policy.region, order.region);
        return Ok(Err(Refusal::Policy { why }));
    }
    if let Some(why) = unaskable(&order, &policy) {
        return Ok(Err(Refusal::Policy { why }));
    }
    let now = service.clock.now();
    let trace_id = TraceId::generate();
    let job = Arc::new((order, policy, key, trace_id));
    let done = service
        .store
        .write(move |tx| {
            let (job, config) = (Arc::clone(&job), Arc::clone(&config));
            Box::pin(async move {
                let (order, policy, key, trace_id) = job.as_ref();
                if let Some(before) = given_before(tx, &order.person, key.as_ref(), now).await? {
                    return Ok((before, Decision::Ignored));
                }
                let (decided, answer) =
                    intake::order(tx, order, policy, execute, &config, trace_id, now).await?;
                let word = decided.decision;
                let result = conclude(order, execute, decided, &answer, trace_id);
                if let (true, Ok(answer)) = (execute, &result) {
                    keep(tx, &order.person, key.as_ref(), answer, now).await?;
                }
                Ok((result, word))
            })
        })
        .await?;
    if done.1 == Decision::Pending {
        service.inventory.notify_one();
    }
    intake::announce(service, "by-hand", &[(done.1, None)]);
    Ok(done.0)
}

/// The second signals of a policy that would wait for ever, as nobody can ask them about an order by hand.
fn unaskable(order: &Order, policy: &Policy) -> Option<String> {
    let alert = order.as_alert(&DeliveryId::generate());
    let has_address = claimed_address(policy, &alert).is_some();
    let deaf = policy.corroborate.iter().filter(|wanted| wanted.is_deaf_to_orders(has_address));
    let deaf: Vec<String> = deaf.map(|wanted| format!("{} ({})", wanted.kind(), wanted.limit())).collect();
    (!deaf.is_empty()).then(|| {
        format!(
            "policy {} wants second signals that an order by hand cannot have: {}; name a policy without them",
            policy.name,
            deaf.join(", ")
        )
    })
}

fn conclude(
    order: &Order,
    execute: bool,
    decided: Decided,
    answer: &AlertAnswer,
    trace_id: &TraceId,
) -> Result<Value, Refusal> {
    if execute && answer.remediation_id.is_none() {
        if decided.decision == Decision::Pending {
            let why = format!(
                "server {} is not in a fresh inventory; it is being read, try again",
                order.server_no
            );
            return Err(Refusal::NotReplayable { why });
        }
        if let Some(check) = decided.trace.first(Verdict::Stop).cloned() {
            return Err(Refusal::Guard { check, trace: decided.trace });
        }
    }
    let mode = if execute { "execute" } else { "dry_run" };
    Ok(json!(Ordered {
        mode,
        trace_id: trace_id.clone(),
        reason: order.reason.clone(),
        decision: answer.clone(),
        trace: decided.trace,
    }))
}
