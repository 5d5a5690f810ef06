//! Posting: one batch of spans as OTLP over HTTP with protobuf, once.
//!
//! Never: follows a redirect, tells an address or its secret, or waits longer than its limit.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response, redirect, retry};
use secrecy::ExposeSecret as _;

use super::span::text;
use crate::config::OtlpConfig;
use crate::telemetry::chain;

/// Longest wait for the answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes read of it.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Posts spans.
#[derive(Debug)]
pub(super) struct Poster {
    client: Result<Client, String>,
}

/// Why a batch was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// It is the batch that was refused: it never will be taken.
    Refused(String),
    /// It may be taken later.
    Later(String),
}

impl Default for Poster {
    fn default() -> Self {
        let built = Client::builder()
            .no_proxy()
            .retry(retry::never())
            .redirect(redirect::Policy::none())
            .timeout(TIMEOUT)
            .user_agent(concat!("unhang/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { client: built.map_err(|error| format!("the HTTP client cannot be built: {}", chain(&error))) }
    }
}

impl Poster {
    /// Posts one batch once; how many of its spans the collector rejected.
    pub(super) async fn post(&self, otlp: &OtlpConfig, spans: Vec<Span>) -> Result<usize, NotTaken> {
        let client = self.client.as_ref().map_err(|why| NotTaken::Later(why.clone()))?;
        let body = batch(spans).encode_to_vec();
        let mut request =
            client.post(&otlp.traces_url).header(CONTENT_TYPE, "application/x-protobuf").body(body);
        if let Some(bearer) = &otlp.bearer {
            request = request.bearer_auth(bearer.expose_secret());
        }
        let response = request.send().await.map_err(|error| NotTaken::Later(chain(&error.without_url())))?;
        let status = response.status().as_u16();
        match status {
            200..=299 => Ok(rejected(response).await),
            400 | 413 | 422 => Err(NotTaken::Refused(format!("answered {status}"))),
            // A wrong address or secret, too much at once, a fault of theirs: all of them pass.
            _ => Err(NotTaken::Later(format!("answered {status}"))),
        }
    }
}

fn batch(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let version = env!("CARGO_PKG_VERSION");
    let attributes = [text("service.name", "unhang"), text("service.version", version)];
    let resource = Resource { attributes: attributes.into_iter().flatten().collect(), ..Resource::default() };
    let scope = InstrumentationScope {
        name: "unhang".to_owned(),
        version: version.to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let all = ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![all] }
}

/// Spans that a collector which answered 2xx left out all the same. An answer that cannot be read tells of none.
async fn rejected(mut response: Response) -> usize {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if bytes.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            return 0;
        }
        bytes.extend_from_slice(&chunk);
    }
    let answer = ExportTraceServiceResponse::decode(bytes.as_slice()).unwrap_or_default();
    answer.partial_success.map_or(0, |partial| usize::try_from(partial.rejected_spans).unwrap_or(0))
}
