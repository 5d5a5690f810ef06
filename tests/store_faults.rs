//! The store under load and under faults of its own: its log stays small, and a refusal is shared by all who wait.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sqlx::Connection as _;
use unhang::domain::audit::{Actor, AuditEvent};
use unhang::store::{Store, StoreError};

async fn open(path: &Path) -> Store {
    let (store, writer) = Store::open(path, None, |_| {}).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "the test owns the writer")]
    tokio::spawn(writer);
    store
}

fn event(bytes: usize) -> AuditEvent {
    let detail = serde_json::json!({ "filler": "x".repeat(bytes) });
    AuditEvent::new(Timestamp::UNIX_EPOCH, "load", Actor::service("test")).with_detail(&detail)
}

fn wal_of(path: &Path) -> PathBuf {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    PathBuf::from(wal)
}

/// Readers whose snapshots overlap without a gap keep SQLite from beginning its log anew by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_load_with_readers_the_log_stays_below_its_bound() {
    const BOUND: u64 = 64 << 20;
    const JOBS: usize = 1600;
    const BYTES: usize = 128 << 10;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = open(&path).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut readers = tokio::task::JoinSet::new();
    for n in 0..3_u64 {
        let (path, over) = (path.clone(), Arc::clone(&over));
        readers.spawn(async move {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).read_only(true);
            let mut db = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
            while !over.load(Ordering::Relaxed) {
                let mut snapshot = db.begin().await.unwrap();
                let _rows: i64 =
                    sqlx::query_scalar("SELECT count(*) FROM audit").fetch_one(&mut *snapshot).await.unwrap();
                // Each holds its snapshot while the others begin theirs.
                tokio::time::timeout(Duration::from_millis(40 + 15 * n), std::future::pending::<()>())
                    .await
                    .unwrap_err();
                snapshot.rollback().await.unwrap();
            }
        });
    }
    let mut largest = 0;
    for _job in 0..JOBS {
        store.write(|tx| Box::pin(async move { tx.append(&event(BYTES)).await })).await.unwrap();
        largest = largest.max(std::fs::metadata(wal_of(&path)).unwrap().len());
    }
    over.store(true, Ordering::Relaxed);
    while readers.join_next().await.is_some() {}
    assert!(largest <= BOUND, "the log grew to {} MiB", largest >> 20);
    assert!(largest > 8 << 20, "the load was too small to prove anything: {} MiB", largest >> 20);

    // Left alone, the next write folds it.
    store.write(|tx| Box::pin(async move { tx.append(&event(1)).await })).await.unwrap();
    store.write(|tx| Box::pin(async move { tx.append(&event(1)).await })).await.unwrap();
    assert!(std::fs::metadata(wal_of(&path)).unwrap().len() <= 16 << 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_wait_for_a_locked_store_are_refused_together() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = open(&path).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut db = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut db).await.unwrap();
    let begun = Instant::now();
    let mut jobs = tokio::task::JoinSet::new();
    for _job in 0..20 {
        let store = store.clone();
        jobs.spawn(async move {
            store.write(|tx| Box::pin(async move { tx.append(&event(1)).await })).await.unwrap_err()
        });
    }
    while let Some(refused) = jobs.join_next().await {
        let refused = refused.unwrap();
        assert!(matches!(refused, StoreError::NotBegun { .. }), "{refused}");
        assert!(!refused.is_io() && !refused.is_full(), "{refused}");
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    sqlx::query("ROLLBACK").execute(&mut db).await.unwrap();
    store.write(|tx| Box::pin(async move { tx.append(&event(1)).await })).await.unwrap();
}
