//! What every page knows: who looks, in which language and zone, what stops everything now, and how a time is shown.
//!
//! Never: marks a text as safe that holds more than a time.

use std::fmt;

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::ACCEPT_LANGUAGE;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::super::auth::Person;
use super::super::body::time;
use super::super::caller::Caller;
use super::super::door::Door;
use super::super::problem::Problem;
use super::super::words::Language;
use super::assets;
use crate::config::Role;
use crate::service::{Service, hold_file};
use crate::store::StoreError;

/// Cookie with the language that a reader chose.
pub(super) const LANGUAGE_COOKIE: &str = "unhang_language";
/// Cookie with the time zone of the reader.
pub(super) const ZONE_COOKIE: &str = "unhang_zone";

/// Something that stops all sending, said on every page.
#[derive(Debug, Clone)]
pub(super) struct Alarm {
    /// Key of its title.
    pub(super) title: &'static str,
    /// What was found.
    pub(super) detail: String,
}

/// What every page knows.
#[derive(Debug)]
pub(super) struct View {
    /// Who looks; `None` before the log-in.
    pub(super) person: Option<Person>,
    /// What its forms bring back.
    pub(super) form: String,
    /// Came by a proxy's word, not by a cookie.
    pub(super) by_proxy: bool,
    /// Language.
    pub(super) language: Language,
    /// All languages, for the switch.
    pub(super) languages: [Language; 3],
    /// Changes when an asset does.
    pub(super) edition: &'static str,
    /// The page in the navigation.
    pub(super) page: &'static str,
    /// Path and query of this page.
    pub(super) here: String,
    /// What it shows can be read again from there, by the script that keeps pages fresh.
    pub(super) renews: bool,
    /// The newest row of the audit before this page was read: its events are followed from there.
    pub(super) newest: i64,
    /// Now.
    pub(super) now: Timestamp,
    /// What stops everything.
    pub(super) alarms: Vec<Alarm>,
    /// Key of what was just done.
    pub(super) done: Option<String>,
    /// Why what was asked was not done.
    pub(super) problem: Option<Problem>,
    zone: TimeZone,
}

impl View {
    pub(super) fn of(req: &HttpRequest, door: &Door, caller: Option<&Caller>, page: &'static str) -> Self {
        let cookie = |name: &str| req.cookie(name).map(|cookie| cookie.value().to_owned());
        let header = || req.headers().get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let language = cookie(LANGUAGE_COOKIE)
            .and_then(|tag| Language::of_tag(&tag))
            .unwrap_or_else(|| Language::liked(header().unwrap_or("")));
        let config = door.service.config();
        let zone = cookie(ZONE_COOKIE)
            .and_then(|name| TimeZone::get(&name).ok())
            .or_else(|| TimeZone::get(&config.dashboard.zone).ok())
            .unwrap_or(TimeZone::UTC);
        // After a form that was refused the address is that of the form, which nobody can open.
        let here = req.uri().path_and_query().filter(|_| req.method() == Method::GET);
        let here = here.map_or("/", |here| here.as_str()).to_owned();
        Self {
            person: caller.map(|caller| caller.person.clone()),
            form: caller.map(|caller| door.sessions.form_token(&caller.bound_to)).unwrap_or_default(),
            by_proxy: caller.is_some_and(|caller| caller.cookie.is_none()),
            language,
            languages: Language::ALL,
            edition: &assets::EDITION,
            page,
            here,
            renews: req.method() == Method::GET,
            newest: *door.service.store.news().borrow(),
            now: door.service.clock.now(),
            alarms: Vec::new(),
            done: None,
            problem: None,
            zone,
        }
    }

    /// Though it answers a form, it shows the page of this address.
    pub(super) fn shows_page(&mut self, here: String) {
        self.here = here;
        self.renews = true;
    }

    /// Reads what stops everything: said on every page, because it explains every other one.
    pub(super) async fn alarmed(mut self, door: &Door) -> Result<Self, StoreError> {
        let service = &door.service;
        if let Some(detail) = nothing_is_sent(service).await? {
            self.alarms.push(Alarm { title: "alarm-halted", detail });
        }
        if let Some(detail) = hold_file(&service.config().store.hold_file) {
            self.alarms.push(Alarm { title: "alarm-hold-file", detail });
        }
        if let Some(fault) = service.chain().fault {
            let detail = format!("{}: {}", fault.seq, fault.what);
            self.alarms.push(Alarm { title: "alarm-chain", detail });
        }
        if let Some(open) = service.store.open_quarantine().await? {
            self.alarms.push(Alarm { title: "alarm-quarantine", detail: open.why });
        }
        for hold in service.store.holds(self.now).await? {
            let (scope, name) = hold.scope.parts();
            let detail = format!("{scope} {name}: {} ({})", hold.reason, hold.author);
            self.alarms.push(Alarm { title: "alarm-hold", detail });
        }
        for storm in service.store.storms(true).await? {
            let detail = format!("{}: {}", storm.region_code, storm.why);
            self.alarms.push(Alarm { title: "alarm-storm", detail });
        }
        Ok(self)
    }

    /// The words of a key.
    pub(super) fn say(&self, key: &str) -> String {
        self.language.say(key, &[])
    }

    /// The words of a key with one value.
    pub(super) fn say1(&self, key: &str, name: &str, value: impl fmt::Display) -> String {
        self.language.say(key, &[(name, &value.to_string())])
    }

    /// The words for a word of the machine, such as a state; the word itself where there are none.
    pub(super) fn word(&self, kind: &str, word: &str) -> String {
        self.language.find(&format!("{kind}-{word}"), &[]).unwrap_or_else(|| word.to_owned())
    }

    /// Whether whoever looks may do what needs this role.
    pub(super) fn may(&self, role: &str) -> bool {
        self.person.as_ref().is_some_and(|person| match role {
            "viewer" => person.role >= Role::Viewer,
            "operator" => person.role >= Role::Operator,
            "approver" => person.role >= Role::Approver,
            _ => person.role >= Role::Admin,
        })
    }

    /// Whether whoever looks is this person.
    pub(super) fn is(&self, name: Option<&String>) -> bool {
        self.person.as_ref().is_some_and(|person| Some(&person.name) == name)
    }

    /// A time in the reader's zone, with UTC behind it.
    pub(super) fn at(&self, at: &Timestamp) -> Time {
        Time { at: *at, shown: self.clock_text(at), left: false }
    }

    /// A time that may be missing.
    pub(super) fn at_opt(&self, at: Option<&Timestamp>) -> Time {
        match at {
            Some(at) => self.at(at),
            None => Time { at: Timestamp::UNIX_EPOCH, shown: String::new(), left: false },
        }
    }

    /// A time as the way from now to it: "in 12 min", "3 h ago".
    #[expect(clippy::wrong_self_convention, reason = "now is that of the page")]
    pub(super) fn from_now(&self, at: &Timestamp) -> Time {
        Time { at: *at, shown: self.distance(at), left: true }
    }

    /// A time as a person or a form writes it: with its offset, or as the reader's clock shows it.
    pub(super) fn time_of(&self, text: &str) -> Result<Timestamp, String> {
        time(text).or_else(|expected| {
            let local: DateTime = text.parse().map_err(|_neither| expected.clone())?;
            local.to_zoned(self.zone.clone()).map(|at| at.timestamp()).map_err(|_out_of_range| expected)
        })
    }

    /// A time for the field of a form, as the reader's clock shows it.
    pub(super) fn field_of(&self, at: &Timestamp) -> String {
        let there = at.to_zoned(self.zone.clone());
        let ms = if there.millisecond() == 0 { "" } else { "%.3f" };
        there.strftime(&format!("%Y-%m-%dT%H:%M:%S{ms}")).to_string()
    }

    fn clock_text(&self, at: &Timestamp) -> String {
        let there = at.to_zoned(self.zone.clone());
        let here = self.now.to_zoned(self.zone.clone());
        if there.date() == here.date() {
            there.strftime("%H:%M:%S").to_string()
        } else {
            there.strftime("%Y-%m-%d %H:%M:%S").to_string()
        }
    }

    fn distance(&self, at: &Timestamp) -> String {
        let span = at.duration_since(self.now);
        let whole = short(span.abs());
        if span.is_negative() {
            self.say1("time-ago", "span", &whole)
        } else {
            self.say1("time-in", "span", &whole)
        }
    }

    /// A time in the reader's zone, as a pattern of strftime says.
    pub(super) fn label(&self, at: &Timestamp, pattern: &str) -> String {
        at.to_zoned(self.zone.clone()).strftime(pattern).to_string()
    }

    /// Seconds that the reader's clock is ahead of UTC now.
    pub(super) fn ahead(&self) -> i64 {
        i64::from(self.now.to_zoned(self.zone.clone()).offset().seconds())
    }

    /// Name of the zone that times are shown in.
    pub(super) fn zone_name(&self) -> String {
        self.zone.iana_name().unwrap_or("UTC").to_owned()
    }
}

/// A span in its two largest units.
fn short(span: SignedDuration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// One time on a page: `<time>` with UTC for whoever hovers, and for the script that counts down.
#[derive(Debug)]
pub(super) struct Time {
    at: Timestamp,
    shown: String,
    left: bool,
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.shown.is_empty() {
            return f.write_str("–");
        }
        let utc = self.at.strftime("%Y-%m-%d %H:%M:%S UTC");
        let live = if self.left { " data-left" } else { "" };
        write!(f, "<time datetime=\"{}\" title=\"{utc}\"{live}>", self.at)?;
        // Only words of our catalogue and digits are in it; escaped all the same.
        for c in self.shown.chars() {
            match c {
                '<' => f.write_str("&lt;")?,
                '&' => f.write_str("&amp;")?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("</time>")
    }
}

impl askama::filters::HtmlSafe for Time {}

/// Why nothing is sent by this process, or, in a standby, by any.
async fn nothing_is_sent(service: &Service) -> Result<Option<String>, StoreError> {
    if service.lease.is_held() {
        let health = service.health();
        return Ok(health.halted.or(health.clock).or(health.reads).or(health.disk));
    }
    let lease = service.store.lease().await?;
    let someone_dispatches = lease.is_some_and(|lease| lease.is_live);
    Ok((!someone_dispatches).then(|| "no replica holds the lease".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_two_units_at_most() {
        for (seconds, text) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7199, "119 min"),
            (7260, "2 h 1 min"),
            (200_000, "2 d 7 h"),
        ] {
            assert_eq!(short(SignedDuration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_time_names_utc_and_holds_no_markup() {
        let at: Timestamp = "2026-11-28T03:12:00Z".parse().unwrap();
        let shown = Time { at, shown: "<b>&".to_owned(), left: true }.to_string();
        assert_eq!(
            shown,
            "<time datetime=\"2026-11-28T03:12:00Z\" title=\"2026-11-28 03:12:00 UTC\" data-left>&lt;b>&amp;</time>"
        );
    }
}
