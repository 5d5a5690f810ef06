//! Loose values: Cloud Insight fills its variables in as text, and a hand-made payload may hold them as numbers.
//!
//! Never: rounds a number, or takes a variable's name for its value.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A text, or a number as its text; anything else is the empty text, which stands for none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Loose(String);

impl Loose {
    /// The text as given.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The value, unless it is blank or a variable that was not filled in.
    pub(super) fn value(&self) -> Option<&str> {
        let text = self.0.trim();
        Some(self.0.as_str()).filter(|_| !text.is_empty() && !is_variable(text))
    }
}

/// Whether a text is still a variable of the template, `#{NAME}`.
pub(super) fn is_variable(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("#{") && text.ends_with('}')
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrNumber)
    }
}

struct TextOrNumber;

impl<'de> Visitor<'de> for TextOrNumber {
    type Value = Loose;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Loose, E> {
        Ok(Loose(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Loose, E> {
        Ok(Loose(number.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Loose, E> {
        Ok(Loose(number.to_string()))
    }

    /// Keeps the point, so that no fraction passes for a server number.
    fn visit_f64<E: Error>(self, number: f64) -> Result<Loose, E> {
        Ok(Loose(format!("{number:?}")))
    }

    fn visit_unit<E: Error>(self) -> Result<Loose, E> {
        Ok(Loose::default())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Loose, E> {
        Ok(Loose::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Loose, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Loose::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Loose, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Loose::default())
    }
}
