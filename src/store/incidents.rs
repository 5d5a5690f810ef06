//! Incidents: the open story of one server.
//!
//! Never: two open stories of one server; the schema forbids it too.

use jiff::Timestamp;

use crate::domain::ids::IncidentId;
use crate::domain::server::{RegionCode, Server, ServerNo};

use super::db::query;
use super::image::Part;
use super::rows::{Columns, ms, ms_up};
use super::writer::Tx;
use super::{Doing, StoreError};

/// The incident that an alert belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedIncident {
    /// Its identifier.
    pub id: IncidentId,
    /// This alert opened it.
    pub opened: bool,
}

impl Tx {
    /// Opens the server's incident, or joins the open one.
    pub async fn join_incident(
        &mut self,
        server: &Server,
        now: Timestamp,
    ) -> Result<JoinedIncident, StoreError> {
        if let Some(id) = self.open_incident(server).await? {
            self.waiting.see_incident(&id, ms(now));
            return Ok(JoinedIncident { id, opened: false });
        }
        let id = IncidentId::generate();
        query(
            "INSERT INTO incident (id, server_no, region_code, server_name, opened_at, last_seen_at) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(id.as_str())
        .bind(server.no.as_str())
        .bind(server.region.as_str())
        .bind(&server.name)
        .bind(ms(now))
        .bind(ms(now))
        .execute(self.behind_the_waiting())
        .await
        .doing("opening an incident")?;
        self.image.keep_incident(server, &id);
        Ok(JoinedIncident { id, opened: true })
    }

    async fn open_incident(&mut self, server: &Server) -> Result<Option<IncidentId>, StoreError> {
        if let Some(known) = self.image.incident(server) {
            return Ok(Some(known.clone()));
        }
        let found = self.read_incident(&server.region, &server.no).await?;
        if let Some(id) = &found {
            self.image.keep_incident(server, id);
        }
        Ok(found)
    }

    /// The open incident of a server, from the file.
    pub(super) async fn read_incident(
        &mut self,
        region: &RegionCode,
        no: &ServerNo,
    ) -> Result<Option<IncidentId>, StoreError> {
        let row =
            query("SELECT id FROM incident WHERE region_code = ? AND server_no = ? AND closed_at IS NULL")
                .bind(region.as_str())
                .bind(no.as_str())
                .fetch_optional(self.behind_the_waiting())
                .await
                .doing("joining the incident")?;
        row.map(|row| Ok(IncidentId::from_text(row.text("id")?))).transpose()
    }

    /// Notes that an alert of the incident fires.
    pub fn note_firing(&mut self, incident: &IncidentId, source: &str, fingerprint: &str, now: Timestamp) {
        self.waiting.note_firing(incident, source, fingerprint, ms(now));
    }

    /// Notes a resolved fingerprint: its newest end moves forward, and it fires in no incident any more.
    /// Returns the open incidents it was part of.
    pub async fn note_resolved(
        &mut self,
        fingerprint: &str,
        ended_at: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<IncidentId>, StoreError> {
        query(
            "INSERT INTO resolved_notice (fingerprint, ended_at, noticed_at) VALUES (?, ?, ?) \
             ON CONFLICT (fingerprint) DO UPDATE SET \
             ended_at = max(resolved_notice.ended_at, excluded.ended_at), noticed_at = max(resolved_notice.noticed_at, excluded.noticed_at)",
        )
        .bind(fingerprint)
        .bind(ms_up(ended_at))
        .bind(ms(now))
        .execute(self.changing(Part::End(fingerprint)).await?)
        .await
        .doing("noting a resolved alert")?;
        let rows = query(
            "UPDATE incident_alert SET firing = 0, last_notice_at = ? WHERE fingerprint = ? AND firing = 1 \
             RETURNING incident_id",
        )
        .bind(ms(now))
        .bind(fingerprint)
        .fetch_all(self.db().await?)
        .await
        .doing("noting a resolved alert")?;
        let mut incidents = Vec::new();
        for row in rows {
            let id = IncidentId::from_text(row.text("incident_id")?);
            if !incidents.contains(&id) {
                incidents.push(id);
            }
        }
        Ok(incidents)
    }

    /// Closes an incident in which nothing fires and no remediation lives. Returns whether it was closed.
    pub async fn close_incident_if_over(
        &mut self,
        id: &IncidentId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let result = query(
            "UPDATE incident SET closed_at = ? WHERE id = ? AND closed_at IS NULL \
             AND NOT EXISTS (SELECT 1 FROM incident_alert WHERE incident_id = incident.id AND firing = 1) \
             AND NOT EXISTS (SELECT 1 FROM remediation WHERE incident_id = incident.id AND finished_at IS NULL)",
        )
        .bind(ms(now))
        .bind(id.as_str())
        .execute(self.changing(Part::Incident(id)).await?)
        .await
        .doing("closing an incident")?;
        Ok(result > 0)
    }
}
