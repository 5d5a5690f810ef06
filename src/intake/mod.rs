//! Intake: a verified delivery is loaded with facts, decided and recorded in one transaction, then answered.
//!
//! Never: calls the cloud, or answers before the commit.

mod alerts;
mod attest;
mod explain;
mod heartbeat;
mod order;
mod sightings;

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use alerts::{Done, KnownTarget, Renewed, Says, Told, decide_and_record};
use alerts::{quarantine, quarantined};
pub use attest::{Attested, Heard, attest};
pub use explain::explain;
pub use order::{Order, order};

use crate::config::Config;
use crate::domain::alert::{Envelope, Parsed};
use crate::domain::audit::{Actor, AuditEvent};
use crate::domain::decision::Decision;
use crate::domain::guard::Reason;
use crate::domain::ids::{DeliveryId, TraceId};
use crate::domain::policy::Trust;
use crate::domain::server::ServerNo;
use crate::service::Service;
use crate::store::{NewDelivery, StoreError, Tx};
use crate::telemetry::AlertLabels;

/// The answer to one alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertAnswer {
    /// Fingerprint, where it could be read.
    pub fingerprint: Option<String>,
    /// Server number, where the target is known.
    #[schema(value_type = Option<ServerNo>)]
    pub server_instance_no: Option<String>,
    /// The decision.
    pub decision: Decision,
    /// Why not, or why a person is asked.
    pub reason: Option<Reason>,
    /// When time lifts the no.
    pub until: Option<Timestamp>,
    /// Incident it belongs to.
    #[schema(format = "uuid")]
    pub incident_id: Option<String>,
    /// Remediation it opened or joined.
    #[schema(format = "uuid")]
    pub remediation_id: Option<String>,
    /// One sentence for people.
    pub detail: String,
}

impl AlertAnswer {
    /// Whether something follows from the decision.
    fn leads_somewhere(&self) -> bool {
        self.decision.creates_remediation() || matches!(self.decision, Decision::Pending | Decision::Resolved)
    }
}

/// The answer to a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Our trace.
    #[schema(value_type = TraceId)]
    pub trace_id: String,
    /// The delivery.
    #[schema(format = "uuid")]
    pub delivery_id: String,
    /// One answer per alert, in the order of the body.
    pub alerts: Vec<AlertAnswer>,
}

/// A delivery that was authenticated and read.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// What is recorded of it.
    pub delivery: NewDelivery,
    /// What it says.
    pub envelope: Envelope,
    /// How far its source is believed.
    pub trust: Trust,
    /// The person who replays it.
    pub person: Option<String>,
    /// The sender's own span, where it told one.
    pub parent_span: Option<String>,
}

impl Arrival {
    /// What is known of one of its alerts, once these have ended.
    fn told<'a>(&'a self, idx: usize, ends: &'a [String]) -> Told<'a> {
        Told {
            delivery_id: &self.delivery.id,
            idx,
            source: &self.delivery.source,
            trust: self.trust,
            received_at: self.delivery.received_at,
            truncated: self.envelope.truncated > 0,
            ends,
            trace_id: &self.delivery.trace_id,
            person: self.person.as_deref(),
            replay_of: self.delivery.replay_of.as_ref(),
        }
    }
}

/// What taking in a delivery led to.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The answer as JSON.
    pub answer: String,
    /// It was the same delivery as one before; nothing new was recorded.
    pub same: bool,
}

/// Records a delivery and decides its alerts. Returns after the commit.
pub async fn take_in(service: &Service, arrival: Arrival) -> Result<Taken, StoreError> {
    let config = service.config();
    let arrival = Arc::new(arrival);
    let job = Arc::clone(&arrival);
    let (taken, outcomes) = service
        .store
        .write_delivery(arrival.delivery.body_key(), move |tx| {
            let (arrival, config) = (Arc::clone(&job), Arc::clone(&config));
            Box::pin(async move { record(tx, &arrival, &config).await })
        })
        .await?;
    announce(service, &arrival.delivery.source, &outcomes);
    Ok(taken)
}

/// Keeps an authenticated body that could not be read, once per body: its sender repeats it for as long as it fires. The
/// ends that could be read in it are applied each time.
pub async fn keep_unreadable(service: &Service, arrival: Arrival, why: &str) -> Result<(), StoreError> {
    let (config, ends) = (service.config(), arrival.envelope.alerts.len());
    let (source, job) = (arrival.delivery.source.clone(), Arc::new((arrival, why.to_owned())));
    service
        .store
        .write(move |tx| {
            let (job, config) = (Arc::clone(&job), Arc::clone(&config));
            Box::pin(async move {
                let (arrival, why) = job.as_ref();
                let delivery = &arrival.delivery;
                let now = delivery.received_at;
                if tx.was_unreadable(&delivery.source, &delivery.body_sha256).await? {
                    return Ok(());
                }
                tx.insert_delivery(delivery, None);
                let answer = serde_json::json!({ "deliveryId": delivery.id, "unreadable": why }).to_string();
                tx.set_answer(&delivery.id, &answer, &[]).await?;
                let actor = Actor::source(&delivery.source);
                let mut event =
                    AuditEvent::new(now, "delivery_unreadable", actor).with_detail(&serde_json::json!({
                        "bodySha256": delivery.body_sha256, "why": why, "trace": quarantined(why).trace,
                        "configHash": delivery.config_hash, "seal": delivery.seal(&answer),
                        "repeatOf": null, "replayOf": delivery.replay_of.as_ref().map(DeliveryId::as_str),
                    }));
                event.trace_id = Some(delivery.trace_id.clone());
                event.delivery_id = Some(delivery.id.to_string());
                event.source = Some(delivery.source.clone());
                event.decision = Some(Decision::Quarantined.as_str().to_owned());
                event.reason = Some(Reason::QuarantinedAlert.as_str().to_owned());
                tx.append(&event).await?;
                for idx in arrival.envelope.in_order() {
                    let Some(Parsed::Alert(end)) = arrival.envelope.alerts.get(idx) else { continue };
                    let done =
                        decide_and_record(tx, &arrival.told(idx, &[]), end, &config, now, None).await?;
                    if let Says::News(event) = done.says {
                        tx.append(&event).await?;
                    }
                }
                Ok(())
            })
        })
        .await?;
    announce(service, &source, &vec![(Decision::Resolved, None); ends]);
    Ok(())
}

/// After the commit: counts the decisions and wakes whoever has something to do.
pub fn announce(service: &Service, source: &str, outcomes: &[(Decision, Option<Reason>)]) {
    for (decision, reason) in outcomes {
        let labels = AlertLabels {
            source: source.to_owned(),
            decision: decision.as_str(),
            reason: reason.map_or("", Reason::as_str),
        };
        service.metrics.alerts.get_or_create(&labels).inc();
    }
    let any = |wanted: fn(&Decision) -> bool| outcomes.iter().any(|(decision, _)| wanted(decision));
    if any(|decision| decision.creates_remediation() || *decision == Decision::Resolved) {
        service.work.notify_one();
    }
    if any(|decision| *decision == Decision::Pending) {
        service.lookups.notify_one();
    }
}

/// Decisions with their reasons.
pub type Outcomes = Vec<(Decision, Option<Reason>)>;

/// Records a delivery and decides its alerts in the caller's transaction.
pub async fn record(
    tx: &mut Tx,
    arrival: &Arrival,
    config: &Config,
) -> Result<(Taken, Outcomes), StoreError> {
    let delivery = &arrival.delivery;
    let now = delivery.received_at;
    heartbeat::note(tx, arrival, config).await?;
    let earlier = if delivery.dedupable && delivery.replay_of.is_none() {
        tx.earlier_delivery(&delivery.source, &delivery.body_sha256, now).await?
    } else {
        None
    };
    if let Some(stored) = earlier.as_ref().filter(|stored| stored.same) {
        return Ok((Taken { answer: stored.answer.clone(), same: true }, Vec::new()));
    }
    let repeat_of = earlier.as_ref().map(|stored| &stored.id);
    tx.insert_delivery(delivery, repeat_of);
    let mut answers = Vec::with_capacity(arrival.envelope.alerts.len());
    let (mut events, mut renewed, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for idx in arrival.envelope.in_order() {
        let Some(parsed) = arrival.envelope.alerts.get(idx) else { continue };
        let told = arrival.told(idx, &ends);
        let done = match parsed {
            Parsed::Alert(alert) if heartbeat::heartbeat_of(config, told.source, alert).is_some() => {
                // The delivery's own event tells of it.
                answers.push((idx, heartbeat::record(tx, &told, alert, config).await?.answer));
                continue;
            }
            Parsed::Alert(alert) => decide_and_record(tx, &told, alert, config, now, None).await?,
            Parsed::Quarantined { fingerprint, why } => {
                quarantine(tx, &told, fingerprint.as_deref(), why, config, now).await?
            }
        };
        if done.answer.decision == Decision::Resolved {
            ends.extend(done.answer.fingerprint.clone());
        }
        match done.says {
            Says::News(event) => events.push((event, done.answer.leads_somewhere())),
            // The delivery's own event tells of it.
            Says::Again(one) => renewed.push(one),
        }
        answers.push((idx, done.answer));
    }
    answers.sort_by_key(|(idx, _)| *idx);
    let answers: Vec<AlertAnswer> = answers.into_iter().map(|(_, answer)| answer).collect();
    let outcomes = answers.iter().map(|answer| (answer.decision, answer.reason)).collect();
    let answer =
        Answer { trace_id: delivery.trace_id.clone(), delivery_id: delivery.id.to_string(), alerts: answers };
    let text = serde_json::to_string(&answer).map_err(|_error| StoreError::Unreadable { what: "answer" })?;
    record_events(tx, arrival, repeat_of, &answer.alerts, &text, events, &renewed).await?;
    let answer = text;
    let renewals: Vec<_> = renewed.into_iter().map(|one| one.renewal).collect();
    tx.set_answer(&delivery.id, &answer, &renewals).await?;
    Ok((Taken { answer, same: false }, outcomes))
}

/// One event for the delivery, and one per decision that says something new. A byte-identical repeat gets one event with
/// what was decided, except for decisions that lead to something.
async fn record_events(
    tx: &mut Tx,
    arrival: &Arrival,
    repeat_of: Option<&DeliveryId>,
    answers: &[AlertAnswer],
    answer: &str,
    events: Vec<(AuditEvent, bool)>,
    renewed: &[Renewed],
) -> Result<(), StoreError> {
    let delivery = &arrival.delivery;
    let actor = match &arrival.person {
        Some(person) => Actor::person(person),
        None => Actor::source(&delivery.source),
    };
    let kind = match (&delivery.replay_of, repeat_of) {
        (Some(_), _) => "delivery_replayed",
        (None, Some(_)) => "delivery_repeated",
        (None, None) => "delivery_received",
    };
    let words: Vec<_> =
        answers.iter().map(|answer| (answer.decision, answer.reason, &answer.remediation_id)).collect();
    let mut detail = serde_json::json!({
        "bodySha256": delivery.body_sha256,
        "alerts": delivery.alert_count,
        "truncatedAlerts": delivery.truncated,
        "repeatOf": repeat_of.map(DeliveryId::as_str),
        "replayOf": delivery.replay_of.as_ref().map(DeliveryId::as_str),
        "decisions": words,
        "configHash": delivery.config_hash,
        "seal": delivery.seal(answer),
    });
    if let Some(fields) = detail.as_object_mut()
        && !renewed.is_empty()
    {
        let told: Vec<_> = renewed
            .iter()
            .map(|one| (one.renewal.idx, &one.renewal.server_no, &one.renewal.fingerprint, one.noticed_at))
            .collect();
        fields.insert("renewed".to_owned(), serde_json::json!(told));
    }
    if let (Some(span), Some(fields)) = (&arrival.parent_span, detail.as_object_mut()) {
        fields.insert("parentSpanId".to_owned(), span.as_str().into());
    }
    let mut event = AuditEvent::new(delivery.received_at, kind, actor).with_detail(&detail);
    event.trace_id = Some(delivery.trace_id.clone());
    event.delivery_id = Some(delivery.id.to_string());
    event.source = Some(delivery.source.clone());
    tx.append(&event).await?;
    // In the order in which they were decided, which is the one in which they are folded.
    for (event, leads_somewhere) in events {
        if repeat_of.is_none() || leads_somewhere {
            tx.append(&event).await?;
        }
    }
    Ok(())
}
