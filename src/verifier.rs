//! Verifier: reads servers that were interrupted until the reboot is proven or waiting is over.
//!
//! Never: sends anything but reads, or takes "not seen" for "did not happen".

mod activity;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::config::VerifyConfig;
use crate::domain::audit::Actor;
use crate::domain::evidence::{self, Evidence};
use crate::domain::remediation::{Event, State};
use crate::moves::{event_about, move_with_event};
use crate::ncloud::Clients;
use crate::service::Service;
use crate::store::{Move, OpenAttempt, StoreError, Tx};
use crate::telemetry::chain;

/// Runs until the service stops.
pub async fn run(service: Arc<Service>, cloud: Arc<Clients>) {
    while !service.stopping.is_cancelled() {
        let woken = service.proof.notified();
        if let Err(error) = tick(&service, &cloud).await {
            tracing::error!(error = %chain(&error), "interrupts could not be verified");
        }
        let pause = Duration::try_from(service.config().verify.poll).unwrap_or(Duration::from_secs(10));
        tokio::select! {
            () = woken => {}
            () = tokio::time::sleep(pause) => {}
            () = service.stopping.cancelled() => {}
        }
    }
}

async fn tick(service: &Arc<Service>, cloud: &Clients) -> Result<(), StoreError> {
    let config = service.config();
    for attempt in service.store.attempts_to_verify(service.clock.now(), config.verify.give_up).await? {
        if service.stopping.is_cancelled() {
            break;
        }
        verify(service, cloud, &attempt, &config.verify).await?;
        activity::look(service, cloud, &attempt, config.verify.poll).await?;
    }
    Ok(())
}

async fn verify(
    service: &Arc<Service>,
    cloud: &Clients,
    attempt: &OpenAttempt,
    config: &VerifyConfig,
) -> Result<(), StoreError> {
    let Some(remediation) = service.store.remediation(&attempt.remediation_id).await? else { return Ok(()) };
    let server = &remediation.waiting.server;
    let begun = Instant::now();
    let read = service.unless_stopping(cloud.reader.server(&server.region, &server.no)).await;
    let Some(read) = read else { return Ok(()) };
    service.count_read("detail", begun, &read);
    let now = service.clock.now();
    let evidence = match read {
        Ok(Some(seen)) if seen.identity() == server.identity() => {
            evidence::reboot(&attempt.baseline, &seen, remediation.state)
        }
        Ok(Some(_) | None) => None,
        Err(error) => {
            tracing::warn!(server.no = %server.no, error = %chain(&error), "cannot verify yet");
            None
        }
    };
    let time_is_up = now >= evidence::unconfirmed_at(&attempt.baseline, config.window);
    if evidence.is_none() && !(time_is_up && remediation.state == State::Accepted) {
        return Ok(());
    }
    let (id, attempt_id, evidence) = (attempt.remediation_id.clone(), attempt.id, Arc::new(evidence));
    let confirmed = evidence.is_some();
    service
        .store
        .write(move |tx| {
            let (id, evidence) = (id.clone(), Arc::clone(&evidence));
            Box::pin(async move { record(tx, &id, attempt_id, evidence.as_ref().as_ref(), now).await })
        })
        .await?;
    let outcome =
        if confirmed { "the reboot was seen" } else { "no reboot was seen in time; a person must look" };
    tracing::info!(server.no = %server.no, remediation.id = %attempt.remediation_id, "{outcome}");
    Ok(())
}

async fn record(
    tx: &mut Tx,
    id: &crate::domain::ids::RemediationId,
    attempt_id: i64,
    evidence: Option<&Evidence>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(remediation) = tx.remediation(id).await? else { return Ok(()) };
    let actor = Actor::service("verifier");
    let Some(evidence) = evidence else {
        let detail = "accepted, but no reboot was seen in time".to_owned();
        let with = Move { detail, ..Move::default() };
        move_with_event(tx, &remediation, Event::NoRebootInTime, &with, actor, None, now).await?;
        return Ok(());
    };
    let detail = format!("{} moved to {}: proves {}", evidence.kind, evidence.uptime_after, evidence.proves);
    let with = Move { detail, ..Move::default() };
    if !move_with_event(tx, &remediation, Event::RebootSeen, &with, actor.clone(), None, now).await? {
        return Ok(());
    }
    tx.set_evidence(attempt_id, evidence).await?;
    let mut event = event_about(&remediation, "evidence", actor, now).with_detail(evidence);
    event.attempt_id = Some(attempt_id);
    tx.append(&event).await.map(|_| ())
}
