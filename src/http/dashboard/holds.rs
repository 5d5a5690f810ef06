//! Holds and silences, storms and quarantine: what stops sending, and the forms that stop it or let it go on.
//!
//! Never: leaves a person without a way to stop everything. Where the store does not take a hold, the hold file does.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::super::api::mutes::{self, SetHold, SetSilence, Wanted};
use super::super::door::Door;
use super::super::problem::{Code, Problem};
use super::view::View;
use super::{Sent, enter, page, see_other, sent};
use crate::config::Role;
use crate::domain::hold::{Hold, Silence};
use crate::files;
use crate::hands;
use crate::service::hold_file;
use crate::store::{OpenQuarantine, StormRow};

#[derive(Template)]
#[template(path = "holds.html")]
#[expect(clippy::struct_field_names, reason = "the template reads them")]
struct Holds<'v> {
    v: &'v View,
    holds: Vec<Hold>,
    file: Option<String>,
    silences: Vec<Silence>,
    storms: Vec<StormRow>,
    quarantine: Option<OpenQuarantine>,
    policies: Vec<String>,
}

/// `GET /holds`
pub(in super::super) async fn show(req: HttpRequest, door: Data<Door>) -> HttpResponse {
    let view = match enter(&req, &door, "holds", Role::Viewer).await {
        Ok(view) => view,
        Err(answer) => return answer,
    };
    shown(&view, &door).await
}

async fn shown(view: &View, door: &Door) -> HttpResponse {
    page(view, load(view, door).await)
}

async fn load<'v>(view: &'v View, door: &Door) -> Result<Holds<'v>, Problem> {
    let service = &door.service;
    let config = service.config();
    Ok(Holds {
        v: view,
        holds: service.store.holds(view.now).await?,
        file: hold_file(&config.store.hold_file),
        silences: service.store.silences(view.now).await?,
        storms: service.store.storms(true).await?,
        quarantine: service.store.open_quarantine().await?,
        policies: config.rules.policies.iter().map(|policy| policy.name.clone()).collect(),
    })
}

/// The page again after a form: with what was done, or with why it was not.
async fn after(mut sent: Sent, door: &Door, place: &str, done: Result<&str, Problem>) -> HttpResponse {
    match done {
        Ok(key) => see_other(&format!("{place}?done={key}")),
        Err(problem) => {
            sent.view.problem = Some(problem);
            sent.view.shows_page("/holds".to_owned());
            shown(&sent.view, door).await
        }
    }
}

/// Lets a form in, does what it orders, and answers with the page of stops again.
async fn ordered(
    req: &HttpRequest,
    door: &Door,
    needed: Role,
    payload: Payload,
    order: impl AsyncFnOnce(&Sent) -> Result<&'static str, Problem>,
) -> HttpResponse {
    let sent = match sent(req, door, "holds", needed, payload).await {
        Ok(sent) => sent,
        Err(answer) => return answer,
    };
    let done = order(&sent).await;
    after(sent, door, "/holds", done).await
}

/// `POST /holds`
pub(in super::super) async fn set(req: HttpRequest, door: Data<Door>, payload: Payload) -> HttpResponse {
    let sent = match sent(&req, &door, "holds", Role::Operator, payload).await {
        Ok(sent) => sent,
        Err(answer) => return answer,
    };
    let form = &sent.form;
    let wanted = SetHold {
        scope: form.text("scope").to_owned(),
        name: form.text("name").to_owned(),
        reason: form.text("reason").to_owned(),
        until: None,
        duration: form.given("duration").map(str::to_owned),
    };
    let person = sent.caller.person.name.clone();
    let done = match mutes::hold(&door, &person, &wanted).await {
        Ok(_) => Ok("hold-set"),
        Err(problem) if problem.code() == Code::StoreFailed && wanted.scope == "global" => {
            by_file(&door, &person, &wanted.reason).map(|()| "hold-file-set").ok_or(problem)
        }
        Err(problem) => Err(problem),
    };
    let place = if form.text("back") == "now" { "/" } else { "/holds" };
    after(sent, &door, place, done).await
}

/// Stops everything by the hold file: the store is in trouble, and whoever pressed the button meant it.
fn by_file(door: &Door, person: &str, reason: &str) -> Option<()> {
    let path = door.service.config().store.hold_file.clone();
    match files::open_own(OpenOptions::new().write(true).create_new(true), &path) {
        // One that is there already holds as well, and keeps its own words.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Some(()),
        Ok(mut file) => {
            // It holds by being there; on a full disk its words are lost, and nothing else.
            let told = writeln!(file, "{} {person}: {reason}", door.service.clock.now());
            drop(told.and_then(|()| file.sync_all()));
            tracing::error!(person.name = person, "held by the hold file: the store did not take the hold");
            Some(())
        }
        Err(error) => {
            tracing::error!(%error, "the hold file cannot be written");
            None
        }
    }
}

/// `POST /holds/{id}/clear`
pub(in super::super) async fn clear(
    req: HttpRequest,
    door: Data<Door>,
    id: Path<String>,
    payload: Payload,
) -> HttpResponse {
    let order = async |sent: &Sent| {
        let (id, reason) = (number(&id, "hold")?, sent.form.reason()?);
        hands::clear_hold(&door.service, id, &sent.caller.person.name, &reason).await??;
        Ok("hold-cleared")
    };
    ordered(&req, &door, Role::Operator, payload, order).await
}

/// `POST /silences`
pub(in super::super) async fn silence(req: HttpRequest, door: Data<Door>, payload: Payload) -> HttpResponse {
    let sent = match sent(&req, &door, "holds", Role::Operator, payload).await {
        Ok(sent) => sent,
        Err(answer) => return answer,
    };
    let form = &sent.form;
    let wanted = SetSilence {
        matchers: Wanted::Texts(form.text("matchers").lines().map(|line| line.trim().to_owned()).collect()),
        comment: form.text("reason").to_owned(),
        starts_at: None,
        ends_at: None,
        duration: form.given("duration").map(str::to_owned),
    };
    let done = mutes::silence(&door, &sent.caller.person.name, wanted).await.map(|_| "silence-set");
    after(sent, &door, "/holds", done).await
}

/// `POST /silences/{id}/end`
pub(in super::super) async fn end_silence(
    req: HttpRequest,
    door: Data<Door>,
    id: Path<String>,
    payload: Payload,
) -> HttpResponse {
    let order = async |sent: &Sent| {
        let (id, reason) = (number(&id, "silence")?, sent.form.reason()?);
        hands::end_silence(&door.service, id, &sent.caller.person.name, &reason).await??;
        Ok("silence-ended")
    };
    ordered(&req, &door, Role::Operator, payload, order).await
}

/// `POST /storms/{id}/clear`
pub(in super::super) async fn clear_storm(
    req: HttpRequest,
    door: Data<Door>,
    id: Path<String>,
    payload: Payload,
) -> HttpResponse {
    let order = async |sent: &Sent| {
        let (id, reason) = (number(&id, "storm")?, sent.form.reason()?);
        hands::clear_storm(&door.service, id, &sent.caller.person.name, &reason).await??;
        Ok("storm-cleared")
    };
    ordered(&req, &door, Role::Approver, payload, order).await
}

/// `POST /quarantine/clear`
pub(in super::super) async fn clear_quarantine(
    req: HttpRequest,
    door: Data<Door>,
    payload: Payload,
) -> HttpResponse {
    let order = async |sent: &Sent| {
        super::typed_token(&req, &door, sent)?;
        let reason = sent.form.reason()?;
        hands::clear_quarantine(&door.service, &sent.caller.person.name, &reason).await??;
        Ok("quarantine-cleared")
    };
    ordered(&req, &door, Role::Approver, payload, order).await
}

/// The number of a row in a path; anything else names nothing.
pub(super) fn number(id: &str, what: &str) -> Result<i64, Problem> {
    id.parse().map_err(|_not_a_number| Problem::not_found(what))
}
