//! `/api/v1/incidents`: the story of one server, with everything that was recorded of it.
//!
//! Never: closes one; that follows from the alerts.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::super::auth::Viewer;
use super::super::body::{Params, id_cursor};
use super::super::door::Door;
use super::super::problem::{Code, Problem};
use super::no_params;
use crate::store::{AuditFilter, PAGE_MAX, PageRequest};

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
    let events = store.audit(&filter, &whole).await?;
    let unwritable = |_error| Problem::new(Code::Internal, "the incident cannot be written");
    let mut answer = serde_json::to_value(incident).map_err(unwritable)?;
    if let Value::Object(fields) = &mut answer {
        fields.insert("remediations".to_owned(), json!(remediations.items));
        fields.insert("timeline".to_owned(), serde_json::to_value(&events).map_err(unwritable)?);
    }
    Ok(HttpResponse::Ok().json(answer))
}
