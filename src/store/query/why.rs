//! Everything stored that tells why something happened to a server, or did not.
//!
//! Never: a judgement, or a search without an end.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::deliveries::{ALERT_COLUMNS, AlertRow, alert_row};
use super::remediations::{RemediationRow, remediation_row};
use crate::domain::address::address;
use crate::domain::limits::earlier;
use crate::domain::server::{Server, ServerNo};
use crate::domain::target::ServerName;
use crate::store::db::{QueryBuilder, query, query_scalar};
use crate::store::rows::{Columns, ms};
use crate::store::{Doing, Store, StoreError};

/// How far back alerts are searched that no server could be found for.
const SEARCH_BACK: SignedDuration = SignedDuration::from_hours(24);
/// Rows that are told at most.
const ROWS_MAX: i64 = 20;

/// When a source last spoke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastWord {
    /// The source.
    pub source: String,
    /// Its newest delivery up to the time asked for.
    pub last_delivery_at: Option<Timestamp>,
}

/// A delivery whose body names something, and that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnreadableDelivery {
    /// Identifier.
    #[schema(format = "uuid")]
    pub id: String,
    /// Source.
    pub source: String,
    /// When it came.
    pub received_at: Timestamp,
}

impl Store {
    /// Servers that a person may mean: by number, by exact name, or by what a look-up of an address found.
    pub async fn servers_called(&self, called: &str) -> Result<Vec<Server>, StoreError> {
        let rows = query(
            "SELECT server FROM server WHERE server_no = ?1 OR server_name = ?2 OR server_no IN \
             (SELECT j.value FROM lookup l, json_each(l.server_nos) j WHERE l.named IN ('address ' || ?3, 'name ' || ?2)) \
             ORDER BY server_no LIMIT 20",
        )
        .bind(called)
        .bind(ServerName::new(called).as_str())
        .bind(address(called).map_or_else(|| called.to_owned(), |ip| ip.to_string()))
        .fetch_all(&self.people)
        .await
        .doing("looking for a server")?;
        rows.iter().map(|row| row.value("server")).collect()
    }

    /// Names and addresses that look-ups have found for a server.
    pub async fn other_names(&self, no: &ServerNo) -> Result<Vec<String>, StoreError> {
        let named: Vec<String> = query_scalar(
            "SELECT DISTINCT l.named FROM lookup l, json_each(l.server_nos) j WHERE j.value = ? LIMIT 20",
        )
        .bind(no.as_str())
        .fetch_all(&self.people)
        .await
        .doing("reading the names of a server")?;
        let plain = |text: &String| text.split_once(' ').map(|(_, name)| name.to_owned());
        Ok(named.iter().filter_map(plain).collect())
    }

    /// Newest alerts in the day before a time that could not be tied to a server, and that name one of these in a label
    /// (an address with or without a port), or in the body where the alert could not be read.
    pub async fn alerts_that_name(
        &self,
        names: &[String],
        at: Timestamp,
    ) -> Result<Vec<AlertRow>, StoreError> {
        let names = serde_json::json!(names).to_string();
        let mut query: QueryBuilder<'_> = QueryBuilder::new(ALERT_COLUMNS);
        query.push(" WHERE server_no IS NULL AND received_at <= ").push_bind(ms(at));
        query.push(" AND received_at > ").push_bind(ms(earlier(at, SEARCH_BACK)));
        query
            .push(
                " AND CASE WHEN alert IS NULL THEN EXISTS (SELECT 1 FROM delivery d JOIN body b \
                 ON b.sha256 = d.body_sha256, json_each(",
            )
            .push_bind(names.clone())
            .push(
                ") n WHERE d.id = alert.delivery_id AND instr(b.bytes, n.value) > 0) \
                 ELSE EXISTS (SELECT 1 FROM json_each(alert, '$.labels') l, json_each(",
            )
            .push_bind(names)
            .push(") n WHERE l.value = n.value OR substr(l.value, 1, length(n.value) + 1) = n.value || ':') END");
        query.push(" ORDER BY received_at DESC, id DESC LIMIT 0 + ").push_bind(ROWS_MAX);
        let rows = query.build().fetch_all(&self.people).await.doing("searching alerts")?;
        rows.iter().map(alert_row).collect()
    }

    /// Deliveries in the day before a time that could not be read, and whose body names one of these.
    pub async fn unreadable_that_name(
        &self,
        names: &[String],
        at: Timestamp,
    ) -> Result<Vec<UnreadableDelivery>, StoreError> {
        let rows = query(
            "SELECT d.id, d.source, d.received_at FROM delivery d JOIN body b ON b.sha256 = d.body_sha256 \
             WHERE d.received_at <= ? AND d.received_at > ? AND d.alert_count = 0 AND EXISTS \
             (SELECT 1 FROM json_each(?) n WHERE instr(b.bytes, n.value) > 0) \
             ORDER BY d.received_at DESC LIMIT 0 + ?",
        )
        .bind(ms(at))
        .bind(ms(earlier(at, SEARCH_BACK)))
        .bind(serde_json::json!(names).to_string())
        .bind(ROWS_MAX)
        .fetch_all(&self.people)
        .await
        .doing("searching deliveries")?;
        rows.iter()
            .map(|row| {
                Ok(UnreadableDelivery {
                    id: row.text("id")?,
                    source: row.text("source")?,
                    received_at: row.time("received_at")?,
                })
            })
            .collect()
    }

    /// When each source last spoke, up to a time. Replays are a person's word, not the source's.
    pub async fn last_words(&self, sources: &[String], at: Timestamp) -> Result<Vec<LastWord>, StoreError> {
        let mut words = Vec::with_capacity(sources.len());
        for source in sources {
            let newest: Option<i64> = query_scalar(
                "SELECT max(received_at) FROM delivery WHERE source = ? AND received_at <= ? AND replay_of IS NULL",
            )
            .bind(source)
            .bind(ms(at))
            .fetch_one(&self.people)
            .await
            .doing("reading the last delivery of a source")?;
            let last_delivery_at = newest.map(crate::store::rows::at).transpose()?;
            words.push(LastWord { source: source.clone(), last_delivery_at });
        }
        Ok(words)
    }

    /// Newest remediations of a server that were decided up to a time, newest first, with their attempts.
    pub async fn remediations_of(
        &self,
        no: &ServerNo,
        at: Timestamp,
    ) -> Result<Vec<RemediationRow>, StoreError> {
        let rows = query(
            "SELECT * FROM remediation WHERE server_no = ? AND created_at <= ? ORDER BY created_at DESC LIMIT 5",
        )
        .bind(no.as_str())
        .bind(ms(at))
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
