//! Traces: tells a collector what the audit says, as spans over OTLP. Off unless an endpoint is configured.
//!
//! Never: stands in the way of an action, keeps rows in memory while the collector is away (they wait in the audit), or
//! tells a secret.

mod post;
mod span;
mod story;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::config::OtlpConfig;
use crate::domain::limits::earlier;
use crate::service::Service;
use crate::store::{AuditItem, StoreError};
use crate::telemetry::{SpanLabels, chain};

use post::{NotTaken, Poster};

/// The name under which the store remembers how far the audit was told. No receiver can have it: it holds a space.
const PLACE: &str = "otlp traces";
/// Longest time between two looks at the audit.
const TICK: Duration = Duration::from_millis(500);
/// A row is left this long, so that whoever wrote it has noted how long it took.
const RIPE_AFTER: SignedDuration = SignedDuration::from_millis(300);
/// Pauses after a collector failed: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// Older rows are not told: the collector was away, or nobody wanted traces.
const GIVE_UP: SignedDuration = SignedDuration::from_hours(1);
/// Gap after a fault of the store.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// Lets traces begin at the end of the audit. Before the door opens, so that the first delivery is among them.
pub async fn begin(service: &Service) -> Result<(), StoreError> {
    if service.config().telemetry.otlp.is_none() {
        return Ok(());
    }
    service.store.write(|tx| Box::pin(async move { tx.begin_receiver(PLACE).await })).await.map(|_begun| ())
}

/// Runs until the service stops.
pub async fn run(service: Arc<Service>) {
    let mut teller = Teller::default();
    while !service.stopping.is_cancelled() {
        let step = tokio::select! {
            step = teller.step(&service) => step,
            // What was not told yet is told after the next start.
            () = service.stopping.cancelled() => return,
        };
        let pause = step.unwrap_or_else(|error| {
            tracing::warn!(error = %chain(&error), "traces could not be read from the audit; they are read again");
            STORE_PAUSE
        });
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = service.stopping.cancelled() => {}
        }
    }
}

/// Tells the collector, one step after the other.
#[derive(Debug, Default)]
struct Teller {
    poster: Poster,
    /// Since when the collector takes nothing, and the pause that comes next.
    failing: Option<(Instant, Duration)>,
}

impl Teller {
    /// One step over the audit, and the pause after it.
    async fn step(&mut self, service: &Service) -> Result<Duration, StoreError> {
        let config = service.config();
        let Some(otlp) = &config.telemetry.otlp else { return Ok(TICK) };
        let end = service.store.audit_end().await?.map_or(0, |(seq, _)| seq);
        let Some(seq) = service.store.outbox_cursor(PLACE).await? else {
            begin(service).await?;
            return Ok(Duration::ZERO);
        };
        if seq == end {
            return Ok(TICK);
        }
        let now = service.clock.now();
        if seq > end {
            tracing::warn!(seq, end, "the audit is shorter than it was; traces go on at its end");
            return move_on(service, (seq, end), now).await;
        }
        let (mut items, mut last) = service.store.events_behind(seq, end, &story::KINDS).await?;
        let too_old = earlier(now, GIVE_UP);
        if items.first().is_some_and(|item| item.event.at < too_old) {
            return skip(service, (seq, last), too_old, now).await;
        }
        let ripe = earlier(now, RIPE_AFTER);
        if let Some(place) = items.iter().position(|item| item.event.at > ripe) {
            last = items.get(place).map_or(last, |item| item.seq.saturating_sub(1));
            items.truncate(place);
        }
        if last <= seq {
            return Ok(TICK);
        }
        match self.tell(service, otlp, &items).await? {
            None => {
                move_on(service, (seq, last), now).await?;
                Ok(if last < end { Duration::ZERO } else { TICK })
            }
            Some(pause) => Ok(pause),
        }
    }

    /// Posts the spans of some rows; a pause where they must be posted again.
    async fn tell(
        &mut self,
        service: &Service,
        otlp: &OtlpConfig,
        items: &[AuditItem],
    ) -> Result<Option<Duration>, StoreError> {
        let spans = story::spans(&service.store, items, &service.timings).await?;
        if spans.is_empty() {
            return Ok(None);
        }
        let count = |result, by: usize| {
            let by = u64::try_from(by).unwrap_or(u64::MAX);
            service.metrics.trace_spans.get_or_create(&SpanLabels { result }).inc_by(by);
        };
        let all = spans.len();
        match self.poster.post(otlp, spans).await {
            Ok(rejected) => {
                let rejected = rejected.min(all);
                count("exported", all.saturating_sub(rejected));
                count("refused", rejected);
                if let Some((since, _)) = self.failing.take() {
                    let seconds = since.elapsed().as_secs();
                    tracing::info!(
                        seconds,
                        "the collector takes traces again; what waited in the audit follows"
                    );
                }
                Ok(None)
            }
            Err(NotTaken::Refused(why)) => {
                count("refused", all);
                tracing::debug!(why, "the collector refused spans for themselves; they are left out");
                Ok(None)
            }
            Err(NotTaken::Later(why)) => {
                service.metrics.trace_failures.inc();
                let (first, longest) = PAUSES;
                let (since, pause) = self.failing.unwrap_or_else(|| {
                    tracing::warn!(
                        why,
                        "the collector takes no traces; they wait in the audit and are tried again"
                    );
                    (Instant::now(), first)
                });
                self.failing = Some((since, (pause * 2).min(longest)));
                Ok(Some(pause))
            }
        }
    }
}

/// Moves past what is too old to be told.
async fn skip(
    service: &Service,
    (seq, looked_at): (i64, i64),
    too_old: Timestamp,
    now: Timestamp,
) -> Result<Duration, StoreError> {
    // Times stand nearly in order; what is left behind by that is too old as well.
    let last =
        service.store.audit_last_before(too_old).await?.unwrap_or(looked_at).max(seq.saturating_add(1));
    let rows = last.saturating_sub(seq);
    service.metrics.trace_rows_skipped.inc_by(u64::try_from(rows).unwrap_or(0));
    tracing::warn!(rows, "rows of the audit are older than an hour and are told to no collector");
    move_on(service, (seq, last), now).await
}

async fn move_on(service: &Service, way: (i64, i64), now: Timestamp) -> Result<Duration, StoreError> {
    service
        .store
        .write(move |tx| Box::pin(async move { tx.tell_receiver(PLACE, way, &[], now).await }))
        .await?;
    Ok(Duration::ZERO)
}
