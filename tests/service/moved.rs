//! A store that moves from a file to a server, between two lives of the service: what was done counts there, the journal
//! goes along, and the old file is of no use any more.

use serde_json::{Value, json};
use simulator::Script;

use crate::support::{
    Cloud, Service, Settings, Site, VIEWER, alert, broken_laws, delivery, eventually, fleet, now_text,
};

const ACCEPTED: &str = "91000001";
const UNKNOWN: &str = "91000002";
const IN_FLIGHT: &str = "91000003";
const NEW: &str = "91000004";

fn fire(service: &Service, server: &str) -> (String, Value) {
    let (now, note) = (now_text(), format!("{server} {}", now_text()));
    let (status, answer) = service.deliver(&delivery(&[alert(server, "firing", &now)], &note)).unwrap();
    assert_eq!(status, 202, "{answer}");
    (answer["deliveryId"].as_str().unwrap().to_owned(), answer["alerts"][0].clone())
}

fn quarantine(service: &Service) -> Value {
    service.get("/api/v1/quarantine", VIEWER).1["quarantine"].clone()
}

#[test]
fn what_was_done_before_a_move_counts_after_it() {
    let cloud = Cloud::start(fleet(4));
    for (server, kind) in
        [(UNKNOWN, json!({ "kind": "not_done_closed" })), (IN_FLIGHT, json!({ "kind": "stall", "ms": 8000 }))]
    {
        let behaviour = serde_json::from_value(kind).unwrap();
        cloud.running.set_behaviour(Script::next_interrupt(server, behaviour)).unwrap();
    }
    let settings = Settings::new(&cloud.running.endpoint());
    let mut site = Site::with_store(&settings, None);
    let service = site.start();
    let mut acknowledged = Vec::new();
    for (server, state) in [(ACCEPTED, "confirmed"), (UNKNOWN, "unknown"), (IN_FLIGHT, "intent")] {
        acknowledged.push(fire(&service, server).0);
        service.wait_for(server, &[state]);
        // After an unknown each asks a person; this test does not.
        service.promote();
    }
    eventually("the request in flight", || (cloud.requests(IN_FLIGHT) == 1).then_some(()));
    service.kill();

    let file_config = std::fs::read_to_string(&site.config).unwrap();
    let url = crate::postgres::server().new_database();
    site.url = Some(url.clone());
    site.write(&Settings { store: format!("folder = \"new\"\n{}", settings.store), ..settings });
    // Where to is what the configuration says.
    let from = site.store();
    let config = site.config.to_str().unwrap();
    let (code, said, trouble) = site.run(&["migrate", "--from", from.to_str().unwrap(), "--config", config]);
    assert_eq!(code, 0, "{said}{trouble}");
    let new = site.dir.path().join("new");
    std::fs::create_dir(&new).unwrap();
    std::fs::rename(from.with_file_name("JOURNAL"), new.join("JOURNAL")).unwrap();
    std::fs::rename(from.with_file_name("unhang.db.heads"), new.join("unhang.heads")).unwrap();

    let service = site.start();
    assert_eq!(quarantine(&service), Value::Null);
    service.wait_for(IN_FLIGHT, &["unknown"]);
    service.promote();
    for (server, reason) in [(UNKNOWN, "unknown_open"), (IN_FLIGHT, "unknown_open")] {
        let (id, decided) = fire(&service, server);
        assert_eq!(decided["reason"], reason, "{server}: {decided}");
        acknowledged.push(id);
    }
    let (id, decided) = fire(&service, ACCEPTED);
    assert_eq!(decided["decision"], "suppressed", "{decided}");
    acknowledged.push(id);
    acknowledged.push(fire(&service, NEW).0);
    service.wait_for(NEW, &["confirmed"]);
    let (_, moved) = service.get("/api/v1/audit?kind=store_moved", VIEWER);
    assert_eq!(moved["items"].as_array().unwrap().len(), 1, "{moved}");
    assert_eq!(cloud.requests(ACCEPTED), 1);
    assert_eq!(cloud.requests(UNKNOWN) + cloud.requests(IN_FLIGHT), 2);
    assert_eq!(service.stop().0, 0);
    assert_eq!(broken_laws(&site, &cloud, &acknowledged), Vec::<String>::new());

    // Whoever starts on the old file is stopped by the journal that is gone from there.
    std::fs::write(&site.config, file_config).unwrap();
    let service = site.start();
    let why = quarantine(&service);
    assert!(why["why"].as_str().unwrap().contains("the journal is missing"), "{why}");
}
