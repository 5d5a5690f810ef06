//! The service as a whole: opens, locks, starts every room, stops them in order.
//!
//! Never: decides anything. It only knows what must be running before what.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::{CertificateFault, CloudConfig, Config};
use crate::dispatcher;
use crate::domain::audit::{Actor, AuditEvent};
use crate::heads;
use crate::housekeeping;
use crate::http;
use crate::inventory;
use crate::journal::Journal;
use crate::lease::Lease;
use crate::ncloud::{ClientError, Clients, Insight, InterruptClient, Reader, Tracer};
use crate::outbox;
use crate::quarantine;
use crate::replica::{self, JoinError};
use crate::server_role;
use crate::service::Service;
use crate::store::{DataLock, LockError, OpenError, Store, StoreError};
use crate::telemetry::{Metrics, chain};
use crate::tls::{self, Certificates};
use crate::traces;
use crate::verifier;

/// How long a graceful stop takes at most with nothing in flight, whatever hangs.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// How much of it the door and the rooms may take; the rest is for leaving the store tidy.
const ROOMS_END_WITHIN: Duration = Duration::from_secs(6);
/// How long leaving the store tidy may take, when an answer was waited for before.
const TIDY_WITHIN: Duration = Duration::from_secs(3);
/// How long the answer of a request in flight is waited for beyond the cloud's timeout.
const ANSWER_GRACE: Duration = Duration::from_secs(5);
/// How long the last time stamp of the journal may take.
const LAST_STAMP: Duration = Duration::from_secs(2);
/// No clock that was ever set says less: 2025-01-01T00:00:00Z.
const CLOCK_MIN_SECOND: i64 = 1_735_689_600;

/// Why the service could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process owns the data folder.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store failed.
    #[error("the store failed at start: {0}")]
    Store(String),
    /// Other replicas use the store, and this one must not.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The cloud clients cannot be built.
    #[error("the cloud client cannot be built: {0}")]
    Cloud(#[from] ClientError),
    /// The wall clock was never set.
    #[error("the clock is not set: it says {now}; set it (is the time service running?), then start again")]
    Clock {
        /// What the clock says.
        now: Timestamp,
    },
    /// A port cannot be bound.
    #[error(transparent)]
    Listen(#[from] http::ListenError),
    /// The certificate of the door cannot be read.
    #[error(transparent)]
    Certificate(#[from] CertificateFault),
}

/// A running service.
#[derive(Debug)]
pub struct App {
    addr: SocketAddr,
    service: Arc<Service>,
    certificates: Option<Arc<Certificates>>,
    cloud: Arc<Clients>,
    servers: Vec<actix_web::dev::ServerHandle>,
    rooms: Vec<JoinHandle<()>>,
    /// Requests in flight; a room that hangs is none.
    sends: TaskTracker,
    writer: JoinHandle<()>,
    // As it was at the start: the clients keep it, whatever a reload says.
    answer_within: Duration,
    // Last: the folder is let go only after everything else has ended.
    lock: DataLock,
}

/// Opens the store, takes the lock, and starts every room. Needs a tokio runtime.
pub async fn start(config: Config) -> Result<App, StartError> {
    Store::make_folder(&config.store.path)?;
    let alone = !config.store.place.is_shared();
    let lock = if alone { DataLock::take } else { DataLock::take_folder };
    let lock = lock(&config.store.path)?;
    let metrics = Metrics::new();
    let (seconds, jobs) = (metrics.commit_seconds.clone(), metrics.commit_batch.clone());
    let (store, writer) = Store::open_at(&config.store.place, config.audit.key.clone(), move |stats| {
        seconds.observe(stats.seconds);
        jobs.observe(f64::from(u32::try_from(stats.jobs).unwrap_or(u32::MAX)));
    })
    .await?;
    lock.still_there()?;
    let (tasks, sends) = (TaskTracker::new(), TaskTracker::new());
    let writer = tasks.spawn(writer);
    replica::may_join(&store, &replica::this(&config), config.audit.key.is_some()).await?;
    let clock = sound_clock(&store).await?;
    let cloud = Arc::new(Clients {
        reader: Reader::new(&config.cloud, wall_ms)?,
        interrupt: InterruptClient::new(&config.cloud)?,
        tracer: Tracer::new(&config.cloud, wall_ms)?,
        insight: Insight::new(&config.cloud, wall_ms)?,
    });
    let latest = store.latest_time().await.map_err(|error| StartError::Store(chain(&error)))?;
    let journal = Arc::new(Journal::open(&config.store.journal));
    let watched_journal = Arc::clone(&journal);
    store.also_watch(move || watched_journal.taken_away());
    let lease =
        if alone { Lease::alone(begin(&store, &config, clock.now()).await?) } else { Lease::standby() };
    let certificates = config.server.tls.as_ref().map(Certificates::open).transpose()?;
    let answer_within = Duration::try_from(config.cloud.timeout).unwrap_or(STOP_WITHIN);
    let service = Arc::new(Service::new(store, journal, clock, config, metrics, lease));
    let role = server_role::begin(&service, &cloud).await?;
    if alone {
        take_over(&service, latest).await.map_err(|error| StartError::Store(chain(&error)))?;
    } else {
        let brought = dispatcher::bring_late_answers(&service).await;
        brought.map_err(|error| StartError::Store(chain(&error)))?;
    }
    let http::Listening { handles: servers, addr, ops_addr, running } =
        http::listen(Arc::clone(&service), certificates.as_ref())?;
    let writer = tasks.spawn(watched("writer", service.stopping.clone(), writer));
    let certificate_room = tls::keep_fresh(certificates.clone(), service.stopping.clone());
    let mut rooms = spawn(
        &service,
        &tasks,
        vec![
            ("http", running),
            ("certificates", Box::pin(certificate_room)),
            ("server role", Box::pin(server_role::run(role, Arc::clone(&service), Arc::clone(&cloud)))),
        ],
    );
    if alone {
        rooms.extend(spawn(&service, &tasks, working_rooms(&service, &cloud, &sends)));
    } else {
        let lease = with_lease(Arc::clone(&service), Arc::clone(&cloud), tasks.clone(), sends.clone());
        let listening = replica::listen(Arc::clone(&service));
        rooms.extend(spawn(
            &service,
            &tasks,
            vec![("lease", Box::pin(lease)), ("other replicas", Box::pin(listening))],
        ));
    }
    let (ops_addr, epoch) = (ops_addr.map(tracing::field::display), service.lease.epoch());
    let store = service.config().store.place.shown();
    tracing::info!(%addr, ops_addr, store, tls = certificates.is_some(), epoch, version = env!("CARGO_PKG_VERSION"), "unhang is ready");
    Ok(App { addr, service, certificates, cloud, servers, rooms, sends, writer, answer_within, lock })
}

type Room = (&'static str, Pin<Box<dyn Future<Output = ()> + Send>>);

fn spawn(service: &Service, tasks: &TaskTracker, rooms: Vec<Room>) -> Vec<JoinHandle<()>> {
    let spawn = |(name, work)| tasks.spawn(watched(name, service.stopping.clone(), tasks.spawn(work)));
    rooms.into_iter().map(spawn).collect()
}

/// What only the one does that dispatches.
fn working_rooms(service: &Arc<Service>, cloud: &Arc<Clients>, sends: &TaskTracker) -> Vec<Room> {
    let (s, c) = (|| Arc::clone(service), || Arc::clone(cloud));
    vec![
        ("inventory", Box::pin(inventory::refresh(s(), c()))),
        ("resolver", Box::pin(inventory::resolve(s(), c()))),
        ("dispatcher", Box::pin(dispatcher::run(s(), c(), sends.clone()))),
        ("verifier", Box::pin(verifier::run(s(), c()))),
        ("journal", Box::pin(quarantine::keep_stamping(s()))),
        ("housekeeping", Box::pin(housekeeping::run(s()))),
        ("audit heads", Box::pin(heads::run(s()))),
        ("audit watch", Box::pin(heads::watch::run(s()))),
        ("outbox", Box::pin(outbox::run(s()))),
        ("traces", Box::pin(traces::run(s()))),
    ]
}

/// Before the working rooms: what the store, the journal and those before us left behind. `latest` is the newest time in
/// the store as it was found.
async fn take_over(service: &Arc<Service>, latest: Option<Timestamp>) -> Result<(), StoreError> {
    outbox::begin(service).await?;
    traces::begin(service).await?;
    let newest_head = heads::newest(&service.config().audit.heads_file).await;
    quarantine::begin(service, latest, newest_head.map_err(|error| chain(&error))).await?;
    let left = dispatcher::rescue(service).await?;
    if left > 0 {
        tracing::error!(
            count = left,
            "interrupts were in flight when the last process ended; without an answer in the attempt journal they are unknown now"
        );
    }
    Ok(())
}

/// Waits for the lease, then works until the service stops or the lease is lost.
async fn with_lease(service: Arc<Service>, cloud: Arc<Clients>, tasks: TaskTracker, sends: TaskTracker) {
    let Some(latest) = replica::win(&service).await else { return };
    // Kept from the first moment on: what was left behind may take longer than a lease lasts.
    let keeping = tasks.spawn({
        let service = Arc::clone(&service);
        async move { replica::keep(&service).await }
    });
    if let Err(error) = take_over(&service, latest).await {
        tracing::error!(error = %chain(&error), "what was left behind cannot be put in order; this replica ends");
        service.stopping.cancel();
        return;
    }
    let rooms = spawn(&service, &tasks, working_rooms(&service, &cloud, &sends));
    for room in std::iter::once(keeping).chain(rooms) {
        drop(room.await);
    }
}

/// A room that ends before the service does has failed, and with it the service: half a service is worse than none.
async fn watched(name: &'static str, stopping: CancellationToken, room: JoinHandle<()>) {
    let ended = room.await;
    if !stopping.is_cancelled() {
        tracing::error!(room = name, panicked = ended.is_err(), "a room ended by itself; the service stops");
        stopping.cancel();
    }
}

fn wall_ms() -> i64 {
    Clock::default().wall().as_millisecond()
}

/// A clock that never runs behind the store. One that is behind it starts all the same: alerts are taken and nothing
/// is sent until it has caught up.
async fn sound_clock(store: &Store) -> Result<Clock, StartError> {
    let latest = store.latest_time().await.map_err(|error| StartError::Store(chain(&error)))?;
    let clock = Clock::starting_at(latest.unwrap_or(Timestamp::UNIX_EPOCH));
    let now = clock.wall();
    if now.as_second() < CLOCK_MIN_SECOND {
        return Err(StartError::Clock { now });
    }
    if let Some(latest) = latest.filter(|_| clock.behind_ms() > 0) {
        tracing::error!(%now, %latest, "the clock is behind the store; nothing is sent until it has caught up");
    }
    Ok(clock)
}

async fn begin(store: &Store, config: &Config, now: Timestamp) -> Result<i64, StartError> {
    let hash = config.hash.clone();
    store
        .write(move |tx| {
            let hash = hash.clone();
            Box::pin(async move {
                let epoch = tx.begin_epoch(env!("CARGO_PKG_VERSION"), now).await?;
                let event = AuditEvent::new(now, "service_started", Actor::service("unhang")).with_detail(
                    &serde_json::json!({ "epoch": epoch, "version": env!("CARGO_PKG_VERSION"), "configHash": hash }),
                );
                tx.append(&event).await?;
                Ok(epoch)
            })
        })
        .await
        .map_err(|error| StartError::Store(chain(&error)))
}

impl App {
    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What the rooms share.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Replaces the configuration; what needs a restart is said in the log. Takes effect with the next decision.
    pub async fn reload(&self, mut config: Config) -> Result<(), StoreError> {
        let old = self.service.config();
        for (changed, key) in [
            (old.server.listen != config.server.listen, "server.listen"),
            (old.server.ops_listen != config.server.ops_listen, "server.ops_listen"),
            (self.certificates.is_some() != config.server.tls.is_some(), "server.tls"),
            (old.store.place != config.store.place || old.store.path != config.store.path, "store.url"),
            (old.store.hold_file != config.store.hold_file, "store.hold_file"),
            (old.store.watermark_bytes != config.store.watermark_bytes, "store.watermark"),
            (old.store.ballast_bytes != config.store.ballast_bytes, "store.ballast"),
            (format!("{:?}", old.cloud) != format!("{:?}", config.cloud), "cloud.*"),
            (old.server.queue_max != config.server.queue_max, "server.queue_max"),
            (old.server.write_timeout != config.server.write_timeout, "server.write_timeout"),
            (old.store.journal != config.store.journal, "store.journal"),
            (format!("{:?}", old.audit) != format!("{:?}", config.audit), "audit.*"),
        ] {
            if changed {
                tracing::warn!(key, "this key takes effect with the next start");
            }
        }
        // The hold file belongs to the store that is open: a hold must not be lifted by naming another place.
        config.store = old.store.clone();
        config.audit = old.audit.clone();
        // The clients keep what they were built with; half of a new cloud would be worse than all of the old. Keys are
        // another matter: an account has two pairs so that they can be changed while everything runs.
        // Those of a server role come and go by themselves, and who asks for them is decided at the start.
        let written = old.cloud.server_role.is_none() && config.cloud.server_role.is_none();
        let keys = if written { &config.cloud } else { &old.cloud };
        config.cloud = CloudConfig {
            access_key: keys.access_key.clone(),
            secret_key: keys.secret_key.clone(),
            ..old.cloud.clone()
        };
        if written && let Err(error) = self.cloud.renew_keys(&config.cloud) {
            tracing::error!(error = %chain(&error), "the new cloud keys are not used");
        }
        config.rules.clock_skew_max = config.cloud.clock_skew_max;
        config.server.queue_max = old.server.queue_max;
        let (hash, now) = (config.hash.clone(), self.service.clock.now());
        self.service.config.store(Arc::new(config));
        self.look_at_certificates();
        self.service
            .store
            .write(move |tx| {
                let hash = hash.clone();
                Box::pin(async move {
                    let event = AuditEvent::new(now, "config_loaded", Actor::service("unhang"))
                        .with_detail(&serde_json::json!({ "configHash": hash }));
                    tx.append(&event).await.map(|_| ())
                })
            })
            .await?;
        self.service.work.notify_one();
        Ok(())
    }

    /// Reads the files of the certificate again, as they are named now.
    pub fn look_at_certificates(&self) {
        if let (Some(certificates), Some(files)) = (&self.certificates, &self.service.config().server.tls) {
            certificates.look(files, self.service.clock.wall());
        }
    }

    /// Waits until something inside asked for the end: a fault after which nobody can be sure.
    pub async fn failed(&self) {
        self.service.stopping.cancelled().await;
    }

    /// Stops: no new claims at once, the door closes, the one answer in flight is awaited, the store is left tidy.
    /// Returns false when something had to be left behind.
    pub async fn stop(self) -> bool {
        let Self {
            addr: _,
            service,
            certificates: _,
            cloud: _,
            servers,
            rooms,
            sends,
            writer,
            answer_within,
            lock,
        } = self;
        let begun = Instant::now();
        let left_of = |whole: Duration| whole.saturating_sub(begun.elapsed());
        service.stopping.cancel();
        let mut clean = true;
        for server in servers {
            clean &= tokio::time::timeout(left_of(ROOMS_END_WITHIN), server.stop(true)).await.is_ok();
        }
        for room in rooms {
            clean &= tokio::time::timeout(left_of(ROOMS_END_WITHIN), room).await.is_ok();
        }
        // The dispatcher has ended, or hangs: nothing new is sent.
        sends.close();
        clean &= tokio::time::timeout(answer_within + ANSWER_GRACE, sends.wait()).await.is_ok();
        // A disk that does not answer must not keep the process from ending.
        let within = left_of(STOP_WITHIN).max(TIDY_WITHIN);
        clean &= tokio::time::timeout(within, tidy(service, writer)).await.unwrap_or(false);
        drop(lock);
        clean
    }
}

/// Leaves the store as the next start likes to find it. False when something of it failed.
async fn tidy(service: Arc<Service>, writer: JoinHandle<()>) -> bool {
    let ended = end(&service).await.is_ok();
    // What was taken away underneath is not written to any more, nor told of as if it were whole.
    let is_whole = service.look_at_files().is_none();
    if service.lease.is_held() && is_whole {
        let _late = tokio::time::timeout(LAST_STAMP, quarantine::stamp(&service)).await;
        heads::record(&service).await;
    }
    let store = service.store.clone();
    drop(service);
    if is_whole && let Err(error) = store.fold_log().await {
        tracing::warn!(error = %chain(&error), "the log stays beside the store; the next start reads it");
    }
    drop(store);
    ended & writer.await.is_ok()
}

async fn end(service: &Service) -> Result<(), StoreError> {
    if !service.lease.is_held() {
        return Ok(());
    }
    let (epoch, now) = (service.lease.epoch(), service.clock.now());
    let shared = service.store.place().is_shared();
    service
        .store
        .write(move |tx| {
            Box::pin(async move {
                if shared {
                    if tx.current_epoch().await? != epoch {
                        return Ok(());
                    }
                    tx.free_lease(epoch).await?;
                }
                tx.end_epoch(epoch, now).await?;
                let event = AuditEvent::new(now, "service_stopped", Actor::service("unhang"))
                    .with_detail(&serde_json::json!({ "epoch": epoch }));
                tx.append(&event).await.map(|_| ())
            })
        })
        .await
}
