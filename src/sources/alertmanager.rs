//! Alertmanager: webhook payload version 4, from 0.25 to 0.34.
//!
//! Never: takes the envelope's `status` for an alert's, or `groupKey` for a delivery id.

use jiff::Timestamp;

use super::skeleton::{self, Dialect};
use super::{ParseLimits, Unreadable, grafana};
use crate::domain::alert::Envelope;

/// Grafana can hand its alerts to an Alertmanager, so its no-data alerts are known here as well.
const DIALECT: Dialect = Dialect {
    version: "4",
    advice: "send Alertmanager's default webhook body (no custom `payload`), or set the source's kind to its sender",
    unmeasured: grafana::unmeasured,
    keyless: true,
};

/// Reads a delivery. Alertmanager signs nothing and gives no time of sending: `sender_time` comes from a
/// signing proxy, if there is one. `notification_reason` (0.32) and `routeLabels` (0.34) are not needed.
pub(super) fn parse(
    text: &str,
    limits: &ParseLimits,
    sender_time: Option<Timestamp>,
) -> Result<Envelope, Unreadable> {
    skeleton::parse(text, &DIALECT, limits, sender_time)
}

#[cfg(test)]
#[path = "alertmanager_tests.rs"]
mod tests;
