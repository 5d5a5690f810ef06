//! What the cloud's activity record said of a remediation: the newest answer.
//!
//! Never: forgets an answer because a later asking failed.

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::activity::Activity;
use crate::domain::ids::RemediationId;

use super::db::{Row, query};
use super::open::Store;
use super::rows::{Columns, json, ms};
use super::writer::Tx;
use super::{Doing, StoreError};

/// Entries that are kept of one answer.
pub const ENTRIES_KEPT: usize = 20;

/// The newest answer of the cloud's activity record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActivitySeen {
    /// When it was last asked.
    pub asked_at: Timestamp,
    /// When it last answered.
    pub answered_at: Option<Timestamp>,
    /// Entries about the server around the intent, whatever they are. An empty list proves nothing.
    pub found: Vec<Activity>,
    /// Why the last asking failed.
    pub error: Option<String>,
}

fn read(row: &Row) -> Result<ActivitySeen, StoreError> {
    Ok(ActivitySeen {
        asked_at: row.time("asked_at")?,
        answered_at: row.time_opt("answered_at")?,
        found: row.value("found")?,
        error: row.text_opt("error")?,
    })
}

const BY_REMEDIATION: &str =
    "SELECT asked_at, answered_at, found, error FROM activity_seen WHERE remediation_id = ?";

impl Tx {
    /// The newest answer about a remediation.
    pub async fn activity_seen(&mut self, id: &RemediationId) -> Result<Option<ActivitySeen>, StoreError> {
        let row = query(BY_REMEDIATION)
            .bind(id.as_str())
            .fetch_optional(self.db().await?)
            .await
            .doing("reading what the activity record said")?;
        row.as_ref().map(read).transpose()
    }

    /// Keeps an answer, or the failure to get one beside the answer before. Returns whether it says anything new.
    pub async fn note_activity(
        &mut self,
        id: &RemediationId,
        answer: &Result<Vec<Activity>, String>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let before = self.activity_seen(id).await?;
        let (found, answered_at, error) = match answer {
            Ok(found) => (found.iter().take(ENTRIES_KEPT).cloned().collect(), Some(now), None),
            Err(why) => {
                let found = before.as_ref().map(|seen| seen.found.clone()).unwrap_or_default();
                (found, before.as_ref().and_then(|seen| seen.answered_at), Some(why.clone()))
            }
        };
        query(
            "INSERT INTO activity_seen (remediation_id, asked_at, answered_at, found, error) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT (remediation_id) DO UPDATE SET asked_at = excluded.asked_at, \
             answered_at = excluded.answered_at, found = excluded.found, error = excluded.error",
        )
        .bind(id.as_str())
        .bind(ms(now))
        .bind(answered_at.map(ms))
        .bind(json(&found)?)
        .bind(&error)
        .execute(self.db().await?)
        .await
        .doing("keeping what the activity record said")?;
        Ok(before.is_none_or(|seen| seen.found != found || seen.error != error))
    }
}

impl Store {
    /// The newest answer about a remediation.
    pub async fn activity_seen(&self, id: &RemediationId) -> Result<Option<ActivitySeen>, StoreError> {
        let row = query(BY_REMEDIATION)
            .bind(id.as_str())
            .fetch_optional(&self.readers)
            .await
            .doing("reading what the activity record said")?;
        row.as_ref().map(read).transpose()
    }
}
