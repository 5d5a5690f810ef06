//! Wire: the JSON rules that all dialects share. Owns the one pass that proves a body sound, and the checks on
//! labels, times and texts.
//!
//! Never: knows a dialect, or repeats a sender's text without cleaning it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use sha2::{Digest as _, Sha256};

use super::{ParseLimits, Unreadable};
use crate::domain::alert::Labels;

/// Fields at the top of a body; the largest sender has 12.
const TOP_FIELDS_MAX: usize = 256;
/// Bytes of a fingerprint; senders use 16.
const FINGERPRINT_BYTES_MAX: usize = 128;
const CLEAN_CHARS_MAX: usize = 64;
const TEXT_DIRECTION: [std::ops::RangeInclusive<char>; 3] =
    ['\u{200e}'..='\u{200f}', '\u{202a}'..='\u{202e}', '\u{2066}'..='\u{2069}'];

/// The text of a body that is one sound JSON object: UTF-8, no deeper than 128, every number finite,
/// no key twice at its top. After this, only shapes can be wrong.
pub(super) fn object(body: &[u8]) -> Result<&str, Unreadable> {
    if body.trim_ascii().is_empty() {
        return Err(Unreadable::NotJson(
            "it is empty; a sender that follows a redirect loses its body, so call this address directly"
                .to_owned(),
        ));
    }
    let text = std::str::from_utf8(body)
        .map_err(|error| Unreadable::NotJson(format!("invalid UTF-8 after byte {}", error.valid_up_to())))?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let top = reader
        .deserialize_any(TopWalk)
        .and_then(|top| reader.end().map(|()| top))
        .map_err(|error| Unreadable::NotJson(error.to_string()))?;
    match top {
        Top::Object => Ok(text),
        Top::Other => Err(Unreadable::WrongShape(
            "expected one JSON object at the top; point this source at a sender of its kind".to_owned(),
        )),
    }
}

/// Reads a typed value; the error names the field and what was expected there, never what was given.
pub(super) fn typed<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, String> {
    if !text.trim_start().starts_with('{') {
        return Err("expected a JSON object".to_owned());
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = clean(&error.path().to_string());
        let text = error.inner().to_string();
        // serde words it "invalid type: string \"…\", expected a map at line 1 column 9".
        let expected = text.rsplit_once(", expected ").map(|(_, expected)| format!("expected {expected}"));
        let what = expected.unwrap_or(text);
        if path == "." { what } else { format!("`{path}`: {what}") }
    })
}

/// A map that refuses a key given twice: a derived map would silently keep the last one.
#[derive(Debug, Default)]
pub(super) struct OnceMap<T>(pub(super) BTreeMap<String, T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OnceMap<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OnceEach::<T>(std::marker::PhantomData)).map(Self)
    }
}

struct OnceEach<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OnceEach<T> {
    type Value = BTreeMap<String, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            if found.contains_key(&key) {
                return Err(A::Error::custom(format!("`{}` is given twice", clean(&key))));
            }
            found.insert(key, map.next_value()?);
        }
        Ok(found)
    }
}

/// Checks a label set against the limits. Text of any script passes; control characters do not.
pub(super) fn check_labels(labels: &Labels, limits: &ParseLimits) -> Result<(), String> {
    if labels.len() > limits.labels_max {
        let (count, max) = (labels.len(), limits.labels_max);
        return Err(format!(
            "labels: {count} labels, at most {max} are read; drop labels at the sender or raise server.labels_max"
        ));
    }
    for (name, value) in labels {
        let shown = clean(name);
        let long = name.len().max(value.len());
        if long > limits.label_bytes_max {
            let max = limits.label_bytes_max;
            return Err(format!(
                "label `{shown}`: {long} bytes, at most {max} are read; move long texts to an annotation or raise \
                 server.label_bytes_max"
            ));
        }
        if name.is_empty() || name.chars().chain(value.chars()).any(char::is_control) {
            return Err(format!(
                "label `{shown}`: expected a name and a value without control characters; correct the rule"
            ));
        }
    }
    Ok(())
}

/// A sender's fingerprint, when it is one: both senders give 16 hex characters.
pub(super) fn fingerprint(raw: Option<&str>) -> Result<Option<String>, String> {
    let known = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    match raw {
        None | Some("") => Ok(None),
        Some(raw) if raw.len() <= FINGERPRINT_BYTES_MAX && raw.bytes().all(known) => Ok(Some(raw.to_owned())),
        Some(_) => Err(format!(
            "`fingerprint`: expected at most {FINGERPRINT_BYTES_MAX} letters, digits, - or _; send the default payload"
        )),
    }
}

/// A fingerprint of our own: the first 16 hex characters of the SHA-256 over the parts, each after its length.
pub(super) fn fingerprint_of<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(format!("{}:", part.len()));
        hash.update(part);
    }
    let mut text = hex::encode(hash.finalize());
    text.truncate(16);
    text
}

/// Reads an RFC 3339 time. Go's zero time, `0001-01-01T00:00:00Z`, says "none".
pub(super) fn time(field: &str, raw: Option<&str>) -> Result<Option<Timestamp>, String> {
    let Some(raw) = raw.filter(|raw| !raw.is_empty() && !raw.starts_with("0001-01-01T00:00:00")) else {
        return Ok(None);
    };
    let time: Option<Timestamp> = raw.parse().ok();
    time.map(Some).ok_or_else(|| {
        format!("`{field}`: expected a time as in 2026-11-01T09:30:00Z; send the default payload")
    })
}

/// A sender's text made fit for a message: without control or text-direction characters, and short.
pub(super) fn clean(text: &str) -> String {
    let odd = |c: char| c.is_control() || TEXT_DIRECTION.iter().any(|range| range.contains(&c));
    let mut cleaned: String =
        text.chars().take(CLEAN_CHARS_MAX).map(|c| if odd(c) { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(CLEAN_CHARS_MAX).is_some() {
        cleaned.push('…');
    }
    cleaned
}

enum Top {
    Object,
    Other,
}

macro_rules! sound {
    ($answer:expr; $($name:ident: $kind:ty),+) => {
        $(fn $name<E: serde::de::Error>(self, _: $kind) -> Result<Self::Value, E> { Ok($answer) })+
    };
}

/// Walks a whole body once and builds nothing: depth, numbers and strings are checked on the way.
struct TopWalk;

impl<'de> Visitor<'de> for TopWalk {
    type Value = Top;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    sound!(Top::Other; visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E: serde::de::Error>(self) -> Result<Top, E> {
        Ok(Top::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Top, A::Error> {
        Walk.visit_seq(seq).map(|()| Top::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Top, A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if seen.len() == TOP_FIELDS_MAX {
                return Err(A::Error::custom(format!("more than {TOP_FIELDS_MAX} fields at the top")));
            }
            if seen.contains(&key) {
                return Err(A::Error::custom(format!("field `{}` is given twice", clean(&key))));
            }
            seen.insert(key);
            map.next_value_seed(Walk)?;
        }
        Ok(Top::Object)
    }
}

struct Walk;

impl<'de> DeserializeSeed<'de> for Walk {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    sound!((); visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Walk)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key::<IgnoredAny>()?.is_some() {
            map.next_value_seed(Walk)?;
        }
        Ok(())
    }
}
