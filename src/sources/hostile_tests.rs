//! Hostile input: the table of bodies that nobody should send, and two laws for all the others.
//!
//! Never: expects a panic.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::testing::{LIMITS, changed, check, only, read, told};
use crate::config::SourceKind::{self, Alertmanager, CloudInsight, Grafana};
use crate::domain::alert::{AlertStatus, Parsed};

const KINDS: [SourceKind; 3] = [Alertmanager, Grafana, CloudInsight];
const SAMPLE: &str = include_str!("../../tests/samples/alertmanager/v0.34-firing.json");

#[test]
fn what_is_not_one_sound_json_object_is_refused_by_every_dialect() {
    let deep = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let many = (0..300).map(|n| format!("\"f{n}\":1")).collect::<Vec<_>>().join(",");
    for (body, expected) in [
        (Vec::new(), "400 the body is not readable JSON: it is empty"),
        (b" \n".to_vec(), "400"),
        (b"not json".to_vec(), "400"),
        (b"alert=1&x=2".to_vec(), "400"),
        (b"\xef\xbb\xbf{}".to_vec(), "400"),
        (br#"{"version":"4""#.to_vec(), "400"),
        (br"{} {}".to_vec(), "400"),
        (b"{\"version\":\xff}".to_vec(), "400 the body is not readable JSON: invalid UTF-8 after byte 11"),
        (b"\x1f\x8b\x08\0".to_vec(), "400"),
        // Text that cannot be decoded is no reason to refuse what stands beside it.
        (b"{\"version\":\"\xff\"}".to_vec(), "422"),
        (br#"{"a":"\ud800"}"#.to_vec(), "422"),
        (b"{\"a\":\"line\nline\"}".to_vec(), "422"),
        (br#"{"a":1e999}"#.to_vec(), "400 the body is not readable JSON: number out of range"),
        (br#"{"a":NaN}"#.to_vec(), "400"),
        (deep(128).into_bytes(), "400 the body is not readable JSON: recursion limit exceeded"),
        (deep(129).into_bytes(), "400"),
        (deep(100_000).into_bytes(), "400"),
        (b"[".repeat(100_000), "400"),
        (
            br#"{"version":"4","version":"4"}"#.to_vec(),
            "400 the body is not readable JSON: field `version` is given",
        ),
        (br#"{"x":1,"\u0078":2}"#.to_vec(), "400 the body is not readable JSON: field `x` is given twice"),
        (format!("{{{many}}}").into_bytes(), "400 the body is not readable JSON: more than 256 fields"),
        (b"[]".to_vec(), "422 expected one JSON object at the top"),
        (b"null".to_vec(), "422"),
        (b"\"text\"".to_vec(), "422"),
        (b"12".to_vec(), "422"),
        (b"{}".to_vec(), "422"),
    ] {
        for kind in KINDS {
            check(kind, &body, expected);
        }
    }
}

#[test]
fn a_sound_body_of_the_wrong_shape_names_its_field() {
    for (place, value, expected) in [
        ("/alerts", Some(json!(null)), "422 `alerts`: expected a sequence"),
        ("/alerts", Some(json!({})), "422 `alerts`: expected a sequence"),
        ("/alerts", Some(json!("x, expected y")), "422 `alerts`: expected a sequence"),
        ("/alerts", None, "422 missing field `alerts`"),
        ("/alerts", Some(json!([null])), "quarantined - expected a JSON object"),
        ("/alerts", Some(json!([["firing", {}]])), "quarantined - expected a JSON object"),
        ("/alerts", Some(json!([{}])), "quarantined - missing field `status`"),
        ("/alerts/0/labels", None, "quarantined c2b6a1f05d7e4931 missing field `labels`"),
        ("/alerts/0/labels", Some(json!(null)), "quarantined c2b6a1f05d7e4931 `labels`: expected an object"),
        ("/alerts/0/labels", Some(json!([])), "quarantined c2b6a1f05d7e4931 `labels`: expected an object"),
        ("/alerts/0/labels", Some(json!({"a": null, "b": 1, "c": [{}]})), "firing (unnamed) -"),
        ("/alerts/0/fingerprint", Some(json!(7)), "quarantined - `fingerprint`: expected a string"),
    ] {
        check(Alertmanager, changed(SAMPLE, place, value), expected);
    }
}

#[test]
fn a_delivery_holds_two_thousand_alerts_and_no_more() {
    let alert: Value = serde_json::from_str::<Value>(SAMPLE).unwrap()["alerts"][0].clone();
    let full = changed(SAMPLE, "/alerts", Some(json!(vec![alert.clone(); LIMITS.alerts_max])));
    assert_eq!(read(Alertmanager, full).unwrap().alerts.len(), LIMITS.alerts_max);
    let over = changed(SAMPLE, "/alerts", Some(json!(vec![alert; LIMITS.alerts_max + 1])));
    check(Alertmanager, over, "413 the delivery holds 2001 alerts, at most 2000 are read");
    let events = json!({ "events": vec![json!({}); LIMITS.alerts_max + 1] });
    check(CloudInsight, events.to_string(), "413");
}

#[test]
fn labels_have_limits_and_any_script() {
    let set =
        |name: &str, value: &str| changed(SAMPLE, &format!("/alerts/0/labels/{name}"), Some(json!(value)));
    for value in ["a\nb", "a\u{0}b", "\u{1b}[31m", "\u{7f}", "\u{85}"] {
        // Whoever reads the label may not decide by it; that is not known here.
        check(Alertmanager, set("note", value), "firing WindowsVmHung 90000001");
    }
    check(Alertmanager, set("no\u{7}te", &"a".repeat(5_000)), "label `no\u{fffd}te`");
    check(Alertmanager, set("", "a"), "firing WindowsVmHung");
    check(Alertmanager, set("alertname", "a\nb"), "firing a\u{fffd}b 90000001");
    check(
        Alertmanager,
        set("note", &"x".repeat(100_000)),
        "label `note`: 100000 bytes, at most 4096 are read",
    );
    check(Alertmanager, set(&"n".repeat(5_000), "x"), "5000 bytes, at most 4096");
    check(Alertmanager, set("note", &"x".repeat(4_096)), "firing WindowsVmHung");
    check(Alertmanager, set("note", "<script>alert(1)</script>"), "firing WindowsVmHung");
    check(Alertmanager, set("note", "서버가 멈췄습니다 🙂"), "firing WindowsVmHung");
    let many: serde_json::Map<String, Value> = (0..65).map(|n| (format!("l{n}"), json!("x"))).collect();
    check(
        Alertmanager,
        changed(SAMPLE, "/alerts/0/labels", Some(many.into())),
        "65 labels, at most 64 are read",
    );
}

#[test]
fn a_key_given_twice_inside_an_alert_quarantines_that_alert() {
    for (from, to) in [
        (r#""severity""#, r#""server_instance_no": "90000002", "severity""#),
        (
            r#""status": "firing",
      "labels""#,
            r#""status": "resolved", "status": "firing", "labels""#,
        ),
    ] {
        let body = SAMPLE.replacen(from, to, 1);
        assert_ne!(body, SAMPLE);
        let told = told(Alertmanager, &body);
        assert!(told.starts_with("quarantined c2b6a1f05d7e4931") && !told.contains('\n'), "{told}");
    }
    let twice = SAMPLE.replacen(r#""severity""#, r#""server_instance_no": "90000002", "severity""#, 1);
    check(Alertmanager, twice, "`labels`: `server_instance_no` is given twice");
}

#[test]
fn no_text_of_the_sender_reaches_a_message_uncleaned() {
    let hostile = "\u{202e}\u{1b}[31m\r\nlevel=info";
    for body in [
        changed(SAMPLE, "/alerts", Some(json!(hostile))),
        changed(SAMPLE, "/alerts/0/status", Some(json!({ hostile: hostile }))),
        changed(SAMPLE, "/alerts/0/labels", Some(json!({ hostile: 1 }))),
        changed(SAMPLE, &format!("/alerts/0/labels/{hostile}"), Some(json!("x"))),
        changed(SAMPLE, "/version", Some(json!(hostile))),
        format!("{{{0}:1,{0}:2}}", json!(hostile)),
    ] {
        for kind in KINDS {
            let told = told(kind, &body);
            assert!(!told.contains(['\u{202e}', '\u{1b}', '\r']) && told.lines().count() == 1, "{told:?}");
        }
    }
}

const ENDED: &str = include_str!("../../tests/samples/grafana/resolved.json");

/// The sample as a delivery that says its alert is over.
fn ended() -> String {
    changed(SAMPLE, "/alerts/0/status", Some(json!("resolved")))
}

#[test]
fn what_decides_nothing_spoils_nothing() {
    let whole = only(Alertmanager, SAMPLE);
    for (place, value) in [
        ("annotations", json!({"value": 3, "note": null})),
        ("annotations", json!({"long": "x".repeat(1_000_000)})),
        ("annotations", json!(["a"])),
        ("annotations", json!("text")),
        ("annotations", json!(null)),
        ("generatorURL", json!({"a": 1})),
        ("generatorURL", json!("\u{0}")),
    ] {
        assert_eq!(only(Alertmanager, changed(SAMPLE, &format!("/alerts/0/{place}"), Some(value))), whole);
    }
    let torn = SAMPLE.replacen(r#""summary": ""#, r#""summary": "\ud83d and \ude00\ud83d\ude00 "#, 1);
    assert_ne!(torn, SAMPLE);
    assert_eq!(only(Alertmanager, torn), whole);
    let twice = SAMPLE.replacen(r#""summary""#, r#""summary": "x", "summary""#, 1);
    assert_eq!(only(Alertmanager, twice), whole);
    let label = SAMPLE.replacen(r#""severity": ""#, r#""severity": "a\ud83d\udca9b\udca9"#, 1);
    assert!(only(Alertmanager, label).labels["severity"].starts_with("a\u{1f4a9}b\u{fffd}"));
}

#[test]
fn an_end_is_read_whatever_else_is_wrong_with_it() {
    let firing = only(Alertmanager, SAMPLE);
    let ended = ended();
    for (place, value) in [
        ("startsAt", json!(7)),
        ("endsAt", json!({})),
        ("annotations", json!(["a"])),
        ("labels", json!(null)),
        ("labels", json!({"alertname": 1})),
        (
            "labels",
            json!((0..200).map(|n| (format!("l{n}"), "x")).collect::<std::collections::BTreeMap<_, _>>()),
        ),
        ("labels", json!({"note": "x".repeat(100_000)})),
        ("labels", json!({"note": "a\u{0}b"})),
    ] {
        let end = only(Alertmanager, changed(&ended, &format!("/alerts/0/{place}"), Some(value)));
        assert_eq!((end.status, &end.fingerprint), (AlertStatus::Resolved, &firing.fingerprint), "{place}");
        assert!(super::wire::check_labels(&end.labels, &LIMITS).is_ok());
    }
    for fingerprint in [None, Some(json!(7)), Some(json!("a b\n")), Some(json!(""))] {
        let end = only(Alertmanager, changed(&ended, "/alerts/0/fingerprint", fingerprint));
        assert!(end.status == AlertStatus::Resolved && end.is_named_by_its_labels());
        assert_eq!(end.labels, firing.labels);
    }
    let twice = ended.replacen(r#""severity""#, r#""severity":"x","severity""#, 1);
    assert_eq!(only(Alertmanager, twice).fingerprint, firing.fingerprint);
    for not_an_end in [json!({"status": "resolved"}), json!({"status": ["resolved"], "fingerprint": "a"})] {
        check(Alertmanager, changed(&ended, "/alerts", Some(json!([not_an_end]))), "quarantined");
    }
}

#[test]
fn the_ends_of_a_body_that_cannot_be_read_are_found() {
    let ended = ended();
    let alert = serde_json::from_str::<Value>(&ended).unwrap()["alerts"][0].clone();
    let found = |kind: SourceKind, body: &[u8]| {
        assert!(read(kind, body).is_err(), "{}", String::from_utf8_lossy(body));
        let ends =
            super::ends(&super::testing::source(kind), &LIMITS, body, None, super::testing::received_at());
        let each = ends.iter().map(|parsed| match parsed {
            Parsed::Alert(alert) => format!("{} {}", alert.status.as_str(), alert.name),
            Parsed::Quarantined { why, .. } => panic!("{why}"),
        });
        each.collect::<Vec<_>>().join(", ")
    };
    let end = "resolved WindowsVmHung";
    let whole = changed(&ended, "/truncatedAlerts", Some(json!(0)));
    let two = changed(&whole, "/alerts", Some(json!([alert.clone(), alert.clone()])));
    let cut = |text: &str, from_end: usize| text.split_at(text.len() - from_end).0.to_owned();
    let behind = whole.len() - whole.find("}],").unwrap();
    for (body, expected) in [
        (cut(&whole, 1), end.to_owned()),
        (cut(&whole, behind - 1), end.to_owned()),
        (cut(&two, two.len() - two.rfind("\"status\":\"resolved\"").unwrap()), end.to_owned()),
        (changed(&whole, "/version", Some(json!("3"))), end.to_owned()),
        (changed(&whole, "/truncatedAlerts", Some(json!(-1))), end.to_owned()),
        (whole.replacen('{', "{\"receiver\":\"again\",", 1), end.to_owned()),
        (format!("[{whole}]"), end.to_owned()),
        (SAMPLE.replacen('{', "{\"receiver\":\"again\",", 1), String::new()),
        (format!("{{\"a\":{}", "{\"a\":".repeat(100_000)), String::new()),
        ("{\"".repeat(100_000), String::new()),
    ] {
        assert_eq!(found(Alertmanager, body.as_bytes()), expected);
    }
    let many = changed(&whole, "/alerts", Some(json!(vec![alert; LIMITS.alerts_max + 1])));
    assert_eq!(found(Alertmanager, many.as_bytes()).split(", ").count(), LIMITS.alerts_max);
    assert_eq!(found(Grafana, cut(ENDED.trim_end(), 1).as_bytes()), end);
    let quote = include_str!("../../tests/samples/cloud-insight/broken-unescaped-quote.txt");
    assert_eq!(found(CloudInsight, quote.as_bytes()), "");
    let over = include_str!("../../tests/samples/cloud-insight/edited-resolve.json");
    let over = over.replacen("\"hung-windows\"", "\"disk \"C:\" full\"", 1);
    assert_eq!(found(CloudInsight, over.as_bytes()), "resolved (unnamed)");
}

#[test]
fn a_zero_time_says_none_in_whatever_zone_it_is_written() {
    for zero in ["0001-01-01T00:00:00Z", "0001-01-01T08:27:52+08:27", "0000-12-31T19:03:58-04:56"] {
        let body = changed(SAMPLE, "/alerts/0/startsAt", Some(json!(zero)));
        let alert = only(Alertmanager, changed(&body, "/alerts/0/endsAt", Some(json!(zero))));
        assert_eq!((alert.starts_at, alert.ends_at), (None, None), "{zero}");
    }
}

#[test]
fn a_test_comes_without_the_key_of_a_group() {
    let keyed = |sample: &str, key: Option<Value>| changed(sample, "/groupKey", key);
    let firing = include_str!("../../tests/samples/grafana/firing.json");
    for key in [
        r#"{alertname="WindowsVmHung", server_instance_no="90000001"}2026-10-30 18:30:10.5 +0900 KST m=+9.1"#,
        r#"{a="}:{", alertname="WindowsVmHung"}2026-10-30 18:30:10.5 +0900 KST m=+9.1"#,
        "webhook-57c6d9296de2ad39-1793352610",
        "}:{",
        "",
    ] {
        for (kind, sample) in [(Grafana, firing), (Alertmanager, SAMPLE)] {
            check(kind, keyed(sample, Some(json!(key))), "never: a test of the contact point");
        }
    }
    for key in ["{}:{}", "{}/{}:{a=\"b\"}", "{}/{severity=\"critical\"}/{team=~\"a|b\"}:{alertname=\"X\"}"] {
        for (kind, sample) in [(Grafana, firing), (Alertmanager, SAMPLE)] {
            assert_eq!(only(kind, keyed(sample, Some(json!(key)))).never_actionable, None, "{key}");
        }
    }
    // Grafana always gives one; what else speaks Alertmanager's language may not.
    assert!(only(Grafana, keyed(firing, None)).never_actionable.is_some());
    assert_eq!(only(Alertmanager, keyed(SAMPLE, None)).never_actionable, None);
}

fn any_json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        "[a-z]{0,3}",
        prop::sample::select(vec![
            "version",
            "alerts",
            "status",
            "labels",
            "startsAt",
            "endsAt",
            "fingerprint",
            "truncatedAlerts",
            "payloadVersion",
            "events",
            "dimension",
            "dimensions",
            "endTime",
            "startTime",
            "ruleId",
            "metric",
            "eventStatus",
            "alarmStartTime",
            "dataTime",
            "text",
            "instanceNo",
        ])
        .prop_map(str::to_owned),
    ];
    let word = prop::sample::select(vec![
        "1",
        "4",
        "0",
        "firing",
        "resolved",
        "ALARM",
        "RESOLVE",
        "instanceNo: 1, type: svr",
        "{instanceNo=",
        "{\"",
        "1793337600000",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "#{X}",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for kind in KINDS {
            let _answered = read(kind, &body);
        }
    }

    #[test]
    fn a_sample_with_bytes_changed_is_answered(place in 0..SAMPLE.len(), byte in any::<u8>()) {
        let mut body = SAMPLE.as_bytes().to_vec();
        body[place] = byte;
        let _answered = read(Alertmanager, &body);
    }

    #[test]
    fn any_json_is_answered_and_only_checked_alerts_pass(value in any_json()) {
        let wrapped = json!({"version": "4", "payloadVersion": "1", "alerts": [value.clone()], "dimensions": value.clone()});
        for body in [value.to_string(), wrapped.to_string()] {
            for kind in KINDS {
                let Ok(envelope) = read(kind, &body) else { continue };
                for parsed in envelope.alerts {
                    if let Parsed::Alert(alert) = parsed {
                        prop_assert!(!alert.fingerprint.is_empty() && !alert.name.is_empty());
                        prop_assert!(super::wire::check_labels(&alert.labels, &LIMITS).is_ok());
                    }
                }
            }
        }
    }
}
