//! `/api/v1/servers/{no}/…`: a collected dump, and what guests say of themselves.
//!
//! Never: takes an attestation with the credential of a person or of a source of alerts.

use actix_web::web::{Bytes, Data, Path, Payload, ReqData};
use actix_web::{HttpRequest, HttpResponse};
use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::super::auth::Operator;
use super::super::body;
use super::super::client::client_ip;
use super::super::connection::client_names;
use super::super::door::{Door, Sender};
use super::super::problem::{Code, Problem};
use super::{done, no_params, words};
use crate::config::{ClientNames, SourceConfig};
use crate::domain::guest::Attestation;
use crate::domain::ids::{RemediationId, TraceId};
use crate::domain::server::{RegionCode, ServerNo};
use crate::hands::{self, DumpCollected};
use crate::intake::{Attested, attest};
use crate::sources::Headers;

/// Largest attestation.
const ATTESTATION_MAX: usize = 64 * 1024;

/// A person says that a dump is collected.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in super::super) struct Collected {
    #[schema(schema_with = super::super::openapi::reason_text)]
    reason: String,
    #[serde(default)]
    region_code: Option<RegionCode>,
}

/// The cooldown that a collected dump ended.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct DumpIsCollected {
    server_instance_no: ServerNo,
    region_code: RegionCode,
    /// Interrupts before this time have no cooldown any more.
    at: Timestamp,
    /// How many there were since the last dump was collected.
    attempts: usize,
    /// Until when the cooldown would have lasted.
    cooldown_would_have_ended_at: Option<Timestamp>,
}

/// A word of a guest that was kept.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names are those of the answer")]
pub(in super::super) struct AttestationKept {
    trace_id: TraceId,
    attestation_id: i64,
    /// The remediation that it confirmed.
    confirmed_remediation_id: Option<RemediationId>,
}

/// The number in a path.
fn number(no: &str) -> Result<ServerNo, Problem> {
    ServerNo::parse(no).map_err(|expected| Problem::body("serverInstanceNo", expected))
}

/// `POST /api/v1/servers/{no}/dump-collected`
pub(in super::super) async fn dump_collected(
    person: Operator,
    door: Data<Door>,
    req: HttpRequest,
    no: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    no_params(&req)?;
    let wanted: Collected = body::json(&req, payload).await?;
    let server_no = number(&no)?;
    let said = DumpCollected {
        server_no: server_no.clone(),
        region: wanted.region_code,
        reason: words(&wanted.reason)?,
        person: person.0.name,
    };
    let ended = done(hands::dump_collected(&door.service, said).await)?;
    Ok(HttpResponse::Ok().json(DumpIsCollected {
        server_instance_no: server_no,
        region_code: ended.region,
        at: ended.at,
        attempts: ended.attempts,
        cooldown_would_have_ended_at: ended.would_have_ended_at,
    }))
}

/// `POST /api/v1/servers/{no}/attestations`
pub(in super::super) async fn attestations(
    door: Data<Door>,
    req: HttpRequest,
    no: Path<String>,
    trace_id: ReqData<TraceId>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    no_params(&req)?;
    body::refuse_encoding(&req)?;
    let service = &door.service;
    let config = service.config();
    let bytes = body::read(&req, payload, ATTESTATION_MAX, door.body_timeout()).await?;
    if service.stopping.is_cancelled() {
        return Err(Problem::new(Code::Stopping, "the service is stopping; send again"));
    }
    let senders = door.senders(&config);
    let peer = client_ip(&req, &config.server.trusted_proxies);
    let wall = service.clock.wall();
    let certificate = client_names(&req, &door, wall);
    let (sender, source) = guest(senders.guests(), &req, certificate.as_ref(), peer, &bytes, wall)?;
    if sender.limiter.check().is_err() || service.store.waiting() >= config.server.queue_max {
        return Err(Problem::new(Code::Overloaded, "more attestations than can be taken in; send again"));
    }
    let (server_no, received_at) = (number(&no)?, service.clock.now());
    speaks_for(&door, source, &server_no).await?;
    let said: Attestation = body::of_json(&bytes)?;
    said.check(received_at).map_err(|(field, expected)| Problem::body(field, expected))?;
    let trace_id = trace_id.into_inner();
    let source = source.name.clone();
    let attested = Attested { source, server_no, said, received_at, trace_id: trace_id.clone() };
    let heard = attest(service, attested).await?;
    Ok(HttpResponse::Accepted().json(AttestationKept {
        trace_id,
        attestation_id: heard.id,
        confirmed_remediation_id: heard.confirmed,
    }))
}

/// Refuses a word on a server that the source is not bound to. It leaves nothing but a line in the log, once a server.
async fn speaks_for(door: &Door, source: &SourceConfig, no: &ServerNo) -> Result<(), Problem> {
    let known = door.service.store.known_server(no).await?;
    if source.speaks_for.covers(no, known.as_ref().map(|server| server.name.as_str())) {
        return Ok(());
    }
    let name = &source.name;
    if door.first_time(Sha256::digest(format!("{name} speaks for {no}")).into()) {
        tracing::warn!(source = %name, server.no = %no, "a guest spoke for a server that is not its own");
    }
    let why = match known {
        Some(_) => "neither its number nor its name is",
        None => "its number is not, and the inventory has no name for it",
    };
    let detail = format!("the source {name} may not speak for server {no}: {why} among its servers");
    Err(Problem::new(Code::NotYourServer, detail))
}

/// The guest source whose credential this is. Every one is checked, whichever matches before; where there is none, a
/// stranger's is, so that the answer takes as long.
fn guest<'s>(
    guests: impl Iterator<Item = &'s Sender>,
    req: &HttpRequest,
    certificate: Option<&ClientNames>,
    peer: std::net::IpAddr,
    bytes: &Bytes,
    now: Timestamp,
) -> Result<(&'s Sender, &'s SourceConfig), Problem> {
    let headers: Headers<'_> =
        req.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let headers = headers.over(certificate);
    let mut found = None;
    for sender in guests {
        let verified = sender.verifier.verify(&headers, peer, bytes, now);
        if let (Ok(_), Some(source)) = (verified, &sender.source) {
            found = found.or(Some((sender, source)));
        }
    }
    found.ok_or_else(|| Problem::new(Code::BadCredential, "no source of kind guest takes this credential"))
}
