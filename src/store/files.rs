//! The files of a store as they were left: what is removed, replaced, emptied or written over underneath is seen before
//! the next answer. SQLite keeps its files open and would go on writing into what nobody finds again.
//!
//! Never: heals anything, or compares what SQLite may change by itself.

use std::fs::{Metadata, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::lock::beside;
use crate::files::open_own;

/// How a log of SQLite begins, up to its last byte (<https://www.sqlite.org/fileformat.html#walformat>).
const LOG_BEGINS: [u8; 3] = [0x37, 0x7f, 0x06];

/// The files of one store.
#[derive(Debug, Clone)]
pub(super) struct Files {
    store: Kept,
    log: Kept,
    index: Kept,
}

/// One of them, as it was left.
#[derive(Debug, Clone)]
struct Kept {
    path: PathBuf,
    /// `None`: it has not been seen yet.
    seen: Option<Seen>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    file: (u64, u64),
    bytes: u64,
    written: (i64, i64),
}

impl Seen {
    fn of(meta: &Metadata) -> Self {
        Self { file: (meta.dev(), meta.ino()), bytes: meta.len(), written: (meta.mtime(), meta.mtime_nsec()) }
    }
}

impl Files {
    /// Those of a store that is open.
    pub(super) fn of(store: &Path) -> Result<Self, String> {
        let kept = |path| Kept { path, seen: None };
        let mut files = Self {
            store: kept(store.to_owned()),
            log: kept(beside(store, "-wal")),
            index: kept(beside(store, "-shm")),
        };
        files.leave(true)?;
        Ok(files)
    }

    /// Whether they are still where they were. May be asked at any time, also while something is being written.
    pub(super) fn are_there(&self) -> Result<(), String> {
        let (store, _, _) = (self.store.now()?, self.log.now()?, self.index.now()?);
        if store.bytes == 0 { Err(self.store.fault("was emptied")) } else { Ok(()) }
    }

    /// Before a transaction: nobody has touched them since [`Files::leave`]. Only the writer folds the log into the
    /// store, so between two transactions the store's file does not change.
    pub(super) fn are_as_left(&self) -> Result<(), String> {
        let (store, log, _) = (self.store.now()?, self.log.now()?, self.index.now()?);
        if self.store.seen.is_some_and(|seen| seen.bytes != store.bytes) {
            return Err(self.store.fault("was cut, or written over"));
        }
        if self.store.seen.is_some_and(|seen| seen.written != store.written) {
            return Err(self.store.fault("was written by somebody else"));
        }
        if self.log.seen.is_some_and(|seen| log.bytes < seen.bytes) {
            return Err(self.log.fault("was cut, or written over"));
        }
        Ok(())
    }

    /// After a commit, or when the log may have been folded: they are the same files, and this is how they are left.
    pub(super) fn leave(&mut self, folded: bool) -> Result<(), String> {
        let (store, log, index) = (self.store.now()?, self.log.now()?, self.index.now()?);
        // The file never gets smaller: nothing is ever vacuumed.
        if self.store.seen.is_some_and(|seen| store.bytes < seen.bytes) || store.bytes == 0 {
            return Err(self.store.fault("was cut, or written over"));
        }
        // What is appended to a log that was cut meanwhile leaves a hole where its begin was.
        let cut = if log.bytes == 0 {
            self.log.seen.is_some_and(|seen| seen.bytes > 0)
        } else {
            !self.log.begins_with(LOG_BEGINS)
        };
        if cut && !folded {
            return Err(self.log.fault("was cut, or written over"));
        }
        (self.store.seen, self.log.seen, self.index.seen) = (Some(store), Some(log), Some(index));
        Ok(())
    }
}

impl Kept {
    /// How it is now, if it is still the same file.
    fn now(&self) -> Result<Seen, String> {
        let now = match std::fs::symlink_metadata(&self.path) {
            Ok(meta) => Seen::of(&meta),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(self.fault("is gone")),
            Err(error) => return Err(self.fault(&format!("cannot be looked at: {error}"))),
        };
        if self.seen.is_some_and(|seen| seen.file != now.file) {
            return Err(self.fault("was replaced"));
        }
        Ok(now)
    }

    /// SQLite holds no lock on its log that closing this would drop; see `DataLock`.
    fn begins_with<const N: usize>(&self, bytes: [u8; N]) -> bool {
        let mut found = [0; N];
        let open = open_own(OpenOptions::new().read(true), &self.path);
        open.and_then(|mut file| file.read_exact(&mut found)).is_ok() && found == bytes
    }

    fn fault(&self, what: &str) -> String {
        format!("{} {what}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    type Deed = fn(&Path);

    fn make(folder: &Path) {
        for name in ["a.db", "a.db-wal", "a.db-shm"] {
            std::fs::write(folder.join(name), [&LOG_BEGINS[..], name.as_bytes()].concat()).unwrap();
        }
    }

    #[test]
    fn whatever_becomes_of_a_file_of_the_store_is_seen() {
        let gone: Deed = |path| std::fs::remove_file(path).unwrap();
        let replaced: Deed = |path| {
            let other = path.with_extension("other");
            std::fs::copy(path, &other).unwrap();
            std::fs::rename(other, path).unwrap();
        };
        let emptied: Deed = |path| File::options().write(true).open(path).unwrap().set_len(0).unwrap();
        let touched: Deed = |path| {
            let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(7);
            File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
        };
        for (name, deed, says, at_any_time) in [
            ("a.db", gone, "a.db is gone", true),
            ("a.db", replaced, "a.db was replaced", true),
            ("a.db", emptied, "a.db was cut", true),
            ("a.db", touched, "a.db was written by somebody else", false),
            ("a.db-wal", gone, "a.db-wal is gone", true),
            ("a.db-wal", replaced, "a.db-wal was replaced", true),
            ("a.db-wal", emptied, "a.db-wal was cut", false),
            ("a.db-shm", gone, "a.db-shm is gone", true),
            ("a.db-shm", replaced, "a.db-shm was replaced", true),
        ] {
            let dir = tempfile::tempdir().unwrap();
            make(dir.path());
            let files = Files::of(&dir.path().join("a.db")).unwrap();
            files.are_as_left().unwrap();
            files.are_there().unwrap();
            deed(&dir.path().join(name));
            let said = files.are_as_left().unwrap_err();
            assert!(said.contains(says), "{said}");
            assert_eq!(files.are_there().is_err(), at_any_time, "{says}");
        }
    }

    #[test]
    fn what_the_writer_does_itself_is_no_fault() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        make(dir.path());
        let mut files = Files::of(&path("a.db")).unwrap();
        std::fs::write(path("a.db"), "folded and longer").unwrap();
        std::fs::write(path("a.db-wal"), "").unwrap();
        files.leave(true).unwrap();
        files.are_as_left().unwrap();
        std::fs::write(path("a.db-wal"), [&LOG_BEGINS[..], b"frames"].concat()).unwrap();
        files.leave(false).unwrap();
        std::fs::write(path("a.db"), "cut").unwrap();
        assert!(files.leave(false).unwrap_err().contains("was cut"));
    }

    #[test]
    fn a_log_that_was_cut_while_a_commit_wrote_it_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let mut files = Files::of(&dir.path().join("a.db")).unwrap();
        std::fs::write(dir.path().join("a.db-wal"), [&[0; 3][..], b"longer than it was before"].concat())
            .unwrap();
        assert!(files.leave(false).unwrap_err().contains("a.db-wal was cut"));
        std::fs::write(dir.path().join("a.db-wal"), "").unwrap();
        assert!(files.leave(false).unwrap_err().contains("a.db-wal was cut"));
    }
}
