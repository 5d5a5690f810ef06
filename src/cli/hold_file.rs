//! The hold file: a stop that works when neither the service nor the store does.
//!
//! Never: says that it is set or gone before the disk knows.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::failure::Failure;
use crate::files::{self, sync_folder};

/// Most bytes shown of its content.
const SHOWN_BYTES_MAX: u64 = 4096;

/// What became of setting it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Set {
    /// It is there now.
    New,
    /// It is there now and holds, but what it should say could not be written: the disk is full.
    Wordless(String),
    /// It was there already and was left as it was.
    Already,
}

/// Who sets it, why and when.
#[derive(Debug)]
pub(super) struct Words<'a> {
    pub(super) author: &'a str,
    pub(super) reason: &'a str,
    pub(super) at: Timestamp,
}

/// Makes the file. Its presence is what holds; the words are for people.
pub(super) fn set(path: &Path, words: &Words<'_>) -> Result<Set, Failure> {
    let trouble = |error: std::io::Error| {
        Failure::unreachable(format!("cannot write the hold file {}: {error}", path.display()))
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(trouble)?;
    }
    let one_line = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let text = format!(
        "author = {}\nreason = {}\nat = \"{}\"\n",
        one_line(words.author),
        one_line(words.reason),
        words.at
    );
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => {
            let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
            // Even an empty file holds, so its name is made durable whatever became of the words.
            sync_folder(path).map_err(trouble)?;
            Ok(written.map_or_else(|error| Set::Wordless(error.to_string()), |()| Set::New))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Set::Already),
        Err(error) => Err(trouble(error)),
    }
}

/// Removes the file. False when there is none.
pub(super) fn clear(path: &Path) -> Result<bool, Failure> {
    let trouble = |error: std::io::Error| {
        Failure::unreachable(format!("cannot remove the hold file {}: {error}", path.display()))
    };
    match std::fs::remove_file(path) {
        Ok(()) => sync_folder(path).map(|()| true).map_err(trouble),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(trouble(error)),
    }
}

/// What the file says; `None` when there is none.
pub(super) fn read(path: &Path) -> Option<String> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => Some(format!("cannot be read ({error}), which holds as well")),
        Ok(_) => {
            let mut text = String::new();
            let read =
                files::open(path).and_then(|file| file.take(SHOWN_BYTES_MAX).read_to_string(&mut text));
            match read {
                Ok(_) => Some(text.lines().collect::<Vec<_>>().join(", ")),
                Err(error) => Some(format!("cannot be read ({error}), which holds as well")),
            }
        }
    }
}

/// Where the file of a store lies unless the configuration says otherwise.
pub(super) fn beside(store: &Path) -> PathBuf {
    store.parent().unwrap_or(Path::new("")).join("HOLD")
}
