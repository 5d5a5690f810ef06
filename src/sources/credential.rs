//! Credentials: who sent these bytes. Owns the check of every configured credential of a source.
//!
//! Never: reads the body as JSON, tells the sender what was wrong, or leaves the check at the first match.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::config::{ClientNames, CredentialConfig, SanName, SourceConfig};

const AUTHORIZATION: &str = "authorization";
/// Unix seconds have ten digits until the year 2286.
const TIMESTAMP_DIGITS_MAX: usize = 12;

/// The headers of a request as name and raw value, repeated ones included, in the order of the request.
#[derive(Debug, Clone, Default)]
pub struct Headers<'a> {
    values: Vec<(&'a str, &'a [u8])>,
    /// What the connection's certificate says; `None`: none was shown.
    certificate: Option<&'a ClientNames>,
}

impl<'a> FromIterator<(&'a str, &'a [u8])> for Headers<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a [u8])>>(headers: I) -> Self {
        Self { values: headers.into_iter().collect(), certificate: None }
    }
}

impl<'a> Headers<'a> {
    /// The same, come over a connection whose client showed a certificate.
    #[must_use]
    pub fn over(self, certificate: Option<&'a ClientNames>) -> Self {
        Self { certificate, ..self }
    }

    fn get(&self, name: &str) -> Given<'a> {
        let mut values = self.values.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (None, _) => Given::Missing,
            (Some((_, value)), None) => Given::Once(value),
            (Some(_), Some(_)) => Given::Repeated,
        }
    }
}

/// A header as it was given. Two values are two claims, and proxies differ in which one they believe.
enum Given<'a> {
    Missing,
    Once(&'a [u8]),
    Repeated,
}

/// What a matching credential proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Place of the credential in `SourceConfig.auth`: tells when an old one is no longer used.
    pub index: usize,
    /// The sender's signed time; `None` for credentials that sign nothing.
    pub sender_time: Option<Timestamp>,
    /// The signature itself, for a list of those already seen; `None` for credentials that sign nothing.
    pub signature: Option<[u8; 32]>,
}

/// The one answer to every credential fault. Its text tells the sender nothing; its reason is for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("credential refused")]
pub struct Refused {
    reason: RefusedReason,
}

impl Refused {
    /// Why, for a metric and the log; never for the answer.
    pub fn reason(self) -> RefusedReason {
        self.reason
    }
}

/// Why a credential was refused. Later ones are nearer to a match; the nearest is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusedReason {
    /// None of the configured credentials was presented.
    Missing,
    /// One was presented and is wrong.
    Wrong,
    /// The signature is right and its time is outside the tolerance.
    Expired,
    /// A header that carries a credential was given twice.
    Repeated,
    /// The address is not in `allow_from`.
    Address,
}

impl RefusedReason {
    /// The word used in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Wrong => "wrong",
            Self::Expired => "expired",
            Self::Repeated => "repeated",
            Self::Address => "address",
        }
    }
}

/// Checks the requests of one source.
pub struct Verifier {
    allow_from: Vec<IpNet>,
    checks: Vec<Check>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("allow_from", &self.allow_from)
            .field("credentials", &self.checks.len())
            .finish_non_exhaustive()
    }
}

impl Verifier {
    /// Prepares the credentials of a source. One with an empty secret is kept in its place and never matches.
    pub fn new(source: &SourceConfig) -> Self {
        Self { allow_from: source.allow_from.clone(), checks: source.auth.iter().map(Check::new).collect() }
    }

    /// Whether the source may call from this address at all. Cheap: may be asked before the body is read.
    pub fn allows(&self, peer_ip: IpAddr) -> bool {
        let peer_ip = peer_ip.to_canonical();
        self.allow_from.is_empty() || self.allow_from.iter().any(|net| net.contains(&peer_ip))
    }

    /// Checks the raw bytes of a request: the address first, then every credential, whatever matches before.
    ///
    /// Alertmanager and Cloud Insight cannot sign (a static token at most); Grafana signs
    /// `<unix seconds>:<raw body>` when it is told a timestamp header.
    pub fn verify(
        &self,
        headers: &Headers<'_>,
        peer_ip: IpAddr,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Verified, Refused> {
        if !self.allows(peer_ip) {
            let reason = RefusedReason::Address;
            return Err(Refused { reason });
        }
        let mut verified = None;
        let mut reason = RefusedReason::Missing;
        if matches!(headers.get(AUTHORIZATION), Given::Repeated) {
            reason = RefusedReason::Repeated;
        }
        for (index, check) in self.checks.iter().enumerate() {
            match check.run(headers, body, now) {
                Ok(proof) => {
                    verified = verified.or(Some(Verified {
                        index,
                        sender_time: proof.map(|(time, _)| time),
                        signature: proof.map(|(_, signature)| signature),
                    }));
                }
                Err(other) => reason = reason.max(other),
            }
        }
        match verified {
            Some(verified) if reason != RefusedReason::Repeated => Ok(verified),
            Some(_) | None => Err(Refused { reason }),
        }
    }
}

/// Signed time and signature, where the credential has them.
type Proof = Option<(Timestamp, [u8; 32])>;

enum Check {
    /// A text in a header, after a scheme where one is named. The digest makes all lengths compare alike.
    Text { header: String, scheme: Option<&'static str>, expected: Option<[u8; 32]> },
    Signature {
        key: Option<Hmac<Sha256>>,
        signature_header: String,
        timestamp_header: String,
        tolerance: SignedDuration,
    },
    /// The connection was made with a certificate of this name, which an authority of ours vouches for.
    Certificate { san: SanName },
}

impl Check {
    fn new(credential: &CredentialConfig) -> Self {
        match credential {
            CredentialConfig::Bearer { secret } => Self::Text {
                header: AUTHORIZATION.to_owned(),
                scheme: Some("bearer"),
                expected: digest_of(secret, str::to_owned),
            },
            CredentialConfig::Basic { username, secret } => Self::Text {
                header: AUTHORIZATION.to_owned(),
                scheme: Some("basic"),
                expected: digest_of(secret, |secret| STANDARD.encode(format!("{username}:{secret}"))),
            },
            CredentialConfig::Header { name, secret } => {
                Self::Text { header: name.clone(), scheme: None, expected: digest_of(secret, str::to_owned) }
            }
            CredentialConfig::Hmac { secret, signature_header, timestamp_header, tolerance } => {
                Self::Signature {
                    key: usable(secret).and_then(|secret| Hmac::new_from_slice(secret.as_bytes()).ok()),
                    signature_header: signature_header.clone(),
                    timestamp_header: timestamp_header.clone(),
                    tolerance: *tolerance,
                }
            }
            CredentialConfig::ClientCertificate { san } => Self::Certificate { san: san.clone() },
        }
    }

    fn run(&self, headers: &Headers<'_>, body: &[u8], now: Timestamp) -> Result<Proof, RefusedReason> {
        match self {
            Self::Text { header, scheme, expected } => {
                let given = once(headers, header)?;
                let text = scheme.map_or(Some(given), |scheme| after_scheme(given, scheme));
                let presented: [u8; 32] = Sha256::digest(text.unwrap_or_default()).into();
                let equal = presented.ct_eq(&expected.unwrap_or_default());
                match (text, expected) {
                    (None, _) => Err(RefusedReason::Missing),
                    (Some(_), Some(_)) if bool::from(equal) => Ok(None),
                    (Some(_), _) => Err(RefusedReason::Wrong),
                }
            }
            Self::Signature { key, signature_header, timestamp_header, tolerance } => {
                let signature = once(headers, signature_header)?;
                let seconds = once(headers, timestamp_header)?;
                let key = key.as_ref().ok_or(RefusedReason::Wrong)?;
                let (time, signature) = signed(key, signature, seconds, body).ok_or(RefusedReason::Wrong)?;
                if now.duration_since(time).abs() > *tolerance {
                    return Err(RefusedReason::Expired);
                }
                Ok(Some((time, signature)))
            }
            Self::Certificate { san } => match headers.certificate {
                None => Err(RefusedReason::Missing),
                Some(names) if names.has(san) => Ok(None),
                Some(_) => Err(RefusedReason::Wrong),
            },
        }
    }
}

fn once<'a>(headers: &Headers<'a>, name: &str) -> Result<&'a [u8], RefusedReason> {
    match headers.get(name) {
        Given::Missing => Err(RefusedReason::Missing),
        Given::Once(value) => Ok(value),
        Given::Repeated => Err(RefusedReason::Repeated),
    }
}

fn usable(secret: &SecretString) -> Option<&str> {
    Some(secret.expose_secret()).filter(|secret| !secret.is_empty())
}

fn digest_of(secret: &SecretString, spell: impl FnOnce(&str) -> String) -> Option<[u8; 32]> {
    usable(secret).map(|secret| Sha256::digest(spell(secret)).into())
}

/// The part after `scheme` and its spaces; scheme names are compared in any case (RFC 9110, 11.1).
fn after_scheme<'a>(value: &'a [u8], scheme: &str) -> Option<&'a [u8]> {
    let (name, rest) = value.split_at_checked(scheme.len())?;
    if name.eq_ignore_ascii_case(scheme.as_bytes()) && rest.starts_with(b" ") {
        Some(rest.trim_ascii())
    } else {
        None
    }
}

/// The signed time, when `signature` is the lower-case hex of the HMAC over `<seconds>:<body>`.
/// Upper case is refused: one signature must have one spelling, or a list of seen ones has a hole.
fn signed(
    key: &Hmac<Sha256>,
    signature: &[u8],
    seconds: &[u8],
    body: &[u8],
) -> Option<(Timestamp, [u8; 32])> {
    if signature.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut mac = [0_u8; 32];
    hex::decode_to_slice(signature, &mut mac).ok()?;
    let digits =
        (1..=TIMESTAMP_DIGITS_MAX).contains(&seconds.len()) && seconds.iter().all(u8::is_ascii_digit);
    if !digits {
        return None;
    }
    let mut expected = key.clone();
    expected.update(seconds);
    expected.update(b":");
    expected.update(body);
    expected.verify_slice(&mac).ok()?;
    let seconds: i64 = std::str::from_utf8(seconds).ok()?.parse().ok()?;
    Some((Timestamp::from_second(seconds).ok()?, mac))
}

#[cfg(test)]
#[path = "credential_tests.rs"]
mod tests;
