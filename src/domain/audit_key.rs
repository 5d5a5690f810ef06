//! Keys of the audit: who cannot read the key cannot make a chain that verifies.
//!
//! Never: shows a key; only its identifier.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// Bytes that the text of a key has at least.
pub const KEY_BYTES_MIN: usize = 32;
/// Goes before the key where its identifier is made, so that the identifier is the hash of nothing else.
const ID_TAG: &[u8] = b"unhang audit key id v1\0";
/// Hex digits of an identifier.
const ID_DIGITS: usize = 16;

/// One key with its identifier.
#[derive(Clone)]
pub struct AuditKey {
    secret: SecretString,
    id: String,
}

impl AuditKey {
    /// A key from its text; `None` when that is shorter than [`KEY_BYTES_MIN`].
    pub fn new(secret: SecretString) -> Option<Self> {
        if secret.expose_secret().len() < KEY_BYTES_MIN {
            return None;
        }
        let mut hasher = Sha256::new();
        hasher.update(ID_TAG);
        hasher.update(secret.expose_secret().as_bytes());
        let mut id = hex::encode(hasher.finalize());
        id.truncate(ID_DIGITS);
        Some(Self { secret, id })
    }

    /// First 16 hex digits of a SHA-256 of the key: names it without telling it.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// HMAC-SHA256 of a message under the key, or its plain SHA-256 without one; 64 lower-case hex digits.
pub fn seal(key: Option<&AuditKey>, message: &[u8]) -> String {
    let Some(key) = key else { return hex::encode(Sha256::digest(message)) };
    // HMAC takes keys of any length, so the other branch is never taken; no message has an empty seal.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.secret.expose_secret().as_bytes()) else {
        return String::new();
    };
    mac.update(message);
    hex::encode(mac.finalize().into_bytes())
}

/// The keys that a verification knows: the one in use and those before it.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    keys: Vec<AuditKey>,
}

impl KeyRing {
    /// A ring of the key in use, where there is one, and older ones.
    pub fn new(current: Option<AuditKey>, old: impl IntoIterator<Item = AuditKey>) -> Self {
        Self { keys: current.into_iter().chain(old).collect() }
    }

    /// The key with this identifier.
    pub fn find(&self, id: &str) -> Option<&AuditKey> {
        self.keys.iter().find(|key| key.id() == id)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Option<AuditKey> {
        AuditKey::new(SecretString::from(text))
    }

    #[test]
    fn a_key_is_long_and_is_never_shown() {
        assert!(key("31 bytes are not enough for it.").is_none());
        let long = key("a key of at least thirty-two byte").unwrap();
        assert_eq!(long.id().len(), 16);
        let shown = format!("{long:?}");
        assert!(shown.contains(long.id()) && !shown.contains("thirty"), "{shown}");
    }

    #[test]
    fn seals_differ_by_key_and_by_message() {
        let (one, two) = (key(&"1".repeat(32)).unwrap(), key(&"2".repeat(32)).unwrap());
        let seals =
            [seal(None, b"a"), seal(Some(&one), b"a"), seal(Some(&two), b"a"), seal(Some(&one), b"b")];
        let distinct: std::collections::BTreeSet<_> = seals.iter().collect();
        assert_eq!(distinct.len(), 4);
        let ring = KeyRing::new(Some(one.clone()), [two.clone()]);
        assert_eq!(ring.find(two.id()).map(AuditKey::id), Some(two.id()));
        assert!(ring.find("0000000000000000").is_none() && !ring.is_empty());
    }
}
