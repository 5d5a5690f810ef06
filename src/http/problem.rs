//! Problems: every error answer in one shape (RFC 9457), with a code from one closed table.
//!
//! Never: a body, a secret or the chain of an inner error; those are for the log.

use std::fmt;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Map, Value};

use crate::domain::ids::TraceId;
use crate::hands::Refusal;
use crate::store::StoreError;
use crate::telemetry::chain;

/// Media type of a problem.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";
/// Header that carries our trace.
pub(super) const TRACE_HEADER: &str = "x-trace-id";

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $word:literal $status:literal $title:literal,)+) => {
        /// What went wrong. The list is closed: clients may rely on the words.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code { $($(#[$doc])* $variant,)+ }

        impl Code {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word in the answer.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The HTTP status that goes with it.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// A few words for people.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }
        }
    };
}

codes! {
    /// The request itself cannot be read.
    BadRequest = "bad_request" 400 "The request cannot be read",
    /// A query parameter is unknown, given twice, or has another value than it may have.
    InvalidQuery = "invalid_query" 400 "A query parameter is wrong",
    /// A JSON body of the API is malformed, or a field is unknown, missing or wrong.
    InvalidBody = "invalid_body" 400 "The body is wrong",
    /// A header such as `Idempotency-Key` has another value than it may have.
    InvalidHeader = "invalid_header" 400 "A header is wrong",
    /// The body of a delivery is not JSON.
    UnreadableJson = "unreadable_json" 400 "The delivery is not JSON",
    /// The credential of a delivery was refused, or no source has this name.
    BadCredential = "bad_credential" 401 "The credential was refused",
    /// The API needs a bearer token that it knows.
    Unauthenticated = "unauthenticated" 401 "A token is needed",
    /// The token's role does not suffice.
    RoleTooLow = "role_too_low" 403 "The role does not suffice",
    /// The request comes from a page of another origin.
    ForeignOrigin = "foreign_origin" 403 "A foreign origin",
    /// Nobody logs in over a line that others can read.
    PlainLine = "plain_line" 403 "The line is not private",
    /// Another person must do this.
    SamePerson = "same_person" 403 "Another person must do this",
    /// The source of kind `guest` is not bound to this server.
    NotYourServer = "not_your_server" 403 "The credential does not speak for this server",
    /// No route has this path.
    NoSuchRoute = "no_such_route" 404 "No such route",
    /// Nothing has this identifier.
    NotFound = "not_found" 404 "Not found",
    /// The route has no such method.
    MethodNotAllowed = "method_not_allowed" 405 "The method is not allowed",
    /// The body did not arrive in time.
    BodyTimeout = "body_timeout" 408 "The body came too slowly",
    /// It is past the point, or not there yet.
    WrongState = "wrong_state" 409 "Not in this state",
    /// It has changed since the person looked.
    VersionChanged = "version_changed" 409 "It has changed",
    /// The last notice is old: the person must vouch for the server.
    ConfirmStillHung = "confirm_still_hung" 409 "Confirm that it still hangs",
    /// Too early to say that nothing happened.
    TooEarly = "too_early" 409 "Too early",
    /// A guard says no.
    GuardRefused = "guard_refused" 409 "A guard says no",
    /// The stored delivery cannot be replayed.
    NotReplayable = "not_replayable" 409 "It cannot be replayed",
    /// As many silences, or regular expressions in them, have not ended as may be.
    TooManySilences = "too_many_silences" 409 "Too many silences",
    /// No interrupt of this server is known whose dump is not collected.
    NothingToCollect = "nothing_to_collect" 409 "There is no dump to collect",
    /// The body is larger than `server.body_bytes_max`, or than an API body may be.
    BodyTooLarge = "body_too_large" 413 "The body is too large",
    /// The delivery holds more than `server.alerts_max` alerts.
    TooManyAlerts = "too_many_alerts" 413 "Too many alerts in one delivery",
    /// Compressed bodies are not read.
    ContentEncoding = "content_encoding" 415 "Compressed bodies are refused",
    /// The API reads `application/json` only.
    ContentType = "content_type" 415 "The body must be application/json",
    /// Readable JSON of another shape than the source's kind sends.
    WrongShape = "wrong_shape" 422 "The delivery has another shape",
    /// The cloud's activity record must be looked at first.
    ActivityNotChecked = "activity_not_checked" 422 "Check the activity record first",
    /// The named policy does not fit.
    PolicyRefused = "policy_refused" 422 "The policy does not fit",
    /// The `Idempotency-Key` was used for another request.
    KeyReused = "key_reused" 422 "The key was used for another request",
    /// Too many wrong tokens from this address.
    TooManyAttempts = "too_many_attempts" 429 "Too many wrong tokens",
    /// A person has as many exports, streams or other answers open as one person may.
    TooManyAtOnce = "too_many_at_once" 429 "Too many at once",
    /// Something that should not happen; the log has the cause under the trace.
    Internal = "internal" 500 "An internal error",
    /// More deliveries than can be taken in now.
    Overloaded = "overloaded" 503 "Overloaded",
    /// As many event streams are open as may be.
    TooManyStreams = "too_many_streams" 503 "Too many event streams",
    /// The store could not read or commit.
    StoreFailed = "store_failed" 503 "The store failed",
    /// The service is ending.
    Stopping = "stopping" 503 "The service is stopping",
    /// A check of readiness failed.
    NotReady = "not_ready" 503 "Not ready",
    /// The attempt journal cannot be written.
    JournalFailed = "journal_failed" 503 "The attempt journal cannot be written",
}

/// One error answer.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    code: Code,
    detail: String,
    field: Option<String>,
    more: Map<String, Value>,
    trace_id: Option<TraceId>,
    close: bool,
}

impl Problem {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        let close = matches!(code, Code::BodyTimeout | Code::BodyTooLarge | Code::ContentEncoding);
        Self { code, detail: detail.into(), field: None, more: Map::new(), trace_id: None, close }
    }

    /// A wrong query parameter.
    pub(super) fn query(field: &str, expected: impl fmt::Display) -> Self {
        Self::new(Code::InvalidQuery, format!("{field}: {expected}")).about(field)
    }

    /// A wrong field of an API body.
    pub(super) fn body(field: &str, expected: impl fmt::Display) -> Self {
        Self::new(Code::InvalidBody, format!("{field}: {expected}")).about(field)
    }

    /// Nothing has this identifier.
    pub(super) fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no {what} with this identifier"))
    }

    /// Names the field that is wrong.
    pub(super) fn about(mut self, field: &str) -> Self {
        self.field = Some(field.to_owned());
        self
    }

    /// Adds a member to the answer.
    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.more.insert(key.to_owned(), value.into());
        self
    }

    /// Gives it the trace of its request.
    pub(super) fn traced(mut self, trace_id: &TraceId) -> Self {
        self.trace_id = Some(trace_id.clone());
        self
    }

    pub(super) fn code(&self) -> Code {
        self.code
    }

    /// What is told to the person.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// Its members, as they go out.
    pub(super) fn members(&self) -> Map<String, Value> {
        let mut fields = self.more.clone();
        let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
        put("type", format!("urn:unhang:problem:{}", self.code.as_str()).into());
        put("title", self.code.title().into());
        put("status", self.code.status().into());
        put("code", self.code.as_str().into());
        put("detail", self.detail.clone().into());
        if let Some(field) = &self.field {
            put("field", field.clone().into());
        }
        if let Some(trace_id) = &self.trace_id {
            put("traceId", trace_id.to_string().into());
        }
        fields
    }

    /// What goes out for a status that some other part of the server has chosen.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => {
                Self::new(Code::NoSuchRoute, "no route has this path; the API is under /api/v1")
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                Self::new(Code::MethodNotAllowed, "see the allow header for what this path takes")
            }
            StatusCode::REQUEST_TIMEOUT => Self::new(Code::BodyTimeout, "the request came too slowly"),
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(Code::BodyTooLarge, "the body is too large"),
            status if status.is_client_error() => Self::new(Code::BadRequest, "the request cannot be read"),
            _ => Self::new(Code::Internal, "see the log of the service under this trace"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let fields = self.members();
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((CONTENT_TYPE, PROBLEM_JSON));
        if let Some(trace_id) = &self.trace_id {
            response.insert_header((TRACE_HEADER, trace_id.as_str()));
        }
        let retry_after = match (self.code, self.code.status()) {
            (Code::TooManyAtOnce, _) => Some("5"),
            (_, 503) => Some("1"),
            (_, 429) => Some("60"),
            _ => None,
        };
        if let Some(seconds) = retry_after {
            response.insert_header((RETRY_AFTER, seconds));
        }
        if self.code == Code::Unauthenticated {
            response.insert_header((WWW_AUTHENTICATE, "Bearer realm=\"unhang\""));
        }
        if self.close {
            response.force_close();
        }
        response.body(Value::Object(fields).to_string())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = %chain(&error), "a request could not be served: the store failed");
        Self::new(Code::StoreFailed, "the store could not be read or written; try again")
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::NotFound => Self::new(Code::NotFound, detail),
            Refusal::WrongState { state } => {
                Self::new(Code::WrongState, detail).with("state", state.as_str())
            }
            Refusal::SamePerson => Self::new(Code::SamePerson, detail),
            Refusal::VersionChanged { current } => {
                Self::new(Code::VersionChanged, detail).with("currentVersion", current)
            }
            Refusal::ConfirmStillHung { last_notice_at } => Self::new(Code::ConfirmStillHung, detail)
                .about("confirmStillHung")
                .with("lastNoticeAt", last_notice_at.to_string()),
            Refusal::ConfirmFirst { check } => Self::new(Code::ConfirmStillHung, detail)
                .about("confirmStillHung")
                .with("reason", check.guard.as_str()),
            Refusal::TooEarly { until } => Self::new(Code::TooEarly, detail).with("until", until.to_string()),
            Refusal::DumpBeingWritten { until } => {
                Self::new(Code::TooEarly, detail).with("until", until.to_string())
            }
            Refusal::NothingToCollect { why: _ } => Self::new(Code::NothingToCollect, detail),
            Refusal::ActivityNotChecked => {
                Self::new(Code::ActivityNotChecked, detail).about("activityChecked")
            }
            Refusal::Guard { check, trace } => Self::new(Code::GuardRefused, detail)
                .with("reason", check.guard.as_str())
                .with("until", check.until.map_or(Value::Null, |until| until.to_string().into()))
                .with("trace", serde_json::to_value(trace).unwrap_or(Value::Null)),
            Refusal::NotReplayable { why: _ } => Self::new(Code::NotReplayable, detail),
            Refusal::Policy { why: _ } => Self::new(Code::PolicyRefused, detail).about("policy"),
            Refusal::TooManySilences { why: _ } => Self::new(Code::TooManySilences, detail),
            Refusal::KeyReused => Self::new(Code::KeyReused, detail),
            Refusal::Journal { why: _ } => Self::new(Code::JournalFailed, detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_word_and_a_status_of_an_error() {
        let words: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!((400..=599).contains(&code.status()), "{code:?}");
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code:?}");
        }
    }

    #[test]
    fn a_problem_says_everything_it_promises() {
        let trace = TraceId::from_text("4bf92f3577b34da6a3ce929d0e0e4736");
        let response = Problem::query("limit", "expected 1 to 1000").traced(&trace).error_response();
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers().get(CONTENT_TYPE).unwrap(), PROBLEM_JSON);
        let Ok(body) = actix_web::body::MessageBody::try_into_bytes(response.into_body()) else {
            panic!("a problem is sent whole");
        };
        let body: Value = serde_json::from_slice(&body).unwrap();
        let expected = serde_json::json!({
            "type": "urn:unhang:problem:invalid_query", "title": "A query parameter is wrong", "status": 400,
            "code": "invalid_query", "detail": "limit: expected 1 to 1000", "field": "limit",
            "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
        });
        assert_eq!(body, expected);
    }
}
