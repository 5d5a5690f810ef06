//! The last step before the request leaves and the first after its answer: the attempt journal, and the hold file once
//! more.
//!
//! Never: hands over what the journal does not hold, or keeps an answer back because the journal cannot be written.

use std::time::Instant;

use crate::domain::remediation::Outcome;
use crate::journal::{AnswerLine, Entry, IntentLine};
use crate::ncloud::{AttemptReport, InterruptClient, PreparedInterrupt};
use crate::service::{Service, hold_file};
use crate::telemetry::chain;

/// Writes the intent into the journal, looks at the hold file, hands the request over, and writes the answer down.
/// Without the first line nothing is sent, and nothing else is until the journal can be written again.
pub(super) async fn hand_over(
    service: &Service,
    client: &InterruptClient,
    prepared: PreparedInterrupt,
    send_before: Instant,
    intent: IntentLine,
) -> AttemptReport {
    let nonce = intent.nonce.clone();
    if let Err(error) = service.journal.write(Entry::Intent(intent)).await {
        return not_sent(chain(&error));
    }
    let report = match hold_file(&service.config().store.hold_file) {
        Some(why) => not_sent(format!("{why}, seen just before the hand-over")),
        None => client.send(prepared, send_before).await,
    };
    let answer = AnswerLine {
        nonce,
        outcome: report.outcome,
        cause: report.cause.clone(),
        request_id: report.request_id.clone(),
        return_code: report.return_code.clone(),
        return_message: report.return_message.clone(),
        http_status: report.http_status,
        body_sha256: report.body_sha256.clone(),
        raises_hold: report.raises_hold,
        answer: report.answer.clone(),
    };
    if let Err(error) = service.journal.write(Entry::Answer(answer)).await {
        tracing::error!(error = %chain(&error), "the answer is not in the attempt journal; it is stored all the same");
    }
    report
}

fn not_sent(cause: String) -> AttemptReport {
    AttemptReport {
        outcome: Outcome::NotSent,
        cause,
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

#[cfg(test)]
#[path = "handover_tests.rs"]
mod tests;
