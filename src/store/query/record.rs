//! The record that a backtest replays: alerts in their order, and everything that people and the cloud did meanwhile.
//!
//! Never: writes, or reads a whole range of alerts at once.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::domain::breaker::Tried;
use crate::domain::facts::Past;
use crate::domain::guard::Reason;
use crate::domain::guest::{Attestation, AttestedSettings};
use crate::domain::hold::{Hold, HoldScope, Silence};
use crate::domain::ladder::Demotion;
use crate::domain::remediation::{Outcome, State};
use crate::domain::server::Server;
use crate::store::db::{Row, query};
use crate::store::packed::Long as _;
use crate::store::renewals::{self, Renewal};
use crate::store::rows::{Columns, ms};
use crate::store::{Doing, Store, StoreError, facts};

/// One alert as it was recorded.
#[derive(Debug, Clone)]
pub struct RecordedAlert {
    /// Its delivery.
    pub delivery_id: String,
    /// Its place there.
    pub idx: i64,
    /// Its source.
    pub source: String,
    /// The alert as JSON; `None` where it could not be read.
    pub alert: Option<String>,
    /// When the delivery came.
    pub received_at: Timestamp,
    /// Server number, where it was known.
    pub server_no: Option<String>,
    /// Policy that was in charge.
    pub policy: Option<String>,
    /// Decision word.
    pub decision: String,
    /// Reason word.
    pub reason: Option<String>,
    /// The guards as JSON, only where they tell how the cloud described the server.
    pub trace: Option<String>,
    /// Remediation that it opened or joined.
    pub remediation_id: Option<String>,
    /// The sender left alerts of its group out.
    pub truncated: bool,
    /// A person replayed it.
    pub replayed: bool,
}

impl RecordedAlert {
    /// One that had no row of its own.
    fn renewed(one: Renewal, delivery: &Row) -> Result<Self, StoreError> {
        let by_the_cloud = [Reason::NotEligible, Reason::Rebooted, Reason::DumpWindow].map(Reason::as_str);
        let tells_of_the_cloud = by_the_cloud.contains(&one.reason.as_str());
        Ok(Self {
            delivery_id: delivery.text("id")?,
            idx: one.idx,
            source: delivery.text("source")?,
            alert: Some(one.alert.get().to_owned()),
            received_at: delivery.time("received_at")?,
            server_no: Some(one.server_no),
            policy: one.policy,
            decision: one.decision,
            reason: Some(one.reason),
            trace: tells_of_the_cloud.then(|| one.trace.get().to_owned()),
            remediation_id: one.remediation_id,
            truncated: delivery.int("truncated")? > 0,
            replayed: delivery.int("replayed")? > 0,
        })
    }
}

/// How far the record was read.
#[derive(Debug, Clone)]
pub struct RecordPlace {
    /// When the last delivery that was read came.
    pub at: Timestamp,
    /// Its identifier; empty before the first.
    pub id: String,
    /// Deliveries that came later are not read.
    pub last: Timestamp,
}

/// Recorded alerts of some deliveries, in their order.
#[derive(Debug)]
pub struct RecordedPage {
    /// How far the record is read with them.
    pub after: RecordPlace,
    /// The alerts.
    pub alerts: Vec<RecordedAlert>,
}

/// How a recorded remediation went.
#[derive(Debug, Clone)]
pub struct RecordedLife {
    /// Its policy.
    pub policy: String,
    /// A person had to approve.
    pub needed_person: bool,
    /// When one did.
    pub approved_at: Option<Timestamp>,
    /// Where it stands.
    pub state: State,
    /// Reason word of its end.
    pub reason: Option<String>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The intent of its last try.
    pub intent_at: Option<Timestamp>,
    /// How that ended.
    pub outcome: Option<Outcome>,
    /// The server as it was.
    pub server: Server,
}

/// A time with a beginning, and an end where it has one.
pub type Span = (Timestamp, Option<Timestamp>);

/// Everything beside the alerts.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// The inventory as it is now.
    pub servers: Vec<Server>,
    /// Remediations decided in the range, by identifier.
    pub lives: BTreeMap<String, RecordedLife>,
    /// Attempts before the range that any limit may still count.
    pub attempts: Vec<Past>,
    /// Attempts before the range with the state of their remediations, by policy.
    pub tried: BTreeMap<String, Vec<Tried>>,
    /// Every hold, with its real end.
    pub holds: Vec<Hold>,
    /// Every silence, with its real end.
    pub silences: Vec<Silence>,
    /// When people cleared storms, by region.
    pub clearings: BTreeMap<String, Vec<Timestamp>>,
    /// Quarantines.
    pub quarantines: Vec<Span>,
    /// When dumps were collected, by region and number.
    pub collected: BTreeMap<(String, String), Vec<Timestamp>>,
    /// What guests attested, by region and number.
    pub attested: BTreeMap<(String, String), Vec<AttestedSettings>>,
    /// When breakers were reset, by policy.
    pub resets: BTreeMap<String, Vec<Timestamp>>,
    /// The demotion of each policy that nobody has taken back; of others nothing is known.
    pub demotions: BTreeMap<String, Demotion>,
}

impl Store {
    /// The deliveries since a time: when the last of them came, and how many alerts they hold; `None` where there is none.
    pub async fn recorded_range(&self, since: Timestamp) -> Result<Option<(Timestamp, i64)>, StoreError> {
        let row = query(
            "SELECT max(received_at) AS last, coalesce(CAST(sum(alert_count) AS BIGINT), 0) AS alerts FROM delivery \
             WHERE received_at >= ?",
        )
        .bind(ms(since))
        .fetch_optional(&self.people)
        .await
        .doing("looking for the alerts of a range")?;
        let Some(row) = row else { return Ok(None) };
        Ok(row.time_opt("last")?.zip(Some(row.int("alerts")?)))
    }

    /// The next recorded alerts behind a delivery, in the order in which they came: whole deliveries, until there are
    /// `enough`. `None` at the end.
    pub async fn recorded_alerts(
        &self,
        after: &RecordPlace,
        enough: i64,
    ) -> Result<Option<RecordedPage>, StoreError> {
        let next = query(
            "SELECT id, received_at, alert_count FROM delivery WHERE (received_at, id) > (?, ?) AND received_at <= ? \
             ORDER BY received_at, id LIMIT 0 + ?",
        )
        .bind(ms(after.at))
        .bind(&after.id)
        .bind(ms(after.last))
        .bind(enough)
        .fetch_all(&self.people)
        .await
        .doing("looking for recorded deliveries")?;
        let (mut ids, mut counted, mut place) = (Vec::new(), 0_i64, after.clone());
        for row in &next {
            if counted >= enough {
                break;
            }
            counted = counted.saturating_add(row.int("alert_count")?);
            place = RecordPlace { at: row.time("received_at")?, id: row.text("id")?, last: after.last };
            ids.push(place.id.clone());
        }
        if ids.is_empty() {
            return Ok(None);
        }
        let ids = serde_json::json!(ids).to_string();
        let mut alerts = self.alerts_with_rows(&ids).await?;
        alerts.extend(self.renewed_alerts(&ids).await?);
        alerts.sort_by(|a, b| {
            (a.received_at, &a.delivery_id, a.idx).cmp(&(b.received_at, &b.delivery_id, b.idx))
        });
        Ok(Some(RecordedPage { after: place, alerts }))
    }

    /// The alerts of deliveries that have rows of their own.
    async fn alerts_with_rows(&self, ids: &str) -> Result<Vec<RecordedAlert>, StoreError> {
        let rows = query(
            "SELECT a.delivery_id, a.idx, d.source, a.alert, a.alert_packed, d.received_at, a.server_no, a.policy, a.decision, \
             a.reason, CASE WHEN a.reason IN ('not_eligible', 'rebooted', 'dump_window') THEN a.trace END AS trace, \
             CASE WHEN a.reason IN ('not_eligible', 'rebooted', 'dump_window') THEN a.trace_packed END AS trace_packed, \
             a.remediation_id, d.truncated, d.replay_of IS NOT NULL AS replayed \
             FROM alert a JOIN delivery d ON d.id = a.delivery_id WHERE a.delivery_id IN (SELECT value FROM json_each(?))",
        )
        .bind(ids)
        .fetch_all(&self.people)
        .await
        .doing("reading recorded alerts")?;
        rows.iter()
            .map(|row| {
                Ok(RecordedAlert {
                    delivery_id: row.text("delivery_id")?,
                    idx: row.int("idx")?,
                    source: row.text("source")?,
                    alert: row.long_text_opt("alert", "alert_packed")?,
                    received_at: row.time("received_at")?,
                    server_no: row.text_opt("server_no")?,
                    policy: row.text_opt("policy")?,
                    decision: row.text("decision")?,
                    reason: row.text_opt("reason")?,
                    trace: row.long_text_opt("trace", "trace_packed")?,
                    remediation_id: row.text_opt("remediation_id")?,
                    truncated: row.int("truncated")? > 0,
                    replayed: row.int("replayed")? > 0,
                })
            })
            .collect()
    }

    /// The alerts of deliveries that lie with them.
    async fn renewed_alerts(&self, ids: &str) -> Result<Vec<RecordedAlert>, StoreError> {
        let rows = query(
            "SELECT id, source, received_at, truncated, replay_of IS NOT NULL AS replayed, renewals, renewals_packed \
             FROM delivery WHERE id IN (SELECT value FROM json_each(?)) AND renewal_count > 0",
        )
        .bind(ids)
        .fetch_all(&self.people)
        .await
        .doing("reading renewed notices")?;
        let mut alerts = Vec::new();
        for delivery in &rows {
            for one in renewals::of_row(delivery)? {
                alerts.push(RecordedAlert::renewed(one, delivery)?);
            }
        }
        Ok(alerts)
    }

    /// Everything beside the alerts since a time; attempts count from `attempts_since` on.
    pub async fn record_since(
        &self,
        since: Timestamp,
        attempts_since: Timestamp,
    ) -> Result<Record, StoreError> {
        let mut record = Record { lives: self.lives_since(since).await?, ..Record::default() };
        let mut connection = self.people.acquire().await.doing("taking a reader")?;
        record.attempts = facts::attempts(&mut connection, attempts_since, since).await?;
        record.attempts.retain(|past| past.intent_at < since);
        drop(connection);
        let rows =
            self.rows("SELECT server FROM server ORDER BY region_code, server_no", "reading servers").await?;
        record.servers = rows.iter().map(|row| row.value("server")).collect::<Result<_, _>>()?;
        self.people_since(since, &mut record).await?;
        self.guests_since(&mut record).await?;
        self.policies_since(since, &mut record).await?;
        Ok(record)
    }

    async fn rows(&self, sql: &'static str, doing: &'static str) -> Result<Vec<Row>, StoreError> {
        query(sql).fetch_all(&self.people).await.doing(doing)
    }

    async fn lives_since(&self, since: Timestamp) -> Result<BTreeMap<String, RecordedLife>, StoreError> {
        let rows = query(
            "SELECT r.id, r.policy, r.needs_person, r.approved_at, r.state, r.reason, r.finished_at, r.server, a.intent_at, \
             a.outcome FROM remediation r LEFT JOIN attempt a ON a.remediation_id = r.id AND a.id = \
             (SELECT max(id) FROM attempt WHERE remediation_id = r.id) WHERE r.created_at >= ?",
        )
        .bind(ms(since))
        .fetch_all(&self.people)
        .await
        .doing("reading recorded remediations")?;
        rows.iter()
            .map(|row| {
                let state =
                    State::parse(&row.text("state")?).ok_or(StoreError::Unreadable { what: "state" })?;
                let life = RecordedLife {
                    policy: row.text("policy")?,
                    needed_person: row.int("needs_person")? == 1,
                    approved_at: row.time_opt("approved_at")?,
                    state,
                    reason: row.text_opt("reason")?,
                    finished_at: row.time_opt("finished_at")?,
                    intent_at: row.time_opt("intent_at")?,
                    outcome: facts::outcome(row.text_opt("outcome")?.as_deref())?,
                    server: row.value("server")?,
                };
                Ok((row.text("id")?, life))
            })
            .collect()
    }

    async fn people_since(&self, since: Timestamp, record: &mut Record) -> Result<(), StoreError> {
        let holds = query(
            "SELECT id, scope, name, author, reason, set_at, min(coalesce(until, cleared_at), \
             coalesce(cleared_at, until)) AS ended_at FROM hold \
             WHERE coalesce(cleared_at, until, ?1) >= ?1 ORDER BY id",
        );
        for row in &holds.bind(ms(since)).fetch_all(&self.people).await.doing("reading holds")? {
            let scope =
                HoldScope::from_parts(&row.text("scope")?, &row.text("name")?).unwrap_or(HoldScope::Global);
            record.holds.push(Hold {
                id: row.int("id")?,
                scope,
                author: row.text("author")?,
                reason: row.text("reason")?,
                set_at: row.time("set_at")?,
                until: row.time_opt("ended_at")?,
            });
        }
        let silences = query(
            "SELECT id, matchers, author, comment, starts_at, min(ends_at, coalesce(expired_at, ends_at)) AS ended_at \
             FROM silence WHERE ends_at >= ? ORDER BY id",
        );
        for row in &silences.bind(ms(since)).fetch_all(&self.people).await.doing("reading silences")? {
            record.silences.push(Silence {
                id: row.int("id")?,
                matchers: row.value("matchers")?,
                author: row.text("author")?,
                comment: row.text("comment")?,
                starts_at: row.time("starts_at")?,
                ends_at: row.time("ended_at")?,
            });
        }
        let sql =
            "SELECT region_code, cleared_at FROM storm WHERE cleared_at IS NOT NULL ORDER BY cleared_at";
        for row in &self.rows(sql, "reading cleared storms").await? {
            record.clearings.entry(row.text("region_code")?).or_default().push(row.time("cleared_at")?);
        }
        let sql = "SELECT opened_at, cleared_at FROM quarantine ORDER BY id";
        for row in &self.rows(sql, "reading quarantines").await? {
            record.quarantines.push((row.time("opened_at")?, row.time_opt("cleared_at")?));
        }
        Ok(())
    }

    async fn guests_since(&self, record: &mut Record) -> Result<(), StoreError> {
        let sql = "SELECT region_code, server_no, at FROM dump_collected ORDER BY at";
        for row in &self.rows(sql, "reading collected dumps").await? {
            let place = (row.text("region_code")?, row.text("server_no")?);
            record.collected.entry(place).or_default().push(row.time("at")?);
        }
        let sql = "SELECT region_code, server_no, said, received_at FROM attestation \
                   WHERE kind = 'dump_settings' ORDER BY min(at, received_at), id";
        for row in &self.rows(sql, "reading attestations").await? {
            let place = (row.text("region_code")?, row.text("server_no")?);
            if let Attestation::DumpSettings { at, settings } = row.value("said")? {
                let at = at.min(row.time("received_at")?);
                record.attested.entry(place).or_default().push(AttestedSettings { at, settings });
            }
        }
        Ok(())
    }

    async fn policies_since(&self, since: Timestamp, record: &mut Record) -> Result<(), StoreError> {
        let sql = "SELECT policy, at FROM breaker_reset ORDER BY at";
        for row in &self.rows(sql, "reading resets").await? {
            record.resets.entry(row.text("policy")?).or_default().push(row.time("at")?);
        }
        let sql = "SELECT policy, demoted_at, why FROM policy_standing WHERE demoted_at IS NOT NULL";
        for row in &self.rows(sql, "reading demotions").await? {
            let demotion = Demotion { at: row.time("demoted_at")?, why: row.text("why")? };
            record.demotions.insert(row.text("policy")?, demotion);
        }
        let tried = query(
            "SELECT a.policy, a.intent_at, a.outcome, r.state, \
             CASE WHEN json_extract(a.evidence, '$.kind') = 'activity' THEN 1 ELSE 0 END AS by_record \
             FROM attempt a JOIN remediation r ON r.id = a.remediation_id \
             WHERE a.outcome IS DISTINCT FROM 'not_sent' AND a.intent_at < ? ORDER BY a.intent_at DESC, a.id DESC LIMIT 1000",
        );
        for row in &tried.bind(ms(since)).fetch_all(&self.people).await.doing("reading attempts")? {
            record.tried.entry(row.text("policy")?).or_default().push(Tried {
                intent_at: row.time("intent_at")?,
                outcome: facts::outcome(row.text_opt("outcome")?.as_deref())?,
                state: State::parse(&row.text("state")?).ok_or(StoreError::Unreadable { what: "state" })?,
                by_record: row.int("by_record")? != 0,
            });
        }
        Ok(())
    }
}

impl Record {
    /// Interrupts that were sent under a policy in the range.
    pub fn sent_under(&self, policy: &str) -> u64 {
        let sent = self.lives.values().filter(|life| life.policy == policy && life.intent_at.is_some());
        u64::try_from(sent.count()).unwrap_or(u64::MAX)
    }
}
