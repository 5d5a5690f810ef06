//! Delivery: one worker for each receiver takes its messages in their order and posts them until they are taken.
//!
//! Never: waits for another receiver, or sends a later message of a chat before an earlier one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use super::backoff::pause;
use super::body::Outgoing;
use super::post::Poster;
use crate::config::{Config, ReceiverConfig, ReceiverKind};
use crate::domain::limits::later;
use crate::service::Service;
use crate::store::{StoreError, Tried, Waiting};
use crate::telemetry::{NotifyLabels, chain};

/// Longest time between two looks for a message.
const TICK: Duration = Duration::from_secs(1);
/// Gap after a fault of the store.
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// An alert ends by itself after so many repeats that did not come.
const REPEATS_MISSED: i32 = 5;

/// Works until its receiver is no longer configured.
pub(super) async fn work(service: Arc<Service>, poster: Poster, name: String, made: Arc<Notify>) {
    let mut seen: Option<Arc<Config>> = None;
    let mut failures = 0_i64;
    let mut quiet_until: Option<Instant> = None;
    loop {
        let woken = made.notified();
        let config = service.config();
        let Some(receiver) = config.receiver(&name) else { return };
        if !seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &config)) {
            // A start or a reload: what failed may be right now.
            (failures, quiet_until) = (0, None);
            match retry_now(&service, &name).await {
                Ok(()) => seen = Some(Arc::clone(&config)),
                Err(error) => {
                    tracing::warn!(receiver = name, error = %chain(&error), "the outbox cannot be written");
                }
            }
        }
        let mut wait = TICK;
        if quiet_until.is_none_or(|until| until <= Instant::now()) {
            match next(&service, &poster, &config, receiver).await {
                Ok(None) => {}
                Ok(Some(Ok(()))) => {
                    failures = 0;
                    continue;
                }
                Ok(Some(Err(salt))) => {
                    failures += 1;
                    let pause = Duration::try_from(pause(failures, &salt, None)).unwrap_or(TICK);
                    quiet_until = Some(Instant::now() + pause);
                    wait = pause.min(TICK);
                }
                Err(error) => {
                    tracing::warn!(receiver = name, error = %chain(&error), "the outbox cannot be read or written");
                    wait = STORE_PAUSE;
                }
            }
        }
        tokio::select! {
            () = woken => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn retry_now(service: &Service, name: &str) -> Result<(), StoreError> {
    let (name, now) = (name.to_owned(), service.clock.now());
    service
        .store
        .write(move |tx| {
            let name = name.clone();
            Box::pin(async move { tx.retry_now(&name, now).await })
        })
        .await
}

/// Posts the next message, if one is due. The inner error is the identity of a message that was not taken and that keeps
/// others waiting.
async fn next(
    service: &Service,
    poster: &Poster,
    config: &Config,
    receiver: &ReceiverConfig,
) -> Result<Option<Result<(), String>>, StoreError> {
    let in_order = receiver.kind != ReceiverKind::Alertmanager;
    let now = service.clock.now();
    let Some(waiting) = service.store.next_message(&receiver.name, in_order, now).await? else {
        return Ok(None);
    };
    let standing = waiting.standing && receiver.kind == ReceiverKind::Alertmanager;
    let outgoing = Outgoing {
        webhook_id: waiting.webhook_id.clone(),
        audit_seq: Some(waiting.seq),
        message: waiting.message.clone(),
        ends_at: ends_at(receiver, &waiting, now),
    };
    let answered = poster.post(receiver, &outgoing, &config.links(), service.clock.wall()).await;
    let now = service.clock.now();
    let over = waiting.ends_at.is_some_and(|at| at <= outgoing.ends_at);
    let count = |result: &'static str| {
        let labels = NotifyLabels { receiver: receiver.name.clone(), result };
        service.metrics.notify_deliveries.get_or_create(&labels).inc();
    };
    let (tried, result) = match answered {
        Ok(_answer) => {
            count("delivered");
            let again = (standing && !over).then(|| later(now, receiver.repeat));
            (Tried::Delivered { again }, Ok(()))
        }
        Err(not_taken) => {
            count(if not_taken.refused { "refused" } else { "failed" });
            tracing::warn!(
                receiver = receiver.name,
                webhook_id = waiting.webhook_id,
                attempts = waiting.attempts + 1,
                why = not_taken.why,
                "a message was not taken; it is tried again"
            );
            let pause = pause(waiting.attempts + 1, &waiting.webhook_id, not_taken.retry_after);
            let tried = Tried::Failed {
                error: not_taken.why,
                refused: not_taken.refused,
                not_before: later(now, pause),
            };
            (tried, Err(waiting.webhook_id.clone()))
        }
    };
    service
        .store
        .write(move |tx| {
            let (id, tried) = (waiting.id, tried.clone());
            Box::pin(async move { tx.note_try(id, &tried, now).await })
        })
        .await?;
    Ok(Some(result))
}

/// When an alert ends unless it is posted again: at its end where that is near or past, else after some missed repeats.
fn ends_at(receiver: &ReceiverConfig, waiting: &Waiting, now: Timestamp) -> Timestamp {
    let missed = receiver.repeat.checked_mul(REPEATS_MISSED).unwrap_or(SignedDuration::from_hours(1));
    let unless_repeated = later(now, missed);
    waiting.ends_at.map_or(unless_repeated, |end| end.min(unless_repeated))
}
