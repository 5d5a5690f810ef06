//! A backtest over a store: its record read page by page, one page ahead of the replay.
//!
//! Never: takes longer than it may; what it did not reach is said in the report.

use std::time::Instant;

use jiff::Timestamp;

use super::report::Report;
use super::{Replay, Wish};
use crate::config::Config;
use crate::domain::limits::{earlier, look_back};
use crate::store::{RecordPlace, RecordedPage, Store, StoreError};

/// Alerts that are read at once.
const PAGE: i64 = 4000;

/// Which part of the record is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Alerts from here.
    pub since: Timestamp,
    /// Now.
    pub now: Timestamp,
    /// A mode to replay in.
    pub wish: Option<Wish>,
    /// Where it is cut short.
    pub cut: Cut,
}

/// Where a backtest is cut short.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cut {
    /// After so many alerts.
    pub alerts: Option<u64>,
    /// At this time.
    pub at: Option<Instant>,
}

impl Cut {
    fn now(self, alerts: u64) -> Option<&'static str> {
        if self.alerts.is_some_and(|most| alerts >= most) {
            Some("so many alerts were replayed as one request may ask for")
        } else if self.at.is_some_and(|at| Instant::now() >= at) {
            Some("the time that one request may take was over")
        } else {
            None
        }
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Alerts that were replayed.
    pub done: u64,
    /// Alerts of the range.
    pub of: u64,
}

/// Replays the recorded alerts of a store by the rules of a configuration.
pub async fn run(
    store: &Store,
    config: &Config,
    wanted: &Wanted,
    mut told: impl FnMut(Progress),
) -> Result<Report, StoreError> {
    let attempts_since = earlier(wanted.since, look_back(&config.rules));
    let record = store.record_since(wanted.since, attempts_since).await?;
    let mut replay = Replay::new(config, wanted.wish.as_ref(), record, wanted.since);
    let (last, whole) = store.recorded_range(wanted.since).await?.unwrap_or((wanted.since, 0));
    let whole = u64::try_from(whole).unwrap_or(0);
    let (mut done, mut cut) = (0_u64, None);
    let begin = RecordPlace { at: wanted.since, id: String::new(), last };
    let mut page = store.recorded_alerts(&begin, PAGE).await?;
    while let Some(RecordedPage { after, alerts }) = page {
        cut = wanted.cut.now(done);
        if cut.is_some() {
            break;
        }
        done += u64::try_from(alerts.len()).unwrap_or(0);
        let work = tokio::task::spawn_blocking(move || {
            replay.feed(&alerts);
            replay
        });
        let next = store.recorded_alerts(&after, PAGE);
        let (worked, next) = tokio::join!(work, next);
        replay = worked.map_err(|_stopped| StoreError::Stopped)?;
        page = next?;
        told(Progress { done, of: whole });
    }
    let until = if cut.is_some() { wanted.since } else { wanted.now };
    let mut report = replay.finish(until);
    report.alerts_in_range = whole.max(report.alerts);
    report.complete = cut.is_none();
    report.cut = cut;
    Ok(report)
}
