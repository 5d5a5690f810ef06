//! Every credential is replaced while the service runs: the file changes, SIGHUP, and the old one is worth nothing.
//!
//! Client certificates and our own are in `tls`, several secrets at once in `threats`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::receiver::{Post, Receiver};
use crate::support::{
    Cloud, OPERATOR, Service, Settings, Site, VIEWER, alert, delivery, eventually, fleet, now_text,
};

const FIRST: &str = "91000001";

/// A secret of before and after.
const OLD: &str = "secret-of-before-0000000001";
const NEW: &str = "secret-of-after-00000000001";

fn reload(site: &Site, service: &Service) {
    let loaded = || {
        let log = std::fs::read_to_string(site.log()).unwrap();
        log.lines().filter(|line| line.contains("the configuration was read again")).count()
    };
    let before = loaded();
    let pid = service.pid().to_string();
    assert!(std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    eventually("the reload", || (loaded() > before).then_some(()));
}

type Shown = Vec<(&'static str, String)>;

/// A path, and the headers that show a secret over a body.
type Case = (&'static str, fn(&str, &str) -> Shown);

fn bearer(secret: &str, _body: &str) -> Shown {
    vec![("authorization", format!("Bearer {secret}"))]
}

fn basic(secret: &str, _body: &str) -> Shown {
    vec![("authorization", format!("Basic {}", STANDARD.encode(format!("sender:{secret}"))))]
}

fn header(secret: &str, _body: &str) -> Shown {
    vec![("x-unhang-token", secret.to_owned())]
}

fn signature(secret: &str, body: &str) -> Shown {
    let seconds = now_text().parse::<jiff::Timestamp>().unwrap().as_second();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{seconds}:{body}").as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    vec![("x-grafana-alerting-signature", signature), ("x-grafana-alerting-timestamp", seconds.to_string())]
}

const SOURCES: &str = r#"
[[sources]]
name = "by-bearer"
kind = "alertmanager"
auth = [{ kind = "bearer", secret_file = "by-bearer" }]
[[sources]]
name = "by-basic"
kind = "alertmanager"
auth = [{ kind = "basic", username = "sender", secret_file = "by-basic" }]
[[sources]]
name = "by-header"
kind = "cloud_insight"
auth = [{ kind = "header", name = "X-Unhang-Token", secret_file = "by-header" }]
[[sources]]
name = "by-signature"
kind = "grafana"
auth = [{ kind = "hmac", secret_file = "by-signature" }]
[[sources]]
name = "guests"
kind = "guest"
servers = ["91000001"]
auth = [{ kind = "bearer", secret_file = "guests" }]
"#;

#[test]
fn every_kind_of_credential_of_a_source_is_read_again() {
    const CASES: [(&str, Case); 5] = [
        ("by-bearer", ("/webhooks/by-bearer", bearer)),
        ("by-basic", ("/webhooks/by-basic", basic)),
        ("by-header", ("/webhooks/by-header", header)),
        ("by-signature", ("/webhooks/by-signature", signature)),
        ("guests", ("/api/v1/servers/91000001/attestations", bearer)),
    ];
    let cloud = Cloud::start(fleet(1));
    let site = Site::new(&Settings { more: SOURCES.to_owned(), ..Settings::new(&cloud.running.endpoint()) });
    let write =
        |round: &str| CASES.iter().for_each(|(file, _)| site.secret(file, &format!("{file}-{round}")));
    write(OLD);
    let service = site.start();
    let http = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
    // A body that nobody can read: 401 says no to the credential, anything else has taken it.
    let refused = |(file, (path, show)): &(&str, Case), round: &str| {
        let asking = http.post(format!("{}{path}", service.url)).header("content-type", "application/json");
        let shown = show(&format!("{file}-{round}"), "{}");
        let asking = shown.into_iter().fold(asking, |asking, (name, value)| asking.header(name, value));
        asking.body("{}").send().unwrap().status() == 401
    };
    for (held, other) in [(OLD, NEW), (NEW, OLD)] {
        write(held);
        reload(&site, &service);
        for case in &CASES {
            assert!(!refused(case, held), "{case:?}: the one that is held");
            assert!(refused(case, other), "{case:?}: the other one");
        }
    }
}

#[test]
fn a_person_loses_token_and_session_with_the_reload() {
    let cloud = Cloud::start(fleet(1));
    let settings = Settings::new(&cloud.running.endpoint());
    let site = Site::new(&settings);
    let service = site.start();
    let http = reqwest::blocking::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let asking = http.post(format!("{}/login", service.url)).header("origin", &service.url);
    let told = asking.form(&[("token", OPERATOR)]).send().unwrap();
    let cookie = told.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let by_session = || {
        http.get(format!("{}/api/v1/audit", service.url)).header("cookie", &cookie).send().unwrap().status()
    };
    assert_eq!(by_session(), 200);
    let hash = |token: &str| hex::encode(Sha256::digest(token));
    let text = std::fs::read_to_string(&site.config).unwrap();
    std::fs::write(&site.config, text.replace(&hash(OPERATOR), &hash(NEW))).unwrap();
    reload(&site, &service);
    let raw = |token: &str| {
        http.get(format!("{}/api/v1/audit", service.url)).bearer_auth(token).send().unwrap().status().as_u16()
    };
    assert_eq!((raw(OPERATOR), raw(NEW), by_session().as_u16()), (401, 200, 401));
}

#[test]
fn keys_of_the_cloud_are_read_again_for_reads_and_interrupts() {
    let cloud = Cloud::start(fleet(1));
    let site = Site::new(&Settings::new(&cloud.running.endpoint()));
    site.secret("access", "an-access-key-of-before");
    site.secret("secret", "a-secret-key-of-before-0000000");
    let service = site.start();
    let starts_at = now_text();
    let (status, answer) =
        service.deliver(&delivery(&[alert(FIRST, "firing", &starts_at)], &starts_at)).unwrap();
    assert_eq!((status, &answer["alerts"][0]["decision"]), (202, &json!("pending")), "{answer}");
    eventually("reads to be refused", || {
        let (_, page) = service.get("/api/v1/audit?kind=inventory_failed", VIEWER);
        (!page["items"].as_array()?.is_empty()).then_some(())
    });
    let scenario = simulator::Scenario::demo();
    site.secret("access", &scenario.access_key);
    site.secret("secret", &scenario.secret_key);
    reload(&site, &service);
    service.wait_for(FIRST, &["confirmed"]);
    assert_eq!(cloud.requests(FIRST), 1);
    // Only the keys: another place of the cloud takes a restart, and is told.
    let text = std::fs::read_to_string(&site.config).unwrap();
    std::fs::write(&site.config, text.replace(&cloud.running.endpoint(), "http://127.0.0.1:9")).unwrap();
    reload(&site, &service);
    let log = std::fs::read_to_string(site.log()).unwrap();
    assert!(log.contains("\"key\":\"cloud.*\""), "{log}");
    assert!(!log.contains(&scenario.secret_key) && !log.contains("secret-key-of-before"), "{log}");
}

/// Whether a message carries the signature of this key.
fn is_signed(post: &Post, key: &[u8]) -> bool {
    let text = format!("{}.{}.{}", post.id(), post.headers["webhook-timestamp"], post.body);
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    post.headers["webhook-signature"] == format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[test]
fn secrets_of_receivers_are_read_again() {
    let cloud = Cloud::start(fleet(1));
    let (hook, chat, alerts) = (Receiver::start(), Receiver::start(), Receiver::start());
    let more = format!(
        "[[notify]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"{}\"\nsecret_file = \"hook\"\nevents = [\"hold_set\"]\n\
         [[notify]]\nname = \"chat\"\nkind = \"slack\"\nurl_file = \"chat\"\nevents = [\"hold_set\"]\n\
         [[notify]]\nname = \"alerts\"\nkind = \"alertmanager\"\nurl = \"{}\"\nsecret_file = \"alerts\"\nevents = [\"hold_set\"]\n",
        hook.url("/hook"),
        alerts.url(""),
    );
    let site = Site::new(&Settings { more, ..Settings::new(&cloud.running.endpoint()) });
    let write = |round: &str| {
        site.secret("hook", &format!("whsec_{}", STANDARD.encode(round)));
        site.secret("chat", &chat.url(&format!("/{round}")));
        site.secret("alerts", round);
    };
    write(OLD);
    let service = site.start();
    for round in [OLD, NEW] {
        write(round);
        reload(&site, &service);
        let hold = json!({ "scope": "server", "name": "1", "reason": format!("a hold of {}", &round[..9]) });
        assert_eq!(service.post("/api/v1/holds", OPERATOR, &hold).0, 201);
        hook.wait_for(round, |post| is_signed(post, round.as_bytes()));
        chat.wait_for(round, |post| post.path == format!("/{round}"));
        alerts.wait_for(round, |post| post.headers.get("authorization") == Some(&format!("Bearer {round}")));
    }
}

/// A Prometheus that answers one row to whoever shows the new secret.
fn prometheus() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let kept = Arc::clone(&seen);
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let head: BTreeMap<String, String> = BufReader::new(stream.try_clone().unwrap())
                .lines()
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .filter_map(|line| {
                    line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                })
                .collect();
            let shown = head.get("authorization").cloned().unwrap_or_default();
            let good = shown == format!("Bearer {NEW}");
            kept.lock().unwrap().push(shown);
            let body = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}"#;
            let status = if good { "200 OK" } else { "401 Unauthorized" };
            let _gone = write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    (url, seen)
}

#[test]
fn the_secret_of_a_second_signal_is_read_again() {
    let cloud = Cloud::start(fleet(1));
    let (url, seen) = prometheus();
    let site = Site::new(&Settings::new(&cloud.running.endpoint()));
    let text = std::fs::read_to_string(&site.config).unwrap();
    let line = "budget = [\"1000/1h\"]\n";
    let signal = format!(
        "{{ kind = \"promql\", url = \"{url}\", query = 'up{{no=\"$no\"}}', secret_file = \"prom\" }}"
    );
    std::fs::write(&site.config, text.replace(line, &format!("{line}corroborate = [{signal}]\n"))).unwrap();
    site.secret("prom", OLD);
    let service = site.start();
    service.wait_for_inventory(1);
    let starts_at = now_text();
    service.deliver(&delivery(&[alert(FIRST, "firing", &starts_at)], &starts_at)).unwrap();
    eventually("a refusal", || (!seen.lock().unwrap().is_empty()).then_some(()));
    assert_eq!(cloud.requests(FIRST), 0);
    site.secret("prom", NEW);
    reload(&site, &service);
    service.wait_for(FIRST, &["confirmed"]);
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.first(), Some(&format!("Bearer {OLD}")));
    assert_eq!(seen.last(), Some(&format!("Bearer {NEW}")));
}
