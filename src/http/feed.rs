//! Feed: new audit rows, read once per wake and handed to everybody who follows them.
//!
//! Never: waits for a reader, keeps more than its ring, or is what a reader relies on; each can read the store itself.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Bytes;
use tokio::sync::broadcast;

use crate::store::{AuditItem, Store, StoreError};
use crate::telemetry::chain;

/// Rows of one page, and of one batch at most.
pub(super) const ROWS_MAX: i64 = 100;
/// A batch is closed once it is this long: it is what a reader that stalls keeps in memory.
const BATCH_BYTES: usize = 64 * 1024;
/// Batches that are kept for readers who are late; whoever is later reads the store.
const RING: usize = 64;
/// Rest between two readings, so that a burst becomes few batches. The first event after a rest is told at once.
const REST: Duration = Duration::from_millis(100);
/// Rest after the store failed.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// One audit row as it goes out.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) seq: i64,
    pub(super) kind: String,
    pub(super) server: Option<String>,
    pub(super) remediation: Option<String>,
    pub(super) incident: Option<String>,
    pub(super) text: Bytes,
}

impl Event {
    /// Writes a row in the form of server-sent events.
    pub(super) fn of(item: &AuditItem) -> Result<Self, serde_json::Error> {
        Ok(Self {
            seq: item.seq,
            kind: item.event.kind.clone(),
            server: item.event.server_instance_no.clone(),
            remediation: item.event.remediation_id.clone(),
            incident: item.event.incident_id.clone(),
            text: written(item.seq, &item.event.kind, &serde_json::to_string(item)?).into(),
        })
    }
}

/// A line end would end the field, so each line of a text becomes a field of its own.
fn written(seq: i64, kind: &str, data: &str) -> String {
    let mut text = format!("id: {seq}\nevent: {kind}\n");
    for line in data.split(['\n', '\r']) {
        text.push_str("data: ");
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
    text
}

/// Rows one behind the other.
#[derive(Debug)]
pub(super) struct Batch {
    /// Place of the row before the first.
    pub(super) after: i64,
    /// Place of the last row.
    pub(super) last: i64,
    /// The rows; never none.
    pub(super) events: Vec<Event>,
    /// All of them as one text.
    pub(super) text: Bytes,
}

/// Shared by all streams of one server.
#[derive(Debug)]
pub(super) struct Feed {
    batches: broadcast::Sender<Arc<Batch>>,
}

impl Feed {
    pub(super) fn new() -> Self {
        Self { batches: broadcast::Sender::new(RING) }
    }

    /// Batches from now on. Whoever looks at the news of the store afterwards misses nothing: what is not among the
    /// batches was committed before.
    pub(super) fn batches(&self) -> broadcast::Receiver<Arc<Batch>> {
        self.batches.subscribe()
    }

    /// Reads and tells for as long as the server runs. Nothing is read while nobody follows.
    pub(super) async fn run(&self, store: Store) -> Infallible {
        let mut news = store.news();
        let mut told = *news.borrow_and_update();
        loop {
            let newest = *news.borrow_and_update();
            if told >= newest {
                if news.changed().await.is_err() {
                    // The writer has ended, and with it all news.
                    return std::future::pending().await;
                }
                continue;
            }
            if self.batches.receiver_count() == 0 {
                told = newest;
                continue;
            }
            let rest = match self.tell(&store, &mut told, newest).await {
                Ok(()) => REST,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "new events could not be read; they are read again");
                    REST_AFTER_FAILURE
                }
            };
            tokio::time::sleep(rest).await;
        }
    }

    async fn tell(&self, store: &Store, told: &mut i64, newest: i64) -> Result<(), StoreError> {
        while *told < newest {
            let items = store.audit_between(*told, newest, ROWS_MAX).await?;
            if items.is_empty() {
                *told = newest;
            }
            let mut events = Vec::new();
            let mut bytes = 0;
            for item in &items {
                let Ok(event) = Event::of(item) else { continue };
                bytes += event.text.len();
                events.push(event);
                if bytes >= BATCH_BYTES {
                    self.send(told, std::mem::take(&mut events));
                    bytes = 0;
                }
            }
            self.send(told, events);
        }
        Ok(())
    }

    fn send(&self, told: &mut i64, events: Vec<Event>) {
        let Some(last) = events.last().map(|event| event.seq) else { return };
        let text = together(&events);
        let batch = Batch { after: *told, last, events, text };
        *told = last;
        // Nobody follows any more.
        drop(self.batches.send(Arc::new(batch)));
    }
}

/// The texts of events as one.
pub(super) fn together<'a>(events: impl IntoIterator<Item = &'a Event>) -> Bytes {
    let mut all = Vec::new();
    for event in events {
        all.extend_from_slice(&event.text);
    }
    all.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_a_text_ends_its_event() {
        let text = written(7, "alert_decided", "{\"detail\":{\n\"a\":1,\r\"b\":2}}");
        assert_eq!(
            text,
            "id: 7\nevent: alert_decided\ndata: {\"detail\":{\ndata: \"a\":1,\ndata: \"b\":2}}\n\n"
        );
    }
}
