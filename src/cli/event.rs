//! One audit event as one line that a person reads at a glance.
//!
//! Never: leaves out the server or the outcome for something longer.

use serde_json::Value;

use super::client::text_of;
use super::listing::{at, word};
use super::table::{fitted, fixed};

/// Time, kind, server, and then what matters most first; clipped to 80 columns unless `wide`.
pub(super) fn event_line(event: &Value, wide: bool) -> String {
    let head = format!(
        "{}  {}  {}  ",
        at(event, "at"),
        fixed(&text_of(event, "kind"), 18),
        fixed(&word(event, "serverInstanceNo"), 9)
    );
    let mut parts = Vec::new();
    let detail = event.get("detail").unwrap_or(&Value::Null);
    let (from, to) = (text_of(detail, "from"), text_of(detail, "to"));
    if !to.is_empty() {
        parts.push(if from.is_empty() { to } else { format!("{from} → {to}") });
    }
    if let Some(alerts) = detail.get("alerts").and_then(Value::as_u64) {
        parts.push(format!("{alerts} from {}", text_of(event, "source")));
    }
    parts.extend(["decision", "outcome", "reason"].map(|field| text_of(event, field)));
    parts.extend(
        ["alert", "serverName", "scope", "name", "why", "cause", "proves", "detail"]
            .map(|field| text_of(detail, field)),
    );
    let actor = event.get("actor").unwrap_or(&Value::Null);
    if text_of(actor, "kind") == "person" {
        parts.push(format!("by {}", text_of(actor, "name")));
    }
    if wide {
        let named = [
            ("requestId", "requestId"),
            ("policy", "policy"),
            ("source", "source"),
            ("remediation", "remediationId"),
            ("delivery", "deliveryId"),
            ("trace", "traceId"),
        ];
        let named = named.map(|(name, field)| (name, text_of(event, field)));
        parts.extend(
            named
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| format!("{name}={value}")),
        );
        parts.push(format!("seq={}", text_of(event, "seq")));
    }
    parts.retain(|part| !part.is_empty());
    // The reason of a duplicate is that it is one.
    parts.dedup();
    fitted(&format!("{head}{}", parts.join("  ")), wide)
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr as _;

    use super::*;

    #[test]
    fn a_line_says_what_matters_first_and_fits() {
        let event = serde_json::json!({
            "seq": 7, "at": "2026-11-22T01:12:41.318Z", "kind": "attempt_outcome", "serverInstanceNo": "90000001",
            "outcome": "accepted", "requestId": "e4c1a2f0-5b7d-4c0e-9a51-0d3b6f2a7c11", "policy": "hung-windows",
            "actor": {"kind": "service", "name": "dispatcher"}, "detail": {"cause": "서버\u{202e} ".repeat(40)},
        });
        let line = event_line(&event, false);
        assert!(line.starts_with("11-22 01:12:41  attempt_outcome     90000001   accepted"), "{line}");
        assert!(line.width() <= 80 && !line.contains('\u{202e}'), "{line}");
        assert!(event_line(&event, true).contains("policy=hung-windows"));
    }
}
