//! The API and the page through the real door.

use serde_json::json;

use super::{Rig, firing, token};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_in_can_be_followed_to_its_end() {
    let rig = Rig::start().await;
    rig.inventory().await;
    let answer = rig.deliver(&firing("90000001", "0000000000000001")).await.json();
    let delivery = answer["deliveryId"].as_str().unwrap();
    let incident = answer["alerts"][0]["incidentId"].as_str().unwrap();
    let remediation = answer["alerts"][0]["remediationId"].as_str().unwrap();

    let one = rig.get(&format!("/api/v1/deliveries/{delivery}")).await.json();
    assert_eq!(one["alerts"][0]["decision"], "awaiting_approval");
    assert_eq!(rig.get("/api/v1/deliveries?source=am").await.json()["items"][0]["id"], delivery);
    let one = rig.get(&format!("/api/v1/incidents/{incident}/")).await.json();
    assert_eq!(one["remediations"][0]["id"], remediation, "{one}");
    let seqs: Vec<i64> =
        one["timeline"]["items"].as_array().unwrap().iter().map(|i| i["seq"].as_i64().unwrap()).collect();
    assert!(seqs.len() >= 2 && seqs.is_sorted(), "{one}");
    assert_eq!(rig.get("/api/v1/remediations?state=live").await.json()["items"][0]["id"], remediation);
    let why = rig.get("/api/v1/explain?serverInstanceNo=90000001").await.json();
    assert_eq!(why["liveRemediation"]["id"], remediation);
    assert_eq!(why["now"]["decision"], "duplicate", "{why}");
    assert_eq!(why["now"]["wouldHaveToChange"][0]["guard"], "duplicate", "{why}");
    let request = rig.request("POST", "/api/v1/explain?source=am").bearer_auth(token("viewer"));
    let told = rig.send(request.body(firing("90000002", "0000000000000002"))).await.json();
    assert_eq!(told["alerts"][0]["decision"], "awaiting_approval", "{told}");
    for path in ["budgets", "policies", "servers", "sources", "holds", "silences", "incidents", "deliveries"]
    {
        let told = rig.get(&format!("/api/v1/{path}")).await;
        assert_eq!(told.status, 200, "{path} {told:?}");
        assert!(told.json()["items"].is_array(), "{path} {told:?}");
        assert_eq!(told.header("cache-control"), "no-store");
    }
    for path in ["deliveries", "incidents", "remediations"] {
        let told = rig.get(&format!("/api/v1/{path}/none")).await;
        assert_eq!((told.status, told.code().as_str()), (404, "not_found"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_pages_filters_and_exports() {
    let rig = Rig::start().await;
    for n in 0..5 {
        assert_eq!(rig.deliver(&firing("90000001", &format!("{n:016x}"))).await.status, 202);
    }
    let page = rig.get("/api/v1/audit?kind=delivery_received&limit=2").await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    assert!(page["items"][0]["detail"]["bodySha256"].is_string(), "detail is JSON: {page}");
    let next = page["nextCursor"].as_str().unwrap();
    let page = rig.get(&format!("/api/v1/audit?kind=delivery_received&limit=9&cursor={next}")).await.json();
    assert_eq!((page["items"].as_array().unwrap().len(), &page["nextCursor"]), (3, &json!(null)));

    let lines = rig.get("/api/v1/audit?format=ndjson&order=asc").await;
    assert_eq!(lines.header("content-type"), "application/x-ndjson");
    let seqs: Vec<i64> = lines
        .text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_i64().unwrap())
        .collect();
    assert!(seqs.len() > 5 && seqs.first() == Some(&1) && seqs.is_sorted(), "{seqs:?}");
    let sheet = rig.get("/api/v1/audit?format=csv&limit=3").await;
    assert_eq!(csv::Reader::from_reader(sheet.text.as_bytes()).records().count(), 3, "{}", sheet.text);
    let none = rig.get("/api/v1/audit?format=csv&kind=none").await;
    assert_eq!(none.text.lines().count(), 1, "the header row alone: {none:?}");
    assert_eq!(rig.get("/api/v1/audit?format=ndjson&kind=none").await.text, "");

    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("cursor=x", "cursor"),
        ("since=yesterday", "since"),
        ("order=up", "order"),
        ("format=xml", "format"),
        ("servrInstanceNo=1", "servrInstanceNo"),
        ("source=a&source=b", "source"),
    ] {
        let told = rig.get(&format!("/api/v1/audit?{query}")).await;
        assert_eq!((told.status, told.code().as_str()), (400, "invalid_query"), "{query}");
        assert_eq!(told.json()["field"], field, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_checked_field_by_field() {
    let rig = Rig::start().await;
    let approve = "/api/v1/remediations/none/approve";
    let by_hand = "/api/v1/remediations";
    for (path, body, word) in [
        (approve, json!({}), "reason"),
        (approve, json!({ "reason": " " }), "reason"),
        (approve, json!({ "reason": "a\nb" }), "reason"),
        (approve, json!({ "reason": "x".repeat(501) }), "reason"),
        (approve, json!({ "reason": "x", "force": true }), "force"),
        (approve, json!({ "reason": "x", "version": "1" }), "version"),
        (approve, json!({ "reason": "x", "confirmStillHung": true }), "decisionHash"),
        ("/api/v1/remediations/none/settle", json!({ "reason": "x", "verdict": "maybe" }), "verdict"),
        (by_hand, json!({ "serverInstanceNo": "1", "policy": "p", "reason": "x" }), "regionCode"),
        (
            by_hand,
            json!({ "serverInstanceNo": "01", "regionCode": "KR", "policy": "p", "reason": "x" }),
            "serverInstanceNo",
        ),
        ("/api/v1/deliveries/none/replay", json!({ "reason": "x", "mode": "now" }), "mode"),
        ("/api/v1/holds", json!({ "scope": "planet", "reason": "x" }), "scope"),
        ("/api/v1/holds", json!({ "scope": "server", "reason": "x" }), "name"),
        ("/api/v1/holds", json!({ "scope": "policy", "name": "hung-window", "reason": "x" }), "name"),
        ("/api/v1/holds", json!({ "scope": "global", "reason": "x", "duration": "ever" }), "duration"),
        ("/api/v1/silences", json!({ "matchers": {}, "comment": "x", "duration": "1h" }), "matchers"),
        ("/api/v1/silences", json!({ "matchers": { "a": "b" }, "comment": "x" }), "endsAt"),
    ] {
        let told = rig.post("approver", path, &body).await;
        assert_eq!((told.status, told.code().as_str()), (400, "invalid_body"), "{path} {body} {told:?}");
        assert!(told.json()["detail"].as_str().unwrap().contains(word), "{path} {body} {told:?}");
    }
    let told = rig.post("approver", approve, &json!({ "reason": "x", "version": 1 })).await;
    assert_eq!((told.status, told.code().as_str()), (404, "not_found"));
    let request =
        rig.request("POST", by_hand).bearer_auth(token("operator")).header("idempotency-key", "a b");
    let body = json!({ "serverInstanceNo": "1", "regionCode": "KR", "policy": "p", "reason": "x" });
    assert_eq!(rig.send(request.json(&body)).await.code(), "invalid_header");
    let told = rig.send(rig.request("DELETE", "/api/v1/holds/1").bearer_auth(token("operator"))).await;
    assert_eq!((told.status, &told.json()["field"]), (400, &json!("reason")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_told_to_anyone_and_stopping_refuses_deliveries() {
    let rig = Rig::start().await;
    let style = rig.send(rig.request("GET", "/assets/style.css")).await;
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
    for path in ["/livez", "/livez/", "/readyz"] {
        let told = rig.send(rig.request("GET", path)).await;
        assert_eq!(told.status, 200, "{told:?}");
        assert_eq!(rig.send(rig.request("HEAD", path)).await.status, 200);
    }
    rig.app.service().stopping.cancel();
    let told = rig.send(rig.request("GET", "/readyz")).await;
    assert_eq!((told.status, told.code().as_str()), (503, "not_ready"));
    assert_eq!(rig.deliver(&firing("90000001", "0000000000000009")).await.code(), "stopping");
}
