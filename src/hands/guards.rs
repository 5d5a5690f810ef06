//! What people say of storms, breakers and policies: cleared, reset, demoted, promoted.
//!
//! Never: without a person and a reason.

use std::sync::Arc;

use serde_json::json;

use super::{Hand, Refusal};
use crate::domain::audit::{Actor, AuditEvent};
use crate::moves::demote;
use crate::service::Service;

/// What a person says of one policy.
struct Said {
    policy: String,
    person: String,
    reason: String,
}

impl Said {
    fn of(policy: &str, person: &str, reason: &str) -> Arc<Self> {
        Arc::new(Self { policy: policy.to_owned(), person: person.to_owned(), reason: reason.to_owned() })
    }

    fn event(&self, kind: &str, now: jiff::Timestamp) -> AuditEvent {
        let mut event = AuditEvent::new(now, kind, Actor::person(&self.person))
            .with_detail(&json!({ "reason": self.reason }));
        event.policy = Some(self.policy.clone());
        event
    }
}

fn is_configured(service: &Service, policy: &str) -> bool {
    service.config().rules.policies.iter().any(|one| one.name == policy)
}

/// Clears a storm: what was seen until now does not count again.
pub async fn clear_storm(service: &Service, id: i64, person: &str, reason: &str) -> Hand<()> {
    let now = service.clock.now();
    let job = Arc::new((person.to_owned(), reason.to_owned()));
    let done = service
        .store
        .write(move |tx| {
            let job = Arc::clone(&job);
            Box::pin(async move {
                let Some(region) = tx.clear_storm(id, &job.0, &job.1, now).await? else {
                    return Ok(Err(Refusal::NotFound));
                };
                let mut event = AuditEvent::new(now, "storm_cleared", Actor::person(&job.0))
                    .with_detail(&json!({ "id": id, "reason": job.1 }));
                event.region_code = Some(region);
                tx.append(&event).await?;
                Ok(Ok(()))
            })
        })
        .await?;
    service.work.notify_one();
    Ok(done)
}

/// Resets the breaker of a policy: attempts until now do not count for it.
pub async fn reset_breaker(service: &Service, policy: &str, person: &str, reason: &str) -> Hand<()> {
    if !is_configured(service, policy) {
        return Ok(Err(Refusal::NotFound));
    }
    let (said, now) = (Said::of(policy, person, reason), service.clock.now());
    let done = service
        .store
        .write(move |tx| {
            let said = Arc::clone(&said);
            Box::pin(async move {
                tx.reset_breaker(&said.policy, &said.person, &said.reason, now).await?;
                tx.append(&said.event("breaker_reset", now)).await?;
                Ok(Ok(()))
            })
        })
        .await?;
    service.work.notify_one();
    Ok(done)
}

/// Reports that a policy named a wrong server; it asks a person from now on. False when it did so already.
pub async fn demote_policy(service: &Service, policy: &str, person: &str, reason: &str) -> Hand<bool> {
    if !is_configured(service, policy) {
        return Ok(Err(Refusal::NotFound));
    }
    let (said, now) = (Said::of(policy, person, reason), service.clock.now());
    service
        .store
        .write(move |tx| {
            let said = Arc::clone(&said);
            Box::pin(async move {
                tx.report_target(&said.policy, &said.person, &said.reason, now).await?;
                tx.append(&said.event("target_reported", now)).await?;
                let why = format!("{} reported a wrong target: {}", said.person, said.reason);
                let newly = demote(tx, &said.policy, &why, Actor::person(&said.person), now).await?;
                Ok(Ok(newly))
            })
        })
        .await
}

/// Takes the demotion of a policy back.
pub async fn promote_policy(service: &Service, policy: &str, person: &str, reason: &str) -> Hand<()> {
    if !is_configured(service, policy) {
        return Ok(Err(Refusal::NotFound));
    }
    let (said, now) = (Said::of(policy, person, reason), service.clock.now());
    service
        .store
        .write(move |tx| {
            let said = Arc::clone(&said);
            Box::pin(async move {
                if !tx.promote_policy(&said.policy, &said.person, &said.reason, now).await? {
                    let why = format!(
                        "policy {} is not demoted; its mode in the configuration is what it may do",
                        said.policy
                    );
                    return Ok(Err(Refusal::Policy { why }));
                }
                tx.append(&said.event("policy_promoted", now)).await?;
                Ok(Ok(()))
            })
        })
        .await
}
