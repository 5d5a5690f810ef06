//! Bodies and parameters: read under a cap and a deadline, then checked field by field.
//!
//! Never: lets an unknown parameter or field pass, or waits for a slow sender.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use actix_web::web::{Bytes, Payload, Query};
use actix_web::{HttpMessage as _, HttpRequest};
use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;

use super::problem::{Code, Problem};
use crate::domain::server::{RegionCode, ServerNo};
use crate::store::{PAGE_MAX, PageRequest};

/// Largest body of an API request; deliveries have their own limit.
const API_BODY_MAX: usize = 64 * 1024;
/// Time in which the body of an API request must have arrived.
const API_BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest text that a person may give as a reason, in characters.
pub(super) const REASON_MAX: usize = 500;
/// Longest query value, in characters; a reason may come as one.
pub(super) const VALUE_MAX: usize = REASON_MAX;
/// Rows of a page when nothing is said.
const LIMIT_DEFAULT: i64 = 50;

/// Refuses compressed bodies: their size says nothing.
pub(super) fn refuse_encoding(req: &HttpRequest) -> Result<(), Problem> {
    let encoded = req.headers().get_all(CONTENT_ENCODING).any(|value| value != "identity");
    if encoded {
        return Err(Problem::new(Code::ContentEncoding, "send the body as it is, without content-encoding"));
    }
    Ok(())
}

/// Reads a whole body: at most `max` bytes, all of them within `timeout`.
pub(super) async fn read(
    req: &HttpRequest,
    payload: Payload,
    max: usize,
    timeout: Duration,
) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(Code::BodyTooLarge, format!("a body may have {max} bytes at most"));
    let announced = req.headers().get(actix_web::http::header::CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > max)) {
        return Err(too_large());
    }
    match tokio::time::timeout(timeout, payload.to_bytes_limited(max)).await {
        Err(_elapsed) => Err(Problem::new(
            Code::BodyTimeout,
            format!("the whole body must be here within {} s", timeout.as_secs()),
        )),
        Ok(Err(_limit)) => Err(too_large()),
        Ok(Ok(Err(_broken))) => Err(Problem::new(Code::BadRequest, "the body could not be read to its end")),
        Ok(Ok(Ok(bytes))) => Ok(bytes),
    }
}

/// Reads the JSON body of an API request.
pub(super) async fn json<T: DeserializeOwned>(req: &HttpRequest, payload: Payload) -> Result<T, Problem> {
    json_and_bytes(req, payload).await.map(|(value, _)| value)
}

/// Reads the JSON body of an API request, and gives the bytes as well.
pub(super) async fn json_and_bytes<T: DeserializeOwned>(
    req: &HttpRequest,
    payload: Payload,
) -> Result<(T, Bytes), Problem> {
    refuse_encoding(req)?;
    if !req.content_type().eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(Code::ContentType, "send the header content-type: application/json"));
    }
    let bytes = read(req, payload, API_BODY_MAX, API_BODY_TIMEOUT).await?;
    let value = of_json(&bytes)?;
    Ok((value, bytes))
}

/// Whether the request brings a body at all.
pub(super) fn has_body(req: &HttpRequest) -> bool {
    req.headers().contains_key(CONTENT_TYPE)
        || req.headers().contains_key(actix_web::http::header::TRANSFER_ENCODING)
        || req.headers().get(actix_web::http::header::CONTENT_LENGTH).is_some_and(|length| length != "0")
}

/// Reads a JSON text; the error names the field.
pub(super) fn of_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Serde would take a list for an object, field after field.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::new(Code::InvalidBody, "expected an object, got a list"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let problem = Problem::new(Code::InvalidBody, error.to_string());
        if path == "." { problem } else { problem.about(&path) }
    })?;
    reader.end().map_err(|error| Problem::new(Code::InvalidBody, error.to_string()))?;
    Ok(value)
}

/// Checks a person's words: there must be some, on one line.
pub(super) fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("say why; it is kept in the audit".to_owned());
    }
    if text.chars().count() > REASON_MAX {
        return Err(format!("expected at most {REASON_MAX} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("expected one line without control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads a duration such as `2h` or `30m`, longer than nothing and at most `max`.
pub(super) fn duration(text: &str, max: SignedDuration) -> Result<SignedDuration, String> {
    let expected = || format!("expected a duration such as 2h or 30m, at most {max:#}");
    let span: SignedDuration = text.trim().parse().map_err(|_not_one| expected())?;
    if span > SignedDuration::ZERO && span <= max { Ok(span) } else { Err(expected()) }
}

/// Reads a time: RFC 3339, or milliseconds since 1970. A `+` that came as a space is put back.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    let expected = || "expected a time such as 2026-11-22T01:00:00Z, or milliseconds since 1970".to_owned();
    if let Ok(ms) = text.parse::<i64>() {
        return Timestamp::from_millisecond(ms).map_err(|_out_of_range| expected());
    }
    text.replace(' ', "+").parse().map_err(|_not_a_time| expected())
}

/// The query of a request; each parameter is taken once, and what is left over is refused.
#[derive(Debug)]
pub(super) struct Params {
    given: BTreeMap<String, String>,
    known: Vec<&'static str>,
}

impl Params {
    /// Reads the query.
    pub(super) fn of(req: &HttpRequest) -> Result<Self, Problem> {
        Self::parse(req.query_string())
    }

    fn parse(query: &str) -> Result<Self, Problem> {
        let pairs = Query::<Vec<(String, String)>>::from_query(query)
            .map_err(|_bad| Problem::new(Code::InvalidQuery, "the query cannot be read"))?;
        let mut given = BTreeMap::new();
        for (name, value) in pairs.into_inner() {
            if value.chars().count() > VALUE_MAX || value.chars().any(char::is_control) {
                return Err(Problem::query(
                    &name,
                    format!("expected at most {VALUE_MAX} printable characters"),
                ));
            }
            if given.insert(name.clone(), value).is_some() {
                return Err(Problem::query(&name, "expected once, given twice"));
            }
        }
        Ok(Self { given, known: Vec::new() })
    }

    /// A text; an empty one counts as not given.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        self.given.remove(name).filter(|value| !value.is_empty())
    }

    /// A value that `read` understands.
    pub(super) fn read<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Problem> {
        self.text(name).map(|text| read(&text).map_err(|expected| Problem::query(name, expected))).transpose()
    }

    /// A time.
    pub(super) fn time(&mut self, name: &'static str) -> Result<Option<Timestamp>, Problem> {
        self.read(name, time)
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, Problem> {
        self.read(name, |text| {
            let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
            found.ok_or_else(|| {
                let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                format!("expected one of {}", words.join(", "))
            })
        })
    }

    /// A whole number.
    pub(super) fn whole(
        &mut self,
        name: &'static str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, Problem> {
        self.read(name, |text| {
            let number = text.parse().ok().filter(|number| range.contains(number));
            number.ok_or_else(|| format!("expected a number from {} to {}", range.start(), range.end()))
        })
    }

    /// `limit` and `cursor`; a cursor is what a page before gave as `nextCursor`.
    pub(super) fn page(&mut self, cursor_ok: fn(&str) -> bool) -> Result<PageRequest, Problem> {
        let limit = self.whole("limit", 1..=PAGE_MAX)?.unwrap_or(LIMIT_DEFAULT);
        let cursor = self.cursor(cursor_ok)?;
        Ok(PageRequest { limit, cursor, ascending: false })
    }

    /// `cursor`.
    pub(super) fn cursor(&mut self, cursor_ok: fn(&str) -> bool) -> Result<Option<String>, Problem> {
        self.read("cursor", |text| {
            if cursor_ok(text) {
                Ok(text.to_owned())
            } else {
                Err("expected a nextCursor of a page before".into())
            }
        })
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.given.into_keys().next() {
            None => Ok(()),
            Some(name) if self.known.is_empty() => {
                Err(Problem::query(&name, "this route takes no parameters"))
            }
            Some(name) => {
                Err(Problem::query(&name, format!("unknown; expected one of {}", self.known.join(", "))))
            }
        }
    }
}

/// A cursor that is one of our identifiers.
pub(super) fn id_cursor(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok()
}

/// A cursor that is a server, as region and number.
pub(super) fn place_cursor(text: &str) -> bool {
    let parts = text.split_once('/');
    parts.is_some_and(|(region, no)| RegionCode::parse(region).is_ok() && ServerNo::parse(no).is_ok())
}

/// A cursor that is a row number.
pub(super) fn seq_cursor(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<i64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(result: Result<impl std::fmt::Debug, Problem>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn unknown_and_repeated_parameters_are_refused_by_name() {
        let mut params = Params::parse("source=am&sorce=x").unwrap();
        assert_eq!(params.text("source").as_deref(), Some("am"));
        assert_eq!(refused(params.finish()), "invalid_query: sorce: unknown; expected one of source");
        assert!(refused(Params::parse("a=1&a=2")).contains("a: expected once"));
        assert!(refused(Params::parse("a=%0a")).contains("printable"));
        assert!(Params::parse(&format!("reason={}", "x".repeat(REASON_MAX))).is_ok(), "any reason fits");
        assert!(refused(Params::parse(&format!("a={}", "x".repeat(VALUE_MAX + 1)))).contains("at most 500"));
        let mut empty = Params::parse("source=").unwrap();
        assert_eq!(empty.text("source"), None);
        empty.finish().unwrap();
    }

    #[test]
    fn numbers_times_and_words_say_what_was_expected() {
        for bad in ["0", "1001", "-1", "x", "1.5"] {
            let mut params = Params::parse(&format!("limit={bad}")).unwrap();
            assert!(
                refused(params.page(seq_cursor)).contains("limit: expected a number from 1 to 1000"),
                "{bad}"
            );
        }
        assert_eq!(Params::parse("").unwrap().page(seq_cursor).unwrap().limit, 50);
        for good in [
            "2026-11-22T00:00:00Z",
            "2026-11-22T09:00:00%2B09:00",
            "2026-11-22T09:00:00+09:00",
            "1795305600000",
        ] {
            let at = Params::parse(&format!("since={good}")).unwrap().time("since").unwrap().unwrap();
            assert_eq!(at.to_string(), "2026-11-22T00:00:00Z", "{good}");
        }
        assert!(
            refused(Params::parse("since=yesterday").unwrap().time("since"))
                .contains("since: expected a time")
        );
        let words = [("asc", true), ("desc", false)];
        assert!(refused(Params::parse("order=up").unwrap().choice("order", &words)).contains("asc, desc"));
        for bad in ["1%27", "-1", "%2B1", "x"] {
            let mut params = Params::parse(&format!("cursor={bad}")).unwrap();
            assert!(refused(params.cursor(seq_cursor)).contains("nextCursor"), "{bad}");
        }
    }

    #[test]
    fn reasons_are_one_line_of_words() {
        assert_eq!(reason("  a good reason ").unwrap(), "a good reason");
        for bad in ["", "   ", "a\nb", "a\u{1b}[2J"] {
            assert!(reason(bad).is_err(), "{bad:?}");
        }
        assert!(reason(&"가".repeat(500)).is_ok());
        assert!(reason(&"가".repeat(501)).is_err());
    }

    #[test]
    fn bodies_name_the_wrong_field() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Wanted {
            #[expect(dead_code, reason = "only read")]
            reason: String,
        }
        assert!(refused(of_json::<Wanted>(br#"{"reason": 1}"#)).contains("reason"));
        assert!(refused(of_json::<Wanted>(br#"{"reason": "x", "other": 1}"#)).contains("other"));
        assert!(refused(of_json::<Wanted>(b"{}")).contains("missing field `reason`"));
        assert!(refused(of_json::<Wanted>(br#"{"reason": "x"} x"#)).contains("trailing"));
        assert!(refused(of_json::<Wanted>(br#" ["x"]"#)).contains("expected an object"));
    }
}
