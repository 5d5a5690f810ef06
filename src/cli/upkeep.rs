//! Upkeep: `check-config`, `backup`.
//!
//! Never: overwrites a file, calls the cloud, or touches a store that a running service owns but to read it.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::failure::Failure;
use super::out::{Format, Out};
use super::place::{CERTIFICATE, ConfigArgs, StoreArgs};
use super::store::walk;
use crate::clock::Clock;
use crate::config::{Config, Problem, check_report};
use crate::durable::Half;
use crate::ncloud::{InterruptClient, Reader};
use crate::store::Store;
use crate::telemetry::chain;

/// Check the configuration: every problem at once, each with its key
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang check-config --config unhang.toml
  unhang check-config --config unhang.toml --output json

Exit codes: 0 it may be used (warnings are told), 2 it may not. Nothing is started or called.")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// How the report is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// Prints the report.
pub(super) fn check_config(args: &CheckArgs, out: &mut Out) -> Result<(), Failure> {
    let outcome = args.config.load().and_then(|loaded| {
        let faults = [certificate_is_good(&loaded.config), build_clients(&loaded.config)];
        let problems: Vec<Problem> = faults.into_iter().filter_map(Result::err).collect();
        if problems.is_empty() { Ok(loaded) } else { Err(problems) }
    });
    match args.output {
        Format::Text => out.bytes(check_report(&outcome).as_bytes())?,
        Format::Json => {
            let list = |problems: &[Problem]| -> Vec<_> {
                problems.iter().map(|p| json!({ "key": p.key, "message": p.message })).collect()
            };
            out.json(&match &outcome {
                Ok(loaded) => json!({
                    "ok": true, "problems": [], "warnings": list(&loaded.warnings), "configHash": loaded.config.hash,
                }),
                Err(problems) => json!({ "ok": false, "problems": list(problems), "warnings": [] }),
            })?;
        }
    }
    match outcome {
        Ok(loaded) => {
            if args.output == Format::Text {
                out.line(summary(&loaded.config, loaded.warnings.len()))?;
            }
            Ok(())
        }
        Err(problems) => Err(Failure::usage(args.config.refusal(problems.len()))),
    }
}

/// The service starts with a certificate that no client takes; somebody who checks wants to know before.
fn certificate_is_good(config: &Config) -> Result<(), Problem> {
    let now = Clock::default().wall();
    let fault = config.server.tls.as_ref().and_then(|tls| tls.validity.fault(now));
    fault.map_or(Ok(()), |message| Err(Problem { key: CERTIFICATE.to_owned(), message }))
}

/// Building the clients finds what a file cannot say: an image without CA certificates.
fn build_clients(config: &Config) -> Result<(), Problem> {
    let wall_ms = || Clock::default().wall().as_millisecond();
    let built = InterruptClient::new(&config.cloud).map(drop);
    built.and_then(|()| Reader::new(&config.cloud, wall_ms).map(drop)).map_err(|error| Problem {
        key: "cloud".to_owned(),
        message: format!("the client cannot be built (are CA certificates installed?): {}", chain(&error)),
    })
}

fn summary(config: &Config, warnings: usize) -> String {
    format!(
        "ok: {} sources, {} policies, {} tokens, {warnings} warnings; hash {}",
        config.sources.len(),
        config.rules.policies.len(),
        config.tokens.len(),
        config.hash
    )
}

/// Write a complete copy of the store, and verify it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang backup /backup/unhang-2026-12-01.db
  unhang backup --store data/unhang.db copy.db

Works while the service runs. Restore: stop the service, put the copy in place of the store, start. The attempt
journal shows that it is a copy: nothing is sent until a person has looked (unhang audit reconcile).")]
pub(super) struct BackupArgs {
    /// The copy; must not exist yet
    #[arg(value_name = "PATH")]
    to: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
}

/// Copies the store.
pub(super) async fn backup(args: BackupArgs, out: &mut Out) -> Result<(), Failure> {
    if std::fs::symlink_metadata(&args.to).is_ok() {
        return Err(Failure::usage(format!("{} is there already; name a new file", args.to.display())));
    }
    let store = args.store.open_read_only().await?;
    if store.place().is_shared() {
        let message = "a store on PostgreSQL is copied by the means of its server: pg_dump, or a base backup with its log";
        return Err(Failure::usage(message.to_owned()));
    }
    let mut progress = Out::stderr();
    progress.progress(format_args!("copying {} MiB", store.size_bytes().await? >> 20))?;
    let trouble =
        |error: std::io::Error| Failure::unreachable(format!("cannot write {}: {error}", args.to.display()));
    // An empty file is written into; until it is whole and verified it has no name that anybody would restore from.
    let half = Half::of(&args.to).map_err(trouble)?;
    store.backup(half.path()).await?;
    let copy = Store::open_read_only(half.path()).await?;
    let ring = args.store.config_if_any()?.map(|config| config.audit.ring()).unwrap_or_default();
    let report = walk(&copy, &ring).await?;
    if let Some(fault) = report.fault {
        return Err(Failure::not_so(format!("the copy does not verify: row {}: {}", fault.seq, fault.what)));
    }
    let bytes = copy.size_bytes().await?;
    drop(copy);
    half.create().map_err(trouble)?;
    out.line(format_args!(
        "{}: {bytes} bytes, {} audit rows verified, last hash {}",
        args.to.display(),
        report.rows,
        report.last_hash
    ))?;
    Ok(())
}
