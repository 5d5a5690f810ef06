//! Alerts: what monitoring claims. A source turns verified bytes into these values.
//!
//! Never: knows which sender spoke a dialect; that is `crate::sources`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The name under which orders by people stand where a source's name is wanted. No source may have it.
pub const BY_HAND: &str = "by-hand";

/// What stands for text that could not be decoded, and before a label's value that was no text.
pub const UNREADABLE: char = char::REPLACEMENT_CHARACTER;

/// Label set of an alert, in name order.
pub type Labels = BTreeMap<String, String>;

/// What the sender says of the alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
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

/// A fingerprint of our own: the first 16 hex characters of the SHA-256 over the parts, each after its length.
pub fn fingerprint_of<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(format!("{}:", part.len()));
        hash.update(part);
    }
    let mut text = hex::encode(hash.finalize());
    text.truncate(16);
    text
}

/// The fingerprint of an alert that brings none.
pub fn fingerprint_of_labels(labels: &Labels) -> String {
    fingerprint_of(labels.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]))
}

impl Alert {
    /// Whether the sender gave no fingerprint, so that nothing but its labels names the alert.
    pub fn is_named_by_its_labels(&self) -> bool {
        self.fingerprint == fingerprint_of_labels(&self.labels)
    }

    /// Whether a label holds what nobody may decide by: a control character, or what could not be decoded.
    pub fn is_unsound(&self, label: &str) -> bool {
        let odd = |c: char| c.is_control() || c == UNREADABLE;
        self.labels.get(label).is_some_and(|value| value.contains(odd))
    }

    /// Which of two alerts of one delivery is decided first: an end before every firing notice, then what began first. It
    /// is told by what they say alone, and so is the same however the sender ordered them.
    pub fn decided_before(&self, other: &Self) -> std::cmp::Ordering {
        let place =
            |alert: &Self| (alert.status == AlertStatus::Firing, alert.starts_at.is_none(), alert.starts_at);
        place(self).cmp(&place(other)).then_with(|| self.cmp(other))
    }
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

    /// The alerts that it says are over.
    pub fn ended(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.iter().filter_map(|parsed| match parsed {
            Parsed::Alert(alert) if alert.status == AlertStatus::Resolved => Some(alert.as_ref()),
            Parsed::Alert(_) | Parsed::Quarantined { .. } => None,
        })
    }

    /// The places of the alerts in the order in which they are decided; those that could not be read come last.
    pub fn in_order(&self) -> Vec<usize> {
        let mut order: Vec<(usize, &Parsed)> = self.alerts.iter().enumerate().collect();
        order.sort_by(|(_, one), (_, other)| match (one, other) {
            (Parsed::Alert(one), Parsed::Alert(other)) => one.decided_before(other),
            (Parsed::Alert(_), Parsed::Quarantined { .. }) => std::cmp::Ordering::Less,
            (Parsed::Quarantined { .. }, Parsed::Alert(_)) => std::cmp::Ordering::Greater,
            (Parsed::Quarantined { .. }, Parsed::Quarantined { .. }) => std::cmp::Ordering::Equal,
        });
        order.into_iter().map(|(place, _)| place).collect()
    }

    /// A body with a resolved alert is never deduplicated: applying it twice is harmless, losing it is not.
    pub fn holds_resolved(&self) -> bool {
        self.ended().next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::alert;
    use super::*;

    #[test]
    fn words_read_back() {
        for (status, word) in [(AlertStatus::Firing, "firing"), (AlertStatus::Resolved, "resolved")] {
            assert_eq!((status.as_str(), AlertStatus::parse(word)), (word, Some(status)));
        }
        assert_eq!(AlertStatus::parse("over"), None);
    }

    fn any_alert() -> impl Strategy<Value = Parsed> {
        let time = proptest::option::of(0..3_i64).prop_map(|second| second.map(super::super::testing::at));
        (0..3_usize, any::<bool>(), time, 0..2_usize).prop_map(|(print, fires, starts_at, note)| {
            let status = if fires { AlertStatus::Firing } else { AlertStatus::Resolved };
            let mut one = Alert { fingerprint: format!("f{print}"), status, starts_at, ..alert() };
            one.labels.insert("note".to_owned(), note.to_string());
            Parsed::Alert(Box::new(one))
        })
    }

    proptest! {
        /// Law 55: what is decided first is told by the alerts, and not by where they stand.
        #[test]
        fn the_order_of_a_body_changes_nothing(
            (alerts, mixed) in proptest::collection::vec(any_alert(), 0..8)
                .prop_flat_map(|alerts| (Just(alerts.clone()), Just(alerts).prop_shuffle()))
        ) {
            let decided = |alerts: Vec<Parsed>| {
                let envelope = Envelope { alerts, truncated: 0 };
                envelope.in_order().into_iter().map(|at| envelope.alerts[at].clone()).collect::<Vec<_>>()
            };
            let order = decided(alerts);
            let ends = order.iter().take_while(|one| matches!(one, Parsed::Alert(one) if one.status == AlertStatus::Resolved));
            let ended = Envelope { alerts: order.clone(), truncated: 0 }.ended().count();
            prop_assert_eq!(ends.count(), ended);
            prop_assert_eq!(order, decided(mixed));
        }
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
