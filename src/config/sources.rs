//! `[[sources]]`: who may send alerts, in which dialect, with which credentials.
//!
//! Never: lets a source through that anyone could speak for.

use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};

use super::policies::selector;
use super::problem::Findings;
use super::secret::Vault;
use super::section::{Section, is_name};
use super::service::networks;
use super::{CredentialConfig, HeartbeatConfig, SanName, SourceConfig, SourceKind};
use crate::domain::alert::Labels;
use crate::domain::guest::Binding;
use crate::domain::hold::NamePattern;
use crate::domain::policy::{Mode, Policy, Trust};

/// Cloud Insight's limit for the name and the value of a header together.
const INSIGHT_HEADER_BYTES_MAX: usize = 100;
/// Headers that mean something to HTTP itself.
/// Names that stand for no configured source.
const RESERVED_NAMES: [&str; 2] = ["by-hand", "unknown"];
const RESERVED_HEADERS: [&str; 6] =
    ["host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection"];

/// All sources, and the names of all that were written, broken ones included.
pub(super) fn sources(
    sections: Vec<Section<'_>>,
    client_ca: bool,
    vault: Vault<'_>,
) -> (Vec<String>, Vec<SourceConfig>) {
    let mut names: Vec<String> = Vec::new();
    let mut sources = Vec::new();
    let mut secrets: Vec<(usize, String, Known)> = Vec::new();
    for (index, mut section) in sections.into_iter().enumerate() {
        let name = section.required_text("name", "a name for the path /webhooks/{name}");
        let name = name.filter(|name| {
            if !is_name(name) {
                section.problem("name", "expected a-z, 0-9, _ and -, at most 63, not beginning with _ or -");
            } else if RESERVED_NAMES.contains(&name.as_str()) {
                section.problem("name", "is taken: orders by people and strangers are counted under it");
            } else if names.contains(name) {
                section.problem("name", "an earlier source has the same name");
            } else {
                return true;
            }
            false
        });
        names.extend(name.clone());
        let kind = kind(&mut section);
        let credentials = credentials(&mut section, kind, client_ca, vault);
        for (key, credential) in &credentials {
            let known = Known::of(credential);
            let twin = secrets.iter().find(|(owner, _, other)| *owner != index && other.is(&known));
            if let Some((_, twin, _)) = twin {
                let what = known.word();
                section
                    .findings()
                    .problem(key, format!("the same {what} as {twin}; every source needs its own"));
            }
            secrets.push((index, key.clone(), known));
        }
        let auth = credentials.into_iter().map(|(_, credential)| credential).collect();
        sources.extend(finish(section, name, kind, auth));
    }
    (names, sources)
}

fn kind(section: &mut Section<'_>) -> Option<SourceKind> {
    let kinds = [SourceKind::Alertmanager, SourceKind::Grafana, SourceKind::CloudInsight, SourceKind::Guest];
    if !section.has("kind") {
        section.problem("kind", "missing; expected one of alertmanager, grafana, cloud_insight, guest");
    }
    section.choice("kind", &kinds.map(|kind| (kind.as_str(), kind)))
}

fn finish(
    mut section: Section<'_>,
    name: Option<String>,
    kind: Option<SourceKind>,
    auth: Vec<CredentialConfig>,
) -> Option<SourceConfig> {
    if kind == Some(SourceKind::Guest) && section.has("trust") {
        section.problem("trust", "a source of kind guest sends no alerts; leave the key out");
    }
    let trusts = [("act", Trust::Act), ("propose", Trust::Propose)];
    let trust = section.choice("trust", &trusts).unwrap_or(Trust::Propose);
    let allow_from = networks(&mut section, "allow_from");
    let insight = kind == Some(SourceKind::CloudInsight);
    if insight && trust == Trust::Act {
        section.warning(
            "trust",
            "Cloud Insight cannot sign or date what it sends: whoever learns the header may act",
        );
    }
    let mut values = |key: &'static str, default: &str| {
        if kind.is_some() && !insight && section.has(key) {
            section.problem(key, "only a source of kind cloud_insight has this key");
        }
        if section.is_empty_list(key) {
            section.problem(key, "must not be empty");
        }
        let values = section.texts(key);
        values.unwrap_or_else(|| vec![default.to_owned()])
    };
    let firing_values = values("firing_values", "ALARM");
    let resolved_values = values("resolved_values", "RESOLVE");
    if firing_values.iter().any(|value| resolved_values.contains(value)) {
        section.problem("resolved_values", "a text cannot mean both firing and resolved");
    }
    let heartbeat = heartbeat(&mut section);
    let speaks_for = speaks_for(&mut section, kind);
    section.finish();
    Some(SourceConfig {
        name: name?,
        kind: kind?,
        trust,
        auth,
        allow_from,
        firing_values,
        resolved_values,
        heartbeat,
        speaks_for,
    })
}

/// `servers` and `name_pattern` of a guest: without them one stolen credential would speak for every server.
fn speaks_for(section: &mut Section<'_>, kind: Option<SourceKind>) -> Binding {
    let guest = kind == Some(SourceKind::Guest);
    for key in ["servers", "name_pattern"] {
        if kind.is_some() && !guest && section.has(key) {
            section.problem(key, "only a source of kind guest has this key");
        }
        if section.is_empty_list(key) {
            section.problem(key, "must not be empty");
        }
    }
    if guest && !section.has("servers") && !section.has("name_pattern") {
        section.problem(
            "servers",
            "missing; expected the servers that these guests are, as numbers or exact names, or name_pattern",
        );
    }
    let servers = section.texts("servers").unwrap_or_default();
    let expected = "a regular expression that whole server names match, such as \"win-.*\"";
    Binding { servers, name_pattern: section.parsed("name_pattern", expected, NamePattern::parse) }
}

/// `heartbeat`: which alert is one, and how long its absence is borne.
fn heartbeat(section: &mut Section<'_>) -> Option<HeartbeatConfig> {
    if !section.has("heartbeat") {
        return None;
    }
    let mut inner = section.section("heartbeat");
    let minute = SignedDuration::from_mins(1);
    let within = inner.duration("within", minute * 5, minute / 2..=SignedDuration::from_hours(24));
    let matchers = selector(&mut inner);
    match &matchers {
        Some(matchers) if matchers.0.is_empty() => {
            inner.problem("match", "missing or empty; expected labels such as { alertname = \"Watchdog\" }");
        }
        Some(matchers) if matchers.matches(&Labels::new()) => inner.problem(
            "match",
            "also matches an alert without any label; at least one condition must ask for a label",
        ),
        Some(_) | None => {}
    }
    inner.finish();
    matchers.map(|matchers| HeartbeatConfig { matchers, within })
}

/// An alert that is a heartbeat never reaches a policy, so one that a policy waits for must not be one.
pub(super) fn judge_heartbeats(sources: &[SourceConfig], policies: &[Policy], findings: &Findings) {
    for source in sources {
        let Some(heartbeat) = &source.heartbeat else { continue };
        let takes = |policy: &&Policy| {
            let hears = policy.sources.is_empty() || policy.sources.contains(&source.name);
            policy.mode != Mode::Off && hears && heartbeat.matchers.matches(&policy.matchers.equalities())
        };
        if let Some(policy) = policies.iter().find(takes) {
            let name = &policy.name;
            findings.problem(
                format!("sources.{}.heartbeat.match", source.name),
                format!("also matches what policies.{name} acts on; an alert that is a heartbeat never reaches a policy"),
            );
        }
    }
}

/// The credentials of one source, each with the key of its secret.
fn credentials(
    section: &mut Section<'_>,
    kind: Option<SourceKind>,
    client_ca: bool,
    vault: Vault<'_>,
) -> Vec<(String, CredentialConfig)> {
    if !section.has("auth") || section.is_empty_list("auth") {
        section.problem(
            "auth",
            "no credential configured; anyone could send alerts, so the service does not start",
        );
    }
    let entries = section.sections("auth").into_iter();
    entries.filter_map(|entry| credential(entry, kind, client_ca, vault)).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AuthKind {
    Bearer,
    Basic,
    Header,
    Hmac,
    ClientCertificate,
}

fn credential(
    mut section: Section<'_>,
    source: Option<SourceKind>,
    client_ca: bool,
    vault: Vault<'_>,
) -> Option<(String, CredentialConfig)> {
    let kinds = [
        ("bearer", AuthKind::Bearer),
        ("basic", AuthKind::Basic),
        ("header", AuthKind::Header),
        ("hmac", AuthKind::Hmac),
        ("client_certificate", AuthKind::ClientCertificate),
    ];
    if !section.has("kind") {
        section.problem("kind", "missing; expected one of bearer, basic, header, hmac, client_certificate");
    }
    let kind = section.choice("kind", &kinds);
    let certificate = kind == Some(AuthKind::ClientCertificate);
    let secret_key = if certificate {
        "san"
    } else if section.has("secret_env") {
        "secret_env"
    } else {
        "secret_file"
    };
    let secret_key = section.key(secret_key);
    let secret = if certificate { None } else { vault.credential(&mut section) };
    let Some(kind) = kind else {
        // Which other keys belong here is not known, so they are not judged.
        return None;
    };
    if source == Some(SourceKind::CloudInsight) && kind != AuthKind::Header {
        section.problem(
            "kind",
            "Cloud Insight can only send a static header of A-Z a-z 0-9 _ -; expected header",
        );
    }
    let credential = match kind {
        AuthKind::Bearer => secret
            .filter(|secret| visible(&section, secret))
            .map(|secret| CredentialConfig::Bearer { secret }),
        AuthKind::Basic => basic(&mut section, secret),
        AuthKind::Header => header(&mut section, secret, source),
        AuthKind::Hmac => hmac(&mut section, secret),
        AuthKind::ClientCertificate => client_certificate(&mut section, client_ca),
    };
    section.finish();
    credential.map(|credential| (secret_key, credential))
}

fn basic(section: &mut Section<'_>, secret: Option<SecretString>) -> Option<CredentialConfig> {
    let username = section.required_text("username", "a user name");
    if username.as_ref().is_some_and(|name| name.contains(':')) {
        section.problem("username", "must not contain a colon");
    }
    Some(CredentialConfig::Basic { username: username?, secret: secret? })
}

fn header(
    section: &mut Section<'_>,
    secret: Option<SecretString>,
    source: Option<SourceKind>,
) -> Option<CredentialConfig> {
    if !section.has("name") {
        section.problem("name", "missing; expected the name of a header such as \"X-Unhang-Token\"");
    }
    let name = header_name(section, "name");
    let secret = secret.filter(|secret| visible(section, secret))?;
    let name = name?;
    if source == Some(SourceKind::CloudInsight) {
        let value = secret.expose_secret();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !value.bytes().all(plain) {
            section.problem("", "Cloud Insight sends only A-Z a-z 0-9 _ - in a header; change the secret");
        }
        if !name.bytes().all(plain) {
            section.problem("name", "Cloud Insight sends only A-Z a-z 0-9 _ - in a header");
        }
        if name.len().saturating_add(value.len()) > INSIGHT_HEADER_BYTES_MAX {
            section.problem(
                "",
                format!(
                    "Cloud Insight takes at most {INSIGHT_HEADER_BYTES_MAX} bytes of header name and value together"
                ),
            );
        }
    }
    Some(CredentialConfig::Header { name, secret })
}

fn hmac(section: &mut Section<'_>, secret: Option<SecretString>) -> Option<CredentialConfig> {
    let signature_header = header_name(section, "signature_header");
    let timestamp_header = header_name(section, "timestamp_header");
    let tolerance = section.duration(
        "tolerance",
        SignedDuration::from_secs(300),
        SignedDuration::from_secs(1)..=SignedDuration::from_mins(10),
    );
    Some(CredentialConfig::Hmac {
        secret: secret?,
        signature_header: signature_header.unwrap_or_else(|| "X-Grafana-Alerting-Signature".to_owned()),
        timestamp_header: timestamp_header.unwrap_or_else(|| "X-Grafana-Alerting-Timestamp".to_owned()),
        tolerance,
    })
}

fn client_certificate(section: &mut Section<'_>, client_ca: bool) -> Option<CredentialConfig> {
    const EXPECTED: &str = "the one alternative name of the client's certificate, \"dns:NAME\" without a star or \"uri:ADDRESS\"";
    if !client_ca {
        section.problem("kind", "needs server.tls.client_ca_file: the authorities that vouch for clients");
    }
    if !section.has("san") {
        section.problem("san", format!("missing; expected {EXPECTED}"));
    }
    let san = section.parsed("san", EXPECTED, SanName::parse)?;
    Some(CredentialConfig::ClientCertificate { san })
}

fn header_name(section: &mut Section<'_>, key: &'static str) -> Option<String> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    section.parsed(key, "the name of a header that HTTP does not use itself", |text| {
        let free = !RESERVED_HEADERS.contains(&text.to_ascii_lowercase().as_str());
        (text.len() <= 64 && free && text.bytes().all(token)).then(|| text.to_owned())
    })
}

fn visible(section: &Section<'_>, secret: &SecretString) -> bool {
    let visible = secret.expose_secret().bytes().all(|b| b.is_ascii_graphic());
    if !visible {
        section.problem("", "the secret travels in a header: visible ASCII only, no spaces");
    }
    visible
}

/// What a credential knows its sender by; no two sources may know theirs by the same.
enum Known {
    Secret(SecretString),
    San(SanName),
}

impl Known {
    fn of(credential: &CredentialConfig) -> Self {
        match credential {
            CredentialConfig::Bearer { secret }
            | CredentialConfig::Basic { secret, .. }
            | CredentialConfig::Header { secret, .. }
            | CredentialConfig::Hmac { secret, .. } => Self::Secret(secret.clone()),
            CredentialConfig::ClientCertificate { san } => Self::San(san.clone()),
        }
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Secret(own), Self::Secret(other)) => own.expose_secret() == other.expose_secret(),
            (Self::San(own), Self::San(other)) => own == other,
            (Self::Secret(_), Self::San(_)) | (Self::San(_), Self::Secret(_)) => false,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Secret(_) => "secret",
            Self::San(_) => "name",
        }
    }
}
