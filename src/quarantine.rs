//! Quarantine: what attempt journal, heads and store know of each other, compared at the start; the stop that follows when the
//! store knows less; and the time stamps that the comparison rests on.
//!
//! Never: makes the two agree by itself. Only a person ends a quarantine.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::json;

use crate::domain::audit::{Actor, AuditEvent};
use crate::domain::audit_head;
use crate::domain::facts::Gap;
use crate::domain::limits::{WATCH_GAP_MIN, later};
use crate::domain::remediation::Outcome;
use crate::domain::server::{RegionCode, ServerNo};
use crate::files;
use crate::journal::{Counts, Entry, Head, Identity, Known, Stamp, away_since, boot, since_boot};
use crate::service::Service;
use crate::store::{History, Store, StoreError, StoreIdentity, Tx};
use crate::telemetry::chain;

/// Gap between two time stamps.
const STAMP_EVERY: Duration = Duration::from_secs(30);
/// Gap between two tries while the journal cannot be written.
const STAMP_AGAIN: Duration = Duration::from_secs(1);
/// Attempts that are named in a finding; the rest is counted.
const NAMED_MAX: usize = 3;
/// Where a system says which machine it is.
/// More than they hold.
const ID_BYTES_MAX: u64 = 4096;
const MACHINE_IDS: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

/// An interrupt that the journal knows and the store does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    /// Number of the attempt in the journal.
    pub attempt_id: i64,
    /// `serverInstanceNo`
    #[schema(value_type = ServerNo)]
    pub server_instance_no: String,
    /// `regionCode`
    #[schema(value_type = RegionCode)]
    pub region_code: String,
    /// The time that was signed.
    pub signed_at: Timestamp,
    /// What became of it; `None` where the journal has no answer.
    pub outcome: Option<Outcome>,
    /// The cloud's own `requestId`.
    pub request_id: Option<String>,
    /// What limits count it by; `None` in journals of before.
    #[serde(skip)]
    pub counts: Option<Counts>,
    /// Whether a person has already accepted that the store does not know it.
    pub accepted: bool,
}

impl Missing {
    /// Whether its server must be left alone: a dump window or cooldown may still run, or nobody knows.
    pub fn may_still_count(&self, cooldown: SignedDuration, now: Timestamp) -> bool {
        match self.outcome {
            Some(Outcome::NotSent) => false,
            None | Some(Outcome::Unknown) => true,
            Some(Outcome::Accepted | Outcome::Rejected) => now.duration_since(self.signed_at) < cooldown,
        }
    }
}

/// Journal and store side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// What does not agree; empty when all is well.
    pub findings: Vec<String>,
    /// Interrupts that the journal knows and the store does not.
    pub missing: Vec<Missing>,
    /// Highest attempt number in the journal.
    pub journal_high_water: i64,
    /// Highest attempt number in the store.
    pub store_high_water: i64,
}

/// Where the store is used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct At {
    /// The machine that we run on; for a store on a server, that server, and how often a standby of it was promoted.
    pub machine: Option<String>,
    /// Several replicas use it.
    pub is_shared: bool,
}

impl At {
    /// Of a store.
    pub async fn of(store: &Store) -> Result<Self, StoreError> {
        let server = store.server().await?;
        Ok(Self { is_shared: server.is_some(), machine: server.or_else(machine_id) })
    }

    fn elsewhere(&self, what: &str) -> String {
        if self.is_shared {
            format!(
                "{what} on another database server, or before a standby of it was promoted, which may know less"
            )
        } else {
            format!("{what} on another machine")
        }
    }
}

/// Compares what a journal says with what a store says.
pub fn compare(journal: &Known, store: &History, at: &At) -> Comparison {
    let unknown = |known: &&crate::journal::KnownIntent| {
        store.nonces.get(&known.intent.attempt_id) != Some(&known.intent.nonce)
    };
    let missing: Vec<Missing> = journal
        .intents
        .iter()
        .filter(unknown)
        .map(|known| {
            let (intent, answer) = (&known.intent, journal.answers.get(&known.intent.nonce));
            Missing {
                attempt_id: intent.attempt_id,
                server_instance_no: intent.server_instance_no.clone(),
                region_code: intent.region_code.clone(),
                signed_at: intent.signed_at,
                outcome: answer.map(|answer| answer.outcome),
                request_id: answer.and_then(|answer| answer.request_id.clone()),
                counts: intent.counts.clone(),
                accepted: known.accepted,
            }
        })
        .collect();
    let mut findings = Vec::new();
    find_damage(&mut findings, journal);
    find_strangers(&mut findings, journal, store, at);
    find_lost(&mut findings, journal, store, &missing);
    Comparison {
        findings,
        missing,
        journal_high_water: journal.high_water,
        store_high_water: store.high_water,
    }
}

fn find_damage(findings: &mut Vec<String>, journal: &Known) {
    if let Some(first) = journal.faults.first() {
        findings.push(format!("the journal has {} damaged lines, first {first}", journal.faults.len()));
    }
}

/// A journal or a store of somewhere else.
fn find_strangers(findings: &mut Vec<String>, journal: &Known, store: &History, at: &At) {
    let machine = at.machine.as_deref();
    let other = |seen: Option<&str>| seen.is_some_and(|seen| machine.is_some_and(|ours| ours != seen));
    match (&journal.identity, &store.identity) {
        // Each replica has a journal of its own, and a new one has an empty one.
        (None, Some(_)) if store.attempts > 0 && !at.is_shared => findings.push(format!(
            "the journal is missing or was never in use, although the store has {} attempts",
            store.attempts
        )),
        (Some(journal), None) => {
            findings.push(format!("the journal belongs to store {}, and this is none", journal.store_id));
        }
        (Some(journal), Some(store)) if journal.store_id != store.store_id => findings
            .push(format!("the journal belongs to store {}, this is {}", journal.store_id, store.store_id)),
        (None, _) | (Some(_), Some(_)) => {}
    }
    // Several journals are told of a new server one after the other, as their replicas come to dispatch; the store is told once.
    let store_is_here =
        at.is_shared && store.identity.as_ref().is_some_and(|store| store.machine_id.as_deref() == machine);
    if !store_is_here && journal.identity.as_ref().is_some_and(|journal| other(journal.machine_id.as_deref()))
    {
        findings.push(at.elsewhere("the journal was written"));
    }
    // A standby that was promoted may not even know of the first.
    let in_use = store.attempts > 0 || at.is_shared;
    if in_use && store.identity.as_ref().is_some_and(|store| other(store.machine_id.as_deref())) {
        findings.push(at.elsewhere("the store was last used"));
    }
}

/// What the journal saw and the store does not have.
fn find_lost(findings: &mut Vec<String>, journal: &Known, store: &History, missing: &[Missing]) {
    if journal.high_water > store.high_water {
        findings.push(format!(
            "the journal has seen attempt {}, the store ends at {}",
            journal.high_water, store.high_water
        ));
    }
    let new: Vec<&Missing> = missing.iter().filter(|missing| !missing.accepted).collect();
    if !new.is_empty() {
        let named: Vec<String> = new
            .iter()
            .take(NAMED_MAX)
            .map(|one| {
                format!("{} of server {} at {}", one.attempt_id, one.server_instance_no, one.signed_at)
            })
            .collect();
        let more = new.len().saturating_sub(named.len());
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        findings.push(format!("the store does not know attempt {}{more}", named.join(", ")));
    }
    findings.extend(journal.head.as_ref().and_then(|head| lost_row("the journal", head, store)));
}

/// A row of the audit that somebody outside the store has seen, and the store does not have. `store` was asked for it.
fn lost_row(who: &str, head: &Head, store: &History) -> Option<String> {
    match &store.audit_hash {
        // An export holds it, and another replica dispatched when it was pruned.
        None if head.seq < store.audit_begin => None,
        None => Some(format!("{who} has seen audit row {}, the store ends at {}", head.seq, store.audit_end)),
        Some(hash) if *hash != head.hash => {
            Some(format!("audit row {} is not the one that {who} has seen", head.seq))
        }
        Some(_) => None,
    }
}

/// The store's history as far as a journal can be compared with it: first attempt number and audit row to ask for.
pub fn wanted(journal: &Known) -> (i64, i64) {
    (journal.oldest_attempt().unwrap_or(i64::MAX), journal.head.as_ref().map_or(0, |head| head.seq))
}

/// Which machine this is; `None` where the system does not say.
pub fn machine_id() -> Option<String> {
    let read = |path: &&str| files::text(Path::new(path), ID_BYTES_MAX).ok();
    let text = |id: String| id.trim().to_owned();
    MACHINE_IDS.iter().filter_map(read).map(text).find(|id| !id.is_empty())
}

/// Compares journal and store as they are now.
pub async fn comparison(service: &Service) -> Result<Comparison, StoreError> {
    let known = service.journal.known();
    let (from_attempt, audit_seq) = wanted(&known);
    let history = service.store.history(from_attempt, audit_seq).await?;
    Ok(compare(&known, &history, &At::of(&service.store).await?))
}

/// What the store lacks of what its newest head outside knows.
async fn find_behind_heads(
    store: &Store,
    newest: Result<Option<audit_head::Head>, String>,
) -> Result<Option<String>, StoreError> {
    match newest {
        Ok(None) => Ok(None),
        Ok(Some(newest)) => {
            let history = store.history(i64::MAX, newest.seq).await?;
            let head = Head { seq: newest.seq, hash: newest.hash };
            Ok(lost_row("the newest head of the heads file", &head, &history))
        }
        Err(why) => Ok(Some(format!("nobody can tell what the heads of the audit know: {why}"))),
    }
}

/// At the start, before the door opens: compares, opens a quarantine where store, journal and the newest head do not
/// agree, and notes how long nobody watched. `latest` is the newest time in the store as it was found.
pub async fn begin(
    service: &Arc<Service>,
    latest: Option<Timestamp>,
    newest_head: Result<Option<audit_head::Head>, String>,
) -> Result<(), StoreError> {
    let now = service.clock.now();
    let known = service.journal.known();
    let (from_attempt, audit_seq) = wanted(&known);
    let history = service.store.history(from_attempt, audit_seq).await?;
    let at = At::of(&service.store).await?;
    let mut findings = compare(&known, &history, &at).findings;
    let machine = at.machine;
    findings.extend(find_behind_heads(&service.store, newest_head).await?);
    findings.extend(service.journal.trouble());
    // Of several replicas any may have watched: the store tells until when, and not the journal of this one.
    let watched = if at.is_shared { Known::default() } else { known.clone() };
    // Before its first start a store saw nothing at all.
    let first = history.identity.is_none().then_some(Gap { from: Timestamp::UNIX_EPOCH, until: now });
    let gap = first.or_else(|| gap(&watched, latest, service.clock.wall(), now));
    if let Some(stamp) = &known.stamp {
        doubt_a_jumped_clock(service, stamp);
    }
    if findings.is_empty() {
        let store_id = history.identity.as_ref().map(|identity| identity.store_id.clone());
        let store_id = store_id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let before = history.identity.as_ref().and_then(|identity| identity.machine_id.clone());
        let identity = StoreIdentity { store_id, machine_id: machine.or(before) };
        let changed = (history.identity.as_ref() != Some(&identity)).then(|| identity.clone());
        note(service, None, changed, gap, now).await?;
        let identity = Identity { store_id: identity.store_id, machine_id: identity.machine_id };
        // What goes wrong here is kept as trouble of the journal, and nothing is sent.
        if let Err(error) = service.journal.begin(identity, history.high_water, now) {
            tracing::error!(error = %chain(&error), "the attempt journal could not be begun");
        }
    } else {
        note(service, Some(findings.join("; ")), None, gap, now).await?;
    }
    stamp(service).await;
    Ok(())
}

async fn note(
    service: &Service,
    why: Option<String>,
    identity: Option<StoreIdentity>,
    gap: Option<Gap>,
    now: Timestamp,
) -> Result<(), StoreError> {
    if let Some(why) = &why {
        tracing::error!(why, "the store does not know all that was done: quarantine, nothing is sent");
    }
    if why.is_none() && identity.is_none() && gap.is_none() {
        return Ok(());
    }
    let job = Arc::new((why, identity));
    service
        .store
        .write(move |tx| {
            let job = Arc::clone(&job);
            Box::pin(async move {
                let (why, identity) = job.as_ref();
                if let Some(identity) = identity {
                    tx.set_identity(identity, now).await?;
                    let detail = json!({ "storeId": identity.store_id, "machineId": identity.machine_id });
                    append(tx, "store_identified", &detail, now).await?;
                }
                if let Some(gap) = gap {
                    tx.note_gap(gap).await?;
                    append(tx, "watch_gap", &json!(gap), now).await?;
                }
                if let Some(why) = why
                    && let Some(id) = tx.open_new_quarantine(why, now).await?
                {
                    append(tx, "quarantine_opened", &json!({ "id": id, "why": why }), now).await?;
                }
                Ok(())
            })
        })
        .await
}

async fn append(
    tx: &mut Tx,
    kind: &str,
    detail: &serde_json::Value,
    now: Timestamp,
) -> Result<(), StoreError> {
    let event = AuditEvent::new(now, kind, Actor::service("unhang")).with_detail(detail);
    tx.append(&event).await.map(|_| ())
}

/// The time since the last sign of life, if it is so long that a reboot in it cannot be told from an interrupt. A clock
/// that stood still or was set back does not hide it: within one boot the seconds since then count as well.
fn gap(journal: &Known, latest: Option<Timestamp>, wall: Timestamp, now: Timestamp) -> Option<Gap> {
    let stamp = journal.stamp.as_ref();
    let from = stamp.map(|stamp| stamp.at).or(latest)?;
    let away = stamp.map_or_else(|| wall.duration_since(from), |stamp| away_since(stamp, wall));
    let until = now.max(later(from, away));
    (away > WATCH_GAP_MIN && from < until).then_some(Gap { from, until })
}

/// How far the wall clock may part from the machine's own count between two stamps: time keeping slews slowly, and only a
/// jump is faster.
fn slewed_at_most(since: SignedDuration) -> SignedDuration {
    SignedDuration::from_secs(5).saturating_add(since / 500)
}

/// Within one boot a jump of the clock shows also over a restart. It is then believed when the cloud's `Date` confirms it.
fn doubt_a_jumped_clock(service: &Service, stamp: &Stamp) {
    let Some(since) = since_boot(stamp) else { return };
    let (wall, expected) = (service.clock.wall(), later(stamp.at, since));
    if wall.duration_since(expected).abs() > slewed_at_most(since) {
        tracing::error!(%wall, %expected, "the wall clock has jumped since the last sign of life");
        service.expect_wall(expected.as_millisecond());
    }
}

/// Writes a time stamp. In quarantine it does not name the audit: what was seen before must be found again. A clock that has
/// jumped writes none: the next start must still see the jump.
pub async fn stamp(service: &Service) {
    if service.clock_parted() {
        return;
    }
    let agreed = !service.store.has_ended() && matches!(service.store.open_quarantine().await, Ok(None));
    let end = if agreed { service.store.audit_end().await.unwrap_or(None) } else { None };
    // A store that ends before what was seen of it must be found out by the next start.
    let seen = service.journal.known().head.map_or(0, |head| head.seq);
    let end = end.filter(|(seq, _)| *seq >= seen);
    let audit = end.map(|(seq, hash)| Head { seq, hash });
    let (boot_id, boot_seconds) = boot();
    let now = service.clock.wall();
    let stamp = Entry::Stamp(Stamp { at: now, boot_id, boot_seconds, audit });
    if service.journal.write(stamp).await.is_ok()
        && let Err(error) = service.journal.shorten(now)
    {
        tracing::error!(error = %chain(&error), "the attempt journal could not be shortened");
    }
}

/// A time stamp; and before it, a word on how long there was none: a process can be frozen without being ended. While the
/// journal cannot be written the process is awake, so that time is no gap.
async fn sign_of_life(service: &Service) {
    let now = service.clock.now();
    let gap = gap(&service.journal.known(), None, service.clock.wall(), now)
        .filter(|_| service.journal.trouble().is_none());
    if let Err(error) = note(service, None, None, gap, now).await {
        tracing::error!(error = %chain(&error), "a time without watch could not be noted");
        return;
    }
    stamp(service).await;
}

/// Writes time stamps until the service stops. One that succeeds also shows that the journal can be written again.
pub async fn keep_stamping(service: Arc<Service>) {
    while !service.stopping.is_cancelled() {
        let pause = if service.journal.trouble().is_some() { STAMP_AGAIN } else { STAMP_EVERY };
        tokio::select! {
            () = tokio::time::sleep(pause) => sign_of_life(&service).await,
            () = service.stopping.cancelled() => {}
        }
    }
}

#[cfg(test)]
#[path = "quarantine_tests.rs"]
mod tests;
