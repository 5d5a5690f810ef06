//! The cloud's activity record as evidence: asked about interrupts whose answer was lost, less and less often.
//!
//! Never: concludes anything from an entry that is not there, or from a record that cannot be read.

use std::sync::Arc;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::domain::activity::{self, Activity, ActivityEvidence};
use crate::domain::audit::Actor;
use crate::domain::ids::RemediationId;
use crate::domain::remediation::{Event, State};
use crate::moves::{event_about, move_with_event};
use crate::ncloud::Clients;
use crate::service::Service;
use crate::store::{ENTRIES_KEPT, Move, OpenAttempt, StoreError, Tx};

/// Asks the record about one attempt if it is time to. A remediation that is `unknown` is confirmed by the entry of our
/// call; for one that is `unconfirmed` the answer is only kept, because that the call arrived is known already.
pub(super) async fn look(
    service: &Arc<Service>,
    cloud: &Clients,
    attempt: &OpenAttempt,
    poll: SignedDuration,
) -> Result<(), StoreError> {
    let Some(tracer) = &cloud.tracer else { return Ok(()) };
    let id = &attempt.remediation_id;
    let Some(remediation) = service.store.remediation(id).await? else { return Ok(()) };
    if !matches!(remediation.state, State::Unknown | State::Unconfirmed) {
        return Ok(());
    }
    let intent_at = attempt.baseline.intent_at;
    let last = service.store.activity_seen(id).await?.map(|seen| seen.asked_at);
    let now = service.clock.now();
    if now < activity::next_look(intent_at, last, poll) {
        return Ok(());
    }
    let (from, until) = activity::window(intent_at);
    let begun = Instant::now();
    let Some(read) = service.unless_stopping(tracer.activities(from, until.min(now))).await else {
        return Ok(());
    };
    service.count_read("activities", begun, &read);
    let server = &remediation.waiting.server;
    let answer = read.map_err(|error| error.to_string());
    let evidence = answer
        .as_ref()
        .ok()
        .filter(|_| remediation.state == State::Unknown)
        .and_then(|entries| activity::proof(entries, server, intent_at, tracer.rules()));
    if let Err(why) = &answer {
        tracing::warn!(server.no = %server.no, remediation.id = %id, why, "the activity record cannot be read yet");
    }
    let of_server: Result<Vec<Activity>, String> =
        answer.map(|entries| entries.into_iter().filter(|entry| activity::is_about(entry, server)).collect());
    let job = Arc::new((id.clone(), attempt.id, of_server, evidence));
    let confirmed = service
        .store
        .write(move |tx| {
            let job = Arc::clone(&job);
            Box::pin(async move { keep(tx, &job.0, job.1, &job.2, job.3.as_ref(), now).await })
        })
        .await?;
    if confirmed {
        tracing::info!(remediation.id = %id, "the cloud's record shows our call; it is unknown no more");
    }
    Ok(())
}

/// Keeps the answer and, where there is proof, confirms. True when it was confirmed now.
async fn keep(
    tx: &mut Tx,
    id: &RemediationId,
    attempt_id: i64,
    answer: &Result<Vec<Activity>, String>,
    evidence: Option<&ActivityEvidence>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(remediation) = tx.remediation(id).await? else { return Ok(false) };
    let actor = Actor::service("verifier");
    if tx.note_activity(id, answer, now).await? {
        let (found, error) = match answer {
            Ok(found) => (found.get(..ENTRIES_KEPT).unwrap_or(found), None),
            Err(why) => (&[][..], Some(why)),
        };
        let mut event = event_about(&remediation, "activity_seen", actor.clone(), now)
            .with_detail(&json!({ "found": found, "error": error }));
        event.attempt_id = Some(attempt_id);
        tx.append(&event).await?;
    }
    let Some(evidence) = evidence else { return Ok(false) };
    let detail = format!("activity record {}: proves {}", evidence.entry.history_id, evidence.proves);
    let with = Move { detail, ..Move::default() };
    if !move_with_event(tx, &remediation, Event::CallSeen, &with, actor.clone(), None, now).await? {
        return Ok(false);
    }
    tx.set_evidence(attempt_id, evidence).await?;
    let mut event = event_about(&remediation, "evidence", actor, now).with_detail(evidence);
    event.attempt_id = Some(attempt_id);
    tx.append(&event).await?;
    Ok(true)
}
