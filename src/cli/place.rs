//! Where things are: the configuration file and the store.
//!
//! Never: prints a value of the configuration; only keys and what is wrong with them.

use std::path::{Path, PathBuf};

use clap::Args;

use super::failure::Failure;
use super::out::Out;
use crate::clock::Clock;
use crate::config::Place;
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
    /// The store, as a path, `sqlite://PATH` or `postgres://…`; else `store.url` of the configuration
    #[arg(long, value_name = "PATH|URL", value_parser = store_place)]
    store: Option<Place>,
    #[command(flatten)]
    config: ConfigArgs,
}

impl StoreArgs {
    /// Where the store is.
    pub(super) fn place(&self) -> Result<Place, Failure> {
        match &self.store {
            Some(place) => Ok(place.clone()),
            None => match self.config.load_or_tell() {
                Ok(loaded) => Ok(loaded.config.store.place),
                Err(failure) => {
                    Err(Failure::usage(format!("{}; or name the store with --store", failure.text())))
                }
            },
        }
    }

    /// The attempt journal: as the configuration says, or beside the store that was named.
    pub(super) fn journal(&self) -> Result<PathBuf, Failure> {
        match self.store.as_ref().and_then(Place::file) {
            Some(path) => Ok(path.parent().unwrap_or(Path::new("")).join("JOURNAL")),
            None => Ok(self.config.load_or_tell()?.config.store.journal),
        }
    }

    /// The configuration, where there is one. With a store named by itself it need not be there, nor be sound unless it
    /// was named as well.
    pub(super) fn config_if_any(&self) -> Result<Option<Config>, Failure> {
        if self.store.is_none() {
            return self.config.load_or_tell().map(|loaded| Some(loaded.config));
        }
        self.config_if_named()
    }

    /// The configuration, where one is named or lies where it is looked for. Only one that was named must be sound.
    pub(super) fn config_if_named(&self) -> Result<Option<Config>, Failure> {
        if self.config.config.is_some() {
            return self.config.load_or_tell().map(|loaded| Some(loaded.config));
        }
        Ok(self.config.load().ok().map(|loaded| loaded.config))
    }

    /// The configuration, which must be there, and the store to read; a running service is not disturbed.
    pub(super) async fn with_config(&self) -> Result<(Config, Store), Failure> {
        let config = self.config.load_or_tell()?.config;
        let place = self.store.as_ref().unwrap_or(&config.store.place);
        let store = Store::open_read_only_at(place).await?;
        Ok((config, store))
    }

    /// Opens it to read; a running service is not disturbed.
    pub(super) async fn open_read_only(&self) -> Result<Store, Failure> {
        Ok(Store::open_read_only_at(&self.place()?).await?)
    }
}

/// A place; a text without `://` is the path of a file.
pub(super) fn store_place(text: &str) -> Result<Place, String> {
    let url = if text.contains("://") { text.to_owned() } else { format!("sqlite://{text}") };
    Place::parse(&url)
        .ok_or_else(|| "expected a path, sqlite://PATH or postgres://USER@HOST/DATABASE".to_owned())
}
