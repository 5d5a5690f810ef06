//! The one writer: waiting jobs share one immediate transaction and one fsync.
//!
//! Never: answers before the commit, or leaves one job's failure to another. A batch that fails is run again
//! job by job.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::{mpsc, oneshot, watch};

use super::StoreError;
use super::db::{Connection, Pool};
use super::deliveries::BodyKey;
use super::files::Files;
use super::image::{Image, Part};
use super::turn::{self, Turn};
use super::waiting::Waiting;
use super::wal::{Folded, Wal};
use crate::domain::audit_key::AuditKey;
use crate::telemetry::chain;

/// Most jobs that share one transaction.
const BATCH_MAX: usize = 256;
/// Most of them on a server, where each statement is a way there and back, and others wait for the turn.
const BATCH_MAX_ON_A_SERVER: usize = 64;
/// Longest wait for all that a server answers to one batch; each of its statements may take 30 s.
const ANSWER_MAX: std::time::Duration = std::time::Duration::from_secs(45);

/// What a job returns while it writes.
pub type TxFuture<'c, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'c>>;

/// One open write transaction.
#[derive(Debug)]
pub struct Tx {
    inner: Connection,
    /// What need not be read again.
    pub(super) image: Image,
    /// What is written together.
    pub(super) waiting: Waiting,
    /// Last place and hash of the audit chain, read once per transaction.
    pub(super) audit_head: Option<(i64, String)>,
    /// What the audit is hashed with.
    pub(super) audit_key: Option<AuditKey>,
    /// Our number as the owner, where it was given in this transaction.
    pub(super) own_epoch: Option<i64>,
    /// Bodies that no delivery had, as far as this transaction knows.
    pub(super) first_of_body: BTreeSet<BodyKey>,
}

impl Tx {
    /// The connection, for what changes no [`Part`]. Everything that was written before is in it.
    pub(super) async fn db(&mut self) -> Result<&mut Connection, StoreError> {
        self.waiting.write(&mut self.inner).await?;
        Ok(&mut self.inner)
    }

    /// The connection, to change what the image remembers a part of.
    pub(super) async fn changing(&mut self, part: Part<'_>) -> Result<&mut Connection, StoreError> {
        self.image.forget(part);
        self.db().await
    }

    /// The connection without the rows that wait: for tables in which none does, and for questions that were put to
    /// those rows before.
    pub(super) fn behind_the_waiting(&mut self) -> &mut Connection {
        &mut self.inner
    }
}

type Run = Box<dyn for<'c> FnMut(&'c mut Tx) -> TxFuture<'c, ()> + Send>;

/// What is told of a job before it runs.
#[derive(Debug, Default)]
pub(super) struct Announced {
    /// It moves a whole store.
    pub(super) takes_long: bool,
    /// It will ask whether this body came before.
    pub(super) body: Option<BodyKey>,
}

struct Job {
    run: Run,
    announced: Announced,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// Handle to the writer task.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    waiting: Arc<AtomicUsize>,
    told: Arc<Told>,
}

/// Says what is wrong with a file that must be as it was left.
type Witness = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// What the writer is told from outside, and tells.
#[derive(Default)]
struct Told {
    /// Asked after each commit, before the answers.
    witness: OnceLock<Witness>,
    /// Why the writer has ended, where the store is in doubt.
    doubt: OnceLock<String>,
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Told").field("doubt", &self.doubt).finish_non_exhaustive()
    }
}

/// What a writer writes to.
pub(super) struct Target {
    pub(super) pool: Pool,
    pub(super) key: Option<AuditKey>,
    /// The log and the files, where they are ours.
    pub(super) file: Option<(Wal, Files)>,
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
        target: Target,
        news: watch::Sender<i64>,
        observe: impl Fn(CommitStats) + Send + 'static,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (jobs, inbox) = mpsc::channel(BATCH_MAX * 16);
        let writer = Self { jobs, waiting: Arc::default(), told: Arc::default() };
        let (waiting, told) = (Arc::clone(&writer.waiting), Arc::clone(&writer.told));
        (writer, run(target, news, inbox, waiting, told, observe))
    }

    /// Something else must be as it was left before anybody is answered.
    pub(super) fn also_watch(&self, witness: Witness) {
        // One journal in a process: the first stays.
        drop(self.told.witness.set(witness));
    }

    /// What that finds now.
    pub(super) fn witness(&self) -> Option<String> {
        self.told.witness.get().and_then(|ask| ask())
    }

    /// Why it has ended, where the store is in doubt.
    pub(super) fn doubt(&self) -> Option<String> {
        self.told.doubt.get().cloned()
    }

    /// Jobs that wait for a commit.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Runs a job in the next transaction and answers after the commit. The job may run twice, so it must make
    /// its changes from what it owns and from what it reads inside.
    pub(super) async fn write<T, F>(&self, mut job: F, announced: Announced) -> Result<T, StoreError>
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
        place.send(Job { run, announced, done });
        answer.await.unwrap_or(Err(StoreError::Stopped))?;
        let value = slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        value.ok_or(StoreError::Stopped)
    }

    /// Whether the writer has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.jobs.is_closed()
    }
}

async fn run(
    target: Target,
    news: watch::Sender<i64>,
    mut inbox: mpsc::Receiver<Job>,
    waiting: Arc<AtomicUsize>,
    told: Arc<Told>,
    observe: impl Fn(CommitStats) + Send,
) {
    let Target { pool, key, file } = target;
    let (mut wal, files) = file.unzip();
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut kept = Kept { image: Image::default(), turn: Turn::default(), files, told };
    let most = match pool {
        Pool::Sqlite(_) => BATCH_MAX,
        Pool::Postgres(_) => BATCH_MAX_ON_A_SERVER,
    };
    while inbox.recv_many(&mut batch, most).await > 0 {
        let jobs = batch.len();
        waiting.fetch_sub(jobs, Ordering::Relaxed);
        let begun = std::time::Instant::now();
        let doubt = match in_time(&pool, key.as_ref(), &mut kept, &mut batch).await {
            Ok(newest) => {
                tell(&news, newest);
                batch.drain(..).for_each(|job| answer(job, Ok(())));
                None
            }
            Err(error) if jobs == 1 => refuse(&mut batch, error),
            Err(error) if error.is_for_all() => refuse(&mut batch, error),
            Err(error) => {
                tracing::warn!(jobs, error = %chain(&error), "a batch failed; its jobs are run one by one");
                one_by_one(&pool, key.as_ref(), &mut kept, &mut batch, &news).await
            }
        };
        observe(CommitStats { jobs, seconds: begun.elapsed().as_secs_f64() });
        if let Some(error) = doubt {
            // Nobody knows what the store holds now. Whoever starts next reads it anew.
            let why = chain(&error);
            tracing::error!(error = why, "the writer ends: the store is in doubt");
            drop(kept.told.doubt.set(why));
            return;
        }
        if let (Some(wal), Pool::Sqlite(pool)) = (&mut wal, &pool) {
            match wal.fold(pool, inbox.is_empty()).await {
                Folded::Nothing => {}
                Folded::ConnectionKept => kept.leave_files(),
                Folded::ConnectionClosed => {
                    // The version that a connection tells is its own.
                    kept.image = Image::default();
                    kept.turn = kept.turn.ended_badly();
                    kept.leave_files();
                }
            }
        }
    }
}

/// Runs each job of a batch by itself. What concerns one of them like all is not tried again for the others.
async fn one_by_one(
    pool: &Pool,
    key: Option<&AuditKey>,
    kept: &mut Kept,
    batch: &mut Vec<Job>,
    news: &watch::Sender<i64>,
) -> Option<StoreError> {
    while let Some(job) = batch.first_mut() {
        match in_time(pool, key, kept, std::slice::from_mut(job)).await {
            Ok(newest) => {
                tell(news, newest);
                answer(batch.remove(0), Ok(()));
            }
            Err(error) if error.is_for_all() => return refuse(batch, error),
            Err(error) => answer(batch.remove(0), Err(error)),
        }
    }
    None
}

/// Answers all jobs with an error. Returns it where nobody knows any more what the store holds.
fn refuse(batch: &mut Vec<Job>, error: StoreError) -> Option<StoreError> {
    for job in batch.drain(1..) {
        answer(job, Err(error.for_another()));
    }
    let doubt = error.is_doubt().then(|| error.for_another());
    if let Some(job) = batch.pop() {
        answer(job, Err(error));
    }
    doubt
}

/// Says where the audit ends now, to whoever looks. Nobody is waited for.
pub(super) fn tell(news: &watch::Sender<i64>, newest: Option<i64>) {
    let Some(newest) = newest else { return };
    news.send_if_modified(|known| {
        let is_new = newest > *known;
        *known = newest.max(*known);
        is_new
    });
}

fn answer(job: Job, result: Result<(), StoreError>) {
    // Nobody waits any more when the caller was dropped; what was committed stays committed.
    drop(job.done.send(result));
}

/// As [`commit`]. A server that does not answer at all, as behind a network that was cut, is not waited for without end.
async fn in_time(
    pool: &Pool,
    key: Option<&AuditKey>,
    kept: &mut Kept,
    jobs: &mut [Job],
) -> Result<Option<i64>, StoreError> {
    let went_back = |why| StoreError::WentBack { why };
    if let Some(files) = &kept.files {
        files.are_as_left().map_err(went_back)?;
    }
    let done = match pool {
        Pool::Sqlite(_) => commit(pool, key, kept, jobs).await,
        Pool::Postgres(_) if jobs.iter().any(|job| job.announced.takes_long) => {
            commit(pool, key, kept, jobs).await
        }
        Pool::Postgres(_) => match tokio::time::timeout(ANSWER_MAX, commit(pool, key, kept, jobs)).await {
            Ok(done) => done,
            Err(_elapsed) => Err(StoreError::InDoubt { source: sqlx::Error::PoolTimedOut }),
        },
    };
    let left = kept.files.as_mut().map_or(Ok(()), |files| files.leave(false));
    let newest = done?;
    // What was committed into a file that nobody finds again is not promised to anybody.
    left.map_err(went_back)?;
    match kept.told.witness.get().and_then(|ask| ask()) {
        None => Ok(newest),
        Some(why) => Err(went_back(why)),
    }
}

/// What lasts from one batch to the next.
#[derive(Debug)]
struct Kept {
    image: Image,
    turn: Turn,
    files: Option<Files>,
    told: Arc<Told>,
}

impl Kept {
    /// A fault is found again before the next transaction.
    fn leave_files(&mut self) {
        if let Some(files) = &mut self.files {
            drop(files.leave(true));
        }
    }
}

/// Runs all jobs in one transaction, while nobody else writes. Any error ends the transaction; nothing of it stays, nor
/// what was remembered in it. Returns the place of the newest audit row, where one was added.
async fn commit(
    pool: &Pool,
    key: Option<&AuditKey>,
    kept: &mut Kept,
    jobs: &mut [Job],
) -> Result<Option<i64>, StoreError> {
    // Whatever ends before the commit forgets the image, a connection that could not be had included: the next may be
    // another.
    let image = std::mem::take(&mut kept.image);
    let before = kept.turn.clone();
    kept.turn = before.ended_badly();
    let (inner, turn) = turn::take(pool, &before).await?;
    let image = if turn.follows(&before) { image } else { Image::default() };
    let mut tx = Tx {
        inner,
        image,
        waiting: Waiting::default(),
        audit_head: None,
        audit_key: key.cloned(),
        own_epoch: None,
        first_of_body: BTreeSet::new(),
    };
    if let Err(error) = run_all(&mut tx, jobs).await {
        drop(tx.inner.rollback().await);
        return Err(error);
    }
    // The head is read for an append and for nothing else.
    let newest = tx.audit_head.as_ref().map(|(seq, _)| *seq);
    turn::end(tx.inner, newest).await?;
    (kept.image, kept.turn) = (tx.image, turn.with(tx.audit_head, tx.own_epoch));
    Ok(newest)
}

async fn run_all(tx: &mut Tx, jobs: &mut [Job]) -> Result<(), StoreError> {
    let bodies: Vec<&BodyKey> = jobs.iter().filter_map(|job| job.announced.body.as_ref()).collect();
    tx.look_for_bodies(&bodies).await?;
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
