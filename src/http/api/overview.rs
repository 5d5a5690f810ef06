//! Budgets, policies, servers and sources: what the service works with.
//!
//! Never: shows a secret or where it is kept.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::super::auth::Viewer;
use super::super::body::{Params, place_cursor};
use super::super::door::Door;
use super::super::figures;
use super::super::problem::Problem;
use super::super::stands::stands;
use super::no_params;
use crate::domain::policy::Trust;

/// `GET /api/v1/budgets`
pub(in super::super) async fn budgets(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    no_params(&req)?;
    let service = &door.service;
    let items = figures::budgets(service, &service.config(), service.clock.now()).await?;
    Ok(HttpResponse::Ok().json(json!({ "items": items, "nextCursor": null })))
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
        let mut item = json!(stand.policy);
        if let Value::Object(fields) = &mut item {
            fields.insert("hash".to_owned(), json!(stand.hash));
            fields.insert("effectiveMode".to_owned(), json!(stand.effective));
            fields.insert("standing".to_owned(), json!(stand.standing));
            fields.insert("record".to_owned(), json!(stand.record));
        }
        items.push(item);
    }
    let answer = json!({
        "items": items, "nextCursor": null, "configHash": config.hash, "limits": config.rules.limits,
        "eligibility": config.rules.eligibility, "maintenance": config.rules.maintenance,
        "storm": config.rules.storm, "breaker": config.rules.breaker,
    });
    Ok(HttpResponse::Ok().json(answer))
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
    let items: Vec<Value> = rows
        .items
        .iter()
        .map(|row| {
            let server = &row.server;
            json!({
                "serverInstanceNo": server.no,
                "regionCode": server.region,
                "serverName": server.name,
                "createDate": server.created_at,
                "uptime": server.uptime_at,
                "platformType": server.platform_code,
                "hypervisorType": server.hypervisor_code,
                "serverInstanceStatus": server.status_code,
                "serverInstanceOperation": server.operation_code,
                "memorySize": server.memory_bytes,
                "zoneCode": server.zone_code,
                "subnetNo": server.subnet_no,
                "placementGroupNo": server.placement_group_no,
                "eligible": config.rules.eligibility.allows(server),
                "seenAt": row.seen_at,
            })
        })
        .collect();
    let ages = service.store.inventory_ages().await?;
    Ok(HttpResponse::Ok().json(json!({ "items": items, "nextCursor": rows.next_cursor, "inventory": ages })))
}

/// `GET /api/v1/sources`
pub(in super::super) async fn sources(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    no_params(&req)?;
    let last = door.service.store.counts(&figures::source_names(&door.service.config())).await?.last_delivery;
    let items: Vec<Value> = door
        .service
        .config()
        .sources
        .iter()
        .map(|source| {
            let last = last.iter().find(|(name, _)| *name == source.name).map(|(_, at)| *at);
            json!({
                "name": source.name,
                "kind": source.kind.as_str(),
                "trust": match source.trust { Trust::Act => "act", Trust::Propose => "propose" },
                "credentials": source.auth.len(),
                "allowFrom": source.allow_from,
                "lastDeliveryAt": last,
            })
        })
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "items": items, "nextCursor": null })))
}
