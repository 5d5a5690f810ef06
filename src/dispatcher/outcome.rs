//! Outcomes: what became of an attempt, stored whatever it takes.
//!
//! Never: turns "unknown" into anything that could be sent again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::domain::audit::{Actor, AuditEvent};
use crate::domain::hold::HoldScope;
use crate::domain::limits::later;
use crate::domain::remediation::{Event, Outcome, TRIES_MAX};
use crate::journal::AnswerLine;
use crate::moves::{event_about, move_with_event};
use crate::ncloud::AttemptReport;
use crate::service::Service;
use crate::store::{AttemptOutcome, Move, NewHold, StoreError, Tx};
use crate::telemetry::chain;

/// Gap before a write that must succeed is tried again.
const WRITE_AGAIN: Duration = Duration::from_secs(1);
/// How long a service that is stopping goes on trying to store an answer that it has.
const LAST_TRIES: Duration = Duration::from_secs(5);

/// A commit that failed may still be there. This process knows that it did not send: an intent that is found is
/// recorded as not sent, one that is absent leaves the remediation queued.
pub(super) async fn undo_failed_claim(service: &Arc<Service>, nonce: &str) {
    let report = AttemptOutcome {
        cause: "the commit of the intent failed; nothing was sent".to_owned(),
        ..AttemptOutcome::default()
    };
    while !service.stopping.is_cancelled() {
        match record_outcome(service, nonce, Outcome::NotSent, &report, false).await {
            Ok(()) => return,
            Err(error) => {
                tracing::error!(
                    error = %chain(&error),
                    "cannot look whether an intent was committed"
                );
                tokio::time::sleep(WRITE_AGAIN).await;
            }
        }
    }
}

/// Records the end of an attempt. It is tried until it succeeds; nothing else is sent meanwhile.
pub(super) async fn finish(service: &Arc<Service>, nonce: &str, report: AttemptReport) {
    let with = AttemptOutcome {
        cause: report.cause,
        request_id: report.request_id,
        return_code: report.return_code,
        return_message: report.return_message,
        http_status: report.http_status,
        body_sha256: report.body_sha256,
        answer: report.answer,
    };
    let mut halted = false;
    let mut stopping_since = None;
    loop {
        match record_outcome(service, nonce, report.outcome, &with, report.raises_hold).await {
            Ok(()) => {
                if halted {
                    service.resume(nonce);
                }
                break;
            }
            Err(error) => {
                // The ballast is there for this moment. With room again the answer is stored at once.
                if error.is_full() && give_up_ballast(service) {
                    continue;
                }
                if !halted {
                    halted = true;
                    service.halt(nonce, "an outcome could not be stored");
                    // On a server an attempt without an outcome is unknown to whoever dispatches next, and a commit that
                    // has to wait is no fault of a disk: a file that stays would hold alerts for nothing.
                    if !service.store.place().is_shared() {
                        leave_hold_file(service, nonce);
                    }
                }
                tracing::error!(
                    nonce,
                    outcome = report.outcome.as_str(),
                    request_id = with.request_id.as_deref().unwrap_or("none"),
                    error = %chain(&error),
                    "an outcome could not be stored; trying again"
                );
                if error.is_io() {
                    service.stopping.cancel();
                    return;
                }
                if service.stopping.is_cancelled() {
                    let since = stopping_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= LAST_TRIES {
                        return;
                    }
                }
                tokio::time::sleep(WRITE_AGAIN).await;
            }
        }
    }
    service.work.notify_one();
    service.proof.notify_one();
}

/// Gives up the file kept aside for a full disk. True when that made room.
fn give_up_ballast(service: &Service) -> bool {
    match service.ballast().give_up() {
        Ok(true) => {
            tracing::error!("the disk is full; the ballast was given up for an outcome: make room");
            true
        }
        Ok(false) => false,
        Err(error) => {
            tracing::error!(%error, "the ballast could not be removed");
            false
        }
    }
}

/// The halt ends with the process; the hold file does not. It is written where the store could not be.
fn leave_hold_file(service: &Service, nonce: &str) {
    let path = service.config().store.hold_file.clone();
    let text = format!(
        "unhang: the outcome of attempt {nonce} could not be stored; see the log, settle it, then remove this file\n"
    );
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(&path);
    match made {
        Ok(mut file) => {
            if let Err(error) = std::io::Write::write_all(&mut file, text.as_bytes()) {
                tracing::warn!(path = %path.display(), %error, "the hold file is there and holds, but has no words");
            }
        }
        // One that is there already holds as well, and keeps its own words.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "the hold file could not be made");
        }
    }
}

async fn record_outcome(
    service: &Arc<Service>,
    nonce: &str,
    outcome: Outcome,
    with: &AttemptOutcome,
    raises_hold: bool,
) -> Result<(), StoreError> {
    let job = Arc::new((nonce.to_owned(), with.clone()));
    let now = service.clock.now();
    service
        .store
        .write(move |tx| {
            let job = Arc::clone(&job);
            Box::pin(async move { write_outcome(tx, &job.0, outcome, &job.1, raises_hold, now).await })
        })
        .await
}

/// Writes the end of the attempt with this nonce, moves its remediation and appends the events.
async fn write_outcome(
    tx: &mut Tx,
    nonce: &str,
    outcome: Outcome,
    with: &AttemptOutcome,
    raises_hold: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some((attempt_id, id, number)) = tx.attempt_by_nonce(nonce).await? else { return Ok(()) };
    let Some(remediation) = tx.remediation(&id).await? else { return Ok(()) };
    if !tx.end_attempt(nonce, outcome, with, now).await? {
        return Ok(());
    }
    let actor = Actor::service("dispatcher");
    let mut detail = serde_json::Map::new();
    detail.insert("try".to_owned(), number.into());
    detail.insert("cause".to_owned(), with.cause.clone().into());
    detail.insert("bodySha256".to_owned(), with.body_sha256.clone().into());
    if let Some(answer) = &with.answer {
        answer.tell(&mut detail);
    }
    let mut event = event_about(&remediation, "attempt_outcome", actor.clone(), now).with_detail(&detail);
    event.attempt_id = Some(attempt_id);
    event.outcome = Some(outcome.as_str().to_owned());
    event.request_id.clone_from(&with.request_id);
    event.return_code.clone_from(&with.return_code);
    event.return_message.clone_from(&with.return_message);
    event.http_status = with.http_status;
    tx.append(&event).await?;

    let (moved, not_before) = match outcome {
        Outcome::Accepted => (Event::Accepted, None),
        Outcome::Rejected => (Event::Rejected, None),
        Outcome::Unknown => (Event::Lost, None),
        Outcome::NotSent if number < TRIES_MAX => {
            let pause =
                if number == 1 { SignedDuration::from_secs(5) } else { SignedDuration::from_secs(15) };
            (Event::NotSentTryAgain, Some(later(now, pause)))
        }
        Outcome::NotSent => (Event::NotSentForGood, None),
    };
    let with_move = Move { detail: with.cause.clone(), not_before, ..Move::default() };
    move_with_event(tx, &remediation, moved, &with_move, actor, None, now).await?;
    if outcome == Outcome::Unknown {
        tracing::error!(
            server.no = %remediation.waiting.server.no,
            remediation.id = %remediation.id,
            cause = with.cause,
            "an interrupt may have been sent; a person must settle it"
        );
    }
    if raises_hold {
        hold_everything(tx, &format!("the cloud refused our credentials: {}", with.cause), now).await?;
    }
    Ok(())
}

async fn hold_everything(tx: &mut Tx, reason: &str, now: Timestamp) -> Result<(), StoreError> {
    let new =
        NewHold { scope: HoldScope::Global, author: "unhang".into(), reason: reason.to_owned(), until: None };
    let id = tx.insert_hold(&new, now).await?;
    let event = AuditEvent::new(now, "hold_set", Actor::service("dispatcher")).with_detail(&json!({
        "id": id, "scope": "global", "name": "", "author": new.author, "reason": reason, "until": null,
    }));
    tx.append(&event).await.map(|_| ())
}

/// Whether a late answer decides over "unknown".
fn decides(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Accepted | Outcome::Rejected => true,
        Outcome::NotSent | Outcome::Unknown => false,
    }
}

/// An answer that the attempt journal kept, as the store takes it.
fn from_journal(answer: &AnswerLine) -> AttemptOutcome {
    AttemptOutcome {
        cause: format!("from the attempt journal: {}", answer.cause),
        request_id: answer.request_id.clone(),
        return_code: answer.return_code.clone(),
        return_message: answer.return_message.clone(),
        http_status: answer.http_status,
        body_sha256: answer.body_sha256.clone(),
        answer: answer.answer.clone(),
    }
}

/// What this replica's journal knows of attempts that another one has had to call unknown.
pub async fn bring_late_answers(service: &Service) -> Result<(), StoreError> {
    let now = service.clock.now();
    let answers = Arc::new(service.journal.known().answers);
    service
        .store
        .write(move |tx| {
            let answers = Arc::clone(&answers);
            Box::pin(async move { take_late_answers(tx, &answers, now).await })
        })
        .await
}

async fn take_late_answers(
    tx: &mut Tx,
    answers: &BTreeMap<String, AnswerLine>,
    now: Timestamp,
) -> Result<(), StoreError> {
    for nonce in tx.unanswered().await? {
        let late = answers.get(&nonce).filter(|answer| decides(answer.outcome));
        if let Some(answer) = late {
            let with = from_journal(answer);
            write_outcome(tx, &nonce, answer.outcome, &with, answer.raises_hold, now).await?;
        }
    }
    Ok(())
}

/// What a crash left in flight gets the answer that the attempt journal has for the same attempt; without one it becomes
/// unknown, whether or not anything was sent. What is unknown already may get its answer as well. Returns how many were
/// left in flight.
pub async fn rescue(service: &Service) -> Result<usize, StoreError> {
    let (epoch, now) = (service.lease.epoch(), service.clock.now());
    let answers = Arc::new(service.journal.known().answers);
    service
        .store
        .write(move |tx| {
            let answers = Arc::clone(&answers);
            Box::pin(async move {
                let orphans = tx.orphans(epoch).await?;
                let with = AttemptOutcome {
                    cause: "the process that owned this intent ended before it stored an outcome".to_owned(),
                    ..AttemptOutcome::default()
                };
                for (nonce, _, _) in &orphans {
                    let Some(answer) = answers.get(nonce) else {
                        write_outcome(tx, nonce, Outcome::Unknown, &with, false, now).await?;
                        continue;
                    };
                    let with = from_journal(answer);
                    write_outcome(tx, nonce, answer.outcome, &with, answer.raises_hold, now).await?;
                }
                take_late_answers(tx, &answers, now).await?;
                Ok(orphans.len())
            })
        })
        .await
}
