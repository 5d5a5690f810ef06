//! Reads that the vendor wants as POST with a JSON body: Cloud Activity Tracer and Cloud Insight, each at its own host.
//!
//! Never: calls anything that changes something, or repeats with an old signature. The body is not signed.

use std::sync::Arc;
use std::time::Duration;

use backon::Retryable as _;
use governor::DefaultDirectRateLimiter;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method};
use serde_json::Value;

use super::outcome::AnswerBody;
use super::read_error::ReadError;
use super::request::{self, ClientError, Cloud};
use super::wire::{self, CloudError};
use crate::config::CloudConfig;

/// Our wall clock in epoch milliseconds.
pub(super) type WallClock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Posts questions to one host.
pub(super) struct Poster {
    cloud: Cloud,
    client: Client,
    timeout: Duration,
    pace: DefaultDirectRateLimiter,
    now_ms: WallClock,
}

impl std::fmt::Debug for Poster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poster").field("cloud", &self.cloud).finish_non_exhaustive()
    }
}

impl Poster {
    pub(super) fn new(config: &CloudConfig, endpoint: &str, now_ms: WallClock) -> Result<Self, ClientError> {
        let cloud = Cloud::at(endpoint, config)?;
        let timeout = request::time_limit(config.read_timeout)?;
        let client = request::read_client(&cloud, timeout)?;
        let pace = request::pace(config);
        Ok(Self { cloud, client, timeout, pace, now_ms })
    }

    pub(super) fn renew_keys(&self, config: &CloudConfig) -> Result<(), ClientError> {
        self.cloud.renew_keys(config)
    }

    /// Asks with repeats where the same question may do better.
    pub(super) async fn ask_patiently(
        &self,
        action: &'static str,
        path: &str,
        question: &Value,
        bytes_max: usize,
    ) -> Result<Vec<u8>, ReadError> {
        (|| self.ask(action, path, question, bytes_max))
            .retry(request::repeats())
            .when(ReadError::may_repeat)
            .await
    }

    /// Asks once, signed afresh. The bytes are those of a 2xx answer that is no error body.
    pub(super) async fn ask(
        &self,
        action: &'static str,
        path: &str,
        question: &Value,
        bytes_max: usize,
    ) -> Result<Vec<u8>, ReadError> {
        if !self.cloud.has_keys() {
            return Err(ReadError::without_keys(action));
        }
        self.pace.until_ready().await;
        let url = self.cloud.url_of(path);
        let headers = self.cloud.sign(&Method::POST, &url, (self.now_ms)());
        let body = question.to_string();
        let request = self.client.post(url).header(CONTENT_TYPE, "application/json").body(body);
        let failed = |error| ReadError::of_request(action, error, self.timeout);
        let request = headers.finish(request).map_err(failed)?;
        let response = self.client.execute(request).await.map_err(failed)?;
        let status = response.status().as_u16();
        let unreadable = |why: String| ReadError::Unreadable { action, status, why };
        let bytes = match request::read_capped(response, bytes_max).await {
            AnswerBody::Complete(bytes) => bytes,
            AnswerBody::Broken { read: _, why } => return Err(ReadError::Broken { action, why }),
            AnswerBody::Oversize(_) => {
                return Err(unreadable(format!("it is longer than {bytes_max} bytes")));
            }
        };
        if let Some(error) = refusal(&bytes) {
            return Err(ReadError::Refused { action, status, error });
        }
        if (200..300).contains(&status) { Ok(bytes) } else { Err(unreadable("it is no success".to_owned())) }
    }
}

/// The vendor's error body, if it is one.
fn refusal(bytes: &[u8]) -> Option<CloudError> {
    wire::parse(bytes, None).ok()?.error
}
