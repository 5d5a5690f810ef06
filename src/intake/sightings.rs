//! Sightings: that a server fires is kept for the storm guard, and a storm that an alert shows is opened with it.
//!
//! Never: counts anything itself; that is `domain::storm`.

use jiff::Timestamp;

use super::alerts::{Target, Told};
use crate::domain::alert::{Alert, AlertStatus, BY_HAND};
use crate::domain::audit::AuditEvent;
use crate::domain::decision::{Decided, Origin, Question};
use crate::domain::facts::Facts;
use crate::domain::guard::{Reason, Verdict};
use crate::domain::policy::{Policy, Rules};
use crate::domain::server::Server;
use crate::domain::storm::{self, Sighting, Trip};
use crate::moves::open_storm;
use crate::store::{StoreError, Tx};

/// Whether the alert is a sign that its server hangs now: not one that ended, nor a late notice of it.
fn fires(alert: &Alert, decided: &Decided) -> bool {
    alert.status == AlertStatus::Firing && decided.reason != Some(Reason::Resolved)
}

/// The storm that an alert shows and that is not open yet: by the number of servers, or because its sender left some
/// out.
pub(super) fn storm_shown(
    question: &Question<'_>,
    policy: &Policy,
    rules: &Rules,
    facts: &Facts,
    server: Option<&Server>,
    decided: &Decided,
) -> Option<Trip> {
    let stops = decided.trace.0.iter().any(|c| c.guard == Reason::Storm && c.verdict == Verdict::Stop);
    if facts.storm.open.is_some() || !stops || !fires(question.alert, decided) {
        return None;
    }
    // A person who replays tells nothing new about what was left out then.
    if question.truncated && question.origin == Origin::Source {
        return Some(Trip::truncated(&policy.name, server));
    }
    storm::trip(rules, &facts.storm, server?, &policy.name)
}

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
        tx.note_sighting(region, &Sighting::of(server, policy), told.received_at).await?;
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
