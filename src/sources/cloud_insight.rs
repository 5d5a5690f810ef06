//! Cloud Insight: the outgoing webhook with our payload template, and the event that Cloud Functions is handed.
//!
//! Never: takes "not resolved" for firing, or the vendor's default sentence for an alert.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::offset;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::dimensions::{self, Dimensions};
use super::loose::{Loose, is_variable};
use super::{ParseLimits, Unreadable, wire};
use crate::config::SourceConfig;
use crate::domain::alert::{Alert, AlertStatus, Envelope, Labels, Parsed, fingerprint_of};

const TEMPLATE: &str = "set the integration's payload to config/cloud-insight/payload-template.json";
const TEST: &str = "Cloud Insight transfer test";
/// 2015 to 2099 in epoch milliseconds: seconds, or a number of another kind, fall outside.
const PLAUSIBLE_MS: std::ops::Range<i64> = 1_420_070_400_000..4_102_444_800_000;

/// Tells the bodies apart: ours has `payloadVersion`, an event of Cloud Functions `events`, the default `text`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(default)]
    payload_version: Option<Loose>,
    #[serde(default, borrow)]
    events: Option<&'a RawValue>,
    #[serde(default)]
    text: Option<Loose>,
}

/// Our template, filled in. Variables arrive as texts.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Notice<'a> {
    domain_code: Loose,
    region_code: Loose,
    product_key: Loose,
    product_name: Loose,
    resource_name: Loose,
    #[serde(borrow)]
    dimensions: Option<&'a RawValue>,
    rule_id: Loose,
    rule_name: Loose,
    data_time: Loose,
    level: Loose,
    metric: Loose,
    alarm_start_time: Loose,
    alarm_end_time: Loose,
    event_status: Loose,
}

/// An event as Cloud Functions is handed it, and as `SearchEvent` lists it.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Event<'a> {
    #[serde(borrow)]
    dimension: Option<&'a RawValue>,
    start_time: Loose,
    end_time: Loose,
    #[serde(rename = "eventLevel")]
    level: Loose,
    metric: Loose,
    prod_key: Loose,
    prod_name: Loose,
    resource_name: Loose,
    rule_id: Loose,
    rule_name: Loose,
    #[serde(borrow)]
    in_maintenance: Option<&'a RawValue>,
}

/// Reads a delivery. Cloud Insight cannot sign: a static header is all, so each call can be replayed, and
/// `dataTime` is what tells an old one.
pub(super) fn parse(
    source: &SourceConfig,
    limits: &ParseLimits,
    body: &[u8],
    sender_time: Option<Timestamp>,
    received_at: Timestamp,
) -> Result<Envelope, Unreadable> {
    let text = wire::object(body).map_err(hint_at_quotes)?;
    let text = text.as_ref();
    let shape: Body<'_> = wire::typed(text).map_err(|error| wrong_shape(&error))?;
    if let Some(version) = &shape.payload_version {
        if version.as_str() != "1" {
            return Err(wrong_shape("`payloadVersion`: expected \"1\""));
        }
        return Ok(one(notice(text, source, limits, sender_time, received_at)));
    }
    if let Some(events) = shape.events {
        return functions(events, limits, sender_time);
    }
    if shape.text.is_some() {
        let why = "`text`: this is Cloud Insight's default sentence, which names no server in a readable way";
        return Ok(one(Err(format!("{why}; {TEMPLATE}"))));
    }
    Err(wrong_shape("`payloadVersion`: expected \"1\", nothing was given"))
}

/// The ends in a body that is otherwise unreadable: events of a trigger, or a notice of ours in which what says that it
/// is over, and of what, is given once each.
pub(super) fn ends(
    text: &str,
    source: &SourceConfig,
    limits: &ParseLimits,
    sender_time: Option<Timestamp>,
    received_at: Timestamp,
) -> Vec<Parsed> {
    let is_end = |alert: &Alert| alert.status == AlertStatus::Resolved;
    let mut ends = Vec::new();
    wire::objects(text, |object| {
        let end = event(object, limits, sender_time).ok().filter(is_end);
        let end = end.filter(|_| ends.len() < limits.alerts_max);
        let taken = end.is_some();
        ends.extend(end.map(|end| Parsed::Alert(Box::new(end))));
        taken
    });
    let told =
        ["eventStatus", "ruleId", "metric", "dimensions"].map(|name| Some((name, only_value(text, name)?)));
    if let [Some(status), Some(rule), Some(metric), Some(dimensions)] = told {
        let fields = [status, rule, metric, dimensions].map(|(name, raw)| format!("\"{name}\":{raw}"));
        let mended = format!("{{{}}}", fields.join(","));
        let end = notice(&mended, source, limits, sender_time, received_at).ok().filter(is_end);
        ends.extend(end.map(|end| Parsed::Alert(Box::new(end))));
    }
    ends
}

/// The value of a field that a broken text gives once.
fn only_value<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let key = format!("\"{name}\"");
    let (_, after) = text.split_once(&key)?;
    let value = after.trim_start().strip_prefix(':').filter(|_| !after.contains(&key))?;
    let raw = serde_json::Deserializer::from_str(value).into_iter::<&RawValue>().next()?.ok()?;
    Some(raw.get())
}

fn wrong_shape(error: &str) -> Unreadable {
    Unreadable::WrongShape(format!("{error}; {TEMPLATE}"))
}

/// Whether the vendor escapes quotes when it fills variables in is UNCONFIRMED.
fn hint_at_quotes(error: Unreadable) -> Unreadable {
    match error {
        Unreadable::NotJson(text) => Unreadable::NotJson(format!(
            "{text}; a rule or resource name with a quote (\") or a backslash breaks the payload: rename it, and \
             {TEMPLATE}"
        )),
        Unreadable::WrongShape(_) | Unreadable::TooManyAlerts { .. } => error,
    }
}

fn one(alert: Result<Alert, String>) -> Envelope {
    Envelope { alerts: vec![judged(alert)], truncated: 0 }
}

fn judged(alert: Result<Alert, String>) -> Parsed {
    match alert {
        Ok(alert) => Parsed::Alert(Box::new(alert)),
        Err(why) => Parsed::Quarantined { fingerprint: None, why },
    }
}

fn notice(
    text: &str,
    source: &SourceConfig,
    limits: &ParseLimits,
    sender_time: Option<Timestamp>,
    received_at: Timestamp,
) -> Result<Alert, String> {
    let notice: Notice<'_> = wire::typed(text)?;
    if is_transfer_test(&notice) {
        return Ok(transfer_test(source, received_at));
    }
    let status = status(&notice.event_status, source)?;
    let (starts_at, ends_at, data_time) = match status {
        AlertStatus::Firing => (
            Some(event_time("alarmStartTime", &notice.alarm_start_time)?),
            None,
            Some(event_time("dataTime", &notice.data_time)?),
        ),
        // An end is applied whatever its times are: it only ever cancels.
        AlertStatus::Resolved => (
            event_time("alarmStartTime", &notice.alarm_start_time).ok(),
            event_time("alarmEndTime", &notice.alarm_end_time).ok(),
            event_time("dataTime", &notice.data_time).ok(),
        ),
    };
    let fields = Fields {
        rule_id: &notice.rule_id,
        rule_name: &notice.rule_name,
        metric: &notice.metric,
        dimensions: notice.dimensions,
        others: [
            ("resource_name", &notice.resource_name),
            ("region_code", &notice.region_code),
            ("level", &notice.level),
            ("product_key", &notice.product_key),
            ("product_name", &notice.product_name),
            ("domain_code", &notice.domain_code),
        ],
    };
    let mut alert = fields.alert(status, limits)?;
    alert.starts_at = starts_at;
    alert.ends_at = ends_at;
    alert.sender_time = data_time.or(sender_time);
    Ok(alert)
}

/// The console's [Data transfer test] fills nothing in (or blanks; UNCONFIRMED). Every real event has a rule, a start and a
/// time of its data, whatever words of one's own stand in the other fields of the payload.
fn is_transfer_test(notice: &Notice<'_>) -> bool {
    [&notice.rule_id, &notice.alarm_start_time, &notice.data_time].iter().all(|field| field.value().is_none())
}

fn transfer_test(source: &SourceConfig, received_at: Timestamp) -> Alert {
    Alert {
        fingerprint: fingerprint_of([TEST, source.name.as_str()]),
        status: AlertStatus::Firing,
        name: TEST.to_owned(),
        labels: Labels::from([("alertname".to_owned(), TEST.to_owned())]),
        starts_at: Some(received_at),
        ends_at: None,
        sender_time: None,
        never_actionable: Some(TEST.to_owned()),
    }
}

/// Exact texts only. The vendor does not say which exist; "not resolved" would make every unknown one fire.
fn status(field: &Loose, source: &SourceConfig) -> Result<AlertStatus, String> {
    let listed = |values: &[String]| values.iter().any(|value| value == field.as_str());
    let known = field.value().is_some();
    match (listed(&source.firing_values), listed(&source.resolved_values)) {
        (true, false) if known => Ok(AlertStatus::Firing),
        (false, true) if known => Ok(AlertStatus::Resolved),
        _ => Err(
            "`eventStatus`: expected one of the source's firing_values or resolved_values, and of one list only; if \
             the console shows another word for it, add that exact word to the configuration"
                .to_owned(),
        ),
    }
}

fn functions(
    raw: &RawValue,
    limits: &ParseLimits,
    sender_time: Option<Timestamp>,
) -> Result<Envelope, Unreadable> {
    let events: Vec<&RawValue> = if raw.get().starts_with('[') {
        serde_json::from_str(raw.get()).map_err(|error| wrong_shape(&format!("`events`: {error}")))?
    } else if raw.get().starts_with('{') {
        vec![raw]
    } else {
        return Err(wrong_shape("`events`: expected the event of a Cloud Functions trigger"));
    };
    if events.len() > limits.alerts_max {
        let (count, max) = (events.len(), limits.alerts_max);
        return Err(Unreadable::TooManyAlerts { count, max });
    }
    let judge = |raw: &&RawValue| judged(event(raw.get(), limits, sender_time));
    Ok(Envelope { alerts: events.iter().map(judge).collect(), truncated: 0 })
}

/// An open event has `endTime` 0. It carries no time of its own but its start, which is never a sender time.
fn event(text: &str, limits: &ParseLimits, sender_time: Option<Timestamp>) -> Result<Alert, String> {
    let event: Event<'_> = wire::typed(text)?;
    let (status, ends_at) = match event.end_time.value() {
        Some("0") => (AlertStatus::Firing, None),
        Some(_) => (AlertStatus::Resolved, Some(event_time("endTime", &event.end_time)?)),
        None => return Err("`endTime`: expected 0 for an open event, or epoch milliseconds".to_owned()),
    };
    let starts_at = match status {
        AlertStatus::Firing => Some(event_time("startTime", &event.start_time)?),
        AlertStatus::Resolved => event_time("startTime", &event.start_time).ok(),
    };
    let nothing = Loose::default();
    let fields = Fields {
        rule_id: &event.rule_id,
        rule_name: &event.rule_name,
        metric: &event.metric,
        dimensions: event.dimension,
        others: [
            ("resource_name", &event.resource_name),
            ("region_code", &nothing),
            ("level", &event.level),
            ("product_key", &event.prod_key),
            ("product_name", &event.prod_name),
            ("domain_code", &nothing),
        ],
    };
    let mut alert = fields.alert(status, limits)?;
    alert.starts_at = starts_at;
    alert.ends_at = ends_at;
    alert.sender_time = sender_time;
    let planned = event.in_maintenance.map_or("false", RawValue::get);
    if status == AlertStatus::Firing && planned != "false" {
        alert.never_actionable = Some("Cloud Insight counts this event as planned maintenance".to_owned());
    }
    Ok(alert)
}

/// The fields that both shapes share, under the label names that policies match on.
struct Fields<'a> {
    rule_id: &'a Loose,
    rule_name: &'a Loose,
    metric: &'a Loose,
    dimensions: Option<&'a RawValue>,
    others: [(&'static str, &'a Loose); 6],
}

impl Fields<'_> {
    fn alert(&self, status: AlertStatus, limits: &ParseLimits) -> Result<Alert, String> {
        let raw = self.dimensions.map_or("null", RawValue::get);
        let Dimensions { server_no, kind } = dimensions::read(raw)?;
        let rule_id = needed("ruleId", self.rule_id)?;
        let metric = needed("metric", self.metric)?;
        let name = self.rule_name.value().unwrap_or("(unnamed)");
        let mut labels = Labels::from([
            ("server_instance_no".to_owned(), server_no.as_str().to_owned()),
            ("rule_id".to_owned(), rule_id.to_owned()),
            ("metric".to_owned(), metric.to_owned()),
        ]);
        labels.extend(self.rule_name.value().map(|name| ("alertname".to_owned(), name.to_owned())));
        labels.extend(kind.map(|kind| ("dimension_type".to_owned(), kind)));
        let others = self.others.iter().filter_map(|(label, field)| Some((label, field.value()?)));
        labels.extend(others.map(|(label, value)| ((*label).to_owned(), value.to_owned())));
        match status {
            AlertStatus::Firing => wire::check_labels(&labels, limits)?,
            AlertStatus::Resolved => wire::keep_within(&mut labels, limits),
        }
        Ok(Alert {
            // Without the start: the end of an event must find what its begin opened.
            fingerprint: fingerprint_of([rule_id, server_no.as_str(), metric]),
            status,
            name: if name.contains(char::is_control) { wire::clean(name) } else { name.to_owned() },
            labels,
            starts_at: None,
            ends_at: None,
            sender_time: None,
            never_actionable: None,
        })
    }
}

fn needed<'a>(field: &str, value: &'a Loose) -> Result<&'a str, String> {
    value.value().ok_or_else(|| {
        let what = if is_variable(value.as_str()) { "its variable was not filled in" } else { "it is blank" };
        format!("`{field}`: {what}; {TEMPLATE}")
    })
}

/// Epoch milliseconds, or `yyyy-MM-dd HH:mm:ss` in Korean time. Should the vendor mean UTC by the latter, the
/// time is read nine hours too old: stale, which is the harmless side.
fn event_time(field: &str, value: &Loose) -> Result<Timestamp, String> {
    let text = needed(field, value)?;
    let known = if text.bytes().all(|b| b.is_ascii_digit()) {
        let ms: Option<i64> = text.parse().ok();
        ms.filter(|ms| PLAUSIBLE_MS.contains(ms)).and_then(|ms| Timestamp::from_millisecond(ms).ok())
    } else {
        let civil = DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok().filter(|_| text.len() == 19);
        civil.and_then(|civil| offset(9).to_timestamp(civil).ok())
    };
    known.ok_or_else(|| format!("`{field}`: expected epoch milliseconds as in 1793337600000; {TEMPLATE}"))
}

#[cfg(test)]
#[path = "cloud_insight_tests.rs"]
mod tests;
