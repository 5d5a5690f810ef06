//! Signature v2 of the API gateway: one pure function.
//!
//! Never: encodes, sorts or otherwise changes what it signs. The string signed is the string sent.
//!
//! Source: <https://api.ncloud-docs.com/docs/en/compute-vserver> and the official Java SDK, which signs
//! the query in its encoded form. The body is not part of the signature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// Base64 of HMAC-SHA256 over `{method} {path?query}\n{timestamp}\n{access key}`, keyed with the secret as text.
pub fn sign(
    method: &str,
    path_and_query: &str,
    timestamp_ms: i64,
    access_key: &SecretString,
    secret: &SecretString,
) -> String {
    // HMAC takes keys of any length, so the other branch is never taken; an empty signature would be refused.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else {
        return String::new();
    };
    let access_key = access_key.expose_secret();
    mac.update(format!("{method} {path_and_query}\n{timestamp_ms}\n{access_key}").as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published vectors; the first two were also made with the vendor's own SDKs.
    #[test]
    fn signs_the_published_vectors() {
        let access_key = SecretString::from("EXAMPLE-ACCESS-KEY-0001");
        let secret = SecretString::from("example-secret-key-do-not-use-000000001");
        for (method, path, expected) in [
            ("POST", "/vserver/v2/interruptServerInstance", "D6Sq2gxcmwy3vzoqdfAfm4uGRfC9XC/4lmzJrtIt9iM="),
            (
                "GET",
                "/vserver/v2/interruptServerInstance?regionCode=KR&serverInstanceNo=4299&responseFormatType=json",
                "/5dq7K/FLq0HQrlm0fULHitPiGO/5YuHIlRDBESjb3M=",
            ),
            (
                "GET",
                "/vserver/v2/getRegionList?responseFormatType=json",
                "sSFSoxTSv+Dzfz2nhXZK0bU003+lJg8ZdXAteKjcoP8=",
            ),
            (
                "GET",
                "/vserver/v2/getServerInstanceList?serverName=a%20b%2Bc&responseFormatType=json",
                "sJZegQNtlffMm29s5eUl1qrGkvPrJQfER8lwYW0tPF4=",
            ),
            ("GET", "/photos/puppy.jpg?query1=&query2", "hqigONFNhoFiEfINBPtm/SDQa1RjTH0JZ8uNRtteAf8="),
        ] {
            assert_eq!(
                sign(method, path, 1_760_000_000_000, &access_key, &secret),
                expected,
                "{method} {path}"
            );
        }
    }
}
