//! `/api/v1/explain`: why something happened or did not, and what would have to change.
//!
//! Never: stores, sends, or changes anything.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::super::auth::Viewer;
use super::super::body::{self, Params};
use super::super::door::{Door, UNKNOWN_SOURCE};
use super::super::problem::{Code, Problem};
use super::story::{self, Change, Line, Story};
use crate::config::{Config, SourceConfig, SourceKind};
use crate::domain::alert::{Alert, Envelope, Parsed};
use crate::domain::guard::{Check, Trace, Verdict};
use crate::domain::limits::later;
use crate::domain::policy::Trust;
use crate::domain::server::{Server, ServerNo};
use crate::intake::{self, AlertAnswer};
use crate::sources::{ParseLimits, Unreadable, parse};
use crate::store::{AlertRow, AuditFilter, AuditItem, PageRequest, RemediationRow, UnreadableDelivery};
use crate::telemetry::DeliveryLabels;

/// The last moment of a minute after its first.
const MINUTE_END: SignedDuration = SignedDuration::from_millis(59_999);
/// Decisions about the server that are told at most, and as many alerts that name it.
const DECISIONS_MAX: usize = 20;
/// Events of one remediation that are told at most: its newest.
const EVENTS_MAX: i64 = 200;

/// Why something happened to a server, or did not.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Explanation {
    /// Its number, where it is known.
    server_instance_no: Option<ServerNo>,
    /// Its name, where the inventory has it.
    server_name: Option<String>,
    /// The inventory has it.
    known: bool,
    /// Everything that an alert may call it.
    names: Vec<String>,
    /// Up to when this is told.
    at: Timestamp,
    /// The one sentence that matters.
    headline: String,
    /// What would have to change.
    would_have_to_change: Vec<Change>,
    /// What happened, oldest first.
    story: Vec<Line>,
    /// Decisions about it and alerts that name it, newest first.
    decisions: Vec<AlertRow>,
    /// What people did about it, newest first.
    orders: Vec<AuditItem>,
    /// Its remediations, newest first.
    remediations: Vec<RemediationTold>,
    /// Deliveries that name it and could not be read.
    unreadable_deliveries: Vec<UnreadableDelivery>,
    /// The remediation that is not finished.
    live_remediation: Option<RemediationRow>,
    /// When each source last spoke.
    senders: Vec<Sender>,
    /// What the alert of the headline would lead to now.
    now: Option<AlertExplained>,
}

/// One remediation with its events, oldest first.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct RemediationTold {
    remediation: RemediationRow,
    events: Vec<AuditItem>,
}

/// An answer with every guard, and apart from them those that would have to change their mind.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct AlertExplained {
    /// The answer.
    #[serde(flatten)]
    answer: AlertAnswer,
    /// Every guard that was asked.
    trace: Trace,
    /// Those in the way.
    would_have_to_change: Vec<Check>,
}

/// What a payload would lead to.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct PayloadExplained {
    source: String,
    /// Alerts that the sender left out.
    truncated_alerts: u64,
    /// Hash of the configuration in force.
    config_hash: String,
    /// One for each alert, in the order of the body.
    alerts: Vec<AlertExplained>,
}

/// Whom a question is about.
pub(in super::super) struct Who {
    /// As a person would call it.
    pub(in super::super) called: String,
    /// Its number, where it is known or was given.
    pub(in super::super) no: Option<ServerNo>,
    /// As the inventory knows it.
    pub(in super::super) server: Option<Server>,
    /// Everything that an alert may call it.
    names: Vec<String>,
}

/// Everything that is known of one server up to a time.
pub(in super::super) struct Why {
    /// Whom it is about.
    pub(in super::super) who: Who,
    /// Up to when.
    pub(in super::super) until: Timestamp,
    /// The story.
    pub(in super::super) told: Story,
    /// Decisions, newest first.
    pub(in super::super) decisions: Vec<AlertRow>,
    orders: Vec<AuditItem>,
    /// Remediations, newest first, each with its events.
    pub(in super::super) remediations: Vec<(RemediationRow, Vec<AuditItem>)>,
    /// Deliveries that could not be read.
    pub(in super::super) unreadable: Vec<UnreadableDelivery>,
    /// When each source last spoke.
    pub(in super::super) senders: Vec<Sender>,
    /// What a notice like the one that matters would lead to now.
    pub(in super::super) today: Option<Judged>,
}

/// What would be decided about one alert, with every guard.
pub(in super::super) struct Judged {
    /// The decision.
    pub(in super::super) answer: AlertAnswer,
    /// The guards.
    pub(in super::super) trace: Trace,
}

/// When a source last spoke, and what of it was refused since the service started.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SenderTold)]
pub(in super::super) struct Sender {
    /// Its name.
    pub(in super::super) source: String,
    /// Its newest delivery.
    pub(in super::super) last_delivery_at: Option<Timestamp>,
    refused_since_start: Refused,
    /// When the service started.
    since: Timestamp,
}

/// Deliveries that were refused, by why.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RefusedSinceStart)]
struct Refused {
    unauthenticated: u64,
    unreadable: u64,
    overloaded: u64,
    store_failed: u64,
}

impl Sender {
    /// How many of its deliveries were refused since the service started.
    pub(in super::super) fn refused(&self) -> u64 {
        let of = &self.refused_since_start;
        of.unauthenticated + of.unreadable + of.overloaded + of.store_failed
    }
}

/// `GET /api/v1/explain?serverInstanceNo=&server=&at=`: of any server, at any time.
pub(in super::super) async fn why(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&req)?;
    let no =
        params.read("serverInstanceNo", |text| ServerNo::parse(text).map_err(|error| error.to_string()))?;
    let called = params.text("server");
    let at = params.time("at")?;
    params.finish()?;
    let called = match (no, called) {
        (Some(no), None) => no.to_string(),
        (None, Some(called)) => called,
        (None, None) => return Err(Problem::query("serverInstanceNo", "missing; expected a server number")),
        (Some(_), Some(_)) => return Err(Problem::query("server", "serverInstanceNo is given as well")),
    };
    let why = ask_why(&door, called, at).await?;
    let live = why.remediations.iter().map(|(row, _)| row).find(|row| row.finished_at.is_none()).cloned();
    let remediations =
        why.remediations.into_iter().map(|(remediation, events)| RemediationTold { remediation, events });
    Ok(HttpResponse::Ok().json(Explanation {
        server_instance_no: why.who.no,
        known: why.who.server.is_some(),
        server_name: why.who.server.map(|server| server.name),
        names: why.who.names,
        at: why.until,
        headline: why.told.headline,
        would_have_to_change: why.told.would_have_to_change,
        story: why.told.lines,
        decisions: why.decisions,
        orders: why.orders,
        remediations: remediations.collect(),
        unreadable_deliveries: why.unreadable,
        live_remediation: live,
        senders: why.senders,
        now: why.today.map(with_trace),
    }))
}

/// Everything about a server, by its number, name or address, up to a time; up to now where none is given.
pub(in super::super) async fn ask_why(
    door: &Door,
    called: String,
    at: Option<Timestamp>,
) -> Result<Why, Problem> {
    let service = &door.service;
    let (config, now) = (service.config(), service.clock.now());
    // Whoever asks for 03:12 means that whole minute.
    let asked = at.map(|at| if at.as_second() % 60 == 0 { later(at, MINUTE_END) } else { at });
    let until = asked.unwrap_or(now);
    let who = who(door, called).await?;
    let decisions = decisions(door, &who, until).await?;
    let remediations = remediations(door, &who, until).await?;
    let orders = orders(door, &who, until).await?;
    let unreadable = service.store.unreadable_that_name(&who.names, until).await?;
    let sources = story::Sources {
        who: &who.called,
        decisions: &decisions,
        orders: &orders,
        remediations: &remediations,
        unreadable: &unreadable,
    };
    let told = story::tell(&sources, until.min(now));
    let today = match story::alert_of(&sources, until.min(now)) {
        Some(row) => decided_today(door, &config, row, now).await?,
        None => None,
    };
    let senders = senders(door, &config, until).await?;
    Ok(Why { who, until, told, decisions, orders, remediations, unreadable, senders, today })
}

async fn who(door: &Door, called: String) -> Result<Who, Problem> {
    let store = &door.service.store;
    let found = store.servers_called(&called).await?;
    let server = match found.as_slice() {
        [] => None,
        [server] => Some(server.clone()),
        several => {
            let numbers: Vec<&str> = several.iter().map(|server| server.no.as_str()).collect();
            let told = format!("the name of several servers; ask by number: {}", numbers.join(", "));
            return Err(Problem::query("server", told));
        }
    };
    let no = server.as_ref().map(|server| server.no.clone()).or_else(|| ServerNo::parse(&called).ok());
    let mut names = vec![called.clone()];
    if let Some(server) = &server {
        names.extend([server.no.to_string(), server.name.clone()]);
        names.extend(store.other_names(&server.no).await?);
    }
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names.dedup();
    let called = server.as_ref().map_or(called, |server| server.name.clone());
    Ok(Who { called, no, server, names })
}

/// Decisions about the server, and about alerts that name it and could be tied to none, newest first.
async fn decisions(door: &Door, who: &Who, until: Timestamp) -> Result<Vec<AlertRow>, Problem> {
    let store = &door.service.store;
    let mut rows = match &who.no {
        Some(no) => store.decisions_about(no.as_str(), until).await?,
        None => Vec::new(),
    };
    // Many alerts that merely name the server must not push out those about it.
    let naming = store.alerts_that_name(&who.names, until).await?;
    rows.truncate(DECISIONS_MAX);
    rows.extend(naming.into_iter().take(DECISIONS_MAX));
    rows.sort_by_key(|row| std::cmp::Reverse((row.received_at, row.idx)));
    Ok(rows)
}

async fn remediations(
    door: &Door,
    who: &Who,
    until: Timestamp,
) -> Result<Vec<(RemediationRow, Vec<AuditItem>)>, Problem> {
    let Some(no) = &who.no else { return Ok(Vec::new()) };
    let store = &door.service.store;
    let page = PageRequest { limit: EVENTS_MAX, cursor: None, ascending: false };
    let mut told = Vec::new();
    for row in store.remediations_of(no, until).await? {
        let filter = AuditFilter { remediation_id: Some(row.id.clone()), ..AuditFilter::default() };
        // Of a long story the end is what counts.
        let mut events = store.audit(&filter, &page).await?.items;
        events.reverse();
        told.push((row, events));
    }
    Ok(told)
}

/// What people did about the server: orders by hand and collected dumps, newest first.
async fn orders(door: &Door, who: &Who, until: Timestamp) -> Result<Vec<AuditItem>, Problem> {
    let Some(no) = &who.no else { return Ok(Vec::new()) };
    let page = PageRequest { limit: EVENTS_MAX, cursor: None, ascending: false };
    let mut told = Vec::new();
    for kind in ["ordered_by_hand", "dump_collected"] {
        let filter = AuditFilter {
            server_instance_no: Some(no.to_string()),
            kind: Some(kind.to_owned()),
            until: Some(later(until, SignedDuration::from_millis(1))),
            ..AuditFilter::default()
        };
        told.extend(door.service.store.audit(&filter, &page).await?.items);
    }
    told.sort_by_key(|item| std::cmp::Reverse(item.seq));
    Ok(told)
}

/// When each source last spoke, and what was refused since the service started: silence of a sender is an answer too.
async fn senders(door: &Door, config: &Config, until: Timestamp) -> Result<Vec<Sender>, Problem> {
    let alerting = config.sources.iter().filter(|source| source.kind != SourceKind::Guest);
    let mut names: Vec<String> = alerting.map(|source| source.name.clone()).collect();
    let words = door.service.store.last_words(&names, until).await?;
    names.push(UNKNOWN_SOURCE.to_owned());
    let refused = |source: &str| {
        let count = |result: &'static str| {
            let labels = DeliveryLabels { source: source.to_owned(), result };
            door.service.metrics.deliveries.get(&labels).map_or(0, |counter| counter.get())
        };
        Refused {
            unauthenticated: count("unauthenticated"),
            unreadable: count("unreadable"),
            overloaded: count("overloaded"),
            store_failed: count("store_failed"),
        }
    };
    let told = names.into_iter().map(|source| Sender {
        last_delivery_at: words
            .iter()
            .find(|word| word.source == source)
            .and_then(|word| word.last_delivery_at),
        refused_since_start: refused(&source),
        since: door.service.started_at,
        source,
    });
    Ok(told.collect())
}

/// The alert that the headline is about decided again with the facts of this moment; `None` where it could not be read.
async fn decided_today(
    door: &Door,
    config: &Config,
    told: &AlertRow,
    now: Timestamp,
) -> Result<Option<Judged>, Problem> {
    let alert = told.alert.clone().and_then(|alert| serde_json::from_value::<Alert>(alert).ok());
    let Some(mut alert) = alert else { return Ok(None) };
    // The question is what a notice like it would lead to now, not what this old one would.
    alert.sender_time = None;
    let source = config.sources.iter().find(|source| source.name == told.source);
    let trust = source.map_or(Trust::Propose, |source| source.trust);
    let envelope = Envelope { alerts: vec![Parsed::Alert(Box::new(alert))], truncated: 0 };
    let mut store = door.service.store.for_people();
    let explained = intake::explain(&mut store, &told.source, trust, &envelope, None, config, now).await?;
    Ok(explained.into_iter().next().map(|(answer, trace)| Judged { answer, trace }))
}

fn with_trace(judged: Judged) -> AlertExplained {
    let Judged { answer, trace } = judged;
    let in_the_way = |check: &&Check| !matches!(check.verdict, Verdict::Pass | Verdict::NotConfigured);
    let would_have_to_change = trace.0.iter().filter(in_the_way).cloned().collect();
    AlertExplained { answer, trace, would_have_to_change }
}

/// What a payload would lead to.
pub(in super::super) struct Verdicts {
    source: String,
    /// Alerts that the sender left out.
    pub(in super::super) truncated: u64,
    config_hash: String,
    /// Each alert.
    pub(in super::super) alerts: Vec<Judged>,
}

/// `POST /api/v1/explain?source=`: a payload in, guards and verdicts out.
pub(in super::super) async fn payload(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&req)?;
    let name = params.text("source");
    params.finish()?;
    let config = door.service.config();
    source_named(&config, name.as_deref()).map_err(|expected| Problem::query("source", expected))?;
    body::refuse_encoding(&req)?;
    let bytes = body::read(&req, payload, config.server.body_bytes_max, door.body_timeout()).await?;
    let verdicts = judge(&door, name.as_deref(), &bytes).await?;
    Ok(HttpResponse::Ok().json(PayloadExplained {
        source: verdicts.source,
        truncated_alerts: verdicts.truncated,
        config_hash: verdicts.config_hash,
        alerts: verdicts.alerts.into_iter().map(with_trace).collect(),
    }))
}

fn source_named<'c>(config: &'c Config, name: Option<&str>) -> Result<&'c SourceConfig, String> {
    let found = config.sources.iter().find(|source| Some(source.name.as_str()) == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
        format!("expected the name of a source: {}", names.join(", "))
    })
}

/// Decides a payload as if its source had sent it now, and keeps nothing.
pub(in super::super) async fn judge(
    door: &Door,
    source: Option<&str>,
    bytes: &[u8],
) -> Result<Verdicts, Problem> {
    let service = &door.service;
    let (config, now) = (service.config(), service.clock.now());
    let source = source_named(&config, source).map_err(|expected| Problem::body("source", expected))?;
    let envelope = parse(source, &ParseLimits::from(&config.server), bytes, None, now).map_err(|error| {
        let code = match error {
            Unreadable::NotJson(_) => Code::UnreadableJson,
            Unreadable::WrongShape(_) => Code::WrongShape,
            Unreadable::TooManyAlerts { count: _, max: _ } => Code::TooManyAlerts,
        };
        Problem::new(code, error.to_string())
    })?;
    let mut store = service.store.for_people();
    let explained =
        intake::explain(&mut store, &source.name, source.trust, &envelope, None, &config, now).await?;
    Ok(Verdicts {
        source: source.name.clone(),
        truncated: envelope.truncated,
        config_hash: config.hash.clone(),
        alerts: explained.into_iter().map(|(answer, trace)| Judged { answer, trace }).collect(),
    })
}
