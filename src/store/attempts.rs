//! Attempts: the intent before the call, the outcome after it.
//!
//! Never: an outcome for another nonce, or a second intent beside one that may have acted.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::domain::answer::CloudAnswer;
use crate::domain::evidence::Baseline;
use crate::domain::ids::RemediationId;
use crate::domain::limits::later;
use crate::domain::remediation::Outcome;

use super::db::{query, query_scalar};
use super::image::Part;
use super::open::Store;
use super::remediations::Remediation;
use super::rows::{Columns, json, ms, ms_opt};
use super::writer::Tx;
use super::{Doing, StoreError};

/// An intent to be committed before the call.
#[derive(Debug, Clone)]
pub struct Intent {
    /// Random, unique: ties the answer to this try.
    pub nonce: String,
    /// Owner that will send.
    pub epoch: i64,
    /// When it is committed.
    pub intent_at: Timestamp,
    /// The time that is signed, in milliseconds; never re-signed.
    pub signed_at: Timestamp,
    /// Not handed to the HTTP client later than this.
    pub send_before: Timestamp,
    /// SHA-256 of the request.
    pub request_hash: String,
    /// `uptime` that the pre-flight saw.
    pub uptime_at: Option<Timestamp>,
    /// Memory that the dump must hold.
    pub memory_bytes: u64,
    /// End of the cooldown by the policy that sends it.
    pub cooldown_until: Timestamp,
}

/// The end of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptOutcome {
    /// One sentence: what happened.
    pub cause: String,
    /// The cloud's own `requestId`.
    pub request_id: Option<String>,
    /// `returnCode` or gateway `errorCode`, verbatim.
    pub return_code: Option<String>,
    /// `returnMessage`, safe to print.
    pub return_message: Option<String>,
    /// HTTP status.
    pub http_status: Option<u16>,
    /// SHA-256 of the answer's body.
    pub body_sha256: Option<String>,
    /// The body itself; told in the audit only.
    pub answer: Option<CloudAnswer>,
}

/// An attempt that somebody still looks at.
#[derive(Debug, Clone)]
pub struct OpenAttempt {
    /// Its row.
    pub id: i64,
    /// Its remediation, as it stands.
    pub remediation_id: RemediationId,
    /// What a reboot is compared with.
    pub baseline: Baseline,
    /// Owner that sent it.
    pub epoch: i64,
}

impl Tx {
    /// Records the intent of the next try. Returns its row and the number of the try.
    pub async fn insert_attempt(
        &mut self,
        remediation: &Remediation,
        intent: &Intent,
    ) -> Result<(i64, u32), StoreError> {
        let tries: i64 = query_scalar("SELECT count(*) FROM attempt WHERE remediation_id = ?")
            .bind(remediation.id.as_str())
            .fetch_one(self.db().await?)
            .await
            .doing("counting tries")?;
        let number = tries + 1;
        let server = &remediation.waiting.server;
        let id: i64 = query_scalar(
            "INSERT INTO attempt (remediation_id, try, nonce, epoch, server_no, region_code, policy, intent_at, \
             signed_at, send_before, request_hash, uptime_at, memory_bytes, cooldown_until) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        )
        .bind(remediation.id.as_str())
        .bind(number)
        .bind(&intent.nonce)
        .bind(intent.epoch)
        .bind(server.no.as_str())
        .bind(server.region.as_str())
        .bind(&remediation.waiting.policy)
        .bind(ms(intent.intent_at))
        .bind(ms(intent.signed_at))
        .bind(ms(intent.send_before))
        .bind(&intent.request_hash)
        .bind(ms_opt(intent.uptime_at))
        .bind(i64::try_from(intent.memory_bytes).unwrap_or(i64::MAX))
        .bind(ms(intent.cooldown_until))
        .fetch_one(self.changing(Part::Attempts).await?)
        .await
        .doing("recording an intent")?;
        Ok((id, u32::try_from(number).unwrap_or(u32::MAX)))
    }

    /// Records the end of the attempt with this nonce. False when it has one that must stay.
    pub async fn end_attempt(
        &mut self,
        nonce: &str,
        outcome: Outcome,
        with: &AttemptOutcome,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let result = query(
            "UPDATE attempt SET outcome = ?, outcome_at = ?, cause = ?, request_id = ?, return_code = ?, \
             return_message = ?, http_status = ?, body_sha256 = ? \
             WHERE nonce = ? AND (outcome IS NULL OR (outcome = 'unknown' AND ? IN ('accepted', 'rejected')))",
        )
        .bind(outcome.as_str())
        .bind(ms(now))
        .bind(&with.cause)
        .bind(&with.request_id)
        .bind(&with.return_code)
        .bind(&with.return_message)
        .bind(with.http_status.map(i64::from))
        .bind(&with.body_sha256)
        .bind(nonce)
        .bind(outcome.as_str())
        .execute(self.changing(Part::Attempts).await?)
        .await
        .doing("recording an outcome")?;
        Ok(result == 1)
    }

    /// Row, remediation and try of the attempt with this nonce, if it was committed.
    pub async fn attempt_by_nonce(
        &mut self,
        nonce: &str,
    ) -> Result<Option<(i64, RemediationId, u32)>, StoreError> {
        let row = query("SELECT id, remediation_id, try FROM attempt WHERE nonce = ?")
            .bind(nonce)
            .fetch_optional(self.db().await?)
            .await
            .doing("looking for an attempt")?;
        let Some(row) = row else { return Ok(None) };
        let number = u32::try_from(row.int("try")?).unwrap_or(u32::MAX);
        Ok(Some((row.int("id")?, RemediationId::from_text(row.text("remediation_id")?), number)))
    }

    /// When the newest intent of a remediation was committed.
    pub async fn last_intent_at(&mut self, id: &RemediationId) -> Result<Option<Timestamp>, StoreError> {
        let at: Option<i64> = query_scalar("SELECT max(intent_at) FROM attempt WHERE remediation_id = ?")
            .bind(id.as_str())
            .fetch_one(self.db().await?)
            .await
            .doing("reading the newest intent")?;
        at.map(super::rows::at).transpose()
    }

    /// Keeps the evidence of a reboot with the attempt.
    pub async fn set_evidence(
        &mut self,
        attempt_id: i64,
        evidence: &impl Serialize,
    ) -> Result<(), StoreError> {
        query("UPDATE attempt SET evidence = ? WHERE id = ?")
            .bind(json(evidence)?)
            .bind(attempt_id)
            .execute(self.changing(Part::Attempts).await?)
            .await
            .doing("keeping evidence")
            .map(|_| ())
    }

    /// A new owner. Its number is larger than any before.
    pub async fn begin_epoch(&mut self, version: &str, now: Timestamp) -> Result<i64, StoreError> {
        let id: i64 =
            query_scalar("INSERT INTO owner (started_at, pid, version) VALUES (?, ?, ?) RETURNING epoch")
                .bind(ms(now))
                .bind(i64::from(std::process::id()))
                .bind(version)
                .fetch_one(self.db().await?)
                .await
                .doing("beginning an epoch")?;
        self.own_epoch = Some(id);
        Ok(id)
    }

    /// The owner's orderly end.
    pub async fn end_epoch(&mut self, epoch: i64, now: Timestamp) -> Result<(), StoreError> {
        query("UPDATE owner SET stopped_at = ? WHERE epoch = ?")
            .bind(ms(now))
            .bind(epoch)
            .execute(self.db().await?)
            .await
            .doing("ending an epoch")
            .map(|_| ())
    }

    /// The newest owner.
    pub async fn current_epoch(&mut self) -> Result<i64, StoreError> {
        query_scalar("SELECT coalesce(max(epoch), 0) FROM owner")
            .fetch_one(self.db().await?)
            .await
            .doing("reading the epoch")
    }

    /// Attempts in flight of owners older than `epoch`: nonce, row and remediation.
    pub async fn orphans(&mut self, epoch: i64) -> Result<Vec<(String, i64, RemediationId)>, StoreError> {
        let rows = query("SELECT nonce, id, remediation_id FROM attempt WHERE outcome IS NULL AND epoch < ?")
            .bind(epoch)
            .fetch_all(self.db().await?)
            .await
            .doing("looking for intents of dead owners")?;
        rows.iter()
            .map(|row| {
                Ok((
                    row.text("nonce")?,
                    row.int("id")?,
                    RemediationId::from_text(row.text("remediation_id")?),
                ))
            })
            .collect()
    }
}

impl Store {
    /// The attempt of each remediation that waits for proof. An accepted one is looked at until it is confirmed or
    /// unconfirmed, however old; late evidence for the others is looked for while the intent is younger than
    /// `give_up`.
    pub async fn attempts_to_verify(
        &self,
        now: Timestamp,
        give_up: SignedDuration,
    ) -> Result<Vec<OpenAttempt>, StoreError> {
        let rows = query(
            "SELECT a.id, a.remediation_id, a.intent_at, a.uptime_at, a.memory_bytes, a.epoch FROM attempt a \
             JOIN remediation r ON r.id = a.remediation_id \
             WHERE r.finished_at IS NULL AND r.state IN ('accepted', 'unknown', 'unconfirmed') \
             AND a.outcome IN ('accepted', 'unknown') \
             AND (r.state = 'accepted' OR a.intent_at >= ?) ORDER BY a.id",
        )
        .bind(ms(later(now, -give_up)))
        .fetch_all(&self.readers)
        .await
        .doing("looking for attempts to verify")?;
        rows.iter()
            .map(|row| {
                Ok(OpenAttempt {
                    id: row.int("id")?,
                    remediation_id: RemediationId::from_text(row.text("remediation_id")?),
                    baseline: Baseline {
                        intent_at: row.time("intent_at")?,
                        uptime_at: row.time_opt("uptime_at")?,
                        memory_bytes: u64::try_from(row.int("memory_bytes")?).unwrap_or(0),
                    },
                    epoch: row.int("epoch")?,
                })
            })
            .collect()
    }
}
