//! Threats that need no browser, each as its attacker would try it. The table that names them is docs/THREATS.md.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};

use crate::support::{
    ALERTMANAGER_TOKEN, Cloud, OPERATOR, Service, Settings, Site, VIEWER, alert, broken_laws, delivery,
    eventually, fleet, now_text,
};

const GRAFANA_KEY: &str = "grafana-threat-signing-key-0001";
const INSIGHT_TOKEN: &str = "insight-threat-token-0000000001";
const ELSEWHERE_TOKEN: &str = "elsewhere-threat-token-00000001";
const NEXT_TOKEN: &str = "alertmanager-next-token-0000001";
const FIRST: &str = "91000001";
const SECOND: &str = "91000002";

/// One more source of each kind, and a policy for the one that cannot sign.
const MORE: &str = r#"
[[sources]]
name = "grafana"
kind = "grafana"
trust = "act"
auth = [{ kind = "hmac", secret_file = "grafana-key" }]
[[sources]]
name = "insight"
kind = "cloud_insight"
auth = [{ kind = "header", name = "X-Unhang-Token", secret_file = "insight-token" }]
[[sources]]
name = "elsewhere"
kind = "alertmanager"
allow_from = ["192.0.2.0/24"]
auth = [{ kind = "bearer", secret_file = "elsewhere-token" }]
[[policies]]
name = "insight-cpu"
mode = "auto"
match = { alertname = "hung-windows" }
settle = "0s"
target = ["label:server_instance_no"]
"#;

struct Stage {
    cloud: Cloud,
    site: Site,
    service: Service,
}

fn stage(settings: impl FnOnce(Settings) -> Settings) -> Stage {
    let cloud = Cloud::start(fleet(4));
    let plain = Settings { more: MORE.to_owned(), ..Settings::new(&cloud.running.endpoint()) };
    let site = Site::new(&settings(plain));
    site.secret("grafana-key", GRAFANA_KEY);
    site.secret("insight-token", INSIGHT_TOKEN);
    site.secret("elsewhere-token", ELSEWHERE_TOKEN);
    let service = site.start();
    service.wait_for_inventory(4);
    Stage { cloud, site, service }
}

impl Stage {
    fn post(&self, source: &str, headers: &[(&str, String)], body: &str) -> (u16, Value) {
        let url = format!("{}/webhooks/{source}", self.service.url);
        let request = client().post(url).header("content-type", "application/json").body(body.to_owned());
        let answer = headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, value))
            .send()
            .unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().unwrap()).unwrap_or(Value::Null))
    }

    fn deliveries(&self) -> usize {
        let (_, page) = self.service.get("/api/v1/deliveries?limit=1000", VIEWER);
        page["items"].as_array().unwrap().len()
    }
}

fn client() -> reqwest::blocking::Client {
    let plain = reqwest::blocking::Client::builder().no_proxy().timeout(Duration::from_secs(20));
    plain.redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

fn bearer(token: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {token}"))
}

fn firing(server: &str, note: &str) -> String {
    delivery(&[alert(server, "firing", &now_text())], note).to_string()
}

fn signed(body: &str) -> [(&'static str, String); 2] {
    let now: jiff::Timestamp = now_text().parse().unwrap();
    let seconds = now.as_second();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(GRAFANA_KEY.as_bytes()).unwrap();
    mac.update(format!("{seconds}:{body}").as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    [("X-Grafana-Alerting-Signature", signature), ("X-Grafana-Alerting-Timestamp", seconds.to_string())]
}

#[test]
fn a_captured_signed_delivery_does_nothing_more_when_it_is_played_back_even_after_a_restart() {
    let mut on = stage(|plain| plain);
    let mut body: Value = serde_json::from_str(&firing(FIRST, "captured")).unwrap();
    body["version"] = "1".into();
    let body = body.to_string();
    let headers = signed(&body);
    let (status, first) = on.post("grafana", &headers, &body);
    assert_eq!((status, &first["alerts"][0]["decision"]), (202, &json!("remediate")), "{first}");
    on.service.wait_for(FIRST, &["accepted", "confirmed"]);
    for _ in 0..20 {
        let (status, again) = on.post("grafana", &headers, &body);
        assert_eq!((status, &again), (202, &first), "the stored answer, and no new delivery");
    }
    on.service.kill();
    on.service = on.site.start();
    let (status, again) = on.post("grafana", &headers, &body);
    assert_eq!((status, &again["deliveryId"]), (202, &first["deliveryId"]), "{again}");
    assert_eq!((on.cloud.requests(FIRST), on.deliveries()), (1, 1));
    assert_eq!(broken_laws(&on.site, &on.cloud, &[]), Vec::<String>::new());
}

#[test]
fn ten_thousand_repeats_of_one_cloud_insight_call_lead_to_one_proposal() {
    let on = stage(|plain| Settings {
        server: format!("{}\ndeliveries_per_second = 100000", plain.server),
        ..plain
    });
    let now: jiff::Timestamp = now_text().parse().unwrap();
    let at = now.as_millisecond().to_string();
    let body = json!({
        "payloadVersion": "1", "domainCode": "PUB", "regionCode": "KR", "productKey": "460438474722512896",
        "productName": "System/Server(VPC)", "resourceName": "win-000",
        "dimensions": format!("{{\"instanceNo\":\"{FIRST}\",\"type\":\"svr\"}}"), "ruleId": "7", "ruleName": "hung-windows",
        "dataTime": at, "level": "CRITICAL", "operator": ">=", "metric": "avg_cpu_used_rto", "unit": "%",
        "aggregation": "AVG", "criteria": "99.0", "duration": "5", "alarmStartTime": at, "alarmEndTime": "",
        "eventCauseType": "", "value": "100.0", "currentValue": "100.0", "eventStatus": "ALARM",
    })
    .to_string();
    let senders: Vec<_> = (0..4).map(|_| client()).collect();
    let ids: BTreeSet<String> = std::thread::scope(|scope| {
        let (body, url) = (&body, &on.service.url);
        let threads: Vec<_> = senders
            .iter()
            .map(|client| {
                scope.spawn(move || {
                    let send = || {
                        let call = client.post(format!("{url}/webhooks/insight")).body(body.clone());
                        let call = call.header("X-Unhang-Token", INSIGHT_TOKEN);
                        let answer = call.header("content-type", "application/json").send().unwrap();
                        assert!(matches!(answer.status().as_u16(), 202 | 503), "{answer:?}");
                        let told: Value = serde_json::from_str(&answer.text().unwrap()).unwrap();
                        told["deliveryId"].as_str().map(str::to_owned)
                    };
                    (0..2500).filter_map(|_| send()).collect::<BTreeSet<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    // Repeats within a minute are one delivery; a slow machine may see a second minute begin.
    assert!((1..=3).contains(&ids.len()), "{ids:?}");
    let all = on.service.remediations();
    assert_eq!(all.len(), 1, "{all:?}");
    on.service.wait_for(FIRST, &["awaiting_approval"]);
    assert_eq!(on.cloud.requests(FIRST), 0, "a source that cannot sign only proposes");
}

#[test]
fn a_credential_is_rotated_under_load_without_loss_and_the_old_one_is_refused_after() {
    let on = stage(|plain| plain);
    on.site.secret("am-next", NEXT_TOKEN);
    let old_line = "{ kind = \"bearer\", secret_file = \"am\" },\n  { kind = \"basic\"";
    let (both, new_only) = (
        "{ kind = \"bearer\", secret_file = \"am\" },\n  { kind = \"bearer\", secret_file = \"am-next\" },\n  { kind = \"basic\"",
        "{ kind = \"bearer\", secret_file = \"am-next\" },\n  { kind = \"basic\"",
    );
    let rewrite = |from: &str, to: &str, loaded: usize| {
        let text = std::fs::read_to_string(&on.site.config).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&on.site.config, text.replace(from, to)).unwrap();
        let pid = on.service.pid().to_string();
        assert!(std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
        eventually("the new credentials", || {
            let (_, page) = on.service.get("/api/v1/audit?kind=config_loaded", VIEWER);
            (page["items"].as_array().unwrap().len() == loaded).then_some(())
        });
    };
    let mut count = 0;
    let mut send = |token: &str, wanted: u16| {
        count += 1;
        let resolved = delivery(&[alert(SECOND, "resolved", &now_text())], &format!("n{count}")).to_string();
        let (status, told) = on.post("alertmanager", &[bearer(token)], &resolved);
        assert_eq!(status, wanted, "{told}");
    };
    (0..50).for_each(|_| send(ALERTMANAGER_TOKEN, 202));
    rewrite(old_line, both, 1);
    (0..50).for_each(|_| send(ALERTMANAGER_TOKEN, 202));
    (0..50).for_each(|_| send(NEXT_TOKEN, 202));
    rewrite(both, new_only, 2);
    (0..50).for_each(|_| send(NEXT_TOKEN, 202));
    send(ALERTMANAGER_TOKEN, 401);
    assert_eq!(on.deliveries(), 200, "every one that was taken is kept");
}

#[test]
fn a_reused_number_is_another_machine_and_is_left_alone() {
    let on = stage(|plain| Settings { mode: "approve", ..plain });
    let (status, told) = on.post("alertmanager", &[bearer(ALERTMANAGER_TOKEN)], &firing(FIRST, "one"));
    assert_eq!(status, 202, "{told}");
    let id = on.service.wait_for(FIRST, &["awaiting_approval"])["id"].as_str().unwrap().to_owned();
    // The machine is returned, and its number given to a new one of the same name.
    let created =
        simulator::ServerPatch { create_date: Some("2026-11-01T10:00:00+0900".into()), ..Default::default() };
    on.cloud.running.patch(FIRST, created).unwrap();
    let body = json!({ "reason": "it hangs", "confirmStillHung": true });
    let (status, said) = on.service.approve(&id, crate::support::LEAD, body);
    assert!(status == 200 || status == 409, "{said}");
    let ended = on.service.wait_for(FIRST, &["cancelled"]);
    assert_eq!(ended["reason"], "not_eligible", "{ended}");
    assert_eq!(on.cloud.requests(FIRST), 0);
}

#[test]
fn the_target_comes_from_the_configured_labels_alone() {
    let on = stage(|plain| plain);
    let mut odd = alert(FIRST, "firing", &now_text());
    odd["labels"] = json!({ "alertname": "WindowsVmHung", "serverInstanceNo": FIRST, "target": FIRST });
    odd["annotations"] = json!({ "server_instance_no": FIRST, "instance": "10.1.0.1" });
    odd["generatorURL"] = format!("http://prometheus.example/?server_instance_no={FIRST}").into();
    let mut body = delivery(&[odd], "one");
    body["commonLabels"] = json!({ "server_instance_no": FIRST });
    body["groupLabels"] = json!({ "server_instance_no": FIRST });
    let (status, told) = on.post("alertmanager", &[bearer(ALERTMANAGER_TOKEN)], &body.to_string());
    assert_eq!((status, &told["alerts"][0]["reason"]), (202, &json!("target_missing")), "{told}");
    assert_eq!((on.service.remediations().len(), on.cloud.running.ledger().len()), (0, 0));
}

#[test]
fn a_body_of_four_mebibytes_is_read_and_one_byte_more_is_not() {
    let on = stage(|plain| plain);
    let most = 4 << 20;
    let padded = |length: usize| {
        let body = firing(SECOND, "padded");
        format!("{body}{}", " ".repeat(length - body.len()))
    };
    let (status, told) = on.post("alertmanager", &[bearer(ALERTMANAGER_TOKEN)], &padded(most));
    assert_eq!(status, 202, "{told}");
    let (status, told) = on.post("alertmanager", &[bearer(ALERTMANAGER_TOKEN)], &padded(most + 1));
    assert_eq!((status, &told["code"]), (413, &json!("body_too_large")), "{told}");
    assert_eq!(on.deliveries(), 1);
}

/// Writes bytes as they are and reads what comes back until the other side ends.
fn raw(on: &Stage, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(on.service.url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    stream.write_all(bytes).unwrap();
    let _half_closed = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let mut some = [0_u8; 4096];
    while let Ok(n @ 1..) = stream.read(&mut some) {
        answer.extend_from_slice(&some[..n]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_request_hidden_inside_another_is_never_taken_in() {
    let on = stage(|plain| plain);
    let inner = firing(FIRST, "smuggled");
    let hidden = format!(
        "POST /webhooks/alertmanager HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ALERTMANAGER_TOKEN}\r\n\
         content-length: {}\r\n\r\n{inner}",
        inner.len()
    );
    let outer =
        |framing: &str| format!("POST /webhooks/alertmanager HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n");
    let length = hidden.len();
    for framing in [
        format!("content-length: 4\r\ncontent-length: {length}"),
        format!("transfer-encoding: chunked\r\ncontent-length: {length}"),
        format!("content-length: {length}\r\ntransfer-encoding: chunked"),
        "transfer-encoding: xchunked".to_owned(),
        "transfer-encoding: chunked\r\ntransfer-encoding: identity".to_owned(),
        "transfer-encoding : chunked".to_owned(),
        "content-length: +4".to_owned(),
        "content-length: -1".to_owned(),
    ] {
        // The outer request has no credential: whatever is made of the rest, a proxy in front took it for its body.
        let answer = raw(&on, format!("{}0\r\n\r\n{hidden}", outer(&framing)).as_bytes());
        assert!(!answer.contains(" 202 "), "{framing}: {answer}");
    }
    assert_eq!((on.deliveries(), on.service.remediations().len()), (0, 0));
}

#[test]
fn a_forged_address_opens_no_door() {
    let on = stage(|plain| plain);
    for name in ["x-forwarded-for", "x-real-ip", "forwarded", "client-ip"] {
        let value = if name == "forwarded" { "for=192.0.2.7" } else { "192.0.2.7" };
        let headers = [bearer(ELSEWHERE_TOKEN), (name, value.to_owned())];
        let (status, told) = on.post("elsewhere", &headers, &firing(FIRST, name));
        assert_eq!((status, &told["code"]), (401, &json!("bad_credential")), "{name}: {told}");
    }
    assert_eq!(on.deliveries(), 0);
}

#[test]
fn a_flood_from_one_source_is_slowed_and_another_still_gets_in() {
    let on =
        stage(|plain| Settings { server: format!("{}\ndeliveries_per_second = 5", plain.server), ..plain });
    let told: Vec<u16> = (0..60)
        .map(|n| on.post("alertmanager", &[bearer(ALERTMANAGER_TOKEN)], &firing(SECOND, &format!("n{n}"))).0)
        .collect();
    assert!(told.contains(&503) && told.iter().all(|status| matches!(status, 202 | 503)), "{told:?}");
    let mut body: Value = serde_json::from_str(&firing(FIRST, "other")).unwrap();
    body["version"] = "1".into();
    let body = body.to_string();
    assert_eq!(on.post("grafana", &signed(&body), &body).0, 202);
}

#[test]
fn a_thousand_slow_senders_do_not_keep_a_real_alert_out() {
    let on = stage(|plain| plain);
    let head = format!(
        "POST /webhooks/alertmanager HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ALERTMANAGER_TOKEN}\r\n\
         content-length: 100000\r\n\r\n{{"
    );
    let addr = on.service.url.trim_start_matches("http://").to_owned();
    let slow: Vec<TcpStream> = (0..1000)
        .map(|_| {
            let mut stream = TcpStream::connect(&addr).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    let (status, told) = on.post("alertmanager", &[bearer(ALERTMANAGER_TOKEN)], &firing(FIRST, "real"));
    assert_eq!(status, 202, "{told}");
    on.service.wait_for(FIRST, &["accepted", "confirmed"]);
    assert_eq!(slow.len(), 1000);
    assert_eq!(on.cloud.requests(FIRST), 1);
}

#[test]
fn no_secret_is_kept_or_shown_anywhere_and_no_server_is_named_in_a_metric() {
    let on = stage(|plain| plain);
    assert_eq!(on.post("alertmanager", &[bearer(ALERTMANAGER_TOKEN)], &firing(FIRST, "one")).0, 202);
    on.service.wait_for(FIRST, &["accepted", "confirmed"]);
    let metrics = client().get(format!("{}/metrics", on.service.url)).send().unwrap().text().unwrap();
    assert!(!metrics.contains(FIRST) && !metrics.contains("win-000"), "{metrics}");
    let pid = on.service.pid();
    let seen = |path: String| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let mut places = vec![
        ("metrics".to_owned(), metrics),
        ("environment".to_owned(), seen(format!("/proc/{pid}/environ"))),
        ("arguments".to_owned(), seen(format!("/proc/{pid}/cmdline"))),
    ];
    let config = on.site.run(&["check-config", "--config", &on.site.config.display().to_string()]);
    places.push(("check-config".to_owned(), format!("{}{}", config.1, config.2)));
    on.service.stop();
    places.push(("log".to_owned(), seen(on.site.dir.path().join("unhang.log").display().to_string())));
    for entry in std::fs::read_dir(on.site.dir.path().join("data")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            places.push((path.display().to_string(), seen(path.display().to_string())));
        }
    }
    let scenario = simulator::Scenario::demo();
    let secrets = [
        ALERTMANAGER_TOKEN,
        GRAFANA_KEY,
        INSIGHT_TOKEN,
        OPERATOR,
        VIEWER,
        scenario.secret_key.as_str(),
        scenario.access_key.as_str(),
    ];
    for (place, text) in &places {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} is in {place}");
        }
    }
    assert!(places.len() > 6, "{}", places.len());
}

#[test]
fn people_are_bound_by_the_budgets_as_well() {
    let on = stage(|plain| plain);
    let text = std::fs::read_to_string(&on.site.config).unwrap();
    std::fs::write(&on.site.config, text.replace("global = [\"1000/1h\"]", "global = [\"1/1h\"]")).unwrap();
    on.service.stop();
    let service = on.site.start();
    service.wait_for_inventory(4);
    let order = |server: &str| json!({ "serverInstanceNo": server, "regionCode": "KR", "policy": "hung-windows", "reason": "frozen", "mode": "execute" });
    let (status, said) = service.post("/api/v1/remediations", OPERATOR, &order(FIRST));
    assert!(status < 300, "{said}");
    service.wait_for(FIRST, &["accepted", "confirmed"]);
    let (status, said) = service.post("/api/v1/remediations", OPERATOR, &order(SECOND));
    assert!(status < 300, "a spent budget delays: {said}");
    let waiting = eventually("the budget's word", || {
        let one = service.remediations().into_iter().find(|one| one["serverInstanceNo"] == SECOND)?;
        (one["reason"] == "budget_global").then_some(one)
    });
    assert_eq!((&waiting["state"], on.cloud.requests(SECOND)), (&json!("queued"), 0), "{waiting}");
}
