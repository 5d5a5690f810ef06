//! What the handlers share: the service, prepared credentials per configuration, and small bounded memories.
//!
//! Never: grows with what strangers send.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use jiff::SignedDuration;

use super::feed::Feed;
use super::people::People;
use super::session::Sessions;
use crate::config::{Config, CredentialConfig, SourceConfig, SourceKind};
use crate::domain::guest::Binding;
use crate::domain::ids::DeliveryId;
use crate::domain::policy::Trust;
use crate::service::Service;
use crate::sources::Verifier;
use crate::tls::Certificates;

/// Label of everything that no configured source sent.
pub(super) const UNKNOWN_SOURCE: &str = "unknown";
/// Unreadable bodies whose hash is remembered, so that each is told once.
const TOLD_MAX: usize = 256;
/// Signatures that are remembered; each is good for the tolerance of its credential only.
const SIGNATURES_MAX: usize = 4096;
/// Addresses whose wrong tokens are counted.
const FAILURES_MAX: usize = 4096;
/// Wrong tokens that an address may present in a minute.
const FAILURES_PER_MINUTE: NonZeroU32 = match NonZeroU32::new(20) {
    Some(number) => number,
    None => NonZeroU32::MIN,
};

/// One sender with its prepared credentials.
#[derive(Debug)]
pub(super) struct Sender {
    /// Its configuration; `None` for any name that is not configured.
    pub(super) source: Option<SourceConfig>,
    /// Its credentials.
    pub(super) verifier: Verifier,
    /// Its pace.
    pub(super) limiter: DefaultDirectRateLimiter,
}

impl Sender {
    fn is_guest(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.kind == SourceKind::Guest)
    }
}

/// All senders of one configuration.
#[derive(Debug)]
pub(super) struct Senders {
    config: Arc<Config>,
    known: BTreeMap<String, Sender>,
    unknown: Sender,
}

impl Senders {
    fn new(config: Arc<Config>) -> Self {
        let rate = NonZeroU32::new(config.server.deliveries_per_second).unwrap_or(NonZeroU32::MIN);
        let limiter = || RateLimiter::direct(Quota::per_second(rate));
        let known = config
            .sources
            .iter()
            .map(|source| {
                let verifier = Verifier::new(source);
                (source.name.clone(), Sender { source: Some(source.clone()), verifier, limiter: limiter() })
            })
            .collect();
        let unknown = Sender { source: None, verifier: Verifier::new(&nobody()), limiter: limiter() };
        Self { config, known, unknown }
    }

    /// The sender of alerts with this name; every other name, a guest's too, is the same stranger.
    pub(super) fn named(&self, name: &str) -> &Sender {
        self.known.get(name).filter(|sender| !sender.is_guest()).unwrap_or(&self.unknown)
    }

    /// Those whose word on themselves is taken, and behind them the stranger.
    pub(super) fn guests(&self) -> impl Iterator<Item = &Sender> {
        self.known.values().filter(|sender| sender.is_guest()).chain([&self.unknown])
    }
}

/// A source that nobody is: its check takes the time of a real one, and its answer is not used.
fn nobody() -> SourceConfig {
    let secret = || uuid::Uuid::new_v4().to_string().into();
    SourceConfig {
        name: UNKNOWN_SOURCE.to_owned(),
        kind: SourceKind::Alertmanager,
        trust: Trust::Propose,
        auth: vec![
            CredentialConfig::Bearer { secret: secret() },
            CredentialConfig::Hmac {
                secret: secret(),
                signature_header: "X-Grafana-Alerting-Signature".to_owned(),
                timestamp_header: "X-Grafana-Alerting-Timestamp".to_owned(),
                tolerance: SignedDuration::from_secs(300),
            },
        ],
        allow_from: Vec::new(),
        firing_values: Vec::new(),
        resolved_values: Vec::new(),
        heartbeat: None,
        speaks_for: Binding::default(),
    }
}

/// Shared by all handlers of one server.
#[derive(Debug)]
pub(super) struct Door {
    /// The service.
    pub(super) service: Arc<Service>,
    /// It listens on a loopback address.
    pub(super) loopback: bool,
    /// Our certificate and the authorities that vouch for clients; `None`: plain HTTP.
    pub(super) certificates: Option<Arc<Certificates>>,
    /// People who have logged in to the pages.
    pub(super) sessions: Sessions,
    /// What people have open.
    pub(super) people: People,
    /// New audit rows, read once for all who follow them.
    pub(super) feed: Arc<Feed>,
    senders: ArcSwap<Senders>,
    failures: DefaultKeyedRateLimiter<IpAddr>,
    told: Mutex<VecDeque<[u8; 32]>>,
    signatures: Mutex<VecDeque<([u8; 32], DeliveryId)>>,
}

impl Door {
    /// `None` when the system gives no random bits.
    pub(super) fn new(
        service: Arc<Service>,
        listen: IpAddr,
        certificates: Option<Arc<Certificates>>,
    ) -> Option<Self> {
        let senders = ArcSwap::from_pointee(Senders::new(service.config()));
        Some(Self {
            loopback: listen.to_canonical().is_loopback(),
            certificates,
            sessions: Sessions::new()?,
            service,
            people: People::new(),
            feed: Arc::new(Feed::new()),
            senders,
            failures: RateLimiter::keyed(Quota::per_minute(FAILURES_PER_MINUTE)),
            told: Mutex::new(VecDeque::new()),
            signatures: Mutex::new(VecDeque::new()),
        })
    }

    /// The senders of this configuration; prepared anew only when it was replaced.
    pub(super) fn senders(&self, config: &Arc<Config>) -> Arc<Senders> {
        let senders = self.senders.load_full();
        if Arc::ptr_eq(&senders.config, config) {
            return senders;
        }
        let fresh = Arc::new(Senders::new(Arc::clone(config)));
        self.senders.store(Arc::clone(&fresh));
        fresh
    }

    /// Whether this has not been told yet. Forgets the oldest, so that a sender cannot fill the memory.
    pub(super) fn first_time(&self, hash: [u8; 32]) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.contains(&hash) {
            return false;
        }
        if told.len() >= TOLD_MAX {
            told.pop_front();
        }
        told.push_back(hash);
        true
    }

    /// The delivery that this signature came with before.
    pub(super) fn seen_signature(&self, signature: &[u8; 32]) -> Option<DeliveryId> {
        let seen = self.signatures.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().find(|(known, _)| known == signature).map(|(_, id)| id.clone())
    }

    /// Remembers the signature of a committed delivery.
    pub(super) fn keep_signature(&self, signature: [u8; 32], id: DeliveryId) {
        let mut seen = self.signatures.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= SIGNATURES_MAX {
            seen.pop_front();
        }
        seen.push_back((signature, id));
    }

    /// Counts a wrong token. False when this address has presented too many.
    pub(super) fn may_fail(&self, client: IpAddr) -> bool {
        if self.failures.len() >= FAILURES_MAX {
            self.failures.retain_recent();
            if self.failures.len() >= FAILURES_MAX {
                return false;
            }
        }
        self.failures.check_key(&network_of(client)).is_ok()
    }

    /// Time in which a body must have arrived.
    pub(super) fn body_timeout(&self) -> Duration {
        Duration::try_from(self.service.config().server.body_timeout).unwrap_or(Duration::from_secs(10))
    }
}

/// One household of IPv6 has a /64 full of addresses; it counts as one.
fn network_of(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one() {
        let net = |text: &str| network_of(text.parse().unwrap()).to_string();
        assert_eq!(net("2001:db8::1"), net("2001:db8::ffff:1"));
        assert_ne!(net("2001:db8::1"), net("2001:db8:0:1::1"));
        assert_eq!(net("192.0.2.1"), "192.0.2.1");
    }
}
