//! Certificates from files: PEM becomes what TLS works with, or a sentence that says what is wrong and what to do.
//!
//! Never: shows a byte of a key, asks a clock, or believes that a key belongs to a certificate without comparing them.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use zeroize::Zeroizing;

use super::secret::regular_file;

/// Largest file of certificates: a bundle of authorities may be long.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Time before its end from which a certificate is warned about.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// `[server.tls]`: TLS on our own address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM: our certificate first, then those that lead to an authority.
    pub certificate_file: PathBuf,
    /// PEM: the key of the first of them.
    pub key_file: PathBuf,
    /// PEM: authorities whose certificates a client may show; `None`: none is asked for.
    pub client_ca_file: Option<PathBuf>,
    /// From when to when the certificate was good as it was read.
    pub validity: Validity,
}

/// From when to when a certificate is good, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First moment.
    pub from: Timestamp,
    /// Last moment.
    pub until: Timestamp,
}

impl Validity {
    /// Why clients refuse the certificate now, and what to do; `None` when they need not.
    pub fn fault(&self, now: Timestamp) -> Option<String> {
        if now > self.until {
            return Some(format!(
                "the certificate expired at {}: clients refuse it; put a renewed one and its key in place",
                self.until
            ));
        }
        (now < self.from).then(|| {
            format!("the certificate is good from {} on only: wait, or is our clock wrong?", self.from)
        })
    }

    /// That it ends soon.
    pub fn warning(&self, now: Timestamp) -> Option<String> {
        let left = self.until.duration_since(now);
        (left <= EXPIRES_SOON).then(|| {
            format!(
                "the certificate expires at {}, in {} days: renew it; new files are read without a restart",
                self.until,
                left.as_hours() / 24
            )
        })
    }
}

/// Our certificate with its key.
#[derive(Clone)]
pub struct Identity {
    /// Chain and key, which belong together.
    pub certified: Arc<CertifiedKey>,
    /// When the first certificate is good.
    pub validity: Validity,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("validity", &self.validity).finish_non_exhaustive()
    }
}

/// What is wrong with one of the files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("server.tls.{key}: {why}")]
pub struct CertificateFault {
    /// The key that names the file.
    pub key: &'static str,
    /// What is wrong and what to do.
    pub why: String,
}

/// One alternative name of a certificate (SAN).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SanName {
    /// A DNS name in lower case, compared as a whole: a star is no wildcard.
    Dns(String),
    /// An address (URI), compared letter by letter.
    Uri(String),
}

impl SanName {
    /// Reads `dns:NAME` or `uri:ADDRESS`.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once(':')?;
        let host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        match kind {
            "dns" if (1..=253).contains(&name.len()) && name.bytes().all(host) => {
                Some(Self::Dns(name.to_ascii_lowercase()))
            }
            "uri"
                if name.len() <= 2048 && name.contains(':') && name.bytes().all(|b| b.is_ascii_graphic()) =>
            {
                Some(Self::Uri(name.to_owned()))
            }
            _ => None,
        }
    }
}

impl fmt::Display for SanName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "dns:{name}"),
            Self::Uri(name) => write!(f, "uri:{name}"),
        }
    }
}

/// The alternative names of a client's certificate that an authority vouches for; none where none does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientNames(Vec<SanName>);

impl ClientNames {
    /// Whether this very name is one of them.
    pub fn has(&self, name: &SanName) -> bool {
        self.0.contains(name)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<SanName> for ClientNames {
    fn from_iter<I: IntoIterator<Item = SanName>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

/// The cryptography of our TLS.
pub fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

/// Reads certificate and key, and compares them.
pub fn read_identity(certificate_file: &Path, key_file: &Path) -> Result<Identity, CertificateFault> {
    let certificate = |why: String| CertificateFault { key: "certificate_file", why };
    let chain = read_certificates(certificate_file).map_err(certificate)?;
    let first = chain.first().map(parsed);
    let Some(Some(first)) = first else {
        return Err(certificate("its first certificate cannot be read; write it anew".to_owned()));
    };
    let validity = validity(&first)
        .ok_or_else(|| certificate("the times of its first certificate cannot be read".to_owned()))?;
    let wrong_key = |why: &str| CertificateFault { key: "key_file", why: why.to_owned() };
    let text = read(key_file).map_err(|why| wrong_key(&why))?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_a_key_is_secret| {
        wrong_key(
            "holds no private key in PEM (PKCS #8, PKCS #1 or SEC 1, without a password); is it another file?",
        )
    })?;
    let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| {
        if error == Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
            return wrong_key(
                "is not the key of the first certificate in certificate_file; put files of one pair in place, ours first",
            );
        }
        wrong_key("is of a kind that cannot be used; make a key with ECDSA P-256 or RSA of 2048 bits")
    })?;
    Ok(Identity { certified: Arc::new(certified), validity })
}

/// Reads the authorities that vouch for clients.
pub fn read_client_ca(file: &Path) -> Result<Arc<dyn ClientCertVerifier>, CertificateFault> {
    let fault = |why: String| CertificateFault { key: "client_ca_file", why };
    let mut roots = RootCertStore::empty();
    for (place, certificate) in read_certificates(file).map_err(fault)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|_error| {
            fault(format!("certificate {} in it cannot be read; write it anew", place.saturating_add(1)))
        })?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider()))
        .build()
        .map_err(|error| fault(error.to_string()))
}

/// All certificates of a file; at least one.
fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let all = all.map_err(|_broken| "is no PEM that can be read to its end; write it anew".to_owned())?;
    if all.is_empty() {
        return Err(
            "holds no certificate in PEM (-----BEGIN CERTIFICATE-----); is it another file?".to_owned()
        );
    }
    Ok(all)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    regular_file(path, FILE_BYTES_MAX, |kind| {
        if kind == ErrorKind::NotFound {
            "no such file; write it there, or correct the path".to_owned()
        } else {
            format!("cannot be read: {kind}; may the service's account read it?")
        }
    })
}

fn parsed(certificate: &CertificateDer<'_>) -> Option<Certificate> {
    Certificate::from_der(certificate.as_ref()).ok()
}

fn validity(certificate: &Certificate) -> Option<Validity> {
    let written = certificate.tbs_certificate().validity();
    let at = |time: x509_cert::time::Time| {
        let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok()?;
        // Year 9999 means "no end", and lies beyond the last time that we can name.
        Some(Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX))
    };
    Some(Validity { from: at(written.not_before)?, until: at(written.not_after)? })
}
