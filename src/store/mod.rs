//! The store: the only SQL. One SQLite file, one writer, several readers.
//!
//! Never: decides anything, or holds a transaction across a network call.

mod activity;
mod attempts;
mod audit;
mod db;
mod deliveries;
mod disk;
mod facts;
mod files;
mod fires;
mod guards;
mod guest;
mod hands;
mod heartbeat;
mod image;
mod incidents;
mod lease;
mod lock;
mod open;
mod outbox;
mod packed;
mod postgres;
mod quarantine;
mod query;
mod remediations;
mod renewals;
mod rows;
mod schema;
mod servers;
mod state;
mod transfer;
mod turn;
mod verify;
mod waiting;
mod wal;
mod writer;

pub use activity::{ActivitySeen, ENTRIES_KEPT};
pub use attempts::{AttemptOutcome, Intent, OpenAttempt};
pub use deliveries::{AlertDecision, BodyKey, DeliveryRow, NewDelivery, SAME_DELIVERY_WITHIN, StoredAnswer};
pub use disk::{Ballast, free_bytes};
pub use facts::{FactSource, FactsWanted};
pub use guards::{GuardsWanted, StandingRow};
pub use guest::{NewAttestation, Provable};
pub use hands::{IdempotentAnswer, NewHold, NewSilence, SettlementRow};
pub use image::Remembered;
pub use incidents::JoinedIncident;
pub use lease::{LeaseRow, Replica};
pub use lock::{DataLock, LockError};
pub use open::{OpenError, Store};
pub use outbox::{ForReceiver, NewMessage, Tried, Waiting};
pub use packed::{KeptBody, unpack};
pub use quarantine::{Forgotten, History, OpenQuarantine, StoreIdentity};
pub use query::{
    AlertCounts, AlertRow, AttemptRow, AuditFilter, AuditItem, DecisionCount, DeliveryDetail,
    DeliverySummary, IncidentRow, LastWord, MessageRow, MessageState, PAGE_MAX, Page, PageRequest,
    ReceiverState, Record, RecordPlace, RecordedAlert, RecordedLife, RecordedPage, RemediationRow, ResetRow,
    ServerMarks, ServerRow, Span, StoreCounts, StormRow, UnreadableDelivery,
};
pub use remediations::{Move, NewRemediation, Remediation};
pub use renewals::Renewal;
pub use servers::{InventoryAge, PendingAlert};
pub use transfer::MovedTable;
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
        /// What the database said.
        why: String,
        /// Its code, where it gave one.
        code: Option<Code>,
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
    /// The connection broke while a commit was under way: it may have been kept, and it may not. Nothing is tried again.
    #[error("nobody knows whether the store has kept what was written")]
    InDoubt {
        /// What was seen of it.
        #[source]
        source: sqlx::Error,
    },
    /// The store knows less than it did: another server answers for it, or an older copy of it. Nothing is written.
    #[error("the store is not the one that was written to before: {why}")]
    WentBack {
        /// How that is known.
        why: String,
    },
    /// Another process has begun to own the store's file. Nothing is written.
    #[error("another process owns the store now, as number {epoch}")]
    Fenced {
        /// Its number.
        epoch: i64,
    },
    /// It cannot be moved to another place; nothing of it was.
    #[error("the store cannot be moved: {why}")]
    Unmovable {
        /// What stands against it.
        why: String,
    },
    /// The same error as that of another job of the batch.
    #[error("{said}")]
    Shared {
        /// What it says.
        said: String,
        /// The database's code, where it gave one.
        code: Option<Code>,
    },
    /// A transaction that shared the batch failed, and so did this one alone.
    #[error("the store could not commit")]
    Commit {
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
}

/// What a database says of an error, as far as anybody here asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The disk failed.
    Io,
    /// The disk is full.
    Full,
}

impl StoreError {
    /// The disk failed. An fsync may report that only once: nobody can trust the file until a person has looked.
    pub fn is_io(&self) -> bool {
        self.code() == Some(Code::Io)
    }

    /// The disk is full. It heals by itself once there is room.
    pub fn is_full(&self) -> bool {
        self.code() == Some(Code::Full)
    }

    /// Nobody knows any more what the store holds: this process must not go on with it.
    fn is_doubt(&self) -> bool {
        matches!(self, Self::InDoubt { .. } | Self::WentBack { .. } | Self::Fenced { .. })
    }

    /// It concerns every job of a batch, and would concern each of them alone.
    fn is_for_all(&self) -> bool {
        self.is_doubt() || matches!(self, Self::NotBegun { .. })
    }

    /// The same error for another job.
    fn for_another(&self) -> Self {
        match self {
            Self::NotBegun { why, code } => Self::NotBegun { why: why.clone(), code: *code },
            Self::WentBack { why } => Self::WentBack { why: why.clone() },
            Self::Fenced { epoch } => Self::Fenced { epoch: *epoch },
            other @ (Self::Query { .. }
            | Self::Unreadable { .. }
            | Self::Stopped
            | Self::NoKey { .. }
            | Self::Unwritten
            | Self::InDoubt { .. }
            | Self::Unmovable { .. }
            | Self::Shared { .. }
            | Self::Commit { .. }) => {
                Self::Shared { said: crate::telemetry::chain(other), code: other.code() }
            }
        }
    }

    fn code(&self) -> Option<Code> {
        match self {
            Self::Query { source, .. } | Self::Commit { source } | Self::InDoubt { source } => {
                error_code(source)
            }
            Self::NotBegun { code, .. } | Self::Shared { code, .. } => *code,
            Self::Unreadable { .. }
            | Self::NoKey { .. }
            | Self::Unwritten
            | Self::WentBack { .. }
            | Self::Fenced { .. }
            | Self::Unmovable { .. }
            | Self::Stopped => None,
        }
    }
}

/// What SQLite's result code (<https://www.sqlite.org/rescode.html>) or PostgreSQL's error code
/// (<https://www.postgresql.org/docs/15/errcodes-appendix.html>) says of a disk.
fn error_code(error: &sqlx::Error) -> Option<Code> {
    let error = error.as_database_error()?;
    if let Some(error) = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        return match error.code() {
            "53100" => Some(Code::Full),
            "58030" => Some(Code::Io),
            _ => None,
        };
    }
    // More is in the higher bytes.
    match error.code()?.parse::<u32>().ok()? & 0xff {
        SQLITE_FULL => Some(Code::Full),
        SQLITE_IOERR => Some(Code::Io),
        _ => None,
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
