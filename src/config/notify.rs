//! `[[notify]]`: the receivers of messages, and what each is told.
//!
//! Never: shows an address that is a secret, or lets a message travel unencrypted that nobody allowed to.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use toml::Value;

use super::cloud::{is_bare, is_loopback};
use super::secret::Vault;
use super::section::{Section, hint, is_name};
use super::{ReceiverConfig, ReceiverKind, SignKey};
use crate::domain::notice::{Kind, Wording};

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// Beginning of a secret by the Standard Webhooks rules.
const SECRET_PREFIX: &str = "whsec_";
/// Bytes that such a secret may have.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Most receivers.
const RECEIVERS_MAX: usize = 32;

/// All receivers.
pub(super) fn notify(sections: Vec<Section<'_>>, vault: Vault<'_>) -> Vec<ReceiverConfig> {
    let mut names = BTreeSet::new();
    let mut receivers = Vec::new();
    for (index, mut section) in sections.into_iter().enumerate() {
        if index == RECEIVERS_MAX {
            section.problem("", format!("more than {RECEIVERS_MAX} receivers"));
        }
        let name = section.required_text("name", "a name such as \"oncall\"").filter(|name| {
            if !is_name(name) {
                section.problem("name", "expected a-z, 0-9, _ and -, at most 63, not beginning with _ or -");
            } else if !names.insert(name.clone()) {
                section.problem("name", "an earlier receiver has the same name");
            } else {
                return true;
            }
            false
        });
        receivers.extend(receiver(section, name, vault));
    }
    receivers
}

fn receiver(mut section: Section<'_>, name: Option<String>, vault: Vault<'_>) -> Option<ReceiverConfig> {
    let kinds = [ReceiverKind::Slack, ReceiverKind::Webhook, ReceiverKind::Alertmanager];
    if !section.has("kind") {
        section.problem("kind", "missing; expected one of slack, webhook, alertmanager");
    }
    let kind = section.choice("kind", &kinds.map(|kind| (kind.as_str(), kind)));
    let address = address(&mut section, kind, vault);
    let secret = secret(&mut section, kind, vault);
    let events = events(&mut section, kind);
    let timeout = section.duration("timeout", SECOND * 10, SignedDuration::from_millis(100)..=SECOND * 60);
    let give_up = section.duration("give_up", HOUR * 72, SignedDuration::from_mins(1)..=HOUR * 24 * 30);
    if kind.is_some() && kind != Some(ReceiverKind::Alertmanager) && section.has("repeat") {
        section.problem("repeat", "only a receiver of kind alertmanager has this key");
    }
    let repeat = section.duration("repeat", SECOND * 60, SECOND..=HOUR);
    let wording = wording(&mut section);
    section.finish();
    let (url, url_is_secret) = address?;
    let kind = kind?;
    let (sign_key, bearer) = match kind {
        ReceiverKind::Slack => (None, None),
        ReceiverKind::Webhook => (Some(sign_key(&secret?)?), None),
        ReceiverKind::Alertmanager => (None, secret),
    };
    Some(ReceiverConfig {
        name: name?,
        kind,
        url,
        url_is_secret,
        sign_key,
        bearer,
        events,
        timeout,
        give_up,
        repeat,
        wording,
    })
}

/// `url`, `url_file` or `url_env`, and whether it must not be shown. The address of a chat is all that one needs to
/// write there, so it is never written in the configuration.
fn address(
    section: &mut Section<'_>,
    kind: Option<ReceiverKind>,
    vault: Vault<'_>,
) -> Option<(SecretString, bool)> {
    const EXPECTED: &str = "an address such as \"https://hooks.example/unhang\"";
    let allow_http = match section.take("allow_http") {
        None => false,
        Some(Value::Boolean(allow)) => allow,
        Some(other) => {
            section.problem("allow_http", format!("expected true or false, got {}", other.type_str()));
            return None;
        }
    };
    if kind == Some(ReceiverKind::Slack) {
        section.refuse_inline("url", "url_file or url_env");
    }
    let written: Vec<&'static str> =
        ["url", "url_file", "url_env"].into_iter().filter(|key| section.has(key)).collect();
    let [key] = written.as_slice() else {
        for key in ["url", "url_file", "url_env"] {
            section.take(key);
        }
        let found = if written.is_empty() { "missing; expected" } else { "several are written; keep one of" };
        section.problem("url", format!("{found} url, url_file or url_env"));
        return None;
    };
    let text = match *key {
        "url" => section.text("url").map(SecretString::from),
        key => vault.text(section, key),
    }?;
    let url = Url::parse(text.expose_secret()).ok().filter(|url| {
        url.has_host() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none()
    });
    let problem = match &url {
        Some(url)
            if url.scheme() == "https" || (url.scheme() == "http" && (allow_http || is_loopback(url))) =>
        {
            let url = url.as_str().to_owned();
            return Some((SecretString::from(url), *key != "url"));
        }
        Some(url) if url.scheme() == "http" => {
            "plain http is allowed to a loopback address only; expected https, or allow_http = true beside it"
                .to_owned()
        }
        Some(_) | None => format!("expected {EXPECTED}, without user, password or fragment"),
    };
    section.problem(key, problem);
    None
}

/// The secret of a webhook, or the bearer token of an Alertmanager behind a proxy.
fn secret(section: &mut Section<'_>, kind: Option<ReceiverKind>, vault: Vault<'_>) -> Option<SecretString> {
    let written =
        ["secret_file", "secret_env", "secret", "password", "token"].iter().any(|key| section.has(key));
    match kind {
        Some(ReceiverKind::Webhook) if !written => {
            section.problem(
                "secret_file",
                "missing; expected a path here or secret_env: every message is signed",
            );
        }
        Some(ReceiverKind::Slack) if written => {
            section.problem("secret_file", "a receiver of kind slack has no secret beside its address");
        }
        Some(_) | None => {}
    }
    if !written {
        // Known, though not written.
        section.take("secret_file");
        section.take("secret_env");
        return None;
    }
    let secret = vault.credential(section)?;
    match kind {
        Some(ReceiverKind::Webhook) if sign_key(&secret).is_none() => {
            section.problem(
                "",
                "the secret of a webhook is whsec_ and 24 to 64 bytes in base64, such as `echo whsec_$(openssl rand -base64 32)` gives",
            );
            None
        }
        Some(ReceiverKind::Alertmanager) if !secret.expose_secret().bytes().all(|b| b.is_ascii_graphic()) => {
            section.problem("", "the secret travels in a header: visible ASCII only, no spaces");
            None
        }
        Some(_) | None => Some(secret),
    }
}

/// The key of a `whsec_` secret.
fn sign_key(secret: &SecretString) -> Option<SignKey> {
    let text = secret.expose_secret().strip_prefix(SECRET_PREFIX)?;
    let bytes = STANDARD.decode(text).ok().filter(|bytes| SECRET_BYTES.contains(&bytes.len()))?;
    Some(SignKey::new(bytes))
}

fn events(section: &mut Section<'_>, kind: Option<ReceiverKind>) -> BTreeSet<Kind> {
    let words: Vec<&str> =
        Kind::ALL.iter().map(|kind| kind.as_str()).filter(|word| *word != "test").collect();
    if section.is_empty_list("events") {
        section.problem("events", "must not be empty; leave it out for the usual ones");
    }
    let expected = format!("one of {}", words.join(", "));
    let written =
        section.list("events", &expected, |text| Kind::parse(text).filter(|kind| *kind != Kind::Test));
    let alertmanager = kind == Some(ReceiverKind::Alertmanager);
    let usual = |kind: &Kind| if alertmanager { kind.needs_person() } else { kind.is_usual() };
    match written {
        Some(kinds) => kinds.into_iter().collect(),
        None => Kind::ALL.iter().copied().filter(|kind| *kind != Kind::Test && usual(kind)).collect(),
    }
}

/// `templates = { unknown = "…" }`
fn wording(section: &mut Section<'_>) -> Wording {
    let mut wording = Wording::default();
    if !section.has("templates") {
        return wording;
    }
    let mut inner = section.section("templates");
    let words: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    let written: BTreeMap<String, Value> = inner.take_rest().into_iter().collect();
    for (word, value) in written {
        let Some(kind) = Kind::parse(&word) else {
            inner.problem(&word, format!("no such event{}", hint(&word, &words)));
            continue;
        };
        let Some(template) = value.as_str() else {
            inner.problem(&word, format!("expected a text, got {}", value.type_str()));
            continue;
        };
        if let Err(error) = wording.set(kind, template) {
            inner.problem(&word, format!("the template is of no use: {error}"));
        }
    }
    inner.finish();
    wording
}

/// `[server] public_url`: where people find the pages; no query, and no slash at its end.
pub(super) fn public_url(section: &mut Section<'_>) -> Option<String> {
    const EXPECTED: &str = "an address such as \"https://unhang.example\", perhaps with a path";
    section.parsed("public_url", EXPECTED, |text| {
        let known = |url: &Url| matches!(url.scheme(), "http" | "https") && is_bare(url);
        let url = Url::parse(text).ok().filter(known)?;
        Some(url.as_str().trim_end_matches('/').to_owned())
    })
}
