//! Deliveries with their raw bodies, and the decision on each alert.
//!
//! Never: a credential; none is stored.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{Page, PageRequest, cut, limit_of};
use crate::domain::alert::{Alert, AlertStatus};
use crate::domain::decision::Decision;
use crate::domain::guard::{Reason, Trace};
use crate::domain::ids::TraceId;
use crate::domain::server::{RegionCode, ServerNo};
use crate::store::db::{QueryBuilder, Row, built, query};
use crate::store::packed::Long as _;
use crate::store::renewals;
use crate::store::rows::{Columns, from_json, ms};
use crate::store::{Doing, Store, StoreError};

/// One delivery in a list.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliverySummary {
    /// Identifier.
    #[schema(format = "uuid")]
    pub id: String,
    /// Our trace.
    #[schema(value_type = TraceId)]
    pub trace_id: String,
    /// Source.
    pub source: String,
    /// When it came.
    pub received_at: Timestamp,
    /// Peer address.
    pub peer: String,
    /// SHA-256 of the body.
    pub body_sha256: String,
    /// Alerts in it.
    pub alert_count: i64,
    /// Alerts left out by the sender.
    pub truncated: i64,
    /// Earlier delivery with the same body.
    #[schema(format = "uuid")]
    pub repeat_of: Option<String>,
    /// Delivery that a person replayed.
    #[schema(format = "uuid")]
    pub replay_of: Option<String>,
    /// Source or person.
    pub actor: String,
}

/// One decided alert.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertRow {
    /// Delivery.
    #[schema(format = "uuid")]
    pub delivery_id: String,
    /// Place in it.
    pub idx: i64,
    /// Source.
    pub source: String,
    /// Fingerprint.
    pub fingerprint: Option<String>,
    /// Firing or resolved.
    #[schema(value_type = Option<AlertStatus>)]
    pub status: Option<String>,
    /// The alert as read.
    #[schema(value_type = Option<Alert>)]
    pub alert: Option<serde_json::Value>,
    /// When the delivery came.
    pub received_at: Timestamp,
    /// Server number, where known.
    #[schema(value_type = Option<ServerNo>)]
    pub server_instance_no: Option<String>,
    /// Region.
    #[schema(value_type = Option<RegionCode>)]
    pub region_code: Option<String>,
    /// Policy.
    pub policy: Option<String>,
    /// Decision word.
    #[schema(value_type = Decision)]
    pub decision: String,
    /// Reason word.
    #[schema(value_type = Option<Reason>)]
    pub reason: Option<String>,
    /// End of a no.
    pub until: Option<Timestamp>,
    /// One sentence.
    pub detail: String,
    /// Every guard that was asked.
    #[schema(value_type = Trace)]
    pub trace: serde_json::Value,
    /// Hash of the configuration it was decided by.
    pub config_hash: String,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// Incident.
    #[schema(format = "uuid")]
    pub incident_id: Option<String>,
    /// Remediation.
    #[schema(format = "uuid")]
    pub remediation_id: Option<String>,
}

/// One delivery with everything in it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryDetail {
    /// The delivery.
    #[serde(flatten)]
    pub summary: DeliverySummary,
    /// Raw body, as text where it is UTF-8.
    pub body: String,
    /// The answer it got.
    #[schema(value_type = Object)]
    pub answer: serde_json::Value,
    /// The decision on each alert.
    pub alerts: Vec<AlertRow>,
}

/// Alerts of one delivery that got the same decision for the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionCount {
    /// Delivery.
    pub delivery_id: String,
    /// Decision word.
    pub decision: String,
    /// Reason word.
    pub reason: Option<String>,
    /// How many.
    pub alerts: i64,
    /// The least and the greatest number of their servers: the same, where it is one server.
    pub servers: Option<(String, String)>,
}

const DELIVERY_COLUMNS: &str = "SELECT d.id, d.trace_id, d.source, d.received_at, d.peer, d.body_sha256, \
     d.alert_count, d.truncated, d.repeat_of, d.replay_of, d.actor FROM delivery d ";

fn delivery_summary(row: &Row) -> Result<DeliverySummary, StoreError> {
    Ok(DeliverySummary {
        id: row.text("id")?,
        trace_id: row.text("trace_id")?,
        source: row.text("source")?,
        received_at: row.time("received_at")?,
        peer: row.text("peer")?,
        body_sha256: row.text("body_sha256")?,
        alert_count: row.int("alert_count")?,
        truncated: row.int("truncated")?,
        repeat_of: row.text_opt("repeat_of")?,
        replay_of: row.text_opt("replay_of")?,
        actor: row.text("actor")?,
    })
}

pub(super) const ALERT_COLUMNS: &str = "SELECT delivery_id, idx, source, fingerprint, status, alert, alert_packed, received_at, server_no, \
     region_code, policy, decision, reason, until, detail, trace, trace_packed, config_hash, decided_at, incident_id, \
     remediation_id FROM alert ";

pub(super) fn alert_row(row: &Row) -> Result<AlertRow, StoreError> {
    let alert =
        row.long_text_opt("alert", "alert_packed")?.map(|text| from_json(&text, "alert")).transpose()?;
    Ok(AlertRow {
        delivery_id: row.text("delivery_id")?,
        idx: row.int("idx")?,
        source: row.text("source")?,
        fingerprint: row.text_opt("fingerprint")?,
        status: row.text_opt("status")?,
        alert,
        received_at: row.time("received_at")?,
        server_instance_no: row.text_opt("server_no")?,
        region_code: row.text_opt("region_code")?,
        policy: row.text_opt("policy")?,
        decision: row.text("decision")?,
        reason: row.text_opt("reason")?,
        until: row.time_opt("until")?,
        detail: row.text("detail")?,
        trace: from_json(&row.long_text("trace", "trace_packed")?, "trace")?,
        config_hash: row.text("config_hash")?,
        decided_at: row.time("decided_at")?,
        incident_id: row.text_opt("incident_id")?,
        remediation_id: row.text_opt("remediation_id")?,
    })
}

/// The renewed notices of a delivery, as if each had a row.
fn renewed(delivery: &Row) -> Result<Vec<AlertRow>, StoreError> {
    let (received_at, config_hash) = (delivery.time("received_at")?, delivery.text("config_hash")?);
    let (delivery_id, source) = (delivery.text("id")?, delivery.text("source")?);
    renewals::of_row(delivery)?
        .into_iter()
        .map(|one| {
            Ok(AlertRow {
                delivery_id: delivery_id.clone(),
                idx: one.idx,
                source: source.clone(),
                alert: Some(from_json(one.alert.get(), "alert")?),
                received_at,
                until: one.until()?,
                trace: from_json(one.trace.get(), "trace")?,
                fingerprint: Some(one.fingerprint),
                status: Some(one.status),
                server_instance_no: Some(one.server_no),
                region_code: one.region_code,
                policy: one.policy,
                decision: one.decision,
                reason: Some(one.reason),
                detail: one.detail,
                config_hash: config_hash.clone(),
                decided_at: received_at,
                incident_id: one.incident_id,
                remediation_id: one.remediation_id,
            })
        })
        .collect()
}

impl Store {
    /// A page of deliveries.
    pub async fn deliveries(
        &self,
        source: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<DeliverySummary>, StoreError> {
        let mut query: QueryBuilder<'_> = QueryBuilder::new(DELIVERY_COLUMNS);
        query.push("WHERE 1 = 1");
        if let Some(source) = source {
            query.push(" AND d.source = ").push_bind(source.to_owned());
        }
        if let Some(cursor) = &page.cursor {
            query.push(" AND d.id < ").push_bind(cursor.clone());
        }
        let limit = limit_of(page);
        query.push(" ORDER BY d.id DESC LIMIT 0 + ").push_bind(limit + 1);
        let rows = query.build().fetch_all(&self.people).await.doing("reading deliveries")?;
        let items = rows.iter().map(delivery_summary).collect::<Result<Vec<_>, _>>()?;
        Ok(cut(items, limit, |item| item.id.clone()))
    }

    /// One delivery with its raw body and every decision.
    pub async fn delivery_detail(&self, id: &str) -> Result<Option<DeliveryDetail>, StoreError> {
        let sql = "SELECT d.id, d.trace_id, d.source, d.received_at, d.peer, d.body_sha256, d.alert_count, \
                   d.truncated, d.repeat_of, d.replay_of, d.actor, d.config_hash, d.answer, d.answer_packed, d.renewals, \
                   d.renewals_packed, b.bytes, b.packed FROM delivery d \
                   JOIN body b ON b.sha256 = d.body_sha256 WHERE d.id = ?";
        let row = query(sql).bind(id).fetch_optional(&self.people).await.doing("reading a delivery")?;
        let Some(row) = row else { return Ok(None) };
        let bytes = row.long_bytes("bytes", "packed")?;
        let answer = row.long_text("answer", "answer_packed")?;
        let mut alerts = self.alerts_where(" WHERE delivery_id = ?", id).await?;
        alerts.extend(renewed(&row)?);
        alerts.sort_by_key(|alert| alert.idx);
        Ok(Some(DeliveryDetail {
            summary: delivery_summary(&row)?,
            body: String::from_utf8_lossy(&bytes).into_owned(),
            answer: serde_json::from_str(&answer).unwrap_or(serde_json::Value::Null),
            alerts,
        }))
    }

    /// How many alerts of these deliveries got which decision.
    pub async fn decisions_of(&self, ids: &[String]) -> Result<Vec<DecisionCount>, StoreError> {
        let rows = query(
            "SELECT delivery_id, decision, reason, count(*) AS alerts, min(server_no) AS least, \
             max(server_no) AS greatest FROM alert WHERE delivery_id IN (SELECT value FROM json_each(?)) \
             GROUP BY delivery_id, decision, reason",
        )
        .bind(serde_json::json!(ids).to_string())
        .fetch_all(&self.people)
        .await
        .doing("counting decisions")?;
        // In the order of their deliveries.
        let mut counts = BTreeMap::new();
        for row in &rows {
            let key = (row.text("delivery_id")?, row.text("decision")?, row.text_opt("reason")?);
            counts.insert(key, (row.int("alerts")?, row.text_opt("least")?.zip(row.text_opt("greatest")?)));
        }
        let rows = query(
            "SELECT id, renewals, renewals_packed FROM delivery \
             WHERE id IN (SELECT value FROM json_each(?)) AND renewal_count > 0",
        )
        .bind(serde_json::json!(ids).to_string())
        .fetch_all(&self.people)
        .await
        .doing("counting renewed notices")?;
        for row in &rows {
            let id = row.text("id")?;
            for one in renewals::of_row(row)? {
                let (alerts, servers) =
                    counts.entry((id.clone(), one.decision, Some(one.reason))).or_insert((0, None));
                *alerts += 1;
                let (no, other) = (one.server_no.clone(), one.server_no);
                *servers = Some(match servers.take() {
                    None => (no, other),
                    Some((least, greatest)) => (least.min(no), greatest.max(other)),
                });
            }
        }
        let told = |((delivery_id, decision, reason), (alerts, servers))| DecisionCount {
            delivery_id,
            decision,
            reason,
            alerts,
            servers,
        };
        Ok(counts.into_iter().map(told).collect())
    }

    async fn alerts_where(&self, clause: &str, id: &str) -> Result<Vec<AlertRow>, StoreError> {
        let rows = built(format!("{ALERT_COLUMNS}{clause}"))
            .bind(id)
            .fetch_all(&self.people)
            .await
            .doing("reading alerts")?;
        rows.iter().map(alert_row).collect()
    }

    /// Newest decisions of an incident.
    pub async fn alerts_of_incident(&self, id: &str, limit: i64) -> Result<Vec<AlertRow>, StoreError> {
        let sql = format!("{ALERT_COLUMNS} WHERE incident_id = ? ORDER BY alert.id DESC LIMIT 0 + ?");
        let rows = built(sql)
            .bind(id)
            .bind(limit)
            .fetch_all(&self.people)
            .await
            .doing("reading the alerts of an incident")?;
        rows.iter().map(alert_row).collect()
    }

    /// Newest decisions about a server at or before a time: "why did nothing happen?"
    pub async fn decisions_about(&self, server_no: &str, at: Timestamp) -> Result<Vec<AlertRow>, StoreError> {
        let sql = format!(
            "{ALERT_COLUMNS} WHERE server_no = ? AND received_at <= ? ORDER BY received_at DESC, id DESC LIMIT 20"
        );
        let rows = built(sql)
            .bind(server_no)
            .bind(ms(at))
            .fetch_all(&self.people)
            .await
            .doing("reading decisions")?;
        rows.iter().map(alert_row).collect()
    }
}
