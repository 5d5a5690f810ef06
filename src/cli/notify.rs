//! `notify`: whether people outside can be reached, and what they were told.
//!
//! Never: prints the address or the secret of a receiver.

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::client::{Client, ServiceArgs, text_of};
use super::failure::Failure;
use super::out::{Format, Out};
use super::place::ConfigArgs;
use super::table::{Table, wrapped};
use super::when;
use crate::clock::Clock;
use crate::domain::limits::later;
use crate::domain::notice::{Kind, Message};
use crate::outbox::{Outgoing, Poster};

/// How long the alert of a test stands in Alertmanager.
const TEST_STANDS: SignedDuration = SignedDuration::from_mins(5);

/// Messages to people outside: try the receivers, or show how they stand
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  unhang notify test
  unhang notify test oncall
  unhang notify list")]
pub(super) enum NotifyCommand {
    Test(TestArgs),
    List(ListArgs),
}

/// Send a test message through each receiver and say what came back
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang notify test --config unhang.toml
  unhang notify test oncall --config unhang.toml

Needs no service and no token: it reads the configuration and its secrets, and posts from this machine.
Exit codes: 0 every receiver took it, 1 one did not.")]
pub(super) struct TestArgs {
    /// The receiver; else each
    receiver: Option<String>,
    /// How the answers are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Show the receivers and the newest messages
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang notify list
  unhang notify list --receiver oncall --state waiting
  unhang notify list --output json

Needs a token with role viewer.")]
pub(super) struct ListArgs {
    /// Messages of this receiver only
    #[arg(long, value_name = "NAME")]
    receiver: Option<String>,
    /// `waiting`, `standing`, `delivered` or `given_up`
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Messages at most
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    service: ServiceArgs,
}

/// Runs one of the commands.
pub(super) async fn run(command: NotifyCommand, out: &mut Out) -> Result<(), Failure> {
    match command {
        NotifyCommand::Test(args) => test(&args, out).await,
        NotifyCommand::List(args) => list(&args, out).await,
    }
}

async fn test(args: &TestArgs, out: &mut Out) -> Result<(), Failure> {
    let config = args.config.load_or_tell()?.config;
    let wanted = |name: &str| args.receiver.as_ref().is_none_or(|receiver| receiver == name);
    let receivers: Vec<_> = config.notify.iter().filter(|one| wanted(&one.name)).collect();
    if receivers.is_empty() {
        return Err(Failure::usage(match &args.receiver {
            Some(name) => format!("no receiver is called {name}; see [[notify]] in the configuration"),
            None => "no receiver is configured; see [[notify]] in docs/CONFIG.md".to_owned(),
        }));
    }
    let (poster, links) = (Poster::new(), config.links());
    let mut table = Table::new(&["receiver", "kind", "taken", "ms", "answer"]);
    let (mut items, mut not_taken) = (Vec::new(), Vec::new());
    for receiver in receivers {
        let now = Clock::default().wall();
        let outgoing = Outgoing {
            webhook_id: format!("msg_test_{}", uuid::Uuid::now_v7().simple()),
            audit_seq: None,
            message: Message::new(Kind::Test, now),
            ends_at: later(now, TEST_STANDS),
        };
        let (taken, ms, status, said) = match poster.post(receiver, &outgoing, &links, now).await {
            Ok(answer) => (true, Some(answer.took.as_millis()), Some(answer.status), answer.said),
            Err(failed) => (false, None, None, failed.why),
        };
        let shown =
            status.map_or_else(|| "-".to_owned(), |status| format!("{status} {said}").trim_end().to_owned());
        if !taken {
            not_taken.push(format!("{}: {said}", receiver.name));
        }
        table.row([
            receiver.name.clone(),
            receiver.kind.as_str().to_owned(),
            if taken { "yes" } else { "NO" }.to_owned(),
            ms.map_or_else(|| "-".to_owned(), |ms| ms.to_string()),
            shown,
        ]);
        items.push(json!({
            "receiver": receiver.name, "kind": receiver.kind.as_str(), "taken": taken, "milliseconds": ms.and_then(|ms| u64::try_from(ms).ok()),
            "status": status, "answer": said, "webhookId": outgoing.webhook_id,
        }));
    }
    match args.output {
        Format::Json => out.json(&json!({ "items": items }))?,
        Format::Text => {
            table.print(out, false)?;
            // Whole: what is wrong must not be cut off.
            let mut told = not_taken.iter().flat_map(|trouble| wrapped("", trouble));
            told.try_for_each(|line| out.line(line))?;
        }
    }
    if not_taken.is_empty() {
        return Ok(());
    }
    Err(Failure::not_so(format!("{} of {} did not take the test message", not_taken.len(), items.len())))
}

async fn list(args: &ListArgs, out: &mut Out) -> Result<(), Failure> {
    let mut query = vec![("limit", args.limit.to_string())];
    for (name, value) in [("receiver", &args.receiver), ("state", &args.state)] {
        query.extend(value.clone().map(|value| (name, value)));
    }
    let page = Client::new(&args.service)?.get(&["notifications"], &query).await?;
    if args.output == Format::Json {
        out.json(&page)?;
        return Ok(());
    }
    let rows = |field: &str| page.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let receivers = rows("receivers");
    if receivers.is_empty() {
        out.line("no receivers")?;
        return Ok(());
    }
    let mut table = Table::new(&["receiver", "kind", "waiting", "standing", "last taken"]);
    for row in &receivers {
        table.row([
            text_of(row, "name"),
            text_of(row, "kind"),
            text_of(row, "waiting"),
            text_of(row, "standing"),
            at(row, "lastDeliveredAt"),
        ]);
    }
    table.print(out, false)?;
    for row in receivers.iter().filter(|row| !text_of(row, "lastError").is_empty()) {
        let trouble = format!("{}: {}", text_of(row, "name"), text_of(row, "lastError"));
        wrapped("", &trouble).into_iter().try_for_each(|line| out.line(line))?;
    }
    let mut table = Table::new(&["id", "made", "receiver", "message", "state", "about"]).keep("id");
    for row in rows("items") {
        let message = row.get("message").cloned().unwrap_or_default();
        let about = ["serverName", "serverInstanceNo", "policy", "source", "detail"]
            .into_iter()
            .map(|field| text_of(&message, field))
            .find(|text| !text.is_empty());
        table.row([
            text_of(&row, "id"),
            at(&row, "madeAt"),
            text_of(&row, "receiver"),
            text_of(&message, "kind"),
            text_of(&row, "state"),
            about.unwrap_or_default(),
        ]);
    }
    out.line("")?;
    if table.is_empty() {
        out.line("no messages")?;
    } else {
        table.print(out, false)?;
    }
    Ok(())
}

fn at(row: &Value, field: &str) -> String {
    text_of(row, field).parse::<Timestamp>().map_or_else(|_none| "-".to_owned(), when::short)
}
