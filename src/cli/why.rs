//! `why`: the newest decision about a server in plain sentences, and what would have to change.
//!
//! Never: guesses; every sentence stands on the stored guard trace.

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::client::{Client, ServiceArgs, text_of};
use super::failure::Failure;
use super::out::{Format, Out, clean};
use super::when;
use crate::domain::guard::{Check, Reason, Trace, Verdict};
use crate::domain::server::ServerNo;

/// Say why nothing (or something) was done about a server
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang why 90000001
  unhang why win-app-01 --at 2026-12-01T02:00:00+09:00
  unhang why 90000001 --at 2h --output json

Needs a token with role viewer.")]
pub(super) struct WhyArgs {
    /// Number or exact name of the server
    server: String,
    /// As it was then: a time, or an age such as 2h; else now
    #[arg(long, value_name = "TIME", value_parser = when::instant_or_age)]
    at: Option<Timestamp>,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    service: ServiceArgs,
}

/// Asks the service and tells.
pub(super) async fn run(args: WhyArgs, out: &mut Out) -> Result<(), Failure> {
    let client = Client::new(&args.service)?;
    let no = number(&client, &args.server).await?;
    let mut query = vec![("serverInstanceNo", no.clone())];
    query.extend(args.at.map(|at| ("at", at.to_string())));
    let answer = client.get(&["explain"], &query).await?;
    if args.output == Format::Json {
        out.json(&answer)?;
        return Ok(());
    }
    let decisions = ["items", "decisions"].iter().find_map(|field| answer.get(field)).unwrap_or(&answer);
    let Some(newest) = decisions.as_array().and_then(|list| list.first()) else {
        let when = args.at.map_or_else(String::new, |at| format!(" up to {at}"));
        return Err(Failure::not_so(format!(
            "no decision about server {no} is stored{when}: no alert about it was delivered, or none that named it"
        )));
    };
    for line in sentences(&no, newest) {
        out.line(clean(&line))?;
    }
    Ok(())
}

/// The number of a server that is named by number or exact name.
pub(super) async fn number(client: &Client, server: &str) -> Result<String, Failure> {
    if ServerNo::parse(server).is_ok() {
        return Ok(server.to_owned());
    }
    let servers = client.list(&["servers"]).await?;
    let named: Vec<String> = servers
        .iter()
        .filter(|row| text_of(row, "serverName") == server)
        .map(|row| text_of(row, "serverInstanceNo"))
        .collect();
    match named.as_slice() {
        [no] => Ok(no.clone()),
        [] => Err(Failure::not_so(format!("no server of the inventory has the number or name {server:?}"))),
        several => {
            Err(Failure::not_so(format!("{server:?} is the name of several servers: {}", several.join(", "))))
        }
    }
}

/// The decision in plain words.
fn sentences(no: &str, decision: &Value) -> Vec<String> {
    let field = |name: &str| Some(text_of(decision, name)).filter(|text| !text.is_empty());
    let word = field("decision").unwrap_or_else(|| "unreadable".to_owned());
    let at = field("decidedAt").or_else(|| field("receivedAt")).unwrap_or_default();
    let source = field("source").map_or_else(String::new, |source| format!(" of {source}"));
    let mut lines = vec![format!("Server {no}: the newest alert{source} was decided {at}: {word}.")];
    if let Some(policy) = field("policy") {
        lines.push(format!("Policy: {policy}."));
    }
    let reason = field("reason");
    let trace: Trace = decision
        .get("trace")
        .and_then(|trace| serde_json::from_value(trace.clone()).ok())
        .unwrap_or_default();
    match first_no(&trace) {
        Some(check) => {
            lines.push(format!(
                "The first guard that said no: {} (saw: {}; wanted: {}).",
                check.guard.as_str(),
                check.seen,
                check.limit
            ));
            if let Some(until) = check.until {
                lines.push(format!("Time lifts it at {until}."));
            }
            lines.push(format!("What would have to change: {}", what_would_change(check.guard)));
            let first = check.guard;
            for other in trace.0.iter().filter(|o| o.verdict == Verdict::Stop && o.guard != first) {
                let (guard, change) = (other.guard.as_str(), what_would_change(other.guard));
                lines.push(format!("And {guard} said no as well (saw: {}): {change}", other.seen));
            }
        }
        None => lines.push(match reason.as_deref().and_then(Reason::parse) {
            Some(reason) => format!("Reason: {}. {}", reason.as_str(), what_would_change(reason)),
            None => "No guard said no.".to_owned(),
        }),
    }
    lines.extend(field("detail").map(|detail| format!("In its own words: {detail}.")));
    lines.extend(field("remediationId").map(|id| format!("Remediation: {id}.")));
    lines.extend(field("deliveryId").map(|id| format!("Delivery: {id}.")));
    lines
}

fn first_no(trace: &Trace) -> Option<&Check> {
    [Verdict::Stop, Verdict::Expire, Verdict::AskPerson, Verdict::Wait]
        .into_iter()
        .find_map(|verdict| trace.first(verdict))
}

/// What lifts a no, for the person who asks at 3 a.m.
fn what_would_change(reason: Reason) -> &'static str {
    match reason {
        Reason::Resolved => "a new firing notice with a later start; this one was over.",
        Reason::NoPolicy => "an enabled policy whose match fits the labels of the alert.",
        Reason::AmbiguousPolicy => "the matches of the policies, so that exactly one claims the alert.",
        Reason::TargetMissing => {
            "the alert rule: it must carry one of the labels that the policy's target names."
        }
        Reason::TargetUnknown => {
            "the label's value or the policy's region: the cloud knows no such server there."
        }
        Reason::TargetAmbiguous => {
            "the label: name the server by its number, because the name or address fits several."
        }
        Reason::NotEligible => {
            "the server: only running, idle Windows servers on a listed hypervisor may be interrupted."
        }
        Reason::DeniedServer => "the policy's deny_servers, which names this server.",
        Reason::Stale => "the sender's delay, or a person's approval: the notice or its episode was too old.",
        Reason::FromFuture => "the sender's clock: the alert claims to begin in the future.",
        Reason::Duplicate => "nothing: a remediation of this server is under way, and the alert joined it.",
        Reason::Silenced => "the silence: end it with `unhang silence end`, or wait.",
        Reason::Maintenance => "the maintenance window of the configuration, or wait for its end.",
        Reason::Hold => "the hold: `unhang hold list` shows it, `unhang hold clear` lifts it.",
        Reason::Storm => {
            "a person: look at what the servers share (`unhang storm list`), then `unhang storm clear`."
        }
        Reason::Blind => "our sight: reads of the cloud fail or the clock is unsound; it lifts by itself.",
        Reason::BreakerOpen => {
            "time and one good attempt, or a person: `unhang breaker list`, then `unhang breaker reset`."
        }
        Reason::Cooldown => "time, or the word that the dump was collected.",
        Reason::DumpWindow => "only time: a memory dump may be being written, and nobody can override that.",
        Reason::UnknownOpen => "a person must settle the open unknown with `unhang settle`.",
        Reason::BudgetServer | Reason::BudgetPolicy | Reason::BudgetRegion | Reason::BudgetGlobal => {
            "time, or a larger budget in the configuration; people are bound by it too."
        }
        Reason::Spacing => "only time: attempts keep a distance, and one is in flight at most.",
        Reason::NotCorroborated => "the second signal: it did not agree.",
        Reason::Shadow => "the policy's mode: shadow only watches, approve asks a person, auto acts.",
        Reason::ProposeOnly => "a person's approval, or trust = \"act\" for the source.",
        Reason::Expired => "a fresh notice: this one waited too long.",
        Reason::Cancelled => "a new alert: a person or a changed policy took this one back.",
        Reason::Superseded => "nothing: something newer took its place.",
        Reason::QuarantinedAlert => "the payload: the detail names the field and what was expected.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_no_is_told_with_its_inputs_its_end_and_what_would_change() {
        let decision = serde_json::json!({
            "decision": "suppressed", "reason": "dump_window", "policy": "hung-windows", "source": "alertmanager",
            "decidedAt": "2026-12-01T00:00:00Z", "detail": "until later",
            "trace": [
                {"guard": "no_policy", "verdict": "pass", "seen": "hung-windows", "limit": "exactly 1"},
                {"guard": "dump_window", "verdict": "stop", "seen": "until 2026-12-01T00:30:00Z",
                 "limit": "no dump may be being written", "until": "2026-12-01T00:30:00Z"},
                {"guard": "unknown_open", "verdict": "stop", "seen": "1 is unknown", "limit": "none"},
            ],
        });
        let text = sentences("90000001", &decision).join("\n");
        for part in [
            "suppressed",
            "dump_window",
            "no dump may be being written",
            "lifts it at 2026-12-01T00:30:00Z",
            "only time",
            "unhang settle",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
