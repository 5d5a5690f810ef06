//! Writing the audit: one event per fact, in the transaction of the fact, chained by hash.
//!
//! Never: a row without its place in the chain.

use crate::domain::audit::{AuditEvent, GENESIS, chain_hash};

use super::db::{built, query, query_as, query_scalar};
use super::open::Store;
use super::waiting::AuditRow;
use super::writer::Tx;
use super::{Doing, StoreError};

impl Store {
    /// Refuses where the newest row has a key: rows without one may not follow it.
    pub async fn needs_no_key(&self) -> Result<(), StoreError> {
        let key_id: Option<Option<String>> =
            query_scalar("SELECT key_id FROM audit ORDER BY seq DESC LIMIT 1")
                .fetch_optional(&self.readers)
                .await
                .doing("looking whether the audit is keyed")?;
        match key_id.flatten() {
            Some(key_id) => Err(StoreError::NoKey { key_id }),
            None => Ok(()),
        }
    }
}

impl Tx {
    /// Appends an event and returns its `seq`.
    pub async fn append(&mut self, event: &AuditEvent) -> Result<i64, StoreError> {
        let (last_seq, prev_hash) = self.audit_head().await?;
        let seq = last_seq + 1;
        let hash = chain_hash(self.audit_key.as_ref(), &prev_hash, seq, event);
        self.waiting.events.push(AuditRow {
            seq,
            event: event.clone(),
            prev_hash,
            hash: hash.clone(),
            key_id: self.audit_key.as_ref().map(|key| key.id().to_owned()),
        });
        self.audit_head = Some((seq, hash));
        Ok(seq)
    }

    async fn audit_head(&mut self) -> Result<(i64, String), StoreError> {
        if let Some(head) = self.audit_head.take() {
            return Ok(head);
        }
        debug_assert!(self.waiting.events.is_empty(), "the end of the chain is not in the file");
        let head: Option<(i64, String, Option<String>)> =
            query_as("SELECT seq, hash, key_id FROM audit ORDER BY seq DESC LIMIT 1")
                .fetch_optional(self.behind_the_waiting())
                .await
                .doing("reading the end of the audit")?;
        match head {
            None => Ok((0, GENESIS.to_owned())),
            // A row without a key behind keyed ones would be a fault of the chain for ever.
            Some((_, _, Some(key_id))) if self.audit_key.is_none() => Err(StoreError::NoKey { key_id }),
            Some((seq, hash, _)) => Ok((seq, hash)),
        }
    }

    /// Removes the audit rows up to a place, which an export holds. The trigger that forbids it is taken away and put
    /// back as it was, in this transaction. Returns how many rows were removed.
    pub async fn prune_audit(&mut self, last_seq: i64) -> Result<u64, StoreError> {
        const DOING: &str = "pruning the audit";
        let (allow, forbid) = if self.db().await?.is_postgres() {
            let table = |what: &str| format!("ALTER TABLE audit {what} TRIGGER audit_is_never_deleted");
            (table("DISABLE"), table("ENABLE"))
        } else {
            let trigger: String = query_scalar(
                "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = 'audit_is_never_deleted'",
            )
            .fetch_one(self.db().await?)
            .await
            .doing(DOING)?;
            ("DROP TRIGGER audit_is_never_deleted".to_owned(), trigger)
        };
        built(allow).execute(self.db().await?).await.doing(DOING)?;
        let removed = query("DELETE FROM audit WHERE seq <= ?")
            .bind(last_seq)
            .execute(self.db().await?)
            .await
            .doing(DOING)?;
        built(forbid).execute(self.db().await?).await.doing(DOING)?;
        Ok(removed)
    }
}
