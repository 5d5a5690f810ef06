//! The write-ahead log: folded back into the file before it grows without bound.
//!
//! Never: while a transaction is open, or with a wait that senders would feel while they wait in the queue.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::SqlitePool;

use super::lock::beside;

/// Above this the log is folded when nobody waits for the writer.
const FOLD_IDLE_BYTES: u64 = 16 << 20;
/// Above this it is folded between two batches: readers that follow each other without a gap keep SQLite from beginning
/// it anew by itself.
const FOLD_BUSY_BYTES: u64 = 32 << 20;
/// Pause after a fold that readers were in the way of.
const PAUSE: Duration = Duration::from_millis(500);

/// What was done, and what became of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Folded {
    /// Nothing was folded.
    Nothing,
    /// Something was folded, or not all of it; the connection is as it was.
    ConnectionKept,
    /// It was closed; the next one is another.
    ConnectionClosed,
}

/// The log of one store.
#[derive(Debug)]
pub(super) struct Wal {
    path: PathBuf,
    not_before: Option<Instant>,
}

impl Wal {
    /// The log that belongs to a store.
    pub(super) fn of(store: &Path) -> Self {
        Self { path: beside(store, "-wal"), not_before: None }
    }

    /// Its size in bytes; 0 when there is none.
    pub(super) fn bytes(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |meta| meta.len())
    }

    /// Folds it where it has grown. `idle`: nobody waits for the writer.
    pub(super) async fn fold(&mut self, pool: &SqlitePool, idle: bool) -> Folded {
        let bytes = self.bytes();
        let large = bytes > if idle { FOLD_IDLE_BYTES } else { FOLD_BUSY_BYTES };
        if !large || self.not_before.is_some_and(|at| Instant::now() < at) {
            return Folded::Nothing;
        }
        match truncate(pool).await {
            Ok(true) => self.not_before = None,
            Ok(false) => self.not_before = Some(Instant::now() + PAUSE),
            Err(error) => {
                self.not_before = Some(Instant::now() + PAUSE);
                tracing::warn!(%error, bytes, "the write-ahead log could not be folded; it is tried again");
                // Perhaps: that is reason enough.
                return Folded::ConnectionClosed;
            }
        }
        Folded::ConnectionKept
    }
}

/// Folds the whole log into the file and cuts it. False when readers were in the way for too long: a new reader does not
/// prolong the wait, one that was there already does.
async fn truncate(pool: &SqlitePool) -> Result<bool, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    sqlx::query("PRAGMA busy_timeout = 250").execute(&mut *connection).await?;
    let folded: Result<(i64, i64, i64), sqlx::Error> =
        sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection).await;
    if let Err(error) = sqlx::query("PRAGMA busy_timeout = 5000").execute(&mut *connection).await {
        // It must not go back with the short wait.
        drop(connection.close().await);
        return Err(error);
    }
    folded.map(|(busy, _, _)| busy == 0)
}
