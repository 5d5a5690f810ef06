//! `audit list`: newest first, a page at a time.
//!
//! Never: prints a line wider than a terminal unless asked to.

use clap::Args;
use serde_json::Value;

use super::FilterArgs;
use crate::cli::client::{Client, ServiceArgs};
use crate::cli::failure::Failure;
use crate::cli::listing::items;
use crate::cli::out::{Format, Out};
use crate::cli::place::StoreArgs;
use crate::cli::table::Table;
use crate::cli::when;
use crate::export;
use crate::store::{AuditItem, Page, PageRequest};
use crate::telemetry::chain;

/// List events, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang audit list --server 90000001 --since 24h
  unhang audit list --request-id 0d4e1f9a-6f0e-4b6c-9d8f-3a1b2c3d4e5f --output json
  unhang audit list --outcome unknown --wide
  unhang audit list --remote --kind storm_opened

Times are UTC. A clipped cell ends in …; --wide shows it whole.")]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Most rows
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=1000))]
    limit: i64,
    /// Where the page before ended, as it said
    #[arg(long, value_parser = clap::value_parser!(u64))]
    cursor: Option<u64>,
    /// Whole cells and more columns, however wide
    #[arg(long)]
    wide: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    /// Ask the service instead of reading the store
    #[arg(long)]
    remote: bool,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    service: ServiceArgs,
}

/// Lists.
pub(super) async fn run(args: ListArgs, out: &mut Out) -> Result<(), Failure> {
    let page = if args.remote { asked(&args).await? } else { read(&args).await? };
    if args.output == Format::Json {
        out.json(&page)?;
        return Ok(());
    }
    if page.items.is_empty() {
        out.line("no events")?;
        return Ok(());
    }
    table_of(&page.items, args.wide).print(out, args.wide)?;
    if let Some(cursor) = page.next_cursor {
        out.line(format_args!("more: --cursor {cursor}"))?;
    }
    Ok(())
}

/// From the store itself.
async fn read(args: &ListArgs) -> Result<Page<AuditItem>, Failure> {
    let store = args.store.open_read_only().await?;
    let page = PageRequest {
        limit: args.limit,
        cursor: args.cursor.map(|cursor| cursor.to_string()),
        ascending: false,
    };
    Ok(store.audit(&args.filter.filter(), &page).await?)
}

/// From the service, where the store is out of reach.
async fn asked(args: &ListArgs) -> Result<Page<AuditItem>, Failure> {
    let mut query = args.filter.query();
    query.push(("limit", args.limit.to_string()));
    query.extend(args.cursor.map(|cursor| ("cursor", cursor.to_string())));
    let answer = Client::new(&args.service)?.get(&["audit"], &query).await?;
    let rows = items(&answer).iter().map(|item| export::read_row(&item.to_string()));
    let rows = rows.collect::<Result<Vec<_>, _>>().map_err(|error| Failure::unreachable(chain(&error)))?;
    Ok(Page { items: rows, next_cursor: answer.get("nextCursor").and_then(Value::as_str).map(str::to_owned) })
}

/// Events as a table.
fn table_of(items: &[AuditItem], wide: bool) -> Table {
    let word = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    if !wide {
        let mut table = Table::new(&["time", "kind", "server", "result", "reason", "requestId"]);
        for item in items {
            let event = &item.event;
            table.row([
                when::short(event.at),
                event.kind.clone(),
                word(&event.server_instance_no),
                word(&event.outcome.clone().or_else(|| event.decision.clone())),
                word(&event.reason),
                word(&event.request_id),
            ]);
        }
        return table;
    }
    let mut table = Table::new(&[
        "seq",
        "time",
        "kind",
        "actor",
        "server",
        "decision",
        "outcome",
        "reason",
        "requestId",
        "policy",
        "remediation",
        "delivery",
        "trace",
    ]);
    for item in items {
        let event = &item.event;
        table.row([
            item.seq.to_string(),
            event.at.to_string(),
            event.kind.clone(),
            format!("{} {}", event.actor.kind.as_str(), event.actor.name),
            word(&event.server_instance_no),
            word(&event.decision),
            word(&event.outcome),
            word(&event.reason),
            word(&event.request_id),
            word(&event.policy),
            word(&event.remediation_id),
            word(&event.delivery_id),
            word(&event.trace_id),
        ]);
    }
    table
}
