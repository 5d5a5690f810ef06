//! `audit reconcile`: what the attempt journal knows and the store does not, from the files themselves.
//!
//! Never: writes, or ends a quarantine; that takes a person through the service.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::super::failure::Failure;
use super::super::out::{Format, Out};
use super::super::place::StoreArgs;
use super::super::table::Table;
use crate::journal::Journal;
use crate::quarantine::{At, Comparison, compare, wanted};
use crate::telemetry::chain;

/// Compare the attempt journal with the store: which interrupts does the store not know?
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang audit reconcile --config unhang.toml
  unhang audit reconcile --store /backup/unhang.db --journal /other-disk/JOURNAL

Reads the files only, with the service running or not. End a quarantine with
unhang quarantine clear --reason TEXT. Exit codes: 0 they agree, 1 they do not, 3 no store.")]
pub(in super::super) struct ReconcileArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// The attempt journal; else `store.journal` of the configuration, or JOURNAL beside a store named with --store
    #[arg(long, value_name = "PATH")]
    journal: Option<PathBuf>,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// Prints the comparison.
pub(super) async fn run(args: ReconcileArgs, out: &mut Out) -> Result<(), Failure> {
    let path = match &args.journal {
        Some(path) => path.clone(),
        None => args.store.journal()?,
    };
    let known = Journal::read(&path).map_err(|error| Failure::unreachable(chain(&error)))?;
    let found = known.is_some();
    let known = known.unwrap_or_default();
    let store = args.store.open_read_only().await?;
    let (from_attempt, audit_seq) = wanted(&known);
    let history = store.history(from_attempt, audit_seq).await?;
    let open = store.open_quarantine().await?;
    let compared = compare(&known, &history, &At::of(&store).await?);
    if args.output == Format::Json {
        out.json(&json!({
            "ok": compared.findings.is_empty() && open.is_none(),
            "journal": path, "journalFound": found,
            "quarantine": open.as_ref().map(|open| json!({ "id": open.id, "openedAt": open.opened_at, "why": open.why })),
            "comparison": compared,
        }))?;
    } else {
        let there = if found { "" } else { " (there is none)" };
        out.line(format_args!(
            "journal {}{there}: attempts up to {}",
            path.display(),
            compared.journal_high_water
        ))?;
        out.line(format_args!("store: attempts up to {}", compared.store_high_water))?;
        print(&compared, out)?;
        if let Some(open) = &open {
            out.line(format_args!("quarantine {} since {}: {}", open.id, open.opened_at, open.why))?;
        }
    }
    match (compared.findings.len(), open) {
        (0, None) => Ok(()),
        (_, Some(_)) => Err(Failure::not_so(
            "the store is in quarantine; look at the servers above and at the cloud's activity record, then: \
             unhang quarantine clear --reason TEXT",
        )),
        (_, None) => Err(Failure::not_so(
            "journal and store do not agree; the next start opens a quarantine, in which nothing is sent",
        )),
    }
}

fn print(compared: &Comparison, out: &mut Out) -> Result<(), Failure> {
    for finding in &compared.findings {
        out.line(format_args!("found: {finding}"))?;
    }
    if !compared.missing.is_empty() {
        let mut table =
            Table::new(&["attempt", "server", "region", "signed at", "outcome", "requestId", "accepted"]);
        for missing in &compared.missing {
            table.row([
                missing.attempt_id.to_string(),
                missing.server_instance_no.clone(),
                missing.region_code.clone(),
                missing.signed_at.to_string(),
                missing.outcome.map_or("no answer", |outcome| outcome.as_str()).to_owned(),
                missing.request_id.clone().unwrap_or_default(),
                if missing.accepted { "yes" } else { "no" }.to_owned(),
            ]);
        }
        table.print(out, true)?;
    }
    Ok(())
}
