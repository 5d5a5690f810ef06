//! Cloud: everything that changes while the simulator runs, behind one lock: fleet, orders, ledger, clock.
//!
//! An interrupt, its effect and its ledger entry are one step under that lock, so the ledger is never behind.
//!
//! Never: waits for anything, or holds the lock across an await.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::behaviour::{Behaviour, Delivery, Script, Scripts, Target};
use crate::clock;
use crate::description::{ServerPatch, ServerSpec, ServerView};
use crate::document::Node;
use crate::error::Error;
use crate::filter::Filter;
use crate::gateway::{self, Denial};
use crate::instance;
use crate::ledger::{Ledger, LedgerEntry};
use crate::scenario::Scenario;
use crate::server::{Server, Speeds};
use crate::wire::Request;

/// A refusal of the server service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 1100031, as seen for a server in operation SETUP.
    NotControllable,
    /// The vendor's code for an unknown number is UNCONFIRMED; 1001 is made up.
    UnknownServer,
    /// UNCONFIRMED; 1002 is made up.
    BadParameter(&'static str),
    /// UNCONFIRMED; 1003 is made up.
    UnknownRegion,
}

impl Refusal {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::NotControllable => "1100031",
            Self::UnknownServer => "1001",
            Self::BadParameter(_) => "1002",
            Self::UnknownRegion => "1003",
        }
    }
}

/// One interrupt request as it came in.
#[derive(Debug)]
pub(crate) struct Interrupt<'a> {
    pub(crate) method: &'a str,
    pub(crate) server_instance_no: Option<&'a str>,
    pub(crate) region_code: Option<&'a str>,
    pub(crate) timestamp: Option<&'a str>,
    /// Whether a success is answered in JSON, which carries a `requestId`.
    pub(crate) json: bool,
}

/// What came of an interrupt request.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) seq: u64,
    pub(crate) behaviour: Behaviour,
    pub(crate) request_id: String,
    /// The server right after delivery, or the refusal; nothing where it was not delivered (yet).
    pub(crate) outcome: Option<Result<Node, Refusal>>,
}

#[derive(Debug)]
struct Inner {
    servers: BTreeMap<String, Server>,
    scripts: Scripts,
    ledger: Ledger,
    clock_offset_ms: i64,
}

/// The simulated cloud.
#[derive(Debug)]
pub(crate) struct Cloud {
    pub(crate) scenario: Scenario,
    speeds: Speeds,
    inner: Mutex<Inner>,
}

impl Cloud {
    pub(crate) fn new(scenario: Scenario, ledger: Ledger) -> Result<Self, Error> {
        scenario.check()?;
        let speeds = scenario.speeds()?;
        let fleet = scenario.servers.iter().cloned();
        let servers = fleet.map(|spec| (spec.no.clone(), Server::new(spec))).collect();
        let mut scripts = Scripts::default();
        for script in &scenario.behaviours {
            scripts.order(script.clone());
        }
        let inner = Inner { servers, scripts, ledger, clock_offset_ms: scenario.clock_offset_ms };
        Ok(Self { scenario, speeds, inner: Mutex::new(inner) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time by the cloud's own, possibly wrong, clock.
    pub(crate) fn now_ms(&self) -> i64 {
        clock::wall_ms().saturating_add(self.lock().clock_offset_ms)
    }

    pub(crate) fn authenticate(&self, request: &Request) -> Result<(), Denial> {
        gateway::authenticate(request, &self.scenario, self.now_ms())
    }

    /// The region a call means: the named one, or the first one where none is named.
    pub(crate) fn region<'a>(&'a self, asked: Option<&str>) -> Result<&'a str, Refusal> {
        let mut regions = self.scenario.regions.iter().map(|region| region.code.as_str());
        let found = match asked {
            None => regions.next(),
            Some(code) => regions.find(|known| *known == code),
        };
        found.ok_or(Refusal::UnknownRegion)
    }

    pub(crate) fn behaviour_for_read(&self, server_instance_no: Option<&str>) -> Behaviour {
        self.lock().scripts.take(Target::Reads, server_instance_no)
    }

    /// What to do with one question to the records beside the server API.
    pub(crate) fn behaviour_for(&self, target: Target) -> Behaviour {
        self.lock().scripts.take(target, None)
    }

    /// One server of a region; an unknown number is an empty list, as clients of the vendor found.
    pub(crate) fn detail(&self, region: &str, no: &str) -> Option<Node> {
        let mut inner = self.lock();
        let server = inner.servers.get_mut(no).filter(|server| server.spec.region == region)?;
        server.advance(clock::wall_ms());
        Some(instance::server(&server.spec))
    }

    /// The full count of servers that match, and the page asked for.
    pub(crate) fn list(&self, region: &str, filter: &Filter<'_>) -> (usize, Vec<Node>) {
        let mut inner = self.lock();
        let now_ms = clock::wall_ms();
        for server in inner.servers.values_mut() {
            server.advance(now_ms);
        }
        let specs = inner.servers.values().map(|server| &server.spec);
        let matching: Vec<_> = specs.filter(|spec| spec.region == region && filter.shows(spec)).collect();
        let total = matching.len();
        (total, filter.arrange(matching).into_iter().map(instance::server).collect())
    }

    /// Writes down a request the gateway turned away.
    pub(crate) fn turned_away(&self, call: &Interrupt<'_>) {
        let mut inner = self.lock();
        if !inner.ledger.is_full() {
            let entry = blank_entry(&inner.ledger, call);
            inner.ledger.record(entry);
        }
    }

    /// Takes an authenticated interrupt: picks the behaviour, delivers if it says so, writes it down.
    /// Nothing happens and nothing is answered but 503 when the ledger can hold no more.
    pub(crate) fn receive(&self, call: &Interrupt<'_>) -> Option<Received> {
        let request_id = Uuid::new_v4().to_string();
        let mut inner = self.lock();
        if inner.ledger.is_full() {
            return None;
        }
        let behaviour = inner.scripts.take(Target::Interrupt, call.server_instance_no);
        let mut entry = blank_entry(&inner.ledger, call);
        entry.authenticated = true;
        let outcome = match behaviour.delivery() {
            Delivery::AtOnce => {
                let given_id = (call.json && behaviour.tells_request_id()).then_some(request_id.as_str());
                Some(self.deliver(&mut inner, &mut entry, given_id))
            }
            Delivery::After { .. } | Delivery::Never => None,
        };
        entry.behaviour = Some(behaviour.clone());
        let seq = entry.seq;
        inner.ledger.record(entry);
        Some(Received { seq, behaviour, request_id, outcome })
    }

    /// Delivers an interrupt that was held back.
    pub(crate) fn deliver_late(
        &self,
        seq: u64,
        call: &Interrupt<'_>,
        request_id: &str,
    ) -> Result<Node, Refusal> {
        let mut inner = self.lock();
        let mut late = blank_entry(&inner.ledger, call);
        let outcome = self.deliver(&mut inner, &mut late, call.json.then_some(request_id));
        inner.ledger.amend(seq, |entry| {
            entry.effect = late.effect;
            entry.effect_at = late.effect_at;
            entry.destroyed_dump = late.destroyed_dump;
            entry.refused = late.refused;
            entry.request_id = late.request_id;
        });
        outcome
    }

    fn deliver(
        &self,
        inner: &mut Inner,
        entry: &mut LedgerEntry,
        given_id: Option<&str>,
    ) -> Result<Node, Refusal> {
        let outcome = self.strike(inner, entry);
        match &outcome {
            Ok(_) => entry.request_id = given_id.map(ToOwned::to_owned),
            Err(refusal) => entry.refused = Some(refusal.code().to_owned()),
        }
        outcome
    }

    fn strike(&self, inner: &mut Inner, entry: &mut LedgerEntry) -> Result<Node, Refusal> {
        let no = entry.server_instance_no.as_deref().ok_or(Refusal::BadParameter("serverInstanceNo"))?;
        let region = self.region(entry.region_code.as_deref())?;
        let found = inner.servers.get_mut(no).filter(|server| server.spec.region == region);
        let server = found.ok_or(Refusal::UnknownServer)?;
        let now_ms = clock::wall_ms();
        let struck = server.interrupt(now_ms, inner.clock_offset_ms, self.speeds);
        entry.destroyed_dump = struck.ok().ok_or(Refusal::NotControllable)?;
        entry.effect = true;
        entry.effect_at = Some(now_ms);
        Ok(instance::server(&server.spec))
    }

    pub(crate) fn ledger(&self) -> Vec<LedgerEntry> {
        self.lock().ledger.entries().to_vec()
    }

    pub(crate) fn servers(&self) -> Vec<ServerView> {
        let mut inner = self.lock();
        let now_ms = clock::wall_ms();
        let servers = inner.servers.values_mut();
        servers
            .map(|server| {
                server.advance(now_ms);
                server.view()
            })
            .collect()
    }

    /// Changes one server, after bringing it up to now.
    pub(crate) fn change(&self, no: &str, change: impl FnOnce(&mut Server)) -> Result<ServerView, Error> {
        let mut inner = self.lock();
        let server = inner.servers.get_mut(no).ok_or_else(|| Error::UnknownServer(no.to_owned()))?;
        server.advance(clock::wall_ms());
        change(server);
        Ok(server.view())
    }

    pub(crate) fn hang(&self, no: &str) -> Result<ServerView, Error> {
        self.change(no, |server| server.spec.hung = true)
    }

    pub(crate) fn patch(&self, no: &str, patch: ServerPatch) -> Result<ServerView, Error> {
        self.change(no, |server| server.patch(patch))
    }

    pub(crate) fn add(&self, spec: ServerSpec) -> Result<ServerView, Error> {
        self.scenario.check_server(&spec)?;
        let mut inner = self.lock();
        if inner.servers.contains_key(&spec.no) {
            return Err(Error::ServerExists(spec.no));
        }
        let no = spec.no.clone();
        let server = Server::new(spec);
        let view = server.view();
        inner.servers.insert(no, server);
        Ok(view)
    }

    pub(crate) fn remove(&self, no: &str) -> Result<(), Error> {
        let removed = self.lock().servers.remove(no);
        removed.map(drop).ok_or_else(|| Error::UnknownServer(no.to_owned()))
    }

    pub(crate) fn order(&self, script: Script) -> Result<(), Error> {
        let mut inner = self.lock();
        match &script.server_instance_no {
            Some(no) if !inner.servers.contains_key(no) => Err(Error::UnknownServer(no.clone())),
            Some(_) | None => {
                inner.scripts.order(script);
                Ok(())
            }
        }
    }

    pub(crate) fn set_clock_offset_ms(&self, offset_ms: i64) {
        self.lock().clock_offset_ms = offset_ms;
    }
}

fn blank_entry(ledger: &Ledger, call: &Interrupt<'_>) -> LedgerEntry {
    let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
    LedgerEntry {
        seq: ledger.next_seq(),
        at: clock::wall_ms(),
        method: call.method.to_owned(),
        server_instance_no: owned(call.server_instance_no),
        region_code: owned(call.region_code),
        timestamp: owned(call.timestamp),
        authenticated: false,
        behaviour: None,
        refused: None,
        request_id: None,
        effect: false,
        effect_at: None,
        destroyed_dump: false,
    }
}
