//! Queries for people: audit, deliveries, incidents, remediations, servers. Keyset pages, newest first.
//!
//! Never: writes, keeps a row stream open across a wait, or takes a connection that the work waits for.

mod audit;
mod deliveries;
mod figures;
mod guards;
mod outbox;
mod record;
mod remediations;
mod servers;
mod trends;
mod why;

use serde::Serialize;

pub use audit::{AuditFilter, AuditItem};
pub(super) use audit::{audit_after, audit_of_kinds};
pub use deliveries::{AlertRow, DecisionCount, DeliveryDetail, DeliverySummary};
pub use figures::StoreCounts;
pub use guards::{ResetRow, StormRow};
pub use outbox::{MessageRow, MessageState, ReceiverState};
pub use record::{Record, RecordPlace, RecordedAlert, RecordedLife, RecordedPage, Span};
pub use remediations::{AttemptRow, IncidentRow, RemediationRow};
pub use servers::{ServerMarks, ServerRow};
pub use trends::AlertCounts;
pub use why::{LastWord, UnreadableDelivery};

/// Most rows in a page.
pub const PAGE_MAX: i64 = 1000;

/// Which page is wanted.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// Rows at most; clamped to 1..=1000.
    pub limit: i64,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// Oldest first instead of newest first.
    pub ascending: bool,
}

/// One page.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; `None` at the end.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A list that is short enough to come whole.
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, next_cursor: None }
    }
}

fn cut<T>(mut items: Vec<T>, limit: i64, cursor: impl Fn(&T) -> String) -> Page<T> {
    let limit = usize::try_from(limit).unwrap_or(1);
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = if more { items.last().map(cursor) } else { None };
    Page { items, next_cursor }
}

fn limit_of(page: &PageRequest) -> i64 {
    page.limit.clamp(1, PAGE_MAX)
}
