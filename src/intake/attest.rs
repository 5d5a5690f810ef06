//! Attestations: what a guest says of itself is kept, and a dump that it found proves an interrupt.
//!
//! Never: ends a cooldown, or takes silence of a guest for anything.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use crate::domain::audit::{Actor, AuditEvent};
use crate::domain::guest::{Attestation, GuestDump, guest_dump};
use crate::domain::ids::{RemediationId, TraceId};
use crate::domain::remediation::Event;
use crate::domain::server::{RegionCode, ServerNo};
use crate::moves::{event_about, move_with_event};
use crate::service::Service;
use crate::store::{Move, NewAttestation, Provable, StoreError, Tx};

/// A word of a guest whose credential was checked.
#[derive(Debug, Clone)]
pub struct Attested {
    /// The source whose credential it came with.
    pub source: String,
    /// The server that it speaks of.
    pub server_no: ServerNo,
    /// What it says.
    pub said: Attestation,
    /// When it came.
    pub received_at: Timestamp,
    /// Our trace.
    pub trace_id: TraceId,
}

/// What became of a word of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Its row.
    pub id: i64,
    /// The remediation that it confirmed.
    pub confirmed: Option<RemediationId>,
}

/// Keeps an attestation. Returns after the commit.
pub async fn attest(service: &Service, attested: Attested) -> Result<Heard, StoreError> {
    // A server that no list holds yet belongs to the region of everything that names none.
    let usual = service.config().cloud.region.clone();
    let job = Arc::new((attested, usual));
    let heard = service
        .store
        .write(move |tx| {
            let job = Arc::clone(&job);
            Box::pin(async move { keep(tx, &job.0, &job.1).await })
        })
        .await?;
    if let Some(id) = &heard.confirmed {
        tracing::info!(remediation.id = %id, "the guest has a dump dated after the intent");
    }
    Ok(heard)
}

async fn keep(tx: &mut Tx, attested: &Attested, usual: &RegionCode) -> Result<Heard, StoreError> {
    let Attested { source, server_no, said, received_at, trace_id } = attested;
    let known = tx.known_server(server_no).await?;
    let region = known.map_or_else(|| usual.clone(), |server| server.region);
    let new = NewAttestation {
        source: source.clone(),
        region: region.clone(),
        server_no: server_no.clone(),
        said: said.clone(),
        received_at: *received_at,
    };
    let id = tx.insert_attestation(&new).await?;
    let actor = Actor::source(source);
    let mut event =
        AuditEvent::new(*received_at, "attestation", actor).with_detail(&json!({ "id": id, "said": said }));
    event.trace_id = Some(trace_id.to_string());
    event.server_instance_no = Some(server_no.to_string());
    event.region_code = Some(region.to_string());
    event.source = Some(source.clone());
    tx.append(&event).await?;
    let confirmed = match tx.provable(server_no).await? {
        Some(provable) => {
            let proof = said
                .found()
                .and_then(|dump| guest_dump(&provable.baseline, dump, source, said.at(), *received_at));
            match proof {
                Some(proof) => confirm(tx, &provable, &proof, *received_at).await?,
                None => None,
            }
        }
        None => None,
    };
    Ok(Heard { id, confirmed })
}

async fn confirm(
    tx: &mut Tx,
    provable: &Provable,
    proof: &GuestDump,
    now: Timestamp,
) -> Result<Option<RemediationId>, StoreError> {
    let Some(remediation) = tx.remediation(&provable.remediation_id).await? else { return Ok(None) };
    let actor = Actor::source(&proof.told_by);
    let detail = format!(
        "{}: {} written at {}; proves {}",
        proof.kind, proof.dump.path, proof.dump.written_at, proof.proves
    );
    let with = Move { detail, ..Move::default() };
    if !move_with_event(tx, &remediation, Event::RebootSeen, &with, actor.clone(), None, now).await? {
        return Ok(None);
    }
    tx.set_evidence(provable.attempt_id, proof).await?;
    let mut event = event_about(&remediation, "evidence", actor, now).with_detail(proof);
    event.attempt_id = Some(provable.attempt_id);
    tx.append(&event).await?;
    Ok(Some(provable.remediation_id.clone()))
}
