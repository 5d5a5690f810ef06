//! The one writer: waiting jobs share one immediate transaction and one fsync.
//!
//! Never: answers before the commit, or leaves one job's failure to another. A batch that fails is run again
//! job by job.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, SqliteConnection, Transaction};
use tokio::sync::{mpsc, oneshot, watch};

use super::image::{Image, Part};
use super::waiting::Waiting;
use super::wal::{Folded, Wal};
use super::{Doing as _, StoreError, primary_code};
use crate::domain::audit_key::AuditKey;
use crate::telemetry::chain;

/// Most jobs that share one transaction.
const BATCH_MAX: usize = 256;

/// What a job returns while it writes.
pub type TxFuture<'c, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'c>>;

/// One open write transaction.
#[derive(Debug)]
pub struct Tx {
    inner: Transaction<'static, Sqlite>,
    /// What need not be read again.
    pub(super) image: Image,
    /// What is written together.
    pub(super) waiting: Waiting,
    /// Last place and hash of the audit chain, read once per transaction.
    pub(super) audit_head: Option<(i64, String)>,
    /// What the audit is hashed with.
    pub(super) audit_key: Option<AuditKey>,
}

impl Tx {
    /// The connection, for what changes no [`Part`]. Everything that was written before is in it.
    pub(super) async fn db(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        self.waiting.write(&mut self.inner).await?;
        Ok(&mut self.inner)
    }

    /// The connection, to change what the image remembers a part of.
    pub(super) async fn changing(&mut self, part: Part<'_>) -> Result<&mut SqliteConnection, StoreError> {
        self.image.forget(part);
        self.db().await
    }

    /// The connection without the rows that wait: for tables in which none does, and for questions that were put to
    /// those rows before.
    pub(super) fn behind_the_waiting(&mut self) -> &mut SqliteConnection {
        &mut self.inner
    }
}

type Run = Box<dyn for<'c> FnMut(&'c mut Tx) -> TxFuture<'c, ()> + Send>;

struct Job {
    run: Run,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// Handle to the writer task.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    waiting: Arc<AtomicUsize>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

/// What happened in the writer, for metrics.
#[derive(Debug, Clone, Copy, Default)]
pub struct CommitStats {
    /// Jobs in the batch.
    pub jobs: usize,
    /// Seconds from the first job's begin to the end of the commit.
    pub seconds: f64,
}

impl Writer {
    /// A writer and the task that must be spawned to run it. It ends when every handle is dropped.
    pub(super) fn new(
        pool: SqlitePool,
        key: Option<AuditKey>,
        wal: Wal,
        news: watch::Sender<i64>,
        observe: impl Fn(CommitStats) + Send + 'static,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (jobs, inbox) = mpsc::channel(BATCH_MAX * 16);
        let waiting = Arc::new(AtomicUsize::new(0));
        (Self { jobs, waiting: Arc::clone(&waiting) }, run(pool, key, wal, news, inbox, waiting, observe))
    }

    /// Jobs that wait for a commit.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Runs a job in the next transaction and answers after the commit. The job may run twice, so it must make
    /// its changes from what it owns and from what it reads inside.
    pub(super) async fn write<T, F>(&self, mut job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnMut(&'c mut Tx) -> TxFuture<'c, T> + Send + 'static,
    {
        let slot = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&slot);
        let run: Run = Box::new(move |tx| {
            let running = job(tx);
            let kept = Arc::clone(&kept);
            Box::pin(async move {
                let value = running.await?;
                *kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(value);
                Ok(())
            })
        });
        let (done, answer) = oneshot::channel();
        // Counted only once it is in the queue: a caller that gives up while waiting for a place leaves no count.
        let Ok(place) = self.jobs.reserve().await else { return Err(StoreError::Stopped) };
        self.waiting.fetch_add(1, Ordering::Relaxed);
        place.send(Job { run, done });
        answer.await.unwrap_or(Err(StoreError::Stopped))?;
        let value = slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        value.ok_or(StoreError::Stopped)
    }
}

async fn run(
    pool: SqlitePool,
    key: Option<AuditKey>,
    mut wal: Wal,
    news: watch::Sender<i64>,
    mut inbox: mpsc::Receiver<Job>,
    waiting: Arc<AtomicUsize>,
    observe: impl Fn(CommitStats) + Send,
) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut kept = Kept::default();
    while inbox.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let jobs = batch.len();
        waiting.fetch_sub(jobs, Ordering::Relaxed);
        let begun = std::time::Instant::now();
        match commit(&pool, key.as_ref(), &mut kept, &mut batch).await {
            Ok(newest) => {
                tell(&news, newest);
                batch.drain(..).for_each(|job| answer(job, Ok(())));
            }
            Err(error) if jobs == 1 => {
                if let Some(job) = batch.pop() {
                    answer(job, Err(error));
                }
            }
            Err(StoreError::NotBegun { why, code }) => {
                // None of them ran. Trying each by itself would only make all of them wait for as long again.
                let refusal = || StoreError::NotBegun { why: why.clone(), code };
                batch.drain(..).for_each(|job| answer(job, Err(refusal())));
            }
            Err(error) => {
                tracing::warn!(jobs, error = %chain(&error), "a batch failed; its jobs are run one by one");
                for mut job in batch.drain(..) {
                    let result = commit(&pool, key.as_ref(), &mut kept, std::slice::from_mut(&mut job)).await;
                    answer(job, result.map(|newest| tell(&news, newest)));
                }
            }
        }
        observe(CommitStats { jobs, seconds: begun.elapsed().as_secs_f64() });
        if wal.fold(&pool, inbox.is_empty()).await == Folded::ConnectionClosed {
            // The version that a connection tells is its own.
            kept = Kept::default();
        }
    }
}

/// Says where the audit ends now, to whoever looks. Nobody is waited for.
fn tell(news: &watch::Sender<i64>, newest: Option<i64>) {
    if let Some(newest) = newest {
        news.send_replace(newest);
    }
}

fn answer(job: Job, result: Result<(), StoreError>) {
    // Nobody waits any more when the caller was dropped; what was committed stays committed.
    drop(job.done.send(result));
}

/// What lasts from one batch to the next.
#[derive(Debug, Default)]
struct Kept {
    image: Image,
    /// Changes when another connection has written (<https://www.sqlite.org/pragma.html#pragma_data_version>).
    data_version: i64,
}

/// Runs all jobs in one immediate transaction. Any error ends the transaction; nothing of it stays, nor what was
/// remembered in it. Returns the place of the newest audit row, where one was added.
async fn commit(
    pool: &SqlitePool,
    key: Option<&AuditKey>,
    kept: &mut Kept,
    jobs: &mut [Job],
) -> Result<Option<i64>, StoreError> {
    // Whatever ends before the commit forgets it, a connection that could not be had included: the next may be another.
    let before = std::mem::take(kept);
    let mut inner = pool
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(|source| StoreError::NotBegun { code: primary_code(&source), why: source.to_string() })?;
    let data_version: i64 = sqlx::query_scalar("PRAGMA data_version")
        .fetch_one(&mut *inner)
        .await
        .doing("asking whether anybody else has written")?;
    let image = if data_version == before.data_version { before.image } else { Image::default() };
    let mut tx = Tx { inner, image, waiting: Waiting::default(), audit_head: None, audit_key: key.cloned() };
    if let Err(error) = run_all(&mut tx, jobs).await {
        drop(tx.inner.rollback().await);
        return Err(error);
    }
    // The head is read for an append and for nothing else.
    let newest = tx.audit_head.map(|(seq, _)| seq);
    tx.inner.commit().await.map_err(|source| StoreError::Commit { source })?;
    *kept = Kept { image: tx.image, data_version };
    Ok(newest)
}

async fn run_all(tx: &mut Tx, jobs: &mut [Job]) -> Result<(), StoreError> {
    for job in jobs {
        (job.run)(tx).await?;
        if tx.waiting.is_much() {
            tx.db().await?;
        }
    }
    tx.db().await?;
    if tx.waiting.is_broken() {
        // A job has gone on after an error that was not its own.
        return Err(StoreError::Unwritten);
    }
    #[cfg(debug_assertions)]
    tx.assert_image().await?;
    Ok(())
}
