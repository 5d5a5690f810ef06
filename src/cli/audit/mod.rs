//! `audit`: what happened, from the store itself, with the service running or not.
//!
//! Never: writes to the store, but for a checkpoint with the service stopped.

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::failure::Failure;
use super::out::Out;
use super::when;
use crate::store::AuditFilter;

mod checkpoint;
mod export;
mod head;
mod keys;
mod list;
mod reconcile;
mod verify;

/// Read, export, verify and archive the audit
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  unhang audit list --server 90000001 --since 24h
  unhang audit export --format csv --to audit.csv
  unhang audit verify --deep
  unhang audit head")]
pub(super) enum AuditCommand {
    List(list::ListArgs),
    Export(export::ExportArgs),
    Reconcile(reconcile::ReconcileArgs),
    Verify(verify::VerifyArgs),
    Head(head::HeadArgs),
    Checkpoint(checkpoint::CheckpointArgs),
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

impl FilterArgs {
    /// The same for the service.
    fn query(&self) -> Vec<(&'static str, String)> {
        let texts = [
            ("serverInstanceNo", &self.server),
            ("requestId", &self.request_id),
            ("traceId", &self.trace),
            ("deliveryId", &self.delivery),
            ("incidentId", &self.incident),
            ("remediationId", &self.remediation),
            ("source", &self.source),
            ("policy", &self.policy),
            ("kind", &self.kind),
            ("outcome", &self.outcome),
            ("reason", &self.reason),
            ("actor", &self.actor),
        ];
        let times = [("since", &self.since), ("until", &self.until)];
        let texts = texts.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        texts
            .chain(times.into_iter().filter_map(|(name, at)| Some((name, at.as_ref()?.to_string()))))
            .collect()
    }
}

/// Runs one of the commands.
pub(super) async fn run(command: AuditCommand, out: &mut Out) -> Result<(), Failure> {
    match command {
        AuditCommand::List(args) => list::run(args, out).await,
        AuditCommand::Export(args) => export::run(args, out).await,
        AuditCommand::Reconcile(args) => reconcile::run(args, out).await,
        AuditCommand::Verify(args) => verify::run(args, out).await,
        AuditCommand::Head(args) => head::run(args, out).await,
        AuditCommand::Checkpoint(args) => checkpoint::run(args, out).await,
    }
}
