//! Hands: what people order. Approvals, denials, settlements, holds, silences, replays, orders by hand.
//!
//! Never: a way around a guard, or an order without a person and a reason.

mod guards;
mod guest;
mod quarantine;
mod replay;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

pub use guards::{clear_storm, demote_policy, promote_policy, reset_breaker};
pub use guest::{CooldownEnded, DumpCollected, dump_collected};
pub use quarantine::{Cleared, clear_quarantine};
pub use replay::{Idempotency, Ordered, ReplayTried, Replayed, order, replay};

use crate::domain::audit::{Actor, AuditEvent};
use crate::domain::claim;
use crate::domain::guard::Verdict::{AskPerson, Stop};
use crate::domain::guard::{Check, Reason, Trace};
use crate::domain::hold::{self, HoldScope};
use crate::domain::ids::RemediationId;
use crate::domain::limits::later;
use crate::domain::remediation::{Event, State};
use crate::moves::{event_about, facts_for, move_with_event, open_storm_if_seen};
use crate::service::Service;
use crate::store::{Move, NewHold, NewSilence, Remediation, SettlementRow, StoreError, Tx};

/// Earliest "it did not happen" after the intent: the signature is valid for five minutes, and clocks differ.
const NOT_HAPPENED_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// Why an order was not carried out. Nothing was changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// There is no such thing.
    #[error("there is nothing with this identifier")]
    NotFound,
    /// It is past the point, or not there yet.
    #[error("it is {}; this cannot be done now", state.as_str())]
    WrongState {
        /// Where it stands.
        state: State,
    },
    /// Another person must do it.
    #[error("another person than the one who asked for it must do this")]
    SamePerson,
    /// It moved since the person looked.
    #[error("it has changed since you looked: it is at version {current} now")]
    VersionChanged {
        /// Its version now.
        current: i64,
    },
    /// The last notice is old; the person must vouch.
    #[error("the last notice came at {last_notice_at}; look at the server, then confirm that it still hangs")]
    ConfirmStillHung {
        /// When.
        last_notice_at: Timestamp,
    },
    /// A guard wants a person who vouches.
    #[error("{}: {} (wanted: {}); look at the server, then confirm that it hangs", check.guard.as_str(), check.seen, check.limit)]
    ConfirmFirst {
        /// Which.
        check: Check,
    },
    /// Too early to say that nothing happened.
    #[error("a late request could still take effect; say so after {until}")]
    TooEarly {
        /// Until when.
        until: Timestamp,
    },
    /// The cloud's activity record must be looked at first.
    #[error("look at the cloud's activity record first, then say activityChecked")]
    ActivityNotChecked,
    /// A guard says no.
    #[error("{}: {} (wanted: {})", check.guard.as_str(), check.seen, check.limit)]
    Guard {
        /// Which.
        check: Check,
        /// All that were asked.
        trace: Trace,
    },
    /// The stored delivery cannot be used.
    #[error("{why}")]
    NotReplayable {
        /// Why.
        why: String,
    },
    /// The named policy does not fit.
    #[error("{why}")]
    Policy {
        /// Why.
        why: String,
    },
    /// A memory dump may still be being written.
    #[error("a memory dump may be being written until {until}; nobody can collect it before")]
    DumpBeingWritten {
        /// Until when.
        until: Timestamp,
    },
    /// There is no dump to speak of.
    #[error("{why}")]
    NothingToCollect {
        /// Why.
        why: String,
    },
    /// The key was used for another request.
    #[error("this Idempotency-Key was used for another request; use a new one")]
    KeyReused,
    /// As many silences are in force, or planned, as may be.
    #[error("{why}")]
    TooManySilences {
        /// Which limit it is.
        why: String,
    },
    /// What is done must be noted in the attempt journal, and cannot be.
    #[error("{why}")]
    Journal {
        /// Why.
        why: String,
    },
}

/// Result of an order: done, refused, or the store failed.
pub type Hand<T> = Result<Result<T, Refusal>, StoreError>;

/// What an approver looked at: it must be what is decided about now.
#[derive(Debug, Clone)]
pub struct Seen {
    version: Option<i64>,
    decision_hash: Option<String>,
}

impl Seen {
    /// By the version of the remediation, by the hash of what is decided about, or by both; `None` for neither.
    pub fn new(version: Option<i64>, decision_hash: Option<String>) -> Option<Self> {
        (version.is_some() || decision_hash.is_some()).then_some(Self { version, decision_hash })
    }

    /// Whether it is still what a remediation of this version and hash shows.
    fn is_still(&self, version: i64, decision_hash: &str) -> bool {
        self.version.is_none_or(|seen| seen == version)
            && self.decision_hash.as_deref().is_none_or(|seen| seen == decision_hash)
    }
}

/// An approval.
#[derive(Debug, Clone)]
pub struct Approval {
    /// Why.
    pub reason: String,
    /// What the person looked at.
    pub seen: Seen,
    /// The person looked at the server and it still hangs.
    pub confirm_still_hung: bool,
}

/// What a person says of an open end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The interrupt took effect.
    Happened,
    /// It did not.
    NotHappened,
}

impl Verdict {
    /// The word used in JSON and store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Happened => "happened",
            Self::NotHappened => "not_happened",
        }
    }
}

/// A settlement.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// What happened.
    pub verdict: Verdict,
    /// How the person knows.
    pub reason: String,
    /// The person looked at the cloud's activity record.
    pub activity_checked: bool,
}

/// What a settlement led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The remediation is closed.
    Closed,
    /// A second person must say the same.
    OneOfTwo,
}

/// Approves a remediation that waits for a person. Every guard that stops is asked again.
pub async fn approve(service: &Service, id: &RemediationId, person: &str, approval: Approval) -> Hand<()> {
    let (config, now) = (service.config(), service.clock.now());
    let job = Arc::new((id.clone(), person.to_owned(), approval));
    let done = service
        .store
        .write(move |tx| {
            let (job, config) = (Arc::clone(&job), Arc::clone(&config));
            Box::pin(async move {
                let (id, person, approval) = job.as_ref();
                let Some(mut remediation) = tx.remediation(id).await? else {
                    return Ok(Err(Refusal::NotFound));
                };
                let decision_hash = tx.decision_hash(id).await?.unwrap_or_default();
                if let Some(refusal) = not_approvable_by(&remediation, person, &approval.seen, &decision_hash)
                {
                    return Ok(Err(refusal));
                }
                let facts = facts_for(tx, &remediation, &config, now).await?;
                if approval.confirm_still_hung {
                    remediation.waiting.confirmed_at = Some(now);
                }
                let (verdict, trace) = claim::approvable(&remediation.waiting, &config.rules, &facts, now);
                if let Err(check) = verdict {
                    if check.guard == Reason::Storm {
                        let server = &remediation.waiting.server;
                        open_storm_if_seen(tx, &remediation, server, &facts, &config, now).await?;
                    }
                    return Ok(Err(Refusal::Guard { check, trace }));
                }
                if let Some(check) = trace.first(AskPerson).cloned() {
                    return Ok(Err(Refusal::ConfirmFirst { check }));
                }
                let last_notice_at = remediation.waiting.last_notice_at;
                let policies = &config.rules.policies;
                let policy = policies.iter().find(|policy| policy.name == remediation.waiting.policy);
                let fresh = policy.is_some_and(|p| now.duration_since(last_notice_at) <= p.notice_age_max);
                if !fresh && !approval.confirm_still_hung {
                    return Ok(Err(Refusal::ConfirmStillHung { last_notice_at }));
                }
                let with = Move {
                    detail: format!("approved by {person}: {}", approval.reason),
                    approved_by: Some(person.clone()),
                    vouched: approval.confirm_still_hung,
                    not_before: Some(now),
                    config_hash: Some(config.hash.clone()),
                    ..Move::default()
                };
                let actor = Actor::person(person);
                move_with_event(tx, &remediation, Event::Approved, &with, actor, Some(&trace), now).await?;
                Ok(Ok(()))
            })
        })
        .await?;
    service.work.notify_one();
    Ok(done)
}

fn not_approvable_by(
    remediation: &Remediation,
    person: &str,
    seen: &Seen,
    decision_hash: &str,
) -> Option<Refusal> {
    if remediation.state != State::AwaitingApproval {
        return Some(Refusal::WrongState { state: remediation.state });
    }
    if remediation.requested_by.as_deref() == Some(person) {
        return Some(Refusal::SamePerson);
    }
    let current = remediation.version;
    (!seen.is_still(current, decision_hash)).then_some(Refusal::VersionChanged { current })
}

/// Denies a remediation that waits for a person.
pub async fn deny(service: &Service, id: &RemediationId, person: &str, reason: &str) -> Hand<()> {
    take_back(service, id, person, format!("denied by {person}: {reason}"), |s| s == State::AwaitingApproval)
        .await
}

/// Takes back a remediation before its intent.
pub async fn cancel(service: &Service, id: &RemediationId, person: &str, reason: &str) -> Hand<()> {
    take_back(service, id, person, format!("cancelled by {person}: {reason}"), State::is_before_intent).await
}

async fn take_back(
    service: &Service,
    id: &RemediationId,
    person: &str,
    detail: String,
    allowed: fn(State) -> bool,
) -> Hand<()> {
    let (config, now) = (service.config(), service.clock.now());
    let job = Arc::new((id.clone(), person.to_owned(), detail));
    service
        .store
        .write(move |tx| {
            let (job, config) = (Arc::clone(&job), Arc::clone(&config));
            Box::pin(async move {
                let (id, person, detail) = job.as_ref();
                let Some(remediation) = tx.remediation(id).await? else { return Ok(Err(Refusal::NotFound)) };
                if !allowed(remediation.state) {
                    return Ok(Err(Refusal::WrongState { state: remediation.state }));
                }
                let with = Move {
                    reason: Some(Reason::Cancelled),
                    detail: detail.clone(),
                    config_hash: Some(config.hash.clone()),
                    ..Move::default()
                };
                let mut trace = Trace::default();
                trace.note(Reason::Cancelled, Stop, detail, "nobody takes it back", None);
                let actor = Actor::person(person);
                move_with_event(tx, &remediation, Event::Cancelled, &with, actor, Some(&trace), now).await?;
                Ok(Ok(()))
            })
        })
        .await
}

/// Settles a remediation whose end nobody could prove. "Happened" takes one person; "not happened" takes two, at
/// least ten minutes after the intent, and leaves a hold on the server. Neither ever sends anything again.
pub async fn settle(
    service: &Service,
    id: &RemediationId,
    person: &str,
    settlement: Settlement,
) -> Hand<Settled> {
    let now = service.clock.now();
    let job = Arc::new((id.clone(), person.to_owned(), settlement));
    service
        .store
        .write(move |tx| {
            let job = Arc::clone(&job);
            Box::pin(async move { settle_in(tx, &job.0, &job.1, &job.2, now).await })
        })
        .await
}

async fn settle_in(
    tx: &mut Tx,
    id: &RemediationId,
    person: &str,
    settlement: &Settlement,
    now: Timestamp,
) -> Hand<Settled> {
    let Some(remediation) = tx.remediation(id).await? else { return Ok(Err(Refusal::NotFound)) };
    if !matches!(remediation.state, State::Unknown | State::Unconfirmed) {
        return Ok(Err(Refusal::WrongState { state: remediation.state }));
    }
    if settlement.verdict == Verdict::NotHappened {
        if !settlement.activity_checked {
            return Ok(Err(Refusal::ActivityNotChecked));
        }
        let until = later(tx.last_intent_at(id).await?.unwrap_or(now), NOT_HAPPENED_AFTER);
        if now < until {
            return Ok(Err(Refusal::TooEarly { until }));
        }
    }
    let row = SettlementRow { person: person.to_owned(), verdict: settlement.verdict.as_str().to_owned() };
    tx.record_settlement(id, &row, &settlement.reason, now).await?;
    let actor = Actor::person(person);
    // What the cloud's own record said, where it is asked: the person's word stands beside it.
    let activity = tx.activity_seen(id).await?;
    let event = event_about(&remediation, "settlement", actor.clone(), now).with_detail(&json!({
        "verdict": row.verdict, "reason": settlement.reason, "activityChecked": settlement.activity_checked,
        "activity": activity,
    }));
    tx.append(&event).await?;
    let said = tx.settlements(id).await?;
    let agreeing = said.iter().filter(|one| one.verdict == row.verdict).count();
    let event = match settlement.verdict {
        Verdict::Happened => Event::SettledHappened,
        Verdict::NotHappened if agreeing < 2 => return Ok(Ok(Settled::OneOfTwo)),
        Verdict::NotHappened => Event::SettledNotHappened,
    };
    let detail = format!("settled as {} by {person}: {}", row.verdict, settlement.reason);
    let with = Move { detail, ..Move::default() };
    move_with_event(tx, &remediation, event, &with, actor, None, now).await?;
    if settlement.verdict == Verdict::NotHappened {
        let new = NewHold {
            scope: HoldScope::Server(remediation.waiting.server.no.to_string()),
            author: person.to_owned(),
            reason: format!(
                "remediation {id} was settled as not happened; clear when the server is understood"
            ),
            until: None,
        };
        hold_in(tx, &new, now).await?;
    }
    Ok(Ok(Settled::Closed))
}

async fn hold_in(tx: &mut Tx, new: &NewHold, now: Timestamp) -> Result<i64, StoreError> {
    let id = tx.insert_hold(new, now).await?;
    let (scope, name) = new.scope.parts();
    let event = AuditEvent::new(now, "hold_set", Actor::person(&new.author)).with_detail(&json!({
        "id": id, "scope": scope, "name": name, "reason": new.reason, "until": new.until,
    }));
    tx.append(&event).await?;
    Ok(id)
}

/// Sets a hold. No intent commits after it.
pub async fn set_hold(service: &Service, new: NewHold) -> Result<i64, StoreError> {
    let now = service.clock.now();
    let id = service
        .store
        .write(move |tx| {
            let new = new.clone();
            Box::pin(async move { hold_in(tx, &new, now).await })
        })
        .await?;
    service.work.notify_one();
    Ok(id)
}

/// Clears a hold.
pub async fn clear_hold(service: &Service, id: i64, person: &str, reason: &str) -> Hand<()> {
    let now = service.clock.now();
    let job = Arc::new((person.to_owned(), reason.to_owned()));
    let done = service
        .store
        .write(move |tx| {
            let job = Arc::clone(&job);
            Box::pin(async move {
                if !tx.clear_hold(id, &job.0, now).await? {
                    return Ok(Err(Refusal::NotFound));
                }
                let event = AuditEvent::new(now, "hold_cleared", Actor::person(&job.0))
                    .with_detail(&json!({ "id": id, "reason": job.1 }));
                tx.append(&event).await?;
                Ok(Ok(()))
            })
        })
        .await?;
    service.work.notify_one();
    Ok(done)
}

/// Sets a silence, where there is room for one more.
pub async fn set_silence(service: &Service, new: NewSilence) -> Hand<i64> {
    let now = service.clock.now();
    service
        .store
        .write(move |tx| {
            let new = new.clone();
            Box::pin(async move {
                if let Err(why) = hold::room_for(&new.matchers, &tx.silences(now).await?) {
                    return Ok(Err(Refusal::TooManySilences { why }));
                }
                let id = tx.insert_silence(&new).await?;
                let event =
                    AuditEvent::new(now, "silence_set", Actor::person(&new.author)).with_detail(&json!({
                        "id": id, "matchers": new.matchers, "comment": new.comment,
                        "startsAt": new.starts_at, "endsAt": new.ends_at,
                    }));
                tx.append(&event).await?;
                Ok(Ok(id))
            })
        })
        .await
}

/// Ends a silence before its time.
pub async fn end_silence(service: &Service, id: i64, person: &str, reason: &str) -> Hand<()> {
    let now = service.clock.now();
    let job = Arc::new((person.to_owned(), reason.to_owned()));
    service
        .store
        .write(move |tx| {
            let job = Arc::clone(&job);
            Box::pin(async move {
                if !tx.expire_silence(id, &job.0, now).await? {
                    return Ok(Err(Refusal::NotFound));
                }
                let event = AuditEvent::new(now, "silence_ended", Actor::person(&job.0))
                    .with_detail(&json!({ "id": id, "reason": job.1 }));
                tx.append(&event).await?;
                Ok(Ok(()))
            })
        })
        .await
}
