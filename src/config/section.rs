//! A reader over one TOML table: takes keys one by one, checks them, and complains about what is left over.
//!
//! Never: stops at the first mistake, and never repeats a value in a message.

use std::fmt::Display;
use std::ops::RangeInclusive;

use jiff::SignedDuration;
use toml::{Table, Value};

use super::problem::Findings;

/// One table of the configuration while it is being read.
#[derive(Debug)]
pub(super) struct Section<'a> {
    /// Path as people see it, such as `policies.hung-windows`.
    shown: String,
    /// Path by index, such as `policies[0]`; where an environment variable puts its value.
    place: String,
    table: Table,
    known: Vec<&'static str>,
    findings: &'a Findings,
}

impl<'a> Section<'a> {
    /// The outermost table.
    pub(super) fn root(table: Table, findings: &'a Findings) -> Self {
        Self::at(String::new(), table, findings)
    }

    fn at(place: String, table: Table, findings: &'a Findings) -> Self {
        Self { shown: place.clone(), place, table, known: Vec::new(), findings }
    }

    /// Where complaints go.
    pub(super) fn findings(&self) -> &'a Findings {
        self.findings
    }

    /// Shows this section under another path from now on.
    pub(super) fn rename(&mut self, shown: String) {
        self.shown = shown;
    }

    /// Full path of a key in this section; the section itself for an empty key.
    pub(super) fn key(&self, key: &str) -> String {
        join(&self.shown, key)
    }

    /// Complains about a key of this section.
    pub(super) fn problem(&self, key: &str, message: impl Into<String>) {
        let mut message = message.into();
        if let Some(variable) = self.findings.origin(&join(&self.place, key)) {
            message = format!("{message} (set by {variable})");
        }
        self.findings.problem(self.key(key), message);
    }

    /// Warns about a key of this section.
    pub(super) fn warning(&self, key: &str, message: impl Into<String>) {
        self.findings.warning(self.key(key), message);
    }

    /// Whether the key is written.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether the key is written as an empty list.
    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        self.table.get(key).and_then(Value::as_array).is_some_and(Vec::is_empty)
    }

    /// Takes the raw value of a key.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    /// Takes every key that is left, for tables whose keys are free.
    pub(super) fn take_rest(&mut self) -> Table {
        std::mem::take(&mut self.table)
    }

    /// Refuses a secret that stands in the configuration itself.
    pub(super) fn refuse_inline(&mut self, key: &'static str, instead: &str) {
        if self.table.remove(key).is_some() {
            self.problem(key, format!("a secret is never written in the configuration; use {instead}"));
        }
    }

    /// Takes a text that is not empty.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        let value = self.take(key)?;
        self.as_text(key, value)
    }

    /// Takes a text that must be there.
    pub(super) fn required_text(&mut self, key: &'static str, what: &str) -> Option<String> {
        if !self.has(key) {
            self.problem(key, format!("missing; expected {what}"));
        }
        self.text(key)
    }

    /// Takes a text and reads it as something better.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(key)?;
        let parsed = parse(&text);
        if parsed.is_none() {
            self.problem(key, format!("expected {expected}"));
        }
        parsed
    }

    /// Takes one word of a closed list.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, options: &[(&'static str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = options.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words: Vec<&str> = options.iter().map(|&(word, _)| word).collect();
            self.problem(key, format!("expected one of {}{}", words.join(", "), hint(&text, &words)));
        }
        found.map(|&(_, value)| value)
    }

    /// Takes a duration such as `30s`, `2m` or `24h` within a range.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        default: SignedDuration,
        range: RangeInclusive<SignedDuration>,
    ) -> SignedDuration {
        const EXPECTED: &str = "a duration such as \"30s\", \"2m\" or \"24h\"";
        let Some(value) = self.take(key) else {
            return default;
        };
        let Some(text) = value.as_str() else {
            self.problem(key, format!("expected {EXPECTED}, got {}", value.type_str()));
            return default;
        };
        match text.trim().parse::<SignedDuration>() {
            Ok(duration) if range.contains(&duration) => duration,
            Ok(_) => {
                let (least, most) = range.into_inner();
                self.problem(key, format!("must lie between {least:#} and {most:#}"));
                default
            }
            Err(_) => {
                self.problem(key, format!("expected {EXPECTED}"));
                default
            }
        }
    }

    /// Takes a whole number within a range.
    pub(super) fn whole<T>(&mut self, key: &'static str, default: T, range: RangeInclusive<T>) -> T
    where
        T: TryFrom<i64> + PartialOrd + Display + Copy,
    {
        let Some(value) = self.take(key) else {
            return default;
        };
        let Some(number) = value.as_integer() else {
            self.problem(key, format!("expected a whole number, got {}", value.type_str()));
            return default;
        };
        match T::try_from(number) {
            Ok(number) if range.contains(&number) => number,
            Ok(_) | Err(_) => {
                let (least, most) = range.into_inner();
                self.problem(key, format!("must lie between {least} and {most}"));
                default
            }
        }
    }

    /// Takes a list of texts and reads each; `None` when the key is not written.
    /// Entries that cannot be read are complained about and left out.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let value = self.take(key)?;
        let Value::Array(values) = value else {
            self.problem(key, format!("expected a list of texts, got {}", value.type_str()));
            return Some(Vec::new());
        };
        let mut read = Vec::new();
        for (index, value) in values.into_iter().enumerate() {
            let entry = format!("{key}[{index}]");
            let Some(text) = self.as_text(&entry, value) else {
                continue;
            };
            match parse(&text) {
                Some(parsed) => read.push(parsed),
                None => self.problem(&entry, format!("expected {expected}")),
            }
        }
        Some(read)
    }

    /// Takes a list of plain texts.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        self.list(key, "a text", |text| Some(text.to_owned()))
    }

    /// Takes an inner table; an empty one when it is not written.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        let table = match self.take(key) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                self.problem(key, format!("expected a table [{key}], got {}", other.type_str()));
                Table::new()
            }
        };
        Self::at(join(&self.place, key), table, self.findings)
    }

    /// Takes a list of inner tables.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let values = match self.take(key) {
            None => Vec::new(),
            Some(Value::Array(values)) => values,
            Some(other) => {
                let got = other.type_str();
                self.problem(key, format!("expected a list of tables [[{key}]], got {got}"));
                Vec::new()
            }
        };
        let mut sections = Vec::new();
        for (index, value) in values.into_iter().enumerate() {
            let entry = format!("{key}[{index}]");
            if let Value::Table(table) = value {
                sections.push(Self::at(join(&self.place, &entry), table, self.findings));
            } else {
                self.problem(&entry, format!("expected a table, got {}", value.type_str()));
            }
        }
        sections
    }

    /// Ends the reading: what is left is unknown and refused.
    pub(super) fn finish(self) {
        for key in self.table.keys() {
            let known = hint(key, &self.known);
            let known = if known.is_empty() {
                let mut words = self.known.clone();
                words.sort_unstable();
                words.dedup();
                format!("; known here: {}", words.join(", "))
            } else {
                known
            };
            self.problem(&printable(key), format!("unknown key{known}"));
        }
    }

    fn as_text(&self, key: &str, value: Value) -> Option<String> {
        let Value::String(text) = value else {
            self.problem(key, format!("expected a text, got {}", value.type_str()));
            return None;
        };
        if text.trim().is_empty() {
            self.problem(key, "must not be empty");
            return None;
        }
        Some(text)
    }
}

/// Path of a key inside a path.
pub(super) fn join(path: &str, key: &str) -> String {
    match (path.is_empty(), key.is_empty()) {
        (true, _) => key.to_owned(),
        (_, true) => path.to_owned(),
        (false, false) => format!("{path}.{key}"),
    }
}

/// Whether a text may name a source or a policy: `^[a-z0-9][a-z0-9_-]{0,62}$`.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|b| plain(b) || b == b'_' || b == b'-')
}

/// `; did you mean "…"?` when a known word is near.
pub(super) fn hint(given: &str, known: &[&str]) -> String {
    let far = (given.chars().count() / 3).max(1);
    known
        .iter()
        .map(|word| (distance(given, word), word))
        .filter(|&(distance, _)| distance <= far)
        .min()
        .map(|(_, word)| format!("; did you mean \"{word}\"?"))
        .unwrap_or_default()
}

/// Characters of an unknown key that are printed at most; a longer one is no typing mistake.
const KEY_CHARS_MAX: usize = 40;

/// A key as it may be printed: one line, no control characters, not long.
pub(super) fn printable(key: &str) -> String {
    let mut shown: String = key.chars().take(KEY_CHARS_MAX).flat_map(char::escape_debug).collect();
    if key.chars().nth(KEY_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// Edits (insert, delete, replace) between two words, without regard to case and `-` or `_`.
fn distance(left: &str, right: &str) -> usize {
    let fold = |c: char| if c == '-' { '_' } else { c.to_ascii_lowercase() };
    let right: Vec<char> = right.chars().map(fold).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, from) in left.chars().map(fold).enumerate() {
        let mut diagonal = line;
        let mut before = line.saturating_add(1);
        let mut next = vec![before];
        for (to, &above) in right.iter().zip(row.iter().skip(1)) {
            let replaced = diagonal.saturating_add(usize::from(from != *to));
            before = replaced.min(above.saturating_add(1)).min(before.saturating_add(1));
            next.push(before);
            diagonal = above;
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}
