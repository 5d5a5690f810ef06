//! The store: the only SQL. One SQLite file, one writer, several readers.
//!
//! Never: decides anything, or holds a transaction across a network call.

mod activity;
mod attempts;
mod audit;
mod deliveries;
mod disk;
mod facts;
mod guards;
mod guest;
mod hands;
mod heartbeat;
mod image;
mod incidents;
mod lock;
mod open;
mod outbox;
mod packed;
mod quarantine;
mod query;
mod remediations;
mod rows;
mod servers;
mod state;
mod verify;
mod waiting;
mod wal;
mod writer;

pub use activity::ActivitySeen;
pub use attempts::{AttemptOutcome, Intent, OpenAttempt};
pub use deliveries::{AlertDecision, DeliveryRow, NewDelivery, SAME_DELIVERY_WITHIN, StoredAnswer};
pub use disk::{Ballast, free_bytes};
pub use facts::{FactSource, FactsWanted};
pub use guards::{GuardsWanted, StandingRow};
pub use guest::{NewAttestation, Provable};
pub use hands::{IdempotentAnswer, NewHold, NewSilence, SettlementRow};
pub use image::Remembered;
pub use incidents::JoinedIncident;
pub use lock::{DataLock, LockError};
pub use open::{OpenError, Store};
pub use outbox::{ForReceiver, NewMessage, Tried, Waiting};
pub use packed::unpack;
pub use quarantine::{Forgotten, History, OpenQuarantine, StoreIdentity};
pub use query::{
    AlertCounts, AlertRow, AttemptRow, AuditFilter, AuditItem, DecisionCount, DeliveryDetail,
    DeliverySummary, IncidentRow, LastWord, MessageRow, MessageState, PAGE_MAX, Page, PageRequest,
    ReceiverState, Record, RecordedAlert, RecordedLife, RemediationRow, ResetRow, ServerMarks, ServerRow,
    Span, StoreCounts, StormRow, UnreadableDelivery,
};
pub use remediations::{Move, NewRemediation, Remediation};
pub use servers::{InventoryAge, PendingAlert};
pub use verify::{inspect, verify_chain};
pub use writer::{CommitStats, Tx, TxFuture};

/// Primary result code of a full disk (<https://www.sqlite.org/rescode.html>).
const SQLITE_FULL: u32 = 13;
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
    /// No transaction could be begun: the store is locked, full or gone. Nothing of the job was run.
    #[error("the store could not begin a transaction: {why}")]
    NotBegun {
        /// What SQLite said.
        why: String,
        /// Its primary result code, where it gave one.
        code: Option<u32>,
    },
    /// The audit has keyed rows, and this process was given no key.
    #[error("the audit is hashed with key {key_id} and no key is configured; set audit.key_file")]
    NoKey {
        /// Key of the last row.
        key_id: String,
    },
    /// Rows were lost on their way into the transaction; nothing of it was kept.
    #[error("the store lost rows that waited to be written")]
    Unwritten,
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
        self.code() == Some(SQLITE_IOERR)
    }

    /// The disk is full. It heals by itself once there is room.
    pub fn is_full(&self) -> bool {
        self.code() == Some(SQLITE_FULL)
    }

    /// SQLite's primary result code, where it gave one.
    fn code(&self) -> Option<u32> {
        match self {
            Self::Query { source, .. } | Self::Commit { source } => primary_code(source),
            Self::NotBegun { code, .. } => *code,
            Self::Unreadable { .. } | Self::NoKey { .. } | Self::Unwritten | Self::Stopped => None,
        }
    }
}

/// The primary result code of an error (<https://www.sqlite.org/rescode.html>).
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code)?;
    code.parse::<u32>().ok().map(|code| code & 0xff)
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
