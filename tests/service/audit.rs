//! The audit of a real run: its heads, its folding, and what shows when a table is changed by hand.

use std::path::Path;

use serde_json::{Value, json};
use simulator::{Behaviour, Script};
use sqlx::Connection as _;
use unhang::journal::{Entry, Journal, Stamp};

use crate::support::{
    Cloud, LEAD, LEAD2, OPERATOR, Service, Settings, Site, VIEWER, alert, broken_laws, delivery, eventually,
    fleet, now_text,
};

fn server(n: usize) -> String {
    (91_000_001 + n).to_string()
}

fn fire(service: &Service, alerts: &[Value], note: &str) {
    let (status, answer) = service.deliver(&delivery(alerts, note)).unwrap();
    assert_eq!(status, 202, "{answer}");
}

fn act(service: &Service, token: &str, path: &str, body: &Value) -> Value {
    let (status, said) = service.post(&format!("/api/v1/{path}"), token, body);
    assert!((200..300).contains(&status), "{path}: {status} {said}");
    said
}

fn clear_hold(service: &Service, id: &Value) {
    let cleared = reqwest::blocking::Client::new()
        .delete(format!("{}/api/v1/holds/{id}", service.url))
        .bearer_auth(OPERATOR)
        .header("content-type", "application/json")
        .body(json!({ "reason": "looked" }).to_string())
        .send()
        .unwrap();
    assert!(cleared.status().is_success(), "{cleared:?}");
}

/// Everything that changes a table: approved and proven, lost and settled, denied, resolved in the delivery that fired,
/// ordered by hand, repeated, held, silenced.
pub(crate) fn eventful_run(site: &Site, cloud: &Cloud) -> Service {
    let lost: Behaviour = serde_json::from_value(json!({ "kind": "not_done_closed" })).unwrap();
    cloud.running.set_behaviour(Script::next_interrupt(&server(1), lost)).unwrap();
    let service = site.start();
    service.wait_for_inventory(6);
    let id =
        |n: usize, state: &str| service.wait_for(&server(n), &[state])["id"].as_str().unwrap().to_owned();
    let reason = |text: &str| json!({ "reason": text });

    let begun = now_text();
    let both = [alert(&server(4), "firing", &begun), alert(&server(4), "resolved", &begun)];
    fire(&service, &both, "fires and ends");
    let firing: Vec<_> = (0..3).map(|n| alert(&server(n), "firing", &begun)).collect();
    fire(&service, &firing, "three");
    fire(&service, &firing, "three");
    for n in [0, 1] {
        let id = id(n, "awaiting_approval");
        // Of the second one the person says that it still hangs: that counts as a notice.
        let said = service.approve(&id, LEAD, json!({ "reason": "hung", "confirmStillHung": n == 1 }));
        assert_eq!(said.0, 200, "{said:?}");
    }
    act(&service, LEAD, &format!("remediations/{}/deny", id(2, "awaiting_approval")), &reason("a test"));
    service.wait_for(&server(0), &["confirmed"]);
    let happened = json!({ "verdict": "happened", "reason": "event 1001 in its log" });
    act(&service, LEAD, &format!("remediations/{}/settle", id(1, "unknown")), &happened);

    let order = json!({ "serverInstanceNo": server(3), "regionCode": "KR", "policy": "hung-windows", "reason": "frozen console", "mode": "execute" });
    act(&service, OPERATOR, "remediations", &order);
    let said = service.approve(&id(3, "awaiting_approval"), LEAD2, reason("looked"));
    assert_eq!(said.0, 200, "{said:?}");
    service.wait_for(&server(3), &["accepted", "confirmed"]);

    let hold = act(&service, OPERATOR, "holds", &json!({ "scope": "global", "reason": "looking" }));
    clear_hold(&service, &hold["id"]);
    act(&service, OPERATOR, "holds", &json!({ "scope": "server", "name": server(5), "reason": "leave it" }));
    let matchers = [format!("server_instance_no=\"{}\"", server(5))];
    act(
        &service,
        OPERATOR,
        "silences",
        &json!({ "matchers": matchers, "comment": "known", "duration": "1h" }),
    );
    fire(&service, &[alert(&server(5), "firing", &now_text())], "muted");
    service
}

pub(crate) fn stage() -> (Cloud, Site) {
    let cloud = Cloud::start(fleet(6));
    let site = Site::new(&Settings { mode: "approve", ..Settings::new(&cloud.running.endpoint()) });
    (cloud, site)
}

fn sql(path: &Path, statements: &[&'static str]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).foreign_keys(false);
        // Folding the log into the file would be seen, and end the service.
        let options = options.pragma("wal_autocheckpoint", "0");
        let mut db = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        let triggers: Vec<String> =
            sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
                .fetch_all(&mut db)
                .await
                .unwrap();
        for trigger in triggers {
            sqlx::query(sqlx::AssertSqlSafe(format!("DROP TRIGGER {trigger}")))
                .execute(&mut db)
                .await
                .unwrap();
        }
        for statement in statements {
            let done = sqlx::query(*statement).execute(&mut db).await.unwrap();
            assert!(done.rows_affected() > 0, "{statement}");
        }
        db.close().await.unwrap();
    });
}

/// What was changed by hand in a table, and what is said of it.
const CHANGES: [(&str, &str); 18] = [
    (
        "UPDATE remediation SET state = 'rejected' WHERE state = 'confirmed'",
        "state is \"rejected\" in the table, \"confirmed\"",
    ),
    (
        "UPDATE remediation SET approved_by = 'nobody' WHERE approved_by = 'lead2'",
        "approved_by is \"nobody\"",
    ),
    ("UPDATE remediation SET server_no = '1' WHERE requested_by IS NOT NULL", "server_no is \"1\""),
    (
        "UPDATE attempt SET outcome = 'not_sent' WHERE outcome = 'unknown'",
        "outcome is \"not_sent\" in the table, \"unknown\"",
    ),
    ("UPDATE attempt SET cooldown_until = 0", "cooldown_until is \"0\""),
    ("UPDATE attempt SET request_id = NULL WHERE outcome = 'accepted'", "request_id is empty"),
    ("DELETE FROM hold WHERE cleared_at IS NULL", "hold 2 was made by an event, and is not in the table"),
    ("UPDATE hold SET cleared_at = NULL, cleared_by = NULL", "hold 1: cleared_by is empty"),
    ("UPDATE silence SET ends_at = starts_at + 1", "silence 1: ends_at is"),
    ("UPDATE settlement SET verdict = 'not_happened'", "verdict is \"not_happened\""),
    (
        "INSERT INTO remediation (id, incident_id, state, server_no, region_code, server, policy, policy_hash, config_hash, \
         source, alert, needs_person, trace_id, created_at, settle_until, not_before, last_notice_at, waiting_since, \
         finished_at) SELECT 'forged', incident_id, state, server_no, region_code, server, policy, policy_hash, config_hash, \
         source, alert, needs_person, trace_id, created_at, settle_until, not_before, last_notice_at, waiting_since, \
         finished_at FROM remediation WHERE state = 'confirmed' LIMIT 1",
        "remediation forged is in the table, and no event made it",
    ),
    ("UPDATE remediation SET approved_at = approved_at + 600000", "approved_at is"),
    ("UPDATE remediation SET policy_hash = 'another'", "policy_hash is \"another\""),
    ("UPDATE remediation SET last_notice_at = last_notice_at + 600000", "last_notice_at is"),
    ("UPDATE resolved_notice SET ended_at = ended_at - 600000", "ended_at is"),
    ("DELETE FROM resolved_notice", "was made by an event, and is not in the table"),
    ("DELETE FROM remediation_alert", "was made by an event, and is not in the table"),
    (
        "INSERT INTO dump_collected (region_code, server_no, at, person, reason) \
         SELECT region_code, server_no, intent_at + 1, 'oncall', 'copied' FROM attempt LIMIT 1",
        "dump_collected 1 is in the table, and no event made it",
    ),
];

/// As [`CHANGES`], after [`guarded_run`].
const GUARD_CHANGES: [(&str, &str); 19] = [
    ("UPDATE storm SET cleared_at = cleared_at + 1", "storm 1: cleared_at is"),
    (
        "UPDATE storm SET cleared_at = 1, cleared_by = 'lead', reason = 'x' WHERE id = 2",
        "storm 2: cleared_at is",
    ),
    ("UPDATE storm SET region_code = 'JP'", "region_code is \"JP\""),
    ("DELETE FROM storm WHERE cleared_at IS NULL", "storm 2 was made by an event"),
    (
        "UPDATE quarantine SET cleared_at = 1, cleared_by = 'lead', reason = 'x' WHERE cleared_at IS NULL",
        "quarantine 2: cleared_at is",
    ),
    ("DELETE FROM quarantine WHERE id = 1", "quarantine 1 was made by an event"),
    (
        "UPDATE policy_standing SET demoted_at = NULL, why = NULL",
        "policy_standing hung-windows: demoted_at is empty",
    ),
    (
        "UPDATE policy_standing SET promoted_at = promoted_at + 1",
        "policy_standing hung-windows: promoted_at is",
    ),
    ("DELETE FROM policy_standing", "policy_standing hung-windows was made by an event"),
    (
        "INSERT INTO policy_standing (policy, demoted_at, why) VALUES ('another', 1, 'x')",
        "policy_standing another is in the table, and no event made it",
    ),
    ("DELETE FROM breaker_reset", "was made by an event, and is not in the table"),
    ("UPDATE breaker_reset SET at = at + 600000", "is in the table, and no event made it"),
    (
        "INSERT INTO breaker_reset (policy, at, person, reason) SELECT policy, at, person, reason FROM breaker_reset",
        "/2 is in the table, and no event made it",
    ),
    ("DELETE FROM target_report", "target_report hung-windows/oncall/"),
    ("DELETE FROM watch_gap", "was made by an event, and is not in the table"),
    ("UPDATE watch_gap SET from_at = until_at - 1", "is in the table, and no event made it"),
    ("UPDATE attestation SET received_at = received_at + 600000", "attestation 1: received_at is"),
    (
        "UPDATE attestation SET said = replace(said, '\"crashDumpEnabled\":1', '\"crashDumpEnabled\":0')",
        "attestation 1: said is",
    ),
    (
        "INSERT INTO attestation (source, region_code, server_no, kind, at, received_at, said) \
         SELECT source, region_code, server_no, kind, at, received_at, said FROM attestation",
        "attestation 2 is in the table, and no event made it",
    ),
];

const GUEST: &str = "guest-test-token-00000001";

/// What guards go by: storms, standings, resets, reports, a word of a guest, a time without watch, quarantines.
pub(crate) fn guarded_run() -> (Cloud, Site) {
    let cloud = Cloud::start(fleet(6));
    let more = "[storm]\nshare = 0.1\n[[sources]]\nname = \"guests\"\nkind = \"guest\"\n\
                name_pattern = \"win-.*\"\n\
                auth = [{ kind = \"bearer\", secret_file = \"guest\" }]\n";
    let plain = Settings::new(&cloud.running.endpoint());
    let site = Site::new(&Settings { mode: "approve", more: more.to_owned(), ..plain });
    site.secret("guest", GUEST);
    let service = site.start();
    service.wait_for_inventory(6);
    let said = json!({ "kind": "dump_settings", "at": now_text(), "settings": {
        "crashDumpEnabled": 1, "dumpFile": "%SystemRoot%\\MEMORY.DMP", "autoReboot": true,
    } });
    act(&service, GUEST, &format!("servers/{}/attestations", server(0)), &said);
    let reason = json!({ "reason": "looked at it" });
    let storm = |note: &str| {
        let begun = now_text();
        let firing: Vec<_> = (0..4).map(|n| alert(&server(n), "firing", &begun)).collect();
        fire(&service, &firing, note);
    };
    storm("one");
    act(&service, LEAD, "storms/1/clear", &reason);
    act(&service, LEAD, "policies/hung-windows/promote", &reason);
    act(&service, LEAD, "breakers/hung-windows/reset", &reason);
    storm("two");
    act(&service, OPERATOR, "policies/hung-windows/demote", &reason);
    assert_eq!(service.stop().0, 0);

    // A quarantine that a person clears, a time in which nobody watched, and a quarantine that stays.
    let path = site.store().with_file_name("JOURNAL");
    let damage = || {
        let mut journal = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        std::io::Write::write_all(&mut journal, b"no line of a journal\n").unwrap();
    };
    damage();
    let service = site.start();
    act(&service, LEAD, "quarantine/clear", &reason);
    assert_eq!(service.stop().0, 0);
    let journal = Journal::open(&path);
    let then = now_text().parse::<jiff::Timestamp>().unwrap() - jiff::SignedDuration::from_hours(1);
    journal.append(Entry::Stamp(Stamp { at: then, boot_id: None, boot_seconds: None, audit: None })).unwrap();
    drop(journal);
    let service = site.start();
    assert_eq!(service.stop().0, 0);
    damage();
    let service = site.start();
    assert_eq!(service.stop().0, 0);
    (cloud, site)
}

fn every_change_shows(site: &Site, changes: &[(&'static str, &str)]) {
    let copy = site.dir.path().join("copy.db");
    for (change, said) in changes {
        std::fs::copy(site.store(), &copy).unwrap();
        sql(&copy, &[*change]);
        let (code, out, trouble) = site.run(&["audit", "verify", "--deep", "--store", "copy.db"]);
        assert_eq!(code, 1, "{change}\n{out}{trouble}");
        assert!(
            out.lines().any(|line| line.starts_with("difference: ") && line.contains(said)),
            "{change}\n{out}"
        );
        assert!(trouble.contains("the tables differ"), "{change}\n{trouble}");
        let (code, _, trouble) = site.run(&["audit", "verify", "--store", "copy.db"]);
        assert_eq!(code, 0, "the chain alone does not know: {change}\n{trouble}");
    }
}

#[test]
fn what_guards_go_by_is_folded_and_every_change_by_hand_shows() {
    let (cloud, site) = guarded_run();
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
    every_change_shows(&site, &GUARD_CHANGES);
}

#[test]
fn folding_a_real_run_gives_its_tables_and_every_change_by_hand_shows() {
    let (cloud, site) = stage();
    let service = eventful_run(&site, &cloud);
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new(), "while it runs");
    assert_eq!(service.stop().0, 0);
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new(), "after its end");

    every_change_shows(&site, &CHANGES);
}

#[test]
fn pruned_rows_are_folded_from_their_export_and_the_service_goes_on() {
    let (cloud, site) = stage();
    let service = eventful_run(&site, &cloud);
    let args =
        ["audit", "checkpoint", "--before", "2100-01-01T00:00:00Z", "--export", "old.ndjson", "--prune"];
    let (code, _, trouble) = site.run(&args);
    assert_eq!(code, 3, "{trouble}");
    assert!(trouble.contains("stop the service first"), "{trouble}");
    assert_eq!(service.stop().0, 0);
    let (code, said, trouble) = site.run(&args);
    assert_eq!(code, 0, "{said}{trouble}");
    assert!(said.contains("the attempt journal is compared with them"), "{said}");
    let service = site.start();
    let (_, quarantine) = service.get("/api/v1/quarantine", VIEWER);
    assert_eq!(
        quarantine["quarantine"],
        Value::Null,
        "the row that the journal names is there: {quarantine}"
    );
    assert_eq!(service.stop().0, 0);

    let (code, said, trouble) = site.run(&["audit", "verify", "--deep"]);
    assert_eq!(code, 1, "{said}{trouble}");
    assert!(trouble.contains("give --export old.ndjson (rows 1 to "), "{trouble}");
    let (code, said, trouble) = site.run(&["audit", "verify", "--deep", "--allow-gaps"]);
    assert_eq!(code, 0, "{said}{trouble}");
    assert!(said.contains("were pruned") && said.contains("cannot be folded"), "{said}");
    let (code, said, trouble) = site.run(&["audit", "verify", "--deep", "--export", "old.ndjson"]);
    assert_eq!(code, 0, "{said}{trouble}");
    assert!(!said.contains("note: "), "{said}");
    sql(&site.store(), &["UPDATE remediation SET state = 'rejected' WHERE state = 'confirmed'"]);
    let (code, said, _) = site.run(&["audit", "verify", "--deep", "--export", "old.ndjson"]);
    assert_eq!(code, 1, "{said}");
}

#[test]
fn heads_are_written_at_the_start_on_schedule_and_at_the_end() {
    let (_cloud, site) = stage();
    let config = std::fs::read_to_string(&site.config).unwrap();
    let quick = config.replace("key_file = \"audit-key\"", "key_file = \"audit-key\"\nheads_every = \"1s\"");
    std::fs::write(&site.config, quick).unwrap();
    let heads = || std::fs::read_to_string(site.dir.path().join("data/unhang.db.heads")).unwrap_or_default();
    let service = site.start();
    eventually("a head on schedule", || (heads().lines().count() >= 3).then_some(()));
    let text = reqwest::blocking::get(format!("{}/metrics", service.url)).unwrap().text().unwrap();
    let figure = text.lines().find_map(|line| line.strip_prefix("unhang_audit_head_timestamp_seconds "));
    assert!(figure.and_then(|figure| figure.parse::<f64>().ok()).is_some_and(|at| at > 1e9), "{figure:?}");
    // A command writes beside the service.
    let (code, line, trouble) = site.run(&["audit", "head"]);
    assert_eq!(code, 0, "{trouble}");
    assert!(heads().contains(line.trim()), "{line}");
    assert_eq!(service.stop().0, 0);
    let last: Value = serde_json::from_str(heads().lines().last().unwrap()).unwrap();
    let (code, said, trouble) = site.run(&["audit", "verify", "--require-key", "--output", "json"]);
    assert_eq!(code, 0, "{trouble}");
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["report"]["lastSeq"], last["seq"], "the last head knows the last row");
    assert_eq!(report["report"]["heads"], heads().lines().count());
}

/// A figure of a running service.
fn figure(service: &Service, name: &str) -> Option<i64> {
    let text = reqwest::blocking::get(format!("{}/metrics", service.url)).unwrap().text().unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

fn shown(service: &Service, path: &str) -> String {
    let cookie = crate::hostile::session(&service.url, VIEWER);
    let page =
        reqwest::blocking::Client::new().get(format!("{}{path}", service.url)).header("cookie", cookie);
    page.send().unwrap().text().unwrap()
}

#[test]
fn a_broken_chain_is_told_on_every_page_and_nothing_is_promised_after_a_cut() {
    let (_cloud, site) = stage();
    let service = site.start();
    service.wait_for_inventory(6);
    fire(&service, &[alert(&server(5), "firing", &now_text())], "one");
    eventually("the chain is verified", || {
        (figure(&service, "unhang_audit_verified_seq")? >= 4).then_some(())
    });
    assert_eq!(figure(&service, "unhang_audit_broken"), Some(0));
    assert!(shown(&service, "/audit").contains("The chain is verified to row"));
    assert!(!shown(&service, "/").contains("The audit chain is broken"));

    // The end is cut off under the eyes of the service, with the count of rows.
    let cut = [
        "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)",
        "UPDATE sqlite_sequence SET seq = (SELECT max(seq) FROM audit) WHERE name = 'audit'",
    ];
    sql(&site.store(), &cut);
    eventually("the cut shows", || (figure(&service, "unhang_audit_broken")? == 1).then_some(()));
    let page = shown(&service, "/audit");
    assert!(page.contains("the end was cut off") || page.contains("does not continue"), "{page}");
    // Nothing is promised into a store that has lost what was written: the sender tries again, and the process ends.
    let (status, said) =
        service.deliver(&delivery(&[alert(&server(4), "firing", &now_text())], "two")).unwrap();
    assert_eq!(status, 503, "{said}");
    eventually("the service to end", || service.ended());
    drop(service);

    // A row in the middle that was changed while nobody looked.
    let (_cloud, site) = stage();
    let service = site.start();
    fire(&service, &[alert(&server(5), "firing", &now_text())], "one");
    assert_eq!(service.stop().0, 0);
    sql(&site.store(), &["UPDATE audit SET actor_name = 'nobody' WHERE seq = 3"]);
    let service = site.start();
    eventually("the change shows", || (figure(&service, "unhang_audit_broken")? == 1).then_some(()));
    assert_eq!(figure(&service, "unhang_audit_verified_seq"), Some(2));
    for path in ["/", "/audit", "/deliveries", "/explain"] {
        let page = shown(&service, path);
        assert!(page.contains("The audit chain is broken, row") && page.contains("3: "), "{path}: {page}");
    }
    assert!(shown(&service, "/audit").contains("The audit is broken at row 3:"));
    fire(&service, &[alert(&server(4), "firing", &now_text())], "two");
}

#[test]
fn a_heads_file_that_vanishes_is_told_before_another_one_is_begun() {
    let (cloud, site) = stage();
    let heads = site.dir.path().join("data/unhang.db.heads");
    let told = |service: &Service, kind: &str| {
        let (_, page) = service.get(&format!("/api/v1/audit?kind={kind}"), VIEWER);
        page["items"].as_array().unwrap().len()
    };
    let service = site.start();
    eventually("the first head", || (told(&service, "audit_heads_begun") == 1).then_some(()));
    assert_eq!(service.stop().0, 0);
    let log = || std::fs::read_to_string(site.log()).unwrap();
    assert!(!log().contains("the heads of the audit are gone"), "{}", log());
    std::fs::remove_file(&heads).unwrap();
    let (code, _, trouble) = site.run(&["audit", "verify", "--require-key"]);
    assert_eq!(code, 1, "{trouble}");
    assert!(trouble.contains("there are no heads at"), "{trouble}");
    for (gone, begun) in [(1, 2), (2, 3)] {
        let service = site.start();
        eventually("a new file", || (told(&service, "audit_heads_begun") == begun).then_some(()));
        assert_eq!((told(&service, "audit_heads_missing"), told(&service, "audit_heads_found")), (gone, 0));
        assert_eq!(service.stop().0, 0);
        assert!(log().contains("the heads of the audit are gone"), "{}", log());
        assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
        // An empty file is no better than none.
        std::fs::write(&heads, "").unwrap();
    }
}

#[test]
fn heads_that_cannot_be_written_stop_nothing() {
    let (_cloud, site) = stage();
    let config = std::fs::read_to_string(&site.config).unwrap();
    let nowhere = config
        .replace("key_file = \"audit-key\"", "key_file = \"audit-key\"\nheads_file = \"nowhere/heads\"");
    std::fs::write(&site.config, nowhere).unwrap();
    let service = site.start();
    fire(&service, &[alert(&server(0), "firing", &now_text())], "one");
    let (status, _) = service.get("/api/v1/audit", VIEWER);
    assert_eq!(status, 200);
    assert_eq!(service.stop().0, 0);
    let log = std::fs::read_to_string(site.dir.path().join("unhang.log")).unwrap();
    assert!(log.contains("a head of the audit could not be written"), "{log}");
    // The configuration names the file, so the audit does not verify without it.
    let (code, _, trouble) = site.run(&["audit", "verify"]);
    assert_eq!(code, 1, "{trouble}");
    assert!(trouble.contains("there are no heads at nowhere/heads"), "{trouble}");
}

#[test]
fn a_service_without_the_key_does_not_write_behind_keyed_rows() {
    let (_cloud, site) = stage();
    assert_eq!(site.start().stop().0, 0);
    let config = std::fs::read_to_string(&site.config).unwrap();
    std::fs::write(&site.config, config.replace("key_file = \"audit-key\"", "")).unwrap();
    let said = site.try_start().unwrap_err();
    assert!(said.contains("set audit.key_file"), "{said}");
}
