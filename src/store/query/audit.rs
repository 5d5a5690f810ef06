//! The audit, by every filter.
//!
//! Never: a row that is not as it was hashed.

use jiff::Timestamp;
use serde::Serialize;

use super::{Page, PageRequest, cut, limit_of};
use crate::domain::audit::{Actor, ActorKind, AuditEvent};
use crate::domain::chain::Link;
use crate::store::db::{Connection, Pool, QueryBuilder, Row, built, query_scalar};
use crate::store::packed::Long as _;
use crate::store::rows::{Columns, ms};
use crate::store::{Doing, Store, StoreError};

/// One audit row with its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditItem {
    /// Place.
    pub seq: i64,
    /// The event.
    #[serde(flatten)]
    pub event: AuditEvent,
    /// Hash of the row before.
    pub prev_hash: String,
    /// Hash of this row.
    pub hash: String,
    /// Key it was hashed with; `None`: a plain SHA-256.
    pub key_id: Option<String>,
}

impl AuditItem {
    /// The row as a link of the chain.
    pub fn link(&self) -> Link<'_> {
        Link {
            seq: self.seq,
            event: &self.event,
            prev_hash: &self.prev_hash,
            hash: &self.hash,
            key_id: self.key_id.as_deref(),
        }
    }
}

/// Filters of the audit; all that are given must hold.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// The vendor's server number.
    pub server_instance_no: Option<String>,
    /// The cloud's own `requestId`.
    pub request_id: Option<String>,
    /// Our trace.
    pub trace_id: Option<String>,
    /// Delivery.
    pub delivery_id: Option<String>,
    /// Incident.
    pub incident_id: Option<String>,
    /// Remediation.
    pub remediation_id: Option<String>,
    /// Source name.
    pub source: Option<String>,
    /// Policy name.
    pub policy: Option<String>,
    /// Kind of event.
    pub kind: Option<String>,
    /// Outcome word.
    pub outcome: Option<String>,
    /// Reason word.
    pub reason: Option<String>,
    /// Actor name.
    pub actor: Option<String>,
    /// Not earlier than this.
    pub since: Option<Timestamp>,
    /// Earlier than this.
    pub until: Option<Timestamp>,
}

const AUDIT_COLUMNS: &str = "SELECT seq, at, kind, actor_kind, actor_name, trace_id, delivery_id, incident_id, \
     remediation_id, attempt_id, server_instance_no, region_code, source, policy, decision, reason, outcome, \
     request_id, return_code, return_message, http_status, detail, detail_packed, prev_hash, hash, key_id FROM audit ";

/// Stands for a detail that was kept packed and cannot be read. It is not what was hashed, so that verifying names the row.
const DAMAGED: &str = "(this detail is damaged in the store and cannot be read)";

fn audit_item(row: &Row) -> Result<AuditItem, StoreError> {
    let kind =
        ActorKind::parse(&row.text("actor_kind")?).ok_or(StoreError::Unreadable { what: "actor_kind" })?;
    Ok(AuditItem {
        seq: row.int("seq")?,
        event: AuditEvent {
            at: row.time("at")?,
            kind: row.text("kind")?,
            actor: Actor { kind, name: row.text("actor_name")? },
            trace_id: row.text_opt("trace_id")?,
            delivery_id: row.text_opt("delivery_id")?,
            incident_id: row.text_opt("incident_id")?,
            remediation_id: row.text_opt("remediation_id")?,
            attempt_id: row.int_opt("attempt_id")?,
            server_instance_no: row.text_opt("server_instance_no")?,
            region_code: row.text_opt("region_code")?,
            source: row.text_opt("source")?,
            policy: row.text_opt("policy")?,
            decision: row.text_opt("decision")?,
            reason: row.text_opt("reason")?,
            outcome: row.text_opt("outcome")?,
            request_id: row.text_opt("request_id")?,
            return_code: row.text_opt("return_code")?,
            return_message: row.text_opt("return_message")?,
            http_status: row.int_opt("http_status")?.and_then(|status| u16::try_from(status).ok()),
            detail: row.long_text("detail", "detail_packed").unwrap_or_else(|_error| DAMAGED.to_owned()),
        },
        prev_hash: row.text("prev_hash")?,
        hash: row.text("hash")?,
        key_id: row.text_opt("key_id")?,
    })
}

/// Audit rows behind a place, oldest first.
pub(in crate::store) async fn audit_after(
    db: &mut Connection,
    seq: i64,
    limit: i64,
) -> Result<Vec<AuditItem>, StoreError> {
    let sql = format!("{AUDIT_COLUMNS} WHERE seq > ? ORDER BY seq LIMIT 0 + ?");
    let rows = built(sql).bind(seq).bind(limit).fetch_all(db).await.doing("reading the audit")?;
    rows.iter().map(audit_item).collect()
}

/// Audit rows of some kinds (a JSON list) behind a place up to another, oldest first.
pub(in crate::store) async fn audit_of_kinds(
    readers: &Pool,
    (after, last): (i64, i64),
    kinds: &str,
    limit: i64,
) -> Result<Vec<AuditItem>, StoreError> {
    let sql = format!(
        "{AUDIT_COLUMNS} WHERE seq > ? AND seq <= ? AND (kind || '') IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT 0 + ?"
    );
    let rows = built(sql)
        .bind(after)
        .bind(last)
        .bind(kinds)
        .bind(limit)
        .fetch_all(readers)
        .await
        .doing("reading the audit")?;
    rows.iter().map(audit_item).collect()
}

impl Store {
    /// Rows behind a place up to another, oldest first.
    pub async fn audit_between(
        &self,
        after: i64,
        last: i64,
        limit: i64,
    ) -> Result<Vec<AuditItem>, StoreError> {
        let sql = format!("{AUDIT_COLUMNS} WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT 0 + ?");
        let rows = built(sql)
            .bind(after)
            .bind(last)
            .bind(limit)
            .fetch_all(&self.people)
            .await
            .doing("reading the audit")?;
        rows.iter().map(audit_item).collect()
    }

    /// The last row before the first that is not older than a time; `None` where there is no row.
    pub async fn audit_last_before(&self, at: Timestamp) -> Result<Option<i64>, StoreError> {
        query_scalar(
            "SELECT coalesce((SELECT min(seq) - 1 FROM audit WHERE at >= ?), (SELECT max(seq) FROM audit))",
        )
        .bind(ms(at))
        .fetch_one(&self.people)
        .await
        .doing("looking for the end of an export")
    }

    /// A page of the audit. The cursor is the `seq` that the page before ended with.
    pub async fn audit(
        &self,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditItem>, StoreError> {
        let mut query: QueryBuilder<'_> = QueryBuilder::new(AUDIT_COLUMNS);
        query.push("WHERE 1 = 1");
        let equals = [
            (" AND server_instance_no = ", &filter.server_instance_no),
            (" AND request_id = ", &filter.request_id),
            (" AND trace_id = ", &filter.trace_id),
            (" AND delivery_id = ", &filter.delivery_id),
            (" AND incident_id = ", &filter.incident_id),
            (" AND remediation_id = ", &filter.remediation_id),
            (" AND source = ", &filter.source),
            (" AND policy = ", &filter.policy),
            (" AND kind = ", &filter.kind),
            (" AND outcome = ", &filter.outcome),
            (" AND reason = ", &filter.reason),
            (" AND actor_name = ", &filter.actor),
        ];
        for (sql, value) in equals {
            if let Some(value) = value {
                query.push(sql).push_bind(value.clone());
            }
        }
        if let Some(since) = filter.since {
            query.push(" AND at >= ").push_bind(ms(since));
        }
        if let Some(until) = filter.until {
            query.push(" AND at < ").push_bind(ms(until));
        }
        if let Some(cursor) = page.cursor.as_ref().and_then(|text| text.parse::<i64>().ok()) {
            query.push(if page.ascending { " AND seq > " } else { " AND seq < " }).push_bind(cursor);
        }
        query.push(if page.ascending {
            " ORDER BY seq ASC LIMIT 0 + "
        } else {
            " ORDER BY seq DESC LIMIT 0 + "
        });
        let limit = limit_of(page);
        query.push_bind(limit + 1);
        let rows = query.build().fetch_all(&self.people).await.doing("reading the audit")?;
        let items = rows.iter().map(audit_item).collect::<Result<Vec<_>, _>>()?;
        Ok(cut(items, limit, |item| item.seq.to_string()))
    }
}
