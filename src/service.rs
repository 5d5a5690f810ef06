//! What the working rooms share: store, clock, configuration, wake-ups, and the words "stop" and "halt".
//!
//! Never: decides, calls the cloud, or knows HTTP.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, ClockWatch, DateDemand, Moment, SeenDate};
use crate::config::{Config, DateRule};
use crate::domain::chain::ChainSeen;
use crate::domain::claim::Health;
use crate::domain::limits::WATCH_GAP_MIN;
use crate::journal::Journal;
use crate::lease::Lease;
use crate::store::{Ballast, Store, free_bytes};
use crate::telemetry::{CallLabels, Metrics, Timings};

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
    /// How long deliveries took; noted only while traces are wanted.
    pub timings: Timings,
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
    /// Whether this process dispatches, and as which owner of the store.
    pub lease: Lease,
    /// When this process began.
    pub started_at: jiff::Timestamp,
    /// Set once: no new claims, finish what is in flight.
    pub stopping: CancellationToken,
    halted: Mutex<BTreeMap<String, String>>,
    clock_watch: ClockWatch,
    reads: Mutex<Reads>,
    said: Mutex<Health>,
    chain: Mutex<ChainSeen>,
}

/// Reads of the cloud that failed one after the other.
#[derive(Debug, Default)]
struct Reads {
    failed: u32,
    why: String,
}

/// So many failed reads in a row, and the cloud is out of sight.
const FAILED_READS_MAX: u32 = 3;

impl Service {
    /// A service around an open store.
    pub fn new(
        store: Store,
        journal: Arc<Journal>,
        clock: Clock,
        config: Config,
        metrics: Metrics,
        lease: Lease,
    ) -> Self {
        Self {
            store,
            started_at: clock.now(),
            clock,
            config: ArcSwap::from_pointee(config),
            metrics,
            timings: Timings::default(),
            work: Notify::new(),
            proof: Notify::new(),
            lookups: Notify::new(),
            inventory: Notify::new(),
            journal,
            lease,
            stopping: CancellationToken::new(),
            halted: Mutex::default(),
            clock_watch: ClockWatch::starting_at(Moment::now()),
            reads: Mutex::default(),
            said: Mutex::default(),
            chain: Mutex::default(),
        }
    }

    /// The configuration as it is now; hold on to it for one decision, not longer.
    pub fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Stops all sending until [`Service::resume`] for the same matter or the end of the process: something happened after
    /// which nobody can be sure.
    pub fn halt(&self, matter: &str, why: &str) {
        tracing::error!(matter, why, "sending is halted");
        let mut halted = self.halted.lock().unwrap_or_else(PoisonError::into_inner);
        halted.insert(matter.to_owned(), why.to_owned());
    }

    /// One matter has been put right. Sending goes on once all have been.
    pub fn resume(&self, matter: &str) {
        tracing::warn!(matter, "sending is no longer halted by this");
        self.halted.lock().unwrap_or_else(PoisonError::into_inner).remove(matter);
    }

    /// Distrusts the wall clock: by now it should have said this. See [`ClockWatch::expect`].
    pub fn expect_wall(&self, wall_ms: i64) {
        self.clock_watch.expect(Moment { wall_ms, ..Moment::now() });
    }

    /// Whether the wall clock has jumped, and nothing has confirmed it since.
    pub fn clock_parted(&self) -> bool {
        self.clock_watch.parted(Moment::now())
    }

    /// Compares our clock with the newest `Date` of the cloud.
    pub fn watch_clock(&self, date: Option<SeenDate>) {
        if let Some(date) = date {
            self.clock_watch.see(date, self.date_demand());
        }
    }

    fn date_demand(&self) -> DateDemand {
        let config = self.config();
        let skew_max_ms = i64::try_from(config.cloud.clock_skew_max.as_millis()).unwrap_or(i64::MAX);
        DateDemand { skew_max_ms, required: config.cloud.date == DateRule::Required }
    }

    /// Counts a read of the cloud that began then. Several failures in a row make us blind; any success ends that.
    pub fn count_read<T, E: std::fmt::Display>(
        &self,
        call: &'static str,
        begun: Instant,
        result: &Result<T, E>,
    ) {
        self.metrics.time_call(call, begun.elapsed().as_secs_f64(), None);
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) => *reads = Reads::default(),
            Err(error) => {
                self.metrics.cloud_read_failures.get_or_create(&CallLabels { call }).inc();
                *reads = Reads { failed: reads.failed.saturating_add(1), why: error.to_string() };
            }
        }
    }

    /// Waits for a read of the cloud, but not beyond the wish to stop. Only for what may be dropped half-way.
    pub async fn unless_stopping<T>(&self, read: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = read => Some(done),
            () = self.stopping.cancelled() => None,
        }
    }

    /// Whether this process does what only one may do, and can.
    pub fn dispatches(&self) -> bool {
        self.lease.is_held() && !self.store.has_ended()
    }

    /// What was taken away underneath, or why nothing can be written any more. The first time that it is seen everything
    /// stops: what is promised from then on nobody would find again.
    pub fn look_at_files(&self) -> Option<String> {
        let why = self.store.doubt().or_else(|| self.store.taken_away())?;
        if !self.stopping.is_cancelled() {
            self.halt("store", &why);
            self.stopping.cancel();
        }
        Some(why)
    }

    /// Whether this process may send. Asked anew each time: nothing of it is remembered but what was told in the log.
    pub fn health(&self) -> Health {
        if !self.lease.is_held() {
            // The rest is asked of whoever dispatches: a standby does not even read the cloud.
            return Health { halted: self.lease.why_not(), disk: self.full_disk(), ..Health::default() };
        }
        let halted = self.halted.lock().unwrap_or_else(PoisonError::into_inner).values().next().cloned();
        let halted = halted.or_else(|| self.store.doubt());
        let stopping = self.stopping.is_cancelled().then(|| "the service is stopping".to_owned());
        let clock = self.clock_watch.fault(Moment::now(), self.date_demand(), self.clock.behind_ms());
        let health = Health {
            halted: halted
                .or(stopping)
                .or_else(|| self.lease.why_not())
                .or_else(|| self.journal.trouble())
                .or_else(|| self.unwatched()),
            clock,
            reads: self.failed_reads(),
            disk: self.full_disk(),
            stall: self.clock.stall(),
        };
        self.tell(&health);
        health
    }

    /// A process that slept or was frozen notes first how long nobody watched: a reboot in that time counts.
    fn unwatched(&self) -> Option<String> {
        let away = self.journal.away(self.clock.wall())?;
        (away > WATCH_GAP_MIN).then(|| format!("nobody watched for {away:#}; that is noted first"))
    }

    fn failed_reads(&self) -> Option<String> {
        let reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        let Reads { failed, why } = &*reads;
        (*failed >= FAILED_READS_MAX)
            .then(|| format!("{failed} reads of the cloud in a row failed; the last: {why}"))
    }

    fn full_disk(&self) -> Option<String> {
        let watermark = self.config().store.watermark_bytes;
        let mib = |bytes: u64| bytes >> 20;
        match free_bytes(&self.config().store.path) {
            Ok(free) if free >= watermark => None,
            Ok(free) => Some(format!(
                "{} MiB are free on the disk of the store; store.watermark is {} MiB",
                mib(free),
                mib(watermark)
            )),
            Err(error) => Some(format!("nobody can tell how much room the disk of the store has: {error}")),
        }
    }

    /// Tells in the log what forbids sending now, and what no longer does, once each.
    fn tell(&self, health: &Health) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        for (what, before, now) in [
            ("clock", &said.clock, &health.clock),
            ("reads", &said.reads, &health.reads),
            ("disk", &said.disk, &health.disk),
        ] {
            match (before, now) {
                (None, Some(why)) => tracing::error!(what, why, "blind: nothing is sent"),
                (Some(_), None) => tracing::info!(what, "no longer blind"),
                (None, None) | (Some(_), Some(_)) => {}
            }
        }
        *said = health.clone();
    }

    /// How far the audit has been verified since the start.
    pub fn chain(&self) -> ChainSeen {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes how far the audit has been verified, and shows it as figures.
    pub fn note_chain(&self, seen: ChainSeen) {
        self.metrics.audit_verified.set(seen.seq);
        self.metrics.audit_broken.set(i64::from(seen.fault.is_some()));
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    /// The file that is given up for an outcome when the disk is full.
    pub fn ballast(&self) -> Ballast {
        let config = self.config();
        let store = &config.store;
        Ballast::new(&store.path, store.ballast_bytes, store.watermark_bytes)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_file_that_nobody_can_look_at_holds() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("empty"), "").unwrap();
        std::fs::create_dir(path("folder")).unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", path("dangling")).unwrap();
        std::fs::write(path("file"), "").unwrap();
        assert_eq!(hold_file(&path("none")), None);
        for (place, says) in [
            (path("empty"), "is there"),
            (path("folder"), "is there"),
            (path("dangling"), "is there"),
            (path("gone/HOLD"), "the folder of the hold file"),
            (path("file/HOLD"), "the folder of the hold file"),
            // A name that the system cannot even ask for: like a folder that may not be read, but for root as well.
            (path(&"n".repeat(300)), "cannot be read"),
        ] {
            let said = hold_file(&place).unwrap();
            assert!(said.contains(says), "{said}");
        }
    }
}
