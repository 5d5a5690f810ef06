//! Clock: the only place that asks the system for the time, and the two date forms the vendor's answers use.
//!
//! Never: decides anything by the time.

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::{self, TimeZone};

/// Offset without a colon, so not RFC 3339: `2026-10-30T08:00:12+0900`.
const VENDOR_DATE: &str = "%Y-%m-%dT%H:%M:%S%z";

/// Milliseconds since the epoch by the machine's clock.
#[expect(clippy::disallowed_methods, reason = "the only clock of the simulator")]
pub(crate) fn wall_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// The instant as the vendor writes dates in answers, in Korean time.
pub(crate) fn vendor_date(ms: i64) -> String {
    instant(ms).to_zoned(TimeZone::fixed(tz::offset(9))).strftime(VENDOR_DATE).to_string()
}

/// Reads what [`vendor_date`] writes.
pub(crate) fn parse_vendor_date(text: &str) -> Option<i64> {
    let parsed = strtime::parse(VENDOR_DATE, text).ok()?;
    Some(parsed.to_timestamp().ok()?.as_millisecond())
}

/// The instant as an HTTP `Date` header.
pub(crate) fn http_date(ms: i64) -> String {
    instant(ms).to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn instant(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendor_dates_have_an_offset_without_a_colon_and_come_back() {
        let text = "2026-10-30T08:00:12+0900";
        let ms = parse_vendor_date(text).unwrap();
        assert_eq!(vendor_date(ms), text);
        assert_eq!(http_date(ms), "Thu, 29 Oct 2026 23:00:12 GMT");
    }

    #[test]
    fn an_unreadable_date_is_none() {
        assert_eq!(parse_vendor_date("yesterday"), None);
    }
}
