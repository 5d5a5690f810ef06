//! Rows that wait in a transaction until they are written together: what every alert adds.
//!
//! Never: is passed over. Whoever takes the connection finds them written.

use std::collections::BTreeMap;

use crate::domain::ids::{IncidentId, RemediationId};
use crate::domain::server::{RegionCode, ServerNo};
use crate::domain::storm::Sighting;

use super::db::{Binds, Connection, QueryBuilder};
use super::{Doing, StoreError};

mod rows;

pub(super) use rows::{AlertRow, AuditRow, DeliveryRow, RemediationRow, alert_seal, remediation_seal};
use rows::{bind_alert, bind_delivery, bind_event, bind_remediation};

/// Most rows of one statement. A statement is made for each power of two up to it, so that few are prepared.
const ROWS_MAX: usize = 64;

/// Decisions that wait at most, so that memory stays bounded.
const ALERTS_MAX: usize = 512;
/// Bytes of bodies that wait at most.
const BODY_BYTES_MAX: usize = 8 << 20;

/// All that waits.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) deliveries: Vec<DeliveryRow>,
    pub(super) alerts: Vec<AlertRow>,
    pub(super) events: Vec<AuditRow>,
    pub(super) remediations: Vec<RemediationRow>,
    /// Incidents that were heard of again, and when last.
    seen: BTreeMap<IncidentId, i64>,
    /// Alerts that fire, by incident, source and fingerprint, and when they last did.
    firing: BTreeMap<(IncidentId, String, String), i64>,
    sightings: BTreeMap<(RegionCode, String, String), (Sighting, i64)>,
    /// Alerts that joined a remediation, and when they first did.
    joins: BTreeMap<(RemediationId, String), i64>,
    /// Remediations that were noticed again, and when last.
    noticed: BTreeMap<RemediationId, i64>,
    /// Renewed notices, by decision, reason and minute.
    renewals: BTreeMap<(&'static str, &'static str, i64), i64>,
    /// Writing has begun and not come to its end: rows are lost, and the transaction must not be committed.
    broken: bool,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
            && self.alerts.is_empty()
            && self.events.is_empty()
            && self.remediations.is_empty()
            && self.seen.is_empty()
            && self.firing.is_empty()
            && self.sightings.is_empty()
            && self.joins.is_empty()
            && self.noticed.is_empty()
            && self.renewals.is_empty()
    }

    /// The incident was heard of.
    pub(super) fn see_incident(&mut self, id: &IncidentId, at: i64) {
        newest(self.seen.entry(id.clone()).or_insert(at), at);
    }

    /// An alert of an incident fires; the last word counts.
    pub(super) fn note_firing(&mut self, incident: &IncidentId, source: &str, fingerprint: &str, at: i64) {
        self.firing.insert((incident.clone(), source.to_owned(), fingerprint.to_owned()), at);
    }

    /// A server fires; where it stands is taken from the last word, and the time from the newest.
    pub(super) fn note_sighting(&mut self, region: &RegionCode, sighting: &Sighting, at: i64) {
        let key = (region.clone(), sighting.server_no.to_string(), sighting.policy.clone());
        let known = self.sightings.entry(key).or_insert_with(|| (sighting.clone(), at));
        known.0.clone_from(sighting);
        newest(&mut known.1, at);
    }

    /// An alert joined a remediation.
    pub(super) fn join(&mut self, id: &RemediationId, fingerprint: &str, at: i64) {
        self.joins.entry((id.clone(), fingerprint.to_owned())).or_insert(at);
        newest(self.noticed.entry(id.clone()).or_insert(at), at);
    }

    /// A notice was renewed.
    pub(super) fn count_renewal(&mut self, decision: &'static str, reason: &'static str, minute: i64) {
        let count = self.renewals.entry((decision, reason, minute)).or_insert(0);
        *count = count.saturating_add(1);
    }

    /// Whether a remediation of this server is among it.
    pub(super) fn opens_for(&self, region: &RegionCode, no: &ServerNo) -> bool {
        let mut all = self.remediations.iter();
        all.any(|row| row.server_no == no.as_str() && row.region_code == region.as_str())
    }

    /// Writes all of it, what is referred to first.
    pub(super) async fn write(&mut self, connection: &mut Connection) -> Result<(), StoreError> {
        if self.is_empty() {
            return Ok(());
        }
        let all = std::mem::replace(self, Self { broken: true, ..Self::default() });
        all.write_all(connection).await?;
        self.broken = false;
        Ok(())
    }

    /// Whether rows were lost by an error, or by a future that was dropped, while they were written.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether so much waits that it should be written before more is taken.
    pub(super) fn is_much(&self) -> bool {
        let bytes: usize = self.deliveries.iter().map(|row| row.new.body.len()).sum();
        self.alerts.len() >= ALERTS_MAX || bytes >= BODY_BYTES_MAX
    }

    async fn write_all(self, connection: &mut Connection) -> Result<(), StoreError> {
        // A repeat has its body in the store already.
        let bodies: BTreeMap<&str, &DeliveryRow> = self
            .deliveries
            .iter()
            .filter(|row| row.repeat_of.is_none())
            .map(|row| (row.new.body_sha256.as_str(), row))
            .collect();
        let bodies: Vec<&DeliveryRow> = bodies.into_values().collect();
        insert(connection, &BODIES, &bodies, |into, row| {
            let (plain, packed) = row.new.body.columns();
            into.push_bind(&row.new.body_sha256).push_bind(plain).push_bind(packed);
        })
        .await?;
        insert(connection, &DELIVERIES, &self.deliveries, bind_delivery).await?;
        let seen: Vec<_> = self.seen.iter().collect();
        insert(connection, &SEEN, &seen, |into, (id, at)| {
            into.push_bind(**at).push_bind(id.as_str());
        })
        .await?;
        let firing: Vec<_> = self.firing.iter().collect();
        insert(connection, &FIRING, &firing, |into, ((incident, source, fingerprint), at)| {
            into.push_bind(incident.as_str())
                .push_bind(source)
                .push_bind(fingerprint)
                .push_bind(**at)
                .push_bind(1_i64);
        })
        .await?;
        let sightings: Vec<_> = self.sightings.iter().collect();
        insert(connection, &SIGHTINGS, &sightings, |into, ((region, no, policy), (sighting, at))| {
            into.push_bind(region.as_str()).push_bind(no).push_bind(policy).push_bind(&sighting.zone_code);
            into.push_bind(&sighting.subnet_no).push_bind(&sighting.placement_group_no).push_bind(*at);
        })
        .await?;
        insert(connection, &REMEDIATIONS, &self.remediations, bind_remediation).await?;
        let joins: Vec<_> = self.joins.iter().collect();
        insert(connection, &JOINS, &joins, |into, ((id, fingerprint), at)| {
            into.push_bind(id.as_str()).push_bind(fingerprint).push_bind(**at);
        })
        .await?;
        let noticed: Vec<_> = self.noticed.iter().collect();
        insert(connection, &NOTICED, &noticed, |into, (id, at)| {
            into.push_bind(**at).push_bind(id.as_str());
        })
        .await?;
        let renewals: Vec<_> = self.renewals.iter().collect();
        insert(connection, &RENEWALS, &renewals, |into, ((decision, reason, minute), alerts)| {
            into.push_bind(*decision).push_bind(*reason).push_bind(*minute).push_bind(**alerts);
        })
        .await?;
        insert(connection, &ALERTS, &self.alerts, bind_alert).await?;
        insert(connection, &EVENTS, &self.events, bind_event).await
    }
}

fn newest(known: &mut i64, at: i64) {
    *known = at.max(*known);
}

/// A statement that takes many rows.
struct Statement {
    doing: &'static str,
    before: &'static str,
    after: &'static str,
}

const BODIES: Statement = Statement {
    doing: "keeping a body",
    before: "INSERT INTO body (sha256, bytes, packed) ",
    after: " ON CONFLICT (sha256) DO UPDATE SET bytes = excluded.bytes, packed = NULL \
            WHERE body.packed IS NOT NULL AND excluded.packed IS NULL",
};
const DELIVERIES: Statement = Statement {
    doing: "recording a delivery",
    before: "INSERT INTO delivery (id, trace_id, source, received_at, peer, credential, body_sha256, sender_time, \
             alert_count, truncated, dedupable, repeat_of, replay_of, actor, config_hash, answer, \
             answer_packed, renewals, renewals_packed, renewal_count) ",
    after: "",
};
const SEEN: Statement = Statement {
    doing: "joining an incident",
    before: "UPDATE incident SET last_seen_at = max(last_seen_at, new.column1) FROM (",
    after: ") AS new WHERE incident.id = new.column2",
};
const FIRING: Statement = Statement {
    doing: "noting a firing alert",
    before: "INSERT INTO incident_alert (incident_id, source, fingerprint, last_notice_at, firing) ",
    after: " ON CONFLICT (incident_id, source, fingerprint) \
            DO UPDATE SET firing = 1, last_notice_at = excluded.last_notice_at",
};
const SIGHTINGS: Statement = Statement {
    doing: "noting that a server fires",
    before: "INSERT INTO sighting (region_code, server_no, policy, zone_code, subnet_no, placement_group_no, seen_at) ",
    after: " ON CONFLICT (region_code, server_no, policy) DO UPDATE SET zone_code = excluded.zone_code, \
            subnet_no = excluded.subnet_no, placement_group_no = excluded.placement_group_no, \
            seen_at = max(sighting.seen_at, excluded.seen_at)",
};
const REMEDIATIONS: Statement = Statement {
    doing: "creating a remediation",
    before: "INSERT INTO remediation (id, incident_id, state, server_no, region_code, server, policy, policy_hash, \
             config_hash, source, alert, needs_person, reason, requested_by, replay_of, delivery_id, trace_id, \
             created_at, settle_until, not_before, episode_started_at, last_notice_at, waiting_since, confirmed_at) ",
    after: "",
};
const JOINS: Statement = Statement {
    doing: "joining a remediation",
    before: "INSERT INTO remediation_alert (remediation_id, fingerprint, joined_at) ",
    after: " ON CONFLICT DO NOTHING",
};
const NOTICED: Statement = Statement {
    doing: "refreshing a remediation",
    before: "UPDATE remediation SET last_notice_at = max(last_notice_at, new.column1) FROM (",
    after: ") AS new WHERE remediation.id = new.column2",
};
const RENEWALS: Statement = Statement {
    doing: "counting renewed notices",
    before: "INSERT INTO renewal_count (decision, reason, minute, alerts) ",
    after: " ON CONFLICT (decision, reason, minute) DO UPDATE SET alerts = renewal_count.alerts + excluded.alerts",
};
const ALERTS: Statement = Statement {
    doing: "recording a decision",
    before: "INSERT INTO alert (delivery_id, idx, source, fingerprint, status, alert, alert_packed, received_at, server_no, \
             region_code, policy, decision, reason, until, detail, trace, trace_packed, config_hash, decided_at, incident_id, \
             remediation_id) ",
    after: "",
};
const EVENTS: Statement = Statement {
    doing: "appending to the audit",
    before: "INSERT INTO audit (seq, at, kind, actor_kind, actor_name, trace_id, delivery_id, incident_id, \
             remediation_id, attempt_id, server_instance_no, region_code, source, policy, decision, reason, outcome, \
             request_id, return_code, return_message, http_status, detail, detail_packed, prev_hash, hash, key_id) ",
    after: "",
};

/// Runs the statement for all rows, in their order.
async fn insert<'q, R>(
    connection: &mut Connection,
    statement: &Statement,
    rows: &'q [R],
    mut bind: impl FnMut(&mut Binds<'_, 'q>, &'q R),
) -> Result<(), StoreError> {
    let mut rest = rows;
    while !rest.is_empty() {
        let many = (rest.len().min(ROWS_MAX) + 1).next_power_of_two() / 2;
        let (now, later) = rest.split_at(many);
        rest = later;
        let mut query = QueryBuilder::new(statement.before);
        // Anonymous parameters: with numbered ones a statement of many takes several times as long to bind.
        query.push_values(now, &mut bind).push(statement.after);
        query.build().execute(&mut *connection).await.doing(statement.doing)?;
    }
    Ok(())
}
