//! The lease: which replica dispatches, until when by the server's clock, and under which configuration.
//!
//! Never: is renewed by a replica that was replaced.

use std::time::Duration;

use jiff::Timestamp;

use super::db::{query, query_scalar};
use super::open::Store;
use super::rows::Columns as _;
use super::writer::Tx;
use super::{Doing as _, StoreError};

/// Who wants the lease, or has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// What it is called.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Hash of its configuration. Versions count different keys, so those of two of them do not compare.
    pub config_hash: String,
}

/// The lease as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRow {
    /// Epoch of the holder.
    pub epoch: i64,
    /// The holder.
    pub replica: Replica,
    /// When it ends, or ended, by the server's clock.
    pub ends_at: Timestamp,
    /// It has not ended yet.
    pub is_live: bool,
}

impl Store {
    /// Which server this is and how often a standby of it was promoted; `None` for a file.
    pub async fn server(&self) -> Result<Option<String>, StoreError> {
        if !self.place.is_shared() {
            return Ok(None);
        }
        query_scalar("SELECT this_server()")
            .fetch_one(&self.readers)
            .await
            .doing("asking which server this is")
            .map(Some)
    }

    /// The server's clock.
    pub async fn server_time(&self) -> Result<Timestamp, StoreError> {
        let row = query("SELECT CAST(1000 * extract(epoch FROM clock_timestamp()) AS BIGINT) AS at")
            .fetch_one(&self.readers)
            .await
            .doing("asking for the server's time")?;
        row.time("at")
    }

    /// The lease; `None` while nobody ever had it.
    pub async fn lease(&self) -> Result<Option<LeaseRow>, StoreError> {
        let row = query(
            "SELECT epoch, replica, version, config_hash, ends_at > clock_timestamp() AS live, \
             CAST(1000 * extract(epoch FROM ends_at) AS BIGINT) AS ends FROM lease WHERE one = 1",
        )
        .fetch_optional(&self.readers)
        .await
        .doing("reading the lease")?;
        row.map(|row| {
            Ok(LeaseRow {
                epoch: row.int("epoch")?,
                replica: Replica {
                    name: row.text("replica")?,
                    version: row.text("version")?,
                    config_hash: row.text("config_hash")?,
                },
                ends_at: row.time("ends")?,
                is_live: row.int("live")? == 1,
            })
        })
        .transpose()
    }

    /// Makes the lease last from now on. False when it is another's: then this replica has been replaced for good.
    pub async fn renew_lease(
        &self,
        epoch: i64,
        replica: &Replica,
        lasts: Duration,
    ) -> Result<bool, StoreError> {
        let renewed = query(
            "UPDATE lease SET ends_at = clock_timestamp() + ? * interval '1 millisecond', replica = ?, config_hash = ? \
             WHERE one = 1 AND epoch = ?",
        )
        .bind(millis(lasts))
        .bind(&replica.name)
        .bind(&replica.config_hash)
        .bind(epoch)
        .execute(&self.readers)
        .await
        .doing("renewing the lease")?;
        Ok(renewed == 1)
    }
}

impl Tx {
    /// Takes the lease with a new epoch if nobody has it; `None` when somebody does.
    pub async fn take_lease(
        &mut self,
        replica: &Replica,
        lasts: Duration,
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        // The row stays locked until the end of the transaction: its holder cannot renew it meanwhile.
        let live: Option<i64> = query_scalar(
            "SELECT CASE WHEN ends_at > clock_timestamp() THEN 1 ELSE 0 END FROM lease WHERE one = 1 FOR UPDATE",
        )
        .fetch_optional(self.db().await?)
        .await
        .doing("looking whether the lease is free")?;
        if live == Some(1) {
            return Ok(None);
        }
        let epoch = self.begin_epoch(&replica.version, now).await?;
        query(
            "INSERT INTO lease (one, epoch, replica, version, config_hash, ends_at) \
             VALUES (1, ?, ?, ?, ?, clock_timestamp() + ? * interval '1 millisecond') \
             ON CONFLICT (one) DO UPDATE SET epoch = excluded.epoch, replica = excluded.replica, \
             version = excluded.version, config_hash = excluded.config_hash, ends_at = excluded.ends_at",
        )
        .bind(epoch)
        .bind(&replica.name)
        .bind(&replica.version)
        .bind(&replica.config_hash)
        .bind(millis(lasts))
        .execute(self.db().await?)
        .await
        .doing("taking the lease")?;
        Ok(Some(epoch))
    }

    /// Gives the lease back, so that nobody has to wait for its end.
    pub async fn free_lease(&mut self, epoch: i64) -> Result<(), StoreError> {
        query("UPDATE lease SET ends_at = clock_timestamp() WHERE one = 1 AND epoch = ?")
            .bind(epoch)
            .execute(self.db().await?)
            .await
            .doing("giving the lease back")
            .map(|_| ())
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
