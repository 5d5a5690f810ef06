//! Who asks: a bearer token names a person and a role. A handler's signature shows the role it needs.
//!
//! Never: compares secrets in a time that depends on them, or says which part of a credential was wrong.

use std::future::{Ready, ready};

use actix_web::http::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use actix_web::http::{Method, Uri};
use actix_web::{FromRequest, HttpRequest, dev, web};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::client::client_ip;
use super::door::Door;
use super::problem::{Code, Problem};
use crate::config::{Config, Role, TokenConfig};

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

/// Whoever may read.
#[derive(Debug)]
pub(super) struct Viewer;

impl FromRequest for Viewer {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(req: &HttpRequest, _payload: &mut dev::Payload) -> Self::Future {
        ready(admit(req, Role::Viewer).map(|_person| Self))
    }
}

roles! {
    /// Whoever may replay, order, silence, hold and cancel.
    Operator needs Operator;
    /// Whoever may approve, deny and settle.
    Approver needs Approver;
}

/// What a long answer keeps of the credential that it was asked with, to see later whether it is still good.
#[derive(Debug, Clone)]
pub(super) struct Admission {
    /// Digest of the bearer token; the token itself is not kept.
    token: [u8; 32],
}

impl Admission {
    /// The credential of a request that was admitted.
    pub(super) fn of(req: &HttpRequest) -> Option<Self> {
        bearer(req.headers()).map(|token| Self { token: Sha256::digest(token.as_bytes()).into() })
    }

    /// Whether this configuration still lets it read.
    pub(super) fn holds(&self, config: &Config) -> bool {
        config.tokens.iter().fold(false, |held, token| held | bool::from(self.token.ct_eq(&token.sha256)))
    }
}

fn admit(req: &HttpRequest, needed: Role) -> Result<Person, Problem> {
    let Some(door) = req.app_data::<web::Data<Door>>() else {
        return Err(Problem::new(Code::Internal, "the server is not set up"));
    };
    let config = door.service.config();
    let presented = bearer(req.headers());
    let Some(person) = presented.and_then(|token| person(&config.tokens, token)) else {
        let client = client_ip(req, &config.server.trusted_proxies);
        // A request without any token is no guess.
        if presented.is_some() && !door.may_fail(client) {
            return Err(Problem::new(
                Code::TooManyAttempts,
                "too many wrong tokens from this address; wait a minute",
            ));
        }
        return Err(Problem::new(
            Code::Unauthenticated,
            "send the header authorization: Bearer TOKEN with a token of this service",
        ));
    };
    if person.role < needed {
        let detail = format!("this needs the role {}; yours is {}", needed.as_str(), person.role.as_str());
        return Err(Problem::new(Code::RoleTooLow, detail).with("neededRole", needed.as_str()));
    }
    if !matches!(*req.method(), Method::GET | Method::HEAD) && !own_origin(req.headers()) {
        return Err(Problem::new(Code::ForeignOrigin, "pages of other origins may not change anything here"));
    }
    Ok(person)
}

/// The token of the one `Authorization` header; two are two claims, and count as none.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION);
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The person whose token this is; every configured token is compared, whatever matches before.
fn person(tokens: &[TokenConfig], presented: &str) -> Option<Person> {
    let digest: [u8; 32] = Sha256::digest(presented.as_bytes()).into();
    let mut found = None;
    for token in tokens {
        if bool::from(digest.ct_eq(&token.sha256)) {
            found = Some(Person { name: token.name.clone(), role: token.role });
        }
    }
    found
}

/// Whether the request names no origin, or this very host.
fn own_origin(headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(ORIGIN);
    let Some(origin) = origins.next() else { return true };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let named = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let authority = named.as_ref().and_then(Uri::authority).map(actix_web::http::uri::Authority::as_str);
    let same = matches!((authority, host), (Some(a), Some(b)) if a.eq_ignore_ascii_case(b));
    same && origins.next().is_none()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn tokens() -> Vec<TokenConfig> {
        [("kim", Role::Viewer, "one"), ("lee", Role::Approver, "two")]
            .map(|(name, role, token)| TokenConfig {
                name: name.into(),
                role,
                sha256: Sha256::digest(token.as_bytes()).into(),
            })
            .into()
    }

    #[test]
    fn a_token_names_its_person() {
        assert_eq!(person(&tokens(), "two"), Some(Person { name: "lee".into(), role: Role::Approver }));
        for wrong in ["", "One", "one ", "three", "onetwo"] {
            assert_eq!(person(&tokens(), wrong), None, "{wrong:?}");
        }
    }

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
        let asked = |origins: &[&str]| {
            let req = origins.iter().fold(
                TestRequest::default().insert_header(("host", "unhang.example:8080")),
                |req, origin| req.append_header(("origin", *origin)),
            );
            own_origin(req.to_http_request().headers())
        };
        assert!(asked(&[]));
        assert!(asked(&["https://unhang.example:8080"]));
        for foreign in ["null", "", "https://evil.example", "https://unhang.example", "unhang", "file:///x"] {
            assert!(!asked(&[foreign]), "{foreign:?}");
        }
        assert!(!asked(&["https://unhang.example:8080", "https://evil.example"]));
    }
}
