//! TLS of our own door: the certificate that is shown, renewed ones, and what a client's certificate is worth.
//!
//! Never: gives up a certificate that works for one that does not, or lets a handshake decide who a client is.

mod client;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{
    CertificateFault, ClientNames, Identity, TlsConfig, Validity, provider, read_client_ca, read_identity,
};
use client::{HoldsItsKey, names, shown};

/// Gap between two looks at the files.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// What the files gave when they were last good.
#[derive(Clone)]
struct Held {
    files: TlsConfig,
    identity: Identity,
    client_ca: Option<Arc<dyn ClientCertVerifier>>,
}

/// How the certificate stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// When the one that is shown is good.
    pub validity: Validity,
    /// Names in it, for people.
    pub names: Vec<String>,
    /// Why newer files are not used.
    pub trouble: Option<String>,
}

/// The certificate that is shown, and the authorities that vouch for clients. Both are replaced while it runs.
pub struct Certificates {
    held: ArcSwap<Held>,
    looks: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("identity", &self.held.load().identity).finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads the files for the first time. One that has expired is shown all the same: clients refuse it, and what was
    /// begun is still proven.
    pub fn open(files: &TlsConfig) -> Result<Arc<Self>, CertificateFault> {
        let held = ArcSwap::from_pointee(read(files)?);
        Ok(Arc::new(Self { held, looks: AtomicU64::new(0), trouble: Mutex::new(None) }))
    }

    /// How TLS is spoken. A session is never taken up again: a client's certificate is shown with each connection.
    pub fn server_config(self: &Arc<Self>) -> Result<ServerConfig, rustls::Error> {
        let provider = Arc::new(provider());
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(Arc::new(HoldsItsKey::new(Arc::clone(self), &provider)))
            .with_cert_resolver(Arc::new(Shown(Arc::clone(self))));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// Reads the files again. New ones that are good are used from the next connection on; of others is told, once, and
    /// the old ones stay.
    pub fn look(&self, files: &TlsConfig, now: Timestamp) {
        let held = self.held.load_full();
        let fresh = read(files).map_err(|fault| fault.to_string());
        let fresh = fresh.and_then(|fresh| match fresh.identity.validity.fault(now) {
            Some(why) if fresh.identity.certified.cert != held.identity.certified.cert => {
                Err(format!("server.tls.certificate_file: {why}"))
            }
            Some(_) | None => Ok(fresh),
        });
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match fresh {
            Ok(fresh) => {
                if fresh.identity.certified.cert != held.identity.certified.cert {
                    tracing::info!(until = %fresh.identity.validity.until, "a renewed certificate is used");
                } else if trouble.is_some() {
                    tracing::info!("the certificate's files are good again");
                }
                *trouble = None;
                self.held.store(Arc::new(fresh));
                self.looks.fetch_add(1, Ordering::Release);
            }
            Err(why) => {
                if trouble.as_ref() != Some(&why) {
                    tracing::error!(why, "new certificate files are not used; the old certificate stays");
                }
                *trouble = Some(why);
            }
        }
    }

    /// How often the files were read and found good: what was refused before may be taken after.
    pub fn looks(&self) -> u64 {
        self.looks.load(Ordering::Acquire)
    }

    /// How the certificate stands.
    pub fn standing(&self) -> Standing {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let held = self.held.load();
        let names = held.identity.certified.cert.first().map(shown).unwrap_or_default();
        Standing { validity: held.identity.validity, names, trouble }
    }

    /// What a client's certificates say of it, when an authority of ours vouches for them at this time. Asked at each
    /// request, not only at the handshake: a connection may outlive certificate and authority.
    pub fn judge(&self, shown: &[CertificateDer<'_>], now: Timestamp) -> ClientNames {
        let held = self.held.load();
        let (Some(client_ca), Some((own, between))) = (&held.client_ca, shown.split_first()) else {
            return ClientNames::default();
        };
        let now = UnixTime::since_unix_epoch(
            Duration::try_from(now.duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default(),
        );
        match client_ca.verify_client_cert(own, between, now) {
            Ok(_vouched_for) => names(own),
            Err(error) => {
                tracing::debug!(%error, "the certificate of a client was refused");
                ClientNames::default()
            }
        }
    }

    fn asks_clients(&self) -> bool {
        self.held.load().client_ca.is_some()
    }
}

fn read(files: &TlsConfig) -> Result<Held, CertificateFault> {
    let identity = read_identity(&files.certificate_file, &files.key_file)?;
    let client_ca = files.client_ca_file.as_deref().map(read_client_ca).transpose()?;
    Ok(Held { files: files.clone(), identity, client_ca })
}

/// Looks at the files again and again, because nobody tells us of a renewal.
pub async fn keep_fresh(certificates: Option<Arc<Certificates>>, stopping: CancellationToken) {
    let Some(certificates) = certificates else {
        return stopping.cancelled().await;
    };
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = stopping.cancelled() => return,
        }
        let certificates = Arc::clone(&certificates);
        // A disk that does not answer must not hold a thread that serves.
        let looked = tokio::task::spawn_blocking(move || {
            let files = certificates.held.load().files.clone();
            certificates.look(&files, Clock::default().wall());
        });
        if let Err(error) = looked.await {
            tracing::error!(%error, "the certificate's files could not be looked at");
        }
    }
}

/// Shows the certificate of this moment, whatever name is asked for.
#[derive(Debug)]
struct Shown(Arc<Certificates>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.held.load().identity.certified))
    }
}
