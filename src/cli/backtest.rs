//! `backtest`: what a changed configuration would have done to the alerts of a store.
//!
//! Never: sends, or writes to the store; a running service is not disturbed.

use std::time::Instant;

use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};

use super::failure::Failure;
use super::out::{Format, Out};
use super::place::StoreArgs;
use super::table::Table;
use super::when;
use crate::backtest::{self, Cut, Progress, Report, Wanted, Wish};
use crate::clock::Clock;
use crate::domain::decision::Decision;
use crate::domain::limits::earlier;
use crate::domain::policy::Mode;

/// How far back it looks when nothing is said.
const BACK: SignedDuration = SignedDuration::from_hours(24 * 30);
/// Signs of the bar of progress.
const BAR: usize = 24;
/// Differences and servers that are printed as text.
const ROWS: usize = 20;

/// A mode that can be wished for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Wished {
    Off,
    Shadow,
    Approve,
    Auto,
}

/// Show what a changed configuration would have done to recorded alerts; nothing is sent or kept
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang backtest --config new.toml --store data/unhang.db
  unhang backtest --config new.toml --since 2026-11-01T00:00:00Z --output json
  unhang backtest --mode auto --policy hung-windows     what if it had been allowed to act?

Recorded alerts go in their order through the guards and limits of the named configuration; simulated interrupts count
for cooldowns and budgets. What it cannot know is told at the end. Works while the service runs.")]
pub(super) struct BacktestArgs {
    #[command(flatten)]
    place: StoreArgs,
    /// Alerts from this time on; else of the last 30 days
    #[arg(long, value_name = "T", value_parser = when::instant_or_age)]
    since: Option<Timestamp>,
    /// Replay in this mode instead of the configured one
    #[arg(long, value_enum)]
    mode: Option<Wished>,
    /// Only this policy is replayed in that mode
    #[arg(long, value_name = "NAME", requires = "mode")]
    policy: Option<String>,
    /// How the report is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// Replays.
pub(super) async fn run(args: BacktestArgs, out: &mut Out) -> Result<(), Failure> {
    let (config, store) = args.place.with_config().await?;
    if let Some(name) = &args.policy
        && !config.rules.policies.iter().any(|policy| policy.name == *name)
    {
        return Err(Failure::usage(format!("no policy {name:?} is configured")));
    }
    let mode = args.mode.map(|wished| match wished {
        Wished::Off => Mode::Off,
        Wished::Shadow => Mode::Shadow,
        Wished::Approve => Mode::Approve,
        Wished::Auto => Mode::Auto,
    });
    let now = Clock::default().wall();
    let since = args.since.unwrap_or_else(|| earlier(now, BACK));
    let wish = mode.map(|mode| Wish { policy: args.policy, mode });
    let wanted = Wanted { since, now, wish, cut: Cut::default() };
    let mut watch = Out::stderr();
    let mut told = Ok(());
    let begun = Instant::now();
    let report = backtest::run(&store, &config, &wanted, |progress| {
        if told.is_ok() {
            told = watch.progress(bar(progress, begun));
        }
    })
    .await?;
    told?;
    watch.end_progress()?;
    match args.output {
        Format::Json => out.json(&report)?,
        Format::Text => print(&report, begun, out)?,
    }
    Ok(())
}

/// Alerts in a second, as whole number.
fn pace(done: u64, begun: Instant) -> u128 {
    u128::from(done) * 1000 / begun.elapsed().as_millis().max(1)
}

fn bar(Progress { done, of }: Progress, begun: Instant) -> String {
    let full = usize::try_from(done * 24 / of.max(1)).unwrap_or(BAR).min(BAR);
    let percent = (done * 100 / of.max(1)).min(100);
    let pace = pace(done, begun);
    format!("[{}{}] {percent} % of {of} alerts, {pace} a second", "#".repeat(full), ".".repeat(BAR - full))
}

fn print(report: &Report, begun: Instant, out: &mut Out) -> Result<(), Failure> {
    out.line(format_args!(
        "{} alerts from {} to {}, {} a second",
        report.alerts,
        when::short(report.since),
        when::short(report.until),
        pace(report.alerts, begun)
    ))?;
    let left = &report.left_out;
    out.line(format_args!(
        "not replayed: {} of people, {} unreadable, {} of sources that are not configured",
        left.replayed, left.unreadable, left.source_gone
    ))?;
    let mut policies =
        Table::new(&["policy", "mode", "would remediate", "would ask", "would send", "was sent"]);
    let mut decisions = Table::new(&["policy", "server", "decision", "reason", "would", "was"]);
    let text = |name: &Option<String>| name.clone().unwrap_or_else(|| "(none)".to_owned());
    for policy in &report.policies {
        policies.row([
            text(&policy.policy),
            policy.mode.map_or_else(String::new, |mode| mode.as_str().to_owned()),
            policy.would_remediate.to_string(),
            policy.would_ask.to_string(),
            policy.would_send.to_string(),
            policy.was_sent.to_string(),
        ]);
        for server in policy.servers.iter().take(ROWS) {
            let name =
                server.server_instance_no.as_ref().map_or_else(|| "(none)".to_owned(), ToString::to_string);
            for count in server.decisions.counts() {
                decisions.row([
                    text(&policy.policy),
                    name.clone(),
                    count.decision.as_str().to_owned(),
                    count.reason.map_or("", crate::domain::guard::Reason::as_str).to_owned(),
                    count.simulated.to_string(),
                    count.recorded.to_string(),
                ]);
            }
        }
    }
    for (title, table) in [("policies", policies), ("decisions by server", decisions)] {
        out.line(format_args!("\n{title}:"))?;
        table.print(out, false)?;
    }
    differences(report, out)?;
    out.line("\nwhat it cannot know:")?;
    for text in &report.assumptions {
        out.line(format_args!("  {text}"))?;
    }
    Ok(())
}

fn differences(report: &Report, out: &mut Out) -> Result<(), Failure> {
    out.line(format_args!("\nalerts that would be decided otherwise: {}", report.differences_total))?;
    let word = |decision: Decision, reason: Option<crate::domain::guard::Reason>| {
        let reason = reason.map(|reason| format!(" {}", reason.as_str()));
        format!("{}{}", decision.as_str(), reason.unwrap_or_default())
    };
    let mut table = Table::new(&["at", "server", "was", "would be", "because"]);
    for one in report.differences.iter().take(ROWS) {
        table.row([
            when::short(one.received_at),
            one.server_instance_no.clone().unwrap_or_default(),
            word(one.recorded, one.recorded_reason),
            word(one.simulated, one.simulated_reason),
            one.detail.clone(),
        ]);
    }
    if !table.is_empty() {
        table.print(out, false)?;
    }
    let mut lives = Table::new(&["decided", "server", "policy", "would be", "reason", "was"]);
    for act in report.remediations.iter().filter(|act| !act.same).take(ROWS) {
        lives.row([
            when::short(act.decided_at),
            act.server_instance_no.to_string(),
            act.policy.clone(),
            act.end.as_str().to_owned(),
            act.reason.map_or("", crate::domain::guard::Reason::as_str).to_owned(),
            act.recorded_state.map_or("", crate::domain::remediation::State::as_str).to_owned(),
        ]);
    }
    out.line("\nremediations that would have ended otherwise:")?;
    if lives.is_empty() {
        out.line("  none")?;
    } else {
        lives.print(out, false)?;
    }
    Ok(())
}
