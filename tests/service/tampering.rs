//! What was changed by hand in a store: verifying sees it, wherever it is, and nothing changed is replayed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};
use unhang::domain::audit_key::{AuditKey, KeyRing};
use unhang::domain::chain::{ChainReport, Inspection};
use unhang::store::{Store, inspect};

use crate::audit::{eventful_run, guarded_run, stage};
use crate::support::{AUDIT_KEY, Cloud, OPERATOR, Settings, Site, VIEWER, alert, delivery, fleet, now_text};

/// Columns, or with `*` whole tables, that may be changed unseen; each with the reason why that leads to no interrupt.
const EXEMPT: &[(&str, &str)] = &[
    ("owner.pid", "shown only"),
    ("incident.last_seen_at", "shown only"),
    (
        "incident_alert.*",
        "tells when an incident closes, which decides nothing; an end cancels by remediation_alert",
    ),
    (
        "delivery.renewals",
        "a copy for people; the event of the delivery tells each renewed notice, the body proves it",
    ),
    ("delivery.renewals_packed", "the same, packed"),
    ("delivery.renewal_count", "shown only"),
    ("renewal_count.*", "figures of pages"),
    ("alert.id", "a number by which nothing is told; the delivery and the place in it name an alert"),
    ("remediation.version", "an approval that names another is refused"),
    (
        "remediation.not_before",
        "a pause before the next look; the claim asks every guard, settle_until is sealed",
    ),
    (
        "remediation.waiting_since",
        "makes it expire sooner, or wait for a person longer; approving asks every guard",
    ),
    ("remediation.until", "shown only"),
    ("remediation.detail", "shown only; the events tell it"),
    (
        "server.*",
        "replaced by each complete list; a claim reads the server itself, and compares it with the sealed one",
    ),
    (
        "lookup.*",
        "believed for minutes; a claim reads the server itself, and compares it with the sealed one",
    ),
    ("inventory_read.*", "when lists were read; an older list makes alerts wait, a newer one is read again"),
    (
        "sighting.*",
        "lasts for minutes; tells what fires for the storm guard beside budgets, spacing and dump window",
    ),
    ("heartbeat.*", "a sender's last sign of life, replaced by the next"),
    ("idempotency.*", "an answer to a person for 24 h; without it an order is given anew, under every guard"),
    ("activity_seen.asked_at", "when the record is asked again"),
    ("activity_seen.answered_at", "shown only"),
    ("store_identity.created_at", "shown only"),
    ("store_identity.machine_id", "another one is a quarantine at the next start"),
    ("breaker_reset.id", "a number by which nothing is told"),
    ("target_report.id", "a number by which nothing is told"),
    ("watch_gap.id", "a number by which nothing is told"),
    ("outbox_cursor.*", "messages to people: one is lost or told twice, nothing is decided"),
    ("outbox.*", "messages to people: one is lost or told twice, nothing is decided"),
];

/// Tables that have no row in these stories; what compares them has tests of its own.
const ELSEWHERE: &[(&str, &str)] = &[
    ("dump_collected", "service audit `folding_a_real_run_…` and `fold_tests`"),
    ("activity_seen", "`fold_tests`, and each verification behind the tests of service `evidence`"),
    ("forgotten_attempt", "`fold_tests`, and each verification behind the tests of service `journal`"),
];

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn open(path: &Path) -> SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).foreign_keys(false);
    let mut db = SqliteConnection::connect_with(&options).await.unwrap();
    run(&mut db, "PRAGMA ignore_check_constraints = ON").await;
    db
}

async fn run(db: &mut SqliteConnection, sql: &str) {
    sqlx::query(AssertSqlSafe(sql.to_owned()))
        .execute(db)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn pairs(db: &mut SqliteConnection, sql: &str) -> Vec<(String, String)> {
    let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(db).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Changes a store as somebody with the file could: its triggers are away meanwhile, and stand again afterwards.
async fn change(path: &Path, sql: &str) {
    let mut db = open(path).await;
    let triggers = pairs(&mut db, "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").await;
    for (name, _) in &triggers {
        run(&mut db, &format!("DROP TRIGGER {name}")).await;
    }
    run(&mut db, sql).await;
    for (_, text) in &triggers {
        run(&mut db, text).await;
    }
    db.close().await.unwrap();
}

/// What verifying says; an error is that a row cannot be read.
async fn verified(path: &Path) -> Result<ChainReport, String> {
    let ring = KeyRing::new(AuditKey::new(AUDIT_KEY.into()), []);
    let store = Store::open_read_only(path).await.unwrap();
    inspect(&store, Inspection::new(ring, &[], true), |_rows| {}).await.map_err(|error| error.to_string())
}

async fn is_seen(path: &Path) -> bool {
    let Ok(report) = verified(path).await else { return true };
    report.fault.is_some() || !report.deep.unwrap().differences.is_empty()
}

/// A statement for each column of each table that has a row, and one that removes a row.
async fn changes(path: &Path) -> (Vec<(String, String)>, BTreeSet<String>) {
    let mut db = open(path).await;
    let tables = pairs(
        &mut db,
        "SELECT name, name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite@_%' ESCAPE '@' \
         AND name NOT LIKE '@_sqlx%' ESCAPE '@'",
    )
    .await;
    let (mut changes, mut columns) = (Vec::new(), BTreeSet::new());
    for (table, _) in tables {
        let of_table = format!("SELECT name, type FROM pragma_table_info('{table}')");
        let keys = pairs(&mut db, &format!("{of_table} WHERE pk > 0")).await;
        let named: Vec<_> = keys.iter().map(|(key, _)| format!("'{key} = ' || quote({key})")).collect();
        for (column, kind) in pairs(&mut db, &of_table).await {
            columns.insert(format!("{table}.{column}"));
            let first = format!(
                "SELECT {}, '' FROM {table} ORDER BY {column} IS NULL, {column} = '' LIMIT 1",
                named.join(" || ' AND ' || ")
            );
            let Some((row, _)) = pairs(&mut db, &first).await.into_iter().next() else { continue };
            let other = match kind.as_str() {
                "INTEGER" => format!("coalesce({column}, 0) + 1000003"),
                "BLOB" => format!("coalesce(CAST(x'00' || {column} AS BLOB), x'00')"),
                _ => format!("coalesce({column}, '') || 'x'"),
            };
            let sql = format!("UPDATE {table} SET {column} = {other} WHERE {row}");
            changes.push((format!("{table}.{column}"), sql));
            columns.insert(format!("{table}.(a row)"));
            changes.push((format!("{table}.(a row)"), format!("DELETE FROM {table} WHERE {row}")));
        }
    }
    db.close().await.unwrap();
    changes.dedup();
    (changes, columns)
}

fn exempt(column: &str) -> bool {
    let table = column.split('.').next().unwrap();
    EXEMPT.iter().any(|(name, _)| *name == column || *name == format!("{table}.*"))
        || ELSEWHERE.iter().any(|(name, _)| *name == table)
}

/// Each change of a store that is seen, and each that is not.
fn tried(site: &Site, seen: &mut BTreeMap<String, bool>) {
    let copy = site.dir.path().join("copy.db");
    block_on(async {
        assert!(!is_seen(&site.store()).await, "{:?}", verified(&site.store()).await);
        let (changes, columns) = changes(&site.store()).await;
        for column in columns {
            seen.entry(column).or_insert(false);
        }
        for (column, sql) in changes {
            if exempt(&column) {
                continue;
            }
            std::fs::copy(site.store(), &copy).unwrap();
            change(&copy, &sql).await;
            if is_seen(&copy).await {
                seen.insert(column, true);
            }
        }
    });
}

#[test]
fn whatever_decides_or_proves_is_not_changed_unseen() {
    let mut seen = BTreeMap::new();
    let (cloud, site) = stage();
    assert_eq!(eventful_run(&site, &cloud).stop().0, 0);
    tried(&site, &mut seen);
    let (_cloud, site) = guarded_run();
    tried(&site, &mut seen);
    let unseen: Vec<_> = seen.iter().filter(|(column, seen)| !**seen && !exempt(column)).collect();
    assert_eq!(unseen, Vec::new(), "of {} columns", seen.len());
    for (name, _) in EXEMPT {
        let table = name.split('.').next().unwrap();
        let stands = seen.contains_key(*name) || seen.keys().any(|one| one.starts_with(&format!("{table}.")));
        assert!(stands, "{name} is in no schema any more");
    }
}

#[test]
fn a_schema_with_a_guard_taken_out_does_not_verify() {
    let (cloud, site) = stage();
    assert_eq!(eventful_run(&site, &cloud).stop().0, 0);
    let copy = site.dir.path().join("copy.db");
    for (change, said) in [
        ("DROP TRIGGER attempt_outcome_is_final", "the trigger attempt_outcome_is_final is missing"),
        (
            "DROP INDEX one_live_remediation_per_server",
            "the index one_live_remediation_per_server is missing",
        ),
        (
            "INSERT INTO legal_move VALUES ('unknown', 'queued')",
            "the legal move from unknown to queued was added",
        ),
        (
            "DELETE FROM legal_move WHERE to_state = 'unknown'",
            "the legal move from intent to unknown is missing",
        ),
        (
            "CREATE TRIGGER another AFTER INSERT ON hold BEGIN DELETE FROM hold; END",
            "the trigger another was made by no migration",
        ),
        ("ALTER TABLE hold ADD COLUMN more TEXT", "the table hold is not as the migrations make it"),
        (
            "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1",
            "the migrations that the store says were made",
        ),
    ] {
        std::fs::copy(site.store(), &copy).unwrap();
        block_on(async {
            let mut db = open(&copy).await;
            run(&mut db, change).await;
            db.close().await.unwrap();
        });
        let (code, out, trouble) = site.run(&["audit", "verify", "--deep", "--store", "copy.db"]);
        assert_eq!(code, 1, "{change}\n{out}{trouble}");
        assert!(
            out.lines().any(|line| line.starts_with("difference: ") && line.contains(said)),
            "{change}\n{out}"
        );
    }
}

#[test]
fn a_body_that_was_changed_in_the_file_is_not_replayed() {
    const MEANT: &str = "91000001";
    const ANOTHER: &str = "91000002";
    let cloud = Cloud::start(fleet(4));
    let site = Site::new(&Settings { mode: "auto", ..Settings::new(&cloud.running.endpoint()) });
    let service = site.start();
    service.wait_for_inventory(4);
    std::fs::write(site.dir.path().join("data/HOLD"), "by hand").unwrap();
    let body = delivery(&[alert(MEANT, "firing", &now_text())], "one");
    let (_, answer) = service.deliver(&body).unwrap();
    let id = answer["deliveryId"].as_str().unwrap().to_owned();
    assert_eq!(service.stop().0, 0);

    let forged = body.to_string().replace(MEANT, ANOTHER);
    block_on(change(
        &site.store(),
        &format!("UPDATE body SET packed = NULL, bytes = x'{}'", hex::encode(forged)),
    ));
    std::fs::remove_file(site.dir.path().join("data/HOLD")).unwrap();
    let service = site.start();
    service.wait_for_inventory(4);
    for mode in ["dry_run", "execute"] {
        let order = json!({ "mode": mode, "reason": "hold is gone" });
        let (status, said) = service.post(&format!("/api/v1/deliveries/{id}/replay"), OPERATOR, &order);
        assert_eq!((status, &said["code"]), (409, &json!("not_replayable")), "{said}");
        assert!(said["detail"].as_str().unwrap().contains("not the one that was taken in"), "{said}");
    }
    let (_, page) = service.get("/api/v1/audit?kind=replay_refused", VIEWER);
    assert_eq!(page["items"].as_array().map(Vec::len), Some(2), "{page}");
    assert_eq!(page["items"][0]["actor"]["name"], "oncall", "{page}");
    assert!(service.remediations().is_empty() && cloud.running.ledger().is_empty());
    assert_eq!(service.stop().0, 0);
    let (code, out, _) = site.run(&["audit", "verify", "--deep"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("does not have that hash"), "{out}");
}
