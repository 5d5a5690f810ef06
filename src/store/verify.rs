//! Verifying the audit of a store: every row, the heads taken of it, and with `deep` every table.
//!
//! Never: reads rows and tables of different moments; all is read in one transaction.

use crate::domain::audit_key::KeyRing;
use crate::domain::chain::{ChainReport, Inspection};

use super::db::{Connection, query, query_as, query_scalar};
use super::open::Store;
use super::packed::Long as _;
use super::query::audit_after;
use super::rows::{Columns as _, from_json};
use super::state::compare;
use super::{Doing, StoreError, schema};

/// Rows read at a time.
const PAGE: i64 = 1000;

/// Walks the chain by itself. `progress` hears the number of rows after each page.
pub async fn verify_chain(
    store: &Store,
    ring: &KeyRing,
    progress: impl FnMut(i64),
) -> Result<ChainReport, StoreError> {
    inspect(store, Inspection::new(ring.clone(), &[], false), progress).await
}

/// Goes on with an inspection over the rows of the store, and ends it. Heads must have been read before: they may not
/// know more than what is read here.
pub async fn inspect(
    store: &Store,
    mut inspection: Inspection,
    mut progress: impl FnMut(i64),
) -> Result<ChainReport, StoreError> {
    // One snapshot: a service that writes meanwhile changes nothing of it.
    let mut tx = store.readers.snapshot().await.doing("beginning to verify")?;
    let db: &mut Connection = &mut tx;
    'rows: loop {
        let page = audit_after(db, inspection.last_seq(), PAGE).await?;
        if page.is_empty() {
            break;
        }
        for item in page {
            if !inspection.take(&item.link()) {
                break 'rows;
            }
        }
        progress(inspection.rows());
    }
    let ever: Option<i64> = query_scalar("SELECT seq FROM high_water WHERE name = 'audit'")
        .fetch_optional(&mut *db)
        .await
        .doing("reading how many audit rows were ever written")?;
    let deep = match inspection.folded() {
        None => None,
        Some(mut fold) => {
            compare(&mut fold, db).await?;
            schema::compare(&mut fold, db).await?;
            Some(fold.finish())
        }
    };
    tx.rollback().await.doing("ending the verification")?;
    Ok(inspection.finish(ever.unwrap_or(0), deep))
}

impl Store {
    /// Place and hash of the newest audit row, and how many rows there are.
    pub async fn audit_head(&self) -> Result<(i64, String, i64), StoreError> {
        let mut tx = self.readers.snapshot().await.doing("reading the end of the audit")?;
        let head: Option<(i64, String)> = query_as("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
            .fetch_optional(&mut tx)
            .await
            .doing("reading the end of the audit")?;
        let first: Option<i64> = query_scalar("SELECT min(seq) FROM audit")
            .fetch_one(&mut tx)
            .await
            .doing("reading the begin of the audit")?;
        tx.rollback().await.doing("reading the end of the audit")?;
        let Some((seq, hash)) = head else { return Ok((0, crate::domain::audit::GENESIS.to_owned(), 0)) };
        // Places have no gaps, so there is nothing to count.
        Ok((seq, hash, seq - first.unwrap_or(seq) + 1))
    }

    /// The number of audit rows that were ever written.
    pub async fn audit_ever(&self) -> Result<i64, StoreError> {
        query_scalar("SELECT coalesce((SELECT seq FROM high_water WHERE name = 'audit'), 0)")
            .fetch_one(&self.readers)
            .await
            .doing("reading how many audit rows were ever written")
    }

    /// The kind of the newest event of one of these kinds that tells of a file. Reads the whole audit where there is none.
    pub async fn newest_told_of(&self, kinds: &[&str], file: &str) -> Result<Option<String>, StoreError> {
        let kinds =
            serde_json::to_string(kinds).map_err(|_error| StoreError::Unreadable { what: "kinds" })?;
        let mut before = i64::MAX;
        while let Some(row) = query(
            "SELECT seq, kind, detail, detail_packed FROM audit WHERE seq < ? \
             AND kind IN (SELECT value FROM json_each(?)) ORDER BY seq DESC LIMIT 1",
        )
        .bind(before)
        .bind(&kinds)
        .fetch_optional(&self.readers)
        .await
        .doing("looking for what was told of a file")?
        {
            before = row.int("seq")?;
            let detail: serde_json::Value = from_json(&row.long_text("detail", "detail_packed")?, "detail")?;
            if detail.get("file").and_then(serde_json::Value::as_str) == Some(file) {
                return Ok(Some(row.text("kind")?));
            }
        }
        Ok(None)
    }
}
