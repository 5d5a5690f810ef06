//! Exports: the audit as one long answer, read from the store page by page as the client takes it.
//!
//! Never: keeps a row stream open while the client is slow, or lets a cell be read as a formula.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;

use crate::export::{ExportError, csv, ndjson};
use crate::service::Service;
use crate::store::{AuditFilter, AuditItem, Page, PageRequest, StoreError};
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

type Reading = Pin<Box<dyn Future<Output = Result<Page<AuditItem>, StoreError>>>>;

/// The body of an export.
pub(super) struct Export {
    service: Arc<Service>,
    filter: AuditFilter,
    page: PageRequest,
    left: usize,
    format: Format,
    begun: bool,
    reading: Option<Reading>,
}

impl Export {
    pub(super) fn new(
        service: Arc<Service>,
        filter: AuditFilter,
        page: PageRequest,
        rows: usize,
        format: Format,
    ) -> Self {
        Self { service, filter, page, left: rows, format, begun: false, reading: None }
    }

    fn read_on(&self) -> Reading {
        let (service, filter, page) = (Arc::clone(&self.service), self.filter.clone(), self.page.clone());
        Box::pin(async move { service.store.audit(&filter, &page).await })
    }

    /// The page as text. Notes where the next one begins; with `left` at zero there is none.
    fn take(&mut self, mut page: Page<AuditItem>) -> Result<Bytes, BrokenOff> {
        page.items.truncate(self.left);
        self.left = match &page.next_cursor {
            Some(_) => self.left - page.items.len(),
            None => 0,
        };
        self.page.cursor = page.next_cursor;
        let with_header = !std::mem::replace(&mut self.begun, true);
        let text = match self.format {
            Format::Ndjson => ndjson(&page.items)?,
            Format::Csv => csv(&page.items, with_header)?,
        };
        Ok(text.into())
    }
}

/// Why an export broke off. The client sees an answer without its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokenOff {
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Form(#[from] ExportError),
}

impl MessageBody for Export {
    type Error = BrokenOff;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        while self.left > 0 {
            let mut reading = self.reading.take().unwrap_or_else(|| self.read_on());
            let Poll::Ready(page) = reading.as_mut().poll(cx) else {
                self.reading = Some(reading);
                return Poll::Pending;
            };
            let text = page.map_err(BrokenOff::from).and_then(|page| self.take(page));
            match text {
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
