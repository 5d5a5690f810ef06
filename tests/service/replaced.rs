//! One process owns one file; and a store, log or journal that is taken away underneath ends it before the next answer.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::{
    Cloud, LEAD, OPERATOR, Service, Settings, Site, VIEWER, alert, delivery, eventually, fleet, now_text,
    on_a_server,
};

const FIRST: &str = "91000001";
const SECOND: &str = "91000002";

/// A site whose cloud nobody asks.
fn lonely() -> Site {
    Site::with_store(&Settings::new("http://127.0.0.1:9"), None)
}

fn beside(site: &Site, end: &str) -> PathBuf {
    let mut name = site.store().into_os_string();
    name.push(end);
    PathBuf::from(name)
}

fn journal(site: &Site) -> PathBuf {
    site.store().with_file_name("JOURNAL")
}

/// What it says when it does not start.
#[track_caller]
fn refused(site: &Site, mentions: &[&str]) {
    let Err(said) = site.try_start() else { panic!("it started") };
    let told = said.lines().filter(|line| !line.starts_with('{')).collect::<Vec<_>>().join("\n");
    assert!(told.ends_with("exit status: 3"), "{told}");
    for wanted in mentions {
        assert!(told.contains(wanted), "{wanted:?} is not in: {told}");
    }
}

fn fire(service: &Service, server: &str, note: &str) -> Option<(u16, Value)> {
    service.deliver(&delivery(&[alert(server, "firing", &now_text())], note))
}

/// Does something to the files while deliveries come in without a pause. None that begins afterwards is promised, and
/// the process ends with a line that names what it saw.
#[track_caller]
fn ends_after(what: &str, deed: impl FnOnce(&Site), names: &str) -> Site {
    let site = lonely();
    let service = site.start();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..3)
            .map(|sender| {
                let (service, done) = (&service, &done);
                scope.spawn(move || {
                    let mut promised = 0;
                    for n in 0.. {
                        let after = done.load(Ordering::SeqCst);
                        let answer = fire(service, FIRST, &format!("{sender} {n}"));
                        if let Some((status, said)) = &answer {
                            assert!(!after || *status == 503, "{what}: {status} {said}");
                            assert!([202, 503].contains(status), "{what}: {status} {said}");
                            promised += usize::from(*status == 202);
                        }
                        if answer.is_none() && service.ended().is_some() {
                            break;
                        }
                    }
                    promised
                })
            })
            .collect();
        eventually("some deliveries", || {
            (service.deliveries_counted("alertmanager", "accepted") > 20).then_some(())
        });
        deed(&site);
        done.store(true, Ordering::SeqCst);
        assert!(senders.into_iter().map(|one| one.join().unwrap()).sum::<usize>() > 20, "{what}");
    });
    assert_eq!(service.ended(), Some(3), "{what}");
    let log = std::fs::read_to_string(site.log()).unwrap();
    let told =
        |line: &&str| line.contains("ERROR") && line.contains("not the one that was written to before");
    let line = log.lines().find(told).unwrap_or_else(|| panic!("{what}: {log}"));
    assert!(line.contains(names), "{what}: {line}");
    site
}

fn emptied(path: &Path) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
}

#[test]
fn nothing_is_promised_into_a_store_that_was_taken_away() {
    let away = |from: PathBuf| std::fs::rename(&from, from.with_extension("away")).unwrap();
    let over = |site: &Site, to: PathBuf| {
        let other = site.dir.path().join("other");
        std::fs::copy(&to, &other).unwrap();
        std::fs::rename(other, to).unwrap();
    };
    ends_after(
        "all removed",
        |site| {
            for end in ["", "-wal", "-shm"] {
                std::fs::remove_file(beside(site, end)).unwrap();
            }
        },
        "unhang.db",
    );
    ends_after("moved away", |site| away(site.store()), "unhang.db");
    ends_after("another in its place", |site| over(site, site.store()), "unhang.db");
    ends_after("emptied", |site| emptied(&site.store()), "unhang.db");
    ends_after("log removed", |site| std::fs::remove_file(beside(site, "-wal")).unwrap(), "unhang.db-wal");
    ends_after("log emptied", |site| emptied(&beside(site, "-wal")), "unhang.db-wal");
    ends_after("folder moved", |site| away(site.dir.path().join("data")), "unhang.db");
    ends_after("journal removed", |site| std::fs::remove_file(journal(site)).unwrap(), "JOURNAL");
    ends_after("another journal", |site| over(site, journal(site)), "JOURNAL");
    ends_after("journal emptied", |site| emptied(&journal(site)), "JOURNAL");
}

#[test]
fn nothing_is_promised_into_a_store_that_was_written_over_in_place() {
    let site = lonely();
    let service = site.start();
    assert_eq!(fire(&service, FIRST, "one").unwrap().0, 202);
    let (store, copy) = (site.store(), site.dir.path().join("copy.db"));
    assert_eq!(site.run(&["backup", "--store", store.to_str().unwrap(), copy.to_str().unwrap()]).0, 0);
    std::fs::copy(&copy, &store).unwrap();
    let answer = fire(&service, FIRST, "two");
    assert!(answer.as_ref().is_none_or(|(status, _)| *status == 503), "{answer:?}");
    assert_eq!(eventually("the process to end", || service.ended()), 3);
    let log = std::fs::read_to_string(site.log()).unwrap();
    assert!(
        log.contains("unhang.db was cut, or written over") || log.contains("written by somebody"),
        "{log}"
    );
}

#[test]
fn what_was_taken_away_is_noticed_by_an_idle_service_too() {
    let site = lonely();
    let service = site.start();
    assert_eq!(service.get("/readyz", VIEWER).0, 200);
    std::fs::rename(site.store(), site.dir.path().join("away")).unwrap();
    if let Some((status, said)) = service.try_get("/readyz", VIEWER) {
        assert_eq!(status, 503, "{said}");
        assert_eq!((&said["ready"], &said["checks"]["dispatches"]), (&json!(false), &json!(false)), "{said}");
        assert!(said["checks"]["halted"].as_str().unwrap().contains("unhang.db"), "{said}");
    }
    assert_eq!(eventually("the process to end", || service.ended()), 3);
}

#[test]
fn one_file_has_one_owner_by_whatever_name_it_is_reached() {
    let (site, other) = (lonely(), lonely());
    std::fs::create_dir_all(other.store().parent().unwrap()).unwrap();
    let service = site.start();
    std::fs::hard_link(site.store(), other.store()).unwrap();
    refused(&other, &["in use by another unhang process", "unhang.db"]);
    assert_eq!(fire(&service, FIRST, "one").unwrap().0, 202);
    assert_eq!(service.stop().0, 0);
    // Nobody has it now, and still it has two names: its log would lie beside one of them only.
    refused(&other, &["2 links", "unhang.db"]);
    refused(&site, &["2 links", "unhang.db"]);
    std::fs::remove_file(other.store()).unwrap();
    assert_eq!(site.start().stop().0, 0);
}

#[test]
fn a_store_that_is_not_where_its_folder_is_is_refused() {
    for end in ["", "-wal", "-shm", ".lock"] {
        let (site, other) = (lonely(), lonely());
        std::fs::create_dir_all(other.store().parent().unwrap()).unwrap();
        let target = beside(&site, end);
        if end.is_empty() {
            site.start().stop();
        } else {
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::write(&target, "").unwrap();
        }
        symlink(&target, beside(&other, end)).unwrap();
        refused(&other, &["symbolic link", &format!("unhang.db{end}")]);
    }
    // A folder may be one: that of a systemd unit with a dynamic user is.
    let site = lonely();
    std::fs::create_dir(site.dir.path().join("real")).unwrap();
    symlink("real", site.dir.path().join("data")).unwrap();
    assert_eq!(site.start().stop().0, 0);
}

#[test]
fn a_file_that_is_mounted_by_itself_is_refused() {
    let site = lonely();
    site.start().stop();
    let elsewhere = site.dir.path().join("elsewhere.db");
    std::fs::copy(site.store(), &elsewhere).unwrap();
    // In a mount namespace of its own, where the system gives us one.
    let script = format!(
        "mount --bind {} {} || exit 77; exec {} serve --config {}",
        elsewhere.display(),
        site.store().display(),
        env!("CARGO_BIN_EXE_unhang"),
        site.config.display()
    );
    let unshared = std::process::Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", &script])
        .current_dir(site.dir.path())
        .output();
    let Ok(output) = unshared else { return println!("there is no unshare here") };
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() != Some(3) && !said.contains("unhang") {
        return println!("no mount can be made here: {said}");
    }
    assert!(said.contains("is mounted by itself") && said.contains("unhang.db"), "{said}");
}

#[test]
fn a_process_that_another_has_replaced_takes_nothing_says_why_and_ends() {
    if on_a_server() {
        return;
    }
    let cloud = Cloud::start(fleet(3));
    let site = Site::new(&Settings { mode: "approve", ..Settings::new(&cloud.running.endpoint()) });
    let service = site.start();
    service.wait_for_inventory(3);
    assert_eq!(fire(&service, FIRST, "one").unwrap().0, 202);
    let waiting = service.wait_for(FIRST, &["awaiting_approval"]);
    site.sql("INSERT INTO owner (started_at, pid, version) VALUES (1764000000000, 1, 'another')");
    let order = json!({ "reason": "go", "decisionHash": waiting["decisionHash"], "confirmStillHung": true });
    let path = format!("/api/v1/remediations/{}/approve", waiting["id"].as_str().unwrap());
    for answer in [service.try_post(&path, LEAD, &order), fire(&service, SECOND, "two")] {
        assert!(answer.as_ref().is_none_or(|(status, _)| *status == 503), "{answer:?}");
    }
    assert_eq!(eventually("the process to end", || service.ended()), 3);
    let log = std::fs::read_to_string(site.log()).unwrap();
    assert!(log.contains("another process owns the store"), "{log}");
    assert_eq!(cloud.running.ledger().len(), 0);
    // Whoever starts next owns it.
    let service = site.start();
    assert_eq!(fire(&service, SECOND, "three").unwrap().0, 202);
    let hold = json!({ "scope": "global", "reason": "the end of the test" });
    assert_eq!(service.post("/api/v1/holds", OPERATOR, &hold).0, 201);
    assert_eq!(service.stop().0, 0);
    assert_eq!(cloud.effects().len(), 0);
}

#[test]
fn what_it_writes_is_for_its_owner_only_and_it_leaves_no_dump_of_its_memory() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = lonely();
    let service = site.start();
    assert_eq!(fire(&service, FIRST, "one").unwrap().0, 202);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", service.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    eventually("a head to be written", || {
        std::fs::read_dir(site.store().parent().unwrap())
            .unwrap()
            .flatten()
            .find(|file| file.file_name().to_string_lossy().ends_with(".heads"))
    });
    assert_eq!(service.stop().0, 0);
    let folder = site.store().parent().unwrap().to_owned();
    for file in std::fs::read_dir(&folder).unwrap().flatten() {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", file.path().display());
    }
    assert_eq!(std::fs::metadata(folder).unwrap().permissions().mode() & 0o077, 0);
    let log = std::fs::read_to_string(site.log()).unwrap();
    assert!(log.contains(&format!("\"store\":\"{}\"", site.store().display())), "{log}");
}
