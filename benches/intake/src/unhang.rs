//! Unhang: the release binary with a configuration that lets the load in, and its API as a witness of what it kept.
//!
//! Never: opens the store while the service has it, or believes a 202 that the API does not confirm.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::fleet::{Fleet, regions};
use crate::payload::FIRST_SERVER;
use crate::process::Process;
use crate::wire::Wire;

const SENDER: &str = "alertmanager-bench-token-001";
const READER: &str = "reader-bench-token-000000001";

/// What differs between the scenarios.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setup {
    /// Library that makes every fsync slow.
    pub(crate) slow_disk: Option<PathBuf>,
    /// File that tells it how slow; without one it is 2 ms.
    pub(crate) delay_from: Option<PathBuf>,
    /// Deliveries that may wait for the writer.
    pub(crate) queue_max: u32,
    /// Bytes of a body.
    pub(crate) body_bytes_max: u32,
    /// Alerts of one delivery.
    pub(crate) alerts_max: u32,
    /// A client that takes nothing for so long is cut off.
    pub(crate) write_timeout: &'static str,
    /// Policies. The first asks a person, the second sends at once, further ones match nothing that is sent.
    pub(crate) policies: u32,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            slow_disk: None,
            delay_from: None,
            queue_max: 100_000,
            body_bytes_max: 4 * 1024 * 1024,
            alerts_max: 2000,
            write_timeout: "1m",
            policies: 2,
        }
    }
}

/// A running service, with its own folder.
#[derive(Debug)]
pub(crate) struct Unhang {
    pub(crate) process: Process,
    pub(crate) dir: PathBuf,
    /// Start of the process to the first ready answer.
    pub(crate) ready: Duration,
    binary: PathBuf,
    setup: Setup,
}

/// The line with the credential of the sender.
pub(crate) fn authorization() -> String {
    format!("authorization: Bearer {SENDER}\r\n")
}

impl Unhang {
    /// Starts it on a new folder.
    pub(crate) async fn start(binary: &Path, dir: &Path, fleet: &Fleet, setup: &Setup) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        write_config(dir, fleet, setup);
        let unhang = Self::again(binary, dir, setup).await;
        unhang.until_the_list_is_read(fleet.servers).await;
        unhang
    }

    /// Starts it on a folder that is there.
    pub(crate) async fn again(binary: &Path, dir: &Path, setup: &Setup) -> Self {
        let begun = Instant::now();
        let (process, addr) = launch(binary, dir, setup);
        loop {
            match get(addr, "/readyz").await {
                Ok((200, _)) => break,
                Ok(_) | Err(_) => assert!(begun.elapsed() < Duration::from_mins(1), "never ready"),
            }
        }
        let (ready, dir, binary) = (begun.elapsed(), dir.to_owned(), binary.to_owned());
        Self { process, dir, ready, binary, setup: setup.clone() }
    }

    /// Kills it and starts it anew on what it left.
    pub(crate) async fn crash_and_restart(self) -> Self {
        let Self { process, dir, binary, setup, ready: _ } = self;
        process.crash();
        Self::again(&binary, &dir, &setup).await
    }

    /// Stops it in order and starts it anew.
    pub(crate) async fn restart(self) -> Self {
        let Self { process, dir, binary, setup, ready: _ } = self;
        process.stop();
        Self::again(&binary, &dir, &setup).await
    }

    /// Stops it in order; gives its folder.
    pub(crate) fn stop(self) -> PathBuf {
        self.process.stop();
        self.dir
    }

    /// The store file and what lies beside it, in bytes.
    pub(crate) fn store_bytes(&self) -> u64 {
        let size = |name: &str| std::fs::metadata(self.dir.join(name)).map_or(0, |file| file.len());
        size("unhang.db") + size("unhang.db-wal")
    }

    /// A page of the API.
    pub(crate) async fn api(&self, path: &str) -> Value {
        let (status, body) = get(self.process.addr, path).await.unwrap();
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    async fn until_the_list_is_read(&self, servers: u32) {
        let begun = Instant::now();
        // One of the first region and one of the last.
        for server in [FIRST_SERVER, FIRST_SERVER + servers - 1] {
            loop {
                let page = self.api(&format!("/api/v1/servers?search={server}")).await;
                if page["items"].as_array().is_some_and(|items| !items.is_empty()) {
                    break;
                }
                assert!(begun.elapsed() < Duration::from_mins(4), "the server list is not read: {page}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// How many of these deliveries the service has not kept, and how many alerts it kept with the others.
    pub(crate) async fn missing(&self, ids: &[u128]) -> (usize, u64) {
        let mut wanted: BTreeSet<u128> = ids.iter().copied().collect();
        assert_eq!(wanted.len(), ids.len(), "two answers name the same delivery");
        let (mut alerts, mut cursor, mut strangers) = (0, String::new(), 0);
        while !wanted.is_empty() {
            let page = self.api(&format!("/api/v1/deliveries?limit=1000{cursor}")).await;
            let items = page["items"].as_array().unwrap();
            for item in items {
                let id = uuid::Uuid::parse_str(item["id"].as_str().unwrap()).unwrap().as_u128();
                if wanted.remove(&id) {
                    alerts += item["alertCount"].as_u64().unwrap();
                } else {
                    strangers += 1;
                }
            }
            // Newest first: pages of strangers only mean that the rest is not there. A sender that does not read has many more
            // accepted than it knows.
            let Some(next) = page["nextCursor"].as_str() else { break };
            if strangers > 500_000 {
                break;
            }
            cursor = format!("&cursor={next}");
        }
        (wanted.len(), alerts)
    }
}

/// GET with the reader's token, over a connection of its own.
pub(crate) async fn get(addr: SocketAddr, path: &str) -> std::io::Result<(u16, Vec<u8>)> {
    let mut wire = Wire::connect(addr).await?;
    let answer = wire.ask(get_request(path).as_bytes()).await?;
    Ok((answer.status, answer.body.to_vec()))
}

/// The bytes of such a request.
pub(crate) fn get_request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {READER}\r\n\r\n")
}

fn launch(binary: &Path, dir: &Path, setup: &Setup) -> (Process, SocketAddr) {
    let mut command = Command::new(binary);
    command.args(["serve", "--config", "unhang.toml", "--log-format", "json"]).current_dir(dir).env_clear();
    if let Some(library) = &setup.slow_disk {
        command.env("LD_PRELOAD", library);
        match &setup.delay_from {
            Some(file) => command.env("SLOW_FSYNC_FROM", file),
            None => command.env("SLOW_FSYNC_US", "2000"),
        };
    }
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = String::new();
    for line in lines.by_ref().map_while(Result::ok) {
        let parsed: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(addr) = parsed["addr"].as_str() {
            let addr: SocketAddr = addr.parse().unwrap();
            std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
            return (Process::of(child, addr), addr);
        }
        said.push_str(&line);
    }
    panic!("the service did not start: {said}");
}

/// As many policies as were asked for, and one more for each further region.
fn policies(count: u32, servers: u32) -> String {
    let regions = regions(servers);
    let waits = regions.iter().enumerate().map(|(n, region)| {
        // Two policies must not claim the same alert, so the label of the region is asked for where there are several.
        let only = if regions.len() > 1 { format!(", region = \"{region}\"") } else { String::new() };
        format!(
            "[[policies]]\nname = \"hung-windows-{n}\"\nmode = \"approve\"\nregion = \"{region}\"\n\
             match = {{ alertname = \"WindowsVmHung\"{only} }}\nsettle = \"14m\"\nbudget = [\"1000/1h\"]\n"
        )
    });
    let others = (1..count).map(|n| {
        let name = if n == 1 { "now".to_owned() } else { format!("other-{n}") };
        let alert = if n == 1 { "WindowsVmHungNow".to_owned() } else { format!("Other{n}") };
        format!(
            "[[policies]]\nname = \"{name}\"\nmode = \"auto\"\nmatch = {{ alertname = \"{alert}\" }}\n\
             settle = \"0s\"\nbudget = [\"1000/1h\"]\n"
        )
    });
    waits.chain(others).collect()
}

/// One policy asks a person, after the longest hold-down: repeats join what waits, and nothing is sent. The other
/// sends at once. The storm guard is as wide as it can be set.
fn write_config(dir: &Path, fleet: &Fleet, setup: &Setup) {
    for (name, value) in [("access", fleet.access.as_str()), ("secret", &fleet.secret), ("am", SENDER)] {
        std::fs::write(dir.join(name), value).unwrap();
    }
    let text = format!(
        r#"
[server]
listen = "127.0.0.1:0"
deliveries_per_second = 100000
queue_max = {queue_max}
body_bytes_max = {body_bytes_max}
alerts_max = {alerts_max}
write_timeout = "{write_timeout}"
[store]
url = "sqlite://unhang.db"
watermark = "1MiB"
ballast = "0"
[cloud]
endpoint = "{endpoint}"
region = "KR"
access_key_file = "access"
secret_key_file = "secret"
reads_per_second = 1000
[inventory]
refresh = "1h"
fresh_for = "2h"
[[sources]]
name = "alertmanager"
kind = "alertmanager"
trust = "act"
auth = [{{ kind = "bearer", secret_file = "am" }}]
[verify]
poll = "1s"
{policies}
[limits]
region = ["1000/1h"]
global = ["1000/1h"]
spacing = "1ms"
[storm]
share = 1.0
count = 1000
same_zone = 1000
[[tokens]]
name = "reader"
role = "viewer"
sha256 = "{hash}"
[[tokens]]
name = "lead"
role = "approver"
sha256 = "{other}"
"#,
        queue_max = setup.queue_max,
        body_bytes_max = setup.body_bytes_max,
        alerts_max = setup.alerts_max,
        write_timeout = setup.write_timeout,
        policies = policies(setup.policies, fleet.servers),
        endpoint = fleet.cloud.endpoint(),
        hash = hex::encode(Sha256::digest(READER)),
        other = "ab".repeat(32),
    );
    std::fs::write(dir.join("unhang.toml"), text).unwrap();
}
