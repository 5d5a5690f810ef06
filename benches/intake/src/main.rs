//! What is taken in each second, and at what cost, beside Alertmanager, webhook and one transaction for each request.
//!
//! `bash benches/run.sh` builds and runs it; `--help` tells the choices. It drives the release binary over HTTP with the
//! credential of a source, and asks the API afterwards whether each accepted delivery is there.
//! Figures are printed, never asserted; a 202 that was not kept ends the run with 1.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::zombie_processes,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "a program for people, which fails by panicking"
)]

mod bench;
mod board;
mod contestant;
mod copies;
mod fleet;
mod load;
mod machine;
mod naive;
mod payload;
mod plot;
mod process;
mod rough;
mod scenarios;
mod unhang;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::bench::{Bench, Options};

#[derive(Debug, Parser)]
#[command(about = "Drives the release binary and its contestants, and prints figures against goals.")]
struct Words {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Measures.
    Run(Options),
    /// Is the contestant with one transaction for each request.
    Naive {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        store: PathBuf,
    },
}

fn main() -> ExitCode {
    match Words::parse().verb {
        Verb::Naive { listen, store } => {
            naive::serve(listen, &store).unwrap();
            ExitCode::SUCCESS
        }
        Verb::Run(options) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let mut bench = Bench::new(options);
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, scenarios::run(&mut bench));
            bench.close();
            if bench.board.broken() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
    }
}
