//! How fast is a backtest? Fills a store with recorded alerts of many servers and replays it; prints alerts a second.
//!
//! `cargo bench --bench backtest -- 1000000`. The figure is printed, never asserted.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a program for people, which fails by panicking"
)]

use std::path::Path;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use unhang::backtest::{self, Cut, Wanted};
use unhang::config::{Environment, load};
use unhang::domain::alert::{Alert, AlertStatus};
use unhang::domain::decision::{Decided, Decision};
use unhang::domain::guard::{Reason, Trace};
use unhang::domain::ids::DeliveryId;
use unhang::domain::server::{RegionCode, Server, ServerNo};
use unhang::store::{AlertDecision, KeptBody, NewDelivery, Store};

/// Servers that alerts name.
const SERVERS: u64 = 500;
/// Alerts of one delivery.
const GROUP: u64 = 20;
/// Time between two deliveries: few servers fire at once, as where no storm is.
const PACE: SignedDuration = SignedDuration::from_mins(3);

fn config(folder: &Path) -> unhang::config::Config {
    std::fs::write(folder.join("secret"), "a-secret-that-is-long-enough").unwrap();
    let secret = folder.join("secret");
    let text = format!(
        "[store]\nurl = \"sqlite://{}\"\n[cloud]\nendpoint = \"http://127.0.0.1:9\"\nregion = \"KR\"\n\
         access_key_file = \"{secret}\"\nsecret_key_file = \"{secret}\"\n\
         [[sources]]\nname = \"am\"\nkind = \"alertmanager\"\ntrust = \"act\"\n\
         auth = [{{ kind = \"bearer\", secret_file = \"{secret}\" }}]\n\
         [[policies]]\nname = \"hung\"\nmode = \"auto\"\nmatch = {{ alertname = \"WindowsVmHung\" }}\n\
         [[tokens]]\nname = \"lead\"\nrole = \"approver\"\nsha256 = \"{hash}\"\n\
         [storm]\nshare = 1.0\ncount = 1000\nsame_zone = 1000\n",
        folder.join("unhang.db").display(),
        secret = secret.display(),
        hash = "0".repeat(64)
    );
    let path = folder.join("unhang.toml");
    std::fs::write(&path, text).unwrap();
    load(Some(&path), &Environment::default()).unwrap_or_else(|problems| panic!("{problems:?}")).config
}

fn server(n: u64) -> Server {
    Server {
        no: ServerNo::parse(&(91_000_000 + n).to_string()).unwrap(),
        region: RegionCode::parse("KR").unwrap(),
        name: format!("win-{n:04}"),
        created_at: Timestamp::UNIX_EPOCH,
        uptime_at: None,
        platform_code: "WND64".into(),
        hypervisor_code: "XEN".into(),
        status_code: "RUN".into(),
        operation_code: "NULL".into(),
        memory_bytes: 8 << 30,
        zone_code: format!("KR-{}", n % 3),
        subnet_no: (n % 40).to_string(),
        placement_group_no: String::new(),
    }
}

fn alert(n: u64, at: Timestamp) -> Alert {
    let no = (91_000_000 + n / GROUP % SERVERS).to_string();
    let labels =
        [("alertname", "WindowsVmHung"), ("server_instance_no", no.as_str()), ("severity", "critical")];
    Alert {
        fingerprint: format!("{:016x}", n % SERVERS),
        status: if n % 5 == 4 { AlertStatus::Resolved } else { AlertStatus::Firing },
        name: "WindowsVmHung".into(),
        labels: labels.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        starts_at: Some(at),
        ends_at: None,
        sender_time: None,
        never_actionable: None,
    }
}

async fn fill(store: &Store, alerts: u64, since: Timestamp) {
    let inventory: Vec<Server> = (0..SERVERS).map(server).collect();
    store
        .write(move |tx| {
            let inventory = inventory.clone();
            Box::pin(async move {
                tx.replace_inventory(&RegionCode::parse("KR").unwrap(), &inventory, since).await
            })
        })
        .await
        .unwrap();
    let decided = Decided {
        decision: Decision::Suppressed,
        reason: Some(Reason::Cooldown),
        until: None,
        detail: "as recorded".into(),
        policy: Some("hung".into()),
        trace: Trace::default(),
    };
    for batch in 0..alerts.div_ceil(GROUP * 200) {
        let decided = decided.clone();
        let done = store.write(move |tx| {
            let decided = decided.clone();
            Box::pin(async move {
                for group in batch * 200..(batch + 1) * 200 {
                    let at = since.checked_add(PACE * i32::try_from(group).unwrap()).unwrap();
                    let id = DeliveryId::generate();
                    let body = format!("{group}");
                    let new = NewDelivery {
                        id: id.clone(),
                        trace_id: "0".repeat(32),
                        source: "am".into(),
                        received_at: at,
                        peer: "127.0.0.1".into(),
                        credential: 0,
                        body_sha256: body.clone(),
                        body: KeptBody::Plain(body.into_bytes().into()),
                        sender_time: None,
                        alert_count: i64::try_from(GROUP).unwrap(),
                        truncated: 0,
                        dedupable: true,
                        replay_of: None,
                        actor: "am".into(),
                        config_hash: String::new(),
                    };
                    tx.insert_delivery(&new, None);
                    let trace = serde_json::value::to_raw_value(&decided.trace).unwrap();
                    for idx in 0..GROUP {
                        let alert = alert(group * GROUP + idx, at);
                        let no = alert.labels.get("server_instance_no").cloned().unwrap_or_default();
                        tx.insert_alert(&AlertDecision {
                            delivery_id: &id,
                            idx: usize::try_from(idx).unwrap(),
                            source: "am",
                            fingerprint: Some(&alert.fingerprint),
                            alert: Some(&alert),
                            received_at: at,
                            server_no: Some(&no),
                            region_code: Some("KR"),
                            decided: &decided,
                            trace: &trace,
                            config_hash: "",
                            decided_at: at,
                            incident_id: None,
                            remediation_id: None,
                        })?;
                    }
                }
                Ok(())
            })
        });
        done.await.unwrap();
    }
}

#[tokio::main]
async fn main() {
    let alerts: u64 = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(200_000);
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let (store, writer) = Store::open(&config.store.path, None, |_| {}).await.unwrap();
    let tasks = tokio_util::task::TaskTracker::new();
    tasks.spawn(writer);
    tasks.close();
    let since: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
    fill(&store, alerts, since).await;
    for _ in 0..3 {
        let now = since.checked_add(SignedDuration::from_hours(24 * 365)).unwrap();
        let wanted = Wanted { since, now, wish: None, cut: Cut::default() };
        let begun = Instant::now();
        let report = backtest::run(&store, &config, &wanted, |_| {}).await.unwrap();
        let pace = report.alerts as f64 / begun.elapsed().as_secs_f64();
        println!(
            "{} alerts of {SERVERS} servers: {pace:.0} a second; {} remediations, {} differences",
            report.alerts, report.remediations_total, report.differences_total
        );
    }
    drop(store);
    tasks.wait().await;
}
