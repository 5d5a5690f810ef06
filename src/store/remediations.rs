//! Remediations: creating them and moving them along the only legal moves.
//!
//! Never: moves a row whose state or version is not the one that was decided about.

use jiff::Timestamp;

use crate::domain::alert::{Alert, Labels};
use crate::domain::claim::Waiting;
use crate::domain::guard::Reason;
use crate::domain::ids::{DeliveryId, IncidentId, RemediationId};
use crate::domain::remediation::{Event, State, transition};
use crate::domain::server::Server;

use super::db::{Row, built, query, query_scalar};
use super::image::{self, Part};
use super::open::Store;
use super::packed::Long as _;
use super::rows::{Columns, decision_hash, from_json, json, ms, ms_opt};
use super::waiting::RemediationRow;
use super::writer::Tx;
use super::{Doing, StoreError};

/// A remediation to be created; it begins settling.
#[derive(Debug, Clone)]
pub struct NewRemediation<'a> {
    /// Its identifier.
    pub id: &'a RemediationId,
    /// Its incident.
    pub incident_id: &'a IncidentId,
    /// The server as it was when decided.
    pub server: &'a Server,
    /// Policy in charge.
    pub policy: &'a str,
    /// Hash of that policy.
    pub policy_hash: &'a str,
    /// Hash of the active configuration.
    pub config_hash: &'a str,
    /// Source that opened it.
    pub source: &'a str,
    /// Alert that opened it.
    pub alert: &'a Alert,
    /// A person must approve.
    pub needs_person: bool,
    /// Why, where it is more than the policy's mode.
    pub reason: Option<Reason>,
    /// Person who ordered or replayed it.
    pub requested_by: Option<&'a str>,
    /// Delivery that was replayed.
    pub replay_of: Option<&'a DeliveryId>,
    /// Delivery that brought it.
    pub delivery_id: Option<&'a DeliveryId>,
    /// Our trace.
    pub trace_id: &'a str,
    /// Now.
    pub now: Timestamp,
    /// When the notice came that opened it: ages are counted from it, however late it was decided.
    pub noticed_at: Timestamp,
    /// End of the hold-down.
    pub settle_until: Timestamp,
    /// When the episode began.
    pub episode_started_at: Option<Timestamp>,
    /// When a person said that the server hangs.
    pub confirmed_at: Option<Timestamp>,
}

/// A stored remediation, as far as moving it needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Remediation {
    /// Its identifier.
    pub id: RemediationId,
    /// Its incident.
    pub incident_id: IncidentId,
    /// Where it stands.
    pub state: State,
    /// Counts its moves.
    pub version: i64,
    /// What the guards ask about.
    pub waiting: Waiting,
    /// Person who ordered or replayed it.
    pub requested_by: Option<String>,
    /// Our trace.
    pub trace_id: String,
    /// Delivery that brought it.
    pub delivery_id: Option<String>,
    /// End of the hold-down.
    pub settle_until: Timestamp,
    /// Not looked at before this.
    pub not_before: Timestamp,
    /// Reason it waits for.
    pub reason: Option<String>,
}

/// What a move writes besides the new state.
#[derive(Debug, Clone, Default)]
pub struct Move {
    /// Reason word.
    pub reason: Option<Reason>,
    /// End of a no.
    pub until: Option<Timestamp>,
    /// One sentence for people.
    pub detail: String,
    /// Not looked at before this.
    pub not_before: Option<Timestamp>,
    /// Person who approved.
    pub approved_by: Option<String>,
    /// A person vouched that it still hangs: counts as a notice.
    pub vouched: bool,
    /// Hash of the configuration whose guards were asked, for the event of the move.
    pub config_hash: Option<String>,
}

const COLUMNS: &str = "SELECT id, incident_id, state, version, server, policy, policy_hash, source, alert, needs_person, \
     requested_by, trace_id, delivery_id, settle_until, not_before, episode_started_at, last_notice_at, \
     waiting_since, approved_at, confirmed_at, created_at, reason FROM remediation ";

fn read(row: &Row) -> Result<Remediation, StoreError> {
    let server: Server = row.value("server")?;
    let id = row.text("id")?;
    Ok(Remediation {
        id: RemediationId::from_text(&id),
        incident_id: IncidentId::from_text(row.text("incident_id")?),
        state: State::parse(&row.text("state")?).ok_or(StoreError::Unreadable { what: "state" })?,
        version: row.int("version")?,
        waiting: Waiting {
            remediation_id: id,
            source: row.text("source")?,
            alert: row.value("alert")?,
            server,
            policy: row.text("policy")?,
            policy_hash: row.text("policy_hash")?,
            needs_person: row.int("needs_person")? == 1,
            last_notice_at: row.time("last_notice_at")?,
            episode_started_at: row.time_opt("episode_started_at")?,
            decided_at: row.time("created_at")?,
            waiting_since: row.time("waiting_since")?,
            approved_at: row.time_opt("approved_at")?,
            confirmed_at: row.time_opt("confirmed_at")?,
        },
        requested_by: row.text_opt("requested_by")?,
        trace_id: row.text("trace_id")?,
        delivery_id: row.text_opt("delivery_id")?,
        settle_until: row.time("settle_until")?,
        not_before: row.time("not_before")?,
        reason: row.text_opt("reason")?,
    })
}

impl Tx {
    /// Creates a remediation. Returns the seal of its row.
    pub fn insert_remediation(&mut self, new: &NewRemediation<'_>) -> Result<String, StoreError> {
        self.image.forget(Part::Life(&new.server.region, &new.server.no));
        let row = RemediationRow {
            id: new.id.to_string(),
            incident_id: new.incident_id.to_string(),
            server_no: new.server.no.to_string(),
            region_code: new.server.region.to_string(),
            server: json(new.server)?,
            policy: new.policy.to_owned(),
            policy_hash: new.policy_hash.to_owned(),
            config_hash: new.config_hash.to_owned(),
            source: new.source.to_owned(),
            alert: json(new.alert)?,
            needs_person: new.needs_person,
            reason: new.reason.map(Reason::as_str),
            requested_by: new.requested_by.map(str::to_owned),
            replay_of: new.replay_of.map(DeliveryId::to_string),
            delivery_id: new.delivery_id.map(DeliveryId::to_string),
            trace_id: new.trace_id.to_owned(),
            created_at: ms(new.now),
            settle_until: ms(new.settle_until),
            episode_started_at: ms_opt(new.episode_started_at),
            last_notice_at: ms(new.noticed_at),
            confirmed_at: ms_opt(new.confirmed_at),
        };
        let seal = row.seal();
        self.waiting.remediations.push(row);
        self.join_remediation(new.id, &new.alert.fingerprint, new.noticed_at);
        Ok(seal)
    }

    /// Notes that a firing alert opened or joined the remediation, and when its notice came.
    pub fn join_remediation(&mut self, id: &RemediationId, fingerprint: &str, noticed_at: Timestamp) {
        self.waiting.join(id, fingerprint, ms(noticed_at));
    }

    /// Joins the server's live remediation, if it has not been claimed yet. Returns the live one in any case, and whether
    /// it was joined.
    pub async fn join_live(
        &mut self,
        server: &Server,
        fingerprint: &str,
        noticed_at: Timestamp,
    ) -> Result<Option<(RemediationId, bool)>, StoreError> {
        let Some(live) = image::live(self, &server.region, &server.no).await? else { return Ok(None) };
        let id = RemediationId::from_text(live.remediation_id);
        let joins = live.state.is_before_intent();
        if joins {
            self.join_remediation(&id, fingerprint, noticed_at);
        }
        Ok(Some((id, joins)))
    }

    /// One remediation.
    pub async fn remediation(&mut self, id: &RemediationId) -> Result<Option<Remediation>, StoreError> {
        let row = built(format!("{COLUMNS} WHERE id = ?"))
            .bind(id.as_str())
            .fetch_optional(self.db().await?)
            .await
            .doing("reading a remediation")?;
        row.as_ref().map(read).transpose()
    }

    /// Hash of what a person decides about, as [`crate::store::RemediationRow::decision_hash`] shows it.
    pub async fn decision_hash(&mut self, id: &RemediationId) -> Result<Option<String>, StoreError> {
        let row = query("SELECT * FROM remediation WHERE id = ?")
            .bind(id.as_str())
            .fetch_optional(self.db().await?)
            .await
            .doing("reading what is decided about")?;
        row.as_ref().map(decision_hash).transpose()
    }

    /// Remediations before their intent that a fingerprint opened or joined.
    pub async fn cancellable_by(&mut self, fingerprint: &str) -> Result<Vec<Remediation>, StoreError> {
        let sql = format!(
            "{COLUMNS} WHERE state IN ('settling', 'awaiting_approval', 'queued') AND id IN \
             (SELECT remediation_id FROM remediation_alert WHERE fingerprint = ?)"
        );
        let rows = built(sql)
            .bind(fingerprint)
            .fetch_all(self.db().await?)
            .await
            .doing("looking for remediations to cancel")?;
        rows.iter().map(read).collect()
    }

    /// The fingerprint of an alert with these labels that opened or joined a remediation before its intent.
    pub async fn waiting_for(&mut self, labels: &Labels) -> Result<Option<String>, StoreError> {
        let rows = query(
            // The live ones first: they are few, and alerts are many.
            "SELECT a.alert, a.alert_packed FROM remediation r CROSS JOIN alert a \
             WHERE r.finished_at IS NULL AND r.state IN ('settling', 'awaiting_approval', 'queued') \
             AND a.incident_id = r.incident_id AND a.status = 'firing' AND a.fingerprint IN \
             (SELECT fingerprint FROM remediation_alert WHERE remediation_id = r.id)",
        )
        .fetch_all(self.db().await?)
        .await
        .doing("looking for an alert by its labels")?;
        let mut known = Vec::new();
        for row in rows {
            let alert: Alert = from_json(&row.long_text("alert", "alert_packed")?, "alert")?;
            known.extend(Some(alert).filter(|alert| alert.labels == *labels).map(|alert| alert.fingerprint));
        }
        Ok(known.into_iter().min())
    }

    /// Moves a remediation. The row must still be in the state and version that were read; otherwise, and for an
    /// illegal move, nothing is written and `None` is returned.
    pub async fn move_remediation(
        &mut self,
        remediation: &Remediation,
        event: Event,
        with: &Move,
        now: Timestamp,
    ) -> Result<Option<State>, StoreError> {
        let Ok(to) = transition(remediation.state, event) else { return Ok(None) };
        let server = &remediation.waiting.server;
        let part = if remediation.state.is_before_intent() && to != State::Intent {
            Part::Life(&server.region, &server.no)
        } else {
            Part::Interrupted(&server.region, &server.no)
        };
        let result = query(
            "UPDATE remediation SET state = ?, version = version + 1, reason = ?, until = ?, detail = ?, \
             not_before = coalesce(?, not_before), approved_by = coalesce(?, approved_by), \
             approved_at = CASE WHEN ? IS NULL THEN approved_at ELSE ? END, \
             last_notice_at = CASE WHEN ? THEN max(last_notice_at, ?) ELSE last_notice_at END, \
             confirmed_at = CASE WHEN ? THEN ? ELSE confirmed_at END, \
             waiting_since = CASE WHEN ? = 'awaiting_approval' THEN ? ELSE waiting_since END, \
             finished_at = CASE WHEN ? THEN ? ELSE NULL END \
             WHERE id = ? AND state = ? AND version = ?",
        )
        .bind(to.as_str())
        .bind(with.reason.map(Reason::as_str))
        .bind(ms_opt(with.until))
        .bind(&with.detail)
        .bind(ms_opt(with.not_before))
        .bind(&with.approved_by)
        .bind(&with.approved_by)
        .bind(ms(now))
        .bind(with.vouched)
        .bind(ms(now))
        .bind(with.vouched)
        .bind(ms(now))
        .bind(to.as_str())
        .bind(ms(now))
        .bind(to.is_terminal())
        .bind(ms(now))
        .bind(remediation.id.as_str())
        .bind(remediation.state.as_str())
        .bind(remediation.version)
        .execute(self.changing(part).await?)
        .await
        .doing("moving a remediation")?;
        Ok((result == 1).then_some(to))
    }

    /// Keeps the reason a queued remediation waits for. Returns whether it is a new one.
    pub async fn set_wait(
        &mut self,
        remediation: &Remediation,
        reason: Reason,
        until: Option<Timestamp>,
        detail: &str,
    ) -> Result<bool, StoreError> {
        // Written only when something is new: a wait is asked for at every tick.
        query(
            "UPDATE remediation SET reason = ?, until = ?, detail = ? WHERE id = ? AND state = 'queued' \
             AND (reason IS DISTINCT FROM ? OR until IS DISTINCT FROM ?)",
        )
        .bind(reason.as_str())
        .bind(ms_opt(until))
        .bind(detail)
        .bind(remediation.id.as_str())
        .bind(reason.as_str())
        .bind(ms_opt(until))
        .execute(self.db().await?)
        .await
        .doing("noting what a remediation waits for")?;
        Ok(remediation.reason.as_deref() != Some(reason.as_str()))
    }
}

impl Store {
    /// Remediations that the dispatcher must look at: settling ones whose hold-down is over, queued ones that are
    /// due, and those that wait for approval longer than allowed are found by looking at all of them. Oldest first.
    pub async fn due(&self, now: Timestamp) -> Result<Vec<Remediation>, StoreError> {
        let sql = format!(
            "{COLUMNS} WHERE finished_at IS NULL AND state IN ('settling', 'awaiting_approval', 'queued') \
             AND not_before <= ? ORDER BY created_at, id LIMIT 1000"
        );
        let rows =
            built(sql).bind(ms(now)).fetch_all(&self.readers).await.doing("looking for due remediations")?;
        rows.iter().map(read).collect()
    }

    /// When the next settling or queued remediation becomes due.
    pub async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let at: Option<i64> = query_scalar(
            "SELECT min(not_before) FROM remediation \
             WHERE finished_at IS NULL AND state IN ('settling', 'queued') AND not_before > ?",
        )
        .bind(ms(after))
        .fetch_one(&self.readers)
        .await
        .doing("looking for the next due remediation")?;
        at.map(super::rows::at).transpose()
    }

    /// One remediation.
    pub async fn remediation(&self, id: &RemediationId) -> Result<Option<Remediation>, StoreError> {
        let row = built(format!("{COLUMNS} WHERE id = ?"))
            .bind(id.as_str())
            .fetch_optional(&self.readers)
            .await
            .doing("reading a remediation")?;
        row.as_ref().map(read).transpose()
    }
}
