//! One row of each kind that waits, and how it is written.
//!
//! Never: writes one.

use crate::domain::audit::AuditEvent;
use crate::domain::ids::DeliveryId;
use crate::domain::seal::Seal;
use crate::store::db::Binds;
use crate::store::deliveries::NewDelivery;
use crate::store::packed::{Packed, columns, pack};
use crate::store::rows::{ms, ms_opt};

/// A delivery that waits.
#[derive(Debug)]
pub(in crate::store) struct DeliveryRow {
    pub(in crate::store) new: NewDelivery,
    pub(in crate::store) repeat_of: Option<DeliveryId>,
    pub(in crate::store) answer: Packed,
    /// Its renewed notices, packed already: as they are they take some hundred kilobytes.
    pub(in crate::store) renewals: Packed,
    /// How many they are.
    pub(in crate::store) renewal_count: i64,
}

/// A decision that waits.
#[derive(Debug)]
pub(in crate::store) struct AlertRow {
    pub(in crate::store) delivery_id: String,
    pub(in crate::store) idx: i64,
    pub(in crate::store) source: String,
    pub(in crate::store) fingerprint: Option<String>,
    pub(in crate::store) status: Option<&'static str>,
    pub(in crate::store) alert: Option<String>,
    pub(in crate::store) received_at: i64,
    pub(in crate::store) server_no: Option<String>,
    pub(in crate::store) region_code: Option<String>,
    pub(in crate::store) policy: Option<String>,
    pub(in crate::store) decision: &'static str,
    pub(in crate::store) reason: Option<&'static str>,
    pub(in crate::store) until: Option<i64>,
    pub(in crate::store) detail: String,
    pub(in crate::store) trace: String,
    pub(in crate::store) config_hash: String,
    pub(in crate::store) decided_at: i64,
    pub(in crate::store) incident_id: Option<String>,
    pub(in crate::store) remediation_id: Option<String>,
}

impl AlertRow {
    /// What never changes of it.
    pub(in crate::store) fn seal(&self) -> String {
        alert_seal(
            &self.source,
            self.fingerprint.as_deref(),
            self.status,
            self.alert.as_deref(),
            self.received_at,
        )
    }
}

/// The seal of an alert's row.
pub(in crate::store) fn alert_seal(
    source: &str,
    fingerprint: Option<&str>,
    status: Option<&str>,
    alert: Option<&str>,
    received_at: i64,
) -> String {
    let seal = Seal::default().text(Some(source)).text(fingerprint).text(status).text(alert);
    seal.number(Some(received_at)).done()
}

/// An event that waits, with its place in the chain.
#[derive(Debug)]
pub(in crate::store) struct AuditRow {
    pub(in crate::store) seq: i64,
    pub(in crate::store) event: AuditEvent,
    pub(in crate::store) prev_hash: String,
    pub(in crate::store) hash: String,
    pub(in crate::store) key_id: Option<String>,
}

/// A remediation that waits; it begins settling.
#[derive(Debug)]
pub(in crate::store) struct RemediationRow {
    pub(in crate::store) id: String,
    pub(in crate::store) incident_id: String,
    pub(in crate::store) server_no: String,
    pub(in crate::store) region_code: String,
    pub(in crate::store) server: String,
    pub(in crate::store) policy: String,
    pub(in crate::store) policy_hash: String,
    pub(in crate::store) config_hash: String,
    pub(in crate::store) source: String,
    pub(in crate::store) alert: String,
    pub(in crate::store) needs_person: bool,
    pub(in crate::store) reason: Option<&'static str>,
    pub(in crate::store) requested_by: Option<String>,
    pub(in crate::store) replay_of: Option<String>,
    pub(in crate::store) delivery_id: Option<String>,
    pub(in crate::store) trace_id: String,
    pub(in crate::store) created_at: i64,
    pub(in crate::store) settle_until: i64,
    pub(in crate::store) episode_started_at: Option<i64>,
    pub(in crate::store) last_notice_at: i64,
    pub(in crate::store) confirmed_at: Option<i64>,
}

impl RemediationRow {
    /// What never changes of it beside what its event names: the server and the alert that every later look is compared
    /// with, and its times.
    pub(in crate::store) fn seal(&self) -> String {
        remediation_seal(
            [&self.server, &self.alert, &self.config_hash, &self.trace_id],
            [self.delivery_id.as_deref(), self.replay_of.as_deref()],
            [Some(self.created_at), Some(self.settle_until), self.episode_started_at],
        )
    }
}

/// The seal of a remediation's row.
pub(in crate::store) fn remediation_seal(
    texts: [&str; 4],
    named: [Option<&str>; 2],
    times: [Option<i64>; 3],
) -> String {
    let seal = texts.into_iter().fold(Seal::default(), |seal, text| seal.text(Some(text)));
    let seal = named.into_iter().fold(seal, Seal::text);
    times.into_iter().fold(seal, Seal::number).done()
}

pub(super) fn bind_delivery<'q>(into: &mut Binds<'_, 'q>, row: &'q DeliveryRow) {
    let new = &row.new;
    into.push_bind(new.id.as_str())
        .push_bind(&new.trace_id)
        .push_bind(&new.source)
        .push_bind(ms(new.received_at))
        .push_bind(&new.peer)
        .push_bind(new.credential)
        .push_bind(&new.body_sha256)
        .push_bind(ms_opt(new.sender_time))
        .push_bind(new.alert_count)
        .push_bind(new.truncated)
        .push_bind(i64::from(new.dedupable))
        .push_bind(row.repeat_of.as_ref().map(DeliveryId::as_str))
        .push_bind(new.replay_of.as_ref().map(DeliveryId::as_str))
        .push_bind(&new.actor)
        .push_bind(&new.config_hash)
        .push_bind(row.answer.plain.as_str())
        .push_bind(row.answer.packed.as_deref())
        .push_bind(row.renewals.plain.as_str())
        .push_bind(row.renewals.packed.as_deref())
        .push_bind(row.renewal_count);
}

pub(super) fn bind_alert<'q>(into: &mut Binds<'_, 'q>, row: &'q AlertRow) {
    // An alert without a server is searched for the names in its labels, by SQL.
    let alert = row.alert.as_ref().filter(|_| row.server_no.is_some()).and_then(|text| pack(text.as_bytes()));
    let (trace, trace_packed) = columns(&row.trace);
    into.push_bind(&row.delivery_id)
        .push_bind(row.idx)
        .push_bind(&row.source)
        .push_bind(&row.fingerprint)
        .push_bind(row.status)
        .push_bind(if alert.is_some() { None } else { row.alert.as_deref() })
        .push_bind(alert)
        .push_bind(row.received_at)
        .push_bind(&row.server_no)
        .push_bind(&row.region_code)
        .push_bind(&row.policy)
        .push_bind(row.decision)
        .push_bind(row.reason)
        .push_bind(row.until)
        .push_bind(&row.detail)
        .push_bind(trace)
        .push_bind(trace_packed)
        .push_bind(&row.config_hash)
        .push_bind(row.decided_at)
        .push_bind(&row.incident_id)
        .push_bind(&row.remediation_id);
}

pub(super) fn bind_event<'q>(into: &mut Binds<'_, 'q>, row: &'q AuditRow) {
    let event = &row.event;
    let (detail, detail_packed) = columns(&event.detail);
    into.push_bind(row.seq)
        .push_bind(ms(event.at))
        .push_bind(&event.kind)
        .push_bind(event.actor.kind.as_str())
        .push_bind(&event.actor.name)
        .push_bind(&event.trace_id)
        .push_bind(&event.delivery_id)
        .push_bind(&event.incident_id)
        .push_bind(&event.remediation_id)
        .push_bind(event.attempt_id)
        .push_bind(&event.server_instance_no)
        .push_bind(&event.region_code)
        .push_bind(&event.source)
        .push_bind(&event.policy)
        .push_bind(&event.decision)
        .push_bind(&event.reason)
        .push_bind(&event.outcome)
        .push_bind(&event.request_id)
        .push_bind(&event.return_code)
        .push_bind(&event.return_message)
        .push_bind(event.http_status.map(i64::from))
        .push_bind(detail)
        .push_bind(detail_packed)
        .push_bind(&row.prev_hash)
        .push_bind(&row.hash)
        .push_bind(&row.key_id);
}

pub(super) fn bind_remediation<'q>(into: &mut Binds<'_, 'q>, row: &'q RemediationRow) {
    into.push_bind(&row.id)
        .push_bind(&row.incident_id)
        .push_bind("settling")
        .push_bind(&row.server_no)
        .push_bind(&row.region_code)
        .push_bind(&row.server)
        .push_bind(&row.policy)
        .push_bind(&row.policy_hash)
        .push_bind(&row.config_hash)
        .push_bind(&row.source)
        .push_bind(&row.alert)
        .push_bind(i64::from(row.needs_person))
        .push_bind(row.reason)
        .push_bind(&row.requested_by)
        .push_bind(&row.replay_of)
        .push_bind(&row.delivery_id)
        .push_bind(&row.trace_id)
        .push_bind(row.created_at)
        .push_bind(row.settle_until)
        .push_bind(row.settle_until)
        .push_bind(row.episode_started_at)
        .push_bind(row.last_notice_at)
        .push_bind(row.created_at)
        .push_bind(row.confirmed_at);
}
