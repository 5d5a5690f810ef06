//! `audit`: what happened, from the store itself, with the service running or not.
//!
//! Never: writes, or calls a chain whole that it did not walk to its end.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use super::failure::Failure;
use super::out::{Format, Out};
use super::place::StoreArgs;
use super::when;
use crate::store::{AuditFilter, verify_chain};

mod export;
mod list;
mod reconcile;

/// Read, export and verify the audit
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  unhang audit list --server 90000001 --since 24h
  unhang audit export --format csv --to audit.csv
  unhang audit verify")]
pub(super) enum AuditCommand {
    List(list::ListArgs),
    Export(export::ExportArgs),
    Verify(VerifyArgs),
    Reconcile(reconcile::ReconcileArgs),
}

/// Which events; all that are given must hold.
#[derive(Debug, Args)]
struct FilterArgs {
    /// Number of the server
    #[arg(long, value_name = "NO")]
    server: Option<String>,
    /// The cloud's own requestId
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Our trace
    #[arg(long, value_name = "ID")]
    trace: Option<String>,
    /// Delivery
    #[arg(long, value_name = "ID")]
    delivery: Option<String>,
    /// Incident
    #[arg(long, value_name = "ID")]
    incident: Option<String>,
    /// Remediation
    #[arg(long, value_name = "ID")]
    remediation: Option<String>,
    /// Name of the source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Name of the policy
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// Kind of event, such as `alert_decided` or `attempt_outcome`
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// accepted, rejected, `not_sent` or unknown
    #[arg(long, value_name = "WORD")]
    outcome: Option<String>,
    /// Reason, such as cooldown
    #[arg(long, value_name = "WORD")]
    reason: Option<String>,
    /// Name of the person, source or part of the service
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Not earlier than this: a time, or an age such as 24h
    #[arg(long, value_name = "TIME", value_parser = when::instant_or_age)]
    since: Option<Timestamp>,
    /// Earlier than this: a time, or an age such as 1h
    #[arg(long, value_name = "TIME", value_parser = when::instant_or_age)]
    until: Option<Timestamp>,
}

impl FilterArgs {
    fn filter(&self) -> AuditFilter {
        AuditFilter {
            server_instance_no: self.server.clone(),
            request_id: self.request_id.clone(),
            trace_id: self.trace.clone(),
            delivery_id: self.delivery.clone(),
            incident_id: self.incident.clone(),
            remediation_id: self.remediation.clone(),
            source: self.source.clone(),
            policy: self.policy.clone(),
            kind: self.kind.clone(),
            outcome: self.outcome.clone(),
            reason: self.reason.clone(),
            actor: self.actor.clone(),
            since: self.since,
            until: self.until,
        }
    }
}

/// Verify the hash chain from its first row to its last
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang audit verify
  unhang audit verify --store /backup/unhang.db --output json

Keep the last hash somewhere else: a chain rewritten as a whole shows only against it.
Exit codes: 0 whole, 1 a fault (its row is named), 3 no store.")]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// Runs one of the commands.
pub(super) async fn run(command: AuditCommand, out: &mut Out) -> Result<(), Failure> {
    match command {
        AuditCommand::List(args) => list::run(args, out).await,
        AuditCommand::Export(args) => export::run(args, out).await,
        AuditCommand::Verify(args) => verify(args, out).await,
        AuditCommand::Reconcile(args) => reconcile::run(args, out).await,
    }
}

async fn verify(args: VerifyArgs, out: &mut Out) -> Result<(), Failure> {
    let store = args.store.open_read_only().await?;
    let mut progress = Out::stderr();
    let mut told = Ok(());
    let report =
        verify_chain(&store, |rows| told = progress.progress(format_args!("verified {rows} rows"))).await?;
    told?;
    progress.end_progress()?;
    match args.output {
        Format::Json => out.json(&json!({ "ok": report.fault.is_none(), "report": report }))?,
        Format::Text => {
            let verdict =
                if report.fault.is_none() { "the audit verifies" } else { "verified before the fault" };
            out.line(format_args!(
                "{verdict}: {} rows, last seq {}, last hash {}",
                report.rows, report.last_seq, report.last_hash
            ))?;
        }
    }
    match report.fault {
        None => Ok(()),
        Some(fault) => {
            Err(Failure::not_so(format!("the audit does not verify: row {}: {}", fault.seq, fault.what)))
        }
    }
}
