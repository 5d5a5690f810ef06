//! Tests of `cloud_insight`, on hand-made bodies: no recorded delivery of the vendor is public.
//!
//! Never: takes a sample for proof of what the vendor sends.

use serde_json::{Value, json};

use super::super::testing::{changed, check, only, read, received_at, told};
use crate::config::SourceKind::CloudInsight;

macro_rules! sample {
    ($name:literal) => {
        include_str!(concat!("../../tests/samples/cloud-insight/", $name))
    };
}

const ALARM: &str = sample!("edited-alarm.json");
const REMINDER: &str = sample!("edited-alarm-reminder.json");
const RESOLVE: &str = sample!("edited-resolve.json");
const EVENT: &str = sample!("functions-trigger-event.json");

#[test]
fn begin_reminder_and_end_are_one_alert() {
    let begin = only(CloudInsight, ALARM);
    assert_eq!(told(CloudInsight, ALARM), "firing hung-windows 90000001 2026-10-30T05:20:00Z to -");
    assert_eq!(
        told(CloudInsight, RESOLVE),
        "resolved hung-windows 90000001 2026-10-30T05:20:00Z to 2026-10-30T06:20:00Z"
    );
    let reminder = only(CloudInsight, REMINDER);
    assert_eq!(begin.sender_time.unwrap().to_string(), "2026-10-30T05:20:00Z");
    assert_eq!(reminder.sender_time.unwrap().to_string(), "2026-10-30T05:50:00Z");
    for other in [reminder, only(CloudInsight, RESOLVE), only(CloudInsight, EVENT)] {
        assert_eq!((&other.fingerprint, other.starts_at), (&begin.fingerprint, begin.starts_at));
    }
    assert_eq!(begin.fingerprint.len(), 16);
    assert_eq!(only(CloudInsight, sample!("edited-alarm-json-dimensions.json")), begin);
}

#[test]
fn labels_carry_what_policies_match_on() {
    let labels = only(CloudInsight, ALARM).labels;
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        labels.join(" "),
        "alertname=hung-windows dimension_type=svr domain_code=PUB level=CRITICAL metric=avg_cpu_used_rto \
         product_key=460438474722512896 product_name=System/Server(VPC) region_code=KR resource_name=win-app-01 \
         rule_id=700000000000000001 server_instance_no=90000001"
    );
}

#[test]
fn the_default_sentence_is_recognised_and_says_how_to_mend_it() {
    for body in
        [sample!("default-template.json"), sample!("default-alarm.json"), sample!("default-resolve.json")]
    {
        check(CloudInsight, body, "quarantined - `text`: this is Cloud Insight's default sentence");
        check(CloudInsight, body, "config/cloud-insight/payload-template.json");
    }
}

#[test]
fn a_transfer_test_is_recorded_and_never_acts() {
    let shipped = include_str!("../../config/cloud-insight/payload-template.json");
    let bare = r#"{"payloadVersion":"1"}"#;
    let own = changed(shipped, "/dimensions", Some(json!("instanceNo: 90000001, type: svr")));
    let own = changed(&own, "/eventStatus", Some(json!("ALARM")));
    for body in [sample!("test-unsubstituted.json"), sample!("test-blank-values.json"), shipped, bare, &own] {
        let alert = only(CloudInsight, body);
        assert_eq!(alert.never_actionable.as_deref(), Some("Cloud Insight transfer test"));
        assert_eq!(alert.starts_at, Some(received_at()));
        assert_eq!(alert.labels.get("server_instance_no"), None);
    }
}

#[test]
fn the_shipped_template_holds_every_field_that_is_read() {
    let shipped: Value =
        serde_json::from_str(include_str!("../../config/cloud-insight/payload-template.json")).unwrap();
    let sample: Value = serde_json::from_str(ALARM).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&shipped), keys(&sample));
    assert_eq!(shipped["payloadVersion"], "1");
    assert!(shipped.to_string().len() < 15_000);
}

#[test]
fn only_exact_listed_words_have_a_meaning() {
    for word in
        ["alarm", "ALARM ", "Alarm", "ALERT", "RESOLVED", "NOT RESOLVE", "", "#{EVENT_STATUS}", "알람"]
    {
        check(
            CloudInsight,
            changed(ALARM, "/eventStatus", Some(json!(word))),
            "quarantined - `eventStatus`: expected one of the source's firing_values",
        );
    }
    check(CloudInsight, changed(ALARM, "/eventStatus", None), "quarantined - `eventStatus`");
}

#[test]
fn a_blank_or_unfilled_field_of_a_firing_alarm_quarantines_it() {
    for field in ["ruleId", "metric", "alarmStartTime", "dataTime", "dimensions"] {
        for value in [Some(json!("")), Some(json!("#{SOME_NAME}")), Some(json!(null)), None] {
            let told = told(CloudInsight, changed(ALARM, &format!("/{field}"), value.clone()));
            assert!(told.starts_with(&format!("quarantined - `{field}")), "{field} {value:?}: {told}");
        }
    }
    let unnamed = changed(ALARM, "/ruleName", Some(json!("#{RULE_NAME}")));
    check(CloudInsight, unnamed, "firing (unnamed) 90000001");
    let unit = changed(ALARM, "/regionCode", Some(json!("#{REGION_CODE}")));
    assert_eq!(only(CloudInsight, unit).labels.get("region_code"), None);
}

#[test]
fn an_end_is_applied_whatever_its_times_are() {
    for field in ["alarmStartTime", "alarmEndTime", "dataTime"] {
        let told = told(CloudInsight, changed(RESOLVE, &format!("/{field}"), Some(json!("?"))));
        assert!(told.starts_with("resolved hung-windows 90000001"), "{field}: {told}");
    }
    let other = changed(RESOLVE, "/dimensions", Some(json!("type: svr")));
    check(CloudInsight, other, "quarantined - `dimensions`: expected exactly one instanceNo");
}

#[test]
fn times_are_epoch_milliseconds_or_plain_korean_time() {
    for (value, expected) in [
        (json!(1_793_337_600_000_i64), "2026-10-30T05:20:00Z to"),
        (json!("2026-10-30 14:20:00"), "2026-10-30T05:20:00Z to"),
        (json!("1793337600"), "quarantined - `alarmStartTime`: expected epoch milliseconds"),
        (json!("1793337600000000"), "quarantined"),
        (json!("99999999999999999999999"), "quarantined"),
        (json!("-1793337600000"), "quarantined"),
        (json!(1.793_337_6e12), "quarantined"),
        (json!("2026-10-30 14:20"), "quarantined"),
        (json!("2026-13-30 14:20:00"), "quarantined"),
        (json!("30.10.2026"), "quarantined"),
    ] {
        check(CloudInsight, changed(ALARM, "/alarmStartTime", Some(value)), expected);
    }
}

#[test]
fn dimensions_may_be_an_object_and_numbers_may_be_numbers() {
    let begin = only(CloudInsight, ALARM);
    let object = changed(ALARM, "/dimensions", Some(json!({"instanceNo": 90_000_001, "type": "svr"})));
    assert_eq!(only(CloudInsight, object), begin);
    let number = changed(ALARM, "/ruleId", Some(json!(700_000_000_000_000_001_u64)));
    assert_eq!(only(CloudInsight, number), begin);
}

#[test]
fn an_event_of_cloud_functions_ends_when_its_end_is_not_zero() {
    assert_eq!(told(CloudInsight, EVENT), "firing hung-windows 90000001 2026-10-30T05:20:00Z to -");
    assert_eq!(only(CloudInsight, EVENT).sender_time, None);
    for (value, expected) in [
        (
            Some(json!(1_793_341_200_000_i64)),
            "resolved hung-windows 90000001 2026-10-30T05:20:00Z to 2026-10-30T06:20:00Z",
        ),
        (Some(json!("0")), "firing hung-windows"),
        (Some(json!(-1)), "quarantined - `endTime`"),
        (Some(json!(null)), "quarantined - `endTime`"),
        (None, "quarantined - `endTime`"),
    ] {
        check(CloudInsight, changed(EVENT, "/events/endTime", value), expected);
    }
    check(CloudInsight, sample!("search-event-open.json"), "firing hung-windows 90000001");
    let planned = changed(EVENT, "/events/inMaintenance", Some(json!(true)));
    check(CloudInsight, planned, "never: Cloud Insight counts this event as planned maintenance");
}

#[test]
fn an_unescaped_quote_is_refused_with_a_hint() {
    let body = sample!("broken-unescaped-quote.txt");
    check(CloudInsight, body, "400 the body is not readable JSON");
    check(CloudInsight, body, "a rule or resource name with a quote");
}

#[test]
fn another_shape_is_refused_with_the_way_out() {
    for (body, expected) in [
        (r#"{"payloadVersion":"2"}"#, "422 `payloadVersion`: expected \"1\"; set the integration's payload"),
        (r#"{"ruleName":"x"}"#, "422 `payloadVersion`: expected \"1\", nothing was given"),
        (r#"{"payloadVersion":["1"]}"#, "422 `payloadVersion`: expected \"1\""),
        (r#"{"events":"x"}"#, "422 `events`: expected the event"),
        (r#"{"events":[null]}"#, "quarantined - expected a JSON object"),
        ("[]", "422 expected one JSON object"),
    ] {
        check(CloudInsight, body, expected);
    }
    let wrong = changed(ALARM, "/ruleName", Some(json!({"a": 1})));
    check(CloudInsight, wrong, "firing (unnamed) 90000001");
    let control = changed(ALARM, "/resourceName", Some(json!("a\u{1b}[31m")));
    check(CloudInsight, control, "firing hung-windows 90000001");
    assert!(read(CloudInsight, ALARM).unwrap().truncated == 0);
}
