//! Reading, exporting, copying and verifying a store, also one that was tampered with.

use std::path::Path;

use predicates::prelude::*;
use sqlx::Connection as _;
use tempfile::TempDir;

use crate::support::{code, run, runtime, stderr, stdout, store_with_events, unhang};

/// What somebody with the file and a tool for it could do.
fn tamper(path: &Path, statements: &[&'static str]) {
    runtime().block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        let triggers = ["DROP TRIGGER audit_is_never_changed", "DROP TRIGGER audit_is_never_deleted"];
        for statement in triggers.iter().chain(statements) {
            sqlx::query(*statement).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
    });
}

#[test]
fn verify_passes_a_whole_chain_and_says_how_long_it_is() {
    let folder = TempDir::new().unwrap();
    let path = store_with_events(folder.path());
    let output = run(&["audit", "verify", "--store", path.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("5 rows, last seq 5, last hash "), "{}", stdout(&output));
}

#[test]
fn verify_finds_what_was_done_to_the_rows_and_names_the_place() {
    let cases: [(&str, &[&'static str], &str); 6] = [
        ("changed byte", &["UPDATE audit SET outcome = 'accepteD' WHERE seq = 3"], "row 3"),
        ("changed time", &["UPDATE audit SET at = at + 1 WHERE seq = 1"], "row 1"),
        ("removed row", &["DELETE FROM audit WHERE seq = 2"], "row 3"),
        (
            "swapped rows",
            &[
                "UPDATE audit SET seq = 100 WHERE seq = 2",
                "UPDATE audit SET seq = 2 WHERE seq = 3",
                "UPDATE audit SET seq = 3 WHERE seq = 100",
                "UPDATE sqlite_sequence SET seq = 5 WHERE name = 'audit'",
            ],
            "row 2",
        ),
        ("cut tail", &["DELETE FROM audit WHERE seq > 3"], "row 4"),
        ("no rows left", &["DELETE FROM audit"], "row 1"),
    ];
    for (what, statements, place) in cases {
        let folder = TempDir::new().unwrap();
        let path = store_with_events(folder.path());
        tamper(&path, statements);
        let output = run(&["audit", "verify", "--store", path.to_str().unwrap()]);
        assert_eq!(code(&output), 1, "{what}: {}", stdout(&output));
        assert!(stderr(&output).contains(&format!("{place}: ")), "{what}: {}", stderr(&output));
    }
}

#[test]
fn listing_fits_eighty_columns_and_filters() {
    let folder = TempDir::new().unwrap();
    let path = store_with_events(folder.path());
    let store = format!("sqlite://{}", path.display());
    let output = run(&["audit", "list", "--store", &store]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 6, "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");

    let id = "0d4e1f9a-6f0e-4b6c-9d8f-3a1b2c3d4e54";
    let output = run(&["audit", "list", "--store", &store, "--request-id", id, "--output", "json"]);
    let page: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    assert_eq!(page["items"][0]["seq"], 4);
    assert_eq!(page["items"][0]["requestId"], id);

    let output = run(&["audit", "list", "--store", &store, "--limit", "2"]);
    assert!(stdout(&output).contains("more: --cursor 4"), "{}", stdout(&output));
    let output = run(&["audit", "list", "--store", &store, "--wide", "--until", "2020-01-01T00:00:00Z"]);
    assert_eq!(stdout(&output), "no events\n");
}

#[test]
fn exports_are_oldest_first_and_hold_no_formula() {
    let folder = TempDir::new().unwrap();
    let path = store_with_events(folder.path());
    let store = path.to_str().unwrap();
    let output = run(&["audit", "export", "--format", "ndjson", "--store", store]);
    let seqs: Vec<i64> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_i64().unwrap())
        .collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5]);

    let to = folder.path().join("audit.csv");
    let to = to.to_str().unwrap();
    let output = run(&["audit", "export", "--format", "csv", "--to", to, "--store", store]);
    assert_eq!((code(&output), stdout(&output).as_str()), (0, ""));
    let text = std::fs::read_to_string(to).unwrap();
    assert!(text.starts_with("seq,at,kind,"), "{text}");
    assert_eq!(text.lines().count(), 6);
    assert!(text.contains(",'=dispatcher,") && !text.contains(",=dispatcher"), "{text}");
}

#[test]
fn backup_is_verified_and_overwrites_nothing() {
    let folder = TempDir::new().unwrap();
    let path = store_with_events(folder.path());
    let copy = folder.path().join("copy.db");
    let args = ["backup", copy.to_str().unwrap(), "--store", path.to_str().unwrap()];
    let output = run(&args);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("5 audit rows verified"), "{}", stdout(&output));
    unhang(&args).assert().code(2).stderr(predicate::str::contains("is there already"));
    let output = run(&["audit", "verify", "--store", copy.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[test]
fn migrate_makes_a_store_and_leaves_another_program_alone() {
    let folder = TempDir::new().unwrap();
    let new = folder.path().join("data/new.db");
    unhang(&["migrate", "--store", new.to_str().unwrap()]).assert().code(0);
    unhang(&["audit", "verify", "--store", new.to_str().unwrap()]).assert().code(0);
    let foreign = folder.path().join("notes.txt");
    std::fs::write(&foreign, "not a database, but longer than nothing").unwrap();
    unhang(&["migrate", "--store", foreign.to_str().unwrap()])
        .assert()
        .code(3)
        .stderr(predicate::str::contains("not an unhang store"));
}

#[test]
fn a_missing_store_is_exit_three_and_is_not_made() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("none.db");
    let store = path.to_str().unwrap();
    for args in [
        &["audit", "list", "--store", store][..],
        &["audit", "verify", "--store", store],
        &["audit", "export", "--format", "csv", "--store", store],
        &["backup", "copy.db", "--store", store],
    ] {
        unhang(args)
            .current_dir(folder.path())
            .assert()
            .code(3)
            .stderr(predicate::str::contains("there is no store"));
    }
    assert!(!path.exists());
}

#[test]
fn a_closed_pipe_is_no_error() {
    let folder = TempDir::new().unwrap();
    let path = store_with_events(folder.path());
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_unhang"))
        .args(["audit", "list", "--store", path.to_str().unwrap()])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
}
