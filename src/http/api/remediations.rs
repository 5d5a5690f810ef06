//! `/api/v1/remediations`: what was decided to be done, and what people say to it.
//!
//! Never: skips a guard; `hands` asks them all.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::auth::{Approver, Operator, Viewer};
use super::super::body::{self, Params, id_cursor};
use super::super::door::Door;
use super::super::problem::{Code, Problem};
use super::{Mode, done, idempotency, no_params, why, words};
use crate::domain::ids::RemediationId;
use crate::domain::remediation::State;
use crate::domain::server::{RegionCode, ServerNo};
use crate::hands::{self, Approval, Settled, Settlement, Verdict};
use crate::intake::Order;

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
    shown(&door, &id, StatusCode::OK, None).await
}

/// The remediation as it is now.
async fn shown(
    door: &Door,
    id: &str,
    status: StatusCode,
    more: Option<(&str, &str)>,
) -> Result<HttpResponse, Problem> {
    let row =
        door.service.store.remediation_row(id).await?.ok_or_else(|| Problem::not_found("remediation"))?;
    let mut answer = serde_json::to_value(row)
        .map_err(|_error| Problem::new(Code::Internal, "the remediation cannot be written"))?;
    if let (Value::Object(fields), Some((key, value))) = (&mut answer, more) {
        fields.insert(key.to_owned(), json!(value));
    }
    Ok(HttpResponse::build(status).json(answer))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ByHand {
    server_instance_no: ServerNo,
    region_code: RegionCode,
    policy: String,
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Approve {
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
    let approval = Approval {
        reason: words(&wanted.reason)?,
        version: wanted.version,
        decision_hash: wanted.decision_hash,
        confirm_still_hung: wanted.confirm_still_hung,
    };
    let id = RemediationId::from_text(id.into_inner());
    done(hands::approve(&door.service, &id, &person.0.name, approval).await)?;
    shown(&door, id.as_str(), StatusCode::OK, None).await
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
    shown(&door, id.as_str(), StatusCode::OK, None).await
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
    shown(&door, id.as_str(), StatusCode::OK, None).await
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    Happened,
    NotHappened,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Settle {
    verdict: Said,
    reason: String,
    #[serde(default)]
    activity_checked: bool,
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
    match done(hands::settle(&door.service, &id, &person.0.name, settlement).await)? {
        Settled::Closed => shown(&door, id.as_str(), StatusCode::OK, Some(("settled", "closed"))).await,
        Settled::OneOfTwo => {
            shown(&door, id.as_str(), StatusCode::ACCEPTED, Some(("settled", "one of two"))).await
        }
    }
}
