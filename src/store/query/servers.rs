//! Known servers, and what is known of each beside the inventory: interrupts, dumps, incidents.
//!
//! Never: a judgement; whether a server may be interrupted is asked of `crate::domain`.

use jiff::Timestamp;
use serde::Serialize;

use super::remediations::{incident_row, remediation_row};
use super::{IncidentRow, Page, PageRequest, RemediationRow, cut, limit_of};
use crate::domain::facts::Past;
use crate::domain::guest::GuestFacts;
use crate::domain::server::{Server, ServerNo};
use crate::store::db::{Connection, QueryBuilder, query, query_scalar};
use crate::store::guest::guest_facts;
use crate::store::rows::Columns;
use crate::store::{Doing, Store, StoreError};

/// Interrupts of one server that are looked at, newest first. More than its budget can ever let count at once.
const INTERRUPTS_MAX: i64 = 50;

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

/// What is known of a server beside the inventory.
#[derive(Debug, Clone)]
pub struct ServerMarks {
    /// Its newest attempts, newest first.
    pub attempts: Vec<Past>,
    /// What its guest and its people said.
    pub guest: GuestFacts,
    /// Its open incident.
    pub open_incident: Option<String>,
}

impl Store {
    /// A page of known servers, by region and number; with `begins`, those whose number or name begins so.
    pub async fn servers(
        &self,
        begins: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<ServerRow>, StoreError> {
        let mut query: QueryBuilder<'_> = QueryBuilder::new("SELECT server, seen_at FROM server WHERE 1 = 1");
        if let Some((region, no)) = page.cursor.as_deref().and_then(|cursor| cursor.split_once('/')) {
            query.push(" AND (region_code, server_no) > (").push_bind(region.to_owned());
            query.push(", ").push_bind(no.to_owned()).push(")");
        }
        if let Some(begins) = begins {
            let mut pattern = String::new();
            for c in begins.chars() {
                if "%_\\".contains(c) {
                    pattern.push('\\');
                }
                pattern.push(c);
            }
            pattern.push('%');
            query
                .push(" AND (server_no LIKE ")
                .push_bind(pattern.clone())
                .push(" ESCAPE '\\' OR lower(server_name) LIKE ");
            query.push_bind(pattern.to_lowercase()).push(" ESCAPE '\\')");
        }
        let limit = limit_of(page);
        query.push(" ORDER BY region_code, server_no LIMIT 0 + ").push_bind(limit + 1);
        let rows = query.build().fetch_all(&self.people).await.doing("reading servers")?;
        let items = rows
            .iter()
            .map(|row| Ok(ServerRow { server: row.value("server")?, seen_at: row.time("seen_at")? }))
            .collect::<Result<Vec<_>, StoreError>>()?;
        Ok(cut(items, limit, |item| format!("{}/{}", item.server.region, item.server.no)))
    }

    /// Every server with this number: one, or one in each of several regions.
    pub async fn servers_numbered(&self, no: &ServerNo) -> Result<Vec<ServerRow>, StoreError> {
        let rows = query("SELECT server, seen_at FROM server WHERE server_no = ? ORDER BY region_code")
            .bind(no.as_str())
            .fetch_all(&self.people)
            .await
            .doing("reading the servers of a number")?;
        rows.iter()
            .map(|row| Ok(ServerRow { server: row.value("server")?, seen_at: row.time("seen_at")? }))
            .collect()
    }

    /// What is known of each of these servers, in their order.
    pub async fn marks_of(&self, servers: &[Server]) -> Result<Vec<ServerMarks>, StoreError> {
        let mut connection = self.people.acquire().await.doing("taking a reader")?;
        let mut all = Vec::with_capacity(servers.len());
        for server in servers {
            all.push(ServerMarks {
                attempts: attempts_on(&mut connection, server).await?,
                guest: guest_facts(&mut connection, &server.region, &server.no, server.created_at).await?,
                open_incident: open_incident(&mut connection, server).await?,
            });
        }
        Ok(all)
    }

    /// The newest incidents of a server, newest first.
    pub async fn incidents_on(&self, server: &Server, limit: i64) -> Result<Vec<IncidentRow>, StoreError> {
        let rows = query(
            "SELECT * FROM incident WHERE server_no = ? AND region_code = ? ORDER BY opened_at DESC LIMIT 0 + ?",
        )
        .bind(server.no.as_str())
        .bind(server.region.as_str())
        .bind(limit)
        .fetch_all(&self.people)
        .await
        .doing("reading the incidents of a server")?;
        rows.iter().map(incident_row).collect()
    }

    /// The newest remediations of a server with their attempts, newest first.
    pub async fn remediations_on(
        &self,
        server: &Server,
        limit: i64,
    ) -> Result<Vec<RemediationRow>, StoreError> {
        let rows = query(
            "SELECT * FROM remediation WHERE server_no = ? AND region_code = ? ORDER BY created_at DESC LIMIT 0 + ?",
        )
        .bind(server.no.as_str())
        .bind(server.region.as_str())
        .bind(limit)
        .fetch_all(&self.people)
        .await
        .doing("reading the remediations of a server")?;
        let mut items = rows.iter().map(remediation_row).collect::<Result<Vec<_>, _>>()?;
        let mut attempts = self.attempts_of(items.iter().map(|item| item.id.as_str())).await?;
        for item in &mut items {
            item.attempts = attempts.remove(&item.id).unwrap_or_default();
        }
        Ok(items)
    }
}

async fn open_incident(connection: &mut Connection, server: &Server) -> Result<Option<String>, StoreError> {
    query_scalar("SELECT id FROM incident WHERE region_code = ? AND server_no = ? AND closed_at IS NULL")
        .bind(server.region.as_str())
        .bind(server.no.as_str())
        .fetch_optional(connection)
        .await
        .doing("looking for an open incident")
}

async fn attempts_on(connection: &mut Connection, server: &Server) -> Result<Vec<Past>, StoreError> {
    let rows = query(
        "SELECT a.remediation_id, a.intent_at, a.server_no, a.region_code, a.policy, a.outcome, a.memory_bytes, \
         a.cooldown_until FROM remediation r JOIN attempt a ON a.remediation_id = r.id \
         WHERE r.server_no = ?1 AND r.region_code = ?2 UNION ALL \
         SELECT 'journal-' || attempt_id, intent_at, server_no, region_code, policy, outcome, memory_bytes, \
         cooldown_until FROM forgotten_attempt WHERE server_no = ?1 AND region_code = ?2 \
         ORDER BY 2 DESC LIMIT 0 + ?3",
    )
    .bind(server.no.as_str())
    .bind(server.region.as_str())
    .bind(INTERRUPTS_MAX)
    .fetch_all(connection)
    .await
    .doing("reading the attempts on a server")?;
    rows.iter().map(crate::store::facts::past).collect()
}
