//! What people read delays no alert and no interrupt, and takes no memory without end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Cloud, LEAD, OPERATOR, Service, Settings, Site, VIEWER, alert, delivery, eventually, fleet, now_text,
};

/// Requests of one person at once.
const READERS: usize = 150;
/// What an interrupt may be delayed by.
const DELAY_MAX: Duration = Duration::from_secs(2);
/// What the process may grow by.
const GROWTH_MAX_KIB: u64 = 64 * 1024;

/// Asks and does not read; small buffers, so that little of the answer lies in the system.
fn ask(service: &Service, path: &str, token: &str) -> TcpStream {
    let addr = service.url.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(addr).unwrap();
    socket2::SockRef::from(&connection).set_recv_buffer_size(4096).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nauthorization: Bearer {token}\r\n\r\n");
    connection.write_all(head.as_bytes()).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    connection
}

/// The head of an answer and what came with it.
fn head(connection: &mut TcpStream) -> String {
    let mut bytes = [0; 1024];
    let count = connection.read(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes[..count]).to_ascii_lowercase()
}

fn resident_kib(service: &Service) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A service with a long audit.
fn busy(cloud: &Cloud) -> (Site, Service) {
    let mut settings = Settings::new(&cloud.running.endpoint());
    settings.spacing = "1ms";
    let site = Site::new(&settings);
    let service = site.start();
    service.wait_for_inventory(20);
    // More than the buffers of a connection hold: each alert is another one, so each is an audit row with its guards.
    for number in 0..12 {
        let other = |n: usize| {
            let mut one = alert("91000001", "firing", &now_text());
            one["labels"]["disk"] = json!(format!("{number}-{n}"));
            one["fingerprint"] = json!(format!("{:016x}", number * 1000 + n));
            one
        };
        let alerts: Vec<Value> = (0..200).map(other).collect();
        let (status, answer) = service.deliver(&delivery(&alerts, &format!("many {number}"))).unwrap();
        assert_eq!(status, 202, "{answer}");
    }
    (site, service)
}

/// How long it takes from a new alert to the request at the cloud.
fn interrupt(cloud: &Cloud, service: &Service, server: &str) -> Duration {
    let begun = Instant::now();
    let (status, answer) =
        service.deliver(&delivery(&[alert(server, "firing", &now_text())], server)).unwrap();
    assert_eq!(status, 202, "{answer}");
    eventually("the interrupt", || (cloud.requests(server) > 0).then_some(()));
    begun.elapsed()
}

fn slow_readers_delay_nothing(path: &str) {
    let cloud = Cloud::start(fleet(20));
    let (_site, service) = busy(&cloud);
    let (alone, before) = (interrupt(&cloud, &service, "91000002"), resident_kib(&service));
    let readers: Vec<TcpStream> = (0..READERS).map(|_| ask(&service, path, VIEWER)).collect();
    let beside = interrupt(&cloud, &service, "91000003");
    std::thread::scope(|scope| {
        // Each takes a little now and then, so that the system cuts nobody off.
        for some in readers.chunks(READERS / 2) {
            scope.spawn(move || {
                for mut reader in some {
                    let mut bytes = [0; 512];
                    reader.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
                    let _nothing_there = reader.read(&mut bytes);
                }
            });
        }
    });
    let later = interrupt(&cloud, &service, "91000004");
    let grown = resident_kib(&service).saturating_sub(before);
    for delayed in [beside, later] {
        assert!(delayed < alone + DELAY_MAX, "{path}: an interrupt took {delayed:?} instead of {alone:?}");
    }
    assert!(grown < GROWTH_MAX_KIB, "{path}: the process grew by {grown} KiB");
    // Others are served meanwhile, and orders are never kept waiting.
    let begun = Instant::now();
    assert_eq!(service.get("/api/v1/holds", LEAD).0, 200);
    assert!(begun.elapsed() < DELAY_MAX, "another person waited {:?}", begun.elapsed());
    let (code, took) = service.stop();
    assert_eq!(code, 0);
    assert!(took < Duration::from_secs(10), "the stop took {took:?}");
    drop(readers);
}

#[test]
fn slow_exports_of_one_person_delay_no_interrupt_and_stay_small() {
    slow_readers_delay_nothing("/api/v1/audit?format=csv");
}

#[test]
fn slow_pages_of_one_person_delay_no_interrupt_and_stay_small() {
    slow_readers_delay_nothing("/api/v1/audit?limit=1000");
}

#[test]
fn a_person_is_told_the_limit_on_exports_and_nobody_else_is_held_to_it() {
    let cloud = Cloud::start(fleet(20));
    let (_site, service) = busy(&cloud);
    let path = "/api/v1/audit?format=ndjson";
    let mut mine: Vec<TcpStream> = (0..2).map(|_| ask(&service, path, VIEWER)).collect();
    for one in &mut mine {
        let said = head(one);
        assert!(said.starts_with("http/1.1 200"), "{said}");
    }
    let refused = head(&mut ask(&service, path, VIEWER));
    assert!(refused.starts_with("http/1.1 429"), "{refused}");
    assert!(refused.contains("retry-after: 5") && refused.contains("at most 2 exports"), "{refused}");
    let other = head(&mut ask(&service, path, LEAD));
    assert!(other.starts_with("http/1.1 200"), "{other}");
    mine.clear();
    eventually("the place of an export that was given up", || {
        head(&mut ask(&service, path, VIEWER)).starts_with("http/1.1 200").then_some(())
    });
}

#[test]
fn silences_are_refused_beyond_their_limits_and_say_so() {
    let cloud = Cloud::start(fleet(1));
    let mut settings = Settings::new(&cloud.running.endpoint());
    settings.mode = "shadow";
    let site = Site::new(&settings);
    let service = site.start();
    let set = |matchers: &[&str]| {
        let body = json!({ "matchers": matchers, "comment": "test of the limit", "duration": "1h" });
        service.post("/api/v1/silences", OPERATOR, &body)
    };
    let many = vec!["a=~\"1|2\""; 17];
    for bad in [&many[..], &["a=~\"[ab]{2000}\""]] {
        let (status, said) = set(bad);
        assert_eq!((status, &said["code"]), (400, &json!("invalid_body")), "{said}");
    }
    // Seven with sixteen would be 112 regular expressions.
    for _ in 0..6 {
        assert_eq!(set(&many[..16]).0, 201);
    }
    let (status, said) = set(&many[..16]);
    assert_eq!((status, &said["code"]), (409, &json!("too_many_silences")), "{said}");
    assert!(said["detail"].as_str().unwrap().contains("may hold 100"), "{said}");
    assert_eq!(set(&["a=1"]).0, 201, "an equal label costs nothing");
}

/// Runs the binary for ten seconds at most: exit code and what it said.
fn within_ten_seconds(site: &Site, args: &[&str]) -> (i32, String) {
    let output = std::process::Command::new("timeout")
        .args(["10", env!("CARGO_BIN_EXE_unhang")])
        .args(args)
        .current_dir(site.dir.path())
        .env_clear()
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

fn make_pipe(path: &std::path::Path) {
    let _nothing_there = std::fs::remove_file(path);
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn no_file_that_blocks_is_waited_for() {
    let cloud = Cloud::start(fleet(20));
    let settings = Settings::new(&cloud.running.endpoint());
    let site = Site::new(&settings);
    let at = |name: &str| site.dir.path().join(name);
    make_pipe(&at("pipe"));
    for args in [
        &["check-config", "--config", "pipe"][..],
        &["serve", "--config", "pipe"],
        &["status", "--url", &cloud.running.endpoint(), "--token-file", "pipe"],
        &["explain", "--config", "unhang.toml", "--source", "alertmanager", "pipe"],
    ] {
        let (code, said) = within_ten_seconds(&site, args);
        assert!(code != 0 && code != 124 && said.contains("not a regular file"), "{args:?}: {code} {said}");
    }
    make_pipe(&at("access"));
    let (code, said) = within_ten_seconds(&site, &["check-config", "--config", "unhang.toml"]);
    assert!(
        code == 2 && said.contains("cloud.access_key_file") && said.contains("not a regular file"),
        "{said}"
    );
    std::fs::remove_file(at("access")).unwrap();
    site.secret("access", &simulator::Scenario::demo().access_key);

    // A pipe holds as any file there does, and a pipe of checkpoints is an error in the log.
    std::fs::create_dir_all(at("data")).unwrap();
    make_pipe(&at("data/HOLD"));
    make_pipe(&at("data/unhang.db.heads"));
    let service = site.start();
    service.wait_for_inventory(20);
    let begun = Instant::now();
    let (_, answer) =
        service.deliver(&delivery(&[alert("91000001", "firing", &now_text())], "held")).unwrap();
    assert_eq!(answer["alerts"][0]["reason"], "hold", "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    // A reload that meets a pipe is refused, and the service still hears everything.
    make_pipe(&at("am"));
    let pid = service.pid().to_string();
    assert!(std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    eventually("the refusal", || {
        let log = std::fs::read_to_string(site.log()).unwrap();
        (log.contains("not a regular file") && log.contains("the old one stays")).then_some(())
    });
    let (_, took) = service.stop();
    assert!(took < Duration::from_secs(10), "the stop took {took:?}");
    assert_eq!(cloud.requests("91000001"), 0);
}

#[test]
fn a_stop_takes_no_longer_than_ten_seconds_whatever_hangs() {
    let cloud = Cloud::start(fleet(1));
    let site = Site::new(&Settings::new(&cloud.running.endpoint()));
    std::fs::create_dir_all(site.dir.path().join("data")).unwrap();
    // Somebody has the file of checkpoints locked and does not let go.
    let heads = std::fs::File::create(site.dir.path().join("data/unhang.db.heads")).unwrap();
    heads.lock().unwrap();
    let service = site.start();
    let (_, took) = service.stop();
    assert!(took < Duration::from_millis(10_500), "the stop took {took:?}");
}
