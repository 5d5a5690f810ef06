//! Times as people write them: an instant with its offset or zone, or how long ago.
//!
//! Never: reads a time without an offset; nobody can tell whose it is.

use jiff::{SignedDuration, Timestamp, Zoned};

use crate::clock::Clock;

/// A time in the past: RFC 3339, `2026-12-01T02:00[Asia/Seoul]`, or an age such as `2h`.
pub(super) fn instant_or_age(text: &str) -> Result<Timestamp, String> {
    if let Ok(age) = text.trim_end_matches(" ago").parse::<SignedDuration>() {
        let now = Clock::default().wall();
        return now.checked_sub(age.abs()).map_err(|error| error.to_string());
    }
    instant(text)
}

/// An instant with its offset or zone.
pub(super) fn instant(text: &str) -> Result<Timestamp, String> {
    let zoned = || text.parse::<Zoned>().ok().map(|zoned| zoned.timestamp());
    text.parse::<Timestamp>().ok().or_else(zoned).ok_or_else(|| {
        "expected a time with its offset or zone, such as 2026-12-01T02:00:00+09:00 or \
         2026-12-01T02:00[Asia/Seoul], or an age such as 2h where the past is meant"
            .to_owned()
    })
}

/// A length of time such as `2h` or `30m`; handed on as written.
pub(super) fn duration(text: &str) -> Result<String, String> {
    let parsed = text
        .parse::<SignedDuration>()
        .map_err(|_error| "expected a duration such as 2h or 30m".to_owned())?;
    if parsed > SignedDuration::ZERO {
        Ok(text.to_owned())
    } else {
        Err("expected more than nothing".to_owned())
    }
}

/// A time for a narrow column, in UTC.
pub(super) fn short(at: Timestamp) -> String {
    at.strftime("%m-%d %H:%M:%S").to_string()
}

/// A time for a column that is narrower still, in UTC.
pub(super) fn minute(at: Timestamp) -> String {
    at.strftime("%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_need_an_offset_and_ages_count_back() {
        assert_eq!(instant("2026-12-01T02:00:00+09:00").unwrap().to_string(), "2026-11-30T17:00:00Z");
        assert_eq!(instant("2026-12-01T02:00[Asia/Seoul]").unwrap().to_string(), "2026-11-30T17:00:00Z");
        assert!(instant("2026-12-01T02:00:00").is_err());
        assert!(instant_or_age("2h").unwrap() < Clock::default().wall());
        assert!(duration("0s").is_err() && duration("-2h").is_err() && duration("2 parsecs").is_err());
        assert_eq!(duration("2h").unwrap(), "2h");
    }
}
