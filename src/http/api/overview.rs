//! Budgets, policies, servers and sources: what the service works with.
//!
//! Never: shows a secret or where it is kept.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use jiff::Timestamp;

use super::super::auth::Viewer;
use super::super::body::{Params, place_cursor};
use super::super::door::Door;
use super::super::figures;
use super::super::problem::Problem;
use super::super::stands::stands;
use super::no_params;
use crate::domain::breaker::BreakerRules;
use crate::domain::hold::Maintenance;
use crate::domain::ladder::Record;
use crate::domain::policy::{Limits, Mode, Policy, Trust};
use crate::domain::server::{Eligibility, RegionCode, Server, ServerNo};
use crate::domain::storm::StormRules;
use crate::store::{InventoryAge, Page, ServerRow, StandingRow};

/// One policy, as configured and as it stands.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct PolicyItem {
    /// As configured.
    #[serde(flatten)]
    policy: Policy,
    /// SHA-256 over everything that it says.
    hash: String,
    /// The mode that holds: after a demotion at most `approve`.
    effective_mode: Mode,
    /// Its demotion and newest promotion.
    standing: StandingRow,
    /// What it has shown.
    record: Record,
}

/// Every policy, and the rules for all.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Policies {
    /// The policies, in the order of the configuration.
    #[serde(flatten)]
    list: Page<PolicyItem>,
    /// Hash of the configuration in force.
    config_hash: String,
    limits: Limits,
    /// Operating systems that may be interrupted, per hypervisor.
    eligibility: Eligibility,
    maintenance: Vec<Maintenance>,
    storm: StormRules,
    breaker: BreakerRules,
}

/// One known server, in the vendor's words.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct ServerItem {
    server_instance_no: ServerNo,
    region_code: RegionCode,
    server_name: String,
    create_date: Timestamp,
    /// When it was last started, as the cloud sees it.
    uptime: Option<Timestamp>,
    platform_type: String,
    hypervisor_type: String,
    server_instance_status: String,
    server_instance_operation: String,
    /// In bytes.
    memory_size: u64,
    zone_code: String,
    subnet_no: String,
    placement_group_no: String,
    /// The configuration's table lists its hypervisor and operating system.
    eligible: bool,
    /// When the cloud last described it.
    seen_at: Timestamp,
}

impl ServerItem {
    fn of(row: ServerRow, eligibility: &Eligibility) -> Self {
        let eligible = eligibility.allows(&row.server);
        let Server {
            no,
            region,
            name,
            created_at,
            uptime_at,
            platform_code,
            hypervisor_code,
            status_code,
            operation_code,
            memory_bytes,
            zone_code,
            subnet_no,
            placement_group_no,
        } = row.server;
        Self {
            server_instance_no: no,
            region_code: region,
            server_name: name,
            create_date: created_at,
            uptime: uptime_at,
            platform_type: platform_code,
            hypervisor_type: hypervisor_code,
            server_instance_status: status_code,
            server_instance_operation: operation_code,
            memory_size: memory_bytes,
            zone_code,
            subnet_no,
            placement_group_no,
            eligible,
            seen_at: row.seen_at,
        }
    }
}

/// Known servers, and how old each region's list is.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Servers {
    /// By region and number.
    #[serde(flatten)]
    list: Page<ServerItem>,
    /// When each region was last read.
    inventory: Vec<InventoryAge>,
}

/// One configured source.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct SourceItem {
    name: String,
    /// `alertmanager`, `grafana`, `cloud_insight` or `guest`.
    kind: &'static str,
    trust: Trust,
    /// How many credentials it may use.
    credentials: usize,
    /// Networks that it may send from; empty: any.
    allow_from: Vec<String>,
    last_delivery_at: Option<Timestamp>,
}

/// `GET /api/v1/budgets`
pub(in super::super) async fn budgets(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    no_params(&req)?;
    let service = &door.service;
    let items = figures::budgets(service, &service.config(), service.clock.now()).await?;
    Ok(HttpResponse::Ok().json(Page::whole(items)))
}

/// `GET /api/v1/policies`
pub(in super::super) async fn policies(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    no_params(&req)?;
    let config = door.service.config();
    let mut items = Vec::new();
    for stand in stands(&door.service, &config).await? {
        items.push(PolicyItem {
            policy: stand.policy.clone(),
            hash: stand.hash,
            effective_mode: stand.effective,
            standing: stand.standing,
            record: stand.record,
        });
    }
    let rules = &config.rules;
    Ok(HttpResponse::Ok().json(Policies {
        list: Page::whole(items),
        config_hash: config.hash.clone(),
        limits: rules.limits.clone(),
        eligibility: rules.eligibility.clone(),
        maintenance: rules.maintenance.clone(),
        storm: rules.storm.clone(),
        breaker: rules.breaker.clone(),
    }))
}

/// `GET /api/v1/servers`: all, or those whose number or name begins with `search`.
pub(in super::super) async fn servers(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&req)?;
    let search = params.text("search");
    let page = params.page(place_cursor)?;
    params.finish()?;
    let service = &door.service;
    let config = service.config();
    let rows = service.store.servers(search.as_deref(), &page).await?;
    let eligibility = &config.rules.eligibility;
    let items = rows.items.into_iter().map(|row| ServerItem::of(row, eligibility)).collect();
    let list = Page { items, next_cursor: rows.next_cursor };
    let inventory = service.store.inventory_ages().await?;
    Ok(HttpResponse::Ok().json(Servers { list, inventory }))
}

/// `GET /api/v1/sources`
pub(in super::super) async fn sources(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    no_params(&req)?;
    let last = door.service.store.counts(&figures::source_names(&door.service.config())).await?.last_delivery;
    let config = door.service.config();
    let items = config.sources.iter().map(|source| SourceItem {
        name: source.name.clone(),
        kind: source.kind.as_str(),
        trust: source.trust,
        credentials: source.auth.len(),
        allow_from: source.allow_from.iter().map(ToString::to_string).collect(),
        last_delivery_at: last.iter().find(|(name, _)| *name == source.name).map(|(_, at)| *at),
    });
    Ok(HttpResponse::Ok().json(Page::whole(items.collect())))
}
