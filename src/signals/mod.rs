//! Signals: asks what else can be seen of a server: its ports, Prometheus, Alertmanager.
//!
//! Owns: one HTTP client for them (no redirect, no proxy, capped answers), and how each answer is read.
//! Never: decides, follows an address of an alert, or takes an odd answer for agreement.

mod alertmanager;
mod promql;
mod tcp;

use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, redirect, retry};
use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::alert::Alert;
use crate::domain::corroboration::Seen;
use crate::domain::server::Server;
use crate::telemetry::chain;

pub use tcp::ports_closed;

/// Most bytes read of an answer.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// The server that is asked about, as the cloud describes it.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The server of the pre-flight read.
    pub server: Server,
    /// Its address, confirmed by the cloud; or why there is none.
    pub address: Result<IpAddr, String>,
}

/// Asks second signals over HTTP.
#[derive(Debug, Clone)]
pub struct Signals {
    client: Result<Client, String>,
}

impl Default for Signals {
    fn default() -> Self {
        Self::new()
    }
}

/// An answer, whole and small enough.
struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Signals {
    /// A client of its own. One that cannot be built makes every signal "could not tell".
    pub fn new() -> Self {
        let built = Client::builder()
            .no_proxy()
            .retry(retry::never())
            .redirect(redirect::Policy::none())
            .user_agent(concat!("unhang/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { client: built.map_err(|error| format!("the HTTP client cannot be built: {}", chain(&error))) }
    }

    /// Whether a query of Prometheus returns at least one row.
    pub async fn promql(
        &self,
        url: &str,
        query: &str,
        secret: Option<&SecretString>,
        subject: &Subject,
        within: Duration,
    ) -> Seen {
        let query = match promql::about(query, subject) {
            Ok(query) => query,
            Err(why) => return Seen::CouldNotTell(why),
        };
        let asked = |client: &Client| client.get(format!("{url}/api/v1/query")).query(&[("query", query)]);
        match self.answer(asked, secret, within).await {
            Ok(answer) => promql::read(answer.status, &answer.body),
            Err(why) => Seen::CouldNotTell(why),
        }
    }

    /// Whether the very alert is still active in Alertmanager.
    pub async fn alertmanager(
        &self,
        url: &str,
        secret: Option<&SecretString>,
        alert: &Alert,
        within: Duration,
    ) -> Seen {
        let filter = alertmanager::filter(alert);
        let asked = |client: &Client| {
            let request = client.get(format!("{url}/api/v2/alerts"));
            filter.iter().fold(request, |request, matcher| request.query(&[("filter", matcher)]))
        };
        match self.answer(asked, secret, within).await {
            Ok(answer) => alertmanager::read(answer.status, &answer.body, &alert.fingerprint),
            Err(why) => Seen::CouldNotTell(why),
        }
    }

    async fn answer(
        &self,
        request: impl FnOnce(&Client) -> RequestBuilder,
        secret: Option<&SecretString>,
        within: Duration,
    ) -> Result<Answer, String> {
        let client = self.client.as_ref().map_err(Clone::clone)?;
        let mut request = request(client).timeout(within);
        if let Some(secret) = secret {
            request = request.bearer_auth(secret.expose_secret());
        }
        let failed = |error: reqwest::Error| {
            if error.is_timeout() {
                format!("no answer within {within:?}")
            } else {
                chain(&error.without_url())
            }
        };
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
                return Err(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    }
}
