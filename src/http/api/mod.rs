//! The API for people and their scripts, under `/api/v1`. One file per thing it speaks of.
//!
//! Never: decides; it reads the store, or hands an order to `hands`.

pub(super) mod audit;
pub(super) mod backtest;
pub(super) mod deliveries;
pub(super) mod explain;
mod export;
pub(super) mod guards;
pub(super) mod guest;
pub(super) mod incidents;
pub(super) mod mutes;
pub(super) mod notifications;
pub(super) mod overview;
pub(super) mod quarantine;
pub(super) mod remediations;
mod story;

use actix_web::HttpRequest;
use actix_web::web::{Bytes, Payload};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::body::{self, Params};
use super::problem::{Code, Problem};
use crate::hands::{Hand, Idempotency};

/// Longest `Idempotency-Key`.
const KEY_MAX: usize = 128;

/// Whether an order is only thought through or carried out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OrderMode)]
enum Mode {
    /// Says what would happen.
    #[default]
    DryRun,
    /// Does it.
    Execute,
}

/// A body with nothing but a reason.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Reasoned)]
pub(super) struct Why {
    #[schema(schema_with = super::openapi::reason_text)]
    reason: String,
}

/// What a hand gave, or the problem that it becomes.
fn done<T>(hand: Hand<T>) -> Result<T, Problem> {
    Ok(hand??)
}

/// A person's words from a body.
fn words(reason: &str) -> Result<String, Problem> {
    body::reason(reason).map_err(|expected| Problem::body("reason", expected))
}

/// The reason of an order whose body is nothing else.
async fn why(req: &HttpRequest, payload: Payload) -> Result<String, Problem> {
    no_params(req)?;
    let why: Why = body::json(req, payload).await?;
    words(&why.reason)
}

/// The reason of a deletion: in a JSON body, or as a parameter where a client cannot send one.
async fn why_deleted(req: &HttpRequest, payload: Payload) -> Result<String, Problem> {
    let mut params = Params::of(req)?;
    let given = params.text("reason");
    params.finish()?;
    if body::has_body(req) {
        let why: Why = body::json(req, payload).await?;
        return words(&why.reason);
    }
    let given = given.unwrap_or_default();
    body::reason(&given).map_err(|expected| Problem::query("reason", expected))
}

/// The `Idempotency-Key` of a request, with a hash of what it asks.
fn idempotency(req: &HttpRequest, bytes: &Bytes) -> Result<Option<Idempotency>, Problem> {
    let mut keys = req.headers().get_all("idempotency-key");
    let Some(key) = keys.next() else { return Ok(None) };
    let text = key.to_str().unwrap_or("");
    let fits = (1..=KEY_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if !fits || keys.next().is_some() {
        let detail = format!("idempotency-key: expected one of 1 to {KEY_MAX} visible ASCII characters");
        return Err(Problem::new(Code::InvalidHeader, detail).about("idempotency-key"));
    }
    let mut hasher = Sha256::new();
    hasher.update(req.path().as_bytes());
    hasher.update([0]);
    hasher.update(bytes);
    Ok(Some(Idempotency { key: text.to_owned(), parameters: hex::encode(hasher.finalize()) }))
}

/// Refuses any parameter.
fn no_params(req: &HttpRequest) -> Result<(), Problem> {
    Params::of(req)?.finish()
}
