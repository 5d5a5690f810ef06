//! One short hash over several columns of a row, so that an event tells of all of them.
//!
//! Never: of a column that may change later.

use sha2::{Digest as _, Sha256};

/// Bytes of a seal: half a SHA-256.
pub const LENGTH: usize = 16;

/// A hash in the making. The order of the columns is part of it.
#[derive(Debug, Clone, Default)]
pub struct Seal(Sha256);

impl Seal {
    /// A text, or none.
    #[must_use]
    pub fn text(mut self, text: Option<&str>) -> Self {
        let length = text.map_or(u64::MAX, |text| u64::try_from(text.len()).unwrap_or(u64::MAX - 1));
        self.0.update(length.to_le_bytes());
        self.0.update(text.unwrap_or_default());
        self
    }

    /// A number, or none.
    #[must_use]
    pub fn number(mut self, number: Option<i64>) -> Self {
        self.0.update([u8::from(number.is_some())]);
        self.0.update(number.unwrap_or_default().to_le_bytes());
        self
    }

    /// The hash in hex.
    pub fn done(self) -> String {
        hex::encode(self.bytes())
    }

    /// The hash.
    pub fn bytes(self) -> [u8; LENGTH] {
        let mut half = [0; LENGTH];
        for (to, from) in half.iter_mut().zip(self.0.finalize()) {
            *to = from;
        }
        half
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_differs_has_the_same_seal() {
        let texts =
            |texts: &[Option<&str>]| texts.iter().fold(Seal::default(), |seal, text| seal.text(*text)).done();
        let seals = [
            texts(&[]),
            texts(&[None]),
            texts(&[Some("")]),
            texts(&[Some("ab"), Some("c")]),
            texts(&[Some("a"), Some("bc")]),
            texts(&[Some("abc"), None]),
            Seal::default().number(Some(0)).done(),
            Seal::default().number(None).done(),
            Seal::default().number(Some(1)).done(),
        ];
        let distinct: std::collections::BTreeSet<_> = seals.iter().collect();
        assert_eq!(distinct.len(), seals.len());
        assert!(seals.iter().all(|seal| seal.len() == 2 * LENGTH));
        assert_eq!(texts(&[Some("a")]), texts(&[Some("a")]));
    }
}
