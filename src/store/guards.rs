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
use crate::domain::server::RegionCode;
use crate::domain::storm::{Sighting, Trip};

use super::db::{Connection, query, query_scalar};
use super::facts::outcome;
use super::image::Part;
use super::rows::{Columns, json, ms};
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

/// Attempts that something was sent for, newest first, after the time that the last part of the text selects.
macro_rules! tried_after {
    ($since:literal) => {
        concat!(
            "SELECT a.intent_at, a.outcome, r.state, CASE WHEN json_extract(a.evidence, '$.kind') = 'activity' ",
            "THEN 1 ELSE 0 END AS by_record FROM attempt a JOIN remediation r ON r.id = a.remediation_id ",
            "WHERE a.policy = ?1 AND a.outcome IS DISTINCT FROM 'not_sent' AND a.intent_at > coalesce((",
            $since,
            "), -1) ORDER BY a.intent_at DESC, a.id DESC LIMIT 0 + ?2"
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
