//! `[[maintenance]]`: planned mutes, dated or coming again.
//!
//! Never: takes a window without an end, or one that covers nothing, for a window.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp, Zoned};

use super::policies::selector;
use super::section::Section;
use crate::domain::hold::{Maintenance, NamePattern, Schedule};
use crate::domain::matcher::Matchers;
use crate::domain::recurring::{InvalidRecurring, Recurring, WINDOW_MAX};
use crate::domain::server::RegionCode;

/// All windows.
pub(super) fn maintenance(sections: Vec<Section<'_>>) -> Vec<Maintenance> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut windows = Vec::new();
    for mut section in sections {
        let name = section.required_text("name", "a name for people");
        if name.as_ref().is_some_and(|name| !names.insert(name.clone())) {
            section.problem("name", "an earlier window has the same name");
        }
        let again = ["cron", "duration", "timezone"].iter().any(|key| section.has(key));
        let schedule = if again { recurring(&mut section) } else { once(&mut section) };
        let selected = selected(&mut section);
        if let (Some(Schedule::Recurring(recurring)), Some(selected)) = (&schedule, &selected)
            && recurring.never_stops()
        {
            let what = if selected.is_everything() { "everything" } else { "what it covers" };
            section.warning(
                "duration",
                format!("each window begins before the one before has ended: {what} is muted always"),
            );
        }
        section.finish();
        if let (Some(name), Some(schedule), Some(selected)) = (name, schedule, selected) {
            let Selected { servers, name_pattern, region, matchers } = selected;
            windows.push(Maintenance { name, schedule, servers, name_pattern, region, matchers });
        }
    }
    windows
}

struct Selected {
    servers: Vec<String>,
    name_pattern: Option<NamePattern>,
    region: Option<RegionCode>,
    matchers: Matchers,
}

impl Selected {
    /// A whole region, or a pattern that fits any name.
    fn is_everything(&self) -> bool {
        let any_name = |pattern: &NamePattern| ["", "a", "win-01", "X 9"].iter().all(|n| pattern.matches(n));
        self.region.is_some() || self.name_pattern.as_ref().is_some_and(any_name)
    }
}

/// What a window covers; `None` is a mistake.
fn selected(section: &mut Section<'_>) -> Option<Selected> {
    let written = ["servers", "name_pattern", "region", "match"].iter().any(|key| section.has(key));
    let servers = section.texts("servers").unwrap_or_default();
    let has_pattern = section.has("name_pattern");
    let name_pattern = section.parsed(
        "name_pattern",
        "a regular expression that whole server names match, such as \"win-batch-.*\"",
        NamePattern::parse,
    );
    let has_region = section.has("region");
    let region =
        section.parsed("region", "a region code such as \"KR\"", |text| RegionCode::parse(text).ok());
    let matchers = selector(section)?;
    if servers.is_empty() && !has_pattern && !has_region && matchers.0.is_empty() {
        let empty = if written { "what is written selects nothing" } else { "covers nothing" };
        section.problem("", format!("{empty}; expected servers, name_pattern, region or match"));
        return None;
    }
    Some(Selected { servers, name_pattern, region, matchers })
}

fn once(section: &mut Section<'_>) -> Option<Schedule> {
    let from = instant(section, "from");
    let until = instant(section, "until");
    let (from, until) = (from?, until?);
    if until <= from {
        section.problem("until", "must be later than from");
        return None;
    }
    Some(Schedule::Once { from, until })
}

fn recurring(section: &mut Section<'_>) -> Option<Schedule> {
    for key in ["from", "until"] {
        if section.take(key).is_some() {
            section.problem(key, "a window has either from and until, or cron, duration and timezone");
        }
    }
    let cron = section.required_text("cron", "five cron fields such as \"0 2 * * SUN\"");
    let timezone =
        section.required_text("timezone", "the zone that cron is read in, such as \"Asia/Seoul\" or \"UTC\"");
    if !section.has("duration") {
        section.problem("duration", "missing; expected how long each window lasts, such as \"3h\"");
        return None;
    }
    let duration =
        section.duration("duration", SignedDuration::ZERO, SignedDuration::from_mins(1)..=WINDOW_MAX);
    let (cron, timezone) = (cron?, timezone?);
    let read = Recurring::parse(&cron, &timezone, duration);
    if matches!(read, Err(InvalidRecurring::Cron | InvalidRecurring::Never))
        && !Recurring::knows_zone(&timezone)
    {
        section.problem("timezone", InvalidRecurring::TimeZone.to_string());
    }
    match read {
        Ok(recurring) => Some(Schedule::Recurring(recurring)),
        Err(why) => {
            let key = if why == InvalidRecurring::TimeZone { "timezone" } else { "cron" };
            section.problem(key, why.to_string());
            None
        }
    }
}

/// An instant, written as RFC 3339, as local time with its zone in brackets, or as a TOML date-time with offset.
fn instant(section: &mut Section<'_>, key: &'static str) -> Option<Timestamp> {
    const EXPECTED: &str = "a time with its offset or zone, such as \"2026-12-01T02:00:00+09:00\" or \"2026-12-01T02:00[Asia/Seoul]\"";
    let Some(value) = section.take(key) else {
        section.problem(key, format!("missing; expected {EXPECTED}"));
        return None;
    };
    let text = value.as_str().map(str::to_owned).or_else(|| value.as_datetime().map(ToString::to_string));
    let Some(text) = text else {
        section.problem(key, format!("expected {EXPECTED}, got {}", value.type_str()));
        return None;
    };
    let zoned = || text.parse::<Zoned>().ok().map(|zoned| zoned.timestamp());
    let read = text.parse::<Timestamp>().ok().or_else(zoned);
    if read.is_none() {
        section.problem(key, format!("expected {EXPECTED}"));
    }
    read
}
