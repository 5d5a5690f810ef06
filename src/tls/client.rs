//! The certificate of a client: the handshake proves that the client holds its key, and nothing else. And the names in
//! a certificate, whosever it is.
//!
//! Never: takes a certificate for more than bytes until an authority of ours has vouched for it.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::Certificates;
use crate::config::{ClientNames, SanName};

/// Names of our own certificate that are shown.
const SHOWN_MAX: usize = 8;

/// DNS names and addresses (URI) of a certificate. The common name of its subject is not looked at.
pub(super) fn names(certificate: &CertificateDer<'_>) -> ClientNames {
    let name = |name: &GeneralName| match name {
        GeneralName::DnsName(dns) => Some(SanName::Dns(dns.as_str().to_ascii_lowercase())),
        GeneralName::UniformResourceIdentifier(uri) => Some(SanName::Uri(uri.as_str().to_owned())),
        GeneralName::OtherName(_)
        | GeneralName::Rfc822Name(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EdiPartyName(_)
        | GeneralName::IpAddress(_)
        | GeneralName::RegisteredId(_) => None,
    };
    written(certificate).iter().filter_map(name).collect()
}

/// The first alternative names of a certificate for people, as in `dns:unhang.example` and `ip:10.0.0.5`.
pub(super) fn shown(certificate: &CertificateDer<'_>) -> Vec<String> {
    let name = |name: &GeneralName| match name {
        GeneralName::DnsName(dns) => Some(format!("dns:{}", dns.as_str())),
        GeneralName::UniformResourceIdentifier(uri) => Some(format!("uri:{}", uri.as_str())),
        GeneralName::IpAddress(octets) => {
            let v4 = <[u8; 4]>::try_from(octets.as_bytes()).map(IpAddr::from);
            let ip = v4.or_else(|_| <[u8; 16]>::try_from(octets.as_bytes()).map(IpAddr::from));
            ip.ok().map(|ip| format!("ip:{ip}"))
        }
        GeneralName::OtherName(_)
        | GeneralName::Rfc822Name(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EdiPartyName(_)
        | GeneralName::RegisteredId(_) => None,
    };
    written(certificate).iter().filter_map(name).take(SHOWN_MAX).collect()
}

fn written(certificate: &CertificateDer<'_>) -> Vec<GeneralName> {
    let read = Certificate::from_der(certificate.as_ref()).ok();
    let san = read.and_then(|read| {
        read.tbs_certificate().get_extension::<SubjectAltName>().ok().flatten().map(|(_critical, san)| san)
    });
    san.map(|SubjectAltName(names)| names).unwrap_or_default()
}

/// Lets every client through that holds the key of what it shows. Whom it is believed to be is asked at each request,
/// so that a fault of this credential is answered like a fault of any other.
#[derive(Debug)]
pub(super) struct HoldsItsKey {
    certificates: Arc<Certificates>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl HoldsItsKey {
    pub(super) fn new(certificates: Arc<Certificates>, provider: &CryptoProvider) -> Self {
        Self { certificates, algorithms: provider.signature_verification_algorithms }
    }
}

impl ClientCertVerifier for HoldsItsKey {
    fn offer_client_auth(&self) -> bool {
        self.certificates.asks_clients()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _own: &CertificateDer<'_>,
        _between: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
