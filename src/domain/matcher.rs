//! Label matchers in Alertmanager's form: `=`, `!=`, `=~`, `!~`; a missing label is the empty string.
//!
//! Never: matches everything by being empty. An empty list matches nothing.

use std::fmt;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::alert::Labels;

/// Matchers of one silence.
pub const MATCHERS_MAX: usize = 16;
/// Bytes of one of them.
const MATCHER_BYTES_MAX: usize = 1024;
/// Bytes that a regular expression of a silence may take when it is compiled. How long it takes to match grows with it.
const PATTERN_BYTES_MAX: usize = 64 * 1024;

/// Why a matcher could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a label matcher such as alertname=\"WindowsVmHung\" or env!~\"dev|test\", got {given:?}: {why}"
)]
pub struct InvalidMatcher {
    /// The text as given.
    pub given: String,
    /// What is wrong with it.
    pub why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Matches,
    NotMatches,
}

impl Operator {
    const ALL: [(&'static str, Self); 4] =
        [("=~", Self::Matches), ("!~", Self::NotMatches), ("!=", Self::NotEqual), ("=", Self::Equal)];

    fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Matches => "=~",
            Self::NotMatches => "!~",
        }
    }
}

/// One condition on one label.
#[derive(Debug, Clone)]
pub struct Matcher {
    label: String,
    operator: Operator,
    value: String,
    regex: Option<Regex>,
}

impl Matcher {
    /// A plain equality.
    pub fn equal(label: impl Into<String>, value: impl Into<String>) -> Self {
        Self { label: label.into(), operator: Operator::Equal, value: value.into(), regex: None }
    }

    /// Reads `label=value`, `label!=value`, `label=~regex` or `label!~regex`; the value may be quoted.
    /// Regular expressions are anchored at both ends and run in linear time.
    pub fn parse(given: &str) -> Result<Self, InvalidMatcher> {
        let fail = |why: &str| InvalidMatcher { given: given.to_owned(), why: why.to_owned() };
        let at = given.find(['=', '!']).ok_or_else(|| fail("no operator"))?;
        let (label, rest) = given.split_at(at);
        let (sign, operator) = Operator::ALL
            .into_iter()
            .find(|(sign, _)| rest.starts_with(sign))
            .ok_or_else(|| fail("unknown operator"))?;
        let label = label.trim();
        let name_ok = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b':' || b == b'.' || b == b'-';
        if label.is_empty() || !label.bytes().all(name_ok) {
            return Err(fail(
                "the label name is empty or has other characters than letters, digits, _ : . -",
            ));
        }
        let value = rest.strip_prefix(sign).unwrap_or_default().trim();
        let value = match value.strip_prefix('"') {
            None => value,
            Some(open) => open.strip_suffix('"').ok_or_else(|| fail("the quote is not closed"))?,
        };
        let regex = match operator {
            Operator::Equal | Operator::NotEqual => None,
            Operator::Matches | Operator::NotMatches => {
                // Read by itself first: brackets that only close together with ours would undo the anchors.
                let own = Regex::new(value).and_then(|_| Regex::new(&format!("^(?:{value})$")));
                Some(own.map_err(|error| fail(&error.to_string()))?)
            }
        };
        Ok(Self { label: label.to_owned(), operator, value: value.to_owned(), regex })
    }

    /// The label that it reads.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Whether the labels satisfy this condition.
    pub fn matches(&self, labels: &Labels) -> bool {
        let actual = labels.get(&self.label).map_or("", String::as_str);
        let hit = self.regex.as_ref().map_or_else(|| actual == self.value, |regex| regex.is_match(actual));
        match self.operator {
            Operator::Equal | Operator::Matches => hit,
            Operator::NotEqual | Operator::NotMatches => !hit,
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}\"{}\"", self.label, self.operator.as_str(), self.value)
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.label, self.operator, &self.value) == (&other.label, other.operator, &other.value)
    }
}

/// Several conditions that must all hold.
#[derive(Debug, Clone, Default, PartialEq, utoipa::ToSchema)]
#[schema(value_type = Vec<String>)]
pub struct Matchers(pub Vec<Matcher>);

impl Matchers {
    /// Whether one of them reads the label.
    pub fn reads(&self, label: &str) -> bool {
        self.0.iter().any(|matcher| matcher.label() == label)
    }

    /// Whether all conditions hold. No condition at all matches nothing: an empty selector read as
    /// "everything" has wiped fleets elsewhere.
    pub fn matches(&self, labels: &Labels) -> bool {
        // What is cheap to ask is asked first.
        let all = |pattern: bool| {
            self.0.iter().filter(|one| one.regex.is_some() == pattern).all(|matcher| matcher.matches(labels))
        };
        !self.0.is_empty() && all(false) && all(true)
    }

    /// How many of them are regular expressions.
    pub fn patterns(&self) -> usize {
        self.0.iter().filter(|matcher| matcher.regex.is_some()).count()
    }

    /// What a person may set: every alert asks all of it.
    pub fn bounded(&self) -> Result<(), String> {
        if self.0.len() > MATCHERS_MAX {
            return Err(format!("expected at most {MATCHERS_MAX} matchers, got {}", self.0.len()));
        }
        for matcher in &self.0 {
            if matcher.label.len() + matcher.value.len() > MATCHER_BYTES_MAX {
                return Err(format!("expected matchers of at most {MATCHER_BYTES_MAX} bytes each"));
            }
            let Some(regex) = &matcher.regex else { continue };
            if RegexBuilder::new(regex.as_str()).size_limit(PATTERN_BYTES_MAX).build().is_err() {
                return Err(format!(
                    "{matcher}: compiled, this regular expression takes more than {} KiB; make it simpler",
                    PATTERN_BYTES_MAX / 1024
                ));
            }
        }
        Ok(())
    }

    /// The labels that its plain equalities ask for.
    pub fn equalities(&self) -> Labels {
        let equal = |matcher: &&Matcher| matcher.operator == Operator::Equal;
        self.0.iter().filter(equal).map(|m| (m.label.clone(), m.value.clone())).collect()
    }

    /// Reads a list of matcher texts.
    pub fn parse(texts: &[String]) -> Result<Self, InvalidMatcher> {
        texts.iter().map(|text| Matcher::parse(text)).collect::<Result<Vec<_>, _>>().map(Self)
    }

    /// The matchers as texts that [`Matchers::parse`] reads back.
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(Matcher::to_string).collect()
    }
}

impl Serialize for Matchers {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.texts().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Matchers {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        Self::parse(&texts).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(matchers: &[&str], labels: &[(&str, &str)], expected: bool) {
        let matchers = Matchers::parse(&matchers.iter().map(|&m| m.to_owned()).collect::<Vec<_>>()).unwrap();
        let labels = labels.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        assert_eq!(matchers.matches(&labels), expected, "{matchers:?} on {labels:?}");
    }

    #[test]
    fn all_four_operators_work_and_a_missing_label_is_empty() {
        check(&["a=\"1\""], &[("a", "1")], true);
        check(&["a=1", "b!=2"], &[("a", "1")], true);
        check(&["a=~\"x|y\""], &[("a", "y")], true);
        check(&["a=~\"x|y\""], &[("a", "yy")], false);
        check(&["a!~\"x.*\""], &[("a", "xy")], false);
        check(&["missing=\"\""], &[("a", "1")], true);
        check(
            &["a_b=1", "a:b=2", "a.b=3", "a-b=4"],
            &[("a_b", "1"), ("a:b", "2"), ("a.b", "3"), ("a-b", "4")],
            true,
        );
    }

    #[test]
    fn matchers_read_back_and_differ_in_each_part() {
        let read = |text: &str| Matcher::parse(text).unwrap();
        let one = read("a=\"1\"");
        assert!(one == read("a=1"));
        for other in ["b=\"1\"", "a!=\"1\"", "a=\"2\"", "a=~\"1\""] {
            assert!(one != read(other), "{other}");
        }
        let texts = ["a=\"1\"", "b!=\"2\"", "c=~\"x|y\"", "d!~\"z\""].map(str::to_owned);
        let matchers = Matchers::parse(&texts).unwrap();
        assert_eq!(matchers.texts(), texts);
        assert_eq!(matchers.equalities(), Labels::from([("a".to_owned(), "1".to_owned())]));
    }

    #[test]
    fn what_a_person_may_set_is_bounded() {
        let bounded = |texts: &[String]| Matchers::parse(texts).unwrap().bounded();
        let usual = r#"hostname=~"(?i)win-[a-z]+-\d{2,4}(\.corp\.example)?""#.to_owned();
        assert_eq!(bounded(&vec![usual.clone(); MATCHERS_MAX]), Ok(()));
        assert!(bounded(&vec![usual; MATCHERS_MAX + 1]).unwrap_err().contains("at most 16 matchers"));
        assert!(bounded(&[format!("a={}", "x".repeat(2000))]).unwrap_err().contains("1024 bytes"));
        for large in [r#"a=~"\w{40}""#, r#"a=~"[ab]{1000}""#, r#"a=~"(.{30}){30}""#] {
            assert!(bounded(&[large.to_owned()]).unwrap_err().contains("make it simpler"), "{large}");
        }
    }

    #[test]
    fn an_empty_selector_matches_nothing() {
        check(&[], &[("a", "1")], false);
    }

    #[test]
    fn a_bad_matcher_says_what_is_wrong() {
        for bad in ["", "abc", "=x", "a=\"x", "a=~\"(\"", "a b=\"x\"", "a=~\"x)|(?:y\"", "a!~\"x)|(?:y\""] {
            assert!(Matcher::parse(bad).is_err(), "{bad}");
        }
    }
}
