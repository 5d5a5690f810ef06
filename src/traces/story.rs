//! Stories: which spans a row of the audit tells. One trace for each story, from the webhook to the proof: its stages lie
//! minutes and restarts apart, so each is told when it is over, by the row that ended it.
//!
//! Never: an identifier that depends on who tells it or when, or a label of an alert beside its name.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::Value;

use super::span::{Place, failed, link, number, span, text, text_opt, trace_of};
use crate::domain::audit::AuditEvent;
use crate::domain::limits::later;
use crate::domain::remediation::{Outcome, State};
use crate::store::{AuditFilter, AuditItem, PageRequest, Store, StoreError};
use crate::telemetry::Timings;

/// Kinds of rows that tell spans.
pub(super) const KINDS: [&str; 9] = [
    "delivery_received",
    "delivery_repeated",
    "delivery_replayed",
    "delivery_unreadable",
    "alert_decided",
    "ordered_by_hand",
    "remediation_moved",
    "attempt_intent",
    "attempt_outcome",
];
/// Rows of one kind that are read of one remediation; it has a handful.
const ROWS_MAX: i64 = 1000;

/// The spans that these rows tell.
pub(super) async fn spans(
    store: &Store,
    items: &[AuditItem],
    timings: &Timings,
) -> Result<Vec<Span>, StoreError> {
    let mut teller = Teller { store, openings: BTreeMap::new() };
    let mut all = Vec::new();
    for item in items {
        let detail: Value = serde_json::from_str(&item.event.detail).unwrap_or(Value::Null);
        match item.event.kind.as_str() {
            "alert_decided" | "ordered_by_hand" => all.extend(teller.decision(item, &detail).await?),
            "remediation_moved" => all.extend(teller.stages(item, &detail).await?),
            "attempt_intent" => all.extend(teller.preflight(item, &detail).await?),
            "attempt_outcome" => all.extend(teller.interrupt(item, &detail).await?),
            _ => all.extend(delivery(item, &detail, timings)),
        }
    }
    Ok(all)
}

/// How a remediation began: the decision that opened it.
#[derive(Debug, Clone)]
struct Opening {
    at: Timestamp,
    place: Place,
}

struct Teller<'a> {
    store: &'a Store,
    openings: BTreeMap<String, Option<Opening>>,
}

/// The request that brought alerts. Its parent is the span of its sender, where it told one.
fn delivery(item: &AuditItem, detail: &Value, timings: &Timings) -> Option<Span> {
    let event = &item.event;
    let id = event.delivery_id.as_deref()?;
    let place = delivery_place(event)?;
    let took = timings.take(id).and_then(|took| SignedDuration::try_from(took).ok()).unwrap_or_default();
    let parent = word(detail, "parentSpanId").and_then(|text| hex::decode(text).ok());
    let parent = parent.filter(|bytes| bytes.len() == 8);
    let times = (event.at, later(event.at, took));
    let mut span = span(place, parent, "delivery", SpanKind::Server, times);
    span.attributes = common(event);
    span.attributes.extend(text("unhang.kind", &event.kind));
    span.attributes.extend(number("unhang.alerts", detail.get("alerts").and_then(Value::as_i64)));
    span.status = (event.kind == "delivery_unreadable").then(|| failed("unreadable"));
    Some(span)
}

fn delivery_place(event: &AuditEvent) -> Option<Place> {
    let trace = trace_of(event.trace_id.as_deref())?;
    Some(Place::of(&trace, &["delivery", event.delivery_id.as_deref()?]))
}

/// Whether this decision opened its remediation, and did not join one.
fn opens(event: &AuditEvent) -> bool {
    let creates = matches!(event.decision.as_deref(), Some("remediate" | "awaiting_approval"));
    creates && matches!(event.kind.as_str(), "alert_decided" | "ordered_by_hand")
}

fn decision_place(item: &AuditItem) -> Option<Place> {
    let event = &item.event;
    let trace = trace_of(event.trace_id.as_deref())?;
    Some(match event.remediation_id.as_deref().filter(|_| opens(event)) {
        Some(remediation) => Place::of(&trace, &["decision", remediation]),
        None => Place::of(&trace, &["row", &item.hash]),
    })
}

/// What every span tells where its row does.
fn common(event: &AuditEvent) -> Vec<KeyValue> {
    let pairs = [
        text_opt("unhang.source", event.source.as_ref()),
        text_opt("unhang.delivery.id", event.delivery_id.as_ref()),
        text_opt("unhang.incident.id", event.incident_id.as_ref()),
        text_opt("unhang.remediation.id", event.remediation_id.as_ref()),
        text_opt("unhang.server.no", event.server_instance_no.as_ref()),
        text_opt("unhang.region", event.region_code.as_ref()),
        text_opt("unhang.policy", event.policy.as_ref()),
        text_opt("unhang.reason", event.reason.as_ref()),
    ];
    pairs.into_iter().flatten().collect()
}

fn word<'a>(detail: &'a Value, key: &str) -> Option<&'a str> {
    detail.get(key).and_then(Value::as_str)
}

fn time(detail: &Value, key: &str) -> Option<Timestamp> {
    word(detail, key)?.parse().ok()
}

impl Teller<'_> {
    /// What was decided about one alert, or one order by hand.
    async fn decision(&mut self, item: &AuditItem, detail: &Value) -> Result<Option<Span>, StoreError> {
        let event = &item.event;
        let Some(place) = decision_place(item) else { return Ok(None) };
        let parent = delivery_place(event).map(|place| place.span);
        let mut span = span(place, parent, "decision", SpanKind::Internal, (event.at, event.at));
        span.attributes = common(event);
        span.attributes.extend(text_opt("unhang.decision", event.decision.as_ref()));
        span.attributes.extend(word(detail, "alert").and_then(|name| text("unhang.alert", name)));
        if let Some(id) = event.remediation_id.as_deref().filter(|_| !opens(event)) {
            // It joined what another alert opened, whose trace goes on.
            span.links.extend(self.opening(id).await?.map(|opening| link(opening.place)));
        }
        Ok(Some(span))
    }

    /// The stage that a move ended, and the remediation as a whole where that ended too.
    async fn stages(&mut self, item: &AuditItem, detail: &Value) -> Result<Vec<Span>, StoreError> {
        let event = &item.event;
        let Some(id) = event.remediation_id.as_deref() else { return Ok(Vec::new()) };
        let (Some(from), Some(to)) = (state(detail, "from"), state(detail, "to")) else {
            return Ok(Vec::new());
        };
        let Some(opening) = self.opening(id).await? else { return Ok(Vec::new()) };
        let mut attributes = common(event);
        attributes.extend(text("unhang.state", to.as_str()));
        attributes.extend(word(detail, "detail").and_then(|detail| text("unhang.detail", detail)));
        let status = failing(to).then(|| failed(to.as_str()));
        // A notice that it is over comes in a trace of its own.
        let other = delivery_place(event).filter(|place| place.trace != opening.place.trace);
        let links: Vec<_> = other.map(link).into_iter().collect();
        let told = |place, name, start| Span {
            attributes: attributes.clone(),
            status: status.clone(),
            links: links.clone(),
            ..span(place, Some(opening.place.span.clone()), name, SpanKind::Internal, (start, event.at))
        };
        let mut spans = Vec::new();
        if let Some(name) = stage(from) {
            let moves = self.rows(id, "remediation_moved").await?;
            let entered = |row: &&AuditItem| {
                let detail: Value = serde_json::from_str(&row.event.detail).unwrap_or(Value::Null);
                row.seq < item.seq && state(&detail, "to") == Some(from)
            };
            let start = moves.iter().rfind(entered).map_or(opening.at, |row| row.event.at);
            spans.push(told(Place::of(&opening.place.trace, &["stage", &item.hash]), name, start));
        }
        if to.is_terminal() {
            let place = Place::of(&opening.place.trace, &["remediation", id]);
            spans.push(told(place, "remediation", opening.at));
        }
        Ok(spans)
    }

    /// The look at the server on which the intent was founded.
    async fn preflight(&mut self, item: &AuditItem, detail: &Value) -> Result<Option<Span>, StoreError> {
        let event = &item.event;
        let read = detail.get("preflight").unwrap_or(&Value::Null);
        let (Some(id), Some(begun), Some(ended)) =
            (event.remediation_id.as_deref(), time(read, "beganAt"), time(read, "endedAt"))
        else {
            return Ok(None);
        };
        let Some(opening) = self.opening(id).await? else { return Ok(None) };
        let place = Place::of(&opening.place.trace, &["preflight", &item.hash]);
        let parent = Some(opening.place.span);
        let mut span = span(place, parent, "preflight", SpanKind::Client, (begun, ended));
        span.attributes = common(event);
        Ok(Some(span))
    }

    /// The one request, from its durable intent to its stored outcome.
    async fn interrupt(&mut self, item: &AuditItem, detail: &Value) -> Result<Option<Span>, StoreError> {
        let event = &item.event;
        let Some(id) = event.remediation_id.as_deref() else { return Ok(None) };
        let Some(opening) = self.opening(id).await? else { return Ok(None) };
        let intents = self.rows(id, "attempt_intent").await?;
        let intent = intents.iter().find(|row| row.event.attempt_id == event.attempt_id);
        let start = intent.map_or(event.at, |row| row.event.at);
        let place = Place::of(&opening.place.trace, &["interrupt", &item.hash]);
        let parent = Some(opening.place.span);
        let mut span = span(place, parent, "interrupt", SpanKind::Client, (start, event.at));
        span.attributes = common(event);
        let more = [
            text_opt("unhang.outcome", event.outcome.as_ref()),
            text_opt("unhang.request_id", event.request_id.as_ref()),
            text_opt("unhang.return_code", event.return_code.as_ref()),
            word(detail, "cause").and_then(|cause| text("unhang.detail", cause)),
            number("unhang.try", detail.get("try").and_then(Value::as_i64)),
            number("http.response.status_code", event.http_status.map(i64::from)),
        ];
        span.attributes.extend(more.into_iter().flatten());
        let outcome = event.outcome.as_deref().unwrap_or(Outcome::Unknown.as_str());
        span.status = (outcome != Outcome::Accepted.as_str()).then(|| failed(outcome));
        Ok(Some(span))
    }

    /// How a remediation began; none where its first row is pruned.
    async fn opening(&mut self, id: &str) -> Result<Option<Opening>, StoreError> {
        if let Some(known) = self.openings.get(id) {
            return Ok(known.clone());
        }
        let filter = AuditFilter { remediation_id: Some(id.to_owned()), ..AuditFilter::default() };
        let first = self.page(&filter, 1).await?.into_iter().next().filter(|item| opens(&item.event));
        let opening =
            first.and_then(|item| Some(Opening { at: item.event.at, place: decision_place(&item)? }));
        self.openings.insert(id.to_owned(), opening.clone());
        Ok(opening)
    }

    async fn rows(&self, id: &str, kind: &str) -> Result<Vec<AuditItem>, StoreError> {
        let filter = AuditFilter {
            remediation_id: Some(id.to_owned()),
            kind: Some(kind.to_owned()),
            ..AuditFilter::default()
        };
        self.page(&filter, ROWS_MAX).await
    }

    async fn page(&self, filter: &AuditFilter, limit: i64) -> Result<Vec<AuditItem>, StoreError> {
        let page = PageRequest { limit, cursor: None, ascending: true };
        Ok(self.store.audit(filter, &page).await?.items)
    }
}

fn state(detail: &Value, key: &str) -> Option<State> {
    State::parse(word(detail, key)?)
}

/// The name of the time that a remediation spends in a state; the intent has its own span, the interrupt.
fn stage(state: State) -> Option<&'static str> {
    match state {
        State::Settling => Some("settle"),
        State::AwaitingApproval => Some("approval"),
        State::Queued => Some("queue"),
        State::Accepted => Some("watch"),
        State::Unconfirmed | State::Unknown => Some("clarify"),
        State::Intent
        | State::Confirmed
        | State::Rejected
        | State::NotSent
        | State::ClosedHappened
        | State::ClosedNotHappened
        | State::Cancelled
        | State::Expired => None,
    }
}

/// States that somebody must know of.
fn failing(state: State) -> bool {
    match state {
        State::Unconfirmed | State::Rejected | State::NotSent | State::Unknown => true,
        State::Settling
        | State::AwaitingApproval
        | State::Queued
        | State::Intent
        | State::Accepted
        | State::Confirmed
        | State::ClosedHappened
        | State::ClosedNotHappened
        | State::Cancelled
        | State::Expired => false,
    }
}
