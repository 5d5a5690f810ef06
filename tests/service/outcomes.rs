//! Every behaviour of the cloud: how the attempt is classed, what the ledger says, and that nothing is sent again.

use serde_json::{Value, json};
use simulator::{Behaviour, Script};

use unhang::domain::answer::agrees;

use crate::support::{
    Cloud, LEAD, Settings, Site, VIEWER, alert, broken_laws, delivery, eventually, fleet, now_text,
};

/// What must come of one behaviour.
struct Expected {
    behaviour: Value,
    outcome: &'static str,
    effects: usize,
}

fn table() -> Vec<Expected> {
    let rows = [
        (json!({ "kind": "ok" }), "accepted", 1),
        (json!({ "kind": "ok_slow", "ms": 500 }), "accepted", 1),
        (json!({ "kind": "ok_without_request_id" }), "accepted", 1),
        (json!({ "kind": "ok_as_xml" }), "accepted", 1),
        (json!({ "kind": "ok_without_return_code" }), "unknown", 1),
        (json!({ "kind": "ok_with_return_code", "code": "9999" }), "unknown", 1),
        (json!({ "kind": "ok_truncated" }), "unknown", 1),
        (json!({ "kind": "ok_oversize" }), "unknown", 1),
        (json!({ "kind": "ok_dripped", "bytes_per_second": 20 }), "unknown", 1),
        (json!({ "kind": "done_then_closed" }), "unknown", 1),
        (json!({ "kind": "done_then_reset" }), "unknown", 1),
        (json!({ "kind": "done_then_500" }), "unknown", 1),
        (json!({ "kind": "done_then_503" }), "unknown", 1),
        (json!({ "kind": "done_then_504" }), "unknown", 1),
        (json!({ "kind": "not_done_closed" }), "unknown", 0),
        (json!({ "kind": "not_done_500" }), "unknown", 0),
        (json!({ "kind": "status_503_retry_after" }), "unknown", 0),
        (json!({ "kind": "status_429" }), "rejected", 0),
        (json!({ "kind": "status_404" }), "rejected", 0),
        (json!({ "kind": "redirect_307" }), "unknown", 0),
        (json!({ "kind": "redirect_302" }), "unknown", 0),
        (json!({ "kind": "stall", "ms": 8000 }), "unknown", 0),
        (json!({ "kind": "garbage" }), "unknown", 0),
        (json!({ "kind": "error_in_200" }), "unknown", 0),
        (json!({ "kind": "response_error_in_200" }), "rejected", 0),
    ];
    rows.into_iter().map(|(behaviour, outcome, effects)| Expected { behaviour, outcome, effects }).collect()
}

fn server(n: usize) -> String {
    (91_000_001 + n).to_string()
}

fn behaviour(value: &Value) -> Behaviour {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn every_behaviour_of_the_cloud_is_classed_and_never_answered_by_a_second_request() {
    let table = table();
    let cloud = Cloud::start(fleet(40));
    for (n, row) in table.iter().enumerate() {
        cloud.running.set_behaviour(Script::next_interrupt(&server(n), behaviour(&row.behaviour))).unwrap();
    }
    // A person approves each: the first unknown would take the policy's right to act alone.
    let site = Site::new(&Settings { mode: "approve", ..Settings::new(&cloud.running.endpoint()) });
    let service = site.start();
    let starts_at = now_text();
    let alerts: Vec<_> = (0..table.len()).map(|n| alert(&server(n), "firing", &starts_at)).collect();
    let (status, answer) = service.deliver(&delivery(&alerts, "all")).unwrap();
    assert_eq!(status, 202, "{answer}");

    for n in 0..table.len() {
        let id = service.wait_for(&server(n), &["awaiting_approval"])["id"].as_str().unwrap().to_owned();
        let (status, said) = service.approve(&id, LEAD, json!({ "reason": "a trial" }));
        assert_eq!(status, 200, "{said}");
    }

    // Spacing is a second, so this is the time that a fleet of this size takes.
    let attempts = eventually("every attempt to end", || {
        let attempts: Vec<Value> = service
            .remediations()
            .iter()
            .flat_map(|one| one["attempts"].as_array().cloned().unwrap_or_default())
            .collect();
        (attempts.len() == table.len() && attempts.iter().all(|one| one["outcome"].is_string()))
            .then_some(attempts)
    });
    assert_eq!(attempts.len(), table.len());
    for (n, row) in table.iter().enumerate() {
        let (_, page) = service
            .get(&format!("/api/v1/audit?kind=attempt_outcome&serverInstanceNo={}", server(n)), VIEWER);
        let items = page["items"].as_array().unwrap();
        assert_eq!(items.len(), 1, "{} {page}", row.behaviour);
        assert_eq!(items[0]["outcome"], row.outcome, "{} {}", row.behaviour, items[0]);
        let detail = &items[0]["detail"];
        let answered = items[0]["httpStatus"].is_number();
        assert_eq!(agrees(detail), answered.then_some(true), "{} {detail}", row.behaviour);
        let incomplete =
            ["ok_truncated", "ok_oversize", "ok_dripped"].iter().any(|kind| row.behaviour["kind"] == *kind);
        assert_eq!(detail["answerIncomplete"] == true, incomplete, "{} {detail}", row.behaviour);
        assert_eq!(cloud.requests(&server(n)), 1, "{}", row.behaviour);
        assert_eq!(cloud.effects().get(&server(n)).copied().unwrap_or(0), row.effects, "{}", row.behaviour);
        let no_request_id = ["ok_without_request_id"].iter().any(|kind| row.behaviour["kind"] == *kind);
        if row.outcome == "accepted" && !no_request_id && row.behaviour["kind"] != "ok_as_xml" {
            assert!(items[0]["requestId"].is_string(), "{}", items[0]);
        }
    }

    // Whatever comes now, none of them is sent again.
    let again: Vec<_> = (0..table.len()).map(|n| alert(&server(n), "firing", &now_text())).collect();
    let (status, answer) = service.deliver(&delivery(&again, "again")).unwrap();
    assert_eq!(status, 202);
    for one in answer["alerts"].as_array().unwrap() {
        assert!(one["decision"] == "suppressed" || one["decision"] == "duplicate", "{one}");
    }
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}

#[test]
fn refused_credentials_stop_everything() {
    for kind in ["status_401", "status_401_permission", "status_403"] {
        let cloud = Cloud::start(fleet(3));
        cloud.running.set_behaviour(Script::every_interrupt(behaviour(&json!({ "kind": kind })))).unwrap();
        let site = Site::new(&Settings::new(&cloud.running.endpoint()));
        let service = site.start();
        service.deliver(&delivery(&[alert(&server(0), "firing", &now_text())], "one")).unwrap();
        service.wait_for(&server(0), &["rejected", "unknown"]);
        let (_, holds) = service.get("/api/v1/holds", VIEWER);
        assert_eq!(holds["items"][0]["scope"], "global", "{kind}: {holds}");
        let (_, answer) =
            service.deliver(&delivery(&[alert(&server(1), "firing", &now_text())], "two")).unwrap();
        assert_eq!(answer["alerts"][0]["reason"], "hold", "{kind}: {answer}");
        assert_eq!(cloud.requests(&server(1)), 0);
    }
}

#[test]
fn an_unknown_stays_unknown_over_restarts_and_blocks_its_server() {
    let cloud = Cloud::start(fleet(2));
    let lost = behaviour(&json!({ "kind": "not_done_closed" }));
    cloud.running.set_behaviour(Script::next_interrupt(&server(0), lost)).unwrap();
    let site = Site::new(&Settings::new(&cloud.running.endpoint()));
    let service = site.start();
    service.deliver(&delivery(&[alert(&server(0), "firing", &now_text())], "one")).unwrap();
    service.wait_for(&server(0), &["unknown"]);
    service.kill();
    let service = site.start();
    let (_, answer) = service.deliver(&delivery(&[alert(&server(0), "firing", &now_text())], "two")).unwrap();
    assert_eq!(answer["alerts"][0]["reason"], "unknown_open", "{answer}");
    service.wait_for(&server(0), &["unknown"]);
    assert_eq!(cloud.requests(&server(0)), 1);
}

#[test]
fn a_cloud_that_cannot_be_read_delays_and_does_not_refuse() {
    let cloud = Cloud::start(fleet(2));
    cloud.running.set_behaviour(Script::every_read(behaviour(&json!({ "kind": "not_done_500" })))).unwrap();
    let site = Site::new(&Settings::new(&cloud.running.endpoint()));
    let service = site.start();
    let (_, answer) = service.deliver(&delivery(&[alert(&server(0), "firing", &now_text())], "one")).unwrap();
    assert_eq!(answer["alerts"][0]["decision"], "pending", "{answer}");
    let (status, _) = service.get("/readyz", VIEWER);
    assert_eq!(status, 200, "readiness never depends on the cloud");
    cloud.running.set_behaviour(Script::every_read(behaviour(&json!({ "kind": "ok" })))).unwrap();
    service.wait_for(&server(0), &["accepted", "confirmed"]);
}

#[test]
fn a_cloud_clock_that_differs_from_ours_stops_sending() {
    let cloud = Cloud::start(fleet(2));
    cloud.running.set_clock_offset_ms(120_000);
    let site = Site::new(&Settings::new(&cloud.running.endpoint()));
    let service = site.start();
    service.deliver(&delivery(&[alert(&server(0), "firing", &now_text())], "one")).unwrap();
    let waiting = eventually("the remediation to wait", || {
        service.remediations().into_iter().find(|one| one["reason"] == "blind")
    });
    assert_eq!(waiting["state"], "queued", "{waiting}");
    assert_eq!(cloud.requests(&server(0)), 0);
    cloud.running.set_clock_offset_ms(0);
    service.wait_for(&server(0), &["accepted", "confirmed"]);
}

#[test]
fn a_stop_awaits_the_answer_in_flight_and_leaves_no_intent() {
    let cloud = Cloud::start(fleet(2));
    let slow = behaviour(&json!({ "kind": "ok_slow", "ms": 1500 }));
    cloud.running.set_behaviour(Script::next_interrupt(&server(0), slow)).unwrap();
    let site = Site::new(&Settings::new(&cloud.running.endpoint()));
    let service = site.start();
    service.deliver(&delivery(&[alert(&server(0), "firing", &now_text())], "one")).unwrap();
    eventually("the request to be on its way", || (cloud.requests(&server(0)) == 1).then_some(()));
    let (code, took) = service.stop();
    assert_eq!(code, 0);
    assert!(took.as_secs() < 10, "{took:?}");
    let service = site.start();
    service.wait_for(&server(0), &["accepted", "confirmed"]);
    assert_eq!(cloud.requests(&server(0)), 1);
    drop(service);
}

#[test]
fn a_second_process_on_the_same_data_does_not_start() {
    let cloud = Cloud::start(fleet(1));
    let site = Site::new(&Settings::new(&cloud.running.endpoint()));
    let first = site.start();
    let said = site.try_start().unwrap_err();
    assert!(
        said.contains("in use by another unhang process") && said.contains(&first.pid().to_string()),
        "{said}"
    );
    assert!(said.contains("exit status: 3"), "{said}");
}
