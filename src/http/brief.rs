//! The brief form of the event stream: how far the audit has come, for pages that read themselves again.
//!
//! Never: a row, or more than a few words in a quarter of a second, however much happens and however many follow.

use std::time::Duration;

use actix_web::web::{Bytes, Data};
use tokio::sync::watch;
use tokio::time::{Instant, Interval};

use super::auth::Admission;
use super::door::Door;
use super::people::Share;
use super::stream::Reading;

/// What is committed within this time is told at once.
const PACE: Duration = Duration::from_millis(250);
/// While things go on happening each stream is told no more often than this times the streams that are open: pages that
/// are read again must not take the machine from the senders. What follows a pause is told without it.
const SHARE: Duration = Duration::from_millis(20);
/// Longest that a page is left behind.
const BEHIND_MAX: Duration = Duration::from_secs(5);

/// One open stream.
pub(super) struct Places {
    pub(super) door: Data<Door>,
    pub(super) admission: Admission,
    pub(super) news: watch::Receiver<i64>,
    /// Everything up to here was told.
    pub(super) cursor: i64,
    pub(super) beat: Interval,
    pub(super) opening: Option<Bytes>,
    /// When it was last told.
    pub(super) told_at: Option<Instant>,
    pub(super) seat: Share,
}

impl Places {
    pub(super) fn read_on(mut self) -> Reading {
        Reading::of(async move {
            let piece = self.next().await?;
            Some((piece, self.read_on()))
        })
    }

    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(opening) = self.opening.take() {
            return Some(opening);
        }
        let Self { door, news, cursor, beat, .. } = self;
        let moved = tokio::select! {
            biased;
            () = door.service.stopping.cancelled() => return None,
            _ = beat.tick() => false,
            moved = news.wait_for(|newest| *newest > *cursor) => moved.ok().map(|_newest| true)?,
        };
        if !moved {
            let sign = || format!(": still here\nid: {}\n\n", self.cursor).into();
            return self.admission.holds(&self.door).then(sign);
        }
        let earliest = Instant::now() + PACE;
        let share = self.seat.times_open(SHARE).min(BEHIND_MAX);
        let at = self.told_at.map_or(earliest, |told_at| earliest.max(told_at + share));
        tokio::select! {
            () = self.door.service.stopping.cancelled() => return None,
            () = tokio::time::sleep_until(at) => {}
        }
        self.told_at = Some(Instant::now());
        self.cursor = *self.news.borrow();
        Some(format!("id: {0}\nevent: news\ndata: {0}\n\n", self.cursor).into())
    }
}
