//! Loading the facts that decisions are made from, inside the transaction that acts on them.
//!
//! Never: a judgement; that is `crate::domain`.

use jiff::{SignedDuration, Timestamp};

use crate::domain::facts::{Facts, Heartbeat, Live, Past, TargetFact};
use crate::domain::guest::GuestFacts;
use crate::domain::hold::{Hold, HoldScope, Silence};
use crate::domain::ids::RemediationId;
use crate::domain::policy::Trust;
use crate::domain::remediation::{Outcome, State};
use crate::domain::server::{RegionCode, Server, ServerNo};
use crate::domain::storm::StormFacts;
use crate::domain::target::TargetName;

use super::db::{Connection, Row, query};
use super::guards::GuardsWanted;
use super::image::{self, Fresh, Ground};
use super::open::Store;
use super::rows::{Columns, ms};
use super::writer::Tx;
use super::{Doing, StoreError};

/// Which facts are wanted.
#[derive(Debug, Clone)]
pub struct FactsWanted {
    /// What is known of the target.
    pub target: TargetFact,
    /// The server whose live remediation counts; `None` where the target is not known.
    pub server: Option<(RegionCode, ServerNo)>,
    /// Fingerprint whose newest end counts.
    pub fingerprint: String,
    /// Fingerprints that the alert's delivery says are over; empty where that is not asked.
    pub ends: Vec<String>,
    /// How far the source is believed now.
    pub trust: Option<Trust>,
    /// Remediation whose joined alerts count; `None` before there is one.
    pub remediation: Option<RemediationId>,
    /// When the alert says that it began. Where it does not, the server's open incident does.
    pub starts_at: Option<Timestamp>,
    /// Attempts since this time, and those whose cooldown lasts.
    pub attempts_since: Timestamp,
    /// Holds and silences that have ended by now are left out.
    pub now: Timestamp,
    /// What the hold file says.
    pub hold_file: Option<String>,
    /// Storm, breaker and standing; `None` where no policy is in charge.
    pub guards: Option<GuardsWanted>,
    /// Sources whose heartbeat counts, and the silence of each that is borne.
    pub heartbeats: Vec<(String, SignedDuration)>,
}

/// Where facts are read: inside a write transaction to act on them, or beside it to explain.
pub trait FactSource: Send {
    /// What the inventory knows of a name; anything not known from a fresh answer is pending.
    fn target(
        &mut self,
        region: &RegionCode,
        name: &TargetName,
        now: Timestamp,
        fresh_for: SignedDuration,
    ) -> impl Future<Output = Result<TargetFact, StoreError>> + Send;

    /// All facts about one question.
    fn facts(&mut self, wanted: FactsWanted) -> impl Future<Output = Result<Facts, StoreError>> + Send;
}

impl FactSource for Tx {
    async fn target(
        &mut self,
        region: &RegionCode,
        name: &TargetName,
        now: Timestamp,
        fresh_for: SignedDuration,
    ) -> Result<TargetFact, StoreError> {
        image::target(&mut Fresh::new(self.db().await?), region, name, now, fresh_for).await
    }

    async fn facts(&mut self, wanted: FactsWanted) -> Result<Facts, StoreError> {
        facts(&mut Fresh::new(self.db().await?), wanted).await
    }
}

impl FactSource for Store {
    async fn target(
        &mut self,
        region: &RegionCode,
        name: &TargetName,
        now: Timestamp,
        fresh_for: SignedDuration,
    ) -> Result<TargetFact, StoreError> {
        let mut connection = self.readers.acquire().await.doing("taking a reader")?;
        image::target(&mut Fresh::new(&mut connection), region, name, now, fresh_for).await
    }

    async fn facts(&mut self, wanted: FactsWanted) -> Result<Facts, StoreError> {
        let mut connection = self.readers.acquire().await.doing("taking a reader")?;
        facts(&mut Fresh::new(&mut connection), wanted).await
    }
}

impl Store {
    /// Attempts since a time, newest first.
    pub async fn attempts_since(&self, since: Timestamp, now: Timestamp) -> Result<Vec<Past>, StoreError> {
        let mut connection = self.readers.acquire().await.doing("taking a reader")?;
        attempts(&mut connection, since, now).await
    }

    /// Holds in force.
    pub async fn holds(&self, now: Timestamp) -> Result<Vec<Hold>, StoreError> {
        let mut connection = self.readers.acquire().await.doing("taking a reader")?;
        holds(&mut connection, now).await
    }

    /// Silences that have not ended.
    pub async fn silences(&self, now: Timestamp) -> Result<Vec<Silence>, StoreError> {
        let mut connection = self.readers.acquire().await.doing("taking a reader")?;
        silences(&mut connection, now).await
    }
}

impl Tx {
    /// Silences that have not ended.
    pub async fn silences(&mut self, now: Timestamp) -> Result<Vec<Silence>, StoreError> {
        silences(self.db().await?, now).await
    }
}

pub(super) async fn facts(ground: &mut impl Ground, wanted: FactsWanted) -> Result<Facts, StoreError> {
    let newest_resolved_end = image::newest_end(ground, &wanted.fingerprint).await?;
    let joined_end = match &wanted.remediation {
        Some(id) => joined_end(ground.db().await?, id).await?,
        None => None,
    };
    let ended_in_delivery = match &wanted.server {
        Some((region, no)) if !wanted.ends.is_empty() => {
            let known = fingerprints_of(ground.db().await?, region, no).await?;
            known.iter().any(|fingerprint| wanted.ends.contains(fingerprint))
        }
        Some(_) | None => false,
    };
    let live = match &wanted.server {
        Some((region, no)) => image::live(ground, region, no).await?,
        None => None,
    };
    let (mut storm, mut tried, mut demoted) = (StormFacts::default(), Vec::new(), None);
    if let Some(guards) = &wanted.guards {
        storm = image::storm_facts(ground, guards).await?;
        tried = image::tried(ground, &guards.policy, guards.tried_max).await?;
        demoted = image::demoted(ground, &guards.policy).await?;
    }
    let guest = match &wanted.target {
        TargetFact::Found(server) => image::guest_facts(ground, server).await?,
        TargetFact::Missing { .. }
        | TargetFact::Malformed { .. }
        | TargetFact::Pending
        | TargetFact::Unreadable { .. }
        | TargetFact::Unknown { .. }
        | TargetFact::Ambiguous { .. }
        | TargetFact::RegionUnknown { .. }
        | TargetFact::Disagree { .. } => GuestFacts::default(),
    };
    let listed_uptime_at = match (&wanted.remediation, &wanted.target) {
        (Some(_), TargetFact::Found(server)) => listed_uptime(ground, server, wanted.now).await?,
        (Some(_) | None, _) => None,
    };
    let incident_opened_at = match (wanted.starts_at, &wanted.target) {
        (None, TargetFact::Found(server)) => incident_opened_at(ground.behind_the_waiting(), server).await?,
        (Some(_) | None, _) => None,
    };
    let mut heartbeats = Vec::with_capacity(wanted.heartbeats.len());
    for (source, within) in wanted.heartbeats {
        let last_at = image::last_heartbeat(ground, &source).await?;
        heartbeats.push(Heartbeat { source, within, last_at });
    }
    Ok(Facts {
        target: wanted.target,
        newest_resolved_end,
        ended_in_delivery,
        trust: wanted.trust,
        joined_end,
        live,
        attempts: image::attempts(ground, wanted.attempts_since, wanted.now).await?,
        holds: image::holds(ground, wanted.now).await?,
        hold_file: wanted.hold_file,
        silences: image::silences(ground, wanted.now).await?,
        storm,
        tried,
        demoted,
        quarantine: image::open_quarantine(ground).await?,
        unwatched: image::gaps(ground, wanted.attempts_since).await?,
        listed_uptime_at,
        incident_opened_at,
        guest,
        heartbeats,
    })
}

pub(super) async fn newest_resolved_end(
    connection: &mut Connection,
    fingerprint: &str,
) -> Result<Option<Timestamp>, StoreError> {
    let row = query("SELECT ended_at FROM resolved_notice WHERE fingerprint = ?")
        .bind(fingerprint)
        .fetch_optional(connection)
        .await
        .doing("reading the newest end")?;
    row.map(|row| row.time("ended_at")).transpose()
}

/// When the newest list that holds the server says that it was started.
async fn listed_uptime(
    ground: &mut impl Ground,
    server: &Server,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let name = TargetName::No(server.no.clone());
    Ok(match image::target(ground, &server.region, &name, now, SignedDuration::MAX).await? {
        TargetFact::Found(listed) if listed.identity() == server.identity() => listed.uptime_at,
        TargetFact::Found(_)
        | TargetFact::Missing { .. }
        | TargetFact::Malformed { .. }
        | TargetFact::Pending
        | TargetFact::Unreadable { .. }
        | TargetFact::Unknown { .. }
        | TargetFact::Ambiguous { .. }
        | TargetFact::RegionUnknown { .. }
        | TargetFact::Disagree { .. } => None,
    })
}

async fn incident_opened_at(
    connection: &mut Connection,
    server: &Server,
) -> Result<Option<Timestamp>, StoreError> {
    let row =
        query("SELECT opened_at FROM incident WHERE region_code = ? AND server_no = ? AND closed_at IS NULL")
            .bind(server.region.as_str())
            .bind(server.no.as_str())
            .fetch_optional(connection)
            .await
            .doing("reading the beginning of the incident")?;
    row.map(|row| row.time("opened_at")).transpose()
}

/// Every alert that ever opened or joined a remediation of the server.
async fn fingerprints_of(
    connection: &mut Connection,
    region: &RegionCode,
    no: &ServerNo,
) -> Result<Vec<String>, StoreError> {
    let rows = query(
        "SELECT DISTINCT a.fingerprint FROM remediation r JOIN remediation_alert a ON a.remediation_id = r.id \
         WHERE r.server_no = ? AND r.region_code = ?",
    )
    .bind(no.as_str())
    .bind(region.as_str())
    .fetch_all(connection)
    .await
    .doing("reading which alerts joined")?;
    rows.iter().map(|row| row.text("fingerprint")).collect()
}

/// When the newest end was noticed of an alert that had opened or joined the remediation by then.
async fn joined_end(
    connection: &mut Connection,
    id: &RemediationId,
) -> Result<Option<Timestamp>, StoreError> {
    let row = query(
        "SELECT max(n.noticed_at) AS noticed_at FROM remediation_alert a \
         JOIN remediation r ON r.id = a.remediation_id \
         JOIN resolved_notice n ON n.fingerprint = a.fingerprint \
         WHERE a.remediation_id = ? AND n.noticed_at >= coalesce(a.joined_at, r.created_at)",
    )
    .bind(id.as_str())
    .fetch_one(connection)
    .await
    .doing("reading ends of joined alerts")?;
    row.time_opt("noticed_at")
}

pub(super) async fn live(
    connection: &mut Connection,
    region: &RegionCode,
    no: &ServerNo,
) -> Result<Option<Live>, StoreError> {
    let row = query(
        "SELECT id, incident_id, state FROM remediation \
         WHERE region_code = ? AND server_no = ? AND finished_at IS NULL",
    )
    .bind(region.as_str())
    .bind(no.as_str())
    .fetch_optional(connection)
    .await
    .doing("reading the live remediation")?;
    let Some(row) = row else { return Ok(None) };
    let state = State::parse(&row.text("state")?).ok_or(StoreError::Unreadable { what: "state" })?;
    Ok(Some(Live { remediation_id: row.text("id")?, incident_id: row.text("incident_id")?, state }))
}

pub(super) async fn attempts(
    connection: &mut Connection,
    since: Timestamp,
    now: Timestamp,
) -> Result<Vec<Past>, StoreError> {
    let rows = query(
        "SELECT remediation_id, intent_at, server_no, region_code, policy, outcome, memory_bytes, cooldown_until \
         FROM attempt WHERE intent_at >= ? OR cooldown_until >= ? UNION ALL \
         SELECT 'journal-' || attempt_id, intent_at, server_no, region_code, policy, outcome, memory_bytes, \
         cooldown_until FROM forgotten_attempt WHERE intent_at >= ? OR cooldown_until >= ? ORDER BY intent_at DESC",
    )
    .bind(ms(since))
    .bind(ms(now))
    .bind(ms(since))
    .bind(ms(now))
    .fetch_all(connection)
    .await
    .doing("reading attempts")?;
    rows.iter().map(past).collect()
}

/// Reads an attempt as the limits look at it.
pub(super) fn past(row: &Row) -> Result<Past, StoreError> {
    let unreadable = |what| move |_error| StoreError::Unreadable { what };
    Ok(Past {
        remediation_id: row.text("remediation_id")?,
        intent_at: row.time("intent_at")?,
        server_no: ServerNo::parse(&row.text("server_no")?).map_err(unreadable("server_no"))?,
        region: RegionCode::parse(&row.text("region_code")?).map_err(unreadable("region_code"))?,
        policy: row.text("policy")?,
        outcome: outcome(row.text_opt("outcome")?.as_deref())?,
        memory_bytes: u64::try_from(row.int("memory_bytes")?).unwrap_or(0),
        cooldown_until: row.time("cooldown_until")?,
    })
}

/// Reads an outcome word.
pub(super) fn outcome(text: Option<&str>) -> Result<Option<Outcome>, StoreError> {
    text.map(|word| Outcome::parse(word).ok_or(StoreError::Unreadable { what: "outcome" })).transpose()
}

pub(super) async fn holds(connection: &mut Connection, now: Timestamp) -> Result<Vec<Hold>, StoreError> {
    let rows = query(
        "SELECT id, scope, name, author, reason, set_at, until FROM hold \
         WHERE cleared_at IS NULL AND (until IS NULL OR until > ?) ORDER BY id",
    )
    .bind(ms(now))
    .fetch_all(connection)
    .await
    .doing("reading holds")?;
    rows.iter()
        .map(|row| {
            // A hold that cannot be read holds everything.
            let scope =
                HoldScope::from_parts(&row.text("scope")?, &row.text("name")?).unwrap_or(HoldScope::Global);
            Ok(Hold {
                id: row.int("id")?,
                scope,
                author: row.text("author")?,
                reason: row.text("reason")?,
                set_at: row.time("set_at")?,
                until: row.time_opt("until")?,
            })
        })
        .collect()
}

pub(super) async fn silences(
    connection: &mut Connection,
    now: Timestamp,
) -> Result<Vec<Silence>, StoreError> {
    let rows = query(
        "SELECT id, matchers, author, comment, starts_at, ends_at FROM silence \
         WHERE expired_at IS NULL AND ends_at > ? ORDER BY id",
    )
    .bind(ms(now))
    .fetch_all(connection)
    .await
    .doing("reading silences")?;
    rows.iter()
        .map(|row| {
            Ok(Silence {
                id: row.int("id")?,
                matchers: row.value("matchers")?,
                author: row.text("author")?,
                comment: row.text("comment")?,
                starts_at: row.time("starts_at")?,
                ends_at: row.time("ends_at")?,
            })
        })
        .collect()
}
