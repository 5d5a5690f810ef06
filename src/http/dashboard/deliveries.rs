//! Deliveries: what came in, as it came, what was decided about each alert, and the way to decide it again.
//!
//! Never: replays anything that was not first shown as a dry run.

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::super::body::{Params, id_cursor};
use super::super::door::Door;
use super::super::figures::source_names;
use super::super::problem::Problem;
use super::plain::{laid_out, visible};
use super::remediations::Decided;
use super::view::View;
use super::{Sent, enter, page, query, see_other, sent};
use crate::config::Role;
use crate::domain::decision::Decision;
use crate::domain::guard::{Check, Trace};
use crate::domain::ids::DeliveryId;
use crate::hands::{self, Idempotency};
use crate::intake::AlertAnswer;
use crate::store::{DecisionCount, DeliverySummary};

#[derive(Template)]
#[template(path = "deliveries.html")]
struct Deliveries<'v> {
    v: &'v View,
    sources: Vec<String>,
    chosen: String,
    lines: Vec<Line>,
    /// Where the list begins, once one has left its begin.
    newest: Option<String>,
    older: Option<String>,
}

struct Line {
    row: DeliverySummary,
    decided: Vec<DecisionCount>,
}

impl Line {
    /// Servers that the alerts are about, where they are few.
    fn servers(&self) -> Vec<&str> {
        let both = self.decided.iter().filter_map(|one| one.servers.as_ref());
        let mut all: Vec<&str> =
            both.flat_map(|(least, greatest)| [least.as_str(), greatest.as_str()]).collect();
        all.sort_unstable();
        all.dedup();
        let several = self.row.alert_count > 2 && all.len() > 1;
        if several {
            all.push("…");
        }
        all
    }
}

#[derive(Template)]
#[template(path = "delivery.html")]
struct Delivery<'v> {
    v: &'v View,
    row: DeliverySummary,
    body: String,
    /// The body as it came, where it is shown otherwise.
    raw: Option<String>,
    answer: String,
    alerts: Vec<Decided>,
}

/// A dry run with the one form that can carry it out.
#[derive(Template)]
#[template(path = "replay.html")]
struct DryRun<'v> {
    v: &'v View,
    id: &'v str,
    told: Told,
    changed: usize,
    /// Alerts that would become a remediation.
    acting: usize,
    /// The key of this one form: sent twice, it does what it does once.
    key: String,
}

/// What a dry run says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    source: String,
    received_at: Timestamp,
    alerts: Vec<ThenAndNow>,
}

#[derive(Deserialize)]
struct ThenAndNow {
    then: Option<AlertAnswer>,
    now: AlertAnswer,
    changed: bool,
    trace: Trace,
}

impl ThenAndNow {
    /// It would become a remediation.
    fn acts(&self) -> bool {
        matches!(self.now.decision, Decision::Remediate | Decision::AwaitingApproval)
    }

    fn checks(&self) -> &[Check] {
        &self.trace.0
    }
}

/// What is read of the answer to a replay.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    delivery_id: String,
    alerts: Vec<AlertAnswer>,
}

/// `GET /deliveries`
pub(in super::super) async fn list(req: HttpRequest, door: Data<Door>) -> HttpResponse {
    let view = match enter(&req, &door, "deliveries", Role::Viewer).await {
        Ok(view) => view,
        Err(answer) => return answer,
    };
    page(&view, load_list(&view, &door, &req).await)
}

async fn load_list<'v>(view: &'v View, door: &Door, req: &HttpRequest) -> Result<Deliveries<'v>, Problem> {
    let mut params = Params::of(req)?;
    let source = params.text("source");
    let wanted = params.page(id_cursor)?;
    params.text("done");
    params.finish()?;
    let store = &door.service.store;
    let found = store.deliveries(source.as_deref(), &wanted).await?;
    let ids: Vec<String> = found.items.iter().map(|row| row.id.clone()).collect();
    let counts = store.decisions_of(&ids).await?;
    let of = |row: &DeliverySummary| counts.iter().filter(|one| one.delivery_id == row.id).cloned().collect();
    let lines = found.items.into_iter().map(|row| Line { decided: of(&row), row }).collect();
    let place = |cursor: Option<&str>| {
        let given = source.as_deref().map(|name| ("source", name));
        let pairs: Vec<_> = given.into_iter().chain(cursor.map(|cursor| ("cursor", cursor))).collect();
        if pairs.is_empty() { "/deliveries".to_owned() } else { format!("/deliveries?{}", query(&pairs)) }
    };
    let mut sources = source_names(&door.service.config());
    sources.extend(source.clone().filter(|name| !sources.contains(name)));
    Ok(Deliveries {
        v: view,
        sources,
        lines,
        newest: wanted.cursor.is_some().then(|| place(None)),
        older: found.next_cursor.as_deref().map(|cursor| place(Some(cursor))),
        chosen: source.unwrap_or_default(),
    })
}

/// `GET /deliveries/{id}`
pub(in super::super) async fn one(req: HttpRequest, door: Data<Door>, id: Path<String>) -> HttpResponse {
    let view = match enter(&req, &door, "deliveries", Role::Viewer).await {
        Ok(view) => view,
        Err(answer) => return answer,
    };
    page(&view, load(&view, &door, &id).await)
}

async fn load<'v>(view: &'v View, door: &Door, id: &str) -> Result<Delivery<'v>, Problem> {
    let found = door.service.store.delivery_detail(id).await?;
    let found = found.ok_or_else(|| Problem::not_found("delivery"))?;
    let (laid_out, raw) = (laid_out(&found.body), visible(&found.body));
    let (body, raw) = match laid_out {
        Some(lines) => (visible(&lines), Some(raw)),
        None => (raw, None),
    };
    Ok(Delivery {
        v: view,
        row: found.summary,
        body,
        raw,
        answer: visible(&serde_json::to_string_pretty(&found.answer).unwrap_or_default()),
        alerts: found.alerts.into_iter().map(Decided::of).collect(),
    })
}

/// `POST /deliveries/{id}/replay`: a dry run, or what a dry run offered.
pub(in super::super) async fn replay(
    req: HttpRequest,
    door: Data<Door>,
    id: Path<String>,
    payload: Payload,
) -> HttpResponse {
    let mut sent = match sent(&req, &door, "deliveries", Role::Operator, payload).await {
        Ok(sent) => sent,
        Err(answer) => return answer,
    };
    // This place takes forms only: whoever changes the language or logs in again comes back to the delivery.
    sent.view.here = format!("/deliveries/{}", id.as_str());
    let done = match sent.form.text("mode") {
        "dry_run" => return dry_run(&sent.view, &sent, &door, &id).await,
        "execute" => execute(&sent, &door, &id).await,
        _ => Err(Problem::body("mode", "expected dry_run or execute")),
    };
    match done {
        Ok(place) => see_other(&place),
        Err(problem) => {
            sent.view.problem = Some(problem);
            dry_run(&sent.view, &sent, &door, &id).await
        }
    }
}

/// The dry run; where there can be none, the delivery with the reason.
async fn dry_run(view: &View, sent: &Sent, door: &Door, id: &str) -> HttpResponse {
    match try_dry(view, sent, door, id).await {
        Ok(shown) => page(view, Ok(shown)),
        Err(problem) => super::failed(view, &problem),
    }
}

async fn try_dry<'v>(view: &'v View, sent: &Sent, door: &Door, id: &'v str) -> Result<DryRun<'v>, Problem> {
    let person = &sent.caller.person.name;
    let id_of = DeliveryId::from_text(id);
    let answer: Value = hands::replay(&door.service, &id_of, person, "dry run", false, None).await??;
    let told: Told = read(answer)?;
    Ok(DryRun {
        v: view,
        id,
        changed: told.alerts.iter().filter(|alert| alert.changed).count(),
        acting: told.alerts.iter().filter(|alert| alert.acts()).count(),
        told,
        key: Uuid::new_v4().to_string(),
    })
}

/// Carries it out, and says where it can be watched.
async fn execute(sent: &Sent, door: &Door, id: &str) -> Result<String, Problem> {
    let reason = sent.form.reason()?;
    let key = sent.form.text("key");
    // Only a dry run gives one.
    Uuid::try_parse(key).map_err(|_bad| Problem::body("key", "missing; make a dry run first"))?;
    let mut hasher = Sha256::new();
    for part in [id, reason.as_str()] {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    let key = Idempotency { key: key.to_owned(), parameters: hex::encode(hasher.finalize()) };
    let person = &sent.caller.person.name;
    let id = DeliveryId::from_text(id);
    let done: Done = read(hands::replay(&door.service, &id, person, &reason, true, Some(key)).await??)?;
    let mut made: Vec<&String> = done.alerts.iter().filter_map(|one| one.remediation_id.as_ref()).collect();
    made.sort_unstable();
    made.dedup();
    Ok(match made.as_slice() {
        [one] => format!("/remediations/{one}?done=replayed"),
        _ => format!("/deliveries/{}?done=replayed", done.delivery_id),
    })
}

fn read<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T, Problem> {
    serde_json::from_value(answer).map_err(|error| {
        tracing::error!(%error, "the answer to a replay cannot be read");
        Problem::new(
            super::Code::Internal,
            "the answer cannot be shown; look at the audit before you repeat it",
        )
    })
}
