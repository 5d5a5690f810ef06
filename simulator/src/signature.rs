//! Signature v2 of the vendor's API gateway: HMAC-SHA256 over method, path with query, timestamp and access key.
//!
//! Written apart from the product's own signer on purpose, so that one mistake cannot hide in both.
//!
//! Never: reads a body; the vendor does not sign it.

use base64::prelude::{BASE64_STANDARD, Engine};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// The gateway refuses timestamps further than this from its own clock, either way.
pub(crate) const WINDOW_MS: u64 = 5 * 60 * 1000;

/// The value of `x-ncp-apigw-signature-v2`, or nothing where the secret cannot be a key.
///
/// The message is `{method} {path?query}\n{timestamp}\n{access key}`; the secret is used as text, never decoded.
pub fn sign(
    secret_key: &str,
    method: &str,
    target: &str,
    timestamp: &str,
    access_key: &str,
) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret_key.as_bytes()).ok()?;
    for part in [method, " ", target, "\n", timestamp, "\n", access_key] {
        mac.update(part.as_bytes());
    }
    Some(BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

/// Whether `given` is `expected`, in time that does not depend on where they differ.
pub(crate) fn same(expected: &str, given: &str) -> bool {
    expected.as_bytes().ct_eq(given.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, target: &str, expected: &str) {
        let signed = sign(
            "example-secret-key-do-not-use-000000001",
            method,
            target,
            "1760000000000",
            "EXAMPLE-ACCESS-KEY-0001",
        );
        assert_eq!(signed.as_deref(), Some(expected), "{method} {target}");
    }

    #[test]
    fn the_five_known_vectors_come_out() {
        check("POST", "/vserver/v2/interruptServerInstance", "D6Sq2gxcmwy3vzoqdfAfm4uGRfC9XC/4lmzJrtIt9iM=");
        check(
            "GET",
            "/vserver/v2/interruptServerInstance?regionCode=KR&serverInstanceNo=4299&responseFormatType=json",
            "/5dq7K/FLq0HQrlm0fULHitPiGO/5YuHIlRDBESjb3M=",
        );
        check(
            "GET",
            "/vserver/v2/getRegionList?responseFormatType=json",
            "sSFSoxTSv+Dzfz2nhXZK0bU003+lJg8ZdXAteKjcoP8=",
        );
        check(
            "GET",
            "/vserver/v2/getServerInstanceList?serverName=a%20b%2Bc&responseFormatType=json",
            "sJZegQNtlffMm29s5eUl1qrGkvPrJQfER8lwYW0tPF4=",
        );
        check("GET", "/photos/puppy.jpg?query1=&query2", "hqigONFNhoFiEfINBPtm/SDQa1RjTH0JZ8uNRtteAf8=");
    }

    #[test]
    fn one_changed_letter_is_not_the_same() {
        assert!(same("abc=", "abc="));
        assert!(!same("abc=", "abd="));
        assert!(!same("abc=", ""));
    }
}
