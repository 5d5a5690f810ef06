//! One remediation: what is to be done to which server and why, how far it is, and the orders that are legal now.
//!
//! Never: takes a yes without the reader's own token typed again, or for anything but what was shown.

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde_json::Value;

use super::super::door::Door;
use super::super::problem::Problem;
use super::now::Line;
use super::plain::{laid_out, visible};
use super::view::View;
use super::{Sent, enter, login, page, see_other, sent, typed_token};
use crate::config::Role;
use crate::domain::guard::{Check, Reason, Trace};
use crate::domain::ids::RemediationId;
use crate::domain::remediation::State;
use crate::domain::server::ServerNo;
use crate::hands::{self, Approval, Seen, Settled, Settlement, Verdict};
use crate::store::{
    AlertRow, AuditFilter, AuditItem, PAGE_MAX, PageRequest, RemediationRow, ServerRow, Store, StoreError,
};

#[derive(Template)]
#[template(path = "remediation.html")]
struct Remediation<'v> {
    v: &'v View,
    line: Line,
    server: Option<ServerRow>,
    labels: Vec<(String, String)>,
    events: Vec<Told>,
    asks: Asks,
}

/// What a reader may order now.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one form of the page")]
struct Asks {
    approve: bool,
    deny: bool,
    cancel: bool,
    settle: bool,
    /// The reader asked for it, so another must approve.
    own: bool,
    /// The last notice is old, or the server was rebooted: whoever approves vouches for it.
    must_confirm: bool,
    /// It was started after the alert began.
    rebooted: bool,
}

/// One event of a timeline with the guards that were asked.
pub(super) struct Told {
    pub(super) item: AuditItem,
    /// State it moved to, or decision.
    pub(super) word: Option<String>,
    pub(super) says: String,
    pub(super) trace: Vec<Check>,
    /// What the cloud answered: as it came, JSON in lines.
    pub(super) answer: Option<String>,
    /// What of the answer is not as it came, as keys of words.
    pub(super) answer_notes: Vec<&'static str>,
    /// All that was recorded of it.
    pub(super) raw: String,
}

impl Told {
    pub(super) fn of(item: AuditItem) -> Self {
        let detail: Value = serde_json::from_str(&item.event.detail).unwrap_or_default();
        let text = |key: &str| detail.get(key).and_then(Value::as_str).map(str::to_owned);
        let says = text("detail").or_else(|| text("cause")).or_else(|| text("reason")).unwrap_or_default();
        let trace: Option<Trace> =
            detail.get("trace").and_then(|trace| serde_json::from_value(trace.clone()).ok());
        let raw = serde_json::to_string_pretty(&detail).unwrap_or_default();
        let notes = [
            ("answerIncomplete", "answer-incomplete"),
            ("answerKeyRemoved", "answer-key-removed"),
            ("answerBase64", "answer-not-text"),
        ];
        Self {
            answer: text("answer")
                .filter(|answer| !answer.is_empty())
                .map(|answer| visible(&laid_out(&answer).unwrap_or(answer))),
            answer_notes: notes
                .iter()
                .filter(|(field, _)| detail.get(field).is_some())
                .map(|(_, note)| *note)
                .collect(),
            word: text("to").or_else(|| item.event.decision.clone()),
            says,
            trace: trace.unwrap_or_default().0,
            raw,
            item,
        }
    }

    /// Kind of words that fit its word.
    pub(super) fn word_kind(&self) -> &'static str {
        if self.item.event.kind == "remediation_moved" { "state" } else { "decision" }
    }
}

/// `GET /remediations/{id}`
pub(in super::super) async fn show(req: HttpRequest, door: Data<Door>, id: Path<String>) -> HttpResponse {
    let view = match enter(&req, &door, "incidents", Role::Viewer).await {
        Ok(view) => view,
        Err(answer) => return answer,
    };
    page(&view, load(&view, &door, &id).await)
}

async fn load<'v>(view: &'v View, door: &Door, id: &str) -> Result<Remediation<'v>, Problem> {
    let (store, config) = (&door.service.store, door.service.config());
    let row = store.remediation_row(id).await?.ok_or_else(|| Problem::not_found("remediation"))?;
    let whole = PageRequest { limit: PAGE_MAX, cursor: None, ascending: true };
    let filter = AuditFilter { remediation_id: Some(id.to_owned()), ..AuditFilter::default() };
    let events = store.audit(&filter, &whole).await?.items.into_iter().map(Told::of).collect();
    let alert = match store.remediation(&RemediationId::from_text(id)).await? {
        Some(remediation) => remediation.waiting.alert.labels.into_iter().collect(),
        None => Vec::new(),
    };
    let line = Line::of(row, &config);
    let policy = config.rules.policies.iter().find(|policy| policy.name == line.row.policy);
    let old = policy.is_some_and(|p| view.now.duration_since(line.row.last_notice_at) > p.notice_age_max);
    let rebooted = line.row.reason.as_deref() == Some(Reason::Rebooted.as_str());
    let state = State::parse(&line.row.state);
    let asks = Asks {
        approve: state == Some(State::AwaitingApproval) && view.may("approver"),
        deny: state == Some(State::AwaitingApproval) && view.may("approver"),
        cancel: state.is_some_and(State::is_before_intent) && view.may("operator"),
        settle: matches!(state, Some(State::Unknown | State::Unconfirmed)) && view.may("approver"),
        own: view.is(line.row.requested_by.as_ref()),
        must_confirm: old || rebooted,
        rebooted,
    };
    let server = described(store, &line.row).await?;
    Ok(Remediation { v: view, server, labels: alert, events, asks, line })
}

/// The server as the cloud last described it, for a look before a yes; not another one that has got its number since.
async fn described(store: &Store, row: &RemediationRow) -> Result<Option<ServerRow>, StoreError> {
    let Ok(no) = ServerNo::parse(&row.server_instance_no) else { return Ok(None) };
    let created = row.server.get("createdAt").and_then(Value::as_str).and_then(|at| at.parse().ok());
    let same = |known: &ServerRow| {
        known.server.region.as_str() == row.region_code && Some(known.server.created_at) == created
    };
    Ok(store.servers_numbered(&no).await?.into_iter().find(same))
}

/// After an order: the page that shows it, or the same page with why it was not done.
async fn after(mut sent: Sent, door: &Door, id: &str, done: Result<&str, Problem>) -> HttpResponse {
    match done {
        Ok(key) => see_other(&format!("/remediations/{id}?done={key}")),
        Err(problem) => {
            sent.view.problem = Some(problem);
            sent.view.shows_page(format!("/remediations/{id}"));
            page(&sent.view, load(&sent.view, door, id).await)
        }
    }
}

/// `POST /remediations/{id}/approve`
pub(in super::super) async fn approve(
    req: HttpRequest,
    door: Data<Door>,
    id: Path<String>,
    payload: Payload,
) -> HttpResponse {
    let sent = match sent(&req, &door, "incidents", Role::Approver, payload).await {
        Ok(sent) => sent,
        Err(answer) => return answer,
    };
    let done = async {
        typed_token(&req, &door, &sent)?;
        let form = &sent.form;
        let shown = || Some((form.text("version").parse().ok()?, form.text("decision").to_owned()));
        let seen = shown().and_then(|(version, decision)| Seen::new(Some(version), Some(decision)));
        let approval = Approval {
            reason: form.reason()?,
            seen: seen.ok_or_else(|| Problem::body("version", "missing"))?,
            confirm_still_hung: form.ticked("still_hung"),
        };
        let id = RemediationId::from_text(id.as_str());
        hands::approve(&door.service, &id, &sent.caller.person.name, approval).await??;
        Ok("approved")
    };
    let done = done.await;
    renewed(&req, &door, sent, &id, done).await
}

/// The answer to an order for which the token was typed: with a new cookie, as after a log-in.
async fn renewed(
    req: &HttpRequest,
    door: &Door,
    sent: Sent,
    id: &str,
    done: Result<&str, Problem>,
) -> HttpResponse {
    let token = sent.form.text("token").to_owned();
    let renew = done.is_ok() && sent.caller.cookie.is_some();
    let mut answer = after(sent, door, id, done).await;
    if renew && let Ok(cookie) = login::begin(req, door, &token) {
        login::set_cookie(&mut answer, &cookie);
    }
    answer
}

/// `POST /remediations/{id}/deny`
pub(in super::super) async fn deny(
    req: HttpRequest,
    door: Data<Door>,
    id: Path<String>,
    payload: Payload,
) -> HttpResponse {
    let sent = match sent(&req, &door, "incidents", Role::Approver, payload).await {
        Ok(sent) => sent,
        Err(answer) => return answer,
    };
    let done = async {
        let key = RemediationId::from_text(id.as_str());
        hands::deny(&door.service, &key, &sent.caller.person.name, &sent.form.reason()?).await??;
        Ok("denied")
    };
    let done = done.await;
    after(sent, &door, &id, done).await
}

/// `POST /remediations/{id}/cancel`
pub(in super::super) async fn cancel(
    req: HttpRequest,
    door: Data<Door>,
    id: Path<String>,
    payload: Payload,
) -> HttpResponse {
    let sent = match sent(&req, &door, "incidents", Role::Operator, payload).await {
        Ok(sent) => sent,
        Err(answer) => return answer,
    };
    let done = async {
        let key = RemediationId::from_text(id.as_str());
        hands::cancel(&door.service, &key, &sent.caller.person.name, &sent.form.reason()?).await??;
        Ok("cancelled")
    };
    let done = done.await;
    after(sent, &door, &id, done).await
}

/// `POST /remediations/{id}/settle`
pub(in super::super) async fn settle(
    req: HttpRequest,
    door: Data<Door>,
    id: Path<String>,
    payload: Payload,
) -> HttpResponse {
    let sent = match sent(&req, &door, "incidents", Role::Approver, payload).await {
        Ok(sent) => sent,
        Err(answer) => return answer,
    };
    let done = async {
        typed_token(&req, &door, &sent)?;
        let verdict = match sent.form.text("verdict") {
            "happened" => Verdict::Happened,
            "not_happened" => Verdict::NotHappened,
            _ => return Err(Problem::body("verdict", "expected happened or not_happened")),
        };
        let settlement = Settlement {
            verdict,
            reason: sent.form.reason()?,
            activity_checked: sent.form.ticked("activity_checked"),
        };
        let key = RemediationId::from_text(id.as_str());
        let settled = hands::settle(&door.service, &key, &sent.caller.person.name, settlement).await??;
        Ok(match settled {
            Settled::Closed => "settled",
            Settled::OneOfTwo => "settled-one",
        })
    };
    let done = done.await;
    renewed(&req, &door, sent, &id, done).await
}

/// One alert of an incident with the guards that were asked about it.
pub(super) struct Decided {
    pub(super) row: AlertRow,
    pub(super) trace: Vec<Check>,
}

impl Decided {
    pub(super) fn of(row: AlertRow) -> Self {
        let trace: Option<Trace> = serde_json::from_value(row.trace.clone()).ok();
        Self { trace: trace.unwrap_or_default().0, row }
    }
}
