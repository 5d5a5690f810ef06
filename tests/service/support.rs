//! What the tests of the whole service share: the real binary on a real port, the simulated cloud, and one checker.
//!
//! Every wait is bounded and polls; only processes started here are ended, by their id.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{contract, postgres};

pub(crate) const ALERTMANAGER_TOKEN: &str = "alertmanager-test-token-0001";
pub(crate) const BASIC_PASSWORD: &str = "alertmanager-test-password-1";
pub(crate) const OPERATOR: &str = "operator-test-token-0000000001";
pub(crate) const LEAD: &str = "lead-test-token-00000000000001";
pub(crate) const LEAD2: &str = "lead2-test-token-0000000000001";
pub(crate) const VIEWER: &str = "viewer-test-token-000000000001";

pub(crate) const AUDIT_KEY: &str = "audit-key-of-the-tests-32-bytes-long";

/// Longest that anything here waits for.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Many servers at once are meant in most tests, so no storm is seen in them.
const NO_STORM: &str = "[storm]\nshare = 1.0\ncount = 1000\nsame_zone = 1000\n";
/// The same for many bad outcomes in a row.
const NO_BREAKER: &str = "[breaker]\nfailures = 1000\n";

/// Asks until the answer is something, or fails.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// One data folder with a configuration.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) config: PathBuf,
    /// The store, where it is on a server.
    pub(crate) url: Option<String>,
}

/// What a test changes in the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) endpoint: String,
    pub(crate) mode: &'static str,
    pub(crate) settle: &'static str,
    pub(crate) spacing: &'static str,
    /// Lines of `[server]`.
    pub(crate) server: String,
    pub(crate) more: String,
    /// Lines of `[store]`.
    pub(crate) store: String,
    /// Lines of the source.
    pub(crate) source: String,
}

impl Settings {
    pub(crate) fn new(endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            mode: "auto",
            settle: "0s",
            spacing: "1s",
            server: "listen = \"127.0.0.1:0\"".to_owned(),
            more: String::new(),
            // Small: the disks of testers are.
            store: "watermark = \"1MiB\"\nballast = \"0\"".to_owned(),
            source: String::new(),
        }
    }
}

fn sha256_hex(text: &str) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(text))
}

impl Site {
    /// Writes configuration and secrets. Limits are wide: the tests that use them look for second effects.
    /// What `more` says of storms and breakers takes the place of the wide ones.
    pub(crate) fn new(settings: &Settings) -> Self {
        // The same tests on the other kind of store.
        let url = on_a_server().then(|| postgres::server().new_database());
        Self::with_store(settings, url)
    }

    /// The same with a store on a server that was named, or else in a file.
    pub(crate) fn with_store(settings: &Settings, url: Option<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("unhang.toml");
        let site = Self { dir, config, url };
        let scenario = simulator::Scenario::demo();
        site.secret("access", &scenario.access_key);
        site.secret("secret", &scenario.secret_key);
        site.secret("audit-key", AUDIT_KEY);
        site.secret("am", ALERTMANAGER_TOKEN);
        site.secret("am-basic", BASIC_PASSWORD);
        site.write(settings);
        site
    }

    pub(crate) fn secret(&self, name: &str, value: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.dir.path().join(name);
        std::fs::write(&path, value).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Writes the configuration file.
    pub(crate) fn write(&self, settings: &Settings) {
        let Settings { endpoint, mode, settle, spacing, server, more, store: store_keys, source } = settings;
        let store = self.url.clone().unwrap_or_else(|| format!("sqlite://{}", self.store().display()));
        let mut text = format!(
            r#"
[server]
{server}
[store]
url = "{store}"
{store_keys}
[cloud]
endpoint = "{endpoint}"
region = "KR"
access_key_file = "access"
secret_key_file = "secret"
timeout = "5s"
reads_per_second = 1000
[[sources]]
name = "alertmanager"
kind = "alertmanager"
trust = "act"
{source}
auth = [
  {{ kind = "bearer", secret_file = "am" }},
  {{ kind = "basic", username = "alertmanager", secret_file = "am-basic" }},
]
[[policies]]
name = "hung-windows"
mode = "{mode}"
match = {{ alertname = "WindowsVmHung" }}
target = ["label:server_instance_no", "label:instance as ip", "label:hostname as name"]
settle = "{settle}"
cooldown = "24h"
budget = ["1000/1h"]
[limits]
server = ["2/24h"]
region = ["1000/1h"]
global = ["1000/1h"]
in_flight = 4
spacing = "{spacing}"
[dispatch]
tick = "100ms"
[verify]
poll = "1s"
[audit]
key_file = "audit-key"
"#
        );
        for (name, role, token) in [
            ("oncall", "operator", OPERATOR),
            ("lead", "approver", LEAD),
            ("lead2", "approver", LEAD2),
            ("looker", "viewer", VIEWER),
        ] {
            let hash = sha256_hex(token);
            write!(text, "[[tokens]]\nname = \"{name}\"\nrole = \"{role}\"\nsha256 = \"{hash}\"\n").unwrap();
        }
        for (section, wide) in [("[storm]", NO_STORM), ("[breaker]", NO_BREAKER)] {
            if !more.contains(section) {
                text.push_str(wide);
            }
        }
        text.push_str(more);
        std::fs::write(&self.config, text).unwrap();
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.dir.path().join("data/unhang.db")
    }

    /// Where its store is.
    pub(crate) fn place(&self) -> unhang::config::Place {
        let file = || unhang::config::Place::File(self.store());
        self.url.as_deref().map_or_else(file, |url| unhang::config::Place::parse(url).unwrap())
    }

    /// Runs statements behind the service's back.
    pub(crate) fn sql(&self, text: &str) {
        use sqlx::Connection as _;
        if let Some(url) = &self.url {
            let database = url.rsplit('/').next().unwrap();
            postgres::server().run(database, &format!("SET search_path = unhang; {text}"));
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.store());
            let mut db = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut db).await.unwrap();
            db.close().await.unwrap();
        });
    }

    /// Starts the binary and waits until it says where it listens.
    pub(crate) fn start(&self) -> Service {
        match self.try_start() {
            Ok(service) => service,
            Err(said) => panic!("the service did not start:\n{said}"),
        }
    }

    /// Starts the binary; what it said if it ended instead.
    pub(crate) fn try_start(&self) -> Result<Service, String> {
        self.try_start_with(&[])
    }

    /// Starts the binary with an environment; what it said if it ended instead.
    pub(crate) fn try_start_with(&self, environment: &[(&str, &str)]) -> Result<Service, String> {
        self.try_start_as(Path::new(env!("CARGO_BIN_EXE_unhang")), environment)
    }

    /// Starts a binary, of another version perhaps; what it said if it ended instead.
    pub(crate) fn try_start_as(
        &self,
        binary: &Path,
        environment: &[(&str, &str)],
    ) -> Result<Service, String> {
        let mut child = Command::new(binary)
            .args(["serve", "--config"])
            .arg(&self.config)
            .args(["--log-format", "json"])
            .current_dir(self.dir.path())
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut kept = std::fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        // Somebody must keep reading, or the service would block on a full pipe.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _gone = std::io::Write::write_all(&mut kept, format!("{line}\n").as_bytes());
                let _nobody_listens_any_more = tell.send(line);
            }
        });
        let mut said = String::new();
        loop {
            match told.recv_timeout(PATIENCE) {
                Ok(line) => {
                    said.push_str(&line);
                    said.push('\n');
                    let parsed: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
                    if let Some(addr) = parsed.get("addr").and_then(Value::as_str) {
                        let url = format!("http://{addr}");
                        return Ok(Service { child: Mutex::new(child), url, http: client() });
                    }
                }
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                    let status = child.wait().unwrap();
                    return Err(format!("{said}{status}"));
                }
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                    let _already_gone = child.kill();
                    let _status = child.wait();
                    return Err(format!("{said}it neither listens nor ends"));
                }
            }
        }
    }

    /// What every process here wrote.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.path().join("unhang.log")
    }

    /// Runs a command of the binary in this folder: exit code, standard output, standard error.
    pub(crate) fn run(&self, args: &[&str]) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_unhang"))
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }
}

fn client() -> reqwest::blocking::Client {
    reqwest::blocking::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap()
}

/// Status and answer, after a look into the API document; `None` when the connection broke.
pub(crate) fn read_answer(asking: reqwest::blocking::RequestBuilder) -> Option<(u16, Value)> {
    let (client, request) = asking.build_split();
    let request = request.unwrap();
    let (method, path) = (request.method().to_string(), request.url().path().to_owned());
    let answer = client.execute(request).ok()?;
    let status = answer.status().as_u16();
    let media = answer.headers().get("content-type").map(|media| media.to_str().unwrap_or("").to_owned());
    let text = answer.text().ok()?;
    contract::hold(unhang::http::document(), &method, &path, status, &media.unwrap_or_default(), &text);
    Some((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

/// One running process of the service.
#[derive(Debug)]
pub(crate) struct Service {
    child: Mutex<Child>,
    pub(crate) url: String,
    pub(crate) http: reqwest::blocking::Client,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Service {
    pub(crate) fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// Ends the process at once, as `kill -9` does.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        let _already_gone = child.kill();
        let _status = child.wait();
    }

    /// How the process ended, if it has; a signal is -1.
    pub(crate) fn ended(&self) -> Option<i32> {
        self.child.lock().unwrap().try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    }

    /// Asks the process to end and returns its exit code and how long it took.
    pub(crate) fn stop(&self) -> (i32, Duration) {
        let begun = Instant::now();
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let code = eventually("the process to end", || self.ended());
        (code, begun.elapsed())
    }

    /// Sends a delivery; status and answer, or `None` when the connection broke.
    pub(crate) fn deliver(&self, body: &Value) -> Option<(u16, Value)> {
        self.try_post("/webhooks/alertmanager", ALERTMANAGER_TOKEN, body)
    }

    pub(crate) fn get(&self, path: &str, token: &str) -> (u16, Value) {
        self.try_get(path, token).unwrap()
    }

    /// Status and answer, or `None` when the connection broke.
    pub(crate) fn try_get(&self, path: &str, token: &str) -> Option<(u16, Value)> {
        read_answer(self.http.get(format!("{}{path}", self.url)).bearer_auth(token))
    }

    pub(crate) fn post(&self, path: &str, token: &str, body: &Value) -> (u16, Value) {
        self.try_post(path, token, body).unwrap()
    }

    /// Status and answer, or `None` when the connection broke.
    pub(crate) fn try_post(&self, path: &str, token: &str, body: &Value) -> Option<(u16, Value)> {
        let asking = self.http.post(format!("{}{path}", self.url)).bearer_auth(token);
        read_answer(asking.header("content-type", "application/json").body(body.to_string()))
    }

    /// Approves a remediation as it is shown now; `None` when the connection broke.
    pub(crate) fn try_approve(&self, id: &str, token: &str, mut body: Value) -> Option<(u16, Value)> {
        let path = format!("/api/v1/remediations/{id}");
        let (_, shown) = self.try_get(&path, token)?;
        body["decisionHash"] = shown["decisionHash"].clone();
        self.try_post(&format!("{path}/approve"), token, &body)
    }

    /// Approves a remediation as it is shown now.
    pub(crate) fn approve(&self, id: &str, token: &str, body: Value) -> (u16, Value) {
        self.try_approve(id, token, body).unwrap()
    }

    /// Takes back a demotion of the policy, as a person does after an unknown.
    pub(crate) fn promote(&self) {
        let body = json!({ "reason": "looked at it" });
        let (status, said) = self.post("/api/v1/policies/hung-windows/promote", LEAD, &body);
        assert!(status == 200 || said["code"] == "policy_refused", "{status} {said}");
    }

    /// The counter `unhang_deliveries_total` of a source and a result.
    pub(crate) fn deliveries_counted(&self, source: &str, result: &str) -> u64 {
        let text = self.http.get(format!("{}/metrics", self.url)).send().unwrap().text().unwrap();
        let of_this = format!("unhang_deliveries_total{{source=\"{source}\",result=\"{result}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&of_this)?.parse().ok()).unwrap_or(0)
    }

    /// Waits until the inventory holds this many servers.
    pub(crate) fn wait_for_inventory(&self, count: usize) {
        eventually("the inventory", || {
            let (_, page) = self.get("/api/v1/servers?limit=1000", VIEWER);
            page["items"].as_array().is_some_and(|items| items.len() == count).then_some(())
        });
    }

    /// The remediations that the API lists.
    pub(crate) fn remediations(&self) -> Vec<Value> {
        let (status, page) = self.get("/api/v1/remediations?limit=1000", VIEWER);
        assert_eq!(status, 200, "{page}");
        page["items"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until the newest remediation of a server is in one of these states.
    pub(crate) fn wait_for(&self, server: &str, states: &[&str]) -> Value {
        eventually(&format!("server {server} to be {states:?}"), || {
            self.remediations()
                .into_iter()
                .find(|one| one["serverInstanceNo"] == server)
                .filter(|one| states.iter().any(|state| one["state"] == *state))
        })
    }
}

/// One alert in Alertmanager's form.
pub(crate) fn alert(server: &str, status: &str, starts_at: &str) -> Value {
    let fingerprint = sha256_hex(server);
    let ends_at = if status == "resolved" { now_text() } else { "0001-01-01T00:00:00Z".to_owned() };
    json!({
        "status": status,
        "labels": { "alertname": "WindowsVmHung", "server_instance_no": server },
        "annotations": {},
        "startsAt": starts_at,
        "endsAt": ends_at,
        "generatorURL": "http://prometheus.example/graph",
        "fingerprint": &fingerprint[..16],
    })
}

/// A delivery in Alertmanager's form; `note` makes its body its own.
pub(crate) fn delivery(alerts: &[Value], note: &str) -> Value {
    json!({
        "version": "4",
        "groupKey": "{}:{alertname=\"WindowsVmHung\"}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "unhang",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": { "note": note },
        "externalURL": "http://alertmanager.example",
        "alerts": alerts,
    })
}

/// Now, as senders write it.
#[expect(clippy::disallowed_methods, reason = "a sender has its own clock")]
pub(crate) fn now_text() -> String {
    jiff::Timestamp::now().to_string()
}

/// A scenario with this many Windows servers, numbered from 91000001, fast dumps.
pub(crate) fn fleet(count: u32) -> simulator::Scenario {
    let mut scenario = simulator::Scenario::demo();
    scenario.servers = (0..count)
        .map(|n| simulator::ServerSpec {
            no: (91_000_001 + n).to_string(),
            name: format!("win-{n:03}"),
            private_ip: format!("10.1.{}.{}", n / 250, n % 250 + 1),
            ..scenario.servers[0].clone()
        })
        .collect();
    scenario
}

/// The simulated cloud with a runtime of its own, so that tests can stay plain.
#[derive(Debug)]
pub(crate) struct Cloud {
    pub(crate) running: simulator::Running,
    _runtime: tokio::runtime::Runtime,
}

impl Cloud {
    pub(crate) fn start(scenario: simulator::Scenario) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let running =
            runtime.block_on(simulator::start("127.0.0.1:0".parse().unwrap(), scenario, None)).unwrap();
        Self { running, _runtime: runtime }
    }

    /// Requests that had an effect, per server.
    pub(crate) fn effects(&self) -> std::collections::BTreeMap<String, usize> {
        let mut effects = std::collections::BTreeMap::new();
        for entry in self.running.ledger() {
            if entry.effect {
                *effects.entry(entry.server_instance_no.clone().unwrap_or_default()).or_insert(0) += 1;
            }
        }
        effects
    }

    /// Interrupt requests of any kind for one server.
    pub(crate) fn requests(&self, server: &str) -> usize {
        let of = |entry: &simulator::LedgerEntry| entry.server_instance_no.as_deref() == Some(server);
        self.running.ledger().iter().filter(|entry| of(entry)).count()
    }
}

/// The checker: reads the ledger, the acknowledgements and the store, and says which laws are broken.
pub(crate) fn broken_laws(site: &Site, cloud: &Cloud, acknowledged: &[String]) -> Vec<String> {
    let mut broken = Vec::new();
    for (server, count) in cloud.effects() {
        if count > 1 {
            broken.push(format!("law 8: server {server} has {count} effects in the ledger"));
        }
    }
    if cloud.running.ledger().iter().any(|entry| entry.destroyed_dump) {
        broken.push("law 9: a dump was destroyed".to_owned());
    }
    let rows = match &site.url {
        Some(url) => server_rows(url),
        None => store_rows(&site.store()),
    };
    for id in acknowledged {
        if !rows.deliveries.contains(id) {
            broken.push(format!("law 1: acknowledged delivery {id} is not in the store"));
        }
        if !rows.audited.contains(id) {
            broken.push(format!("law 1: acknowledged delivery {id} has no audit row"));
        }
    }
    let requests = cloud.running.ledger();
    for (server, signed_at, outcome) in &rows.attempts {
        let of_this = |entry: &&simulator::LedgerEntry| {
            entry.server_instance_no.as_deref() == Some(server)
                && entry.timestamp.as_deref() == Some(signed_at)
        };
        let seen: Vec<_> = requests.iter().filter(of_this).collect();
        let effects = seen.iter().filter(|entry| entry.effect).count();
        match outcome.as_deref() {
            Some("not_sent") if !seen.is_empty() => {
                broken.push(format!("law 17: {server} was not sent, but the ledger has it"));
            }
            Some("rejected") if effects > 0 => {
                broken.push(format!("law 17: {server} was rejected, but had an effect"));
            }
            Some("accepted") if effects != 1 => {
                broken.push(format!("law 18: {server} was accepted with {effects} effects"));
            }
            _ => {}
        }
    }
    for entry in &requests {
        let known = rows.attempts.iter().any(|(server, signed_at, _)| {
            entry.server_instance_no.as_deref() == Some(server)
                && entry.timestamp.as_deref() == Some(signed_at)
        });
        if !known {
            broken.push(format!("law 10: request {} has no committed intent", entry.seq));
        }
    }
    if rows.integrity != "ok" || rows.broken_references > 0 {
        broken.push(format!("law 39: {} / {} broken references", rows.integrity, rows.broken_references));
    }
    if rows.live_twice > 0 {
        broken.push(format!("law 34: {} servers have two live remediations", rows.live_twice));
    }
    // Rows, heads and tables at once.
    let (code, said, trouble) = site.run(&["audit", "verify", "--deep", "--require-key"]);
    if code != 0 || !said.contains(" heads agree") || !said.contains("folded: ") || said.contains("not told")
    {
        broken.push(format!("law 35 or 41: the audit does not verify: {said}{trouble}"));
    }
    broken
}

struct Rows {
    deliveries: std::collections::BTreeSet<String>,
    audited: std::collections::BTreeSet<String>,
    attempts: Vec<(String, String, Option<String>)>,
    integrity: String,
    broken_references: usize,
    live_twice: i64,
}

/// Whether the stores of these tests are on a server.
#[expect(clippy::disallowed_methods, reason = "which store is tested is no configuration of the service")]
pub(crate) fn on_a_server() -> bool {
    std::env::var("UNHANG_TEST_STORE").is_ok_and(|kind| kind == "postgres")
}

fn server_rows(url: &str) -> Rows {
    let database = url.rsplit('/').next().unwrap();
    let lines = |sql: &str| -> Vec<String> {
        let told = postgres::server().run(database, &format!("SET search_path = unhang; {sql}"));
        told.lines().map(str::to_owned).collect()
    };
    let attempt = |line: &String| {
        let mut parts = line.split('|').map(str::to_owned);
        let (server, signed_at) = (parts.next().unwrap(), parts.next().unwrap());
        (server, signed_at, parts.next().filter(|outcome| !outcome.is_empty()))
    };
    let live_twice = lines(
        "SELECT count(*) FROM (SELECT 1 FROM remediation WHERE finished_at IS NULL \
         GROUP BY region_code, server_no HAVING count(*) > 1) twice",
    );
    Rows {
        deliveries: lines("SELECT id FROM delivery").into_iter().collect(),
        audited: lines("SELECT DISTINCT delivery_id FROM audit WHERE delivery_id IS NOT NULL")
            .into_iter()
            .collect(),
        attempts: lines("SELECT server_no, signed_at, outcome FROM attempt").iter().map(attempt).collect(),
        integrity: "ok".to_owned(),
        broken_references: 0,
        live_twice: live_twice.first().unwrap().parse().unwrap(),
    }
}

fn store_rows(path: &Path) -> Rows {
    use sqlx::Connection as _;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).read_only(true);
        let mut db = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        let ids: Vec<String> =
            sqlx::query_scalar("SELECT id FROM delivery").fetch_all(&mut db).await.unwrap();
        let audited: Vec<String> =
            sqlx::query_scalar("SELECT DISTINCT delivery_id FROM audit WHERE delivery_id IS NOT NULL")
                .fetch_all(&mut db)
                .await
                .unwrap();
        let attempts: Vec<(String, i64, Option<String>)> =
            sqlx::query_as("SELECT server_no, signed_at, outcome FROM attempt")
                .fetch_all(&mut db)
                .await
                .unwrap();
        let integrity: String =
            sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut db).await.unwrap();
        let broken_references =
            sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut db).await.unwrap().len();
        let live_twice: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM (SELECT 1 FROM remediation WHERE finished_at IS NULL \
             GROUP BY region_code, server_no HAVING count(*) > 1)",
        )
        .fetch_one(&mut db)
        .await
        .unwrap();
        Rows {
            deliveries: ids.into_iter().collect(),
            audited: audited.into_iter().collect(),
            attempts: attempts.into_iter().map(|(no, at, outcome)| (no, at.to_string(), outcome)).collect(),
            integrity,
            broken_references,
            live_twice,
        }
    })
}
