//! Tests of `alertmanager`, on bodies in the shape of 0.25 and 0.34.
//!
//! Never: uses a recorded body of a real site.

use serde_json::json;

use super::super::testing::{changed, check, only, read, told};
use crate::config::SourceKind::Alertmanager;

const OLD: &str = include_str!("../../tests/samples/alertmanager/v0.25-mixed.json");
const NEW: &str = include_str!("../../tests/samples/alertmanager/v0.34-firing.json");
const TRUNCATED: &str = include_str!("../../tests/samples/alertmanager/v0.34-truncated.json");
const POISON: &str = include_str!("../../tests/samples/alertmanager/one-poison-of-three.json");

#[test]
fn each_alert_of_a_mixed_group_has_its_own_status() {
    assert_eq!(
        told(Alertmanager, OLD),
        "firing WindowsVmHung 90000001 2026-10-30T09:30:12.457Z to -\n\
         resolved WindowsVmHung 90000002 2026-10-30T09:20:12.457Z to 2026-10-30T09:31:42.457123456Z"
    );
    assert!(read(Alertmanager, OLD).unwrap().holds_resolved());
}

#[test]
fn the_newest_payload_is_read_and_its_new_fields_are_not_needed() {
    let alert = only(Alertmanager, NEW);
    assert_eq!(alert.fingerprint, "c2b6a1f05d7e4931");
    assert_eq!(alert.labels.len(), 6);
    assert_eq!(alert.sender_time, None);
    for field in ["/notification_reason", "/routeLabels", "/truncatedAlerts", "/groupKey", "/commonLabels"] {
        assert_eq!(only(Alertmanager, changed(NEW, field, None)), alert, "{field}");
    }
    let body = changed(NEW, "/somethingNew", Some(json!({"a": [1, null]})));
    assert_eq!(only(Alertmanager, body), alert);
}

#[test]
fn alerts_that_were_left_out_are_counted() {
    check(Alertmanager, TRUNCATED, "truncated 3");
    check(
        Alertmanager,
        changed(NEW, "/truncatedAlerts", Some(json!(-1))),
        "422 `truncatedAlerts`: expected u64",
    );
    check(
        Alertmanager,
        changed(NEW, "/truncatedAlerts", Some(json!("3"))),
        "422 `truncatedAlerts`: expected u64",
    );
}

#[test]
fn one_poison_alert_does_not_block_the_others_and_names_no_server() {
    assert_eq!(
        told(Alertmanager, POISON),
        "firing WindowsVmHung 90000001 2026-10-30T09:30:12.457Z to -\n\
         firing WindowsVmHung \u{fffd}90000002 2026-10-30T09:30:12.457Z to -\n\
         firing WindowsVmHung 90000003 2026-10-30T09:30:12.457Z to -"
    );
}

#[test]
fn another_version_is_another_shape() {
    for (value, expected) in [
        (Some(json!("3")), "422 `version`: expected \"4\"; send Alertmanager's default"),
        (Some(json!("1")), "422 `version`: expected \"4\""),
        (Some(json!(4)), "422 `version`: expected a string"),
        (None, "422 missing field `version`"),
    ] {
        check(Alertmanager, changed(NEW, "/version", value), expected);
    }
}

#[test]
fn a_missing_fingerprint_is_made_from_the_labels_alone() {
    let made = only(Alertmanager, changed(NEW, "/alerts/0/fingerprint", None)).fingerprint;
    assert_eq!(made.len(), 16);
    let blank = changed(NEW, "/alerts/0/fingerprint", Some(json!("")));
    assert_eq!(only(Alertmanager, &blank).fingerprint, made);
    let later = changed(&blank, "/alerts/0/startsAt", Some(json!("2026-10-30T10:00:00Z")));
    assert_eq!(only(Alertmanager, later).fingerprint, made);
    let other = changed(&blank, "/alerts/0/labels", Some(json!({"alertname": "WindowsVmHung"})));
    assert_ne!(only(Alertmanager, other).fingerprint, made);
    let odd = changed(NEW, "/alerts/0/fingerprint", Some(json!("a b\n")));
    check(Alertmanager, odd, "quarantined - `fingerprint`: expected");
}

#[test]
fn an_alert_without_a_name_is_still_an_alert() {
    for labels in [json!({}), json!({"alertname": ""}), json!({"severity": "critical"})] {
        assert_eq!(only(Alertmanager, changed(NEW, "/alerts/0/labels", Some(labels))).name, "(unnamed)");
    }
}

#[test]
fn times_are_read_or_quarantine_their_alert() {
    let resolved = changed(NEW, "/alerts/0/status", Some(json!("resolved")));
    for (place, value, expected) in [
        ("endsAt", json!("0001-01-01T00:00:00Z"), "09:30:12.457Z to -"),
        ("endsAt", json!(null), "09:30:12.457Z to -"),
        ("endsAt", json!("9999-12-31T23:59:59Z"), "09:30:12.457Z to -"),
        ("endsAt", json!("2026-10-30T09:40:00Z"), "to 2026-10-30T09:40:00Z"),
        // An end is applied whatever its times are.
        ("endsAt", json!("soon"), "09:30:12.457Z to -"),
        ("startsAt", json!("2026-10-30 09:40"), "90000001 - to -"),
        ("endsAt", json!(1_793_337_600), "resolved WindowsVmHung 90000001 2026-10-30T09:30:12.457Z to -"),
        ("startsAt", json!("0001-01-01T00:00:00Z"), "90000001 - to -"),
    ] {
        check(Alertmanager, changed(&resolved, &format!("/alerts/0/{place}"), Some(value)), expected);
    }
    for value in ["2026-10-30 09:40", "2026-10-30T09:40:00", "9999-12-31T23:59:59Z"] {
        let firing = changed(NEW, "/alerts/0/startsAt", Some(json!(value)));
        check(Alertmanager, firing, "quarantined c2b6a1f05d7e4931 `startsAt`: expected a time");
    }
    let firing = changed(NEW, "/alerts/0/endsAt", Some(json!("2026-10-30T09:35:00Z")));
    assert_eq!(only(Alertmanager, firing).ends_at, None);
}

#[test]
fn only_firing_and_resolved_are_statuses() {
    for status in ["Firing", "FIRING", "pending", "", "suppressed"] {
        let body = changed(NEW, "/alerts/0/status", Some(json!(status)));
        check(Alertmanager, body, "quarantined c2b6a1f05d7e4931 `status`: expected \"firing\"");
    }
}

#[test]
fn grafana_alerts_that_came_through_an_alertmanager_stay_unmeasured() {
    let body = changed(NEW, "/alerts/0/labels", Some(json!({"alertname": "DatasourceNoData"})));
    check(Alertmanager, body, "never: Grafana had no data");
}
