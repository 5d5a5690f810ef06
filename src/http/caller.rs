//! Who calls without a bearer token: a session's cookie, or a person whom the configured proxy names.
//!
//! Never: believes a header that anyone could have written, or gives a cookie to a line that others can read.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header::{HOST, HeaderMap};
use subtle::ConstantTimeEq as _;

use super::auth::Person;
use super::connection::is_encrypted;
use super::door::Door;
use super::session::{Digest, Lasts, Use};
use crate::config::Config;

/// Cookie of a session over TLS: bound to the host, never sent in the clear.
const COOKIE_TLS: &str = "__Host-unhang_session";
/// Cookie of a session on this machine, where there is no TLS.
const COOKIE_LOOPBACK: &str = "unhang_session";

/// What a request came through; `None` of it: nobody may log in over that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// TLS ends here, or a trusted proxy says that its client used it.
    Tls,
    /// A browser on this machine, with no proxy between.
    Loopback,
}

impl Line {
    /// Of one request.
    pub(super) fn of(req: &HttpRequest, door: &Door, config: &Config) -> Option<Self> {
        let peer = peer(req)?;
        if config.server.trusted_proxies.iter().any(|net| net.contains(&peer)) {
            let said = only(req.headers(), "x-forwarded-proto");
            return (said == Some("https")).then_some(Self::Tls);
        }
        // Somebody's proxy that is not trusted: its own client may be on a plain line.
        if is_proxied(req.headers()) {
            return None;
        }
        if is_encrypted(req) {
            return Some(Self::Tls);
        }
        let local = door.loopback && peer.is_loopback() && asks_this_machine(req.headers());
        local.then_some(Self::Loopback)
    }

    fn cookie_name(self) -> &'static str {
        match self {
            Self::Tls => COOKIE_TLS,
            Self::Loopback => COOKIE_LOOPBACK,
        }
    }

    /// The cookie that carries a session; an empty value takes it back.
    pub(super) fn cookie(self, value: String) -> Cookie<'static> {
        let mut cookie = Cookie::build(self.cookie_name(), value)
            .path("/")
            .http_only(true)
            .same_site(SameSite::Strict)
            .secure(self == Self::Tls)
            .finish();
        if cookie.value().is_empty() {
            cookie.make_removal();
        }
        cookie
    }
}

/// Somebody who is known without a bearer token.
#[derive(Clone)]
pub(super) struct Caller {
    /// Who.
    pub(super) person: Person,
    /// What the forms of this caller are bound to.
    pub(super) bound_to: String,
    /// The cookie; `None`: named by the proxy.
    pub(super) cookie: Option<String>,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").field("person", &self.person).finish_non_exhaustive()
    }
}

/// Who calls, by cookie or proxy. What a person may do is what the configuration of this moment says.
pub(super) fn caller(req: &HttpRequest, door: &Door, usage: Use) -> Option<Caller> {
    let config = door.service.config();
    by_cookie(req, door, &config, usage).or_else(|| by_proxy(req, &config))
}

fn by_cookie(req: &HttpRequest, door: &Door, config: &Config, usage: Use) -> Option<Caller> {
    let line = Line::of(req, door, config)?;
    let cookie = req.cookie(line.cookie_name())?.value().to_owned();
    let person = owner_of_session(door, config, &cookie, usage)?;
    Some(Caller { person, bound_to: cookie.clone(), cookie: Some(cookie) })
}

/// The person of a session. A token that was taken out of the configuration takes its sessions along.
pub(super) fn owner_of_session(door: &Door, config: &Config, cookie: &str, usage: Use) -> Option<Person> {
    let token = door.sessions.token_of(cookie, lasts(config), usage, Instant::now())?;
    owner_of(config, &token)
}

/// The person of a token, by its hash; every configured token is compared, whatever matches before.
pub(super) fn owner_of(config: &Config, token: &Digest) -> Option<Person> {
    let mut found = None;
    for known in &config.tokens {
        if bool::from(known.sha256.ct_eq(token)) {
            found = Some(Person { name: known.name.clone(), role: known.role });
        }
    }
    found
}

fn by_proxy(req: &HttpRequest, config: &Config) -> Option<Caller> {
    let login = config.dashboard.proxy_login.as_ref()?;
    let peer = peer(req)?;
    if !login.from.iter().any(|net| net.contains(&peer)) {
        return None;
    }
    let name = only(req.headers(), &login.header)?;
    let known = config.tokens.iter().find(|token| token.name == name)?;
    let person = Person { name: known.name.clone(), role: known.role };
    Some(Caller { bound_to: format!("proxy {}", person.name), person, cookie: None })
}

fn lasts(config: &Config) -> Lasts {
    let of = |span| Duration::try_from(span).unwrap_or(Duration::ZERO);
    Lasts { idle: of(config.dashboard.idle), whole: of(config.dashboard.session_max) }
}

fn peer(req: &HttpRequest) -> Option<IpAddr> {
    req.peer_addr().map(|addr| addr.ip().to_canonical())
}

/// The value of a header that is there exactly once.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name);
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    value.to_str().ok()
}

/// Whether a proxy says that it is between.
fn is_proxied(headers: &HeaderMap) -> bool {
    let names = ["x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "via"];
    names.iter().any(|name| headers.contains_key(*name))
}

/// Whether a browser asked for this machine by a name of this machine: a page elsewhere whose name was bent to loopback
/// must not be taken for somebody at this desk.
fn asks_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn direct(headers: &[(&'static str, &'static str)]) -> bool {
        let req = headers.iter().fold(TestRequest::default(), |req, header| req.insert_header(*header));
        let req = req.to_http_request();
        asks_this_machine(req.headers()) && !is_proxied(req.headers())
    }

    #[test]
    fn only_a_browser_on_this_machine_is_at_this_desk() {
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

    #[test]
    fn the_cookie_over_tls_is_bound_to_the_host_and_never_in_the_clear() {
        let tls = Line::Tls.cookie("v".to_owned()).to_string();
        for part in ["__Host-unhang_session=v", "HttpOnly", "SameSite=Strict", "Secure", "Path=/"] {
            assert!(tls.contains(part), "{part} in {tls}");
        }
        assert!(!tls.contains("Domain"));
        let local = Line::Loopback.cookie("v".to_owned()).to_string();
        assert!(local.starts_with("unhang_session=v") && !local.contains("Secure"), "{local}");
        assert!(Line::Tls.cookie(String::new()).to_string().contains("Max-Age=0"));
    }

    #[test]
    fn a_header_given_twice_is_no_word() {
        let twice = TestRequest::default().append_header(("x-user", "a")).append_header(("x-user", "b"));
        assert_eq!(only(twice.to_http_request().headers(), "x-user"), None);
    }
}
