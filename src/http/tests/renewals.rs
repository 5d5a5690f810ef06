//! Renewed notices: what says nothing new leaves no row and no event of its own, and is lost nowhere.

use serde_json::{Value, json};

use super::pages::Browser;
use super::{Rig, firing};
use crate::backtest::{Cut, Wanted, run};
use crate::domain::audit_key::KeyRing;
use crate::domain::chain::Inspection;
use crate::store::inspect;

const FINGERPRINT: &str = "0000000000000001";

/// A notice of the same alert that is another delivery: an annotation has changed.
fn notice(n: u32) -> String {
    firing("90000001", FINGERPRINT)
        .replace("\"annotations\":{}", &format!("\"annotations\":{{\"n\":\"{n}\"}}"))
}

async fn told(rig: &Rig, n: u32) -> (String, Value) {
    let told = rig.deliver(&notice(n)).await;
    assert_eq!(told.status, 202, "{told:?}");
    let answer = told.json();
    (answer["deliveryId"].as_str().unwrap().to_owned(), answer["alerts"][0].clone())
}

/// The kinds of the events of a delivery, and the detail of its own.
async fn events(rig: &Rig, delivery: &str) -> (Vec<String>, Value) {
    let page = rig.get(&format!("/api/v1/audit?deliveryId={delivery}&order=asc")).await.json();
    let items = page["items"].as_array().unwrap();
    let detail = items.iter().find(|item| item["kind"] == "delivery_received").unwrap()["detail"].clone();
    (items.iter().map(|item| item["kind"].as_str().unwrap().to_owned()).collect(), detail)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_notice_is_told_by_its_delivery_until_a_guard_changes_its_mind() {
    let rig = Rig::start().await;
    rig.inventory().await;
    let (opened, answer) = told(&rig, 0).await;
    assert_eq!(answer["decision"], "awaiting_approval");
    let (joined, first) = told(&rig, 1).await;
    assert_eq!(first["decision"], "duplicate", "another answer is news: {first}");
    let (renewed, second) = told(&rig, 2).await;
    assert_eq!(second, first, "the answer of a renewed notice is that of the one before");

    assert_eq!(events(&rig, &opened).await.0.last().unwrap(), "alert_decided");
    assert_eq!(events(&rig, &joined).await.0, ["delivery_received", "alert_decided"]);
    let (kinds, detail) = events(&rig, &renewed).await;
    assert_eq!(kinds, ["delivery_received"]);
    assert_eq!(detail["decisions"], json!([["duplicate", "duplicate", second["remediationId"]]]));
    let noticed_at = &detail["renewed"][0][3];
    assert_eq!(detail["renewed"], json!([[0, "90000001", FINGERPRINT, noticed_at]]));
    assert!(noticed_at.is_string(), "it refreshed its remediation: {detail}");

    // The delivery shows it as any other decision.
    let shown =
        async |id: &str| rig.get(&format!("/api/v1/deliveries/{id}")).await.json()["alerts"][0].clone();
    let (full, again) = (shown(&joined).await, shown(&renewed).await);
    assert_eq!(again["deliveryId"], renewed.as_str());
    for same in [
        "alert",
        "decision",
        "reason",
        "detail",
        "fingerprint",
        "serverInstanceNo",
        "policy",
        "remediationId",
        "configHash",
    ] {
        assert_eq!(again[same], full[same], "{same}");
    }
    assert_eq!(again["trace"].as_array().unwrap().len(), full["trace"].as_array().unwrap().len());
    assert_eq!(again["receivedAt"], again["decidedAt"]);

    // A guard that says no from now on is news, even where the answer stays; then it is none any more.
    let order = json!({ "scope": "server", "name": "90000001", "reason": "we look at it" });
    assert_eq!(rig.post("operator", "/api/v1/holds", &order).await.status, 201);
    let (held, _) = told(&rig, 3).await;
    assert!(events(&rig, &held).await.0.contains(&"alert_decided".to_owned()), "a hold is news");
    let (held_again, _) = told(&rig, 4).await;
    assert_eq!(events(&rig, &held_again).await.0, ["delivery_received"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewed_notices_are_counted_replayed_and_folded_like_others() {
    let rig = Rig::start().await;
    rig.inventory().await;
    for n in 0..5 {
        told(&rig, n).await;
    }
    let viewer = Browser::log_in(&rig, "viewer").await;
    let trends = viewer.get("/trends?range=24h").await;
    assert!(trends.text.contains("duplicate <strong>4</strong>"), "{trends:?}");
    let listed = viewer.get("/deliveries").await;
    assert_eq!(listed.status, 200);

    let service = rig.app.service();
    let listed = rig.get("/api/v1/deliveries").await.json();
    let items = listed["items"].as_array().unwrap();
    let ids: Vec<_> = items.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    let counts = service.store.decisions_of(&ids).await.unwrap();
    let server = "90000001".to_owned();
    assert!(counts.iter().all(|one| one.servers == Some((server.clone(), server.clone()))), "{counts:?}");
    assert_eq!(counts.iter().map(|one| one.alerts).collect::<Vec<_>>(), [1; 5], "{counts:?}");

    let wanted =
        Wanted { since: service.started_at, now: service.clock.now(), wish: None, cut: Cut::default() };
    let report = run(&service.store, &service.config(), &wanted, |_| {}).await.unwrap();
    assert_eq!((report.alerts, report.alerts_in_range, report.complete), (5, 5, true));

    // The newest notice of the remediation is that of the last delivery: the audit alone tells it.
    let inspection = Inspection::new(KeyRing::default(), &[], true);
    let verified = inspect(&service.store, inspection, |_| {}).await.unwrap();
    let deep = verified.deep.unwrap();
    assert_eq!(deep.differences, Vec::<String>::new());
    assert!(!deep.fields_not_told.contains("remediation.last_notice_at"), "{deep:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_replays_is_recorded_in_full() {
    let rig = Rig::start().await;
    rig.inventory().await;
    for n in 0..3 {
        told(&rig, n).await;
    }
    let (renewed, _) = told(&rig, 3).await;
    let replay = json!({ "mode": "execute", "reason": "to see it" });
    let path = format!("/api/v1/deliveries/{renewed}/replay");
    for key in ["one", "two"] {
        let request = rig.request("POST", &path).bearer_auth(super::token("operator")).json(&replay);
        let told = rig.send(request.header("idempotency-key", key)).await;
        assert!(told.status == 200 || told.status == 202, "{told:?}");
        let id = told.json()["deliveryId"].as_str().unwrap().to_owned();
        let page = rig.get(&format!("/api/v1/audit?deliveryId={id}&order=asc")).await.json();
        let kinds: Vec<_> =
            page["items"].as_array().unwrap().iter().map(|item| item["kind"].clone()).collect();
        assert!(kinds.contains(&json!("alert_decided")), "replay {key}: {kinds:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_policy_in_shadow_would_have_done_is_recorded_each_time() {
    let shadow = "[[policies]]\nname = \"watch\"\nmode = \"shadow\"\nmatch = { alertname = \"Watched\" }\n";
    let rig = Rig::start_with("127.0.0.1:0", shadow).await;
    rig.inventory().await;
    for n in 0..3 {
        let answer = rig.deliver(&notice(n).replace("WindowsVmHung", "Watched")).await.json();
        assert_eq!(answer["alerts"][0]["reason"], "shadow", "{answer}");
        let id = answer["deliveryId"].as_str().unwrap();
        assert!(events(&rig, id).await.0.contains(&"alert_decided".to_owned()), "notice {n}");
    }
}
