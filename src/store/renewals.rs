//! Renewed notices: alerts that say again, soon after, what is recorded of them already. They lie with their delivery, in
//! one text, and the delivery's event tells of them; what they said first has a row and an event of its own.
//!
//! Never: for an alert that leads to anything, or of which any guard has changed its mind.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::domain::alert::AlertStatus;
use crate::domain::decision::Decision;
use crate::domain::guard::Reason;

use super::StoreError;
use super::db::Row;
use super::deliveries::AlertDecision;
use super::packed::Long as _;
use super::rows::{from_json, json, ms};
use super::writer::Tx;

/// An alert that goes on is recorded in full at least so often.
const RENEWED_FOR: SignedDuration = SignedDuration::from_hours(1);
/// Alerts that are remembered; beyond it all are forgotten, and each is recorded in full once more.
const ENTRIES_MAX: usize = 200_000;

/// An alert, by its source and fingerprint, or what was decided about it: the first half of a SHA-256.
type Mark = [u8; 16];

/// What was recorded in full, and when. It is not read from the store: what it does not know is recorded in full again.
#[derive(Debug, Default)]
pub(super) struct Recorded(BTreeMap<Mark, (Mark, i64)>);

impl Recorded {
    /// Whether this alert got the same answer from every guard not long ago. What is new is remembered.
    fn knows(&mut self, row: &AlertDecision<'_>, fingerprint: &str) -> bool {
        let (alert, said, now) = (alert_mark(row.source, fingerprint), said(row), ms(row.decided_at));
        if let Some((before, at)) = self.0.get(&alert)
            && *before == said
            && now.checked_sub(*at).is_some_and(|ago| (0..ms_of(RENEWED_FOR)).contains(&ago))
        {
            return true;
        }
        if self.0.len() >= ENTRIES_MAX {
            self.0.clear();
        }
        self.0.insert(alert, (said, now));
        false
    }

    /// The next notice of this alert is recorded in full.
    fn forget(&mut self, source: &str, fingerprint: &str) {
        self.0.remove(&alert_mark(source, fingerprint));
    }
}

fn ms_of(span: SignedDuration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn mark(parts: &mut dyn Iterator<Item = &str>) -> Mark {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        // No text of ours holds it.
        hasher.update([0xff]);
    }
    let mut half = Mark::default();
    for (to, from) in half.iter_mut().zip(hasher.finalize()) {
        *to = from;
    }
    half
}

fn alert_mark(source: &str, fingerprint: &str) -> Mark {
    mark(&mut [source, fingerprint].into_iter())
}

/// All that a decision says, but for the numbers that its guards saw.
fn said(row: &AlertDecision<'_>) -> Mark {
    let until = row.decided.until.map_or_else(String::new, |until| ms(until).to_string());
    let told = [
        row.server_no.unwrap_or(""),
        row.region_code.unwrap_or(""),
        row.config_hash,
        row.decided.policy.as_deref().unwrap_or(""),
        row.decided.decision.as_str(),
        row.decided.reason.map_or("", Reason::as_str),
        &until,
        row.incident_id.map_or("", |id| id.as_str()),
        row.remediation_id.map_or("", |id| id.as_str()),
    ];
    let guards = row.decided.trace.0.iter().flat_map(|check| [check.guard.as_str(), check.verdict.as_str()]);
    mark(&mut told.into_iter().chain(guards))
}

/// A renewed notice, as it is kept with its delivery.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Renewal {
    /// Place in the delivery.
    pub idx: i64,
    /// Fingerprint.
    pub fingerprint: String,
    /// Firing: an end is never one.
    pub status: String,
    /// The alert as read.
    pub(super) alert: Box<RawValue>,
    /// The server.
    pub server_no: String,
    /// Region of the policy.
    pub region_code: Option<String>,
    /// Policy.
    pub policy: Option<String>,
    /// Decision word.
    pub decision: String,
    /// Reason word.
    pub reason: String,
    /// End of a no, in milliseconds.
    pub(super) until: Option<i64>,
    /// One sentence.
    pub detail: String,
    /// Every guard that was asked.
    pub(super) trace: Box<RawValue>,
    /// Incident.
    pub incident_id: Option<String>,
    /// Remediation.
    pub remediation_id: Option<String>,
}

impl Tx {
    /// The decision as a renewed notice, where it says no more than was recorded of this alert before.
    pub fn renewal(&mut self, row: &AlertDecision<'_>) -> Result<Option<Renewal>, StoreError> {
        let Some(fingerprint) = row.fingerprint else { return Ok(None) };
        let known = self.image.recorded.knows(row, fingerprint);
        let (Some(alert), Some(server_no), Some(reason)) = (row.alert, row.server_no, row.decided.reason)
        else {
            return Ok(None);
        };
        // What a policy in shadow would have done is counted alert by alert.
        let leads_nowhere = match row.decided.decision {
            Decision::Duplicate => true,
            Decision::Suppressed => reason != Reason::Shadow,
            Decision::Remediate
            | Decision::AwaitingApproval
            | Decision::Pending
            | Decision::Resolved
            | Decision::Ignored
            | Decision::Quarantined => false,
        };
        if !known || !leads_nowhere || alert.status != AlertStatus::Firing {
            return Ok(None);
        }
        let minute = ms(row.decided_at).div_euclid(60_000);
        self.waiting.count_renewal(row.decided.decision.as_str(), reason.as_str(), minute);
        let raw =
            |text| RawValue::from_string(text).map_err(|_error| StoreError::Unreadable { what: "alert" });
        Ok(Some(Renewal {
            idx: i64::try_from(row.idx).unwrap_or(i64::MAX),
            fingerprint: fingerprint.to_owned(),
            status: alert.status.as_str().to_owned(),
            alert: raw(json(alert)?)?,
            server_no: server_no.to_owned(),
            region_code: row.region_code.map(str::to_owned),
            policy: row.decided.policy.clone(),
            decision: row.decided.decision.as_str().to_owned(),
            reason: reason.as_str().to_owned(),
            until: row.decided.until.map(ms),
            detail: row.decided.detail.clone(),
            trace: row.trace.to_owned(),
            incident_id: row.incident_id.map(ToString::to_string),
            remediation_id: row.remediation_id.map(ToString::to_string),
        }))
    }

    /// What was recorded of an alert holds no longer: its next notice is recorded in full.
    pub(super) fn record_in_full(&mut self, source: &str, fingerprint: Option<&str>) {
        if let Some(fingerprint) = fingerprint {
            self.image.recorded.forget(source, fingerprint);
        }
    }
}

/// What goes into the column of a delivery.
pub(super) fn text_of(renewals: &[Renewal]) -> Result<String, StoreError> {
    if renewals.is_empty() { Ok(String::new()) } else { json(&renewals) }
}

/// The renewed notices of a delivery.
pub(super) fn of_row(row: &Row) -> Result<Vec<Renewal>, StoreError> {
    let text = row.long_text("renewals", "renewals_packed")?;
    if text.is_empty() { Ok(Vec::new()) } else { from_json(&text, "renewals") }
}

impl Renewal {
    /// End of a no.
    pub(super) fn until(&self) -> Result<Option<Timestamp>, StoreError> {
        self.until.map(super::rows::at).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::decision::Decided;
    use crate::domain::guard::{Trace, Verdict};
    use crate::domain::ids::DeliveryId;

    fn decided(verdict: Verdict, seen: &str) -> Decided {
        let mut trace = Trace::default();
        trace.note(Reason::Cooldown, verdict, seen, "24h", None);
        Decided {
            decision: Decision::Duplicate,
            reason: Some(Reason::Duplicate),
            until: None,
            detail: seen.to_owned(),
            policy: Some("p".to_owned()),
            trace,
        }
    }

    /// Whether a notice `minutes` after the epoch is known already.
    fn is_known(
        recorded: &mut Recorded,
        fingerprint: &str,
        minutes: i64,
        decided: &Decided,
        config: &str,
    ) -> bool {
        let at = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes);
        let (id, trace) = (DeliveryId::generate(), RawValue::from_string("[]".to_owned()).unwrap());
        let row = AlertDecision {
            delivery_id: &id,
            idx: 0,
            source: "s",
            fingerprint: Some(fingerprint),
            alert: None,
            received_at: at,
            server_no: Some("1"),
            region_code: Some("KR"),
            decided,
            trace: &trace,
            config_hash: config,
            decided_at: at,
            incident_id: None,
            remediation_id: None,
        };
        recorded.knows(&row, fingerprint)
    }

    #[test]
    fn a_notice_is_known_for_an_hour_and_only_while_every_guard_says_the_same() {
        let mut recorded = Recorded::default();
        let (free, stopped) = (decided(Verdict::Pass, "free"), decided(Verdict::Stop, "free"));
        let mut know = |fingerprint: &str, minutes, what: &Decided, config: &str| {
            is_known(&mut recorded, fingerprint, minutes, what, config)
        };
        assert!(!know("f", 0, &free, "c"));
        assert!(know("f", 1, &free, "c"));
        assert!(know("f", 2, &decided(Verdict::Pass, "other words"), "c"), "what a guard saw may change");
        assert!(!know("g", 2, &free, "c"), "another alert");
        assert!(!know("f", 3, &stopped, "c"), "a guard has changed its mind");
        assert!(know("f", 4, &stopped, "c"));
        assert!(!know("f", 5, &free, "c"), "and back");
        assert!(!know("f", 6, &free, "d"), "another configuration");
        assert!(know("f", 65, &free, "d"));
        assert!(
            !know("f", 66, &free, "d"),
            "an hour after it was recorded in full, not after the last notice"
        );
        assert!(!know("f", 65, &free, "d"), "a clock that went back");
        let mut later = decided(Verdict::Pass, "free");
        later.until = Some(Timestamp::UNIX_EPOCH);
        assert!(!know("f", 65, &later, "d"), "another end");
        recorded.forget("s", "g");
        assert!(!is_known(&mut recorded, "g", 3, &free, "c"), "forgotten");
    }
}
