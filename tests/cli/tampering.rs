//! What somebody with the store's file, but without the key, could do to the audit, and what shows it.

use std::path::{Path, PathBuf};
use std::process::Output;

use predicates::prelude::*;
use sqlx::Connection as _;
use tempfile::TempDir;
use unhang::journal::{Entry, Head, Journal, Stamp};

use crate::support::{code, config_in, run, runtime, stderr, stdout, store_of, unhang};

const KEY: &str = "a-key-of-the-tests-of-32-bytes-or-more";
const OTHER_KEY: &str = "another-key-of-the-tests-of-32-bytes-";

/// One store with its key file and its heads file.
struct Site {
    folder: TempDir,
    keyed: bool,
    with_heads: bool,
}

impl Site {
    fn new(keyed: bool, with_heads: bool) -> Self {
        let site = Self { folder: TempDir::new().unwrap(), keyed, with_heads };
        std::fs::write(site.path("key"), KEY).unwrap();
        std::fs::write(site.path("other-key"), OTHER_KEY).unwrap();
        store_of(&site.path("unhang.db"), keyed.then_some(KEY), "accepted");
        if with_heads {
            assert_eq!(code(&site.audit("head", &["--to", &site.text("heads")])), 0);
        }
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn audit(&self, command: &str, more: &[&str]) -> Output {
        let (store, key) = (self.text("unhang.db"), self.text("key"));
        let mut args = vec!["audit", command, "--store", &store];
        if self.keyed {
            args.extend(["--key-file", &key]);
        }
        args.extend(more);
        run(&args)
    }

    fn verify(&self, more: &[&str]) -> Output {
        let heads = self.text("heads");
        let mut args = more.to_vec();
        if self.with_heads {
            args.extend(["--heads", &heads]);
        }
        self.audit("verify", &args)
    }
}

fn sql(path: &Path, statements: &[&'static str]) {
    runtime().block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        for trigger in
            ["DROP TRIGGER IF EXISTS audit_is_never_changed", "DROP TRIGGER IF EXISTS audit_is_never_deleted"]
        {
            sqlx::query(trigger).execute(&mut connection).await.unwrap();
        }
        for statement in statements {
            sqlx::query(*statement).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
    });
}

/// The store is replaced by one with another history, whose chain is sound by itself.
fn rewrite(site: &Site, key: Option<&str>) {
    std::fs::remove_file(site.path("unhang.db")).unwrap();
    store_of(&site.path("unhang.db"), key, "rejected");
}

#[test]
fn whole_audits_verify_however_they_are_kept() {
    for (keyed, with_heads) in [(false, false), (false, true), (true, false), (true, true)] {
        let site = Site::new(keyed, with_heads);
        let output = site.verify(&[]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let text = stdout(&output);
        let said = format!("verified to row 5 at 2026-09-21T14:13:25Z, {} heads agree", u8::from(with_heads));
        assert!(text.contains(&said), "{text}");
    }
}

type Tampering = (&'static str, fn(&Site), [Option<&'static str>; 4]);

/// For each tampering what is said: without key and heads, with heads, with a key, with both. `None`: it does not show.
const TAMPERINGS: [Tampering; 10] = [
    (
        "a changed byte",
        |site| sql(&site.path("unhang.db"), &["UPDATE audit SET outcome = 'accepteD' WHERE seq = 3"]),
        [Some("row 3: "); 4],
    ),
    (
        "a packed detail that cannot be read",
        |site| sql(&site.path("unhang.db"), &["UPDATE audit SET detail_packed = x'0100ff' WHERE seq = 3"]),
        [Some("row 3: "); 4],
    ),
    (
        "a removed row",
        |site| sql(&site.path("unhang.db"), &["DELETE FROM audit WHERE seq = 2"]),
        [Some("row 3: "); 4],
    ),
    (
        "the first rows",
        |site| sql(&site.path("unhang.db"), &["DELETE FROM audit WHERE seq < 3"]),
        [Some("row 3: "); 4],
    ),
    (
        "swapped rows",
        |site| {
            let swap = [
                "UPDATE audit SET seq = 100 WHERE seq = 2",
                "UPDATE audit SET seq = 2 WHERE seq = 3",
                "UPDATE audit SET seq = 3 WHERE seq = 100",
                "UPDATE sqlite_sequence SET seq = 5 WHERE name = 'audit'",
            ];
            sql(&site.path("unhang.db"), &swap);
        },
        [Some("row 2: "); 4],
    ),
    (
        "a cut end",
        |site| sql(&site.path("unhang.db"), &["DELETE FROM audit WHERE seq > 3"]),
        [Some("row 4: "); 4],
    ),
    (
        "a cut end, with the number of rows ever written changed too",
        |site| {
            let cut = [
                "DELETE FROM audit WHERE seq > 3",
                "UPDATE sqlite_sequence SET seq = 3 WHERE name = 'audit'",
            ];
            sql(&site.path("unhang.db"), &cut);
        },
        [None, Some("row 4: the head of "), None, Some("row 4: the head of ")],
    ),
    // With a key alone this is told as a note: it looks like a store before its first start with a key.
    (
        "another history without a key",
        |site| rewrite(site, None),
        [None, Some("row 5: the head of "), None, Some("row 5: the head of ")],
    ),
    ("another history with another key", |site| rewrite(site, Some(OTHER_KEY)), [Some("needs key "); 4]),
    (
        "sound rows without a key behind keyed ones",
        |site| {
            let path = site.path("unhang.db");
            sql(&path, &["UPDATE audit SET key_id = NULL WHERE seq = 5"]);
            store_of(&path, None, "accepted");
            sql(&path, &["UPDATE audit SET key_id = (SELECT key_id FROM audit WHERE seq = 4) WHERE seq = 5"]);
        },
        [None, None, Some("row 6: it has no key"), Some("row 6: it has no key")],
    ),
];

#[test]
fn what_was_done_to_the_rows_is_found_and_its_place_named() {
    for (what, tamper, said) in TAMPERINGS {
        let kinds = [(false, false), (false, true), (true, false), (true, true)];
        for ((keyed, with_heads), said) in kinds.into_iter().zip(said) {
            let site = Site::new(keyed, with_heads);
            tamper(&site);
            let output = site.verify(&[]);
            let place =
                format!("{what}, keyed {keyed}, heads {with_heads}: {}{}", stdout(&output), stderr(&output));
            match said {
                Some(said) => {
                    assert_eq!(code(&output), 1, "{place}");
                    assert!(stderr(&output).contains(said), "{place}");
                }
                None => assert_eq!(code(&output), 0, "{place}"),
            }
        }
    }
}

#[test]
fn another_history_that_claims_the_key_is_found_and_one_without_is_told() {
    let site = Site::new(true, false);
    let id = key_id(&site);
    rewrite(&site, None);
    let output = site.verify(&[]);
    assert!(stdout(&output).contains("note: no row is keyed"), "{}", stdout(&output));
    let output = site.verify(&["--require-key"]);
    assert_eq!(code(&output), 1, "{}", stdout(&output));
    let forge: &'static str = Box::leak(format!("UPDATE audit SET key_id = '{id}'").into_boxed_str());
    sql(&site.path("unhang.db"), &[forge]);
    let output = site.verify(&[]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("row 1: its content does not give its hash"), "{}", stderr(&output));
}

fn key_id(site: &Site) -> String {
    let output = run(&["audit", "export", "--format", "ndjson", "--store", &site.text("unhang.db")]);
    let row: serde_json::Value = serde_json::from_str(stdout(&output).lines().next().unwrap()).unwrap();
    row["keyId"].as_str().unwrap().to_owned()
}

#[test]
fn forged_heads_do_not_verify() {
    let site = Site::new(true, true);
    assert_eq!(code(&site.audit("head", &["--to", &site.text("heads")])), 0);
    let whole = std::fs::read_to_string(site.path("heads")).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    for (forged, said) in [
        (whole.replace("\"seq\":5", "\"seq\":4"), "line 1: its content"),
        (format!("{}\n{}\n", lines[1], lines[0]), "line 2: it does not continue"),
    ] {
        std::fs::write(site.path("heads"), forged).unwrap();
        let output = site.verify(&[]);
        assert_eq!(code(&output), 1, "{said}");
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
    // A write that was cut short harms nothing; the next head begins a line of its own.
    std::fs::write(site.path("heads"), format!("{}\n{{\"at\":", lines[0])).unwrap();
    assert_eq!(code(&site.audit("head", &["--to", &site.text("heads")])), 0);
    let output = site.verify(&[]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("2 heads agree"), "{}", stdout(&output));
    assert!(stdout(&output).contains("note: 1 lines of the heads file are no head"), "{}", stdout(&output));
}

#[test]
fn heads_that_somebody_named_and_that_are_not_there_are_a_fault() {
    let site = Site::new(true, true);
    let torn = "{\"at\":\n{\"at\":";
    let states = [
        (None, "there are no heads at"),
        (Some(""), "there is no head in"),
        (Some(torn), "there is no head in"),
    ];
    // With --heads; then the file that the configuration names, the usual one, and the usual one with --require-key.
    let plain = config_in(site.folder.path());
    let text = std::fs::read_to_string(&plain).unwrap();
    let names = text.replace("[audit]\n", &format!("[audit]\nheads_file = \"{}\"\n", site.text("heads")));
    std::fs::write(site.path("names.toml"), names).unwrap();
    let verify = |config: &str, more: &[&str]| {
        let (config, key) = (site.text(config), site.text("key"));
        run(&[&["audit", "verify", "--config", &config, "--key-file", &key], more].concat())
    };
    assert_eq!(code(&verify("names.toml", &[])), 0, "as long as they are there");
    let fault = |output: &Output, said: &str| {
        assert_eq!(code(output), 1, "{}{}", stdout(output), stderr(output));
        assert!(stderr(output).contains(said), "{}", stderr(output));
    };
    for (state, said) in states {
        for file in ["heads", "unhang.db.heads"] {
            let _not_there = std::fs::remove_file(site.path(file));
            if let Some(text) = state {
                std::fs::write(site.path(file), text).unwrap();
            }
        }
        fault(&site.verify(&[]), said);
        fault(&verify("names.toml", &[]), said);
        fault(&verify("unhang.toml", &["--require-key"]), said);
        let output = verify("unhang.toml", &[]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(stdout(&output).contains(&format!("note: {said}")), "{}", stdout(&output));
    }
    fault(&site.audit("verify", &["--require-key"]), "no heads file is known; name it with --heads");
    let export = site.text("old.ndjson");
    let (config, key) = (site.text("names.toml"), site.text("key"));
    let output = run(&[
        "audit",
        "checkpoint",
        "--before",
        "2027-01-01T00:00:00Z",
        "--export",
        &export,
        "--prune",
        "--config",
        &config,
        "--key-file",
        &key,
    ]);
    fault(&output, "nothing was done: there is no head in");
}

#[test]
fn a_rotated_key_needs_the_old_one_to_verify_and_no_key_can_follow_it() {
    let site = Site::new(true, false);
    // Another five rows under the other key.
    store_of(&site.path("unhang.db"), Some(OTHER_KEY), "accepted");
    let (store, key, other) = (site.text("unhang.db"), site.text("key"), site.text("other-key"));
    let verify = |more: &[&str]| run(&[&["audit", "verify", "--store", &store], more].concat());
    let output = verify(&["--key-file", &other, "--old-key-file", &key]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("10 rows"), "{}", stdout(&output));
    let output = verify(&["--key-file", &other]);
    assert!(stderr(&output).contains("row 1: needs key "), "{}", stderr(&output));
    let output = verify(&[]);
    assert!(stderr(&output).contains("row 1: needs key "), "{}", stderr(&output));

    runtime().block_on(async {
        let (store, writer) =
            unhang::store::Store::open(&site.path("unhang.db"), None, |_| {}).await.unwrap();
        let tasks = tokio_util::task::TaskTracker::new();
        tasks.spawn(writer);
        let event = unhang::domain::audit::AuditEvent::new(
            jiff::Timestamp::UNIX_EPOCH,
            "test",
            unhang::domain::audit::Actor::service("test"),
        );
        let refused = store
            .write(move |tx| {
                let event = event.clone();
                Box::pin(async move { tx.append(&event).await })
            })
            .await;
        let said = refused.unwrap_err().to_string();
        assert!(said.contains("set audit.key_file"), "{said}");
    });
}

#[test]
fn a_checkpoint_exports_verifies_and_prunes_only_when_asked_to() {
    let site = Site::new(true, true);
    let (export, before) = (site.text("old.ndjson"), "2026-09-21T14:13:24Z");
    let output = site.audit("checkpoint", &["--before", before, "--export", &export]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("rows 1 to 3, sha256 "), "{}", stdout(&output));
    assert!(stdout(&output).contains("row 6 tells of it; 0 rows were removed"), "{}", stdout(&output));
    let output = site.verify(&["--export", &export]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));

    let second = site.text("old-2.ndjson");
    let output = site.audit("checkpoint", &["--before", before, "--export", &second, "--prune"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("row 7 tells of it; 3 rows were removed"), "{}", stdout(&output));
    let output = site.verify(&["--deep"]);
    assert_eq!(code(&output), 1, "{}", stdout(&output));
    let said = "give --export old-2.ndjson (rows 1 to 3, sha256 ";
    assert!(stderr(&output).contains(said), "{}", stderr(&output));
    assert_eq!(code(&site.verify(&[])), 0, "the chain alone begins at its checkpoint");
    let output = site.verify(&["--deep", "--allow-gaps"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("4 rows, last seq 7"), "{}", stdout(&output));
    assert!(stdout(&output).contains("note: rows before 4 were pruned"), "{}", stdout(&output));
    let output = site.verify(&["--deep", "--export", &second]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(!stdout(&output).contains("note: "), "{}", stdout(&output));
    // The triggers stand again, and one event is not enough to remove what it does not tell of.
    unhang(&[
        "audit",
        "checkpoint",
        "--before",
        before,
        "--export",
        &export,
        "--store",
        &site.text("unhang.db"),
    ])
    .assert()
    .code(2)
    .stderr(predicate::str::contains("is there already"));
    sql(&site.path("unhang.db"), &["DELETE FROM audit WHERE seq = 4"]);
    let output = site.verify(&[]);
    assert!(stderr(&output).contains("row 5: rows before it are missing"), "{}", stderr(&output));
}

#[test]
fn a_changed_or_foreign_export_does_not_verify() {
    let site = Site::new(true, false);
    let export = site.text("old.ndjson");
    let args = ["--before", "2026-09-21T14:13:24Z", "--export", &export, "--prune"];
    assert_eq!(code(&site.audit("checkpoint", &args)), 0);
    let whole = std::fs::read_to_string(&export).unwrap();
    let without_last = whole.split_inclusive('\n').take(2).collect::<String>();
    for (text, said) in [
        (whole.replace("\"accepted\"", "\"rejected\""), "does not verify: row 1: its content"),
        (without_last, "rows 3 to 3 are neither here nor exported"),
        ("{}\n".to_owned(), "line 1 is no exported row"),
    ] {
        std::fs::write(&export, text).unwrap();
        let output = site.verify(&["--export", &export]);
        assert_eq!(code(&output), 1, "{said}: {}", stdout(&output));
        assert!(stderr(&output).contains(said), "{said}: {}", stderr(&output));
    }
}

#[test]
fn a_copy_that_does_not_verify_is_left_nowhere_and_stands_in_nobodys_way() {
    let site = Site::new(false, false);
    let (store, copy) = (site.text("unhang.db"), site.text("copy.db"));
    let names = || {
        let entries = std::fs::read_dir(site.folder.path()).unwrap().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        names
    };
    // What a command that was killed has left behind.
    std::fs::write(site.path(".copy.db.killed.half"), "half").unwrap();
    let before = names();
    sql(&site.path("unhang.db"), &["UPDATE audit SET at = at + 1 WHERE seq = 2"]);
    let output = run(&["backup", "--store", &store, &copy]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert!(stderr(&output).contains("the copy does not verify: row 2"), "{}", stderr(&output));
    assert_eq!(names(), before);
    sql(&site.path("unhang.db"), &["UPDATE audit SET at = at - 1 WHERE seq = 2"]);
    let output = run(&["backup", "--store", &store, &copy]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(names().len(), before.len() + 1, "the copy and nothing else: {:?}", names());
}

#[test]
fn a_checkpoint_wants_the_service_stopped_and_a_whole_audit() {
    let site = Site::new(true, true);
    let export = site.text("old.ndjson");
    let args = ["--before", "2027-01-01T00:00:00Z", "--export", &export, "--prune"];
    let lock = unhang::store::DataLock::take(&site.path("unhang.db")).unwrap();
    let output = site.audit("checkpoint", &args);
    assert_eq!(code(&output), 3, "{}", stdout(&output));
    assert!(stderr(&output).contains("stop the service first"), "{}", stderr(&output));
    drop(lock);
    sql(&site.path("unhang.db"), &["UPDATE audit SET at = at + 1 WHERE seq = 2"]);
    let output = site.audit("checkpoint", &args);
    assert_eq!(code(&output), 1, "{}", stdout(&output));
    assert!(
        stderr(&output).contains("nothing was done: the audit does not verify: row 2"),
        "{}",
        stderr(&output)
    );
    assert!(!site.path("old.ndjson").exists());
}

#[test]
fn the_row_that_the_attempt_journal_names_is_not_pruned() {
    let site = Site::new(true, false);
    let rows = |path: &str| std::fs::read_to_string(path).unwrap().lines().count();
    let all = site.text("all.ndjson");
    let stamp = Entry::Stamp(Stamp {
        at: jiff::Timestamp::UNIX_EPOCH,
        boot_id: None,
        boot_seconds: None,
        audit: Some(Head { seq: 3, hash: "00".to_owned() }),
    });
    Journal::open(&site.path("JOURNAL")).append(stamp).unwrap();
    let output = site.audit("checkpoint", &["--before", "2027-01-01T00:00:00Z", "--prune", "--export", &all]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("rows 1 to 2, sha256 "), "{}", stdout(&output));
    assert!(stdout(&output).contains("2 rows were removed"), "{}", stdout(&output));
    assert_eq!(rows(&all), 2);
    let more = site.text("more.ndjson");
    let output =
        site.audit("checkpoint", &["--before", "2027-01-01T00:00:00Z", "--prune", "--export", &more]);
    assert_eq!(code(&output), 1, "{}", stdout(&output));
    assert!(stderr(&output).contains("rows from 3 on stay"), "{}", stderr(&output));
    // Where no journal is, the newest row stays.
    std::fs::remove_file(site.path("JOURNAL")).unwrap();
    let output =
        site.audit("checkpoint", &["--before", "2027-01-01T00:00:00Z", "--prune", "--export", &more]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("rows 3 to 5, sha256 "), "{}", stdout(&output));
}
