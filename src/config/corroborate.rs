//! `corroborate` of a policy: the second signals that must agree before anything is sent.
//!
//! Never: an address that an alert could choose, or a secret over plain HTTP that nobody asked for.

use jiff::SignedDuration;
use reqwest::Url;
use secrecy::ExposeSecret as _;
use toml::Value;

use super::SignalSecret;
use super::cloud::{is_bare, is_loopback};
use super::secret::Vault;
use super::section::Section;
use crate::domain::corroboration::{Ask, Wanted};

const PORTS_MAX: usize = 16;
const TIMEOUT: SignedDuration = SignedDuration::from_secs(3);
const TIMEOUT_RANGE: std::ops::RangeInclusive<SignedDuration> =
    SignedDuration::from_millis(100)..=SignedDuration::from_secs(10);
/// What may stand for the server in a query.
const PLACEHOLDERS: [&str; 3] = ["ip", "name", "no"];

#[derive(Debug, Clone, Copy)]
enum Kind {
    TcpClosed,
    Promql,
    Alertmanager,
    CloudInsight,
}

/// The signals of one policy in their order; their secrets go into `secrets`.
pub(super) fn corroborate(
    section: &mut Section<'_>,
    policy: &str,
    vault: Vault<'_>,
    secrets: &mut Vec<SignalSecret>,
) -> Vec<Wanted> {
    let mut all = Vec::new();
    for (index, mut entry) in section.sections("corroborate").into_iter().enumerate() {
        let kinds = [
            ("tcp_closed", Kind::TcpClosed),
            ("promql", Kind::Promql),
            ("alertmanager", Kind::Alertmanager),
            ("cloud_insight", Kind::CloudInsight),
        ];
        let shown = format!("{}[{index}]", section.key("corroborate"));
        entry.rename(shown);
        if !entry.has("kind") {
            entry.problem("kind", "missing; expected one of tcp_closed, promql, alertmanager, cloud_insight");
        }
        let kind = entry.choice("kind", &kinds);
        let timeout = entry.duration("timeout", TIMEOUT, TIMEOUT_RANGE);
        let ask = match kind {
            None => {
                entry.take_rest();
                None
            }
            Some(Kind::TcpClosed) => ports(&mut entry).map(|ports| Ask::TcpClosed { ports }),
            Some(Kind::Promql) => {
                let (url, query) = (url(&mut entry), query(&mut entry));
                secret(&mut entry, policy, index, vault, secrets);
                url.zip(query).map(|(url, query)| Ask::Promql { url, query })
            }
            Some(Kind::Alertmanager) => {
                let url = url(&mut entry);
                secret(&mut entry, policy, index, vault, secrets);
                url.map(|url| Ask::Alertmanager { url })
            }
            Some(Kind::CloudInsight) => Some(Ask::CloudInsight),
        };
        entry.finish();
        all.extend(ask.map(|ask| Wanted { ask, timeout }));
    }
    all
}

fn ports(entry: &mut Section<'_>) -> Option<Vec<u16>> {
    const EXPECTED: &str = "expected 1 to 16 port numbers such as [3389, 445]";
    let read = |value: Value| {
        let Value::Array(values) = value else { return None };
        let ports: Option<Vec<u16>> = values
            .iter()
            .map(|value| u16::try_from(value.as_integer()?).ok().filter(|port| *port > 0))
            .collect();
        ports.filter(|ports| (1..=PORTS_MAX).contains(&ports.len()))
    };
    let ports = entry.take("ports").and_then(read);
    if ports.is_none() {
        entry.problem("ports", EXPECTED);
    }
    ports
}

/// `https`, `http` to this machine, or `http` that was allowed in so many words. No query, user or fragment.
fn url(entry: &mut Section<'_>) -> Option<String> {
    const EXPECTED: &str =
        "expected a scheme, a host and perhaps a path, such as \"https://prometheus.example:9090\"";
    let allow_http = match entry.take("allow_http") {
        None => false,
        Some(Value::Boolean(allow)) => allow,
        Some(other) => {
            entry.problem("allow_http", format!("expected true or false, got {}", other.type_str()));
            return None;
        }
    };
    let text = entry.required_text("url", "a scheme and a host")?;
    let parsed = Url::parse(&text).ok().filter(is_bare);
    let problem = match &parsed {
        None => EXPECTED,
        Some(url) => match url.scheme() {
            "https" => return Some(trimmed(url)),
            "http" if allow_http || is_loopback(url) => return Some(trimmed(url)),
            "http" => {
                "plain http is allowed to a loopback address only; expected https, or allow_http = true beside it"
            }
            _ => EXPECTED,
        },
    };
    entry.problem("url", problem);
    None
}

fn trimmed(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// A query that is about the server: without a placeholder it would agree whatever server is meant.
fn query(entry: &mut Section<'_>) -> Option<String> {
    let text = entry.required_text("query", "a query such as 'up{instance=\"$ip:9182\"} == 0'")?;
    let mut named = 0;
    for part in text.split('$').skip(1) {
        let word: String = part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if word.is_empty() {
            continue;
        }
        if PLACEHOLDERS.contains(&word.as_str()) {
            named += 1;
        } else {
            entry.problem("query", "$ must be followed by ip, name or no, or stand at the end of a pattern");
            return None;
        }
    }
    if named == 0 {
        entry.problem("query", "names no server; expected $ip, $name or $no in it");
        return None;
    }
    Some(text)
}

fn secret(
    entry: &mut Section<'_>,
    policy: &str,
    index: usize,
    vault: Vault<'_>,
    secrets: &mut Vec<SignalSecret>,
) {
    if !["secret_file", "secret_env", "secret", "password", "token"].iter().any(|key| entry.has(key)) {
        // Known, though not written.
        entry.take("secret_file");
        entry.take("secret_env");
        return;
    }
    let Some(secret) = vault.credential(entry) else { return };
    if !secret.expose_secret().bytes().all(|b| b.is_ascii_graphic()) {
        entry.problem("", "the secret travels in a header: visible ASCII only, no spaces");
        return;
    }
    secrets.push(SignalSecret { policy: policy.to_owned(), index, secret });
}
