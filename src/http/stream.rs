//! `GET /api/v1/stream`: audit rows as they are committed, as server-sent events that can be resumed.
//!
//! Never: keeps rows for a slow reader, who reads the store at its own place; or goes on after its credential has ended.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::{CONTENT_TYPE, HeaderName};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use tokio::sync::{broadcast, watch};
use tokio::time::{Interval, MissedTickBehavior};

use super::auth::{Admission, Follower};
use super::body::Params;
use super::brief::Places;
use super::door::Door;
use super::feed::{Batch, Event, ROWS_MAX, together};
use super::people::Share;
use super::problem::{Code, Problem};
use crate::store::{AuditFilter, PageRequest, Store, StoreError};
use crate::telemetry::chain;

/// Rhythm of the heartbeat, and of the look whether the credential is still good.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client is asked to wait before it connects again, in milliseconds.
const RETRY_MS: u64 = 2000;
/// Most kinds that a stream may be narrowed to.
const KINDS_MAX: usize = 32;
/// Proxies that would gather an answer first are told not to.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// `GET /api/v1/stream`
pub(super) async fn follow(
    Follower(person): Follower,
    door: Data<Door>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&req)?;
    let wanted = Wanted::read(&mut params)?;
    let brief = params.choice("brief", &[("true", true), ("false", false)])?.unwrap_or(false);
    if brief && !wanted.is_everything() {
        return Err(Problem::query("brief", "not beside a filter: a brief stream tells no rows"));
    }
    let after = params.whole("after", 0..=i64::MAX)?;
    params.finish()?;
    // A client that connects again repeats its first address, and says in the header how far it came.
    let after = last_event_id(&req)?.or(after);
    if door.service.stopping.is_cancelled() {
        return Err(Problem::new(Code::Stopping, "the service is stopping"));
    }
    let admission =
        Admission::of(&req, &door).ok_or_else(|| Problem::new(Code::Unauthenticated, "send a token"))?;
    let seat = door.people.stream(&person.name, door.service.config().server.streams_max)?;
    // In this order: what is committed in between is in both, and told once.
    let batches = door.feed.batches();
    let news = door.service.store.news();
    let newest = *news.borrow();
    let cursor = after.unwrap_or(newest);
    if cursor > newest {
        let expected = format!(
            "the newest place is {newest}; a store that ends earlier than what you have seen was restored"
        );
        return Err(Problem::query("after", expected).with("newest", newest));
    }
    let mut beat = tokio::time::interval_at(tokio::time::Instant::now() + HEARTBEAT, HEARTBEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let opening = Some(format!("retry: {RETRY_MS}\nid: {cursor}\n\n").into());
    let reading = if brief {
        // Whoever holds a receiver has the rows read.
        drop(batches);
        Places { door, admission, news, cursor, beat, opening, told_at: None, seat }.read_on()
    } else {
        read_on(Reader {
            door,
            admission,
            wanted,
            batches,
            news,
            cursor,
            target: newest,
            beat,
            opening,
            _seat: seat,
        })
    };
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header(UNBUFFERED)
        // The connection ends with the stream, so that a stop waits for nobody.
        .force_close()
        .body(Body(Some(reading))))
}

/// The place that the client has seen last.
fn last_event_id(req: &HttpRequest) -> Result<Option<i64>, Problem> {
    let Some(value) = req.headers().get("last-event-id") else { return Ok(None) };
    let place = value.to_str().ok().and_then(|text| text.parse::<i64>().ok()).filter(|place| *place >= 0);
    place.map(Some).ok_or_else(|| {
        Problem::new(Code::InvalidHeader, "last-event-id: expected the id of an event").about("last-event-id")
    })
}

/// Which events a stream has; all that is given must hold.
#[derive(Debug)]
struct Wanted {
    kinds: Vec<String>,
    server: Option<String>,
    remediation: Option<String>,
    incident: Option<String>,
}

impl Wanted {
    fn read(params: &mut Params) -> Result<Self, Problem> {
        let kinds = params.read("kind", |text| {
            let kinds: Vec<String> = text.split(',').map(str::to_owned).collect();
            let fits = kinds.len() <= KINDS_MAX && kinds.iter().all(|kind| !kind.is_empty());
            if fits { Ok(kinds) } else { Err(format!("expected 1 to {KINDS_MAX} kinds with commas between")) }
        })?;
        Ok(Self {
            kinds: kinds.unwrap_or_default(),
            server: params.text("serverInstanceNo"),
            remediation: params.text("remediationId"),
            incident: params.text("incidentId"),
        })
    }

    fn is_everything(&self) -> bool {
        self.kinds.is_empty()
            && self.server.is_none()
            && self.remediation.is_none()
            && self.incident.is_none()
    }

    fn takes(&self, event: &Event) -> bool {
        let same = |wanted: &Option<String>, given: &Option<String>| wanted.is_none() || wanted == given;
        (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && same(&self.server, &event.server)
            && same(&self.remediation, &event.remediation)
            && same(&self.incident, &event.incident)
    }

    /// What the store can be asked; several kinds are told apart afterwards.
    fn filter(&self) -> AuditFilter {
        AuditFilter {
            kind: match self.kinds.as_slice() {
                [kind] => Some(kind.clone()),
                _ => None,
            },
            server_instance_no: self.server.clone(),
            remediation_id: self.remediation.clone(),
            incident_id: self.incident.clone(),
            ..AuditFilter::default()
        }
    }
}

/// One open stream.
struct Reader {
    door: Data<Door>,
    admission: Admission,
    wanted: Wanted,
    batches: broadcast::Receiver<Arc<Batch>>,
    news: watch::Receiver<i64>,
    /// Everything up to here was sent, or is not wanted.
    cursor: i64,
    /// Up to here the store is read before batches are taken.
    target: i64,
    beat: Interval,
    opening: Option<Bytes>,
    _seat: Share,
}

impl Reader {
    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(opening) = self.opening.take() {
            return Some(opening);
        }
        loop {
            let behind = self.cursor < self.target;
            let store = &self.door.service.store;
            let piece = tokio::select! {
                biased;
                () = self.door.service.stopping.cancelled() => return None,
                _ = self.beat.tick() => self.heartbeat()?,
                page = page(store, &self.wanted, self.cursor, self.target), if behind => self.paged(page)?,
                batch = self.batches.recv(), if !behind => self.batched(batch)?,
            };
            // An empty chunk would end the answer.
            if !piece.is_empty() {
                return Some(piece);
            }
        }
    }

    /// A sign of life, with the place, so that a stream that is narrowed does not read the same rows again.
    fn heartbeat(&mut self) -> Option<Bytes> {
        if !self.admission.holds(&self.door) {
            return None;
        }
        // Should the feed have failed, the store is read.
        self.target = *self.news.borrow();
        Some(format!(": still here\nid: {}\n\n", self.cursor).into())
    }

    fn paged(&mut self, page: Result<(Bytes, i64), StoreError>) -> Option<Bytes> {
        match page {
            Ok((text, reached)) => {
                self.cursor = reached;
                Some(text)
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "an event stream ends; it can be resumed");
                None
            }
        }
    }

    fn batched(&mut self, batch: Result<Arc<Batch>, broadcast::error::RecvError>) -> Option<Bytes> {
        let batch = match batch {
            Ok(batch) => batch,
            Err(broadcast::error::RecvError::Lagged(_)) => {
                self.target = *self.news.borrow();
                return Some(Bytes::new());
            }
            Err(broadcast::error::RecvError::Closed) => return None,
        };
        if batch.last <= self.cursor {
            return Some(Bytes::new());
        }
        if batch.after > self.cursor {
            self.target = batch.last;
            return Some(Bytes::new());
        }
        let (from, wanted) = (self.cursor, &self.wanted);
        let text = if batch.after == from && wanted.is_everything() {
            batch.text.clone()
        } else {
            together(batch.events.iter().filter(|event| event.seq > from && wanted.takes(event)))
        };
        self.cursor = batch.last;
        Some(text)
    }
}

/// A page of the store behind a place, and how far it reaches.
async fn page(store: &Store, wanted: &Wanted, after: i64, target: i64) -> Result<(Bytes, i64), StoreError> {
    let page = PageRequest { limit: ROWS_MAX, cursor: Some(after.to_string()), ascending: true };
    let page = store.audit(&wanted.filter(), &page).await?;
    let last = page.items.last().map_or(after, |item| item.seq);
    // Without a page behind it there was no other row up to the target, which was committed before.
    let reached = if page.next_cursor.is_some() { last } else { last.max(target) };
    let unreadable = |_error| StoreError::Unreadable { what: "audit row" };
    let events = page.items.iter().map(Event::of).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    Ok((together(events.iter().filter(|event| wanted.takes(event))), reached))
}

/// A piece and what comes behind it; `None` at the end.
type Piece = Option<(Bytes, Reading)>;

/// A piece under way.
pub(super) struct Reading(Pin<Box<dyn Future<Output = Piece>>>);

impl Reading {
    pub(super) fn of(piece: impl Future<Output = Piece> + 'static) -> Self {
        Self(Box::pin(piece))
    }
}

fn read_on(mut reader: Reader) -> Reading {
    Reading::of(async move {
        let piece = reader.next().await?;
        Some((piece, read_on(reader)))
    })
}

/// The answer: a piece is read when the connection has room for it, and not before.
struct Body(Option<Reading>);

impl MessageBody for Body {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let Some(reading) = self.0.as_mut() else { return Poll::Ready(None) };
        let Poll::Ready(read) = reading.0.as_mut().poll(cx) else { return Poll::Pending };
        let (piece, next) = match read {
            Some((piece, next)) => (Some(Ok(piece)), Some(next)),
            None => (None, None),
        };
        self.0 = next;
        Poll::Ready(piece)
    }
}
