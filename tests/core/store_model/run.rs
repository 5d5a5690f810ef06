//! Plays operations on a store and on its model, and compares everything that can be read.
//!
//! Never: passes over a difference.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use unhang::config::Place;
use unhang::domain::audit::{Actor, AuditEvent};
use unhang::domain::audit_key::KeyRing;
use unhang::domain::facts::{Facts, TargetFact};
use unhang::domain::hold::HoldScope;
use unhang::domain::ids::{DeliveryId, RemediationId};
use unhang::domain::matcher::{Matcher, Matchers};
use unhang::domain::remediation::{Event, Outcome, State};
use unhang::moves::move_with_event;
use unhang::store::{
    AttemptOutcome, AuditFilter, FactSource, FactsWanted, GuardsWanted, Intent, KeptBody, Move, NewDelivery,
    NewHold, NewRemediation, NewSilence, PageRequest, Remediation, SettlementRow, Store, StoreError, Tx,
    verify_chain,
};

use super::Op;
use super::reference::{Attempt, Delivery, Mute, Reference, Rem};
use crate::simulation::values::{Notice, alert, at, ms, servers};

type Fault = String;

/// One case under way.
struct Case {
    store: Store,
    model: Reference,
    now: i64,
    epoch: i64,
    nonces: u64,
}

async fn open(place: &Place) -> Store {
    let (store, writer) = Store::open_at(place, None, |_| {}).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "the test owns the writer; it ends with the store")]
    drop(tokio::spawn(writer));
    store
}

fn note(kind: &str, now: Timestamp) -> AuditEvent {
    AuditEvent::new(now, kind, Actor::service("test"))
}

fn differ<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, wanted: &T) -> Result<(), Fault> {
    if found == wanted {
        Ok(())
    } else {
        Err(format!("{what}: the store says {found:?}, the model {wanted:?}"))
    }
}

/// Plays a sequence on a new file. Memory stands for the disk where there is such a place: every commit is synced.
pub(super) async fn play_on_a_file(ops: &[Op]) -> Result<(), Fault> {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    play(ops, &Place::File(dir.path().join("unhang.db"))).await
}

/// Plays half of a sequence on a new file, and the rest where that was moved to.
pub(super) async fn play_and_move(ops: &[Op]) -> Result<(), Fault> {
    let (dir, to) = (tempfile::tempdir().unwrap(), crate::postgres::place());
    let from = Place::File(dir.path().join("unhang.db"));
    let (before, after) = ops.split_at(ops.len() / 2);
    let case = Case::begin(&from).await.go_on(before, &from).await?.reopened(&to).await;
    let file = Store::open_read_only_at(&from).await.map_err(|error| error.to_string())?;
    let moved = case.store.write(move |tx| {
        let file = file.clone();
        Box::pin(async move { tx.copy_from(&file, &|_, _| {}).await })
    });
    moved.await.map_err(|error| format!("the move failed: {error}"))?;
    case.compare().await.map_err(|why| format!("after the move: {why}"))?;
    case.go_on(after, &to).await?.compare_whole().await
}

/// Plays a sequence on a new store.
pub(super) async fn play(ops: &[Op], place: &Place) -> Result<(), Fault> {
    Case::begin(place).await.go_on(ops, place).await?.compare_whole().await
}

impl Case {
    async fn begin(place: &Place) -> Self {
        let store = open(place).await;
        let epoch =
            store.write(|tx| Box::pin(async move { tx.begin_epoch("test", at(0)).await })).await.unwrap();
        Self { store, model: Reference::default(), now: 0, epoch, nonces: 0 }
    }

    async fn go_on(mut self, ops: &[Op], place: &Place) -> Result<Self, Fault> {
        for op in ops {
            self.now += 1000;
            if matches!(op, Op::Reopen) {
                self = self.reopened(place).await;
            } else {
                self.step(op).await?;
            }
            self.compare().await.map_err(|why| format!("after {op:?}: {why}"))?;
        }
        Ok(self)
    }

    async fn reopened(self, place: &Place) -> Self {
        let Self { store, model, now, epoch, nonces } = self;
        drop(store);
        Self { store: open(place).await, model, now, epoch, nonces }
    }

    async fn step(&mut self, op: &Op) -> Result<(), Fault> {
        match op {
            Op::Deliver { source, body, later_ms } => self.deliver(*source, *body, *later_ms).await,
            Op::Open { server, needs_person } => self.open(*server, *needs_person).await,
            Op::Move { rem, event, stale } => self.shift(*rem, *event, *stale).await,
            Op::Claim { rem } => self.claim(*rem).await,
            Op::End { attempt, outcome } => self.end(*attempt, *outcome).await,
            Op::SetHold { .. } | Op::ClearHold { .. } | Op::SetSilence { .. } | Op::EndSilence { .. } => {
                self.mute(op).await
            }
            Op::Say { rem, person, happened } => self.say(*rem, *person, *happened).await,
            Op::Resolve { server } => self.resolve(*server).await,
            Op::Fail { server } => self.fail(*server).await,
            Op::Batch { good } => self.batch(*good).await,
            Op::Reopen => Ok(()),
        }
    }

    async fn deliver(&mut self, source: u8, body: u8, later_ms: i64) -> Result<(), Fault> {
        self.now += later_ms;
        let new = self.new_delivery(source, body);
        let (id, now) = (new.id.to_string(), at(self.now));
        let stored = self.store.write(move |tx| {
            let new = new.clone();
            Box::pin(async move {
                let earlier = tx.earlier_delivery(&new.source, &new.body_sha256, now).await?;
                if let Some(same) = earlier.as_ref().filter(|earlier| earlier.same) {
                    return Ok(Some(same.id.to_string()));
                }
                tx.insert_delivery(&new, earlier.as_ref().map(|one| &one.id));
                tx.set_answer(&new.id, new.id.as_str(), &[]).await?;
                let mut event = note("delivery_received", now);
                event.delivery_id = Some(new.id.to_string());
                tx.append(&event).await?;
                Ok(None)
            })
        });
        let stored = stored.await.map_err(|error| format!("a delivery failed: {error}"))?;
        let same = self.model.same(source, body, self.now).map(|one| one.id.clone());
        differ("the same delivery", &stored, &same)?;
        if same.is_none() {
            self.model.deliveries.push(Delivery { answer: id.clone(), id, source, body, at: self.now });
            self.model.events += 1;
        }
        Ok(())
    }

    fn new_delivery(&self, source: u8, body: u8) -> NewDelivery {
        NewDelivery {
            id: DeliveryId::generate(),
            trace_id: "t".to_owned(),
            source: format!("s{source}"),
            received_at: at(self.now),
            peer: "127.0.0.1".to_owned(),
            credential: 0,
            body_sha256: format!("hash-{body}"),
            body: KeptBody::Plain(vec![body].into()),
            sender_time: None,
            alert_count: 1,
            truncated: 0,
            dedupable: true,
            replay_of: None,
            actor: format!("s{source}"),
            config_hash: "c".to_owned(),
        }
    }

    async fn open(&mut self, server: u8, needs_person: bool) -> Result<(), Fault> {
        let id = RemediationId::generate();
        let (job, now) = (id.clone(), at(self.now));
        let done = self.store.write(move |tx| {
            let id = job.clone();
            Box::pin(async move { insert(tx, &id, server, needs_person, now).await })
        });
        let opened = done.await.is_ok();
        differ("a remediation was opened", &opened, &self.model.live(server).is_none())?;
        if opened {
            let id = id.to_string();
            self.model.rems.push(Rem { id, server, state: State::Settling, version: 1, needs_person });
            self.model.events += 1;
        }
        Ok(())
    }

    async fn shift(&mut self, rem: u8, event: Event, stale: bool) -> Result<(), Fault> {
        // An intent is only ever made together with its attempt.
        let Some(index) = chosen(rem, self.model.rems.len()).filter(|_| event != Event::Claimed) else {
            return Ok(());
        };
        let mut row = self.read(index).await?;
        row.version -= i64::from(stale);
        let now = at(self.now);
        let done = self.store.write(move |tx| {
            let row = row.clone();
            Box::pin(async move {
                let actor = Actor::service("test");
                move_with_event(tx, &row, event, &Move::default(), actor, None, now).await
            })
        });
        let moved = done.await.map_err(|error| format!("a move failed: {error}"))?;
        let to = self.model.shift(index, event, stale);
        differ("it moved", &moved, &to.is_some())?;
        // An end closes the incident too, with an event of its own.
        self.model.events += i64::from(moved) + i64::from(to.is_some_and(State::is_terminal));
        Ok(())
    }

    async fn read(&self, index: usize) -> Result<Remediation, Fault> {
        let id = RemediationId::from_text(&self.model.rems[index].id);
        let row = self.store.remediation(&id).await.map_err(|error| error.to_string())?;
        row.ok_or_else(|| format!("remediation {index} is gone"))
    }

    async fn claim(&mut self, rem: u8) -> Result<(), Fault> {
        let Some(index) = chosen(rem, self.model.rems.len()) else { return Ok(()) };
        self.nonces += 1;
        let nonce = format!("n{}", self.nonces);
        let (row, intent) = (self.read(index).await?, self.intent(nonce.clone()));
        let now = at(self.now);
        let done = self.store.write(move |tx| {
            let (row, intent) = (row.clone(), intent.clone());
            Box::pin(async move {
                tx.insert_attempt(&row, &intent).await?;
                let actor = Actor::service("test");
                let moved =
                    move_with_event(tx, &row, Event::Claimed, &Move::default(), actor, None, now).await?;
                if moved { Ok(()) } else { Err(StoreError::Unreadable { what: "state" }) }
            })
        });
        let claimed = done.await.is_ok();
        differ("it was claimed", &claimed, &self.model.may_try(index))?;
        if claimed {
            self.model.attempts.push(Attempt { rem: index, nonce, outcome: None, at: self.now });
            self.model.shift(index, Event::Claimed, false).unwrap();
            self.model.events += 1;
        }
        Ok(())
    }

    fn intent(&self, nonce: String) -> Intent {
        let now = at(self.now);
        Intent {
            nonce,
            epoch: self.epoch,
            intent_at: now,
            signed_at: now,
            send_before: now,
            request_hash: "h".to_owned(),
            uptime_at: None,
            memory_bytes: 1,
            cooldown_until: now,
        }
    }

    async fn end(&mut self, attempt: u8, outcome: Outcome) -> Result<(), Fault> {
        let Some(index) = chosen(attempt, self.model.attempts.len()) else { return Ok(()) };
        let (nonce, now) = (self.model.attempts[index].nonce.clone(), at(self.now));
        let done = self.store.write(move |tx| {
            let nonce = nonce.clone();
            Box::pin(async move {
                let ended = tx.end_attempt(&nonce, outcome, &AttemptOutcome::default(), now).await?;
                if ended {
                    tx.append(&note("attempt_outcome", now)).await?;
                }
                Ok(ended)
            })
        });
        let ended = done.await.map_err(|error| format!("an outcome failed: {error}"))?;
        differ("it ended", &ended, &self.model.may_end(index, outcome))?;
        if ended {
            self.model.attempts[index].outcome = Some(outcome);
            self.model.events += 1;
        }
        Ok(())
    }

    async fn mute(&mut self, op: &Op) -> Result<(), Fault> {
        let now = at(self.now);
        let failed = |error: StoreError| format!("a mute failed: {error}");
        match op {
            Op::SetHold { server, minutes } => {
                let until = minutes.map(|minutes| self.now + i64::from(minutes) * 60_000);
                let scope =
                    server.map_or(HoldScope::Global, |no| HoldScope::Server(format!("9000000{}", no + 1)));
                let new =
                    NewHold { scope, author: "p".to_owned(), reason: "r".to_owned(), until: until.map(at) };
                let done = self.store.write(move |tx| {
                    let new = new.clone();
                    Box::pin(async move { tx.insert_hold(&new, now).await })
                });
                let id = done.await.map_err(failed)?;
                self.model.holds.push(Mute { id, until, ended: false });
            }
            Op::SetSilence { minutes } => {
                let until = self.now + i64::from(*minutes) * 60_000;
                let new = NewSilence {
                    matchers: Matchers(vec![Matcher::equal("a", "b")]),
                    author: "p".to_owned(),
                    comment: "c".to_owned(),
                    starts_at: now,
                    ends_at: at(until),
                };
                let done = self.store.write(move |tx| {
                    let new = new.clone();
                    Box::pin(async move { tx.insert_silence(&new).await })
                });
                let id = done.await.map_err(failed)?;
                self.model.silences.push(Mute { id, until: Some(until), ended: false });
            }
            Op::ClearHold { hold } => {
                let Some(index) = chosen(*hold, self.model.holds.len()) else { return Ok(()) };
                let id = self.model.holds[index].id;
                let done =
                    self.store.write(move |tx| Box::pin(async move { tx.clear_hold(id, "p", now).await }));
                differ("a hold was cleared", &done.await.map_err(failed)?, &!self.model.holds[index].ended)?;
                self.model.holds[index].ended = true;
            }
            Op::EndSilence { silence } => {
                let Some(index) = chosen(*silence, self.model.silences.len()) else { return Ok(()) };
                let id = self.model.silences[index].id;
                let done = self
                    .store
                    .write(move |tx| Box::pin(async move { tx.expire_silence(id, "p", now).await }));
                differ("a silence ended", &done.await.map_err(failed)?, &!self.model.silences[index].ended)?;
                self.model.silences[index].ended = true;
            }
            _ => {}
        }
        Ok(())
    }

    async fn say(&mut self, rem: u8, person: u8, happened: bool) -> Result<(), Fault> {
        let Some(index) = chosen(rem, self.model.rems.len()) else { return Ok(()) };
        let id = RemediationId::from_text(&self.model.rems[index].id);
        let verdict = if happened { "happened" } else { "not_happened" };
        let row = SettlementRow { person: format!("p{person}"), verdict: verdict.to_owned() };
        let now = at(self.now);
        let done = self.store.write(move |tx| {
            let (id, row) = (id.clone(), row.clone());
            Box::pin(async move {
                tx.record_settlement(&id, &row, "because", now).await?;
                tx.settlements(&id).await
            })
        });
        let mut found = done.await.map_err(|error| format!("a settlement failed: {error}"))?;
        self.model.said.insert((index, person), happened);
        found.sort_by(|one, two| one.person.cmp(&two.person));
        let word = |happened: bool| if happened { "happened" } else { "not_happened" }.to_owned();
        let own = self.model.said.iter().filter(|((rem, _), _)| *rem == index);
        let wanted: Vec<SettlementRow> = own
            .map(|((_, person), happened)| SettlementRow {
                person: format!("p{person}"),
                verdict: word(*happened),
            })
            .collect();
        differ("settlements", &found, &wanted)
    }

    async fn resolve(&mut self, server: u8) -> Result<(), Fault> {
        // Ends come in any order; only the newest counts.
        let ended_at = self.now - i64::from(server) * 5000;
        let (fingerprint, now) = (notice(server).fingerprint(), at(self.now));
        let done = self.store.write(move |tx| {
            let fingerprint = fingerprint.clone();
            Box::pin(async move { tx.note_resolved(&fingerprint, at(ended_at), now).await })
        });
        done.await.map_err(|error| format!("an end failed: {error}"))?;
        let newest = self.model.ended.entry(server).or_insert(ended_at);
        *newest = (*newest).max(ended_at);
        Ok(())
    }

    /// Nothing of a job that fails at its end stays.
    async fn fail(&mut self, server: u8) -> Result<(), Fault> {
        let new = self.new_delivery(9, 9);
        let now = at(self.now);
        let done = self.store.write::<(), _>(move |tx| {
            let new = new.clone();
            Box::pin(async move {
                tx.insert_delivery(&new, None);
                tx.append(&note("lost", now)).await?;
                let hold = NewHold {
                    scope: HoldScope::Global,
                    author: "p".to_owned(),
                    reason: "r".to_owned(),
                    until: None,
                };
                tx.insert_hold(&hold, now).await?;
                // Fails by itself where one lives already.
                insert(tx, &RemediationId::generate(), server, false, now).await?;
                Err(StoreError::Unreadable { what: "job that fails" })
            })
        });
        differ("a failing job fails", &done.await.is_err(), &true)
    }

    /// Jobs that wait together share a commit; one that fails spoils no other.
    async fn batch(&mut self, good: u8) -> Result<(), Fault> {
        let now = at(self.now);
        let mut jobs = tokio::task::JoinSet::new();
        for number in 0..=good {
            let store = self.store.clone();
            jobs.spawn(async move {
                let done = store.write(move |tx| {
                    Box::pin(async move {
                        tx.append(&note("batch", now)).await?;
                        if number == 0 { Err(StoreError::Unreadable { what: "job" }) } else { Ok(()) }
                    })
                });
                (number, done.await.is_ok())
            });
        }
        while let Some(done) = jobs.join_next().await {
            let (number, fine) = done.map_err(|error| error.to_string())?;
            differ("a job of a batch", &fine, &(number != 0))?;
        }
        self.model.events += i64::from(good);
        Ok(())
    }

    async fn facts(&self) -> Result<Facts, Fault> {
        let server = &servers()[0];
        let wanted = FactsWanted {
            ends: Vec::new(),
            target: TargetFact::Found(Box::new(server.clone())),
            server: Some((server.region.clone(), server.no.clone())),
            fingerprint: notice(0).fingerprint(),
            trust: None,
            remediation: None,
            starts_at: None,
            attempts_since: Timestamp::MIN,
            now: at(self.now),
            hold_file: None,
            guards: Some(GuardsWanted {
                region: server.region.clone(),
                policy: "p".to_owned(),
                since: Timestamp::UNIX_EPOCH,
                sightings_min: 0,
                tried_max: 100,
            }),
            heartbeats: vec![("s0".to_owned(), SignedDuration::from_secs(1))],
        };
        let fail = |error: StoreError| format!("facts: {error}");
        let beside = self.store.clone().facts(wanted.clone()).await.map_err(fail)?;
        let both = self.store.write(move |tx| {
            let wanted = wanted.clone();
            Box::pin(async move {
                let remembered = tx.remembered().facts(wanted.clone()).await?;
                Ok((remembered, tx.facts(wanted).await?))
            })
        });
        let (remembered, read) = both.await.map_err(fail)?;
        differ("what is remembered", &remembered, &read)?;
        differ("what is read in a transaction", &read, &beside)?;
        Ok(read)
    }

    /// What guards read, and every remediation.
    async fn compare(&self) -> Result<(), Fault> {
        let facts = self.facts().await?;
        let model = &self.model;
        let live = facts.live.map(|live| (live.remediation_id, live.state));
        differ(
            "the live one",
            &live,
            &model.live(0).map(|rem| (model.rems[rem].id.clone(), model.rems[rem].state)),
        )?;
        differ("the newest end", &facts.newest_resolved_end.map(ms), &model.ended.get(&0).copied())?;
        let standing = |mute: &&Mute| !mute.ended && mute.until.is_none_or(|until| self.now < until);
        let ids = |mutes: &[Mute]| mutes.iter().filter(standing).map(|mute| mute.id).collect::<Vec<_>>();
        differ("holds", &facts.holds.iter().map(|hold| hold.id).collect(), &ids(&model.holds))?;
        differ("silences", &facts.silences.iter().map(|one| one.id).collect(), &ids(&model.silences))?;
        let mut attempts: Vec<_> = facts
            .attempts
            .iter()
            .map(|past| (ms(past.intent_at), past.remediation_id.clone(), past.outcome))
            .collect();
        attempts.reverse();
        let wanted: Vec<_> =
            model.attempts.iter().map(|one| (one.at, model.rems[one.rem].id.clone(), one.outcome)).collect();
        differ("attempts", &attempts, &wanted)?;
        for (index, rem) in model.rems.iter().enumerate() {
            let row = self.read(index).await?;
            let found = (row.state, row.version, row.waiting.needs_person);
            differ("a remediation", &found, &(rem.state, rem.version, rem.needs_person))?;
        }
        Ok(())
    }

    /// The rest, once at the end: deliveries, what is due, the audit with its chain, and what it folds to.
    async fn compare_whole(&self) -> Result<(), Fault> {
        let failed = |error: StoreError| error.to_string();
        for one in &self.model.deliveries {
            let row = self.store.delivery(&DeliveryId::from_text(&one.id)).await.map_err(failed)?;
            let row = row.ok_or_else(|| "an answered delivery is gone".to_owned())?;
            let found = (row.source, ms(row.received_at), row.body, row.answer);
            differ(
                "a delivery",
                &found,
                &(format!("s{}", one.source), one.at, vec![one.body], one.answer.clone()),
            )?;
        }
        let later = at(self.now).checked_add(SignedDuration::from_hours(24)).unwrap();
        let mut due: Vec<String> =
            self.store.due(later).await.map_err(failed)?.iter().map(|row| row.id.to_string()).collect();
        let waiting = self.model.rems.iter().filter(|rem| rem.state.is_before_intent());
        let mut wanted: Vec<String> = waiting.map(|rem| rem.id.clone()).collect();
        due.sort();
        wanted.sort();
        differ("what is due", &due, &wanted)?;
        let chain = verify_chain(&self.store, &KeyRing::default(), |_| {}).await.map_err(failed)?;
        differ("faults of the chain", &chain.fault.map(|fault| fault.what), &None)?;
        // The ladder demotes the one policy at most once: after an unknown, or after five attempts that were judged.
        let filter = AuditFilter { kind: Some("policy_demoted".to_owned()), ..AuditFilter::default() };
        let page = PageRequest { limit: 1000, cursor: None, ascending: true };
        let demoted = self.store.audit(&filter, &page).await.map_err(|error| error.to_string())?.items.len();
        let may_be = self.model.unknown || self.model.attempts.len() >= 5;
        differ("demotions", &demoted, &usize::from(self.model.unknown || (may_be && demoted > 0)))?;
        let demotions = i64::try_from(demoted).unwrap_or(i64::MAX);
        differ("audit rows", &chain.rows, &(self.model.events + demotions))?;
        self.compare_fold().await
    }

    /// Folding the audit gives the states.
    async fn compare_fold(&self) -> Result<(), Fault> {
        for rem in &self.model.rems {
            let filter = AuditFilter { remediation_id: Some(rem.id.clone()), ..AuditFilter::default() };
            let page = PageRequest { limit: 1000, cursor: None, ascending: true };
            let page = self.store.audit(&filter, &page).await.map_err(|error| error.to_string())?;
            let mut state = State::Settling.as_str().to_owned();
            for item in page.items.iter().filter(|item| item.event.kind == "remediation_moved") {
                let detail: serde_json::Value = serde_json::from_str(&item.event.detail).unwrap();
                differ("a fold", &detail["from"].as_str(), &Some(state.as_str()))?;
                detail["to"].as_str().unwrap_or_default().clone_into(&mut state);
            }
            differ("the folded state", &state.as_str(), &rem.state.as_str())?;
        }
        Ok(())
    }
}

fn chosen(number: u8, of: usize) -> Option<usize> {
    (of > 0).then(|| usize::from(number) % of.max(1))
}

fn notice(server: u8) -> Notice {
    Notice {
        server: usize::from(server),
        kind: 0,
        two_teams: false,
        starts_at: Some(0),
        ends_at: None,
        resolved: false,
        sender_time: None,
    }
}

async fn insert(
    tx: &mut Tx,
    id: &RemediationId,
    server: u8,
    needs_person: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    let target = servers()[usize::from(server)].clone();
    let incident = tx.join_incident(&target, now).await?;
    tx.insert_remediation(&NewRemediation {
        id,
        incident_id: &incident.id,
        server: &target,
        policy: "p",
        policy_hash: "h",
        config_hash: "c",
        source: "s0",
        alert: &alert(&notice(server)),
        needs_person,
        reason: None,
        requested_by: None,
        replay_of: None,
        delivery_id: None,
        trace_id: "t",
        now,
        noticed_at: now,
        settle_until: now,
        episode_started_at: None,
        confirmed_at: None,
    })?;
    let mut event = note("remediation_opened", now);
    event.remediation_id = Some(id.to_string());
    tx.append(&event).await.map(|_| ())
}
