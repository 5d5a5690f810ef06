//! Inventory: keeps the server list fresh, and looks up the targets that alerts wait for.
//!
//! Never: takes a failed or partial answer for an empty one, or keeps an alert from being answered.

mod resolver;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

pub use resolver::resolve;

use crate::config::Config;
use crate::domain::audit::{Actor, AuditEvent};
use crate::domain::decision::{Route, route};
use crate::domain::facts::TargetFact;
use crate::domain::policy::Trust;
use crate::domain::server::{RegionCode, Server};
use crate::domain::target::{Named, ServerName, TargetName, speaks_of_another_region, target_name};
use crate::intake::{KnownTarget, Says, Told, decide_and_record};
use crate::ncloud::{Clients, ReadError};
use crate::service::Service;
use crate::store::{PendingAlert, StoreError};
use crate::telemetry::{AlertLabels, chain};

/// Gap between two lists where the configured one cannot be.
const LIST_AGAIN: Duration = Duration::from_secs(2);

/// Reads every region's list at start and on schedule, until the service stops.
pub async fn refresh(service: Arc<Service>, cloud: Arc<Clients>) {
    while !service.stopping.is_cancelled() {
        let config = service.config();
        for region in regions(&config) {
            if let Err(error) = refresh_region(&service, &cloud, &region).await {
                tracing::error!(
                    error = %chain(&error),
                    "the inventory could not be stored"
                );
            }
        }
        service.lookups.notify_one();
        let complete =
            service.store.inventory_ages().await.is_ok_and(|ages| ages.iter().all(|a| a.error.is_none()));
        // After a failure the list is asked for again sooner: until it is read, targets are looked up one by one.
        let pause = if complete { config.inventory.refresh } else { config.inventory.refresh.min(RETRY) };
        tokio::select! {
            () = tokio::time::sleep(Duration::try_from(pause).unwrap_or(LIST_AGAIN)) => {}
            () = service.inventory.notified() => {}
            () = service.stopping.cancelled() => {}
        }
    }
}

const RETRY: jiff::SignedDuration = jiff::SignedDuration::from_secs(15);

/// Every region that the configuration names.
pub fn regions(config: &Config) -> BTreeSet<RegionCode> {
    let policies = config.rules.policies.iter().map(|policy| policy.region.clone());
    policies.chain([config.cloud.region.clone()]).collect()
}

async fn refresh_region(
    service: &Arc<Service>,
    cloud: &Clients,
    region: &RegionCode,
) -> Result<(), StoreError> {
    let begun = Instant::now();
    // What is seen is dated by the beginning of the read: a look-up made meanwhile is newer than the list.
    let read_at = service.clock.now();
    let Some(read) = service.unless_stopping(read_region(cloud, region)).await else { return Ok(()) };
    service.count_read("list", begun, &read);
    service.watch_clock(cloud.reader.date());
    let now = service.clock.now();
    let region = region.clone();
    match read {
        Ok(servers) => {
            tracing::info!(region.code = %region, servers = servers.len(), "inventory read");
            let servers = Arc::new(servers);
            service
                .store
                .write(move |tx| {
                    let (region, servers) = (region.clone(), Arc::clone(&servers));
                    Box::pin(async move { tx.replace_inventory(&region, &servers, read_at).await })
                })
                .await
        }
        Err(why) => {
            tracing::error!(region.code = %region, why, "the inventory could not be read");
            note_failure(service, region, why, now).await
        }
    }
}

async fn note_failure(
    service: &Service,
    region: RegionCode,
    why: String,
    now: Timestamp,
) -> Result<(), StoreError> {
    let known = service.store.inventory_ages().await?;
    let told =
        known.iter().any(|age| age.region_code == region.as_str() && age.error.as_deref() == Some(&*why));
    service
        .store
        .write(move |tx| {
            let (region, why) = (region.clone(), why.clone());
            Box::pin(async move {
                tx.inventory_failed(&region, &why, now).await?;
                if told {
                    return Ok(());
                }
                let mut event = AuditEvent::new(now, "inventory_failed", Actor::service("inventory"))
                    .with_detail(&serde_json::json!({ "why": why }));
                event.region_code = Some(region.to_string());
                tx.append(&event).await.map(|_| ())
            })
        })
        .await
}

async fn read_region(cloud: &Clients, region: &RegionCode) -> Result<Vec<Server>, String> {
    let known = cloud.reader.regions().await.map_err(|error| error.to_string())?;
    if !known.iter().any(|listed| listed.code == *region) {
        let codes: Vec<RegionCode> = known.into_iter().map(|listed| listed.code).collect();
        return Err(format!("region {region} is not among those of the account: {}", joined(&codes)));
    }
    cloud.reader.all_servers(region).await.map_err(|error| error.to_string())
}

fn joined(codes: &[RegionCode]) -> String {
    let codes: Vec<&str> = codes.iter().map(RegionCode::as_str).collect();
    codes.join(", ")
}

/// What is said of a target of a region that the account does not have: `None` where it has it, or cannot say.
async fn region_unknown(cloud: &Clients, region: &RegionCode) -> Option<TargetFact> {
    let codes = cloud.reader.regions_without(region).await.ok()??;
    Some(TargetFact::RegionUnknown {
        seen: format!("{region}, the region of the policy"),
        wanted: format!("one of the account's regions: {}", joined(&codes)),
    })
}

fn target_of(config: &Config, pending: &PendingAlert) -> Option<(RegionCode, TargetName)> {
    let Route::One(policy) = route(&config.rules, &pending.source, &pending.alert) else { return None };
    if speaks_of_another_region(policy, &pending.alert).is_some() {
        return None;
    }
    match target_name(policy, &pending.alert) {
        Named::Target { name, others: _ } => Some((policy.region.clone(), name)),
        Named::Missing { .. } | Named::Malformed { .. } => None,
    }
}

async fn look_up(
    service: &Service,
    cloud: &Clients,
    region: &RegionCode,
    name: &TargetName,
) -> Result<Vec<Server>, ReadError> {
    let begun = Instant::now();
    let found = match name {
        TargetName::No(no) => cloud.reader.servers_by_no(region, std::slice::from_ref(no)).await,
        TargetName::Name(name) => servers_named(cloud, region, name).await,
        TargetName::Ip(ip) => cloud.reader.servers_by_ip(region, *ip).await,
    };
    service.count_read("list", begun, &found);
    found
}

/// Servers by the whole name, else by its first part.
async fn servers_named(
    cloud: &Clients,
    region: &RegionCode,
    name: &ServerName,
) -> Result<Vec<Server>, ReadError> {
    let whole = cloud.reader.servers_by_name(region, name.as_str()).await?;
    match name.first_part().filter(|_| whole.is_empty()) {
        Some(part) => cloud.reader.servers_by_name(region, part.as_str()).await,
        None => Ok(whole),
    }
}

async fn keep(
    service: &Service,
    region: &RegionCode,
    name: &TargetName,
    servers: Vec<Server>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let job = Arc::new((region.clone(), name.clone(), servers));
    service
        .store
        .write(move |tx| {
            let job = Arc::clone(&job);
            Box::pin(async move { tx.keep_lookup(&job.0, &job.1, &job.2, now).await })
        })
        .await
}

async fn decide_all(
    service: &Arc<Service>,
    config: &Arc<Config>,
    alerts: Vec<PendingAlert>,
    fact: Option<TargetFact>,
) -> Result<(), StoreError> {
    let now = service.clock.now();
    let job = Arc::new((alerts, fact, Arc::clone(config)));
    let decided = service
        .store
        .write(move |tx| {
            let job = Arc::clone(&job);
            Box::pin(async move {
                let (alerts, fact, config) = job.as_ref();
                let mut labels = Vec::with_capacity(alerts.len());
                for pending in alerts {
                    let trust = config
                        .sources
                        .iter()
                        .find(|source| source.name == pending.source)
                        .map_or(Trust::Propose, |source| source.trust);
                    let ends = tx.ends_of(&pending.delivery_id).await?;
                    let told = Told {
                        delivery_id: &pending.delivery_id,
                        idx: pending.idx,
                        source: &pending.source,
                        trust,
                        received_at: pending.received_at,
                        truncated: pending.truncated,
                        ends: &ends,
                        trace_id: &pending.trace_id,
                        person: pending.person.as_deref(),
                        replay_of: pending.replay_of.as_ref(),
                    };
                    let known = fact.clone().map(|fact| KnownTarget { fact });
                    let done =
                        decide_and_record(tx, &told, &pending.alert, config, now, Some((pending.id, known)))
                            .await?;
                    if let Says::News(event) = &done.says {
                        tx.append(event).await?;
                    }
                    labels.push(AlertLabels {
                        source: pending.source.clone(),
                        decision: done.answer.decision.as_str(),
                        reason: done.answer.reason.map_or("", crate::domain::guard::Reason::as_str),
                    });
                }
                Ok(labels)
            })
        })
        .await?;
    for labels in decided {
        service.metrics.alerts.get_or_create(&labels).inc();
    }
    service.work.notify_one();
    Ok(())
}
