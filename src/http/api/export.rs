//! Exports: the audit as one long answer, read from the store page by page as the client takes it.
//!
//! Never: keeps rows or a connection of the store while the client is slow, goes before the writer, or lets a cell be read as a formula.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::{Bytes, Data};

use super::super::door::Door;
use super::super::people::Share;
use crate::export::{ExportError, csv, ndjson};
use crate::store::{AuditFilter, Page, PageRequest, Store, StoreError};
use crate::telemetry::chain;

/// Form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180 with a header row.
    Csv,
}

impl Format {
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }
}

/// A page as text, its rows, and where the next one begins.
struct Written {
    text: Bytes,
    rows: usize,
    next: Option<String>,
}

type Reading = Pin<Box<dyn Future<Output = Result<Written, BrokenOff>>>>;

/// Jobs that wait for the writer go first, for so long.
const GIVE_WAY_MAX: Duration = Duration::from_millis(250);
/// Gap between two looks whether they still wait.
const GIVE_WAY: Duration = Duration::from_millis(5);

/// The body of an export.
pub(super) struct Export {
    door: Data<Door>,
    _share: Share,
    filter: AuditFilter,
    page: PageRequest,
    left: usize,
    format: Format,
    begun: bool,
    reading: Option<Reading>,
}

impl Export {
    pub(super) fn new(
        door: Data<Door>,
        share: Share,
        (filter, page): (AuditFilter, PageRequest),
        rows: usize,
        format: Format,
    ) -> Self {
        Self { door, _share: share, filter, page, left: rows, format, begun: false, reading: None }
    }

    /// Reads a page and writes it. The rows are gone before the client is waited for, and so is the connection.
    fn read_on(&self) -> Reading {
        let (door, filter, page) = (self.door.clone(), self.filter.clone(), self.page.clone());
        let (left, format, with_header) = (self.left, self.format, !self.begun);
        Box::pin(async move {
            let _turn = door.people.export_turn.acquire().await;
            let service = &door.service;
            if service.stopping.is_cancelled() {
                return Err(BrokenOff::Stopping);
            }
            give_way(&service.store).await;
            let Page { mut items, next_cursor } = service.store.audit(&filter, &page).await?;
            items.truncate(left);
            let text = match format {
                Format::Ndjson => ndjson(&items)?,
                Format::Csv => csv(&items, with_header)?,
            };
            Ok(Written { text: text.into(), rows: items.len(), next: next_cursor })
        })
    }

    /// Notes where the next page begins; with `left` at zero there is none.
    fn take(&mut self, written: Written) -> Bytes {
        self.left = match &written.next {
            Some(_) => self.left - written.rows,
            None => 0,
        };
        self.page.cursor = written.next;
        self.begun = true;
        written.text
    }
}

/// An export has time: whoever wants to write has not.
async fn give_way(store: &Store) {
    let until = Instant::now() + GIVE_WAY_MAX;
    while store.waiting() > 0 && Instant::now() < until {
        tokio::time::sleep(GIVE_WAY).await;
    }
}

/// Why an export broke off. The client sees an answer without its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokenOff {
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Form(#[from] ExportError),
    #[error("the service is stopping")]
    Stopping,
}

impl MessageBody for Export {
    type Error = BrokenOff;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        while self.left > 0 {
            let mut reading = self.reading.take().unwrap_or_else(|| self.read_on());
            let Poll::Ready(written) = reading.as_mut().poll(cx) else {
                self.reading = Some(reading);
                return Poll::Pending;
            };
            match written.map(|written| self.take(written)) {
                // An empty chunk would end the answer.
                Ok(text) if text.is_empty() => {}
                Ok(text) => return Poll::Ready(Some(Ok(text))),
                Err(error) => {
                    self.left = 0;
                    tracing::error!(error = %chain(&error), "an export broke off");
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        Poll::Ready(None)
    }
}
