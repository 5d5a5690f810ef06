//! `[server]`, `[store]`, `[storm]`, `[dispatch]`, `[verify]`, `[inventory]`: how the service itself runs.
//!
//! Never: opens the store or an address; values only.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use jiff::SignedDuration;

use super::section::Section;
use super::size::{MIB, size, size_text};
use super::{DispatchConfig, InventoryConfig, ServerConfig, StoreConfig, StormConfig, VerifyConfig};

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// `[server]`
pub(super) fn server(mut section: Section<'_>) -> ServerConfig {
    let listen = section
        .parsed("listen", "an address with a port such as \"127.0.0.1:8080\"", |text| text.parse().ok());
    let config = ServerConfig {
        listen: listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080))),
        body_bytes_max: section.whole("body_bytes_max", 4 * 1024 * 1024, 1024..=64 * 1024 * 1024),
        alerts_max: section.whole("alerts_max", 2000, 1..=100_000),
        label_bytes_max: section.whole("label_bytes_max", 4096, 64..=65_536),
        labels_max: section.whole("labels_max", 64, 1..=1024),
        body_timeout: section.duration("body_timeout", SignedDuration::from_secs(10), SECOND..=MINUTE),
        deliveries_per_second: section.whole("deliveries_per_second", 2000, 1..=100_000),
        queue_max: section.whole("queue_max", 1024, 1..=100_000),
        status_page: section.choice("status_page", &[("off", false), ("loopback", true)]).unwrap_or(false),
        trusted_proxies: networks(&mut section, "trusted_proxies"),
    };
    section.finish();
    config
}

/// A list of networks in CIDR form or single addresses.
pub(super) fn networks(section: &mut Section<'_>, key: &'static str) -> Vec<IpNet> {
    let parse = |text: &str| {
        let network = text.parse::<IpNet>().map(|network| network.trunc());
        network.ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    };
    section.list(key, "a network such as \"10.0.0.0/8\" or an address", parse).unwrap_or_default()
}

/// `[store]`
pub(super) fn store(mut section: Section<'_>) -> StoreConfig {
    const EXPECTED: &str = "sqlite:// and the path of a file, such as \"sqlite://data/unhang.db\"";
    let path = section.parsed("url", EXPECTED, |url| {
        let path = url.strip_prefix("sqlite://")?;
        let names_a_file = !path.is_empty() && !path.ends_with('/') && !path.contains(['?', '#', ':']);
        names_a_file.then(|| PathBuf::from(path))
    });
    let path = path.unwrap_or_else(|| PathBuf::from("data/unhang.db"));
    let hold_file = section.text("hold_file").map(PathBuf::from);
    let hold_file = hold_file.unwrap_or_else(|| path.parent().unwrap_or(Path::new("")).join("HOLD"));
    if hold_file == path {
        section.problem("hold_file", "must not be the store itself");
    }
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
    StoreConfig { path, hold_file, watermark_bytes, ballast_bytes }
}

/// `[storm]`
pub(super) fn storm(mut section: Section<'_>) -> StormConfig {
    let share = match section.take("share") {
        None => 0.1,
        Some(value) => {
            let whole = value.as_integer().and_then(|share| i32::try_from(share).ok());
            let share = value.as_float().or(whole.map(f64::from)).unwrap_or(f64::NAN);
            if !(share > 0.0 && share <= 1.0) {
                section.problem("share", "expected a part above 0 and up to 1, such as 0.1");
            }
            share
        }
    };
    if ["share", "count", "same_zone", "window"].iter().any(|key| section.has(key)) {
        section.warning(
            "count",
            "[storm] is read but not enforced by this version; budgets and spacing bound a storm",
        );
    }
    let config = StormConfig {
        share,
        count: section.whole("count", 2, 1..=1000),
        same_zone: section.whole("same_zone", 3, 1..=1000),
        window: section.duration("window", SignedDuration::from_mins(10), MINUTE..=HOUR * 24),
    };
    section.finish();
    config
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
