//! `tail`: events as they are committed, one line each, over restarts of the service.
//!
//! Never: leaves a gap or tells an event twice; it goes on behind the last place that the service named.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::client::{Client, ServiceArgs};
use super::event::event_line;
use super::failure::Failure;
use super::out::{Format, Out};
use super::why::number;

/// Waits before it connects again; the last one is kept.
const WAITS: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(10)];
/// Longest event that is read; the service's own are far below.
const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Follow what happens, event by event
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang tail
  unhang tail --server win-app-01
  unhang tail --kind remediation_moved,attempt_outcome,storm_opened
  unhang tail --after 0 --count 100 --output json

Begins with the next event, or behind --after. A lost connection is made again, without a gap. Times are UTC. With
--output json each line is an event as the audit has it. Needs a token with role viewer.")]
pub(super) struct TailArgs {
    /// Kinds of events, with commas between
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kind: Vec<String>,
    /// Number or exact name of a server
    #[arg(long, value_name = "SERVER")]
    server: Option<String>,
    /// Remediation
    #[arg(long, value_name = "ID")]
    remediation: Option<String>,
    /// Incident
    #[arg(long, value_name = "ID")]
    incident: Option<String>,
    /// Begin behind this place (`seq`); 0 is the beginning
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(i64).range(0..))]
    after: Option<i64>,
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Whole lines and more fields, however wide
    #[arg(long)]
    wide: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    service: ServiceArgs,
}

/// Follows until the reader goes away, enough was told, or the service refuses.
pub(super) async fn run(args: TailArgs, out: &mut Out) -> Result<(), Failure> {
    let mut query = Vec::new();
    if let Some(server) = &args.server {
        query.push(("serverInstanceNo", number(&Client::new(&args.service)?, server).await?));
    }
    if !args.kind.is_empty() {
        query.push(("kind", args.kind.join(",")));
    }
    query.extend(args.remediation.clone().map(|id| ("remediationId", id)));
    query.extend(args.incident.clone().map(|id| ("incidentId", id)));
    query.extend(args.after.map(|after| ("after", after.to_string())));
    let client = Client::patient(&args.service)?;
    let mut place: Option<String> = None;
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut waits = WAITS.iter();
    let mut told = false;
    loop {
        match client.follow(&["stream"], &query, place.as_deref()).await {
            Ok(mut following) => {
                (waits, told) = (WAITS.iter(), false);
                let mut events = Events::default();
                while let Some(piece) = following.next().await {
                    events.take(&piece)?;
                    while let Some(event) = events.next() {
                        place = event.id.or(place);
                        let Some(data) = event.data else { continue };
                        print(&data, &args, out)?;
                        left -= 1;
                        if left == 0 {
                            return Ok(());
                        }
                    }
                    out.flush()?;
                    if out.closed() {
                        return Ok(());
                    }
                }
            }
            // Whoever never was connected is told at once.
            Err(failure) if place.is_none() || !failure.is_unreachable() => return Err(failure),
            Err(failure) if !std::mem::replace(&mut told, true) => {
                Out::stderr().line(format_args!("{}; trying again", failure.text()))?;
            }
            Err(_again) => {}
        }
        let wait = waits.next().or(WAITS.last()).copied().unwrap_or_default();
        tokio::time::sleep(wait).await;
    }
}

fn print(data: &str, args: &TailArgs, out: &mut Out) -> Result<(), Failure> {
    match args.output {
        Format::Json => out.json_text(data)?,
        Format::Text => {
            let event: Value = serde_json::from_str(data).unwrap_or(Value::Null);
            out.line(event_line(&event, args.wide))?;
        }
    }
    Ok(())
}

/// What arrived of a stream and is not told yet.
#[derive(Debug, Default)]
struct Events {
    bytes: Vec<u8>,
}

/// One block of a stream: a place, and an event where there is one.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    id: Option<String>,
    data: Option<String>,
}

impl Events {
    fn take(&mut self, piece: &[u8]) -> Result<(), Failure> {
        if self.bytes.len() + piece.len() > EVENT_BYTES_MAX {
            return Err(Failure::unreachable("the service sends an event without an end"));
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    fn next(&mut self) -> Option<Block> {
        let end = self.bytes.windows(2).position(|two| two == b"\n\n")?;
        let block: Vec<u8> = self.bytes.drain(..end + 2).collect();
        let text = String::from_utf8_lossy(&block);
        let field = |name: &str| {
            let values = text.lines().filter_map(|line| {
                let value = line.strip_prefix(name)?.strip_prefix(':')?;
                Some(value.strip_prefix(' ').unwrap_or(value))
            });
            let values: Vec<&str> = values.collect();
            (!values.is_empty()).then(|| values.join("\n"))
        };
        Some(Block { id: field("id"), data: field("data") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_whatever_the_pieces() {
        let text = "retry: 2000\nid: 6\n\nid: 7\nevent: alert_decided\ndata: {\"a\":\ndata: 1}\n\n: still here\nid: 9\n\n";
        let block =
            |id: &str, data: Option<&str>| Block { id: Some(id.into()), data: data.map(str::to_owned) };
        for size in [1, 2, 7, text.len()] {
            let (mut events, mut seen) = (Events::default(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                events.take(piece).unwrap();
                seen.extend(std::iter::from_fn(|| events.next()));
            }
            assert_eq!(seen, [block("6", None), block("7", Some("{\"a\":\n1}")), block("9", None)]);
        }
    }
}
