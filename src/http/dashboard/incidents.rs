//! Incidents: the story of one server, from the first alert to the proof.
//!
//! Never: closes one; that follows from the alerts.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde_json::Value;

use super::super::body::{Params, id_cursor};
use super::super::door::Door;
use super::super::problem::Problem;
use super::now::Line;
use super::remediations::{Decided, Told};
use super::view::View;
use super::{enter, page};
use crate::config::Role;
use crate::store::{AuditFilter, IncidentRow, PAGE_MAX, Page, PageRequest};

/// Alerts of an incident that are shown with their guards: its newest.
const ALERTS_MAX: i64 = 50;

#[derive(Template)]
#[template(path = "incidents.html")]
struct Incidents<'v> {
    v: &'v View,
    open: bool,
    found: Page<IncidentRow>,
}

#[derive(Template)]
#[template(path = "incident.html")]
struct Incident<'v> {
    v: &'v View,
    told: IncidentRow,
    lines: Vec<Line>,
    events: Vec<Told>,
    alerts: Vec<Decided>,
}

/// `GET /incidents`
pub(in super::super) async fn list(req: HttpRequest, door: Data<Door>) -> HttpResponse {
    let view = match enter(&req, &door, "incidents", Role::Viewer).await {
        Ok(view) => view,
        Err(answer) => return answer,
    };
    page(&view, load_list(&view, &door, &req).await)
}

async fn load_list<'v>(view: &'v View, door: &Door, req: &HttpRequest) -> Result<Incidents<'v>, Problem> {
    let mut params = Params::of(req)?;
    let open = params.choice("state", &[("open", true), ("all", false)])?.unwrap_or(false);
    let wanted = params.page(id_cursor)?;
    params.text("done");
    params.finish()?;
    Ok(Incidents { v: view, open, found: door.service.store.incidents(open, &wanted).await? })
}

/// `GET /incidents/{id}`
pub(in super::super) async fn one(req: HttpRequest, door: Data<Door>, id: Path<String>) -> HttpResponse {
    let view = match enter(&req, &door, "incidents", Role::Viewer).await {
        Ok(view) => view,
        Err(answer) => return answer,
    };
    page(&view, load_one(&view, &door, &id).await)
}

async fn load_one<'v>(view: &'v View, door: &Door, id: &str) -> Result<Incident<'v>, Problem> {
    let (store, config) = (&door.service.store, door.service.config());
    let incident = store.incident(id).await?.ok_or_else(|| Problem::not_found("incident"))?;
    let whole = PageRequest { limit: PAGE_MAX, cursor: None, ascending: true };
    let rows = store.remediations(None, Some(id), &whole).await?.items;
    let filter = AuditFilter { incident_id: Some(id.to_owned()), ..AuditFilter::default() };
    let events = store.audit(&filter, &whole).await?.items.into_iter().map(Told::of).collect();
    let alerts = store.alerts_of_incident(id, ALERTS_MAX).await?.into_iter().map(Decided::of).collect();
    let lines = rows.into_iter().map(|row| Line::of(row, &config)).collect();
    Ok(Incident { v: view, told: incident, lines, events, alerts })
}

impl Decided {
    /// Name of the alert, as its sender calls it.
    pub(super) fn name(&self) -> String {
        let labels = self.row.alert.as_ref().and_then(|alert| alert.get("labels"));
        let name = labels.and_then(|labels| labels.get("alertname")).and_then(Value::as_str);
        name.or(self.row.fingerprint.as_deref()).unwrap_or("–").to_owned()
    }
}
