//! The verdict over one interrupt: what the exchange gave becomes exactly one of four outcomes.
//!
//! Owns: the documented list of refusals. Never: I/O, a clock, a guess. What is not proven is unknown.
//!
//! Source of the list: <https://api-gov.ncloud-docs.com/docs/api-call-lgc-errorhandling>.

use sha2::{Digest as _, Sha256};

use super::text::safe;
use super::wire::{self, Answer, CloudError, Layer, WireError};
use crate::domain::answer::CloudAnswer;
use crate::domain::remediation::Outcome;
use crate::domain::server::{RegionCode, ServerNo};

/// Envelope of a successful interrupt, in both formats.
const ENVELOPE: &str = "interruptServerInstanceResponse";

/// HTTP status and gateway `errorCode` of refusals made before the server service was reached.
const GATEWAY_REFUSALS: [(u16, &str); 9] = [
    (400, "100"),
    (401, "200"),
    (401, "210"),
    (403, "230"),
    (404, "300"),
    (413, "430"),
    (429, "400"),
    (429, "410"),
    (429, "420"),
];

/// Gateway codes that mean the same when they come inside a 2xx.
const GATEWAY_REFUSALS_INSIDE_2XX: [&str; 8] = ["100", "200", "210", "300", "400", "410", "420", "430"];

/// Gateway codes that say that our keys or rights are wrong, so that every further call will fail too.
pub(super) const GATEWAY_AUTH_CODES: [&str; 3] = ["200", "210", "230"];

/// Service code "cannot be controlled", seen while another operation runs.
const NOT_CONTROLLABLE: &str = "1100031";

/// Service codes documented as temporary or inner trouble (HTTP 500): no refusal, whatever the status says.
const SERVICE_TROUBLE: [&str; 3] = ["1000", "3000", "3000100"];

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `regionCode`
    pub region: RegionCode,
    /// `serverInstanceNo`
    pub server_no: ServerNo,
}

/// What one exchange gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// Proof that no byte of the request left.
    NotSent {
        /// The proof, in words.
        why: String,
    },
    /// The head of an answer came.
    Answered {
        /// HTTP status.
        status: u16,
        /// `Date` header in epoch milliseconds.
        server_date_ms: Option<i64>,
        /// What came of the body.
        body: AnswerBody,
    },
    /// Something may have left and no answer came.
    Lost {
        /// What was seen, in words.
        why: String,
    },
}

/// The body of an answer, as far as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerBody {
    /// All of it.
    Complete(Vec<u8>),
    /// It broke off.
    Broken {
        /// The bytes before.
        read: Vec<u8>,
        /// What was seen, in words.
        why: String,
    },
    /// It was longer than the limit; the bytes up to it.
    Oversize(Vec<u8>),
}

impl AnswerBody {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Complete(bytes) | Self::Oversize(bytes) | Self::Broken { read: bytes, why: _ } => bytes,
        }
    }
}

/// What is remembered of one attempt. All texts but the answer are safe to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptReport {
    /// How it ended.
    pub outcome: Outcome,
    /// Why, for an operator.
    pub cause: String,
    /// The vendor's `requestId`, where the answer has one.
    pub request_id: Option<String>,
    /// `returnCode` or, on an error body, the code of the layer that refused.
    pub return_code: Option<String>,
    /// `returnMessage` or, on an error body, its message.
    pub return_message: Option<String>,
    /// HTTP status, if the head of an answer came.
    pub http_status: Option<u16>,
    /// SHA-256 (hex) of the body as it is kept, if the head of an answer came.
    pub body_sha256: Option<String>,
    /// The body itself, if the head of an answer came.
    pub answer: Option<CloudAnswer>,
    /// The cloud refuses our keys (401, 403 or the gateway's codes for it): nothing more may be sent.
    pub raises_hold: bool,
    /// `Date` header in epoch milliseconds.
    pub server_date_ms: Option<i64>,
}

impl AttemptReport {
    /// The same with no key of ours in it. `without` gives the bytes without keys, where any stood in them.
    pub(super) fn without_keys(mut self, without: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Self {
        let clean = |text: &mut String| {
            if let Some(bytes) = without(text.as_bytes()) {
                *text = String::from_utf8_lossy(&bytes).into_owned();
            }
        };
        clean(&mut self.cause);
        let said = [&mut self.request_id, &mut self.return_code, &mut self.return_message];
        said.into_iter().flatten().for_each(clean);
        if let Some(answer) = &mut self.answer
            && let Some(bytes) = without(&answer.bytes)
        {
            self.body_sha256 = Some(sha256(&bytes));
            (answer.bytes, answer.key_removed) = (bytes, true);
        }
        self
    }
}

/// Judges one exchange.
pub fn classify(exchange: &Exchange, asked: &Asked) -> AttemptReport {
    match exchange {
        Exchange::NotSent { why } => unanswered(Outcome::NotSent, &format!("nothing was sent: {why}")),
        Exchange::Lost { why } => {
            unanswered(Outcome::Unknown, &format!("no answer, the cloud may have acted: {why}"))
        }
        Exchange::Answered { status, server_date_ms, body } => {
            answered(*status, *server_date_ms, body, asked)
        }
    }
}

fn unanswered(outcome: Outcome, cause: &str) -> AttemptReport {
    AttemptReport {
        outcome,
        cause: safe(cause),
        request_id: None,
        return_code: None,
        return_message: None,
        http_status: None,
        body_sha256: None,
        answer: None,
        raises_hold: false,
        server_date_ms: None,
    }
}

fn answered(status: u16, server_date_ms: Option<i64>, body: &AnswerBody, asked: &Asked) -> AttemptReport {
    let (outcome, cause, answer) = match body {
        AnswerBody::Broken { read: _, why } => {
            (Outcome::Unknown, format!("answer {status} broke off: {why}"), Answer::default())
        }
        AnswerBody::Oversize(_) => {
            (Outcome::Unknown, format!("answer {status} is larger than an answer can be"), Answer::default())
        }
        AnswerBody::Complete(bytes) => match wire::parse(bytes, Some(&asked.region)) {
            Ok(answer) => {
                let (outcome, cause) = judge(status, &answer, asked);
                (outcome, cause, answer)
            }
            Err(error) => (Outcome::Unknown, unreadable(status, &error), Answer::default()),
        },
    };
    let auth_refused = answer.error.as_ref().is_some_and(|error| {
        error.layer == Layer::Gateway && GATEWAY_AUTH_CODES.contains(&error.code.as_str())
    });
    let (return_code, return_message) = match answer.error {
        Some(error) => (Some(error.code).filter(|code| !code.is_empty()), Some(error.message)),
        None => (answer.return_code, answer.return_message),
    };
    AttemptReport {
        outcome,
        cause: safe(&cause),
        request_id: answer.request_id,
        return_code,
        return_message,
        http_status: Some(status),
        body_sha256: Some(sha256(body.bytes())),
        answer: Some(CloudAnswer {
            bytes: body.bytes().to_vec(),
            incomplete: !matches!(body, AnswerBody::Complete(_)),
            key_removed: false,
        }),
        raises_hold: auth_refused || matches!(status, 401 | 403),
        server_date_ms,
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn unreadable(status: u16, error: &WireError) -> String {
    format!("answer {status} cannot be read, the cloud may have acted: {error}")
}

/// The table itself: status class and body decide.
fn judge(status: u16, answer: &Answer, asked: &Asked) -> (Outcome, String) {
    match (status, &answer.error) {
        (200..=299, None) => judge_response(status, answer, asked),
        (200..=299, Some(error)) if refuses_inside_2xx(error) => (Outcome::Rejected, refusal(status, error)),
        (400 | 401 | 403 | 404 | 413 | 429, Some(error)) if refuses(status, error) => {
            (Outcome::Rejected, refusal(status, error))
        }
        (_, Some(error)) => (
            Outcome::Unknown,
            format!("{}: not a documented refusal, the cloud may have acted", refusal(status, error)),
        ),
        (_, None) => (
            Outcome::Unknown,
            format!("answer {status} without an error body of the vendor, the cloud may have acted"),
        ),
    }
}

/// A 2xx with a response: return code 0 and, where servers are listed, exactly the one asked for.
fn judge_response(status: u16, answer: &Answer, asked: &Asked) -> (Outcome, String) {
    if answer.envelope != ENVELOPE {
        let cause = format!("answer {status} holds {} instead of {ENVELOPE}", answer.envelope);
        return (Outcome::Unknown, cause);
    }
    match answer.return_code.as_deref() {
        Some("0") => {}
        Some(NOT_CONTROLLABLE) => {
            let cause =
                format!("answer {status}: return code {NOT_CONTROLLABLE}, the server cannot be controlled");
            return (Outcome::Rejected, cause);
        }
        Some(code) => {
            let cause = format!("answer {status} with return code {code}, the cloud may have acted");
            return (Outcome::Unknown, cause);
        }
        None => {
            let cause = format!("answer {status} without a return code, the cloud may have acted");
            return (Outcome::Unknown, cause);
        }
    }
    let asked_no = asked.server_no.as_str();
    let lists_only_asked = answer
        .server_numbers
        .as_ref()
        .is_none_or(|numbers| !numbers.is_empty() && numbers.iter().all(|no| no == asked_no));
    if lists_only_asked {
        (Outcome::Accepted, format!("answer {status}, return code 0 for server {asked_no}"))
    } else {
        let listed = answer.server_numbers.as_deref().unwrap_or_default().join(", ");
        let cause =
            format!("answer {status}, return code 0, but for servers [{listed}] instead of {asked_no}");
        (Outcome::Unknown, cause)
    }
}

fn refuses(status: u16, error: &CloudError) -> bool {
    match error.layer {
        Layer::Gateway => GATEWAY_REFUSALS.contains(&(status, error.code.as_str())),
        Layer::Service => {
            let code = error.code.as_str();
            status == 400 && !code.is_empty() && code != "0" && !SERVICE_TROUBLE.contains(&code)
        }
    }
}

fn refuses_inside_2xx(error: &CloudError) -> bool {
    match error.layer {
        Layer::Gateway => GATEWAY_REFUSALS_INSIDE_2XX.contains(&error.code.as_str()),
        Layer::Service => error.code == NOT_CONTROLLABLE,
    }
}

fn refusal(status: u16, error: &CloudError) -> String {
    let layer = error.layer.as_str();
    format!("answer {status}, {layer} error {}: {}", error.code, error.message)
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
