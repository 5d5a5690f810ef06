//! Several replicas on one PostgreSQL: all take alerts, one dispatches, and whatever becomes of it nothing is lost and no
//! server is interrupted twice.
//!
//! `UNHANG_SEED` and `UNHANG_REPLICA_KILLS` repeat or lengthen the kills.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::crash::{Dice, setting};
use crate::postgres::{self, Server};
use crate::support::{
    Cloud, LEAD, OPERATOR, PATIENCE, Service, Settings, Site, VIEWER, alert, broken_laws, delivery,
    eventually, fleet, now_text,
};

/// A read is to end within this time, whatever becomes of the server.
const READ_ENDS_WITHIN: Duration = Duration::from_secs(45);
/// A replica that reaches the server again is to read again within this time.
const HEALS_WITHIN: Duration = Duration::from_secs(20);
/// A replica is to be replaced within this time.
const TAKE_OVER_WITHIN: Duration = Duration::from_secs(10);

pub(crate) fn server(n: u64) -> String {
    (91_000_000 + n).to_string()
}

/// A replica in a folder of its own.
pub(crate) fn replica(cloud: &Cloud, url: &str, name: &str, more: &str) -> Site {
    let settings = Settings::new(&cloud.running.endpoint());
    let store = format!("{}\nreplica = \"{name}\"", settings.store);
    let more = format!("{}{more}", settings.more);
    Site::with_store(&Settings { spacing: "1ms", store, more, ..settings }, Some(url.to_owned()))
}

pub(crate) fn dispatches(service: &Service) -> bool {
    let told = service.http.get(format!("{}/readyz", service.url)).send();
    let told = told.ok().and_then(|answer| answer.json::<serde_json::Value>().ok());
    told.is_some_and(|told| told["checks"]["dispatches"] == true || told["dispatches"] == true)
}

/// The place of the replica that dispatches.
fn holder(services: &[Option<Service>]) -> usize {
    eventually("a replica to dispatch", || {
        services.iter().position(|service| service.as_ref().is_some_and(dispatches))
    })
}

/// Waits for the end: what is still open when a replica goes is unknown, and then a person is asked for the next.
pub(crate) fn proven(service: &Service, server: &str) {
    service.wait_for(server, &["confirmed"]);
}

pub(crate) fn one(server: &str) -> serde_json::Value {
    let starts_at = now_text();
    delivery(&[alert(server, "firing", &starts_at)], &format!("{server} {starts_at}"))
}

/// Sends until it is taken.
pub(crate) fn deliver(service: &Service, server: &str) -> String {
    let body = one(server);
    eventually(&format!("an alert for {server} to be taken"), || match service.deliver(&body) {
        Some((202, answer)) => Some(answer["deliveryId"].as_str().unwrap().to_owned()),
        _ => None,
    })
}

pub(crate) fn interrupted(cloud: &Cloud, server: &str, site: &Site) {
    let begun = Instant::now();
    while cloud.requests(server) == 0 {
        let log = || std::fs::read_to_string(site.log()).unwrap_or_default();
        assert!(begun.elapsed() < PATIENCE, "waited too long for an interrupt for {server}; {}", log());
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn all_take_alerts_one_dispatches_and_another_takes_over() {
    let cloud = Cloud::start(fleet(10));
    let url = postgres::server().new_database();
    let sites: Vec<Site> = ["a", "b", "c"].map(|name| replica(&cloud, &url, name, "")).into();
    let mut services: Vec<Option<Service>> = sites.iter().map(|site| Some(site.start())).collect();
    let first = holder(&services);
    let mut acknowledged = Vec::new();
    for (n, service) in (1..).zip(services.iter().flatten()) {
        acknowledged.push(deliver(service, &server(n)));
        interrupted(&cloud, &server(n), &sites[first]);
    }
    assert_eq!(services.iter().flatten().filter(|service| dispatches(service)).count(), 1);
    // What a standby does not know is no alarm.
    for standby in services.iter().flatten().filter(|service| !dispatches(service)) {
        let told = standby.http.get(format!("{}/readyz", standby.url)).send().unwrap();
        let told: serde_json::Value = told.json().unwrap();
        assert_eq!((&told["ready"], &told["checks"]["clock"]), (&true.into(), &"ok".into()), "{told}");
    }

    // Killed, it is replaced.
    let begun = Instant::now();
    services[first].take().unwrap().kill();
    let second = holder(&services);
    assert!(begun.elapsed() < TAKE_OVER_WITHIN, "it took {:?}", begun.elapsed());
    assert_ne!(first, second);
    acknowledged.push(deliver(services[second].as_ref().unwrap(), &server(4)));
    interrupted(&cloud, &server(4), &sites[second]);

    // Stopped in order, it gives the lease back, and nobody waits for its end.
    let begun = Instant::now();
    let (code, _) = services[second].take().unwrap().stop();
    assert_eq!(code, 0);
    let third = holder(&services);
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    let last = services[third].take().unwrap();
    acknowledged.push(deliver(&last, &server(5)));
    interrupted(&cloud, &server(5), &sites[third]);
    // What was decided long ago by others still counts: no second interrupt within the cooldown.
    last.deliver(&one(&server(1))).unwrap();
    let (_, quarantine) = last.get("/api/v1/quarantine", VIEWER);
    assert_eq!(quarantine["quarantine"], serde_json::Value::Null, "{quarantine}");
    last.stop();
    assert_eq!(broken_laws(&sites[third], &cloud, &acknowledged), Vec::<String>::new());
}

#[test]
fn replicas_killed_again_and_again_lose_nothing_and_interrupt_nobody_twice() {
    let kills = setting("UNHANG_REPLICA_KILLS").unwrap_or(20);
    let seed = setting("UNHANG_SEED").unwrap_or_else(|| u64::from(std::process::id()) | 1);
    println!("UNHANG_SEED={seed} UNHANG_REPLICA_KILLS={kills}");
    let mut dice = Dice::new(seed);
    let (mut taken, mut effects, mut slowest) = (0, 0, Duration::ZERO);
    let mut left = kills;
    while left > 0 {
        let round = left.min(50);
        left -= round;
        let cloud = Cloud::start(fleet(600));
        let url = postgres::server().new_database();
        let sites: Vec<Site> = ["a", "b", "c"].map(|name| replica(&cloud, &url, name, "")).into();
        let mut services: Vec<Option<Service>> = sites.iter().map(|site| Some(site.start())).collect();
        let mut acknowledged = Vec::new();
        for _ in 0..round {
            let now = holder(&services);
            services[now].as_ref().unwrap().promote();
            // The holder every other time; the moment the cloud has seen a request is where it hurts most.
            let victim = if dice.below(2) == 0 { now } else { usize::try_from(dice.below(3)).unwrap() };
            let before = cloud.running.ledger().len();
            let wanted = before + 1 + usize::try_from(dice.below(3)).unwrap();
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(400) && cloud.running.ledger().len() < wanted {
                let to = services[usize::try_from(dice.below(3)).unwrap()].as_ref().unwrap();
                let starts_at = now_text();
                let alerts: Vec<_> = (0..=dice.below(3))
                    .map(|_| alert(&server(1 + dice.below(600)), "firing", &starts_at))
                    .collect();
                if let Some((202, answer)) = to.deliver(&delivery(&alerts, &starts_at)) {
                    acknowledged.push(answer["deliveryId"].as_str().unwrap().to_owned());
                }
            }
            services[victim].take().unwrap().kill();
            let begun = Instant::now();
            holder(&services);
            if victim == now {
                slowest = slowest.max(begun.elapsed());
            }
            services[victim] = Some(sites[victim].start());
        }
        let now = holder(&services);
        let (_, quarantine) = services[now].as_ref().unwrap().get("/api/v1/quarantine", VIEWER);
        assert_eq!(quarantine["quarantine"], serde_json::Value::Null, "UNHANG_SEED={seed}: {quarantine}");
        for service in services.iter_mut().filter_map(Option::take) {
            assert_eq!(service.stop().0, 0, "UNHANG_SEED={seed}: a graceful stop");
        }
        let broken = broken_laws(&sites[now], &cloud, &acknowledged);
        assert!(broken.is_empty(), "UNHANG_SEED={seed}\n{}", broken.join("\n"));
        taken += acknowledged.len();
        effects += cloud.effects().len();
    }
    println!(
        "{kills} kills of replicas: {taken} deliveries, {effects} effects, slowest take-over {slowest:?}"
    );
    assert!(taken > 0 && effects > 0, "the run must reach the machine it tests");
    assert!(slowest < TAKE_OVER_WITHIN, "UNHANG_SEED={seed}: a take-over took {slowest:?}");
}

pub(crate) fn signal(service: &Service, signal: &str) {
    let pid = service.pid().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

#[test]
fn a_holder_that_was_frozen_finds_itself_replaced_and_ends() {
    let cloud = Cloud::start(fleet(10));
    let url = postgres::server().new_database();
    let sites: Vec<Site> = ["a", "b"].map(|name| replica(&cloud, &url, name, "")).into();
    let mut services: Vec<Option<Service>> = sites.iter().map(|site| Some(site.start())).collect();
    let frozen = holder(&services);
    let acknowledged = vec![deliver(services[frozen].as_ref().unwrap(), &server(1))];
    proven(services[frozen].as_ref().unwrap(), &server(1));
    let sleeper = services[frozen].take().unwrap();
    signal(&sleeper, "-STOP");
    let other = holder(&services);
    let acknowledged = [acknowledged, vec![deliver(services[other].as_ref().unwrap(), &server(2))]].concat();
    interrupted(&cloud, &server(2), &sites[other]);
    signal(&sleeper, "-CONT");
    eventually("the frozen one to end by itself", || sleeper.ended());
    let log = std::fs::read_to_string(sites[frozen].log()).unwrap();
    assert!(log.contains("another replica has the lease"), "{log}");
    services[other].take().unwrap().stop();
    assert_eq!(broken_laws(&sites[other], &cloud, &acknowledged), Vec::<String>::new());
}

#[test]
fn a_replica_with_another_configuration_or_no_key_is_refused_and_both_are_named() {
    let cloud = Cloud::start(fleet(10));
    let url = postgres::server().new_database();
    let (one, two) =
        (replica(&cloud, &url, "one", ""), replica(&cloud, &url, "two", "[breaker]\nfailures = 999\n"));
    let services = [Some(one.start())];
    holder(&services);
    let said = two.try_start().err().unwrap();
    assert!(
        said.contains("replica two has configuration") && said.contains("and one, which dispatches"),
        "{said}"
    );
    // Once nobody dispatches it may.
    let [service] = services;
    service.unwrap().stop();
    let two = two.start();
    eventually("the other one to dispatch", || dispatches(&two).then_some(()));
    two.stop();

    let keyless = replica(&cloud, &url, "keyless", "");
    let text = std::fs::read_to_string(&keyless.config).unwrap();
    std::fs::write(&keyless.config, text.replace("key_file = \"audit-key\"\n", "")).unwrap();
    let said = keyless.try_start().err().unwrap();
    assert!(said.contains("no key is configured"), "{said}");
}

/// What a replica says of its configuration.
fn config_of(service: &Service) -> String {
    let told = service.http.get(format!("{}/readyz", service.url)).send().unwrap();
    let told: serde_json::Value = told.json().unwrap();
    assert_eq!(told["ready"], true, "it takes alerts all the same: {told}");
    told["checks"]["config"].as_str().unwrap().to_owned()
}

#[test]
fn a_standby_that_was_given_another_configuration_says_so_and_does_not_take_over() {
    let cloud = Cloud::start(fleet(10));
    let url = postgres::server().new_database();
    let [a, b, c] = ["a", "b", "c"].map(|name| replica(&cloud, &url, name, ""));
    let first = a.start();
    eventually("the first to dispatch", || dispatches(&first).then_some(()));
    let (other, third) = (b.start(), c.start());
    let reload = |from: &str, to: &str| {
        let text = std::fs::read_to_string(&b.config).unwrap();
        std::fs::write(&b.config, text.replace(from, to)).unwrap();
        signal(&other, "-HUP");
    };
    assert_eq!(config_of(&other), "ok");
    reload("failures = 1000", "failures = 999");
    let says = |what: &str| {
        eventually(what, || config_of(&other).contains(what).then_some(()));
    };
    says("and a, which dispatches, has");
    assert!(config_of(&other).starts_with("replica b has configuration "), "{}", config_of(&other));
    assert_eq!((config_of(&first), config_of(&third)), ("ok".to_owned(), "ok".to_owned()));

    // Who has the same one takes over.
    first.kill();
    eventually("the third to dispatch", || dispatches(&third).then_some(()));
    says("and c, which dispatches, has");
    // And where nobody has, nobody does: alerts are taken, and wait.
    third.kill();
    says("and c, which dispatched last, has");
    let acknowledged = vec![deliver(&other, &server(1))];
    assert!(!dispatches(&other));
    assert_eq!(cloud.requests(&server(1)), 0);

    reload("failures = 999", "failures = 1000");
    eventually("it to dispatch with the same configuration", || dispatches(&other).then_some(()));
    assert_eq!(config_of(&other), "ok");
    interrupted(&cloud, &server(1), &b);
    proven(&other, &server(1));
    other.stop();
    assert_eq!(broken_laws(&b, &cloud, &acknowledged), Vec::<String>::new());
}

/// A way to the server that can be cut.
struct Wire {
    port: u16,
    whole: Arc<AtomicBool>,
}

impl Wire {
    fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire =
            Self { port: listener.local_addr().unwrap().port(), whole: Arc::new(AtomicBool::new(true)) };
        let whole = Arc::clone(&wire.whole);
        std::thread::spawn(move || {
            for here in listener.incoming().flatten() {
                if !whole.load(Ordering::SeqCst) {
                    std::mem::forget(here);
                    continue;
                }
                let Ok(there) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                for (from, to) in [(&here, &there), (&there, &here)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let whole = Arc::clone(&whole);
                    std::thread::spawn(move || pass_on(from, to, &whole));
                }
            }
        });
        wire
    }
}

/// While the wire is cut nothing comes through, and nobody is told.
fn pass_on(mut from: TcpStream, mut to: TcpStream, whole: &AtomicBool) {
    from.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut buffer = [0; 8192];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                if !whole.load(Ordering::SeqCst) || to.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    if whole.load(Ordering::SeqCst) {
        let (_gone, _gone_too) = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    } else {
        // The other end hears nothing, as of a machine that has lost its network.
        std::mem::forget((from, to));
    }
}

#[test]
fn a_holder_that_is_cut_off_stops_sending_before_another_begins() {
    let cloud = Cloud::start(fleet(10));
    let url = postgres::server().new_database();
    let wire = Wire::to(postgres::server().port());
    let through = url.replace(&postgres::server().port().to_string(), &wire.port.to_string());
    // The address is part of the configuration, and both have the same.
    let cut = replica(&cloud, &through, "cut", "");
    let services = [Some(cut.start())];
    holder(&services);
    let [service] = services;
    let cut_off = service.unwrap();
    let acknowledged = vec![deliver(&cut_off, &server(1))];
    proven(&cut_off, &server(1));
    wire.whole.store(false, Ordering::SeqCst);
    let begun = Instant::now();
    // It sees that it can no longer be sure, before the lease can be another's.
    eventually("the one that is cut off to stop", || (!may_send(&cut_off)).then_some(()));
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert_ne!(cut_off.deliver(&one(&server(2))).map(|(status, _)| status), Some(202));
    let other = replica(&cloud, &url, "other", "");
    let other = (other.start(), other);
    eventually("the other to dispatch", || dispatches(&other.0).then_some(()));
    let acknowledged = [acknowledged, vec![deliver(&other.0, &server(2))]].concat();
    interrupted(&cloud, &server(2), &other.1);
    wire.whole.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    while cut_off.ended().is_none() {
        let log = || std::fs::read_to_string(cut.log()).unwrap_or_default();
        assert!(begun.elapsed() < PATIENCE, "the one that was replaced did not end; {}", log());
        std::thread::park_timeout(Duration::from_millis(20));
    }
    other.0.stop();
    assert_eq!(broken_laws(&other.1, &cloud, &acknowledged), Vec::<String>::new());
}

#[test]
fn a_read_that_gets_no_answer_ends_and_those_after_the_cut_are_answered() {
    let cloud = Cloud::start(fleet(10));
    let shared = postgres::server();
    let url = shared.new_database();
    let database = url.rsplit('/').next().unwrap();
    // A service whose folder goes ends: the folders outlive them.
    let direct_site = replica(&cloud, &url, "direct", "");
    let direct = direct_site.start();
    eventually("it to dispatch", || dispatches(&direct).then_some(()));
    let wire = Wire::to(shared.port());
    let through = url.replace(&shared.port().to_string(), &wire.port.to_string());
    let standby_site = replica(&cloud, &through, "standby", "");
    let standby = standby_site.start();

    // More reads than there are connections, and as many as two people may have at once, all of them under way as the wire
    // is cut.
    let patient =
        reqwest::blocking::Client::builder().no_proxy().timeout(READ_ENDS_WITHIN * 2).build().unwrap();
    let begun = Instant::now();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let lock = scope.spawn(|| {
            let hold = "BEGIN; LOCK TABLE unhang.silence; SELECT pg_sleep(4); COMMIT";
            shared.run(database, hold)
        });
        eventually("the table to be locked", || waits(database, "granted").then_some(()));
        let reads: Vec<_> = [VIEWER, OPERATOR]
            .repeat(4)
            .into_iter()
            .map(|person| {
                let asked = patient.get(format!("{}/api/v1/silences", standby.url)).bearer_auth(person);
                scope.spawn(|| asked.send().map(|answer| answer.status().as_u16()))
            })
            .collect();
        eventually("reads to wait for it", || waits(database, "NOT granted").then_some(()));
        wire.whole.store(false, Ordering::SeqCst);
        let answers = reads.into_iter().map(|read| read.join().unwrap()).collect();
        lock.join().unwrap();
        answers
    });
    let took = begun.elapsed();
    assert!(took < READ_ENDS_WITHIN, "{took:?}: {answers:?}");
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|status| *status >= 500)), "{answers:?}");

    // Nothing of that keeps those that come later waiting.
    wire.whole.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    eventually("the standby to read again", || {
        standby.try_get("/api/v1/silences", VIEWER).filter(|(status, _)| *status == 200)
    });
    assert!(begun.elapsed() < HEALS_WITHIN, "{:?}", begun.elapsed());
    assert!(standby.ended().is_none());
}

/// Whether somebody has, or waits for, the lock of that test.
fn waits(database: &str, how: &str) -> bool {
    let asked = format!(
        "SELECT count(*) FROM pg_locks WHERE relation = to_regclass('unhang.silence') AND {how} \
         AND (mode = 'AccessExclusiveLock' OR NOT granted)"
    );
    postgres::server().run(database, &asked) != "0"
}

fn may_send(service: &Service) -> bool {
    let told = service.http.get(format!("{}/readyz", service.url)).send().unwrap();
    let told: serde_json::Value = told.json().unwrap();
    told["checks"]["maySend"] == true
}

#[test]
fn a_database_that_is_gone_refuses_politely_and_heals() {
    let cloud = Cloud::start(fleet(10));
    let server_ = Server::new("gone");
    server_.start(&[]);
    let url = server_.new_database();
    let site = replica(&cloud, &url, "a", "");
    server_.kill();
    let said = site.try_start().err().unwrap();
    assert!(said.contains("cannot open the store postgres://postgres@127.0.0.1"), "{said}");
    server_.start(&[]);
    let service = site.start();
    eventually("it to dispatch", || dispatches(&service).then_some(()));
    let mut acknowledged = vec![deliver(&service, &server(1))];
    proven(&service, &server(1));
    // In the middle: refused, so that senders keep what they have.
    server_.kill();
    let (status, problem) = service.deliver(&one(&server(2))).unwrap();
    assert_eq!(status, 503, "{problem}");
    assert_eq!(cloud.requests(&server(2)), 0);
    server_.start(&[]);
    let service = if service.ended().is_some() { site.start() } else { service };
    acknowledged.push(deliver(&service, &server(2)));
    interrupted(&cloud, &server(2), &site);
    service.stop();
    assert_eq!(broken_laws_elsewhere(&site, &cloud, &acknowledged), Vec::<String>::new());
}

/// As [`broken_laws`], for a store that is not on the server that tests share: the ledger and the audit alone.
fn broken_laws_elsewhere(site: &Site, cloud: &Cloud, acknowledged: &[String]) -> Vec<String> {
    let mut broken = Vec::new();
    for (server, count) in cloud.effects().into_iter().filter(|(_, count)| *count > 1) {
        broken.push(format!("law 8: server {server} has {count} effects in the ledger"));
    }
    let (code, said, trouble) =
        site.run(&["audit", "verify", "--deep", "--require-key", "--config", "unhang.toml"]);
    if code != 0 || !said.contains("folded: ") || said.contains("not told") {
        broken.push(format!("law 35 or 41: the audit does not verify: {said}{trouble}"));
    }
    for id in acknowledged {
        let (_, out, trouble) =
            site.run(&["audit", "list", "--config", "unhang.toml", "--delivery", id, "--output", "json"]);
        if !out.contains(id) {
            broken.push(format!("law 1: acknowledged delivery {id} has no audit row: {trouble}"));
        }
    }
    broken
}

#[test]
fn a_standby_that_was_promoted_knows_less_so_nothing_is_sent_until_a_person_says_so() {
    let cloud = Cloud::start(fleet(10));
    let primary = Server::new("primary");
    primary.start(&["wal_level=replica", "max_wal_senders=4"]);
    let url = primary.new_database();
    let wire = Wire::to(primary.port());
    let through = url.replace(&primary.port().to_string(), &wire.port.to_string());
    let site = replica(&cloud, &through, "a", "");
    let service = site.start();
    eventually("it to dispatch", || dispatches(&service).then_some(()));
    deliver(&service, &server(1));
    interrupted(&cloud, &server(1), &site);
    proven(&service, &server(1));
    service.stop();

    // The copy knows of the first interrupt, and not of the second.
    let standby = Server::following(&primary, "standby");
    let service = site.start();
    eventually("it to dispatch", || dispatches(&service).then_some(()));
    deliver(&service, &server(2));
    interrupted(&cloud, &server(2), &site);
    service.kill();
    primary.kill();
    standby.start(&["primary_conninfo="]);

    // A standby that only follows is refused by name.
    let through = through.replace(&wire.port.to_string(), &standby.port().to_string());
    let promoted = replica(&cloud, &through, "b", "");
    let said = promoted.try_start().err().unwrap();
    assert!(said.contains("it follows another server"), "{said}");

    standby.promote();
    let service = promoted.start();
    eventually("it to dispatch", || dispatches(&service).then_some(()));
    eventually("the promotion to be found", || {
        let (_, told) = service.get("/api/v1/quarantine", VIEWER);
        told["quarantine"]["why"].as_str().filter(|why| why.contains("promoted")).map(str::to_owned)
    });
    deliver(&service, &server(2));
    let suppressed = deliver(&service, &server(3));
    eventually("the reason to be there", || {
        let (_, told) = service.get(&format!("/api/v1/deliveries/{suppressed}"), VIEWER);
        told.to_string().contains("quarantine").then_some(())
    });
    assert_eq!((cloud.requests(&server(2)), cloud.requests(&server(3))), (1, 0));
    // A person has looked: server 2 was interrupted, and this store does not say so.
    let hold = serde_json::json!({ "scope": "server", "name": server(2), "reason": "interrupted before the failover" });
    assert_eq!(service.post("/api/v1/holds", LEAD, &hold).0, 201);
    let cleared = serde_json::json!({ "reason": "compared with the cloud's record" });
    let (status, answer) = service.post("/api/v1/quarantine/clear", LEAD, &cleared);
    assert_eq!(status, 200, "{answer}");
    deliver(&service, &server(3));
    interrupted(&cloud, &server(3), &promoted);
    service.stop();
    assert_eq!(cloud.effects().into_values().max(), Some(1));
}
