//! `import`: a first configuration, drafted from that of another receiver, for a person to read and finish.
//!
//! Never: drafts a policy that sends, runs a command that it reads, or leaves out silently what has no counterpart.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Deserialize;

use super::failure::Failure;
use super::out::{Out, clean};
use crate::files;

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Draft a configuration from that of another alert receiver
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  unhang import am-executor executor.yml > unhang.toml")]
pub(super) enum ImportCommand {
    AmExecutor(AmExecutorArgs),
}

/// Draft a configuration from the YAML file of prometheus-am-executor
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang import am-executor executor.yml > unhang.toml
  unhang check-config --config unhang.toml

Each command becomes a policy in mode shadow: it decides and records, and sends nothing. What has no counterpart
is told in a remark beside it. Nothing of the file is run.")]
pub(super) struct AmExecutorArgs {
    /// The file that prometheus-am-executor was started with
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Prints the draft.
pub(super) fn run(command: &ImportCommand, out: &mut Out) -> Result<(), Failure> {
    let ImportCommand::AmExecutor(AmExecutorArgs { file }) = command;
    let text = files::text(file, FILE_BYTES_MAX)
        .map_err(|error| Failure::unreachable(format!("cannot read {}: {error}", file.display())))?;
    let executor: Executor = serde_saphyr::from_str(&text).map_err(|error| {
        Failure::usage(format!("{} is no configuration of prometheus-am-executor: {error}", file.display()))
    })?;
    if executor.commands.is_empty() {
        return Err(Failure::usage(format!(
            "{} has no commands; a command given on the command line of prometheus-am-executor matches every \
             alert, and has no counterpart",
            file.display()
        )));
    }
    Ok(out.bytes(draft(&executor)?.as_bytes())?)
}

/// What such a file says
/// (<https://github.com/imgix/prometheus-am-executor>, `config.go` and `command.go`). Other keys change nothing here.
#[derive(Debug, Deserialize)]
struct Executor {
    tls_key: Option<String>,
    #[serde(default)]
    commands: Vec<Ran>,
}

#[derive(Debug, Deserialize)]
struct Ran {
    cmd: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    match_labels: BTreeMap<String, String>,
    #[serde(default)]
    max: i64,
    notify_on_failure: Option<bool>,
    ignore_resolved: Option<bool>,
}

const HEAD: &str = r#"# Drafted from the configuration of prometheus-am-executor. Nothing is sent in mode "shadow".
#
#  1. Put the secrets into their files, and make a token for each person: unhang token new
#  2. Read every remark, then: unhang check-config --config unhang.toml
#  3. After some weeks of shadow, mode = "approve". docs/from-am-executor.md tells what is different.

[cloud]
site = "public"
# Yours.
region = "KR"
access_key_file = "secrets/access-key-id"
secret_key_file = "secrets/secret-key"

# prometheus-am-executor takes alerts from anybody; here the sender shows a token. Alertmanager sends it with
# http_config.authorization.credentials_file.
[[sources]]
name = "alertmanager"
kind = "alertmanager"
auth = [{ kind = "bearer", secret_file = "secrets/alertmanager-token" }]
"#;

/// Labels that a policy asks for, and the commands that were run for them.
type Policies<'e> = BTreeMap<&'e BTreeMap<String, String>, Vec<&'e Ran>>;

fn draft(executor: &Executor) -> Result<String, Failure> {
    let mut draft = HEAD.to_owned();
    if executor.tls_key.is_some() {
        draft.push_str(
            "\n# It had TLS of its own: see [server.tls] in docs/CONFIG.md, or put a proxy in front.\n",
        );
    }
    let mut policies = Policies::new();
    for ran in &executor.commands {
        policies.entry(&ran.match_labels).or_default().push(ran);
    }
    for (number, (labels, commands)) in policies.iter().enumerate() {
        policy(&mut draft, number + 1, labels, commands, &policies)
            .map_err(|_error| Failure::not_so("the draft could not be written"))?;
    }
    Ok(draft)
}

fn policy(
    draft: &mut String,
    number: usize,
    labels: &BTreeMap<String, String>,
    commands: &[&Ran],
    all: &Policies<'_>,
) -> std::fmt::Result {
    draft.push('\n');
    for ran in commands {
        let words: Vec<&str> =
            std::iter::once(ran.cmd.as_str()).chain(ran.args.iter().map(String::as_str)).collect();
        writeln!(draft, "# Ran: {}", clean(&words.join(" ")))?;
        for remark in remarks(ran) {
            writeln!(draft, "#  - {remark}")?;
        }
    }
    let narrower = |other: &&BTreeMap<String, String>| {
        other.len() > labels.len() && labels.iter().all(|(name, value)| other.get(name) == Some(value))
    };
    if !labels.is_empty() && all.keys().copied().any(|other| narrower(&other)) {
        writeln!(draft, "#  - another policy asks for these labels and more: an alert that both match is")?;
        writeln!(draft, "#    suppressed as ambiguous_policy. Exclude it here, such as with \"env!=prod\".")?;
    }
    writeln!(draft, "[[policies]]\nname = \"imported-{number}\"")?;
    if labels.is_empty() {
        writeln!(
            draft,
            "# It matched every alert. Name the alert that tells of a hung server, then say shadow."
        )?;
        return writeln!(draft, "mode = \"off\"\nmatch = {{ alertname = \"CHANGE-ME\" }}");
    }
    let labels: toml::Table =
        labels.iter().map(|(name, value)| (name.clone(), toml::Value::String(value.clone()))).collect();
    writeln!(draft, "mode = \"shadow\"\nmatch = {}", toml::Value::Table(labels))
}

/// What is different here from what the command was told.
fn remarks(ran: &Ran) -> Vec<String> {
    let mut remarks = Vec::new();
    if ran.max > 0 {
        remarks.push(format!(
            "max = {}: here one interrupt is under way at a time, and a budget counts them over hours",
            ran.max
        ));
    }
    if ran.ignore_resolved == Some(true) {
        remarks.push("ignore_resolved: here an end always takes back what has not been sent".to_owned());
    }
    if ran.notify_on_failure.is_some() {
        remarks.push(
            "notify_on_failure: a sender is answered before anything is done; see [[notify]]".to_owned(),
        );
    }
    remarks
}
