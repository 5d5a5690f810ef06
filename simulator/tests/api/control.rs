//! The simulator's own endpoints.

use serde_json::{Value, json};
use simulator::{LedgerEntry, ServerView};

use crate::support::{Rig, XEN_WINDOWS, quick};

async fn post(rig: &Rig, path: &str, body: Value) -> (u16, Value) {
    let url = format!("{}/_simulator/{path}", rig.cloud.endpoint());
    let answer = rig.client.post(url).json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn get(rig: &Rig, path: &str) -> String {
    let url = format!("{}{path}", rig.cloud.endpoint());
    rig.client.get(url).send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn servers_are_hung_changed_added_and_removed() {
    let rig = Rig::start(quick()).await;
    let (status, view) = post(&rig, "servers/90000001/hang", json!(null)).await;
    assert_eq!((status, &view["hung"]), (200, &json!(true)));
    let (_, view) =
        post(&rig, "servers/90000001", json!({"serverName": "renamed", "operation": "CHNG"})).await;
    assert_eq!((&view["serverName"], &view["operation"]), (&json!("renamed"), &json!("CHNG")));
    assert_eq!(rig.detail(XEN_WINDOWS).await["serverInstanceStatusName"], "changingSpec");
    let (status, _) = post(&rig, "servers", json!({"no": "7", "name": "new"})).await;
    assert_eq!(status, 200);
    assert_eq!(post(&rig, "servers", json!({"no": "7"})).await.0, 409);
    let servers: Vec<ServerView> = serde_json::from_str(&get(&rig, "/_simulator/servers").await).unwrap();
    assert_eq!(servers.len(), 27);
    let gone = rig.client.delete(format!("{}/_simulator/servers/7", rig.cloud.endpoint()));
    assert_eq!(gone.send().await.unwrap().status(), 200);
    assert!(rig.detail("7").await.is_null());
}

#[tokio::test]
async fn behaviour_and_clock_are_ordered_over_http() {
    let rig = Rig::start(quick()).await;
    let order = json!({
        "serverInstanceNo": XEN_WINDOWS, "target": "interrupt", "behaviour": {"kind": "status_403"}, "times": 1
    });
    assert_eq!(post(&rig, "behaviour", order).await, (200, json!({"ok": true})));
    assert_eq!(rig.interrupt(XEN_WINDOWS).await.unwrap().status, 403);
    assert_eq!(rig.interrupt(XEN_WINDOWS).await.unwrap().status, 200);
    assert_eq!(post(&rig, "servers/90000001/collect", json!({})).await.0, 200);
    assert_eq!(post(&rig, "clock", json!({"offsetMs": 86_400_000})).await.0, 200);
    assert_eq!(rig.interrupt(XEN_WINDOWS).await.unwrap().status, 401);
    let ledger: Vec<LedgerEntry> = serde_json::from_str(&get(&rig, "/_simulator/ledger").await).unwrap();
    assert_eq!(ledger, rig.cloud.ledger());
    let effects: Vec<_> = ledger.iter().map(|entry| entry.effect).collect();
    assert_eq!(effects, [false, true, false]);
}

#[tokio::test]
async fn mistakes_are_told() {
    let rig = Rig::start(quick()).await;
    assert_eq!(post(&rig, "servers/1/hang", json!(null)).await.0, 404);
    assert_eq!(post(&rig, "servers/90000001", json!({"colour": 1})).await.0, 400);
    assert_eq!(post(&rig, "behaviour", json!({"behaviour": {"kind": "dance"}})).await.0, 400);
    let elsewhere = json!({"serverInstanceNo": "1", "behaviour": {"kind": "ok"}});
    assert_eq!(post(&rig, "behaviour", elsewhere).await.0, 404);
    assert_eq!(post(&rig, "nothing", json!(null)).await.0, 404);
    assert!(get(&rig, "/").await.contains("/_simulator/ledger"));
    let page = rig.client.get(rig.cloud.endpoint()).header("origin", "https://example.com").send().await;
    assert_eq!(page.unwrap().status(), 403);
}
