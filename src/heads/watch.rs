//! Watch: verifies the chain of the audit beside the work, a few rows at a time, and keeps how far it has come.
//!
//! Never: writes, stops sending, or keeps the store busy for longer than one short read. Heads are not compared here: a
//! chain that was rewritten as a whole shows in `unhang audit verify` only.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::domain::chain::{ChainFault, ChainSeen, Inspection};
use crate::service::Service;
use crate::store::StoreError;
use crate::telemetry::chain;

/// Rows that are read and hashed without a pause.
const SLICE: i64 = 200;
/// Pause between two slices: what people and senders want goes first.
const BREATH: Duration = Duration::from_millis(10);
/// Gap between two looks at the end.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// A row that was verified may be changed later: all of them are walked again.
const WALK_AGAIN: Duration = Duration::from_hours(24);

/// How one step went.
enum Step {
    /// There are more rows.
    More,
    /// These were the last for now.
    End,
    /// Something is wrong.
    Broken(ChainFault),
}

/// Runs until the service stops.
pub async fn run(service: Arc<Service>) {
    while !service.stopping.is_cancelled() {
        walk(&service).await;
    }
}

/// One walk from the first row on, which then follows the end.
async fn walk(service: &Service) {
    let mut inspection = Inspection::new(service.config().audit.ring(), &[], false);
    let begun = Instant::now();
    while begun.elapsed() < WALK_AGAIN {
        let pause = match step(service, &mut inspection).await {
            Ok(Step::More) => {
                note(service, &inspection, false);
                BREATH
            }
            Ok(Step::End) => {
                note(service, &inspection, true);
                LOOK_AGAIN
            }
            Ok(Step::Broken(fault)) => {
                tracing::error!(seq = fault.seq, what = fault.what, "the chain of the audit is broken");
                let (seq, at) = (inspection.last_seq(), Some(service.clock.now()));
                service.note_chain(ChainSeen { seq, at, complete: false, fault: Some(fault) });
                WALK_AGAIN.saturating_sub(begun.elapsed())
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the audit could not be read to verify it");
                LOOK_AGAIN
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = service.stopping.cancelled() => return,
        }
    }
}

async fn step(service: &Service, inspection: &mut Inspection) -> Result<Step, StoreError> {
    // Asked first: rows that come meanwhile must not look like missing ones.
    let ever = service.store.audit_ever().await?;
    let seen = inspection.last_seq();
    if ever < seen {
        let what = format!("the last row is {ever}, but row {seen} was there: the end was cut off");
        return Ok(Step::Broken(ChainFault { seq: ever + 1, what }));
    }
    let rows = service.store.audit_between(seen, i64::MAX, SLICE).await?;
    let more = i64::try_from(rows.len()).is_ok_and(|count| count == SLICE);
    let whole = rows.iter().all(|row| inspection.take(&row.link()));
    if whole && more {
        return Ok(Step::More);
    }
    Ok(inspection.fault_at_end(ever).map_or(Step::End, Step::Broken))
}

/// Notes how far it has come. A second walk says nothing new before it has passed the first, and a fault stays until a
/// whole walk has found none.
fn note(service: &Service, inspection: &Inspection, at_end: bool) {
    let before = service.chain();
    let (seq, now) = (inspection.last_seq(), service.clock.now());
    if at_end || (before.fault.is_none() && seq > before.seq) {
        let complete = at_end || before.complete;
        service.note_chain(ChainSeen { seq, at: Some(now), complete, fault: None });
    }
}
