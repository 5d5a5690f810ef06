//! Spans: identifiers that are the same whoever makes them, and the form that a collector takes.
//!
//! Never: an attribute without a bound.

use jiff::Timestamp;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use sha2::{Digest as _, Sha256};

use crate::domain::notice::plain;

/// Characters of a text that are told.
const TEXT_MAX: usize = 200;
/// `flags` of a span that was sampled.
const SAMPLED: u32 = 1;

/// A span that others can be below, or point at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) trace: Vec<u8>,
    pub(super) span: Vec<u8>,
}

impl Place {
    /// The place of the span with these words in a trace. Made of the words alone, so that a span which is told after a
    /// restart, or twice, is the same span.
    pub(super) fn of(trace: &[u8], words: &[&str]) -> Self {
        let mut digest = Sha256::new_with_prefix("unhang span");
        for word in words {
            digest.update([0]);
            digest.update(word);
        }
        Self { trace: trace.to_vec(), span: digest.finalize().iter().take(8).copied().collect() }
    }
}

/// The bytes of a trace identifier; none where it is not one.
pub(super) fn trace_of(text: Option<&str>) -> Option<Vec<u8>> {
    hex::decode(text?).ok().filter(|bytes| bytes.len() == 16)
}

/// A span from its place, its times and its words.
pub(super) fn span(
    place: Place,
    parent: Option<Vec<u8>>,
    name: &str,
    kind: SpanKind,
    (start, end): (Timestamp, Timestamp),
) -> Span {
    Span {
        trace_id: place.trace,
        span_id: place.span,
        parent_span_id: parent.unwrap_or_default(),
        flags: SAMPLED,
        name: name.to_owned(),
        kind: kind.into(),
        start_time_unix_nano: nanos(start),
        end_time_unix_nano: nanos(end.max(start)),
        ..Span::default()
    }
}

fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond()).unwrap_or(0)
}

/// A text, clipped and without marks that steer.
pub(super) fn text(key: &'static str, value: &str) -> Option<KeyValue> {
    let value = plain(value, TEXT_MAX);
    (!value.is_empty()).then(|| pair(key, Value::StringValue(value)))
}

/// A text that may be missing.
pub(super) fn text_opt(key: &'static str, value: Option<&String>) -> Option<KeyValue> {
    text(key, value?)
}

/// A whole number that may be missing.
pub(super) fn number(key: &'static str, value: Option<i64>) -> Option<KeyValue> {
    value.map(|value| pair(key, Value::IntValue(value)))
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Marks a span as failed, with the word for it.
pub(super) fn failed(word: &str) -> Status {
    Status { message: plain(word, TEXT_MAX), code: StatusCode::Error.into() }
}

/// A link to another span.
pub(super) fn link(to: Place) -> Link {
    Link { trace_id: to.trace, span_id: to.span, flags: SAMPLED, ..Link::default() }
}
