//! Where things are: the configuration file and the store.
//!
//! Never: prints a value of the configuration; only keys and what is wrong with them.

use std::path::{Path, PathBuf};

use clap::Args;

use super::failure::Failure;
use super::out::Out;
use crate::clock::Clock;
use crate::config::{Config, Environment, Loaded, Problem, check_report, load};
use crate::store::Store;

/// Files that are looked for where none is named.
const USUAL: [&str; 2] = ["unhang.toml", "/etc/unhang/unhang.toml"];

/// The key that names our certificate.
pub(super) const CERTIFICATE: &str = "server.tls.certificate_file";

/// Names the configuration.
#[derive(Debug, Clone, Args)]
pub(super) struct ConfigArgs {
    /// Configuration file; else ./unhang.toml, then /etc/unhang/unhang.toml, then UNHANG__… variables alone
    #[arg(long, env = "UNHANG_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    /// The file to read; none where there is none.
    pub(super) fn path(&self) -> Option<PathBuf> {
        self.config.clone().or_else(|| USUAL.iter().map(PathBuf::from).find(|path| path.exists()))
    }

    /// Reads and checks it.
    pub(super) fn load(&self) -> Result<Loaded, Vec<Problem>> {
        let mut loaded = load(self.path().as_deref(), &Environment::of_process())?;
        let now = Clock::default().wall();
        if let Some(tls) = &loaded.config.server.tls {
            // One that has expired keeps nobody from starting: what was begun is proven, and renewed files are read.
            let told = tls.validity.fault(now).or_else(|| tls.validity.warning(now));
            loaded.warnings.extend(told.map(|message| Problem { key: CERTIFICATE.to_owned(), message }));
        }
        Ok(loaded)
    }

    /// Reads it; every problem goes to standard error.
    pub(super) fn load_or_tell(&self) -> Result<Loaded, Failure> {
        let outcome = self.load();
        match outcome {
            Ok(loaded) => Ok(loaded),
            Err(problems) => {
                let count = problems.len();
                let report = check_report(&Err(problems));
                Out::stderr().bytes(report.as_bytes())?;
                Err(Failure::usage(self.refusal(count)))
            }
        }
    }

    /// What is said after the list of problems.
    pub(super) fn refusal(&self, count: usize) -> String {
        let problems = if count == 1 { "1 problem".to_owned() } else { format!("{count} problems") };
        match self.path() {
            Some(path) => format!("{}: {problems}", path.display()),
            None => format!(
                "no configuration file: looked for {}; name one with --config. The environment alone has {problems}",
                USUAL.join(" and ")
            ),
        }
    }
}

/// Names the store, by itself or through the configuration.
#[derive(Debug, Clone, Args)]
pub(super) struct StoreArgs {
    /// The store, as a path or as `sqlite://PATH`; else `store.url` of the configuration
    #[arg(long, value_name = "PATH|URL", value_parser = store_path)]
    store: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

impl StoreArgs {
    /// The store's file.
    pub(super) fn path(&self) -> Result<PathBuf, Failure> {
        match &self.store {
            Some(path) => Ok(path.clone()),
            None => match self.config.load_or_tell() {
                Ok(loaded) => Ok(loaded.config.store.path),
                Err(failure) => {
                    Err(Failure::usage(format!("{}; or name the store with --store", failure.text())))
                }
            },
        }
    }

    /// The attempt journal: as the configuration says, or beside the store that was named.
    pub(super) fn journal(&self) -> Result<PathBuf, Failure> {
        match &self.store {
            Some(path) => Ok(path.parent().unwrap_or(Path::new("")).join("JOURNAL")),
            None => Ok(self.config.load_or_tell()?.config.store.journal),
        }
    }

    /// The configuration, where there is one. With a store named by itself it need not be there, nor be sound unless it
    /// was named as well.
    pub(super) fn config_if_any(&self) -> Result<Option<Config>, Failure> {
        if self.store.is_none() || self.config.config.is_some() {
            return self.config.load_or_tell().map(|loaded| Some(loaded.config));
        }
        Ok(self.config.load().ok().map(|loaded| loaded.config))
    }

    /// The configuration, which must be there, and the store to read; a running service is not disturbed.
    pub(super) async fn with_config(&self) -> Result<(Config, Store), Failure> {
        let config = self.config.load_or_tell()?.config;
        let path = self.store.as_ref().unwrap_or(&config.store.path);
        let store = Store::open_read_only(path).await?;
        Ok((config, store))
    }

    /// Opens it to read; a running service is not disturbed.
    pub(super) async fn open_read_only(&self) -> Result<Store, Failure> {
        Ok(Store::open_read_only(&self.path()?).await?)
    }
}

fn store_path(text: &str) -> Result<PathBuf, String> {
    let path = match text.split_once("://") {
        None => text,
        Some(("sqlite", path)) => path,
        Some((_, _)) => return Err("expected a path or sqlite://PATH".to_owned()),
    };
    if path.is_empty() || path.ends_with('/') {
        return Err("expected the path of a file".to_owned());
    }
    Ok(Path::new(path).to_owned())
}
