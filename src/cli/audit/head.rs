//! `audit head`: the end of the audit as one signed line, printed and appended.
//!
//! Never: writes to the store.

use std::path::PathBuf;

use clap::Args;

use super::keys::KeyArgs;
use crate::cli::failure::Failure;
use crate::cli::out::Out;
use crate::cli::place::StoreArgs;
use crate::clock::Clock;
use crate::heads;
use crate::telemetry::chain;

/// Take a head of the audit: print it, and append it to the heads file
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang audit head
  unhang audit head --to /mnt/elsewhere/unhang.heads

Works while the service runs. The line may be kept anywhere: verify compares with it.")]
pub(in crate::cli) struct HeadArgs {
    /// File to append to; else the heads file of the configuration
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// Takes one.
pub(super) async fn run(args: HeadArgs, out: &mut Out) -> Result<(), Failure> {
    let store = args.store.open_read_only().await?;
    let place = args.keys.place(&args.store)?;
    let Some(path) = args.to.or(place.heads) else {
        return Err(Failure::usage("the configuration is of another store; name the file with --to"));
    };
    let at = Clock::default().now();
    let head = heads::append(&store, &path, place.key.as_ref(), at).await;
    let head = head.map_err(|error| Failure::unreachable(chain(&error)))?;
    let line = serde_json::to_string(&head).map_err(std::io::Error::other)?;
    out.line(line)?;
    Ok(())
}
