//! A store that moves from a file to a server: all of it or nothing, and only to where nothing is.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sqlx::Connection as _;
use tempfile::TempDir;
use unhang::config::Place;
use unhang::domain::audit::{Actor, AuditEvent};
use unhang::domain::audit_key::{AuditKey, KeyRing};
use unhang::journal::{Identity, Journal, Known};
use unhang::quarantine::{At, compare, machine_id, wanted};
use unhang::store::{DataLock, Store, StoreIdentity, verify_chain};

#[path = "postgres/mod.rs"]
#[expect(dead_code, reason = "each test program uses some of it")]
mod postgres;

const KEY: &str = "a key of the audit that is long enough";
const PATIENCE: Duration = Duration::from_secs(20);

/// A store of a file with a row or more in every table, its journal, and an empty database.
struct Case {
    folder: TempDir,
    url: String,
}

impl Case {
    async fn new() -> Self {
        let case = Self { folder: tempfile::tempdir().unwrap(), url: postgres::server().new_database() };
        std::fs::write(case.path("key"), KEY).unwrap();
        let key = AuditKey::new(KEY.into());
        let (store, writer) = Store::open(&case.store(), key, |_| {}).await.unwrap();
        let tasks = tokio_util::task::TaskTracker::new();
        tasks.spawn(writer);
        let identity = StoreIdentity { store_id: "store".to_owned(), machine_id: machine_id() };
        store
            .write(move |tx| {
                let identity = identity.clone();
                Box::pin(async move {
                    tx.set_identity(&identity, Timestamp::UNIX_EPOCH).await?;
                    for detail in ["{}".to_owned(), format!("{{\"many\":\"{}\"}}", "words ".repeat(400))] {
                        let mut event = AuditEvent::new(Timestamp::UNIX_EPOCH, "test", Actor::person("kim"));
                        event.detail = detail;
                        tx.append(&event).await?;
                    }
                    Ok(())
                })
            })
            .await
            .unwrap();
        drop(store);
        tasks.close();
        tasks.wait().await;
        case.sql(include_str!("store_move/rows.sql")).await;
        let identity = Identity { store_id: "store".to_owned(), machine_id: machine_id() };
        Journal::open(&case.journal()).begin(identity, 77, Timestamp::UNIX_EPOCH).unwrap();
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn store(&self) -> PathBuf {
        self.path("a.db")
    }

    fn journal(&self) -> PathBuf {
        self.path("JOURNAL")
    }

    async fn file(&self) -> sqlx::SqliteConnection {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.store()).foreign_keys(true);
        sqlx::SqliteConnection::connect_with(&options).await.unwrap()
    }

    async fn sql(&self, text: &'static str) {
        let mut db = self.file().await;
        sqlx::raw_sql(text).execute(&mut db).await.unwrap();
        db.close().await.unwrap();
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unhang"));
        command.env_clear().current_dir(self.folder.path()).args(["migrate", "--from", "a.db"]).args(more);
        command
    }

    /// Moves it: exit code, and what was said.
    fn moved(&self) -> (i32, String) {
        said(&mut self.command(&["--to", &self.url, "--key-file", "key"]))
    }

    fn place(&self) -> Place {
        Place::parse(&self.url).unwrap()
    }

    fn there(&self, sql: &str) -> String {
        self.try_there(sql).unwrap()
    }

    fn try_there(&self, sql: &str) -> Result<String, String> {
        let database = self.url.rsplit('/').next().unwrap();
        postgres::server().try_to_run(database, &format!("SET search_path = unhang; {sql}"))
    }

    /// How many rows there are of what was moved.
    fn rows_there(&self) -> usize {
        if self.there("SELECT to_regclass('audit')").is_empty() {
            return 0;
        }
        let tables = ["owner", "body", "delivery", "attempt", "hold", "audit", "store_identity", "outbox"];
        let counts = tables.map(|table| self.there(&format!("SELECT count(*) FROM {table}")));
        counts.iter().map(|count| count.parse::<usize>().unwrap()).sum()
    }
}

fn said(command: &mut Command) -> (i32, String) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr))
}

fn known(journal: &Path) -> Known {
    Journal::read(journal).unwrap().unwrap()
}

/// What a start on this place would find.
async fn findings(journal: &Path, place: &Place) -> Vec<String> {
    let (known, store) = (known(journal), Store::open_read_only_at(place).await.unwrap());
    let (from_attempt, audit_seq) = wanted(&known);
    let history = store.history(from_attempt, audit_seq).await.unwrap();
    compare(&known, &history, &At::of(&store).await.unwrap()).findings
}

/// Every row of every table of a file, with values in hexadecimal; and of the same tables on a server.
async fn both(case: &Case) -> Vec<(String, Vec<String>, Vec<String>)> {
    let mut db = case.file().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE '_sqlx%'",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    let mut all = Vec::new();
    for table in tables {
        let columns: Vec<(String, String)> = sqlx::query_as("SELECT name, type FROM pragma_table_info(?)")
            .bind(&table)
            .fetch_all(&mut db)
            .await
            .unwrap();
        let joined = |value: &dyn Fn(&str, &str) -> String| {
            let values: Vec<String> = columns.iter().map(|(name, kind)| value(name, kind)).collect();
            values.join(" || ' ' || ")
        };
        let here = joined(&|name, kind| {
            let bytes =
                if kind == "BLOB" { format!("\"{name}\"") } else { format!("CAST(\"{name}\" AS TEXT)") };
            format!("CASE WHEN \"{name}\" IS NULL THEN '-' ELSE lower(hex({bytes})) END")
        });
        let there = joined(&|name, kind| {
            let bytes = if kind == "BLOB" {
                format!("\"{name}\"")
            } else {
                format!("convert_to(\"{name}\"::text, 'UTF8')")
            };
            format!("CASE WHEN \"{name}\" IS NULL THEN '-' ELSE encode({bytes}, 'hex') END")
        });
        let here = format!("SELECT {here} FROM {table}");
        let mut here: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(here)).fetch_all(&mut db).await.unwrap();
        let told = case.there(&format!("SELECT {there} FROM {table}"));
        let mut there: Vec<String> = told.lines().map(str::to_owned).collect();
        here.sort();
        there.sort();
        all.push((table, here, there));
    }
    all
}

#[tokio::test]
async fn everything_is_there_as_it_was() {
    let case = Case::new().await;
    let (code, said) = case.moved();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("3 audit rows verified"), "{said}");
    let server = case.there("SELECT this_server()");
    for (table, here, mut there) in both(&case).await {
        assert!(!here.is_empty(), "{table} is not tried");
        match table.as_str() {
            // One more: that it was moved.
            "audit" => drop(there.pop()),
            "store_identity" => {
                let told = case.there("SELECT store_id || ' ' || machine_id FROM store_identity");
                assert_eq!(told, format!("store {server}"));
                continue;
            }
            _ => {}
        }
        assert!(here == there, "{table} differs");
    }
    let newest = case.there("SELECT kind || ' ' || detail FROM audit WHERE seq = 3");
    assert!(newest.starts_with("store_moved {\"machineId\":"), "{newest}");
    let store = Store::open_read_only_at(&case.place()).await.unwrap();
    let ring = KeyRing::new(AuditKey::new(KEY.into()), []);
    let report = verify_chain(&store, &ring, |_| {}).await.unwrap();
    assert_eq!((report.fault, report.rows, report.keyed_rows), (None, 3, 3));
    // The start there finds nothing against it, and one on the old file does.
    assert_eq!(findings(&case.journal(), &case.place()).await, Vec::<String>::new());
    let old = findings(&case.journal(), &Place::File(case.store())).await;
    assert_eq!(old.is_empty(), machine_id().is_none(), "{old:?}");
    assert_eq!(store.history(0, 0).await.unwrap().high_water, 77);
}

#[tokio::test]
async fn the_laws_of_the_schema_hold_again_and_numbers_go_on() {
    let case = Case::new().await;
    assert_eq!(case.moved().0, 0);
    assert_eq!(
        case.there("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'O'"),
        "0"
    );
    for (sql, why) in [
        ("UPDATE audit SET kind = 'x'", "append-only"),
        ("UPDATE attempt SET nonce = 'x'", "not rewritten"),
        ("UPDATE remediation SET state = 'settling' WHERE id = 'r3'", "illegal move"),
        ("UPDATE heartbeat SET last_at = 1", "never moves back"),
        ("DELETE FROM delivery WHERE id = 'z'", "foreign key"),
    ] {
        let said = case.try_there(sql).unwrap_err();
        assert!(said.contains(why), "{sql}: {said}");
    }
    let given: Vec<(String, i64)> = sqlx::query_as("SELECT name, seq FROM sqlite_sequence")
        .fetch_all(&mut case.file().await)
        .await
        .unwrap();
    assert!(given.len() > 10 && given.contains(&("watch_gap".to_owned(), 500)), "{given:?}");
    for (table, seq) in given {
        let column = match table.as_str() {
            "owner" => "epoch",
            "audit" => "seq",
            _ => "id",
        };
        let next = case.there(&format!("SELECT nextval(pg_get_serial_sequence('{table}', '{column}'))"));
        assert_eq!(next, (seq + 1).to_string(), "{table}");
    }
    assert_eq!(case.there("SELECT name || seq FROM high_water ORDER BY name"), "attempt77\naudit3");
}

#[tokio::test]
async fn a_store_that_cannot_be_moved_is_refused_and_nothing_is_written() {
    for (spoil, code, why) in [
        (
            "UPDATE hold SET reason = 'a' || char(0) || 'b' WHERE id = 2",
            1,
            "table hold, row 2, column reason: it holds the character U+0000",
        ),
        ("UPDATE outbox SET message = CAST(x'ff' AS TEXT)", 1, "table outbox, row 1, column message: "),
        ("PRAGMA foreign_keys = OFF; DELETE FROM body WHERE sha256 = 'plain'", 1, "table delivery: "),
        ("CREATE TABLE more (a INTEGER) STRICT", 1, "its table more is not one of this version"),
        ("ALTER TABLE hold ADD COLUMN more INTEGER", 1, "table hold has other columns there"),
        (
            "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)",
            2,
            "bring it there first: unhang migrate --store a.db",
        ),
        (
            "UPDATE _sqlx_migrations SET version = version + 1 WHERE version = (SELECT max(version) FROM _sqlx_migrations)",
            2,
            "the schema of this version",
        ),
    ] {
        let case = Case::new().await;
        case.sql(spoil).await;
        let before = std::fs::read(case.journal()).unwrap();
        let (found, said) = case.moved();
        assert_eq!(found, code, "{spoil}: {said}");
        assert!(said.contains(why), "{spoil}: {said}");
        assert_eq!(case.rows_there(), 0, "{spoil}");
        assert_eq!(std::fs::read(case.journal()).unwrap(), before, "{spoil}");
    }
}

#[tokio::test]
async fn a_store_that_its_journal_does_not_agree_with_is_refused() {
    let case = Case::new().await;
    let kept = case.path("kept");
    std::fs::rename(case.journal(), &kept).unwrap();
    let (code, said) = case.moved();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the journal is missing or was never in use"), "{said}");
    assert!(!case.journal().exists(), "it is not made anew");
    let to = ["--to", &case.url, "--key-file", "key", "--journal", "kept"];
    let held = Journal::open(&kept);
    let (code, told) = said_of(&case, &to);
    assert_eq!(code, 3, "{told}");
    assert!(told.contains("belongs to another running service"), "{told}");
    drop(held);
    let (code, told) = said_of(&case, &to);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("move kept into the folder of one replica"), "{told}");
}

fn said_of(case: &Case, more: &[&str]) -> (i32, String) {
    said(&mut case.command(more))
}

#[tokio::test]
async fn a_place_that_holds_anything_is_refused_and_untouched() {
    let case = Case::new().await;
    assert_eq!(said(Command::new(env!("CARGO_BIN_EXE_unhang")).args(["migrate", "--store", &case.url])).0, 0);
    case.there("INSERT INTO hold (scope, name, author, reason, set_at) VALUES ('global', '', 'kim', 'r', 1)");
    let (code, told) = case.moved();
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("is in use: its table hold is not empty"), "{told}");
    assert_eq!(case.there("SELECT id || reason FROM hold"), "1r");
    assert_eq!(case.rows_there(), 1);
    // Empty again it will do; and twice it will not.
    case.there("DELETE FROM hold");
    let (code, told) = case.moved();
    assert_eq!(code, 0, "{told}");
    let rows = case.rows_there();
    let (code, told) = case.moved();
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("this store was moved to") && told.contains("before"), "{told}");
    assert_eq!(case.rows_there(), rows);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused() {
    let case = Case::new().await;
    for (more, code, why) in [
        (&["--to", "postgres://u:s3cret@127.0.0.1/d"][..], 2, "--to holds a password"),
        (&["--to", "postgres://u@db.example/d"], 2, "another machine is reached with TLS only"),
        (&["--to", "b.db"], 2, "--to must be a server"),
        (&[], 2, "name the server with --to"),
        (
            &["--to", &case.url, "--to-password-file", "nowhere"],
            2,
            "cannot use the password file nowhere: no such file",
        ),
        (&["--to", &case.url], 3, "the audit is hashed with key"),
        (&["--to", &case.url, "--store", "a.db"], 2, "cannot be used with"),
    ] {
        let (found, told) = said_of(&case, more);
        assert_eq!(found, code, "{more:?}: {told}");
        assert!(told.contains(why) && !told.contains("s3cret"), "{more:?}: {told}");
    }
    assert_eq!(case.rows_there(), 0);
    let lock = DataLock::take(&case.store()).unwrap();
    let (code, told) = case.moved();
    assert_eq!(code, 3, "{told}");
    assert!(told.contains("in use by another unhang process"), "{told}");
    drop(lock);
    let from = ["migrate", "--from", &case.url, "--to", &case.url];
    let (code, told) = said(Command::new(env!("CARGO_BIN_EXE_unhang")).args(from));
    assert!(code == 2 && told.contains("pg_dump"), "{code} {told}");
}

/// Waits until the server says so.
fn wait_for(case: &Case, sql: &str, wanted: &str) {
    let begun = Instant::now();
    while case.there(sql) != wanted {
        assert!(begun.elapsed() < PATIENCE, "{sql} is never {wanted}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn a_move_that_was_killed_leaves_nothing_and_is_done_again() {
    let case = Case::new().await;
    assert_eq!(said(Command::new(env!("CARGO_BIN_EXE_unhang")).args(["migrate", "--store", &case.url])).0, 0);
    // The last table lets nobody in: by then all the others have been copied.
    let mut gate = sqlx::PgConnection::connect(&case.url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE unhang.outbox IN SHARE MODE").execute(&mut gate).await.unwrap();
    let mut child: Child = case
        .command(&["--to", &case.url, "--key-file", "key"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(&case, "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'outbox'::regclass", "1");
    let written = case.there("SELECT pg_relation_size('body') + pg_relation_size('attempt') > 0");
    assert_eq!(written, "t", "it is in the middle");
    child.kill().unwrap();
    child.wait().unwrap();
    sqlx::raw_sql("ROLLBACK").execute(&mut gate).await.unwrap();
    gate.close().await.unwrap();
    wait_for(&case, "SELECT count(*) FROM pg_locks WHERE relation = 'attempt'::regclass", "0");
    assert_eq!(case.rows_there(), 0);
    assert_eq!(
        case.there("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'O'"),
        "0"
    );
    assert_eq!(known(&case.journal()).identity.unwrap().machine_id, machine_id());
    let (code, told) = case.moved();
    assert_eq!(code, 0, "{told}");
    for (table, here, there) in both(&case).await {
        let more = usize::from(table == "audit");
        assert_eq!(here.len() + more, there.len(), "{table}");
    }
}
