//! What fires in a region, and the storm that is open there: read for one question, or to be remembered.
//!
//! Never: judges; that is `crate::domain::storm`.

use jiff::Timestamp;

use crate::domain::server::{RegionCode, ServerNo};
use crate::domain::sightings::{Dated, Sighted, Sightings};
use crate::domain::storm::{Kind, Sighting, Storm, StormFacts};

use super::db::{Connection, Row, query, query_scalar};
use super::guards::GuardsWanted;
use super::rows::{Columns, from_json, ms};
use super::{Doing, StoreError};

/// What fires in a region, as it was read.
#[derive(Debug)]
pub(super) struct Fires {
    /// The storm that is open; then nothing else is read.
    open: Option<Storm>,
    /// When the last storm was cleared; what was seen before was looked at by the person who cleared.
    cleared_at: i64,
    /// Everything seen later than this was read, or noted since; a question about an earlier time must read.
    since: Timestamp,
    /// Newest notice of each server and policy, and servers that were interrupted and of which nobody knows yet what
    /// came of it.
    seen: Dated<i64>,
    /// Which of them were interrupted; `None` where that must be read again.
    interrupted: Option<Vec<Sighted>>,
    /// The inventory, where that many servers fire that their share matters.
    kinds: Option<Vec<Kind>>,
}

impl Fires {
    /// The facts that are wanted, where they can be told from what was read.
    pub(super) fn facts(&mut self, wanted: &GuardsWanted) -> Option<StormFacts> {
        if let Some(open) = &self.open {
            return Some(StormFacts { open: Some(open.clone()), ..StormFacts::default() });
        }
        if wanted.since < self.since || self.interrupted.is_none() {
            return None;
        }
        let sightings = self.seen.later_than(ms(wanted.since).max(self.cleared_at));
        // Up to `count` servers, the one that is decided included, are bearable whatever their share is.
        let kinds = if sightings.len() < wanted.sightings_min { Vec::new() } else { self.kinds.clone()? };
        Some(StormFacts { open: None, sightings, kinds })
    }

    /// Whether the inventory must be counted before the facts that are wanted can be told.
    pub(super) fn lacks_kinds(&mut self, wanted: &GuardsWanted) -> bool {
        self.open.is_none()
            && self.kinds.is_none()
            && self.interrupted.is_some()
            && wanted.since >= self.since
            && self.seen.later_than(ms(wanted.since).max(self.cleared_at)).len() >= wanted.sightings_min
    }

    /// The inventory is not what it was.
    pub(super) fn forget_kinds(&mut self) {
        self.kinds = None;
    }

    /// The inventory, as it was counted now.
    pub(super) fn keep_kinds(&mut self, kinds: Vec<Kind>) {
        self.kinds = Some(kinds);
    }

    /// Whether it must be read who was interrupted before the facts that are wanted can be told.
    pub(super) fn lacks_interrupted(&self) -> bool {
        self.open.is_none() && self.interrupted.is_none()
    }

    /// Who was interrupted is not what it was.
    pub(super) fn forget_interrupted(&mut self) {
        for sighted in self.interrupted.take().unwrap_or_default() {
            self.seen.remove(&sighted);
        }
    }

    /// Who was interrupted, as it was read now.
    pub(super) fn keep_interrupted(&mut self, all: Vec<(Sighting, i64)>) {
        let mut kept = Vec::with_capacity(all.len());
        for (sighting, created_at) in all {
            if created_at > self.cleared_at {
                self.seen.put(&sighting, true, i64::MAX);
                kept.push((sighting.server_no, sighting.policy, true));
            }
        }
        self.interrupted = Some(kept);
    }

    /// A server fires again. Only the newest notice is kept.
    pub(super) fn note(&mut self, sighting: &Sighting, seen_at: i64) {
        let sighted = (sighting.server_no.clone(), sighting.policy.clone(), false);
        let newest = self.seen.time(&sighted).map_or(seen_at, |known| known.max(seen_at));
        self.seen.put(sighting, false, newest);
    }

    /// The question that these facts answer.
    #[cfg(debug_assertions)]
    pub(super) fn as_wanted(&self, region: &RegionCode) -> GuardsWanted {
        let sightings_min = if self.kinds.is_some() { 0 } else { usize::MAX };
        let (policy, since) = (String::new(), self.since);
        GuardsWanted { region: region.clone(), policy, since, sightings_min, tried_max: 0 }
    }
}

/// A region as it is in the store.
enum Region {
    /// A storm is open; then nothing else is read.
    Storm(Storm),
    /// What fires there, and what was interrupted, each with its time.
    Quiet { cleared_at: i64, fired: Vec<(Sighting, i64)>, interrupted: Vec<(Sighting, i64)> },
}

async fn region(connection: &mut Connection, wanted: &GuardsWanted) -> Result<Region, StoreError> {
    let newest = query(
        "SELECT id, opened_at, why, cleared_at FROM storm WHERE region_code = ? ORDER BY id DESC LIMIT 1",
    )
    .bind(wanted.region.as_str())
    .fetch_optional(&mut *connection)
    .await
    .doing("reading the newest storm")?;
    let mut cleared_at = i64::MIN;
    if let Some(row) = newest {
        match row.int_opt("cleared_at")? {
            Some(at) => cleared_at = at,
            None => {
                let (id, opened_at) = (row.int("id")?, row.time("opened_at")?);
                return Ok(Region::Storm(Storm { id, opened_at, why: row.text("why")? }));
            }
        }
    }
    let fired = sightings(&mut *connection, &wanted.region, wanted.since).await?;
    let interrupted = interrupted(connection, &wanted.region).await?;
    Ok(Region::Quiet { cleared_at, fired, interrupted })
}

/// What fires in a region, to be remembered.
pub(super) async fn fires(connection: &mut Connection, wanted: &GuardsWanted) -> Result<Fires, StoreError> {
    let mut fires = Fires {
        open: None,
        cleared_at: i64::MIN,
        since: wanted.since,
        seen: Dated::new(i64::MIN),
        interrupted: None,
        kinds: None,
    };
    match region(connection, wanted).await? {
        Region::Storm(open) => fires.open = Some(open),
        Region::Quiet { cleared_at, fired, interrupted } => {
            fires.cleared_at = cleared_at;
            for (sighting, seen_at) in fired {
                fires.note(&sighting, seen_at);
            }
            fires.keep_interrupted(interrupted);
        }
    }
    if fires.lacks_kinds(wanted) {
        fires.kinds = Some(kinds(connection, &wanted.region).await?);
    }
    Ok(fires)
}

/// The facts that are wanted, read for this question alone: what is not remembered need not be kept in order.
pub(super) async fn storm_facts(
    connection: &mut Connection,
    wanted: &GuardsWanted,
) -> Result<StormFacts, StoreError> {
    let (cleared_at, fired, interrupted) = match region(connection, wanted).await? {
        Region::Storm(open) => return Ok(StormFacts { open: Some(open), ..StormFacts::default() }),
        Region::Quiet { cleared_at, fired, interrupted } => (cleared_at, fired, interrupted),
    };
    let counts = fired.iter().chain(&interrupted).filter(|(_, at)| *at > cleared_at);
    let sightings: Sightings = counts.map(|(sighting, _)| sighting).collect();
    let kinds = if sightings.len() < wanted.sightings_min {
        Vec::new()
    } else {
        kinds(connection, &wanted.region).await?
    };
    Ok(StormFacts { open: None, sightings, kinds })
}

/// Servers that were interrupted and of which nobody knows yet what came of it, and since when each is in question.
pub(super) async fn interrupted(
    connection: &mut Connection,
    region: &RegionCode,
) -> Result<Vec<(Sighting, i64)>, StoreError> {
    let rows = query(
        "SELECT server_no, policy, json_extract(server, '$.zoneCode') AS zone_code, \
         json_extract(server, '$.subnetNo') AS subnet_no, \
         json_extract(server, '$.placementGroupNo') AS placement_group_no, created_at FROM remediation \
         WHERE region_code = ? AND finished_at IS NULL \
         AND state IN ('intent', 'accepted', 'unconfirmed', 'unknown')",
    )
    .bind(region.as_str())
    .fetch_all(connection)
    .await
    .doing("reading the servers that were interrupted")?;
    rows.iter().map(|row| Ok((interrupted_one(row)?, row.int("created_at")?))).collect()
}

/// Servers that fired later than a time. They come as one row: with thousands that is many times faster than a row each.
async fn sightings(
    connection: &mut Connection,
    region: &RegionCode,
    since: Timestamp,
) -> Result<Vec<(Sighting, i64)>, StoreError> {
    type Row = (String, String, String, String, String, i64);
    let sql = if connection.is_postgres() {
        "SELECT coalesce(json_agg(json_build_array(server_no, policy, zone_code, subnet_no, placement_group_no, seen_at)), \
         '[]')::text FROM sighting WHERE region_code = ? AND seen_at > ?"
    } else {
        "SELECT json_group_array(json_array(server_no, policy, zone_code, subnet_no, placement_group_no, seen_at)) \
         FROM sighting WHERE region_code = ? AND seen_at > ?"
    };
    let all: String = query_scalar(sql)
        .bind(region.as_str())
        .bind(ms(since))
        .fetch_one(connection)
        .await
        .doing("reading the servers that fire")?;
    let rows: Vec<Row> = from_json(&all, "servers that fire")?;
    rows.into_iter()
        .map(|(no, policy, zone_code, subnet_no, placement_group_no, seen_at)| {
            let server_no =
                ServerNo::parse(&no).map_err(|_error| StoreError::Unreadable { what: "server_no" })?;
            Ok((Sighting { server_no, policy, zone_code, subnet_no, placement_group_no }, seen_at))
        })
        .collect()
}

fn interrupted_one(row: &Row) -> Result<Sighting, StoreError> {
    let unreadable = |_error| StoreError::Unreadable { what: "server_no" };
    Ok(Sighting {
        server_no: ServerNo::parse(&row.text("server_no")?).map_err(unreadable)?,
        policy: row.text("policy")?,
        zone_code: row.text_opt("zone_code")?.unwrap_or_default(),
        subnet_no: row.text_opt("subnet_no")?.unwrap_or_default(),
        placement_group_no: row.text_opt("placement_group_no")?.unwrap_or_default(),
    })
}

pub(super) async fn kinds(connection: &mut Connection, region: &RegionCode) -> Result<Vec<Kind>, StoreError> {
    let rows = query(
        "SELECT json_extract(server, '$.hypervisorCode') AS hypervisor, \
         json_extract(server, '$.platformCode') AS platform, count(*) AS servers \
         FROM server WHERE region_code = ? GROUP BY 1, 2",
    )
    .bind(region.as_str())
    .fetch_all(connection)
    .await
    .doing("counting the inventory")?;
    rows.iter()
        .map(|row| {
            Ok(Kind {
                hypervisor_code: row.text_opt("hypervisor")?.unwrap_or_default(),
                platform_code: row.text_opt("platform")?.unwrap_or_default(),
                count: u32::try_from(row.int("servers")?).unwrap_or(u32::MAX),
            })
        })
        .collect()
}
