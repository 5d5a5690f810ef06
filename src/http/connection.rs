//! What is known of the connection that a request came over: whether it is encrypted, and the certificate of its client.
//!
//! Never: reads any of it from a header, which anyone could have written.

use std::any::Any;
use std::cell::Cell;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use super::door::Door;
use crate::config::ClientNames;

/// A connection with TLS that ends here, kept for as long as the connection.
#[derive(Debug)]
struct Encrypted {
    /// What the client showed; empty: nothing.
    shown: Vec<CertificateDer<'static>>,
    /// Up to which look at our files nobody vouched for it. A chain can be made to be long work, so a stranger gets that
    /// work once, not with each request.
    refused_at: Cell<Option<u64>>,
}

/// Notes what is known of a new connection.
pub(super) fn note(connection: &dyn Any, kept: &mut Extensions) {
    if let Some(stream) = connection.downcast_ref::<TlsStream<TcpStream>>() {
        let (_socket, session) = stream.get_ref();
        let shown = session.peer_certificates().unwrap_or_default();
        let shown = shown.iter().cloned().map(CertificateDer::into_owned).collect();
        kept.insert(Encrypted { shown, refused_at: Cell::new(None) });
    }
}

/// Whether TLS of this connection ends here.
pub(super) fn is_encrypted(req: &HttpRequest) -> bool {
    req.conn_data::<Encrypted>().is_some()
}

/// What the client's certificate says of it at this time; `None`: it showed none. Asked at each request, whoever is named
/// in it, so that the time of an answer does not tell which sources know their sender by a certificate.
pub(super) fn client_names(req: &HttpRequest, door: &Door, now: Timestamp) -> Option<ClientNames> {
    let Encrypted { shown, refused_at } = req.conn_data::<Encrypted>()?;
    let certificates = door.certificates.as_ref().filter(|_| !shown.is_empty())?;
    let looks = certificates.looks();
    if refused_at.get() == Some(looks) {
        return Some(ClientNames::default());
    }
    let names = certificates.judge(shown, now);
    if names.is_empty() {
        refused_at.set(Some(looks));
    }
    Some(names)
}
