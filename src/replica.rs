//! One of several replicas on one server: joins, waits for the lease, keeps it, and ends when it is in doubt.
//!
//! Never: goes on after it was replaced. Whoever starts it again starts it as a standby.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;
use crate::config::Config;
use crate::domain::audit::{Actor, AuditEvent};
use crate::domain::limits::earlier;
use crate::lease::LASTS;
use crate::service::Service;
use crate::store::{LeaseRow, Replica, Store, StoreError};
use crate::telemetry::chain;

/// Longest look of a standby. A server that is gone without a word is asked again over a new connection.
const ROUND_MAX: Duration = Duration::from_mins(1);
/// The same as [`LASTS`], to be taken from a time.
const LASTS_AT_MOST: SignedDuration = SignedDuration::from_secs(LASTS.as_secs().cast_signed());
/// Gap between two renewals, and between two looks of a standby.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A clock that differs more from the server's makes limits of time differ between replicas: two of them by twice as much, and
/// 5 s are taken for a jump.
const CLOCK_OFF_MAX: SignedDuration = SignedDuration::from_secs(2);

/// Why a replica may not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Two replicas that decide by different rules.
    #[error(
        "replica {ours} has configuration {our_hash}, and {theirs}, which {did}, has {their_hash}; give both the same, \
         or {cure}",
        did = if *.is_live { "dispatches" } else { "dispatched last" },
        cure = if *.is_live {
            format!("stop {theirs} first")
        } else {
            format!("restart {ours} where its own is the right one")
        }
    )]
    OtherConfig {
        /// This one.
        ours: String,
        /// Begin of its configuration's hash.
        our_hash: String,
        /// The holder.
        theirs: String,
        /// Begin of the holder's.
        their_hash: String,
        /// The holder dispatches; otherwise it did last.
        is_live: bool,
    },
    /// Two replicas that count time differently.
    #[error(
        "the clock of replica {replica} differs from the database server's by {by:#}; set both (is the time service running?)"
    )]
    Clock {
        /// This one.
        replica: String,
        /// Ours minus the server's.
        by: SignedDuration,
    },
    /// Another server answers than before, or a standby was promoted in its place.
    #[error(
        "the database server was {before} and is {now} now; what this replica remembers may be more than it knows"
    )]
    OtherServer {
        /// As it was first seen.
        before: String,
        /// As it is.
        now: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl JoinError {
    /// Starting again is the only cure.
    fn ends(&self) -> bool {
        matches!(self, Self::Clock { .. } | Self::OtherServer { .. })
    }
}

/// Refuses a replica that would decide otherwise than the one that dispatches.
pub async fn may_join(store: &Store, replica: &Replica, has_key: bool) -> Result<(), JoinError> {
    if !store.place().is_shared() {
        return Ok(());
    }
    if !has_key {
        store.needs_no_key().await?;
    }
    if let Some(lease) = store.lease().await?.filter(|lease| lease.is_live) {
        same_config(replica, &lease)?;
    }
    same_clock(store, replica).await
}

fn same_config(ours: &Replica, lease: &LeaseRow) -> Result<(), JoinError> {
    // Of the same name it is the process before this one.
    let is_own = lease.replica.name == ours.name;
    let is_other_version = lease.replica.version != ours.version;
    if is_own || is_other_version || lease.replica.config_hash == ours.config_hash {
        return Ok(());
    }
    let short = |hash: &str| hash.chars().take(12).collect();
    Err(JoinError::OtherConfig {
        ours: ours.name.clone(),
        our_hash: short(&ours.config_hash),
        theirs: lease.replica.name.clone(),
        their_hash: short(&lease.replica.config_hash),
        is_live: lease.is_live,
    })
}

async fn same_clock(store: &Store, replica: &Replica) -> Result<(), JoinError> {
    let clock = Clock::default();
    let before = clock.wall();
    let server = store.server_time().await?;
    let after = clock.wall();
    // Whatever the way took is not held against anybody.
    let by = if server < before {
        before.duration_since(server)
    } else if server > after {
        after.duration_since(server)
    } else {
        SignedDuration::ZERO
    };
    if by.abs() <= CLOCK_OFF_MAX {
        return Ok(());
    }
    Err(JoinError::Clock { replica: replica.name.clone(), by })
}

/// The same server as before, and the same time.
async fn same_place(service: &Service) -> Result<(), JoinError> {
    if let Some(now) = service.store.server().await? {
        let before = service.lease.first_server(&now);
        if before != now {
            return Err(JoinError::OtherServer { before: before.to_owned(), now });
        }
    }
    same_clock(&service.store, &this(&service.config())).await
}

/// Waits until the lease is ours, and returns until when others have watched, as far as the store tells; `None` when the service stops
/// first, or must.
pub async fn win(service: &Arc<Service>) -> Option<Option<Timestamp>> {
    let mut said = String::new();
    let mut found = Found::default();
    while !service.stopping.is_cancelled() {
        let round = tokio::time::timeout(ROUND_MAX, try_to_win(service, &mut found)).await;
        if let Ok(round) = &round {
            tell_of_config(service, round.as_ref().err());
        }
        match round.unwrap_or_else(|_elapsed| Err(JoinError::Store(StoreError::Stopped))) {
            Ok(Some(latest)) => return Some(latest),
            Ok(None) => said.clear(),
            Err(error) if error.ends() => {
                end(service, &error);
                return None;
            }
            Err(error) => {
                let text = chain(&error);
                if text != said {
                    tracing::error!(error = %text, "this standby cannot take over");
                    said = text;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = service.stopping.cancelled() => {}
        }
    }
    None
}

/// The epoch that was over when this process first looked. Somebody has started it with its configuration after that, and so it may
/// follow with it; whoever ran already and was given another one may not.
#[derive(Debug, Default)]
struct Found {
    looked: bool,
    over: Option<i64>,
}

impl Found {
    fn was_over(&mut self, lease: &LeaseRow) -> bool {
        if !std::mem::replace(&mut self.looked, true) {
            self.over = (!lease.is_live).then_some(lease.epoch);
        }
        !lease.is_live && self.over == Some(lease.epoch)
    }
}

/// Says whether another configuration bars this replica. What the store did not answer changes nothing of it.
fn tell_of_config(service: &Service, round: Option<&JoinError>) {
    match round {
        None => service.lease.bar(None),
        Some(error @ JoinError::OtherConfig { .. }) => service.lease.bar(Some(chain(error))),
        Some(JoinError::Clock { .. } | JoinError::OtherServer { .. } | JoinError::Store(_)) => {}
    }
}

async fn try_to_win(
    service: &Arc<Service>,
    found: &mut Found,
) -> Result<Option<Option<Timestamp>>, JoinError> {
    let replica = this(&service.config());
    let store = &service.store;
    same_place(service).await?;
    let before = store.lease().await?;
    if let Some(lease) = &before {
        if !found.was_over(lease) {
            same_config(&replica, lease)?;
        }
        if lease.is_live {
            return Ok(None);
        }
    }
    let asked_at = Instant::now();
    let latest = store.latest_time().await?;
    if let Some(latest) = latest {
        service.clock.not_before(latest);
    }
    // Until its last renewal somebody watched, whatever the audit had to tell.
    let renewed = before.map(|lease| earlier(lease.ends_at, LASTS_AT_MOST));
    let latest = latest.max(renewed);
    let now = service.clock.now();
    let epoch = store
        .write(move |tx| {
            let replica = replica.clone();
            Box::pin(async move {
                let Some(epoch) = tx.take_lease(&replica, LASTS, now).await? else { return Ok(None) };
                let detail = serde_json::json!({
                    "epoch": epoch, "version": replica.version, "configHash": replica.config_hash, "replica": replica.name,
                });
                let event = AuditEvent::new(now, "service_started", Actor::service("unhang")).with_detail(&detail);
                tx.append(&event).await?;
                Ok(Some(epoch))
            })
        })
        .await?;
    let Some(epoch) = epoch else { return Ok(None) };
    tracing::warn!(epoch, "this replica dispatches from now on");
    service.lease.hold(epoch, asked_at);
    Ok(Some(latest))
}

/// Keeps the lease until the service stops. A lease that went to another replica ends the service.
pub async fn keep(service: &Arc<Service>) {
    while !service.stopping.is_cancelled() {
        let asked_at = Instant::now();
        let epoch = service.lease.epoch();
        let renewed =
            tokio::time::timeout(LASTS, service.store.renew_lease(epoch, &this(&service.config()), LASTS))
                .await;
        match renewed {
            Ok(Ok(true)) => {
                service.lease.hold(epoch, asked_at);
                if let Ok(Err(error)) = tokio::time::timeout(LASTS, same_place(service)).await
                    && error.ends()
                {
                    end(service, &error);
                }
            }
            Ok(Ok(false)) => {
                tracing::error!(epoch, "another replica has the lease; this one ends");
                service.stopping.cancel();
            }
            Ok(Err(error)) => tracing::error!(error = %chain(&error), "the lease could not be renewed"),
            Err(_elapsed) => tracing::error!("the lease could not be renewed in time"),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = service.stopping.cancelled() => {}
        }
    }
}

/// Wakes the rooms when another replica has written something that they may wait for.
pub async fn listen(service: Arc<Service>) {
    let mut news = service.store.news();
    loop {
        tokio::select! {
            changed = news.changed() => if changed.is_err() { return },
            () = service.stopping.cancelled() => return,
        }
        service.work.notify_one();
        service.lookups.notify_one();
    }
}

/// This replica.
pub fn this(config: &Config) -> Replica {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Replica { name: config.store.replica.clone(), version, config_hash: config.hash.clone() }
}

fn end(service: &Service, why: &JoinError) {
    tracing::error!(error = %chain(why), "this replica ends");
    service.stopping.cancel();
}
