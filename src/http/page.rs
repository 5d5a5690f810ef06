//! The status page: one look at what holds, what waits and what was done. No script, no login on loopback only.
//!
//! Never: changes anything, or is shown to whoever comes through a proxy or under another host's name.

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderMap, REFERRER_POLICY,
};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use jiff::Timestamp;

use super::door::Door;
use super::figures::{self, BudgetUse};
use super::problem::{Code, Problem};
use crate::domain::hold::Hold;
use crate::domain::remediation::State;
use crate::service::hold_file;
use crate::store::{AuditFilter, AuditItem, InventoryAge, OpenQuarantine, PageRequest, RemediationRow};

/// Audit events on the page.
const EVENTS: i64 = 20;
/// Live remediations on the page; the API has the rest.
const LIVE_MAX: i64 = 200;
const CSP: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";
const STYLE: &str = include_str!("../../templates/style.css");

#[derive(Template)]
#[template(path = "status.html")]
struct Status {
    version: &'static str,
    now: Timestamp,
    since: Timestamp,
    trouble: Option<String>,
    hold_file: Option<String>,
    holds: Vec<Hold>,
    waiting: Vec<Line>,
    live: Vec<Line>,
    more_live: bool,
    pending: i64,
    events: Vec<AuditItem>,
    sources: Vec<(String, Option<Timestamp>)>,
    budgets: Vec<BudgetUse>,
    inventory: Vec<InventoryAge>,
    quarantine: Option<OpenQuarantine>,
}

#[derive(Template)]
#[template(path = "closed.html")]
struct Closed;

/// One remediation on the page.
struct Line {
    row: RemediationRow,
    server_name: String,
    wants: Option<&'static str>,
}

impl From<RemediationRow> for Line {
    fn from(row: RemediationRow) -> Self {
        let name = row.server.get("name").and_then(serde_json::Value::as_str).unwrap_or("").to_owned();
        let wants = State::parse(&row.state).and_then(|state| match state {
            State::AwaitingApproval => Some("approve or deny"),
            State::Unknown => Some("find out whether it happened, then settle"),
            State::Unconfirmed => Some("no reboot was seen: look, then settle"),
            State::Settling
            | State::Queued
            | State::Intent
            | State::Accepted
            | State::Confirmed
            | State::Rejected
            | State::NotSent
            | State::ClosedHappened
            | State::ClosedNotHappened
            | State::Cancelled
            | State::Expired => None,
        });
        Self { row, server_name: name, wants }
    }
}

/// Text for a cell that may be empty.
fn or_dash(value: Option<&String>) -> &str {
    value.map_or("–", String::as_str)
}

/// The decision of an alert, or the state that a remediation moved to.
fn decision_or_state(item: &AuditItem) -> String {
    let detail: serde_json::Value = serde_json::from_str(&item.event.detail).unwrap_or_default();
    let moved_to = detail.get("to").and_then(serde_json::Value::as_str).map(|state| format!("→ {state}"));
    item.event.decision.clone().or(moved_to).unwrap_or_else(|| "–".to_owned())
}

/// Time in whole seconds, for a cell.
fn short(at: &Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn short_or_dash(at: Option<&Timestamp>) -> String {
    at.map_or_else(|| "–".to_owned(), short)
}

/// `GET /`
pub(super) async fn status(door: Data<Door>, req: HttpRequest) -> Result<HttpResponse, Problem> {
    let direct = door.service.config().server.status_page
        && door.loopback
        && req.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback())
        && came_directly(req.headers());
    if !direct {
        let text = render(&Closed)?;
        return Ok(html(HttpResponse::Forbidden(), text));
    }
    let status = load(&door).await?;
    let text = render(&status)?;
    Ok(html(HttpResponse::Ok(), text))
}

/// Whether a browser on this machine asked for this machine, with no proxy between: a page elsewhere whose name was
/// bent to loopback, or the public through a reverse proxy, must not read server names.
fn came_directly(headers: &HeaderMap) -> bool {
    let proxied = ["x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "via"]
        .iter()
        .any(|name| headers.contains_key(*name));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let local = name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    local && !proxied
}

fn render(template: &impl Template) -> Result<String, Problem> {
    template.render().map_err(|_error| Problem::new(Code::Internal, "the page cannot be written"))
}

fn html(mut response: actix_web::HttpResponseBuilder, text: String) -> HttpResponse {
    response
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((CONTENT_SECURITY_POLICY, CSP))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .body(text)
}

async fn load(door: &Door) -> Result<Status, Problem> {
    let service = &door.service;
    let (config, now) = (service.config(), service.clock.now());
    let store = &service.store;
    let newest = PageRequest { limit: LIVE_MAX, cursor: None, ascending: false };
    let live = store.remediations(Some("live"), None, &newest).await?;
    let more_live = live.next_cursor.is_some();
    let (waiting, live) = live.items.into_iter().map(Line::from).partition(|line| line.wants.is_some());
    let events = PageRequest { limit: EVENTS, cursor: None, ascending: false };
    let names = figures::source_names(&config);
    let counts = store.counts(&names).await?;
    let sources = config.sources.iter().map(|source| {
        let last = counts.last_delivery.iter().find(|(name, _)| *name == source.name);
        (source.name.clone(), last.map(|(_, at)| *at))
    });
    let health = service.health();
    Ok(Status {
        version: env!("CARGO_PKG_VERSION"),
        now,
        since: door.since,
        trouble: health.halted.or(health.clock).or(health.reads).or(health.disk),
        hold_file: hold_file(&config.store.hold_file),
        holds: store.holds(now).await?,
        waiting,
        live,
        more_live,
        pending: counts.pending_alerts,
        events: store.audit(&AuditFilter::default(), &events).await?.items,
        sources: sources.collect(),
        budgets: figures::budgets(service, &config, now).await?,
        inventory: store.inventory_ages().await?,
        quarantine: store.open_quarantine().await?,
    })
}

/// `GET /assets/style.css`
pub(super) async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/css; charset=utf-8"))
        .insert_header((CACHE_CONTROL, "public, max-age=3600"))
        .body(STYLE)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn direct(headers: &[(&'static str, &'static str)]) -> bool {
        let req = headers.iter().fold(TestRequest::default(), |req, header| req.insert_header(*header));
        came_directly(req.to_http_request().headers())
    }

    #[test]
    fn only_a_browser_on_this_machine_sees_the_page() {
        for host in ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "localhost", "127.0.0.1"] {
            assert!(direct(&[("host", host)]), "{host}");
        }
        for host in ["unhang.example", "localhost.evil.example:8080", "10.0.0.1:8080", "", "127.0.0.1.nip.io"]
        {
            assert!(!direct(&[("host", host)]), "{host}");
        }
        assert!(!direct(&[("host", "localhost"), ("x-forwarded-for", "127.0.0.1")]));
        assert!(!direct(&[("host", "localhost"), ("forwarded", "for=127.0.0.1")]));
    }
}
