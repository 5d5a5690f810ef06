//! Load: sends requests over kept connections, as fast as they are answered or at a fixed rate.
//!
//! Never: counts what was not answered, or begins to measure late: at a fixed rate, time runs from the intended start.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::payload::Request;
use crate::wire::{Answer, Wire, find, header};

/// After the end of a load, answers that are still owed are waited for so long.
const LEFT_OVER: Duration = Duration::from_secs(20);

/// Patience of a sender that leaves nothing out.
pub(crate) const PATIENT: Duration = Duration::from_secs(10);

/// What came of a load.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Microseconds of each answer that accepted.
    pub(crate) took: Vec<u32>,
    /// Alerts that were accepted.
    pub(crate) alerts: u64,
    /// Deliveries that were accepted.
    pub(crate) accepted: u64,
    /// Their ids, where the contestant names them.
    pub(crate) ids: Vec<u128>,
    /// Other answers, by status.
    pub(crate) refused: BTreeMap<u16, u64>,
    /// 503 without Retry-After.
    pub(crate) without_retry_after: u64,
    /// Requests that got no answer.
    pub(crate) broken: u64,
    /// Decisions, as the answers name them; of one in 64 answers.
    pub(crate) decisions: BTreeMap<String, u64>,
    /// From the beginning to the last answer.
    pub(crate) seconds: f64,
}

impl Tally {
    /// Accepted alerts a second.
    pub(crate) fn rate(&self) -> f64 {
        self.alerts as f64 / self.seconds
    }

    /// Milliseconds that so many of a hundred answers took at most.
    pub(crate) fn percentile(&mut self, percent: f64) -> f64 {
        self.took.sort_unstable();
        let at = ((self.took.len() as f64 * percent / 100.0).ceil() as usize).max(1) - 1;
        self.took.get(at).map_or(f64::NAN, |us| f64::from(*us) / 1000.0)
    }

    /// Requests that were not accepted.
    pub(crate) fn not_accepted(&self) -> u64 {
        self.broken + self.refused.values().sum::<u64>()
    }

    /// Notes one accepted delivery that no load of this module sent.
    pub(crate) fn accept(&mut self, id: u128, alerts: u64) {
        self.ids.push(id);
        self.accepted += 1;
        self.alerts += alerts;
    }

    /// Takes another tally of the same load in.
    pub(crate) fn add(&mut self, other: Self) {
        self.took.extend(other.took);
        self.alerts += other.alerts;
        self.accepted += other.accepted;
        self.ids.extend(other.ids);
        self.without_retry_after += other.without_retry_after;
        self.broken += other.broken;
        self.seconds = self.seconds.max(other.seconds);
        for (status, count) in other.refused {
            *self.refused.entry(status).or_default() += count;
        }
        for (decision, count) in other.decisions {
            *self.decisions.entry(decision).or_default() += count;
        }
    }

    fn note(&mut self, answer: &Answer<'_>, alerts: usize, from: Instant) {
        if !(200..300).contains(&answer.status) {
            *self.refused.entry(answer.status).or_default() += 1;
            if answer.status == 503 && header(answer.head, "retry-after").is_none() {
                self.without_retry_after += 1;
            }
            return;
        }
        let now = Instant::now();
        self.took.push(u32::try_from(now.duration_since(from).as_micros()).unwrap_or(u32::MAX));
        self.accepted += 1;
        self.alerts += alerts as u64;
        if let Some(id) = delivery_id(answer.body) {
            self.ids.push(id);
            if self.accepted % 64 == 1 {
                self.look(answer.body, alerts);
            }
        }
    }

    /// Each alert has its decision, or the answer is none.
    fn look(&mut self, body: &[u8], alerts: usize) {
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        let Some(all) = body["alerts"].as_array() else { return };
        assert_eq!(all.len(), alerts, "an answer has a decision for each alert");
        for one in all {
            let reason = one["reason"].as_str().map(|reason| format!(" {reason}")).unwrap_or_default();
            let decision = format!("{}{reason}", one["decision"].as_str().unwrap());
            *self.decisions.entry(decision).or_default() += 1;
        }
    }
}

/// The id that an answer names.
pub(crate) fn delivery_id(body: &[u8]) -> Option<u128> {
    const KEY: &[u8] = b"\"deliveryId\":\"";
    let at = find(body, KEY)? + KEY.len();
    let text = std::str::from_utf8(body.get(at..at + 36)?).ok()?;
    uuid::Uuid::parse_str(text).ok().map(|id| id.as_u128())
}

/// As fast as answers come, for so long; ends early when there is nothing left to send.
pub(crate) async fn closed(addr: SocketAddr, requests: Vec<Request>, time: Duration) -> Tally {
    let begun = Instant::now();
    let until = begun + time;
    let mut senders = JoinSet::new();
    for mut request in requests {
        senders.spawn_local(async move {
            let mut tally = Tally::default();
            let mut wire = None;
            while Instant::now() < until {
                let alerts = request.alerts();
                if request.next().is_none() {
                    break;
                }
                let from = Instant::now();
                one(addr, &mut wire, &mut tally, &request, alerts, from).await;
            }
            tally
        });
    }
    gather(senders, begun, time).await
}

/// At a fixed rate of requests a second. What is overdue at the end is still sent for the time of `patience`. A thread of its own keeps the time, finer than the runtime's timer.
pub(crate) async fn paced(
    addr: SocketAddr,
    requests: Vec<Request>,
    rate: f64,
    time: Duration,
    patience: Duration,
) -> Tally {
    let begun = Instant::now() + Duration::from_millis(20);
    let until = begun + time;
    let mut senders = JoinSet::new();
    let mut turns = Vec::new();
    for mut request in requests {
        let (turn, mut due) = mpsc::unbounded_channel::<Instant>();
        turns.push(turn);
        senders.spawn_local(async move {
            let mut tally = Tally::default();
            let mut wire = None;
            while let Some(from) = due.recv().await {
                let alerts = request.alerts();
                if request.next().is_none() || Instant::now() > until + patience {
                    break;
                }
                one(addr, &mut wire, &mut tally, &request, alerts, from).await;
            }
            tally
        });
    }
    let pacer = std::thread::spawn(move || {
        let gap = Duration::from_secs_f64(1.0 / rate);
        let mut next = begun;
        for n in 0_usize.. {
            if next >= until {
                break;
            }
            let now = Instant::now();
            if next > now {
                // Ten steps of a rate of 10,000 a second: what is due together is handed over together.
                std::thread::sleep((next - now).max(Duration::from_micros(60)));
            }
            // A sender that gave up takes no more turns.
            turns[n % turns.len()].send(next).ok();
            next += gap;
        }
    });
    let tally = gather(senders, begun, time).await;
    pacer.join().unwrap();
    tally
}

async fn gather(mut senders: JoinSet<Tally>, begun: Instant, time: Duration) -> Tally {
    let mut all = Tally::default();
    let end = tokio::time::Instant::from_std(begun + time + LEFT_OVER);
    while let Ok(Some(done)) = tokio::time::timeout_at(end, senders.join_next()).await {
        all.add(done.unwrap());
    }
    if !senders.is_empty() {
        all.broken += senders.len() as u64;
        senders.shutdown().await;
    }
    all.seconds = begun.elapsed().as_secs_f64();
    all
}

async fn one(
    addr: SocketAddr,
    wire: &mut Option<Wire>,
    tally: &mut Tally,
    request: &Request,
    alerts: usize,
    from: Instant,
) {
    if wire.is_none() {
        *wire = Wire::connect(addr).await.ok();
    }
    let Some(open) = wire.as_mut() else {
        tally.broken += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
        return;
    };
    match open.ask(request.bytes()).await {
        Ok(answer) => {
            tally.note(&answer, alerts, from);
            if answer.last {
                *wire = None;
            }
        }
        Err(_) => {
            tally.broken += 1;
            *wire = None;
        }
    }
}
