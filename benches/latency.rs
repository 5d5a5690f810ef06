//! How fast is the main job? Drives the release binary over HTTP against the simulated cloud and prints medians.
//!
//! `cargo bench --bench latency`: webhook to interrupt request, start to first ready answer, idle memory.
//! Figures are printed, never asserted.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::zombie_processes,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a program for people, which fails by panicking"
)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

const SERVERS: u32 = 40;
const STARTS: usize = 20;
const TOKEN: &str = "alertmanager-bench-token-001";

struct Service {
    child: Child,
    url: String,
    ready: Duration,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut scenario = simulator::Scenario::demo();
    scenario.servers = (0..SERVERS)
        .map(|n| simulator::ServerSpec {
            no: (91_000_001 + n).to_string(),
            name: format!("win-{n:03}"),
            private_ip: format!("10.1.0.{}", n + 1),
            ..scenario.servers[0].clone()
        })
        .collect();
    let (access, secret) = (scenario.access_key.clone(), scenario.secret_key.clone());
    let cloud = runtime.block_on(simulator::start("127.0.0.1:0".parse().unwrap(), scenario, None)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    write_config(dir.path(), &cloud.endpoint(), &access, &secret);

    let mut ready = Vec::new();
    for _ in 0..STARTS {
        ready.push(start(dir.path()).ready.as_secs_f64() * 1000.0);
    }
    report("start to first ready answer, existing store (ms)", &mut ready, 200.0);

    let service = start(dir.path());
    let memory = idle_memory(&service);
    report("idle memory, resident (MiB)", &mut [memory], 40.0);

    let http = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
    let mut latencies = Vec::new();
    for n in 0..SERVERS {
        // Spacing is a second at least; what is measured is the way of one alert, not the wait for the one before.
        std::thread::park_timeout(Duration::from_millis(1200));
        latencies.push(one_interrupt(&http, &service.url, &cloud, n));
    }
    report("webhook to interrupt request, settle 0, cloud 0 ms (ms)", &mut latencies, 20.0);
}

fn one_interrupt(http: &reqwest::blocking::Client, url: &str, cloud: &simulator::Running, n: u32) -> f64 {
    let server = (91_000_001 + n).to_string();
    let body = json!({
        "version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing", "receiver": "bench",
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://bench.example",
        "alerts": [{
            "status": "firing", "labels": { "alertname": "WindowsVmHung", "server_instance_no": server },
            "annotations": {}, "startsAt": wall().to_string(), "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "", "fingerprint": format!("{n:016x}"),
        }],
    });
    let sent = wall().as_microsecond();
    let answer = http
        .post(format!("{url}/webhooks/alertmanager"))
        .bearer_auth(TOKEN)
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .unwrap();
    assert_eq!(answer.status().as_u16(), 202);
    let begun = Instant::now();
    loop {
        let ledger = cloud.ledger();
        if let Some(entry) = ledger.iter().find(|entry| entry.server_instance_no.as_deref() == Some(&server))
        {
            // The ledger's clock has whole milliseconds: count the one that was begun.
            return (entry.at * 1000 + 1000 - sent) as f64 / 1000.0;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no interrupt for {server}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

#[expect(clippy::disallowed_methods, reason = "a sender has its own clock")]
fn wall() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

fn idle_memory(service: &Service) -> f64 {
    std::thread::park_timeout(Duration::from_secs(2));
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}

fn start(dir: &Path) -> Service {
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_unhang"))
        .args(["serve", "--config", "unhang.toml", "--log-format", "json"])
        .current_dir(dir)
        .env_clear()
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = String::new();
    for line in lines.by_ref() {
        let line = line.unwrap();
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(addr) = parsed["addr"].as_str() {
            let url = format!("http://{addr}");
            let answer = reqwest::blocking::get(format!("{url}/readyz")).unwrap();
            assert!(answer.status().is_success());
            let ready = begun.elapsed();
            std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
            return Service { child, url, ready };
        }
        said.push_str(&line);
    }
    panic!("the service did not start: {said}");
}

fn report(what: &str, values: &mut [f64], goal: f64) {
    values.sort_by(f64::total_cmp);
    let at = |percent: usize| values[(values.len() - 1) * percent / 100];
    println!(
        "{what}: median {:.1} (min {:.1}, p95 {:.1}, max {:.1}, n {}); goal below {goal}",
        at(50),
        at(0),
        at(95),
        at(100),
        values.len()
    );
}

fn write_config(dir: &Path, endpoint: &str, access: &str, secret: &str) {
    for (name, value) in [("access", access), ("secret", secret), ("am", TOKEN)] {
        std::fs::write(dir.join(name), value).unwrap();
    }
    let text = format!(
        r#"
[server]
listen = "127.0.0.1:0"
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
[[sources]]
name = "alertmanager"
kind = "alertmanager"
trust = "act"
auth = [{{ kind = "bearer", secret_file = "am" }}]
[[policies]]
name = "hung-windows"
mode = "auto"
match = {{ alertname = "WindowsVmHung" }}
settle = "0s"
budget = ["1000/1h"]
[limits]
region = ["1000/1h"]
global = ["1000/1h"]
spacing = "1s"
[storm]
share = 1.0
count = 1000
same_zone = 1000
[[tokens]]
name = "lead"
role = "approver"
sha256 = "{}"
"#,
        "ab".repeat(32)
    );
    std::fs::write(dir.join("unhang.toml"), text).unwrap();
}
