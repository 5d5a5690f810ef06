//! Room on the disk of the store: how much there is, and a file that can be given up for more.
//!
//! Never: takes "cannot tell" for "enough", or makes the ballast where it would eat into the watermark.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Written at a time where the file system cannot allocate by itself.
const CHUNK_BYTES: usize = 1 << 20;

/// Bytes that this process may still write to the file system that holds `path`.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let stat = rustix::fs::statvfs(folder.unwrap_or(Path::new(".")))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// A file beside the store that is removed when an outcome finds no room.
#[derive(Debug, Clone)]
pub struct Ballast {
    path: PathBuf,
    bytes: u64,
    watermark_bytes: u64,
}

impl Ballast {
    /// The ballast of a store: `bytes` large (0: none), made only where `watermark_bytes` stay free beside it.
    pub fn new(store: &Path, bytes: u64, watermark_bytes: u64) -> Self {
        let mut path = store.as_os_str().to_owned();
        path.push(".ballast");
        Self { path: PathBuf::from(path), bytes, watermark_bytes }
    }

    /// Whether it is there, in full.
    fn is_there(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|meta| meta.len() == self.bytes)
    }

    /// Makes it where it is missing and there is room. True when it was made.
    pub fn keep(&self) -> io::Result<bool> {
        if self.bytes == 0 {
            self.give_up()?;
            return Ok(false);
        }
        if self.is_there() {
            return Ok(false);
        }
        // One of another size, or a half of one, counts as room.
        self.give_up()?;
        if free_bytes(&self.path)? < self.watermark_bytes.saturating_add(self.bytes) {
            return Ok(false);
        }
        let mut file = OpenOptions::new().write(true).create_new(true).open(&self.path)?;
        let filled = fill(&mut file, self.bytes).and_then(|()| file.sync_all());
        if filled.is_err() {
            self.give_up()?;
        }
        filled.map(|()| true)
    }

    /// Removes it. True when there was one.
    pub fn give_up(&self) -> io::Result<bool> {
        match std::fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn fill(file: &mut File, bytes: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if rustix::fs::fallocate(&*file, rustix::fs::FallocateFlags::empty(), 0, bytes).is_ok() {
        return Ok(());
    }
    let zeros = vec![0; CHUNK_BYTES];
    let mut left = bytes;
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        file.write_all(zeros.get(..now).unwrap_or(&zeros))?;
        left -= u64::try_from(now).unwrap_or(left);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ballast_takes_real_room_and_gives_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("a.db");
        let ballast = Ballast::new(&store, 3 << 20, 1 << 20);
        assert!(ballast.keep().unwrap());
        assert!(!ballast.keep().unwrap(), "it is there");
        let meta = std::fs::metadata(dir.path().join("a.db.ballast")).unwrap();
        assert_eq!(meta.len(), 3 << 20);
        #[cfg(unix)]
        assert!(std::os::unix::fs::MetadataExt::blocks(&meta) * 512 >= 3 << 20, "no hole");
        assert!(ballast.give_up().unwrap());
        assert!(!ballast.give_up().unwrap());

        let too_large = Ballast::new(&store, 1 << 20, u64::MAX - (2 << 20));
        assert!(!too_large.keep().unwrap(), "it would eat into the watermark");
        let other_size = Ballast::new(&store, 1 << 20, 0);
        assert!(ballast.keep().unwrap() && other_size.keep().unwrap());
        assert!(!Ballast::new(&store, 0, 0).keep().unwrap());
        assert!(!dir.path().join("a.db.ballast").exists(), "switched off, it is gone");
    }

    #[test]
    fn room_that_cannot_be_asked_for_is_an_error() {
        assert!(free_bytes(Path::new("/proc/no/such/folder/a.db")).is_err());
        assert!(free_bytes(&std::env::temp_dir().join("a.db")).unwrap() > 0);
    }
}
