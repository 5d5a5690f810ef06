//! Gateway: the API gateway before the server service. Checks signatures, and answers in its own `error` shape.
//!
//! Never: looks at servers. What it refuses has not been executed.

use uuid::Uuid;

use crate::document::{Format, Node};
use crate::params::Params;
use crate::scenario::Scenario;
use crate::signature;
use crate::wire::{Answer, Request};

/// Gateway refusals, from the vendor's table of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denial {
    BadRequest,
    CredentialsMissing,
    CredentialsInvalid,
    PermissionDenied,
    Forbidden,
    NotFound,
    TooLarge,
    RateLimited,
    EndpointError,
    EndpointTimeout,
    Unexpected,
}

impl Denial {
    /// HTTP status, `errorCode`, `message`, `details`.
    fn parts(self) -> (u16, &'static str, &'static str, &'static str) {
        match self {
            Self::BadRequest => (400, "100", "Bad Request Exception", ""),
            Self::CredentialsMissing => {
                (401, "200", "Authentication Failed", "Authentication information are missing.")
            }
            Self::CredentialsInvalid => {
                (401, "200", "Authentication Failed", "Invalid authentication information.")
            }
            Self::PermissionDenied => (401, "210", "Permission Denied", ""),
            Self::Forbidden => (403, "230", "Forbidden", ""),
            Self::NotFound => (404, "300", "Not Found Exception", ""),
            Self::TooLarge => (413, "430", "Request Entity Too Large", ""),
            Self::RateLimited => (429, "420", "Rate Limited", ""),
            Self::EndpointError => (503, "500", "Endpoint Error", ""),
            Self::EndpointTimeout => (504, "510", "Endpoint Timeout", ""),
            Self::Unexpected => (500, "900", "Unexpected Error", ""),
        }
    }

    pub(crate) fn answer(self, format: Format) -> Answer {
        let (status, code, message, details) = self.parts();
        let body = Node::Object(vec![
            ("errorCode", Node::text(code)),
            ("message", Node::text(message)),
            ("details", Node::text(details)),
        ]);
        traced(body.answer(status, "error", format))
    }

    /// The same body in HTTP 200, as one client in the field was seen to swallow.
    pub(crate) fn answer_in_200(self, format: Format) -> Answer {
        Answer { status: 200, ..self.answer(format) }
    }
}

/// Adds the header the gateway was seen to send with every answer.
pub(crate) fn traced(answer: Answer) -> Answer {
    answer.with_header("x-ncp-trace-id", Uuid::new_v4().simple().to_string())
}

/// The format of the gateway's own errors: JSON unless XML was asked for in so many words (UNCONFIRMED).
pub(crate) fn error_format(params: &Params) -> Format {
    match params.get("responseFormatType") {
        Some(asked) if asked.eq_ignore_ascii_case("xml") => Format::Xml,
        Some(_) | None => Format::Json,
    }
}

/// Checks access key, timestamp window and signature over the exact target.
pub(crate) fn authenticate(request: &Request, scenario: &Scenario, cloud_ms: i64) -> Result<(), Denial> {
    let given = (
        request.header("x-ncp-apigw-timestamp"),
        request.header("x-ncp-iam-access-key"),
        request.header("x-ncp-apigw-signature-v2"),
    );
    let (Some(timestamp), Some(access_key), Some(signature)) = given else {
        return Err(Denial::CredentialsMissing);
    };
    let signed_at: i64 = timestamp.parse().ok().ok_or(Denial::CredentialsInvalid)?;
    let expected = signature::sign(
        &scenario.secret_key,
        &request.method,
        &request.target,
        timestamp,
        &scenario.access_key,
    );
    let same_key = signature::same(&scenario.access_key, access_key);
    let same_signature = expected.is_some_and(|expected| signature::same(&expected, signature));
    let in_window = cloud_ms.abs_diff(signed_at) <= signature::WINDOW_MS;
    if same_key && same_signature && in_window { Ok(()) } else { Err(Denial::CredentialsInvalid) }
}
