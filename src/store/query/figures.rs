//! Figures for metrics and readiness.
//!
//! Never: a counter of its own; everything is counted from rows.

use jiff::Timestamp;
use serde::Serialize;

use crate::store::db::{query_as, query_scalar};
use crate::store::rows::at;
use crate::store::{Doing, Store, StoreError};

/// Figures for metrics and readiness.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreCounts {
    /// Remediations by state.
    pub remediations: Vec<(String, i64)>,
    /// Active holds.
    pub holds: i64,
    /// Alerts that wait for a look-up.
    pub pending_alerts: i64,
    /// Newest delivery per source.
    pub last_delivery: Vec<(String, Timestamp)>,
    /// Oldest remediation that waits before its intent.
    pub oldest_waiting: Option<Timestamp>,
}

impl Store {
    /// Alerts that wait for a look-up.
    pub async fn pending_count(&self) -> Result<i64, StoreError> {
        query_scalar("SELECT count(*) FROM alert WHERE decision = 'pending'")
            .fetch_one(&self.people)
            .await
            .doing("counting pending alerts")
    }

    /// Figures for metrics and readiness; `sources` are those whose newest delivery is wanted.
    pub async fn counts(&self, sources: &[String]) -> Result<StoreCounts, StoreError> {
        let states: Vec<(String, i64)> = query_as("SELECT state, count(*) FROM remediation GROUP BY state")
            .fetch_all(&self.people)
            .await
            .doing("counting remediations")?;
        let holds: i64 = query_scalar("SELECT count(*) FROM hold WHERE cleared_at IS NULL")
            .fetch_one(&self.people)
            .await
            .doing("counting holds")?;
        let pending_alerts = self.pending_count().await?;
        let mut last_delivery = Vec::new();
        for source in sources {
            let newest: Option<i64> = query_scalar("SELECT max(received_at) FROM delivery WHERE source = ?")
                .bind(source)
                .fetch_one(&self.people)
                .await
                .doing("reading the last delivery of a source")?;
            if let Some(ms) = newest {
                last_delivery.push((source.clone(), at(ms)?));
            }
        }
        let oldest: Option<i64> = query_scalar(
            "SELECT min(created_at) FROM remediation WHERE finished_at IS NULL \
             AND state IN ('settling', 'awaiting_approval', 'queued')",
        )
        .fetch_one(&self.people)
        .await
        .doing("looking for the oldest that waits")?;
        let oldest_waiting = oldest.map(at).transpose()?;
        Ok(StoreCounts { remediations: states, holds, pending_alerts, last_delivery, oldest_waiting })
    }
}
