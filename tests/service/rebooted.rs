//! Servers that somebody rebooted: before the alert, after the decision, after a confirmation; and a store that was lost.

use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::ServerPatch;

use crate::support::{Cloud, LEAD, Service, Settings, Site, alert, delivery, fleet, now_text, on_a_server};

const FIRST: &str = "91000001";
const SECOND: &str = "91000002";

/// A time so long ago, as senders and the vendor write it.
fn ago(hours: i64) -> (String, String) {
    let now: jiff::Timestamp = now_text().parse().unwrap();
    let at = now - SignedDuration::from_hours(hours);
    (at.to_string(), at.strftime("%Y-%m-%dT%H:%M:%S+0000").to_string())
}

fn booted(cloud: &Cloud, server: &str, hours_ago: i64) {
    let patch = ServerPatch { uptime: Some(ago(hours_ago).1), ..ServerPatch::default() };
    cloud.running.patch(server, patch).unwrap();
}

fn operation(cloud: &Cloud, code: &str) {
    let patch = ServerPatch { operation: Some(code.to_owned()), ..ServerPatch::default() };
    cloud.running.patch(FIRST, patch).unwrap();
}

fn fire(service: &Service, server: &str, starts_at: &str) -> Value {
    let (status, answer) =
        service.deliver(&delivery(&[alert(server, "firing", starts_at)], "it hangs")).unwrap();
    assert_eq!(status, 202, "{answer}");
    answer["alerts"][0].clone()
}

/// Approves what a remediation shows.
fn approve(service: &Service, shown: &Value, confirms: bool) -> (u16, Value) {
    let path = format!("/api/v1/remediations/{}/approve", shown["id"].as_str().unwrap());
    let body = json!({
        "reason": "seen on the console", "confirmStillHung": confirms, "decisionHash": shown["decisionHash"],
    });
    service.post(&path, LEAD, &body)
}

fn site(cloud: &Cloud, mode: &'static str, settle: &'static str) -> Site {
    Site::new(&Settings { mode, settle, ..Settings::new(&cloud.running.endpoint()) })
}

#[test]
fn a_server_that_was_rebooted_after_the_decision_is_left_alone() {
    let cloud = Cloud::start(fleet(2));
    let site = site(&cloud, "auto", "2s");
    let service = site.start();
    service.wait_for_inventory(2);
    assert_eq!(fire(&service, FIRST, &now_text())["decision"], "remediate");
    booted(&cloud, FIRST, 0);
    let ended = service.wait_for(FIRST, &["cancelled", "accepted", "confirmed"]);
    assert_eq!((&ended["state"], &ended["reason"]), (&json!("cancelled"), &json!("rebooted")), "{ended}");
    assert_eq!(cloud.requests(FIRST), 0);
}

#[test]
fn a_confirmation_is_worth_nothing_after_a_boot() {
    let cloud = Cloud::start(fleet(2));
    let site = site(&cloud, "approve", "0s");
    let service = site.start();
    service.wait_for_inventory(2);
    fire(&service, FIRST, &now_text());
    let waits = service.wait_for(FIRST, &["awaiting_approval"]);
    // The claim waits while an operation runs.
    operation(&cloud, "CHNG");
    let (status, said) = approve(&service, &waits, true);
    assert_eq!(status, 200, "{said}");
    service.wait_for(FIRST, &["queued"]);
    booted(&cloud, FIRST, 0);
    operation(&cloud, "NULL");
    let ended = service.wait_for(FIRST, &["cancelled", "accepted", "confirmed"]);
    assert_eq!((&ended["state"], &ended["reason"]), (&json!("cancelled"), &json!("rebooted")), "{ended}");
    assert_eq!(cloud.requests(FIRST), 0);
}

#[test]
fn an_alert_from_before_the_boot_asks_a_person_who_must_have_seen_it_hang() {
    let cloud = Cloud::start(fleet(2));
    let site = site(&cloud, "auto", "0s");
    booted(&cloud, FIRST, 25);
    let service = site.start();
    service.wait_for_inventory(2);
    let answer = fire(&service, FIRST, &ago(26).0);
    assert_eq!(
        (&answer["decision"], &answer["reason"]),
        (&json!("awaiting_approval"), &json!("rebooted")),
        "{answer}"
    );
    let waits = service.wait_for(FIRST, &["awaiting_approval"]);
    assert_eq!(waits["reason"], "rebooted", "{waits}");
    let (status, said) = approve(&service, &waits, false);
    assert_eq!(
        (status, &said["code"], &said["reason"]),
        (409, &json!("confirm_still_hung"), &json!("rebooted")),
        "{said}"
    );
    assert_eq!(cloud.requests(FIRST), 0);
    let (status, said) = approve(&service, &waits, true);
    assert_eq!(status, 200, "{said}");
    service.wait_for(FIRST, &["confirmed"]);
    assert_eq!(cloud.requests(FIRST), 1);
}

#[test]
fn a_lost_store_does_not_send_into_a_dump_window_or_a_cooldown() {
    if on_a_server() {
        return;
    }
    let cloud = Cloud::start(fleet(3));
    let site = site(&cloud, "auto", "0s");
    let service = site.start();
    service.wait_for_inventory(3);
    assert_eq!(fire(&service, FIRST, &now_text())["decision"], "remediate");
    service.wait_for(FIRST, &["confirmed"]);
    service.stop();
    // Another machine, another folder, a volume that did not come along: nothing of ours is left.
    std::fs::remove_dir_all(site.dir.path().join("data")).unwrap();
    booted(&cloud, SECOND, 2);

    let service = site.start();
    service.wait_for_inventory(3);
    let answer = fire(&service, FIRST, &now_text());
    assert_eq!(
        (&answer["decision"], &answer["reason"]),
        (&json!("suppressed"), &json!("dump_window")),
        "{answer}"
    );
    assert!(answer["until"].is_string(), "{answer}");
    // Longer ago than any dump takes, but who did it is not known.
    let answer = fire(&service, SECOND, &now_text());
    assert_eq!(
        (&answer["decision"], &answer["reason"]),
        (&json!("suppressed"), &json!("cooldown")),
        "{answer}"
    );
    // One that was not started for longer than a cooldown is as it was.
    assert_eq!(fire(&service, "91000003", &now_text())["decision"], "remediate");
    service.wait_for("91000003", &["confirmed"]);
    assert_eq!(cloud.requests(FIRST) + cloud.requests(SECOND), 1);
}
