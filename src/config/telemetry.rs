//! `[telemetry]`: where traces go, if anywhere.
//!
//! Never: lets a trace travel unencrypted to another machine, or shows the secret that goes with it.

use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

use super::cloud::{is_bare, is_loopback};
use super::secret::Vault;
use super::section::Section;

/// What is appended to the endpoint, as OTLP over HTTP says.
const TRACES: &str = "/v1/traces";

/// `[telemetry]`
#[derive(Debug, Clone, Default)]
pub struct TelemetryConfig {
    /// Where traces are posted; `None`: nowhere, and nothing is made of them.
    pub otlp: Option<OtlpConfig>,
}

/// A collector that takes OTLP over HTTP.
#[derive(Debug, Clone)]
pub struct OtlpConfig {
    /// The whole address that traces are posted to.
    pub traces_url: String,
    /// Bearer token, where the collector asks for one.
    pub bearer: Option<SecretString>,
}

/// `[telemetry]`
pub(super) fn telemetry(mut section: Section<'_>, vault: Vault<'_>) -> TelemetryConfig {
    const EXPECTED: &str =
        "an address such as \"http://127.0.0.1:4318\", without user, password, query or fragment";
    let written = section.has("otlp_endpoint");
    let url = section.parsed("otlp_endpoint", EXPECTED, |text| {
        Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && is_bare(url))
    });
    let url = url.filter(|url| {
        let encrypted = url.scheme() == "https" || is_loopback(url);
        if !encrypted {
            let message = "plain http is allowed to a loopback address only; expected https";
            section.problem("otlp_endpoint", message);
        }
        encrypted
    });
    let bearer = bearer(&mut section, written, vault);
    section.finish();
    let otlp = url.map(|url| {
        let base = url.as_str().trim_end_matches('/');
        OtlpConfig { traces_url: format!("{base}{TRACES}"), bearer }
    });
    TelemetryConfig { otlp }
}

fn bearer(section: &mut Section<'_>, wanted: bool, vault: Vault<'_>) -> Option<SecretString> {
    let keys = ["secret_file", "secret_env"];
    let Some(key) = keys.into_iter().find(|key| section.has(key)) else {
        // Known, though not written.
        for key in keys {
            section.take(key);
        }
        return None;
    };
    if !wanted {
        section.problem(key, "of no use without otlp_endpoint");
    }
    let secret = vault.credential(section)?;
    if secret.expose_secret().bytes().all(|b| b.is_ascii_graphic()) {
        return Some(secret);
    }
    section.problem(key, "the secret travels in a header: visible ASCII only, no spaces");
    None
}
