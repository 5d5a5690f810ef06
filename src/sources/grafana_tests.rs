//! Tests of `grafana`: the default body, and what says only that nothing was measured.
//!
//! Never: uses a recorded body of a real site.

use serde_json::json;

use super::super::testing::{changed, check, only, signed_at, told};
use crate::config::SourceKind::{Alertmanager, Grafana};

const FIRING: &str = include_str!("../../tests/samples/grafana/firing.json");
const RESOLVED: &str = include_str!("../../tests/samples/grafana/resolved.json");
const NO_DATA: &str = include_str!("../../tests/samples/grafana/no-data.json");
const TEST: &str = include_str!("../../tests/samples/grafana/test-contact-point.json");

#[test]
fn a_firing_and_its_end_are_one_alert() {
    let firing = only(Grafana, FIRING);
    let resolved = only(Grafana, RESOLVED);
    assert_eq!(told(Grafana, FIRING), "firing WindowsVmHung 90000001 2026-10-30T09:30:10Z to -");
    assert_eq!(
        told(Grafana, RESOLVED),
        "resolved WindowsVmHung 90000001 2026-10-30T09:30:10Z to 2026-10-30T09:42:10Z"
    );
    assert_eq!((firing.fingerprint, firing.starts_at), (resolved.fingerprint, resolved.starts_at));
    assert_eq!(firing.sender_time, Some(signed_at()));
}

#[test]
fn what_measured_nothing_may_never_act() {
    let lines = told(Grafana, NO_DATA);
    let never: Vec<&str> = lines.lines().filter(|line| line.contains(" never: ")).collect();
    assert_eq!(never.len(), 4, "{lines}");
    assert!(lines.ends_with("truncated 1"), "{lines}");
    check(Grafana, TEST, "never: a test of the Grafana contact point");
}

#[test]
fn a_state_reason_counts_in_a_label_and_in_an_annotation() {
    for (reason, never) in [
        ("NoData", true),
        ("Error", true),
        ("NoData, KeepLast", true),
        ("KeepLast, Error", true),
        ("nodata", true),
        ("Updated", false),
    ] {
        for place in ["labels", "annotations"] {
            let place = format!("/alerts/0/{place}/grafana_state_reason");
            let alert = only(Grafana, changed(FIRING, &place, Some(json!(reason))));
            assert_eq!(alert.never_actionable.is_some(), never, "{reason} in {place}");
        }
    }
}

#[test]
fn each_of_the_two_senders_needs_its_own_kind_of_source() {
    check(Alertmanager, FIRING, "422 `version`: expected \"4\"");
    let other = include_str!("../../tests/samples/alertmanager/v0.34-firing.json");
    check(Grafana, other, "422 `version`: expected \"1\"; send Grafana's default webhook body");
}
