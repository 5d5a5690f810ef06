//! Problems in the document: their schema, and an example of each code.
//!
//! Never: a code that the closed table does not have; the table is asked.

use serde_json::{Map, Value, json};

use super::describe::PROBLEMS;
use crate::http::problem::{Code, Problem};

/// Codes that pages for people alone answer with.
const OF_PAGES: [Code; 1] = [Code::PlainLine];

/// Codes that the API answers with.
pub(super) fn told() -> impl Iterator<Item = Code> {
    Code::ALL.iter().copied().filter(|code| !OF_PAGES.contains(code))
}

/// The schema of every error answer.
pub(super) fn schema() -> Value {
    let codes: Vec<&str> = told().map(Code::as_str).collect();
    let time = json!({ "type": "string", "format": "date-time" });
    json!({
        "type": "object",
        "description": "An error answer (RFC 9457).",
        "required": ["type", "title", "status", "code", "detail", "traceId"],
        "additionalProperties": false,
        "properties": {
            "type": { "type": "string", "pattern": "^urn:unhang:problem:[a-z_]+$" },
            "title": { "type": "string", "description": "A few words; the same for every problem of this code." },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "code": { "type": "string", "enum": codes },
            "detail": { "type": "string", "description": "What is wrong here, and what was expected." },
            "field": { "type": "string", "description": "The parameter, field or header that is wrong." },
            "traceId": { "$ref": "#/components/schemas/TraceId" },
            "neededRole": { "type": "string", "description": "`role_too_low`: the least role that suffices." },
            "state": { "$ref": "#/components/schemas/State" },
            "currentVersion": { "type": "integer", "description": "`version_changed`: its version now." },
            "lastNoticeAt": time,
            "limit": { "type": "integer", "description": "`too_many_at_once`: how many one person may have." },
            "newest": { "type": "integer", "description": "`invalid_query` of `after`: the newest place." },
            "until": {
                "type": ["string", "null"], "format": "date-time",
                "description": "`too_early`, `guard_refused`: when time lifts the no.",
            },
            "reason": { "$ref": "#/components/schemas/Reason" },
            "trace": { "$ref": "#/components/schemas/Trace" },
            "ready": { "type": "boolean", "description": "`not_ready`: false." },
            "checks": { "$ref": "#/components/schemas/Checks" },
        },
    })
}

/// The answer of one status with the codes that it may carry.
pub(super) fn response(status: u16, codes: &[Code]) -> Value {
    let words: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let titles: Vec<String> =
        codes.iter().map(|code| format!("`{}`: {}.", code.as_str(), code.title())).collect();
    let examples: Map<String, Value> = words
        .iter()
        .map(|word| ((*word).to_owned(), json!({ "$ref": format!("#/components/examples/{word}") })))
        .collect();
    json!({
        "description": titles.join(" "),
        "content": { PROBLEMS: {
            "schema": { "allOf": [
                { "$ref": "#/components/schemas/Problem" },
                { "properties": { "status": { "const": status }, "code": { "enum": words } } },
            ] },
            "examples": examples,
        } },
    })
}

/// An example of each code.
pub(super) fn examples() -> Value {
    let all = told().map(|code| {
        (code.as_str().to_owned(), json!({ "summary": code.title(), "value": example(code).members() }))
    });
    Value::Object(all.collect())
}

fn example(code: Code) -> Problem {
    let at = "2026-11-22T03:22:00Z";
    let problem = |detail: &str| Problem::new(code, detail);
    let problem = match code {
        Code::BadRequest => problem("the body could not be read to its end"),
        Code::InvalidQuery => problem("limit: expected a number from 1 to 1000").about("limit"),
        Code::InvalidBody => problem("reason: say why; it is kept in the audit").about("reason"),
        Code::InvalidHeader => {
            let detail = "idempotency-key: expected one of 1 to 128 visible ASCII characters";
            problem(detail).about("idempotency-key")
        }
        Code::UnreadableJson => problem("not JSON: expected value at line 1 column 1"),
        Code::BadCredential => problem("no source of this name takes this credential"),
        Code::Unauthenticated => problem("send the header authorization: Bearer TOKEN with a token of this service"),
        Code::RoleTooLow => problem("this needs the role approver; yours is viewer").with("neededRole", "approver"),
        Code::ForeignOrigin => problem("pages of other origins may not change anything here"),
        Code::SamePerson => problem("another person than the one who asked for it must do this"),
        Code::NotYourServer => {
            problem("the source guests may not speak for server 90000001: neither its number nor its name is among its servers")
        }
        Code::NoSuchRoute => problem("no route has this path; the API is under /api/v1"),
        Code::NotFound => problem("there is nothing with this identifier"),
        Code::MethodNotAllowed => problem("see the allow header for what this path takes"),
        Code::PlainLine => problem("nobody may log in over a line that others can read"),
        Code::TooManyStreams => problem("200 event streams are open; close one, or try again"),
        Code::TooManyAtOnce => {
            problem("a person may have at most 2 exports open at once: let one end, then ask again").with("limit", 2)
        }
        Code::TooManySilences => problem("500 silences have not ended; end some of them first"),
        Code::BodyTimeout => problem("the whole body must be here within 10 s"),
        Code::WrongState => problem("it is confirmed; this cannot be done now").with("state", "confirmed"),
        Code::VersionChanged => {
            problem("it has changed since you looked: it is at version 4 now").with("currentVersion", 4)
        }
        Code::ConfirmStillHung => {
            problem("the last notice came at 2026-11-22T03:22:00Z; look at the server, then confirm that it still hangs")
                .about("confirmStillHung")
                .with("lastNoticeAt", at)
        }
        Code::TooEarly => {
            problem("a late request could still take effect; say so after 2026-11-22T03:22:00Z").with("until", at)
        }
        Code::GuardRefused => problem("cooldown: interrupted 2 h ago (wanted: 24h)")
            .with("reason", "cooldown")
            .with("until", at)
            .with("trace", json!([{
                "guard": "cooldown", "verdict": "stop", "seen": "interrupted 2 h ago", "limit": "24h", "until": at,
            }])),
        Code::NotReplayable => problem("source grafana is not configured any more"),
        Code::NothingToCollect => problem("no interrupt of server 90000001 is known whose dump is not collected"),
        Code::BodyTooLarge => problem("a body may have 65536 bytes at most"),
        Code::TooManyAlerts => problem("1001 alerts; at most 1000 are read"),
        Code::ContentEncoding => problem("send the body as it is, without content-encoding"),
        Code::ContentType => problem("send the header content-type: application/json"),
        Code::WrongShape => problem("alerts: missing"),
        Code::ActivityNotChecked => {
            problem("look at the cloud's activity record first, then say activityChecked").about("activityChecked")
        }
        Code::PolicyRefused => problem("there is no policy hung-windows").about("policy"),
        Code::KeyReused => problem("this Idempotency-Key was used for another request; use a new one"),
        Code::TooManyAttempts => problem("too many wrong tokens from this address; wait a minute"),
        Code::Internal => problem("see the log of the service under this trace"),
        Code::Overloaded => problem("more deliveries than can be taken in; send again"),
        Code::StoreFailed => problem("the store could not be read or written; try again"),
        Code::Stopping => problem("the service is stopping; send again"),
        Code::NotReady => problem("the store does not answer").with("ready", false),
        Code::JournalFailed => problem("the attempt journal cannot be written: no space left on device"),
    };
    problem.traced(&crate::domain::ids::TraceId::from_text("4bf92f3577b34da6a3ce929d0e0e4736"))
}
