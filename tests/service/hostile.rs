//! Deliveries as hostile strangers and tired colleagues send them: each gets a clear answer, and nothing is sent.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};

use crate::support::{
    ALERTMANAGER_TOKEN, BASIC_PASSWORD, Cloud, OPERATOR, Service, Settings, Site, VIEWER, alert, broken_laws,
    delivery, fleet, now_text,
};

const GRAFANA_KEY: &str = "grafana-test-signing-key-000001";
const OTHER_TOKEN: &str = "other-alertmanager-test-token-1";
const SECRETS: [&str; 4] = [ALERTMANAGER_TOKEN, BASIC_PASSWORD, GRAFANA_KEY, OTHER_TOKEN];
const FIRST: &str = "91000001";
const SECOND: &str = "91000002";

/// Two more sources, and a second policy that claims some alerts of the first one.
const MORE: &str = r#"
[[sources]]
name = "grafana"
kind = "grafana"
trust = "act"
auth = [{ kind = "hmac", secret_file = "grafana-key", tolerance = "60s" }]
[[sources]]
name = "other"
kind = "alertmanager"
auth = [{ kind = "bearer", secret_file = "other-token" }]
[[policies]]
name = "critical"
mode = "auto"
match = { severity = "critical" }
target = ["label:server_instance_no"]
"#;

struct Stage {
    cloud: Cloud,
    site: Site,
    service: Service,
}

fn stage(server: &str, settle: &'static str) -> Stage {
    stage_of(fleet(4), server, settle)
}

fn stage_of(scenario: simulator::Scenario, server: &str, settle: &'static str) -> Stage {
    let servers = scenario.servers.len();
    let cloud = Cloud::start(scenario);
    let plain = Settings::new(&cloud.running.endpoint());
    let site = Site::new(&Settings {
        settle,
        server: format!("{}\n{server}", plain.server),
        more: MORE.to_owned(),
        ..plain
    });
    site.secret("grafana-key", GRAFANA_KEY);
    site.secret("other-token", OTHER_TOKEN);
    let service = site.start();
    service.wait_for_inventory(servers);
    Stage { cloud, site, service }
}

/// An answer as it came.
#[derive(Debug)]
struct Told {
    status: u16,
    headers: String,
    text: String,
}

impl Told {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The whole answer without what differs in every answer.
    fn without_trace(&self) -> String {
        let trace = self.json()["traceId"].as_str().unwrap().to_owned();
        let headers = self.headers.lines().filter(|line| !line.starts_with("date:"));
        let headers = headers.collect::<Vec<_>>().join("\n");
        format!("{} {headers}\n\n{}", self.status, self.text).replace(&trace, "TRACE")
    }
}

fn client() -> reqwest::blocking::Client {
    reqwest::blocking::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(30))
        .build()
        .unwrap()
}

fn told(request: reqwest::blocking::RequestBuilder) -> Told {
    let answer = request.send().unwrap();
    let mut headers: Vec<_> =
        answer.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    headers.sort();
    Told { status: answer.status().as_u16(), headers: headers.join("\n"), text: answer.text().unwrap() }
}

impl Stage {
    fn send(&self, source: &str, headers: &[(&str, String)], body: impl Into<Vec<u8>>) -> Told {
        let request = client().post(format!("{}/webhooks/{source}", self.service.url));
        let request = request.header("content-type", "application/json").body(body.into());
        told(headers.iter().fold(request, |request, (name, value)| request.header(*name, value)))
    }

    /// With the right credential.
    fn deliver(&self, body: impl Into<Vec<u8>>) -> Told {
        self.send("alertmanager", &[bearer(ALERTMANAGER_TOKEN)], body)
    }

    fn nothing_came_of_it(&self) {
        let (_, page) = self.service.get("/api/v1/deliveries", VIEWER);
        assert_eq!(page["items"], json!([]), "no delivery is kept");
        let (_, page) = self.service.get("/api/v1/audit?kind=delivery_received", VIEWER);
        assert_eq!(page["items"], json!([]), "no delivery is in the audit");
        assert!(self.service.remediations().is_empty());
        assert!(self.cloud.running.ledger().is_empty());
    }

    /// What the service wrote anywhere: no secret, no control character of a sender, and no broken law.
    fn is_clean(&mut self, acknowledged: &[String]) {
        let metrics = told(client().get(format!("{}/metrics", self.service.url))).text;
        let audit =
            client().get(format!("{}/api/v1/audit?format=ndjson", self.service.url)).bearer_auth(VIEWER);
        let audit = told(audit).text;
        self.service.stop();
        let log = std::fs::read_to_string(self.site.dir.path().join("unhang.log")).unwrap();
        for (place, text) in [("metrics", &metrics), ("audit", &audit), ("log", &log)] {
            assert!(!text.is_empty(), "{place} is empty");
            let odd = text.chars().find(|c| c.is_control() && *c != '\n');
            assert_eq!(odd, None, "{place}: {text}");
            for secret in SECRETS {
                assert!(!text.contains(secret), "{secret} is in the {place}");
            }
        }
        assert_eq!(broken_laws(&self.site, &self.cloud, acknowledged), Vec::<String>::new());
    }
}

fn bearer(token: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {token}"))
}

fn basic(name: &str, password: &str) -> (&'static str, String) {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
    ("authorization", format!("Basic {text}"))
}

/// Grafana's two headers over a body, signed `ago` seconds in the past.
fn signed(key: &str, body: &str, ago: i64) -> [(&'static str, String); 2] {
    let now: jiff::Timestamp = now_text().parse().unwrap();
    let seconds = now.as_second() - ago;
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(format!("{seconds}:{body}").as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    [("X-Grafana-Alerting-Signature", signature), ("X-Grafana-Alerting-Timestamp", seconds.to_string())]
}

fn firing(note: &str) -> String {
    delivery(&[alert(FIRST, "firing", &now_text())], note).to_string()
}

fn grafana(note: &str) -> String {
    let mut body = delivery(&[alert(FIRST, "firing", &now_text())], note);
    body["version"] = "1".into();
    body.to_string()
}

/// What it is, the source, the headers, and the body.
type Case<'a> = (&'a str, &'a str, Vec<(&'static str, String)>, &'a str);

#[test]
fn every_fault_of_a_credential_is_one_answer_and_leaves_nothing() {
    let mut on = stage("", "0s");
    let (body, from_grafana) = (firing("one"), grafana("one"));
    let long = "n".repeat(4000);
    let [signature, time] = signed(GRAFANA_KEY, &from_grafana, 0);
    let cases: Vec<Case<'_>> = vec![
        ("missing", "alertmanager", vec![], &body),
        ("wrong", "alertmanager", vec![bearer("wrong")], &body),
        ("empty", "alertmanager", vec![("authorization", "Bearer ".to_owned())], &body),
        ("one letter more", "alertmanager", vec![bearer(&format!("{ALERTMANAGER_TOKEN}x"))], &body),
        ("of another source", "alertmanager", vec![bearer(OTHER_TOKEN)], &body),
        ("swapped the other way", "other", vec![bearer(ALERTMANAGER_TOKEN)], &body),
        ("of a person", "alertmanager", vec![bearer(OPERATOR)], &body),
        ("a password as a token", "alertmanager", vec![bearer(BASIC_PASSWORD)], &body),
        ("wrong password", "alertmanager", vec![basic("alertmanager", "wrong")], &body),
        ("wrong user", "alertmanager", vec![basic("admin", BASIC_PASSWORD)], &body),
        ("twice", "alertmanager", vec![bearer(ALERTMANAGER_TOKEN), bearer(ALERTMANAGER_TOKEN)], &body),
        ("right and wrong", "alertmanager", vec![bearer(ALERTMANAGER_TOKEN), bearer("wrong")], &body),
        (
            "token and password",
            "alertmanager",
            vec![bearer("x"), basic("alertmanager", BASIC_PASSWORD)],
            &body,
        ),
        ("a signature that is needed", "grafana", vec![bearer(GRAFANA_KEY)], &from_grafana),
        ("no time", "grafana", vec![signature.clone()], &from_grafana),
        ("another body", "grafana", vec![signature, time], &body),
        ("too old", "grafana", signed(GRAFANA_KEY, &from_grafana, 90).to_vec(), &from_grafana),
        ("from the future", "grafana", signed(GRAFANA_KEY, &from_grafana, -90).to_vec(), &from_grafana),
        ("wrong key", "grafana", signed(OTHER_TOKEN, &from_grafana, 0).to_vec(), &from_grafana),
        ("unknown source", "stranger-9", vec![bearer(ALERTMANAGER_TOKEN)], &body),
        ("unknown source, nothing sent", "unknown", vec![], &body),
        ("upper case", "Alertmanager", vec![bearer(ALERTMANAGER_TOKEN)], &body),
        ("hostile name", "%3Cscript%3E%0d%0aevil", vec![bearer(ALERTMANAGER_TOKEN)], &body),
        ("long name", &long, vec![bearer(ALERTMANAGER_TOKEN)], &body),
        ("unreadable body as well", "alertmanager", vec![bearer("wrong")], "not json"),
    ];
    let expected = on.send("alertmanager", &[], &*body);
    assert_eq!((expected.status, expected.code().as_str()), (401, "bad_credential"), "{expected:?}");
    for (what, source, headers, body) in &cases {
        let told = on.send(source, headers, *body);
        assert_eq!(told.without_trace(), expected.without_trace(), "{what}");
    }
    on.nothing_came_of_it();
    // A stranger's names must not become figures.
    let metrics = told(client().get(format!("{}/metrics", on.service.url))).text;
    assert!(
        !metrics.contains("stranger-9") && !metrics.contains("script") && !metrics.contains(&long),
        "{metrics}"
    );

    let mut acknowledged = Vec::new();
    for (source, headers, body) in [
        ("alertmanager", vec![bearer(ALERTMANAGER_TOKEN)], &body),
        ("alertmanager", vec![basic("alertmanager", BASIC_PASSWORD)], &firing("two")),
        ("grafana", signed(GRAFANA_KEY, &from_grafana, 30).to_vec(), &from_grafana),
    ] {
        let told = on.send(source, &headers, &**body);
        assert_eq!(told.status, 202, "{told:?}");
        acknowledged.push(told.json()["deliveryId"].as_str().unwrap().to_owned());
    }
    on.service.wait_for(FIRST, &["accepted", "confirmed"]);
    assert_eq!(on.cloud.requests(FIRST), 1);
    on.is_clean(&acknowledged);
}

#[test]
fn bodies_that_cannot_be_read_get_the_status_and_the_place() {
    let mut on = stage("alerts_max = 20", "0s");
    let deep = |n: usize| format!("{{\"version\":\"4\",\"alerts\":{}{}}}", "[".repeat(n), "]".repeat(n));
    let fine: Value = serde_json::from_str(&firing("one")).unwrap();
    let with = |field: &str, value: Value| {
        let mut body = fine.clone();
        body[field] = value;
        body.to_string().into_bytes()
    };
    let many: Vec<_> = (0..21).map(|_| alert(FIRST, "firing", &now_text())).collect();
    let mut bodies = 0;
    for (body, status, code, mentions) in [
        (Vec::new(), 400, "unreadable_json", "empty"),
        (b"alert=1".to_vec(), 400, "unreadable_json", "line 1 column 1"),
        (b"{\"version\":\"\xff\"}".to_vec(), 422, "wrong_shape", "`alerts`"),
        (deep(100_000).into_bytes(), 400, "unreadable_json", "recursion limit"),
        (b"[".repeat(100_000), 400, "unreadable_json", "recursion limit"),
        (b"{\"version\":\"4\",\"version\":\"4\"}".to_vec(), 400, "unreadable_json", "`version`"),
        (b"[]".to_vec(), 422, "wrong_shape", "object"),
        (b"{}".to_vec(), 422, "wrong_shape", "`version`"),
        (with("version", json!("3")), 422, "wrong_shape", "`version`"),
        (with("alerts", json!("none")), 422, "wrong_shape", "`alerts`"),
        (with("truncatedAlerts", json!(-1)), 422, "wrong_shape", "`truncatedAlerts`"),
        (with("alerts", many.into()), 413, "too_many_alerts", "21 alerts, at most 20"),
    ] {
        let told = on.deliver(body.clone());
        let shown = String::from_utf8_lossy(&body).chars().take(60).collect::<String>();
        assert_eq!((told.status, told.code().as_str()), (status, code), "{shown}: {told:?}");
        let detail = told.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(mentions), "{shown}: {detail}");
        assert!(told.headers.contains("content-type: application/problem+json"), "{told:?}");
        // Its sender repeats it: what was authenticated is kept, once.
        assert_eq!(on.deliver(body.clone()).status, status);
        let (_, page) = on.service.get("/api/v1/audit?kind=delivery_unreadable&limit=1", VIEWER);
        let id = page["items"][0]["deliveryId"].as_str().unwrap();
        let (_, kept) = on.service.get(&format!("/api/v1/deliveries/{id}"), VIEWER);
        assert_eq!(kept["body"], String::from_utf8_lossy(&body).into_owned(), "{shown}");
        assert_eq!(kept["answer"]["unreadable"], detail, "{shown}");
        bodies += 1;
    }
    let (_, page) = on.service.get("/api/v1/deliveries", VIEWER);
    assert_eq!(page["items"].as_array().unwrap().len(), bodies, "each body is kept once");
    let gzip = [bearer(ALERTMANAGER_TOKEN), ("content-encoding", "gzip".to_owned())];
    let told = on.send("alertmanager", &gzip, firing("one"));
    assert_eq!((told.status, told.code().as_str()), (415, "content_encoding"), "{told:?}");
    let (_, page) = on.service.get("/api/v1/deliveries", VIEWER);
    assert_eq!(
        page["items"].as_array().unwrap().len(),
        bodies,
        "what is refused before it is read is not kept"
    );
    assert!(on.service.remediations().is_empty());
    on.is_clean(&[]);
}

#[test]
fn wrong_paths_methods_and_parameters_are_told_and_never_redirected() {
    let on = stage("", "0s");
    let ask = |method: &str, path: &str| {
        let method = method.parse().unwrap();
        told(client().request(method, format!("{}{path}", on.service.url)).bearer_auth(VIEWER).body("{}"))
    };
    for (method, path, status, code, mentions) in [
        ("GET", "/nowhere", 404, "no_such_route", "/api/v1"),
        ("POST", "/webhooks", 404, "no_such_route", ""),
        ("POST", "/webhooks/a/b", 404, "no_such_route", ""),
        ("GET", "/webhooks/alertmanager", 405, "method_not_allowed", "allow"),
        ("PUT", "/webhooks/alertmanager/", 405, "method_not_allowed", "allow"),
        ("DELETE", "/api/v1/audit", 405, "method_not_allowed", "allow"),
        ("GET", "/api/v1/audit?nonsense=1", 400, "invalid_query", "nonsense"),
        ("GET", "/api/v1/audit?limit=0", 400, "invalid_query", "limit"),
        ("GET", "/api/v1/audit?limit=1&limit=2", 400, "invalid_query", "limit"),
        ("GET", "/api/v1/audit?since=yesterday", 400, "invalid_query", "since"),
        ("GET", "/api/v1/audit?cursor=x", 400, "invalid_query", "cursor"),
        ("GET", "/api/v1/audit?order=up", 400, "invalid_query", "order"),
        ("GET", "/api/v1/audit?reason=%00", 400, "invalid_query", "reason"),
        ("GET", "/api/v1/remediations?state=gone", 400, "invalid_query", "state"),
        ("GET", "/api/v1/deliveries/nothing", 404, "not_found", "delivery"),
        ("GET", "/api/v1/deliveries/' OR 1=1", 404, "not_found", "delivery"),
    ] {
        let told = ask(method, path);
        assert_eq!((told.status, told.code().as_str()), (status, code), "{method} {path}: {told:?}");
        assert!(told.json()["detail"].as_str().unwrap().contains(mentions), "{path}: {told:?}");
        if code == "invalid_query" {
            assert_eq!(told.json()["field"], mentions, "{path}: {told:?}");
        }
        assert_eq!(told.headers.contains("allow: POST"), status == 405 && path.starts_with("/webhooks"));
    }
    on.nothing_came_of_it();
    // A slash too many is served, not redirected: a redirect would cost the sender its body.
    let told = on.send("alertmanager/", &[bearer(ALERTMANAGER_TOKEN)], firing("one"));
    assert_eq!(told.status, 202, "{told:?}");
}

#[test]
fn strangers_do_not_use_up_the_pace_of_a_source() {
    let on = stage("deliveries_per_second = 1", "0s");
    for _ in 0..5 {
        let told = on.send("alertmanager", &[], firing("one"));
        assert_eq!(told.code(), "bad_credential", "{told:?}");
    }
    let told = on.deliver(firing("one"));
    assert_eq!(told.status, 202, "{told:?}");
}

/// The most memory that a process has had, in KiB.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Writes pieces for as long as they are taken, and reads meanwhile: the answer, and when the connection ended.
fn exchange(on: &Stage, pieces: impl Iterator<Item = Vec<u8>> + Send, pause: Duration) -> (String, Duration) {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(on.service.url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let answer = std::thread::scope(|scope| {
        scope.spawn(move || {
            for piece in pieces {
                if writer.write_all(&piece).is_err() {
                    break;
                }
                std::thread::park_timeout(pause);
            }
        });
        let mut answer = Vec::new();
        let mut some = [0_u8; 4096];
        while let Ok(n @ 1..) = stream.read(&mut some) {
            answer.extend_from_slice(&some[..n]);
        }
        let _gone = stream.shutdown(std::net::Shutdown::Both);
        answer
    });
    (String::from_utf8_lossy(&answer).into_owned(), begun.elapsed())
}

fn head(more: &str) -> Vec<u8> {
    let credential = format!("authorization: Bearer {ALERTMANAGER_TOKEN}");
    format!("POST /webhooks/alertmanager HTTP/1.1\r\nhost: x\r\n{credential}\r\n{more}\r\n").into_bytes()
}

#[test]
fn a_huge_body_is_refused_and_takes_no_memory() {
    let mut on = stage("", "0s");
    assert_eq!(on.deliver(firing("one")).status, 202);
    let before = peak_memory(on.service.pid());
    // Announced: refused at once. Not announced: cut above the limit.
    let announced = std::iter::once(head("content-length: 52428800\r\n"));
    let (answer, _) = exchange(&on, announced, Duration::ZERO);
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("body_too_large"), "{answer}");
    let mebibyte = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
    for _ in 0..4 {
        let pieces = std::iter::once(head("transfer-encoding: chunked\r\n"));
        let end = std::iter::once(b"0\r\n\r\n".to_vec());
        let pieces = pieces.chain(vec![mebibyte.clone(); 50]).chain(end);
        let (answer, _) = exchange(&on, pieces, Duration::ZERO);
        // A sender that does not stop to read may see a reset in place of the answer.
        assert!(answer.is_empty() || answer.contains("body_too_large"), "{answer}");
    }
    let grown = peak_memory(on.service.pid()).saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB for a body that is refused");
    assert_eq!(on.service.get("/livez", VIEWER).0, 200);
    on.service.wait_for(FIRST, &["accepted", "confirmed"]);
    assert_eq!(on.deliver(firing("two")).status, 202);
    on.is_clean(&[]);
}

#[test]
fn a_sender_that_drips_is_cut_off_and_holds_nobody_up() {
    let on = stage("body_timeout = \"1s\"", "0s");
    let pause = Duration::from_millis(50);
    let drops = || std::iter::repeat_with(|| b" ".to_vec()).take(600);
    let body = std::iter::once(head("content-length: 100000\r\n")).chain(drops());
    let (answer, took) = exchange(&on, body, pause);
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("body_timeout"), "{answer}");
    assert!(took < Duration::from_secs(10), "{took:?}");

    let slow_head = b"POST /webhooks/alertmanager HTTP/1.1\r\nx-slow: ".to_vec();
    let (answer, took) = exchange(&on, std::iter::once(slow_head).chain(drops()), pause);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    on.nothing_came_of_it();
    assert_eq!(on.deliver(firing("one")).status, 202);
}

#[test]
fn a_chunked_body_without_an_end_holds_no_connection() {
    let on = stage("body_timeout = \"1s\"", "0s");
    let chunk = || std::iter::repeat_with(|| b"1\r\nx\r\n".to_vec()).take(400);
    let line =
        |text: &str| format!("{text} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").into_bytes();
    for (request, status) in [
        (line("POST /webhooks/alertmanager"), "408"),
        (line("POST /nowhere"), "404"),
        (line("PUT /webhooks/alertmanager"), "405"),
        (line("POST /api/v1/holds"), "401"),
        (head("content-encoding: gzip\r\ntransfer-encoding: chunked\r\n"), "415"),
    ] {
        let (answer, took) =
            exchange(&on, std::iter::once(request).chain(chunk()), Duration::from_millis(50));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
        assert!(took < Duration::from_secs(12), "{status} held its connection for {took:?}");
    }
}

/// A firing alert with some labels changed.
fn labelled(server: &str, labels: &[(&str, Value)]) -> Value {
    let mut alert = alert(server, "firing", &now_text());
    for (name, value) in labels {
        alert["labels"][*name] = value.clone();
    }
    alert
}

#[test]
fn a_poisoned_alert_is_kept_aside_and_the_good_one_beside_it_acts() {
    let mut on = stage("", "0s");
    let no = |value: &str| labelled(FIRST, &[("server_instance_no", value.into())]);
    let mut no_labels = alert(FIRST, "firing", &now_text());
    no_labels["labels"] = Value::Null;
    let bad = [
        (no("0"), "server_instance_no"),
        (no("-1"), "server_instance_no"),
        (no("4299 OR 1=1"), "server_instance_no"),
        (no("\u{ff19}\u{ff11}000001"), "server_instance_no"),
        (no("91000001 91000002"), "server_instance_no"),
        (no("091000001"), "server_instance_no"),
        (no("910000010000000000001"), "server_instance_no"),
        (no("91000001\u{0}"), "server_instance_no"),
        (labelled(FIRST, &[("server_instance_no", json!(91_000_001))]), "server_instance_no"),
        (labelled(FIRST, &[("note", "x".repeat(100_000).into())]), "note"),
        (no_labels, "labels"),
        (labelled(FIRST, &[("alertname", Value::Null)]), "alertname"),
        (json!("an alert"), "object"),
        (json!({ "status": "maybe", "labels": {} }), "status"),
    ];
    let mut alerts: Vec<_> = bad.iter().map(|(alert, _)| alert.clone()).collect();
    // What nobody reads may hold anything.
    let mut good = labelled(SECOND, &[("note", "one\r\ntwo \u{1b}[31m".into()), ("number", json!(7))]);
    good["labels"]["escape \u{1b}[2J"] = "x".into();
    good["annotations"] = json!({ "value": 3, "text": "\u{1b}[31m" });
    alerts.push(good);
    let body = delivery(&alerts, "<b>note</b>").to_string();
    let told = on.deliver(body.clone());
    assert_eq!(told.status, 202, "{told:?}");
    let answer = told.json();
    let answers = answer["alerts"].as_array().unwrap();
    assert_eq!(answers.len(), alerts.len());
    for ((alert, names), answer) in bad.iter().zip(answers) {
        let shown = alert.to_string().chars().take(300).collect::<String>();
        let of = (&answer["decision"], &answer["reason"], &answer["remediationId"]);
        let known = of.0 == "quarantined" || (of.0 == "suppressed" && of.1 == "quarantined_alert");
        assert!(known && of.2.is_null(), "{shown}: {answer}");
        assert_eq!(answer["reason"], "quarantined_alert", "{shown}: {answer}");
        assert!(answer["detail"].as_str().unwrap().contains(names), "{shown}: {answer}");
        assert!(!answer["detail"].as_str().unwrap().contains(char::is_control), "{shown}: {answer}");
    }
    assert_eq!(answers.last().unwrap()["decision"], "remediate", "{answer}");
    on.service.wait_for(SECOND, &["accepted", "confirmed"]);
    assert_eq!((on.cloud.requests(FIRST), on.cloud.running.ledger().len()), (0, 1));

    let id = answer["deliveryId"].as_str().unwrap().to_owned();
    let (_, kept) = on.service.get(&format!("/api/v1/deliveries/{id}"), VIEWER);
    assert_eq!(kept["body"], body, "the raw body is kept as it came");
    assert_eq!(kept["alerts"].as_array().unwrap().len(), alerts.len());
    on.is_clean(&[id]);
}

#[test]
fn an_alert_that_two_policies_claim_does_nothing() {
    let on = stage("", "0s");
    let both = labelled(FIRST, &[("severity", "critical".into())]);
    let told = on.deliver(delivery(&[both, alert(SECOND, "firing", &now_text())], "one").to_string());
    let answer = told.json();
    assert_eq!(answer["alerts"][0]["decision"], "suppressed", "{answer}");
    assert_eq!(answer["alerts"][0]["reason"], "ambiguous_policy", "{answer}");
    let detail = answer["alerts"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("hung-windows") && detail.contains("critical"), "{detail}");
    on.service.wait_for(SECOND, &["accepted", "confirmed"]);
    assert_eq!((on.cloud.requests(FIRST), on.service.remediations().len()), (0, 1));
    assert_eq!(broken_laws(&on.site, &on.cloud, &[]), Vec::<String>::new());
}

#[test]
fn pages_show_hostile_names_as_text() {
    let hostile = "<img src=x onerror=alert(1)>\"'&";
    let mut scenario = fleet(2);
    scenario.servers[0].name = hostile.to_owned();
    let on = stage_of(scenario, "", "60s");
    let named = labelled(FIRST, &[("hostname", hostile.into()), ("job", hostile.into())]);
    let unclaimed = labelled(SECOND, &[("alertname", hostile.into())]);
    let told_alerts = on.deliver(delivery(&[named, unclaimed], hostile).to_string());
    assert_eq!(told_alerts.json()["alerts"][0]["decision"], "remediate", "{told_alerts:?}");
    assert_eq!(told_alerts.json()["alerts"][1]["reason"], "no_policy", "{told_alerts:?}");
    let hold = json!({ "scope": "server", "name": SECOND, "reason": hostile });
    assert_eq!(on.service.post("/api/v1/holds", OPERATOR, &hold).0, 201);
    let cookie = session(&on.service.url, VIEWER);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let first = &told_alerts.json()["alerts"][0];
    for path in [
        "/".to_owned(),
        "/holds".to_owned(),
        "/incidents".to_owned(),
        format!("/incidents/{}", text(&first["incidentId"])),
        format!("/remediations/{}", text(&first["remediationId"])),
    ] {
        let page = told(client().get(format!("{}{path}", on.service.url)).header("cookie", &cookie));
        assert_eq!(page.status, 200, "{path}: {page:?}");
        let shown = |text: &str| page.text.matches(text).count();
        assert_eq!(shown("<img"), 0, "{path}: {}", page.text);
        assert!(shown("&#60;img src=x onerror=alert(1)&#62;&#34;&#39;&#38;") >= 1, "{path}: {}", page.text);
        assert!(page.headers.contains("content-security-policy: default-src 'none'"), "{}", page.headers);
    }
}

/// The cookie of a person who logs in to the pages.
pub(crate) fn session(url: &str, token: &str) -> String {
    let request = client().post(format!("{url}/login")).header("origin", url);
    let answer = told(request.form(&[("token", token), ("next", "/")]));
    assert_eq!(answer.status, 303, "{answer:?}");
    let set = answer.headers.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    set.split(';').next().unwrap().to_owned()
}
