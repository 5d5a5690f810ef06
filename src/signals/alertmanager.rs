//! Alertmanager's list of alerts: whether one is still active there.
//!
//! Never: takes a silenced or inhibited alert for an active one, or another alert for this one.

use serde::Deserialize;

use crate::domain::alert::Alert;
use crate::domain::corroboration::Seen;

/// One row of `GET /api/v2/alerts`.
/// <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>
#[derive(Deserialize)]
struct Row {
    fingerprint: String,
    status: Status,
}

/// `active`, `suppressed` (silenced, inhibited or muted) or `unprocessed`.
#[derive(Deserialize)]
struct Status {
    state: String,
}

/// Narrows the list to alerts of the same name. The API cannot ask for a fingerprint; that is compared here.
pub(super) fn filter(alert: &Alert) -> Option<String> {
    let name = alert.labels.get("alertname").filter(|name| !name.chars().any(char::is_control))?;
    Some(format!("alertname=\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// Reads the answer.
pub(super) fn read(status: u16, body: &[u8], fingerprint: &str) -> Seen {
    if status != 200 {
        return Seen::CouldNotTell(format!("Alertmanager answered {status}"));
    }
    let Ok(rows) = serde_json::from_slice::<Vec<Row>>(body) else {
        return Seen::CouldNotTell("the answer is not one of Alertmanager".to_owned());
    };
    let found: Vec<&str> = rows
        .iter()
        .filter(|row| row.fingerprint == fingerprint)
        .map(|row| row.status.state.as_str())
        .collect();
    if found.is_empty() {
        return Seen::Disagrees("the alert does not fire there".to_owned());
    }
    if found.contains(&"suppressed") {
        return Seen::Disagrees("the alert is silenced or inhibited there".to_owned());
    }
    if found.iter().all(|state| *state == "active") {
        Seen::Agrees("the alert is active there".to_owned())
    } else {
        Seen::CouldNotTell("the alert is neither active nor suppressed there".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "5ef77f1f8a3ecf8d";

    fn row(fingerprint: &str, state: &str) -> String {
        format!(
            r#"{{"fingerprint":"{fingerprint}","status":{{"state":"{state}","silencedBy":[],"inhibitedBy":[]}},"labels":{{}}}}"#
        )
    }

    #[track_caller]
    fn check(status: u16, body: &str, expected: &str) {
        let seen = match read(status, body.as_bytes(), OURS) {
            Seen::Agrees(_) => "agrees",
            Seen::Disagrees(_) => "disagrees",
            Seen::CouldNotTell(_) => "could not tell",
        };
        assert_eq!(seen, expected, "{status} {body}");
    }

    #[test]
    fn the_same_alert_must_be_active() {
        let list = |rows: &[String]| format!("[{}]", rows.join(","));
        check(200, &list(&[row(OURS, "active")]), "agrees");
        check(200, &list(&[row("0000000000000000", "suppressed"), row(OURS, "active")]), "agrees");
        check(200, &list(&[row(OURS, "suppressed")]), "disagrees");
        check(200, &list(&[row(OURS, "active"), row(OURS, "suppressed")]), "disagrees");
        check(200, &list(&[row("0000000000000000", "active")]), "disagrees");
        check(200, "[]", "disagrees");
        check(200, &list(&[row(OURS, "unprocessed")]), "could not tell");
        check(200, &list(&[row(OURS, "Active")]), "could not tell");
        check(500, &list(&[row(OURS, "active")]), "could not tell");
        for body in ["", "null", "{}", "[{}]", "[null]", "<html>", r#"[{"fingerprint":1}]"#] {
            check(200, body, "could not tell");
        }
        check(200, &"[".repeat(100_000), "could not tell");
    }

    #[test]
    fn the_filter_cannot_be_broken_out_of() {
        let mut alert: Alert = serde_json::from_value(serde_json::json!({
            "fingerprint": OURS, "status": "firing", "name": "n", "labels": { "alertname": "a\"b\\c" },
            "startsAt": null, "endsAt": null, "senderTime": null, "neverActionable": null,
        }))
        .unwrap();
        assert_eq!(filter(&alert).unwrap(), r#"alertname="a\"b\\c""#);
        alert.labels.insert("alertname".into(), "a\nb".into());
        assert_eq!(filter(&alert), None);
    }
}
