//! The restore drill: the lines of the runbook, carried out as they stand against a service under load.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::{
    ALERTMANAGER_TOKEN, Cloud, LEAD, Service, Settings, Site, VIEWER, alert, broken_laws, delivery,
    eventually, fleet, now_text,
};

const FORGOTTEN: &str = "91000001";
const KNOWN: &str = "91000002";
const OTHER: &str = "91000003";

/// The command blocks of a section of the runbook, line by line, without comments.
fn blocks(section: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/RUNBOOK.md");
    let text = std::fs::read_to_string(path).unwrap();
    let section =
        text.split(&format!("\n## {section}\n")).nth(1).unwrap().split("\n## ").next().unwrap().to_owned();
    let block = |block: &str| {
        let lines = block.split("\n```").next().unwrap().lines().filter(|line| !line.is_empty());
        lines.map(|line| line.split(" # ").next().unwrap().trim_end().to_owned()).collect()
    };
    section.split("```sh\n").skip(1).map(block).collect()
}

/// Carries a line out in the folder of the service, with the folder of backups beside it.
fn shell(site: &Site, line: &str, url: &str) -> (i32, String) {
    let backup = site.dir.path().join("backup");
    let line = line.replace("/backup/", &format!("{}/", backup.display()));
    let programs = Path::new(env!("CARGO_BIN_EXE_unhang")).parent().unwrap();
    let output = Command::new("sh")
        .args(["-ec", &line])
        .current_dir(site.dir.path())
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
        .env("UNHANG_URL", url)
        .env("UNHANG_TOKEN", LEAD)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout) + &text(&output.stderr))
}

fn fire(service: &Service, server: &str) -> Value {
    let starts_at = now_text();
    let (status, answer) =
        service.deliver(&delivery(&[alert(server, "firing", &starts_at)], &starts_at)).unwrap();
    assert_eq!(status, 202, "{answer}");
    answer["alerts"][0].clone()
}

/// A sender that goes on until it is dropped, and what was acknowledged to it.
struct Load {
    acknowledged: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    sender: Option<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start(url: &str) -> Self {
        let (acknowledged, stop) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let (kept, ended, url) =
            (Arc::clone(&acknowledged), Arc::clone(&stop), format!("{url}/webhooks/alertmanager"));
        let sender = std::thread::spawn(move || {
            let http = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
            let mut number = 0_u32;
            while !ended.load(Ordering::Relaxed) {
                number += 1;
                let body = delivery(&[alert(OTHER, "resolved", &now_text())], &format!("load {number}"));
                let sent = http.post(&url).bearer_auth(ALERTMANAGER_TOKEN).body(body.to_string());
                let told = sent.header("content-type", "application/json").send().unwrap();
                assert_eq!(told.status(), 202);
                let id = told.json::<Value>().unwrap()["deliveryId"].as_str().unwrap().to_owned();
                kept.lock().unwrap().push(id);
            }
        });
        Self { acknowledged, stop, sender: Some(sender) }
    }

    fn so_far(&self) -> Vec<String> {
        self.acknowledged.lock().unwrap().clone()
    }

    fn end(mut self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.sender.take().unwrap().join().unwrap();
        self.so_far()
    }
}

/// A service whose journal lies on another disk, after its first interrupt.
fn stage(cloud: &Cloud) -> (Site, Service) {
    let settings = Settings::new(&cloud.running.endpoint());
    let store = format!("{}\njournal = \"other-disk/JOURNAL\"", settings.store);
    let site = Site::new(&Settings { store, ..settings });
    for folder in ["backup", "other-disk"] {
        std::fs::create_dir(site.dir.path().join(folder)).unwrap();
    }
    let service = site.start();
    service.wait_for_inventory(3);
    assert_eq!(fire(&service, KNOWN)["decision"], "remediate");
    service.wait_for(KNOWN, &["confirmed"]);
    (site, service)
}

#[test]
fn the_lines_of_the_runbook_restore_a_backup_and_nothing_is_sent_until_a_person_says_so() {
    let cloud = Cloud::start(fleet(3));
    let (site, mut service) = stage(&cloud);
    let [backup, restore] = <[_; 2]>::try_from(blocks("Restoring a backup")).unwrap();
    assert_eq!((backup.len(), restore.len()), (2, 10));
    let load = Load::start(&service.url);
    eventually("a sender under way", || (load.so_far().len() >= 20).then_some(()));
    let before = load.so_far();
    for line in &backup {
        let (code, told) = shell(&site, line, &service.url);
        assert_eq!(code, 0, "{line}: {told}");
        assert!(told.contains("verified"), "{line}: {told}");
    }
    let more = before.len() + 5;
    eventually("the sender to go on", || (load.so_far().len() > more).then_some(()));
    // The copy is whole: what was acknowledged before it began is in it.
    let (code, told) =
        shell(&site, "unhang audit export --format ndjson --store /backup/unhang.db", &service.url);
    assert_eq!(code, 0, "{told}");
    let of_row =
        |line: &str| serde_json::from_str::<Value>(line).ok()?["deliveryId"].as_str().map(str::to_owned);
    let copied: BTreeSet<String> = told.lines().filter_map(of_row).collect();
    assert!(before.iter().all(|id| copied.contains(id)), "{} of {} copied", copied.len(), before.len());
    // A second one does not take its place.
    assert_eq!(shell(&site, &backup[0], &service.url).0, 2);

    // After the copy one server is interrupted. The copy does not know.
    assert_eq!(fire(&service, FORGOTTEN)["decision"], "remediate");
    service.wait_for(FORGOTTEN, &["confirmed"]);
    let acknowledged = load.end();
    assert_eq!(broken_laws(&site, &cloud, &acknowledged), Vec::<String>::new());
    let sent = cloud.running.ledger().len();

    for line in &restore {
        let (expected, says) = match line.as_str() {
            "systemctl stop unhang" => {
                assert_eq!(service.stop().0, 0);
                continue;
            }
            "systemctl start unhang" => {
                service = site.start();
                service.wait_for_inventory(3);
                continue;
            }
            line if line.starts_with("unhang audit reconcile") => (1, FORGOTTEN),
            line if line.starts_with("unhang quarantine show") => {
                // Whoever has not looked yet: alerts are taken, and nothing leaves.
                for server in [FORGOTTEN, OTHER] {
                    let decided = fire(&service, server);
                    assert_eq!(
                        (&decided["decision"], &decided["reason"]),
                        (&"suppressed".into(), &"hold".into())
                    );
                    assert!(decided["detail"].as_str().unwrap().contains("quarantine"), "{decided}");
                }
                service.kill();
                service = site.start();
                service.wait_for_inventory(3);
                assert_eq!(fire(&service, OTHER)["reason"], "hold", "a restart does not lift it");
                assert_eq!(cloud.running.ledger().len(), sent);
                (0, FORGOTTEN)
            }
            line if line.starts_with("unhang quarantine clear") => (0, "attempts go on above 2"),
            line if line.starts_with("unhang hold list") => (0, FORGOTTEN),
            _ => (0, ""),
        };
        let (code, told) = shell(&site, line, &service.url);
        assert_eq!(code, expected, "{line}: {told}");
        assert!(told.contains(says), "{line}: {told}");
    }
    assert_eq!(cloud.running.ledger().len(), sent);

    // Now it works again, and the forgotten one stays alone.
    assert_eq!(fire(&service, FORGOTTEN)["reason"], "hold");
    assert_eq!(fire(&service, KNOWN)["decision"], "suppressed");
    assert_eq!(fire(&service, OTHER)["decision"], "remediate");
    service.wait_for(OTHER, &["confirmed"]);
    assert_eq!(cloud.effects().values().copied().collect::<Vec<_>>(), [1, 1, 1]);
    let (_, page) = service.get("/api/v1/quarantine", VIEWER);
    assert_eq!(page["quarantine"], Value::Null);
    assert!(site.dir.path().join("aside/unhang.db").exists());
    assert_eq!(service.stop().0, 0);
}
