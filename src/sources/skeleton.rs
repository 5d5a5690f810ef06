//! Skeleton: the body that Alertmanager defined and Grafana took over, with only the fields that matter here.
//!
//! Never: requires a field that an older sender does not have, or minds one that a newer sender adds.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::wire::{self, OnceMap};
use super::{ParseLimits, Unreadable};
use crate::domain::alert::{Alert, AlertStatus, Envelope, Labels, Parsed};
use crate::domain::notice::OWN_LABEL;

/// What tells one sender of this skeleton from the other.
#[derive(Debug)]
pub(super) struct Dialect {
    /// `version` of its payload.
    pub(super) version: &'static str,
    /// What to do when the version differs.
    pub(super) advice: &'static str,
    /// Why an alert with these labels and annotations measured nothing.
    pub(super) unmeasured: fn(&Labels, &Labels) -> Option<String>,
}

/// Alerts stay raw here, so that each one is judged by itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    version: String,
    #[serde(default)]
    truncated_alerts: Option<u64>,
    #[serde(borrow)]
    alerts: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    status: String,
    labels: OnceMap<String>,
    #[serde(default)]
    annotations: Option<OnceMap<String>>,
    #[serde(default)]
    starts_at: Option<String>,
    #[serde(default)]
    ends_at: Option<String>,
    #[serde(default)]
    fingerprint: Option<String>,
}

/// All that is read of an alert that is otherwise unreadable.
#[derive(Deserialize)]
struct Identity {
    #[serde(default)]
    fingerprint: Option<String>,
}

/// Reads a delivery whose text was found sound.
pub(super) fn parse(
    text: &str,
    dialect: &Dialect,
    limits: &ParseLimits,
    sender_time: Option<Timestamp>,
) -> Result<Envelope, Unreadable> {
    let body: Body<'_> =
        wire::typed(text).map_err(|error| Unreadable::WrongShape(format!("{error}; {}", dialect.advice)))?;
    if body.version != dialect.version {
        let (version, advice) = (dialect.version, dialect.advice);
        return Err(Unreadable::WrongShape(format!("`version`: expected \"{version}\"; {advice}")));
    }
    if body.alerts.len() > limits.alerts_max {
        return Err(Unreadable::TooManyAlerts { count: body.alerts.len(), max: limits.alerts_max });
    }
    let judge = |raw: &&RawValue| match entry(raw.get(), dialect, limits, sender_time) {
        Ok(alert) => Parsed::Alert(Box::new(alert)),
        Err(why) => Parsed::Quarantined { fingerprint: identity(raw.get()), why },
    };
    Ok(Envelope {
        alerts: body.alerts.iter().map(judge).collect(),
        truncated: body.truncated_alerts.unwrap_or(0),
    })
}

fn entry(
    text: &str,
    dialect: &Dialect,
    limits: &ParseLimits,
    sender_time: Option<Timestamp>,
) -> Result<Alert, String> {
    let entry: Entry = wire::typed(text)?;
    let labels = entry.labels.0;
    wire::check_labels(&labels, limits)?;
    // Per alert: the envelope says "firing" as soon as one of its alerts fires.
    let status = AlertStatus::parse(&entry.status).ok_or_else(|| {
        "`status`: expected \"firing\" or \"resolved\"; send the default payload".to_owned()
    })?;
    // An end is applied whatever its times are: losing a cancel is worse than an imprecise one.
    let (starts_at, ends_at) = match status {
        AlertStatus::Firing => {
            readable_end(entry.ends_at.as_deref())?;
            (wire::time("startsAt", entry.starts_at.as_deref())?, None)
        }
        AlertStatus::Resolved => {
            let starts_at = wire::time("startsAt", entry.starts_at.as_deref()).ok().flatten();
            (starts_at, readable_end(entry.ends_at.as_deref()).ok().flatten())
        }
    };
    let fingerprint = wire::fingerprint(entry.fingerprint.as_deref())?.unwrap_or_else(|| {
        wire::fingerprint_of(labels.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]))
    });
    let name = labels.get("alertname").filter(|name| !name.is_empty());
    let own = labels.get(OWN_LABEL.0).is_some_and(|value| value == OWN_LABEL.1);
    let own = own.then(|| "an alert of unhang itself that came back".to_owned());
    let never_actionable =
        own.or_else(|| (dialect.unmeasured)(&labels, &entry.annotations.unwrap_or_default().0));
    Ok(Alert {
        fingerprint,
        status,
        name: name.map_or_else(|| "(unnamed)".to_owned(), String::clone),
        starts_at,
        ends_at,
        sender_time,
        never_actionable,
        labels,
    })
}

/// An end on the last two days of the year 9999 is some senders' "never", and beyond what can be stored.
fn readable_end(raw: Option<&str>) -> Result<Option<Timestamp>, String> {
    let never = |raw: &&str| raw.starts_with("9999-12-30") || raw.starts_with("9999-12-31");
    wire::time("endsAt", raw.filter(|raw| !never(raw)))
}

fn identity(text: &str) -> Option<String> {
    let identity: Identity = wire::typed(text).ok()?;
    wire::fingerprint(identity.fingerprint.as_deref()).ok()?
}
