//! The attempt journal: a small file outside the store, synced before each request and after each answer. It unmasks a
//! store that was restored from an older copy, and settles what a crash left open.
//!
//! Never: healed silently. A line that is not whole is only cut where it is the last; a file that was moved away is not
//! made anew.

mod lines;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

pub use lines::{
    AnswerLine, Counts, Entry, Head, Identity, IntentLine, Known, KnownIntent, Opened, Reconciled, Stamp,
};

use crate::domain::limits::earlier;
use crate::durable::{self, Half};
use crate::files::{self, sync_folder};
use crate::telemetry::chain;

/// How long intents and answers are kept.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 32);
/// More than the system's own files hold that are read here.
const PROC_BYTES_MAX: u64 = 4096;
/// A file longer than this is written anew without what is old.
const BYTES_AIM: u64 = 1 << 20;

/// Why a line could not be written, or the file not be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system refused.
    #[error("the attempt journal {path} failed while {doing}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not what it was, or not ours.
    #[error("the attempt journal {path} {why}")]
    Unfit {
        /// The file.
        path: String,
        /// What is wrong and what to do.
        why: &'static str,
    },
}

/// The journal of one running service.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    inner: Mutex<Inner>,
    // Apart from the file, whose lock is held while the disk is waited for.
    told: Mutex<Told>,
}

/// What can be asked without waiting for the disk.
#[derive(Debug, Default)]
struct Told {
    trouble: Option<String>,
    busy_since: Option<Instant>,
    stamp: Option<Stamp>,
}

/// A disk that takes longer to take a line is not waited for: nothing is sent meanwhile.
const BUSY_MAX: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Inner {
    // None: it could not be opened; only a restart looks again.
    file: Option<File>,
    /// Bytes of whole lines.
    len: u64,
    /// Something may lie behind the whole lines.
    dirty: bool,
    known: Known,
}

impl Journal {
    /// Opens the journal, making it where there is none, and cuts off a torn last line. One that cannot be opened says
    /// so in [`Journal::trouble`]; nothing can be written to it.
    pub fn open(path: &Path) -> Self {
        let mut told = Told::default();
        let inner = open(path).unwrap_or_else(|error| {
            told.trouble = Some(chain(&error));
            Inner { file: None, len: 0, dirty: false, known: Known::default() }
        });
        told.stamp.clone_from(&inner.known.stamp);
        Self { path: path.to_owned(), inner: Mutex::new(inner), told: Mutex::new(told) }
    }

    /// Reads a journal that another process may be writing; `None` where there is no file.
    pub fn read(path: &Path) -> Result<Option<Known>, JournalError> {
        match files::read(path, u64::MAX) {
            Ok(bytes) => Ok(Some(parse(&bytes).0)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(io(path, "reading it")(source)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What its lines say.
    pub fn known(&self) -> Known {
        self.lock().known.clone()
    }

    /// Why nothing can be written to it; `None` when the last line could be. Waits for no disk.
    pub fn trouble(&self) -> Option<String> {
        let told = self.told();
        let busy = told.busy_since.map(|since| since.elapsed()).filter(|busy| *busy > BUSY_MAX);
        let slow = busy
            .map(|busy| format!("a line of the attempt journal has been under way for {} s", busy.as_secs()));
        told.trouble.clone().or(slow)
    }

    /// How long ago the newest time stamp was written, by the wall clock or, within one boot, by the machine's, sleep
    /// included; `None` before the first.
    pub fn away(&self, wall: Timestamp) -> Option<SignedDuration> {
        let stamp = self.told().stamp.clone()?;
        Some(away_since(&stamp, wall))
    }

    /// What became of the file underneath; `None` while it is as it was left. Waits for no disk: a line that is being
    /// written finds out by itself.
    pub fn taken_away(&self) -> Option<String> {
        let inner = self.inner.try_lock().ok()?;
        inner.file.as_ref()?;
        let bytes = match inner
            .ours(&self.path)
            .and_then(|file| file.metadata().map_err(io(&self.path, "looking at it")))
        {
            Ok(meta) => meta.len(),
            Err(error) => return Some(chain(&error)),
        };
        let as_left = if inner.dirty { bytes >= inner.len } else { bytes == inner.len };
        (!as_left).then(|| chain(&unfit(&self.path, "was cut, or written by somebody else")))
    }

    /// Writes a line and waits until the disk has it.
    pub fn append(&self, entry: Entry) -> Result<(), JournalError> {
        self.change(|inner, path| inner.write(path, &entry).map(|()| inner.known.take(entry)))
    }

    /// Changes the file, and tells how that went.
    fn change(
        &self,
        change: impl FnOnce(&mut Inner, &Path) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let mut inner = self.lock();
        self.told().busy_since = Some(Instant::now());
        let written = change(&mut inner, &self.path);
        let mut told = self.told();
        told.busy_since = None;
        told.stamp.clone_from(&inner.known.stamp);
        told.note(&self.path, written)
    }

    /// As [`Journal::append`], for callers that must not block.
    pub async fn write(self: &Arc<Self>, entry: Entry) -> Result<(), JournalError> {
        let journal = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || journal.append(entry)).await;
        done.unwrap_or_else(|_ended| Err(unfit(&self.path, "could not be written: the task of it ended")))
    }

    /// Notes that the journal agrees with this store, and writes the file anew without what is old. Numbers up to
    /// `high_water` are taken.
    pub fn begin(&self, identity: Identity, high_water: i64, now: Timestamp) -> Result<(), JournalError> {
        if !self.lock().known.faults.is_empty() {
            return Err(unfit(&self.path, "is damaged; a person must reconcile it first"));
        }
        self.change(|inner, path| {
            inner.known.identity = Some(identity);
            inner.known.high_water = inner.known.high_water.max(high_water);
            inner.rewrite(path, now)
        })
    }

    /// Notes what a person accepted. A damaged file is kept under another name, and what could be read of it goes on.
    pub fn reconcile(&self, reconciled: Reconciled) -> Result<(), JournalError> {
        let now = reconciled.at;
        let entry = Entry::Reconciled(reconciled);
        self.change(|inner, path| {
            let damaged = !inner.known.faults.is_empty();
            inner.write(path, &entry)?;
            inner.known.take(entry);
            if !damaged {
                return Ok(());
            }
            keep_damaged(path, now)?;
            let faults = std::mem::take(&mut inner.known.faults);
            let rewritten = inner.rewrite(path, now);
            if rewritten.is_err() {
                inner.known.faults = faults;
            }
            rewritten
        })
    }

    /// Leaves out what is old once the file has grown. A damaged file stays as it is.
    pub fn shorten(&self, now: Timestamp) -> Result<(), JournalError> {
        {
            let inner = self.lock();
            if inner.len <= BYTES_AIM || !inner.known.faults.is_empty() {
                return Ok(());
            }
        }
        self.change(|inner, path| inner.rewrite(path, now))
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long ago a stamp was written: by the wall clock or, within one boot, by the machine's, whichever says more.
pub fn away_since(stamp: &Stamp, wall: Timestamp) -> SignedDuration {
    since_boot(stamp).unwrap_or(SignedDuration::ZERO).max(wall.duration_since(stamp.at))
}

/// How long ago a stamp was written by the machine's own count, sleep included; `None` in another boot.
pub fn since_boot(stamp: &Stamp) -> Option<SignedDuration> {
    let (boot_id, boot_seconds) = boot();
    if stamp.boot_id.is_none() || stamp.boot_id != boot_id {
        return None;
    }
    let seconds = boot_seconds?.checked_sub(stamp.boot_seconds?)?;
    i64::try_from(seconds).ok().map(SignedDuration::from_secs)
}

/// Which boot this is, and seconds since it, sleep included.
pub fn boot() -> (Option<String>, Option<u64>) {
    let id = files::text(Path::new("/proc/sys/kernel/random/boot_id"), PROC_BYTES_MAX).ok();
    let uptime = files::text(Path::new("/proc/uptime"), PROC_BYTES_MAX).ok();
    let seconds = uptime.and_then(|text| text.split('.').next()?.trim().parse().ok());
    (id.map(|id| id.trim().to_owned()), seconds)
}

impl Told {
    /// Remembers whether writing works, and says when that changes.
    fn note(&mut self, path: &Path, written: Result<(), JournalError>) -> Result<(), JournalError> {
        match &written {
            Err(error) => {
                if self.trouble.is_none() {
                    tracing::error!(error = %chain(error), "nothing is sent until the attempt journal can be written");
                }
                self.trouble = Some(chain(error));
            }
            Ok(()) if self.trouble.take().is_some() => {
                tracing::warn!(path = %path.display(), "the attempt journal can be written again");
            }
            Ok(()) => {}
        }
        written
    }
}

impl Inner {
    fn write(&mut self, path: &Path, entry: &Entry) -> Result<(), JournalError> {
        let text = lines::text_of(entry).ok_or_else(|| unfit(path, "cannot hold this line"))?;
        let file = self.ours(path)?;
        if self.dirty {
            file.set_len(self.len).map_err(io(path, "cutting off half a line"))?;
        }
        self.dirty = true;
        let file = self.ours(path)?;
        file.write_all_at(text.as_bytes(), self.len).map_err(io(path, "writing a line"))?;
        file.sync_data().map_err(io(path, "syncing a line"))?;
        self.len += length(text.as_bytes());
        self.dirty = false;
        Ok(())
    }

    /// The open file, if it is still the one under its name: a line in a file that was moved away is found by nobody.
    fn ours(&self, path: &Path) -> Result<&File, JournalError> {
        let Some(file) = &self.file else {
            return Err(unfit(path, "could not be opened; put it right, then restart"));
        };
        let own = file.metadata().map_err(io(path, "looking at it"))?;
        let there = std::fs::symlink_metadata(path).map_err(io(path, "looking whether it is still there"))?;
        if (own.dev(), own.ino()) != (there.dev(), there.ino()) {
            return Err(unfit(path, "was replaced while the service ran; put the old one back, or restart"));
        }
        Ok(file)
    }

    /// Writes a new file beside the old one, and puts it in its place once the disk has it.
    fn rewrite(&mut self, path: &Path, now: Timestamp) -> Result<(), JournalError> {
        self.ours(path)?;
        let mut text = String::new();
        for entry in self.known.lines(earlier(now, KEPT), now) {
            text.push_str(&lines::text_of(&entry).ok_or_else(|| unfit(path, "cannot hold this line"))?);
        }
        let mut half = Half::of(path).map_err(io(path, "making it anew"))?;
        half.file().write_all(text.as_bytes()).map_err(io(path, "writing it anew"))?;
        lock(half.file(), path)?;
        let file = half.replace().map_err(io(path, "putting it in place"))?;
        (self.file, self.len, self.dirty) = (Some(file), length(text.as_bytes()), false);
        let (known, _) = parse(text.as_bytes());
        self.known = known;
        Ok(())
    }
}

fn open(path: &Path) -> Result<Inner, JournalError> {
    let folder = folder_of(path);
    std::fs::create_dir_all(folder).map_err(io(path, "making its folder"))?;
    let there = std::fs::symlink_metadata(path);
    if there.as_ref().is_ok_and(std::fs::Metadata::is_symlink) {
        return Err(unfit(path, "is a symbolic link; set store.journal to the file itself"));
    }
    let is_new = there.is_err();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = files::open_own(&mut options, path).map_err(|error| match error {
        error if files::is_irregular(&error) => {
            unfit(path, "is no regular file; set store.journal to another path")
        }
        error => io(path, "opening it")(error),
    })?;
    lock(&file, path)?;
    durable::sweep(path).map_err(io(path, "removing what was left half-written"))?;
    if is_new {
        file.sync_all().map_err(io(path, "syncing it"))?;
        sync_folder(path).map_err(io(path, "syncing its folder"))?;
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(io(path, "reading it"))?;
    let (known, whole) = parse(&bytes);
    if !bytes.is_empty() && !known.has_lines() && !bytes.starts_with(lines::BEGIN) {
        return Err(unfit(path, "is some other file; set store.journal to a path of its own"));
    }
    if whole < length(&bytes) {
        tracing::warn!(path = %path.display(), "the last line of the attempt journal is torn and is cut off");
        file.set_len(whole).map_err(io(path, "cutting off half a line"))?;
        file.sync_data().map_err(io(path, "syncing it"))?;
    }
    Ok(Inner { file: Some(file), len: whole, dirty: false, known })
}

/// What whole lines say, and how many bytes they take. Only what has no end of line is torn: it was never synced, so
/// nothing rests on it. Any other line that cannot be read is a fault.
fn parse(bytes: &[u8]) -> (Known, u64) {
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let mut known = Known::default();
    let text = bytes.get(..whole).unwrap_or_default();
    for (place, line) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
        match lines::read(line.strip_suffix(b"\n").unwrap_or(line)) {
            Ok(entry) => known.take(entry),
            Err(why) => known.faults.push(format!("line {}: {why}", place + 1)),
        }
    }
    (known, u64::try_from(whole).unwrap_or(u64::MAX))
}

fn keep_damaged(path: &Path, now: Timestamp) -> Result<(), JournalError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".damaged-{}", now.as_millisecond()));
    let trouble = || io(path, "keeping the damaged one");
    let mut half = Half::of(Path::new(&name)).map_err(trouble())?;
    let mut damaged = files::open_own(OpenOptions::new().read(true), path).map_err(trouble())?;
    std::io::copy(&mut damaged, half.file()).map_err(trouble())?;
    half.create().map(drop).map_err(trouble())
}

fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            Err(unfit(path, "belongs to another running service; give each store a store.journal of its own"))
        }
        Err(TryLockError::Error(source)) => Err(io(path, "locking it")(source)),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn io(path: &Path, doing: &'static str) -> impl FnOnce(std::io::Error) -> JournalError {
    let path = path.display().to_string();
    move |source| JournalError::Io { path, doing, source }
}

fn unfit(path: &Path, why: &'static str) -> JournalError {
    JournalError::Unfit { path: path.display().to_string(), why }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
