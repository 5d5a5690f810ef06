//! `/api/v1/storms`, `/api/v1/breakers` and what people say of policies.
//!
//! Never: clears, resets or promotes without a person and a reason.

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::super::auth::{Approver, Operator, Viewer};
use super::super::body::Params;
use super::super::door::Door;
use super::super::problem::Problem;
use super::super::stands::breaker_of;
use super::{done, no_params, why};
use crate::domain::breaker::{Breaker, BreakerRules};
use crate::hands;
use crate::store::{Page, ResetRow};

/// A storm that was cleared.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct StormCleared {
    id: i64,
    cleared: bool,
}

/// How the breaker of one policy stands.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct BreakerItem {
    /// Where it stands.
    #[serde(flatten)]
    breaker: Breaker,
    /// The policy.
    policy: String,
    /// Bad attempts since the newest good one.
    bad_in_a_row: usize,
    /// The newest reset.
    last_reset: Option<ResetRow>,
}

/// Every breaker, and the rules for all.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Breakers {
    /// One for each policy.
    #[serde(flatten)]
    list: Page<BreakerItem>,
    /// When they open and for how long.
    rules: BreakerRules,
}

/// A breaker that was reset.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct BreakerReset {
    policy: String,
    reset: bool,
}

/// A policy that asks a person from now on.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct PolicyDemoted {
    policy: String,
    demoted: bool,
    /// It had been demoted before.
    already: bool,
}

/// A policy whose configured mode holds again.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct PolicyPromoted {
    policy: String,
    promoted: bool,
}

/// `GET /api/v1/storms`: newest first; `?state=open` for those that nobody has cleared.
pub(in super::super) async fn storms(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&req)?;
    let open = params.choice("state", &[("open", true), ("all", false)])?.unwrap_or(false);
    params.finish()?;
    let items = door.service.store.storms(open).await?;
    Ok(HttpResponse::Ok().json(Page::whole(items)))
}

/// `POST /api/v1/storms/{id}/clear`
pub(in super::super) async fn clear_storm(
    person: Approver,
    door: Data<Door>,
    req: HttpRequest,
    id: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let reason = why(&req, payload).await?;
    let id: i64 = id.parse().map_err(|_not_a_number| Problem::not_found("storm"))?;
    done(hands::clear_storm(&door.service, id, &person.0.name, &reason).await)?;
    Ok(HttpResponse::Ok().json(StormCleared { id, cleared: true }))
}

/// `GET /api/v1/breakers`: how the breaker of each policy stands.
pub(in super::super) async fn breakers(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    no_params(&req)?;
    let service = &door.service;
    let (config, now) = (service.config(), service.clock.now());
    let mut items = Vec::new();
    for policy in &config.rules.policies {
        let stand = breaker_of(service, &config, &policy.name, now).await?;
        items.push(BreakerItem {
            breaker: stand.breaker,
            policy: policy.name.clone(),
            bad_in_a_row: stand.bad_in_a_row,
            last_reset: stand.reset,
        });
    }
    let rules = config.rules.breaker.clone();
    Ok(HttpResponse::Ok().json(Breakers { list: Page::whole(items), rules }))
}

/// `POST /api/v1/breakers/{policy}/reset`
pub(in super::super) async fn reset_breaker(
    person: Approver,
    door: Data<Door>,
    req: HttpRequest,
    policy: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let reason = why(&req, payload).await?;
    done(hands::reset_breaker(&door.service, &policy, &person.0.name, &reason).await)?;
    Ok(HttpResponse::Ok().json(BreakerReset { policy: policy.into_inner(), reset: true }))
}

/// `POST /api/v1/policies/{name}/demote`: it named a wrong server, and asks a person from now on.
pub(in super::super) async fn demote_policy(
    person: Operator,
    door: Data<Door>,
    req: HttpRequest,
    policy: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let reason = why(&req, payload).await?;
    let newly = done(hands::demote_policy(&door.service, &policy, &person.0.name, &reason).await)?;
    Ok(HttpResponse::Ok().json(PolicyDemoted { policy: policy.into_inner(), demoted: true, already: !newly }))
}

/// `POST /api/v1/policies/{name}/promote`: its configured mode holds again.
pub(in super::super) async fn promote_policy(
    person: Approver,
    door: Data<Door>,
    req: HttpRequest,
    policy: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let reason = why(&req, payload).await?;
    done(hands::promote_policy(&door.service, &policy, &person.0.name, &reason).await)?;
    Ok(HttpResponse::Ok().json(PolicyPromoted { policy: policy.into_inner(), promoted: true }))
}
