//! A simulator and a client that signs; bounded polling instead of sleeping.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use simulator::{LedgerEntry, Running, Scenario, ServerView};

pub(crate) const XEN_WINDOWS: &str = "90000001";
pub(crate) const KVM_WINDOWS: &str = "90000002";
pub(crate) const XEN_LINUX: &str = "90000004";

pub(crate) struct Rig {
    pub(crate) cloud: Running,
    pub(crate) client: reqwest::Client,
}

/// What came back, read to the end.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Result<String, reqwest::Error>,
}

impl Told {
    pub(crate) fn text(&self) -> &str {
        self.body.as_deref().unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.text()).unwrap()
    }
}

pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A demo fleet whose dumps take 50 ms or so.
pub(crate) fn quick() -> Scenario {
    Scenario { dump_bytes_per_second: 160 << 30, reboot_seconds: 0.02, ..Scenario::demo() }
}

/// A demo fleet whose dumps take for ever.
pub(crate) fn slow() -> Scenario {
    Scenario { dump_bytes_per_second: 1 << 20, ..Scenario::demo() }
}

pub(crate) fn now_ms() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

impl Rig {
    pub(crate) async fn start(scenario: Scenario) -> Self {
        let cloud = simulator::start(loopback(), scenario, None).await.unwrap();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(0)
            .timeout(Duration::from_secs(10))
            .build()
            .unwrap();
        Self { cloud, client }
    }

    pub(crate) fn signed(&self, method: &str, target: &str, timestamp_ms: i64) -> reqwest::RequestBuilder {
        let scenario = Scenario::default();
        let timestamp = timestamp_ms.to_string();
        let signature =
            simulator::sign(&scenario.secret_key, method, target, &timestamp, &scenario.access_key).unwrap();
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        self.client
            .request(method, format!("{}{target}", self.cloud.endpoint()))
            .header("x-ncp-apigw-timestamp", timestamp)
            .header("x-ncp-iam-access-key", scenario.access_key)
            .header("x-ncp-apigw-signature-v2", signature)
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Result<Told, reqwest::Error> {
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(Told { status, headers, body: answer.text().await })
    }

    /// A signed GET under `/vserver/v2/`.
    pub(crate) async fn get(&self, action_and_query: &str) -> Told {
        let target = format!("/vserver/v2/{action_and_query}");
        self.send(self.signed("GET", &target, now_ms())).await.unwrap()
    }

    /// An interrupt by POST with a form, asking for JSON.
    pub(crate) async fn interrupt(&self, no: &str) -> Result<Told, reqwest::Error> {
        let form = format!("responseFormatType=json&regionCode=KR&serverInstanceNo={no}");
        let request = self.signed("POST", "/vserver/v2/interruptServerInstance", now_ms());
        self.send(request.header("content-type", "application/x-www-form-urlencoded").body(form)).await
    }

    pub(crate) async fn detail(&self, no: &str) -> Value {
        let told = self
            .get(&format!(
                "getServerInstanceDetail?regionCode=KR&serverInstanceNo={no}&responseFormatType=json"
            ))
            .await;
        told.json()["getServerInstanceDetailResponse"]["serverInstanceList"][0].clone()
    }

    pub(crate) fn server(&self, no: &str) -> ServerView {
        self.cloud.servers().into_iter().find(|server| server.server_instance_no == no).unwrap()
    }

    pub(crate) fn last_entry(&self) -> LedgerEntry {
        self.cloud.ledger().pop().unwrap()
    }

    /// Polls until `done`, at most ten seconds.
    pub(crate) async fn until(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !done(self) {
            assert!(Instant::now() < deadline, "not in time: {what}");
            tokio::task::yield_now().await;
        }
    }
}
