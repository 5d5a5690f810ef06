//! Sightings: that a server fires is kept for the storm guard, and a storm that an alert shows is opened with it.
//!
//! Never: counts anything itself; that is `domain::storm`.

use jiff::Timestamp;

use super::alerts::{Target, Told};
use crate::domain::alert::{Alert, BY_HAND};
use crate::domain::audit::AuditEvent;
use crate::domain::decision::Decided;
use crate::domain::signs::fires;
use crate::domain::storm::Sighting;
use crate::moves::open_storm;
use crate::store::{StoreError, Tx};

/// Keeps that the alert's server fires, and opens the storm that it shows.
pub(super) async fn note(
    tx: &mut Tx,
    told: &Told<'_>,
    alert: &Alert,
    decided: &Decided,
    target: &Target,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (Some(region), Some(policy)) = (&target.region, &decided.policy) else { return Ok(()) };
    // An order by hand is no alert: it says nothing of what the monitoring sees.
    let notice = told.source != BY_HAND && fires(alert, decided);
    if let Some(server) = target.server.as_ref().filter(|_| notice) {
        tx.note_sighting(region, &Sighting::of(server, policy), told.received_at);
    }
    if let Some(trip) = &target.storm {
        let from = |event: &mut AuditEvent| {
            event.trace_id = Some(told.trace_id.to_owned());
            event.delivery_id = (told.source != BY_HAND).then(|| told.delivery_id.to_string());
            event.source = Some(told.source.to_owned());
        };
        open_storm(tx, region, trip, from, now).await?;
    }
    Ok(())
}
