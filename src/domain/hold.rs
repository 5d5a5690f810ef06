//! The operator's ways to say no: holds, silences, maintenance windows.
//!
//! Never: reads where they are kept; facts arrive as values.

use jiff::Timestamp;
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::alert::Labels;
use super::matcher::Matchers;
use super::recurring::Recurring;
use super::server::{RegionCode, ServerNo};
use super::target::means;

/// What a hold stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "scope", content = "name", rename_all = "snake_case")]
pub enum HoldScope {
    /// Everything.
    Global,
    /// Remediations born of one source.
    Source(String),
    /// Remediations of one policy.
    Policy(String),
    /// Servers of one region.
    Region(String),
    /// One server.
    Server(String),
}

impl HoldScope {
    /// Reads the two words used in the store and the API.
    pub fn from_parts(scope: &str, name: &str) -> Option<Self> {
        let named = |make: fn(String) -> Self| (!name.is_empty()).then(|| make(name.to_owned()));
        match scope {
            "global" => name.is_empty().then_some(Self::Global),
            "source" => named(Self::Source),
            "policy" => named(Self::Policy),
            "region" => named(Self::Region),
            "server" => named(Self::Server),
            _ => None,
        }
    }

    /// The two words used in the store and the API.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Global => ("global", ""),
            Self::Source(name) => ("source", name),
            Self::Policy(name) => ("policy", name),
            Self::Region(name) => ("region", name),
            Self::Server(name) => ("server", name),
        }
    }
}

/// What a question about holds is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Source that told of the alert.
    pub source: &'a str,
    /// Policy in charge.
    pub policy: &'a str,
    /// Region of the server.
    pub region: &'a RegionCode,
    /// The server.
    pub server: &'a ServerNo,
}

/// An operator's stop of all acting in a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// Row number.
    pub id: i64,
    /// What it stops.
    #[serde(flatten)]
    pub scope: HoldScope,
    /// Who set it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub set_at: Timestamp,
    /// Its own end; `None` until a person clears it.
    pub until: Option<Timestamp>,
}

impl Hold {
    /// Whether it stops acting on the subject at `now`.
    pub fn stops(&self, subject: Subject<'_>, now: Timestamp) -> bool {
        let covered = match &self.scope {
            HoldScope::Global => true,
            HoldScope::Source(name) => name == subject.source,
            HoldScope::Policy(name) => name == subject.policy,
            HoldScope::Region(name) => name == subject.region.as_str(),
            HoldScope::Server(name) => name == subject.server.as_str(),
        };
        covered && self.until.is_none_or(|until| now < until)
    }
}

/// An operator's mute of matching alerts.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Silence {
    /// Row number.
    pub id: i64,
    /// Labels it mutes.
    pub matchers: Matchers,
    /// Who set it.
    pub author: String,
    /// Why.
    pub comment: String,
    /// From when.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
}

impl Silence {
    /// Whether it mutes an alert with these labels at `now`.
    pub fn mutes(&self, labels: &Labels, now: Timestamp) -> bool {
        self.starts_at <= now && now < self.ends_at && self.matchers.matches(labels)
    }
}

/// Silences at once that have not ended.
pub const SILENCES_MAX: usize = 500;
/// Regular expressions of all of them together: an alert may have to ask each.
pub const PATTERNS_MAX: usize = 100;

/// Whether there is room for one more silence beside those that have not ended.
pub fn room_for(new: &Matchers, beside: &[Silence]) -> Result<(), String> {
    if beside.len() >= SILENCES_MAX {
        return Err(format!("{SILENCES_MAX} silences have not ended; end some of them first"));
    }
    let patterns = beside.iter().map(|silence| silence.matchers.patterns()).sum::<usize>();
    if new.patterns() > 0 && patterns + new.patterns() > PATTERNS_MAX {
        return Err(format!(
            "the silences that have not ended hold {patterns} regular expressions, and may hold {PATTERNS_MAX}: \
             end some of them, or ask for equal labels"
        ));
    }
    Ok(())
}

/// When a planned mute runs.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Schedule {
    /// Once.
    Once {
        /// From when.
        from: Timestamp,
        /// Until when.
        until: Timestamp,
    },
    /// Again and again.
    Recurring(Recurring),
}

impl Schedule {
    /// The end of the window, if one runs at `now`.
    pub fn running_until(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Once { from, until } => (*from <= now && now < *until).then_some(*until),
            Self::Recurring(recurring) => recurring.running_until(now),
        }
    }
}

/// A pattern that a whole `serverName` must match. Names have no case.
#[derive(Debug, Clone)]
pub struct NamePattern(Regex);

impl NamePattern {
    /// Reads a regular expression; it is anchored at both ends and runs in linear time.
    pub fn parse(text: &str) -> Option<Self> {
        // Read by itself first: brackets that only close together with ours would undo the anchors.
        let own = !text.is_empty() && Regex::new(text).is_ok();
        let whole = || RegexBuilder::new(&format!("^(?:{text})$")).case_insensitive(true).build().ok();
        own.then(whole).flatten().map(Self)
    }

    /// Whether it matches a name.
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

impl PartialEq for NamePattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Serialize for NamePattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

/// A planned mute from the configuration. What it mutes is not done later: it takes a new notice.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Maintenance {
    /// Name, for people.
    pub name: String,
    /// When it runs.
    #[serde(flatten)]
    pub schedule: Schedule,
    /// Servers by number or exact name; empty with no other selector is refused by the configuration.
    pub servers: Vec<String>,
    /// Servers by a pattern of their names.
    #[schema(value_type = Option<String>)]
    pub name_pattern: Option<NamePattern>,
    /// Region code it covers.
    pub region: Option<RegionCode>,
    /// Labels it covers.
    #[serde(rename = "match")]
    pub matchers: Matchers,
}

impl Maintenance {
    /// The end of the window, where one runs at `now` and covers the server or the alert. One selector that fits is
    /// enough.
    pub fn covers(
        &self,
        server_no: &ServerNo,
        server_name: &str,
        region: &RegionCode,
        labels: &Labels,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let named = self.servers.iter().any(|entry| means(entry, server_no.as_str(), server_name));
        let fits = self.name_pattern.as_ref().is_some_and(|pattern| pattern.matches(server_name));
        let in_region = self.region.as_ref().is_some_and(|r| r == region);
        let covered = named || fits || in_region || self.matchers.matches(labels);
        if covered { self.schedule.running_until(now) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_mute_runs_from_its_first_moment_to_before_its_last() {
        let labels = Labels::from([("a".to_owned(), "1".to_owned())]);
        let matchers = Matchers(vec![super::super::matcher::Matcher::equal("a", "1")]);
        let (author, comment) = ("kim".to_owned(), String::new());
        let silence = Silence { id: 1, matchers, author, comment, starts_at: at(10), ends_at: at(20) };
        let once = Schedule::Once { from: at(10), until: at(20) };
        for (second, runs) in [(9, false), (10, true), (19, true), (20, false)] {
            assert_eq!(silence.mutes(&labels, at(second)), runs, "{second}");
            assert_eq!(once.running_until(at(second)), runs.then(|| at(20)), "{second}");
        }
        assert!(!silence.mutes(&Labels::new(), at(10)));
    }

    #[test]
    fn there_is_room_for_so_many_silences_and_so_many_patterns_in_them() {
        let silence = |text: &str| Silence {
            id: 1,
            matchers: Matchers::parse(&[text.to_owned()]).unwrap(),
            author: "kim".to_owned(),
            comment: String::new(),
            starts_at: at(0),
            ends_at: at(1),
        };
        let (equal, pattern) = (silence("a=1"), silence("a=~\"1|2\""));
        let many = |one: &Silence, count| vec![one.clone(); count];
        assert!(room_for(&pattern.matchers, &many(&equal, SILENCES_MAX - 1)).is_ok());
        assert!(room_for(&equal.matchers, &many(&equal, SILENCES_MAX)).is_err());
        assert!(room_for(&pattern.matchers, &many(&pattern, PATTERNS_MAX - 1)).is_ok());
        assert!(room_for(&pattern.matchers, &many(&pattern, PATTERNS_MAX)).is_err());
        assert!(room_for(&equal.matchers, &many(&pattern, PATTERNS_MAX)).is_ok());
    }

    #[test]
    fn scopes_read_back_and_only_the_global_one_has_no_name() {
        let named = |make: fn(String) -> HoldScope| make("x".to_owned());
        let scopes = [
            HoldScope::Global,
            named(HoldScope::Source),
            named(HoldScope::Policy),
            named(HoldScope::Region),
            named(HoldScope::Server),
        ];
        for scope in scopes {
            let (word, name) = scope.parts();
            assert_eq!(HoldScope::from_parts(word, name), Some(scope.clone()));
            let other = if name.is_empty() { "x" } else { "" };
            assert_eq!(HoldScope::from_parts(word, other), None, "{scope:?}");
        }
        assert_eq!(HoldScope::from_parts("everything", ""), None);
    }

    #[test]
    fn one_selector_that_fits_is_enough_for_a_window() {
        let none = || Maintenance {
            name: "patch day".to_owned(),
            schedule: Schedule::Once { from: at(10), until: at(20) },
            servers: Vec::new(),
            name_pattern: None,
            region: None,
            matchers: Matchers(Vec::new()),
        };
        let labels = Labels::from([("a".to_owned(), "1".to_owned())]);
        let covers = |window: Maintenance| {
            let (no, region) = (ServerNo::parse("90000001").unwrap(), RegionCode::parse("KR").unwrap());
            window.covers(&no, "win-app-01", &region, &labels, at(10)).is_some()
        };
        let region = |code: &str| RegionCode::parse(code).ok();
        let matchers = |value: &str| Matchers(vec![super::super::matcher::Matcher::equal("a", value)]);
        assert!(covers(Maintenance { servers: vec!["90000001".to_owned()], ..none() }));
        assert!(covers(Maintenance { servers: vec!["win-app-01".to_owned()], ..none() }));
        assert!(covers(Maintenance { name_pattern: NamePattern::parse("win-.*"), ..none() }));
        assert!(covers(Maintenance { name_pattern: NamePattern::parse("WIN-.*"), ..none() }));
        assert!(covers(Maintenance { servers: vec!["WIN-APP-01".to_owned()], ..none() }));
        assert!(covers(Maintenance { region: region("KR"), ..none() }));
        assert!(covers(Maintenance { matchers: matchers("1"), ..none() }));
        assert!(!covers(none()));
        let other = Maintenance { servers: vec!["90000002".to_owned()], region: region("SGN"), ..none() };
        assert!(!covers(Maintenance { matchers: matchers("2"), ..other }));
    }

    #[test]
    fn a_name_pattern_matches_whole_names() {
        let pattern = |text: &str| NamePattern::parse(text).unwrap();
        assert!(pattern("win-.*").matches("win-app-01"));
        assert!(!pattern("win").matches("win-app-01"));
        assert!(!pattern("app|db").matches("db-01"));
        assert!(pattern("win-.*") == pattern("win-.*") && pattern("win-.*") != pattern("win-.+"));
        for bad in ["", "(", "a)|(?:b"] {
            assert!(NamePattern::parse(bad).is_none(), "{bad}");
        }
    }
}
