//! `why`: what happened to a server or did not, the one sentence that matters first, and what would have to change.
//!
//! Never: guesses; every sentence comes from the service, which has it from its store.

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::client::{Client, ServiceArgs, text_of};
use super::failure::Failure;
use super::out::{Format, Out};
use super::table::wrapped;
use super::when;
use crate::domain::server::ServerNo;

/// Say why nothing (or something) was done about a server
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang why 90000001
  unhang why win-app-01 --at 2026-12-01T03:12:00+09:00
  unhang why 10.0.0.11
  unhang why 90000001 --at 2h --output json

A time on the full minute means that minute. Needs a token with role viewer.
--output json has every guard that was asked, and what was sent.")]
pub(super) struct WhyArgs {
    /// Number, exact name or address of the server
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
    let mut query = vec![("server", args.server)];
    query.extend(args.at.map(|at| ("at", at.to_string())));
    let answer = client.get(&["explain"], &query).await?;
    if args.output == Format::Json {
        out.json(&answer)?;
        return Ok(());
    }
    for line in told(&answer) {
        out.line(line)?;
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

/// The answer in lines, the most important first.
fn told(answer: &Value) -> Vec<String> {
    let list = |field: &str| answer.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut lines = wrapped("", &text_of(answer, "headline"));
    let changes = list("wouldHaveToChange");
    if !changes.is_empty() {
        lines.extend([String::new(), "What would have to change:".to_owned()]);
    }
    for change in &changes {
        let guard = text_of(change, "guard");
        let guard = if guard.is_empty() { guard } else { format!("{guard}: ") };
        lines.extend(wrapped("  ", &format!("{guard}{}", text_of(change, "change"))));
    }
    let story = list("story");
    if story.is_empty() {
        lines.extend(senders(&list("senders")));
        return lines;
    }
    lines.extend([String::new(), "What happened (UTC):".to_owned()]);
    for line in &story {
        let at = text_of(line, "at").parse().map_or_else(|_unreadable| String::new(), when::short);
        lines.extend(wrapped("  ", &format!("{at}  {}", text_of(line, "text"))));
    }
    let newest = list("decisions").into_iter().next().unwrap_or(Value::Null);
    let facts: Vec<String> =
        [("policy", "policy"), ("configuration", "configHash"), ("delivery", "deliveryId")]
            .into_iter()
            .map(|(word, field)| (word, text_of(&newest, field)))
            .filter(|(_, value)| !value.is_empty())
            .map(|(word, value)| format!("{word} {}", value.chars().take(36).collect::<String>()))
            .collect();
    lines.push(String::new());
    lines.extend(wrapped("", &facts.join(", ")));
    let now = answer.get("now").filter(|now| !now.is_null());
    if let Some(now) = now {
        let reason = text_of(now, "reason");
        let decision = text_of(now, "decision");
        let reason =
            if reason.is_empty() || reason == decision { String::new() } else { format!(", {reason}") };
        let told = format!("Told again now, it would be: {decision}{reason}.");
        lines.extend(wrapped("", &told));
    }
    lines
}

/// Nothing came: who was silent, and what was refused.
fn senders(senders: &[Value]) -> Vec<String> {
    let mut lines = vec![String::new(), "Who spoke last, up to then:".to_owned()];
    for sender in senders {
        let name = text_of(sender, "source");
        let last = text_of(sender, "lastDeliveryAt");
        let refused: u64 = sender
            .get("refusedSinceStart")
            .and_then(Value::as_object)
            .map_or(0, |counts| counts.values().filter_map(Value::as_u64).sum());
        let stranger = name == "unknown";
        if stranger && refused == 0 {
            continue;
        }
        let last = match (stranger, last.is_empty()) {
            (true, _) => "nobody that is configured".to_owned(),
            (false, true) => "never".to_owned(),
            (false, false) => last,
        };
        let refused = format!("refused since {}: {refused}", text_of(sender, "since"));
        lines.extend(wrapped("  ", &format!("{name}: {last}; {refused}")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::table::WIDTH;
    use super::*;

    #[test]
    fn the_sentence_that_matters_comes_first_and_no_line_is_wide() {
        let answer = serde_json::json!({
            "headline": "Nothing was sent to win-app-01 at 2026-11-22 03:12:00Z: cooldown until 2026-11-23 01:00:00Z.",
            "wouldHaveToChange": [
                {"guard": "cooldown", "change": "wait until 2026-11-23T01:00:00Z, or collect the dump and say so: \
                 `unhang dump-collected win-app-01 --reason TEXT`"},
                {"change": "an approver: `unhang approve 1 --reason TEXT`"},
            ],
            "story": [{"at": "2026-11-22T03:12:00Z", "text": "alertmanager: WindowsVmHung firing: suppressed, cooldown"}],
            "decisions": [{"policy": "hung-windows", "configHash": "ab".repeat(32), "deliveryId": "0193"}],
            "now": {"decision": "suppressed", "reason": "cooldown"},
        });
        let lines = told(&answer);
        assert!(lines[0].starts_with("Nothing was sent to win-app-01"), "{lines:?}");
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{lines:#?}");
        let text = lines.join("\n");
        for part in [
            "cooldown: wait until",
            "unhang dump-collected win-app-01",
            "11-22 03:12:00",
            "would be: suppressed",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn silence_of_the_senders_is_an_answer() {
        let answer = serde_json::json!({
            "headline": "Nothing was sent to win-app-01.", "wouldHaveToChange": [], "story": [], "decisions": [],
            "senders": [
                {"source": "am", "lastDeliveryAt": "2026-11-22T03:00:00Z", "since": "2026-11-22T00:00:00Z",
                 "refusedSinceStart": {"unauthenticated": 2, "unreadable": 1}},
                {"source": "unknown", "lastDeliveryAt": null, "refusedSinceStart": {"unauthenticated": 0}},
            ],
        });
        let text = told(&answer).join("\n");
        assert!(text.contains("am: 2026-11-22T03:00:00Z; refused since 2026-11-22T00:00:00Z: 3"), "{text}");
        assert!(!text.contains("unknown"), "{text}");
    }
}
