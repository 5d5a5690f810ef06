//! Moving a remediation that already lives: its facts, its event, and the end of its incident, in one transaction.
//!
//! Never: moves anything without an audit event.

mod ladder;
mod storms;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

pub use ladder::demote;
pub use storms::{open_storm, open_storm_if_seen};

use crate::config::Config;
use crate::domain::alert::BY_HAND;
use crate::domain::audit::{Actor, AuditEvent};
use crate::domain::claim::Waiting;
use crate::domain::facts::{Facts, TargetFact};
use crate::domain::guard::{Check, Trace};
use crate::domain::ids::IncidentId;
use crate::domain::limits::{earlier, look_back};
use crate::domain::policy::Trust;
use crate::domain::remediation::Event;
use crate::domain::server::RegionCode;
use crate::domain::target::{Named, TargetName, target_name};
use crate::service::hold_file;
use crate::store::{FactSource, FactsWanted, GuardsWanted, Move, Remediation, StoreError, Tx};

/// Facts about a remediation that already lives.
pub async fn facts_for(
    from: &mut impl FactSource,
    remediation: &Remediation,
    config: &Config,
    now: Timestamp,
) -> Result<Facts, StoreError> {
    let waiting = &remediation.waiting;
    let target = target_now(from, waiting, config, now).await?;
    from.facts(FactsWanted {
        ends: Vec::new(),
        target,
        server: None,
        fingerprint: waiting.alert.fingerprint.clone(),
        trust: trust_now(config, &waiting.source),
        remediation: Some(remediation.id.clone()),
        starts_at: waiting.alert.starts_at,
        attempts_since: earlier(now, look_back(&config.rules)),
        now,
        hold_file: hold_file(&config.store.hold_file),
        guards: Some(GuardsWanted::new(&waiting.server.region, &waiting.policy, &config.rules, now)),
        heartbeats: config.heartbeats_of(&waiting.source, &waiting.policy),
    })
    .await
}

/// The server of a remediation, unless the inventory knows by now that its labels name another one, or different ones.
async fn target_now(
    from: &mut impl FactSource,
    waiting: &Waiting,
    config: &Config,
    now: Timestamp,
) -> Result<TargetFact, StoreError> {
    let ours = TargetFact::Found(Box::new(waiting.server.clone()));
    let policy = config.rules.policies.iter().find(|policy| policy.name == waiting.policy);
    let Some(policy) = policy.filter(|_| waiting.source != BY_HAND) else { return Ok(ours) };
    let Named::Target { name, others } = target_name(policy, &waiting.alert) else { return Ok(ours) };
    let (region, fresh_for) = (&waiting.server.region, config.inventory.fresh_for);
    let known = from.target(region, &name, now, fresh_for).await?;
    match &known {
        TargetFact::Found(found) if found.no != waiting.server.no => Ok(known),
        TargetFact::Ambiguous { .. } => Ok(known),
        TargetFact::Found(_)
        | TargetFact::Missing { .. }
        | TargetFact::Malformed { .. }
        | TargetFact::Pending
        | TargetFact::Unreadable { .. }
        | TargetFact::Unknown { .. }
        | TargetFact::RegionUnknown { .. }
        | TargetFact::Disagree { .. } => agreed(from, region, ours, &others, now, fresh_for).await,
    }
}

/// The server that was found, unless another label of the alert names another one, as far as the inventory knows.
pub async fn agreed(
    from: &mut impl FactSource,
    region: &RegionCode,
    fact: TargetFact,
    others: &[TargetName],
    now: Timestamp,
    fresh_for: SignedDuration,
) -> Result<TargetFact, StoreError> {
    let TargetFact::Found(server) = &fact else { return Ok(fact) };
    for other in others {
        let known = from.target(region, other, now, fresh_for).await?;
        if other.contradicts(server, &known) {
            return Ok(TargetFact::Disagree { seen: format!("server {}, and {other}", server.no) });
        }
    }
    Ok(fact)
}

/// How far a source is believed now. Orders by people have none and are believed.
fn trust_now(config: &Config, source: &str) -> Option<Trust> {
    if source == BY_HAND {
        return Some(Trust::Act);
    }
    config.sources.iter().find(|one| one.name == source).map(|one| one.trust)
}

/// An event about a remediation, with everything that finds it again.
pub fn event_about(remediation: &Remediation, kind: &str, actor: Actor, now: Timestamp) -> AuditEvent {
    let waiting = &remediation.waiting;
    let mut event = AuditEvent::new(now, kind, actor);
    event.trace_id = Some(remediation.trace_id.clone());
    event.delivery_id.clone_from(&remediation.delivery_id);
    event.incident_id = Some(remediation.incident_id.to_string());
    event.remediation_id = Some(remediation.id.to_string());
    event.server_instance_no = Some(waiting.server.no.to_string());
    event.region_code = Some(waiting.server.region.to_string());
    event.source = Some(waiting.source.clone());
    event.policy = Some(waiting.policy.clone());
    event
}

/// Moves a remediation and writes the event of it. False when somebody else moved it first.
pub async fn move_with_event(
    tx: &mut Tx,
    remediation: &Remediation,
    event: Event,
    with: &Move,
    actor: Actor,
    trace: Option<&Trace>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(state) = tx.move_remediation(remediation, event, with, now).await? else { return Ok(false) };
    let mut audit = event_about(remediation, "remediation_moved", actor, now).with_detail(&json!({
        "from": remediation.state, "to": state, "detail": with.detail, "until": with.until, "trace": trace,
        "configHash": with.config_hash, "vouched": with.vouched,
        "confirmedAt": with.vouched.then_some(now),
    }));
    audit.reason = with.reason.map(|reason| reason.as_str().to_owned());
    tx.append(&audit).await?;
    ladder::after_move(tx, remediation, state, now).await?;
    if state.is_terminal() {
        close_if_over(tx, &remediation.incident_id, now).await?;
    }
    Ok(true)
}

/// What a guard's no writes with the move that it causes.
pub fn move_for(check: &Check) -> Move {
    let detail = format!("{} (wanted: {})", check.seen, check.limit);
    Move { reason: Some(check.guard), until: check.until, detail, ..Move::default() }
}

/// Closes an incident in which nothing fires and nothing lives, with its event.
pub async fn close_if_over(tx: &mut Tx, incident: &IncidentId, now: Timestamp) -> Result<(), StoreError> {
    if tx.close_incident_if_over(incident, now).await? {
        let mut event = AuditEvent::new(now, "incident_closed", Actor::service("intake"));
        event.incident_id = Some(incident.to_string());
        tx.append(&event).await?;
    }
    Ok(())
}
