//! `quarantine`: what stopped all sending because the store knows too little, and a person's word that ends it.
//!
//! Never: ends it without a reason, or beside the service.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Client, ServiceArgs, text_of};
use super::failure::Failure;
use super::listing::{at, word};
use super::out::{Format, Out, clean};
use super::table::Table;

/// Look at a quarantine and end it: the store knows less than the attempt journal
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  unhang quarantine show
  unhang quarantine clear --reason \"restored the backup of 03:00; the activity record was looked at\"")]
pub(super) enum QuarantineCommand {
    Show(ShowArgs),
    Clear(ClearArgs),
}

/// Show what was found
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang quarantine show
  unhang quarantine show --output json

Needs a token with role viewer. Without the service: unhang audit reconcile.")]
pub(super) struct ShowArgs {
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    service: ServiceArgs,
}

/// End it: interrupts may be sent again, but not to the servers that the store forgot
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang quarantine clear --reason \"restored the backup of 03:00; the activity record was looked at\"

Needs a token with role approver. Each server whose interrupt the store does not know gets a hold of its own while it
may count; clear those one by one with unhang hold clear.")]
pub(super) struct ClearArgs {
    /// Why; kept in the audit and in the journal
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    service: ServiceArgs,
}

/// Runs one of the commands.
pub(super) async fn run(command: QuarantineCommand, out: &mut Out) -> Result<(), Failure> {
    match command {
        QuarantineCommand::Show(args) => show(args, out).await,
        QuarantineCommand::Clear(args) => clear(args, out).await,
    }
}

async fn show(args: ShowArgs, out: &mut Out) -> Result<(), Failure> {
    let answer = Client::new(&args.service)?.get(&["quarantine"], &[]).await?;
    if args.output == Format::Json {
        return Ok(out.json(&answer)?);
    }
    match answer.get("quarantine").filter(|open| !open.is_null()) {
        None => out.line("no quarantine")?,
        Some(open) => out.line(format_args!(
            "quarantine {} since {}: {}",
            text_of(open, "id"),
            clean(&text_of(open, "openedAt")),
            clean(&text_of(open, "why"))
        ))?,
    }
    print_missing(&answer, out)
}

async fn clear(args: ClearArgs, out: &mut Out) -> Result<(), Failure> {
    if args.reason.trim().is_empty() {
        return Err(Failure::usage("--reason must say something; it is kept in the audit"));
    }
    let body = json!({ "reason": args.reason });
    let answer = Client::new(&args.service)?.post(&["quarantine", "clear"], &body, None).await?;
    if args.output == Format::Json {
        return Ok(out.json(&answer)?);
    }
    let holds: Vec<String> =
        answer.get("holds").and_then(Value::as_array).into_iter().flatten().map(Value::to_string).collect();
    out.line(format_args!(
        "quarantine {} is cleared; attempts go on above {}",
        text_of(&answer, "id"),
        text_of(&answer, "highWater")
    ))?;
    if !holds.is_empty() {
        out.line(format_args!("holds left on servers: {}", holds.join(", ")))?;
    }
    print_missing(&answer, out)
}

fn print_missing(answer: &Value, out: &mut Out) -> Result<(), Failure> {
    let mut table = Table::new(&["attempt", "server", "signed at", "outcome", "requestId"]).keep("requestId");
    for missing in answer.get("missing").and_then(Value::as_array).into_iter().flatten() {
        table.row([
            text_of(missing, "attemptId"),
            text_of(missing, "serverInstanceNo"),
            at(missing, "signedAt"),
            word(missing, "outcome"),
            word(missing, "requestId"),
        ]);
    }
    if !table.is_empty() {
        out.line("interrupts that the journal knows and the store does not:")?;
        table.print(out, false)?;
    }
    Ok(())
}
