//! Copies: a large store, made by copying rows that the service wrote.
//!
//! Never: fills the store through the door, which would take hours; so the chain of hashes is not whole. `audit verify`
//! would say so; starting, reading and taking in do not ask.

use std::path::Path;
use std::process::Command;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

/// So many rows tell how much room one takes.
const SAMPLE: u64 = 100_000;
/// Room that others are left, in bytes.
const LEFT_FREE: u64 = 4 << 30;

/// Copies the audit's rows until there are so many; gives how many there are then. Never fills the disk: says what is
/// missing instead.
pub(crate) async fn audit_rows(path: &Path, rows: u64) -> Result<u64, String> {
    let before = size(path);
    let some = fill(path, rows.min(SAMPLE)).await.map_err(|error| error.to_string())?;
    if rows <= SAMPLE {
        return Ok(some);
    }
    // The indexes are sorted beside the store, one at a time.
    let wanted = (size(path) - before) / SAMPLE * rows / 5 * 6 + LEFT_FREE;
    let free = free_beside(path);
    if free < wanted {
        return Err(format!("{rows} rows need {} GiB of free disk, there are {}", wanted >> 30, free >> 30));
    }
    fill(path, rows).await.map_err(|error| error.to_string())
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

fn free_beside(path: &Path) -> u64 {
    let told = Command::new("df").args(["--output=avail", "-B1"]).arg(path).output().unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    told.split_whitespace().last().and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

/// With times before theirs and request ids of their own.
async fn fill(path: &Path, rows: u64) -> Result<u64, sqlx::Error> {
    let mut db = open(path).await?;
    let columns: Vec<String> = sqlx::query("SELECT name FROM pragma_table_info('audit') WHERE name <> 'seq'")
        .fetch_all(&mut db)
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();
    let (most, least, newest, count): (i64, i64, i64, i64) = {
        let row =
            sqlx::query("SELECT MAX(seq), MIN(at), MAX(at), COUNT(*) FROM audit").fetch_one(&mut db).await?;
        (row.get(0), row.get(1), row.get(2), row.get(3))
    };
    let wanted = (rows as i64 - count).max(0);
    let copies = (wanted + count - 1) / count;
    let span = newest - least + 1;
    let value = |name: &String| match name.as_str() {
        "at" => format!("a.at - ({copies} + 1 - n.k) * {span}"),
        "request_id" => format!(
            "CASE WHEN a.request_id IS NULL THEN NULL ELSE substr(a.request_id, 1, 24) || printf('%012x', n.k * {most} + a.seq) END"
        ),
        other => format!("a.{other}"),
    };
    let values: Vec<String> = columns.iter().map(value).collect();
    let sql = format!(
        "WITH RECURSIVE n (k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < {copies})
         INSERT INTO audit ({}) SELECT {} FROM n CROSS JOIN audit a WHERE a.seq <= {most} LIMIT {wanted}",
        columns.join(", "),
        values.join(", ")
    );
    // Nobody else has the store, and a failure ends the run: nothing is written twice.
    for pragma in ["PRAGMA synchronous = OFF", "PRAGMA cache_size = -400000", "PRAGMA journal_mode = OFF"] {
        sqlx::query(pragma).execute(&mut db).await?;
    }
    let indexes = sqlx::query(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'audit' AND sql IS NOT NULL",
    )
    .fetch_all(&mut db)
    .await?;
    for index in &indexes {
        let name: String = index.get(0);
        sqlx::query(AssertSqlSafe(format!("DROP INDEX {name}"))).execute(&mut db).await?;
    }
    sqlx::query(AssertSqlSafe(sql)).execute(&mut db).await?;
    // Made anew when all is there: sorted once, instead of a place looked for ten million times.
    for index in &indexes {
        let sql: String = index.get(1);
        sqlx::query(AssertSqlSafe(sql)).execute(&mut db).await?;
    }
    sqlx::query("ANALYZE").execute(&mut db).await?;
    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut db).await?;
    let count: i64 = sqlx::query("SELECT COUNT(*) FROM audit").fetch_one(&mut db).await?.get(0);
    db.close().await?;
    Ok(count.unsigned_abs())
}

/// A request id that some row has.
pub(crate) async fn a_request_id(path: &Path) -> Result<String, sqlx::Error> {
    let mut db = open(path).await?;
    let sql = "SELECT request_id FROM audit WHERE request_id IS NOT NULL ORDER BY seq LIMIT 1 OFFSET 100";
    let id = sqlx::query(sql).fetch_one(&mut db).await?.get(0);
    db.close().await?;
    Ok(id)
}

async fn open(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path)).await
}
