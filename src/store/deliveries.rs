//! Deliveries, their raw bodies, and the decision on each alert.
//!
//! Never: forgets a body that was authenticated.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;

use crate::domain::alert::Alert;
use crate::domain::decision::Decided;
use crate::domain::ids::{DeliveryId, IncidentId, RemediationId};
use crate::domain::limits::earlier;
use crate::domain::seal::Seal;

use super::db::{QueryBuilder, query, query_scalar};
use super::open::Store;
use super::packed::{KeptBody, Long as _, Packed, columns};
use super::renewals::{self, Renewal};
use super::rows::{Columns, json, ms, ms_opt};
use super::waiting::{AlertRow, DeliveryRow as WaitingDelivery};
use super::writer::Tx;
use super::{Doing, StoreError};

/// The same body from the same source within this time is the same delivery.
pub const SAME_DELIVERY_WITHIN: SignedDuration = SignedDuration::from_secs(60);

/// A delivery to be recorded.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// Its identifier.
    pub id: DeliveryId,
    /// Our trace.
    pub trace_id: String,
    /// Source it came from.
    pub source: String,
    /// When it came.
    pub received_at: Timestamp,
    /// Peer address.
    pub peer: String,
    /// Which of the source's credentials matched, counted from 0.
    pub credential: i64,
    /// SHA-256 of the body, hex.
    pub body_sha256: String,
    /// The raw body; a clone shares it.
    pub body: KeptBody,
    /// The sender's own signed time.
    pub sender_time: Option<Timestamp>,
    /// Alerts in it.
    pub alert_count: i64,
    /// Alerts left out by the sender.
    pub truncated: i64,
    /// Holds no resolved alert, so that an identical body may be taken for the same delivery.
    pub dedupable: bool,
    /// The stored delivery that a person replays.
    pub replay_of: Option<DeliveryId>,
    /// Source or person.
    pub actor: String,
    /// Hash of the active configuration.
    pub config_hash: String,
}

/// A body by its source and its SHA-256, hex.
pub type BodyKey = (String, String);

impl NewDelivery {
    /// Which body of which source it is.
    pub fn body_key(&self) -> BodyKey {
        (self.source.clone(), self.body_sha256.clone())
    }

    /// What never changes of its row beside what its event names, the answer included.
    pub fn seal(&self, answer: &str) -> String {
        let numbers = [self.credential, self.alert_count, self.truncated, i64::from(self.dedupable)];
        seal_of(
            [&self.trace_id, &self.peer, &self.actor, &self.config_hash, answer],
            numbers,
            ms_opt(self.sender_time),
        )
    }
}

/// The seal of a delivery's row.
pub(super) fn seal_of(texts: [&str; 5], numbers: [i64; 4], sender_time: Option<i64>) -> String {
    let seal = texts.into_iter().fold(Seal::default(), |seal, text| seal.text(Some(text)));
    let seal = numbers.into_iter().fold(seal, |seal, number| seal.number(Some(number)));
    seal.number(sender_time).done()
}

/// A delivery that was already answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The delivery.
    pub id: DeliveryId,
    /// Its answer, as JSON.
    pub answer: String,
    /// It came within [`SAME_DELIVERY_WITHIN`], so that this is the same delivery and not a renewed notice.
    pub same: bool,
}

/// One alert's decision, to be recorded.
#[derive(Debug, Clone)]
pub struct AlertDecision<'a> {
    /// The delivery.
    pub delivery_id: &'a DeliveryId,
    /// Place in the delivery.
    pub idx: usize,
    /// Its source.
    pub source: &'a str,
    /// Fingerprint where it could be read.
    pub fingerprint: Option<&'a str>,
    /// The alert where it could be read.
    pub alert: Option<&'a Alert>,
    /// When the delivery came.
    pub received_at: Timestamp,
    /// Server and region where the target is known.
    pub server_no: Option<&'a str>,
    /// Region of the policy.
    pub region_code: Option<&'a str>,
    /// The decision.
    pub decided: &'a Decided,
    /// Its trace, as it is written.
    pub trace: &'a RawValue,
    /// Hash of the active configuration.
    pub config_hash: &'a str,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// Incident it joined.
    pub incident_id: Option<&'a IncidentId>,
    /// Remediation it opened or joined.
    pub remediation_id: Option<&'a RemediationId>,
}

/// A stored delivery with what is needed to replay it.
#[derive(Debug, Clone)]
pub struct DeliveryRow {
    /// Its source.
    pub source: String,
    /// When it came.
    pub received_at: Timestamp,
    /// The sender's own signed time.
    pub sender_time: Option<Timestamp>,
    /// The raw body.
    pub body: Vec<u8>,
    /// Its answer.
    pub answer: String,
}

impl Tx {
    /// Looks for all of these at once. Those that no delivery had need not be looked for by their own.
    pub(super) async fn look_for_bodies(&mut self, bodies: &[&BodyKey]) -> Result<(), StoreError> {
        // One alone asks as fast by itself.
        let [_, .., last] = bodies else { return Ok(()) };
        // The last one is asked for again, so that few statements are prepared.
        let again = bodies.len().next_power_of_two() - bodies.len();
        let asked: Vec<&BodyKey> = bodies.iter().chain(std::iter::repeat_n(last, again)).copied().collect();
        let mut builder = QueryBuilder::new("SELECT wanted.column1, wanted.column2 FROM (");
        builder.push_values(&asked, |into, (source, sha256)| {
            into.push_bind(source).push_bind(sha256);
        });
        builder.push(
            ") AS wanted WHERE EXISTS (SELECT 1 FROM delivery \
             WHERE source = wanted.column1 AND body_sha256 = wanted.column2)",
        );
        let rows = builder.build().fetch_all(self.db().await?).await.doing("looking for known bodies")?;
        self.first_of_body = asked.into_iter().cloned().collect();
        for row in &rows {
            self.first_of_body.remove(&(row.text("column1")?, row.text("column2")?));
        }
        Ok(())
    }

    /// The newest delivery of the same body from the same source, if that body may be deduplicated.
    pub async fn earlier_delivery(
        &mut self,
        source: &str,
        body_sha256: &str,
        now: Timestamp,
    ) -> Result<Option<StoredAnswer>, StoreError> {
        if self.first_of_body.contains(&(source.to_owned(), body_sha256.to_owned())) {
            return Ok(None);
        }
        let waits = |row: &WaitingDelivery| row.new.source == source && row.new.body_sha256 == body_sha256;
        let connection = if self.waiting.deliveries.iter().any(waits) {
            self.db().await?
        } else {
            self.behind_the_waiting()
        };
        let row = query(
            "SELECT id, answer, answer_packed, received_at FROM delivery \
             WHERE source = ? AND body_sha256 = ? AND dedupable = 1 AND replay_of IS NULL \
             ORDER BY received_at DESC LIMIT 1",
        )
        .bind(source)
        .bind(body_sha256)
        .fetch_optional(connection)
        .await
        .doing("looking for the same delivery")?;
        let Some(row) = row else { return Ok(None) };
        let same = row.time("received_at")? > earlier(now, SAME_DELIVERY_WITHIN);
        Ok(Some(StoredAnswer {
            id: DeliveryId::from_text(row.text("id")?),
            answer: row.long_text("answer", "answer_packed")?,
            same,
        }))
    }

    /// The alerts that a delivery said were over.
    pub async fn ends_of(&mut self, id: &DeliveryId) -> Result<Vec<String>, StoreError> {
        let rows = query(
            "SELECT fingerprint FROM alert WHERE delivery_id = ? AND decision = 'resolved' AND fingerprint IS NOT NULL",
        )
        .bind(id.as_str())
        .fetch_all(self.db().await?)
        .await
        .doing("reading what a delivery ended")?;
        rows.iter().map(|row| row.text("fingerprint")).collect()
    }

    /// Whether this body of this source was kept before, unreadable as it was.
    pub async fn was_unreadable(&mut self, source: &str, body_sha256: &str) -> Result<bool, StoreError> {
        let count: i64 = query_scalar(
            "SELECT count(*) FROM delivery WHERE source = ? AND body_sha256 = ? AND dedupable = 0 \
             AND alert_count = 0 AND replay_of IS NULL",
        )
        .bind(source)
        .bind(body_sha256)
        .fetch_one(self.db().await?)
        .await
        .doing("looking for the same unreadable delivery")?;
        Ok(count > 0)
    }

    /// Records a delivery and its body. The answer follows with [`Tx::set_answer`].
    pub fn insert_delivery(&mut self, new: &NewDelivery, repeat_of: Option<&DeliveryId>) {
        let mut new = new.clone();
        if repeat_of.is_some() {
            // It is in the store.
            new.body = KeptBody::Plain(Bytes::new());
        }
        self.first_of_body.remove(&new.body_key());
        self.waiting.deliveries.push(WaitingDelivery {
            new,
            repeat_of: repeat_of.cloned(),
            answer: Packed::default(),
            renewals: Packed::default(),
            renewal_count: 0,
        });
    }

    /// Whether the delivery is stored; an order by hand has none.
    pub async fn has_delivery(&mut self, id: &DeliveryId) -> Result<bool, StoreError> {
        if self.waiting.deliveries.iter().any(|row| row.new.id == *id) {
            return Ok(true);
        }
        let found: Option<i64> = query_scalar("SELECT 1 FROM delivery WHERE id = ?")
            .bind(id.as_str())
            .fetch_optional(self.behind_the_waiting())
            .await
            .doing("looking for a delivery")?;
        Ok(found.is_some())
    }

    /// Keeps the answer that the delivery gets, and its renewed notices.
    pub async fn set_answer(
        &mut self,
        id: &DeliveryId,
        answer: &str,
        renewals: &[Renewal],
    ) -> Result<(), StoreError> {
        let answer = Packed::of(answer.to_owned());
        let text = Packed::of(renewals::text_of(renewals)?);
        let count = i64::try_from(renewals.len()).unwrap_or(i64::MAX);
        if let Some(row) = self.waiting.deliveries.iter_mut().rev().find(|row| row.new.id == *id) {
            row.answer = answer;
            row.renewals = text;
            row.renewal_count = count;
            return Ok(());
        }
        query(
            "UPDATE delivery SET answer = ?, answer_packed = ?, renewals = ?, renewals_packed = ?, renewal_count = ? \
             WHERE id = ?",
        )
        .bind(answer.plain.as_str())
        .bind(answer.packed.as_deref())
        .bind(text.plain.as_str())
        .bind(text.packed.as_deref())
        .bind(count)
        .bind(id.as_str())
        .execute(self.behind_the_waiting())
        .await
        .doing("keeping an answer")
        .map(|_| ())
    }

    /// Records the decision on one alert. Returns the seal of its row.
    pub fn insert_alert(&mut self, row: &AlertDecision<'_>) -> Result<String, StoreError> {
        let row = AlertRow {
            delivery_id: row.delivery_id.to_string(),
            idx: i64::try_from(row.idx).unwrap_or(i64::MAX),
            source: row.source.to_owned(),
            fingerprint: row.fingerprint.map(str::to_owned),
            status: row.alert.map(|alert| alert.status.as_str()),
            alert: row.alert.map(json).transpose()?,
            received_at: ms(row.received_at),
            server_no: row.server_no.map(str::to_owned),
            region_code: row.region_code.map(str::to_owned),
            policy: row.decided.policy.clone(),
            decision: row.decided.decision.as_str(),
            reason: row.decided.reason.map(crate::domain::guard::Reason::as_str),
            until: ms_opt(row.decided.until),
            detail: row.decided.detail.clone(),
            trace: row.trace.get().to_owned(),
            config_hash: row.config_hash.to_owned(),
            decided_at: ms(row.decided_at),
            incident_id: row.incident_id.map(IncidentId::to_string),
            remediation_id: row.remediation_id.map(RemediationId::to_string),
        };
        let seal = row.seal();
        self.waiting.alerts.push(row);
        Ok(seal)
    }

    /// Replaces the decision of a pending alert. Returns false when it is not pending any more.
    pub async fn redecide_alert(&mut self, id: i64, row: &AlertDecision<'_>) -> Result<bool, StoreError> {
        self.record_in_full(row.source, row.fingerprint);
        let (trace, trace_packed) = columns(row.trace.get());
        let result = query(
            "UPDATE alert SET server_no = ?, region_code = ?, policy = ?, decision = ?, reason = ?, until = ?, \
             detail = ?, trace = ?, trace_packed = ?, config_hash = ?, decided_at = ?, incident_id = ?, remediation_id = ? \
             WHERE id = ? AND decision = 'pending'",
        )
        .bind(row.server_no)
        .bind(row.region_code)
        .bind(&row.decided.policy)
        .bind(row.decided.decision.as_str())
        .bind(row.decided.reason.map(crate::domain::guard::Reason::as_str))
        .bind(ms_opt(row.decided.until))
        .bind(&row.decided.detail)
        .bind(trace)
        .bind(trace_packed)
        .bind(row.config_hash)
        .bind(ms(row.decided_at))
        .bind(row.incident_id.map(IncidentId::as_str))
        .bind(row.remediation_id.map(RemediationId::as_str))
        .bind(id)
        .execute(self.db().await?)
        .await
        .doing("deciding a pending alert")?;
        Ok(result == 1)
    }
}

impl Store {
    /// A stored delivery with its raw body.
    pub async fn delivery(&self, id: &DeliveryId) -> Result<Option<DeliveryRow>, StoreError> {
        let row = query(
            "SELECT d.source, d.received_at, d.sender_time, d.answer, d.answer_packed, b.bytes, \
             b.packed \
             FROM delivery d JOIN body b ON b.sha256 = d.body_sha256 WHERE d.id = ?",
        )
        .bind(id.as_str())
        .fetch_optional(&self.readers)
        .await
        .doing("reading a delivery")?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(DeliveryRow {
            source: row.text("source")?,
            received_at: row.time("received_at")?,
            sender_time: row.time_opt("sender_time")?,
            body: row.long_bytes("bytes", "packed")?,
            answer: row.long_text("answer", "answer_packed")?,
        }))
    }
}
