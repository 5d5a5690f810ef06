//! The first page: what wants a person, what is under way, who is silent, and one button that stops everything.
//!
//! Never: asks the cloud. What it shows is in the store.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use jiff::Timestamp;

use super::super::door::Door;
use super::super::figures::{self, BudgetUse};
use super::super::problem::Problem;
use super::remediations::Told;
use super::view::View;
use super::{enter, page};
use crate::config::{Config, Role, SourceKind};
use crate::domain::breaker::{Breaker, breaker};
use crate::domain::limits::later;
use crate::domain::remediation::State;
use crate::store::{
    AuditFilter, InventoryAge, OpenQuarantine, PageRequest, RemediationRow, StoreError, StormRow,
};

/// Events on the page.
const EVENTS: i64 = 12;
/// Live remediations on the page; the list of incidents has the rest.
const LIVE_MAX: i64 = 100;
/// A source without a heartbeat that has said nothing for so many seconds is marked: a day.
const QUIET_SECONDS: i64 = 86_400;

#[derive(Template)]
#[template(path = "now.html")]
struct Now<'v> {
    v: &'v View,
    waiting: Vec<Line>,
    live: Vec<Line>,
    more_live: bool,
    storms: Vec<StormRow>,
    quarantine: Option<OpenQuarantine>,
    pending: i64,
    events: Vec<Told>,
    sources: Vec<Source>,
    budgets: Vec<BudgetUse>,
    breakers: Vec<PolicyStand>,
    inventory: Vec<InventoryAge>,
}

/// One remediation on a page.
pub(super) struct Line {
    pub(super) row: RemediationRow,
    pub(super) server_name: String,
    /// Word of what it wants of a person.
    pub(super) wants: Option<&'static str>,
    /// When the question expires.
    pub(super) until: Option<Timestamp>,
}

impl Line {
    pub(super) fn of(row: RemediationRow, config: &Config) -> Self {
        let server_name = row.server.get("name").and_then(serde_json::Value::as_str).unwrap_or("").to_owned();
        let wants = State::parse(&row.state).and_then(State::wants);
        let policy = config.rules.policies.iter().find(|policy| policy.name == row.policy);
        let until = match State::parse(&row.state) {
            Some(State::AwaitingApproval) => {
                policy.map(|policy| later(row.waiting_since, policy.approval_wait))
            }
            Some(State::Settling) => Some(row.settle_until),
            Some(_) | None => None,
        };
        Self { row, server_name, wants, until }
    }

    /// How far it has come, of four steps: decided, let go, sent, proven.
    pub(super) fn step(&self) -> usize {
        match State::parse(&self.row.state) {
            Some(State::Settling | State::AwaitingApproval) => 1,
            Some(State::Queued) => 2,
            Some(State::Intent | State::Accepted | State::Unknown | State::Unconfirmed) => 3,
            Some(_) | None => 4,
        }
    }
}

struct Source {
    name: String,
    kind: &'static str,
    last: Option<Timestamp>,
    heartbeat: Option<Timestamp>,
    /// It ought to have been heard by now.
    silent: bool,
}

struct PolicyStand {
    name: String,
    mode: String,
    demoted: bool,
    state: &'static str,
    until: Option<Timestamp>,
}

/// `GET /`
pub(in super::super) async fn show(req: HttpRequest, door: Data<Door>) -> HttpResponse {
    let view = match enter(&req, &door, "now", Role::Viewer).await {
        Ok(view) => view,
        Err(answer) => return answer,
    };
    page(&view, load(&view, &door).await)
}

async fn load<'v>(view: &'v View, door: &Door) -> Result<Now<'v>, Problem> {
    let service = &door.service;
    let (config, store, now) = (service.config(), &service.store, view.now);
    let newest = PageRequest { limit: LIVE_MAX, cursor: None, ascending: false };
    let live = store.remediations(Some("live"), None, &newest).await?;
    let more_live = live.next_cursor.is_some();
    let lines = live.items.into_iter().map(|row| Line::of(row, &config));
    let (mut waiting, live): (Vec<_>, Vec<_>) = lines.partition(|line| line.wants.is_some());
    // What nobody knows comes first, then the question that expires first.
    waiting.sort_by_key(|line: &Line| line.until);
    let events = PageRequest { limit: EVENTS, cursor: None, ascending: false };
    let events = store.audit(&AuditFilter::default(), &events).await?.items;
    let mut budgets = figures::budgets(service, &config, now).await?;
    budgets.retain(|budget| budget.scope != "server" || budget.remaining == 0);
    Ok(Now {
        v: view,
        waiting,
        live,
        more_live,
        storms: store.storms(true).await?,
        quarantine: store.open_quarantine().await?,
        pending: store.pending_count().await?,
        events: events.into_iter().map(Told::of).collect(),
        sources: sources(door, &config, now).await?,
        budgets,
        breakers: stands(door, &config, now).await?,
        inventory: store.inventory_ages().await?,
    })
}

async fn sources(door: &Door, config: &Config, now: Timestamp) -> Result<Vec<Source>, StoreError> {
    let store = &door.service.store;
    let mut all = Vec::new();
    let alerting = config.sources.iter().filter(|source| source.kind != SourceKind::Guest);
    for source in alerting {
        let last = store.last_words(std::slice::from_ref(&source.name), now).await?;
        let last = last.into_iter().next().and_then(|word| word.last_delivery_at);
        let heartbeat = store.last_heartbeat(&source.name).await?;
        let silent = match &source.heartbeat {
            Some(expected) => heartbeat.is_none_or(|at| now.duration_since(at) > expected.within),
            None => last.is_some_and(|at| now.duration_since(at).as_secs() > QUIET_SECONDS),
        };
        all.push(Source { name: source.name.clone(), kind: source.kind.as_str(), last, heartbeat, silent });
    }
    Ok(all)
}

async fn stands(door: &Door, config: &Config, now: Timestamp) -> Result<Vec<PolicyStand>, StoreError> {
    let (store, rules) = (&door.service.store, &config.rules.breaker);
    let mut all = Vec::new();
    for policy in &config.rules.policies {
        let (tried, _reset) = store.breaker_of(&policy.name, rules.failures).await?;
        let demoted = store.standing_of(&policy.name).await?.demoted.is_some();
        let (state, until) = match breaker(rules, &tried, now) {
            Breaker::Closed => ("closed", None),
            Breaker::Open { until } => ("open", Some(until)),
            Breaker::HalfOpen { pending: _ } => ("half_open", None),
        };
        let mode = policy.mode.as_str().to_owned();
        all.push(PolicyStand { name: policy.name.clone(), mode, demoted, state, until });
    }
    Ok(all)
}
