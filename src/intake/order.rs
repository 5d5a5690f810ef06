//! Orders by hand: a person names a server and the policy whose limits hold.
//!
//! Never: a way around a guard.

use jiff::Timestamp;

use super::alerts::{Joined, KnownTarget, Told, answer_of, ask, event_of, join, trace_of};
use super::{AlertAnswer, sightings};
use crate::config::Config;
use crate::domain::alert::{Alert, AlertStatus, BY_HAND};
use crate::domain::decision::Decided;
use crate::domain::ids::{DeliveryId, TraceId};
use crate::domain::policy::{Policy, Trust};
use crate::domain::server::{RegionCode, ServerNo};
use crate::domain::target::TargetName;
use crate::store::{AlertDecision, FactSource, StoreError, Tx};

/// What a person orders by hand.
#[derive(Debug, Clone)]
pub struct Order {
    /// The server.
    pub server_no: ServerNo,
    /// Its region.
    pub region: RegionCode,
    /// The policy whose limits hold; naming it is the match that the laws ask for.
    pub policy: String,
    /// Why.
    pub reason: String,
    /// Who.
    pub person: String,
}

impl Order {
    /// The alert that stands for the order: it matches nothing by itself and carries the person's words.
    pub fn as_alert(&self, id: &DeliveryId) -> Alert {
        let labels = [
            ("alertname", "ordered by hand"),
            ("server_instance_no", self.server_no.as_str()),
            ("region_code", self.region.as_str()),
            ("ordered_by", self.person.as_str()),
        ];
        Alert {
            fingerprint: format!("by-hand-{id}"),
            status: AlertStatus::Firing,
            name: "ordered by hand".to_owned(),
            labels: labels.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            starts_at: None,
            ends_at: None,
            sender_time: None,
            never_actionable: None,
        }
    }
}

/// Decides an order by hand, and with `execute` makes the remediation. Every guard holds. The answer and the audit
/// event are written in the caller's transaction.
pub async fn order(
    tx: &mut Tx,
    order: &Order,
    policy: &Policy,
    execute: bool,
    config: &Config,
    trace_id: &TraceId,
    now: Timestamp,
) -> Result<(Decided, AlertAnswer), StoreError> {
    let id = DeliveryId::generate();
    let alert = order.as_alert(&id);
    let told = Told {
        delivery_id: &id,
        idx: 0,
        source: BY_HAND,
        trust: Trust::Act,
        received_at: now,
        truncated: false,
        ends: &[],
        trace_id: trace_id.as_str(),
        person: Some(&order.person),
        replay_of: None,
    };
    let name = TargetName::No(order.server_no.clone());
    let fact = tx.target(&order.region, &name, now, config.inventory.fresh_for).await?;
    let known = Some(KnownTarget { fact });
    let (decided, mut target) = ask(tx, &told, &alert, config, Some(policy), known, now).await?;
    target.no = Some(order.server_no.clone());
    target.region = Some(order.region.clone());
    if execute {
        sightings::note(tx, &told, &alert, &decided, &target, now).await?;
    }
    let joined = if execute && decided.decision.creates_remediation() {
        join(tx, &told, &alert, &decided, &target, config, now).await?
    } else {
        Joined::default()
    };
    let trace = trace_of(&decided)?;
    let row = AlertDecision {
        delivery_id: &id,
        idx: 0,
        source: told.source,
        fingerprint: None,
        alert: Some(&alert),
        received_at: now,
        server_no: Some(order.server_no.as_str()),
        region_code: Some(order.region.as_str()),
        decided: &decided,
        trace: &trace,
        config_hash: &config.hash,
        decided_at: now,
        incident_id: joined.incident.as_ref(),
        remediation_id: joined.remediation.as_ref(),
    };
    let answer = answer_of(&row);
    if execute {
        let mut event = event_of(&told, &row, &joined, None);
        "ordered_by_hand".clone_into(&mut event.kind);
        event.delivery_id = None;
        let event = event.with_detail(&serde_json::json!({
            "reason": order.reason, "detail": decided.detail, "trace": decided.trace, "configHash": config.hash,
            "fingerprint": alert.fingerprint, "noticedAt": joined.noticed_at, "policyHash": joined.policy_hash,
            "confirmedAt": joined.noticed_at,
            "remediationSeal": joined.remediation_seal,
        }));
        tx.append(&event).await?;
    }
    Ok((decided, answer))
}
