//! What is told of which event, and that no text of others does anything in a chat.

use serde_json::json;

use super::*;
use crate::domain::audit::Actor;

fn event(kind: &str, detail: &Value) -> AuditEvent {
    let mut event = AuditEvent::new(Timestamp::UNIX_EPOCH, kind, Actor::service("test")).with_detail(detail);
    event.remediation_id = Some("r-1".into());
    event.policy = Some("p-1".into());
    event.source = Some("am".into());
    event.server_instance_no = Some("4299".into());
    event.region_code = Some("KR".into());
    event
}

fn moved_to(from: &str, to: &str) -> AuditEvent {
    event("remediation_moved", &json!({ "from": from, "to": to, "detail": "why it moved" }))
}

fn kind_of(event: &AuditEvent) -> Option<Kind> {
    message_for(event).map(|message| message.kind)
}

#[test]
fn moves_are_told_by_where_they_lead_and_conditions_last_as_long_as_the_state() {
    for (from, to, kind, begins, ends) in [
        ("settling", "awaiting_approval", Some(Kind::Proposed), Some("approval/r-1"), None),
        ("settling", "queued", None, None, None),
        ("settling", "cancelled", None, None, None),
        ("awaiting_approval", "queued", None, None, Some("approval/r-1")),
        ("awaiting_approval", "cancelled", Some(Kind::Withdrawn), None, Some("approval/r-1")),
        ("awaiting_approval", "expired", Some(Kind::Withdrawn), None, Some("approval/r-1")),
        ("queued", "awaiting_approval", Some(Kind::Proposed), Some("approval/r-1"), None),
        ("queued", "expired", None, None, None),
        ("queued", "intent", None, None, None),
        ("intent", "queued", None, None, None),
        ("intent", "accepted", None, None, None),
        ("intent", "rejected", None, None, None),
        ("intent", "not_sent", Some(Kind::NotSent), None, None),
        ("intent", "unknown", Some(Kind::Unknown), Some("unknown/r-1"), None),
        ("unknown", "accepted", None, None, Some("unknown/r-1")),
        ("unknown", "confirmed", Some(Kind::Confirmed), None, Some("unknown/r-1")),
        ("unknown", "closed_happened", Some(Kind::Settled), None, Some("unknown/r-1")),
        ("accepted", "unconfirmed", Some(Kind::Unconfirmed), Some("unconfirmed/r-1"), None),
        ("accepted", "confirmed", Some(Kind::Confirmed), None, None),
        ("unconfirmed", "closed_not_happened", Some(Kind::Settled), None, Some("unconfirmed/r-1")),
    ] {
        let event = moved_to(from, to);
        let message = message_for(&event);
        assert_eq!(message.as_ref().map(|m| m.kind), kind, "{from} to {to}");
        assert_eq!(message.and_then(|m| m.condition).as_deref(), begins, "{from} to {to}");
        assert_eq!(ended_by(&event).as_deref(), ends, "{from} to {to}");
    }
}

#[test]
fn what_begins_a_condition_has_an_event_that_ends_it() {
    for (begins, ends, condition) in [
        ("storm_opened", "storm_cleared", "storm/7"),
        ("hold_set", "hold_cleared", "hold/7"),
        ("quarantine_opened", "quarantine_cleared", "quarantine/7"),
        ("policy_demoted", "policy_promoted", "demoted/p-1"),
        ("breaker_opened", "breaker_closed", "breaker/p-1"),
        ("breaker_opened", "breaker_reset", "breaker/p-1"),
        ("source_silent", "source_heard_again", "silent/am"),
    ] {
        let detail = json!({ "id": 7, "scope": "global", "name": "", "reason": "r", "why": "w" });
        let message = message_for(&event(begins, &detail)).unwrap();
        assert_eq!(message.condition.as_deref(), Some(condition), "{begins}");
        assert!(message.kind.needs_person(), "{begins}");
        assert_eq!(ended_by(&event(begins, &detail)), None, "{begins}");
        assert_eq!(ended_by(&event(ends, &detail)).as_deref(), Some(condition), "{ends}");
    }
}

#[test]
fn the_answer_of_the_cloud_is_told_with_its_own_words_and_once() {
    let mut accepted = event("attempt_outcome", &json!({ "try": 1, "cause": "returned 0" }));
    accepted.outcome = Some("accepted".into());
    accepted.request_id = Some("req-1".into());
    let told = message_for(&accepted).unwrap();
    assert_eq!((told.kind, told.request_id.as_deref()), (Kind::Sent, Some("req-1")));
    let mut rejected = accepted.clone();
    rejected.outcome = Some("rejected".into());
    rejected.return_code = Some("1300016".into());
    rejected.return_message = Some("no such server".into());
    let told = message_for(&rejected).unwrap();
    assert_eq!(told.detail.as_deref(), Some("1300016 no such server"));
    for silent in ["unknown", "not_sent", "nonsense"] {
        rejected.outcome = Some(silent.into());
        assert_eq!(kind_of(&rejected), None, "the move tells of {silent}");
    }
}

#[test]
fn an_event_that_is_not_looked_at_tells_nothing_and_odd_ones_neither() {
    for kind in ["alert_decided", "delivery_received", "remediation_waits", "evidence", "config_loaded", ""] {
        assert_eq!(kind_of(&event(kind, &json!({}))), None, "{kind}");
        assert!(!LOOKED_AT.contains(&kind));
    }
    let mut broken = moved_to("settling", "awaiting_approval");
    for detail in ["", "[]", "{", r#"{"from":1,"to":null}"#, r#"{"from":"settling","to":"elsewhere"}"#] {
        broken.detail = detail.to_owned();
        assert_eq!(kind_of(&broken), None, "{detail}");
        assert_eq!(ended_by(&broken), None, "{detail}");
    }
    for kind in LOOKED_AT {
        let mut event =
            event(kind, &json!({ "id": 1, "from": "unknown", "to": "confirmed", "scope": "global" }));
        event.outcome = Some("accepted".into());
        assert!(
            message_for(&event).is_some() || ended_by(&event).is_some(),
            "{kind} is looked at for nothing"
        );
    }
}

/// Everything that a chat, a terminal or an eye might fall for.
const HOSTILE: &str =
    "<!channel> <http://evil.example|Approve> @here & *x* `y`\n\u{202e}gpj.exe\u{200b}\u{1b}[2J";

#[test]
fn hostile_texts_become_plain_and_never_a_mark() {
    let mut told = moved_to("settling", "awaiting_approval");
    told.server_instance_no = Some(HOSTILE.into());
    told.policy = Some(HOSTILE.into());
    told.source = Some(HOSTILE.into());
    told.remediation_id = Some(HOSTILE.into());
    told.request_id = Some(HOSTILE.into());
    told = told.with_detail(&json!({ "from": "settling", "to": "awaiting_approval", "detail": HOSTILE }));
    let message = message_for(&told).unwrap().about(Some(HOSTILE), Some(HOSTILE));
    let whole = serde_json::to_string(&message).unwrap();
    assert!(!whole.chars().any(|c| c.is_control() || deceives(c)), "{whole:?}");
    let links = Links { public_url: Some("https://unhang.example".into()) };
    for kind in Kind::ALL {
        let message = Message {
            kind: *kind,
            who: Some(HOSTILE.into()),
            reason: Some(HOSTILE.into()),
            ..message.clone()
        };
        let text = Wording::default().text(Style::Slack, &message, &links);
        // Only our own marks are left: one bold title, and one link at the end.
        let (words, link) = text.rsplit_once('\n').unwrap();
        assert!(!words.contains(['<', '>']), "{text}");
        assert!(link.starts_with("<https://unhang.example/") && link.matches('<').count() == 1, "{text}");
        assert!(!link.contains("evil"), "{text}");
        assert!(
            !text.contains("@here")
                && !text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "").contains('&'),
            "{text}"
        );
        assert_eq!(words.matches('`').count() % 2, 0, "{text}");
    }
}

#[test]
fn long_texts_are_cut() {
    assert_eq!(plain(&"가".repeat(500), 3), "가가가…");
    assert_eq!(plain("a\r\nb\tc", 10), "a  b c");
    let mut hold =
        event("hold_set", &json!({ "id": 1, "scope": "global", "name": "", "reason": "x".repeat(5000) }));
    hold.policy = None;
    let message = message_for(&hold).unwrap();
    assert_eq!(message.reason.unwrap().chars().count(), SENTENCE_MAX + 1);
    let mut wording = Wording::default();
    wording
        .set(Kind::HoldSet, "{% for i in range(100) %}0123456789012345678901234567890123456789{% endfor %}")
        .unwrap();
    let text = wording.text(Style::Plain, &message_for(&hold).unwrap(), &Links::default());
    assert_eq!(text.chars().count(), 3001);
}

#[test]
fn without_an_address_of_pages_the_command_is_told() {
    let message =
        message_for(&moved_to("settling", "awaiting_approval")).unwrap().about(Some("win-1"), Some("Hung"));
    let text = Wording::default().text(Style::Plain, &message, &Links::default());
    assert_eq!(
        text,
        "Approval needed: interrupt win-1 in KR? Policy p-1 waits for a person, for alert Hung of am.\n\
         Approve or deny: unhang approve r-1 --reason TEXT"
    );
    let links = Links { public_url: Some("https://unhang.example".into()) };
    let text = Wording::default().text(Style::Slack, &message, &links);
    assert!(text.starts_with("*Approval needed*: interrupt `win-1` in KR?"), "{text}");
    assert!(text.ends_with("\n<https://unhang.example/remediations/r-1|Approve or deny>"), "{text}");
    let mut silent = event("source_silent", &json!({ "lastAt": null, "within": "PT5M" }));
    silent.remediation_id = None;
    let text = Wording::default().text(Style::Slack, &message_for(&silent).unwrap(), &links);
    assert!(text.ends_with("/audit?kind=source_silent&amp;policy=p-1&amp;source=am|Look>"), "{text}");
}

#[test]
fn a_template_is_tried_before_it_is_taken() {
    let mut wording = Wording::default();
    wording
        .set(Kind::Unknown, "{{ server }} ({{ server_no }}): {{ detail }} {{ link | url('Settle') }}")
        .unwrap();
    let message = message_for(&moved_to("intent", "unknown")).unwrap().about(Some("<!here>"), None);
    let text = wording.text(Style::Slack, &message, &Links::default());
    assert_eq!(text, "&lt;!here&gt; (4299): why it moved ");
    for (template, why) in [
        ("{{ sever }}", "undefined"),
        ("{% if %}", "line 1"),
        ("{{ server | shout }}", "shout"),
        ("{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}", "fuel"),
        ("  ", "empty"),
        (&"x".repeat(9000), "longer"),
    ] {
        let refused = Wording::default().set(Kind::Unknown, template).unwrap_err().to_string();
        assert!(refused.contains(why), "{template:.30}: {refused}");
    }
}

#[test]
fn every_kind_has_its_word_and_says_something() {
    for kind in Kind::ALL {
        assert_eq!(Kind::parse(kind.as_str()), Some(*kind));
        assert_eq!(json!(kind), json!(kind.as_str()));
        let message = Message::new(*kind, Timestamp::UNIX_EPOCH);
        let text = Wording::default().text(Style::Plain, &message, &Links::default());
        assert!(text.starts_with(kind.title()) && text.len() > kind.title().len() + 3, "{text}");
        assert!(kind.alert_name().starts_with("Unhang"));
    }
    assert_eq!(Kind::parse("rumour"), None);
}

#[test]
fn a_hold_names_what_it_holds_and_a_refusal_what_is_known_of_it() {
    let held = |name: &str| {
        let detail = json!({ "id": 7, "scope": "policy", "name": name, "reason": "r" });
        message_for(&event("hold_set", &detail)).unwrap().detail.unwrap()
    };
    assert_eq!((held("p-1"), held("")), ("policy p-1".to_owned(), "policy".to_owned()));
    let mut refused = event("attempt_outcome", &json!({ "try": 1, "cause": "answer 400" }));
    refused.outcome = Some("rejected".into());
    assert_eq!(message_for(&refused).unwrap().detail.as_deref(), Some("answer 400"));
}

#[test]
fn a_text_that_comes_out_empty_is_the_title_and_an_odd_name_is_in_no_address() {
    let mut wording = Wording::default();
    wording.set(Kind::Unknown, "{% if number != 5 %}x{% endif %}").unwrap();
    let mut message = message_for(&moved_to("intent", "unknown")).unwrap();
    message.number = Some(5);
    assert_eq!(wording.text(Style::Plain, &message, &Links::default()), Kind::Unknown.title());
    let links = Links { public_url: Some("https://unhang.example".into()) };
    let mut silent = message_for(&event("source_silent", &json!({}))).unwrap();
    (silent.remediation_id, silent.policy) = (Some(String::new()), Some(String::new()));
    let text = Wording::default().text(Style::Plain, &silent, &links);
    assert!(text.contains("/audit?kind=source_silent&source=am"), "{text}");
}
