//! Receivers: what is accepted, what is refused with its key, and what is never shown.
//!
//! Never: uses an address of a real chat.

use secrecy::ExposeSecret as _;

use super::*;
use crate::domain::notice::Kind;

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const CHAT: &str = "https://hooks.example/services/T0MARKER/B0MARKER";

fn with(text: &str) -> Result<Loaded, Vec<Problem>> {
    outcome(&format!("{CLOUD}{text}"), &[("HOOK", KEY), ("CHAT", CHAT), ("SHORT", "whsec_c2hvcnQtc2VjcmV0")])
}

fn refused(text: &str) -> Vec<String> {
    let found = with(text).err().unwrap_or_default();
    found.iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect()
}

#[test]
fn receivers_have_the_usual_events_and_keep_their_secrets() {
    let text = r#"
server = { public_url = "https://unhang.example/ops/" }
[[notify]]
name = "chat"
kind = "slack"
url_env = "CHAT"
[[notify]]
name = "hook"
kind = "webhook"
url = "https://hooks.example/unhang?team=1"
secret_env = "HOOK"
events = ["unknown", "audit_head"]
templates = { unknown = "{{ server }} {{ detail }} {{ next }}" }
[[notify]]
name = "am"
kind = "alertmanager"
url = "http://127.0.0.1:9093/am/"
repeat = "30s"
"#;
    let config = with(text).unwrap().config;
    assert_eq!(config.links().public_url.as_deref(), Some("https://unhang.example/ops"));
    let [chat, hook, am] = config.notify.as_slice() else { panic!("{:?}", config.notify) };
    assert_eq!(chat.url.expose_secret(), CHAT);
    assert!(chat.url_is_secret && !hook.url_is_secret);
    assert!(
        [Kind::Proposed, Kind::Unknown, Kind::Sent, Kind::Withdrawn]
            .iter()
            .all(|kind| chat.events.contains(kind))
    );
    assert!(![Kind::Settled, Kind::AuditHead, Kind::Test].iter().any(|kind| chat.events.contains(kind)));
    assert!(!am.events.contains(&Kind::Sent) && am.events.contains(&Kind::StormOpened));
    assert_eq!(hook.events.len(), 2);
    assert_eq!(hook.sign_key.as_ref().unwrap().expose().len(), 24);
    let shown = format!("{config:?}");
    assert!(!shown.contains("MARKER") && !shown.contains("MfKQ9r8"), "{shown}");
    let other = text.replace("30s", "31s");
    assert_ne!(config.hash, with(&other).unwrap().config.hash);
    let moved =
        outcome(&format!("{CLOUD}{text}"), &[("HOOK", KEY), ("CHAT", "https://hooks.example/another")]);
    assert_eq!(config.hash, moved.unwrap().config.hash, "a secret is not in the hash");
}

#[test]
fn mistakes_of_receivers_are_told_with_their_key() {
    let head = |kind: &str| format!("[[notify]]\nname = \"r\"\nkind = \"{kind}\"\n");
    let hook = format!("{}secret_env = \"HOOK\"\n", head("webhook"));
    for (text, expected) in [
        ("[[notify]]\nkind = \"slack\"\nurl_env = \"CHAT\"\n".to_owned(), "notify[0].name: missing"),
        ("[[notify]]\nname = \"r\"\nurl_env = \"CHAT\"\n".to_owned(), "notify[0].kind: missing"),
        (format!("{}url_env = \"CHAT\"\n", head("pager")), "notify[0].kind: expected one of slack"),
        (head("slack"), "notify[0].url: missing; expected url, url_file or url_env"),
        (format!("{}url = \"{CHAT}\"\n", head("slack")), "notify[0].url: a secret is never written"),
        (format!("{hook}url = \"{CHAT}\"\nurl_env = \"CHAT\"\n"), "keep one of"),
        (format!("{hook}url = \"http://hooks.example/x\"\n"), "notify[0].url: plain http is allowed"),
        (format!("{hook}url = \"https://user:pw@hooks.example/x\"\n"), "without user, password or fragment"),
        (format!("{hook}url = \"ftp://hooks.example/x\"\n"), "notify[0].url: expected an address"),
        (format!("{}url = \"https://hooks.example/\"\n", head("webhook")), "every message is signed"),
        (
            format!("{}url = \"https://hooks.example/\"\nsecret_env = \"SHORT\"\n", head("webhook")),
            "24 to 64 bytes in base64",
        ),
        (
            format!("{}url = \"https://hooks.example/\"\nsecret_env = \"AM_SECRET\"\n", head("webhook")),
            "24 to 64 bytes in base64",
        ),
        (format!("{}url_env = \"CHAT\"\nsecret_env = \"HOOK\"\n", head("slack")), "has no secret beside"),
        (
            format!("{}url_env = \"CHAT\"\nevents = [\"rumour\"]\n", head("slack")),
            "notify[0].events[0]: expected one of",
        ),
        (format!("{}url_env = \"CHAT\"\nevents = [\"test\"]\n", head("slack")), "notify[0].events[0]"),
        (format!("{}url_env = \"CHAT\"\nevents = []\n", head("slack")), "must not be empty"),
        (
            format!("{}url_env = \"CHAT\"\nrepeat = \"1m\"\n", head("slack")),
            "only a receiver of kind alertmanager",
        ),
        (format!("{}url_env = \"CHAT\"\ntimeout = \"2h\"\n", head("slack")), "notify[0].timeout: must lie"),
        (
            format!("{}url_env = \"CHAT\"\ntemplates = {{ unknown = \"{{{{ sever }}}}\" }}\n", head("slack")),
            "notify[0].templates.unknown: the template is of no use",
        ),
        (
            format!("{}url_env = \"CHAT\"\ntemplates = {{ unknwon = \"x\" }}\n", head("slack")),
            "notify[0].templates.unknwon: no such event; did you mean \"unknown\"?",
        ),
        (format!("{}url_env = \"CHAT\"\nurls = 1\n", head("slack")), "notify[0].urls: unknown key"),
        (
            "server = { public_url = \"unhang.example\" }\n".to_owned(),
            "server.public_url: expected an address",
        ),
    ] {
        let found = refused(&text);
        assert!(found.iter().any(|problem| problem.contains(expected)), "{text}\n{found:?}");
        assert!(!found.iter().any(|problem| problem.contains("MARKER")), "{found:?}");
    }
    let twice = format!("{hook}url = \"https://hooks.example/\"\n");
    assert!(refused(&format!("{twice}{twice}"))[0].contains("an earlier receiver has the same name"));
    assert!(with(&format!("{hook}url = \"http://10.0.0.1/\"\nallow_http = true\n")).is_ok());
}
