//! `/api/v1/incidents`: the story of one server, with everything that was recorded of it.
//!
//! Never: closes one; that follows from the alerts.

use super::super::auth::Viewer;
use super::super::body::{Params, id_cursor};
use super::super::door::Door;
use super::super::problem::Problem;
use super::no_params;
use crate::store::{AuditFilter, AuditItem, IncidentRow, PAGE_MAX, Page, PageRequest, RemediationRow};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};

/// One incident with everything that was recorded of it.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Incident {
    /// The incident.
    #[serde(flatten)]
    row: IncidentRow,
    /// Its remediations, newest first.
    remediations: Vec<RemediationRow>,
    /// Its events, oldest first.
    timeline: Page<AuditItem>,
}

/// `GET /api/v1/incidents`
pub(in super::super) async fn list(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&req)?;
    let open = params.choice("state", &[("open", true), ("all", false)])?.unwrap_or(false);
    let page = params.page(id_cursor)?;
    params.finish()?;
    Ok(HttpResponse::Ok().json(door.service.store.incidents(open, &page).await?))
}

/// `GET /api/v1/incidents/{id}`: with its remediations, and its events from the first on.
pub(in super::super) async fn one(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    no_params(&req)?;
    let store = &door.service.store;
    let incident = store.incident(&id).await?.ok_or_else(|| Problem::not_found("incident"))?;
    let whole = PageRequest { limit: PAGE_MAX, cursor: None, ascending: true };
    let remediations = store.remediations(None, Some(&id), &whole).await?;
    let filter = AuditFilter { incident_id: Some(id.into_inner()), ..AuditFilter::default() };
    let timeline = store.audit(&filter, &whole).await?;
    Ok(HttpResponse::Ok().json(Incident { row: incident, remediations: remediations.items, timeline }))
}
