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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    const WITHIN: Duration = Duration::from_secs(5);

    /// A peer that says these bytes to the first caller and hands back what the caller said.
    async fn peer(says: Vec<u8>) -> (String, impl Future<Output = String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let said = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let n = stream.read(&mut head).await.unwrap();
            let _gone = stream.write_all(&says).await;
            let _gone = stream.shutdown().await;
            String::from_utf8_lossy(&head[..n]).into_owned()
        };
        (url, said)
    }

    fn alert() -> Alert {
        serde_json::from_value(serde_json::json!({
            "fingerprint": "5ef77f1f8a3ecf8d", "status": "firing", "name": "n", "labels": { "alertname": "a b&c" },
            "startsAt": null, "endsAt": null, "senderTime": null, "neverActionable": null,
        }))
        .unwrap()
    }

    async fn ask(says: &str) -> (Seen, String) {
        let (url, said) = peer(says.as_bytes().to_vec()).await;
        let (signals, secret, alert) = (Signals::new(), SecretString::from("token-of-the-test"), alert());
        tokio::join!(signals.alertmanager(&url, Some(&secret), &alert, WITHIN), said)
    }

    fn http(status: &str, more: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\n{more}content-length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn the_secret_and_an_encoded_filter_are_sent_and_a_proper_answer_is_read() {
        let row = r#"[{"fingerprint":"5ef77f1f8a3ecf8d","status":{"state":"active"}}]"#;
        let (seen, head) = ask(&http("200 OK", "", row)).await;
        assert_eq!(seen, Seen::Agrees("the alert is active there".into()));
        assert!(head.starts_with("GET /api/v2/alerts?filter=alertname%3D%22a+b%26c%22 HTTP/1.1"), "{head}");
        assert!(head.contains("authorization: Bearer token-of-the-test"), "{head}");
    }

    #[tokio::test]
    async fn redirects_oversize_and_broken_answers_could_not_tell() {
        let row = r#"[{"fingerprint":"5ef77f1f8a3ecf8d","status":{"state":"active"}}]"#;
        let blanks = " ".repeat(ANSWER_BYTES_MAX);
        for says in [
            http("302 Found", "location: http://127.0.0.1:1/\r\n", ""),
            http("200 OK", "", &format!("{row}{blanks}")),
            format!("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{row}"),
            "HTTP/1.1 200 OK\r\n\r\n".to_owned(),
            "\u{16}\u{3} noise".to_owned(),
            String::new(),
        ] {
            let (seen, _) = ask(&says).await;
            assert!(matches!(seen, Seen::CouldNotTell(_)), "{seen:?}");
        }
    }

    #[tokio::test]
    async fn silence_and_a_closed_port_could_not_tell_and_name_no_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let ask = async |within| Signals::new().alertmanager(&url, None, &alert(), within).await;
        let seen = ask(Duration::from_millis(50)).await;
        assert_eq!(seen, Seen::CouldNotTell("no answer within 50ms".into()));
        drop(listener);
        let Seen::CouldNotTell(why) = ask(WITHIN).await else { panic!("a closed port told something") };
        assert!(!why.contains("http://"), "{why}");
    }
}
