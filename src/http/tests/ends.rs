//! Deliveries that end something: one view of all their alerts, and ends that cancel whatever else is wrong.

use serde_json::{Value, json};

use super::{Rig, firing};

const HUNG: &str = "90000001";
const OTHER: &str = "90000002";

/// An alert about a server; `note` is a label of no importance.
fn alert(server: &str, fingerprint: &str, status: &str, starts_at: &str, note: &str) -> Value {
    let body: Value = serde_json::from_str(&firing(server, fingerprint)).unwrap();
    let mut alert = body["alerts"][0].clone();
    alert["status"] = json!(status);
    alert["startsAt"] = json!(starts_at);
    alert["labels"]["note"] = json!(note);
    alert
}

fn body(alerts: &[Value]) -> Value {
    let mut body: Value = serde_json::from_str(&firing(HUNG, "0a")).unwrap();
    body["alerts"] = json!(alerts);
    body
}

async fn deliver(rig: &Rig, body: &Value) -> Vec<Value> {
    let told = rig.deliver(&body.to_string()).await;
    assert_eq!(told.status, 202, "{told:?}");
    told.json()["alerts"].as_array().unwrap().clone()
}

/// Decision and reason of an answer.
fn word(answer: &Value) -> String {
    format!("{} {}", answer["decision"].as_str().unwrap(), answer["reason"].as_str().unwrap_or("-"))
}

/// State, reason and server of every remediation.
async fn remediations(rig: &Rig) -> Vec<String> {
    let page = rig.get("/api/v1/remediations").await.json();
    let row = |row: &Value| {
        let text = |name: &str| row[name].as_str().unwrap_or("-").to_owned();
        format!("{} {} {}", text("serverInstanceNo"), text("state"), text("reason"))
    };
    let mut rows: Vec<String> = page["items"].as_array().unwrap().iter().map(row).collect();
    rows.sort();
    rows
}

fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(count - 1);
    let places = 0..count;
    let put = |order: &Vec<usize>, place| {
        let mut order = order.clone();
        order.insert(place, count - 1);
        order
    };
    places.flat_map(|place| shorter.iter().map(move |order| put(order, place))).collect()
}

async fn one_order(order: &[usize]) -> (Vec<String>, Vec<String>, String) {
    let rig = Rig::start().await;
    rig.inventory().await;
    let opened = deliver(&rig, &body(&[alert(HUNG, "0a", "firing", "2026-11-22T00:00:00Z", "a")])).await;
    assert_eq!(word(&opened[0]), "awaiting_approval stale");
    let alerts = [
        alert(HUNG, "0a", "resolved", "2026-11-22T00:00:00Z", "a"),
        alert(HUNG, "0b", "firing", "2026-11-22T00:00:00Z", "b"),
        alert(OTHER, "0d", "firing", "2026-11-22T00:02:00Z", "d"),
        alert(OTHER, "0c", "firing", "2026-11-22T00:03:00Z", "c"),
    ];
    let mixed: Vec<Value> = order.iter().map(|place| alerts[*place].clone()).collect();
    let answers = deliver(&rig, &body(&mixed)).await;
    let mut told: Vec<String> = answers
        .iter()
        .map(|answer| format!("{} {}", answer["fingerprint"].as_str().unwrap(), word(answer)))
        .collect();
    for (place, line) in order.iter().zip(&told) {
        assert!(line.starts_with(alerts[*place]["fingerprint"].as_str().unwrap()), "answers follow the body");
    }
    told.sort();
    let left = remediations(&rig).await;
    // A later delivery may open a new one.
    let later = deliver(&rig, &body(&[alert(HUNG, "0b", "firing", "2026-11-22T00:00:00Z", "b")])).await;
    (told, left, word(&later[0]))
}

/// Law 55.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_a_delivery_changes_nothing() {
    let expected = (
        ["0a resolved -", "0b suppressed resolved", "0c duplicate duplicate", "0d awaiting_approval stale"]
            .map(str::to_owned)
            .to_vec(),
        [format!("{HUNG} cancelled resolved"), format!("{OTHER} settling stale")].to_vec(),
        "awaiting_approval stale".to_owned(),
    );
    for order in orders(4) {
        assert_eq!(one_order(&order).await, expected, "{order:?}");
    }
}

/// Law 56: the end in a body cancels what its alert opened, however the body is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_cancels_whatever_else_is_wrong() {
    let rig = Rig::start().await;
    rig.inventory().await;
    let end = |change: fn(&mut Value)| {
        let mut end = alert(HUNG, "0a", "resolved", "2026-11-22T00:00:00Z", "a");
        change(&mut end);
        end
    };
    let plain = body(&[end(|_| {})]).to_string();
    let changed = |change: fn(&mut Value)| body(&[end(change)]).to_string();
    let cut = plain.split_once("}],").unwrap().0.to_owned() + "}";
    let bodies = [
        ("no fingerprint", 202, changed(|end| drop(end.as_object_mut().unwrap().remove("fingerprint")))),
        ("no name at all", 202, changed(|end| drop(end.as_object_mut().unwrap().remove("labels")))),
        ("another policy's", 202, changed(|end| end["labels"] = json!({"alertname": "Other"}))),
        ("annotations of any type", 202, changed(|end| end["annotations"] = json!([1, null]))),
        ("a fingerprint of another type", 202, changed(|end| end["fingerprint"] = json!(7))),
        (
            "half an emoji",
            202,
            plain.replacen("\"annotations\":{}", "\"annotations\":{\"a\":\"\\ud83d\"}", 1),
        ),
        ("another version", 422, plain.replacen("\"version\":\"4\"", "\"version\":\"3\"", 1)),
        ("a body that was cut", 400, cut),
        ("a group key of a test", 202, plain.replacen("\"groupKey\":\"{}:{}\"", "\"groupKey\":\"test\"", 1)),
        // Ended now, so that no episode of before may begin again: the last.
        ("times of another type", 202, changed(|end| end["endsAt"] = json!(7))),
    ];
    for (n, (what, status, body_of_end)) in bodies.into_iter().enumerate() {
        // Each episode begins after the end of the one before.
        let starts_at = format!("2026-11-22T00:00:{n:02}Z");
        let opened = deliver(&rig, &body(&[alert(HUNG, "0a", "firing", &starts_at, "a")])).await;
        assert_eq!(word(&opened[0]), "awaiting_approval stale", "before {what}");
        let ends_at = format!("\"endsAt\":\"{starts_at}\"");
        let body_of_end = body_of_end.replace("\"endsAt\":\"0001-01-01T00:00:00Z\"", &ends_at);
        let told = rig.deliver(&body_of_end).await;
        assert_eq!(told.status, status, "{what}: {told:?}");
        let live = rig.get("/api/v1/remediations?state=live").await.json();
        assert_eq!(live["items"], json!([]), "{what}");
        let all = remediations(&rig).await;
        assert_eq!(all.iter().filter(|row| row.ends_with("cancelled resolved")).count(), n + 1, "{what}");
    }
}

/// Law 57.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_button_never_acts_whatever_labels_it_is_given() {
    let rig = Rig::start().await;
    rig.inventory().await;
    for key in
        ["webhook-57c6d9296de2ad39-1793352610", "{alertname=\"WindowsVmHung\"}2026-11-22 00:00:00 +0000 UTC"]
    {
        let mut body = body(&[alert(HUNG, "0a", "firing", "2026-11-22T00:00:00Z", "a")]);
        body["groupKey"] = json!(key);
        assert_eq!(word(&deliver(&rig, &body).await[0]), "ignored quarantined_alert");
    }
    assert!(remediations(&rig).await.is_empty());
}
