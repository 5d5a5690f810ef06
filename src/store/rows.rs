//! Reading and writing the values of rows.
//!
//! Never: invents a value for one that cannot be read.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::StoreError;

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

impl Columns for SqliteRow {
    fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.try_get(column).map_err(|_error| StoreError::Unreadable { what: column })
    }

    fn text_opt(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        self.try_get(column).map_err(|_error| StoreError::Unreadable { what: column })
    }

    fn int(&self, column: &'static str) -> Result<i64, StoreError> {
        self.try_get(column).map_err(|_error| StoreError::Unreadable { what: column })
    }

    fn int_opt(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        self.try_get(column).map_err(|_error| StoreError::Unreadable { what: column })
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
