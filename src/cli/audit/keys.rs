//! Which keys and which heads a command of the audit goes by.
//!
//! Never: compares a store with the heads of another one.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::failure::Failure;
use crate::cli::place::StoreArgs;
use crate::config::{Config, audit_key_from};
use crate::domain::audit_key::{AuditKey, KeyRing};

/// Names keys of the audit.
#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    /// File with the key of the audit; else `audit.key_file` of the configuration
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// File with a key of older rows; may be repeated
    #[arg(long, value_name = "FILE")]
    old_key_file: Vec<PathBuf>,
}

/// What the audit of one store goes by.
pub(super) struct Keys {
    /// Key that new rows and heads get.
    pub(super) key: Option<AuditKey>,
    /// All keys.
    pub(super) ring: KeyRing,
    /// Its heads file, where the configuration is of this store.
    pub(super) heads: Option<PathBuf>,
    /// The configuration names that file.
    pub(super) heads_named: bool,
}

impl KeyArgs {
    /// Reads them, with what the configuration says.
    pub(super) fn place(&self, store: &StoreArgs) -> Result<Keys, Failure> {
        let configured = store.config_if_any()?;
        let is_own = |config: &Config| {
            store.place().is_ok_and(|own| match (own.file(), config.store.place.file()) {
                (Some(own), Some(configured)) => same_file(own, configured),
                _ => own == config.store.place,
            })
        };
        let heads = configured.as_ref().filter(|config| is_own(config));
        let heads_named = heads.is_some_and(|config| config.audit.heads_named);
        let heads = heads.map(|config| config.audit.heads_file.clone());
        let audit = configured.map(|config| config.audit);
        let read = |path: &PathBuf| {
            audit_key_from(path)
                .map_err(|why| Failure::usage(format!("cannot use the key {}: {why}", path.display())))
        };
        let named = self.key_file.as_ref().map(read).transpose()?;
        let key = named.or_else(|| audit.as_ref().and_then(|audit| audit.key.clone()));
        let mut old = self.old_key_file.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        old.extend(audit.iter().flat_map(|audit| audit.old_keys.iter().chain(&audit.key)).cloned());
        Ok(Keys { ring: KeyRing::new(key.clone(), old), key, heads, heads_named })
    }
}

fn same_file(left: &Path, right: &Path) -> bool {
    left == right
        || left.canonicalize().is_ok_and(|left| right.canonicalize().is_ok_and(|right| left == right))
}
