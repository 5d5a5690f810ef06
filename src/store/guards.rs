//! Storms, breaker resets and the standing of policies: what their guards read, and what people and the service write.
//!
//! Never: judges; that is `crate::domain`. Never clears or promotes without a person and a reason.

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::breaker::Tried;
use crate::domain::ladder::Demotion;
use crate::domain::limits::earlier;
use crate::domain::policy::Rules;
use crate::domain::remediation::State;
use crate::domain::server::{RegionCode, ServerNo};
use crate::domain::sightings::Dated;
use crate::domain::storm::{Kind, Sighting, Storm, StormFacts, Trip};

use super::db::{Connection, Row, query, query_scalar};
use super::facts::outcome;
use super::image::Part;
use super::rows::{Columns, from_json, json, ms};
use super::writer::Tx;
use super::{Doing, StoreError};

/// Attempts that are read beyond those that could open a breaker: pending ones may lie between.
pub(super) const TRIED_MORE: i64 = 100;

/// Which facts of storm, breaker and ladder are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardsWanted {
    /// Region whose storm counts.
    pub region: RegionCode,
    /// Policy in charge.
    pub policy: String,
    /// Sightings after this time.
    pub since: Timestamp,
    /// With fewer sightings the inventory is not counted.
    pub sightings_min: usize,
    /// Newest attempts, at most.
    pub tried_max: i64,
}

impl GuardsWanted {
    /// What the guards of a policy ask for.
    pub fn new(region: &RegionCode, policy: &str, rules: &Rules, now: Timestamp) -> Self {
        Self {
            region: region.clone(),
            policy: policy.to_owned(),
            since: earlier(now, rules.storm.window),
            sightings_min: usize::try_from(rules.storm.count).unwrap_or(usize::MAX),
            tried_max: i64::from(rules.breaker.failures) + TRIED_MORE,
        }
    }
}

/// How a policy stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StandingRow {
    /// The demotion that nobody has taken back.
    pub demoted: Option<Demotion>,
    /// The newest promotion by a person.
    pub promoted_at: Option<Timestamp>,
    /// Who.
    pub promoted_by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

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
    /// The inventory, where that many servers fire that their share matters.
    kinds: Option<Vec<Kind>>,
}

impl Fires {
    /// The facts that are wanted, where they can be told from what was read.
    pub(super) fn facts(&mut self, wanted: &GuardsWanted) -> Option<StormFacts> {
        if let Some(open) = &self.open {
            return Some(StormFacts { open: Some(open.clone()), ..StormFacts::default() });
        }
        if wanted.since < self.since {
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

pub(super) async fn fires(connection: &mut Connection, wanted: &GuardsWanted) -> Result<Fires, StoreError> {
    let newest = query(
        "SELECT id, opened_at, why, cleared_at FROM storm WHERE region_code = ? ORDER BY id DESC LIMIT 1",
    )
    .bind(wanted.region.as_str())
    .fetch_optional(&mut *connection)
    .await
    .doing("reading the newest storm")?;
    let mut fires = Fires {
        open: None,
        cleared_at: i64::MIN,
        since: wanted.since,
        seen: Dated::new(i64::MIN),
        kinds: None,
    };
    if let Some(row) = newest {
        match row.int_opt("cleared_at")? {
            Some(at) => fires.cleared_at = at,
            None => {
                let open =
                    Storm { id: row.int("id")?, opened_at: row.time("opened_at")?, why: row.text("why")? };
                return Ok(Fires { open: Some(open), ..fires });
            }
        }
    }
    for (sighting, seen_at) in sightings(connection, &wanted.region, wanted.since).await? {
        fires.note(&sighting, seen_at);
    }
    let rows = query(
        "SELECT server_no, policy, json_extract(server, '$.zoneCode') AS zone_code, \
         json_extract(server, '$.subnetNo') AS subnet_no, \
         json_extract(server, '$.placementGroupNo') AS placement_group_no, created_at FROM remediation \
         WHERE region_code = ? AND finished_at IS NULL \
         AND state IN ('intent', 'accepted', 'unconfirmed', 'unknown')",
    )
    .bind(wanted.region.as_str())
    .fetch_all(&mut *connection)
    .await
    .doing("reading the servers that were interrupted")?;
    for row in &rows {
        if row.int("created_at")? > fires.cleared_at {
            fires.seen.put(&interrupted(row)?, true, i64::MAX);
        }
    }
    let counting = fires.seen.later_than(ms(wanted.since).max(fires.cleared_at)).len();
    if counting >= wanted.sightings_min {
        fires.kinds = Some(kinds(connection, &wanted.region).await?);
    }
    Ok(fires)
}

/// Servers that fired later than a time. They come as one row: with thousands that is many times faster than a row each.
async fn sightings(
    connection: &mut Connection,
    region: &RegionCode,
    since: Timestamp,
) -> Result<Vec<(Sighting, i64)>, StoreError> {
    type Row = (String, String, String, String, String, i64);
    // One text is read several times as fast as a row for each of them.
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

fn interrupted(row: &Row) -> Result<Sighting, StoreError> {
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

/// Attempts that something was sent for, newest first, after the time that the last part of the text selects.
macro_rules! tried_after {
    ($since:literal) => {
        concat!(
            "SELECT a.intent_at, a.outcome, r.state, CASE WHEN json_extract(a.evidence, '$.kind') = 'activity' ",
            "THEN 1 ELSE 0 END AS by_record FROM attempt a JOIN remediation r ON r.id = a.remediation_id ",
            "WHERE a.policy = ?1 AND a.outcome IS DISTINCT FROM 'not_sent' AND a.intent_at > coalesce((",
            $since,
            "), -1) ORDER BY a.intent_at DESC, a.id DESC LIMIT ?2"
        )
    };
}

const SINCE_RESET: &str = tried_after!("SELECT max(at) FROM breaker_reset WHERE policy = ?1");
const SINCE_PROMOTION: &str = tried_after!("SELECT promoted_at FROM policy_standing WHERE policy = ?1");

async fn tried_of(
    connection: &mut Connection,
    sql: &'static str,
    policy: &str,
    max: i64,
) -> Result<Vec<Tried>, StoreError> {
    let rows = query(sql)
        .bind(policy)
        .bind(max)
        .fetch_all(connection)
        .await
        .doing("reading the attempts of a policy")?;
    rows.iter()
        .map(|row| {
            Ok(Tried {
                intent_at: row.time("intent_at")?,
                outcome: outcome(row.text_opt("outcome")?.as_deref())?,
                state: State::parse(&row.text("state")?).ok_or(StoreError::Unreadable { what: "state" })?,
                by_record: row.int("by_record")? != 0,
            })
        })
        .collect()
}

/// Attempts that the breaker of a policy counts, newest first.
pub(super) async fn tried(
    connection: &mut Connection,
    policy: &str,
    max: i64,
) -> Result<Vec<Tried>, StoreError> {
    tried_of(connection, SINCE_RESET, policy, max).await
}

pub(super) async fn standing(connection: &mut Connection, policy: &str) -> Result<StandingRow, StoreError> {
    let row = query(
        "SELECT demoted_at, why, promoted_at, promoted_by, reason FROM policy_standing WHERE policy = ?",
    )
    .bind(policy)
    .fetch_optional(connection)
    .await
    .doing("reading the standing of a policy")?;
    let Some(row) = row else { return Ok(StandingRow::default()) };
    let demoted = row
        .time_opt("demoted_at")?
        .map(|at| Ok::<_, StoreError>(Demotion { at, why: row.text_opt("why")?.unwrap_or_default() }))
        .transpose()?;
    Ok(StandingRow {
        demoted,
        promoted_at: row.time_opt("promoted_at")?,
        promoted_by: row.text_opt("promoted_by")?,
        reason: row.text_opt("reason")?,
    })
}

impl Tx {
    /// Notes that a firing alert of a policy named a server. Only the newest notice is kept.
    pub fn note_sighting(&mut self, region: &RegionCode, sighting: &Sighting, seen_at: Timestamp) {
        self.image.note_sighting(region, sighting, seen_at);
        self.waiting.note_sighting(region, sighting, ms(seen_at));
    }

    /// Opens a storm and returns its number; `None` when one is open in the region.
    pub async fn open_storm(
        &mut self,
        region: &RegionCode,
        trip: &Trip,
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        let id: Option<i64> = query_scalar(
            "INSERT INTO storm (region_code, opened_at, why, servers, policies) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT DO NOTHING RETURNING id",
        )
        .bind(region.as_str())
        .bind(ms(now))
        .bind(&trip.why)
        .bind(json(&trip.servers)?)
        .bind(json(&trip.policies)?)
        .fetch_optional(self.changing(Part::Storms).await?)
        .await
        .doing("opening a storm")?;
        Ok(id)
    }

    /// Clears a storm and returns its region; `None` when it is not open.
    pub async fn clear_storm(
        &mut self,
        id: i64,
        person: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        let row = query(
            "UPDATE storm SET cleared_at = ?, cleared_by = ?, reason = ? WHERE id = ? AND cleared_at IS NULL \
             RETURNING region_code",
        )
        .bind(ms(now))
        .bind(person)
        .bind(reason)
        .bind(id)
        .fetch_optional(self.changing(Part::Storms).await?)
        .await
        .doing("clearing a storm")?;
        row.map(|row| row.text("region_code")).transpose()
    }

    /// Resets the breaker of a policy: attempts until now do not count for it any more.
    pub async fn reset_breaker(
        &mut self,
        policy: &str,
        person: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        query("INSERT INTO breaker_reset (policy, at, person, reason) VALUES (?, ?, ?, ?)")
            .bind(policy)
            .bind(ms(now))
            .bind(person)
            .bind(reason)
            .execute(self.changing(Part::Standing).await?)
            .await
            .doing("resetting a breaker")
            .map(|_| ())
    }

    /// Demotes a policy. False when it is demoted already; the first reason stays.
    pub async fn demote_policy(
        &mut self,
        policy: &str,
        why: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let result = query(
            "INSERT INTO policy_standing (policy, demoted_at, why) VALUES (?, ?, ?) \
             ON CONFLICT (policy) DO UPDATE SET demoted_at = excluded.demoted_at, why = excluded.why \
             WHERE policy_standing.demoted_at IS NULL",
        )
        .bind(policy)
        .bind(ms(now))
        .bind(why)
        .execute(self.changing(Part::Standing).await?)
        .await
        .doing("demoting a policy")?;
        Ok(result == 1)
    }

    /// Takes a demotion back. False when the policy is not demoted.
    pub async fn promote_policy(
        &mut self,
        policy: &str,
        person: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let result = query(
            "UPDATE policy_standing SET demoted_at = NULL, why = NULL, promoted_at = ?, promoted_by = ?, reason = ? \
             WHERE policy = ? AND demoted_at IS NOT NULL",
        )
        .bind(ms(now))
        .bind(person)
        .bind(reason)
        .bind(policy)
        .execute(self.changing(Part::Standing).await?)
        .await
        .doing("promoting a policy")?;
        Ok(result == 1)
    }

    /// Keeps a person's report that a policy named a wrong server.
    pub async fn report_target(
        &mut self,
        policy: &str,
        person: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        query("INSERT INTO target_report (policy, at, person, reason) VALUES (?, ?, ?, ?)")
            .bind(policy)
            .bind(ms(now))
            .bind(person)
            .bind(reason)
            .execute(self.db().await?)
            .await
            .doing("keeping a report")
            .map(|_| ())
    }

    /// Attempts of a policy since a person last promoted it, newest first.
    pub async fn tried_since_promotion(&mut self, policy: &str) -> Result<Vec<Tried>, StoreError> {
        tried_of(self.db().await?, SINCE_PROMOTION, policy, TRIED_MORE).await
    }
}
