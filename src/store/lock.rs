//! The lock on the data folder: one process at a time owns the store.
//!
//! Never: breaks a lock. The kernel lets go of it when its owner dies, however it dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::config::Place;
use crate::files;

/// Why the folder could not be locked.
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
    /// The lock file cannot be made or locked.
    #[error("cannot lock the data folder with {path}: {source}")]
    Io {
        /// The lock file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

impl DataLock {
    /// The lock file that belongs to a store.
    pub fn path_for(store: &Path) -> PathBuf {
        let mut name = store.as_os_str().to_owned();
        name.push(".lock");
        PathBuf::from(name)
    }

    /// Takes the lock of a place that is a file. Writers of a server take turns, so that it needs none.
    pub fn of(place: &Place) -> Result<Option<Self>, LockError> {
        place.file().map(Self::take).transpose()
    }

    /// Takes the lock or says who has it.
    pub fn take(store: &Path) -> Result<Self, LockError> {
        let path = Self::path_for(store);
        let shown = path.display().to_string();
        let io = |source| LockError::Io { path: shown.clone(), source };
        let mut file =
            files::open_with(OpenOptions::new().read(true).write(true).create(true).truncate(false), &path)
                .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _unreadable_is_fine = file.read_to_string(&mut owner);
                let owner =
                    if owner.trim().is_empty() { "unknown".to_owned() } else { owner.trim().to_owned() };
                return Err(LockError::Taken { path: shown, owner });
            }
            Err(TryLockError::Error(source)) => return Err(LockError::Io { path: shown, source }),
        }
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        writeln!(file, "process {}", std::process::id()).map_err(io)?;
        Ok(Self { _file: file })
    }
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
}
