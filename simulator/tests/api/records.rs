//! The records beside the server API: activities come from the ledger, open events from servers that hang.

use serde_json::{Value, json};
use simulator::{Behaviour, Scenario, Script, Target};

use crate::support::{KVM_WINDOWS, Rig, XEN_LINUX, XEN_WINDOWS, now_ms, quick};

const ACTIVITIES: &str = "/api/v1/activities";
const EVENTS: &str = "/cw_fea/real/cw/api/event/search";

async fn post(rig: &Rig, target: &str, body: &Value) -> (u16, Value) {
    let request = rig.signed("POST", target, now_ms()).header("content-type", "application/json");
    let told = rig.send(request.body(body.to_string())).await.unwrap();
    (told.status, told.json())
}

#[tokio::test]
async fn interrupts_become_activities_page_by_page() {
    let rig = Rig::start(quick()).await;
    assert_eq!(post(&rig, ACTIVITIES, &json!({})).await.1["items"], json!([]));
    for no in [XEN_WINDOWS, KVM_WINDOWS, XEN_LINUX] {
        rig.interrupt(no).await.unwrap();
    }
    let (status, first) = post(&rig, ACTIVITIES, &json!({ "page": 0, "size": 2 })).await;
    assert_eq!((status, &first["itemCount"], &first["hasMore"]), (200, &json!(2), &json!(true)));
    assert_eq!(first["items"][0]["resourceId"], XEN_WINDOWS);
    assert_eq!(first["items"][0]["actionResultType"], "SUCCESS");
    let (_, last) = post(&rig, ACTIVITIES, &json!({ "page": 1, "size": 2 })).await;
    assert_eq!((&last["itemCount"], &last["hasMore"]), (&json!(1), &json!(false)));
    assert_eq!(last["items"][0]["actionResultType"], "FAIL", "Linux on XEN was refused");
    let (_, early) = post(&rig, ACTIVITIES, &json!({ "toEventTime": now_ms() - 60_000 })).await;
    assert_eq!(early["items"], json!([]));
}

#[tokio::test]
async fn activities_can_be_late_and_can_fail() {
    let rig = Rig::start(Scenario { activity_delay_ms: 3_600_000, ..quick() }).await;
    rig.interrupt(XEN_WINDOWS).await.unwrap();
    assert_eq!(post(&rig, ACTIVITIES, &json!({})).await.1["items"], json!([]));
    let script = Script { target: Target::Activities, ..Script::every_read(Behaviour::DoneThen503) };
    rig.cloud.set_behaviour(script).unwrap();
    assert_eq!(post(&rig, ACTIVITIES, &json!({})).await.0, 503);
    assert_eq!(post(&rig, EVENTS, &json!({ "startTime": 0, "endTime": 1 })).await.0, 200);
}

#[tokio::test]
async fn the_event_of_a_hung_server_is_open() {
    let rig = Rig::start(quick()).await;
    let asked = json!({ "ruleId": "700000000000000001", "startTime": 0, "endTime": now_ms() });
    assert_eq!(post(&rig, EVENTS, &asked).await.1["totalRecords"], 0);
    rig.cloud.hang(XEN_WINDOWS).unwrap();
    let (_, told) = post(&rig, EVENTS, &asked).await;
    assert_eq!(told["events"][0]["dimension"]["instanceNo"], XEN_WINDOWS);
    assert_eq!(told["events"][0]["endTime"], 0);
    let other = json!({ "ruleId": "1", "startTime": 0, "endTime": now_ms() });
    assert_eq!(post(&rig, EVENTS, &other).await.1["events"], json!([]));
    assert_eq!(post(&rig, EVENTS, &json!({})).await.0, 400, "the times are required");
}

#[tokio::test]
async fn records_want_a_signature() {
    let rig = Rig::start(quick()).await;
    for target in [ACTIVITIES, EVENTS] {
        let unsigned = rig.client.post(format!("{}{target}", rig.cloud.endpoint())).body("{}");
        assert_eq!(rig.send(unsigned).await.unwrap().status, 401, "{target}");
        let old = rig.signed("POST", target, now_ms() - 360_000).body("{}");
        assert_eq!(rig.send(old).await.unwrap().status, 401, "{target}");
    }
}
