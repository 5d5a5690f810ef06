//! Watch: conditions that begin by nothing happening. A silent source and an open breaker get an event of the audit, once
//! each, and so does their end.
//!
//! Never: acts on them; the guards ask for themselves.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::config::{Config, SourceConfig};
use crate::domain::audit::{Actor, AuditEvent};
use crate::domain::breaker::{Breaker, bad_in_a_row, breaker};
use crate::service::Service;
use crate::store::StoreError;

const SILENT: [&str; 2] = ["source_silent", "source_heard_again"];
const BREAKER: [&str; 2] = ["breaker_opened", "breaker_closed"];

/// Looks once.
pub(super) async fn look(service: &Service) -> Result<(), StoreError> {
    let (config, now) = (service.config(), service.clock.now());
    for source in &config.sources {
        look_at_source(service, source, now).await?;
    }
    look_at_breakers(service, &config, now).await
}

async fn look_at_source(service: &Service, source: &SourceConfig, now: Timestamp) -> Result<(), StoreError> {
    let Some(heartbeat) = &source.heartbeat else { return Ok(()) };
    let last = service.store.last_heartbeat(&source.name).await?;
    let silent = is_silent(last, service.started_at, heartbeat.within, now);
    let told = service.store.newest_condition(SILENT, Some(&source.name), None).await?;
    let Some(kind) = to_tell(SILENT, told.as_deref(), silent) else { return Ok(()) };
    let mut event = AuditEvent::new(now, kind, Actor::service("outbox"))
        .with_detail(&json!({ "lastAt": last, "within": heartbeat.within }));
    event.source = Some(source.name.clone());
    append(service, event).await?;
    if silent {
        tracing::warn!(source = source.name, "a source gives no sign of life; what it tells is not acted on");
    } else {
        tracing::info!(source = source.name, "a source gives signs of life again");
    }
    Ok(())
}

/// Silence is counted from the start of the service at the earliest: before it nobody listened.
fn is_silent(last: Option<Timestamp>, started: Timestamp, within: SignedDuration, now: Timestamp) -> bool {
    let since = last.map_or(started, |last| last.max(started));
    now.duration_since(since) > within
}

/// The event that is missing, of the one that begins a condition and the one that ends it.
fn to_tell([begins, ends]: [&'static str; 2], told: Option<&str>, is: bool) -> Option<&'static str> {
    let was = told == Some(begins);
    match (was, is) {
        (false, true) => Some(begins),
        (true, false) => Some(ends),
        (true, true) | (false, false) => None,
    }
}

async fn look_at_breakers(service: &Service, config: &Config, now: Timestamp) -> Result<(), StoreError> {
    let rules = &config.rules.breaker;
    for policy in &config.rules.policies {
        let (tried, _reset) = service.store.breaker_of(&policy.name, rules.failures).await?;
        let open = match breaker(rules, &tried, now) {
            Breaker::Open { until } => Some(Some(until)),
            // Half-open is not over: the next bad attempt opens it again without a word.
            Breaker::HalfOpen { pending: _ } => Some(None),
            Breaker::Closed => None,
        };
        let told = service.store.newest_condition(BREAKER, None, Some(&policy.name)).await?;
        let Some(kind) = to_tell(BREAKER, told.as_deref(), open.is_some()) else { continue };
        let detail = match open {
            Some(until) => {
                json!({ "why": format!("{} bad attempts in a row", bad_in_a_row(&tried)), "openUntil": until })
            }
            None => Value::Object(serde_json::Map::new()),
        };
        let mut event = AuditEvent::new(now, kind, Actor::service("outbox")).with_detail(&detail);
        event.policy = Some(policy.name.clone());
        append(service, event).await?;
    }
    Ok(())
}

async fn append(service: &Service, event: AuditEvent) -> Result<(), StoreError> {
    service
        .store
        .write(move |tx| {
            let event = event.clone();
            Box::pin(async move { tx.append(&event).await.map(|_| ()) })
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn silence_is_counted_from_the_last_sign_or_the_start() {
        let within = SignedDuration::from_secs(60);
        for (last, started, now, silent) in [
            (Some(100), 0, 160, false),
            (Some(100), 0, 161, true),
            (None, 0, 60, false),
            (None, 0, 61, true),
            (Some(100), 1000, 1060, false),
            (Some(100), 1000, 1061, true),
            (Some(2000), 1000, 1061, false),
        ] {
            assert_eq!(
                is_silent(last.map(at), at(started), within, at(now)),
                silent,
                "{last:?} {started} {now}"
            );
        }
    }

    #[test]
    fn each_begin_and_each_end_is_told_once() {
        assert_eq!(to_tell(SILENT, None, false), None);
        assert_eq!(to_tell(SILENT, None, true), Some("source_silent"));
        assert_eq!(to_tell(SILENT, Some("source_silent"), true), None);
        assert_eq!(to_tell(SILENT, Some("source_silent"), false), Some("source_heard_again"));
        assert_eq!(to_tell(SILENT, Some("source_heard_again"), false), None);
        assert_eq!(to_tell(SILENT, Some("source_heard_again"), true), Some("source_silent"));
    }
}
