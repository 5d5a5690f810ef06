//! What people do through the service: replay, approve, deny, cancel, settle, order by hand.
//!
//! Never: acts without a reason, or by default where a dry run would tell.

use std::io::{BufRead, IsTerminal};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::client::{Client, ServiceArgs, print_answer, text_of};
use super::failure::Failure;
use super::out::{Format, Out};
use crate::domain::server::{RegionCode, ServerNo};

/// Why, and through which service.
#[derive(Debug, Args)]
struct Common {
    /// Why; kept in the audit
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    service: ServiceArgs,
}

/// Decide a stored delivery again; a dry run unless --execute
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang replay 0193a1b2-… --reason \"what would happen now?\"
  unhang replay 0193a1b2-… --execute --reason \"the region was missing in the policy\"

Needs a token with role operator. Every guard holds; a replay links to the original.")]
pub(super) struct ReplayArgs {
    /// The delivery
    delivery_id: String,
    /// Act on it, not only tell
    #[arg(long)]
    execute: bool,
    /// Makes asking twice safe: the same key is answered, not done again; else a new one
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Approve a remediation that waits for a person
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang approve 0193a1b2-… --reason \"seen on the console, it hangs\"
  unhang approve 0193a1b2-… --confirm-still-hung --version 3 --reason \"looked a minute ago\"

Shows what would be approved and asks. A script names what it looked at instead, by
--decision-hash or --version; if that has changed since, nothing is approved.
Needs a token with role approver, of another person than the one who asked.")]
pub(super) struct ApproveArgs {
    /// The remediation
    remediation_id: String,
    /// Version that you looked at; refused when it has changed since
    #[arg(long, value_name = "N")]
    version: Option<i64>,
    /// `decisionHash` that you looked at; refused when something else would be approved now
    #[arg(long, value_name = "HASH")]
    decision_hash: Option<String>,
    /// You have seen that the server still hangs; needed when the last notice is old, or the server was rebooted
    #[arg(long)]
    confirm_still_hung: bool,
    #[command(flatten)]
    common: Common,
}

/// Deny a remediation that waits for a person
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang deny 0193a1b2-… --reason \"it is being reinstalled\"

Needs a token with role approver.")]
pub(super) struct DenyArgs {
    /// The remediation
    remediation_id: String,
    #[command(flatten)]
    common: Common,
}

/// Take back a remediation that has not been sent
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang cancel 0193a1b2-… --reason \"it answers again\"

Needs a token with role operator. What has been sent cannot be taken back.")]
pub(super) struct CancelArgs {
    /// The remediation
    remediation_id: String,
    #[command(flatten)]
    common: Common,
}

/// Say what came of an interrupt whose answer was lost
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang settle 0193a1b2-… --verdict happened --reason \"it rebooted, MEMORY.DMP is there\"
  unhang settle 0193a1b2-… --verdict not-happened --activity-checked --reason \"no record, no reboot\"

Needs a token with role approver. not-happened needs two people and the activity record
of the cloud (Cloud Activity Tracer), and leaves a hold on the server.")]
pub(super) struct SettleArgs {
    /// The remediation
    remediation_id: String,
    /// What came of it
    #[arg(long, value_enum)]
    verdict: VerdictWord,
    /// You have looked into the cloud's activity record
    #[arg(long)]
    activity_checked: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum VerdictWord {
    /// The server was interrupted
    Happened,
    /// It certainly was not
    #[value(alias = "not_happened")]
    NotHappened,
}

/// Order an interrupt by hand, under the guards of a policy; a dry run unless --execute
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang order 90000001 --region KR --policy hung-windows --reason \"hangs, no alert came\"
  unhang order 90000001 --region KR --policy hung-windows --execute --reason \"hangs, no alert came\"

Needs a token with role operator. Every guard and budget holds for people as well.")]
pub(super) struct OrderArgs {
    /// Number of the server
    #[arg(value_parser = |text: &str| ServerNo::parse(text))]
    server: ServerNo,
    /// Its region
    #[arg(long, value_parser = |text: &str| RegionCode::parse(text))]
    region: RegionCode,
    /// The policy whose limits hold
    #[arg(long)]
    policy: String,
    /// Do it, not only tell
    #[arg(long)]
    execute: bool,
    /// Makes asking twice safe: the same key is answered, not done again; else a new one
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// `replay`
pub(super) async fn replay(args: ReplayArgs, out: &mut Out) -> Result<(), Failure> {
    let body = json!({ "mode": mode(args.execute), "reason": args.common.reason });
    let key = key(args.idempotency_key);
    act(&args.common, &["deliveries", &args.delivery_id, "replay"], &body, Some(&key), out).await?;
    hint_at_execute(args.execute)
}

/// `approve`
pub(super) async fn approve(args: ApproveArgs, out: &mut Out) -> Result<(), Failure> {
    said_why(&args.common)?;
    let mut body = Map::from_iter([("reason".to_owned(), json!(args.common.reason))]);
    let decision_hash = match (args.decision_hash, args.version) {
        (None, None) => Some(looked_at(&args.common, &args.remediation_id).await?),
        (named, _) => named,
    };
    if let Some(hash) = decision_hash {
        body.insert("decisionHash".to_owned(), json!(hash));
    }
    if let Some(version) = args.version {
        body.insert("version".to_owned(), json!(version));
    }
    if args.confirm_still_hung {
        body.insert("confirmStillHung".to_owned(), json!(true));
    }
    on_remediation(&args.common, &args.remediation_id, "approve", &Value::Object(body), out).await
}

/// Shows what would be approved and asks the person; returns its hash. Where nobody can answer, nothing is approved.
async fn looked_at(common: &Common, id: &str) -> Result<String, Failure> {
    let one = Client::new(&common.service)?.get(&["remediations", id], &[]).await?;
    let (field, hash) = (|name: &str| text_of(&one, name), text_of(&one, "decisionHash"));
    let mut err = Out::stderr();
    let name = one.pointer("/server/name").and_then(Value::as_str).unwrap_or("?");
    err.line(format_args!(
        "interrupt {name} ({}, {}): it stops with a blue screen, writes its memory to disk and starts again",
        field("serverInstanceNo"),
        field("regionCode")
    ))?;
    let shown =
        [("state", "state"), ("policy", "policy"), ("source", "source"), ("requested by", "requestedBy")];
    let times = [("first alert", "createdAt"), ("last notice", "lastNoticeAt"), ("reason", "reason")];
    for (title, name) in shown.into_iter().chain(times).chain([("detail", "detail")]) {
        if !field(name).is_empty() {
            err.line(format_args!("{title:>12}: {}", field(name)))?;
        }
    }
    err.line(format_args!("{:>12}: {hash}", "decisionHash"))?;
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Err(Failure::usage(format!(
            "nothing was approved: name what you looked at with --decision-hash {hash}"
        )));
    }
    err.line("Approve this? Type yes:")?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if answer.trim().eq_ignore_ascii_case("yes") {
        return Ok(hash);
    }
    Err(Failure::not_so("nothing was approved"))
}

/// `deny`
pub(super) async fn deny(args: DenyArgs, out: &mut Out) -> Result<(), Failure> {
    let body = json!({ "reason": args.common.reason });
    on_remediation(&args.common, &args.remediation_id, "deny", &body, out).await
}

/// `cancel`
pub(super) async fn cancel(args: CancelArgs, out: &mut Out) -> Result<(), Failure> {
    let body = json!({ "reason": args.common.reason });
    on_remediation(&args.common, &args.remediation_id, "cancel", &body, out).await
}

/// `settle`
pub(super) async fn settle(args: SettleArgs, out: &mut Out) -> Result<(), Failure> {
    let verdict = match args.verdict {
        VerdictWord::Happened => "happened",
        VerdictWord::NotHappened => "not_happened",
    };
    let body = json!({
        "verdict": verdict, "reason": args.common.reason, "activityChecked": args.activity_checked,
    });
    on_remediation(&args.common, &args.remediation_id, "settle", &body, out).await
}

/// `order`
pub(super) async fn order(args: OrderArgs, out: &mut Out) -> Result<(), Failure> {
    let body = json!({
        "serverInstanceNo": args.server,
        "regionCode": args.region,
        "policy": args.policy,
        "reason": args.common.reason,
        "mode": mode(args.execute),
    });
    let key = key(args.idempotency_key);
    act(&args.common, &["remediations"], &body, Some(&key), out).await?;
    hint_at_execute(args.execute)
}

async fn on_remediation(
    common: &Common,
    id: &str,
    verb: &str,
    body: &Value,
    out: &mut Out,
) -> Result<(), Failure> {
    act(common, &["remediations", id, verb], body, None, out).await
}

async fn act(
    common: &Common,
    path: &[&str],
    body: &Value,
    key: Option<&str>,
    out: &mut Out,
) -> Result<(), Failure> {
    said_why(common)?;
    let answer = Client::new(&common.service)?.post(path, body, key).await?;
    print_answer(&answer, common.output, out)
}

fn said_why(common: &Common) -> Result<(), Failure> {
    if common.reason.trim().is_empty() {
        return Err(Failure::usage("--reason must say something; it is kept in the audit"));
    }
    Ok(())
}

fn mode(execute: bool) -> &'static str {
    if execute { "execute" } else { "dry_run" }
}

fn key(given: Option<String>) -> String {
    given.unwrap_or_else(|| uuid::Uuid::new_v4().to_string())
}

fn hint_at_execute(executed: bool) -> Result<(), Failure> {
    if !executed {
        Out::stderr().line("dry run: nothing was done; add --execute to do it")?;
    }
    Ok(())
}
