//! `GET /api/v1/audit`: every fact, filtered, as pages or as one export.
//!
//! Never: changes the text of `detail`; it is part of the hash.

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::web::Data;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse};
use jiff::Timestamp;

use super::super::auth::Viewer;
use super::super::body::{self, Params, seq_cursor};
use super::super::door::Door;
use super::super::people::Turn;
use super::super::problem::Problem;
use super::export::{Export, Format};
use crate::store::{AuditFilter, PAGE_MAX, PageRequest};

/// Rows of an export at most.
const EXPORT_MAX: i64 = 1_000_000;
/// Rows that an export holds in memory at once.
const EXPORT_PAGE: i64 = 100;

/// The filters of a query. `time` reads its times: people also write them as their clock shows them.
pub(in super::super) fn filter(
    params: &mut Params,
    time: impl Fn(&str) -> Result<Timestamp, String>,
) -> Result<AuditFilter, Problem> {
    Ok(AuditFilter {
        server_instance_no: params.text("serverInstanceNo"),
        request_id: params.text("requestId"),
        trace_id: params.text("traceId"),
        delivery_id: params.text("deliveryId"),
        incident_id: params.text("incidentId"),
        remediation_id: params.text("remediationId"),
        source: params.text("source"),
        policy: params.text("policy"),
        kind: params.text("kind"),
        outcome: params.text("outcome"),
        reason: params.text("reason"),
        actor: params.text("actor"),
        since: params.read("since", &time)?,
        until: params.read("until", &time)?,
    })
}

/// `GET /api/v1/audit`
pub(in super::super) async fn list(
    Viewer(person): Viewer,
    door: Data<Door>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&req)?;
    let filter = filter(&mut params, body::time)?;
    let formats = [("json", None), ("ndjson", Some(Format::Ndjson)), ("csv", Some(Format::Csv))];
    let format = params.choice("format", &formats)?.flatten();
    let ascending = params.choice("order", &[("desc", false), ("asc", true)])?.unwrap_or(false);
    let most = if format.is_some() { EXPORT_MAX } else { PAGE_MAX };
    let limit = params.whole("limit", 1..=most)?;
    let cursor = params.cursor(seq_cursor)?;
    params.finish()?;
    let Some(format) = format else {
        let page = PageRequest { limit: limit.unwrap_or(50), cursor, ascending };
        let page = door.service.store.audit(&filter, &page).await?;
        return Ok(HttpResponse::Ok().json(page));
    };
    let share = door.people.export(&person.name)?;
    // It is counted as an export from here on.
    drop(req.extensions_mut().remove::<Turn>());
    let rows = usize::try_from(limit.unwrap_or(EXPORT_MAX)).unwrap_or(usize::MAX);
    let page = PageRequest { limit: EXPORT_PAGE, cursor, ascending };
    let name = format!("attachment; filename=\"unhang-audit.{}\"", format.extension());
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, format.media_type()))
        .insert_header((CONTENT_DISPOSITION, name))
        .body(Export::new(door, share, (filter, page), rows, format)))
}
