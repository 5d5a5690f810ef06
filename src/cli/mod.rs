//! The command line: what may be asked, and the exit code of the answer.
//!
//! Never: decides anything, writes to the store but through the service, or shows a backtrace.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

mod audit;
mod backtest;
mod client;
mod demo;
mod event;
mod explain;
mod failure;
mod guards;
mod guest;
mod hands;
mod health;
mod hold;
mod hold_file;
mod import;
mod listing;
mod look;
mod manual;
mod migrate;
mod notify;
mod openapi;
mod out;
mod place;
mod quarantine;
mod serve;
mod silence;
mod simulate;
mod status;
mod store;
mod table;
mod tail;
mod token;
mod upkeep;
mod when;
mod why;

use failure::Failure;
use out::Out;

/// Turns a hung-server alert into one NAVER Cloud diagnostic interrupt, at most once, with proof.
#[derive(Debug, Parser)]
#[command(name = "unhang", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  unhang demo                                  watch the whole loop on this machine, nothing to set up
  unhang check-config --config unhang.toml     every problem at once
  unhang serve --config unhang.toml            run the service
  unhang status                                what needs a person now?
  unhang why 90000001                          why was nothing sent?
  unhang tail                                  what happens, as it happens
  unhang hold set --reason \"stop everything\"   nothing is sent until it is cleared

Exit codes: 0 done, 1 the thing asked for is not so, 2 bad usage or configuration,
3 cannot reach the store or the service.";

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "built once")]
enum Command {
    Serve(serve::ServeArgs),
    Demo(demo::DemoArgs),
    SimulateCloud(simulate::SimulateArgs),
    CheckConfig(upkeep::CheckArgs),
    Explain(explain::ExplainArgs),
    Backtest(backtest::BacktestArgs),
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    Replay(hands::ReplayArgs),
    Approve(hands::ApproveArgs),
    Deny(hands::DenyArgs),
    Cancel(hands::CancelArgs),
    Settle(hands::SettleArgs),
    #[command(subcommand)]
    Hold(hold::HoldCommand),
    #[command(subcommand)]
    Silence(silence::SilenceCommand),
    Order(hands::OrderArgs),
    #[command(subcommand)]
    Storm(guards::StormCommand),
    #[command(subcommand)]
    Breaker(guards::BreakerCommand),
    #[command(subcommand)]
    Policy(guards::PolicyCommand),
    #[command(subcommand)]
    Notify(notify::NotifyCommand),
    Why(why::WhyArgs),
    Status(status::StatusArgs),
    Health(health::HealthArgs),
    Tail(tail::TailArgs),
    #[command(subcommand)]
    Incident(look::IncidentCommand),
    #[command(subcommand)]
    Remediation(look::RemediationCommand),
    #[command(subcommand)]
    Delivery(look::DeliveryCommand),
    #[command(subcommand)]
    Server(look::ServerCommand),
    #[command(subcommand)]
    Source(look::SourceCommand),
    #[command(subcommand)]
    Budget(look::BudgetCommand),
    DumpCollected(guest::DumpCollectedArgs),
    #[command(subcommand)]
    Token(token::TokenCommand),
    Backup(upkeep::BackupArgs),
    Migrate(migrate::MigrateArgs),
    #[command(subcommand)]
    Import(import::ImportCommand),
    Openapi(openapi::OpenapiArgs),
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineCommand),
    Completions(manual::CompletionsArgs),
    Man(manual::ManArgs),
    Version(VersionArgs),
}

/// Print the version
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  unhang version")]
struct VersionArgs {}

/// Runs what the process was asked for.
pub async fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors; a closed pipe is none either.
            drop(error.print());
            return u8::try_from(error.exit_code()).map_or(ExitCode::from(2), ExitCode::from);
        }
    };
    let mut out = Out::stdout();
    let done = dispatch(cli.command, &mut out).await;
    let flushed = out.flush().map_err(Failure::from);
    match done.and(flushed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let told = Out::stderr().line(format_args!("error: {}", failure.text()));
            // Nobody is left to tell.
            drop(told);
            failure.code()
        }
    }
}

/// Tells that not even the runtime could be built.
pub fn no_runtime(error: &std::io::Error) -> ExitCode {
    drop(Out::stderr().line(format_args!("error: cannot start threads: {error}")));
    ExitCode::from(3)
}

async fn dispatch(command: Command, out: &mut Out) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => Box::pin(serve::run(args)).await,
        Command::Demo(args) => Box::pin(demo::run(args, out)).await,
        Command::SimulateCloud(args) => Box::pin(simulate::run(args, out)).await,
        Command::CheckConfig(args) => upkeep::check_config(&args, out),
        Command::Explain(args) => Box::pin(explain::run(args, out)).await,
        Command::Backtest(args) => Box::pin(backtest::run(args, out)).await,
        Command::Audit(command) => Box::pin(audit::run(command, out)).await,
        Command::Replay(args) => Box::pin(hands::replay(args, out)).await,
        Command::Approve(args) => Box::pin(hands::approve(args, out)).await,
        Command::Deny(args) => Box::pin(hands::deny(args, out)).await,
        Command::Cancel(args) => Box::pin(hands::cancel(args, out)).await,
        Command::Settle(args) => Box::pin(hands::settle(args, out)).await,
        Command::Hold(command) => Box::pin(hold::run(command, out)).await,
        Command::Silence(command) => Box::pin(silence::run(command, out)).await,
        Command::Order(args) => Box::pin(hands::order(args, out)).await,
        Command::Storm(command) => Box::pin(guards::storm(command, out)).await,
        Command::Breaker(command) => Box::pin(guards::breaker(command, out)).await,
        Command::Policy(command) => Box::pin(guards::policy(command, out)).await,
        Command::Notify(command) => Box::pin(notify::run(command, out)).await,
        Command::Why(args) => Box::pin(why::run(args, out)).await,
        Command::Status(args) => Box::pin(status::run(args, out)).await,
        Command::Health(args) => Box::pin(health::run(args, out)).await,
        Command::Tail(args) => Box::pin(tail::run(args, out)).await,
        Command::Incident(command) => Box::pin(look::incident(command, out)).await,
        Command::Remediation(command) => Box::pin(look::remediation(command, out)).await,
        Command::Delivery(command) => Box::pin(look::delivery(command, out)).await,
        Command::Server(command) => Box::pin(look::server(command, out)).await,
        Command::Source(command) => Box::pin(look::source(command, out)).await,
        Command::Budget(command) => Box::pin(look::budget(command, out)).await,
        Command::DumpCollected(args) => Box::pin(guest::dump_collected(args, out)).await,
        Command::Token(command) => token::run(&command, out),
        Command::Backup(args) => Box::pin(upkeep::backup(args, out)).await,
        Command::Migrate(args) => Box::pin(migrate::migrate(args, out)).await,
        Command::Import(command) => import::run(&command, out),
        Command::Openapi(args) => openapi::run(&args, out),
        Command::Quarantine(command) => Box::pin(quarantine::run(command, out)).await,
        Command::Completions(args) => manual::completions(&args, Cli::command(), out),
        Command::Man(args) => manual::man(&args, Cli::command(), out),
        Command::Version(VersionArgs {}) => {
            Ok(out.line(format_args!("unhang {}", env!("CARGO_PKG_VERSION")))?)
        }
    }
}

#[cfg(test)]
mod commands_tests;

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_tree_of_commands_is_sound() {
        super::Cli::command().debug_assert();
    }
}
