//! `/api/v1/remediations`: what was decided to be done, and what people say to it.
//!
//! Never: skips a guard; `hands` asks them all.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::super::auth::{Approver, Operator, Viewer};
use super::super::body::{self, Params, id_cursor};
use super::super::door::Door;
use super::super::problem::Problem;
use super::{Mode, done, idempotency, no_params, why, words};
use crate::domain::ids::RemediationId;
use crate::domain::remediation::State;
use crate::domain::server::{RegionCode, ServerNo};
use crate::hands::{self, Approval, Seen, Settled, Settlement, Verdict};
use crate::intake::Order;
use crate::store::RemediationRow;

/// `GET /api/v1/remediations`
pub(in super::super) async fn list(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&req)?;
    let states: Vec<(&str, &str)> =
        ["live"].into_iter().chain(State::ALL.map(State::as_str)).map(|word| (word, word)).collect();
    let state = params.choice("state", &states)?;
    let incident = params.text("incidentId");
    let page = params.page(id_cursor)?;
    params.finish()?;
    Ok(HttpResponse::Ok().json(door.service.store.remediations(state, incident.as_deref(), &page).await?))
}

/// `GET /api/v1/remediations/{id}`
pub(in super::super) async fn one(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    no_params(&req)?;
    Ok(HttpResponse::Ok().json(row(&door, &id).await?))
}

/// The remediation as it is now.
async fn row(door: &Door, id: &str) -> Result<RemediationRow, Problem> {
    door.service.store.remediation_row(id).await?.ok_or_else(|| Problem::not_found("remediation"))
}

/// An order by hand.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in super::super) struct ByHand {
    server_instance_no: ServerNo,
    region_code: RegionCode,
    #[schema(min_length = 1)]
    policy: String,
    #[schema(schema_with = super::super::openapi::reason_text)]
    reason: String,
    #[serde(default)]
    mode: Mode,
}

/// `POST /api/v1/remediations`: by hand, under the same guards.
pub(in super::super) async fn order(
    person: Operator,
    door: Data<Door>,
    req: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    no_params(&req)?;
    let (wanted, bytes): (ByHand, _) = body::json_and_bytes(&req, payload).await?;
    let (reason, key) = (words(&wanted.reason)?, idempotency(&req, &bytes)?);
    let order = Order {
        server_no: wanted.server_instance_no,
        region: wanted.region_code,
        policy: wanted.policy,
        reason,
        person: person.0.name,
    };
    let execute = wanted.mode == Mode::Execute;
    let answer = done(hands::order(&door.service, order, execute, key).await)?;
    let mut response = if execute { HttpResponse::Accepted() } else { HttpResponse::Ok() };
    Ok(response.json(answer))
}

/// An approval.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in super::super) struct Approve {
    #[schema(schema_with = super::super::openapi::reason_text)]
    reason: String,
    #[serde(default)]
    version: Option<i64>,
    #[serde(default)]
    decision_hash: Option<String>,
    #[serde(default)]
    confirm_still_hung: bool,
}

/// `POST /api/v1/remediations/{id}/approve`
pub(in super::super) async fn approve(
    person: Approver,
    door: Data<Door>,
    req: HttpRequest,
    id: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    no_params(&req)?;
    let wanted: Approve = body::json(&req, payload).await?;
    let reason = words(&wanted.reason)?;
    let seen = Seen::new(wanted.version, wanted.decision_hash).ok_or_else(|| {
        Problem::body("decisionHash", "expected the decisionHash or the version that you looked at")
    })?;
    let approval = Approval { reason, seen, confirm_still_hung: wanted.confirm_still_hung };
    let id = RemediationId::from_text(id.into_inner());
    done(hands::approve(&door.service, &id, &person.0.name, approval).await)?;
    Ok(HttpResponse::Ok().json(row(&door, id.as_str()).await?))
}

/// `POST /api/v1/remediations/{id}/deny`
pub(in super::super) async fn deny(
    person: Approver,
    door: Data<Door>,
    req: HttpRequest,
    id: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let reason = why(&req, payload).await?;
    let id = RemediationId::from_text(id.into_inner());
    done(hands::deny(&door.service, &id, &person.0.name, &reason).await)?;
    Ok(HttpResponse::Ok().json(row(&door, id.as_str()).await?))
}

/// `POST /api/v1/remediations/{id}/cancel`
pub(in super::super) async fn cancel(
    person: Operator,
    door: Data<Door>,
    req: HttpRequest,
    id: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let reason = why(&req, payload).await?;
    let id = RemediationId::from_text(id.into_inner());
    done(hands::cancel(&door.service, &id, &person.0.name, &reason).await)?;
    Ok(HttpResponse::Ok().json(row(&door, id.as_str()).await?))
}

#[derive(Debug, Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SettlementVerdict)]
enum Said {
    Happened,
    NotHappened,
}

/// A person's word on what came of it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in super::super) struct Settle {
    verdict: Said,
    #[schema(schema_with = super::super::openapi::reason_text)]
    reason: String,
    #[serde(default)]
    activity_checked: bool,
}

/// A remediation after a person's word on what happened.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct RemediationSettled {
    /// As it is now.
    #[serde(flatten)]
    remediation: RemediationRow,
    /// `closed`, or `one of two` while another person must say the same.
    settled: &'static str,
}

/// `POST /api/v1/remediations/{id}/settle`: 202 while another person must say the same.
pub(in super::super) async fn settle(
    person: Approver,
    door: Data<Door>,
    req: HttpRequest,
    id: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    no_params(&req)?;
    let wanted: Settle = body::json(&req, payload).await?;
    let settlement = Settlement {
        verdict: match wanted.verdict {
            Said::Happened => Verdict::Happened,
            Said::NotHappened => Verdict::NotHappened,
        },
        reason: words(&wanted.reason)?,
        activity_checked: wanted.activity_checked,
    };
    let id = RemediationId::from_text(id.into_inner());
    let (status, settled) = match done(hands::settle(&door.service, &id, &person.0.name, settlement).await)? {
        Settled::Closed => (StatusCode::OK, "closed"),
        Settled::OneOfTwo => (StatusCode::ACCEPTED, "one of two"),
    };
    let remediation = row(&door, id.as_str()).await?;
    Ok(HttpResponse::build(status).json(RemediationSettled { remediation, settled }))
}
