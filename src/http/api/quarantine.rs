//! `/api/v1/quarantine`: what the attempt journal knows and the store does not, and a person's word that ends it.
//!
//! Never: ends it without a reason.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use jiff::Timestamp;

use super::super::auth::{Approver, Viewer};
use super::super::door::Door;
use super::super::problem::Problem;
use super::{done, no_params, why};
use crate::hands;
use crate::quarantine::{Missing, comparison};

/// A quarantine that nobody has cleared.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct QuarantineOpen {
    id: i64,
    opened_at: Timestamp,
    why: String,
}

/// Journal and store side by side.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Quarantine {
    /// The one that is open.
    #[serde(rename = "quarantine")]
    open: Option<QuarantineOpen>,
    /// What does not agree; empty when all is well.
    findings: Vec<String>,
    /// Interrupts that the journal knows and the store does not.
    missing: Vec<Missing>,
    /// Highest attempt number in the journal.
    journal_high_water: i64,
    /// Highest attempt number in the store.
    store_high_water: i64,
    /// Why the journal cannot be written.
    journal_trouble: Option<String>,
}

/// `GET /api/v1/quarantine`
pub(in super::super) async fn show(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    no_params(&req)?;
    let service = &door.service;
    let open = service.store.open_quarantine().await?;
    let compared = comparison(service).await?;
    Ok(HttpResponse::Ok().json(Quarantine {
        open: open.map(|open| QuarantineOpen { id: open.id, opened_at: open.opened_at, why: open.why }),
        findings: compared.findings,
        missing: compared.missing,
        journal_high_water: compared.journal_high_water,
        store_high_water: compared.store_high_water,
        journal_trouble: service.journal.trouble(),
    }))
}

/// `POST /api/v1/quarantine/clear`
pub(in super::super) async fn clear(
    person: Approver,
    door: Data<Door>,
    req: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let reason = why(&req, payload).await?;
    let cleared = done(hands::clear_quarantine(&door.service, &person.0.name, &reason).await)?;
    Ok(HttpResponse::Ok().json(cleared))
}
