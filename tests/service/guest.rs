//! Collected dumps, and what guests say of themselves.

use serde_json::{Value, json};
use simulator::{Behaviour, Script};

use crate::past;
use crate::support::{
    ALERTMANAGER_TOKEN, Cloud, OPERATOR, Service, Settings, Site, VIEWER, alert, delivery, fleet, now_text,
};

const FIRST: &str = "91000001";
const GUEST: &str = "guest-test-token-00000001";
const SECOND: &str = "91000002";
const FLEET: &str = "guest-test-token-00000002";
const GUESTS: &str = "[[sources]]\nname = \"guests\"\nkind = \"guest\"\nservers = [\"91000001\"]\n\
                      auth = [{ kind = \"bearer\", secret_file = \"guest\" }]\n";
const FLEET_GUESTS: &str = "[[sources]]\nname = \"fleet\"\nkind = \"guest\"\nname_pattern = \"win-00[01]\"\n\
                            auth = [{ kind = \"bearer\", secret_file = \"fleet\" }]\n";

fn site(cloud: &Cloud, mode: &'static str) -> Site {
    let settings = Settings { mode, more: GUESTS.to_owned(), ..Settings::new(&cloud.running.endpoint()) };
    let site = Site::new(&settings);
    site.secret("guest", GUEST);
    site
}

fn fire(service: &Service, server: &str, note: &str) -> Value {
    let (status, answer) = service.deliver(&delivery(&[alert(server, "firing", &now_text())], note)).unwrap();
    assert_eq!(status, 202, "{answer}");
    answer["alerts"][0].clone()
}

fn settings(enabled: u8) -> Value {
    json!({
        "kind": "dump_settings", "at": now_text(),
        "settings": {
            "crashDumpEnabled": enabled, "dumpFile": "%SystemRoot%\\MEMORY.DMP", "autoReboot": true,
            "nmiCrashDump": true, "pageFileMiB": 8449, "freeDiskMiB": 20000, "memoryMiB": 8192,
        },
    })
}

fn found(written_at: &str) -> Value {
    json!({
        "kind": "dump_found", "at": now_text(), "path": "C:\\Windows\\MEMORY.DMP", "sizeBytes": 8_589_934_592_u64,
        "writtenAt": written_at, "bugcheckCode": "0x00000080",
    })
}

fn attest(service: &Service, token: &str, body: &Value) -> (u16, Value) {
    attest_for(service, FIRST, token, body)
}

fn attest_for(service: &Service, server: &str, token: &str, body: &Value) -> (u16, Value) {
    service.post(&format!("/api/v1/servers/{server}/attestations"), token, body)
}

fn collect(service: &Service, server: &str) -> (u16, Value) {
    let body = json!({ "reason": "copied to the case" });
    service.post(&format!("/api/v1/servers/{server}/dump-collected"), OPERATOR, &body)
}

#[test]
fn a_collected_dump_ends_the_cooldown_but_never_the_dump_window_or_the_budget() {
    let cloud = Cloud::start(fleet(3));
    let site = site(&cloud, "auto");
    let service = site.start();
    service.wait_for_inventory(3);
    let (status, said) = collect(&service, FIRST);
    assert_eq!((status, &said["code"]), (409, &json!("nothing_to_collect")), "{said}");
    service.stop();
    past::interrupted(&site, FIRST, 120);
    past::interrupted(&site, "91000002", 10);

    let service = site.start();
    assert_eq!(fire(&service, FIRST, "one")["reason"], "cooldown");
    assert_eq!(fire(&service, "91000002", "two")["reason"], "dump_window");
    let (status, said) = collect(&service, "91000002");
    assert_eq!((status, &said["code"]), (409, &json!("too_early")), "{said}");
    assert!(said["until"].is_string(), "{said}");
    let other = json!({ "reason": "copied", "regionCode": "JP" });
    let (status, said) = service.post(&format!("/api/v1/servers/{FIRST}/dump-collected"), OPERATOR, &other);
    assert_eq!(status, 409, "{said}");
    assert_eq!(service.post(&format!("/api/v1/servers/{FIRST}/dump-collected"), VIEWER, &other).0, 403);

    let (status, said) = collect(&service, FIRST);
    assert_eq!((status, &said["attempts"]), (200, &json!(1)), "{said}");
    assert_eq!(collect(&service, FIRST).0, 409, "it can be collected once");
    let (_, audit) = service.get("/api/v1/audit?kind=dump_collected", VIEWER);
    assert_eq!(audit["items"][0]["actor"]["name"], "oncall", "{audit}");
    assert_eq!(fire(&service, FIRST, "three")["decision"], "remediate");
    service.wait_for(FIRST, &["accepted", "confirmed"]);
    assert_eq!(cloud.requests(FIRST), 1);
    assert_eq!(fire(&service, FIRST, "four")["decision"], "duplicate");
    // Two a day are allowed, and this was the second: a third waits for the budget, whoever collects what.
    let (_, budgets) = service.get("/api/v1/budgets", VIEWER);
    let spent =
        budgets["items"].as_array().unwrap().iter().find(|b| b["scope"] == "server" && b["name"] == FIRST);
    assert_eq!(spent.unwrap()["remaining"], 0, "{budgets}");
}

#[test]
fn a_dump_found_after_the_intent_confirms_and_one_from_before_it_does_not() {
    let cloud = Cloud::start(fleet(1));
    // Nobody can tell from the answer what came of it, and no reboot is seen from outside.
    cloud.running.set_behaviour(Script::every_interrupt(Behaviour::NotDone500)).unwrap();
    let site = site(&cloud, "auto");
    let before = now_text();
    let service = site.start();
    service.wait_for_inventory(1);
    fire(&service, FIRST, "one");
    service.wait_for(FIRST, &["unknown", "accepted"]);
    let (status, said) = attest(&service, GUEST, &found(&before));
    assert_eq!((status, &said["confirmedRemediationId"]), (202, &Value::Null), "{said}");
    let (status, said) = attest(&service, GUEST, &found("2099-01-01T00:00:00Z"));
    assert_eq!((status, &said["confirmedRemediationId"]), (202, &Value::Null), "{said}");
    let (status, said) = attest(&service, GUEST, &found(&now_text()));
    assert_eq!(status, 202, "{said}");
    assert!(said["confirmedRemediationId"].is_string(), "{said}");
    let confirmed = service.wait_for(FIRST, &["confirmed"]);
    assert_eq!(confirmed["attempts"][0]["evidence"]["kind"], "guest_dump", "{confirmed}");
    // A dump on the server is not a dump in safe hands.
    assert_eq!(fire(&service, FIRST, "two")["reason"], "dump_window");
    let (_, audit) = service.get("/api/v1/audit?kind=attestation", VIEWER);
    assert_eq!(audit["items"].as_array().unwrap().len(), 3, "{audit}");
    assert_eq!(cloud.requests(FIRST), 1);
}

#[test]
fn only_guests_attest_and_guests_do_nothing_else() {
    let cloud = Cloud::start(fleet(1));
    let site = site(&cloud, "auto");
    let service = site.start();
    for token in [ALERTMANAGER_TOKEN, OPERATOR, "nobody-0000000000000001"] {
        let (status, said) = attest(&service, token, &settings(1));
        assert_eq!((status, &said["code"]), (401, &json!("bad_credential")), "{token}");
    }
    // A guest is no source of alerts: it is answered as a name that nobody has.
    let body = delivery(&[alert(FIRST, "firing", &now_text())], "one");
    let unknown = service.post("/webhooks/nobody", GUEST, &body);
    let guest = service.post("/webhooks/guests", GUEST, &body);
    assert_eq!(
        (unknown.0, &unknown.1["code"], &unknown.1["detail"]),
        (guest.0, &guest.1["code"], &guest.1["detail"])
    );
    assert_eq!(guest.0, 401);
    let (_, audit) = service.get("/api/v1/audit?source=guests", VIEWER);
    assert_eq!(audit["items"], json!([]));
    let mut wrong = settings(1);
    wrong["settings"]["crashDumpEnabled"] = json!("1");
    assert_eq!(attest(&service, GUEST, &wrong).0, 400);
    wrong["settings"] = json!({ "crashDumpEnabled": 1 });
    assert_eq!(attest(&service, GUEST, &wrong).0, 400);
    wrong = settings(1);
    wrong["at"] = json!("2099-01-01T00:00:00Z");
    let (status, said) = attest(&service, GUEST, &wrong);
    assert_eq!((status, &said["field"]), (400, &json!("at")), "{said}");
    wrong["padding"] = json!("x".repeat(70_000));
    assert_eq!(attest(&service, GUEST, &wrong).0, 413);
    assert_eq!(service.post("/api/v1/servers/abc/attestations", GUEST, &settings(1)).0, 400);
    assert_eq!(attest(&service, GUEST, &settings(1)).0, 202);
}

#[test]
fn a_guest_speaks_only_for_the_servers_that_its_credential_is_bound_to() {
    let cloud = Cloud::start(fleet(3));
    cloud.running.set_behaviour(Script::every_interrupt(Behaviour::NotDone500)).unwrap();
    let more = format!("{GUESTS}{FLEET_GUESTS}");
    let site = Site::new(&Settings { mode: "auto", more, ..Settings::new(&cloud.running.endpoint()) });
    site.secret("guest", GUEST);
    site.secret("fleet", FLEET);
    let service = site.start();
    service.wait_for_inventory(3);
    fire(&service, SECOND, "one");
    service.wait_for(SECOND, &["unknown", "accepted"]);

    // It proves nothing of another server, and what it says of one is not kept; the body is not even looked at.
    for (server, body) in [(SECOND, found(&now_text())), (SECOND, json!({})), ("99999999", settings(1))] {
        let (status, said) = attest_for(&service, server, GUEST, &body);
        assert_eq!((status, &said["code"]), (403, &json!("not_your_server")), "{server}: {said}");
        let detail = said["detail"].as_str().unwrap();
        assert!(detail.contains("guests") && detail.contains(server), "{said}");
    }
    // A pattern is matched against the name that the inventory has; of a number that it does not have it says nothing.
    for server in ["91000003", "99999999"] {
        let (status, said) = attest_for(&service, server, FLEET, &settings(1));
        assert_eq!((status, &said["code"]), (403, &json!("not_your_server")), "{server}: {said}");
    }
    let (_, audit) = service.get("/api/v1/audit?kind=attestation", VIEWER);
    assert_eq!(audit["items"], json!([]));
    service.wait_for(SECOND, &["unknown", "accepted"]);

    assert_eq!(attest_for(&service, FIRST, GUEST, &settings(1)).0, 202);
    let (status, said) = attest_for(&service, SECOND, FLEET, &found(&now_text()));
    assert_eq!(status, 202, "{said}");
    assert!(said["confirmedRemediationId"].is_string(), "{said}");
}

#[test]
fn a_policy_that_asks_for_an_attestation_waits_for_a_good_one() {
    let cloud = Cloud::start(fleet(1));
    let site = site(&cloud, "auto");
    let text = std::fs::read_to_string(&site.config).unwrap();
    let asks = text.replace("cooldown = \"24h\"", "cooldown = \"24h\"\nrequire_attestation = \"168h\"");
    std::fs::write(&site.config, asks).unwrap();
    let service = site.start();
    service.wait_for_inventory(1);
    let refused = fire(&service, FIRST, "one");
    assert_eq!(refused["reason"], "not_eligible", "{refused}");
    assert_eq!(attest(&service, GUEST, &settings(0)).0, 202);
    let refused = fire(&service, FIRST, "two");
    assert!(refused["detail"].as_str().unwrap().contains("CrashDumpEnabled is 0"), "{refused}");
    assert_eq!(attest(&service, GUEST, &settings(7)).0, 202);
    assert_eq!(fire(&service, FIRST, "three")["decision"], "remediate");
    service.wait_for(FIRST, &["accepted", "confirmed"]);
}

#[test]
fn what_a_maintenance_window_muted_is_not_done_until_it_is_told_again() {
    let cloud = Cloud::start(fleet(1));
    let mut settings = Settings::new(&cloud.running.endpoint());
    settings.more = "[[maintenance]]\nname = \"always\"\ncron = \"* * * * *\"\nduration = \"2h\"\n\
                     timezone = \"Asia/Seoul\"\nname_pattern = \"win-.*\"\n"
        .to_owned();
    let site = Site::new(&settings);
    let service = site.start();
    service.wait_for_inventory(1);
    let muted = fire(&service, FIRST, "one");
    assert_eq!(muted["reason"], "maintenance", "{muted}");
    assert!(muted["until"].is_string(), "{muted}");
    service.stop();
    settings.more.clear();
    site.write(&settings);
    let service = site.start();
    service.wait_for_inventory(1);
    assert!(service.remediations().is_empty(), "nothing is made up for");
    assert_eq!(cloud.requests(FIRST), 0);
    assert_eq!(fire(&service, FIRST, "two")["decision"], "remediate");
    service.wait_for(FIRST, &["accepted", "confirmed"]);
    assert_eq!(cloud.requests(FIRST), 1);
}
