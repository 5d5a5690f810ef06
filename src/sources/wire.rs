//! Wire: the JSON rules that all dialects share. Owns the one pass that proves a body sound, and the checks on
//! labels, times and texts.
//!
//! Never: knows a dialect, or repeats a sender's text without cleaning it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{ParseLimits, Unreadable};
use crate::domain::alert::{Labels, UNREADABLE};

/// Fields at the top of a body; the largest sender has 12.
const TOP_FIELDS_MAX: usize = 256;
/// Bytes of a fingerprint; senders use 16.
const FINGERPRINT_BYTES_MAX: usize = 128;
const CLEAN_CHARS_MAX: usize = 64;
const TEXT_DIRECTION: [std::ops::RangeInclusive<char>; 3] =
    ['\u{200e}'..='\u{200f}', '\u{202a}'..='\u{202e}', '\u{2066}'..='\u{2069}'];

/// The text of a body that is one sound JSON object: no deeper than 128, every number finite, no key twice at its top.
/// After this, only shapes can be wrong. What is no text inside a string is read as U+FFFD.
pub(super) fn object(body: &[u8]) -> Result<Cow<'_, str>, Unreadable> {
    match sound(body) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(refused @ Unreadable::NotJson(_)) => {
            let text = mended(body);
            if sound(text.as_bytes()).is_ok() { Ok(Cow::Owned(text)) } else { Err(refused) }
        }
        Err(refused) => Err(refused),
    }
}

/// The body as text: what cannot be decoded becomes U+FFFD, and a bare control character inside a string is escaped.
pub(super) fn mended(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut mended = String::with_capacity(text.len());
    let (mut rest, mut inside) = (text.as_ref(), false);
    while let Some(c) = rest.chars().next() {
        let (kept, used) = match c {
            '\\' if inside => escape(rest),
            c if inside && c < ' ' => (None, 1),
            _ => (Some(c.len_utf8()), c.len_utf8()),
        };
        inside ^= c == '"';
        match kept.and_then(|kept| rest.get(..kept)) {
            Some(kept) => mended.push_str(kept),
            None if c == '\\' => mended.push_str("\\ufffd"),
            None => write!(mended, "\\u{:04x}", u32::from(c)).unwrap_or_default(),
        }
        rest = rest.get(used..).unwrap_or_default();
    }
    mended
}

/// The length of the escape that a text begins with, twice; half a pair of surrogates is nothing to keep.
fn escape(text: &str) -> (Option<usize>, usize) {
    let unit = |at: usize| {
        let digits = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    match (unit(0), unit(6)) {
        (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (Some(12), 12),
        (Some(0xd800..=0xdfff), _) => (None, 6),
        (Some(_), _) => (Some(6), 6),
        (None, _) => {
            let length = 1 + text.chars().nth(1).map_or(0, char::len_utf8);
            (Some(length), length)
        }
    }
}

/// Every object that can be read whole, outermost first, in a text that cannot; `take` says whether it was what is looked
/// for, and nothing is then looked for inside it. Reads the text no more than 16 times over.
pub(super) fn objects<'t>(text: &'t str, mut take: impl FnMut(&'t str) -> bool) {
    let (mut at, mut left) = (0, text.len().saturating_mul(16));
    while let Some(rest) = text.get(at..).and_then(|rest| rest.get(rest.find('{')?..)) {
        let start = text.len() - rest.len();
        let mut reader = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        let (used, taken) = match reader.next() {
            Some(Ok(raw)) => (raw.get().len(), take(raw.get())),
            Some(Err(error)) => (offset(rest, &error), false),
            None => return,
        };
        at = start + if taken { used.max(1) } else { 1 };
        left = left.saturating_sub(used);
        if left == 0 {
            return;
        }
    }
}

/// How far a text was read before the error.
fn offset(text: &str, error: &serde_json::Error) -> usize {
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    lines.map(str::len).sum::<usize>().saturating_add(error.column())
}

fn sound(body: &[u8]) -> Result<&str, Unreadable> {
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
        deserializer.deserialize_map(OnceEach::<T, T>(std::marker::PhantomData)).map(Self)
    }
}

struct OnceEach<T, K>(std::marker::PhantomData<(T, K)>);

impl<'de, T: Deserialize<'de> + Into<K>, K> Visitor<'de> for OnceEach<T, K> {
    type Value = BTreeMap<String, K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            if found.contains_key(&key) {
                return Err(A::Error::custom(format!("`{}` is given twice", clean(&key))));
            }
            found.insert(key, map.next_value::<T>()?.into());
        }
        Ok(found)
    }
}

/// Reads a label set. A value that is no text stands as what no policy may decide by.
pub(super) struct LabelSet(pub(super) Labels);

impl<'de> Deserialize<'de> for LabelSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OnceEach::<LabelText, String>(std::marker::PhantomData)).map(Self)
    }
}

/// A label's value.
pub(super) struct LabelText(pub(super) String);

impl From<LabelText> for String {
    fn from(text: LabelText) -> Self {
        text.0
    }
}

impl<'de> Deserialize<'de> for LabelText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyLabel)
    }
}

struct AnyLabel;

macro_rules! no_text {
    ($($name:ident: $kind:ty),+) => {
        $(fn $name<E: serde::de::Error>(self, given: $kind) -> Result<LabelText, E> {
            Ok(LabelText(format!("{UNREADABLE}{given}")))
        })+
    };
}

impl<'de> Visitor<'de> for AnyLabel {
    type Value = LabelText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    no_text!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<LabelText, E> {
        Ok(LabelText(text.to_owned()))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<LabelText, E> {
        Ok(LabelText(UNREADABLE.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<LabelText, A::Error> {
        Walk.visit_seq(seq).and_then(|()| self.visit_unit())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LabelText, A::Error> {
        Walk.visit_map(map).and_then(|()| self.visit_unit())
    }
}

/// Every field of an object in its order, also one that is given twice.
pub(super) struct Fields<'t>(pub(super) Vec<(String, &'t RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EachField)
    }
}

struct EachField;

impl<'de> Visitor<'de> for EachField {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}

/// Takes away what is beyond the limits: the labels of an end decide nothing but which alert it ends.
pub(super) fn keep_within(labels: &mut Labels, limits: &ParseLimits) {
    let mut left = limits.labels_max;
    labels.retain(|name, value| {
        let kept = left > 0 && name.len().max(value.len()) <= limits.label_bytes_max;
        left -= usize::from(kept);
        kept
    });
}

/// Checks the size of a label set. Any text passes: a policy that reads a label asks whether it is sound.
pub(super) fn check_labels(labels: &Labels, limits: &ParseLimits) -> Result<(), String> {
    if labels.len() > limits.labels_max {
        let (count, max) = (labels.len(), limits.labels_max);
        return Err(format!(
            "labels: {count} labels, at most {max} are read; drop labels at the sender or raise server.labels_max"
        ));
    }
    for (name, value) in labels {
        let long = name.len().max(value.len());
        if long > limits.label_bytes_max {
            let (shown, max) = (clean(name), limits.label_bytes_max);
            return Err(format!(
                "label `{shown}`: {long} bytes, at most {max} are read; move long texts to an annotation or raise \
                 server.label_bytes_max"
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

/// Go's zero time, `0001-01-01T00:00:00Z`, in seconds.
const ZERO_TIME: i64 = -62_135_596_800;

/// Reads an RFC 3339 time. Go's zero time says "none", in whatever zone it is written; zones of those days were no whole
/// minutes, so a writer may be some seconds off.
pub(super) fn time(field: &str, raw: Option<&str>) -> Result<Option<Timestamp>, String> {
    let Some(raw) = raw.filter(|raw| !raw.is_empty() && !raw.starts_with("0001-01-01T00:00:00")) else {
        return Ok(None);
    };
    let time: Option<Timestamp> = raw.parse().ok();
    let is_zero = |time: &Timestamp| (time.as_second() - ZERO_TIME).abs() < 86_400;
    time.map(|time| Some(time).filter(|time| !is_zero(time))).ok_or_else(|| {
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
