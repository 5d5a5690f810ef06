//! Where does an alert's time go? The parts of its way, each for itself: reading the body, the credential, the decision,
//! the hash of an audit event; and a page of the audit.
//!
//! `cargo bench --bench micro`, with a name behind `--` for one of them. Figures are printed, never asserted; criterion
//! keeps those of the last run below target/ and tells the difference. Only what the library shows is used.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a program for people, which fails by panicking")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sha2::Sha256;
use unhang::config::{Config, Environment, load};
use unhang::domain::alert::{Alert, Parsed};
use unhang::domain::audit::{Actor, AuditEvent, GENESIS, chain_hash};
use unhang::domain::audit_key::AuditKey;
use unhang::domain::decision::{Origin, Question, decide};
use unhang::domain::facts::{Facts, Live, TargetFact};
use unhang::domain::guest::GuestFacts;
use unhang::domain::policy::Trust;
use unhang::domain::remediation::State;
use unhang::domain::server::{RegionCode, Server, ServerNo};
use unhang::domain::storm::StormFacts;
use unhang::sources::{Headers, ParseLimits, Verifier, parse};
use unhang::store::{AuditFilter, PageRequest, Store};

const TOKEN: &str = "alertmanager-bench-token-001";
/// What the other source signs with.
const SECRET: &str = "signing-secret-of-the-bench-001";
/// Rows of the store whose pages are read.
const ROWS: i64 = 100_000;

/// A configuration with as many policies as are asked for; the first claims the alerts.
fn config(folder: &Path, policies: usize) -> Config {
    std::fs::write(folder.join("secret"), TOKEN).unwrap();
    std::fs::write(folder.join("signing"), SECRET).unwrap();
    let (secret, signing) = (folder.join("secret"), folder.join("signing"));
    let (secret, signing) = (secret.display(), signing.display());
    let mut text = format!(
        "[store]\nurl = \"sqlite://{}\"\n[cloud]\nendpoint = \"http://127.0.0.1:9\"\nregion = \"KR\"\n\
         access_key_file = \"{secret}\"\nsecret_key_file = \"{secret}\"\n\
         [[sources]]\nname = \"am\"\nkind = \"alertmanager\"\ntrust = \"act\"\n\
         auth = [{{ kind = \"bearer\", secret_file = \"{secret}\" }}]\n\
         [[sources]]\nname = \"signed\"\nkind = \"alertmanager\"\ntrust = \"act\"\n\
         auth = [{{ kind = \"hmac\", secret_file = \"{signing}\", signature_header = \"x-signature\", \
         timestamp_header = \"x-timestamp\" }}]\n\
         [[tokens]]\nname = \"lead\"\nrole = \"approver\"\nsha256 = \"{hash}\"\n\
         [[policies]]\nname = \"hung\"\nmode = \"auto\"\nmatch = {{ alertname = \"WindowsVmHung\" }}\n",
        folder.join("unhang.db").display(),
        hash = "0".repeat(64)
    );
    for n in 1..policies {
        writeln!(
            text,
            "[[policies]]\nname = \"other-{n}\"\nmode = \"auto\"\nmatch = {{ alertname = \"Other{n}\" }}"
        )
        .unwrap();
    }
    let path = folder.join("unhang.toml");
    std::fs::write(&path, text).unwrap();
    load(Some(&path), &Environment::default()).unwrap_or_else(|problems| panic!("{problems:?}")).config
}

fn now() -> Timestamp {
    "2026-11-28T12:00:00Z".parse().unwrap()
}

/// A body as Alertmanager sends it.
fn body(alerts: usize) -> Vec<u8> {
    let one = |n: usize| {
        let no = (91_000_000 + n).to_string();
        json!({
            "status": "firing",
            "labels": {
                "alertname": "WindowsVmHung", "env": "prod", "job": "blackbox-icmp", "region": "KR",
                "severity": "critical", "team": "platform-windows", "server_instance_no": no,
                "instance": format!("win-{no}.prod.bench.example:9182"),
            },
            "annotations": {
                "summary": format!("win-{no} hangs"),
                "description": format!("No answer to ICMP and RDP from win-{no} for 5 minutes; the hypervisor says RUN"),
                "runbook_url": "https://runbooks.bench.example/windows/hung-vm",
            },
            "startsAt": "2026-11-28T11:58:00.123Z", "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus.bench.example:9090/graph?g0.expr=probe_success+%3D%3D+0&g0.tab=1",
            "fingerprint": format!("{n:016x}"),
        })
    };
    let all: Vec<serde_json::Value> = (0..alerts).map(one).collect();
    let body = json!({
        "version": "4", "groupKey": "{}:{alertname=\"WindowsVmHung\"}", "truncatedAlerts": 0, "status": "firing",
        "receiver": "unhang", "groupLabels": { "alertname": "WindowsVmHung" }, "commonLabels": {},
        "commonAnnotations": {}, "externalURL": "http://alertmanager.bench.example:9093", "alerts": all,
    });
    serde_json::to_vec(&body).unwrap()
}

fn reading(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), 1);
    let (source, limits) = (config.sources.first().unwrap(), ParseLimits::from(&config.server));
    let mut group = criterion.benchmark_group("read an Alertmanager body");
    for alerts in [1_u64, 100] {
        let body = body(usize::try_from(alerts).unwrap());
        group.throughput(Throughput::Elements(alerts));
        group.bench_function(format!("{alerts} alerts, {} bytes", body.len()), |bencher| {
            bencher.iter(|| parse(source, &limits, black_box(&body), None, now()).unwrap());
        });
    }
    group.finish();
}

fn credential(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), 1);
    let (peer, body) = ("127.0.0.1".parse().unwrap(), body(1));
    let bearer = format!("Bearer {TOKEN}");
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    // A signature that Grafana makes: over its time and the body.
    let seconds = now().as_second().to_string();
    mac.update(format!("{seconds}:").as_bytes());
    mac.update(&body);
    let signature = hex::encode(mac.finalize().into_bytes());
    let mut group = criterion.benchmark_group("check a credential");
    for (source, name, value) in [("am", "authorization", &bearer), ("signed", "x-signature", &signature)] {
        let verifier = Verifier::new(config.sources.iter().find(|one| one.name == source).unwrap());
        // As many as a sender gives.
        let given = [
            ("host", b"127.0.0.1:8080".as_slice()),
            ("user-agent", b"Alertmanager/0.25.0"),
            ("content-type", b"application/json"),
            ("content-length", b"1400"),
            ("x-timestamp", seconds.as_bytes()),
            (name, value.as_bytes()),
        ];
        group.bench_function(if source == "am" { "bearer" } else { "HMAC over 1 alert" }, |bencher| {
            bencher.iter(|| {
                let headers: Headers<'_> = black_box(given).into_iter().collect();
                verifier.verify(&headers, peer, black_box(&body), now()).unwrap()
            });
        });
    }
    group.finish();
}

fn server() -> Server {
    Server {
        no: ServerNo::parse("91000000").unwrap(),
        region: RegionCode::parse("KR").unwrap(),
        name: "win-91000000".into(),
        created_at: Timestamp::UNIX_EPOCH,
        uptime_at: None,
        platform_code: "WND64".into(),
        hypervisor_code: "XEN".into(),
        status_code: "RUN".into(),
        operation_code: "NULL".into(),
        memory_bytes: 8 << 30,
        zone_code: "KR-1".into(),
        subnet_no: "150022".into(),
        placement_group_no: String::new(),
    }
}

/// Nothing stands against an interrupt.
fn facts() -> Facts {
    Facts {
        target: TargetFact::Found(Box::new(server())),
        newest_resolved_end: None,
        ended_in_delivery: false,
        trust: Some(Trust::Act),
        joined_end: None,
        live: None,
        attempts: Vec::new(),
        holds: Vec::new(),
        hold_file: None,
        silences: [].into(),
        storm: StormFacts::default(),
        tried: Vec::new(),
        demoted: None,
        quarantine: None,
        unwatched: Vec::new(),
        listed_uptime_at: None,
        incident_opened_at: None,
        heartbeats: Vec::new(),
        guest: GuestFacts::default(),
    }
}

fn deciding(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let few = config(folder.path(), 1);
    let many = config(folder.path(), 1000);
    let read =
        parse(few.sources.first().unwrap(), &ParseLimits::from(&few.server), &body(1), None, now()).unwrap();
    let Some(Parsed::Alert(alert)) = read.alerts.into_iter().next() else {
        panic!("the alert is not readable")
    };
    let alert: Alert = *alert;
    let question = Question {
        alert: &alert,
        source: "am",
        trust: Trust::Act,
        received_at: now(),
        truncated: false,
        origin: Origin::Source,
    };
    let new = facts();
    let repeat = Facts {
        live: Some(Live {
            remediation_id: "01997f0e-0000-7000-8000-000000000000".into(),
            incident_id: "01997f0e-0001-7000-8000-000000000000".into(),
            state: State::Settling,
        }),
        ..facts()
    };
    let mut group = criterion.benchmark_group("decide");
    for (name, rules, facts) in [
        ("a new alert", &few.rules, &new),
        ("a repeat", &few.rules, &repeat),
        ("a repeat, 1,000 policies", &many.rules, &repeat),
    ] {
        let decided = decide(&question, rules, facts, now());
        group.bench_function(format!("{name}: {}", decided.decision.as_str()), |bencher| {
            bencher.iter(|| decide(black_box(&question), rules, facts, now()));
        });
    }
    group.finish();
}

/// An event as a repeat leaves it.
fn event(n: i64) -> AuditEvent {
    let id = |kind: u8| Some(format!("01997f0e-{kind:04x}-7000-8000-{n:012x}"));
    AuditEvent {
        trace_id: Some(format!("{n:032x}")),
        delivery_id: id(1),
        incident_id: id(2),
        server_instance_no: Some((91_000_000 + n % 500).to_string()),
        region_code: Some("KR".into()),
        source: Some("am".into()),
        policy: Some("hung".into()),
        decision: Some("suppressed".into()),
        reason: Some("duplicate".into()),
        ..AuditEvent::new(now(), "alert_decided", Actor::source("am"))
    }
    .with_detail(
        &json!({ "idx": 0, "fingerprint": format!("{n:016x}"), "detail": "it has a live remediation" }),
    )
}

fn hashing(criterion: &mut Criterion) {
    let event = event(1);
    let key = AuditKey::new("k".repeat(32).into()).unwrap();
    let mut group = criterion.benchmark_group("hash of an audit event");
    for (name, key) in [("without a key", None), ("with a key", Some(&key))] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| chain_hash(key, GENESIS, 1, black_box(&event)));
        });
    }
    group.finish();
}

async fn filled(path: &Path) -> Store {
    let (store, writer) = Store::open(path, None, |_| {}).await.unwrap();
    tokio_util::task::TaskTracker::new().spawn(writer);
    for first in (0..ROWS).step_by(1000) {
        let done = store.write(move |tx| {
            Box::pin(async move {
                for n in first..first + 1000 {
                    tx.append(&event(n)).await?;
                }
                Ok(())
            })
        });
        done.await.unwrap();
    }
    store
}

fn paging(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = runtime.block_on(filled(&folder.path().join("unhang.db")));
    let page = |cursor: Option<i64>| PageRequest {
        limit: 50,
        cursor: cursor.map(|seq| seq.to_string()),
        ascending: false,
    };
    let of_server = AuditFilter { server_instance_no: Some("91000007".into()), ..AuditFilter::default() };
    let since = now().checked_sub(SignedDuration::from_hours(1)).ok();
    let of_time = AuditFilter { since, reason: Some("duplicate".into()), ..AuditFilter::default() };
    let mut group = criterion.benchmark_group(format!("an audit page of 50 of {ROWS} rows"));
    for (name, filter, page) in [
        ("the first", AuditFilter::default(), page(None)),
        ("a deep one", AuditFilter::default(), page(Some(1000))),
        ("of a server", of_server, page(None)),
        ("of a time and a reason", of_time, page(None)),
    ] {
        assert_eq!(runtime.block_on(store.audit(&filter, &page)).unwrap().items.len(), 50, "{name}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(store.audit(black_box(&filter), &page)).unwrap());
        });
    }
    group.finish();
}

criterion_group!(parts, reading, credential, deciding, hashing, paging);
criterion_main!(parts);
