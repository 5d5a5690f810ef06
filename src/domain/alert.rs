//! Alerts: what monitoring claims. A source turns verified bytes into these values.
//!
//! Never: knows which sender spoke a dialect; that is `crate::sources`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The name under which orders by people stand where a source's name is wanted. No source may have it.
pub const BY_HAND: &str = "by-hand";

/// Label set of an alert, in name order.
pub type Labels = BTreeMap<String, String>;

/// What the sender says of the alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertStatus {
    /// The condition holds.
    Firing,
    /// The condition ended. Cancels before the intent; never proves health.
    Resolved,
}

impl AlertStatus {
    /// The word used in JSON and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }

    /// Reads the word used in the store.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "firing" => Some(Self::Firing),
            "resolved" => Some(Self::Resolved),
            _ => None,
        }
    }
}

/// One alert of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// The sender's hash of the labels: an alert's identity, never a machine's.
    pub fingerprint: String,
    /// Firing or resolved.
    pub status: AlertStatus,
    /// The rule's name (`alertname`), for people.
    pub name: String,
    /// Labels that policies match on.
    pub labels: Labels,
    /// When the sender says it began.
    pub starts_at: Option<Timestamp>,
    /// When the sender says it ended; `None` while firing.
    pub ends_at: Option<Timestamp>,
    /// The sender's own signed or event time for this notice, where it gives one. Never `starts_at`.
    pub sender_time: Option<Timestamp>,
    /// Why this alert may never act, whatever the policies say (a no-data alert, a contact-point test).
    pub never_actionable: Option<String>,
}

/// One entry of a delivery: an alert, or what was wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parsed {
    /// A readable alert.
    Alert(Box<Alert>),
    /// An unreadable one: recorded with its reason; the others go on.
    Quarantined {
        /// The sender's fingerprint where it could be read.
        fingerprint: Option<String>,
        /// Which field, what was expected, what to do.
        why: String,
    },
}

/// All that one delivery said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// Alerts in the order of the body.
    pub alerts: Vec<Parsed>,
    /// Alerts that the sender left out (`truncatedAlerts`). Above zero nothing of this delivery acts:
    /// a group too big to tell is a sign of a storm.
    pub truncated: u64,
}

impl Envelope {
    /// Whether there are alerts, and each could be read.
    #[must_use]
    pub fn all_read(&self) -> bool {
        !self.alerts.is_empty() && self.alerts.iter().all(|parsed| matches!(parsed, Parsed::Alert(_)))
    }

    /// A body with a resolved alert is never deduplicated: applying it twice is harmless, losing it is not.
    pub fn holds_resolved(&self) -> bool {
        self.alerts.iter().any(|parsed| match parsed {
            Parsed::Alert(alert) => alert.status == AlertStatus::Resolved,
            Parsed::Quarantined { .. } => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::alert;
    use super::*;

    #[test]
    fn words_read_back() {
        for (status, word) in [(AlertStatus::Firing, "firing"), (AlertStatus::Resolved, "resolved")] {
            assert_eq!((status.as_str(), AlertStatus::parse(word)), (word, Some(status)));
        }
        assert_eq!(AlertStatus::parse("over"), None);
    }

    #[test]
    fn a_body_with_an_end_is_known_wherever_it_stands() {
        let resolved = Alert { status: AlertStatus::Resolved, ..alert() };
        let body = |alerts: Vec<Alert>| {
            let alerts = alerts.into_iter().map(|alert| Parsed::Alert(Box::new(alert))).collect();
            Envelope { alerts, truncated: 0 }.holds_resolved()
        };
        assert!(!body(Vec::new()) && !body(vec![alert(), alert()]));
        assert!(body(vec![resolved.clone()]) && body(vec![alert(), resolved]));
    }
}
