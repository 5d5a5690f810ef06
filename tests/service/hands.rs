//! What people order: approvals, settlements, holds, silences, replays, orders by hand.

use serde_json::{Value, json};
use simulator::{Behaviour, Script};

use crate::support::{
    Cloud, LEAD, LEAD2, OPERATOR, Service, Settings, Site, VIEWER, alert, delivery, eventually, fleet,
    now_text,
};

const FIRST: &str = "91000001";
const SECOND: &str = "91000002";

struct Stage {
    cloud: Cloud,
    site: Site,
    service: Service,
}

fn stage(mode: &'static str, settle: &'static str) -> Stage {
    let cloud = Cloud::start(fleet(4));
    let site = Site::new(&Settings { mode, settle, ..Settings::new(&cloud.running.endpoint()) });
    let service = site.start();
    // Orders by hand and quick decisions need the inventory.
    eventually("the inventory", || {
        let (_, page) = service.get("/api/v1/servers", VIEWER);
        page["items"].as_array().is_some_and(|items| items.len() == 4).then_some(())
    });
    Stage { cloud, site, service }
}

impl Stage {
    fn fire(&self, server: &str, note: &str) -> Value {
        let (status, answer) =
            self.service.deliver(&delivery(&[alert(server, "firing", &now_text())], note)).unwrap();
        assert_eq!(status, 202, "{answer}");
        answer
    }

    fn act(&self, token: &str, path: &str, body: &Value) -> (u16, Value) {
        self.service.post(&format!("/api/v1/{path}"), token, body)
    }
}

#[test]
fn an_approval_is_by_an_approver_once_and_for_the_version_they_saw() {
    let on = stage("approve", "0s");
    let answer = on.fire(FIRST, "one");
    assert_eq!(answer["alerts"][0]["decision"], "awaiting_approval");
    let id = on.service.wait_for(FIRST, &["awaiting_approval"])["id"].as_str().unwrap().to_owned();
    let path = format!("remediations/{id}/approve");
    let (status, said) = on.act(OPERATOR, &path, &json!({ "reason": "hung" }));
    assert_eq!(status, 403, "{said}");
    let (status, said) = on.act(LEAD, &path, &json!({ "reason": "hung", "version": 1 }));
    assert_eq!(status, 409, "it moved from version 1 when its hold-down ended: {said}");
    let (status, said) = on.act(LEAD, &path, &json!({ "reason": "" }));
    assert_eq!(status, 400, "{said}");
    let (status, said) = on.act(LEAD, &path, &json!({ "reason": "hung" }));
    assert_eq!(
        (status, &said["field"]),
        (400, &json!("decisionHash")),
        "it names nothing that was seen: {said}"
    );
    let (status, said) = on.act(LEAD, &path, &json!({ "reason": "hung", "version": 2 }));
    assert_eq!(status, 200, "{said}");
    let (status, said) = on.act(LEAD, &path, &json!({ "reason": "hung", "version": 3 }));
    assert_eq!(status, 409, "an approval is single-use: {said}");
    on.service.wait_for(FIRST, &["accepted", "confirmed"]);
    assert_eq!(on.cloud.requests(FIRST), 1);
}

#[test]
fn the_command_line_approves_only_what_was_seen() {
    let on = stage("approve", "0s");
    on.site.secret("lead-token", LEAD);
    on.fire(FIRST, "one");
    let id = on.service.wait_for(FIRST, &["awaiting_approval"])["id"].as_str().unwrap().to_owned();
    let approve = |more: &[&str]| {
        let args =
            ["approve", &id, "--reason", "hung", "--url", &on.service.url, "--token-file", "lead-token"];
        on.site.run(&[&args, more].concat())
    };
    let (code, _, shown) = approve(&[]);
    assert_eq!(code, 2, "nobody can be asked here: {shown}");
    assert!(shown.contains("win-") && shown.contains(FIRST) && shown.contains("hung-windows"), "{shown}");
    let hash = shown.split_once("decisionHash: ").unwrap().1.lines().next().unwrap().to_owned();
    assert!(shown.contains(&format!("--decision-hash {hash}")), "{shown}");
    assert_eq!(on.service.wait_for(FIRST, &["awaiting_approval"])["approvedBy"], Value::Null);
    let (code, out, trouble) = approve(&["--decision-hash", &"0".repeat(64)]);
    assert_eq!(code, 1, "{out}{trouble}");
    let (code, out, trouble) = approve(&["--decision-hash", &hash]);
    assert_eq!(code, 0, "{out}{trouble}");
    on.service.wait_for(FIRST, &["accepted", "confirmed"]);
    assert_eq!(on.cloud.requests(FIRST), 1);
}

#[test]
fn a_denied_and_a_cancelled_one_never_send() {
    let on = stage("approve", "0s");
    on.fire(FIRST, "one");
    let id = on.service.wait_for(FIRST, &["awaiting_approval"])["id"].as_str().unwrap().to_owned();
    let (status, said) =
        on.act(LEAD, &format!("remediations/{id}/deny"), &json!({ "reason": "it is a test" }));
    assert_eq!(status, 200, "{said}");
    on.service.wait_for(FIRST, &["cancelled"]);
    on.fire(SECOND, "two");
    let id = on.service.wait_for(SECOND, &["awaiting_approval"])["id"].as_str().unwrap().to_owned();
    let (status, said) = on.act(OPERATOR, &format!("remediations/{id}/cancel"), &json!({ "reason": "mine" }));
    assert_eq!(status, 200, "{said}");
    let (status, said) = on.service.approve(&id, LEAD, json!({ "reason": "late" }));
    assert_eq!(status, 409, "{said}");
    assert_eq!(on.cloud.running.ledger().len(), 0);
}

#[test]
fn a_resolve_before_the_intent_cancels() {
    let on = stage("auto", "2s");
    let starts_at = now_text();
    on.service.deliver(&delivery(&[alert(FIRST, "firing", &starts_at)], "one")).unwrap();
    on.service.wait_for(FIRST, &["settling"]);
    let (_, answer) = on.service.deliver(&delivery(&[alert(FIRST, "resolved", &starts_at)], "two")).unwrap();
    assert_eq!(answer["alerts"][0]["decision"], "resolved");
    on.service.wait_for(FIRST, &["cancelled"]);
    // A late firing notice of the ended episode is no new one.
    let (_, answer) = on.service.deliver(&delivery(&[alert(FIRST, "firing", &starts_at)], "three")).unwrap();
    assert_eq!(answer["alerts"][0]["reason"], "resolved", "{answer}");
    assert_eq!(on.cloud.running.ledger().len(), 0);
}

#[test]
fn a_resolve_of_an_alert_that_joined_cancels_as_well() {
    // So long that nothing but the notice itself can end it: later each guard asks for ends again.
    let on = stage("auto", "10m");
    let starts_at = now_text();
    on.service.deliver(&delivery(&[alert(FIRST, "firing", &starts_at)], "one")).unwrap();
    let of_another_rule = |status: &str| {
        let mut alert = alert(FIRST, status, &starts_at);
        alert["labels"]["rule"] = json!("another");
        alert["fingerprint"] = json!("00000000000000aa");
        alert
    };
    let (_, answer) = on.service.deliver(&delivery(&[of_another_rule("firing")], "two")).unwrap();
    assert_eq!(answer["alerts"][0]["decision"], "duplicate", "{answer}");
    on.service.deliver(&delivery(&[of_another_rule("resolved")], "three")).unwrap();
    let cancelled = on.service.wait_for(FIRST, &["cancelled", "accepted", "confirmed"]);
    assert_eq!((&cancelled["state"], &cancelled["reason"]), (&json!("cancelled"), &json!("resolved")));
    assert_eq!(on.cloud.running.ledger().len(), 0);
}

#[test]
fn holds_stop_what_waits_and_what_comes() {
    let on = stage("auto", "1s");
    on.fire(FIRST, "one");
    let (status, hold) = on.act(OPERATOR, "holds", &json!({ "scope": "global", "reason": "looking" }));
    assert_eq!(status, 201, "{hold}");
    let cancelled = on.service.wait_for(FIRST, &["cancelled"]);
    assert_eq!(cancelled["reason"], "hold", "{cancelled}");
    assert_eq!(on.fire(SECOND, "two")["alerts"][0]["reason"], "hold");
    let id = hold["id"].as_i64().unwrap();
    let url = format!("{}/api/v1/holds/{id}", on.service.url);
    let gone = reqwest::blocking::Client::new()
        .delete(url)
        .bearer_auth(OPERATOR)
        .header("content-type", "application/json")
        .body(json!({ "reason": "looked" }).to_string())
        .send()
        .unwrap();
    assert!(gone.status().is_success(), "{gone:?}");
    assert_eq!(on.fire(SECOND, "three")["alerts"][0]["decision"], "remediate");
    on.service.wait_for(SECOND, &["accepted", "confirmed"]);
}

#[test]
fn the_hold_file_works_without_the_service() {
    let on = stage("auto", "0s");
    std::fs::write(on.site.dir.path().join("data/HOLD"), "by hand").unwrap();
    assert_eq!(on.fire(FIRST, "one")["alerts"][0]["reason"], "hold");
    std::fs::remove_file(on.site.dir.path().join("data/HOLD")).unwrap();
    assert_eq!(on.fire(FIRST, "two")["alerts"][0]["decision"], "remediate");
}

#[test]
fn a_silence_mutes_what_it_matches() {
    let on = stage("auto", "0s");
    let silence = json!({
        "matchers": [format!("server_instance_no=\"{FIRST}\"")], "comment": "known", "duration": "1h",
    });
    let (status, said) = on.act(OPERATOR, "silences", &silence);
    assert_eq!(status, 201, "{said}");
    assert_eq!(on.fire(FIRST, "one")["alerts"][0]["reason"], "silenced");
    assert_eq!(on.fire(SECOND, "two")["alerts"][0]["decision"], "remediate");
}

#[test]
fn an_open_end_is_settled_by_people_and_never_sent_again() {
    let on = stage("auto", "0s");
    let lost: Behaviour = serde_json::from_value(json!({ "kind": "not_done_closed" })).unwrap();
    on.cloud.running.set_behaviour(Script::every_interrupt(lost)).unwrap();
    let id = |server: &str| on.service.wait_for(server, &["unknown"])["id"].as_str().unwrap().to_owned();
    on.fire(FIRST, "one");
    let first = id(FIRST);
    on.service.promote();
    on.fire(SECOND, "two");
    let second = id(SECOND);
    let happened = json!({ "verdict": "happened", "reason": "event 1001 in its log" });
    let (status, said) = on.act(OPERATOR, &format!("remediations/{first}/settle"), &happened);
    assert_eq!(status, 403, "{said}");
    let (status, said) = on.act(LEAD, &format!("remediations/{first}/settle"), &happened);
    assert_eq!(status, 200, "{said}");
    on.service.wait_for(FIRST, &["closed_happened"]);

    let unchecked = json!({ "verdict": "not_happened", "reason": "nothing in its log" });
    let (status, said) = on.act(LEAD, &format!("remediations/{second}/settle"), &unchecked);
    assert_eq!(status, 422, "{said}");
    let checked =
        json!({ "verdict": "not_happened", "reason": "nothing in its log", "activityChecked": true });
    let (status, said) = on.act(LEAD2, &format!("remediations/{second}/settle"), &checked);
    assert_eq!(status, 409, "a late request could still take effect: {said}");
    assert_eq!(on.fire(FIRST, "three")["alerts"][0]["reason"], "dump_window");
    assert_eq!((on.cloud.requests(FIRST), on.cloud.requests(SECOND)), (1, 1));
}

#[test]
fn a_replay_is_dry_by_default_keyed_and_under_every_guard() {
    let on = stage("auto", "0s");
    std::fs::write(on.site.dir.path().join("data/HOLD"), "by hand").unwrap();
    let answer = on.fire(FIRST, "one");
    let delivery = answer["deliveryId"].as_str().unwrap().to_owned();
    std::fs::remove_file(on.site.dir.path().join("data/HOLD")).unwrap();

    let path = format!("/api/v1/deliveries/{delivery}/replay");
    let (status, dry) = on.service.post(&path, OPERATOR, &json!({ "reason": "what now?" }));
    assert_eq!(status, 200, "{dry}");
    assert_eq!(dry["mode"], "dry_run", "{dry}");
    assert_eq!(dry["alerts"][0]["then"]["reason"], "hold", "{dry}");
    assert_eq!(dry["alerts"][0]["now"]["decision"], "remediate", "{dry}");
    assert!(on.service.remediations().is_empty());

    let (status, said) = on.service.post(&path, VIEWER, &json!({ "reason": "x", "mode": "execute" }));
    assert_eq!(status, 403, "{said}");
    let execute = |key: &str, reason: &str| {
        let answer = reqwest::blocking::Client::new()
            .post(format!("{}{path}", on.service.url))
            .bearer_auth(OPERATOR)
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(json!({ "mode": "execute", "reason": reason }).to_string())
            .send()
            .unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().unwrap())
    };
    let (status, done) = execute("key-1", "hold is gone");
    assert!(status == 200 || status == 202, "{status} {done}");
    assert_eq!(done["alerts"][0]["decision"], "remediate", "{done}");
    assert_eq!(
        execute("key-1", "hold is gone").1["deliveryId"],
        done["deliveryId"],
        "the same key, the same answer"
    );
    let (status, said) = execute("key-1", "another");
    assert_eq!(status, 422, "{said}");
    let remediation = on.service.wait_for(FIRST, &["accepted", "confirmed"]);
    assert_eq!(remediation["replayOf"], delivery, "{remediation}");
    assert_eq!(remediation["requestedBy"], "oncall", "{remediation}");
    let again = execute("key-2", "once more").1;
    assert_ne!(again["alerts"][0]["decision"], "remediate", "{again}");
    assert_eq!(on.cloud.requests(FIRST), 1);
}

#[test]
fn nobody_approves_what_they_replayed() {
    let on = stage("approve", "0s");
    std::fs::write(on.site.dir.path().join("data/HOLD"), "by hand").unwrap();
    let delivery = on.fire(FIRST, "one")["deliveryId"].as_str().unwrap().to_owned();
    std::fs::remove_file(on.site.dir.path().join("data/HOLD")).unwrap();
    let body = json!({ "mode": "execute", "reason": "again" });
    let (status, said) = on.act(LEAD, &format!("deliveries/{delivery}/replay"), &body);
    assert!(status == 200 || status == 202, "{said}");
    let id = on.service.wait_for(FIRST, &["awaiting_approval"])["id"].as_str().unwrap().to_owned();
    let (status, said) = on.service.approve(&id, LEAD, json!({ "reason": "mine" }));
    assert_eq!(status, 403, "{said}");
    let (status, said) = on.service.approve(&id, LEAD2, json!({ "reason": "looked" }));
    assert_eq!(status, 200, "{said}");
    on.service.wait_for(FIRST, &["accepted", "confirmed"]);
}

#[test]
fn an_order_by_hand_names_a_policy_and_passes_every_guard() {
    let on = stage("auto", "0s");
    let order = |policy: &str, server: &str, mode: &str| json!({ "serverInstanceNo": server, "regionCode": "KR", "policy": policy, "reason": "frozen console", "mode": mode });
    let (status, said) = on.act(VIEWER, "remediations", &order("hung-windows", FIRST, "execute"));
    assert_eq!(status, 403, "{said}");
    let (status, said) = on.act(OPERATOR, "remediations", &order("nobody", FIRST, "execute"));
    assert_eq!(status, 422, "{said}");
    let (status, said) = on.act(OPERATOR, "remediations", &order("hung-windows", FIRST, "dry_run"));
    assert_eq!(status, 200, "{said}");
    assert!(on.service.remediations().is_empty());
    let (status, said) = on.act(OPERATOR, "remediations", &order("hung-windows", FIRST, "execute"));
    assert!(status == 200 || status == 201 || status == 202, "{status} {said}");
    on.service.wait_for(FIRST, &["accepted", "confirmed"]);
    let (status, said) = on.act(OPERATOR, "remediations", &order("hung-windows", FIRST, "execute"));
    assert_eq!(status, 409, "people are bound by the dump window too: {said}");
    assert_eq!(on.cloud.requests(FIRST), 1);
}

#[test]
fn explain_says_why_nothing_happened() {
    let on = stage("shadow", "0s");
    on.fire(FIRST, "one");
    let (status, said) = on.service.get(&format!("/api/v1/explain?serverInstanceNo={FIRST}"), VIEWER);
    assert_eq!(status, 200, "{said}");
    let text = said.to_string();
    assert!(text.contains("\"shadow\"") && text.contains("mode shadow"), "{text}");
}
