//! `simulate-cloud`: the NAVER stand-in alone, for trying things out.
//!
//! Never: takes a real key, or listens beyond this machine.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use simulator::Scenario;

use super::failure::Failure;
use super::out::Out;
use super::serve::Signals;
use crate::files;
use crate::telemetry::chain;

/// Largest scenario.
const SCENARIO_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Run the NAVER Cloud simulator alone, with a made-up fleet and made-up keys
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang simulate-cloud
  unhang simulate-cloud --listen 127.0.0.1:9090 --scenario fleet.toml --ledger effects.ndjson
  curl http://127.0.0.1:9090/_simulator/ledger
  curl -X POST http://127.0.0.1:9090/_simulator/servers/90000001/hang")]
pub(super) struct SimulateArgs {
    /// Loopback address to listen on; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:9090", value_name = "ADDR")]
    listen: SocketAddr,
    /// Fleet, speeds and misbehaviour to start with; else the demo fleet
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// File that every interrupt request is appended to
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
}

/// Runs it until it is told to stop.
pub(super) async fn run(args: SimulateArgs, out: &mut Out) -> Result<(), Failure> {
    let scenario = match &args.scenario {
        None => Scenario::demo(),
        Some(path) => {
            let text = files::text(path, SCENARIO_BYTES_MAX)
                .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
            Scenario::parse(&text)
                .map_err(|error| Failure::usage(format!("{}: {}", path.display(), chain(&error))))?
        }
    };
    let mut signals = Signals::listen()?;
    let (access_key, secret_key) = (scenario.access_key.clone(), scenario.secret_key.clone());
    let mut cloud = Box::pin(simulator::start(args.listen, scenario, args.ledger))
        .await
        .map_err(|error| refusal(&error))?;
    let endpoint = cloud.endpoint();
    out.line(format_args!("simulated NAVER Cloud at {endpoint} with {} servers", cloud.servers().len()))?;
    out.line("")?;
    out.line("[cloud]")?;
    out.line(format_args!("endpoint = \"{endpoint}\""))?;
    out.line("region = \"KR\"")?;
    out.line("# made-up keys, good for this simulator only:")?;
    out.line(format_args!("# export NCLOUD_ACCESS_KEY_ID={access_key}"))?;
    out.line(format_args!("# export NCLOUD_SECRET_KEY={secret_key}"))?;
    out.line("")?;
    out.line(format_args!("controls: curl {endpoint}/   ledger: curl {endpoint}/_simulator/ledger"))?;
    out.line("Ctrl-C stops it.")?;
    out.flush()?;
    signals.stop().await;
    cloud.stop().await;
    Ok(())
}

fn refusal(error: &simulator::Error) -> Failure {
    let text = chain(error);
    match error {
        simulator::Error::Listen { .. } | simulator::Error::LedgerFile { .. } => Failure::unreachable(text),
        simulator::Error::NotLoopback(_)
        | simulator::Error::ScenarioSyntax(_)
        | simulator::Error::Scenario(_)
        | simulator::Error::UnknownServer(_)
        | simulator::Error::ServerExists(_) => Failure::usage(text),
    }
}
