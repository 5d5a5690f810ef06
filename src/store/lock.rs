//! The lock on the data folder and on the store's file: one process at a time owns the store, by whatever name it
//! reaches it.
//!
//! Never: breaks a lock. The kernel lets go of it when its owner dies, however it dies.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::config::Place;
use crate::files;

/// Files that SQLite keeps beside the store. Its log holds what is not in the file yet.
pub(super) const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Why the folder or the store could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else owns it.
    #[error("the data folder is in use by another unhang process ({owner}); {path} is locked")]
    Taken {
        /// The lock file.
        path: String,
        /// What the owner wrote into it.
        owner: String,
    },
    /// It is not, or not only, where its name says.
    #[error("{path} cannot be used as it lies: it {why}")]
    Unfit {
        /// The file.
        path: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// The lock file cannot be made or locked.
    #[error("cannot lock the data folder with {path}: {source}")]
    Io {
        /// The lock file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// A held lock; dropping it lets go.
///
/// SQLite locks the same file with `fcntl`, and the system drops *all* such locks of a process when *any* descriptor of
/// the file is closed. This lock is another kind (`flock`), which does not meet them; but its descriptor must be closed
/// after SQLite's, so this is dropped after the store.
#[derive(Debug)]
pub struct DataLock {
    _folder: File,
    store: Option<(PathBuf, File)>,
}

impl DataLock {
    /// The lock file that belongs to a store.
    pub fn path_for(store: &Path) -> PathBuf {
        beside(store, ".lock")
    }

    /// Takes the lock of a place that is a file. Writers of a server take turns, so that it needs none.
    pub fn of(place: &Place) -> Result<Option<Self>, LockError> {
        place.file().map(Self::take).transpose()
    }

    /// Takes the lock of a folder whose store is on a server, or says who has it.
    pub fn take_folder(store: &Path) -> Result<Self, LockError> {
        Ok(Self { _folder: lock_folder(store)?, store: None })
    }

    /// Takes the lock of the folder and of the store's file, which is made where there is none, or says who has it.
    pub fn take(store: &Path) -> Result<Self, LockError> {
        let folder = lock_folder(store)?;
        let file = lock_store(store)?;
        Ok(Self { _folder: folder, store: file.map(|file| (store.to_owned(), file)) })
    }

    /// Whether the file that is locked is still the one under its name: what was opened since is then that one.
    pub fn still_there(&self) -> Result<(), LockError> {
        let Some((path, file)) = &self.store else { return Ok(()) };
        let io = |source| LockError::Io { path: path.display().to_string(), source };
        let (own, there) = (file.metadata().map_err(io)?, std::fs::symlink_metadata(path).map_err(io)?);
        if same_file(&own, &there) {
            return Ok(());
        }
        Err(unfit(path, "was replaced while it was being opened; start again"))
    }
}

/// Whether both are one file.
pub(super) fn same_file(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// The name of a file that lies beside the store and is called after it.
pub(super) fn beside(store: &Path, end: &str) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn lock_folder(store: &Path) -> Result<File, LockError> {
    let path = DataLock::path_for(store);
    let shown = path.display().to_string();
    let io = |source| LockError::Io { path: shown.clone(), source };
    refuse_names(&path)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = files::open_own(&mut options, &path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let _unreadable_is_fine = file.read_to_string(&mut owner);
            let owner = if owner.trim().is_empty() { "unknown".to_owned() } else { owner.trim().to_owned() };
            return Err(LockError::Taken { path: shown, owner });
        }
        Err(TryLockError::Error(source)) => return Err(LockError::Io { path: shown, source }),
    }
    file.set_len(0).map_err(io)?;
    file.rewind().map_err(io)?;
    writeln!(file, "process {}", std::process::id()).map_err(io)?;
    Ok(file)
}

/// `None` for what can never be a store; opening it says why.
fn lock_store(store: &Path) -> Result<Option<File>, LockError> {
    if std::fs::symlink_metadata(store).is_ok_and(|meta| meta.is_dir()) {
        return Ok(None);
    }
    for path in BESIDE.map(|end| beside(store, end)).iter().map(PathBuf::as_path).chain([store]) {
        refuse_names(path)?;
    }
    let io = |source: io::Error| LockError::Io { path: store.display().to_string(), source };
    // Only to read: one that may not be written is told of by whoever opens it.
    let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(store, flags, Mode::RUSR | Mode::WUSR).map_err(|error| io(error.into()))?;
    let file = File::from(file);
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let owner = "it has the file under another name".to_owned();
            return Err(LockError::Taken { path: store.display().to_string(), owner });
        }
        Err(TryLockError::Error(source)) => return Err(io(source)),
    }
    // Asked again of the file that is locked now.
    refuse_links(store, &file.metadata().map_err(io)?)?;
    if is_mounted(&file) {
        return Err(unfit(
            store,
            "is mounted by itself, so that its log would lie in another folder; mount its folder",
        ));
    }
    Ok(Some(file))
}

/// Refuses a name that leads elsewhere or is no file. One that is not there is fine.
fn refuse_names(path: &Path) -> Result<(), LockError> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => {
            Err(unfit(path, "is a symbolic link; name the file itself, or link its folder"))
        }
        // Who has a file open decides who owns it, and that is asked first where it is the store.
        Ok(meta) if meta.is_file() => Ok(()),
        Ok(_) => Err(unfit(path, "is no file")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(source) => Err(LockError::Io { path: path.display().to_string(), source }),
    }
}

/// A file of several names has a log beside one of them only.
fn refuse_links(path: &Path, meta: &Metadata) -> Result<(), LockError> {
    match meta.nlink() {
        1 => Ok(()),
        0 => Err(unfit(path, "was removed while it was being opened; start again")),
        links => Err(unfit(
            path,
            &format!("has {links} links, and only one of its names has its log beside it; remove the others"),
        )),
    }
}

/// Whether something was mounted on its very name; false where the system does not say.
#[cfg(target_os = "linux")]
fn is_mounted(file: &File) -> bool {
    use rustix::fs::{AtFlags, StatxAttributes, StatxFlags, statx};
    let seen = statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS);
    seen.is_ok_and(|seen| seen.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(not(target_os = "linux"))]
fn is_mounted(_file: &File) -> bool {
    false
}

fn unfit(path: &Path, why: &str) -> LockError {
    LockError::Unfit { path: path.display().to_string(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_owner_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("a.db");
        let held = DataLock::take(&store).unwrap();
        let error = DataLock::take(&store).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(held);
        DataLock::take(&store).unwrap();
    }

    #[test]
    fn a_file_has_one_owner_whatever_it_is_called() {
        let dir = tempfile::tempdir().unwrap();
        let (store, other) = (dir.path().join("a.db"), dir.path().join("b.db"));
        let held = DataLock::take(&store).unwrap();
        std::fs::hard_link(&store, &other).unwrap();
        let error = DataLock::take(&other).unwrap_err().to_string();
        assert!(error.contains("in use by another unhang process") && error.contains("b.db"), "{error}");
        drop(held);
        for name in [&store, &other] {
            let error = DataLock::take(name).unwrap_err().to_string();
            assert!(error.contains("has 2 links"), "{error}");
        }
        std::fs::remove_file(&store).unwrap();
        DataLock::take(&other).unwrap();
    }

    #[test]
    fn a_file_that_was_replaced_while_it_was_opened_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("a.db");
        let held = DataLock::take(&store).unwrap();
        held.still_there().unwrap();
        std::fs::write(dir.path().join("other"), "").unwrap();
        std::fs::rename(dir.path().join("other"), &store).unwrap();
        assert!(held.still_there().unwrap_err().to_string().contains("replaced"));
    }
}
