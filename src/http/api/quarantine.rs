//! `/api/v1/quarantine`: what the attempt journal knows and the store does not, and a person's word that ends it.
//!
//! Never: ends it without a reason.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use super::super::auth::{Approver, Viewer};
use super::super::door::Door;
use super::super::problem::Problem;
use super::{done, no_params, why};
use crate::hands;
use crate::quarantine::comparison;

/// `GET /api/v1/quarantine`
pub(in super::super) async fn show(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    no_params(&req)?;
    let service = &door.service;
    let open = service
        .store
        .open_quarantine()
        .await?
        .map(|open| json!({ "id": open.id, "openedAt": open.opened_at, "why": open.why }));
    let compared = comparison(service).await?;
    Ok(HttpResponse::Ok().json(json!({
        "quarantine": open,
        "findings": compared.findings,
        "missing": compared.missing,
        "journalHighWater": compared.journal_high_water,
        "storeHighWater": compared.store_high_water,
        "journalTrouble": service.journal.trouble(),
    })))
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
