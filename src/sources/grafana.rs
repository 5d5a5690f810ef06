//! Grafana Alerting: the default body of the webhook contact point, version 1.
//!
//! Never: lets an alert act that says only that Grafana could not measure.

use jiff::Timestamp;

use super::skeleton::{self, Dialect};
use super::{ParseLimits, Unreadable, wire};
use crate::domain::alert::{Envelope, Labels};

const DIALECT: Dialect = Dialect {
    version: "1",
    advice: "send Grafana's default webhook body (no custom payload), or set the source's kind to its sender",
    unmeasured,
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
pub(super) fn unmeasured(labels: &Labels, annotations: &Labels) -> Option<String> {
    let name = labels.get("alertname").map_or("", String::as_str);
    match name {
        "DatasourceNoData" => return Some("Grafana had no data: the rule measured nothing".to_owned()),
        "DatasourceError" => return Some("Grafana's query failed: the rule measured nothing".to_owned()),
        "TestAlert" => return Some("a test of the Grafana contact point".to_owned()),
        _ => {}
    }
    let reasons = [labels.get(REASON), annotations.get(REASON)];
    let reason = reasons.into_iter().flatten().find(|reason| {
        let reason = reason.to_ascii_lowercase();
        reason.contains("nodata") || reason.contains("error")
    })?;
    Some(format!("Grafana fired for the reason {}: the rule measured nothing", wire::clean(reason)))
}

#[cfg(test)]
#[path = "grafana_tests.rs"]
mod tests;
