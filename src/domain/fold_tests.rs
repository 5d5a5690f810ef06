use serde_json::json;

use super::*;
use crate::domain::audit::Actor;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn event(kind: &str, detail: &Value) -> AuditEvent {
    AuditEvent::new(at(10), kind, Actor::service("test")).with_detail(detail)
}

fn decided(decision: &str) -> AuditEvent {
    let mut event = event("alert_decided", &json!({}));
    event.remediation_id = Some("r".to_owned());
    event.server_instance_no = Some("1".to_owned());
    event.policy = Some("p".to_owned());
    event.decision = Some(decision.to_owned());
    event
}

fn moved(from: &str, to: &str) -> AuditEvent {
    let mut event = event("remediation_moved", &json!({ "from": from, "to": to }));
    event.remediation_id = Some("r".to_owned());
    event
}

fn attempt(kind: &str, detail: &Value) -> AuditEvent {
    let mut event = event(kind, detail);
    event.attempt_id = Some(7);
    event
}

fn row(table: &'static str, key: &str, fields: &[(&str, Option<&str>)]) -> StoredRow {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)));
    StoredRow { table, key: key.to_owned(), created_at: 10_000, fields: fields.collect() }
}

fn report(events: &[AuditEvent], first_seq: i64, rows: &[StoredRow]) -> DeepReport {
    let mut fold = Fold::default();
    for (seq, event) in (first_seq..).zip(events) {
        fold.take(seq, event);
    }
    for row in rows {
        fold.compare(row);
    }
    fold.finish()
}

#[test]
fn the_moves_of_a_remediation_give_its_state() {
    let events = [decided("awaiting_approval"), moved("settling", "awaiting_approval"), {
        let mut event = moved("awaiting_approval", "queued");
        event.actor = Actor::person("kim");
        event
    }];
    let good = row(
        "remediation",
        "r",
        &[
            ("state", Some("queued")),
            ("policy", Some("p")),
            ("needs_person", Some("1")),
            ("approved_by", Some("kim")),
            ("finished_at", None),
        ],
    );
    assert_eq!(report(&events, 1, &[good]).differences, Vec::<String>::new());
    for (field, value) in
        [("state", "cancelled"), ("policy", "q"), ("needs_person", "0"), ("approved_by", "lee")]
    {
        let bad = report(&events, 1, &[row("remediation", "r", &[(field, Some(value))])]);
        assert_eq!(bad.differences.len(), 1, "{field}: {bad:?}");
        assert!(bad.differences[0].contains(&format!("{field} is {value:?} in the table")), "{bad:?}");
    }
}

#[test]
fn a_move_in_the_transaction_of_the_decision_stands_before_it() {
    let events = [moved("settling", "cancelled"), decided("remediate")];
    let good = row("remediation", "r", &[("state", Some("cancelled")), ("finished_at", Some("10000"))]);
    let report = report(&events, 1, &[good]);
    assert_eq!((report.rows, report.differences), (1, Vec::new()));
}

#[test]
fn a_move_from_where_it_was_not_is_a_difference() {
    let events = [decided("remediate"), moved("queued", "intent")];
    let report = report(&events, 1, &[row("remediation", "r", &[("state", Some("intent"))])]);
    assert_eq!(report.differences, ["remediation r: row 2 moves it from queued, but it was settling"]);
}

#[test]
fn rows_without_events_and_events_without_rows_are_differences() {
    let unasked = report(&[], 1, &[row("remediation", "x", &[])]);
    assert_eq!(unasked.differences, ["remediation x is in the table, and no event made it"]);
    let gone = report(&[event("hold_set", &json!({ "id": 3 }))], 1, &[]);
    assert_eq!(gone.differences, ["hold 3 was made by an event, and is not in the table"]);
    // A decision that joined a live one made none.
    assert_eq!(report(&[decided("duplicate")], 1, &[]).differences, Vec::<String>::new());
}

#[test]
fn the_outcome_of_an_attempt_is_the_last_one_told() {
    let mut unknown = attempt("attempt_outcome", &json!({ "cause": "lost" }));
    unknown.outcome = Some("unknown".to_owned());
    let mut late = attempt("attempt_outcome", &json!({ "cause": "late answer" }));
    late.outcome = Some("accepted".to_owned());
    late.request_id = Some("q".to_owned());
    let begun =
        attempt("attempt_intent", &json!({ "try": 1, "nonce": "n", "memoryBytes": 5, "uptimeBefore": null }));
    let stored = |outcome: Option<&str>| {
        let fields = [
            ("outcome", outcome),
            ("request_id", outcome.map(|_| "q")),
            ("nonce", Some("n")),
            ("try", Some("1")),
            ("memory_bytes", Some("5")),
            ("uptime_at", None),
        ];
        row("attempt", "7", &fields)
    };
    let events = [begun.clone(), unknown, late];
    assert_eq!(report(&events, 1, &[stored(Some("accepted"))]).differences, Vec::<String>::new());
    for outcome in ["rejected", "not_sent", "unknown"] {
        let bad = report(&events, 1, &[stored(Some(outcome))]);
        assert_eq!(bad.differences.len(), 1, "{outcome}: {bad:?}");
    }
    assert_eq!(report(&[begun], 1, &[stored(None)]).differences, Vec::<String>::new());
}

#[test]
fn what_older_events_do_not_tell_is_not_compared() {
    let old = event("hold_set", &json!({ "id": 1, "scope": "global", "reason": "stop" }));
    let stored = row("hold", "1", &[("scope", Some("global")), ("author", Some("unhang")), ("until", None)]);
    let report = report(&[old], 1, &[stored]);
    assert_eq!(report.differences, Vec::<String>::new());
    let told: Vec<&str> = report.fields_not_told.iter().map(String::as_str).collect();
    assert_eq!(told, ["hold.author", "hold.until"]);
}

#[test]
fn a_history_that_begins_in_the_middle_says_what_it_cannot_tell() {
    let events = [moved("queued", "cancelled")];
    let mut younger = row("remediation", "z", &[]);
    younger.created_at = 11_000;
    let rows =
        [row("remediation", "r", &[("state", Some("cancelled"))]), row("remediation", "y", &[]), younger];
    let report = report(&events, 101, &rows);
    assert_eq!((report.rows, report.rows_not_told, report.begins_at), (1, 1, Some(101)));
    assert_eq!(report.differences, ["remediation z is in the table, and no event made it"]);
}

#[test]
fn matchers_are_compared_as_what_they_say() {
    let set = event("silence_set", &json!({ "id": 1, "matchers": { "b": 1, "a": [2] } }));
    let stored = row("silence", "1", &[("matchers", Some("{\"b\":1,\"a\":[2]}"))]);
    assert_eq!(report(&[set], 1, &[stored]).differences, Vec::<String>::new());
}

#[test]
fn kinds_that_nobody_knows_change_nothing() {
    let report = report(&[event("something_new", &json!({ "id": 1 }))], 1, &[]);
    assert_eq!(report, DeepReport::default());
}
