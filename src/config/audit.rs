//! `[audit]`: the key of the chain and where its heads go.
//!
//! Never: lets a key lie beside what it protects without saying so.

use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use secrecy::SecretString;

use super::secret::{Vault, read_key_file};
use super::section::Section;
use super::{AuditConfig, StoreConfig};
use crate::domain::audit_key::{AuditKey, KEY_BYTES_MIN};

/// `[audit]`
pub(super) fn audit(mut section: Section<'_>, vault: Vault<'_>, store: &StoreConfig) -> AuditConfig {
    let beside_store = |path: &Path| folder_of(path).starts_with(folder_of(&store.path));
    if !section.has("key_file") && !section.has("key_env") {
        let message = "no key is configured: whoever can write the store can rewrite the audit so that it verifies; \
                       name a file of at least 32 random bytes as text, on another disk";
        section.warning("key_file", message);
    }
    let mut key = None;
    if let Some((secret, from, path)) = vault.audit_key(&mut section) {
        key = long_enough(&section, from, secret);
        if path.is_some_and(|path| beside_store(&path)) {
            section.warning(from, "lies in the store's folder; who can write the store could read the key");
        }
    }
    let old_keys = vault.files(&mut section, "old_key_files");
    let old_keys = old_keys.into_iter().filter_map(|(entry, secret)| long_enough(&section, &entry, secret));
    let old_keys = old_keys.collect();
    let heads_file = section.text("heads_file").map(PathBuf::from);
    if heads_file.as_deref().is_some_and(beside_store) {
        section.warning("heads_file", "lies in the store's folder; keep heads on another disk or host");
    }
    let heads_named = heads_file.is_some();
    let heads_file = heads_file.unwrap_or_else(|| heads_beside(&store.path));
    if heads_file == store.path || heads_file == store.hold_file {
        section.problem("heads_file", "must be neither the store nor the hold file");
    }
    let config = AuditConfig {
        key,
        old_keys,
        heads_file,
        heads_named,
        heads_every: section.duration(
            "heads_every",
            SignedDuration::from_hours(1),
            SignedDuration::from_secs(1)..=SignedDuration::from_hours(24),
        ),
    };
    section.finish();
    config
}

fn long_enough(section: &Section<'_>, key: &str, secret: SecretString) -> Option<AuditKey> {
    let read = AuditKey::new(secret);
    if read.is_none() {
        section.problem(key, format!("the key must have at least {KEY_BYTES_MIN} bytes of text"));
    }
    read
}

/// The heads file where none is named: the store's name with `.heads`.
fn heads_beside(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".heads");
    PathBuf::from(name)
}

/// The folder of a file as the system knows it, or as it is written where that does not exist yet.
fn folder_of(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    folder.canonicalize().or_else(|_| std::path::absolute(folder)).unwrap_or_else(|_| folder.to_owned())
}

/// Reads a key of the audit from a file that a person named.
pub fn audit_key_from(path: &Path) -> Result<AuditKey, String> {
    let secret = read_key_file(path)?;
    AuditKey::new(secret).ok_or_else(|| format!("the key must have at least {KEY_BYTES_MIN} bytes of text"))
}
