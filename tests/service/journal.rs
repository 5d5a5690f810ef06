//! The attempt journal: a store that knows less than was done sends nothing, and an answer that a crash kept from the
//! store is not lost.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use simulator::{Behaviour, Script};
use sqlx::Connection as _;
use unhang::domain::answer::CloudAnswer;
use unhang::domain::remediation::Outcome;
use unhang::journal::{AnswerLine, Entry, Journal, Stamp};

use crate::support::{
    Cloud, LEAD, OPERATOR, Service, Settings, Site, VIEWER, alert, broken_laws, delivery, eventually, fleet,
    now_text,
};

const FIRST: &str = "91000001";
const SECOND: &str = "91000002";
const THIRD: &str = "91000003";

fn site(cloud: &Cloud) -> Site {
    Site::new(&Settings::new(&cloud.running.endpoint()))
}

fn journal(site: &Site) -> PathBuf {
    site.store().with_file_name("JOURNAL")
}

/// Fires an alert that is a delivery of its own; the decision on it.
fn fire(service: &Service, server: &str) -> Value {
    let starts_at = now_text();
    let (status, answer) =
        service.deliver(&delivery(&[alert(server, "firing", &starts_at)], &starts_at)).unwrap();
    assert_eq!(status, 202, "{answer}");
    answer["alerts"][0].clone()
}

#[track_caller]
fn interrupted(service: &Service, server: &str) {
    assert_eq!(fire(service, server)["decision"], "remediate");
    service.wait_for(server, &["confirmed"]);
}

fn started(site: &Site, servers: usize) -> Service {
    let service = site.start();
    service.wait_for_inventory(servers);
    service
}

/// Puts a copy in the place of the store, as a person who restores a backup does.
fn restore(site: &Site, copy: &Path) {
    for end in ["-wal", "-shm"] {
        let mut name = site.store().into_os_string();
        name.push(end);
        let _not_there = std::fs::remove_file(PathBuf::from(name));
    }
    std::fs::copy(copy, site.store()).unwrap();
}

fn backup(site: &Site, name: &str) -> PathBuf {
    let to = site.dir.path().join(name);
    let args = ["backup", "--store", site.store().to_str().unwrap(), to.to_str().unwrap()].map(str::to_owned);
    let (code, _, trouble) = site.run(&args.each_ref().map(String::as_str));
    assert_eq!(code, 0, "{trouble}");
    to
}

fn quarantine(service: &Service) -> Value {
    let (status, said) = service.get("/api/v1/quarantine", VIEWER);
    assert_eq!(status, 200, "{said}");
    said
}

/// Nothing is sent: alerts are taken, and decided as held.
#[track_caller]
fn stands_still(service: &Service, cloud: &Cloud, mentions: &str) {
    let said = quarantine(service);
    assert!(said["quarantine"]["why"].as_str().unwrap().contains(mentions), "{said}");
    let before = cloud.running.ledger().len();
    for server in [FIRST, SECOND, THIRD] {
        let decided = fire(service, server);
        assert_eq!(decided["decision"], "suppressed", "{decided}");
        assert_eq!(decided["remediationId"], Value::Null, "{decided}");
    }
    let decided = fire(service, THIRD);
    assert_eq!(decided["reason"], "hold", "{decided}");
    assert!(decided["detail"].as_str().unwrap().contains("quarantine"), "{decided}");
    assert_eq!(cloud.running.ledger().len(), before);
}

#[test]
fn a_restored_older_store_sends_nothing_until_a_person_has_reconciled_it() {
    let cloud = Cloud::start(fleet(3));
    let site = site(&cloud);
    let service = started(&site, 3);
    interrupted(&service, SECOND);
    let copy = backup(&site, "copy.db");
    interrupted(&service, FIRST);
    assert_eq!(service.stop().0, 0);

    restore(&site, &copy);
    let service = started(&site, 3);
    stands_still(&service, &cloud, "does not know attempt 2 of server 91000001");
    let said = quarantine(&service);
    assert_eq!(said["missing"].as_array().unwrap().len(), 1, "{said}");
    assert_eq!((&said["missing"][0]["outcome"], &said["journalHighWater"]), (&json!("accepted"), &json!(2)));
    let (_, ready) = service.get("/readyz", VIEWER);
    assert_eq!(ready["checks"]["information"]["quarantine"], true, "{ready}");
    let (_, metrics) = service.get("/metrics", VIEWER);
    assert!(metrics.as_str().unwrap().contains("\nunhang_quarantine_open 1\n"), "{metrics}");
    let (code, said, told) = site.run(&["audit", "reconcile", "--config", "unhang.toml"]);
    assert_eq!(code, 1, "{told}");
    assert!(said.contains(FIRST) && said.contains("attempts up to 2"), "{said}");
    assert!(told.contains("unhang quarantine clear"), "{told}");

    // It lasts over a restart, and when the same copy is put there once more.
    service.kill();
    let service = started(&site, 3);
    stands_still(&service, &cloud, "attempt 2");
    service.kill();
    restore(&site, &copy);
    let service = started(&site, 3);
    stands_still(&service, &cloud, "attempt 2");

    let why = json!({ "reason": "the activity record shows one interrupt of the first server" });
    assert_eq!(service.post("/api/v1/quarantine/clear", OPERATOR, &why).0, 403);
    assert_eq!(service.post("/api/v1/quarantine/clear", LEAD, &json!({ "reason": " " })).0, 400);
    let (status, cleared) = service.post("/api/v1/quarantine/clear", LEAD, &why);
    assert_eq!(status, 200, "{cleared}");
    assert_eq!(
        (&cleared["highWater"], cleared["holds"].as_array().unwrap().len()),
        (&json!(2), 1),
        "{cleared}"
    );
    assert_eq!(service.post("/api/v1/quarantine/clear", LEAD, &why).0, 404, "there is none any more");

    // The forgotten server is held, another one is not, and no number is given twice.
    let decided = fire(&service, FIRST);
    assert_eq!(decided["reason"], "hold", "{decided}");
    // Whoever clears the hold finds the dump window behind it: limits count what only the journal knows.
    site.secret("oncall", OPERATOR);
    let hold = cleared["holds"][0].to_string();
    let clear =
        ["hold", "clear", &hold, "--reason", "understood", "--url", &service.url, "--token-file", "oncall"];
    let (code, said, trouble) = site.run(&clear);
    assert_eq!(code, 0, "{said}{trouble}");
    let decided = fire(&service, FIRST);
    assert_eq!(decided["reason"], "dump_window", "{decided}");
    interrupted(&service, THIRD);
    assert_eq!(cloud.effects().values().copied().collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(Journal::read(&journal(&site)).unwrap().unwrap().high_water, 3);
    assert_eq!(service.stop().0, 0);
    let (code, said, told) = site.run(&["audit", "reconcile", "--config", "unhang.toml"]);
    assert_eq!(code, 0, "{said}{told}");

    // Once cleared it stays so, until an older copy comes again.
    let service = started(&site, 3);
    assert_eq!(quarantine(&service)["quarantine"], Value::Null);
    assert_eq!(fire(&service, FIRST)["reason"], "dump_window");
    service.stop();
    restore(&site, &copy);
    let service = started(&site, 3);
    stands_still(&service, &cloud, "attempt 3");
}

#[test]
fn a_store_that_lost_only_alerts_is_found_by_its_audit() {
    let cloud = Cloud::start(fleet(3));
    let site = site(&cloud);
    let service = started(&site, 3);
    let copy = backup(&site, "copy.db");
    let hold = json!({ "scope": "global", "reason": "stop" });
    assert_eq!(service.post("/api/v1/holds", OPERATOR, &hold).0, 201);
    service.stop();
    restore(&site, &copy);
    let service = started(&site, 3);
    stands_still(&service, &cloud, "audit row");
}

/// Takes the store away, as a volume that is lost does.
fn lose(site: &Site) {
    for end in ["", "-wal", "-shm"] {
        let mut name = site.store().into_os_string();
        name.push(end);
        let _not_there = std::fs::remove_file(PathBuf::from(name));
    }
}

#[test]
fn a_store_that_is_older_than_its_newest_head_is_a_quarantine_though_the_journal_went_back_with_it() {
    let cloud = Cloud::start(fleet(3));
    let site = site(&cloud);
    let service = started(&site, 3);
    interrupted(&service, SECOND);
    assert_eq!(service.stop().0, 0);
    let older = site.dir.path().join("older");
    std::fs::copy(site.store(), older.with_extension("db")).unwrap();
    std::fs::copy(journal(&site), older.with_extension("journal")).unwrap();
    let service = started(&site, 3);
    interrupted(&service, FIRST);
    assert_eq!(service.stop().0, 0);

    // Store and journal are rolled back together; only the heads lie elsewhere.
    restore(&site, &older.with_extension("db"));
    std::fs::copy(older.with_extension("journal"), journal(&site)).unwrap();
    let service = started(&site, 3);
    stands_still(&service, &cloud, "newest head");
    let why = json!({ "reason": "the first server was interrupted, its dump is there" });
    assert_eq!(service.post("/api/v1/quarantine/clear", LEAD, &why).0, 200);
    assert_eq!(service.stop().0, 0);
    let service = started(&site, 3);
    assert_eq!(quarantine(&service)["quarantine"], Value::Null, "a person has looked");
    assert_eq!(service.stop().0, 0);

    // The same with nothing left of either.
    lose(&site);
    std::fs::remove_file(journal(&site)).unwrap();
    let service = started(&site, 3);
    stands_still(&service, &cloud, "newest head");
    service.kill();
    assert_eq!(cloud.effects().values().copied().collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn an_empty_store_beside_a_journal_that_knows_more_is_a_quarantine() {
    let cloud = Cloud::start(fleet(3));
    let site = site(&cloud);
    let service = started(&site, 3);
    interrupted(&service, SECOND);
    assert_eq!(service.stop().0, 0);
    lose(&site);
    for file in std::fs::read_dir(site.store().parent().unwrap()).unwrap().flatten() {
        if file.file_name().to_string_lossy().ends_with(".heads") {
            std::fs::remove_file(file.path()).unwrap();
        }
    }
    let service = started(&site, 3);
    stands_still(&service, &cloud, "does not know attempt 1");
}

#[test]
fn a_journal_that_is_missing_or_of_another_store_is_a_quarantine() {
    let cloud = Cloud::start(fleet(3));
    let (site, other) = (site(&cloud), site(&cloud));
    let service = started(&site, 3);
    interrupted(&service, SECOND);
    service.stop();
    started(&other, 3).stop();

    let own = site.dir.path().join("own");
    std::fs::rename(journal(&site), &own).unwrap();
    let service = started(&site, 3);
    stands_still(&service, &cloud, "missing");
    service.stop();

    // Its own one is back: what was found is still for a person to clear, and what the journal knows is not lost.
    std::fs::copy(&own, journal(&site)).unwrap();
    let service = started(&site, 3);
    stands_still(&service, &cloud, "missing");
    assert_eq!(quarantine(&service)["findings"], json!([]));
    let why = json!({ "reason": "the disk was not mounted" });
    assert_eq!(service.post("/api/v1/quarantine/clear", LEAD, &why).0, 200);
    interrupted(&service, THIRD);
    service.stop();

    std::fs::copy(journal(&other), journal(&site)).unwrap();
    let service = started(&site, 3);
    let said = quarantine(&service);
    assert!(said["quarantine"]["why"].as_str().unwrap().contains("belongs to store"), "{said}");
    assert_eq!(fire(&service, FIRST)["reason"], "hold");
    assert_eq!(cloud.requests(FIRST), 0);
}

#[test]
fn a_damaged_journal_is_a_quarantine_and_is_kept() {
    let cloud = Cloud::start(fleet(3));
    let site = site(&cloud);
    let service = started(&site, 3);
    interrupted(&service, SECOND);
    service.stop();
    let mut bytes = std::fs::read(journal(&site)).unwrap();
    bytes[30] ^= 0x01;
    std::fs::write(journal(&site), &bytes).unwrap();
    let service = started(&site, 3);
    let said = quarantine(&service);
    assert!(said["quarantine"]["why"].as_str().unwrap().contains("damaged"), "{said}");
    assert_eq!(fire(&service, FIRST)["reason"], "hold");
    site.secret("token", LEAD);
    let with = ["--url", &service.url, "--token-file", "token"];
    let (code, shown, told) = site.run(&[&["quarantine", "show"][..], &with].concat());
    assert_eq!(code, 0, "{told}");
    assert!(shown.contains("damaged"), "{shown}");
    let reason = ["--reason", "a bad disk; nothing is missing"];
    let (code, cleared, told) = site.run(&[&["quarantine", "clear"][..], &reason, &with].concat());
    assert_eq!(code, 0, "{told}");
    assert!(cleared.contains("attempts go on above 1"), "{cleared}");
    service.stop();
    let kept = std::fs::read_dir(site.store().parent().unwrap()).unwrap().flatten();
    let damaged = kept.filter(|file| file.file_name().to_string_lossy().starts_with("JOURNAL.damaged-"));
    assert_eq!(damaged.count(), 1);
    let service = started(&site, 3);
    assert_eq!(quarantine(&service)["quarantine"], Value::Null);
}

fn sql(path: &Path, statements: &[&'static str]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let mut db = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        for statement in statements {
            sqlx::query(*statement).execute(&mut db).await.unwrap();
        }
        db.close().await.unwrap();
    });
}

#[test]
fn a_store_of_the_version_before_the_journal_is_taken_over() {
    let cloud = Cloud::start(fleet(3));
    let site = site(&cloud);
    let service = started(&site, 3);
    interrupted(&service, SECOND);
    service.stop();
    std::fs::remove_file(journal(&site)).unwrap();
    let older = [
        "DROP TABLE store_identity",
        "DROP TABLE quarantine",
        "DROP TABLE watch_gap",
        "DELETE FROM _sqlx_migrations WHERE version = 2",
    ];
    sql(&site.store(), &older);
    let service = started(&site, 3);
    assert_eq!(quarantine(&service)["quarantine"], Value::Null);
    interrupted(&service, FIRST);
    assert_eq!(Journal::read(&journal(&site)).unwrap().unwrap().high_water, 2);
    // The audit tells of a first start, which that version did not note.
    let noted =
        "INSERT INTO watch_gap (from_at, until_at) SELECT 0, min(at) FROM audit WHERE kind = 'watch_gap'";
    sql(&site.store(), &[noted]);
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}

/// The vendor's own example, longer than 2,048 characters.
fn vendor_answer() -> Vec<u8> {
    std::fs::read("tests/samples/ncloud/interrupt-success-windows-xen.json").unwrap()
}

/// The answer of an attempt, as the service writes it.
fn answer(nonce: &str, request_id: &str) -> Entry {
    Entry::Answer(AnswerLine {
        nonce: nonce.to_owned(),
        outcome: Outcome::Accepted,
        cause: "answer 200, return code 0".to_owned(),
        request_id: Some(request_id.to_owned()),
        return_code: Some("0".to_owned()),
        return_message: Some("success".to_owned()),
        http_status: Some(200),
        body_sha256: Some(hex::encode(Sha256::digest(vendor_answer()))),
        raises_hold: false,
        answer: Some(CloudAnswer { bytes: vendor_answer(), ..CloudAnswer::default() }),
    })
}

#[test]
fn an_answer_that_was_read_and_not_stored_is_taken_from_the_journal_for_its_own_attempt_only() {
    let cloud = Cloud::start(fleet(3));
    let slow: Behaviour = serde_json::from_value(json!({ "kind": "ok_slow", "ms": 60_000 })).unwrap();
    cloud.running.set_behaviour(Script::every_interrupt(slow)).unwrap();
    let site = site(&cloud);
    let service = started(&site, 3);
    fire(&service, FIRST);
    fire(&service, SECOND);
    let sent = || cloud.requests(FIRST) + cloud.requests(SECOND);
    eventually("both requests to be on their way", || (sent() == 2).then_some(()));
    service.kill();
    // No reboot is ever seen: only an answer can settle these.
    let blind: Behaviour = serde_json::from_value(json!({ "kind": "not_done_500" })).unwrap();
    cloud.running.set_behaviour(Script::every_read(blind)).unwrap();
    let nonce_of = |server: &str| {
        let known = Journal::read(&journal(&site)).unwrap().unwrap();
        let of_server = |one: &&unhang::journal::KnownIntent| one.intent.server_instance_no == server;
        known.intents.iter().find(of_server).unwrap().intent.nonce.clone()
    };
    let write = |server: &str, request_id: &str| {
        Journal::open(&journal(&site)).append(answer(&nonce_of(server), request_id)).unwrap();
    };
    write(FIRST, "request-of-the-first");
    let service = started(&site, 3);
    let outcome = |service: &Service, server: &str| {
        let path = format!("/api/v1/audit?kind=attempt_outcome&serverInstanceNo={server}");
        service.get(&path, VIEWER).1["items"][0].clone()
    };
    let first = outcome(&service, FIRST);
    assert_eq!(
        (&first["outcome"], &first["requestId"]),
        (&json!("accepted"), &json!("request-of-the-first"))
    );
    assert!(first["detail"]["cause"].as_str().unwrap().starts_with("from the attempt journal"), "{first}");
    assert_eq!(first["detail"]["answer"], String::from_utf8(vendor_answer()).unwrap(), "{first}");
    assert_eq!(outcome(&service, SECOND)["outcome"], "unknown");
    service.wait_for(FIRST, &["accepted", "confirmed"]);

    // The other one's answer comes to light later.
    service.kill();
    write(SECOND, "request-of-the-second");
    let service = started(&site, 3);
    let second = outcome(&service, SECOND);
    assert_eq!(
        (&second["outcome"], &second["requestId"]),
        (&json!("accepted"), &json!("request-of-the-second"))
    );
    assert_eq!(service.wait_for(SECOND, &["accepted"])["state"], "accepted");
    assert_eq!((cloud.requests(FIRST), cloud.requests(SECOND)), (1, 1));
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}

#[test]
fn without_its_journal_a_service_ends_and_with_it_all_goes_on() {
    let cloud = Cloud::start(fleet(3));
    let site = site(&cloud);
    let service = started(&site, 3);
    let away = site.dir.path().join("away");
    std::fs::rename(journal(&site), &away).unwrap();
    std::fs::create_dir(journal(&site)).unwrap();
    // Whether or not it has noticed by itself by now: nothing is promised.
    let starts_at = now_text();
    let answer = service.deliver(&delivery(&[alert(FIRST, "firing", &starts_at)], &starts_at));
    assert!(answer.as_ref().is_none_or(|(status, _)| *status == 503), "{answer:?}");
    assert_eq!(eventually("the process to end", || service.ended()), 3);
    assert_eq!(cloud.running.ledger().len(), 0);
    std::fs::remove_dir(journal(&site)).unwrap();
    std::fs::rename(&away, journal(&site)).unwrap();
    let service = started(&site, 3);
    fire(&service, FIRST);
    fire(&service, SECOND);
    for server in [FIRST, SECOND] {
        service.wait_for(server, &["accepted", "confirmed"]);
        assert_eq!(cloud.requests(server), 1);
    }
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}

#[test]
fn a_server_that_somebody_else_rebooted_while_nobody_watched_rests() {
    let cloud = Cloud::start(fleet(3));
    let (site, other) = (site(&cloud), site(&cloud));
    started(&site, 3).stop();
    let service = started(&other, 3);
    assert_eq!(fire(&service, FIRST)["decision"], "remediate");
    service.wait_for(FIRST, &["confirmed"]);
    service.stop();
    // The last sign of life is three hours old, and the reboot two: longer than a dump takes.
    let journal = Journal::open(&journal(&site));
    let now: jiff::Timestamp = now_text().parse().unwrap();
    let hours_ago = |hours| now - jiff::SignedDuration::from_hours(hours);
    let uptime = Some(hours_ago(2).strftime("%Y-%m-%dT%H:%M:%S+0000").to_string());
    cloud.running.patch(FIRST, simulator::ServerPatch { uptime, ..Default::default() }).unwrap();
    let stamp = Stamp { at: hours_ago(3), boot_id: None, boot_seconds: None, audit: None };
    journal.append(Entry::Stamp(stamp)).unwrap();
    drop(journal);
    let begun: jiff::Timestamp = now_text().parse().unwrap();
    let service = started(&site, 3);
    // What the list said before is believed for some minutes more; the reboot is in the new one.
    eventually("the list to be read anew", || {
        let (_, page) = service.get("/api/v1/servers?limit=1000", VIEWER);
        let seen = |server: &Value| server["seenAt"].as_str()?.parse::<jiff::Timestamp>().ok();
        let servers = page["items"].as_array()?.clone();
        servers.iter().all(|server| seen(server).is_some_and(|at| at > begun)).then_some(())
    });
    let (_, page) = service.get("/api/v1/audit?kind=watch_gap", VIEWER);
    assert_eq!(page["items"].as_array().unwrap().len(), 2, "its first start, and now: {page}");
    let decided = fire(&service, FIRST);
    assert_eq!(
        (&decided["decision"], &decided["reason"]),
        (&json!("suppressed"), &json!("cooldown")),
        "{decided}"
    );
    interrupted(&service, SECOND);
    assert_eq!((cloud.requests(FIRST), cloud.requests(SECOND)), (1, 1));
}
