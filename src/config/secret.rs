//! Secrets from files and the environment.
//!
//! Never: shows a secret, nor a text that may be one because it was written where a path belongs.

use std::io::{ErrorKind, Read as _};
use std::path::{Component, Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::environment::Environment;
use super::section::Section;
use crate::files;

/// Largest secret file.
const FILE_BYTES_MAX: u64 = 4096;
/// Beginning of every credential under `config/example-secrets`.
const EXAMPLE_PREFIX: &str = "example-only";
/// Length below which a secret can be guessed.
const STRONG_BYTES_MIN: usize = 16;

/// Where secrets are looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vault<'a> {
    /// Folder that relative paths start from.
    pub(super) base: &'a Path,
    /// The environment.
    pub(super) env: &'a Environment,
}

impl Vault<'_> {
    /// A cloud key from its file or, without one, from the environment.
    pub(super) fn cloud_key(
        &self,
        section: &mut Section<'_>,
        inline: &'static str,
        file: &'static str,
        variable: &str,
    ) -> Option<SecretString> {
        section.refuse_inline(inline, &format!("{file} or the environment variable {variable}"));
        let from_env = self.env.get(variable);
        if section.has(file) && from_env.is_some() {
            section.warning(file, format!("{variable} is set as well; the file is used"));
        }
        let secret = if section.has(file) {
            self.file(section, file)
        } else {
            // The key counts as known even where it is absent.
            section.take(file);
            if from_env.is_none() {
                let message = format!("missing; expected a path here or the environment variable {variable}");
                section.problem(file, message);
            }
            from_env.and_then(|value| checked(section, file, value.trim_end_matches(['\r', '\n'])))
        }?;
        if !secret.expose_secret().bytes().all(|b| b.is_ascii_graphic()) {
            section.problem(file, "a cloud key is visible ASCII without spaces");
        }
        Some(secret)
    }

    /// The secret of a credential, from `secret_file` or `secret_env`.
    pub(super) fn credential(&self, section: &mut Section<'_>) -> Option<SecretString> {
        for inline in ["secret", "password", "token"] {
            section.refuse_inline(inline, "secret_file or secret_env");
        }
        let key = match (section.has("secret_file"), section.has("secret_env")) {
            (true, true) => {
                section.take("secret_file");
                section.take("secret_env");
                section.problem("secret_env", "secret_file is set as well; keep one");
                return None;
            }
            (false, false) => {
                section.problem("secret_file", "missing; expected a path here or secret_env");
                return None;
            }
            (true, false) => "secret_file",
            (false, true) => "secret_env",
        };
        let secret =
            if key == "secret_file" { self.file(section, key) } else { self.variable(section, key) }?;
        if secret.expose_secret().len() < STRONG_BYTES_MIN {
            section.warning(
                key,
                format!("the secret is shorter than {STRONG_BYTES_MIN} bytes and can be guessed"),
            );
        }
        Some(secret)
    }

    /// A text that is secret, from the file or the environment variable that a key names.
    pub(super) fn text(&self, section: &mut Section<'_>, key: &'static str) -> Option<SecretString> {
        if key.ends_with("_env") { self.variable(section, key) } else { self.file(section, key) }
    }

    fn variable(&self, section: &mut Section<'_>, key: &'static str) -> Option<SecretString> {
        let name = section.text(key)?;
        let Some(value) = self.env.get(&name) else {
            section.problem(key, "the environment variable that is named here is not set or empty");
            return None;
        };
        checked(section, key, value.trim_end_matches(['\r', '\n']))
    }

    /// The key of the audit from `key_file` or `key_env`, with the key it was named by and its file; none where neither
    /// is written.
    pub(super) fn audit_key(
        &self,
        section: &mut Section<'_>,
    ) -> Option<(SecretString, &'static str, Option<PathBuf>)> {
        section.refuse_inline("key", "key_file or key_env");
        if section.has("key_file") && section.has("key_env") {
            section.take("key_file");
            section.take("key_env");
            section.problem("key_env", "key_file is set as well; keep one");
            return None;
        }
        if section.has("key_env") {
            return self.variable(section, "key_env").map(|secret| (secret, "key_env", None));
        }
        // Known even where it is absent.
        section.take("key_env");
        let written = PathBuf::from(section.text("key_file")?);
        let path = self.base.join(&written);
        self.read(section, "key_file", &written).map(|secret| (secret, "key_file", Some(path)))
    }

    /// The secrets of a list of files, each with its key.
    pub(super) fn files(&self, section: &mut Section<'_>, key: &'static str) -> Vec<(String, SecretString)> {
        let written = section.texts(key).unwrap_or_default();
        let read = written.iter().enumerate().filter_map(|(index, written)| {
            let entry = format!("{key}[{index}]");
            self.read(section, &entry, Path::new(written)).map(|secret| (entry, secret))
        });
        read.collect()
    }

    fn file(&self, section: &mut Section<'_>, key: &'static str) -> Option<SecretString> {
        let written = PathBuf::from(section.text(key)?);
        self.read(section, key, &written)
    }

    fn read(&self, section: &Section<'_>, key: &str, written: &Path) -> Option<SecretString> {
        let path = self.base.join(written);
        let text = match read_file(&path) {
            Ok(text) => text,
            Err(why) => {
                section.problem(key, format!("{}: {why}", showable(written, &path)));
                return None;
            }
        };
        let text = text.trim_end_matches(['\r', '\n']);
        let secret = checked(section, key, text)?;
        if !text.starts_with(EXAMPLE_PREFIX) && open_to_others(&path) {
            section.warning(
                key,
                format!("{} can be read by other users; chmod 600 it", showable(written, &path)),
            );
        }
        Some(secret)
    }
}

/// A secret of one line from a file that a person named.
pub fn read_key_file(path: &Path) -> Result<SecretString, String> {
    let text = read_file(path)?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err("the secret must be one line without control characters".to_owned());
    }
    Ok(SecretString::from(text))
}

fn checked(section: &Section<'_>, key: &str, text: &str) -> Option<SecretString> {
    if text.trim().is_empty() {
        section.problem(key, "the secret is empty");
        return None;
    }
    if text.chars().any(char::is_control) {
        section.problem(key, "the secret must be one line without control characters");
        return None;
    }
    if text.starts_with(EXAMPLE_PREFIX) {
        section.findings().example_at(section.key(key));
    }
    Some(SecretString::from(text))
}

fn read_file(path: &Path) -> Result<String, String> {
    let mut bytes = regular_file(path, FILE_BYTES_MAX, |kind| {
        if kind == ErrorKind::NotFound {
            "no such file".to_owned()
        } else {
            format!("cannot be read: {kind}")
        }
    })?;
    String::from_utf8(std::mem::take(&mut *bytes)).map_err(|_bytes_are_secret| "not UTF-8 text".to_owned())
}

/// The bytes of a regular file of at most `max` bytes; `why` says what an error of the system means here.
pub(super) fn regular_file(
    path: &Path,
    max: u64,
    why: impl Fn(ErrorKind) -> String,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut bytes = Zeroizing::new(Vec::new());
    files::open(path)
        .and_then(|file| file.take(max.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(|error| if files::is_irregular(&error) { error.to_string() } else { why(error.kind()) })?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > max) {
        return Err(format!("larger than {max} bytes"));
    }
    Ok(bytes)
}

/// The path, unless it may be the secret itself: neither the file nor a named folder of it exists.
pub(super) fn showable(written: &Path, path: &Path) -> String {
    let named_folder = written
        .parent()
        .is_some_and(|folder| folder.components().any(|part| matches!(part, Component::Normal(_))));
    if path.exists() || (named_folder && path.parent().is_some_and(Path::is_dir)) {
        path.display().to_string().escape_debug().to_string()
    } else {
        "the path is not shown, because neither it nor its folder exists and it may be the secret itself"
            .to_owned()
    }
}

#[cfg(unix)]
pub(super) fn open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
pub(super) fn open_to_others(_path: &Path) -> bool {
    false
}
