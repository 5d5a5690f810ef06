//! Grafana Alerting: the default body of the webhook contact point, version 1.
//!
//! Never: lets an alert act that says only that Grafana could not measure.

use jiff::Timestamp;

use serde_json::value::RawValue;

use super::skeleton::{self, Dialect};
use super::wire::{self, Fields};
use super::{ParseLimits, Unreadable};
use crate::domain::alert::{Envelope, Labels};

const DIALECT: Dialect = Dialect {
    version: "1",
    advice: "send Grafana's default webhook body (no custom payload), or set the source's kind to its sender",
    unmeasured,
    keyless: false,
};
const REASON: &str = "grafana_state_reason";

/// Reads a delivery. `sender_time` is the time under Grafana's signature. `orgId`, `title`, `state`, `message`,
/// `values`, `ruleUID`, `enrichments` and the URLs are for people and are not read.
pub(super) fn parse(
    text: &str,
    limits: &ParseLimits,
    sender_time: Option<Timestamp>,
) -> Result<Envelope, Unreadable> {
    skeleton::parse(text, &DIALECT, limits, sender_time)
}

/// Why Grafana's alert says nothing of the machine: no data, a failed query, or a contact-point test.
/// Any reason holding `NoData` or `Error` counts, such as `NoData, KeepLast`.
pub(super) fn unmeasured(labels: &Labels, annotations: Option<&RawValue>) -> Option<String> {
    let name = labels.get("alertname").map_or("", String::as_str);
    match name {
        "DatasourceNoData" => return Some("Grafana had no data: the rule measured nothing".to_owned()),
        "DatasourceError" => return Some("Grafana's query failed: the rule measured nothing".to_owned()),
        "TestAlert" => return Some("a test of the Grafana contact point".to_owned()),
        _ => {}
    }
    let noted = annotations.map_or_else(Vec::new, |raw| reasons_in(raw.get()));
    let reason = labels.get(REASON).map(String::as_str).into_iter().chain(noted).find(|reason| {
        let reason = reason.to_ascii_lowercase();
        reason.contains("nodata") || reason.contains("error")
    })?;
    Some(format!("Grafana fired for the reason {}: the rule measured nothing", wire::clean(reason)))
}

/// The state reasons among the annotations. Of all annotations these alone decide anything, so the others are not read.
fn reasons_in(annotations: &str) -> Vec<&str> {
    // A name may be written with escapes.
    if !annotations.contains(REASON) && !annotations.contains("\\u") {
        return Vec::new();
    }
    let Fields(fields) = serde_json::from_str(annotations).unwrap_or(Fields(Vec::new()));
    let told = fields.into_iter().filter(|(name, _)| name == REASON);
    told.map(|(_, raw)| raw.get().trim_matches('"')).collect()
}

#[cfg(test)]
#[path = "grafana_tests.rs"]
mod tests;
