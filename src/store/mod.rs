//! The store: the only SQL. One SQLite file, one writer, several readers.
//!
//! Never: decides anything, or holds a transaction across a network call.

mod attempts;
mod audit;
mod deliveries;
mod facts;
mod hands;
mod incidents;
mod lock;
mod open;
mod query;
mod remediations;
mod rows;
mod servers;
mod state;
mod verify;
mod writer;

pub use attempts::{AttemptOutcome, Intent, OpenAttempt};
pub use deliveries::{AlertDecision, DeliveryRow, NewDelivery, SAME_DELIVERY_WITHIN, StoredAnswer};
pub use facts::{FactSource, FactsWanted};
pub use hands::{IdempotentAnswer, NewHold, NewSilence, SettlementRow};
pub use incidents::JoinedIncident;
pub use lock::{DataLock, LockError};
pub use open::{OpenError, Store};
pub use query::{
    AlertRow, AttemptRow, AuditFilter, AuditItem, DeliveryDetail, DeliverySummary, IncidentRow, PAGE_MAX,
    Page, PageRequest, RemediationRow, ServerRow, StoreCounts,
};
pub use remediations::{Move, NewRemediation, Remediation};
pub use servers::{InventoryAge, PendingAlert};
pub use verify::{inspect, verify_chain};
pub use writer::{CommitStats, Tx, TxFuture};

/// Primary result code of an I/O error (<https://www.sqlite.org/rescode.html>).
const SQLITE_IOERR: u32 = 10;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused.
    #[error("the store failed while {doing}")]
    Query {
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// A row holds something that this version cannot read.
    #[error("the store holds an unreadable {what}")]
    Unreadable {
        /// Which value.
        what: &'static str,
    },
    /// The writer has stopped; the service is ending.
    #[error("the store's writer has stopped")]
    Stopped,
    /// The audit has keyed rows, and this process was given no key.
    #[error("the audit is hashed with key {key_id} and no key is configured; set audit.key_file")]
    NoKey {
        /// Key of the last row.
        key_id: String,
    },
    /// A transaction that shared the batch failed, and so did this one alone.
    #[error("the store could not commit")]
    Commit {
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
}

impl StoreError {
    /// The disk failed. An fsync may report that only once: nobody can trust the file until a person has looked.
    pub fn is_io(&self) -> bool {
        let source = match self {
            Self::Query { source, .. } | Self::Commit { source } => source,
            Self::Unreadable { .. } | Self::NoKey { .. } | Self::Stopped => return false,
        };
        let code = source.as_database_error().and_then(sqlx::error::DatabaseError::code);
        code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == SQLITE_IOERR)
    }
}

/// Names what was being done when SQLite refused.
trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError>;
}

impl<T> Doing<T> for Result<T, sqlx::Error> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Query { doing, source })
    }
}
