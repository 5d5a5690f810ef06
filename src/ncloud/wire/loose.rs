//! Values as loosely as the vendor writes them, the same from JSON and XML.
//!
//! Never: guesses. A shape that is not known is an error, because half a list is worse than none.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Name under which quick-xml hands out the text of an element.
const TEXT_KEY: &str = "$text";

/// One value: text, number or boolean; absent, `null`, empty text and empty element are `None`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::ncloud) struct Loose(pub(in crate::ncloud) Option<String>);

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Loose;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a whole number or a boolean")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Loose, E> {
        let text = text.trim();
        Ok(Loose((!text.is_empty()).then(|| text.to_owned())))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Loose, E> {
        Ok(Loose(Some(number.to_string())))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Loose, E> {
        Ok(Loose(Some(number.to_string())))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Loose, E> {
        Ok(Loose(Some(value.to_string())))
    }

    fn visit_unit<E: Error>(self) -> Result<Loose, E> {
        Ok(Loose(None))
    }

    /// An XML element: its text is the value, its attributes do not matter, children are an error.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Loose, A::Error> {
        let mut value = Loose(None);
        while let Some(key) = map.next_key::<String>()? {
            if key == TEXT_KEY && value.0.is_none() {
                value = map.next_value()?;
            } else if key.starts_with('@') {
                map.next_value::<IgnoredAny>()?;
            } else {
                return Err(A::Error::custom("expected a plain value, found an object"));
            }
        }
        Ok(value)
    }
}

/// The `code` of a `{code, codeName}` pair; anything else than an object is no code.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Code(pub(super) Option<String>);

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CodeVisitor)
    }
}

struct CodeVisitor;

impl<'de> Visitor<'de> for CodeVisitor {
    type Value = Code;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a code, or nothing")
    }

    fn visit_str<E: Error>(self, _text: &str) -> Result<Code, E> {
        Ok(Code(None))
    }

    fn visit_unit<E: Error>(self) -> Result<Code, E> {
        Ok(Code(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Code, A::Error> {
        let mut code = Code(None);
        while let Some(key) = map.next_key::<String>()? {
            if key == "code" {
                if code.0.is_some() {
                    return Err(A::Error::duplicate_field("code"));
                }
                code = Code(map.next_value::<Loose>()?.0);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(code)
    }
}

/// An item of a list, with the name of its element in XML.
pub(super) trait Item: Sized {
    /// Name of the XML element.
    const ELEMENT: &'static str;
}

impl Item for Loose {
    const ELEMENT: &'static str = "serverInstanceNo";
}

/// A list: a JSON array, or an XML element that holds one element per item. `None` where there is no list.
#[derive(Debug)]
pub(super) struct Rows<T>(pub(super) Option<Vec<T>>);

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Item + Deserialize<'de>> Deserialize<'de> for Rows<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RowsVisitor(PhantomData))
    }
}

struct RowsVisitor<T>(PhantomData<T>);

impl<'de, T: Item + Deserialize<'de>> Visitor<'de> for RowsVisitor<T> {
    type Value = Rows<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of {}", T::ELEMENT)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Rows<T>, E> {
        if text.trim().is_empty() {
            Ok(Rows(Some(Vec::new())))
        } else {
            Err(E::custom(format!("expected a list of {}, found text", T::ELEMENT)))
        }
    }

    fn visit_unit<E: Error>(self) -> Result<Rows<T>, E> {
        Ok(Rows(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Rows<T>, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = seq.next_element()? {
            rows.push(row);
        }
        Ok(Rows(Some(rows)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Rows<T>, A::Error> {
        let mut rows = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == T::ELEMENT {
                rows.push(map.next_value()?);
            } else if key.starts_with('@') {
                map.next_value::<IgnoredAny>()?;
            } else {
                return Err(A::Error::custom(format!("expected only {} in the list", T::ELEMENT)));
            }
        }
        Ok(Rows(Some(rows)))
    }
}
