//! Who asks: a bearer token, or a session, names a person and a role. A handler's signature shows the role it needs.
//!
//! Never: compares secrets in a time that depends on them, says which part of a credential was wrong, or lets a page of
//! another origin use a session.

use std::future::{Ready, ready};
use std::pin::Pin;

use actix_web::http::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use actix_web::http::{Method, Uri};
use actix_web::{FromRequest, HttpRequest, dev, web};
use sha2::{Digest as _, Sha256};

use super::caller::{caller, owner_of, owner_of_session};
use super::client::client_ip;
use super::door::Door;
use super::problem::{Code, Problem};
use super::session::{Digest, Use};
use crate::config::{Config, Role};

/// Header in which a script of our own page brings back the token of its forms.
const FORM_TOKEN: &str = "x-unhang-form";

/// A person with a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    /// Name of the token.
    pub(super) name: String,
    /// What they may do.
    pub(super) role: Role,
}

macro_rules! roles {
    ($($(#[$doc:meta])* $name:ident needs $role:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name(pub(super) Person);

        impl FromRequest for $name {
            type Error = Problem;
            type Future = Ready<Result<Self, Problem>>;

            fn from_request(req: &HttpRequest, _payload: &mut dev::Payload) -> Self::Future {
                ready(admit(req, Role::$role).map(Self))
            }
        }
    )+};
}

/// Whoever may read, once it is their turn.
#[derive(Debug)]
pub(super) struct Viewer(pub(super) Person);

impl FromRequest for Viewer {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(req: &HttpRequest, _payload: &mut dev::Payload) -> Self::Future {
        let (admitted, req) = (admit(req, Role::Viewer), req.clone());
        Box::pin(async move {
            let person = admitted?;
            if let Some(door) = req.app_data::<web::Data<Door>>() {
                door.people.take_turn(&req, &person.name).await?;
            }
            Ok(Self(person))
        })
    }
}

roles! {
    /// Whoever may read, and is counted otherwise than by turns.
    Follower needs Viewer;
    /// Whoever may replay, order, silence, hold and cancel.
    Operator needs Operator;
    /// Whoever may approve, deny and settle.
    Approver needs Approver;
}

/// What a long answer keeps of the credential that it was asked with, to see later whether it is still good.
#[derive(Debug, Clone)]
pub(super) enum Admission {
    /// Digest of a bearer token; the token itself is not kept.
    Token(Digest),
    /// A session.
    Session(Session),
    /// A person whom the proxy named.
    Named(String),
}

impl Admission {
    /// The credential of a request that was admitted.
    pub(super) fn of(req: &HttpRequest, door: &Door) -> Option<Self> {
        if let Some(token) = bearer(req.headers()) {
            return Some(Self::Token(Sha256::digest(token.as_bytes()).into()));
        }
        let caller = caller(req, door, Use::Passes)?;
        Some(match caller.cookie {
            Some(cookie) => Self::Session(Session(cookie)),
            None => Self::Named(caller.person.name),
        })
    }

    /// Whether it still lets its bearer read. Looking does not keep a session alive.
    pub(super) fn holds(&self, door: &Door) -> bool {
        let config = door.service.config();
        match self {
            Self::Token(token) => owner_of(&config, token).is_some(),
            Self::Session(Session(cookie)) => owner_of_session(door, &config, cookie, Use::Passes).is_some(),
            Self::Named(name) => {
                config.dashboard.proxy_login.is_some()
                    && config.tokens.iter().any(|token| token.name == *name)
            }
        }
    }
}

/// The cookie of a session; never printed.
#[derive(Clone)]
pub(super) struct Session(String);

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

fn admit(req: &HttpRequest, needed: Role) -> Result<Person, Problem> {
    let Some(door) = req.app_data::<web::Data<Door>>() else {
        return Err(Problem::new(Code::Internal, "the server is not set up"));
    };
    let changes = !matches!(*req.method(), Method::GET | Method::HEAD);
    let person = if req.headers().contains_key(AUTHORIZATION) {
        let person = by_token(req, door)?;
        may(&person, needed)?;
        if changes && !own_origin(req.headers(), &door.service.config()) {
            return Err(foreign());
        }
        person
    } else {
        let Some(caller) = caller(req, door, Use::Passes) else { return Err(unauthenticated()) };
        may(&caller.person, needed)?;
        let brought = req.headers().get(FORM_TOKEN).and_then(|value| value.to_str().ok()).unwrap_or("");
        let ours = || {
            names_own_origin(req.headers(), &door.service.config())
                && door.sessions.is_form_token(&caller.bound_to, brought)
        };
        if changes && !ours() {
            return Err(foreign());
        }
        caller.person
    };
    Ok(person)
}

fn by_token(req: &HttpRequest, door: &Door) -> Result<Person, Problem> {
    let config = door.service.config();
    let presented = bearer(req.headers());
    if let Some(person) = presented.and_then(|token| person(&config, token)) {
        return Ok(person);
    }
    // A header without any token is no guess.
    if presented.is_some() {
        may_guess(req, door, &config)?;
    }
    Err(unauthenticated())
}

/// Counts a wrong token; refuses once an address has presented too many.
pub(super) fn may_guess(req: &HttpRequest, door: &Door, config: &Config) -> Result<(), Problem> {
    let client = client_ip(req, &config.server.trusted_proxies);
    if door.may_fail(client) {
        return Ok(());
    }
    Err(Problem::new(Code::TooManyAttempts, "too many wrong tokens from this address; wait a minute"))
}

fn unauthenticated() -> Problem {
    Problem::new(
        Code::Unauthenticated,
        "send the header authorization: Bearer TOKEN with a token of this service",
    )
}

fn foreign() -> Problem {
    Problem::new(Code::ForeignOrigin, "pages of other origins may not change anything here")
}

/// Whether a person may do what needs this role.
pub(super) fn may(person: &Person, needed: Role) -> Result<(), Problem> {
    if person.role >= needed {
        return Ok(());
    }
    let detail = format!("this needs the role {}; yours is {}", needed.as_str(), person.role.as_str());
    Err(Problem::new(Code::RoleTooLow, detail).with("neededRole", needed.as_str()))
}

/// The token of the one `Authorization` header; two are two claims, and count as none.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION);
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The person whose token this is.
pub(super) fn person(config: &Config, presented: &str) -> Option<Person> {
    owner_of(config, &Sha256::digest(presented.as_bytes()).into())
}

/// Whether the request names no origin, or this very host.
fn own_origin(headers: &HeaderMap, config: &Config) -> bool {
    !headers.contains_key(ORIGIN) || names_own_origin(headers, config)
}

/// Whether the request names this very host as its origin. A browser names one with everything that changes something.
pub(super) fn names_own_origin(headers: &HeaderMap, config: &Config) -> bool {
    is_own_origin(headers, config.server.public_url.as_deref())
}

/// The origin is the host that was asked for or, where a proxy asks under a name of its own, that of `server.public_url`.
fn is_own_origin(headers: &HeaderMap, public_url: Option<&str>) -> bool {
    let mut origins = headers.get_all(ORIGIN);
    let Some(origin) = origins.next() else { return false };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let named = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let authority = |uri: &Uri| uri.authority().map(|authority| authority.as_str().to_ascii_lowercase());
    let own = named.as_ref().and_then(authority);
    let public = public_url.and_then(|url| url.parse::<Uri>().ok());
    let known = public.as_ref().filter(|public| public.scheme() == named.as_ref().and_then(Uri::scheme));
    let same =
        own.is_some() && (own == host.map(str::to_ascii_lowercase) || own == known.and_then(authority));
    same && origins.next().is_none()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_one_bearer_header_is_read() {
        let headers = |values: &[&str]| {
            let req = values
                .iter()
                .fold(TestRequest::default(), |req, value| req.append_header(("authorization", *value)));
            req.to_http_request()
        };
        assert_eq!(bearer(headers(&["Bearer one"]).headers()), Some("one"));
        assert_eq!(bearer(headers(&["bearer  one"]).headers()), Some("one"));
        for bad in
            [&["Basic one"][..], &["Bearer"], &["Bearer "], &["one"], &["Bearer one", "Bearer two"], &[]]
        {
            assert_eq!(bearer(headers(bad).headers()), None, "{bad:?}");
        }
    }

    #[test]
    fn only_our_own_origin_may_change_things() {
        let public = std::cell::Cell::new(None);
        let asked = |origins: &[&str]| {
            let req = origins.iter().fold(
                TestRequest::default().insert_header(("host", "unhang.example:8080")),
                |req, origin| req.append_header(("origin", *origin)),
            );
            let req = req.to_http_request();
            is_own_origin(req.headers(), public.get())
        };
        assert!(!asked(&[]));
        assert!(asked(&["https://unhang.example:8080"]));
        for foreign in ["null", "", "https://evil.example", "https://unhang.example", "unhang", "file:///x"] {
            assert!(!asked(&[foreign]), "{foreign:?}");
        }
        assert!(!asked(&["https://unhang.example:8080", "https://evil.example"]));
        public.set(Some("https://pages.example/unhang/"));
        assert!(asked(&["https://pages.example"]) && asked(&["https://unhang.example:8080"]));
        for foreign in ["http://pages.example", "https://pages.example:444", "https://evil.example", "null"] {
            assert!(!asked(&[foreign]), "{foreign:?}");
        }
    }
}
