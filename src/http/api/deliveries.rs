//! `/api/v1/deliveries`: what came in, what was decided, and replays.
//!
//! Never: shows a credential; a delivery keeps only which one matched.

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::super::auth::{Operator, Viewer};
use super::super::body::{self, Params, id_cursor};
use super::super::door::Door;
use super::super::problem::Problem;
use super::{Mode, done, idempotency, no_params, words};
use crate::domain::ids::DeliveryId;
use crate::hands;

/// `GET /api/v1/deliveries`
pub(in super::super) async fn list(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&req)?;
    let source = params.text("source");
    let page = params.page(id_cursor)?;
    params.finish()?;
    Ok(HttpResponse::Ok().json(door.service.store.deliveries(source.as_deref(), &page).await?))
}

/// `GET /api/v1/deliveries/{id}`
pub(in super::super) async fn one(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    no_params(&req)?;
    let detail = door.service.store.delivery_detail(&id).await?;
    Ok(HttpResponse::Ok().json(detail.ok_or_else(|| Problem::not_found("delivery"))?))
}

/// How a stored delivery is decided again.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Replay {
    #[serde(default)]
    mode: Mode,
    #[schema(schema_with = super::super::openapi::reason_text)]
    reason: String,
}

/// `POST /api/v1/deliveries/{id}/replay`
pub(in super::super) async fn replay(
    person: Operator,
    door: Data<Door>,
    req: HttpRequest,
    id: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    no_params(&req)?;
    let (wanted, bytes): (Replay, _) = body::json_and_bytes(&req, payload).await?;
    let (reason, key) = (words(&wanted.reason)?, idempotency(&req, &bytes)?);
    let id = DeliveryId::from_text(id.into_inner());
    let execute = wanted.mode == Mode::Execute;
    let answer = done(hands::replay(&door.service, &id, &person.0.name, &reason, execute, key).await)?;
    let mut response = if execute { HttpResponse::Accepted() } else { HttpResponse::Ok() };
    Ok(response.json(answer))
}
