//! `dump-collected`: a person has the dump.
//!
//! Never: says so without a reason.

use clap::Args;
use serde_json::{Map, Value, json};

use super::client::{Client, ServiceArgs, print_answer};
use super::failure::Failure;
use super::out::{Format, Out};
use super::why::number;
use crate::domain::server::RegionCode;

/// Say that the dump of a server is collected; ends its cooldown
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang dump-collected 90000001 --reason \"MEMORY.DMP copied to the case 4711\"
  unhang dump-collected win-app-01 --reason \"copied, checksum compared\"

Needs a token with role operator. Refused while a dump may still be being written;
never gives back a budget.")]
pub(super) struct DumpCollectedArgs {
    /// Number or exact name of the server
    server: String,
    /// Its region, where several have such a number
    #[arg(long, value_name = "CODE", value_parser = region)]
    region: Option<RegionCode>,
    /// How you know; kept in the audit
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    service: ServiceArgs,
}

fn region(text: &str) -> Result<RegionCode, String> {
    RegionCode::parse(text).map_err(|error| error.to_string())
}

/// Tells the service.
pub(super) async fn dump_collected(args: DumpCollectedArgs, out: &mut Out) -> Result<(), Failure> {
    let client = Client::new(&args.service)?;
    let no = number(&client, &args.server).await?;
    let mut body = Map::from_iter([("reason".to_owned(), json!(args.reason))]);
    body.extend(args.region.map(|region| ("regionCode".to_owned(), json!(region))));
    let answer = client.post(&["servers", &no, "dump-collected"], &Value::Object(body), None).await?;
    print_answer(&answer, args.output, out)
}
