//! Dump collected: a person has the dump, so that the server may be interrupted again.
//!
//! Never: ends a dump window, or gives back a budget.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::{Hand, Refusal};
use crate::domain::audit::{Actor, AuditEvent};
use crate::domain::facts::Past;
use crate::domain::limits::{dump_window_until, interrupted_until};
use crate::domain::server::{RegionCode, ServerNo};
use crate::service::Service;
use crate::store::Tx;

/// What a person says of a server's dump.
#[derive(Debug, Clone)]
pub struct DumpCollected {
    /// The server.
    pub server_no: ServerNo,
    /// Its region, where the person names one.
    pub region: Option<RegionCode>,
    /// How they know.
    pub reason: String,
    /// Who.
    pub person: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CooldownEnded {
    /// Region of the server.
    pub region: RegionCode,
    /// Interrupts before this time have no cooldown any more.
    pub at: Timestamp,
    /// How many there were since the last dump was collected.
    pub attempts: usize,
    /// Until when the cooldown would have lasted.
    pub would_have_ended_at: Option<Timestamp>,
}

/// Ends the cooldown of the server's interrupts before now.
pub async fn dump_collected(service: &Service, said: DumpCollected) -> Hand<CooldownEnded> {
    let now = service.clock.now();
    let job = Arc::new(said);
    let done = service
        .store
        .write(move |tx| {
            let job = Arc::clone(&job);
            Box::pin(async move { record(tx, &job, now).await })
        })
        .await?;
    service.work.notify_one();
    Ok(done)
}

async fn record(tx: &mut Tx, said: &DumpCollected, now: Timestamp) -> Hand<CooldownEnded> {
    let no = &said.server_no;
    let attempts = tx.attempts_on(no, now).await?;
    let acted: Vec<_> = attempts
        .iter()
        .filter(|past| past.may_have_acted() && said.region.as_ref().is_none_or(|r| *r == past.region))
        .collect();
    // The same number in two regions is two machines; a person who names no region means the one interrupted last.
    let region = said.region.as_ref().or_else(|| acted.first().map(|past| &past.region));
    let known = tx.known_server(no).await?;
    let before = match region {
        Some(region) => {
            let here = known.as_ref().filter(|server| server.region == *region);
            let created_at = here.map_or(Timestamp::UNIX_EPOCH, |server| server.created_at);
            tx.dump_collected_at(region, no, created_at).await?
        }
        None => None,
    };
    let since = |past: &&&Past| before.is_none_or(|at| past.intent_at >= at);
    let open: Vec<_> = acted.iter().filter(|past| Some(&past.region) == region).filter(since).collect();
    let Some(newest) = open.first() else {
        let why = match before {
            Some(at) if !acted.is_empty() => format!("the dump was said to be collected at {at}"),
            Some(_) | None => "no interrupt of this server is known, so there is no dump of one".to_owned(),
        };
        return Ok(Err(Refusal::NothingToCollect { why }));
    };
    let until = match &known {
        Some(server) => dump_window_until(&attempts, server),
        None => interrupted_until(&attempts, no, 0),
    };
    if let Some(until) = until.filter(|until| now < *until) {
        return Ok(Err(Refusal::DumpBeingWritten { until }));
    }
    let would_have_ended_at = open.iter().map(|past| past.cooldown_until).max().filter(|until| now < *until);
    let region = newest.region.clone();
    let id = tx.insert_dump_collected(&region, no, &said.person, &said.reason, now).await?;
    let mut event = AuditEvent::new(now, "dump_collected", Actor::person(&said.person)).with_detail(&json!({
        "id": id, "reason": said.reason, "attempts": open.len(), "cooldownUntil": would_have_ended_at,
    }));
    event.server_instance_no = Some(no.to_string());
    event.region_code = Some(region.to_string());
    event.remediation_id = Some(newest.remediation_id.clone());
    tx.append(&event).await?;
    Ok(Ok(CooldownEnded { region, at: now, attempts: open.len(), would_have_ended_at }))
}
