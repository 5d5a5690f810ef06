//! Faults of what it stands on: a full disk, a locked or read-only store, a frozen process, a silent source, a cloud
//! that cannot be read. Nothing is sent, nothing is lost, and all is well again without a restart.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulator::{Behaviour, Script};
use sqlx::Connection as _;

use crate::support::{
    Cloud, OPERATOR, Service, Settings, Site, VIEWER, alert, broken_laws, delivery, eventually, fleet,
    now_text,
};

const FIRST: &str = "91000001";
const SECOND: &str = "91000002";
const THIRD: &str = "91000003";

fn fire(service: &Service, server: &str, note: &str) -> Value {
    let (status, answer) = service.deliver(&delivery(&[alert(server, "firing", &now_text())], note)).unwrap();
    assert_eq!(status, 202, "{answer}");
    answer
}

fn id_of(answer: &Value) -> String {
    answer["deliveryId"].as_str().unwrap().to_owned()
}

/// Waits until the remediation of a server waits as blind; what it says.
fn waits_blind(service: &Service, server: &str) -> String {
    let waiting = eventually(&format!("server {server} to wait"), || {
        service
            .remediations()
            .into_iter()
            .find(|one| one["serverInstanceNo"] == server && one["reason"] == "blind")
    });
    assert_eq!(waiting["state"], "queued", "{waiting}");
    waiting["detail"].as_str().unwrap().to_owned()
}

fn checks(service: &Service) -> Value {
    service.get("/readyz", VIEWER).1["checks"].clone()
}

fn heartbeat(status: &str, note: &str) -> Value {
    let mut beat = alert("watchdog", status, &now_text());
    beat["labels"] = json!({ "alertname": "Watchdog" });
    delivery(&[beat], note)
}

fn heard(service: &Service) -> usize {
    let (_, page) = service.get("/api/v1/audit?kind=heartbeat_heard", VIEWER);
    page["items"].as_array().unwrap().len()
}

#[test]
fn while_its_source_is_silent_it_waits_and_a_heartbeat_lets_it_go() {
    let cloud = Cloud::start(fleet(3));
    let source = "heartbeat = { match = { alertname = \"Watchdog\" }, within = \"10m\" }".to_owned();
    let site = Site::new(&Settings { source, ..Settings::new(&cloud.running.endpoint()) });
    let service = site.start();
    service.wait_for_inventory(3);
    let answer = fire(&service, FIRST, "one");
    assert_eq!(answer["alerts"][0]["decision"], "remediate", "waiting does not suppress: {answer}");
    let order = json!({
        "serverInstanceNo": SECOND, "regionCode": "KR", "policy": "hung-windows", "reason": "frozen", "mode": "execute",
    });
    let (status, answer) = service.post("/api/v1/remediations", OPERATOR, &order);
    assert_eq!(status, 202, "{answer}");
    for server in [FIRST, SECOND] {
        let said = waits_blind(&service, server);
        assert!(said.contains("has never sent a heartbeat"), "{said}");
    }

    // The end of a heartbeat is no sign of life.
    let (status, answer) = service.deliver(&heartbeat("resolved", "over")).unwrap();
    assert_eq!((status, &answer["alerts"][0]["decision"]), (202, &json!("resolved")), "{answer}");
    assert_eq!(heard(&service), 0);
    assert!(cloud.running.ledger().is_empty());

    let (status, answer) = service.deliver(&heartbeat("firing", "alive")).unwrap();
    assert_eq!((status, &answer["alerts"][0]["decision"]), (202, &json!("ignored")), "{answer}");
    assert_eq!(answer["alerts"][0]["reason"], Value::Null, "{answer}");
    for server in [FIRST, SECOND] {
        service.wait_for(server, &["accepted", "confirmed"]);
        assert_eq!(cloud.requests(server), 1);
    }
    // Further heartbeats, the same body or another, are no news.
    for note in ["alive", "alive", "still alive"] {
        service.deliver(&heartbeat("firing", note)).unwrap();
    }
    assert_eq!(heard(&service), 1);
    let metrics = service.get("/metrics", VIEWER).1;
    let age = metrics.as_str().unwrap().lines().find_map(|line| {
        line.strip_prefix("unhang_heartbeat_age_seconds{source=\"alertmanager\"} ")?.parse::<f64>().ok()
    });
    assert!(age.is_some_and(|age| (0.0..300.0).contains(&age)), "{age:?}");

    // It is remembered over a restart.
    service.stop();
    let service = site.start();
    fire(&service, THIRD, "two");
    service.wait_for(THIRD, &["accepted", "confirmed"]);
    assert_eq!(heard(&service), 1);
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}

#[test]
fn while_the_cloud_cannot_be_read_it_waits_and_the_next_read_lets_it_go() {
    let cloud = Cloud::start(fleet(2));
    let site = Site::new(&Settings::new(&cloud.running.endpoint()));
    let service = site.start();
    service.wait_for_inventory(2);
    cloud.running.set_behaviour(Script::every_read(Behaviour::NotDone500)).unwrap();
    fire(&service, FIRST, "one");
    waits_blind(&service, FIRST);
    let said = eventually("the reads to be doubted", || {
        Some(checks(&service)).filter(|checks| checks["cloudReads"] != "ok")
    });
    assert_eq!(said["maySend"], false, "{said}");
    assert_eq!(said["cloudReads"], "failing", "the words of the cloud may name servers: {said}");
    assert!(cloud.running.ledger().is_empty());
    cloud.running.set_behaviour(Script::every_read(Behaviour::Ok)).unwrap();
    service.wait_for(FIRST, &["accepted", "confirmed"]);
    assert_eq!(cloud.requests(FIRST), 1);
    eventually("the reads to be trusted", || (checks(&service)["cloudReads"] == "ok").then_some(()));
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}

#[test]
fn a_clock_that_no_date_has_confirmed_is_doubted_unless_the_cloud_sends_none() {
    for (rule, says) in [("required", "no Date from the cloud has confirmed"), ("if_sent", "ok")] {
        let site = Site::new(&Settings::new("http://127.0.0.1:9"));
        let text = std::fs::read_to_string(&site.config).unwrap();
        let text = text.replacen("[cloud]\n", &format!("[cloud]\ndate = \"{rule}\"\n"), 1);
        std::fs::write(&site.config, text).unwrap();
        let service = site.start();
        let said = checks(&service)["clock"].clone();
        assert!(said.as_str().unwrap().contains(says), "{said}");
    }
}

/// A small file system of its own under a folder.
struct Mounted {
    place: PathBuf,
}

impl Mounted {
    /// `None` where this user may not mount; says so.
    #[expect(clippy::print_stdout, reason = "a skipped test says why")]
    fn on(place: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(place).unwrap();
        let option = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &option, "tmpfs"]).arg(place).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { place: place.to_owned() }),
            Ok(output) => {
                println!("skipped: no file system can be mounted here: {output:?}");
                None
            }
            Err(error) => {
                println!("skipped: there is no mount here: {error}");
                None
            }
        }
    }

    fn remount(&self, how: &str) {
        let option = format!("remount,{how}");
        assert!(Command::new("mount").args(["-o", &option]).arg(&self.place).status().unwrap().success());
    }

    fn filler(&self) -> PathBuf {
        self.place.join("filler")
    }

    /// Fills it until so many bytes are left; 0: until nothing more fits.
    fn fill(&self, leave: u64) {
        let mut file = File::options().create(true).append(true).open(self.filler()).unwrap();
        let block = vec![0_u8; 4096];
        loop {
            let free = unhang::store::free_bytes(&self.filler()).unwrap();
            if free <= leave || file.write_all(&block).is_err() {
                return;
            }
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _still_busy = Command::new("umount").arg("-l").arg(&self.place).status();
    }
}

/// Delivers alerts that nothing acts on until the disk has no room for one more; what was acknowledged before. The log has
/// room for some beyond the last free block.
fn deliver_until_full(service: &Service, full: &Mounted, bytes: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for n in 0..2000 {
        full.fill(0);
        let mut other = alert("nobody", "firing", &now_text());
        other["labels"] = json!({ "alertname": "Other" });
        let note = format!("{n} {}", "x".repeat(bytes));
        match service.deliver(&delivery(&[other], &note)) {
            Some((202, answer)) => acknowledged.push(id_of(&answer)),
            Some((503, answer)) => {
                assert_eq!(answer["code"], "store_failed", "{answer}");
                return acknowledged;
            }
            other => panic!("a full disk is answered 503 and nothing else: {other:?}"),
        }
    }
    panic!("the disk never was full");
}

fn hold_set(site: &Site, service: &Service, reason: &str) -> (i32, String, String, Duration) {
    site.secret("operator", OPERATOR);
    let begun = Instant::now();
    let (code, said, trouble) = site.run(&[
        "hold",
        "set",
        "--reason",
        reason,
        "--url",
        &service.url,
        "--token-file",
        "operator",
        "--config",
        "unhang.toml",
    ]);
    (code, said, trouble, begun.elapsed())
}

#[test]
fn a_full_disk_stops_sending_first_and_deliveries_last_and_heals_without_a_restart() {
    let cloud = Cloud::start(fleet(3));
    let store = "watermark = \"4MiB\"\nballast = \"0\"".to_owned();
    let site = Site::new(&Settings { store, ..Settings::new(&cloud.running.endpoint()) });
    let data = site.store().parent().unwrap().to_owned();
    let Some(disk) = Mounted::on(&data, "24m") else { return };
    let service = site.start();
    service.wait_for_inventory(3);
    let mut acknowledged = vec![id_of(&fire(&service, FIRST, "one"))];
    service.wait_for(FIRST, &["accepted", "confirmed"]);

    // Below the watermark alerts are taken in, and nothing is sent.
    disk.fill(2 << 20);
    acknowledged.push(id_of(&fire(&service, SECOND, "two")));
    let said = waits_blind(&service, SECOND);
    assert!(said.contains("MiB are free"), "{said}");
    assert_eq!(checks(&service)["maySend"], false);

    // Full: 503 for everybody, as long as it takes.
    acknowledged.extend(deliver_until_full(&service, &disk, 100_000));
    acknowledged.extend(deliver_until_full(&service, &disk, 1));
    for _again in 0..3 {
        let (status, answer) =
            service.deliver(&delivery(&[alert(THIRD, "firing", &now_text())], &"y".repeat(100_000))).unwrap();
        assert_eq!(status, 503, "{answer}");
    }
    assert_eq!((cloud.requests(SECOND), cloud.requests(THIRD)), (0, 0));

    // Room again: the same process takes in, and sends what had waited.
    disk.make_room();
    acknowledged.push(id_of(&fire(&service, THIRD, "three")));
    for server in [SECOND, THIRD] {
        service.wait_for(server, &["accepted", "confirmed"]);
        assert_eq!(cloud.requests(server), 1);
    }
    assert_eq!(checks(&service)["maySend"], true);

    // A hold can be set on a full disk: an empty file is one.
    acknowledged.extend(deliver_until_full(&service, &disk, 100_000));
    acknowledged.extend(deliver_until_full(&service, &disk, 1));
    disk.fill(0);
    let (code, said, trouble, _) = hold_set(&site, &service, "stop");
    assert_eq!(code, 0, "{said}{trouble}");
    assert!(said.contains("held: "), "{said}");
    assert!(data.join("HOLD").exists());
    disk.make_room();
    let answer = fire(&service, FIRST, "four");
    assert_ne!(answer["alerts"][0]["decision"], "remediate", "{answer}");
    acknowledged.push(id_of(&answer));
    assert_eq!(broken_laws(&site, &cloud, &acknowledged), Vec::<String>::new());
    service.stop();
}

#[test]
fn an_outcome_finds_room_on_a_full_disk() {
    let cloud = Cloud::start(fleet(2));
    let slow: Behaviour = serde_json::from_value(json!({ "kind": "ok_slow", "ms": 20_000 })).unwrap();
    cloud.running.set_behaviour(Script::next_interrupt(FIRST, slow)).unwrap();
    let store = "watermark = \"2MiB\"\nballast = \"2MiB\"".to_owned();
    let site = Site::new(&Settings { store, ..Settings::new(&cloud.running.endpoint()) });
    let text = std::fs::read_to_string(&site.config).unwrap();
    std::fs::write(&site.config, text.replacen("timeout = \"5s\"", "timeout = \"35s\"", 1)).unwrap();
    let Some(disk) = Mounted::on(site.store().parent().unwrap(), "16m") else { return };
    let service = site.start();
    service.wait_for_inventory(2);
    let ballast = site.store().with_extension("db.ballast");
    eventually("the ballast", || ballast.exists().then_some(()));
    fire(&service, FIRST, "one");
    eventually("the request to be on its way", || (cloud.requests(FIRST) == 1).then_some(()));
    deliver_until_full(&service, &disk, 20_000);
    deliver_until_full(&service, &disk, 1);
    disk.fill(0);
    assert!(ballast.exists(), "only an outcome is worth it");

    let accepted = service.wait_for(FIRST, &["accepted", "confirmed"]);
    assert!(accepted["attempts"][0]["requestId"].is_string(), "{accepted}");
    assert!(!ballast.exists());
    assert!(!disk.place.join("HOLD").exists(), "nothing was in doubt");
    disk.make_room();
    eventually("the ballast to be made again", || ballast.exists().then_some(()));
    fire(&service, SECOND, "two");
    service.wait_for(SECOND, &["accepted", "confirmed"]);
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
    service.stop();
}

#[test]
fn a_store_on_a_read_only_file_system_is_refused_and_taken_once_it_is_not() {
    let site = Site::new(&Settings::new("http://127.0.0.1:9"));
    let Some(disk) = Mounted::on(site.store().parent().unwrap(), "16m") else { return };
    site.start().stop();
    disk.remount("ro");
    let Err(said) = site.try_start() else { panic!("it started on a read-only file system") };
    let line = said.lines().find(|line| !line.starts_with('{')).unwrap();
    assert!(line.contains("unhang.db") && line.to_lowercase().contains("read-only"), "{said}");
    disk.remount("rw");
    assert_eq!(site.start().stop().0, 0);
}

/// Another program that keeps the store locked until it is dropped.
pub(crate) struct Locker {
    runtime: tokio::runtime::Runtime,
    db: Option<sqlx::SqliteConnection>,
}

impl Locker {
    pub(crate) fn on(store: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let db = runtime.block_on(async {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(store);
            let mut db = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
            sqlx::query("BEGIN EXCLUSIVE").execute(&mut db).await.unwrap();
            db
        });
        Self { runtime, db: Some(db) }
    }
}

impl Drop for Locker {
    fn drop(&mut self) {
        if let Some(mut db) = self.db.take() {
            self.runtime.block_on(async {
                sqlx::query("ROLLBACK").execute(&mut db).await.unwrap();
                db.close().await.unwrap();
            });
        }
    }
}

#[test]
fn a_locked_store_is_answered_503_in_time_and_a_hold_works_all_the_same() {
    let cloud = Cloud::start(fleet(3));
    let site = Site::new(&Settings { settle: "2s", ..Settings::new(&cloud.running.endpoint()) });
    let service = site.start();
    service.wait_for_inventory(3);
    let mut acknowledged = vec![id_of(&fire(&service, FIRST, "one"))];
    let lock = Locker::on(&site.store());

    // Several at once: none of them waits for the others.
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let service = &service;
            scope.spawn(move || {
                let body = delivery(&[alert(SECOND, "firing", &now_text())], &format!("locked {n}"));
                let (status, answer) = service.deliver(&body).unwrap();
                assert_eq!(status, 503, "{answer}");
            });
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());

    let begun = Instant::now();
    let body = json!({ "scope": "global", "reason": "by hand" });
    let (status, answer) = service.post("/api/v1/holds", OPERATOR, &body);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(status, 503, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("unhang hold set --file"), "{answer}");

    let (code, said, trouble, took) = hold_set(&site, &service, "stop");
    assert_eq!(code, 0, "{said}{trouble}");
    assert!(trouble.contains("writing the hold file instead") && said.contains("held: "), "{said}{trouble}");
    assert!(took < Duration::from_secs(9), "{took:?}");
    drop(lock);

    // What had been queued is taken back, not sent; what comes is held.
    let over = service.wait_for(FIRST, &["cancelled"]);
    assert_eq!(over["reason"], "hold", "{over}");
    let answer = eventually("deliveries to be taken in", || {
        let body = delivery(&[alert(SECOND, "firing", &now_text())], "two");
        service.deliver(&body).filter(|(status, _)| *status == 202).map(|(_, answer)| answer)
    });
    assert_eq!(answer["alerts"][0]["reason"], "hold", "{answer}");
    acknowledged.push(id_of(&answer));
    assert_eq!(site.run(&["hold", "clear", "--file", "--config", "unhang.toml"]).0, 0);
    // The store may have taken the hold of the API after all: what nobody was promised harms nobody.
    let (_, page) = service.get("/api/v1/holds", VIEWER);
    for hold in page["items"].as_array().unwrap() {
        let (code, said, trouble) = site.run(&[
            "hold",
            "clear",
            &hold["id"].to_string(),
            "--reason",
            "over",
            "--url",
            &service.url,
            "--token-file",
            "operator",
        ]);
        assert_eq!(code, 0, "{said}{trouble}");
    }
    acknowledged.push(id_of(&fire(&service, THIRD, "three")));
    service.wait_for(THIRD, &["accepted", "confirmed"]);
    assert_eq!((cloud.requests(FIRST), cloud.requests(SECOND), cloud.requests(THIRD)), (0, 0, 1));
    assert_eq!(broken_laws(&site, &cloud, &acknowledged), Vec::<String>::new());
}

fn signal(service: &Service, signal: &str) {
    assert!(Command::new("kill").args([signal, &service.pid().to_string()]).status().unwrap().success());
}

#[test]
fn a_hold_reaches_a_frozen_service() {
    let cloud = Cloud::start(fleet(1));
    let site = Site::new(&Settings { settle: "3s", ..Settings::new(&cloud.running.endpoint()) });
    let service = site.start();
    service.wait_for_inventory(1);
    fire(&service, FIRST, "one");
    signal(&service, "-STOP");
    let (code, said, trouble, took) = hold_set(&site, &service, "stop");
    signal(&service, "-CONT");
    assert_eq!(code, 0, "{said}{trouble}");
    assert!(trouble.contains("writing the hold file instead"), "{trouble}");
    assert!(took < Duration::from_secs(9), "{took:?}");
    let over = service.wait_for(FIRST, &["cancelled"]);
    assert_eq!(over["reason"], "hold", "{over}");
    assert!(cloud.running.ledger().is_empty());
    let metrics = service.get("/metrics", VIEWER).1;
    let checked = |line: &str| line.starts_with("unhang_hold_file_check_timestamp_seconds 1");
    assert!(metrics.as_str().unwrap().lines().any(checked), "{metrics}");
}
