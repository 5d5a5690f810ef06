//! `token new`: a secret for one person, shown once, and the lines for the configuration.
//!
//! Never: stores the secret, or takes one on the command line.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::failure::Failure;
use super::out::{Format, Out};

/// Bytes of a secret.
const SECRET_BYTES: usize = 32;

/// Keys of people to the API
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  unhang token new --role operator --name oncall")]
pub(super) enum TokenCommand {
    New(NewArgs),
}

/// Make a token: the secret is shown once, its hash goes into the configuration
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang token new --role operator --name oncall
  unhang token new --role approver --name lead --output json

viewer reads; operator replays, orders, silences, holds, cancels; approver approves and settles; admin all.")]
pub(super) struct NewArgs {
    /// What the person may do
    #[arg(long, value_enum)]
    role: RoleWord,
    /// The person; approvals tell people apart by it
    #[arg(long, value_parser = person)]
    name: String,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleWord {
    Viewer,
    Operator,
    Approver,
    Admin,
}

impl RoleWord {
    fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }
}

fn person(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().count() > 64 || text.chars().any(char::is_control) {
        return Err("expected 1 to 64 characters on one line".to_owned());
    }
    Ok(text.to_owned())
}

/// A new random token and the SHA-256 that the configuration holds.
pub(super) fn fresh() -> Result<(String, String), Failure> {
    let mut bytes = [0_u8; SECRET_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::unreachable(format!("no random numbers: {error}")))?;
    let secret = format!("unhang_{}", hex::encode(bytes));
    let hash = hex::encode(Sha256::digest(secret.as_bytes()));
    Ok((secret, hash))
}

/// Makes a token.
pub(super) fn run(command: &TokenCommand, out: &mut Out) -> Result<(), Failure> {
    let TokenCommand::New(args) = command;
    let (secret, sha256) = fresh()?;
    let role = args.role.as_str();
    match args.output {
        Format::Json => {
            out.json(&json!({ "name": args.name, "role": role, "secret": secret, "sha256": sha256 }))?;
        }
        Format::Text => {
            let name = toml::Value::String(args.name.clone());
            out.line("# The secret, shown only now; hand it to the person (they set UNHANG_TOKEN or use --token-file):")?;
            out.line(format_args!("# {secret}"))?;
            out.line("# For the configuration:")?;
            out.line("[[tokens]]")?;
            out.line(format_args!("name = {name}"))?;
            out.line(format_args!("role = \"{role}\""))?;
            out.line(format_args!("sha256 = \"{sha256}\""))?;
        }
    }
    Ok(())
}
