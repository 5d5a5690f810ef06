//! Dispatcher: takes due remediations, commits the intent, calls the cloud once, records what happened.
//!
//! Never: decides whether to act (that is `domain::claim`), holds a transaction across a call, or sends from inside
//! anything that could be dropped half-way.

mod asking;
mod claiming;
mod handover;
mod outcome;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use claiming::{Preflights, claim_one};
pub use outcome::{bring_late_answers, rescue};

use crate::domain::audit::Actor;
use crate::domain::claim::{self, Settled};
use crate::domain::guard::{Reason, Verdict};
use crate::domain::remediation::{Event, State};
use crate::moves::{facts_for, move_for, move_with_event, open_storm_if_seen};
use crate::ncloud::Clients;
use crate::service::Service;
use crate::store::{Move, Remediation, StoreError};
use crate::telemetry::chain;

/// Runs until the service stops. Requests in flight are owned by `tasks`; wait for them before the process ends.
pub async fn run(service: Arc<Service>, cloud: Arc<Clients>, tasks: TaskTracker) {
    let mut preflights = Preflights::default();
    let mut said = String::new();
    while !service.stopping.is_cancelled() {
        let woken = service.work.notified();
        let trouble =
            tick(&service, &cloud, &tasks, &mut preflights).await.map_err(|error| chain(&error)).err();
        // Ten times a second it would hide everything else in the log.
        if let Some(error) = trouble.as_ref().filter(|error| **error != said) {
            tracing::error!(error, "the queue could not be worked on");
        }
        said = trouble.unwrap_or_default();
        let pause = pause(&service).await;
        tokio::select! {
            () = woken => {}
            () = tokio::time::sleep(pause) => {}
            () = service.stopping.cancelled() => {}
        }
    }
}

async fn pause(service: &Service) -> Duration {
    let now = service.clock.now();
    let tick = service.config().dispatch.tick;
    let next = service.store.next_due(now).await.ok().flatten();
    let wait = next.map_or(tick, |at| at.duration_since(now).min(tick));
    Duration::try_from(wait).unwrap_or(Duration::from_millis(1)).max(Duration::from_millis(1))
}

async fn tick(
    service: &Arc<Service>,
    cloud: &Arc<Clients>,
    tasks: &TaskTracker,
    preflights: &mut Preflights,
) -> Result<(), StoreError> {
    let due = service.store.due(service.clock.now()).await?;
    preflights.kept.retain(|id, _| due.iter().any(|remediation| remediation.id.as_str() == id));
    for mut remediation in due {
        let settled = remediation.state == State::Settling && settle(service, &remediation).await?;
        if settled {
            match service.store.remediation(&remediation.id).await? {
                Some(moved) => remediation = moved,
                None => continue,
            }
        }
        match remediation.state {
            State::AwaitingApproval => review(service, &remediation).await?,
            State::Queued => {
                claim_one(service, cloud, tasks, &remediation, settled, preflights).await?;
            }
            State::Settling
            | State::Intent
            | State::Accepted
            | State::Confirmed
            | State::Unconfirmed
            | State::Rejected
            | State::NotSent
            | State::Unknown
            | State::ClosedHappened
            | State::ClosedNotHappened
            | State::Cancelled
            | State::Expired => {}
        }
    }
    Ok(())
}

/// The hold-down is over: ask a person, queue, or take it back. True when it was moved.
async fn settle(service: &Service, remediation: &Remediation) -> Result<bool, StoreError> {
    let (id, config, now) = (remediation.id.clone(), service.config(), service.clock.now());
    service
        .store
        .write(move |tx| {
            let (id, config) = (id.clone(), Arc::clone(&config));
            Box::pin(async move {
                let Some(remediation) = tx.remediation(&id).await? else { return Ok(false) };
                if remediation.state != State::Settling || now < remediation.settle_until {
                    return Ok(false);
                }
                // It leads to no more than a claim, which reads everything anew.
                let facts = facts_for(&mut tx.remembered(), &remediation, &config, now).await?;
                let waiting = &remediation.waiting;
                let (verdict, trace) = claim::settled(waiting, &config.rules, &facts, now);
                let (event, mut with) = match verdict {
                    Settled::Queue => (Event::Settled, Move::default()),
                    Settled::AskPerson(reason) => {
                        let reason = reason.or_else(|| word(remediation.reason.as_deref()));
                        let detail = "waits for a person".to_owned();
                        (Event::NeedsApproval, Move { reason, detail, ..Move::default() })
                    }
                    Settled::Cancel(check) => {
                        if check.guard == Reason::Storm {
                            let server = &waiting.server;
                            open_storm_if_seen(tx, &remediation, server, &facts, &config, now).await?;
                        }
                        (Event::Cancelled, move_for(&check))
                    }
                    Settled::Expire(check) => (Event::Expired, move_for(&check)),
                };
                with.config_hash = Some(config.hash.clone());
                let actor = Actor::service("dispatcher");
                move_with_event(tx, &remediation, event, &with, actor, Some(&trace), now).await
            })
        })
        .await
}

fn word(reason: Option<&str>) -> Option<Reason> {
    reason.and_then(Reason::parse)
}

/// Looks whether a remediation that waits for a person may still be approved; if not, it ends.
async fn review(service: &Service, remediation: &Remediation) -> Result<(), StoreError> {
    let (config, now) = (service.config(), service.clock.now());
    let facts = facts_for(&mut service.store.clone(), remediation, &config, now).await?;
    if claim::approvable(&remediation.waiting, &config.rules, &facts, now).0.is_ok() {
        return Ok(());
    }
    let id = remediation.id.clone();
    service
        .store
        .write(move |tx| {
            let (id, config) = (id.clone(), Arc::clone(&config));
            Box::pin(async move {
                let Some(remediation) = tx.remediation(&id).await? else { return Ok(()) };
                if remediation.state != State::AwaitingApproval {
                    return Ok(());
                }
                let facts = facts_for(tx, &remediation, &config, now).await?;
                let waiting = &remediation.waiting;
                let (verdict, trace) = claim::approvable(waiting, &config.rules, &facts, now);
                let Err(check) = verdict else { return Ok(()) };
                if check.guard == Reason::Storm {
                    open_storm_if_seen(tx, &remediation, &waiting.server, &facts, &config, now).await?;
                }
                let event = match check.verdict {
                    Verdict::Expire => Event::Expired,
                    Verdict::Pass
                    | Verdict::Stop
                    | Verdict::Wait
                    | Verdict::AskPerson
                    | Verdict::NotConfigured => Event::Cancelled,
                };
                let actor = Actor::service("dispatcher");
                let with = Move { config_hash: Some(config.hash.clone()), ..move_for(&check) };
                move_with_event(tx, &remediation, event, &with, actor, Some(&trace), now).await?;
                Ok(())
            })
        })
        .await
}
