//! Posting: one client for all receivers, and how their answers are read.
//!
//! Never: follows a redirect, tells an address, or waits longer than the receiver's timeout.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, Url, redirect, retry};
use secrecy::ExposeSecret as _;

use super::body::{self, Outgoing};
use crate::config::{ReceiverConfig, ReceiverKind};
use crate::domain::notice::{Links, plain};
use crate::telemetry::chain;

/// Most bytes read of an answer.
const ANSWER_BYTES_MAX: usize = 4096;
/// Characters of an answer that are told.
const SAID_MAX: usize = 200;

/// Posts messages.
#[derive(Debug, Clone)]
pub struct Poster {
    client: Result<Client, String>,
}

/// What a receiver answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// The beginning of its words.
    pub said: String,
    /// How long it took.
    pub took: Duration,
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTaken {
    /// For people.
    pub why: String,
    /// It is the message that was refused, and not us.
    pub refused: bool,
    /// How long the receiver wants to be left alone.
    pub retry_after: Option<SignedDuration>,
}

impl Default for Poster {
    fn default() -> Self {
        Self::new()
    }
}

impl Poster {
    /// A client of its own. One that cannot be built makes every try fail.
    pub fn new() -> Self {
        let built = Client::builder()
            .no_proxy()
            .retry(retry::never())
            .redirect(redirect::Policy::none())
            .user_agent(concat!("unhang/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { client: built.map_err(|error| format!("the HTTP client cannot be built: {}", chain(&error))) }
    }

    /// Posts one message once.
    pub async fn post(
        &self,
        receiver: &ReceiverConfig,
        outgoing: &Outgoing,
        links: &Links,
        now: Timestamp,
    ) -> Result<Answer, NotTaken> {
        let failed = |why: String| NotTaken { why, refused: false, retry_after: None };
        let client = self.client.as_ref().map_err(|why| failed(why.clone()))?;
        let within = Duration::try_from(receiver.timeout).unwrap_or(Duration::from_secs(10));
        let lost = |error: reqwest::Error| {
            failed(if error.is_timeout() {
                format!("no answer within {within:?}")
            } else {
                chain(&error.without_url())
            })
        };
        let begun = Instant::now();
        let request = request(client, receiver, outgoing, links, now).map_err(failed)?;
        let response = request.timeout(within).send().await.map_err(lost)?;
        let status = response.status().as_u16();
        let retry_after = retry_after(&response);
        let said = words(response, receiver).await;
        match status {
            200..=299 => Ok(Answer { status, said, took: begun.elapsed() }),
            _ => Err(NotTaken {
                why: told(status, &said),
                // Anything else is about us, or passes: a wrong address, a wrong secret, too much, a fault of theirs.
                refused: matches!(status, 400 | 413 | 415 | 422),
                retry_after,
            }),
        }
    }
}

fn request(
    client: &Client,
    receiver: &ReceiverConfig,
    outgoing: &Outgoing,
    links: &Links,
    now: Timestamp,
) -> Result<RequestBuilder, String> {
    let mut url =
        Url::parse(receiver.url.expose_secret()).map_err(|_secret| "the address is none".to_owned())?;
    let (value, mut headers) = match receiver.kind {
        ReceiverKind::Slack => (body::slack(receiver, outgoing, links), Vec::new()),
        ReceiverKind::Alertmanager => {
            let path = format!("{}/api/v2/alerts", url.path().trim_end_matches('/'));
            url.set_path(&path);
            (body::alert(receiver, outgoing, links), Vec::new())
        }
        ReceiverKind::Webhook => {
            let second = now.as_second();
            let id = &outgoing.webhook_id;
            (
                body::webhook(receiver, outgoing, links),
                vec![("webhook-id", id.clone()), ("webhook-timestamp", second.to_string())],
            )
        }
    };
    let text = value.to_string();
    if let Some(key) = &receiver.sign_key {
        headers
            .push(("webhook-signature", body::signature(key, &outgoing.webhook_id, now.as_second(), &text)));
    }
    let mut request = client.post(url).header(CONTENT_TYPE, "application/json").body(text);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    if let Some(bearer) = &receiver.bearer {
        request = request.bearer_auth(bearer.expose_secret());
    }
    Ok(request)
}

fn retry_after(response: &Response) -> Option<SignedDuration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse::<u32>().ok()?;
    Some(SignedDuration::from_secs(i64::from(seconds)))
}

/// The beginning of an answer. What it holds of the address is taken out: a chat's address is all that one needs.
async fn words(mut response: Response, receiver: &ReceiverConfig) -> String {
    let mut bytes = Vec::new();
    // The answer counts by its status; an end that does not come changes nothing.
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = ANSWER_BYTES_MAX.saturating_sub(bytes.len());
        bytes.extend(chunk.iter().take(room));
        if room <= chunk.len() {
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let secret = receiver.url.expose_secret();
    let path =
        Url::parse(secret).map_or_else(|_none| String::new(), |url| url.path().trim_matches('/').to_owned());
    let mut text = text.replace(secret, "…");
    for part in [path.as_str()].into_iter().chain(path.split('/')).filter(|part| part.len() > 5) {
        text = text.replace(part, "…");
    }
    plain(&text, SAID_MAX)
}

fn told(status: u16, said: &str) -> String {
    let hint = match status {
        300..=399 => ", and redirects are not followed",
        401 | 403 => ", check the secret",
        404 | 410 => ", check the address",
        _ => "",
    };
    if said.is_empty() {
        format!("answered {status}{hint}")
    } else {
        format!("answered {status}{hint}: {said}")
    }
}
