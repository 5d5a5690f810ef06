//! Known servers, and figures for metrics and readiness.
//!
//! Never: a counter of its own; everything is counted from rows.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::{QueryBuilder, Sqlite};

use super::{Page, PageRequest, cut, limit_of};
use crate::domain::server::Server;
use crate::store::rows::{Columns, at};
use crate::store::{Doing, Store, StoreError};

/// One known server.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerRow {
    /// As the cloud last described it.
    #[serde(flatten)]
    pub server: Server,
    /// When.
    pub seen_at: Timestamp,
}

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
    /// A page of known servers, by number.
    pub async fn servers(&self, page: &PageRequest) -> Result<Page<ServerRow>, StoreError> {
        let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(
            "SELECT server, seen_at, region_code || '/' || server_no AS place FROM server WHERE 1 = 1",
        );
        if let Some(cursor) = &page.cursor {
            query.push(" AND region_code || '/' || server_no > ").push_bind(cursor.clone());
        }
        let limit = limit_of(page);
        query.push(" ORDER BY place LIMIT ").push_bind(limit + 1);
        let rows = query.build().fetch_all(&self.readers).await.doing("reading servers")?;
        let items = rows
            .iter()
            .map(|row| Ok(ServerRow { server: row.value("server")?, seen_at: row.time("seen_at")? }))
            .collect::<Result<Vec<_>, StoreError>>()?;
        Ok(cut(items, limit, |item| format!("{}/{}", item.server.region, item.server.no)))
    }

    /// Alerts that wait for a look-up.
    pub async fn pending_count(&self) -> Result<i64, StoreError> {
        sqlx::query_scalar("SELECT count(*) FROM alert WHERE decision = 'pending'")
            .fetch_one(&self.readers)
            .await
            .doing("counting pending alerts")
    }

    /// Figures for metrics and readiness; `sources` are those whose newest delivery is wanted.
    pub async fn counts(&self, sources: &[String]) -> Result<StoreCounts, StoreError> {
        let states: Vec<(String, i64)> =
            sqlx::query_as("SELECT state, count(*) FROM remediation GROUP BY state")
                .fetch_all(&self.readers)
                .await
                .doing("counting remediations")?;
        let holds: i64 = sqlx::query_scalar("SELECT count(*) FROM hold WHERE cleared_at IS NULL")
            .fetch_one(&self.readers)
            .await
            .doing("counting holds")?;
        let pending_alerts = self.pending_count().await?;
        let mut last_delivery = Vec::new();
        for source in sources {
            let newest: Option<i64> =
                sqlx::query_scalar("SELECT max(received_at) FROM delivery WHERE source = ?")
                    .bind(source)
                    .fetch_one(&self.readers)
                    .await
                    .doing("reading the last delivery of a source")?;
            if let Some(ms) = newest {
                last_delivery.push((source.clone(), at(ms)?));
            }
        }
        let oldest: Option<i64> = sqlx::query_scalar(
            "SELECT min(created_at) FROM remediation WHERE finished_at IS NULL \
             AND state IN ('settling', 'awaiting_approval', 'queued')",
        )
        .fetch_one(&self.readers)
        .await
        .doing("looking for the oldest that waits")?;
        let oldest_waiting = oldest.map(at).transpose()?;
        Ok(StoreCounts { remediations: states, holds, pending_alerts, last_delivery, oldest_waiting })
    }
}
