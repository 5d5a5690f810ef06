//! `[dashboard]`: how people log in to the pages, and how long that lasts.
//!
//! Never: a log-in that a header of a stranger could make.

use jiff::SignedDuration;
use jiff::tz::TimeZone;

use super::section::Section;
use super::service::networks;
use super::{DashboardConfig, ProxyLoginConfig};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// `[dashboard]`
pub(super) fn dashboard(mut section: Section<'_>) -> DashboardConfig {
    let zone = section.parsed("zone", "a time zone such as \"Asia/Seoul\" or \"UTC\"", |text| {
        TimeZone::get(text).ok().map(|_known| text.to_owned())
    });
    let config = DashboardConfig {
        idle: section.duration("idle", MINUTE * 30, MINUTE..=HOUR * 24),
        session_max: section.duration("session_max", HOUR * 12, MINUTE..=HOUR * 24 * 7),
        zone: zone.unwrap_or_else(|| "UTC".to_owned()),
        proxy_login: proxy_login(&mut section),
    };
    if config.session_max < config.idle {
        section.problem("session_max", "must not be shorter than dashboard.idle");
    }
    section.finish();
    config
}

fn proxy_login(section: &mut Section<'_>) -> Option<ProxyLoginConfig> {
    if !section.has("proxy_login") {
        return None;
    }
    let mut section = section.section("proxy_login");
    let header = section.parsed("header", "the name of a header such as \"X-Forwarded-User\"", |text| {
        let token = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (text.len() <= 64 && text.bytes().all(token)).then(|| text.to_ascii_lowercase())
    });
    if header.is_none() && !section.has("header") {
        section.problem("header", "missing; expected the header in which the proxy names the person");
    }
    let from = networks(&mut section, "from");
    if from.is_empty() {
        section.problem("from", "expected the addresses of the proxy: anybody else could write the header");
    }
    if from.iter().any(|net| net.prefix_len() == 0) {
        section.problem("from", "must not hold every address: anybody could write the header");
    }
    section.finish();
    header.filter(|_| !from.is_empty()).map(|header| ProxyLoginConfig { header, from })
}
