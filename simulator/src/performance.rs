//! Performance: turns a behaviour and the proper answer into what goes over the wire.
//!
//! Never: delivers or undoes anything; by now that is settled.

use crate::behaviour::Behaviour;
use crate::document::{Format, Node};
use crate::gateway::{Denial, traced};
use crate::instance::Envelope;
use crate::wire::Answer;

/// What the connection is to do.
#[derive(Debug)]
pub(crate) enum Reply {
    Whole(Answer),
    /// The head announces all, the body stops half-way.
    Truncated(Answer),
    /// The body is followed by blanks.
    Oversize(Answer),
    Dripped(Answer, u64),
    /// Close in order, without a byte.
    Close,
    /// Reset, without a byte.
    Reset,
    Stall {
        ms: u64,
    },
    Garbage,
}

impl Behaviour {
    /// Whether a `requestId` is in the answer, if that is JSON.
    pub(crate) fn tells_request_id(&self) -> bool {
        let silent = matches!(
            self,
            Self::OkWithoutRequestId
                | Self::OkAsXml
                | Self::DoneThenClosed
                | Self::DoneThenReset
                | Self::DoneThen500
                | Self::DoneThen503
                | Self::DoneThen504
        );
        !silent
    }

    /// The envelope in which this behaviour answers.
    fn envelope(&self, format: Format, request_id: &str) -> Envelope {
        let as_xml = *self == Self::OkAsXml;
        let mut envelope = Envelope::success(if as_xml { Format::Xml } else { format }, request_id);
        if *self == Self::OkWithoutRequestId {
            envelope.request_id = None;
        }
        if *self == Self::OkWithoutReturnCode {
            envelope.return_code = None;
        }
        if let Self::OkWithReturnCode { code } = self {
            envelope.return_code = Some(code.clone());
        }
        envelope
    }
}

/// One call to be answered.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// The target of the request, to which redirects lead back.
    pub(crate) target: &'a str,
    pub(crate) format: Format,
    pub(crate) error_format: Format,
    pub(crate) request_id: &'a str,
}

/// Plays `behaviour`. `proper` makes the answer of a cloud without faults.
pub(crate) fn perform(
    behaviour: &Behaviour,
    call: &Call<'_>,
    proper: impl FnOnce(&Envelope) -> Answer,
) -> Reply {
    let answer = || traced(proper(&behaviour.envelope(call.format, call.request_id)));
    let deny = |denial: Denial| Reply::Whole(denial.answer(call.error_format));
    match behaviour {
        Behaviour::Ok
        | Behaviour::OkSlow { .. }
        | Behaviour::OkWithoutRequestId
        | Behaviour::OkWithoutReturnCode
        | Behaviour::OkWithReturnCode { .. }
        | Behaviour::OkAsXml
        | Behaviour::DoneAfter { .. } => Reply::Whole(answer()),
        Behaviour::OkTruncated => Reply::Truncated(answer()),
        Behaviour::OkOversize => Reply::Oversize(answer()),
        Behaviour::OkDripped { bytes_per_second } => Reply::Dripped(answer(), *bytes_per_second),
        Behaviour::DoneThenClosed | Behaviour::NotDoneClosed => Reply::Close,
        Behaviour::DoneThenReset => Reply::Reset,
        Behaviour::DoneThen500 | Behaviour::NotDone500 => deny(Denial::Unexpected),
        Behaviour::DoneThen503 => deny(Denial::EndpointError),
        Behaviour::DoneThen504 => deny(Denial::EndpointTimeout),
        Behaviour::Status503RetryAfter => {
            let answer = Denial::EndpointError.answer(call.error_format);
            Reply::Whole(answer.with_header("Retry-After", "5"))
        }
        Behaviour::Status429 => deny(Denial::RateLimited),
        Behaviour::Status401 => deny(Denial::CredentialsInvalid),
        Behaviour::Status401Permission => deny(Denial::PermissionDenied),
        Behaviour::Status403 => deny(Denial::Forbidden),
        Behaviour::Status404 => deny(Denial::NotFound),
        Behaviour::Redirect307 => Reply::Whole(redirect(307, call.target)),
        Behaviour::Redirect302 => Reply::Whole(redirect(302, call.target)),
        Behaviour::Stall { ms } => Reply::Stall { ms: *ms },
        Behaviour::Garbage => Reply::Garbage,
        Behaviour::ErrorIn200 => Reply::Whole(Denial::EndpointError.answer_in_200(call.error_format)),
        Behaviour::ResponseErrorIn200 => Reply::Whole(traced(not_controllable(200, call.format))),
    }
}

/// The server service's own error shape.
pub(crate) fn response_error(status: u16, code: &str, message: &str, format: Format) -> Answer {
    let body = Node::Object(vec![("returnCode", Node::text(code)), ("returnMessage", Node::text(message))]);
    body.answer(status, "responseError", format)
}

/// Return code 1100031, as seen while a server was in operation SETUP.
pub(crate) fn not_controllable(status: u16, format: Format) -> Answer {
    response_error(status, "1100031", "The server cannot be controlled by the NCLOUD API.", format)
}

fn redirect(status: u16, target: &str) -> Answer {
    traced(Answer::new(status, "text/plain;charset=UTF-8", Vec::new()).with_header("Location", target))
}
