//! Testing: what the tests of all dialects share.
//!
//! Never: compiled into the product.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{ParseLimits, parse};
use crate::config::{CredentialConfig, SourceConfig, SourceKind};
use crate::domain::alert::{Alert, Envelope, Parsed};
use crate::domain::guest::Binding;
use crate::domain::policy::Trust;

pub(super) const LIMITS: ParseLimits =
    ParseLimits { alerts_max: 2_000, label_bytes_max: 4_096, labels_max: 64 };

pub(super) fn source(kind: SourceKind) -> SourceConfig {
    SourceConfig {
        name: "test".to_owned(),
        kind,
        trust: Trust::Propose,
        auth: vec![CredentialConfig::Bearer { secret: secrecy::SecretString::from("unused".to_owned()) }],
        allow_from: Vec::new(),
        firing_values: vec!["ALARM".to_owned()],
        resolved_values: vec!["RESOLVE".to_owned()],
        heartbeat: None,
        speaks_for: Binding::default(),
    }
}

pub(super) fn received_at() -> Timestamp {
    signed_at() + SignedDuration::from_secs(2)
}

pub(super) fn signed_at() -> Timestamp {
    "2026-10-30T09:31:00Z".parse().unwrap()
}

pub(super) fn read(kind: SourceKind, body: impl AsRef<[u8]>) -> Result<Envelope, super::Unreadable> {
    let sender_time = matches!(kind, SourceKind::Grafana).then(signed_at);
    parse(&source(kind), &LIMITS, body.as_ref(), sender_time, received_at())
}

/// The only alert of a readable delivery.
#[track_caller]
pub(super) fn only(kind: SourceKind, body: impl AsRef<[u8]>) -> Alert {
    let envelope = read(kind, body).unwrap();
    match envelope.alerts.as_slice() {
        [Parsed::Alert(alert)] => (**alert).clone(),
        other => panic!("expected one alert: {other:?}"),
    }
}

/// One line per alert, or the status and text of the refusal.
pub(super) fn told(kind: SourceKind, body: impl AsRef<[u8]>) -> String {
    let envelope = match read(kind, body) {
        Ok(envelope) => envelope,
        Err(error) => return format!("{} {error}", error.http_status()),
    };
    let time = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), |time| time.to_string());
    let mut lines: Vec<String> = Vec::new();
    for parsed in &envelope.alerts {
        lines.push(match parsed {
            Parsed::Alert(alert) => format!(
                "{} {} {} {} to {}{}",
                alert.status.as_str(),
                alert.name,
                alert.labels.get("server_instance_no").map_or("-", String::as_str),
                time(alert.starts_at),
                time(alert.ends_at),
                alert.never_actionable.as_ref().map(|why| format!(" never: {why}")).unwrap_or_default(),
            ),
            Parsed::Quarantined { fingerprint, why } => {
                format!("quarantined {} {why}", fingerprint.as_deref().unwrap_or("-"))
            }
        });
    }
    if envelope.truncated > 0 {
        lines.push(format!("truncated {}", envelope.truncated));
    }
    lines.join("\n")
}

#[track_caller]
pub(super) fn check(kind: SourceKind, body: impl AsRef<[u8]>, expected: &str) {
    let told = told(kind, body);
    assert!(told.contains(expected), "expected {expected:?}\n     got {told:?}");
}

/// A sample with one place changed, as `/alerts/0/status`; `None` removes it.
pub(super) fn changed(sample: &str, place: &str, value: Option<Value>) -> String {
    let mut body: Value = serde_json::from_str(sample).unwrap();
    let (parent, key) = place.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(key.to_owned(), value),
        None => parent.remove(key),
    };
    body.to_string()
}
