//! `silence`: mutes of matching alerts, through the service.
//!
//! Never: mutes without an end, or without saying who and why.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::client::{Client, ServiceArgs, print_answer, text_of};
use super::failure::Failure;
use super::listing::{Column, LookArgs, at, column, joined, one_of, whole};
use super::out::{Format, Out};
use super::when;
use crate::domain::matcher::Matcher;

/// Mute matching alerts for a time
#[derive(Debug, Subcommand)]
#[command(
    visible_alias = "silences",
    after_help = "\
Examples:
  unhang silence add --match 'hostname=~\"win-web-.*\"' --for 2h --comment \"patch night\"
  unhang silence list
  unhang silence end 3 --reason \"patched\""
)]
pub(super) enum SilenceCommand {
    Add(AddArgs),
    End(EndArgs),
    List(ListArgs),
    Show(ShowArgs),
}

/// Add a silence
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang silence add --match 'alertname=\"WindowsVmHung\"' --match 'env!~\"prod|live\"' --for 2h --comment \"test\"
  unhang silence add --match 'hostname=\"win-app-01\"' --until 2026-12-01T06:00:00+09:00 --comment \"patch night\"

Needs a token with role operator.")]
pub(super) struct AddArgs {
    /// A label matcher: = != =~ !~; all must hold
    #[arg(long = "match", id = "matcher", value_name = "MATCHER", required = true, value_parser = matcher)]
    matchers: Vec<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    comment: String,
    /// When it begins; else now
    #[arg(long, value_name = "TIME", value_parser = when::instant)]
    start: Option<Timestamp>,
    /// When it ends
    #[arg(long, value_name = "TIME", value_parser = when::instant, conflicts_with = "duration")]
    until: Option<Timestamp>,
    /// How long it lasts, such as 2h
    #[arg(long = "for", id = "duration", value_name = "DURATION", value_parser = when::duration, required_unless_present = "until")]
    duration: Option<String>,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    service: ServiceArgs,
}

/// End a silence
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  unhang silence end 3 --reason \"patched\"\n\nNeeds a token with role operator."
)]
pub(super) struct EndArgs {
    /// Number of the silence, as `silence list` shows it
    id: u64,
    /// Why; kept in the audit
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    service: ServiceArgs,
}

/// List the silences
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  unhang silence list\n  unhang silence list --output json")]
pub(super) struct ListArgs {
    #[command(flatten)]
    look: LookArgs,
}

/// Show a silence
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  unhang silence show 3")]
pub(super) struct ShowArgs {
    /// Its number
    id: u64,
    #[command(flatten)]
    look: LookArgs,
}

const SILENCES: &[Column] = &[
    column("id", |row| text_of(row, "id")),
    column("from", |row| at(row, "startsAt")),
    column("until", |row| at(row, "endsAt")),
    column("author", |row| text_of(row, "author")),
    column("matchers", |row| joined(row, "matchers")),
    column("comment", |row| text_of(row, "comment")),
];

fn matcher(text: &str) -> Result<String, String> {
    Matcher::parse(text).map(|_matcher| text.to_owned()).map_err(|error| error.to_string())
}

/// Runs one of the commands.
pub(super) async fn run(command: SilenceCommand, out: &mut Out) -> Result<(), Failure> {
    match command {
        SilenceCommand::Add(args) => add(args, out).await,
        SilenceCommand::End(args) => end(args, out).await,
        SilenceCommand::List(args) => whole("silences", &[], &args.look, SILENCES, out).await.map(drop),
        SilenceCommand::Show(args) => one_of("silences", "id", &args.id.to_string(), &args.look, out).await,
    }
}

async fn add(args: AddArgs, out: &mut Out) -> Result<(), Failure> {
    if args.comment.trim().is_empty() {
        return Err(Failure::usage("--comment must say something"));
    }
    let mut body = Map::from_iter([
        ("matchers".to_owned(), json!(args.matchers)),
        ("comment".to_owned(), json!(args.comment)),
    ]);
    for (field, value) in [("startsAt", args.start), ("endsAt", args.until)] {
        if let Some(at) = value {
            body.insert(field.to_owned(), json!(at));
        }
    }
    if let Some(duration) = &args.duration {
        body.insert("duration".to_owned(), json!(duration));
    }
    let answer = Client::new(&args.service)?.post(&["silences"], &Value::Object(body), None).await?;
    print_answer(&answer, args.output, out)
}

async fn end(args: EndArgs, out: &mut Out) -> Result<(), Failure> {
    let answer =
        Client::new(&args.service)?.delete(&["silences", &args.id.to_string()], &args.reason).await?;
    if answer.is_null() && args.output == Format::Text {
        out.line(format_args!("silence {} is over", args.id))?;
        return Ok(());
    }
    print_answer(&answer, args.output, out)
}
