//! The real server, started as `unhang serve` does, with a simulated cloud and a store in a temporary folder.

mod api;
mod backtest;
#[path = "../../../tests/contract/mod.rs"]
pub(super) mod contract;
mod deliveries;
mod document;
mod ends;
mod pages;
mod pages_policies;
mod pages_records;
mod pages_servers;
mod pages_trends;
mod renewals;
mod roles;

use std::net::SocketAddr;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::app::{self, App};
use crate::config::{Environment, load};

pub(super) const BEARER: &str = "bearer-secret-of-the-alertmanager-source";
pub(super) const SIGNING_KEY: &str = "signing-key-of-the-grafana-source";

/// The token of a person with this role.
pub(super) fn token(role: &str) -> String {
    format!("token-of-the-{role}-0123456789abcdef")
}

pub(super) struct Rig {
    pub(super) app: App,
    pub(super) client: reqwest::Client,
    _cloud: simulator::Running,
    _folder: tempfile::TempDir,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) text: String,
}

impl Told {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of a problem, after a look at what every problem promises.
    pub(super) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert_eq!(problem["traceId"], self.header("x-trace-id"), "{self:?}");
        assert_eq!(self.header("x-content-type-options"), "nosniff", "{self:?}");
        problem["code"].as_str().unwrap().to_owned()
    }
}

fn config(listen: &str, folder: &std::path::Path, endpoint: &str, more: &str) -> String {
    let store = folder.join("unhang.db");
    let mut text = format!(
        r#"
[server]
listen = "{listen}"
body_bytes_max = 8192
body_timeout = "1s"
{more}
[store]
url = "sqlite://{}"
[cloud]
endpoint = "{endpoint}"
region = "KR"
[[sources]]
name = "am"
kind = "alertmanager"
trust = "act"
auth = [{{ kind = "bearer", secret_env = "BEARER" }}]
[[sources]]
name = "graf"
kind = "grafana"
auth = [{{ kind = "hmac", secret_env = "SIGNING_KEY" }}]
[[policies]]
name = "hung-windows"
mode = "approve"
match = {{ alertname = "WindowsVmHung" }}
"#,
        store.display()
    );
    for role in ["viewer", "operator", "approver", "admin"] {
        let hash = hex::encode(Sha256::digest(token(role)));
        let line = format!("name = \"the-{role}\"\nrole = \"{role}\"\nsha256 = \"{hash}\"\n");
        text.push_str("[[tokens]]\n");
        text.push_str(&line);
    }
    text
}

impl Rig {
    pub(super) async fn start() -> Self {
        Self::start_with("127.0.0.1:0", "").await
    }

    pub(super) async fn start_with(listen: &str, more: &str) -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let scenario = simulator::Scenario::demo();
        let env: Environment = [
            ("BEARER", BEARER),
            ("SIGNING_KEY", SIGNING_KEY),
            ("NCLOUD_ACCESS_KEY_ID", &scenario.access_key),
            ("NCLOUD_SECRET_KEY", &scenario.secret_key),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect();
        let cloud = simulator::start(loopback, scenario, None).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("unhang.toml");
        std::fs::write(&path, config(listen, folder.path(), &cloud.endpoint(), more)).unwrap();
        let loaded = load(Some(&path), &env).unwrap_or_else(|problems| panic!("{problems:?}"));
        let app = Box::pin(app::start(loaded.config)).await.unwrap();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self { app, client, _cloud: cloud, _folder: folder }
    }

    pub(super) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.to_ascii_uppercase().as_bytes()).unwrap();
        self.client.request(method, format!("http://127.0.0.1:{}{path}", self.app.addr().port()))
    }

    pub(super) async fn send(&self, request: reqwest::RequestBuilder) -> Told {
        let request = request.build().unwrap();
        let (method, path) = (request.method().to_string(), request.url().path().to_owned());
        let answer = self.client.execute(request).await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        // A stream has no end to wait for.
        let endless = headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        let text = if endless { String::new() } else { answer.text().await.unwrap() };
        let told = Told { status, headers, text };
        let media = told.header("content-type");
        contract::hold(super::document(), &method, &path, status, media, &told.text);
        told
    }

    pub(super) async fn get(&self, path: &str) -> Told {
        self.send(self.request("GET", path).bearer_auth(token("viewer"))).await
    }

    pub(super) async fn post(&self, role: &str, path: &str, body: &Value) -> Told {
        self.send(self.request("POST", path).bearer_auth(token(role)).json(body)).await
    }

    pub(super) async fn deliver(&self, body: &str) -> Told {
        let request = self.request("POST", "/webhooks/am").bearer_auth(BEARER);
        self.send(request.header("content-type", "application/json").body(body.to_owned())).await
    }

    /// Waits until the inventory was read, so that targets are known.
    pub(super) async fn inventory(&self) {
        for _ in 0..500 {
            let ages = self.app.service().store.inventory_ages().await.unwrap();
            if ages.iter().any(|age| age.completed_at.is_some()) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the inventory was not read in time");
    }
}

/// A delivery of Alertmanager with one firing alert.
pub(super) fn firing(server_no: &str, fingerprint: &str) -> String {
    serde_json::json!({
        "version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing", "receiver": "unhang",
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am",
        "alerts": [{
            "status": "firing",
            "labels": {
                "alertname": "WindowsVmHung", "server_instance_no": server_no,
                "note": "<script>alert(1)</script>",
            },
            "annotations": {}, "startsAt": "2026-11-22T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prom", "fingerprint": fingerprint,
        }],
    })
    .to_string()
}
