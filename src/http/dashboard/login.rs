//! Logging in and out, and what a reader prefers.
//!
//! Never: gives a cookie to a line in the clear, says more of a wrong token than that it is wrong, or sends a browser to
//! another host.

use std::time::Instant;

use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};

use super::super::auth::{may_guess, person};
use super::super::body::Params;
use super::super::caller::{Line, caller};
use super::super::door::Door;
use super::super::problem::{Code, Problem};
use super::super::session::Use;
use super::super::words::Language;
use super::view::{LANGUAGE_COOKIE, View, ZONE_COOKIE};
use super::{form, html, see_other, sent};
use crate::config::Role;

/// How long a browser keeps what a reader prefers, in days.
const KEPT_DAYS: i64 = 400;

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'v> {
    v: &'v View,
    next: String,
    /// Nobody may log in over this line.
    closed: bool,
}

/// A path of this very service; anything else leads to the first page.
fn own_path(next: Option<&str>) -> String {
    let safe = |path: &&str| {
        path.starts_with('/')
            && !path.starts_with("//")
            && !path.starts_with("/\\")
            && !path.starts_with("/login")
            && path.len() <= 2000
            && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
    };
    next.filter(safe).unwrap_or("/").to_owned()
}

/// `GET /login`
pub(in super::super) async fn page(req: HttpRequest, door: Data<Door>) -> HttpResponse {
    let next = own_path(Params::of(&req).ok().and_then(|mut params| params.text("next")).as_deref());
    if caller(&req, &door, Use::Counts).is_some() {
        return see_other(&next);
    }
    let view = View::of(&req, &door, None, "login");
    shown(&req, &door, &view, next)
}

fn shown(req: &HttpRequest, door: &Door, view: &View, next: String) -> HttpResponse {
    let closed = Line::of(req, door, &door.service.config()).is_none();
    let status = view.problem.as_ref().map_or(StatusCode::OK, actix_web::ResponseError::status_code);
    html(status, &Login { v: view, next, closed })
}

/// `POST /login`
pub(in super::super) async fn log_in(req: HttpRequest, door: Data<Door>, payload: Payload) -> HttpResponse {
    let mut view = View::of(&req, &door, None, "login");
    let form = match form(&req, &door, payload).await {
        Ok(form) => form,
        Err(problem) => return super::failed(&view, &problem),
    };
    let next = own_path(form.given("next"));
    match begin(&req, &door, form.text("token")) {
        Ok(cookie) => {
            let mut answer = see_other(&next);
            set_cookie(&mut answer, &cookie);
            answer
        }
        Err(problem) => {
            view.problem = Some(problem);
            shown(&req, &door, &view, next)
        }
    }
}

/// A new session for whoever has this token. A session that the browser had before ends: a cookie that somebody put
/// there is worth nothing.
pub(super) fn begin(req: &HttpRequest, door: &Door, token: &str) -> Result<Cookie<'static>, Problem> {
    let config = door.service.config();
    let Some(line) = Line::of(req, door, &config) else {
        return Err(Problem::new(Code::PlainLine, "nobody may log in over a line that others can read"));
    };
    let Some(person) = person(&config, token) else {
        may_guess(req, door, &config)?;
        tracing::warn!("a wrong token was typed at the log-in page");
        return Err(Problem::new(Code::Unauthenticated, "no person has this token").about("token"));
    };
    if let Some(before) = caller(req, door, Use::Passes).and_then(|caller| caller.cookie) {
        door.sessions.end(&before);
    }
    let digest = Sha256::digest(token.as_bytes()).into();
    let is_known = |known: &_| config.tokens.iter().any(|token| token.sha256 == *known);
    let cookie = door.sessions.begin(digest, is_known, Instant::now());
    let cookie = cookie.ok_or_else(|| Problem::new(Code::Internal, "the system gives no random bits"))?;
    tracing::info!(person.name = %person.name, "logged in to the pages");
    Ok(line.cookie(cookie))
}

/// Puts a cookie on an answer; one that cannot be written is left out, and nobody is logged in.
pub(super) fn set_cookie(answer: &mut HttpResponse, cookie: &Cookie<'_>) {
    if let Err(error) = answer.add_cookie(cookie) {
        tracing::error!(%error, "a cookie cannot be written");
    }
}

/// `POST /logout`
pub(in super::super) async fn log_out(req: HttpRequest, door: Data<Door>, payload: Payload) -> HttpResponse {
    let sent = match sent(&req, &door, "login", Role::Viewer, payload).await {
        Ok(sent) => sent,
        Err(answer) => return answer,
    };
    if let Some(cookie) = &sent.caller.cookie {
        if sent.form.ticked("everywhere") {
            let config = door.service.config();
            let own = config.tokens.iter().filter(|token| token.name == sent.caller.person.name);
            own.for_each(|token| door.sessions.end_all_of(token.sha256));
        }
        door.sessions.end(cookie);
    }
    let mut answer = see_other("/login");
    if let Some(line) = Line::of(&req, &door, &door.service.config()) {
        set_cookie(&mut answer, &line.cookie(String::new()));
    }
    answer
}

/// `POST /preferences`: language and time zone, kept by the browser.
pub(in super::super) async fn prefer(req: HttpRequest, door: Data<Door>, payload: Payload) -> HttpResponse {
    let form = match form(&req, &door, payload).await {
        Ok(form) => form,
        Err(problem) => return super::failed(&View::of(&req, &door, None, "login"), &problem),
    };
    let next = form
        .given("next")
        .filter(|next| *next == "/login")
        .map_or_else(|| own_path(form.given("next")), str::to_owned);
    let mut answer = see_other(&next);
    let mut keep = |name: &'static str, value: String| {
        let cookie = Cookie::build(name, value)
            .path("/")
            .same_site(SameSite::Lax)
            .max_age(actix_web::cookie::time::Duration::days(KEPT_DAYS))
            .finish();
        set_cookie(&mut answer, &cookie);
    };
    if let Some(language) = form.given("language").and_then(Language::of_tag) {
        keep(LANGUAGE_COOKIE, language.tag().to_owned());
    }
    if let Some(zone) = form.given("zone").filter(|zone| TimeZone::get(zone).is_ok()) {
        keep(ZONE_COOKIE, zone.to_owned());
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_log_in_a_browser_stays_here() {
        for good in ["/", "/audit?requestId=1", "/remediations/0-1"] {
            assert_eq!(own_path(Some(good)), good);
        }
        for bad in [
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "evil",
            "",
            "/a\r\nx: y",
            "/login?next=/",
            "/a b",
        ] {
            assert_eq!(own_path(Some(bad)), "/", "{bad:?}");
        }
        assert_eq!(own_path(None), "/");
    }
}
