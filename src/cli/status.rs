//! `status`: what needs a person now, and what is under way; each with the command that goes on from there.
//!
//! Never: decides what is urgent; it asks the service for what stands still until somebody looks.

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::client::{Client, ServiceArgs, text_of};
use super::failure::Failure;
use super::listing::{at, items, word};
use super::out::{Format, Out};
use super::table::wrapped;
use crate::clock::Clock;

/// Show what needs a person now, and what is under way
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang status
  unhang status --output json
  unhang status --url https://unhang.example --ca-file /etc/unhang/tls/ca.pem

Needs a token with role viewer. Times are UTC.")]
pub(super) struct StatusArgs {
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    service: ServiceArgs,
}

/// Time before its end from which a certificate needs a person.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// States that stand still until a person acts, what they mean, and the command.
const WAITING: [(&str, &str, &str); 3] = [
    ("awaiting_approval", "waits for approval", "unhang approve"),
    ("unknown", "may have been sent; nobody knows", "unhang settle"),
    ("unconfirmed", "was sent, no reboot seen", "unhang settle"),
];

/// Asks and tells.
pub(super) async fn run(args: StatusArgs, out: &mut Out) -> Result<(), Failure> {
    let client = Client::new(&args.service)?;
    let remediations = |state: &'static str| {
        let query = vec![("state", state.to_owned()), ("limit", "1000".to_owned())];
        let client = &client;
        async move { Ok::<_, Failure>(items(&client.get(&["remediations"], &query).await?).to_vec()) }
    };
    let mut told = json!({});
    for (state, _, _) in WAITING {
        put(&mut told, state, json!(remediations(state).await?));
    }
    put(&mut told, "live", json!(remediations("live").await?));
    let storms = client.get(&["storms"], &[("state", "open".to_owned())]).await?;
    put(&mut told, "storms", json!(items(&storms)));
    let holds = client.get(&["holds"], &[]).await?;
    put(&mut told, "holds", json!(items(&holds)));
    put(&mut told, "holdFile", holds.get("holdFile").cloned().unwrap_or_default());
    let quarantine = client.get(&["quarantine"], &[]).await?;
    put(&mut told, "quarantine", quarantine.get("quarantine").cloned().unwrap_or_default());
    let breakers = client.get(&["breakers"], &[]).await?;
    let open: Vec<&Value> = items(&breakers).iter().filter(|one| text_of(one, "state") != "closed").collect();
    put(&mut told, "breakers", json!(open));
    let policies = client.get(&["policies"], &[]).await?;
    let demoted = |one: &&Value| one.pointer("/standing/demoted").is_some_and(|demoted| !demoted.is_null());
    let demoted: Vec<&Value> = items(&policies).iter().filter(demoted).collect();
    put(&mut told, "demoted", json!(demoted));
    let ready = client.readiness().await?;
    let certificate = ready.pointer("/checks/information/certificate").cloned();
    put(&mut told, "certificate", certificate.unwrap_or_default());
    if args.output == Format::Json {
        return Ok(out.json(&told)?);
    }
    let lines = lines(&told, Clock::default().wall());
    for line in lines {
        // A command is typed as it stands.
        let told = if line.starts_with(' ') { vec![line] } else { wrapped("", &line) };
        told.into_iter().try_for_each(|line| out.line(line))?;
    }
    Ok(())
}

fn put(told: &mut Value, field: &str, value: Value) {
    if let Value::Object(fields) = told {
        fields.insert(field.to_owned(), value);
    }
}

fn list<'a>(told: &'a Value, field: &str) -> &'a [Value] {
    told.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// What needs a person first, each with its command on a line of its own: that one is typed.
fn lines(told: &Value, now: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    let file = text_of(told, "holdFile");
    if !file.is_empty() {
        lines.push(format!("EVERYTHING IS HELD: {file}"));
        lines.push("    unhang hold clear --file".to_owned());
    }
    if let Some(open) = told.get("quarantine").filter(|open| !open.is_null()) {
        lines.push(format!("quarantine since {}: {}", at(open, "openedAt"), text_of(open, "why")));
        lines.push("    unhang quarantine show".to_owned());
    }
    for (state, means, command) in WAITING {
        for one in list(told, state) {
            let server = one.get("server").map_or_else(String::new, |server| text_of(server, "name"));
            let (no, since) = (text_of(one, "serverInstanceNo"), at(one, "createdAt"));
            lines.push(format!("{no} {server} {means}, since {since}: {}", text_of(one, "detail")));
            lines.push(format!("    {command} {}", text_of(one, "id")));
        }
    }
    for storm in list(told, "storms") {
        let (id, since) = (text_of(storm, "id"), at(storm, "openedAt"));
        lines.push(format!(
            "storm in {} since {since}: {}",
            text_of(storm, "regionCode"),
            text_of(storm, "why")
        ));
        lines.push(format!("    unhang storm show {id}"));
    }
    for breaker in list(told, "breakers") {
        let (policy, until) = (text_of(breaker, "policy"), at(breaker, "until"));
        lines.push(format!("the breaker of {policy} is {}, until {until}", text_of(breaker, "state")));
        lines.push(format!("    unhang breaker show {policy}"));
    }
    for policy in list(told, "demoted") {
        let why = policy.pointer("/standing/demoted/why").and_then(Value::as_str).unwrap_or_default();
        lines.push(format!("{} was demoted: {why}", text_of(policy, "name")));
        lines.push(format!("    unhang policy show {}", text_of(policy, "name")));
    }
    let certificate = told.get("certificate").filter(|seen| !seen.is_null());
    let certificate = certificate.map(|seen| certificate_line(seen, now));
    if let Some((line, true)) = &certificate {
        lines.push(line.clone());
    }
    if lines.is_empty() {
        lines.push("nothing needs a person".to_owned());
    }
    for hold in list(told, "holds") {
        let scope = [text_of(hold, "scope"), text_of(hold, "name")].join(" ");
        let (until, author) = (at(hold, "until"), text_of(hold, "author"));
        lines.push(format!(
            "hold {} of {} by {author} until {until}: {}",
            text_of(hold, "id"),
            scope.trim(),
            text_of(hold, "reason")
        ));
    }
    let waits = |one: &&Value| !WAITING.iter().any(|(state, _, _)| text_of(one, "state") == *state);
    for one in list(told, "live").iter().filter(waits) {
        let (no, state) = (text_of(one, "serverInstanceNo"), text_of(one, "state"));
        lines.push(format!(
            "under way: {no} is {state} since {}, policy {}",
            at(one, "createdAt"),
            word(one, "policy")
        ));
    }
    lines.extend(certificate.filter(|(_, urgent)| !urgent).map(|(line, _)| line));
    lines
}

/// How the certificate of the service stands, and whether that needs a person.
fn certificate_line(seen: &Value, now: Timestamp) -> (String, bool) {
    let names: Vec<&str> = list(seen, "names").iter().filter_map(Value::as_str).collect();
    let mut line = format!("certificate of {}, good until {}", names.join(" "), text_of(seen, "expiresAt"));
    let until: Option<Timestamp> = text_of(seen, "expiresAt").parse().ok();
    let soon = until.is_none_or(|until| until.duration_since(now) <= EXPIRES_SOON);
    if soon {
        line.push_str(": renew it");
    }
    let files = text_of(seen, "files");
    let broken = files != "ok" && !files.is_empty();
    if broken {
        line.push_str("; newer files are not used: ");
        line.push_str(&files);
    }
    (line, soon || broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_person_comes_with_its_command() {
        let told = json!({
            "unknown": [{"id": "0193", "serverInstanceNo": "90000001", "server": {"name": "win"}, "detail": "lost"}],
            "storms": [{"id": 3, "regionCode": "KR", "why": "4 servers"}], "holds": [{"id": 7, "scope": "global"}],
            "live": [{"serverInstanceNo": "2", "state": "settling"}, {"serverInstanceNo": "1", "state": "unknown"}],
        });
        let now = "2026-12-01T00:00:00Z".parse().unwrap();
        let text = lines(&told, now).join("\n");
        for part in
            ["unhang settle 0193", "unhang storm show 3", "hold 7 of global", "under way: 2 is settling"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("nothing needs") && !text.contains("under way: 1"), "{text}");
        assert_eq!(lines(&json!({}), now), ["nothing needs a person"]);
        let with = |until: &str, files: &str| {
            let seen = json!({ "names": ["dns:unhang.example"], "expiresAt": until, "files": files });
            lines(&json!({ "certificate": seen }), now)
        };
        let fine = with("2027-02-01T00:00:00Z", "ok");
        assert_eq!(fine.len(), 2, "{fine:?}");
        assert!(fine[1].starts_with("certificate of dns:unhang.example, good until 2027-02-01"), "{fine:?}");
        for (until, files, says) in [
            ("2026-12-10T00:00:00Z", "ok", "renew it"),
            ("2026-11-10T00:00:00Z", "ok", "renew it"),
            ("2027-02-01T00:00:00Z", "no such file", "not used: no such file"),
        ] {
            let urgent = with(until, files);
            assert!(urgent.len() == 1 && urgent[0].contains(says), "{urgent:?}");
        }
    }
}
