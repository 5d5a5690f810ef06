//! `incident`, `delivery`, `remediation`, `server`, `source`, `budget`: what the service knows, to be looked at.
//!
//! Never: changes anything.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::client::{Client, text_of};
use super::event::event_line;
use super::failure::Failure;
use super::listing::{
    Column, LookArgs, PageArgs, at, column, items, joined, minute, one, one_of, page, show, whole, wide, word,
};
use super::out::{Format, Out};
use super::why::number;
use crate::domain::remediation::State;

/// Incidents: the open story of each server
#[derive(Debug, Subcommand)]
#[command(
    visible_alias = "incidents",
    after_help = "\
Examples:
  unhang incident list --state open
  unhang incident show 0193a1b2-…"
)]
pub(super) enum IncidentCommand {
    List(IncidentListArgs),
    Show(IncidentShowArgs),
}

/// List incidents, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang incident list
  unhang incident list --state open --output json")]
pub(super) struct IncidentListArgs {
    /// Which
    #[arg(long, value_enum, default_value_t = OpenOrAll::All)]
    state: OpenOrAll,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    look: LookArgs,
}

/// Only what is open, or everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OpenOrAll {
    /// What is not over
    Open,
    /// Everything
    All,
}

impl OpenOrAll {
    /// The word of the API.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::All => "all",
        }
    }
}

/// Show an incident with its remediations and its timeline
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang incident show 0193a1b2-…
  unhang incident show 0193a1b2-… --output json")]
pub(super) struct IncidentShowArgs {
    /// The incident
    id: String,
    #[command(flatten)]
    look: LookArgs,
}

/// Deliveries: what came in, and what was decided
#[derive(Debug, Subcommand)]
#[command(
    visible_alias = "deliveries",
    after_help = "\
Examples:
  unhang delivery list --source alertmanager
  unhang delivery show 0193a1b2-…"
)]
pub(super) enum DeliveryCommand {
    List(DeliveryListArgs),
    Show(DeliveryShowArgs),
}

/// List deliveries, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang delivery list --source alertmanager --limit 10
  unhang delivery list --wide")]
pub(super) struct DeliveryListArgs {
    /// Name of the source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    look: LookArgs,
}

/// Show a delivery: its raw body, its answer, and the decision on each alert
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang delivery show 0193a1b2-…
  unhang delivery show 0193a1b2-… --output json | jq -r .body

Decide it again: unhang replay.")]
pub(super) struct DeliveryShowArgs {
    /// The delivery
    id: String,
    #[command(flatten)]
    look: LookArgs,
}

/// Remediations: each one decision to interrupt one server
#[derive(Debug, Subcommand)]
#[command(
    visible_alias = "remediations",
    after_help = "\
Examples:
  unhang remediation list --state awaiting_approval
  unhang remediation show 0193a1b2-…"
)]
pub(super) enum RemediationCommand {
    List(RemediationListArgs),
    Show(RemediationShowArgs),
}

/// List remediations, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang remediation list --state awaiting_approval
  unhang remediation list --state live
  unhang remediation list --incident 0193a1b2-… --wide")]
pub(super) struct RemediationListArgs {
    /// A state, or live
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(states()))]
    state: Option<String>,
    /// Of this incident
    #[arg(long, value_name = "ID")]
    incident: Option<String>,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    look: LookArgs,
}

fn states() -> impl Iterator<Item = &'static str> {
    ["live"].into_iter().chain(State::ALL.map(State::as_str))
}

/// Show a remediation with its attempts and what the cloud's activity record said
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang remediation show 0193a1b2-…
  unhang remediation show 0193a1b2-… --output json

Act on it: unhang approve, deny, cancel, settle.")]
pub(super) struct RemediationShowArgs {
    /// The remediation
    id: String,
    #[command(flatten)]
    look: LookArgs,
}

/// Servers as the inventory has them
#[derive(Debug, Subcommand)]
#[command(
    visible_alias = "servers",
    after_help = "\
Examples:
  unhang server list
  unhang server show win-app-01"
)]
pub(super) enum ServerCommand {
    List(ServerListArgs),
    Show(ServerShowArgs),
}

/// List servers, and whether they may be interrupted at all
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang server list --limit 1000
  unhang server list --wide")]
pub(super) struct ServerListArgs {
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    look: LookArgs,
}

/// Show a server
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang server show 90000001
  unhang server show win-app-01

What was done about it: unhang why.")]
pub(super) struct ServerShowArgs {
    /// Number or exact name of the server
    server: String,
    #[command(flatten)]
    look: LookArgs,
}

/// Sources: who may send alerts, and when each spoke last
#[derive(Debug, Subcommand)]
#[command(
    visible_alias = "sources",
    after_help = "\
Examples:
  unhang source list
  unhang source show alertmanager"
)]
pub(super) enum SourceCommand {
    List(SourceListArgs),
    Show(SourceShowArgs),
}

/// List sources
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  unhang source list\n  unhang source list --output json")]
pub(super) struct SourceListArgs {
    #[command(flatten)]
    look: LookArgs,
}

/// Show a source
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  unhang source show alertmanager")]
pub(super) struct SourceShowArgs {
    /// Its name
    name: String,
    #[command(flatten)]
    look: LookArgs,
}

/// Budgets: how many interrupts still fit
#[derive(Debug, Subcommand)]
#[command(visible_alias = "budgets", after_help = "Examples:\n  unhang budget list")]
pub(super) enum BudgetCommand {
    List(BudgetListArgs),
}

/// List budgets as they stand now
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  unhang budget list\n  unhang budget list --output json")]
pub(super) struct BudgetListArgs {
    #[command(flatten)]
    look: LookArgs,
}

const INCIDENTS: &[Column] = &[
    column("id", |row| text_of(row, "id")),
    column("server", |row| text_of(row, "serverInstanceNo")),
    column("name", |row| text_of(row, "serverName")),
    column("opened", |row| minute(row, "openedAt")),
    column("state", |row| if text_of(row, "closedAt").is_empty() { "open" } else { "closed" }.to_owned()),
    wide("region", |row| text_of(row, "regionCode")),
    wide("last notice", |row| at(row, "lastSeenAt")),
    wide("closed", |row| at(row, "closedAt")),
];

const DELIVERIES: &[Column] = &[
    column("id", |row| text_of(row, "id")),
    column("received", |row| at(row, "receivedAt")),
    column("source", |row| text_of(row, "source")),
    column("alerts", |row| text_of(row, "alertCount")),
    wide("left out", |row| text_of(row, "truncated")),
    wide("actor", |row| word(row, "actor")),
    wide("peer", |row| word(row, "peer")),
    wide("repeat of", |row| word(row, "repeatOf")),
    wide("replay of", |row| word(row, "replayOf")),
    wide("trace", |row| text_of(row, "traceId")),
];

const REMEDIATIONS: &[Column] = &[
    column("id", |row| text_of(row, "id")),
    column("state", |row| text_of(row, "state")),
    column("server", |row| text_of(row, "serverInstanceNo")),
    column("created", |row| minute(row, "createdAt")),
    wide("name", |row| row.get("server").map_or_else(String::new, |server| text_of(server, "name"))),
    wide("region", |row| text_of(row, "regionCode")),
    wide("policy", |row| text_of(row, "policy")),
    wide("source", |row| text_of(row, "source")),
    wide("asked by", |row| word(row, "requestedBy")),
    wide("approved by", |row| word(row, "approvedBy")),
    wide("reason", |row| word(row, "reason")),
    wide("until", |row| at(row, "until")),
    wide("requestId", |row| last_attempt(row, "requestId")),
    wide("incident", |row| text_of(row, "incidentId")),
    wide("detail", |row| word(row, "detail")),
];

const SERVERS: &[Column] = &[
    column("server", |row| text_of(row, "serverInstanceNo")),
    column("name", |row| text_of(row, "serverName")),
    column("region", |row| text_of(row, "regionCode")),
    column("status", |row| word(row, "serverInstanceStatus")),
    column("type", |row| word(row, "hypervisorType")),
    column("platform", |row| word(row, "platformType")),
    column("eligible", |row| {
        if row.get("eligible") == Some(&Value::Bool(true)) { "yes" } else { "no" }.to_owned()
    }),
    column("up since", |row| minute(row, "uptime")),
    wide("operation", |row| word(row, "serverInstanceOperation")),
    wide("zone", |row| word(row, "zoneCode")),
    wide("seen", |row| at(row, "seenAt")),
];

const SOURCES: &[Column] = &[
    column("name", |row| text_of(row, "name")),
    column("kind", |row| text_of(row, "kind")),
    column("trust", |row| text_of(row, "trust")),
    column("last delivery", |row| at(row, "lastDeliveryAt")),
    column("credentials", |row| text_of(row, "credentials")),
    wide("allowed from", |row| joined(row, "allowFrom")),
];

const BUDGETS: &[Column] = &[
    column("scope", |row| text_of(row, "scope")),
    column("name", |row| word(row, "name")),
    column("budget", |row| text_of(row, "budget")),
    column("spent", |row| text_of(row, "spent")),
    column("left", |row| text_of(row, "remaining")),
    column("next at", |row| at(row, "freeAt")),
];

fn last_attempt(row: &Value, field: &str) -> String {
    let last = row.get("attempts").and_then(Value::as_array).and_then(|attempts| attempts.last());
    last.map_or_else(|| "-".to_owned(), |attempt| word(attempt, field))
}

/// `incident`
pub(super) async fn incident(command: IncidentCommand, out: &mut Out) -> Result<(), Failure> {
    match command {
        IncidentCommand::List(args) => {
            let query = vec![("state", args.state.as_str().to_owned())];
            page("incidents", query, &args.page, &args.look, INCIDENTS, out).await
        }
        IncidentCommand::Show(args) => {
            let answer = Client::new(&args.look.service)?.get(&["incidents", &args.id], &[]).await?;
            show_incident(answer, &args.look, out)
        }
    }
}

/// Its timeline is a line for each event; whoever wants every field asks for JSON.
fn show_incident(mut answer: Value, look: &LookArgs, out: &mut Out) -> Result<(), Failure> {
    if look.output == Format::Json {
        return Ok(out.json(&answer)?);
    }
    let timeline = answer.as_object_mut().and_then(|fields| fields.remove("timeline")).unwrap_or_default();
    show(&answer, look, out)?;
    out.line("timeline (UTC):")?;
    for event in items(&timeline) {
        out.line(event_line(event, look.wide))?;
    }
    Ok(())
}

/// `delivery`
pub(super) async fn delivery(command: DeliveryCommand, out: &mut Out) -> Result<(), Failure> {
    match command {
        DeliveryCommand::List(args) => {
            let query = args.source.map(|source| ("source", source)).into_iter().collect();
            page("deliveries", query, &args.page, &args.look, DELIVERIES, out).await
        }
        DeliveryCommand::Show(args) => one(&["deliveries", &args.id], &args.look, out).await,
    }
}

/// `remediation`
pub(super) async fn remediation(command: RemediationCommand, out: &mut Out) -> Result<(), Failure> {
    match command {
        RemediationCommand::List(args) => {
            let given = [("state", args.state), ("incidentId", args.incident)];
            let query = given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            page("remediations", query, &args.page, &args.look, REMEDIATIONS, out).await
        }
        RemediationCommand::Show(args) => one(&["remediations", &args.id], &args.look, out).await,
    }
}

/// `server`
pub(super) async fn server(command: ServerCommand, out: &mut Out) -> Result<(), Failure> {
    match command {
        ServerCommand::List(args) => page("servers", Vec::new(), &args.page, &args.look, SERVERS, out).await,
        ServerCommand::Show(args) => {
            let no = number(&Client::new(&args.look.service)?, &args.server).await?;
            one_of("servers", "serverInstanceNo", &no, &args.look, out).await
        }
    }
}

/// `source`
pub(super) async fn source(command: SourceCommand, out: &mut Out) -> Result<(), Failure> {
    match command {
        SourceCommand::List(args) => whole("sources", &[], &args.look, SOURCES, out).await.map(drop),
        SourceCommand::Show(args) => one_of("sources", "name", &args.name, &args.look, out).await,
    }
}

/// `budget`
pub(super) async fn budget(command: BudgetCommand, out: &mut Out) -> Result<(), Failure> {
    match command {
        BudgetCommand::List(args) => whole("budgets", &[], &args.look, BUDGETS, out).await.map(drop),
    }
}
