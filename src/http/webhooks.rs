//! Webhooks: bytes are capped, verified, only then read, taken in, and answered after the commit.
//!
//! Never: answers 2xx for what is not stored, 429 or a redirect (senders drop those), or tells why a
//! credential was refused.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{Bytes, Data, Path, Payload, ReqData};
use actix_web::{HttpRequest, HttpResponse};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::body;
use super::client::client_ip;
use super::connection::client_names;
use super::door::{Door, Sender, UNKNOWN_SOURCE};
use super::problem::{Code, Problem};
use super::traceparent;
use crate::config::{ClientNames, Config, SourceConfig};
use crate::domain::alert::Envelope;
use crate::domain::ids::{DeliveryId, TraceId};
use crate::intake::{Answer, Arrival, Taken, keep_unreadable, take_in};
use crate::sources::{Headers, ParseLimits, Unreadable, Verified, ends, parse};
use crate::store::{KeptBody, NewDelivery, StoreError};
use crate::telemetry::DeliveryLabels;

/// Longest wait for the store, above its own wait for a lock (5 s) and below the patience of senders (10 s).
const STORE_WITHIN: Duration = Duration::from_secs(6);

/// `POST /webhooks/{source}`
pub(super) async fn take(
    door: Data<Door>,
    req: HttpRequest,
    name: Path<String>,
    trace_id: ReqData<TraceId>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let config = door.service.config();
    let senders = door.senders(&config);
    let sender = senders.named(&name);
    let label = sender.source.as_ref().map_or(UNKNOWN_SOURCE, |source| source.name.as_str());
    let taken = admit(&door, &config, sender, &req, payload, &trace_id).await;
    let result = match &taken {
        Ok(taken) if taken.same => "same",
        Ok(_) => "accepted",
        Err(problem) => result_of(problem.code()),
    };
    door.service.metrics.deliveries.get_or_create(&DeliveryLabels { source: label.to_owned(), result }).inc();
    let answer = taken?.answer;
    Ok(HttpResponse::Accepted().insert_header((CONTENT_TYPE, "application/json")).body(answer))
}

fn result_of(code: Code) -> &'static str {
    if code == Code::BadCredential {
        "unauthenticated"
    } else if matches!(code, Code::Overloaded | Code::Stopping) {
        "overloaded"
    } else if code == Code::StoreFailed {
        "store_failed"
    } else {
        "unreadable"
    }
}

async fn admit(
    door: &Door,
    config: &Config,
    sender: &Sender,
    req: &HttpRequest,
    payload: Payload,
    trace_id: &TraceId,
) -> Result<Taken, Problem> {
    body::refuse_encoding(req)?;
    let peer = client_ip(req, &config.server.trusted_proxies);
    if !sender.verifier.allows(peer) {
        return Err(refused_credential());
    }
    let bytes = body::read(req, payload, config.server.body_bytes_max, door.body_timeout()).await?;
    if door.service.stopping.is_cancelled() {
        return Err(Problem::new(Code::Stopping, "the service is stopping; send again"));
    }
    let (now, begun) = (door.service.clock.now(), Instant::now());
    // Senders sign by the wall clock: ours may be held back by what the store knows.
    let wall = door.service.clock.wall();
    let certificate = client_names(req, door, wall);
    let (source, verified) = verify(sender, req, certificate.as_ref(), peer, &bytes, wall)?;
    // Asked after the credential, so that a stranger cannot spend what belongs to the sender.
    if sender.limiter.check().is_err() || door.service.store.waiting() >= config.server.queue_max {
        return Err(Problem::new(Code::Overloaded, "more deliveries than can be taken in; send again"));
    }
    if let Some(answer) = answered_before(door, &verified).await? {
        return Ok(answer);
    }
    let limits = ParseLimits::from(&config.server);
    let envelope = match parse(source, &limits, &bytes, verified.sender_time, now) {
        Ok(envelope) => envelope,
        Err(error) => {
            // What was authenticated is kept, however unreadable, so that a person can look at it; an end in it cancels.
            let ends = ends(source, &limits, &bytes, verified.sender_time, now);
            let ends = Envelope { alerts: ends, truncated: 0 };
            let mut arrival = arrival(config, source, &verified, ends, &bytes, peer, trace_id, now);
            // Once it can be read it is decided: it is never taken for the same.
            arrival.delivery.dedupable = false;
            arrival.delivery.body = KeptBody::of(bytes.clone(), false);
            in_time(keep_unreadable(&door.service, arrival, &error.to_string())).await?;
            return Err(unreadable(door, source, &bytes, &error));
        }
    };
    let mut arrival = arrival(config, source, &verified, envelope, &bytes, peer, trace_id, now);
    arrival.parent_span = traceparent(req).and_then(TraceId::parent_span);
    // Traces want to know how long it took.
    let timed = config.telemetry.otlp.is_some().then(|| arrival.delivery.id.clone());
    // The writer owns the commit: should the sender hang up here, what was written stays written.
    let taken = in_time(take_in(&door.service, arrival)).await?;
    if let Some(id) = timed.filter(|_| !taken.same) {
        door.service.timings.note(id.as_str(), begun.elapsed());
    }
    if let (Some(signature), Ok(answer)) = (verified.signature, serde_json::from_str::<Answer>(&taken.answer))
    {
        door.keep_signature(signature, DeliveryId::from_text(answer.delivery_id));
    }
    Ok(taken)
}

/// Waits for the store, but not for ever. What it writes after all is found by the sender's repeat.
async fn in_time<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, Problem> {
    match tokio::time::timeout(STORE_WITHIN, work).await {
        Ok(done) => Ok(done?),
        Err(_elapsed) => {
            tracing::error!("a delivery could not be stored in time; its sender is asked to repeat it");
            Err(Problem::new(Code::StoreFailed, "the store did not answer in time; send again"))
        }
    }
}

/// Checks the credential over the raw bytes. An unknown source is checked as well, and refused alike.
fn verify<'s>(
    sender: &'s Sender,
    req: &HttpRequest,
    certificate: Option<&ClientNames>,
    peer: IpAddr,
    bytes: &[u8],
    now: Timestamp,
) -> Result<(&'s SourceConfig, Verified), Problem> {
    let headers: Headers<'_> =
        req.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let checked = sender.verifier.verify(&headers.over(certificate), peer, bytes, now);
    match (&sender.source, checked) {
        (Some(source), Ok(verified)) => Ok((source, verified)),
        (Some(source), Err(refused)) => {
            tracing::debug!(source = %source.name, reason = refused.reason().as_str(), "a credential was refused");
            Err(refused_credential())
        }
        (None, _) => Err(refused_credential()),
    }
}

fn refused_credential() -> Problem {
    Problem::new(Code::BadCredential, "no source of this name takes this credential")
}

/// The stored answer to a request whose very signature was seen before: a copy, whoever sends it.
async fn answered_before(door: &Door, verified: &Verified) -> Result<Option<Taken>, Problem> {
    let Some(id) = verified.signature.and_then(|signature| door.seen_signature(&signature)) else {
        return Ok(None);
    };
    let stored = door.service.store.delivery(&id).await?;
    Ok(stored.map(|stored| Taken { answer: stored.answer, same: true }))
}

/// Senders repeat an unreadable body for as long as it fires: it is counted always and told once.
fn unreadable(door: &Door, source: &SourceConfig, bytes: &[u8], error: &Unreadable) -> Problem {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    if door.first_time(hash) {
        tracing::warn!(
            source = %source.name,
            body.sha256 = %hex::encode(hash),
            body.bytes = bytes.len(),
            error = %error,
            "a delivery could not be read"
        );
    }
    let code = match error {
        Unreadable::NotJson(_) => Code::UnreadableJson,
        Unreadable::WrongShape(_) => Code::WrongShape,
        Unreadable::TooManyAlerts { count: _, max: _ } => Code::TooManyAlerts,
    };
    Problem::new(code, error.to_string())
}

#[expect(clippy::too_many_arguments, reason = "everything that a delivery remembers")]
fn arrival(
    config: &Config,
    source: &SourceConfig,
    verified: &Verified,
    envelope: Envelope,
    bytes: &Bytes,
    peer: IpAddr,
    trace_id: &TraceId,
    now: Timestamp,
) -> Arrival {
    let delivery = NewDelivery {
        id: DeliveryId::generate(),
        trace_id: trace_id.to_string(),
        source: source.name.clone(),
        received_at: now,
        peer: peer.to_string(),
        credential: i64::try_from(verified.index).unwrap_or(i64::MAX),
        body_sha256: hex::encode(Sha256::digest(bytes)),
        body: KeptBody::of(bytes.clone(), envelope.all_read()),
        sender_time: verified.sender_time,
        alert_count: i64::try_from(envelope.alerts.len()).unwrap_or(i64::MAX),
        truncated: i64::try_from(envelope.truncated).unwrap_or(i64::MAX),
        dedupable: !envelope.holds_resolved(),
        replay_of: None,
        actor: source.name.clone(),
        config_hash: config.hash.clone(),
    };
    Arrival { delivery, envelope, trust: source.trust, person: None, parent_span: None }
}
