//! The command line beside a running service: every verb that looks, and the live events.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use simulator::{Behaviour, Script};
use unicode_width::UnicodeWidthStr as _;

use crate::support::{
    Cloud, LEAD, OPERATOR, Service, Settings, Site, VIEWER, alert, delivery, eventually, fleet, now_text,
};

/// The command with what it needs to find the service.
fn verb(site: &Site, url: &str, token: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unhang"));
    command.args(args).current_dir(site.dir.path()).env_clear();
    command.env("UNHANG_URL", url).env("UNHANG_TOKEN", token).stdin(Stdio::null());
    command
}

/// Exit code, standard output, standard error.
fn ran(site: &Site, service: &Service, args: &[&str]) -> (i32, String, String) {
    let output = verb(site, &service.url, VIEWER, args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

fn json_of(site: &Site, service: &Service, args: &[&str]) -> Value {
    let (code, said, trouble) = ran(site, service, &[args, &["--output", "json"]].concat());
    assert_eq!(code, 0, "{args:?}: {trouble}");
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{args:?}: {error}: {said}"))
}

/// What a terminal would act on, or nobody would see.
fn acts(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn server(n: usize) -> String {
    (91_000_001 + n).to_string()
}

const LISTINGS: [&[&str]; 16] = [
    &["incident", "list"],
    &["incidents", "list", "--state", "open"],
    &["remediation", "list"],
    &["remediation", "list", "--state", "live"],
    &["delivery", "list", "--source", "alertmanager"],
    &["server", "list", "--limit", "7"],
    &["source", "list"],
    &["budget", "list"],
    &["policy", "list"],
    &["storm", "list"],
    &["storm", "list", "--state", "open"],
    &["breaker", "list"],
    &["silence", "list"],
    &["hold", "list"],
    &["quarantine", "show"],
    &["audit", "list", "--remote", "--limit", "200"],
];

/// Names of two columns a character, an unknown, a storm, and people and senders who write what a terminal acts on.
fn busy() -> (Cloud, Site, Service) {
    let mut scenario = fleet(24);
    for (n, server) in scenario.servers.iter_mut().enumerate() {
        server.name = format!("윈도우-결제-서버-{n:03}-テスト環境のとても長い名前の仮想マシン");
    }
    let cloud = Cloud::start(scenario);
    let more = "[storm]\nshare = 0.2\n[breaker]\nfailures = 3\n".to_owned();
    let site = Site::new(&Settings { more, ..Settings::new(&cloud.running.endpoint()) });
    let service = site.start();
    service.wait_for_inventory(24);
    let fire = |servers: &[usize]| {
        let alerts: Vec<Value> = servers
            .iter()
            .map(|n| {
                let mut alert = alert(&server(*n), "firing", &now_text());
                alert["labels"]["note"] = json!("\u{202e}gnp.exe\u{2066}=cmd()");
                alert["annotations"]["summary"] = json!("\u{1b}]0;owned\u{7}\u{2066}x");
                alert
            })
            .collect();
        let (status, answer) = service.deliver(&delivery(&alerts, "\u{1b}[31m\u{202e}note")).unwrap();
        assert_eq!(status, 202, "{answer}");
        assert!(servers.len() > 1 || answer["alerts"][0]["decision"] == "remediate", "{answer}");
    };
    fire(&[0]);
    service.wait_for(&server(0), &["accepted", "confirmed"]);
    let lost: Behaviour = serde_json::from_value(json!({ "kind": "not_done_closed" })).unwrap();
    cloud.running.set_behaviour(Script::next_interrupt(&server(1), lost)).unwrap();
    fire(&[1]);
    service.wait_for(&server(1), &["unknown"]);
    fire(&(2..20).collect::<Vec<_>>());
    eventually("a storm", || {
        let (_, page) = service.get("/api/v1/storms?state=open", VIEWER);
        (!page["items"].as_array().unwrap().is_empty()).then_some(())
    });
    // One that is put aside, with the words that it came with.
    let mut aside = alert(&server(22), "firing", &now_text());
    aside["labels"]["\u{1b}[2J"] = json!("\u{9b}31m\u{202e}");
    assert_eq!(service.deliver(&delivery(&[aside], "aside")).unwrap().0, 202);
    let reason = "メンテナンス\u{202e}のため停止する。理由は長いので、表の幅に収まらない。とても長い。";
    let hold = json!({ "scope": "server", "name": server(3), "reason": reason, "duration": "4h" });
    assert_eq!(service.post("/api/v1/holds", OPERATOR, &hold).0, 201);
    let silence = json!({
        "matchers": ["hostname=~\"윈도우-.*-매우-긴-이름의-호스트.*\""], "comment": reason, "duration": "4h",
    });
    let (status, said) = service.post("/api/v1/silences", OPERATOR, &silence);
    assert_eq!(status, 201, "{said}");
    (cloud, site, service)
}

#[test]
fn every_listing_fits_eighty_columns_beside_a_busy_store() {
    let (_cloud, site, service) = busy();
    for listing in LISTINGS {
        let (code, said, trouble) = ran(&site, &service, listing);
        assert_eq!(code, 0, "{listing:?}: {trouble}");
        assert!(!said.chars().any(acts), "{listing:?}: {said:?}");
        for line in said.lines() {
            assert!(line.width() <= 80, "{listing:?}: {} columns: {line}", line.width());
        }
        let name = listing[0];
        let empty = ["quarantine"].contains(&name);
        assert!(empty || said.lines().count() > 1, "{listing:?} shows nothing: {said}");
        if name == "quarantine" {
            continue;
        }
        let told = json_of(&site, &service, listing);
        let (code, wide, trouble) = ran(&site, &service, &[listing, &["--wide"]].concat());
        assert_eq!(code, 0, "{listing:?}: {trouble}");
        assert!(!wide.chars().any(acts) && !wide.contains('…'), "{listing:?}: {wide:?}");
        // Whoever copies an identifier from a table must be able to use it.
        for item in told["items"].as_array().unwrap() {
            let key = ["id", "policy", "name", "serverInstanceNo"].iter().find_map(|key| item[key].as_str());
            if let Some(key) = key.filter(|key| key.len() == 36) {
                assert!(said.contains(key), "{listing:?}: {key} is cut");
            }
        }
        let (code, piped, _) = ran(&site, &service, &[listing, &["--output", "json"]].concat());
        assert!(code == 0 && !piped.chars().any(acts), "{listing:?}");
    }
    let (_, servers, _) = ran(&site, &service, &["server", "list", "--limit", "7"]);
    assert!(servers.contains("more: --cursor "), "{servers}");
}

#[test]
fn everything_that_is_listed_can_be_shown_and_the_status_names_the_commands() {
    let (_cloud, site, service) = busy();
    let first = |what: &str, field: &str| {
        let told = json_of(&site, &service, &[what, "list"]);
        told["items"][0][field].as_str().map_or_else(|| told["items"][0][field].to_string(), str::to_owned)
    };
    for (what, field) in [
        ("incident", "id"),
        ("remediation", "id"),
        ("delivery", "id"),
        ("server", "serverInstanceNo"),
        ("source", "name"),
        ("policy", "name"),
        ("storm", "id"),
        ("breaker", "policy"),
        ("silence", "id"),
        ("hold", "id"),
    ] {
        let name = first(what, field);
        let (code, said, trouble) = ran(&site, &service, &[what, "show", &name]);
        assert_eq!(code, 0, "{what} {name}: {trouble}");
        assert!(said.contains(&format!("{field}: {name}")), "{what}: {said}");
        assert!(!said.chars().any(acts), "{what}: {said:?}");
        let told = json_of(&site, &service, &[what, "show", &name]);
        assert_eq!(told[field].as_str().map_or_else(|| told[field].to_string(), str::to_owned), name);
        let nobody = if matches!(what, "storm" | "silence" | "hold") { "999999" } else { "0193-nobody" };
        let (code, _, trouble) = ran(&site, &service, &[what, "show", nobody]);
        assert!(code == 1 && trouble.starts_with("error: "), "{what}: {code} {trouble}");
    }
    let (code, said, trouble) = ran(&site, &service, &["status"]);
    assert_eq!(code, 0, "{trouble}");
    let unknown = service.wait_for(&server(1), &["unknown"]);
    for part in [
        format!("unhang settle {}", unknown["id"].as_str().unwrap()),
        "unhang storm show 1".into(),
        "unhang policy show hung-windows".into(),
    ] {
        assert!(said.contains(&part), "{part}: {said}");
    }
    assert!(said.lines().all(|line| line.width() <= 80) && !said.chars().any(acts), "{said}");
    assert_eq!(json_of(&site, &service, &["status"])["unknown"].as_array().unwrap().len(), 1);
    let (_, page) = service.get("/api/v1/audit?kind=storm_opened", VIEWER);
    let remote = json_of(&site, &service, &["audit", "list", "--remote", "--kind", "storm_opened"]);
    assert_eq!(remote["items"], page["items"]);
}

#[test]
fn tail_tells_every_event_once_over_a_restart_of_the_service() {
    let cloud = Cloud::start(fleet(8));
    let mut settings = Settings::new(&cloud.running.endpoint());
    settings.mode = "shadow";
    // The same port again, so that the command finds the service that comes back.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    settings.server = format!("listen = \"{free}\"");
    let site = Site::new(&settings);
    let service = site.start();
    let mut tail = verb(&site, &service.url, VIEWER, &["tail", "--after", "0", "--output", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
    let deliver = |service: &Service, n: usize| {
        let body = delivery(&[alert(&server(n % 8), "firing", &now_text())], &format!("{n}"));
        assert_eq!(service.deliver(&body).unwrap().0, 202);
    };
    let last = |service: &Service| {
        let (_, page) = service.get("/api/v1/audit?limit=1", VIEWER);
        page["items"][0]["seq"].as_i64().unwrap()
    };
    let mut seen: Vec<Value> = Vec::new();
    let mut until = |place: i64| {
        eventually("the last event", || {
            seen.extend(told.try_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap()));
            seen.last().is_some_and(|last| last["seq"].as_i64() >= Some(place)).then_some(())
        });
        seen.clone()
    };
    (0..5).for_each(|n| deliver(&service, n));
    until(last(&service));
    // Some of these are told by the next process only.
    (5..15).for_each(|n| deliver(&service, n));
    service.kill();
    let service = site.start();
    (15..20).for_each(|n| deliver(&service, n));
    let place = last(&service);
    let seen = until(place);
    let _already_gone = tail.kill();
    let _status = tail.wait();
    let (_, page) = service.get("/api/v1/audit?order=asc&limit=1000", VIEWER);
    let rows: Vec<Value> = page["items"].as_array().unwrap().clone();
    let upto = |rows: &[Value]| -> Vec<Value> {
        rows.iter().filter(|row| row["seq"].as_i64() <= Some(place)).cloned().collect()
    };
    assert_eq!(upto(&seen), upto(&rows));

    let (code, said, _) =
        ran(&site, &service, &["tail", "--after", "0", "--count", "3", "--kind", "alert_decided,hold_set"]);
    assert_eq!((code, said.lines().count()), (0, 3), "{said}");
    assert!(said.lines().all(|line| line.contains("  alert_decided") && line.width() <= 80), "{said}");
    let (code, said, _) =
        ran(&site, &service, &["tail", "--after", "0", "--count", "1", "--wide", "--server", &server(1)]);
    assert!(code == 0 && said.contains("seq=") && said.contains(&server(1)), "{said}");
}

#[test]
fn what_looks_has_the_exit_codes_of_all_commands() {
    let cloud = Cloud::start(fleet(1));
    let site = Site::new(&Settings::new(&cloud.running.endpoint()));
    let service = site.start();
    let code = |url: &str, token: &str, args: &[&str]| {
        let output = verb(&site, url, token, args).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!said.contains(LEAD) && said.lines().count() <= 1, "{args:?}: {said}");
        output.status.code().unwrap()
    };
    let nowhere =
        format!("http://{}", std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    for args in LISTINGS.iter().chain(&[
        &["tail"][..],
        &["status"],
        &["server", "show", "win"],
        &["policy", "show", "p"],
    ]) {
        // The list of holds reads the store when the service cannot be asked.
        if args[0] != "hold" {
            assert_eq!(code(&nowhere, LEAD, args), 3, "{args:?}");
            assert_eq!(code(&service.url, "wrong-token-0000000000000000001", args), 1, "{args:?}");
        }
    }
    assert_eq!(code(&service.url, VIEWER, &["tail", "--after", "999999"]), 2);
    let output =
        verb(&site, &service.url, VIEWER, &["incident", "list", "--limit", "1000000000"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let output = verb(&site, &service.url, VIEWER, &["server", "list", "--cursor", "0193-of-another-list"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
