//! Files that are whole or not there: written beside their name, synced, and only then given it.
//!
//! Never: follows a symbolic link, or lets what a killed process left behind stand in the way of the next.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::files::sync_folder;

/// Ends the names of files that are not whole.
const HALF: &str = ".half";

/// A file that is being written; dropping it removes it.
#[derive(Debug)]
pub struct Half {
    file: NamedTempFile,
    to: PathBuf,
}

impl Half {
    /// Begins one, under a name of its own and for its owner only, in the folder where it will lie.
    pub fn of(to: &Path) -> io::Result<Self> {
        let file = tempfile::Builder::new().prefix(&prefix(to)).suffix(HALF).tempfile_in(folder_of(to))?;
        Ok(Self { file, to: to.to_owned() })
    }

    /// To write into.
    pub fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// Where it lies until it is whole.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Gives it its name, which nobody may have; durable when this returns.
    pub fn create(self) -> io::Result<File> {
        self.file.as_file().sync_all()?;
        let file = self.file.persist_noclobber(&self.to)?;
        sync_folder(&self.to)?;
        Ok(file)
    }

    /// Gives it its name, in the place of whoever had it; durable when this returns.
    pub fn replace(self) -> io::Result<File> {
        self.file.as_file().sync_all()?;
        let (file, half) = self.file.keep().map_err(|kept| kept.error)?;
        // What cannot be renamed lies there until it is swept.
        std::fs::rename(half, &self.to)?;
        sync_folder(&self.to)?;
        Ok(file)
    }
}

/// Removes what a process that was killed left half-written. For a file that only one process writes.
pub fn sweep(to: &Path) -> io::Result<()> {
    let prefix = prefix(to);
    for entry in std::fs::read_dir(folder_of(to))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&prefix) && name.ends_with(HALF) && entry.file_type()?.is_file() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn prefix(to: &Path) -> String {
    let name = to.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format!(".{name}.")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_whole_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("copy");
        let mut half = Half::of(&to).unwrap();
        half.file().write_all(b"half").unwrap();
        assert!(!to.exists());
        drop(half);
        assert_eq!(names(dir.path()), Vec::<String>::new());

        let mut half = Half::of(&to).unwrap();
        half.file().write_all(b"whole").unwrap();
        half.create().unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), b"whole");
        assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Half::of(&to).unwrap().create().is_err(), "nobody's file is taken away");
        Half::of(&to).unwrap().replace().unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), b"");
        assert_eq!(names(dir.path()), ["copy"]);
    }

    #[test]
    fn what_was_left_half_written_is_swept_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".copy.abc.half", ".other.abc.half", "copy.half"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        sweep(&dir.path().join("copy")).unwrap();
        assert_eq!(names(dir.path()), [".other.abc.half", "copy.half"]);
    }

    #[test]
    fn no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        std::fs::write(&target, "theirs").unwrap();
        symlink(&target, &link).unwrap();
        assert!(Half::of(&link).unwrap().create().is_err());
        Half::of(&link).unwrap().replace().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"theirs");
        assert!(!std::fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
