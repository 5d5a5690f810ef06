//! The audit: search, filters, pages with links that stay good, exports, and how far the chain has been verified.
//!
//! Never: shows a page under an address that means something else to somebody in another zone.

use std::cell::Cell;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::super::api::audit::filter;
use super::super::body::{Params, seq_cursor, time};
use super::super::door::Door;
use super::super::figures::source_names;
use super::super::problem::Problem;
use super::plain::visible;
use super::remediations::Told;
use super::search::{FoundAs, look};
use super::view::{Time, View};
use super::{enter, page, query, see_other};
use crate::config::Role;
use crate::domain::chain::ChainSeen;
use crate::domain::guard::Reason;
use crate::store::{AuditFilter, AuditItem, PAGE_MAX, Page, PageRequest};

/// Rows of a page when nothing is said.
const ROWS: i64 = 50;
/// Kinds of events, for the list to choose from; any other can be asked for by its word.
const KINDS: [&str; 42] = [
    "attempt_intent",
    "attempt_outcome",
    "evidence",
    "remediation_moved",
    "remediation_waits",
    "settlement",
    "alert_decided",
    "delivery_received",
    "delivery_repeated",
    "delivery_replayed",
    "delivery_unreadable",
    "replay_refused",
    "ordered_by_hand",
    "incident_opened",
    "incident_closed",
    "hold_set",
    "hold_cleared",
    "silence_set",
    "silence_ended",
    "storm_opened",
    "storm_cleared",
    "breaker_reset",
    "policy_demoted",
    "policy_promoted",
    "target_reported",
    "quarantine_opened",
    "quarantine_cleared",
    "dump_collected",
    "attestation",
    "activity_seen",
    "heartbeat_heard",
    "inventory_failed",
    "store_identified",
    "store_moved",
    "watch_gap",
    "service_started",
    "service_stopped",
    "config_loaded",
    "audit_heads_begun",
    "audit_heads_found",
    "audit_heads_missing",
    "audit_checkpoint",
];
/// Ends of an attempt.
const OUTCOMES: [&str; 4] = ["accepted", "rejected", "not_sent", "unknown"];

#[derive(Template)]
#[template(path = "audit.html")]
struct Audit<'v> {
    v: &'v View,
    /// What the search box holds.
    find: String,
    found_as: Vec<FoundAs>,
    choices: Vec<Choice>,
    /// Filters as the address says them.
    pairs: Vec<(&'static str, String)>,
    filter: AuditFilter,
    rows: Vec<Row>,
    links: Links,
    chain: ChainSeen,
}

/// A filter with a known list of words.
struct Choice {
    name: &'static str,
    label: &'static str,
    /// Kind of words; empty where the words are names.
    kind: &'static str,
    chosen: String,
    words: Vec<String>,
}

/// Where a reader may go from here.
struct Links {
    newest: Option<String>,
    newer: Option<String>,
    older: Option<String>,
    csv: String,
    ndjson: String,
}

/// One row with all that it holds.
struct Row {
    told: Told,
    facts: Vec<Fact>,
    /// The detail as it was hashed.
    raw: String,
    /// Where the guards are shown that were asked.
    guards_at: Option<String>,
}

struct Fact {
    name: &'static str,
    value: String,
    /// Where it leads.
    link: Option<String>,
}

impl Audit<'_> {
    /// The value of a filter, for its field.
    fn value(&self, name: &str) -> &str {
        self.pairs.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value.as_str())
    }

    /// A limit in time as the reader's clock shows it.
    fn local(&self, name: &str) -> Time {
        let at = if name == "since" { &self.filter.since } else { &self.filter.until };
        self.v.at_opt(at.as_ref())
    }

    /// Whether one of the filters is in use that are usually out of sight.
    fn more(&self) -> bool {
        ["requestId", "traceId", "deliveryId", "incidentId", "remediationId"]
            .iter()
            .any(|name| !self.value(name).is_empty())
    }
}

/// `GET /audit`
pub(in super::super) async fn list(req: HttpRequest, door: Data<Door>) -> HttpResponse {
    let view = match enter(&req, &door, "audit", Role::Viewer).await {
        Ok(view) => view,
        Err(answer) => return answer,
    };
    let wanted = match Wanted::of(&view, &req) {
        Ok(wanted) => wanted,
        Err(problem) => return super::failed(&view, &problem),
    };
    // Local times and empty fields of a form become an address that can be kept and sent to others.
    if wanted.unsteady {
        return see_other(&wanted.address());
    }
    page(&view, load(&view, &door, wanted).await)
}

/// What the address asks for.
struct Wanted {
    filter: AuditFilter,
    find: Option<String>,
    page: PageRequest,
    limit: Option<i64>,
    /// The address has times without a zone, or empty fields.
    unsteady: bool,
}

impl Wanted {
    fn of(view: &View, req: &HttpRequest) -> Result<Self, Problem> {
        let mut params = Params::of(req)?;
        let given = req.query_string();
        let local = Cell::new(given.ends_with('=') || given.contains("=&"));
        let filter = filter(&mut params, |text| {
            local.set(local.get() || time(text).is_err());
            view.time_of(text)
        })?;
        let find = params.text("find").map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let ascending = params.choice("order", &[("desc", false), ("asc", true)])?.unwrap_or(false);
        let limit = params.whole("limit", 1..=PAGE_MAX)?;
        let cursor = params.cursor(seq_cursor)?;
        params.text("done");
        params.finish()?;
        let page = PageRequest { limit: limit.unwrap_or(ROWS), cursor, ascending };
        Ok(Self { filter, find, page, limit, unsteady: local.get() })
    }

    fn address(&self) -> String {
        let mut pairs = Vec::new();
        pairs.extend(self.find.clone().map(|find| ("find", find)));
        pairs.extend(pairs_of(&self.filter));
        pairs.extend(self.page.ascending.then(|| ("order", "asc".to_owned())));
        pairs.extend(self.limit.map(|limit| ("limit", limit.to_string())));
        pairs.extend(self.page.cursor.clone().map(|cursor| ("cursor", cursor)));
        place(&pairs)
    }
}

fn place(pairs: &[(&str, String)]) -> String {
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
    if pairs.is_empty() { "/audit".to_owned() } else { format!("/audit?{}", query(&pairs)) }
}

/// The filters as parameters of the API.
fn pairs_of(filter: &AuditFilter) -> Vec<(&'static str, String)> {
    let (since, until) = (filter.since.map(|at| at.to_string()), filter.until.map(|at| at.to_string()));
    [
        ("serverInstanceNo", &filter.server_instance_no),
        ("requestId", &filter.request_id),
        ("traceId", &filter.trace_id),
        ("deliveryId", &filter.delivery_id),
        ("incidentId", &filter.incident_id),
        ("remediationId", &filter.remediation_id),
        ("source", &filter.source),
        ("policy", &filter.policy),
        ("kind", &filter.kind),
        ("outcome", &filter.outcome),
        ("reason", &filter.reason),
        ("actor", &filter.actor),
        ("since", &since),
        ("until", &until),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value.clone()?)))
    .collect()
}

async fn load<'v>(view: &'v View, door: &Door, wanted: Wanted) -> Result<Audit<'v>, Problem> {
    let Wanted { mut filter, find, page, limit, unsteady: _ } = wanted;
    let found_as = match &find {
        Some(text) => look(door, text).await?,
        None => Vec::new(),
    };
    // Of what a text may mean, that is shown which has rows.
    if let Some(best) = found_as.iter().find(|one| one.there).or(found_as.first()) {
        best.narrow(&mut filter);
    }
    let found = door.service.store.audit(&filter, &page).await?;
    let pairs = pairs_of(&filter);
    Ok(Audit {
        v: view,
        find: find.or_else(|| filter.request_id.clone()).unwrap_or_default(),
        found_as,
        choices: choices(door, &filter),
        links: Links::of(&pairs, &page, limit, &found),
        pairs,
        filter,
        rows: rows(page.ascending, found),
        chain: door.service.chain(),
    })
}

/// Newest first, from whichever side the page was cut.
fn rows(ascending: bool, found: Page<AuditItem>) -> Vec<Row> {
    let mut items = found.items;
    if ascending {
        items.reverse();
    }
    items.into_iter().map(Row::of).collect()
}

impl Links {
    fn of(
        pairs: &[(&'static str, String)],
        page: &PageRequest,
        limit: Option<i64>,
        found: &Page<AuditItem>,
    ) -> Self {
        let to = |seq: Option<i64>, ascending: bool| {
            let mut all = pairs.to_vec();
            all.extend(ascending.then(|| ("order", "asc".to_owned())));
            all.extend(limit.map(|limit| ("limit", limit.to_string())));
            all.extend(seq.map(|seq| ("cursor", seq.to_string())));
            place(&all)
        };
        let export = |format: &str| {
            let mut all = vec![("format", format)];
            all.extend(pairs.iter().map(|(name, value)| (*name, value.as_str())));
            format!("/api/v1/audit?{}", query(&all))
        };
        let ends = (found.items.first().map(|row| row.seq), found.items.last().map(|row| row.seq));
        let (high, low) = if page.ascending { (ends.1, ends.0) } else { ends };
        let (more, came) = (found.next_cursor.is_some(), page.cursor.is_some());
        let (is_newer, is_older) = if page.ascending { (more, came) } else { (came, more) };
        Self {
            newest: (came || page.ascending).then(|| to(None, false)),
            newer: high.filter(|_| is_newer).map(|seq| to(Some(seq), true)),
            older: low.filter(|_| is_older).map(|seq| to(Some(seq), false)),
            csv: export("csv"),
            ndjson: export("ndjson"),
        }
    }
}

fn choices(door: &Door, filter: &AuditFilter) -> Vec<Choice> {
    let config = door.service.config();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let reasons = Reason::ALL.iter().map(|reason| reason.as_str().to_owned()).collect();
    let policies = config.rules.policies.iter().map(|policy| policy.name.clone()).collect();
    let one = |name, label, kind, chosen: &Option<String>, mut words: Vec<String>| {
        let chosen = chosen.clone().unwrap_or_default();
        if !chosen.is_empty() && !words.contains(&chosen) {
            words.push(chosen.clone());
        }
        Choice { name, label, kind, chosen, words }
    };
    vec![
        one("kind", "what", "kind", &filter.kind, words(&KINDS)),
        one("outcome", "outcome", "outcome", &filter.outcome, words(&OUTCOMES)),
        one("reason", "reason", "reason", &filter.reason, reasons),
        one("source", "source", "", &filter.source, source_names(&config)),
        one("policy", "policy", "", &filter.policy, policies),
    ]
}

impl Row {
    fn of(item: AuditItem) -> Self {
        let (facts, raw, event) = (facts(&item), visible(&item.event.detail), &item.event);
        let remediation = event.remediation_id.as_ref().map(|id| format!("/remediations/{id}"));
        let delivery = event.delivery_id.as_ref().map(|id| format!("/deliveries/{id}"));
        let guards_at = remediation.or(delivery);
        Self { told: Told::of(item), facts, raw, guards_at }
    }
}

/// Every field that a row holds, by the name that the API gives it.
fn facts(item: &AuditItem) -> Vec<Fact> {
    let event = &item.event;
    let text = |text: &Option<String>| text.clone();
    let audit =
        |name: &str, value: &Option<String>| Some(format!("/audit?{}", query(&[(name, value.as_deref()?)])));
    let of = |folder: &str, value: &Option<String>| Some(format!("/{folder}/{}", value.as_deref()?));
    let all = [
        ("seq", Some(item.seq.to_string()), None),
        ("at", Some(event.at.to_string()), None),
        ("kind", Some(event.kind.clone()), None),
        ("actor", Some(format!("{} ({})", event.actor.name, event.actor.kind.as_str())), None),
        (
            "serverInstanceNo",
            text(&event.server_instance_no),
            audit("serverInstanceNo", &event.server_instance_no),
        ),
        ("regionCode", text(&event.region_code), None),
        ("requestId", text(&event.request_id), audit("requestId", &event.request_id)),
        ("traceId", text(&event.trace_id), audit("traceId", &event.trace_id)),
        ("deliveryId", text(&event.delivery_id), of("deliveries", &event.delivery_id)),
        ("incidentId", text(&event.incident_id), of("incidents", &event.incident_id)),
        ("remediationId", text(&event.remediation_id), of("remediations", &event.remediation_id)),
        ("attemptId", event.attempt_id.map(|id| id.to_string()), None),
        ("source", text(&event.source), None),
        ("policy", text(&event.policy), None),
        ("decision", text(&event.decision), None),
        ("reason", text(&event.reason), None),
        ("outcome", text(&event.outcome), None),
        ("returnCode", text(&event.return_code), None),
        ("returnMessage", text(&event.return_message), None),
        ("httpStatus", event.http_status.map(|status| status.to_string()), None),
        ("prevHash", Some(item.prev_hash.clone()), None),
        ("hash", Some(item.hash.clone()), None),
        ("keyId", text(&item.key_id), None),
    ];
    let known = all.into_iter().filter_map(|(name, value, link)| Some((name, value?, link)));
    known.map(|(name, value, link)| Fact { name, value: visible(&value), link }).collect()
}
