//! Windows that come again: a cron line read in a time zone, and how long each one lasts.
//!
//! Never: knows what a window covers, or reads a clock.

use cronexpr::Crontab;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};

use super::limits::{earlier, later};

/// Longest single window: longer ones are dated, with `from` and `until`.
pub const WINDOW_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);
/// No time zone is set forward or back by more than this.
const ZONE_STEP_MAX: SignedDuration = SignedDuration::from_hours(4);
/// Where the search for a start begins: near first, so that frequent starts are not all walked through.
const LOOK_BACK: [SignedDuration; 2] = [SignedDuration::from_hours(6), SignedDuration::from_hours(30)];
/// Starts that are looked at to find a gap between windows: more minutes than a week has.
const STARTS_LOOKED_AT: usize = 11_000;

/// Why a window that comes again could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRecurring {
    /// The cron line.
    #[error(
        "expected five cron fields: minute, hour, day of month, month, day of week, such as \"0 2 * * SUN\""
    )]
    Cron,
    /// The cron line names a day that no year has.
    #[error("never comes: no year has such a day")]
    Never,
    /// The time zone.
    #[error("expected a zone of the IANA database such as \"Asia/Seoul\" or \"UTC\"")]
    TimeZone,
}

/// A window that comes again.
///
/// The cron line is read as the wall clock of the zone shows it. A start that the clock leaps over when it is set
/// forward comes as much later; one that it shows twice when it is set back comes once, the first time. The length is
/// time that passes, not what the clock shows.
#[derive(Debug, Clone, utoipa::ToSchema)]
pub struct Recurring {
    cron: String,
    timezone: String,
    #[schema(value_type = String, pattern = "^-?PT[0-9HMS.]+$")]
    duration: SignedDuration,
    /// The cron line over plain dates and times; which instant one of them is, is asked of the zone.
    #[schema(ignore)]
    civil: Crontab,
    #[schema(ignore)]
    zone: TimeZone,
}

impl Recurring {
    /// Reads a window.
    pub fn parse(cron: &str, timezone: &str, duration: SignedDuration) -> Result<Self, InvalidRecurring> {
        let civil = civil(cron)?;
        let zone = zone(timezone)?;
        let window = Self { cron: cron.to_owned(), timezone: timezone.to_owned(), duration, civil, zone };
        if window.next_civil(Timestamp::UNIX_EPOCH).is_none() {
            return Err(InvalidRecurring::Never);
        }
        Ok(window)
    }

    /// Whether a text is a time zone.
    pub fn knows_zone(timezone: &str) -> bool {
        zone(timezone).is_ok()
    }

    /// The end of the window that runs at `now`; of several that overlap, the last one's.
    pub fn running_until(&self, now: Timestamp) -> Option<Timestamp> {
        let shown = as_civil(now.to_zoned(self.zone.clone()).datetime())?;
        let all = self.duration.saturating_add(ZONE_STEP_MAX);
        let spans = LOOK_BACK.into_iter().filter(|span| *span < all).chain([all]);
        spans.map(|span| earlier(shown, span)).find_map(|from| self.last_running(from, shown, now))
    }

    fn last_running(&self, from: Timestamp, shown: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let last = later(shown, ZONE_STEP_MAX);
        let starts = std::iter::successors(self.next_civil(from), |at| self.next_civil(*at));
        starts
            .take_while(|start| *start <= last)
            .filter_map(|start| self.instant(start))
            .filter(|start| *start <= now)
            .map(|start| later(start, self.duration))
            .filter(|end| now < *end)
            .max()
    }

    /// The next start after a wall-clock time, both written as if the zone were UTC.
    fn next_civil(&self, after: Timestamp) -> Option<Timestamp> {
        self.civil.find_next(after).ok().map(|start| start.timestamp())
    }

    fn instant(&self, civil: Timestamp) -> Option<Timestamp> {
        let shown = civil.to_zoned(TimeZone::UTC).datetime();
        self.zone.to_ambiguous_zoned(shown).compatible().ok().map(|zoned| zoned.timestamp())
    }

    /// Whether each window begins before the one before has ended, so that there is always one.
    pub fn never_stops(&self) -> bool {
        let mut at = Timestamp::UNIX_EPOCH;
        for number in 0..STARTS_LOOKED_AT {
            let Some(next) = self.next_civil(at) else { return false };
            if number > 0 && next.duration_since(at) > self.duration {
                return false;
            }
            at = next;
        }
        true
    }
}

fn civil(cron: &str) -> Result<Crontab, InvalidRecurring> {
    // A sixth field would be taken for the zone.
    if cron.split_whitespace().count() != 5 {
        return Err(InvalidRecurring::Cron);
    }
    cronexpr::parse_crontab(&format!("{cron} UTC")).map_err(|_why| InvalidRecurring::Cron)
}

fn zone(timezone: &str) -> Result<TimeZone, InvalidRecurring> {
    TimeZone::get(timezone).map_err(|_unknown| InvalidRecurring::TimeZone)
}

fn as_civil(shown: DateTime) -> Option<Timestamp> {
    shown.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

impl PartialEq for Recurring {
    fn eq(&self, other: &Self) -> bool {
        (&self.cron, &self.timezone, self.duration) == (&other.cron, &other.timezone, other.duration)
    }
}

impl Serialize for Recurring {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut fields = serializer.serialize_struct("Recurring", 3)?;
        fields.serialize_field("cron", &self.cron)?;
        fields.serialize_field("duration", &self.duration)?;
        fields.serialize_field("timezone", &self.timezone)?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(cron: &str, timezone: &str, hours: i64) -> Recurring {
        Recurring::parse(cron, timezone, SignedDuration::from_hours(hours)).unwrap()
    }

    fn check(window: &Recurring, now: &str, until: Option<&str>) {
        let found = window.running_until(now.parse().unwrap()).map(|at| at.to_string());
        assert_eq!(found.as_deref(), until, "{window:?} at {now}");
    }

    #[test]
    fn a_weekly_window_runs_by_the_clock_of_its_zone_and_ends_on_the_very_second() {
        let sunday = window("0 2 * * SUN", "Asia/Seoul", 3);
        check(&sunday, "2026-11-21T16:59:59Z", None);
        check(&sunday, "2026-11-21T17:00:00Z", Some("2026-11-21T20:00:00Z"));
        check(&sunday, "2026-11-21T19:59:59Z", Some("2026-11-21T20:00:00Z"));
        check(&sunday, "2026-11-21T20:00:00Z", None);
        check(&sunday, "2026-11-22T02:30:00Z", None);
    }

    #[test]
    fn a_window_crosses_midnight_and_the_week() {
        let night = window("0 22 * * *", "Asia/Seoul", 8);
        check(&night, "2026-11-21T20:59:00Z", Some("2026-11-21T21:00:00Z"));
        check(&night, "2026-11-21T21:00:00Z", None);
        let whole_days = window("0 0 * * MON", "UTC", 7 * 24);
        check(&whole_days, "2026-11-22T23:59:59Z", Some("2026-11-23T00:00:00Z"));
        assert!(whole_days.never_stops());
    }

    #[test]
    fn a_start_that_the_clock_leaps_over_comes_later_and_is_not_lost() {
        // On 2026-03-29 the clock of Berlin goes from 02:00 to 03:00 (01:00Z).
        let night = window("30 2 * * *", "Europe/Berlin", 2);
        check(&night, "2026-03-28T01:30:00Z", Some("2026-03-28T03:30:00Z"));
        check(&night, "2026-03-29T01:29:59Z", None);
        check(&night, "2026-03-29T01:30:00Z", Some("2026-03-29T03:30:00Z"));
        check(&night, "2026-03-30T00:30:00Z", Some("2026-03-30T02:30:00Z"));
    }

    #[test]
    fn a_start_that_the_clock_shows_twice_comes_once_and_lasts_its_time() {
        // On 2026-10-25 the clock of Berlin goes from 03:00 back to 02:00 (01:00Z).
        let night = window("30 2 * * *", "Europe/Berlin", 2);
        check(&night, "2026-10-25T00:29:59Z", None);
        check(&night, "2026-10-25T00:30:00Z", Some("2026-10-25T02:30:00Z"));
        check(&night, "2026-10-25T01:10:00Z", Some("2026-10-25T02:30:00Z"));
        check(&night, "2026-10-25T02:30:00Z", None);
    }

    /// Zones and an instant at which their clock is set: by an hour, by half of one, and at midnight.
    const SET: [(&str, &str); 8] = [
        ("Europe/Berlin", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "2026-10-25T01:00:00Z"),
        ("America/New_York", "2026-03-08T07:00:00Z"),
        ("America/New_York", "2026-11-01T06:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
        ("Africa/Cairo", "2026-04-23T22:00:00Z"),
        ("Africa/Cairo", "2026-10-29T21:00:00Z"),
    ];

    #[test]
    fn a_clock_that_is_set_loses_no_window_and_makes_none_come_twice_shorter_or_longer() {
        let (length, step) = (SignedDuration::from_mins(90), SignedDuration::from_mins(30));
        for (zone, set) in SET {
            let set: Timestamp = set.parse().unwrap();
            let there = |at: Timestamp| at.to_zoned(TimeZone::get(zone).unwrap());
            assert_ne!(there(set).offset(), there(set - step).offset(), "{zone} at {set}");
            for cron in ["0 0 * * *", "30 0 * * *", "30 1 * * *", "0 2 * * *", "30 2 * * *"] {
                let daily = Recurring::parse(cron, zone, length).unwrap();
                let begin = set - SignedDuration::from_hours(40);
                let looks = (0..=40 * 2 * 2).map(|n| begin + step * n);
                let mut lengths = std::collections::BTreeMap::<Timestamp, SignedDuration>::new();
                for end in looks.filter_map(|now| daily.running_until(now)) {
                    *lengths.entry(end).or_default() += step;
                }
                // Those that were running when we began and when we ended were not seen whole.
                lengths
                    .retain(|end, _| *end - length >= begin && *end <= set + SignedDuration::from_hours(40));
                assert!(lengths.values().all(|seen| *seen == length), "{cron} {zone} {set}: {lengths:?}");
                let days: Vec<_> = lengths.keys().map(|end| there(*end - length).date()).collect();
                let one_each = days.windows(2).all(|two| two[0].tomorrow().ok() == Some(two[1]));
                assert!(one_each && days.len() >= 3, "{cron} {zone} {set}: {days:?}");
            }
        }
    }

    #[test]
    fn the_29th_of_february_comes_in_leap_years_only() {
        let leap = window("0 0 29 2 *", "Asia/Seoul", 24);
        check(&leap, "2027-02-28T20:00:00Z", None);
        check(&leap, "2028-02-28T15:00:00Z", Some("2028-02-29T15:00:00Z"));
        check(&leap, "2028-02-29T15:00:00Z", None);
    }

    #[test]
    fn windows_differ_in_each_part() {
        let one = window("0 2 * * *", "UTC", 1);
        assert!(one == window("0 2 * * *", "UTC", 1));
        for other in [("0 3 * * *", "UTC", 1), ("0 2 * * *", "Asia/Seoul", 1), ("0 2 * * *", "UTC", 2)] {
            assert!(one != window(other.0, other.1, other.2), "{other:?}");
        }
    }

    #[test]
    fn of_windows_that_overlap_the_last_one_counts() {
        let often = window("*/10 * * * *", "UTC", 1);
        check(&often, "2026-11-22T03:12:00Z", Some("2026-11-22T04:10:00Z"));
        assert!(often.never_stops());
        assert!(!window("* 0-22 * * *", "UTC", 1).never_stops());
        assert!(!window("* * * * MON-SAT", "UTC", 1).never_stops());
    }

    #[test]
    fn what_cannot_be_read_says_which_part() {
        let refused =
            |cron: &str, zone: &str| Recurring::parse(cron, zone, SignedDuration::from_hours(1)).unwrap_err();
        for bad in [
            "",
            "0 2 * *",
            "0 2 * * SUN UTC",
            "60 2 * * *",
            "0 25 * * *",
            "0 2 * * FUNDAY",
            "@daily",
            "a b c d e",
        ] {
            assert_eq!(refused(bad, "UTC"), InvalidRecurring::Cron, "{bad}");
        }
        assert_eq!(refused("0 2 30 2 *", "UTC"), InvalidRecurring::Never);
        assert_eq!(refused("0 2 * * *", "Asia/Soul"), InvalidRecurring::TimeZone);
        assert!(Recurring::knows_zone("Asia/Seoul") && !Recurring::knows_zone("Mars/Olympus"));
    }
}
