//! Storms, breakers and the record of policies, for people and figures.
//!
//! Never: a counter of its own; everything is counted from rows.

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::breaker::Tried;
use crate::domain::ladder::Record;
use crate::domain::server::RegionCode;
use crate::store::db::query;
use crate::store::guards::{StandingRow, TRIED_MORE, standing, tried};
use crate::store::rows::Columns;
use crate::store::{Doing, Store, StoreError};

/// Storms in a list.
const STORMS_MAX: i64 = 200;

/// One storm, open or cleared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StormRow {
    /// Its number.
    pub id: i64,
    /// Its region.
    #[schema(value_type = RegionCode)]
    pub region_code: String,
    /// Since when.
    pub opened_at: Timestamp,
    /// What was seen.
    pub why: String,
    /// The servers.
    pub servers: Vec<String>,
    /// The policies that had a part in it.
    pub policies: Vec<String>,
    /// When a person cleared it.
    pub cleared_at: Option<Timestamp>,
    /// Who.
    pub cleared_by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// The newest reset of a breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResetRow {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub person: String,
    /// Why.
    pub reason: String,
}

impl Store {
    /// Storms, newest first; those that are open, or the newest of all.
    pub async fn storms(&self, only_open: bool) -> Result<Vec<StormRow>, StoreError> {
        let rows =
            query("SELECT * FROM storm WHERE ? = 0 OR cleared_at IS NULL ORDER BY id DESC LIMIT 0 + ?")
                .bind(i64::from(only_open))
                .bind(STORMS_MAX)
                .fetch_all(&self.people)
                .await
                .doing("reading storms")?;
        rows.iter()
            .map(|row| {
                Ok(StormRow {
                    id: row.int("id")?,
                    region_code: row.text("region_code")?,
                    opened_at: row.time("opened_at")?,
                    why: row.text("why")?,
                    servers: row.value("servers")?,
                    policies: row.value("policies")?,
                    cleared_at: row.time_opt("cleared_at")?,
                    cleared_by: row.text_opt("cleared_by")?,
                    reason: row.text_opt("reason")?,
                })
            })
            .collect()
    }

    /// Attempts that the breaker of a policy counts, and its newest reset.
    pub async fn breaker_of(
        &self,
        policy: &str,
        failures: u32,
    ) -> Result<(Vec<Tried>, Option<ResetRow>), StoreError> {
        let mut connection = self.people.acquire().await.doing("taking a reader")?;
        let tried = tried(&mut connection, policy, i64::from(failures) + TRIED_MORE).await?;
        let row = query(
            "SELECT at, person, reason FROM breaker_reset WHERE policy = ? ORDER BY at DESC, id DESC LIMIT 1",
        )
        .bind(policy)
        .fetch_optional(&mut connection)
        .await
        .doing("reading the newest reset")?;
        let reset = row
            .map(|row| {
                let (person, reason) = (row.text("person")?, row.text("reason")?);
                Ok::<_, StoreError>(ResetRow { at: row.time("at")?, person, reason })
            })
            .transpose()?;
        Ok((tried, reset))
    }

    /// How a policy stands.
    pub async fn standing_of(&self, policy: &str) -> Result<StandingRow, StoreError> {
        let mut connection = self.people.acquire().await.doing("taking a reader")?;
        standing(&mut connection, policy).await
    }

    /// What a policy has shown.
    pub async fn record_of(&self, policy: &str) -> Result<Record, StoreError> {
        let row = query(
            "SELECT (SELECT count(*) FROM alert WHERE policy = ?1 AND reason = 'shadow'), \
             (SELECT count(*) FROM remediation WHERE policy = ?1 AND (needs_person = 1 OR approved_by IS NOT NULL)), \
             (SELECT count(*) FROM remediation WHERE policy = ?1 AND approved_by IS NOT NULL), \
             (SELECT count(*) FROM remediation WHERE policy = ?1 AND state IN ('confirmed', 'closed_happened')), \
             (SELECT count(*) FROM remediation WHERE policy = ?1 AND state IN ('unconfirmed', 'closed_not_happened')), \
             (SELECT count(*) FROM attempt WHERE policy = ?1 AND outcome = 'unknown'), \
             (SELECT count(*) FROM attempt WHERE policy = ?1 AND outcome = 'rejected'), \
             (SELECT count(*) FROM target_report WHERE policy = ?1)",
        )
        .bind(policy)
        .fetch_one(&self.people)
        .await
        .doing("counting what a policy has shown")?;
        let count = |place: usize| {
            row.get::<i64, _>(place).map_err(|_error| StoreError::Unreadable { what: "count" })
        };
        Ok(Record {
            shadow_hits: count(0)?,
            approvals_asked: count(1)?,
            approvals_given: count(2)?,
            confirmed: count(3)?,
            unconfirmed: count(4)?,
            unknown: count(5)?,
            rejected: count(6)?,
            wrong_target: count(7)?,
        })
    }
}
