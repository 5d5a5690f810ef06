//! `explain`: what a payload would lead to, decided here; nothing is sent and nothing is kept.
//!
//! Never: calls the service or the cloud, or writes to the store.

use std::io::Read as _;
use std::path::PathBuf;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::failure::Failure;
use super::out::{Format, Out, clean};
use super::place::ConfigArgs;
use super::table::Table;
use crate::clock::Clock;
use crate::config::{Config, SourceConfig};
use crate::domain::facts::{Facts, Heartbeat, TargetFact};
use crate::domain::guard::{Trace, Verdict};
use crate::domain::guest::GuestFacts;
use crate::domain::server::RegionCode;
use crate::domain::storm::StormFacts;
use crate::domain::target::TargetName;
use crate::files;
use crate::intake::{self, AlertAnswer};
use crate::sources::{self, ParseLimits};
use crate::store::{FactSource, FactsWanted, Store, StoreError};

/// Show what a payload would lead to: each alert's decision and every guard; nothing is sent or kept
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang explain --config unhang.toml --source alertmanager payload.json
  jq . payload.json | unhang explain --source alertmanager -

With a store, its facts count (inventory, attempts, holds); without one, none are known.
Credentials are not asked for: the payload is taken as if its sender had proven itself.")]
pub(super) struct ExplainArgs {
    /// Name of the source, as in the path /webhooks/{name}
    #[arg(long, value_name = "NAME")]
    source: String,
    /// The body as it would be delivered; - reads standard input
    #[arg(value_name = "PAYLOAD.json")]
    payload: PathBuf,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Facts where there is no store: none.
struct NoFacts;

impl FactSource for NoFacts {
    async fn target(
        &mut self,
        _region: &RegionCode,
        _name: &TargetName,
        _now: Timestamp,
        _fresh_for: SignedDuration,
    ) -> Result<TargetFact, StoreError> {
        Ok(TargetFact::Pending)
    }

    async fn facts(&mut self, wanted: FactsWanted) -> Result<Facts, StoreError> {
        Ok(Facts {
            target: wanted.target,
            newest_resolved_end: None,
            ended_in_delivery: false,
            trust: wanted.trust,
            joined_end: None,
            live: None,
            attempts: Vec::new(),
            holds: Vec::new(),
            hold_file: wanted.hold_file,
            silences: [].into(),
            storm: StormFacts::default(),
            tried: Vec::new(),
            demoted: None,
            quarantine: None,
            unwatched: Vec::new(),
            listed_uptime_at: None,
            incident_opened_at: None,
            guest: GuestFacts::default(),
            heartbeats: wanted
                .heartbeats
                .into_iter()
                .map(|(source, within)| Heartbeat { source, within, last_at: None })
                .collect(),
        })
    }
}

/// Explains.
pub(super) async fn run(args: ExplainArgs, out: &mut Out) -> Result<(), Failure> {
    let config = args.config.load_or_tell()?.config;
    let source = config.sources.iter().find(|source| source.name == args.source).ok_or_else(|| {
        let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
        Failure::usage(format!("no source {:?} is configured; there are: {}", args.source, names.join(", ")))
    })?;
    let body = read(&args.payload, config.server.body_bytes_max)?;
    let now = Clock::default().wall();
    let limits = ParseLimits::from(&config.server);
    let envelope = sources::parse(source, &limits, &body, None, now).map_err(|error| {
        Failure::not_so(format!("the delivery would be answered {}: {error}", error.http_status()))
    })?;
    let (explained, with_store) = decide(&config, source, &envelope, now).await?;
    if args.output == Format::Json {
        let alerts: Vec<_> =
            explained.iter().map(|(answer, trace)| json!({ "answer": answer, "trace": trace })).collect();
        out.json(&json!({ "alerts": alerts, "withStore": with_store, "configHash": config.hash }))?;
        return Ok(());
    }
    if !with_store {
        let path = &config.store.place;
        out.line(format_args!("no store at {path}: inventory, attempts and holds are not known"))?;
    }
    if envelope.truncated > 0 {
        out.line(format_args!(
            "the sender left {} alerts out: nothing of this delivery acts",
            envelope.truncated
        ))?;
    }
    for (number, (answer, trace)) in (1..).zip(&explained) {
        print(number, answer, trace, out)?;
    }
    Ok(())
}

async fn decide(
    config: &Config,
    source: &SourceConfig,
    envelope: &crate::domain::alert::Envelope,
    now: Timestamp,
) -> Result<(Vec<(AlertAnswer, Trace)>, bool), Failure> {
    let (name, trust) = (source.name.as_str(), source.trust);
    if config.store.place.may_be_there() {
        let mut store = Store::open_read_only_at(&config.store.place).await?;
        Ok((intake::explain(&mut store, name, trust, envelope, None, config, now).await?, true))
    } else {
        Ok((intake::explain(&mut NoFacts, name, trust, envelope, None, config, now).await?, false))
    }
}

fn read(path: &std::path::Path, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let shown = path.display();
    let cap = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut body = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(cap).read_to_end(&mut body)
    } else {
        files::open(path).and_then(|file| file.take(cap).read_to_end(&mut body))
    };
    read.map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    if body.len() > bytes_max {
        return Err(Failure::not_so(format!(
            "the delivery would be answered 413: {shown} is larger than server.body_bytes_max ({bytes_max})"
        )));
    }
    Ok(body)
}

fn print(number: usize, answer: &AlertAnswer, trace: &Trace, out: &mut Out) -> Result<(), Failure> {
    let server = answer.server_instance_no.as_deref().unwrap_or("not known");
    let fingerprint = answer.fingerprint.as_deref().unwrap_or("none");
    out.line("")?;
    out.line(format_args!("alert {number}: fingerprint {}, server {}", clean(fingerprint), clean(server)))?;
    out.line(format_args!("decision: {}", sentence(answer)))?;
    let mut table = Table::new(&["guard", "verdict", "seen", "wanted", "until"]);
    for check in &trace.0 {
        table.row([
            check.guard.as_str().to_owned(),
            verdict_word(check.verdict).to_owned(),
            check.seen.clone(),
            check.limit.clone(),
            check.until.map_or_else(String::new, super::when::short),
        ]);
    }
    if !table.is_empty() {
        table.print(out, false)?;
    }
    Ok(())
}

fn sentence(answer: &AlertAnswer) -> String {
    let mut text = answer.decision.as_str().to_owned();
    if let Some(reason) = answer.reason {
        text.push_str(", ");
        text.push_str(reason.as_str());
    }
    if let Some(until) = answer.until {
        text.push_str(", until ");
        text.push_str(&until.to_string());
    }
    if !answer.detail.is_empty() {
        text.push_str(": ");
        text.push_str(&clean(&answer.detail));
    }
    text
}

/// A guard's answer in the words of a table.
pub(super) fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Stop => "NO",
        Verdict::Wait => "wait",
        Verdict::Expire => "expire",
        Verdict::AskPerson => "ask person",
        Verdict::NotConfigured => "not asked",
    }
}
