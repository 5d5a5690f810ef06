//! `/api/v1/explain`: why something happened or did not, and what would have to change.
//!
//! Never: stores, sends, or changes anything.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::auth::Viewer;
use super::super::body::{self, Params};
use super::super::door::{Door, UNKNOWN_SOURCE};
use super::super::problem::{Code, Problem};
use super::story;
use crate::config::{Config, SourceKind};
use crate::domain::alert::{Alert, Envelope, Parsed};
use crate::domain::guard::{Trace, Verdict};
use crate::domain::limits::later;
use crate::domain::policy::Trust;
use crate::domain::server::{Server, ServerNo};
use crate::intake::{self, AlertAnswer};
use crate::sources::{ParseLimits, Unreadable, parse};
use crate::store::{AlertRow, AuditFilter, AuditItem, PageRequest, RemediationRow};
use crate::telemetry::DeliveryLabels;

/// The last moment of a minute after its first.
const MINUTE_END: SignedDuration = SignedDuration::from_millis(59_999);
/// Decisions about the server that are told at most, and as many alerts that name it.
const DECISIONS_MAX: usize = 20;
/// Events of one remediation that are told at most: its newest.
const EVENTS_MAX: i64 = 200;

/// Whom a question is about.
struct Who {
    /// As a person would call it.
    called: String,
    /// Its number, where it is known or was given.
    no: Option<ServerNo>,
    /// As the inventory knows it.
    server: Option<Server>,
    /// Everything that an alert may call it.
    names: Vec<String>,
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
    let service = &door.service;
    let (config, now) = (service.config(), service.clock.now());
    // Whoever asks for 03:12 means that whole minute.
    let asked = at.map(|at| if at.as_second() % 60 == 0 { later(at, MINUTE_END) } else { at });
    let until = asked.unwrap_or(now);
    let who = who(&door, called).await?;
    let decisions = decisions(&door, &who, until).await?;
    let remediations = remediations(&door, &who, until).await?;
    let orders = orders(&door, &who, until).await?;
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
        Some(row) => decided_today(&door, &config, row, now).await?,
        None => Value::Null,
    };
    let live = remediations.iter().map(|(row, _)| row).find(|row| row.finished_at.is_none());
    let told_remediations: Vec<Value> =
        remediations.iter().map(|(row, events)| json!({ "remediation": row, "events": events })).collect();
    Ok(HttpResponse::Ok().json(json!({
        "serverInstanceNo": who.no,
        "serverName": who.server.as_ref().map(|server| &server.name),
        "known": who.server.is_some(),
        "names": who.names,
        "at": until,
        "headline": told.headline,
        "wouldHaveToChange": told.would_have_to_change,
        "story": told.lines,
        "decisions": decisions,
        "orders": orders,
        "remediations": told_remediations,
        "unreadableDeliveries": unreadable,
        "liveRemediation": live,
        "senders": senders(&door, &config, until).await?,
        "now": today,
    })))
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
async fn senders(door: &Door, config: &Config, until: Timestamp) -> Result<Vec<Value>, Problem> {
    let alerting = config.sources.iter().filter(|source| source.kind != SourceKind::Guest);
    let mut names: Vec<String> = alerting.map(|source| source.name.clone()).collect();
    let words = door.service.store.last_words(&names, until).await?;
    names.push(UNKNOWN_SOURCE.to_owned());
    let refused = |source: &str| {
        let count = |result: &'static str| {
            let labels = DeliveryLabels { source: source.to_owned(), result };
            door.service.metrics.deliveries.get(&labels).map_or(0, |counter| counter.get())
        };
        json!({
            "unauthenticated": count("unauthenticated"), "unreadable": count("unreadable"),
            "overloaded": count("overloaded"), "storeFailed": count("store_failed"),
        })
    };
    let told = names.iter().map(|name| {
        let last = words.iter().find(|word| word.source == *name).and_then(|word| word.last_delivery_at);
        json!({
            "source": name, "lastDeliveryAt": last, "refusedSinceStart": refused(name),
            "since": door.service.started_at,
        })
    });
    Ok(told.collect())
}

/// The alert that the headline is about decided again with the facts of this moment: `null` where it could not be read.
async fn decided_today(
    door: &Door,
    config: &Config,
    told: &AlertRow,
    now: Timestamp,
) -> Result<Value, Problem> {
    let alert = told.alert.clone().and_then(|alert| serde_json::from_value::<Alert>(alert).ok());
    let Some(mut alert) = alert else { return Ok(Value::Null) };
    // The question is what a notice like it would lead to now, not what this old one would.
    alert.sender_time = None;
    let source = config.sources.iter().find(|source| source.name == told.source);
    let trust = source.map_or(Trust::Propose, |source| source.trust);
    let envelope = Envelope { alerts: vec![Parsed::Alert(Box::new(alert))], truncated: 0 };
    let mut store = door.service.store.clone();
    let explained = intake::explain(&mut store, &told.source, trust, &envelope, None, config, now).await?;
    Ok(explained.into_iter().next().map_or(Value::Null, |(answer, trace)| with_trace(&answer, &trace)))
}

/// An answer with every guard, and apart from them those that would have to change their mind.
fn with_trace(answer: &AlertAnswer, trace: &Trace) -> Value {
    let in_the_way: Vec<_> = trace
        .0
        .iter()
        .filter(|check| !matches!(check.verdict, Verdict::Pass | Verdict::NotConfigured))
        .collect();
    let mut value = json!(answer);
    if let Value::Object(fields) = &mut value {
        fields.insert("trace".to_owned(), json!(trace));
        fields.insert("wouldHaveToChange".to_owned(), json!(in_the_way));
    }
    value
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
    let service = &door.service;
    let (config, now) = (service.config(), service.clock.now());
    let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
    let source =
        config.sources.iter().find(|source| Some(&source.name) == name.as_ref()).ok_or_else(|| {
            Problem::query("source", format!("expected the name of a source: {}", names.join(", ")))
        })?;
    body::refuse_encoding(&req)?;
    let bytes = body::read(&req, payload, config.server.body_bytes_max, door.body_timeout()).await?;
    let envelope = parse(source, &ParseLimits::from(&config.server), &bytes, None, now).map_err(|error| {
        let code = match error {
            Unreadable::NotJson(_) => Code::UnreadableJson,
            Unreadable::WrongShape(_) => Code::WrongShape,
            Unreadable::TooManyAlerts { count: _, max: _ } => Code::TooManyAlerts,
        };
        Problem::new(code, error.to_string())
    })?;
    let mut store = service.store.clone();
    let explained =
        intake::explain(&mut store, &source.name, source.trust, &envelope, None, &config, now).await?;
    let alerts: Vec<Value> = explained.iter().map(|(answer, trace)| with_trace(answer, trace)).collect();
    Ok(HttpResponse::Ok().json(json!({
        "source": source.name,
        "truncatedAlerts": envelope.truncated,
        "configHash": config.hash,
        "alerts": alerts,
    })))
}
