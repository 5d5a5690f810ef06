//! Which server an alert means: every way in which senders name one, and what is done when the name no longer fits.

use serde_json::{Value, json};
use simulator::ServerPatch;

use crate::support::{
    Cloud, Service, Settings, Site, VIEWER, alert, broken_laws, delivery, eventually, fleet, now_text,
};

const FIRST: &str = "91000001";
const SECOND: &str = "91000002";

/// Delivers one alert with these labels alone; its answer.
fn fire(service: &Service, labels: &[(&str, &str)]) -> Value {
    let mut one = alert(&format!("{labels:?}"), "firing", &now_text());
    one["labels"] = json!({ "alertname": "WindowsVmHung" });
    for (name, value) in labels {
        one["labels"][*name] = json!(value);
    }
    let (status, answer) = service.deliver(&delivery(&[one], &format!("{labels:?}"))).unwrap();
    assert_eq!(status, 202, "{answer}");
    answer["alerts"][0].clone()
}

/// The decision on an alert, once its target was looked up.
fn decided(service: &Service, labels: &[(&str, &str)]) -> (String, String, Value) {
    let answer = fire(service, labels);
    let decided = eventually("a decision", || {
        if answer["decision"] != "pending" {
            return Some(answer.clone());
        }
        let fingerprint = &alert(&format!("{labels:?}"), "firing", "")["fingerprint"];
        let (_, page) = service.get("/api/v1/audit?kind=alert_decided&limit=200", VIEWER);
        let of =
            |event: &&Value| event["detail"]["fingerprint"] == *fingerprint && event["decision"] != "pending";
        page["items"].as_array().unwrap().iter().find(of).cloned()
    });
    let text = |key: &str| decided[key].as_str().unwrap_or("").to_owned();
    (text("serverInstanceNo"), format!("{} {}", text("decision"), text("reason")), decided)
}

fn started(settings: &Settings, cloud: &Cloud) -> (Site, Service) {
    let site = Site::new(&Settings { endpoint: cloud.running.endpoint(), ..settings.clone() });
    let service = site.start();
    service.wait_for_inventory(cloud.running.servers().len());
    (site, service)
}

#[test]
fn a_server_is_found_in_every_way_that_senders_name_it() {
    let cloud = Cloud::start(fleet(12));
    let (_site, service) = started(&Settings { mode: "approve", ..Settings::new("") }, &cloud);
    let cases: [(&str, &[(&str, &str)]); 10] = [
        ("91000001", &[("hostname", "WIN-000")]),
        ("91000002", &[("hostname", "win-001.corp.example")]),
        ("91000003", &[("hostname", "WIN-002.Corp.Example")]),
        ("91000004", &[("instance", "win-003:9182"), ("hostname", "win-003")]),
        ("91000005", &[("instance", "http://WIN-004:9182/metrics"), ("hostname", "Win-004")]),
        ("91000006", &[("instance", "10.1.0.6:9182"), ("hostname", "WIN-005")]),
        ("91000007", &[("instance", "http://10.1.0.7:9182/metrics")]),
        ("91000008", &[("instance", "[::ffff:10.1.0.8]:9182")]),
        ("91000009", &[("instance", "::FFFF:10.1.0.9")]),
        (
            "91000010",
            &[("server_instance_no", "91000010"), ("instance", "localhost:9182"), ("hostname", "none")],
        ),
    ];
    for (server, labels) in cases {
        let (found, word, told) = decided(&service, labels);
        assert_eq!((found.as_str(), word.as_str()), (server, "awaiting_approval "), "{labels:?}: {told}");
    }
    let (_, page) = service.get("/api/v1/audit?kind=alert_decided&serverInstanceNo=91000002", VIEWER);
    let trace = page["items"][0]["detail"]["trace"].to_string();
    assert!(trace.contains("91000002, by the first part of win-001.corp.example"), "{trace}");
}

#[test]
fn labels_that_name_no_server_or_two_lead_to_nothing() {
    let cloud = Cloud::start(fleet(2));
    let (_site, service) = started(&Settings { mode: "approve", ..Settings::new("") }, &cloud);
    let cases: [(&str, &[(&str, &str)]); 8] = [
        ("suppressed target_missing", &[("instance", "win-000:9182")]),
        ("suppressed target_unknown", &[("hostname", "win-000x.corp.example")]),
        ("suppressed target_unknown", &[("hostname", "10.1.0.1.corp")]),
        ("quarantined quarantined_alert", &[("server_instance_no", "91000001x"), ("hostname", "win-000")]),
        ("suppressed target_ambiguous", &[("server_instance_no", FIRST), ("hostname", "WIN-001")]),
        ("suppressed target_ambiguous", &[("instance", "10.1.0.1"), ("hostname", "win-001.corp.example")]),
        ("suppressed region_unknown", &[("server_instance_no", FIRST), ("region_code", "JPN")]),
        ("suppressed region_unknown", &[("hostname", "nobody"), ("region_code", "kr")]),
    ];
    for (expected, labels) in cases {
        let (_, word, told) = decided(&service, labels);
        assert_eq!(word, expected, "{labels:?}: {told}");
    }
}

#[test]
fn a_region_that_the_account_does_not_have_is_told_as_such() {
    let cloud = Cloud::start(fleet(1));
    let settings = Settings { mode: "approve", ..Settings::new(&cloud.running.endpoint()) };
    let site = Site::new(&settings);
    let written = std::fs::read_to_string(&site.config).unwrap();
    std::fs::write(&site.config, written.replace("region = \"KR\"", "region = \"XX\"")).unwrap();
    let service = site.start();
    for labels in [[("server_instance_no", FIRST)], [("hostname", "win-000")], [("instance", "10.1.0.1")]] {
        let (_, word, told) = decided(&service, &labels);
        assert_eq!(word, "suppressed region_unknown", "{told}");
        assert!(told["detail"].to_string().contains("KR"), "{told}");
    }
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}

/// A service whose remediations wait for three seconds before anything is done.
fn slow(cloud: &Cloud) -> (Site, Service) {
    started(&Settings { settle: "3s", ..Settings::new("") }, cloud)
}

fn is_cancelled(on: &(Site, Service), cloud: &Cloud, server: &str, reason: &str) -> Value {
    let ended = on.1.wait_for(server, &["cancelled", "accepted", "confirmed", "expired"]);
    assert_eq!((&ended["state"], &ended["reason"]), (&json!("cancelled"), &json!(reason)), "{ended}");
    assert_eq!(cloud.running.ledger().len(), 0);
    assert_eq!(broken_laws(&on.0, cloud, &[]), Vec::<String>::new());
    ended
}

#[test]
fn an_address_that_moves_to_another_server_is_followed_to_neither() {
    let cloud = Cloud::start(fleet(3));
    let on = slow(&cloud);
    fire(&on.1, &[("instance", "10.1.0.1:9182")]);
    on.1.wait_for(FIRST, &["settling"]);
    let address = |ip: &str| ServerPatch { private_ip: Some(ip.to_owned()), ..ServerPatch::default() };
    cloud.running.patch(FIRST, address("10.1.0.99")).unwrap();
    cloud.running.patch(SECOND, address("10.1.0.1")).unwrap();
    let ended = is_cancelled(&on, &cloud, FIRST, "target_changed");
    let detail = ended["detail"].as_str().unwrap();
    assert!(detail.contains("address 10.1.0.1 is server 91000002") && detail.contains(FIRST), "{detail}");
    // What was learnt counts for the next notice, and one whose name still fits is sent to.
    let (server, _, told) = decided(&on.1, &[("instance", "10.1.0.1:9182"), ("again", "yes")]);
    assert_eq!(server, SECOND, "{told}");
    fire(&on.1, &[("hostname", "WIN-002.corp.example"), ("instance", "win-002:9182")]);
    on.1.wait_for("91000003", &["accepted", "confirmed"]);
}

#[test]
fn a_number_beside_the_address_of_another_server_is_sent_to_nobody() {
    let cloud = Cloud::start(fleet(2));
    let on = slow(&cloud);
    fire(&on.1, &[("server_instance_no", FIRST), ("instance", "10.1.0.2:9182")]);
    is_cancelled(&on, &cloud, FIRST, "target_ambiguous");
}
