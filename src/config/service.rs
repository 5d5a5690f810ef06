//! `[server]`, `[store]`, `[dispatch]`, `[verify]`, `[inventory]`: how the service itself runs.
//!
//! Never: opens the store or an address; values only. The one look outside: whether two paths share a file system.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use jiff::SignedDuration;

use super::notify::public_url;
use super::place::{Place, Server};
use super::secret::Vault;
use super::section::Section;
use super::size::{MIB, size, size_text};
use super::tls::tls;
use super::{DispatchConfig, InventoryConfig, ServerConfig, StoreConfig, VerifyConfig};
use crate::domain::address::network;

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// `[server]`
pub(super) fn server(mut section: Section<'_>, vault: Vault<'_>) -> ServerConfig {
    let (listen, ops_listen) = addresses(&mut section);
    let tls_written = section.has("tls");
    let config = ServerConfig {
        listen,
        ops_listen,
        tls: tls(&mut section, vault),
        body_bytes_max: section.whole("body_bytes_max", 4 * 1024 * 1024, 1024..=64 * 1024 * 1024),
        alerts_max: section.whole("alerts_max", 2000, 1..=100_000),
        label_bytes_max: section.whole("label_bytes_max", 4096, 64..=65_536),
        labels_max: section.whole("labels_max", 64, 1..=1024),
        body_timeout: section.duration("body_timeout", SignedDuration::from_secs(10), SECOND..=MINUTE),
        deliveries_per_second: section.whole("deliveries_per_second", 2000, 1..=100_000),
        queue_max: section.whole("queue_max", 1024, 1..=100_000),
        streams_max: section.whole("streams_max", 500, 0..=4096),
        write_timeout: section.duration("write_timeout", MINUTE, SECOND..=HOUR),
        public_url: public_url(&mut section),
        trusted_proxies: networks(&mut section, "trusted_proxies"),
    };
    if config.ops_listen.is_some_and(|ops| ops == config.listen && ops.port() != 0) {
        section.problem("ops_listen", "must be another address than server.listen");
    }
    let plain_to_others = !tls_written && config.trusted_proxies.is_empty();
    if plain_to_others && !config.listen.ip().to_canonical().is_loopback() {
        section.warning(
            "listen",
            "not a loopback address, without server.tls: tokens and alerts travel unencrypted. Write server.tls, or end TLS in a proxy and name it in server.trusted_proxies",
        );
    }
    section.finish();
    config
}

/// Where it listens, and where health and figures are served if that is elsewhere.
pub(super) fn addresses(section: &mut Section<'_>) -> (SocketAddr, Option<SocketAddr>) {
    let listen = address(section, "listen").unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080)));
    (listen, address(section, "ops_listen"))
}

fn address(section: &mut Section<'_>, key: &'static str) -> Option<SocketAddr> {
    section.parsed(key, "an address with a port such as \"127.0.0.1:8080\"", |text| text.parse().ok())
}

/// A list of networks in CIDR form or single addresses.
pub(super) fn networks(section: &mut Section<'_>, key: &'static str) -> Vec<IpNet> {
    section.list(key, "a network such as \"10.0.0.0/8\" or an address", network).unwrap_or_default()
}

/// `[store]`
pub(super) fn store(mut section: Section<'_>, vault: Vault<'_>) -> StoreConfig {
    let place = section.parsed("url", Place::EXPECTED, Place::parse);
    let place = place.unwrap_or_else(|| Place::File(PathBuf::from("data/unhang.db")));
    if place.file().is_some_and(Path::is_relative) {
        section.warning(
            "url",
            "is relative to the working directory: started in another one, the service begins a new store that knows of nothing; write sqlite:/// and an absolute path",
        );
    }
    let place = password(&mut section, place, vault);
    let folder = section.text("folder").map(PathBuf::from);
    if folder.is_some() && !place.is_shared() {
        section.problem("folder", "is for postgres:// only; a store in a file has the folder of its file");
    }
    let folder = folder.unwrap_or_else(|| PathBuf::from("data"));
    let path = place.file().map_or_else(|| folder.join("unhang"), Path::to_owned);
    let replica = section.text("replica").unwrap_or_else(host_name);
    let hold_file = section.text("hold_file").map(PathBuf::from);
    let hold_file = hold_file.unwrap_or_else(|| path.parent().unwrap_or(Path::new("")).join("HOLD"));
    if hold_file == path {
        section.problem("hold_file", "must not be the store itself");
    }
    let journal = journal(&mut section, &path, &hold_file);
    let watermark_bytes = size(&mut section, "watermark", 512 * MIB);
    let ballast_bytes = size(&mut section, "ballast", 64 * MIB);
    if watermark_bytes < ballast_bytes {
        section.warning(
            "watermark",
            format!(
                "smaller than store.ballast ({}): the disk may be full before sending stops",
                size_text(ballast_bytes)
            ),
        );
    }
    section.finish();
    StoreConfig { place, path, replica, hold_file, journal, watermark_bytes, ballast_bytes }
}

/// The password of a server, and that nobody on the way can read it.
fn password(section: &mut Section<'_>, place: Place, vault: Vault<'_>) -> Place {
    let server = match place {
        Place::Server(server) => server,
        Place::File(_) => {
            if section.has("password_file") {
                section.problem("password_file", "is for postgres:// only");
            }
            section.take("password_file");
            return place;
        }
    };
    if server.has_password() {
        section.problem("url", "holds a password; put it into a file and name it with store.password_file");
    }
    if !server.is_safe() {
        section.problem("url", Server::NOT_SAFE);
    }
    Place::Server(match vault.text(section, "password_file") {
        Some(password) => server.with_password(password),
        None => server,
    })
}

/// The name of this machine; a replica is known by it.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// `store.journal`: of use where the store's disk is replaced or rolled back, so it should lie on another.
fn journal(section: &mut Section<'_>, store: &Path, hold_file: &Path) -> PathBuf {
    const ADVICE: &str =
        "put it on another disk: one that is rolled back or lost takes store and journal together";
    let written = section.text("journal").map(PathBuf::from);
    let is_written = written.is_some();
    let journal = written.unwrap_or_else(|| store.parent().unwrap_or(Path::new("")).join("JOURNAL"));
    if journal == store || journal == hold_file {
        section.problem("journal", "must be a file of its own");
    } else if !is_written {
        section.warning("journal", format!("is not written, so it lies beside the store; {ADVICE}"));
    } else if let (Some(store), Some(journal)) = (device_of(store), device_of(&journal))
        && store == journal
    {
        section.warning("journal", format!("lies on the same file system as the store; {ADVICE}"));
    }
    journal
}

/// The file system that a path is on, or would be made on: that of the nearest folder that is there.
fn device_of(path: &Path) -> Option<u64> {
    let here = Path::new(".");
    let folders =
        path.ancestors().skip(1).map(|folder| if folder.as_os_str().is_empty() { here } else { folder });
    folders.filter_map(|folder| std::fs::metadata(folder).ok()).map(|found| found.dev()).next()
}

/// `[dispatch]`
pub(super) fn dispatch(mut section: Section<'_>) -> DispatchConfig {
    let tick =
        section.duration("tick", SECOND, SignedDuration::from_millis(100)..=SignedDuration::from_secs(10));
    section.finish();
    DispatchConfig { tick }
}

/// `[verify]`
pub(super) fn verify(mut section: Section<'_>) -> VerifyConfig {
    let config = VerifyConfig {
        poll: section.duration("poll", SignedDuration::from_secs(10), SECOND..=MINUTE * 5),
        window: section.duration("window", MINUTE * 30, MINUTE..=HOUR * 6),
        give_up: section.duration("give_up", HOUR * 24, HOUR..=HOUR * 24 * 7),
    };
    if config.give_up <= config.window {
        section.problem("give_up", "must be longer than verify.window");
    }
    section.finish();
    config
}

/// `[inventory]`
pub(super) fn inventory(mut section: Section<'_>) -> InventoryConfig {
    let config = InventoryConfig {
        refresh: section.duration("refresh", MINUTE * 5, SignedDuration::from_secs(30)..=HOUR),
        fresh_for: section.duration("fresh_for", MINUTE * 10, MINUTE..=HOUR * 2),
        lookup_for: section.duration("lookup_for", MINUTE, SECOND..=MINUTE * 10),
    };
    if config.fresh_for <= config.refresh {
        section.problem(
            "fresh_for",
            "must be longer than inventory.refresh, or every entry is stale before it is read again",
        );
    }
    section.finish();
    config
}
