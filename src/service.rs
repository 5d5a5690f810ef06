//! What the working rooms share: store, clock, configuration, wake-ups, and the words "stop" and "halt".
//!
//! Never: decides, calls the cloud, or knows HTTP.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::domain::claim::Health;
use crate::journal::Journal;
use crate::store::Store;
use crate::telemetry::{CallLabels, Metrics};

/// Shared by every task of one running service.
#[derive(Debug)]
pub struct Service {
    /// The store.
    pub store: Store,
    /// The clock.
    pub clock: Clock,
    /// The active configuration; replaced as a whole on reload.
    pub config: ArcSwap<Config>,
    /// Figures for `/metrics`.
    pub metrics: Metrics,
    /// Wakes the dispatcher: there may be something to do.
    pub work: Notify,
    /// Wakes the verifier: there may be something to prove.
    pub proof: Notify,
    /// Wakes the resolver: an alert waits for its target.
    pub lookups: Notify,
    /// Wakes the inventory: a person asks for a server that is not in it.
    pub inventory: Notify,
    /// The attempt journal, outside the store.
    pub journal: Arc<Journal>,
    /// Our number as owner of the store; intents of smaller numbers are of the dead.
    pub epoch: i64,
    /// When this process began.
    pub started_at: jiff::Timestamp,
    /// Set once: no new claims, finish what is in flight.
    pub stopping: CancellationToken,
    halted: Mutex<Option<String>>,
    clock_fault: Mutex<Option<String>>,
}

impl Service {
    /// A service around an open store.
    pub fn new(
        store: Store,
        journal: Arc<Journal>,
        clock: Clock,
        config: Config,
        metrics: Metrics,
        epoch: i64,
    ) -> Self {
        Self {
            store,
            started_at: clock.now(),
            clock,
            config: ArcSwap::from_pointee(config),
            metrics,
            work: Notify::new(),
            proof: Notify::new(),
            lookups: Notify::new(),
            inventory: Notify::new(),
            journal,
            epoch,
            stopping: CancellationToken::new(),
            halted: Mutex::new(None),
            clock_fault: Mutex::new(None),
        }
    }

    /// The configuration as it is now; hold on to it for one decision, not longer.
    pub fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Stops all sending until [`Service::resume`] or the end of the process: something happened after which nobody can be sure.
    pub fn halt(&self, why: &str) {
        tracing::error!(why, "sending is halted");
        *self.halted.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
    }

    /// Sends again: what made nobody sure has been put right.
    pub fn resume(&self) {
        tracing::warn!("sending is no longer halted");
        *self.halted.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Notes that the clock cannot be trusted, or that it can again.
    fn set_clock_fault(&self, fault: Option<String>) {
        let mut kept = self.clock_fault.lock().unwrap_or_else(PoisonError::into_inner);
        if *kept != fault {
            match &fault {
                Some(why) => tracing::error!(why, "the clock cannot be trusted; nothing is sent"),
                None => tracing::info!("the clock can be trusted again"),
            }
            *kept = fault;
        }
    }

    /// Compares our clock with the cloud's `Date` (cloud minus ours); above the configured difference nothing is sent.
    pub fn watch_skew(&self, skew_ms: Option<i64>) {
        let Some(skew) = skew_ms else { return };
        let most = i64::try_from(self.config().cloud.clock_skew_max.as_millis()).unwrap_or(i64::MAX);
        let fault = (skew.saturating_abs() > most).then(|| {
            format!("the cloud's clock differs from ours by {} s; at most {} s", skew / 1000, most / 1000)
        });
        self.set_clock_fault(fault);
    }

    /// Counts a read of the cloud that began then.
    pub fn count_read<T, E>(&self, call: &'static str, begun: std::time::Instant, result: &Result<T, E>) {
        let labels = CallLabels { call };
        self.metrics.cloud_calls.get_or_create(&labels).observe(begun.elapsed().as_secs_f64());
        if result.is_err() {
            self.metrics.cloud_read_failures.get_or_create(&labels).inc();
        }
    }

    /// Waits for a read of the cloud, but not beyond the wish to stop. Only for what may be dropped half-way.
    pub async fn unless_stopping<T>(&self, read: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = read => Some(done),
            () = self.stopping.cancelled() => None,
        }
    }

    /// Whether this process may send.
    pub fn health(&self) -> Health {
        let halted = self.halted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stopping = self.stopping.is_cancelled().then(|| "the service is stopping".to_owned());
        let behind = self.clock.behind_ms();
        let clock = self.clock_fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // A wall clock behind what the store knows has jumped back; small steps of time keeping are let pass.
        let behind =
            (behind > 5_000).then(|| format!("the wall clock is {} s behind the store", behind / 1000));
        Health { halted: halted.or(stopping).or_else(|| self.journal.trouble()), clock: clock.or(behind) }
    }
}

/// Why the hold file stops everything: it is there, or nobody can tell. `None` when it certainly is not.
pub fn hold_file(path: &Path) -> Option<String> {
    let folder_is_there = path.parent().is_none_or(|folder| folder.as_os_str().is_empty() || folder.is_dir());
    if !folder_is_there {
        return Some(format!("the folder of the hold file {} is gone", path.display()));
    }
    match std::fs::symlink_metadata(path) {
        Ok(_) => Some(format!("the hold file {} is there", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => Some(format!("the hold file {} cannot be read: {error}", path.display())),
    }
}
