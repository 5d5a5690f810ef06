//! Clearing a quarantine: a person has looked at what the journal knows and the store does not.
//!
//! Never: forgets a server that may have been interrupted, or lets a number be given twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Hand, Refusal, hold_in};
use crate::domain::audit::{Actor, AuditEvent};
use crate::domain::hold::HoldScope;
use crate::domain::limits::later;
use crate::domain::remediation::Outcome;
use crate::journal::{Identity, Known, Reconciled};
use crate::quarantine::{At, Missing, compare, stamp, wanted};
use crate::service::Service;
use crate::store::{Forgotten, NewHold, StoreError, StoreIdentity, Tx};
use crate::telemetry::chain;

/// A server rests at least this long after an interrupt that the store does not know.
const REST_MIN: SignedDuration = SignedDuration::from_hours(24);

/// What clearing led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = QuarantineCleared)]
#[serde(rename_all = "camelCase")]
pub struct Cleared {
    /// The quarantine.
    pub id: i64,
    /// Attempt numbers go on above this.
    pub high_water: i64,
    /// Holds that were left on servers, by row number.
    pub holds: Vec<i64>,
    /// Interrupts that the store does not know.
    pub missing: Vec<Missing>,
    #[serde(skip)]
    identity: Identity,
}

struct Order {
    person: String,
    reason: String,
    known: Known,
    at: At,
    rest: SignedDuration,
}

/// Ends the quarantine. Each server whose interrupt the store does not know gets a hold of its own while it may count;
/// attempt numbers go on above the highest that the journal has seen.
pub async fn clear_quarantine(service: &Arc<Service>, person: &str, reason: &str) -> Hand<Cleared> {
    let now = service.clock.now();
    if !service.lease.is_held() {
        let holder = service.store.lease().await?.map_or("nobody yet".to_owned(), |lease| lease.replica.name);
        let why = format!(
            "this replica is a standby with a journal of its own; ask the one that dispatches: {holder}"
        );
        return Ok(Err(Refusal::Journal { why }));
    }
    // Looked at first: what cannot be noted in the journal would be found again, and nothing could be sent anyway.
    stamp(service).await;
    if let Some(why) = service.journal.trouble() {
        return Ok(Err(Refusal::Journal { why }));
    }
    let longest = service.config().rules.policies.iter().map(|policy| policy.cooldown).max();
    let order = Arc::new(Order {
        person: person.to_owned(),
        reason: reason.to_owned(),
        known: service.journal.known(),
        at: At::of(&service.store).await?,
        rest: longest.unwrap_or(REST_MIN).max(REST_MIN),
    });
    let job = Arc::clone(&order);
    let done = service
        .store
        .write(move |tx| {
            let order = Arc::clone(&job);
            Box::pin(async move { clear_in(tx, &order, now).await })
        })
        .await?;
    let cleared = match done {
        Ok(cleared) => cleared,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let line = Reconciled {
        at: now,
        person: person.to_owned(),
        reason: reason.to_owned(),
        high_water: cleared.high_water,
        identity: cleared.identity.clone(),
    };
    let journal = Arc::clone(&service.journal);
    let noted = tokio::task::spawn_blocking(move || journal.reconcile(line)).await;
    let why = match noted {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(chain(&error)),
        Err(_ended) => Some("the task that writes the attempt journal ended".to_owned()),
    };
    if let Some(why) = why {
        let why = format!("{why}; the next start finds the same gap, so clear it again then");
        return Ok(Err(Refusal::Journal { why }));
    }
    stamp(service).await;
    service.work.notify_one();
    Ok(Ok(cleared))
}

async fn clear_in(tx: &mut Tx, order: &Order, now: Timestamp) -> Hand<Cleared> {
    let Some(open) = tx.open_quarantine().await? else { return Ok(Err(Refusal::NotFound)) };
    let (from_attempt, audit_seq) = wanted(&order.known);
    let history = tx.history(from_attempt, audit_seq).await?;
    let compared = compare(&order.known, &history, &order.at);
    let high_water = compared.journal_high_water.max(compared.store_high_water);
    let store_id = history.identity.map(|identity| identity.store_id);
    let store_id = store_id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let identity = StoreIdentity { store_id, machine_id: order.at.machine.clone() };
    let remembered = remember(tx, order, &compared.missing).await?;
    let holds = hold_servers(tx, order, &compared.missing, now).await?;
    tx.continue_attempts_above(high_water).await?;
    tx.set_identity(&identity, now).await?;
    tx.clear_quarantine(open.id, &order.person, &order.reason, now).await?;
    let event =
        AuditEvent::new(now, "quarantine_cleared", Actor::person(&order.person)).with_detail(&json!({
            "id": open.id, "why": open.why, "reason": order.reason, "findings": compared.findings,
            "missing": compared.missing, "highWater": high_water, "holds": holds, "storeId": identity.store_id,
            "remembered": remembered,
        }));
    tx.append(&event).await?;
    let identity = Identity { store_id: identity.store_id, machine_id: identity.machine_id };
    Ok(Ok(Cleared { id: open.id, high_water, holds, missing: compared.missing, identity }))
}

/// Writes down what the journal knows, so that dump window, cooldown and budgets count it whatever becomes of the hold.
/// Returns the rows.
async fn remember(tx: &mut Tx, order: &Order, missing: &[Missing]) -> Result<Vec<Value>, StoreError> {
    let mut rows = Vec::new();
    for missing in missing {
        let outcome = match missing.outcome {
            Some(Outcome::NotSent) => continue,
            Some(known) => known,
            None => Outcome::Unknown,
        };
        let rest = later(missing.signed_at, order.rest);
        let counts = missing.counts.as_ref();
        let forgotten = Forgotten {
            attempt_id: missing.attempt_id,
            server_no: &missing.server_instance_no,
            region_code: &missing.region_code,
            policy: counts.map_or("", |counts| &counts.policy),
            intent_at: missing.signed_at,
            outcome,
            memory_bytes: counts.map_or(0, |counts| counts.memory_bytes),
            cooldown_until: counts.map_or(rest, |counts| counts.cooldown_until),
        };
        tx.remember_forgotten(&forgotten).await?;
        rows.push(json!({
            "attempt_id": forgotten.attempt_id, "server_no": forgotten.server_no,
            "region_code": forgotten.region_code, "policy": forgotten.policy,
            "intent_at": forgotten.intent_at.as_millisecond(), "outcome": forgotten.outcome.as_str(),
            "memory_bytes": forgotten.memory_bytes, "cooldown_until": forgotten.cooldown_until.as_millisecond(),
        }));
    }
    Ok(rows)
}

/// One hold for each server, for the newest interrupt that may count. One that was set before, cleared or not, is not
/// set again.
async fn hold_servers(
    tx: &mut Tx,
    order: &Order,
    missing: &[Missing],
    now: Timestamp,
) -> Result<Vec<i64>, StoreError> {
    let counts = missing.iter().filter(|missing| missing.may_still_count(order.rest, now));
    let newest: BTreeMap<&str, &Missing> =
        counts.map(|missing| (missing.server_instance_no.as_str(), missing)).collect();
    let mut holds = Vec::new();
    for (server, missing) in newest {
        let reason = format!(
            "the attempt journal knows interrupt {} at {} that this store does not; clear when the server is understood",
            missing.attempt_id, missing.signed_at
        );
        if tx.was_held_for(&reason).await? {
            continue;
        }
        let scope = HoldScope::Server(server.to_owned());
        let new = NewHold { scope, author: order.person.clone(), reason, until: None };
        holds.push(hold_in(tx, &new, now).await?);
    }
    Ok(holds)
}
