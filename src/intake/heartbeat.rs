//! Heartbeats: alerts that say only that the way from the rule to here works.
//!
//! Never: lets one reach a policy, or takes the end of one, or a replayed one, for a sign of life.

use super::alerts::{Done, Joined, Target, Told, write_decision};
use super::{Arrival, Parsed};
use crate::config::{Config, HeartbeatConfig};
use crate::domain::alert::{Alert, AlertStatus};
use crate::domain::audit::{Actor, AuditEvent};
use crate::domain::decision::{Decided, Decision};
use crate::domain::guard::Trace;
use crate::store::{StoreError, Tx};

/// The heartbeat of the source, if the alert is one.
pub(super) fn heartbeat_of<'c>(
    config: &'c Config,
    source: &str,
    alert: &Alert,
) -> Option<&'c HeartbeatConfig> {
    // The end of one is an end like any other.
    if alert.status == AlertStatus::Resolved {
        return None;
    }
    let source = config.sources.iter().find(|one| one.name == source)?;
    source.heartbeat.as_ref().filter(|heartbeat| heartbeat.matchers.matches(&alert.labels))
}

/// Notes the heartbeat that a delivery brings; an event only where the source was silent before. A delivery that is the
/// same as one before brings one as well: it has just been sent.
pub(super) async fn note(tx: &mut Tx, arrival: &Arrival, config: &Config) -> Result<(), StoreError> {
    let delivery = &arrival.delivery;
    if arrival.person.is_some() {
        return Ok(());
    }
    let readable = arrival.envelope.alerts.iter().filter_map(|parsed| match parsed {
        Parsed::Alert(alert) => Some(alert),
        Parsed::Quarantined { .. } => None,
    });
    let mut heard = readable.filter_map(|alert| heartbeat_of(config, &delivery.source, alert));
    let Some(heartbeat) = heard.next() else { return Ok(()) };
    let now = delivery.received_at;
    let before = tx.note_heartbeat(&delivery.source, now).await?;
    if before.is_some_and(|at| now.duration_since(at) <= heartbeat.within) {
        return Ok(());
    }
    let mut event = AuditEvent::new(now, "heartbeat_heard", Actor::source(&delivery.source))
        .with_detail(&serde_json::json!({ "lastBefore": before, "within": heartbeat.within }));
    event.trace_id = Some(delivery.trace_id.clone());
    event.source = Some(delivery.source.clone());
    tx.append(&event).await.map(|_| ())
}

/// Records that an alert was a heartbeat.
pub(super) async fn record(
    tx: &mut Tx,
    told: &Told<'_>,
    alert: &Alert,
    config: &Config,
) -> Result<Done, StoreError> {
    let (target, joined) = (Target::default(), Joined::default());
    let fingerprint = Some(alert.fingerprint.as_str());
    let now = told.received_at;
    write_decision(tx, told, fingerprint, Some(alert), &decided(), &target, &joined, config, now, None).await
}

/// What is decided about a heartbeat.
pub(super) fn decided() -> Decided {
    Decided {
        decision: Decision::Ignored,
        reason: None,
        until: None,
        detail: "a heartbeat of its source; it reaches no policy".to_owned(),
        policy: None,
        trace: Trace::default(),
    }
}
