//! No statement of the store walks a table that grows with every alert: each has an index that it uses.
//!
//! The statements are read from the source, so that a new one is asked as well. Those that are put together at run time
//! (`format!`, `QueryBuilder`) are not seen here.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use regex::Regex;
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};
use unhang::store::Store;

/// Tables with a row for each alert, delivery, server that fires, or what follows from them.
const GROWING: [&str; 11] = [
    "alert",
    "attempt",
    "audit",
    "body",
    "delivery",
    "incident",
    "incident_alert",
    "outbox",
    "remediation",
    "remediation_alert",
    "resolved_notice",
];

/// Files whose statements are put to PostgreSQL, or to a catalogue of either, and such a statement elsewhere.
const POSTGRES: [&str; 5] = ["lease.rs", "postgres.rs", "schema.rs", "transfer.rs", "turn.rs"];
const OF_POSTGRES: &str = "size_of_the_store()";

/// Walks that are known, by a piece of their text.
const KNOWN: [(&str, &str); 10] = [
    ("SELECT sha256, bytes, packed FROM body", "deep verification reads everything"),
    ("SELECT id FROM delivery WHERE NOT EXISTS (SELECT 1 FROM body", "the same"),
    ("ORDER BY seq DESC LIMIT 1", "stops at the first row, or at a start only"),
    ("SELECT nonce, id, remediation_id FROM attempt WHERE outcome IS NULL", "an index of few rows"),
    ("FROM attempt WHERE intent_at >= ? OR cooldown_until >= ?", "as many as budgets have let through"),
    ("SELECT a.nonce FROM attempt a", "the same; when a quarantine is cleared"),
    ("(SELECT count(*) FROM attempt)", "the same; at a start"),
    ("SELECT state, count(*) FROM remediation GROUP BY state", "a figure for a scrape"),
    ("SELECT DISTINCT receiver FROM outbox WHERE done_at IS NULL", "an index of what is not done"),
    ("INSERT INTO owner (", "children are looked through only while a reference is broken, which none is"),
];

/// Texts that follow `query(`, `query_as(` or `query_scalar(`.
fn statements(folder: &Path, all: &mut Vec<String>) {
    let calls = Regex::new(r#"query(?:_as|_scalar)?\(\s*"((?:[^"\\]|\\[\s\S])*)""#).unwrap();
    let lines = Regex::new(r"\\\n\s*").unwrap();
    for text in sources(folder) {
        all.extend(
            calls.captures_iter(&text).map(|call| lines.replace_all(&call[1], "").replace("\\\"", "\"")),
        );
    }
}

/// The text of every file of a folder.
fn sources(folder: &Path) -> Vec<String> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    // PostgreSQL's own, and catalogues.
    let own = |file: &Path| file.file_name().is_some_and(|name| POSTGRES.iter().any(|own| name == *own));
    files.retain(|file| !own(file));
    files.sort();
    files.iter().flat_map(|file| if file.is_dir() { sources(file) } else { vec![read(file)] }).collect()
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}

/// The tables that a statement walks from end to end, as SQLite plans it.
async fn walks(db: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
    let steps = plan.fetch_all(db).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let steps = steps.iter().map(|step| step.get::<String, _>("detail"));
    let walked = steps.filter_map(|step| Some(step.strip_prefix("SCAN ")?.to_owned()));
    walked.filter(|step| step.split(' ').next().is_some_and(|table| is_growing(sql, table))).collect()
}

/// Whether the name, or the table that it stands for in the statement, grows.
fn is_growing(sql: &str, name: &str) -> bool {
    GROWING.iter().any(|table| *table == name || sql.contains(&format!("{table} {name} ")))
}

#[tokio::test]
async fn no_statement_walks_a_table_that_grows_with_every_alert() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let (_store, _writer) = Store::open(&path, None, |_| {}).await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).read_only(true);
    let mut db = SqliteConnection::connect_with(&options).await.unwrap();
    // The test sees a walk where there is one.
    assert_eq!(walks(&mut db, "SELECT * FROM alert a WHERE a.detail = ?").await, ["a"]);
    assert_eq!(walks(&mut db, "SELECT * FROM alert WHERE id = ?").await, Vec::<String>::new());

    let mut all = Vec::new();
    statements(Path::new("src/store"), &mut all);
    all.retain(|sql| {
        !["PRAGMA", "VACUUM"].iter().any(|begin| sql.starts_with(begin)) && !sql.contains(OF_POSTGRES)
    });
    assert!(all.len() > 120, "only {} statements were found", all.len());
    let mut found = Vec::new();
    for sql in &all {
        if KNOWN.iter().any(|(piece, _why)| sql.contains(piece)) {
            continue;
        }
        let walked = walks(&mut db, sql).await;
        if !walked.is_empty() {
            found.push(format!("{walked:?}: {sql}"));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    for (piece, _why) in KNOWN {
        assert!(all.iter().any(|sql| sql.contains(piece)), "no statement has {piece:?} any more");
    }
}

/// SQLite compiles a statement anew for each value of its limit, where that is a parameter and nothing else: half of
/// the time that a page takes. A sum is no such thing.
#[test]
fn no_limit_is_a_parameter_alone() {
    let alone = Regex::new(r#"LIMIT (\?|")"#).unwrap();
    let found: Vec<_> = sources(Path::new("src/store"))
        .iter()
        .flat_map(|text| {
            text.lines().filter(|line| alone.is_match(line)).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(found, Vec::<String>::new(), "write `LIMIT 0 + ?`");
}
