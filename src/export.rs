//! Audit rows in the form that leaves the service: NDJSON and CSV, the same from the API and the command line.
//!
//! Never: a cell that a spreadsheet takes for a formula.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::audit::{Actor, AuditEvent};
use crate::store::AuditItem;

/// Headings of the CSV form.
pub const COLUMNS: [&str; 25] = [
    "seq",
    "at",
    "kind",
    "actorKind",
    "actorName",
    "traceId",
    "deliveryId",
    "incidentId",
    "remediationId",
    "attemptId",
    "serverInstanceNo",
    "regionCode",
    "source",
    "policy",
    "decision",
    "reason",
    "outcome",
    "requestId",
    "returnCode",
    "returnMessage",
    "httpStatus",
    "detail",
    "prevHash",
    "hash",
    "keyId",
];

/// Why rows could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// As JSON.
    #[error("a row cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// As CSV.
    #[error("a row cannot be written as CSV")]
    Csv(#[from] csv::Error),
}

/// One JSON object a line.
pub fn ndjson(items: &[AuditItem]) -> Result<Vec<u8>, ExportError> {
    let mut text = Vec::new();
    for item in items {
        serde_json::to_writer(&mut text, item)?;
        text.push(b'\n');
    }
    Ok(text)
}

/// A row as NDJSON holds it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Row {
    seq: i64,
    at: Timestamp,
    kind: String,
    actor: Actor,
    trace_id: Option<String>,
    delivery_id: Option<String>,
    incident_id: Option<String>,
    remediation_id: Option<String>,
    attempt_id: Option<i64>,
    server_instance_no: Option<String>,
    region_code: Option<String>,
    source: Option<String>,
    policy: Option<String>,
    decision: Option<String>,
    reason: Option<String>,
    outcome: Option<String>,
    request_id: Option<String>,
    return_code: Option<String>,
    return_message: Option<String>,
    http_status: Option<u16>,
    detail: Box<RawValue>,
    prev_hash: String,
    hash: String,
    key_id: Option<String>,
}

/// Reads a line of NDJSON back as it was hashed.
pub fn read_row(line: &str) -> Result<AuditItem, ExportError> {
    let row: Row = serde_json::from_str(line)?;
    // A detail that is no JSON was written as a text.
    let detail = match serde_json::from_str::<String>(row.detail.get()) {
        Ok(text) if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_err() => text,
        Ok(_) | Err(_) => row.detail.get().to_owned(),
    };
    let event = AuditEvent {
        at: row.at,
        kind: row.kind,
        actor: row.actor,
        trace_id: row.trace_id,
        delivery_id: row.delivery_id,
        incident_id: row.incident_id,
        remediation_id: row.remediation_id,
        attempt_id: row.attempt_id,
        server_instance_no: row.server_instance_no,
        region_code: row.region_code,
        source: row.source,
        policy: row.policy,
        decision: row.decision,
        reason: row.reason,
        outcome: row.outcome,
        request_id: row.request_id,
        return_code: row.return_code,
        return_message: row.return_message,
        http_status: row.http_status,
        detail,
    };
    Ok(AuditItem { seq: row.seq, event, prev_hash: row.prev_hash, hash: row.hash, key_id: row.key_id })
}

/// RFC 4180, with or without the heading.
pub fn csv(items: &[AuditItem], with_heading: bool) -> Result<Vec<u8>, ExportError> {
    let mut text = Vec::new();
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(&mut text);
    if with_heading {
        writer.write_record(COLUMNS)?;
    }
    for item in items {
        writer.write_record(cells(item).iter().map(|cell| harmless(cell)))?;
    }
    writer.flush().map_err(csv::Error::from)?;
    drop(writer);
    Ok(text)
}

fn cells(item: &AuditItem) -> [String; 25] {
    let event = &item.event;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    [
        item.seq.to_string(),
        event.at.to_string(),
        event.kind.clone(),
        event.actor.kind.as_str().to_owned(),
        event.actor.name.clone(),
        text(&event.trace_id),
        text(&event.delivery_id),
        text(&event.incident_id),
        text(&event.remediation_id),
        event.attempt_id.map(|id| id.to_string()).unwrap_or_default(),
        text(&event.server_instance_no),
        text(&event.region_code),
        text(&event.source),
        text(&event.policy),
        text(&event.decision),
        text(&event.reason),
        text(&event.outcome),
        text(&event.request_id),
        text(&event.return_code),
        text(&event.return_message),
        event.http_status.map(|status| status.to_string()).unwrap_or_default(),
        event.detail.clone(),
        item.prev_hash.clone(),
        item.hash.clone(),
        text(&item.key_id),
    ]
}

/// A cell that a spreadsheet would read as a formula gets a quote before it (OWASP, CSV injection).
fn harmless(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(detail: &str) -> AuditItem {
        let mut event = AuditEvent::new(Timestamp::UNIX_EPOCH, "kind", Actor::service("test"));
        event.detail = detail.to_owned();
        event.return_message = Some("=1+1".to_owned());
        AuditItem { seq: 1, event, prev_hash: "a".into(), hash: "b".into(), key_id: None }
    }

    #[test]
    fn no_cell_is_a_formula() {
        for formula in ["=1+1", "+1", "-1", "@sum", "\tx", "\rx"] {
            assert_eq!(harmless(formula), format!("'{formula}"));
        }
        assert_eq!(harmless("a=b"), "a=b");
        let text = String::from_utf8(csv(&[item("{\"a\":\"x\\\"y\"}")], true).unwrap()).unwrap();
        assert!(text.starts_with("seq,at,kind,") && text.contains(",'=1+1,"), "{text}");
        assert_eq!(text.matches("\r\n").count(), 2, "{text}");
    }

    #[test]
    fn the_detail_is_json_in_json_and_its_text_is_not_changed() {
        let text = String::from_utf8(ndjson(&[item("{\"b\":1,  \"a\":[1.50]}")]).unwrap()).unwrap();
        assert!(text.contains("\"detail\":{\"b\":1,  \"a\":[1.50]}"), "{text}");
        let text = String::from_utf8(ndjson(&[item("no json")]).unwrap()).unwrap();
        assert!(text.contains("\"detail\":\"no json\""), "{text}");
    }
}
