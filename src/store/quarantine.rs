//! Who the store is, its history as the attempt journal can be compared with it, and its quarantine.
//!
//! Never: compares; that is `crate::quarantine`.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::domain::facts::Gap;
use crate::domain::remediation::Outcome;

use super::db::{Connection, query, query_as, query_scalar};
use super::image::Part;
use super::open::Store;
use super::rows::{Columns, ms};
use super::writer::Tx;
use super::{Doing, StoreError};

/// Who a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreIdentity {
    /// Made once; a copy has the same.
    pub store_id: String,
    /// The machine that it was last used on, as far as the system names one.
    pub machine_id: Option<String>,
}

/// What a store says of its past.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Who it is; `None` in a store of an older version.
    pub identity: Option<StoreIdentity>,
    /// Attempts in it.
    pub attempts: i64,
    /// Highest attempt number ever given.
    pub high_water: i64,
    /// Nonces by attempt number, from the wanted one on.
    pub nonces: BTreeMap<i64, String>,
    /// First row of the audit; what was before it was pruned.
    pub audit_begin: i64,
    /// Last row of the audit.
    pub audit_end: i64,
    /// Hash of the wanted row of the audit.
    pub audit_hash: Option<String>,
}

/// A quarantine that nobody has cleared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenQuarantine {
    /// Row number.
    pub id: i64,
    /// Since when.
    pub opened_at: Timestamp,
    /// What was found.
    pub why: String,
}

/// An interrupt that only the attempt journal knows.
#[derive(Debug, Clone)]
pub struct Forgotten<'a> {
    /// Its number in the journal.
    pub attempt_id: i64,
    /// `serverInstanceNo`
    pub server_no: &'a str,
    /// `regionCode`
    pub region_code: &'a str,
    /// Policy that sent it; empty where the journal does not say.
    pub policy: &'a str,
    /// When.
    pub intent_at: Timestamp,
    /// What became of it; never *not sent*.
    pub outcome: Outcome,
    /// Memory of the server; 0 where the journal does not say.
    pub memory_bytes: u64,
    /// End of its cooldown.
    pub cooldown_until: Timestamp,
}

impl Store {
    /// What the store says of its past: attempts from a number on, and the hash of one audit row.
    pub async fn history(&self, from_attempt: i64, audit_seq: i64) -> Result<History, StoreError> {
        let mut connection = self.readers.acquire().await.doing("taking a reader")?;
        history(&mut connection, from_attempt, audit_seq).await
    }

    /// The quarantine that nobody has cleared.
    pub async fn open_quarantine(&self) -> Result<Option<OpenQuarantine>, StoreError> {
        let mut connection = self.readers.acquire().await.doing("taking a reader")?;
        open_quarantine(&mut connection).await
    }

    /// Last place and hash of the audit chain; `None` while it is empty.
    pub async fn audit_end(&self) -> Result<Option<(i64, String)>, StoreError> {
        query_as("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
            .fetch_optional(&self.readers)
            .await
            .doing("reading the end of the audit")
    }
}

impl Tx {
    /// As [`Store::history`], in this transaction.
    pub async fn history(&mut self, from_attempt: i64, audit_seq: i64) -> Result<History, StoreError> {
        history(self.db().await?, from_attempt, audit_seq).await
    }

    /// As [`Store::open_quarantine`], in this transaction.
    pub async fn open_quarantine(&mut self) -> Result<Option<OpenQuarantine>, StoreError> {
        open_quarantine(self.db().await?).await
    }

    /// Says who the store is. Its number, once there, stays.
    pub async fn set_identity(&mut self, identity: &StoreIdentity, now: Timestamp) -> Result<(), StoreError> {
        query(
            "INSERT INTO store_identity (one, store_id, created_at, machine_id) VALUES (1, ?, ?, ?) \
             ON CONFLICT (one) DO UPDATE SET machine_id = excluded.machine_id",
        )
        .bind(&identity.store_id)
        .bind(ms(now))
        .bind(&identity.machine_id)
        .execute(self.db().await?)
        .await
        .doing("saying who the store is")
        .map(|_| ())
    }

    /// Opens a quarantine and returns its number; `None` when one is open.
    pub async fn open_new_quarantine(
        &mut self,
        why: &str,
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        if self.open_quarantine().await?.is_some() {
            return Ok(None);
        }
        let id: i64 = query_scalar("INSERT INTO quarantine (opened_at, why) VALUES (?, ?) RETURNING id")
            .bind(ms(now))
            .bind(why)
            .fetch_one(self.changing(Part::Quarantine).await?)
            .await
            .doing("opening a quarantine")?;
        Ok(Some(id))
    }

    /// Clears a quarantine.
    pub async fn clear_quarantine(
        &mut self,
        id: i64,
        person: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        query(
            "UPDATE quarantine SET cleared_at = ?, cleared_by = ?, reason = ? WHERE id = ? AND cleared_at IS NULL",
        )
        .bind(ms(now))
        .bind(person)
        .bind(reason)
        .bind(id)
        .execute(self.changing(Part::Quarantine).await?)
        .await
        .doing("clearing a quarantine")
        .map(|_| ())
    }

    /// The next attempts get numbers above this.
    pub async fn continue_attempts_above(&mut self, high_water: i64) -> Result<(), StoreError> {
        let doing = "moving the attempt numbers on";
        if self.db().await?.is_postgres() {
            for sql in [
                "UPDATE high_water SET seq = max(seq, ?) WHERE name = 'attempt'",
                "SELECT setval('attempt_id_seq', max(nextval('attempt_id_seq'), ?))",
            ] {
                query(sql).bind(high_water).execute(self.db().await?).await.doing(doing)?;
            }
            return Ok(());
        }
        let moved = query("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'attempt'")
            .bind(high_water)
            .execute(self.db().await?)
            .await
            .doing(doing)?;
        if moved == 0 {
            query("INSERT INTO sqlite_sequence (name, seq) VALUES ('attempt', ?)")
                .bind(high_water)
                .execute(self.db().await?)
                .await
                .doing(doing)?;
        }
        Ok(())
    }

    /// Keeps an interrupt that only the journal knows, so that limits count it. Keeping it twice changes nothing.
    pub async fn remember_forgotten(&mut self, forgotten: &Forgotten<'_>) -> Result<(), StoreError> {
        query(
            "INSERT INTO forgotten_attempt (attempt_id, server_no, region_code, policy, intent_at, outcome, \
             memory_bytes, cooldown_until) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(forgotten.attempt_id)
        .bind(forgotten.server_no)
        .bind(forgotten.region_code)
        .bind(forgotten.policy)
        .bind(ms(forgotten.intent_at))
        .bind(forgotten.outcome.as_str())
        .bind(i64::try_from(forgotten.memory_bytes).unwrap_or(i64::MAX))
        .bind(ms(forgotten.cooldown_until))
        .execute(self.changing(Part::Attempts).await?)
        .await
        .doing("keeping what the journal knows")
        .map(|_| ())
    }

    /// Whether a hold with these very words was ever set.
    pub async fn was_held_for(&mut self, reason: &str) -> Result<bool, StoreError> {
        let count: i64 = query_scalar("SELECT count(*) FROM hold WHERE reason = ?")
            .bind(reason)
            .fetch_one(self.db().await?)
            .await
            .doing("looking for a hold")?;
        Ok(count > 0)
    }

    /// Notes a time in which nobody watched.
    pub async fn note_gap(&mut self, gap: Gap) -> Result<(), StoreError> {
        query("INSERT INTO watch_gap (from_at, until_at) VALUES (?, ?)")
            .bind(ms(gap.from))
            .bind(ms(gap.until))
            .execute(self.changing(Part::Gaps).await?)
            .await
            .doing("noting a time without watch")
            .map(|_| ())
    }

    /// Nonces of attempts that are unknown, and whose remediation still waits for an answer.
    pub async fn unanswered(&mut self) -> Result<Vec<String>, StoreError> {
        query_scalar(
            "SELECT a.nonce FROM attempt a JOIN remediation r ON r.id = a.remediation_id \
             WHERE a.outcome = 'unknown' AND r.state = 'unknown' ORDER BY a.id",
        )
        .fetch_all(self.db().await?)
        .await
        .doing("looking for unknown attempts")
    }
}

/// The quarantine that nobody has cleared.
pub(super) async fn open_quarantine(
    connection: &mut Connection,
) -> Result<Option<OpenQuarantine>, StoreError> {
    let row = query("SELECT id, opened_at, why FROM quarantine WHERE cleared_at IS NULL ORDER BY id LIMIT 1")
        .fetch_optional(connection)
        .await
        .doing("reading the quarantine")?;
    row.map(|row| {
        Ok(OpenQuarantine { id: row.int("id")?, opened_at: row.time("opened_at")?, why: row.text("why")? })
    })
    .transpose()
}

/// Times without watch that ended after `since`.
pub(super) async fn gaps(connection: &mut Connection, since: Timestamp) -> Result<Vec<Gap>, StoreError> {
    let rows = query("SELECT from_at, until_at FROM watch_gap WHERE until_at >= ? ORDER BY id")
        .bind(ms(since))
        .fetch_all(connection)
        .await
        .doing("reading times without watch")?;
    rows.iter().map(|row| Ok(Gap { from: row.time("from_at")?, until: row.time("until_at")? })).collect()
}

async fn history(
    connection: &mut Connection,
    from_attempt: i64,
    audit_seq: i64,
) -> Result<History, StoreError> {
    const DOING: &str = "reading the store's history";
    let identity = query("SELECT store_id, machine_id FROM store_identity")
        .fetch_optional(&mut *connection)
        .await
        .doing(DOING)?;
    let identity = identity
        .map(|row| {
            let (store_id, machine_id) = (row.text("store_id")?, row.text_opt("machine_id")?);
            Ok(StoreIdentity { store_id, machine_id })
        })
        .transpose()?;
    let (attempts, high_water): (i64, i64) = query_as(
        "SELECT (SELECT count(*) FROM attempt), max(\
         (SELECT coalesce(max(id), 0) FROM attempt), \
         (SELECT coalesce(max(seq), 0) FROM high_water WHERE name = 'attempt'))",
    )
    .fetch_one(&mut *connection)
    .await
    .doing(DOING)?;
    let nonces: Vec<(i64, String)> = query_as("SELECT id, nonce FROM attempt WHERE id >= ?")
        .bind(from_attempt)
        .fetch_all(&mut *connection)
        .await
        .doing(DOING)?;
    let audit_begin: i64 = query_scalar("SELECT coalesce(min(seq), 0) FROM audit")
        .fetch_one(&mut *connection)
        .await
        .doing(DOING)?;
    let audit_end: i64 = query_scalar("SELECT coalesce(max(seq), 0) FROM audit")
        .fetch_one(&mut *connection)
        .await
        .doing(DOING)?;
    let audit_hash: Option<String> = query_scalar("SELECT hash FROM audit WHERE seq = ?")
        .bind(audit_seq)
        .fetch_optional(connection)
        .await
        .doing(DOING)?;
    Ok(History {
        identity,
        attempts,
        high_water,
        nonces: nonces.into_iter().collect(),
        audit_begin,
        audit_end,
        audit_hash,
    })
}
