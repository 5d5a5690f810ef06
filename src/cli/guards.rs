//! `storm`, `breaker` and `policy`: guards that only a person lifts, through the service.
//!
//! Never: lifts one without saying why.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::{Client, ServiceArgs, print_answer, text_of};
use super::failure::Failure;
use super::out::{Format, Out, Table, clean};
use super::when;

/// Too many servers at once: list storms, or clear one
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  unhang storm list
  unhang storm clear 3 --reason \"the switch is back; the servers never hung\"")]
pub(super) enum StormCommand {
    List(ListArgs),
    Clear(ClearArgs),
}

/// A run of bad outcomes: list the breakers, or reset one
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  unhang breaker list
  unhang breaker reset hung-windows --reason \"the cloud's fault, over since 03:10\"")]
pub(super) enum BreakerCommand {
    List(ListArgs),
    Reset(ResetArgs),
}

/// How far a policy may go: list, promote, demote
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  unhang policy list
  unhang policy demote hung-windows --reason \"it named the wrong server: label from a template\"
  unhang policy promote hung-windows --reason \"rule corrected, ten approvals were right\"")]
pub(super) enum PolicyCommand {
    List(ListArgs),
    Promote(PromoteArgs),
    Demote(DemoteArgs),
}

/// Show them as they stand
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  unhang storm list --output json\n  unhang breaker list\n  unhang policy list"
)]
pub(super) struct ListArgs {
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    service: ServiceArgs,
}

/// Why, and through which service.
#[derive(Debug, Args)]
struct Say {
    /// Why; kept in the audit
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    service: ServiceArgs,
}

/// Clear a storm: what was seen until now does not count again
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  unhang storm clear 3 --reason \"the switch is back\"\n\nNeeds a token with role approver."
)]
pub(super) struct ClearArgs {
    /// Number of the storm, as `storm list` shows it
    id: u64,
    #[command(flatten)]
    say: Say,
}

/// Reset a breaker: attempts until now do not count for it
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  unhang breaker reset hung-windows --reason \"keys were renewed\"\n\nNeeds a token with role approver."
)]
pub(super) struct ResetArgs {
    /// The policy
    policy: String,
    #[command(flatten)]
    say: Say,
}

/// Take back a demotion: the configured mode holds again
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  unhang policy promote hung-windows --reason \"rule corrected\"\n\nNeeds a token with role approver."
)]
pub(super) struct PromoteArgs {
    /// The policy
    policy: String,
    #[command(flatten)]
    say: Say,
}

/// Report a wrong target: the policy asks a person from now on
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  unhang policy demote hung-windows --reason \"it named a healthy server\"\n\nNeeds a token with role operator."
)]
pub(super) struct DemoteArgs {
    /// The policy
    policy: String,
    #[command(flatten)]
    say: Say,
}

/// `storm`
pub(super) async fn storm(command: StormCommand, out: &mut Out) -> Result<(), Failure> {
    match command {
        StormCommand::Clear(args) => post(&["storms", &args.id.to_string(), "clear"], &args.say, out).await,
        StormCommand::List(args) => {
            let headings = ["id", "region", "since", "cleared", "by", "servers", "why"];
            let row = |row: &Value| {
                let servers = row.get("servers").and_then(Value::as_array).map_or(0, Vec::len);
                [
                    text_of(row, "id"),
                    text_of(row, "regionCode"),
                    at(row, "openedAt"),
                    at(row, "clearedAt"),
                    text_of(row, "clearedBy"),
                    servers.to_string(),
                    text_of(row, "why"),
                ]
            };
            list("storms", &args, headings, row, out).await.map(|_rows| ())
        }
    }
}

/// `breaker`
pub(super) async fn breaker(command: BreakerCommand, out: &mut Out) -> Result<(), Failure> {
    match command {
        BreakerCommand::Reset(args) => post(&["breakers", &args.policy, "reset"], &args.say, out).await,
        BreakerCommand::List(args) => {
            let headings = ["policy", "breaker", "until", "bad in a row", "last reset"];
            let row = |row: &Value| {
                let reset = row.get("lastReset").map_or_else(|| "-".to_owned(), |reset| at(reset, "at"));
                [
                    text_of(row, "policy"),
                    text_of(row, "state"),
                    at(row, "until"),
                    text_of(row, "badInARow"),
                    reset,
                ]
            };
            list("breakers", &args, headings, row, out).await.map(|_rows| ())
        }
    }
}

/// `policy`
pub(super) async fn policy(command: PolicyCommand, out: &mut Out) -> Result<(), Failure> {
    match command {
        PolicyCommand::Promote(args) => post(&["policies", &args.policy, "promote"], &args.say, out).await,
        PolicyCommand::Demote(args) => post(&["policies", &args.policy, "demote"], &args.say, out).await,
        PolicyCommand::List(args) => {
            let headings = ["policy", "mode", "in force", "shadow", "approved", "good", "bad", "wrong"];
            let row = |row: &Value| {
                let count = |field: &str| row.pointer(&format!("/record/{field}")).and_then(Value::as_i64);
                let sum =
                    |fields: &[&str]| fields.iter().filter_map(|field| count(field)).sum::<i64>().to_string();
                [
                    text_of(row, "name"),
                    text_of(row, "mode"),
                    text_of(row, "effectiveMode"),
                    sum(&["shadowHits"]),
                    format!("{} of {}", sum(&["approvalsGiven"]), sum(&["approvalsAsked"])),
                    sum(&["confirmed"]),
                    sum(&["unconfirmed", "unknown", "rejected"]),
                    sum(&["wrongTarget"]),
                ]
            };
            let rows = list("policies", &args, headings, row, out).await?;
            let demoted =
                |row: &Value| Some((text_of(row, "name"), row.pointer("/standing/demoted/why")?.clone()));
            for (name, why) in rows.iter().filter_map(demoted).filter(|_| args.output == Format::Text) {
                let why = why.as_str().unwrap_or_default();
                out.line(format_args!("{} was demoted: {}", clean(&name), clean(why)))?;
            }
            Ok(())
        }
    }
}

fn at(row: &Value, field: &str) -> String {
    text_of(row, field).parse::<Timestamp>().map_or_else(|_none| "-".to_owned(), when::short)
}

async fn post(path: &[&str], say: &Say, out: &mut Out) -> Result<(), Failure> {
    if say.reason.trim().is_empty() {
        return Err(Failure::usage("--reason must say something; it is kept in the audit"));
    }
    let body = json!({ "reason": say.reason });
    let answer = Client::new(&say.service)?.post(path, &body, None).await?;
    print_answer(&answer, say.output, out)
}

async fn list<const N: usize>(
    what: &str,
    args: &ListArgs,
    headings: [&str; N],
    row: impl Fn(&Value) -> [String; N],
    out: &mut Out,
) -> Result<Vec<Value>, Failure> {
    let rows = Client::new(&args.service)?.list(&[what]).await?;
    if args.output == Format::Json {
        out.json(&json!({ "items": rows }))?;
        return Ok(rows);
    }
    let mut table = Table::new(&headings);
    for one in &rows {
        table.row(row(one));
    }
    if table.is_empty() {
        out.line(format_args!("no {what}"))?;
    } else {
        table.print(out, false)?;
    }
    Ok(rows)
}
