//! What the writer remembers of the store, so that an alert is decided without asking again for what has not changed.
//!
//! Every write names the [`Part`] that it changes, and that part is read again; only sightings and incidents that are
//! opened are noted here as they are written. The whole image is forgotten when a transaction fails and when another
//! connection has written.
//!
//! Never: what a claim is decided by; the moment before an interrupt everything is read from the file. Never grows
//! without bound.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::domain::breaker::Tried;
use crate::domain::facts::{Facts, Gap, Live, Past, TargetFact};
use crate::domain::guest::GuestFacts;
use crate::domain::hold::{Hold, Silence};
use crate::domain::ids::IncidentId;
use crate::domain::ladder::Demotion;
use crate::domain::server::{RegionCode, Server, ServerNo};
use crate::domain::storm::{Sighting, StormFacts};
use crate::domain::target::TargetName;

use super::db::Connection;
use super::facts::{FactSource, FactsWanted};
use super::fires::{self, Fires};
use super::guards::{self, GuardsWanted};
use super::renewals::Recorded;
use super::rows::ms;
use super::servers::{Known, known_target};
use super::writer::Tx;
use super::{StoreError, facts, guest, heartbeat, quarantine};

/// Most entries of one kind; beyond it all of that kind are forgotten.
const ENTRIES_MAX: usize = 20_000;

/// What a write changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// Attempts, and those that only the journal knows.
    Attempts,
    /// The remediation of a server that was interrupted neither before nor after the change.
    Life(&'a RegionCode, &'a ServerNo),
    /// The remediation of a server that was interrupted before or after the change: what fires and what was tried, too.
    Interrupted(&'a RegionCode, &'a ServerNo),
    /// An incident that is closed.
    Incident(&'a IncidentId),
    /// Storms that are open, and when the last was cleared.
    Storms,
    /// Standing of policies and resets of breakers.
    Standing,
    /// Servers, look-ups and lists.
    Inventory,
    /// Words of guests, and of people about dumps.
    Guests,
    /// Newest end of the alert with a fingerprint.
    End(&'a str),
    /// Signs of life of sources.
    Heartbeats,
    /// Holds.
    Holds,
    /// Silences.
    Silences,
    /// Quarantines.
    Quarantine,
    /// Times without watch.
    Gaps,
}

/// A value that was right for a time and can be narrowed for any later one.
#[derive(Debug)]
struct AsOf<T> {
    since: Timestamp,
    now: Timestamp,
    value: T,
}

impl<T> AsOf<T> {
    fn covers(&self, since: Timestamp, now: Timestamp) -> bool {
        self.since <= since && self.now <= now
    }
}

/// Why nothing is sent at all, where that is so.
type Why = Option<String>;

type ByServer<T> = BTreeMap<RegionCode, BTreeMap<ServerNo, T>>;

/// What is remembered. Empty, it is a reader that asks for everything.
#[derive(Debug, Default)]
pub(super) struct Image {
    attempts: Option<AsOf<Vec<Past>>>,
    holds: Option<AsOf<Vec<Hold>>>,
    silences: Option<AsOf<Arc<[Silence]>>>,
    gaps: Option<AsOf<Vec<Gap>>>,
    quarantine: Option<Why>,
    ends: BTreeMap<String, Option<Timestamp>>,
    lives: ByServer<Option<Live>>,
    incidents: ByServer<IncidentId>,
    guests: ByServer<(Timestamp, GuestFacts)>,
    targets: BTreeMap<RegionCode, BTreeMap<TargetName, Known>>,
    fires: BTreeMap<RegionCode, Fires>,
    tried: BTreeMap<String, (i64, Vec<Tried>)>,
    demoted: BTreeMap<String, Option<Demotion>>,
    heartbeats: BTreeMap<String, Option<Timestamp>>,
    pub(super) recorded: Recorded,
}

impl Image {
    /// Forgets what a write is about to change.
    pub(super) fn forget(&mut self, part: Part<'_>) {
        match part {
            Part::Attempts => {
                self.attempts = None;
                self.tried.clear();
            }
            Part::Life(region, no) => self.forget_life(region, no),
            Part::Interrupted(region, no) => {
                self.forget_life(region, no);
                if let Some(fires) = self.fires.get_mut(region) {
                    fires.forget_interrupted();
                }
                self.tried.clear();
            }
            Part::Incident(id) => {
                for servers in self.incidents.values_mut() {
                    servers.retain(|_, open| open != id);
                }
            }
            Part::Storms => self.fires.clear(),
            Part::Standing => {
                self.tried.clear();
                self.demoted.clear();
            }
            Part::Inventory => {
                self.targets.clear();
                self.fires.values_mut().for_each(Fires::forget_kinds);
            }
            Part::Guests => self.guests.clear(),
            Part::End(fingerprint) => {
                self.ends.remove(fingerprint);
            }
            Part::Heartbeats => self.heartbeats.clear(),
            Part::Holds => self.holds = None,
            Part::Silences => self.silences = None,
            Part::Quarantine => self.quarantine = None,
            Part::Gaps => self.gaps = None,
        }
    }

    fn forget_life(&mut self, region: &RegionCode, no: &ServerNo) {
        if let Some(servers) = self.lives.get_mut(region) {
            servers.remove(no);
        }
    }

    /// The open incident of a server, where it is known.
    pub(super) fn incident(&self, server: &Server) -> Option<&IncidentId> {
        self.incidents.get(&server.region)?.get(&server.no)
    }

    /// Keeps the open incident of a server.
    pub(super) fn keep_incident(&mut self, server: &Server, id: &IncidentId) {
        keep(&mut self.incidents, &server.region, &server.no, id.clone());
    }

    /// A server fires again: what is remembered of its region moves with it.
    pub(super) fn note_sighting(&mut self, region: &RegionCode, sighting: &Sighting, seen_at: Timestamp) {
        if let Some(fires) = self.fires.get_mut(region) {
            fires.note(sighting, ms(seen_at));
        }
    }
}

fn keep<K: Ord + Clone, T>(
    map: &mut BTreeMap<RegionCode, BTreeMap<K, T>>,
    region: &RegionCode,
    key: &K,
    value: T,
) {
    let of_region = map.entry(region.clone()).or_default();
    if of_region.len() >= ENTRIES_MAX {
        of_region.clear();
    }
    of_region.insert(key.clone(), value);
}

/// Where facts are read, and what is remembered of them there.
pub(super) trait Ground: Send {
    /// The connection. What was written before is in it.
    fn db(&mut self) -> impl Future<Output = Result<&mut Connection, StoreError>> + Send;
    /// The connection, for tables of which no row waits.
    fn behind_the_waiting(&mut self) -> &mut Connection;
    /// The connection, to look for the live remediation of a server.
    fn db_of(
        &mut self,
        region: &RegionCode,
        no: &ServerNo,
    ) -> impl Future<Output = Result<&mut Connection, StoreError>> + Send;
    /// What is remembered.
    fn image(&mut self) -> &mut Image;
    /// Whether that lasts longer than one question.
    fn remembers(&self) -> bool;
}

impl Ground for Tx {
    async fn db(&mut self) -> Result<&mut Connection, StoreError> {
        Self::db(self).await
    }

    fn behind_the_waiting(&mut self) -> &mut Connection {
        Self::behind_the_waiting(self)
    }

    async fn db_of(&mut self, region: &RegionCode, no: &ServerNo) -> Result<&mut Connection, StoreError> {
        if self.waiting.opens_for(region, no) { Self::db(self).await } else { Ok(self.behind_the_waiting()) }
    }

    fn image(&mut self) -> &mut Image {
        &mut self.image
    }

    fn remembers(&self) -> bool {
        true
    }
}

/// A connection that remembers nothing from before.
#[derive(Debug)]
pub(super) struct Fresh<'c> {
    connection: &'c mut Connection,
    image: Image,
}

impl<'c> Fresh<'c> {
    pub(super) fn new(connection: &'c mut Connection) -> Self {
        Self { connection, image: Image::default() }
    }
}

impl Ground for Fresh<'_> {
    async fn db(&mut self) -> Result<&mut Connection, StoreError> {
        Ok(self.connection)
    }

    fn behind_the_waiting(&mut self) -> &mut Connection {
        self.connection
    }

    async fn db_of(&mut self, _: &RegionCode, _: &ServerNo) -> Result<&mut Connection, StoreError> {
        Ok(self.connection)
    }

    fn image(&mut self) -> &mut Image {
        &mut self.image
    }

    fn remembers(&self) -> bool {
        false
    }
}

/// A transaction whose facts may come from the image. For alerts and for the end of a hold-down: a claim reads.
#[derive(Debug)]
pub struct Remembered<'t> {
    tx: &'t mut Tx,
    /// The target is read from the file.
    reads_target: bool,
}

impl Tx {
    /// The same transaction, whose facts need not be read again.
    pub fn remembered(&mut self) -> Remembered<'_> {
        Remembered { tx: self, reads_target: false }
    }

    /// The same, for an alert that leads to a remediation: whom an interrupt would go to is read from the file.
    pub fn remembered_but_the_target(&mut self) -> Remembered<'_> {
        Remembered { tx: self, reads_target: true }
    }
}

impl FactSource for Remembered<'_> {
    async fn target(
        &mut self,
        region: &RegionCode,
        name: &TargetName,
        now: Timestamp,
        fresh_for: SignedDuration,
    ) -> Result<TargetFact, StoreError> {
        if self.reads_target
            && let Some(names) = self.tx.image.targets.get_mut(region)
        {
            names.remove(name);
        }
        target(self.tx, region, name, now, fresh_for).await
    }

    async fn facts(&mut self, wanted: FactsWanted) -> Result<Facts, StoreError> {
        facts::facts(self.tx, wanted).await
    }
}

pub(super) async fn target(
    ground: &mut impl Ground,
    region: &RegionCode,
    name: &TargetName,
    now: Timestamp,
    fresh_for: SignedDuration,
) -> Result<TargetFact, StoreError> {
    if let Some(known) = ground.image().targets.get(region).and_then(|names| names.get(name)) {
        return Ok(known.judge(name, now, fresh_for));
    }
    let known = known_target(ground.behind_the_waiting(), region, name).await?;
    let fact = known.judge(name, now, fresh_for);
    keep(&mut ground.image().targets, region, name, known);
    Ok(fact)
}

pub(super) async fn attempts(
    ground: &mut impl Ground,
    since: Timestamp,
    now: Timestamp,
) -> Result<Vec<Past>, StoreError> {
    let narrow = |all: &[Past]| {
        let counts = |past: &&Past| ms(past.intent_at) >= ms(since) || ms(past.cooldown_until) >= ms(now);
        all.iter().filter(counts).cloned().collect()
    };
    if let Some(known) = ground.image().attempts.as_ref().filter(|known| known.covers(since, now)) {
        return Ok(narrow(&known.value));
    }
    let value = facts::attempts(ground.behind_the_waiting(), since, now).await?;
    ground.image().attempts = Some(AsOf { since, now, value: value.clone() });
    Ok(value)
}

pub(super) async fn holds(ground: &mut impl Ground, now: Timestamp) -> Result<Vec<Hold>, StoreError> {
    if let Some(known) = ground.image().holds.as_ref().filter(|known| known.covers(now, now)) {
        let stands = |hold: &&Hold| hold.until.is_none_or(|until| ms(until) > ms(now));
        return Ok(known.value.iter().filter(stands).cloned().collect());
    }
    let value = facts::holds(ground.behind_the_waiting(), now).await?;
    ground.image().holds = Some(AsOf { since: now, now, value: value.clone() });
    Ok(value)
}

pub(super) async fn silences(ground: &mut impl Ground, now: Timestamp) -> Result<Arc<[Silence]>, StoreError> {
    let lasts = |known: &&AsOf<Arc<[Silence]>>| known.value.iter().all(|silence| silence.ends_at > now);
    if let Some(known) = ground.image().silences.as_ref().filter(|known| known.covers(now, now)).filter(lasts)
    {
        // A copy would have to warm up its patterns with each alert.
        return Ok(Arc::clone(&known.value));
    }
    let value: Arc<[Silence]> = facts::silences(ground.behind_the_waiting(), now).await?.into();
    ground.image().silences = Some(AsOf { since: now, now, value: Arc::clone(&value) });
    Ok(value)
}

pub(super) async fn gaps(ground: &mut impl Ground, since: Timestamp) -> Result<Vec<Gap>, StoreError> {
    if let Some(known) = ground.image().gaps.as_ref().filter(|known| known.covers(since, since)) {
        return Ok(known.value.iter().filter(|gap| ms(gap.until) >= ms(since)).copied().collect());
    }
    let value = quarantine::gaps(ground.behind_the_waiting(), since).await?;
    ground.image().gaps = Some(AsOf { since, now: since, value: value.clone() });
    Ok(value)
}

pub(super) async fn open_quarantine(ground: &mut impl Ground) -> Result<Option<String>, StoreError> {
    if let Some(known) = &ground.image().quarantine {
        return Ok(known.clone());
    }
    let open = quarantine::open_quarantine(ground.behind_the_waiting()).await?;
    let value = open.map(|open| format!("quarantine {}: {}", open.id, open.why));
    ground.image().quarantine = Some(value.clone());
    Ok(value)
}

pub(super) async fn newest_end(
    ground: &mut impl Ground,
    fingerprint: &str,
) -> Result<Option<Timestamp>, StoreError> {
    if let Some(known) = ground.image().ends.get(fingerprint) {
        return Ok(*known);
    }
    let value = facts::newest_resolved_end(ground.behind_the_waiting(), fingerprint).await?;
    let ends = &mut ground.image().ends;
    if ends.len() >= ENTRIES_MAX {
        ends.clear();
    }
    ends.insert(fingerprint.to_owned(), value);
    Ok(value)
}

pub(super) async fn live(
    ground: &mut impl Ground,
    region: &RegionCode,
    no: &ServerNo,
) -> Result<Option<Live>, StoreError> {
    if let Some(known) = ground.image().lives.get(region).and_then(|servers| servers.get(no)) {
        return Ok(known.clone());
    }
    let value = facts::live(ground.db_of(region, no).await?, region, no).await?;
    keep(&mut ground.image().lives, region, no, value.clone());
    Ok(value)
}

pub(super) async fn guest_facts(ground: &mut impl Ground, server: &Server) -> Result<GuestFacts, StoreError> {
    let known = ground.image().guests.get(&server.region).and_then(|servers| servers.get(&server.no));
    if let Some((_, said)) = known.filter(|(created_at, _)| *created_at == server.created_at) {
        return Ok(said.clone());
    }
    let value =
        guest::guest_facts(ground.behind_the_waiting(), &server.region, &server.no, server.created_at)
            .await?;
    keep(&mut ground.image().guests, &server.region, &server.no, (server.created_at, value.clone()));
    Ok(value)
}

pub(super) async fn storm_facts(
    ground: &mut impl Ground,
    wanted: &GuardsWanted,
) -> Result<StormFacts, StoreError> {
    if !ground.remembers() {
        return fires::storm_facts(ground.db().await?, wanted).await;
    }
    let known = ground.image().fires.get(&wanted.region);
    if known.is_some_and(Fires::lacks_interrupted) {
        let interrupted = fires::interrupted(ground.db().await?, &wanted.region).await?;
        if let Some(fires) = ground.image().fires.get_mut(&wanted.region) {
            fires.keep_interrupted(interrupted);
        }
    }
    let known = ground.image().fires.get_mut(&wanted.region);
    if known.is_some_and(|fires| fires.lacks_kinds(wanted)) {
        let kinds = fires::kinds(ground.behind_the_waiting(), &wanted.region).await?;
        if let Some(fires) = ground.image().fires.get_mut(&wanted.region) {
            fires.keep_kinds(kinds);
        }
    }
    if let Some(known) = ground.image().fires.get_mut(&wanted.region).and_then(|fires| fires.facts(wanted)) {
        return Ok(known);
    }
    let mut fires = fires::fires(ground.db().await?, wanted).await?;
    let value = fires.facts(wanted).ok_or(StoreError::Unreadable { what: "servers that fire" })?;
    ground.image().fires.insert(wanted.region.clone(), fires);
    Ok(value)
}

pub(super) async fn tried(
    ground: &mut impl Ground,
    policy: &str,
    max: i64,
) -> Result<Vec<Tried>, StoreError> {
    if let Some((_, known)) = ground.image().tried.get(policy).filter(|(most, _)| *most == max) {
        return Ok(known.clone());
    }
    let value = guards::tried(ground.behind_the_waiting(), policy, max).await?;
    ground.image().tried.insert(policy.to_owned(), (max, value.clone()));
    Ok(value)
}

pub(super) async fn demoted(ground: &mut impl Ground, policy: &str) -> Result<Option<Demotion>, StoreError> {
    if let Some(known) = ground.image().demoted.get(policy) {
        return Ok(known.clone());
    }
    let value = guards::standing(ground.behind_the_waiting(), policy).await?.demoted;
    ground.image().demoted.insert(policy.to_owned(), value.clone());
    Ok(value)
}

pub(super) async fn last_heartbeat(
    ground: &mut impl Ground,
    source: &str,
) -> Result<Option<Timestamp>, StoreError> {
    if let Some(known) = ground.image().heartbeats.get(source) {
        return Ok(*known);
    }
    let value = heartbeat::last(ground.behind_the_waiting(), source).await?;
    ground.image().heartbeats.insert(source.to_owned(), value);
    Ok(value)
}

#[cfg(debug_assertions)]
impl Tx {
    /// Reads some of what is remembered again and panics where the store says otherwise: a write has not named its part.
    pub(super) async fn assert_image(&mut self) -> Result<(), StoreError> {
        const LOOKED_AT: usize = 8;
        let mut known = std::mem::take(&mut self.image);
        if let Some(AsOf { since, now, value }) = &known.attempts {
            assert_eq!(*value, facts::attempts(self.db().await?, *since, *now).await?, "attempts");
        }
        if let Some(AsOf { now, value, .. }) = &known.holds {
            assert_eq!(*value, facts::holds(self.db().await?, *now).await?, "holds");
        }
        if let Some(AsOf { now, value, .. }) = &known.silences {
            assert_eq!(value.to_vec(), facts::silences(self.db().await?, *now).await?, "silences");
        }
        if let Some(AsOf { since, value, .. }) = &known.gaps {
            assert_eq!(*value, quarantine::gaps(self.db().await?, *since).await?, "gaps");
        }
        if let Some(value) = &known.quarantine {
            assert_eq!(*value, open_quarantine(&mut Fresh::new(self.db().await?)).await?, "quarantine");
        }
        for (fingerprint, value) in known.ends.iter().take(LOOKED_AT) {
            let read = facts::newest_resolved_end(self.db().await?, fingerprint).await?;
            assert_eq!(*value, read, "end of {fingerprint}");
        }
        for (policy, (max, value)) in &known.tried {
            assert_eq!(*value, guards::tried(self.db().await?, policy, *max).await?, "tried {policy}");
        }
        for (policy, value) in &known.demoted {
            assert_eq!(*value, guards::standing(self.db().await?, policy).await?.demoted, "{policy}");
        }
        for (source, value) in &known.heartbeats {
            assert_eq!(*value, heartbeat::last(self.db().await?, source).await?, "heartbeat of {source}");
        }
        for (region, fires) in &mut known.fires {
            let wanted = fires.as_wanted(region);
            let read = fires::storm_facts(self.db().await?, &wanted).await?;
            if let Some(known) = fires.facts(&wanted) {
                assert_eq!(known, read, "what fires in {region}");
            }
        }
        for (region, servers) in &known.lives {
            for (no, value) in servers.iter().take(LOOKED_AT) {
                assert_eq!(*value, facts::live(self.db().await?, region, no).await?, "live of {no}");
            }
        }
        for (region, names) in &known.targets {
            for (name, value) in names.iter().take(LOOKED_AT) {
                assert_eq!(*value, known_target(self.db().await?, region, name).await?, "target {name}");
            }
        }
        self.image = known;
        self.assert_servers(LOOKED_AT).await
    }

    async fn assert_servers(&mut self, looked_at: usize) -> Result<(), StoreError> {
        let known = std::mem::take(&mut self.image);
        for (region, servers) in &known.incidents {
            for (no, value) in servers.iter().take(looked_at) {
                assert_eq!(Some(value), self.read_incident(region, no).await?.as_ref(), "incident of {no}");
            }
        }
        for (region, servers) in &known.guests {
            for (no, (created_at, value)) in servers.iter().take(looked_at) {
                let read = guest::guest_facts(self.db().await?, region, no, *created_at).await?;
                assert_eq!(*value, read, "guest of {no}");
            }
        }
        self.image = known;
        Ok(())
    }
}
