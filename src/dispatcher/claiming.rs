//! Claiming: the pre-flight read, the intent transaction, and the hand-over to a task that nothing cancels.
//!
//! Never: sends before the commit of the intent has returned.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio_util::task::TaskTracker;

use super::asking::ask_signals;
use super::handover::hand_over;
use super::outcome::{finish, undo_failed_claim};
use crate::config::Config;
use crate::domain::audit::Actor;
use crate::domain::claim::{self, Claim, Health, Preflight, PreflightSeen};
use crate::domain::facts::TargetFact;
use crate::domain::guard::{Check, Reason, Trace};
use crate::domain::ids::RemediationId;
use crate::domain::limits::{COOLDOWN_MAX, later};
use crate::domain::remediation::{Event, State};
use crate::domain::server::Server;
use crate::domain::still_named::Resolved;
use crate::domain::target::TargetName;
use crate::journal::{Counts, IntentLine};
use crate::moves::{event_about, facts_for, move_for, move_with_event, open_storm_if_seen};
use crate::ncloud::{Clients, PreparedInterrupt};
use crate::service::Service;
use crate::signals::Signals;
use crate::store::{Intent, Move, Remediation, StoreError, Tx};
use crate::telemetry::chain;

/// Time between the intent and the hand-over to the HTTP client, at most.
const SEND_WITHIN: Duration = Duration::from_secs(10);

/// A pre-flight read is kept no longer than this.
const PREFLIGHT_KEPT: Duration = Duration::from_secs(30);

/// Pre-flight reads, and who asks the second signals with them.
#[derive(Debug, Default)]
pub(super) struct Preflights {
    /// Newest read per remediation.
    pub(super) kept: BTreeMap<String, Read>,
    signals: Signals,
}

/// One pre-flight read.
#[derive(Debug, Clone)]
pub(super) struct Read {
    /// When it was made, by the monotonic clock.
    done: Instant,
    /// When it was begun.
    began_at: Timestamp,
    /// What it saw.
    seen: Preflight,
}

/// What the intent transaction did.
enum Claimed {
    /// The intent is durable; send this.
    Send { prepared: Box<PreparedInterrupt>, send_before: Instant, line: IntentLine },
    /// Read the server, then ask again.
    NeedPreflight,
    /// Nothing more to do now.
    Done,
}

/// Reads the server where needed, commits the intent if every guard passes, and hands the request over. One that was
/// queued just now has its guards behind it: the server is read at once.
pub(super) async fn claim_one(
    service: &Arc<Service>,
    cloud: &Arc<Clients>,
    tasks: &TaskTracker,
    remediation: &Remediation,
    queued_now: bool,
    preflights: &mut Preflights,
) -> Result<(), StoreError> {
    let nonce = uuid::Uuid::new_v4().simple().to_string();
    let key = remediation.id.to_string();
    // Its age is asked of the monotonic clock as well: the other one may stand still.
    preflights.kept.retain(|_, read| read.done.elapsed() <= PREFLIGHT_KEPT);
    let mut kept = preflights.kept.get(&key).cloned();
    if kept.is_none() && (queued_now || only_the_server_is_missing(service, remediation).await?) {
        let read = preflight(service, cloud, &preflights.signals, remediation).await;
        preflights.kept.insert(key.clone(), read.clone());
        kept = Some(read);
    }
    let mut claimed = try_claim(service, cloud, remediation, kept, &nonce).await?;
    if matches!(claimed, Claimed::NeedPreflight) {
        let read = preflight(service, cloud, &preflights.signals, remediation).await;
        preflights.kept.insert(key.clone(), read.clone());
        claimed = try_claim(service, cloud, remediation, Some(read), &nonce).await?;
    }
    if let Claimed::Send { prepared, send_before, line } = claimed {
        preflights.kept.remove(&key);
        let watching = service;
        let (service, cloud, id) = (Arc::clone(service), Arc::clone(cloud), remediation.id.clone());
        let (matter, trace_id) = (nonce.clone(), remediation.trace_id.clone());
        // From here on the request belongs to a task of its own that nothing cancels.
        let sent = tasks.spawn(async move {
            let begun = Instant::now();
            let report = hand_over(&service, &cloud.interrupt, *prepared, send_before, line).await;
            let seconds = begun.elapsed().as_secs_f64();
            service.metrics.time_call("interrupt", seconds, Some(&trace_id));
            service.metrics.count_attempt(report.outcome.as_str(), Some(&trace_id));
            tracing::info!(
                remediation.id = %id,
                outcome = report.outcome.as_str(),
                request_id = report.request_id.as_deref().unwrap_or("none"),
                http.status = report.http_status,
                "interrupt answered"
            );
            finish(&service, &nonce, report).await;
        });
        let service = Arc::clone(watching);
        tasks.spawn(async move {
            // Its intent has no outcome now, and never will in this process: the next one calls it unknown.
            if sent.await.is_err() {
                service.halt(&matter, "the task of a request ended by itself");
                service.stopping.cancel();
            }
        });
    }
    Ok(())
}

/// Whether every guard passes that needs no read of the server. Asked beside the writer, which need not commit for it;
/// the claim asks all of them again.
async fn only_the_server_is_missing(
    service: &Service,
    remediation: &Remediation,
) -> Result<bool, StoreError> {
    let (config, now) = (service.config(), service.clock.now());
    let facts = facts_for(&mut service.store.clone(), remediation, &config, now).await?;
    let (verdict, _) =
        claim::claim(&remediation.waiting, &config.rules, &facts, None, &service.health(), now);
    Ok(verdict == Claim::NeedPreflight)
}

async fn preflight(
    service: &Service,
    cloud: &Arc<Clients>,
    signals: &Signals,
    remediation: &Remediation,
) -> Read {
    let server = &remediation.waiting.server;
    let (began_at, begun) = (service.clock.now(), Instant::now());
    let read = service.unless_stopping(cloud.reader.server(&server.region, &server.no)).await;
    if let Some(read) = &read {
        service.count_read("detail", begun, read);
    }
    service.watch_clock(cloud.reader.date());
    let seen = match read {
        Some(Ok(Some(server))) => PreflightSeen::Server(Box::new(server)),
        Some(Ok(None)) => PreflightSeen::Gone,
        Some(Err(error)) => PreflightSeen::Unreadable(error.to_string()),
        None => PreflightSeen::Unreadable("the service is stopping".to_owned()),
    };
    let (read_at, done) = (service.clock.now(), Instant::now());
    // A server that cannot be interrupted now is not worth asking about; its signals would grow old.
    let (named, signals) = match &seen {
        PreflightSeen::Server(server) if server.is_running() && server.is_idle() => {
            let named = resolve(service, cloud, remediation).await;
            let asked = ask_signals(service, cloud, signals, remediation, server, named.as_ref());
            (named.clone(), service.unless_stopping(asked).await.unwrap_or_default())
        }
        PreflightSeen::Server(_) | PreflightSeen::Gone | PreflightSeen::Unreadable(_) => (None, Vec::new()),
    };
    Read { done, began_at, seen: Preflight { read_at, seen, named, signals } }
}

/// Reads again what the alert's name leads to. One that leads elsewhere by now is kept, so that the next notice is not
/// decided by the older answer.
async fn resolve(service: &Service, cloud: &Clients, remediation: &Remediation) -> Option<Resolved> {
    let (config, waiting) = (service.config(), &remediation.waiting);
    let policy = config.rules.policies.iter().find(|policy| policy.name == waiting.policy)?;
    let name = waiting.decided().to_resolve(policy)?;
    let (region, begun) = (&waiting.server.region, Instant::now());
    let read = async {
        match &name {
            TargetName::No(no) => cloud.reader.servers_by_no(region, std::slice::from_ref(no)).await,
            TargetName::Ip(ip) => cloud.reader.servers_by_ip(region, *ip).await,
            TargetName::Name(called) => {
                cloud.reader.servers_by_name(region, &called.spelt_for(&waiting.server)).await
            }
        }
    };
    let read = service.unless_stopping(read).await;
    if let Some(read) = &read {
        service.count_read("list", begun, read);
    }
    let servers = match read {
        Some(read) => read.map_err(|error| error.to_string()),
        None => Err("the service is stopping".to_owned()),
    };
    let resolved = Resolved { name, servers };
    let fact = resolved.fact();
    let same = matches!(&fact, Some(TargetFact::Found(found)) if found.no == waiting.server.no);
    if let (Ok(servers), false) = (&resolved.servers, same) {
        let now = service.clock.now();
        let job = Arc::new((region.clone(), resolved.name.clone(), servers.clone()));
        let kept = service.store.write(move |tx| {
            let job = Arc::clone(&job);
            Box::pin(async move { tx.keep_lookup(&job.0, &job.1, &job.2, now).await })
        });
        if let Err(error) = kept.await {
            tracing::warn!(error = %chain(&error), "a look-up could not be kept");
        }
    }
    Some(resolved)
}

/// The intent transaction. A failed commit is looked at again before anything else happens.
async fn try_claim(
    service: &Arc<Service>,
    cloud: &Arc<Clients>,
    remediation: &Remediation,
    preflight: Option<Read>,
    nonce: &str,
) -> Result<Claimed, StoreError> {
    let job = ClaimJob {
        service: Arc::clone(service),
        cloud: Arc::clone(cloud),
        config: service.config(),
        id: remediation.id.clone(),
        preflight,
        nonce: nonce.to_owned(),
    };
    let job = Arc::new(job);
    let claimed = service
        .store
        .write(move |tx| {
            let job = Arc::clone(&job);
            Box::pin(async move { job.run(tx).await })
        })
        .await;
    if let Err(error) = &claimed {
        tracing::error!(error = %chain(error), "the intent could not be committed");
        undo_failed_claim(service, nonce).await;
    }
    claimed
}

fn seen_server(preflight: Option<&Preflight>) -> Option<&Server> {
    match &preflight?.seen {
        PreflightSeen::Server(server) => Some(server),
        PreflightSeen::Gone | PreflightSeen::Unreadable(_) => None,
    }
}

struct ClaimJob {
    service: Arc<Service>,
    cloud: Arc<Clients>,
    config: Arc<Config>,
    id: RemediationId,
    preflight: Option<Read>,
    nonce: String,
}

impl ClaimJob {
    async fn run(&self, tx: &mut Tx) -> Result<Claimed, StoreError> {
        let Some(remediation) = tx.remediation(&self.id).await? else { return Ok(Claimed::Done) };
        if remediation.state != State::Queued {
            // A batch whose commit failed is run again. If it is on disk all the same, this is our own intent, and
            // nothing was sent for it: say so, and it is recorded as not sent.
            return match tx.attempt_by_nonce(&self.nonce).await? {
                Some(_) => Err(StoreError::Unreadable { what: "commit of an intent" }),
                None => Ok(Claimed::Done),
            };
        }
        let now = self.service.clock.now();
        let mut health: Health = self.service.health();
        if tx.current_epoch().await? != self.service.lease.epoch() {
            health.halted = Some("another process owns the store now".to_owned());
        }
        let facts = facts_for(tx, &remediation, &self.config, now).await?;
        let waiting = &remediation.waiting;
        let rules = &self.config.rules;
        let (verdict, trace) = claim::claim(waiting, rules, &facts, self.preflight(), &health, now);
        let actor = Actor::service("dispatcher");
        match verdict {
            Claim::NeedPreflight => Ok(Claimed::NeedPreflight),
            Claim::Wait(check) => {
                self.note_wait(tx, &remediation, &check, &trace, now).await?;
                Ok(Claimed::Done)
            }
            Claim::Cancel(check) => {
                if check.guard == Reason::Storm {
                    let server = seen_server(self.preflight()).unwrap_or(&waiting.server);
                    open_storm_if_seen(tx, &remediation, server, &facts, &self.config, now).await?;
                }
                let with = Move { config_hash: Some(self.config.hash.clone()), ..move_for(&check) };
                move_with_event(tx, &remediation, Event::Cancelled, &with, actor, Some(&trace), now).await?;
                Ok(Claimed::Done)
            }
            Claim::AskPerson(check) => {
                let (event, with) = (Event::NeedsApproval, self.asks(&check));
                move_with_event(tx, &remediation, event, &with, actor, Some(&trace), now).await?;
                Ok(Claimed::Done)
            }
            Claim::Expire(check) => {
                let with = Move { config_hash: Some(self.config.hash.clone()), ..move_for(&check) };
                move_with_event(tx, &remediation, Event::Expired, &with, actor, Some(&trace), now).await?;
                Ok(Claimed::Done)
            }
            Claim::Go(server) => self.commit_intent(tx, &remediation, &server, &trace, now).await,
        }
    }

    /// The read, unless it has grown old by the monotonic clock while this job waited for the writer.
    fn preflight(&self) -> Option<&Preflight> {
        let fresh = self.preflight.as_ref().filter(|read| read.done.elapsed() <= PREFLIGHT_KEPT);
        fresh.map(|read| &read.seen)
    }

    fn cooldown(&self, policy: &str) -> SignedDuration {
        let policy = self.config.rules.policies.iter().find(|one| one.name == policy);
        // The claim has just found this policy unchanged; should it be gone, the longest cooldown is the safe one.
        policy.map_or(COOLDOWN_MAX, |policy| policy.cooldown)
    }

    /// The move of a queued remediation to a person. The mode is no reason worth a word, as at the decision.
    fn asks(&self, check: &Check) -> Move {
        let plain = move_for(check);
        let reason = plain.reason.filter(|reason| *reason != Reason::Shadow);
        Move { reason, config_hash: Some(self.config.hash.clone()), ..plain }
    }

    async fn note_wait(
        &self,
        tx: &mut Tx,
        remediation: &Remediation,
        check: &Check,
        trace: &Trace,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let with = move_for(check);
        if tx.set_wait(remediation, check.guard, check.until, &with.detail).await? {
            let actor = Actor::service("dispatcher");
            let mut event = event_about(remediation, "remediation_waits", actor, now).with_detail(&json!({
                "detail": with.detail, "until": check.until, "trace": trace,
                "configHash": self.config.hash,
            }));
            event.reason = Some(check.guard.as_str().to_owned());
            tx.append(&event).await?;
        }
        Ok(())
    }

    async fn commit_intent(
        &self,
        tx: &mut Tx,
        remediation: &Remediation,
        server: &Server,
        trace: &Trace,
        now: Timestamp,
    ) -> Result<Claimed, StoreError> {
        // The monotonic deadline begins before the commit, so that a slow commit eats into it.
        let send_before = Instant::now() + SEND_WITHIN;
        // The cloud compares the signed time with its own clock: sign the wall clock, not our floored one.
        let signed_at = self.service.clock.wall();
        let prepared = self.cloud.interrupt.prepare(&server.region, &server.no, signed_at.as_millisecond());
        let intent = Intent {
            nonce: self.nonce.clone(),
            epoch: self.service.lease.epoch(),
            intent_at: now,
            signed_at,
            send_before: later(now, SignedDuration::try_from(SEND_WITHIN).unwrap_or(SignedDuration::ZERO)),
            request_hash: prepared.request_hash(),
            uptime_at: server.uptime_at,
            memory_bytes: server.memory_bytes,
            cooldown_until: later(now, self.cooldown(&remediation.waiting.policy)),
        };
        let (attempt_id, number) = tx.insert_attempt(remediation, &intent).await?;
        let detail = format!("try {number}");
        let with = Move { detail, ..Move::default() };
        let actor = Actor::service("dispatcher");
        if !move_with_event(tx, remediation, Event::Claimed, &with, actor.clone(), None, now).await? {
            return Err(StoreError::Unreadable { what: "state of a claimed remediation" });
        }
        let mut event = event_about(remediation, "attempt_intent", actor, now).with_detail(&json!({
            "try": number,
            "nonce": intent.nonce,
            "epoch": intent.epoch,
            "signedAt": intent.signed_at,
            "sendBefore": intent.send_before,
            "requestHash": intent.request_hash,
            "uptimeBefore": intent.uptime_at,
            "memoryBytes": intent.memory_bytes,
            "cooldownUntil": intent.cooldown_until,
            "trace": trace,
            "configHash": self.config.hash,
            "preflight": self.preflight.as_ref().map(|read| json!({
                "beganAt": read.began_at, "endedAt": read.seen.read_at,
            })),
        }));
        event.attempt_id = Some(attempt_id);
        tx.append(&event).await?;
        let line = IntentLine {
            attempt_id,
            nonce: intent.nonce,
            server_instance_no: server.no.to_string(),
            region_code: server.region.to_string(),
            signed_at,
            counts: Some(Counts {
                policy: remediation.waiting.policy.clone(),
                memory_bytes: intent.memory_bytes,
                cooldown_until: intent.cooldown_until,
            }),
        };
        Ok(Claimed::Send { prepared: Box::new(prepared), send_before, line })
    }
}
