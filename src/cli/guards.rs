//! `storm`, `breaker` and `policy`: guards that only a person lifts, through the service.
//!
//! Never: lifts one without saying why.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Client, ServiceArgs, print_answer, text_of};
use super::failure::Failure;
use super::listing::{Column, LookArgs, at, column, items, joined, one_of, whole, wide, word};
use super::look::OpenOrAll;
use super::out::{Format, Out};
use super::table::fitted;

/// Too many servers at once: list storms, or clear one
#[derive(Debug, Subcommand)]
#[command(
    visible_alias = "storms",
    after_help = "\
Examples:
  unhang storm list --state open
  unhang storm show 3
  unhang storm clear 3 --reason \"the switch is back; the servers never hung\""
)]
pub(super) enum StormCommand {
    List(StormListArgs),
    Show(StormShowArgs),
    Clear(ClearArgs),
}

/// A run of bad outcomes: list the breakers, or reset one
#[derive(Debug, Subcommand)]
#[command(
    visible_alias = "breakers",
    after_help = "\
Examples:
  unhang breaker list
  unhang breaker show hung-windows
  unhang breaker reset hung-windows --reason \"the cloud's fault, over since 03:10\""
)]
pub(super) enum BreakerCommand {
    List(BreakerListArgs),
    Show(BreakerShowArgs),
    Reset(ResetArgs),
}

/// How far a policy may go: list, promote, demote
#[derive(Debug, Subcommand)]
#[command(
    visible_alias = "policies",
    after_help = "\
Examples:
  unhang policy list
  unhang policy show hung-windows
  unhang policy demote hung-windows --reason \"it named the wrong server: label from a template\"
  unhang policy promote hung-windows --reason \"rule corrected, ten approvals were right\""
)]
pub(super) enum PolicyCommand {
    List(PolicyListArgs),
    Show(PolicyShowArgs),
    Promote(PromoteArgs),
    Demote(DemoteArgs),
}

/// List storms, newest first
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  unhang storm list --state open\n  unhang storm list --output json")]
pub(super) struct StormListArgs {
    /// Which
    #[arg(long, value_enum, default_value_t = OpenOrAll::All)]
    state: OpenOrAll,
    #[command(flatten)]
    look: LookArgs,
}

/// Show a storm
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  unhang storm show 3")]
pub(super) struct StormShowArgs {
    /// Its number
    id: u64,
    #[command(flatten)]
    look: LookArgs,
}

/// List the breaker of each policy
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  unhang breaker list\n  unhang breaker list --output json")]
pub(super) struct BreakerListArgs {
    #[command(flatten)]
    look: LookArgs,
}

/// Show the breaker of a policy
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  unhang breaker show hung-windows")]
pub(super) struct BreakerShowArgs {
    /// The policy
    policy: String,
    #[command(flatten)]
    look: LookArgs,
}

/// List policies with the mode in force and their record
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  unhang policy list\n  unhang policy list --output json")]
pub(super) struct PolicyListArgs {
    #[command(flatten)]
    look: LookArgs,
}

/// Show a policy: its limits, its standing, its record
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  unhang policy show hung-windows")]
pub(super) struct PolicyShowArgs {
    /// The policy
    policy: String,
    #[command(flatten)]
    look: LookArgs,
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

const STORMS: &[Column] = &[
    column("id", |row| text_of(row, "id")),
    column("region", |row| text_of(row, "regionCode")),
    column("since", |row| at(row, "openedAt")),
    column("cleared", |row| at(row, "clearedAt")),
    column("by", |row| word(row, "clearedBy")),
    column("servers", |row| row.get("servers").and_then(Value::as_array).map_or(0, Vec::len).to_string()),
    column("why", |row| text_of(row, "why")),
    wide("policies", |row| joined(row, "policies")),
    wide("their numbers", |row| joined(row, "servers")),
    wide("cleared because", |row| word(row, "reason")),
];

const BREAKERS: &[Column] = &[
    column("policy", |row| text_of(row, "policy")),
    column("breaker", |row| text_of(row, "state")),
    column("until", |row| at(row, "until")),
    column("bad in a row", |row| text_of(row, "badInARow")),
    column("last reset", |row| row.get("lastReset").map_or_else(|| "-".to_owned(), |reset| at(reset, "at"))),
];

const POLICIES: &[Column] = &[
    column("policy", |row| text_of(row, "name")),
    column("mode", |row| text_of(row, "mode")),
    column("in force", |row| text_of(row, "effectiveMode")),
    column("shadow", |row| sum(row, &["shadowHits"])),
    column("approved", |row| {
        format!("{} of {}", sum(row, &["approvalsGiven"]), sum(row, &["approvalsAsked"]))
    }),
    column("good", |row| sum(row, &["confirmed"])),
    column("bad", |row| sum(row, &["unconfirmed", "unknown", "rejected"])),
    column("wrong", |row| sum(row, &["wrongTarget"])),
    wide("hash", |row| text_of(row, "hash")),
];

fn sum(row: &Value, fields: &[&str]) -> String {
    let count = |field: &&str| row.pointer(&format!("/record/{field}")).and_then(Value::as_i64);
    fields.iter().filter_map(count).sum::<i64>().to_string()
}

/// `storm`
pub(super) async fn storm(command: StormCommand, out: &mut Out) -> Result<(), Failure> {
    match command {
        StormCommand::Clear(args) => post(&["storms", &args.id.to_string(), "clear"], &args.say, out).await,
        StormCommand::Show(args) => one_of("storms", "id", &args.id.to_string(), &args.look, out).await,
        StormCommand::List(args) => {
            let query = [("state", args.state.as_str().to_owned())];
            whole("storms", &query, &args.look, STORMS, out).await.map(drop)
        }
    }
}

/// `breaker`
pub(super) async fn breaker(command: BreakerCommand, out: &mut Out) -> Result<(), Failure> {
    match command {
        BreakerCommand::Reset(args) => post(&["breakers", &args.policy, "reset"], &args.say, out).await,
        BreakerCommand::Show(args) => one_of("breakers", "policy", &args.policy, &args.look, out).await,
        BreakerCommand::List(args) => whole("breakers", &[], &args.look, BREAKERS, out).await.map(drop),
    }
}

/// `policy`
pub(super) async fn policy(command: PolicyCommand, out: &mut Out) -> Result<(), Failure> {
    match command {
        PolicyCommand::Promote(args) => post(&["policies", &args.policy, "promote"], &args.say, out).await,
        PolicyCommand::Demote(args) => post(&["policies", &args.policy, "demote"], &args.say, out).await,
        PolicyCommand::Show(args) => one_of("policies", "name", &args.policy, &args.look, out).await,
        PolicyCommand::List(args) => {
            let answer = whole("policies", &[], &args.look, POLICIES, out).await?;
            let demoted =
                |row: &Value| Some((text_of(row, "name"), row.pointer("/standing/demoted/why")?.clone()));
            let text = args.look.output == Format::Text;
            for (name, why) in items(&answer).iter().filter_map(demoted).filter(|_| text) {
                let why = why.as_str().unwrap_or_default();
                out.line(fitted(&format!("{name} was demoted: {why}"), args.look.wide))?;
            }
            Ok(())
        }
    }
}

async fn post(path: &[&str], say: &Say, out: &mut Out) -> Result<(), Failure> {
    if say.reason.trim().is_empty() {
        return Err(Failure::usage("--reason must say something; it is kept in the audit"));
    }
    let body = json!({ "reason": say.reason });
    let answer = Client::new(&say.service)?.post(path, &body, None).await?;
    print_answer(&answer, say.output, out)
}
