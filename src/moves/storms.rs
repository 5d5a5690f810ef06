//! Opening a storm in the transaction that saw it, with its event and the demotion of the policies it involves.
//!
//! Never: clears one; that is a person's act.

use jiff::Timestamp;
use serde_json::json;

use super::ladder::demote;
use crate::config::Config;
use crate::domain::audit::{Actor, AuditEvent};
use crate::domain::facts::Facts;
use crate::domain::server::{RegionCode, Server};
use crate::domain::storm::{self, Trip};
use crate::store::{Remediation, StoreError, Tx};

/// Opens a storm unless one is open in the region. `told` gives the event its trace, delivery and source.
pub async fn open_storm(
    tx: &mut Tx,
    region: &RegionCode,
    trip: &Trip,
    told: impl FnOnce(&mut AuditEvent) + Send,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(id) = tx.open_storm(region, trip, now).await? else { return Ok(()) };
    let actor = || Actor::service("storm");
    let mut event = AuditEvent::new(now, "storm_opened", actor()).with_detail(
        &json!({ "id": id, "why": trip.why, "servers": trip.servers, "policies": trip.policies }),
    );
    event.region_code = Some(region.to_string());
    told(&mut event);
    tx.append(&event).await?;
    tracing::error!(
        storm.id = id,
        region.code = %region,
        why = trip.why,
        servers = trip.servers.len(),
        "a storm: nothing is sent in this region until a person clears it"
    );
    for policy in &trip.policies {
        let why = format!("storm {id} opened in {region}: {}", trip.why);
        demote(tx, policy, &why, actor(), now).await?;
    }
    Ok(())
}

/// Opens the storm that the facts about a remediation show, if none is open yet. `server` is as it was seen last.
pub async fn open_storm_if_seen(
    tx: &mut Tx,
    remediation: &Remediation,
    server: &Server,
    facts: &Facts,
    config: &Config,
    now: Timestamp,
) -> Result<(), StoreError> {
    let policy = &remediation.waiting.policy;
    let Some(trip) = storm::trip(&config.rules, &facts.storm, server, policy) else { return Ok(()) };
    let told = |event: &mut AuditEvent| {
        event.trace_id = Some(remediation.trace_id.clone());
        event.remediation_id = Some(remediation.id.to_string());
    };
    open_storm(tx, &server.region, &trip, told, now).await
}
