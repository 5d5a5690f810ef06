//! Reading and writing the values of rows.
//!
//! Never: invents a value for one that cannot be read.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::StoreError;
use super::db::Row;

/// Milliseconds of a time.
pub(super) fn ms(at: Timestamp) -> i64 {
    at.as_millisecond()
}

/// Milliseconds of a time, rounded up: an end is not earlier than it was said.
pub(super) fn ms_up(at: Timestamp) -> i64 {
    let part = i64::from(at.subsec_nanosecond() % 1_000_000 > 0);
    at.as_millisecond() + part
}

/// Milliseconds of a time that may be missing.
pub(super) fn ms_opt(at: Option<Timestamp>) -> Option<i64> {
    at.map(ms)
}

/// JSON text of a value.
pub(super) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_error| StoreError::Unreadable { what: "value to write" })
}

/// Value of a JSON text.
pub(super) fn from_json<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_error| StoreError::Unreadable { what })
}

/// Time of milliseconds.
pub(super) fn at(ms: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(ms).map_err(|_error| StoreError::Unreadable { what: "time" })
}

/// Typed access to columns, with our error.
pub(super) trait Columns {
    fn text(&self, column: &'static str) -> Result<String, StoreError>;
    fn text_opt(&self, column: &'static str) -> Result<Option<String>, StoreError>;
    fn int(&self, column: &'static str) -> Result<i64, StoreError>;
    fn int_opt(&self, column: &'static str) -> Result<Option<i64>, StoreError>;
    fn time(&self, column: &'static str) -> Result<Timestamp, StoreError>;
    fn time_opt(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError>;
    fn value<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError>;
}

impl Columns for Row {
    fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.get(column).map_err(|_error| StoreError::Unreadable { what: column })
    }

    fn text_opt(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        self.get(column).map_err(|_error| StoreError::Unreadable { what: column })
    }

    fn int(&self, column: &'static str) -> Result<i64, StoreError> {
        self.get(column).map_err(|_error| StoreError::Unreadable { what: column })
    }

    fn int_opt(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        self.get(column).map_err(|_error| StoreError::Unreadable { what: column })
    }

    fn time(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        at(self.int(column)?)
    }

    fn time_opt(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        self.int_opt(column)?.map(at).transpose()
    }

    fn value<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        from_json(&self.text(column)?, column)
    }
}

/// Hash of what a person decides about when a remediation waits for them: which server, under which policy, for which
/// alert, asked by whom, as of which version. An approval names it, and is good for nothing else.
pub(super) fn decision_hash(row: &Row) -> Result<String, StoreError> {
    let mut hasher = Sha256::new();
    for column in ["id", "server", "policy", "policy_hash", "source", "alert", "trace_id"] {
        let text = row.text(column)?;
        hasher.update(text.len().to_be_bytes());
        hasher.update(text.as_bytes());
    }
    for column in ["requested_by", "replay_of", "delivery_id"] {
        let text = row.text_opt(column)?;
        hasher.update([u8::from(text.is_some())]);
        let text = text.unwrap_or_default();
        hasher.update(text.len().to_be_bytes());
        hasher.update(text.as_bytes());
    }
    for column in ["version", "needs_person", "created_at"] {
        hasher.update(row.int(column)?.to_be_bytes());
    }
    Ok(hex::encode(hasher.finalize()))
}
