//! Faults at the start and while it runs: one clear line, the right exit code, and nothing sent meanwhile.

use std::path::Path;

use serde_json::{Value, json};
use simulator::{Behaviour, Script};
use sqlx::Connection as _;

use crate::support::{
    Cloud, Service, Settings, Site, VIEWER, alert, broken_laws, delivery, eventually, fleet, now_text,
};

const FIRST: &str = "91000001";
const SECOND: &str = "91000002";

/// A site whose cloud nobody asks.
fn lonely() -> (Site, Settings) {
    let settings = Settings::new("http://127.0.0.1:9");
    (Site::new(&settings), settings)
}

/// What it says when it does not start: the exit code, and the lines that are no log lines.
#[track_caller]
fn refusal(site: &Site) -> (String, Vec<String>) {
    let Err(said) = site.try_start() else { panic!("it started") };
    let (said, status) = said.rsplit_once('\n').unwrap();
    let lines = said.lines().filter(|line| !line.starts_with('{')).map(str::to_owned).collect();
    (status.to_owned(), lines)
}

#[track_caller]
fn refused(site: &Site, status: i32, mentions: &[&str]) {
    let (code, lines) = refusal(site);
    assert_eq!(code, format!("exit status: {status}"), "{lines:?}");
    let [line] = &lines[..] else { panic!("one line is expected: {lines:#?}") };
    for wanted in mentions {
        assert!(line.contains(wanted), "{wanted:?} is not in: {line}");
    }
}

fn sql(path: &Path, statements: &[&'static str]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut db = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        for statement in statements {
            sqlx::query(*statement).execute(&mut db).await.unwrap();
        }
        db.close().await.unwrap();
    });
}

fn edit(site: &Site, changes: &[(&str, &str)]) {
    let mut text = std::fs::read_to_string(&site.config).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    std::fs::write(&site.config, text).unwrap();
}

#[test]
fn ten_mistakes_are_told_at_once_each_with_its_key() {
    let (site, _) = lonely();
    edit(
        &site,
        &[
            ("listen = \"127.0.0.1:0\"", "listen = \"nowhere\""),
            ("region = \"KR\"", "region = \"korea!\"\nregoin = \"KR\""),
            ("access_key_file = \"access\"", "access_key_file = \"gone\""),
            ("timeout = \"5s\"", "timeout = \"soon\""),
            ("trust = \"act\"", "trust = \"blindly\""),
            ("mode = \"auto\"", "mode = \"aproove\""),
            ("cooldown = \"24h\"", "cooldown = -1"),
            ("budget = [\"1000/1h\"]", "budget = []"),
            ("role = \"operator\"", "role = \"root\""),
        ],
    );
    let (code, lines) = refusal(&site);
    assert_eq!(code, "exit status: 2", "{lines:#?}");
    for key in [
        "server.listen",
        "cloud.region",
        "cloud.regoin",
        "cloud.access_key_file",
        "cloud.timeout",
        "sources[0].trust",
        "policies.hung-windows.mode",
        "policies.hung-windows.cooldown",
        "policies.hung-windows.budget",
        "tokens[0].role",
    ] {
        let of_key = lines.iter().filter(|line| line.contains(&format!("{key}: "))).count();
        assert_eq!(of_key, 1, "{key} in {lines:#?}");
    }
    assert!(lines.last().unwrap().contains("10 problems"), "{lines:#?}");
    let (code, _, _) = site.run(&["check-config", "--config", "unhang.toml"]);
    assert_eq!(code, 2);
    assert!(!site.store().exists(), "nothing is made");
}

#[test]
fn without_a_credential_it_does_not_start() {
    for (auth, key, mentions) in [
        ("auth = []\nunused = [", "auth", "no credential configured"),
        ("auth = [{ kind = \"bearer\", secret_file = \"gone\" }]\nunused = [", "secret_file", "no such file"),
        ("auth = [{ kind = \"bearer\", secret_file = \"empty\" }]\nunused = [", "secret_file", "empty"),
    ] {
        let (site, _) = lonely();
        site.secret("empty", "\n");
        edit(&site, &[("auth = [\n", &format!("{auth}\n"))]);
        let (code, lines) = refusal(&site);
        assert_eq!(code, "exit status: 2", "{lines:#?}");
        let told = |line: &&String| line.contains(key) && line.contains(mentions);
        assert_eq!(lines.iter().filter(told).count(), 1, "{key}: {lines:#?}");
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let (site, settings) = lonely();
    site.write(&Settings { server: format!("listen = \"{listen}\""), ..settings });
    refused(&site, 3, &["cannot listen on", &listen, "another program"]);
}

#[test]
fn a_store_that_cannot_be_written_is_refused() {
    // A folder where the file belongs: nobody can write it, not even root, whom no mode binds.
    let (site, _) = lonely();
    std::fs::create_dir_all(site.store()).unwrap();
    refused(&site, 3, &["it is a folder", "unhang.db"]);

    // A folder in which nobody can make a file.
    let (site, _) = lonely();
    edit(&site, &[(&site.store().display().to_string(), "/proc/unhang.db")]);
    refused(&site, 3, &["/proc/unhang.db"]);

    // A file that may only be read, where the mode binds whoever runs this.
    let (site, _) = lonely();
    site.start().stop();
    let mut mode = std::fs::metadata(site.store()).unwrap().permissions();
    mode.set_readonly(true);
    std::fs::set_permissions(site.store(), mode).unwrap();
    if std::fs::OpenOptions::new().append(true).open(site.store()).is_err() {
        refused(&site, 3, &["unhang.db", "cannot be written"]);
    }
}

#[test]
fn a_store_of_another_program_is_left_alone() {
    let (site, _) = lonely();
    std::fs::create_dir_all(site.store().parent().unwrap()).unwrap();
    let text = "another program's notes, not a database; longer than a header of SQLite. ".repeat(4);
    std::fs::write(site.store(), &text).unwrap();
    refused(&site, 3, &["unhang.db", "not an unhang store"]);
    assert_eq!(std::fs::read_to_string(site.store()).unwrap(), text);

    let (site, _) = lonely();
    std::fs::create_dir_all(site.store().parent().unwrap()).unwrap();
    sql(&site.store(), &["CREATE TABLE theirs (id INTEGER)", "INSERT INTO theirs VALUES (7)"]);
    let before = std::fs::read(site.store()).unwrap();
    refused(&site, 3, &["unhang.db", "not an unhang store"]);
    assert_eq!(std::fs::read(site.store()).unwrap(), before);
}

#[test]
fn a_store_of_a_newer_version_and_a_damaged_one_are_refused() {
    let (site, _) = lonely();
    site.start().stop();
    sql(
        &site.store(),
        &["INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
           VALUES (99990101000000, 'later', TRUE, x'00', 0)"],
    );
    refused(&site, 3, &["newer unhang", "99990101000000"]);

    let (site, _) = lonely();
    site.start().stop();
    sql(&site.store(), &["PRAGMA wal_checkpoint(TRUNCATE)"]);
    let mut bytes = std::fs::read(site.store()).unwrap();
    for byte in bytes.iter_mut().skip(4096).take(4096) {
        *byte ^= 0x5a;
    }
    std::fs::write(site.store(), &bytes).unwrap();
    refused(&site, 3, &["unhang.db", "damaged"]);
}

fn fire(service: &Service, server: &str) -> Value {
    let (status, answer) =
        service.deliver(&delivery(&[alert(server, "firing", &now_text())], server)).unwrap();
    assert_eq!(status, 202, "{answer}");
    answer["alerts"][0].clone()
}

#[test]
fn with_a_clock_that_is_a_day_off_nothing_is_sent_and_the_reason_is_shown() {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    for offset in [DAY_MS, -DAY_MS] {
        let cloud = Cloud::start(fleet(2));
        cloud.running.set_clock_offset_ms(offset);
        let site = Site::new(&Settings::new(&cloud.running.endpoint()));
        let service = site.start();
        assert_eq!(fire(&service, FIRST)["remediationId"], Value::Null);
        let checks = eventually("the clock to be doubted", || {
            let (status, said) = service.get("/readyz", VIEWER);
            assert_eq!(status, 200, "alerts are taken in all the same: {said}");
            assert_eq!(
                said["checks"]["maySend"], false,
                "before the cloud has confirmed it, and after: {said}"
            );
            // Before the first answer it is doubted for want of one.
            let differs =
                |checks: &Value| checks["clock"].as_str().is_some_and(|why| why.contains("differs"));
            Some(said["checks"].clone()).filter(differs)
        });
        let told = checks["clock"].as_str().unwrap().split_once("differs from ours by ").unwrap().1;
        let seconds: i64 = told.split_once(" s").unwrap().0.parse().unwrap();
        assert!(seconds.abs_diff(offset / 1000) <= 60, "{checks}");
        assert!(cloud.running.ledger().is_empty());
        // It heals without a restart, and the alert that waited is not lost.
        cloud.running.set_clock_offset_ms(0);
        service.wait_for(FIRST, &["accepted", "confirmed"]);
        assert_eq!(cloud.requests(FIRST), 1);
        assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
    }
}

fn reload(service: &Service) {
    let pid = service.pid().to_string();
    assert!(std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
}

#[test]
fn a_reload_takes_a_good_configuration_and_keeps_the_old_one_for_a_bad_one() {
    let cloud = Cloud::start(fleet(3));
    let settings = Settings::new(&cloud.running.endpoint());
    let site = Site::new(&settings);
    let service = site.start();
    service.wait_for_inventory(3);
    let log = || std::fs::read_to_string(site.dir.path().join("unhang.log")).unwrap_or_default();
    let loaded = || {
        let (_, page) = service.get("/api/v1/audit?kind=config_loaded", VIEWER);
        page["items"].as_array().unwrap().len()
    };

    site.write(&Settings { mode: "off", ..settings.clone() });
    edit(&site, &[("tick = \"100ms\"", "tick = \"never\"")]);
    reload(&service);
    eventually("the refusal", || log().contains("the old one stays").then_some(()));
    assert!(log().contains("dispatch.tick"), "{}", log());
    assert_eq!(loaded(), 0);
    assert_eq!(fire(&service, FIRST)["decision"], "remediate");

    site.write(&Settings { mode: "off", ..settings.clone() });
    reload(&service);
    eventually("the new configuration", || (loaded() == 1).then_some(()));
    let answer = fire(&service, SECOND);
    assert_eq!(
        (&answer["decision"], &answer["reason"]),
        (&json!("ignored"), &json!("no_policy")),
        "{answer}"
    );

    site.write(&settings);
    reload(&service);
    eventually("the first configuration again", || (loaded() == 2).then_some(()));
    assert_eq!(fire(&service, "91000003")["decision"], "remediate");
    service.wait_for("91000003", &["accepted", "confirmed"]);
    assert_eq!(cloud.requests(SECOND), 0);
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}

#[test]
fn killed_while_the_cloud_stalls_it_starts_again_with_an_unknown() {
    let cloud = Cloud::start(fleet(2));
    let stall: Behaviour = serde_json::from_value(json!({ "kind": "stall", "ms": 8000 })).unwrap();
    cloud.running.set_behaviour(Script::next_interrupt(FIRST, stall)).unwrap();
    let site = Site::new(&Settings::new(&cloud.running.endpoint()));
    let service = site.start();
    service.wait_for_inventory(2);
    fire(&service, FIRST);
    eventually("the request to be on its way", || (cloud.requests(FIRST) == 1).then_some(()));
    service.kill();

    let service = site.start();
    let unknown = service.wait_for(FIRST, &["unknown"]);
    assert_eq!(unknown["attempts"].as_array().unwrap().len(), 1, "{unknown}");
    let (_, page) =
        service.get(&format!("/api/v1/audit?kind=attempt_outcome&serverInstanceNo={FIRST}"), VIEWER);
    assert_eq!(page["items"][0]["outcome"], "unknown", "{page}");
    // With a person's word the other server is not held up, and this one is not asked again.
    service.promote();
    fire(&service, SECOND);
    assert_eq!(fire(&service, FIRST)["reason"], "unknown_open");
    service.wait_for(SECOND, &["accepted", "confirmed"]);
    assert_eq!((cloud.requests(FIRST), cloud.requests(SECOND)), (1, 1));
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}
