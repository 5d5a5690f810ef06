//! The interrupt client: sends one prepared request once and says what became of it.
//!
//! Owns: the only code that can cause an effect. Never: sends twice, follows a redirect, uses a proxy or an
//! old connection, signs anew, reads without a limit. Must run in an owned task: a dropped future may
//! already have acted.

use std::fmt;
use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method, Url, redirect, retry};
use rustls_platform_verifier::BuilderVerifierExt as _;
use sha2::{Digest as _, Sha256};

use super::outcome::{self, Asked, AttemptReport, Exchange};
use super::request::{self, CONNECT_TIMEOUT_MAX, ClientError, Cloud, SignedHeaders, USER_AGENT};
use super::text::chain;
use crate::config::{CallMethod, CloudConfig};
use crate::domain::server::{RegionCode, ServerNo};

/// Most bytes read of an answer; a real one has about two thousand.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The vendor's action.
/// <https://api.ncloud-docs.com/docs/en/compute-vserver-server-interruptserverinstance>
const ACTION: &str = "interruptServerInstance";

/// Sends interrupts and nothing else.
#[derive(Debug)]
pub struct InterruptClient {
    cloud: Cloud,
    method: CallMethod,
    timeout: Duration,
    // The system's CA certificates, read once: reading them takes longer than a call.
    tls: rustls::ClientConfig,
}

/// One signed request. It cannot be copied, and sending it uses it up.
pub struct PreparedInterrupt {
    asked: Asked,
    method: Method,
    url: Url,
    body: Option<String>,
    headers: SignedHeaders,
}

impl PreparedInterrupt {
    /// SHA-256 (hex) over method, path with query, and body, one per line.
    pub fn request_hash(&self) -> String {
        let body = self.body.as_deref().unwrap_or_default();
        let text = format!("{} {}\n{body}", self.method, request::path_and_query(&self.url));
        hex::encode(Sha256::digest(text.as_bytes()))
    }

    /// The timestamp that was signed and will be on the wire.
    pub fn signed_at_ms(&self) -> i64 {
        self.headers.timestamp_ms
    }
}

impl fmt::Debug for PreparedInterrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedInterrupt")
            .field("asked", &self.asked)
            .field("method", &self.method)
            .field("url", &self.url.as_str())
            .field("body", &self.body)
            .field("headers", &self.headers)
            .finish()
    }
}

impl InterruptClient {
    pub(super) fn renew_keys(&self, config: &CloudConfig) -> Result<(), ClientError> {
        self.cloud.renew_keys(config)
    }

    /// Checks the configuration and that a client can be built at all.
    pub fn new(config: &CloudConfig) -> Result<Self, ClientError> {
        let made = Self {
            cloud: Cloud::new(config)?,
            method: config.method,
            timeout: request::time_limit(config.timeout)?,
            tls: trusted_roots().map_err(|error| ClientError::Build(chain(&error)))?,
        };
        made.connectable(CONNECT_TIMEOUT_MAX).map_err(|error| ClientError::Build(chain(&error)))?;
        Ok(made)
    }

    /// Writes and signs the request for one server. Always names the region: without it the vendor silently
    /// takes the first one.
    pub fn prepare(&self, region: &RegionCode, server_no: &ServerNo, signed_at_ms: i64) -> PreparedInterrupt {
        let parameters = request::encode(&[
            ("regionCode", region.as_str()),
            ("serverInstanceNo", server_no.as_str()),
            self.cloud.format_pair(),
        ]);
        let (method, url, body) = match self.method {
            CallMethod::Post => (Method::POST, self.cloud.url(ACTION, None), Some(parameters)),
            CallMethod::Get => (Method::GET, self.cloud.url(ACTION, Some(&parameters)), None),
        };
        PreparedInterrupt {
            asked: Asked { region: region.clone(), server_no: server_no.clone() },
            headers: self.cloud.sign(&method, &url, signed_at_ms),
            method,
            url,
            body,
        }
    }

    /// Sends once, unless `send_before` has passed, and judges what came of it.
    pub async fn send(&self, prepared: PreparedInterrupt, send_before: Instant) -> AttemptReport {
        let asked = prepared.asked.clone();
        let exchange = self.exchange(prepared, send_before).await;
        // A gateway may repeat what it refuses; a key must not get into the audit that way.
        outcome::classify(&exchange, &asked).without_keys(|bytes| self.cloud.without_keys(bytes))
    }

    async fn exchange(&self, prepared: PreparedInterrupt, send_before: Instant) -> Exchange {
        // Sending is halted without keys; a request that was signed with none proves nothing and leaves nothing.
        if !self.cloud.has_keys() {
            return Exchange::NotSent { why: "there were no keys to sign with".to_owned() };
        }
        let left = send_before.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return too_late();
        }
        // A client of its own for each request: its one connection is new, and its connect timeout fits.
        let client = match self.connectable(left.min(CONNECT_TIMEOUT_MAX)) {
            Ok(client) => client,
            Err(error) => return not_sent(&error),
        };
        let PreparedInterrupt { asked: _, method, url, body, headers } = prepared;
        let mut builder = client.request(method, url);
        if let Some(body) = body {
            builder = builder.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        }
        let request = match headers.finish(builder) {
            Ok(request) => request,
            Err(error) => return not_sent(&error.without_url()),
        };
        if Instant::now() >= send_before {
            return too_late();
        }
        match client.execute(request).await {
            Ok(response) => Exchange::Answered {
                status: response.status().as_u16(),
                server_date_ms: request::date_ms(&response),
                body: request::read_capped(response, ANSWER_BYTES_MAX).await,
            },
            // Name, connection or TLS failed on a connection that never carried the request.
            Err(error) if error.is_connect() || error.is_builder() => not_sent(&error.without_url()),
            Err(error) => Exchange::Lost { why: chain(&error.without_url()) },
        }
    }

    fn connectable(&self, connect_timeout: Duration) -> Result<Client, reqwest::Error> {
        Client::builder()
            .http1_only()
            .https_only(self.cloud.is_https())
            .no_proxy()
            .retry(retry::never())
            .redirect(redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .tls_backend_preconfigured(self.tls.clone())
            .connect_timeout(connect_timeout)
            .timeout(self.timeout)
            .user_agent(USER_AGENT)
            .build()
    }
}

/// TLS with the certificates that the system trusts.
fn trusted_roots() -> Result<rustls::ClientConfig, rustls::Error> {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_platform_verifier()?.with_no_client_auth())
}

fn too_late() -> Exchange {
    Exchange::NotSent { why: "the time to send it had passed".to_owned() }
}

fn not_sent(error: &reqwest::Error) -> Exchange {
    Exchange::NotSent { why: chain(error) }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
