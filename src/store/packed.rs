//! Long texts as they are kept: compressed with the help of a text that says what such texts say.
//!
//! A trace of guards, a body, an answer: each is much like the one before it, and none is short. Kept as they are, one
//! repeated alert takes fourteen kilobytes. A packed text is the number of its dictionary and a Zstandard frame.
//!
//! Never: gives back another text than it was given. What is hashed, compared and shown is the text, not its packing.

use std::cell::RefCell;
use std::sync::LazyLock;

use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

use super::StoreError;
use super::db::Row;
use super::rows::Columns as _;

/// Shorter texts stay as they are.
const SHORT: usize = 256;
/// A packed text of more than this was not written by us: bodies and answers are bounded far below.
const UNPACKED_MAX: usize = 256 << 20;
/// Number of the dictionary that new texts are packed with. A dictionary never changes: what was packed with it would be
/// lost. A better one gets the next number.
const NUMBER: u8 = 1;
static DICTIONARY: &[u8] = include_bytes!("packed/dictionary_1.txt");
/// Zstandard's fastest ordinary level.
const LEVEL: i32 = 1;

static PACKING: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARY, LEVEL));
static UNPACKING: LazyLock<DecoderDictionary<'static>> =
    LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

thread_local! {
    // Making one takes longer than packing a text with it.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The packed form of a text; `None` where it is not worth it, and the text is to be kept as it is.
pub(super) fn pack(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() < SHORT {
        return None;
    }
    COMPRESSOR.with_borrow_mut(|slot| {
        let mut compressor = match slot.take() {
            Some(ready) => ready,
            None => {
                let mut new = Compressor::with_prepared_dictionary(&PACKING).ok()?;
                // Damage is seen also where no hash of ours covers the text.
                new.include_checksum(true).ok()?;
                new
            }
        };
        let frame = compressor.compress(text).ok();
        *slot = Some(compressor);
        let frame = frame.filter(|frame| frame.len() < text.len() / 4 * 3)?;
        let mut packed = Vec::with_capacity(frame.len() + 1);
        packed.push(NUMBER);
        packed.extend_from_slice(&frame);
        Some(packed)
    })
}

/// What goes into the two columns of a text: the text and nothing, or nothing and its packed form.
pub(super) fn columns(text: &str) -> (&str, Option<Vec<u8>>) {
    let packed = pack(text.as_bytes());
    (if packed.is_some() { "" } else { text }, packed)
}

/// A raw body as it goes into its two columns. Made before its delivery waits for the writer, who has enough to do.
#[derive(Debug, Clone)]
pub enum KeptBody {
    /// As it came.
    Plain(Bytes),
    /// Packed.
    Packed(Bytes),
}

impl KeptBody {
    /// Packs a body where that is worth it. `all_read`: every alert in it could be read; the body of another is searched
    /// for names, by SQL, and stays as it came.
    pub fn of(body: Bytes, all_read: bool) -> Self {
        let packed = if all_read { pack(&body) } else { None };
        packed.map_or(Self::Plain(body), |packed| Self::Packed(packed.into()))
    }

    /// Bytes that it takes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Plain(bytes) | Self::Packed(bytes) => bytes.len(),
        }
    }

    /// Its two columns.
    pub(super) fn columns(&self) -> (&[u8], Option<&[u8]>) {
        match self {
            Self::Plain(bytes) => (bytes, None),
            Self::Packed(packed) => (&[], Some(packed)),
        }
    }
}

/// A text as it goes into its two columns.
#[derive(Debug, Default)]
pub(super) struct Packed {
    /// The text; empty where it is packed.
    pub(super) plain: String,
    /// Its packed form.
    pub(super) packed: Option<Vec<u8>>,
}

impl Packed {
    /// Packs a text where that is worth it.
    pub(super) fn of(text: String) -> Self {
        let packed = pack(text.as_bytes());
        Self { plain: if packed.is_some() { String::new() } else { text }, packed }
    }
}

/// The text of its packed form, as it lies in a column that is called `…packed`. Fails where it is damaged, and names
/// `what` then.
pub fn unpack(packed: &[u8], what: &'static str) -> Result<Vec<u8>, StoreError> {
    let unreadable = || StoreError::Unreadable { what };
    let Some((&NUMBER, frame)) = packed.split_first() else { return Err(unreadable()) };
    let length = Decompressor::upper_bound(frame).filter(|length| (1..=UNPACKED_MAX).contains(length));
    let length = length.ok_or_else(unreadable)?;
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let mut decompressor = match slot.take() {
            Some(ready) => ready,
            None => Decompressor::with_prepared_dictionary(&UNPACKING).map_err(|_error| unreadable())?,
        };
        let text = decompressor.decompress(frame, length);
        *slot = Some(decompressor);
        text.map_err(|_error| unreadable())
    })
}

/// The two columns of a text that may be packed: one of them holds it.
pub(super) trait Long {
    /// Bytes of a text that is there.
    fn long_bytes(&self, plain: &'static str, packed: &'static str) -> Result<Vec<u8>, StoreError>;
    /// A text that is there.
    fn long_text(&self, plain: &'static str, packed: &'static str) -> Result<String, StoreError>;
    /// A text that may be missing: neither column holds one.
    fn long_text_opt(&self, plain: &'static str, packed: &'static str) -> Result<Option<String>, StoreError>;
}

impl Long for Row {
    fn long_bytes(&self, plain: &'static str, packed: &'static str) -> Result<Vec<u8>, StoreError> {
        match frame(self, packed)? {
            Some(frame) => unpack(frame, plain),
            None => self.get(plain).map_err(|_error| StoreError::Unreadable { what: plain }),
        }
    }

    fn long_text(&self, plain: &'static str, packed: &'static str) -> Result<String, StoreError> {
        self.long_text_opt(plain, packed)?.ok_or(StoreError::Unreadable { what: plain })
    }

    fn long_text_opt(&self, plain: &'static str, packed: &'static str) -> Result<Option<String>, StoreError> {
        match frame(self, packed)? {
            Some(frame) => String::from_utf8(unpack(frame, plain)?)
                .map(Some)
                .map_err(|_error| StoreError::Unreadable { what: plain }),
            None => self.text_opt(plain),
        }
    }
}

fn frame<'r>(row: &'r Row, packed: &'static str) -> Result<Option<&'r [u8]>, StoreError> {
    row.bytes(packed).map_err(|_error| StoreError::Unreadable { what: packed })
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::{DICTIONARY, SHORT, pack, unpack};

    #[test]
    fn the_dictionary_is_the_one_that_stores_were_written_with() {
        assert_eq!(
            hex::encode(Sha256::digest(DICTIONARY)),
            "9d1383a017c3da9e3b58dd64291f6d5e0d52fc46399ac93de1ebf7b2872939f4"
        );
    }

    #[test]
    fn a_text_that_was_packed_by_an_earlier_version_is_read() {
        let packed = hex::decode("0128b52ffd6458017d000000044000009ca810d631eb227b9b090d85bf7d").unwrap();
        assert_eq!(unpack(&packed, "text").unwrap(), sample().as_bytes());
    }

    fn sample() -> String {
        let guard = r#"{"guard":"cooldown","verdict":"pass","seen":"free","limit":"cooldown 24h"},"#;
        guard.repeat(8)
    }

    #[test]
    fn every_text_comes_back_whole() {
        let mut texts = vec![sample().into_bytes(), vec![0; 1 << 20], vec![b'"'; SHORT]];
        let mut noise = Sha256::digest(b"noise").to_vec();
        for _ in 0..200 {
            let next = Sha256::digest(&noise).to_vec();
            noise.extend(next);
            texts.push(noise.clone());
            let mut mixed = noise.clone();
            mixed.extend(sample().into_bytes());
            mixed.extend(&noise);
            texts.push(mixed);
        }
        let mut kept = 0;
        for text in texts {
            match pack(&text) {
                Some(packed) => {
                    assert!(packed.len() < text.len());
                    assert_eq!(unpack(&packed, "text").unwrap(), text);
                }
                None => kept += 1,
            }
        }
        assert!(kept > 100, "noise is kept as it is: {kept}");
    }

    #[test]
    fn what_people_read_most_is_a_tenth_of_it() {
        let text = String::from_utf8_lossy(DICTIONARY).replace("win-1", "db-prod-17").replace("24h", "36h");
        let packed = pack(text.as_bytes()).unwrap();
        assert!(packed.len() * 10 < text.len(), "{} of {}", packed.len(), text.len());
    }

    #[test]
    fn what_was_damaged_is_refused() {
        let text = sample() + &sample().replace("pass", "stop").replace("free", "2026-01-01T08:15:27.123Z");
        let packed = pack(text.as_bytes()).unwrap();
        assert!(unpack(&[], "text").is_err());
        assert!(unpack(&[2], "text").is_err());
        for place in 0..packed.len() {
            for bit in 0..8 {
                let mut other = packed.clone();
                if let Some(byte) = other.get_mut(place) {
                    *byte ^= 1 << bit;
                }
                // Some bits mean nothing.
                if let Ok(read) = unpack(&other, "text") {
                    assert_eq!(read, text.as_bytes(), "bit {bit} of byte {place}");
                }
            }
            assert!(unpack(packed.get(..place).unwrap(), "text").is_err());
        }
    }
}
