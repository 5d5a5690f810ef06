//! `/api/v1/explain`: why something happened or did not, and what would have to change.
//!
//! Never: stores, sends, or changes anything.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::auth::Viewer;
use super::super::body::{self, Params};
use super::super::door::Door;
use super::super::problem::{Code, Problem};
use crate::config::Config;
use crate::domain::alert::{Alert, Envelope, Parsed};
use crate::domain::guard::{Trace, Verdict};
use crate::domain::policy::Trust;
use crate::domain::server::ServerNo;
use crate::intake::{self, AlertAnswer};
use crate::sources::{ParseLimits, Unreadable, parse};
use crate::store::{AlertRow, PAGE_MAX, PageRequest, RemediationRow};

/// `GET /api/v1/explain?serverInstanceNo=&at=`
pub(in super::super) async fn why(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&req)?;
    let no =
        params.read("serverInstanceNo", |text| ServerNo::parse(text).map_err(|error| error.to_string()))?;
    let at = params.time("at")?;
    params.finish()?;
    let no = no.ok_or_else(|| Problem::query("serverInstanceNo", "missing; expected a server number"))?;
    let service = &door.service;
    let (config, now) = (service.config(), service.clock.now());
    let decisions = service.store.decisions_about(no.as_str(), at.unwrap_or(now)).await?;
    let live = live(&door, &no).await?;
    let today = match decisions.first() {
        Some(newest) => decided_today(&door, &config, newest, now).await?,
        None => Value::Null,
    };
    Ok(HttpResponse::Ok().json(json!({
        "serverInstanceNo": no,
        "at": at.unwrap_or(now),
        "decisions": decisions,
        "liveRemediation": live,
        "now": today,
    })))
}

async fn live(door: &Door, no: &ServerNo) -> Result<Option<RemediationRow>, Problem> {
    let mut page = PageRequest { limit: PAGE_MAX, cursor: None, ascending: false };
    loop {
        let rows = door.service.store.remediations(Some("live"), None, &page).await?;
        let found = rows.items.into_iter().find(|row| row.server_instance_no == no.as_str());
        if found.is_some() || rows.next_cursor.is_none() {
            return Ok(found);
        }
        page.cursor = rows.next_cursor;
    }
}

/// The newest alert about the server decided again with the facts of this moment: `null` where it could not be read.
async fn decided_today(
    door: &Door,
    config: &Config,
    newest: &AlertRow,
    now: Timestamp,
) -> Result<Value, Problem> {
    let alert = newest.alert.clone().and_then(|alert| serde_json::from_value::<Alert>(alert).ok());
    let Some(mut alert) = alert else { return Ok(Value::Null) };
    // The question is what a notice like it would lead to now, not what this old one would.
    alert.sender_time = None;
    let source = config.sources.iter().find(|source| source.name == newest.source);
    let trust = source.map_or(Trust::Propose, |source| source.trust);
    let envelope = Envelope { alerts: vec![Parsed::Alert(Box::new(alert))], truncated: 0 };
    let mut store = door.service.store.clone();
    let explained = intake::explain(&mut store, &newest.source, trust, &envelope, None, config, now).await?;
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
