//! Bodies as the senders write them.
//!
//! Never: a field that the real sender would not send.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::config::HUNG;
use crate::clock::Clock;

/// One alert to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Telling {
    /// Who tells.
    pub(super) sender: Sender,
    /// Name of the alert.
    pub(super) alert: &'static str,
    /// Server it is about.
    pub(super) server: &'static str,
    /// Firing, or over.
    pub(super) firing: bool,
    /// An annotation: another note makes another body of the same alert.
    pub(super) note: &'static str,
}

/// Who tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    /// Alertmanager, now.
    Alertmanager,
    /// Cloud Insight, with an event time this old.
    CloudInsight {
        /// Age of `dataTime`.
        age: SignedDuration,
    },
}

/// The body as its sender would write it. `begun` is when the condition began.
pub(super) fn body(telling: &Telling, begun: Timestamp) -> Value {
    match telling.sender {
        Sender::Alertmanager => alertmanager(telling, begun),
        Sender::CloudInsight { age } => cloud_insight(telling, age),
    }
}

/// A body for a visitor's own try.
pub(super) fn by_hand(server: &'static str) -> String {
    let telling = Telling {
        sender: Sender::Alertmanager,
        alert: HUNG,
        server,
        firing: true,
        note: "told by a visitor",
    };
    body(&telling, Clock::default().wall()).to_string()
}

fn alertmanager(telling: &Telling, begun: Timestamp) -> Value {
    let labels = json!({
        "alertname": telling.alert,
        "job": "windows",
        "region_code": "KR",
        "server_instance_no": telling.server,
        "severity": "critical",
    });
    let mut fingerprint = hex::encode(Sha256::digest(labels.to_string()));
    fingerprint.truncate(16);
    let status = if telling.firing { "firing" } else { "resolved" };
    let ends_at =
        if telling.firing { "0001-01-01T00:00:00Z".to_owned() } else { Clock::default().wall().to_string() };
    json!({
        "version": "4",
        "groupKey": format!("{{}}:{{server_instance_no=\"{}\"}}", telling.server),
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "unhang",
        "groupLabels": { "server_instance_no": telling.server },
        "commonLabels": labels,
        "commonAnnotations": { "summary": telling.note },
        "externalURL": "http://alertmanager.example:9093",
        "alerts": [{
            "status": status,
            "labels": labels,
            "annotations": { "summary": telling.note },
            "startsAt": begun.to_string(),
            "endsAt": ends_at,
            "generatorURL": "http://prometheus.example:9090/graph",
            "fingerprint": fingerprint,
        }],
    })
}

fn cloud_insight(telling: &Telling, age: SignedDuration) -> Value {
    let at = Clock::default().wall().checked_sub(age).unwrap_or(Timestamp::UNIX_EPOCH);
    let at = at.as_millisecond().to_string();
    json!({
        "payloadVersion": "1",
        "domainCode": "PUB",
        "regionCode": "KR",
        "productKey": "460438474722512896",
        "productName": "System/Server(VPC)",
        "resourceName": telling.note,
        "dimensions": format!("instanceNo: {}, type: svr", telling.server),
        "ruleId": "700000000000000001",
        "ruleName": telling.alert,
        "dataTime": at,
        "level": "CRITICAL",
        "operator": ">=",
        "metric": "avg_cpu_used_rto",
        "unit": "%",
        "aggregation": "AVG",
        "criteria": "99.0",
        "duration": "5",
        "alarmStartTime": at,
        "alarmEndTime": "",
        "eventCauseType": "",
        "value": "100.0",
        "currentValue": "100.0",
        "eventStatus": if telling.firing { "ALARM" } else { "RESOLVE" },
    })
}
