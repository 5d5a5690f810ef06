//! The pages for people. Rendered here, complete without a script; a small one keeps them fresh.
//!
//! Never: changes anything on GET, or does anything that `hands` would refuse through the API.

pub(super) mod assets;
pub(super) mod audit;
pub(super) mod deliveries;
pub(super) mod explain;
pub(super) mod holds;
pub(super) mod incidents;
pub(super) mod login;
pub(super) mod now;
mod plain;
mod plot;
pub(super) mod policies;
pub(super) mod remediations;
mod search;
pub(super) mod servers;
pub(super) mod trends;
mod view;

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY,
};
use actix_web::web::{Payload, Query};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, ResponseError as _};
use askama::Template;

use super::auth::{may, names_own_origin};
use super::body;
use super::caller::{Caller, caller};
use super::door::Door;
use super::problem::{Code, Problem};
use super::session::Use;
use crate::config::{Config, Role};
use view::View;

/// Largest form.
const FORM_MAX: usize = 64 * 1024;
/// Time in which a form must have arrived.
const FORM_TIMEOUT: Duration = Duration::from_secs(10);
const CSP: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// A page that renews itself says so, so that it does not keep its session alive.
const LIVE: &str = "x-unhang-live";

#[derive(Template)]
#[template(path = "problem.html")]
struct Failed<'v> {
    v: &'v View,
    code: &'static str,
    detail: String,
}

#[derive(Template)]
#[template(path = "again.html")]
struct Again<'v> {
    v: &'v View,
}

/// Lets somebody in who may see this page, or answers with what to do instead.
async fn enter(
    req: &HttpRequest,
    door: &Door,
    page: &'static str,
    needed: Role,
) -> Result<View, HttpResponse> {
    let usage = if req.headers().contains_key(LIVE) { Use::Passes } else { Use::Counts };
    let Some(caller) = caller(req, door, usage) else { return Err(to_login(req, door, page)) };
    let turn = door.people.take_turn(req, &caller.person.name).await;
    turn.map_err(|problem| failed(&View::of(req, door, Some(&caller), page), &problem))?;
    admitted(req, door, &caller, page, needed).await
}

async fn admitted(
    req: &HttpRequest,
    door: &Door,
    caller: &Caller,
    page: &'static str,
    needed: Role,
) -> Result<View, HttpResponse> {
    let mut view = View::of(req, door, Some(caller), page);
    view.done = Query::<BTreeMap<String, String>>::from_query(req.query_string())
        .ok()
        .and_then(|query| query.get("done").cloned())
        .filter(|key| view.language.find(&format!("done-{key}"), &[]).is_some());
    if let Err(problem) = may(&caller.person, needed) {
        return Err(failed(&view, &problem));
    }
    let again = View::of(req, door, Some(caller), page);
    view.alarmed(door).await.map_err(|error| failed(&again, &error.into()))
}

/// Whoever is not known logs in first. A browser that followed a link from elsewhere keeps a strict cookie back on that
/// one request: it is asked to come again from here, and then brings it.
fn to_login(req: &HttpRequest, door: &Door, page: &'static str) -> HttpResponse {
    let site = req.headers().get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if matches!(site, Some("cross-site" | "same-site")) {
        let view = View::of(req, door, None, page);
        return html(StatusCode::OK, &Again { v: &view });
    }
    let here = req.uri().path_and_query().map_or("/", |here| here.as_str());
    see_other(&format!("/login?{}", query(&[("next", here)])))
}

/// A query string of these pairs.
fn query(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// The whole page, or the page that says what went wrong.
fn page(view: &View, made: Result<impl Template, Problem>) -> HttpResponse {
    match made {
        Ok(template) => html(view.problem.as_ref().map_or(StatusCode::OK, Problem::status_code), &template),
        Err(problem) => failed(view, &problem),
    }
}

fn failed(view: &View, problem: &Problem) -> HttpResponse {
    let template = Failed { v: view, code: problem.code().as_str(), detail: problem.detail().to_owned() };
    html(problem.status_code(), &template)
}

fn html(status: StatusCode, template: &impl Template) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((CONTENT_SECURITY_POLICY, CSP))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((REFERRER_POLICY, "same-origin"))
        .insert_header(("cross-origin-opener-policy", "same-origin"))
        .insert_header(("cross-origin-resource-policy", "same-origin"));
    match template.render() {
        Ok(text) => response.body(plain::visible_page(text)),
        Err(error) => {
            tracing::error!(%error, "a page cannot be written");
            response.status(StatusCode::INTERNAL_SERVER_ERROR).body("the page cannot be written")
        }
    }
}

/// After something was done: to the page that shows it.
fn see_other(place: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, place)).finish()
}

/// What a form brought.
#[derive(Debug)]
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    /// A field without spaces around it; empty when it is not there.
    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |value| value.trim())
    }

    /// A field that is there and not empty.
    fn given(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// A box that was ticked.
    fn ticked(&self, name: &str) -> bool {
        self.text(name) == "yes"
    }

    /// The reason of an order.
    fn reason(&self) -> Result<String, Problem> {
        body::reason(self.text("reason")).map_err(|expected| Problem::body("reason", expected))
    }
}

/// Reads a form of our own page.
async fn form(req: &HttpRequest, door: &Door, payload: Payload) -> Result<Form, Problem> {
    form_up_to(req, door, payload, FORM_MAX).await
}

async fn form_up_to(req: &HttpRequest, door: &Door, payload: Payload, max: usize) -> Result<Form, Problem> {
    body::refuse_encoding(req)?;
    if !req.content_type().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Problem::new(Code::ContentType, "this takes a form of the page"));
    }
    if !from_here(req, &door.service.config()) {
        return Err(Problem::new(Code::ForeignOrigin, "pages of other origins may not change anything here"));
    }
    let bytes = body::read(req, payload, max, FORM_TIMEOUT).await?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_bad| Problem::new(Code::InvalidBody, "the form is not UTF-8"))?;
    let pairs = Query::<Vec<(String, String)>>::from_query(text)
        .map_err(|_bad| Problem::new(Code::InvalidBody, "the form cannot be read"))?;
    let mut fields = BTreeMap::new();
    for (name, value) in pairs.into_inner() {
        if fields.insert(name.clone(), value).is_some() {
            return Err(Problem::body(&name, "expected once, given twice"));
        }
    }
    Ok(Form(fields))
}

/// Whether a browser says that this came from a page of ours. One that says nothing at all is not believed.
fn from_here(req: &HttpRequest, config: &Config) -> bool {
    let site = req.headers().get("sec-fetch-site").and_then(|value| value.to_str().ok());
    names_own_origin(req.headers(), config) && site.is_none_or(|site| site == "same-origin")
}

/// Somebody who sent a form, with what it brought.
struct Sent {
    view: View,
    caller: Caller,
    form: Form,
}

/// Lets a form in: from our page, of this very session, by somebody who may.
async fn sent(
    req: &HttpRequest,
    door: &Door,
    page: &'static str,
    needed: Role,
    payload: Payload,
) -> Result<Sent, HttpResponse> {
    sent_up_to(req, door, page, needed, (payload, FORM_MAX)).await
}

/// As [`sent`], with a form of at most so many bytes.
async fn sent_up_to(
    req: &HttpRequest,
    door: &Door,
    page: &'static str,
    needed: Role,
    (payload, max): (Payload, usize),
) -> Result<Sent, HttpResponse> {
    let Some(caller) = caller(req, door, Use::Counts) else {
        let view = View::of(req, door, None, page);
        let problem = Problem::new(Code::Unauthenticated, "your session is over: log in, then do it again");
        return Err(failed(&view, &problem));
    };
    let view = admitted(req, door, &caller, page, needed).await?;
    let form = form_up_to(req, door, payload, max).await.map_err(|problem| failed(&view, &problem))?;
    if !door.sessions.is_form_token(&caller.bound_to, form.text("form")) {
        let detail = "this form is not of your session: load the page again";
        return Err(failed(&view, &Problem::new(Code::ForeignOrigin, detail)));
    }
    Ok(Sent { view, caller, form })
}

/// Checks that the person in front of the page has typed their own token again.
fn typed_token(req: &HttpRequest, door: &Door, sent: &Sent) -> Result<(), Problem> {
    let config = door.service.config();
    let typed = sent.form.text("token");
    let owner = super::auth::person(&config, typed);
    if owner.is_some_and(|owner| owner.name == sent.caller.person.name) {
        return Ok(());
    }
    super::auth::may_guess(req, door, &config)?;
    Err(Problem::new(Code::Unauthenticated, "this is not your token; nothing was done").about("token"))
}
