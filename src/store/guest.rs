//! What people say of dumps and guests say of themselves.
//!
//! Never: changes or deletes a word of anybody.

use jiff::Timestamp;

use crate::domain::evidence::Baseline;
use crate::domain::facts::Past;
use crate::domain::guest::{Attestation, AttestedSettings, GuestFacts};
use crate::domain::ids::RemediationId;
use crate::domain::limits::{COOLDOWN_MAX, earlier};
use crate::domain::server::{RegionCode, Server, ServerNo};

use super::db::{Connection, query, query_scalar};
use super::facts::attempts;
use super::image::Part;
use super::open::Store;
use super::rows::{Columns, json, ms};
use super::writer::Tx;
use super::{Doing, StoreError};

/// A word of a guest, as it is kept.
#[derive(Debug, Clone)]
pub struct NewAttestation {
    /// The source whose credential it came with.
    pub source: String,
    /// The server's region.
    pub region: RegionCode,
    /// The server.
    pub server_no: ServerNo,
    /// What it says.
    pub said: Attestation,
    /// When it came.
    pub received_at: Timestamp,
}

/// An attempt whose effect somebody could still prove.
#[derive(Debug, Clone)]
pub struct Provable {
    /// Its row.
    pub attempt_id: i64,
    /// Its remediation.
    pub remediation_id: RemediationId,
    /// What proof is compared with.
    pub baseline: Baseline,
}

async fn known_server(connection: &mut Connection, no: &ServerNo) -> Result<Option<Server>, StoreError> {
    let row = query("SELECT server FROM server WHERE server_no = ? ORDER BY seen_at DESC LIMIT 1")
        .bind(no.as_str())
        .fetch_optional(connection)
        .await
        .doing("reading a server")?;
    row.map(|row| row.value("server")).transpose()
}

impl Store {
    /// The server as the inventory knows it.
    pub async fn known_server(&self, no: &ServerNo) -> Result<Option<Server>, StoreError> {
        let mut connection = self.readers.acquire().await.doing("taking a reader")?;
        known_server(&mut connection, no).await
    }
}

impl Tx {
    /// The server as the inventory knows it.
    pub async fn known_server(&mut self, no: &ServerNo) -> Result<Option<Server>, StoreError> {
        known_server(self.db().await?, no).await
    }

    /// Attempts on one server, newest first, as far back as any cooldown reaches.
    pub async fn attempts_on(&mut self, no: &ServerNo, now: Timestamp) -> Result<Vec<Past>, StoreError> {
        let mut all = attempts(self.db().await?, earlier(now, COOLDOWN_MAX), now).await?;
        all.retain(|past| past.server_no == *no);
        Ok(all)
    }

    /// When a person last said that the dump of the region's server is collected, since it was created.
    pub async fn dump_collected_at(
        &mut self,
        region: &RegionCode,
        no: &ServerNo,
        created_at: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        dump_collected_at(self.db().await?, region, no, created_at).await
    }

    /// Records that a person collected the dump. Returns the row.
    pub async fn insert_dump_collected(
        &mut self,
        region: &RegionCode,
        no: &ServerNo,
        person: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let id: i64 = query_scalar(
            "INSERT INTO dump_collected (region_code, server_no, at, person, reason) VALUES (?, ?, ?, ?, ?) RETURNING id",
        )
        .bind(region.as_str())
        .bind(no.as_str())
        .bind(ms(now))
        .bind(person)
        .bind(reason)
        .fetch_one(self.changing(Part::Guests).await?)
        .await
        .doing("recording a collected dump")?;
        Ok(id)
    }

    /// Keeps a word of a guest. Returns the row.
    pub async fn insert_attestation(&mut self, new: &NewAttestation) -> Result<i64, StoreError> {
        let id: i64 = query_scalar(
            "INSERT INTO attestation (source, region_code, server_no, kind, at, received_at, said) \
             VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
        )
        .bind(&new.source)
        .bind(new.region.as_str())
        .bind(new.server_no.as_str())
        .bind(new.said.kind())
        .bind(ms(new.said.at()))
        .bind(ms(new.received_at))
        .bind(json(&new.said)?)
        .fetch_one(self.changing(Part::Guests).await?)
        .await
        .doing("keeping an attestation")?;
        Ok(id)
    }

    /// The newest attempt on a server whose remediation waits for proof.
    pub async fn provable(&mut self, no: &ServerNo) -> Result<Option<Provable>, StoreError> {
        let row = query(
            "SELECT a.id, a.remediation_id, a.intent_at, a.uptime_at, a.memory_bytes FROM attempt a \
             JOIN remediation r ON r.id = a.remediation_id \
             WHERE r.server_no = ? AND r.finished_at IS NULL \
             AND r.state IN ('accepted', 'unknown', 'unconfirmed') AND a.outcome IN ('accepted', 'unknown') \
             ORDER BY a.id DESC LIMIT 1",
        )
        .bind(no.as_str())
        .fetch_optional(self.db().await?)
        .await
        .doing("looking for an attempt to prove")?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Provable {
            attempt_id: row.int("id")?,
            remediation_id: RemediationId::from_text(row.text("remediation_id")?),
            baseline: Baseline {
                intent_at: row.time("intent_at")?,
                uptime_at: row.time_opt("uptime_at")?,
                memory_bytes: u64::try_from(row.int("memory_bytes")?).unwrap_or(0),
            },
        }))
    }
}

async fn dump_collected_at(
    connection: &mut Connection,
    region: &RegionCode,
    no: &ServerNo,
    created_at: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let at: Option<i64> = query_scalar(
        "SELECT max(at) FROM dump_collected WHERE server_no = ? AND region_code = ? AND at >= ?",
    )
    .bind(no.as_str())
    .bind(region.as_str())
    .bind(ms(created_at))
    .fetch_one(connection)
    .await
    .doing("reading collected dumps")?;
    at.map(super::rows::at).transpose()
}

/// What is known of one server from its guest and its people. What was said before the server was created was said of
/// another machine with its number. The newest word is the one of which the guest looked last, not the one that came last:
/// a delayed or repeated one takes no newer one back.
pub(super) async fn guest_facts(
    connection: &mut Connection,
    region: &RegionCode,
    no: &ServerNo,
    created_at: Timestamp,
) -> Result<GuestFacts, StoreError> {
    let dump_collected_at = dump_collected_at(connection, region, no, created_at).await?;
    let row = query(
        "SELECT said, received_at FROM attestation WHERE server_no = ? AND kind = 'dump_settings' \
         AND region_code = ? AND min(at, received_at) >= ? ORDER BY min(at, received_at) DESC, id DESC LIMIT 1",
    )
    .bind(no.as_str())
    .bind(region.as_str())
    .bind(ms(created_at))
    .fetch_optional(connection)
    .await
    .doing("reading attestations")?;
    let dump_settings = match row {
        None => None,
        Some(row) => match row.value::<Attestation>("said")? {
            Attestation::DumpSettings { at, settings } => {
                Some(AttestedSettings { at: at.min(row.time("received_at")?), settings })
            }
            Attestation::DumpFound { .. } => None,
        },
    };
    Ok(GuestFacts { dump_collected_at, dump_settings })
}
