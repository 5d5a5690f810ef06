//! Skeleton: the body that Alertmanager defined and Grafana took over, with only the fields that matter here.
//!
//! Never: requires a field that an older sender does not have, or minds one that a newer sender adds.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::wire::{self, Fields, LabelSet, LabelText};
use super::{ParseLimits, Unreadable};
use crate::domain::alert::{Alert, AlertStatus, Envelope, Labels, Parsed, fingerprint_of_labels};
use crate::domain::notice::OWN_LABEL;

/// What tells one sender of this skeleton from the other.
#[derive(Debug)]
pub(super) struct Dialect {
    /// `version` of its payload.
    pub(super) version: &'static str,
    /// What to do when the version differs.
    pub(super) advice: &'static str,
    /// Why an alert with these labels, and these annotations as they came, measured nothing.
    pub(super) unmeasured: fn(&Labels, Option<&RawValue>) -> Option<String>,
    /// A delivery without a group key is believed: older senders, bridges and hands leave it out.
    pub(super) keyless: bool,
}

/// Why a delivery that did not come from a group of alerts never acts.
const TEST: &str =
    "a test of the contact point: real alerts come with the key of their group, {matchers}:{labels}";

/// Alerts stay raw here, so that each one is judged by itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    version: String,
    #[serde(default)]
    truncated_alerts: Option<u64>,
    #[serde(default, borrow)]
    group_key: Option<&'a RawValue>,
    #[serde(borrow)]
    alerts: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    status: String,
    labels: LabelSet,
    #[serde(default, borrow)]
    annotations: Option<&'a RawValue>,
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
    let is_test = body.group_key.map_or(!dialect.keyless, |key| !is_key_of_a_group(key.get()));
    let judge = |raw: &&RawValue| match entry(raw.get(), dialect, limits, sender_time) {
        Ok(alert) if is_test => {
            Parsed::Alert(Box::new(Alert { never_actionable: Some(TEST.to_owned()), ..alert }))
        }
        Ok(alert) => Parsed::Alert(Box::new(alert)),
        Err(why) => match end(raw.get(), limits, sender_time) {
            Some(end) => Parsed::Alert(Box::new(end)),
            None => Parsed::Quarantined { fingerprint: identity(raw.get()), why },
        },
    };
    Ok(Envelope {
        alerts: body.alerts.iter().map(judge).collect(),
        truncated: body.truncated_alerts.unwrap_or(0),
    })
}

/// The key of a real group is made of its route and its labels, `{}/{team="a"}:{alertname="b"}`. A test has none: Grafana
/// writes the labels and the time, `{alertname="b"}2026-10-30 …`, or in newer versions `webhook-57c6d9296de2ad39-1793352610`.
fn is_key_of_a_group(raw: &str) -> bool {
    raw.starts_with("\"{") && raw.ends_with("}\"") && raw.contains("}:{")
}

/// The ends in a body that is otherwise unreadable, no more than one delivery may hold.
pub(super) fn ends(text: &str, limits: &ParseLimits, sender_time: Option<Timestamp>) -> Vec<Parsed> {
    let mut ends = Vec::new();
    wire::objects(text, |object| {
        let end = end(object, limits, sender_time).filter(|_| ends.len() < limits.alerts_max);
        let taken = end.is_some();
        ends.extend(end.map(|end| Parsed::Alert(Box::new(end))));
        taken
    });
    ends
}

/// An alert that says only that it is over, whatever else is wrong with it: its fingerprint names it, else its labels.
fn end(text: &str, limits: &ParseLimits, sender_time: Option<Timestamp>) -> Option<Alert> {
    let Fields(fields) = serde_json::from_str(text).ok()?;
    let all =
        |name: &'static str| fields.iter().filter(move |(field, _)| field == name).map(|(_, raw)| raw.get());
    let word = |raw: &str| serde_json::from_str::<String>(raw).ok();
    let mut statuses = all("status").map(|raw| word(raw).and_then(|word| AlertStatus::parse(&word)));
    let resolved = statuses.next()? == Some(AlertStatus::Resolved);
    if !resolved || statuses.any(|status| status != Some(AlertStatus::Resolved)) {
        return None;
    }
    let mut labels = Labels::new();
    for set in all("labels").filter_map(|raw| serde_json::from_str::<Fields<'_>>(raw).ok()) {
        for (name, raw) in set.0 {
            if let Ok(LabelText(value)) = serde_json::from_str(raw.get()) {
                labels.entry(name).or_insert(value);
            }
        }
    }
    wire::keep_within(&mut labels, limits);
    let given = all("fingerprint").find_map(|raw| wire::fingerprint(word(raw).as_deref()).ok().flatten());
    if given.is_none() && labels.is_empty() {
        return None;
    }
    let time = |name| all(name).find_map(|raw| readable_end(word(raw).as_deref()).ok().flatten());
    Some(Alert {
        fingerprint: given.unwrap_or_else(|| fingerprint_of_labels(&labels)),
        status: AlertStatus::Resolved,
        name: name_in(&labels),
        starts_at: time("startsAt"),
        ends_at: time("endsAt"),
        sender_time,
        never_actionable: None,
        labels,
    })
}

/// The rule's name, fit for a message.
fn name_in(labels: &Labels) -> String {
    match labels.get("alertname").filter(|name| !name.is_empty()) {
        Some(name) if name.contains(char::is_control) => wire::clean(name),
        Some(name) => name.clone(),
        None => "(unnamed)".to_owned(),
    }
}

fn entry(
    text: &str,
    dialect: &Dialect,
    limits: &ParseLimits,
    sender_time: Option<Timestamp>,
) -> Result<Alert, String> {
    let entry: Entry<'_> = wire::typed(text)?;
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
    let fingerprint =
        wire::fingerprint(entry.fingerprint.as_deref())?.unwrap_or_else(|| fingerprint_of_labels(&labels));
    let own = labels.get(OWN_LABEL.0).is_some_and(|value| value == OWN_LABEL.1);
    let own = own.then(|| "an alert of unhang itself that came back".to_owned());
    let never_actionable = own.or_else(|| (dialect.unmeasured)(&labels, entry.annotations));
    Ok(Alert {
        fingerprint,
        status,
        name: name_in(&labels),
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
