//! Incidents, remediations and their attempts.
//!
//! Never: a judgement; states are shown as they are.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{Page, PageRequest, cut, limit_of};
use crate::domain::guard::Reason;
use crate::domain::ids::{RemediationId, TraceId};
use crate::domain::remediation::{Outcome, State};
use crate::domain::server::{RegionCode, Server, ServerNo};
use crate::store::db::{QueryBuilder, Row, query};
use crate::store::rows::{Columns, decision_hash, from_json};
use crate::store::{ActivitySeen, Doing, Store, StoreError};

/// One incident.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IncidentRow {
    /// Identifier.
    #[schema(format = "uuid")]
    pub id: String,
    /// Server number.
    #[schema(value_type = ServerNo)]
    pub server_instance_no: String,
    /// Region.
    #[schema(value_type = RegionCode)]
    pub region_code: String,
    /// Server name.
    pub server_name: String,
    /// When it opened.
    pub opened_at: Timestamp,
    /// Last notice.
    pub last_seen_at: Timestamp,
    /// When it closed.
    pub closed_at: Option<Timestamp>,
}

/// One remediation, for people.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemediationRow {
    /// Identifier.
    #[schema(format = "uuid")]
    pub id: String,
    /// Incident.
    #[schema(format = "uuid")]
    pub incident_id: String,
    /// State word.
    #[schema(value_type = State)]
    pub state: String,
    /// Counts its moves; an approval names it.
    pub version: i64,
    /// Hash of what a person decides about; an approval names it as well.
    pub decision_hash: String,
    /// Server number.
    #[schema(value_type = ServerNo)]
    pub server_instance_no: String,
    /// Region.
    #[schema(value_type = RegionCode)]
    pub region_code: String,
    /// The server as it was when decided.
    #[schema(value_type = Server)]
    pub server: serde_json::Value,
    /// Policy.
    pub policy: String,
    /// Hash of that policy.
    pub policy_hash: String,
    /// Source.
    pub source: String,
    /// Person who ordered or replayed it.
    pub requested_by: Option<String>,
    /// Delivery that was replayed.
    #[schema(format = "uuid")]
    pub replay_of: Option<String>,
    /// Delivery that brought it.
    #[schema(format = "uuid")]
    pub delivery_id: Option<String>,
    /// Our trace.
    #[schema(value_type = TraceId)]
    pub trace_id: String,
    /// A person must approve.
    pub needs_approval: bool,
    /// When it was decided.
    pub created_at: Timestamp,
    /// End of the hold-down.
    pub settle_until: Timestamp,
    /// Last firing notice.
    pub last_notice_at: Timestamp,
    /// When it began to wait for approval.
    pub waiting_since: Timestamp,
    /// Person who approved.
    pub approved_by: Option<String>,
    /// When.
    pub approved_at: Option<Timestamp>,
    /// Reason word.
    #[schema(value_type = Option<Reason>)]
    pub reason: Option<String>,
    /// End of a no.
    pub until: Option<Timestamp>,
    /// One sentence.
    pub detail: String,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Its attempts.
    pub attempts: Vec<AttemptRow>,
    /// What the cloud's activity record said, where it was asked; only when one remediation is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity: Option<ActivitySeen>,
}

/// One attempt, for people.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptRow {
    /// Row.
    pub id: i64,
    /// Number of the try.
    pub r#try: i64,
    /// When the intent was committed.
    pub intent_at: Timestamp,
    /// SHA-256 of the request.
    pub request_hash: String,
    /// Outcome word; `None` while in flight.
    #[schema(value_type = Option<Outcome>)]
    pub outcome: Option<String>,
    /// When it ended.
    pub outcome_at: Option<Timestamp>,
    /// What happened.
    pub cause: Option<String>,
    /// The cloud's own `requestId`.
    pub request_id: Option<String>,
    /// Return code, verbatim.
    pub return_code: Option<String>,
    /// Return message.
    pub return_message: Option<String>,
    /// HTTP status.
    pub http_status: Option<i64>,
    /// SHA-256 of the answer's body.
    pub body_sha256: Option<String>,
    /// Evidence of the reboot.
    #[schema(schema_with = proof)]
    pub evidence: Option<serde_json::Value>,
}

/// Evidence of any kind, or none yet.
fn proof() -> utoipa::openapi::schema::Schema {
    let none = utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::Type::Null);
    let kinds = ["Evidence", "ActivityEvidence", "GuestDump"].map(utoipa::openapi::Ref::from_schema_name);
    let any = kinds
        .into_iter()
        .fold(utoipa::openapi::schema::OneOfBuilder::new(), utoipa::openapi::schema::OneOfBuilder::item);
    any.item(none).build().into()
}

pub(super) fn incident_row(row: &Row) -> Result<IncidentRow, StoreError> {
    Ok(IncidentRow {
        id: row.text("id")?,
        server_instance_no: row.text("server_no")?,
        region_code: row.text("region_code")?,
        server_name: row.text("server_name")?,
        opened_at: row.time("opened_at")?,
        last_seen_at: row.time("last_seen_at")?,
        closed_at: row.time_opt("closed_at")?,
    })
}

pub(super) fn remediation_row(row: &Row) -> Result<RemediationRow, StoreError> {
    Ok(RemediationRow {
        id: row.text("id")?,
        incident_id: row.text("incident_id")?,
        state: row.text("state")?,
        version: row.int("version")?,
        decision_hash: decision_hash(row)?,
        server_instance_no: row.text("server_no")?,
        region_code: row.text("region_code")?,
        server: row.value("server")?,
        policy: row.text("policy")?,
        policy_hash: row.text("policy_hash")?,
        source: row.text("source")?,
        requested_by: row.text_opt("requested_by")?,
        replay_of: row.text_opt("replay_of")?,
        delivery_id: row.text_opt("delivery_id")?,
        trace_id: row.text("trace_id")?,
        needs_approval: row.int("needs_person")? == 1,
        created_at: row.time("created_at")?,
        settle_until: row.time("settle_until")?,
        last_notice_at: row.time("last_notice_at")?,
        waiting_since: row.time("waiting_since")?,
        approved_by: row.text_opt("approved_by")?,
        approved_at: row.time_opt("approved_at")?,
        reason: row.text_opt("reason")?,
        until: row.time_opt("until")?,
        detail: row.text("detail")?,
        finished_at: row.time_opt("finished_at")?,
        attempts: Vec::new(),
        activity: None,
    })
}

fn attempt_row(row: &Row) -> Result<AttemptRow, StoreError> {
    Ok(AttemptRow {
        id: row.int("id")?,
        r#try: row.int("try")?,
        intent_at: row.time("intent_at")?,
        request_hash: row.text("request_hash")?,
        outcome: row.text_opt("outcome")?,
        outcome_at: row.time_opt("outcome_at")?,
        cause: row.text_opt("cause")?,
        request_id: row.text_opt("request_id")?,
        return_code: row.text_opt("return_code")?,
        return_message: row.text_opt("return_message")?,
        http_status: row.int_opt("http_status")?,
        body_sha256: row.text_opt("body_sha256")?,
        evidence: row.text_opt("evidence")?.map(|t| from_json(&t, "evidence")).transpose()?,
    })
}

impl Store {
    /// A page of incidents.
    pub async fn incidents(
        &self,
        open_only: bool,
        page: &PageRequest,
    ) -> Result<Page<IncidentRow>, StoreError> {
        let mut query: QueryBuilder<'_> = QueryBuilder::new("SELECT * FROM incident WHERE 1 = 1");
        if open_only {
            query.push(" AND closed_at IS NULL");
        }
        if let Some(cursor) = &page.cursor {
            query.push(" AND id < ").push_bind(cursor.clone());
        }
        let limit = limit_of(page);
        query.push(" ORDER BY id DESC LIMIT 0 + ").push_bind(limit + 1);
        let rows = query.build().fetch_all(&self.people).await.doing("reading incidents")?;
        let items = rows.iter().map(incident_row).collect::<Result<Vec<_>, _>>()?;
        Ok(cut(items, limit, |item| item.id.clone()))
    }

    /// One incident.
    pub async fn incident(&self, id: &str) -> Result<Option<IncidentRow>, StoreError> {
        let row = query("SELECT * FROM incident WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.people)
            .await
            .doing("reading an incident")?;
        row.as_ref().map(incident_row).transpose()
    }

    /// A page of remediations, each with its attempts. `state` may be a state word or `live`.
    pub async fn remediations(
        &self,
        state: Option<&str>,
        incident: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<RemediationRow>, StoreError> {
        let mut query: QueryBuilder<'_> = QueryBuilder::new("SELECT * FROM remediation WHERE 1 = 1");
        match state {
            Some("live") => {
                query.push(" AND finished_at IS NULL");
            }
            Some(state) => {
                query.push(" AND state = ").push_bind(state.to_owned());
            }
            None => {}
        }
        if let Some(incident) = incident {
            query.push(" AND incident_id = ").push_bind(incident.to_owned());
        }
        if let Some(cursor) = &page.cursor {
            query.push(" AND id < ").push_bind(cursor.clone());
        }
        let limit = limit_of(page);
        query.push(" ORDER BY id DESC LIMIT 0 + ").push_bind(limit + 1);
        let rows = query.build().fetch_all(&self.people).await.doing("reading remediations")?;
        let items = rows.iter().map(remediation_row).collect::<Result<Vec<_>, _>>()?;
        let mut page = cut(items, limit, |item| item.id.clone());
        let mut attempts = self.attempts_of(page.items.iter().map(|item| item.id.as_str())).await?;
        for item in &mut page.items {
            item.attempts = attempts.remove(&item.id).unwrap_or_default();
        }
        Ok(page)
    }

    /// One remediation with its attempts.
    pub async fn remediation_row(&self, id: &str) -> Result<Option<RemediationRow>, StoreError> {
        let row = query("SELECT * FROM remediation WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.people)
            .await
            .doing("reading a remediation")?;
        let Some(row) = row else { return Ok(None) };
        let mut item = remediation_row(&row)?;
        item.attempts = self.attempts_of([id]).await?.remove(id).unwrap_or_default();
        item.activity = self.activity_seen(&RemediationId::from_text(id)).await?;
        Ok(Some(item))
    }

    /// The attempts of several remediations, in one query.
    pub(super) async fn attempts_of<'i>(
        &self,
        ids: impl IntoIterator<Item = &'i str>,
    ) -> Result<BTreeMap<String, Vec<AttemptRow>>, StoreError> {
        let ids: Vec<&str> = ids.into_iter().collect();
        let ids = serde_json::json!(ids).to_string();
        let sql =
            "SELECT * FROM attempt WHERE remediation_id IN (SELECT value FROM json_each(?)) ORDER BY id";
        let rows = query(sql).bind(ids).fetch_all(&self.people).await.doing("reading attempts")?;
        let mut attempts: BTreeMap<String, Vec<AttemptRow>> = BTreeMap::new();
        for row in &rows {
            attempts.entry(row.text("remediation_id")?).or_default().push(attempt_row(row)?);
        }
        Ok(attempts)
    }
}
