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

fn policy(kind: &str, detail: &Value) -> AuditEvent {
    let mut event = event(kind, detail);
    event.actor = Actor::person("kim");
    event.policy = Some("p".to_owned());
    event
}

#[test]
fn a_collected_dump_is_told_by_its_event_alone() {
    let mut told = event("dump_collected", &json!({ "id": 4, "reason": "copied" }));
    told.actor = Actor::person("kim");
    told.server_instance_no = Some("1".to_owned());
    let stored = row(
        "dump_collected",
        "4",
        &[
            ("server_no", Some("1")),
            ("at", Some("10000")),
            ("person", Some("kim")),
            ("reason", Some("copied")),
        ],
    );
    assert_eq!(report(&[told], 1, std::slice::from_ref(&stored)).differences, Vec::<String>::new());
    let forged = report(&[], 1, &[stored]);
    assert_eq!(forged.differences, ["dump_collected 4 is in the table, and no event made it"]);
}

#[test]
fn what_was_said_twice_is_there_twice() {
    let said = policy("breaker_reset", &json!({ "reason": "looked" }));
    let rows = |count: usize| -> Vec<StoredRow> {
        (1..=count)
            .map(|n| row("breaker_reset", &format!("p/kim/10000/{n}"), &[("reason", Some("looked"))]))
            .collect()
    };
    let events = [said.clone(), said];
    assert_eq!(report(&events, 1, &rows(2)).differences, Vec::<String>::new());
    for count in [1, 3] {
        assert_eq!(report(&events, 1, &rows(count)).differences.len(), 1, "{count}");
    }
}

#[test]
fn a_promotion_ends_a_demotion() {
    let demoted = policy("policy_demoted", &json!({ "why": "a storm" }));
    let promoted = policy("policy_promoted", &json!({ "reason": "looked" }));
    let stored = |demoted: Option<&str>, promoted: Option<&str>| {
        row(
            "policy_standing",
            "p",
            &[
                ("demoted_at", demoted),
                ("why", demoted.map(|_| "a storm")),
                ("promoted_at", promoted),
                ("promoted_by", promoted.map(|_| "kim")),
                ("reason", promoted.map(|_| "looked")),
            ],
        )
    };
    let at = Some("10000");
    let none = Vec::<String>::new();
    assert_eq!(report(std::slice::from_ref(&demoted), 1, &[stored(at, None)]).differences, none);
    let both = [demoted.clone(), promoted.clone()];
    assert_eq!(report(&both, 1, &[stored(None, at)]).differences, none);
    assert_eq!(report(&both, 1, &[stored(at, None)]).differences.len(), 5);
    assert_eq!(report(&[demoted.clone(), promoted, demoted], 1, &[stored(at, at)]).differences, none);
}

fn noticed(kind: &str, decision: &str, detail: &Value) -> AuditEvent {
    let mut event = decided(decision);
    kind.clone_into(&mut event.kind);
    event.with_detail(detail)
}

#[test]
fn the_newest_notice_is_that_of_the_last_alert_that_joined_or_of_the_person_who_vouched() {
    let opened = noticed(
        "alert_decided",
        "awaiting_approval",
        &json!({ "fingerprint": "f", "noticedAt": at(5), "policyHash": "h" }),
    );
    let joined = noticed("alert_decided", "duplicate", &json!({ "fingerprint": "g", "noticedAt": at(7) }));
    let too_late = noticed("alert_decided", "duplicate", &json!({ "fingerprint": "k", "noticedAt": null }));
    let approved = |vouched: bool| {
        let mut event = moved("awaiting_approval", "queued");
        event.actor = Actor::person("kim");
        event.with_detail(&json!({ "from": "awaiting_approval", "to": "queued", "vouched": vouched }))
    };
    for (vouched, newest) in [(false, "7000"), (true, "10000")] {
        let waits = moved("settling", "awaiting_approval");
        let events = [opened.clone(), waits, joined.clone(), approved(vouched), too_late.clone()];
        let rows = [
            row(
                "remediation",
                "r",
                &[
                    ("last_notice_at", Some(newest)),
                    ("approved_at", Some("10000")),
                    ("policy_hash", Some("h")),
                ],
            ),
            row("remediation_alert", "r/f", &[("joined_at", Some("5000"))]),
            row("remediation_alert", "r/g", &[("joined_at", Some("7000"))]),
        ];
        let report = report(&events, 1, &rows);
        assert_eq!((report.differences, report.fields_not_told.len()), (Vec::<String>::new(), 0));
    }
}

#[test]
fn the_newest_end_of_an_alert_only_moves_forward() {
    let resolved = |ended_at: &Value| {
        let detail = json!({ "fingerprint": "f/1", "status": "resolved", "endedAt": ended_at });
        event("alert_decided", &detail)
    };
    // Half a millisecond is rounded up, as it is stored.
    let later = resolved(&json!("1970-01-01T00:00:08.0005Z"));
    let events = [later, resolved(&json!(at(7))), resolved(&Value::Null)];
    let stored = |ended: &str| {
        row("resolved_notice", "f/1", &[("ended_at", Some(ended)), ("noticed_at", Some("10000"))])
    };
    assert_eq!(report(&events, 1, &[stored("8001")]).differences, Vec::<String>::new());
    assert_eq!(report(&events, 1, &[stored("7000")]).differences.len(), 1);
    assert_eq!(report(&events[1..2], 1, &[stored("7000")]).differences, Vec::<String>::new());
    assert_eq!(report(&events[2..], 1, &[]).differences, Vec::<String>::new(), "a replay notes no end");
}

#[test]
fn rows_that_events_of_an_older_version_may_have_made_are_not_told() {
    let resolved = event("alert_decided", &json!({ "fingerprint": "f", "status": "resolved" }));
    let rows = [
        row("remediation_alert", "r/g", &[("joined_at", Some("5000"))]),
        row("resolved_notice", "f", &[("ended_at", Some("5000"))]),
    ];
    let mut old = vec![decided("remediate"), resolved];
    let first = report(&old, 1, &rows);
    assert_eq!((first.rows_not_told, first.differences.len()), (2, 1), "{first:?}");
    // The same alert again, told in full: its end may have been later before.
    let detail = json!({ "fingerprint": "f", "status": "resolved", "endedAt": at(3) });
    old.push(event("alert_decided", &detail));
    let second = report(&old, 1, &rows);
    assert_eq!(second.differences, ["remediation r was made by an event, and is not in the table"]);
}

/// A kind with its detail; then the table, key, column and value that it tells.
type Case = (&'static str, Value, &'static str, &'static str, &'static str, Option<&'static str>);

/// Each kind with all that names its row.
fn one_of_each_kind() -> Vec<Case> {
    vec![
        ("service_started", json!({ "epoch": 3, "version": "1" }), "owner", "3", "version", Some("1")),
        ("delivery_received", json!({ "bodySha256": "b" }), "delivery", "d", "body_sha256", Some("b")),
        ("incident_opened", json!({ "serverName": "n" }), "incident", "i", "server_name", Some("n")),
        ("incident_closed", json!({}), "incident", "i", "closed_at", Some("10000")),
        ("remediation_waits", json!({}), "remediation", "r", "reason", None),
        ("attempt_intent", json!({ "nonce": "n" }), "attempt", "7", "nonce", Some("n")),
        ("attempt_outcome", json!({ "cause": "c" }), "attempt", "7", "cause", Some("c")),
        ("evidence", json!({ "kind": "k" }), "attempt", "7", "evidence", Some("{\"kind\":\"k\"}")),
        ("settlement", json!({ "verdict": "v" }), "settlement", "r/test", "verdict", Some("v")),
        ("hold_set", json!({ "id": 1, "author": "kim" }), "hold", "1", "author", Some("kim")),
        ("hold_cleared", json!({ "id": 1 }), "hold", "1", "cleared_by", Some("test")),
        ("silence_set", json!({ "id": 1, "comment": "c" }), "silence", "1", "comment", Some("c")),
        ("silence_ended", json!({ "id": 1 }), "silence", "1", "expired_by", Some("test")),
        ("dump_collected", json!({ "id": 1 }), "dump_collected", "1", "person", Some("test")),
        ("storm_opened", json!({ "id": 1, "why": "w" }), "storm", "1", "why", Some("w")),
        ("storm_cleared", json!({ "id": 1 }), "storm", "1", "cleared_by", Some("test")),
        ("quarantine_opened", json!({ "id": 1, "why": "w" }), "quarantine", "1", "why", Some("w")),
        ("quarantine_cleared", json!({ "id": 1 }), "quarantine", "1", "cleared_by", Some("test")),
        (
            "quarantine_cleared",
            json!({ "remembered": [{ "attempt_id": 7, "memory_bytes": 5 }] }),
            "forgotten_attempt",
            "7",
            "memory_bytes",
            Some("5"),
        ),
        ("policy_demoted", json!({ "why": "w" }), "policy_standing", "p", "why", Some("w")),
        ("policy_promoted", json!({ "reason": "r" }), "policy_standing", "p", "promoted_by", Some("test")),
        ("breaker_reset", json!({ "reason": "r" }), "breaker_reset", "p/test/10000/1", "reason", Some("r")),
        ("target_reported", json!({ "reason": "r" }), "target_report", "p/test/10000/1", "reason", Some("r")),
        ("watch_gap", json!({ "from": at(1), "until": at(2) }), "watch_gap", "1000/2000/1", "", None),
        ("attestation", json!({ "id": 1, "said": { "kind": "k" } }), "attestation", "1", "kind", Some("k")),
        ("activity_seen", json!({ "found": [], "error": "e" }), "activity_seen", "r", "error", Some("e")),
        ("store_identified", json!({ "storeId": "s" }), "store_identity", "1", "store_id", Some("s")),
        ("service_stopped", json!({ "epoch": 3 }), "owner", "3", "stopped_at", Some("10000")),
    ]
}

#[test]
fn each_kind_tells_its_row_and_one_that_names_none_changes_nothing() {
    let cases = one_of_each_kind();
    for (kind, detail, table, key, column, value) in &cases {
        let mut full = attempt(kind, detail);
        full.delivery_id = Some("d".to_owned());
        full.incident_id = Some("i".to_owned());
        full.remediation_id = Some("r".to_owned());
        full.policy = Some("p".to_owned());
        let fields: &[(&str, Option<&str>)] = if column.is_empty() { &[] } else { &[(column, *value)] };
        for first_seq in [1, 9] {
            let report = report(std::slice::from_ref(&full), first_seq, &[row(table, key, fields)]);
            assert_eq!((report.rows, report.differences), (1, Vec::new()), "{kind} as row {first_seq}");
        }
        let other = report(&[full], 1, &[row(table, key, &[("no_such", None), (column, Some("other"))])]);
        assert_eq!(other.differences.len(), usize::from(!column.is_empty()), "{kind}: {other:?}");
    }
    // Every rule has been asked with nothing to go by, those above too.
    for (kind, _) in RULES {
        let report = report(&[event(kind, &json!({}))], 1, &[]);
        assert_eq!(report, DeepReport::default(), "{kind}");
    }
    let with_rows = ["alert_decided", "ordered_by_hand", "delivery_repeated", "delivery_replayed"];
    let asked = |kind: &str| cases.iter().any(|case| case.0 == kind) || with_rows.contains(&kind);
    let unasked: Vec<&str> = RULES.iter().map(|(kind, _)| *kind).filter(|kind| !asked(kind)).collect();
    assert_eq!(unasked, ["delivery_unreadable", "remediation_moved"], "they are told of elsewhere");
}

#[test]
fn a_decision_is_compared_whole_where_it_has_an_event_and_by_its_words_where_only_its_delivery_tells() {
    let mut own = event(
        "alert_decided",
        &json!({ "idx": 0, "detail": "d", "trace": [{ "b": 1, "a": 2 }], "alertSeal": "s" }),
    );
    own.delivery_id = Some("x".to_owned());
    own.decision = Some("suppressed".to_owned());
    own.policy = Some("p".to_owned());
    let mut repeat = event(
        "delivery_repeated",
        &json!({ "decisions": [["suppressed", "hold", null], ["ignored", null, null]] }),
    );
    repeat.delivery_id = Some("y".to_owned());
    let stored = |key: &str, reason: Option<&str>, policy: &str| DecidedAlert {
        key: key.to_owned(),
        received_at: 10_000,
        seal: "s".to_owned(),
        judged: Judged {
            policy: Some(policy.to_owned()),
            decision: Some("suppressed".to_owned()),
            reason: reason.map(str::to_owned),
            detail: Some("d".to_owned()),
            trace: json!([{ "a": 2, "b": 1 }]),
            decided_at: 10_000,
            ..Judged::default()
        },
    };
    let differences = |alerts: &[DecidedAlert]| {
        let mut fold = Fold::default();
        fold.take(1, &own);
        fold.take(2, &repeat);
        for alert in alerts {
            fold.compare_alert(alert);
        }
        let delivery = |one: &String| !one.starts_with("delivery y");
        fold.finish().differences.into_iter().filter(delivery).collect::<Vec<_>>()
    };
    let good = [stored("x/0", None, "p"), stored("y/0", Some("hold"), "another")];
    assert_eq!(differences(&good), Vec::<String>::new());
    assert_eq!(differences(&good[1..]), ["the alert that row 1 decided is not in the table"]);
    assert_eq!(differences(&good[..1]), Vec::<String>::new(), "a repeat may have no row");
    let policy = [stored("x/0", None, "another")];
    assert_eq!(differences(&policy), ["alert x/0: its decision is not the one that row 1 tells"]);
    let words = [good[0].clone(), stored("y/0", None, "p")];
    assert_eq!(differences(&words), ["alert y/0: its decision is not the one that row 2 tells"]);
    let other = [DecidedAlert { seal: "t".to_owned(), ..good[0].clone() }];
    assert_eq!(differences(&other), ["alert x/0: it is not the one that was taken in"]);
    let forged = [good[0].clone(), stored("z/0", None, "p")];
    assert_eq!(differences(&forged), ["alert z/0 is in the table, and no event made it"]);
}

#[test]
fn what_a_person_ordered_is_requested_by_that_person_only() {
    let mut ordered = decided("remediate");
    "ordered_by_hand".clone_into(&mut ordered.kind);
    for (actor, by) in [(Actor::person("kim"), Some("kim")), (Actor::source("alertmanager"), None)] {
        ordered.actor = actor;
        let stored = row("remediation", "r", &[("requested_by", by)]);
        assert_eq!(report(std::slice::from_ref(&ordered), 1, &[stored]).differences, Vec::<String>::new());
    }
}

#[test]
fn a_hold_is_its_authors_and_a_person_who_sets_one_is_its_author() {
    let mut set = event("hold_set", &json!({ "id": 1, "author": "somebody else" }));
    for (actor, author) in [(Actor::person("kim"), "kim"), (Actor::service("dispatcher"), "somebody else")] {
        set.actor = actor;
        let told = report(std::slice::from_ref(&set), 1, &[row("hold", "1", &[("author", Some(author))])]);
        assert_eq!(told.differences, Vec::<String>::new());
    }
}

#[test]
fn a_history_that_begins_in_the_middle_knows_no_first_joining_and_no_first_end() {
    let joined = noticed("alert_decided", "duplicate", &json!({ "fingerprint": "g", "noticedAt": at(7) }));
    let told = report(&[joined], 9, &[row("remediation_alert", "r/g", &[("joined_at", Some("1"))])]);
    assert_eq!((told.rows, told.differences), (1, Vec::new()));
    assert!(told.fields_not_told.contains("remediation_alert.joined_at"));

    let ended = |detail: &Value| event("alert_decided", detail);
    let full = ended(&json!({ "fingerprint": "f", "status": "resolved", "endedAt": at(3) }));
    let stored = row("resolved_notice", "f", &[("ended_at", Some("9000")), ("noticed_at", Some("10000"))]);
    let told = report(std::slice::from_ref(&full), 9, std::slice::from_ref(&stored));
    assert_eq!(told.differences, Vec::<String>::new());
    assert!(told.fields_not_told.contains("resolved_notice.ended_at"));

    // An older event behind one that told it: from then on nobody knows.
    let older = ended(&json!({ "fingerprint": "f", "status": "resolved" }));
    let told = report(&[full.clone(), older.clone()], 1, std::slice::from_ref(&stored));
    assert_eq!((told.differences, told.fields_not_told.len()), (Vec::new(), 2));
    // A replay that a person ordered noted no end, and takes nothing away from what is known.
    let mut ordered = older.clone();
    ordered.actor = Actor::person("kim");
    let known = row("resolved_notice", "f", &[("ended_at", Some("3000")), ("noticed_at", Some("10000"))]);
    let told = report(&[full, ordered], 1, &[known]);
    assert_eq!((told.differences, told.fields_not_told.len()), (Vec::new(), 0));
    // A replay by a person noted no end, and an end that is no time tells nothing.
    let mut replay = older;
    replay.actor = Actor::person("kim");
    let odd = ended(&json!({ "fingerprint": "f", "status": "resolved", "endedAt": "soon" }));
    assert_eq!(report(&[replay, odd], 1, &[]), DeepReport::default());
}
