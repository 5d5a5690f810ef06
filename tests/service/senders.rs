//! Real senders: Debian's Prometheus and Alertmanager, each a child process with a folder of its own.
//!
//! The ledger of the simulated cloud is the judge.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    ALERTMANAGER_TOKEN, BASIC_PASSWORD, Cloud, Service, Settings, Site, VIEWER, broken_laws, eventually,
    fleet, now_text,
};

fn server(n: usize) -> String {
    (91_000_001 + n).to_string()
}

/// A file that ships with the service.
fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(path)
}

/// A program of a Debian package.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null());
    command
}

fn package_of(program: &str) -> &'static str {
    if matches!(program, "prometheus" | "promtool") { "prometheus" } else { "prometheus-alertmanager" }
}

fn missing(program: &str, error: &std::io::Error) -> String {
    let package = package_of(program);
    format!(
        "cannot run {program} ({error}): install Debian's package {package}; `bash tests/run.sh` does it for you"
    )
}

/// A running sender. It is ended by its id when dropped.
pub(crate) struct Sender {
    child: Child,
    pub(crate) url: String,
    _folder: tempfile::TempDir,
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Sender {
    /// Starts a program on a port that the system picks, and waits until it says where it listens.
    fn start(program: &str, folder: tempfile::TempDir, args: &[&str]) -> Self {
        let mut child = command(program)
            .args(args)
            .arg("--web.listen-address=127.0.0.1:0")
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}", missing(program, &error)));
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut said = String::new();
        let listens = lines.by_ref().find_map(|line| {
            said.push_str(&line);
            said.push('\n');
            let address = line.split_once("msg=\"Listening on\" address=")?.1;
            Some(address.split_whitespace().next()?.to_owned())
        });
        // Somebody must keep reading, or the program would block on a full pipe.
        let log = folder.path().join("log");
        std::thread::spawn(move || {
            let mut log = std::fs::File::create(log).unwrap();
            for line in lines {
                let _gone = writeln!(log, "{line}");
            }
        });
        let Some(address) = listens else {
            let _already_gone = child.kill();
            let _status = child.wait();
            panic!("{program} does not listen:\n{said}");
        };
        Self { child, url: format!("http://{address}"), _folder: folder }
    }

    /// Alertmanager with this configuration, and a secret for `credentials_file` or `password_file`.
    pub(crate) fn alertmanager(config: &str, secret: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("alertmanager.yml"), config).unwrap();
        std::fs::write(folder.path().join("secret"), secret).unwrap();
        // Its own address is in every body; two senders have two, as in real life.
        let name = folder.path().file_name().unwrap().to_string_lossy().trim_start_matches('.').to_owned();
        let external = format!("--web.external-url=http://{name}.example");
        let args =
            ["--config.file=alertmanager.yml", "--storage.path=data", "--cluster.listen-address=", &external];
        Self::start("prometheus-alertmanager", folder, &args)
    }

    /// Prometheus that scrapes one target every second, and fires for each server whose metric is above zero.
    pub(crate) fn prometheus(target: SocketAddr, alertmanager: &Self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let to = alertmanager.url.trim_start_matches("http://");
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: [rules.yml]\n\
             scrape_configs: [{{ job_name: windows, static_configs: [{{ targets: ['{target}'] }}] }}]\n\
             alerting: {{ alertmanagers: [{{ static_configs: [{{ targets: ['{to}'] }}] }}] }}\n"
        );
        let rules = "groups:\n- name: hung\n  rules:\n  - alert: WindowsVmHung\n    expr: windows_vm_hung > 0\n    \
                     for: 0s\n    annotations: { value: '{{ $value }}' }\n";
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        std::fs::write(folder.path().join("rules.yml"), rules).unwrap();
        let args =
            ["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--rules.alert.resend-delay=1s"];
        Self::start("prometheus", folder, &args)
    }

    /// Hands alerts to Alertmanager, as Prometheus does.
    pub(crate) fn post(&self, alerts: &[Value]) {
        let answer = reqwest::blocking::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .post(format!("{}/api/v2/alerts", self.url))
            .header("content-type", "application/json")
            .body(Value::from(alerts).to_string())
            .send()
            .unwrap();
        assert!(answer.status().is_success(), "{}: {}", answer.status(), answer.text().unwrap());
    }

    /// Requests to the webhook that failed, as Alertmanager counts them.
    fn failed_requests(&self) -> u64 {
        let text = reqwest::blocking::get(format!("{}/metrics", self.url)).unwrap().text().unwrap();
        let name = "alertmanager_notification_requests_failed_total{integration=\"webhook\"} ";
        text.lines().find_map(|line| line.strip_prefix(name)?.parse().ok()).unwrap()
    }
}

/// An alert as Alertmanager takes it in.
fn firing(server: &str) -> Value {
    json!({
        "labels": { "alertname": "WindowsVmHung", "server_instance_no": server },
        "startsAt": now_text(),
        "generatorURL": "http://prometheus.example/graph",
    })
}

const BEARER: &str = "authorization: { type: Bearer, credentials_file: secret }";
const BASIC: &str = "basic_auth: { username: alertmanager, password_file: secret }";

/// A configuration of Alertmanager with short waits. `group_by` is how alerts are put together.
fn receiver(url: &str, auth: &str, group_by: &str) -> String {
    format!(
        "route: {{ receiver: unhang, group_by: {group_by}, group_wait: 1s, group_interval: 1s, repeat_interval: 1s }}\n\
         receivers:\n- name: unhang\n  webhook_configs:\n  - url: {url}/webhooks/alertmanager\n    \
         send_resolved: true\n    http_config: {{ follow_redirects: false, {auth} }}\n"
    )
}

/// The receiver that the service recommends, with an address and a secret of its own and without its long waits.
fn recommended(url: &str) -> String {
    let mut text = std::fs::read_to_string(shipped("alertmanager/receiver.yml")).unwrap();
    for (shipped, ours) in [
        ("https://unhang.example:8080", url),
        ("/etc/alertmanager/secrets/unhang-token", "secret"),
        ("group_wait: 10s", "group_wait: 0s"),
        ("group_interval: 1m", "group_interval: 1s"),
        ("repeat_interval: 5m", "repeat_interval: 1s"),
    ] {
        assert_eq!(text.matches(shipped).count(), 1, "{shipped} is no longer in the recommended receiver");
        text = text.replace(shipped, ours);
    }
    text
}

/// What a machine's exporter says; a scrape shows the value of now.
pub(crate) struct Target {
    pub(crate) addr: SocketAddr,
    value: Arc<AtomicU64>,
    counting: Arc<AtomicU64>,
}

impl Target {
    /// Listens until the test process ends.
    pub(crate) fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let target = Self { addr, value: Arc::new(AtomicU64::new(1)), counting: Arc::default() };
        let (value, counting) = (Arc::clone(&target.value), Arc::clone(&target.counting));
        let labels = format!("windows_vm_hung{{server_instance_no=\"{server}\"}}");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let _late = stream.set_read_timeout(Some(Duration::from_secs(2)));
                let mut head = [0_u8; 4096];
                let _said = stream.read(&mut head);
                let step = counting.load(Ordering::Relaxed);
                let body = format!("{labels} {}\n", value.fetch_add(step, Ordering::Relaxed));
                let length = body.len();
                let _gone = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {length}\r\n\
                     connection: close\r\n\r\n{body}"
                );
            }
        });
        target
    }

    /// Says this at every scrape, and `step` more at each next one.
    fn say(&self, value: u64, step: u64) {
        self.counting.store(step, Ordering::Relaxed);
        self.value.store(value, Ordering::Relaxed);
    }
}

fn stage(servers: u32, settings: impl FnOnce(Settings) -> Settings) -> (Cloud, Site, Service) {
    let cloud = Cloud::start(fleet(servers));
    let plain = Settings::new(&cloud.running.endpoint());
    let site = Site::new(&settings(plain));
    let service = site.start();
    service.wait_for_inventory(usize::try_from(servers).unwrap());
    (cloud, site, service)
}

/// The audit events of a kind, newest first.
fn events(service: &Service, query: &str) -> Vec<Value> {
    let (status, page) = service.get(&format!("/api/v1/audit?limit=1000&{query}"), VIEWER);
    assert_eq!(status, 200, "{page}");
    page["items"].as_array().unwrap().clone()
}

/// A rule fires on a scraped target and one interrupt comes of it, however often it is told; then the target is well.
fn whole_loop(config: impl FnOnce(&str) -> String, secret: &str) {
    let (cloud, site, service) = stage(2, |plain| plain);
    let target = Target::start(&server(0));
    let alertmanager = Sender::alertmanager(&config(&service.url), secret);
    let prometheus = Sender::prometheus(target.addr, &alertmanager);

    service.wait_for(&server(0), &["accepted", "confirmed"]);
    eventually("the same body to be repeated twice", || {
        (service.deliveries_counted("alertmanager", "same") >= 2).then_some(())
    });
    // The value is in an annotation, so from now on every repeat is a body of its own.
    target.say(2, 1);
    let of_this = format!("kind=alert_decided&serverInstanceNo={}", server(0));
    eventually("a notice to be decided, and renewed", || {
        let decided = events(&service, &format!("{of_this}&reason=dump_window")).len();
        let renewed = |event: &Value| event["detail"]["renewed"][0][1] == server(0);
        let told = events(&service, "kind=delivery_received");
        (decided == 1 && told.iter().any(renewed)).then_some(())
    });
    target.say(0, 0);
    eventually("the end to be told", || {
        events(&service, &of_this).iter().any(|event| event["decision"] == "resolved").then_some(())
    });
    drop((prometheus, alertmanager));

    let ledger = cloud.running.ledger();
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert!(ledger[0].effect, "{ledger:?}");
    let request_id = ledger[0].request_id.clone().unwrap();
    let found = events(&service, &format!("requestId={request_id}"));
    let outcome = found.iter().find(|event| event["kind"] == "attempt_outcome").unwrap();
    assert_eq!(outcome["outcome"], "accepted", "{outcome}");
    assert_eq!(outcome["serverInstanceNo"], server(0), "{outcome}");
    assert_eq!(outcome["source"], "alertmanager", "{outcome}");
    assert!(found.iter().all(|event| event["requestId"] == *request_id), "{found:?}");
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}

#[test]
fn a_rule_of_prometheus_leads_to_one_interrupt_through_the_recommended_receiver() {
    whole_loop(recommended, ALERTMANAGER_TOKEN);
}

#[test]
fn a_rule_of_prometheus_leads_to_one_interrupt_with_basic_auth() {
    whole_loop(|url| receiver(url, BASIC, "[alertname]"), BASIC_PASSWORD);
}

#[test]
fn a_group_of_twenty_servers_gets_twenty_decisions_and_an_interrupt_each() {
    let (cloud, site, service) = stage(20, |plain| plain);
    let alertmanager =
        Sender::alertmanager(&receiver(&service.url, BEARER, "[alertname]"), ALERTMANAGER_TOKEN);
    let alerts: Vec<_> = (0..20).map(|n| firing(&server(n))).collect();
    alertmanager.post(&alerts);

    let delivery = eventually("the delivery", || {
        let (_, page) = service.get("/api/v1/deliveries", VIEWER);
        page["items"].as_array().unwrap().last().cloned()
    });
    let id = delivery["id"].as_str().unwrap().to_owned();
    let (_, detail) = service.get(&format!("/api/v1/deliveries/{id}"), VIEWER);
    let decisions: Vec<_> = detail["alerts"].as_array().unwrap().iter().map(|one| &one["decision"]).collect();
    assert_eq!(decisions, vec!["remediate"; 20], "{detail}");

    for n in 0..20 {
        service.wait_for(&server(n), &["accepted", "confirmed"]);
    }
    drop(alertmanager);
    assert_eq!(service.remediations().len(), 20);
    assert_eq!(cloud.effects().len(), 20);
    assert_eq!(cloud.running.ledger().len(), 20);
    assert_eq!(broken_laws(&site, &cloud, &[id]), Vec::<String>::new());
}

#[test]
fn two_alertmanagers_at_once_lead_to_one_interrupt_per_server() {
    let (cloud, site, service) = stage(6, |plain| plain);
    let config = receiver(&service.url, BEARER, "['...']");
    let pair = [0, 1].map(|_| Sender::alertmanager(&config, ALERTMANAGER_TOKEN));
    let alerts: Vec<_> = (0..6).map(|n| firing(&server(n))).collect();
    std::thread::scope(|scope| {
        for one in &pair {
            scope.spawn(|| one.post(&alerts));
        }
    });
    for n in 0..6 {
        service.wait_for(&server(n), &["accepted", "confirmed"]);
        // Each sender names itself in the body, so neither is taken for a repeat of the other.
        let of_this = format!("kind=alert_decided&serverInstanceNo={}", server(n));
        eventually("both to be decided", || (events(&service, &of_this).len() >= 2).then_some(()));
    }
    drop(pair);
    assert_eq!(service.remediations().len(), 6);
    assert_eq!(cloud.running.ledger().len(), 6);
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}

#[test]
fn a_resolve_within_the_settle_time_cancels() {
    let (cloud, site, service) = stage(2, |plain| Settings { settle: "30s", ..plain });
    let alertmanager = Sender::alertmanager(&receiver(&service.url, BEARER, "['...']"), ALERTMANAGER_TOKEN);
    let mut alert = firing(&server(0));
    alertmanager.post(&[alert.clone()]);
    service.wait_for(&server(0), &["settling"]);
    alert["endsAt"] = now_text().into();
    alertmanager.post(&[alert]);
    let cancelled = service.wait_for(&server(0), &["cancelled"]);
    assert_eq!(cancelled["reason"], "resolved", "{cancelled}");
    drop(alertmanager);
    assert_eq!(cloud.running.ledger().len(), 0);
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}

/// A port that the system gives nobody by itself, so that it stays free while the service is down; never the same twice.
pub(crate) fn quiet_port() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let port = first + GIVEN.fetch_add(1, Ordering::Relaxed);
        assert!(port < 32_000, "every quiet port is taken");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

#[test]
fn a_receiver_that_is_down_and_up_again_loses_and_doubles_nothing() {
    let cloud = Cloud::start(fleet(2));
    let port = quiet_port();
    let settings = Settings {
        server: format!("listen = \"127.0.0.1:{port}\""),
        ..Settings::new(&cloud.running.endpoint())
    };
    let site = Site::new(&settings);
    let service = site.start();
    let alertmanager = Sender::alertmanager(&receiver(&service.url, BEARER, "['...']"), ALERTMANAGER_TOKEN);
    service.kill();
    alertmanager.post(&[firing(&server(0))]);
    eventually("refused connections", || (alertmanager.failed_requests() >= 2).then_some(()));
    assert_eq!(cloud.running.ledger().len(), 0);

    let service = site.start();
    service.wait_for(&server(0), &["accepted", "confirmed"]);
    // Once more, with the interrupt behind it and the alert still firing.
    service.kill();
    let failed = alertmanager.failed_requests();
    eventually("refused connections", || (alertmanager.failed_requests() >= failed + 2).then_some(()));
    let service = site.start();
    eventually("the repeat to be heard", || {
        let heard = ["accepted", "same"].map(|result| service.deliveries_counted("alertmanager", result));
        (heard.iter().sum::<u64>() >= 2).then_some(())
    });
    drop(alertmanager);
    assert_eq!(service.remediations().len(), 1);
    assert_eq!(cloud.requests(&server(0)), 1);
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}

#[test]
fn an_overloaded_receiver_is_tried_again_until_every_alert_is_in_once() {
    let (cloud, site, service) = stage(6, |plain| Settings {
        server: "listen = \"127.0.0.1:0\"\ndeliveries_per_second = 2".to_owned(),
        ..plain
    });
    let alertmanager = Sender::alertmanager(&receiver(&service.url, BEARER, "['...']"), ALERTMANAGER_TOKEN);
    let alerts: Vec<_> = (0..6).map(|n| firing(&server(n))).collect();
    alertmanager.post(&alerts);
    for n in 0..6 {
        service.wait_for(&server(n), &["accepted", "confirmed"]);
    }
    assert!(service.deliveries_counted("alertmanager", "overloaded") > 0);
    drop(alertmanager);
    assert_eq!(cloud.running.ledger().len(), 6);
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}
