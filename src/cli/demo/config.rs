//! The demo's configuration: a real TOML file and real secret files in a temporary folder.
//!
//! Never: a secret that outlives the demo.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;
use crate::cli::token;

/// The file with its places still empty.
const TEMPLATE: &str = include_str!("template.toml");
/// Where a visitor looks for it.
pub(super) const USUAL: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);
/// Source that may act.
pub(super) const ALERTMANAGER: &str = "alertmanager";
/// Source that can only propose.
pub(super) const CLOUD_INSIGHT: &str = "cloud-insight";
/// Header of the latter.
pub(super) const INSIGHT_HEADER: &str = "X-Unhang-Token";
/// Name of the alert that the quick policy claims.
pub(super) const HUNG: &str = "WindowsVmHung";
/// Name of the alert that the patient policy claims.
pub(super) const SLOW: &str = "WindowsVmSlow";

/// Any free port of this machine.
pub(super) fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A person's token.
pub(super) struct Person {
    /// What they hold.
    pub(super) secret: String,
    sha256: String,
}

impl Person {
    fn make() -> Result<Self, Failure> {
        let (secret, sha256) = token::fresh()?;
        Ok(Self { secret, sha256 })
    }
}

/// Everything secret, made anew for each demo.
pub(super) struct Keys {
    /// Alertmanager's bearer token.
    pub(super) alertmanager: String,
    /// Cloud Insight's static header.
    pub(super) cloud_insight: String,
    /// Reads.
    pub(super) viewer: Person,
    /// Operates.
    pub(super) oncall: Person,
    /// Approves.
    pub(super) lead: Person,
}

impl Keys {
    /// New ones.
    pub(super) fn make() -> Result<Self, Failure> {
        Ok(Self {
            alertmanager: token::fresh()?.0,
            cloud_insight: token::fresh()?.0,
            viewer: Person::make()?,
            oncall: Person::make()?,
            lead: Person::make()?,
        })
    }
}

/// Writes the configuration and its secrets; returns its path.
pub(super) fn write(folder: &Path, endpoint: &str, listen: SocketAddr, keys: &Keys) -> io::Result<PathBuf> {
    let scenario = simulator::Scenario::demo();
    for (name, secret) in [
        ("access-key", &scenario.access_key),
        ("secret-key", &scenario.secret_key),
        ("alertmanager-token", &keys.alertmanager),
        ("cloud-insight-token", &keys.cloud_insight),
    ] {
        private(&folder.join(name), secret)?;
    }
    let store = toml::Value::String(format!("sqlite://{}", folder.join("unhang.db").display()));
    let mut text = TEMPLATE.to_owned();
    for (place, value) in [
        ("@listen@", listen.to_string().as_str()),
        ("@store@", store.to_string().as_str()),
        ("@endpoint@", endpoint),
        ("@alertmanager@", ALERTMANAGER),
        ("@cloud_insight@", CLOUD_INSIGHT),
        ("@insight_header@", INSIGHT_HEADER),
        ("@hung@", HUNG),
        ("@slow@", SLOW),
        ("@viewer@", &keys.viewer.sha256),
        ("@oncall@", &keys.oncall.sha256),
        ("@lead@", &keys.lead.sha256),
    ] {
        text = text.replace(place, value);
    }
    let path = folder.join("unhang.toml");
    private(&path, &text)?;
    Ok(path)
}

fn private(path: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_configuration_passes_its_own_check() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::make().unwrap_or_else(|failure| panic!("{}", failure.text()));
        let path = write(folder.path(), "http://127.0.0.1:9", any_port(), &keys).unwrap();
        let outcome = crate::config::load(Some(&path), &crate::config::Environment::default());
        assert!(outcome.is_ok(), "{}", crate::config::check_report(&outcome));
    }
}
