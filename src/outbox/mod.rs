//! Outbox: tells people outside what the audit says. Reads the audit behind each receiver's place, keeps a message for
//! each thing to tell, and delivers it until it is taken.
//!
//! Never: decides anything, adds to the transaction of an action, or lets anything but itself wait for a receiver.

mod backoff;
mod body;
mod delivery;
mod making;
mod post;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};

pub use body::Outgoing;
pub use post::{Answer, NotTaken, Poster};

use crate::domain::limits::earlier;
use crate::domain::notice::{Kind, Message};
use crate::heads;
use crate::service::Service;
use crate::store::StoreError;
use crate::telemetry::{NotifyLabels, chain};

/// Longest time between two looks at the audit.
const TICK: Duration = Duration::from_millis(500);
/// Gap between two looks for conditions that begin by nothing happening.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// Gap between two rounds of giving up and removing.
const SWEEP_EVERY: Duration = Duration::from_mins(1);
/// Gap after a fault of the store.
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// How long a message that is done is kept.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long a message for a receiver that is no longer configured is kept.
const ORPHANED_FOR: SignedDuration = SignedDuration::from_hours(72);

/// Lets new receivers begin. Before the door opens, so that they are told of everything from the first delivery on.
pub async fn begin(service: &Service) -> Result<(), StoreError> {
    for receiver in &service.config().notify {
        making::begin(service, &receiver.name).await?;
    }
    Ok(())
}

/// Runs until the service stops.
pub async fn run(service: Arc<Service>) {
    let mut crew = Crew { poster: Poster::new(), made: Arc::new(Notify::new()), ..Crew::default() };
    let (mut watched, mut swept) = (None, None);
    while !service.stopping.is_cancelled() {
        crew.keep(&service);
        let pause = match round(&service, &mut watched, &mut swept).await {
            Ok(true) => Duration::ZERO,
            Ok(false) => TICK,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the outbox could not go on; it is tried again");
                STORE_PAUSE
            }
        };
        crew.made.notify_waiters();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = service.stopping.cancelled() => {}
        }
    }
}

/// One round over everything that is due. True when there is more to do at once.
async fn round(
    service: &Service,
    watched: &mut Option<Instant>,
    swept: &mut Option<Instant>,
) -> Result<bool, StoreError> {
    let due = |last: &Option<Instant>, every| last.is_none_or(|at| at.elapsed() >= every);
    if due(watched, WATCH_EVERY) {
        watch::look(service).await?;
        *watched = Some(Instant::now());
    }
    let more = making::step(service).await?;
    if due(swept, SWEEP_EVERY) {
        sweep(service).await?;
        tell_head(service).await?;
        *swept = Some(Instant::now());
    }
    Ok(more)
}

/// The workers, one for each receiver.
#[derive(Default)]
struct Crew {
    poster: Poster,
    made: Arc<Notify>,
    tasks: JoinSet<()>,
    working: BTreeMap<String, AbortHandle>,
}

impl Crew {
    /// Gives every configured receiver a worker. One that ended by a fault is replaced; one whose receiver is gone ends
    /// by itself.
    fn keep(&mut self, service: &Arc<Service>) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "the worker of a receiver ended by a fault; another takes its place");
            }
        }
        self.working.retain(|_, worker| !worker.is_finished());
        for receiver in &service.config().notify {
            if !self.working.contains_key(&receiver.name) {
                let (poster, made) = (self.poster.clone(), Arc::clone(&self.made));
                let name = receiver.name.clone();
                let work = delivery::work(Arc::clone(service), poster, name.clone(), made);
                self.working.insert(name, self.tasks.spawn(work));
            }
        }
    }
}

/// Gives up what was tried for too long, and removes what is long done. In bounded steps.
async fn sweep(service: &Service) -> Result<(), StoreError> {
    let (config, now) = (service.config(), service.clock.now());
    for name in service.store.receivers_with_messages().await? {
        let tried_for = config.receiver(&name).map_or(ORPHANED_FOR, |receiver| receiver.give_up);
        let (receiver, before) = (name.clone(), earlier(now, tried_for));
        let given_up = service
            .store
            .write(move |tx| {
                let receiver = receiver.clone();
                Box::pin(async move { tx.give_up_messages(&receiver, before, now).await })
            })
            .await?;
        if given_up > 0 {
            tracing::error!(
                receiver = name,
                count = given_up,
                "messages were given up: the receiver did not take them"
            );
            let labels = NotifyLabels { receiver: name, result: "given_up" };
            service.metrics.notify_deliveries.get_or_create(&labels).inc_by(given_up);
        }
    }
    let before = earlier(now, KEPT_FOR);
    service.store.write(move |tx| Box::pin(async move { tx.prune_outbox(before).await })).await?;
    Ok(())
}

/// Hands the newest head of the audit to receivers that ask for it, once each.
async fn tell_head(service: &Service) -> Result<(), StoreError> {
    let config = service.config();
    let wanted: Vec<_> = config.notify.iter().filter(|one| one.events.contains(&Kind::AuditHead)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    // A file that cannot be read is told by who writes it.
    let Ok(Some(head)) = heads::newest(&config.audit.heads_file).await else { return Ok(()) };
    for receiver in wanted {
        let place = (head.seq, head.mac.as_str());
        making::keep(service, receiver, place, Message::of_head(&head)).await?;
    }
    Ok(())
}
