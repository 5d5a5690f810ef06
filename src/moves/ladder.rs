//! What a policy's attempts, reports and storms do to its standing.
//!
//! Never: promotes; that is a person's act.

use jiff::Timestamp;
use serde_json::json;

use crate::domain::audit::{Actor, AuditEvent};
use crate::domain::ladder;
use crate::domain::remediation::State;
use crate::store::{Remediation, StoreError, Tx};

/// Demotes a policy, with the event, unless it is demoted already.
pub async fn demote(
    tx: &mut Tx,
    policy: &str,
    why: &str,
    actor: Actor,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if !tx.demote_policy(policy, why, now).await? {
        return Ok(false);
    }
    let mut event = AuditEvent::new(now, "policy_demoted", actor).with_detail(&json!({ "why": why }));
    event.policy = Some(policy.to_owned());
    tx.append(&event).await?;
    tracing::error!(policy, why, "a policy was demoted: a person must approve until somebody promotes it");
    Ok(true)
}

/// Looks at a policy's record after one of its remediations has moved.
pub(super) async fn after_move(
    tx: &mut Tx,
    remediation: &Remediation,
    to: State,
    now: Timestamp,
) -> Result<(), StoreError> {
    let policy = &remediation.waiting.policy;
    let why = match to {
        State::Unknown => Some(format!("an attempt of remediation {} ended unknown", remediation.id)),
        State::Confirmed
        | State::Unconfirmed
        | State::Rejected
        | State::ClosedHappened
        | State::ClosedNotHappened => ladder::fallen(&tx.tried_since_promotion(policy).await?),
        State::Settling
        | State::AwaitingApproval
        | State::Queued
        | State::Intent
        | State::Accepted
        | State::NotSent
        | State::Cancelled
        | State::Expired => None,
    };
    if let Some(why) = why {
        demote(tx, policy, &why, Actor::service("ladder"), now).await?;
    }
    Ok(())
}
