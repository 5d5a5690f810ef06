//! What people set: holds, silences, settlements, and the answers to their idempotent requests.
//!
//! Never: forgets who and why.

use jiff::{SignedDuration, Timestamp};

use crate::domain::hold::HoldScope;
use crate::domain::ids::RemediationId;
use crate::domain::limits::earlier;
use crate::domain::matcher::Matchers;

use super::db::{query, query_scalar};
use super::image::Part;
use super::rows::{Columns, json, ms, ms_opt};
use super::writer::Tx;
use super::{Doing, StoreError};

/// How long an `Idempotency-Key` is remembered.
const IDEMPOTENCY_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// A hold to be set.
#[derive(Debug, Clone)]
pub struct NewHold {
    /// What it stops.
    pub scope: HoldScope,
    /// Who sets it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// Its own end.
    pub until: Option<Timestamp>,
}

/// A silence to be set.
#[derive(Debug, Clone)]
pub struct NewSilence {
    /// Labels it mutes.
    pub matchers: Matchers,
    /// Who sets it.
    pub author: String,
    /// Why.
    pub comment: String,
    /// From when.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
}

/// One person's word on a remediation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettlementRow {
    /// The person.
    pub person: String,
    /// `happened` or `not_happened`.
    pub verdict: String,
}

/// An answer that was already given for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotentAnswer {
    /// Hash of the parameters it was given for.
    pub parameters: String,
    /// HTTP status.
    pub status: u16,
    /// Body, as JSON.
    pub answer: String,
}

impl Tx {
    /// Sets a hold and returns its number.
    pub async fn insert_hold(&mut self, new: &NewHold, now: Timestamp) -> Result<i64, StoreError> {
        let (scope, name) = new.scope.parts();
        let id: i64 = query_scalar(
            "INSERT INTO hold (scope, name, author, reason, set_at, until) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
        )
        .bind(scope)
        .bind(name)
        .bind(&new.author)
        .bind(&new.reason)
        .bind(ms(now))
        .bind(ms_opt(new.until))
        .fetch_one(self.changing(Part::Holds).await?)
        .await
        .doing("setting a hold")?;
        Ok(id)
    }

    /// Clears a hold. False when there is none that is not cleared.
    pub async fn clear_hold(&mut self, id: i64, person: &str, now: Timestamp) -> Result<bool, StoreError> {
        let result =
            query("UPDATE hold SET cleared_at = ?, cleared_by = ? WHERE id = ? AND cleared_at IS NULL")
                .bind(ms(now))
                .bind(person)
                .bind(id)
                .execute(self.changing(Part::Holds).await?)
                .await
                .doing("clearing a hold")?;
        Ok(result == 1)
    }

    /// Sets a silence and returns its number.
    pub async fn insert_silence(&mut self, new: &NewSilence) -> Result<i64, StoreError> {
        let id: i64 = query_scalar(
            "INSERT INTO silence (matchers, author, comment, starts_at, ends_at) VALUES (?, ?, ?, ?, ?) RETURNING id",
        )
        .bind(json(&new.matchers)?)
        .bind(&new.author)
        .bind(&new.comment)
        .bind(ms(new.starts_at))
        .bind(ms(new.ends_at))
        .fetch_one(self.changing(Part::Silences).await?)
        .await
        .doing("setting a silence")?;
        Ok(id)
    }

    /// Ends a silence. False when there is none that has not ended.
    pub async fn expire_silence(
        &mut self,
        id: i64,
        person: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let result =
            query("UPDATE silence SET expired_at = ?, expired_by = ? WHERE id = ? AND expired_at IS NULL")
                .bind(ms(now))
                .bind(person)
                .bind(id)
                .execute(self.changing(Part::Silences).await?)
                .await
                .doing("ending a silence")?;
        Ok(result == 1)
    }

    /// Records a person's word on a remediation; a later word of the same person replaces the earlier.
    pub async fn record_settlement(
        &mut self,
        id: &RemediationId,
        row: &SettlementRow,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        query(
            "INSERT INTO settlement (remediation_id, person, verdict, reason, at) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT (remediation_id, person) \
             DO UPDATE SET verdict = excluded.verdict, reason = excluded.reason, at = excluded.at",
        )
        .bind(id.as_str())
        .bind(&row.person)
        .bind(&row.verdict)
        .bind(reason)
        .bind(ms(now))
        .execute(self.db().await?)
        .await
        .doing("recording a settlement")
        .map(|_| ())
    }

    /// What people said of a remediation.
    pub async fn settlements(&mut self, id: &RemediationId) -> Result<Vec<SettlementRow>, StoreError> {
        let rows = query("SELECT person, verdict FROM settlement WHERE remediation_id = ? ORDER BY at")
            .bind(id.as_str())
            .fetch_all(self.db().await?)
            .await
            .doing("reading settlements")?;
        rows.iter()
            .map(|row| Ok(SettlementRow { person: row.text("person")?, verdict: row.text("verdict")? }))
            .collect()
    }

    /// The answer that a person already got for a key.
    pub async fn idempotent_answer(
        &mut self,
        person: &str,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<IdempotentAnswer>, StoreError> {
        query("DELETE FROM idempotency WHERE at < ?")
            .bind(ms(earlier(now, IDEMPOTENCY_KEPT)))
            .execute(self.db().await?)
            .await
            .doing("forgetting old keys")?;
        let row = query("SELECT parameters, status, answer FROM idempotency WHERE person = ? AND key = ?")
            .bind(person)
            .bind(key)
            .fetch_optional(self.db().await?)
            .await
            .doing("looking for a key")?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(IdempotentAnswer {
            parameters: row.text("parameters")?,
            status: u16::try_from(row.int("status")?).unwrap_or(500),
            answer: row.text("answer")?,
        }))
    }

    /// Keeps the answer for a key, in the transaction of what it answers.
    pub async fn keep_answer(
        &mut self,
        person: &str,
        key: &str,
        answer: &IdempotentAnswer,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        query(
            "INSERT INTO idempotency (key, person, parameters, status, answer, at) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(key)
        .bind(person)
        .bind(&answer.parameters)
        .bind(i64::from(answer.status))
        .bind(&answer.answer)
        .bind(ms(now))
        .execute(self.db().await?)
        .await
        .doing("keeping an answer for a key")
        .map(|_| ())
    }
}
