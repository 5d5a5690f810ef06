//! Heartbeats: when each source last gave its sign of life.
//!
//! Never: moves back.

use jiff::Timestamp;

use super::db::{Connection, query};
use super::image::Part;
use super::open::Store;
use super::rows::{Columns, ms};
use super::writer::Tx;
use super::{Doing, StoreError};

impl Tx {
    /// Notes a heartbeat. Returns the one before.
    pub async fn note_heartbeat(
        &mut self,
        source: &str,
        at: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let before = last(self.db().await?, source).await?;
        query(
            "INSERT INTO heartbeat (source, last_at) VALUES (?, ?) \
             ON CONFLICT (source) DO UPDATE SET last_at = max(heartbeat.last_at, excluded.last_at)",
        )
        .bind(source)
        .bind(ms(at))
        .execute(self.changing(Part::Heartbeats).await?)
        .await
        .doing("noting a heartbeat")?;
        Ok(before)
    }
}

impl Store {
    /// The last heartbeat of a source; `None` when there never was one.
    pub async fn last_heartbeat(&self, source: &str) -> Result<Option<Timestamp>, StoreError> {
        let mut connection = self.readers.acquire().await.doing("taking a reader")?;
        last(&mut connection, source).await
    }
}

/// The last heartbeat of a source.
pub(super) async fn last(connection: &mut Connection, source: &str) -> Result<Option<Timestamp>, StoreError> {
    let row = query("SELECT last_at FROM heartbeat WHERE source = ?")
        .bind(source)
        .fetch_optional(connection)
        .await
        .doing("reading a heartbeat")?;
    row.map(|row| row.time("last_at")).transpose()
}
