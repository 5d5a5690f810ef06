//! Heads: the end of the audit, signed, appended to a file that belongs where the store is not.
//!
//! Never: fails the service, or begins a file anew without a word. A head that cannot be written is told in the log and
//! shows as an old figure.

pub mod watch;

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use crate::domain::audit::{Actor, AuditEvent};
use crate::domain::audit_head::{Head, no_head};
use crate::domain::audit_key::AuditKey;
use crate::files;
use crate::service::Service;
use crate::store::{Store, StoreError};
use crate::telemetry::chain;

/// Longest that a slow disk is waited for.
const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// Enough for the last lines of a file.
const TAIL_BYTES: u64 = 16 * 1024;

/// A file of heads was begun.
const BEGUN: &str = "audit_heads_begun";
/// A start found heads in their file.
const FOUND: &str = "audit_heads_found";
/// A file that held heads is gone or empty.
const MISSING: &str = "audit_heads_missing";

/// Why a head could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// The file.
    #[error("the heads file {path} cannot be used: {source}")]
    File {
        /// Its path.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The disk is too slow.
    #[error("the heads file {path} did not answer in {} s", WRITE_WITHIN.as_secs())]
    Slow {
        /// Its path.
        path: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Appends a head at once, then on schedule, until the service stops. The last one is [`record`]ed by whoever stops it.
pub async fn run(service: Arc<Service>) {
    let every = Duration::try_from(service.config().audit.heads_every).unwrap_or(Duration::from_hours(1));
    // Said at each start: the rows that told of their begin may have been pruned.
    if let Ok(Some(head)) = newest(&service.config().audit.heads_file).await
        && let Err(error) = tell(&service, FOUND, Some(head.seq)).await
    {
        tracing::error!(error = %chain(&error), "it could not be noted that there are heads");
    }
    loop {
        record(&service).await;
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = service.stopping.cancelled() => return,
        }
    }
}

/// Appends a head; a failure is told in the log.
pub async fn record(service: &Service) {
    match checked(service).await {
        Ok(head) => {
            // Seconds since 1970 are far below the 2^53 up to which a float is exact.
            let seconds = head.at.as_duration().as_secs_f64();
            service.metrics.audit_head.set(seconds);
            tracing::debug!(seq = head.seq, hash = head.hash, "a head of the audit was written");
        }
        Err(error) => tracing::error!(error = %chain(&error), "a head of the audit could not be written"),
    }
}

/// Appends a head. A file without heads is one that nobody has begun, or one that vanished: the audit knows which.
async fn checked(service: &Service) -> Result<Head, HeadError> {
    let config = service.config();
    let (path, key) = (&config.audit.heads_file, config.audit.key.as_ref());
    let begins = newest(path).await?.is_none();
    if begins {
        let before = service.store.newest_told_of(&[BEGUN, FOUND, MISSING], &shown(service)).await?;
        if let Some(before) = before {
            tracing::error!(
                path = %path.display(),
                "the heads of the audit are gone: the file is missing or empty, and a new one is begun; find out who took it"
            );
            if before != MISSING {
                tell(service, MISSING, None).await?;
            }
        }
    }
    let head = append(&service.store, path, key, service.clock.now()).await?;
    if begins {
        tell(service, BEGUN, Some(head.seq)).await?;
    }
    Ok(head)
}

/// Writes an event about the heads file. `seq` is the row that its newest head knows.
async fn tell(service: &Service, kind: &'static str, seq: Option<i64>) -> Result<(), StoreError> {
    let detail = json!({ "file": shown(service), "seq": seq });
    let event = AuditEvent::new(service.clock.now(), kind, Actor::service("heads")).with_detail(&detail);
    service
        .store
        .write(move |tx| {
            let event = event.clone();
            Box::pin(async move { tx.append(&event).await.map(|_| ()) })
        })
        .await
}

/// What the audit calls the heads file. Each replica has one of its own, of the same name.
fn shown(service: &Service) -> String {
    let config = service.config();
    let path = config.audit.heads_file.to_string_lossy().into_owned();
    if config.store.place.is_shared() { format!("{}:{path}", config.store.replica) } else { path }
}

/// Takes a head of the store and appends it to the file, durably.
pub async fn append(
    store: &Store,
    path: &Path,
    key: Option<&AuditKey>,
    at: Timestamp,
) -> Result<Head, HeadError> {
    let file = on_disk(path, open_locked).await?;
    // Read under the lock: heads stand in the order of what they know.
    let (seq, hash, rows) = store.audit_head().await?;
    let key = key.cloned();
    on_disk(path, move |_| {
        let mut file = file;
        let (before, whole) = last_head(&mut file)?;
        if let Some(before) = before.as_ref().filter(|before| before.seq > seq) {
            tracing::error!(
                known = before.seq,
                found = seq,
                "the audit is shorter than its newest head knows: the store was cut, or restored from an older copy"
            );
        }
        let prev_head = before.map_or_else(no_head, |head| head.mac);
        let head = Head::sealed(key.as_ref(), at, (seq, hash), rows, prev_head);
        let mut line = if whole { String::new() } else { "\n".to_owned() };
        line.push_str(&serde_json::to_string(&head)?);
        line.push('\n');
        file.write_all(line.as_bytes())?;
        file.sync_all()?;
        Ok(head)
    })
    .await
}

/// The newest head of a file; `None` where there is no file or no head in it. For whoever sends heads elsewhere.
pub async fn newest(path: &Path) -> Result<Option<Head>, HeadError> {
    on_disk(path, |path| match files::open_own(OpenOptions::new().read(true), path) {
        Ok(mut file) => last_head(&mut file).map(|(head, _)| head),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    })
    .await
}

/// Does something with the file where it holds nobody up, and not for ever.
async fn on_disk<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> std::io::Result<T> + Send + 'static,
) -> Result<T, HeadError> {
    let owned: PathBuf = path.to_owned();
    let shown = || path.display().to_string();
    let done = tokio::task::spawn_blocking(move || work(&owned));
    match tokio::time::timeout(WRITE_WITHIN, done).await {
        Ok(Ok(done)) => done.map_err(|source| HeadError::File { path: shown(), source }),
        Ok(Err(ended)) => Err(HeadError::File { path: shown(), source: std::io::Error::other(ended) }),
        Err(_elapsed) => Err(HeadError::Slow { path: shown() }),
    }
}

/// Opens the file to append, for us alone until it is closed: a command may write a head beside the service.
fn open_locked(path: &Path) -> std::io::Result<File> {
    let is_new = !path.exists();
    let file = files::open_own(OpenOptions::new().read(true).append(true).create(true), path)?;
    file.lock()?;
    if is_new {
        files::sync_folder(path)?;
    }
    Ok(file)
}

/// The last line that is a head, and whether the file ends with a whole line.
fn last_head(file: &mut File) -> std::io::Result<(Option<Head>, bool)> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let head = tail.split(|byte| *byte == b'\n').rev().find_map(|line| serde_json::from_slice(line).ok());
    Ok((head, tail.last().is_none_or(|byte| *byte == b'\n')))
}
