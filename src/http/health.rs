//! Health and figures: alive, ready, and what can be counted.
//!
//! Never: asks the cloud, or names a server that is watched or a person.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::Data;
use jiff::Timestamp;
use serde_json::json;

use super::door::Door;
use super::figures;
use super::problem::{Code, Problem};
use crate::config::Config;
use crate::domain::breaker::{Breaker, breaker};
use crate::domain::claim::Health;
use crate::domain::remediation::State;
use crate::domain::server::RegionCode;
use crate::service::{Service, hold_file};
use crate::store::{InventoryAge, StoreError, free_bytes};
use crate::telemetry::{
    BudgetLabels, Metrics, NoLabels, PolicyLabels, ReceiverLabels, SourceLabels, StateLabels, chain,
};
use crate::tls::Standing;

/// Longest wait for the store's answer to `/readyz`.
const PING_MAX: Duration = Duration::from_secs(1);
/// Media type of the exposition.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Deliveries can be taken in.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ready {
    ready: bool,
    checks: Checks,
}

/// What was looked at.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Checks {
    /// `ok`, `failed` or `slow`.
    store: &'static str,
    stopping: bool,
    /// It does what only one of several replicas does: it holds the lease, or is alone; and nobody has replaced it.
    dispatches: bool,
    /// `ok`, or why nothing is sent whatever the cloud and the clock say.
    halted: String,
    /// `ok`, or why this replica would not take over: its configuration is not that of the one that dispatches.
    config: String,
    /// Nothing makes us blind.
    may_send: bool,
    /// `ok`, or why not.
    clock: String,
    /// `ok` or `failing`; the log says why.
    cloud_reads: &'static str,
    /// `ok`, or why not.
    disk: String,
    /// Deliveries that wait for the writer.
    queue_depth: usize,
    /// What changes nothing; none while the store does not answer.
    information: Option<Information>,
}

/// What is worth knowing and changes nothing. What could not be read is none.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Information {
    /// Holds in force.
    holds: Option<usize>,
    /// The hold file is there, or nobody can tell.
    hold_file: bool,
    inventory: Option<Vec<RegionAge>>,
    /// A quarantine is open.
    quarantine: Option<bool>,
    /// The certificate of this address; none where TLS does not end here.
    certificate: Option<CertificateSeen>,
}

/// How our certificate stands.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CertificateSeen {
    /// Its first alternative names, as in `dns:unhang.example` and `ip:10.0.0.5`.
    names: Vec<String>,
    expires_at: Timestamp,
    /// `ok`, or why newer files are not used.
    files: String,
}

/// How old a region's list is.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RegionAge {
    #[schema(value_type = RegionCode)]
    region_code: String,
    age_seconds: Option<i64>,
    last_read_failed: bool,
}

/// `GET /livez`
pub(super) async fn livez() -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/plain; charset=utf-8")).body("ok\n")
}

/// `GET /readyz`: whether deliveries can be taken in. What the cloud does is told, and changes nothing.
pub(super) async fn readyz(door: Data<Door>) -> Result<HttpResponse, Problem> {
    let service = &door.service;
    let store = match tokio::time::timeout(PING_MAX, service.store.ping()).await {
        Ok(Ok(())) => "ok",
        Ok(Err(_)) => "failed",
        Err(_elapsed) => "slow",
    };
    let taken_away = service.look_at_files();
    let stopping = service.stopping.is_cancelled();
    let health = service.health();
    let information =
        if store == "ok" { tokio::time::timeout(PING_MAX, information(&door)).await.ok() } else { None };
    let checks = Checks {
        store,
        stopping,
        dispatches: service.dispatches() && taken_away.is_none(),
        halted: taken_away.clone().or_else(|| health.halted.clone()).unwrap_or_else(|| "ok".to_owned()),
        config: service.lease.barred().unwrap_or_else(|| "ok".to_owned()),
        may_send: may_send(&health),
        clock: health.clock.unwrap_or_else(|| "ok".to_owned()),
        cloud_reads: if health.reads.is_some() { "failing" } else { "ok" },
        disk: health.disk.unwrap_or_else(|| "ok".to_owned()),
        queue_depth: service.store.waiting(),
        information,
    };
    if store == "ok" && !stopping && taken_away.is_none() {
        return Ok(HttpResponse::Ok().json(Ready { ready: true, checks }));
    }
    let why = match taken_away {
        Some(_) => "the store is not the one that was written to before",
        None if stopping => "the service is stopping",
        None => "the store does not answer",
    };
    Err(Problem::new(Code::NotReady, why).with("ready", false).with("checks", json!(checks)))
}

/// A stall is history; it forbids nothing by itself.
fn may_send(health: &Health) -> bool {
    let Health { halted, clock, reads, disk, stall: _ } = health;
    [halted, clock, reads, disk].into_iter().all(Option::is_none)
}

async fn information(door: &Door) -> Information {
    let service = &door.service;
    let now = service.clock.now();
    let file = hold_file(&service.config().store.hold_file).is_some();
    let holds = service.store.holds(now).await.map(|holds| holds.len()).ok();
    let age = |age: InventoryAge| RegionAge {
        region_code: age.region_code,
        age_seconds: age.completed_at.map(|at| now.duration_since(at).as_secs()),
        last_read_failed: age.error.is_some(),
    };
    let inventory = service.store.inventory_ages().await.ok();
    let inventory = inventory.map(|ages| ages.into_iter().map(age).collect());
    let quarantine = service.store.open_quarantine().await.map(|open| open.is_some()).ok();
    let certificate = door.certificates.as_ref().map(|certificates| {
        let Standing { validity, names, trouble } = certificates.standing();
        let files = trouble.unwrap_or_else(|| "ok".to_owned());
        CertificateSeen { names, expires_at: validity.until, files }
    });
    Information { holds, hold_file: file, inventory, quarantine, certificate }
}

/// `GET /metrics`
pub(super) async fn metrics(door: Data<Door>) -> Result<HttpResponse, Problem> {
    let service = &door.service;
    let (config, now) = (service.config(), service.clock.now());
    if let Err(error) = refresh(service, &config, now).await {
        tracing::warn!(error = %chain(&error), "figures of the store could not be read for a scrape");
    }
    if let Some(certificates) = &door.certificates {
        refresh_certificate(&service.metrics, &certificates.standing());
    }
    let text = service
        .metrics
        .encode()
        .map_err(|_unwritable| Problem::new(Code::Internal, "the figures cannot be written"))?;
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, OPEN_METRICS)).body(text))
}

fn refresh_certificate(metrics: &Metrics, standing: &Standing) {
    let until = standing.validity.until.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64();
    metrics.tls_expires.get_or_create(&NoLabels {}).set(until);
    metrics.tls_files_broken.get_or_create(&NoLabels {}).set(i64::from(standing.trouble.is_some()));
}

async fn refresh(service: &Service, config: &Config, now: Timestamp) -> Result<(), StoreError> {
    let metrics = &service.metrics;
    let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    metrics.dispatches.set(i64::from(service.dispatches()));
    metrics.queue_depth.set(number(service.store.waiting()));
    metrics.store_bytes.set(i64::try_from(service.store.size_bytes().await.unwrap_or(0)).unwrap_or(i64::MAX));
    let free = free_bytes(&service.config().store.path).unwrap_or(0);
    metrics.disk_free_bytes.set(i64::try_from(free).unwrap_or(i64::MAX));
    let counts = service.store.counts(&figures::source_names(config)).await?;
    for state in State::ALL {
        let count = counts.remediations.iter().find(|(word, _)| word == state.as_str());
        let count = count.map_or(0, |(_, count)| *count);
        metrics.remediations.get_or_create(&StateLabels { state: state.as_str().to_owned() }).set(count);
        if state == State::Unknown {
            metrics.unknown_open.set(count);
        }
    }
    let file = usize::from(hold_file(&config.store.hold_file).is_some());
    metrics.holds.set(number(service.store.holds(now).await?.len() + file));
    metrics.quarantine_open.set(i64::from(service.store.open_quarantine().await?.is_some()));
    metrics.pending_alerts.set(counts.pending_alerts);
    let waited = counts.oldest_waiting.map_or(0.0, |at| now.duration_since(at).as_secs_f64());
    metrics.oldest_waiting.set(waited);
    for (source, at) in counts.last_delivery {
        let seconds = at.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64();
        metrics.last_delivery.get_or_create(&SourceLabels { source }).set(seconds);
    }
    refresh_guards(service, config, now).await?;
    refresh_outbox(service, config, now).await?;
    for source in config.sources.iter().filter(|source| source.heartbeat.is_some()) {
        let last = service.store.last_heartbeat(&source.name).await?;
        let age = last.map_or(f64::INFINITY, |at| now.duration_since(at).as_secs_f64());
        metrics.heartbeat_age.get_or_create(&SourceLabels { source: source.name.clone() }).set(age);
    }
    let budgets = figures::budgets(service, config, now).await?;
    // A budget that the configuration no longer has must not stay behind.
    metrics.budget_remaining.clear();
    for budget in budgets.into_iter().filter(|budget| budget.scope != "server") {
        let labels = BudgetLabels { scope: budget.scope, name: budget.name, budget: budget.budget };
        metrics.budget_remaining.get_or_create(&labels).set(number(budget.remaining));
    }
    Ok(())
}

/// Receivers. One that the configuration no longer has must not stay behind.
async fn refresh_outbox(service: &Service, config: &Config, now: Timestamp) -> Result<(), StoreError> {
    let metrics = &service.metrics;
    metrics.notify_waiting.clear();
    metrics.notify_oldest_waiting.clear();
    for receiver in &config.notify {
        let state = service.store.receiver_state(&receiver.name, now).await?;
        let labels = ReceiverLabels { receiver: receiver.name.clone() };
        metrics.notify_waiting.get_or_create(&labels).set(state.waiting);
        let waited = state.waiting_since.map_or(0.0, |at| now.duration_since(at).as_secs_f64().max(0.0));
        metrics.notify_oldest_waiting.get_or_create(&labels).set(waited);
    }
    Ok(())
}

/// Storms, breakers and demotions. A policy that the configuration no longer has must not stay behind.
async fn refresh_guards(service: &Service, config: &Config, now: Timestamp) -> Result<(), StoreError> {
    let metrics = &service.metrics;
    metrics.storm_open.set(i64::try_from(service.store.storms(true).await?.len()).unwrap_or(i64::MAX));
    metrics.breaker_open.clear();
    metrics.policy_demoted.clear();
    let rules = &config.rules.breaker;
    for policy in &config.rules.policies {
        let labels = PolicyLabels { policy: policy.name.clone() };
        let (tried, _reset) = service.store.breaker_of(&policy.name, rules.failures).await?;
        let stops = match breaker(rules, &tried, now) {
            Breaker::Open { until: _ } | Breaker::HalfOpen { pending: true } => 1,
            Breaker::Closed | Breaker::HalfOpen { pending: false } => 0,
        };
        metrics.breaker_open.get_or_create(&labels).set(stops);
        let demoted = service.store.standing_of(&policy.name).await?.demoted.is_some();
        metrics.policy_demoted.get_or_create(&labels).set(i64::from(demoted));
    }
    Ok(())
}
