//! Files that people name or others can replace: opened without waiting, and regular ones only.
//!
//! Never: waits for the other end of a pipe, or reads from a device.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read as _, Result};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// What is there is a pipe, a device, a folder.
#[derive(Debug, thiserror::Error)]
#[error("not a regular file")]
struct Irregular;

/// Whether a file was refused because it is none.
pub fn is_irregular(error: &Error) -> bool {
    matches!(error.get_ref(), Some(inner) if inner.is::<Irregular>())
}

/// Opens a file to read.
pub fn open(path: &Path) -> Result<File> {
    open_with(OpenOptions::new().read(true), path)
}

/// Opens a file in another way.
pub fn open_with(options: &mut OpenOptions, path: &Path) -> Result<File> {
    opened(options, OFlags::empty(), path)
}

/// Opens a file of the service's own: its name leads nowhere else, and one that is made is for its owner only.
pub fn open_own(options: &mut OpenOptions, path: &Path) -> Result<File> {
    opened(options.mode(0o600), OFlags::NOFOLLOW, path)
}

fn opened(options: &mut OpenOptions, more: OFlags, path: &Path) -> Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | more;
    let flags = i32::try_from(flags.bits()).map_err(Error::other)?;
    let file = options.custom_flags(flags).open(path)?;
    // Asked of what was opened: under the name there may be something else by now.
    if file.metadata()?.is_file() { Ok(file) } else { Err(Error::new(ErrorKind::InvalidInput, Irregular)) }
}

/// The bytes of a file of at most so many.
pub fn read(path: &Path, max: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > max) {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("larger than {max} bytes")));
    }
    Ok(bytes)
}

/// The text of a file of at most so many bytes.
pub fn text(path: &Path, max: u64) -> Result<String> {
    String::from_utf8(read(path, max)?)
        .map_err(|_bytes_may_be_secret| Error::new(ErrorKind::InvalidData, "not UTF-8 text"))
}

/// Makes the names in the folder of a file durable.
pub fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        for path in [pipe.as_path(), &link, dir.path(), Path::new("/dev/zero"), Path::new("/dev/null")] {
            let error = open(path).unwrap_err();
            assert!(is_irregular(&error) && error.to_string() == "not a regular file", "{path:?}: {error}");
        }
        // Who wants to write would wait for a reader.
        assert!(open_with(OpenOptions::new().append(true).create(true), &pipe).is_err());
        assert!(is_irregular(&open_with(OpenOptions::new().read(true).append(true), &pipe).unwrap_err()));
        assert!(!is_irregular(&open(&dir.path().join("none")).unwrap_err()));
    }

    #[test]
    fn a_file_of_ones_own_is_never_reached_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(open_own(OpenOptions::new().append(true).create(true), &link).is_err());
        assert!(!target.exists());
        drop(open_own(OpenOptions::new().append(true).create(true), &target).unwrap());
        assert!(open_own(OpenOptions::new().read(true), &link).is_err());
        open_own(OpenOptions::new().read(true), &target).unwrap();
    }

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "1234").unwrap();
        assert_eq!(text(&path, 4).unwrap(), "1234");
        assert_eq!(read(&path, 3).unwrap_err().kind(), ErrorKind::FileTooLarge);
        std::fs::write(&path, [0xff]).unwrap();
        assert_eq!(text(&path, 4).unwrap_err().to_string(), "not UTF-8 text");
    }
}
