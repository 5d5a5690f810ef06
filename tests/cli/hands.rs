//! Holds without a service, and every acting command when the service is away.

use jiff::Timestamp;
use predicates::prelude::*;
use tempfile::TempDir;

use crate::support::{code, config_in, nowhere, run, stderr, stdout, store_with_events, unhang};

#[test]
fn the_hold_file_works_without_a_service() {
    let folder = TempDir::new().unwrap();
    let config = config_in(folder.path());
    let config = config.to_str().unwrap();
    let file = folder.path().join("HOLD");
    let hold = |args: &[&str]| run(&[&["hold"], args, &["--config", config]].concat());

    assert_eq!(code(&hold(&["clear", "--file"])), 1);
    let output = hold(&["set", "--file", "--reason", "dump \"night\""]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let said: toml::Table = std::fs::read_to_string(&file).unwrap().parse().unwrap();
    assert_eq!(said["reason"].as_str().unwrap(), "dump \"night\"");
    assert!(said["at"].as_str().unwrap().parse::<Timestamp>().is_ok());

    let again = hold(&["set", "--file", "--reason", "other"]);
    assert!(stdout(&again).contains("held already"), "{}", stdout(&again));

    // With no token and no store only the file can be told, and the rest is not claimed.
    let listed = hold(&["list"]);
    assert!(stdout(&listed).contains("THERE, everything is held"), "{}", stdout(&listed));
    assert_ne!(code(&listed), 0);
    store_with_events(folder.path());
    let listed = hold(&["list"]);
    assert_eq!(code(&listed), 0, "{}", stderr(&listed));
    assert!(stdout(&listed).contains("no holds in the store"), "{}", stdout(&listed));

    let output = hold(&["clear", "--file"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(!file.exists());
}

#[test]
fn a_global_hold_falls_back_to_the_file_and_a_narrow_one_does_not() {
    let folder = TempDir::new().unwrap();
    let config = config_in(folder.path());
    let config = config.to_str().unwrap();
    let url = nowhere();
    let narrow =
        ["hold", "set", "--scope", "policy", "--name", "hung-windows", "--reason", "r", "--config", config];
    unhang(&narrow).env("UNHANG_URL", &url).env("UNHANG_TOKEN", "t").assert().code(3);
    assert!(!folder.path().join("HOLD").exists());
    let global = ["hold", "set", "--reason", "stop", "--config", config];
    unhang(&global)
        .env("UNHANG_URL", &url)
        .env("UNHANG_TOKEN", "t")
        .assert()
        .code(0)
        .stderr(predicate::str::contains("cannot reach the service"));
    assert!(folder.path().join("HOLD").exists());
    unhang(&["hold", "set", "--reason", "stop"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("UNHANG_TOKEN").and(predicate::str::contains("--file")));
}

#[test]
fn an_unreachable_service_is_exit_three_on_one_line() {
    let url = nowhere();
    for args in [
        &["why", "90000001"][..],
        &["approve", "id", "--reason", "r"],
        &["approve", "id", "--version", "2", "--reason", "r"],
        &["deny", "id", "--reason", "r"],
        &["cancel", "id", "--reason", "r"],
        &["settle", "id", "--verdict", "happened", "--reason", "r"],
        &["replay", "id", "--reason", "r"],
        &["order", "90000001", "--region", "KR", "--policy", "p", "--reason", "r"],
        &["silence", "list"],
        &["silence", "end", "1", "--reason", "r"],
        &["silence", "add", "--match", "a=\"b\"", "--for", "1h", "--comment", "c"],
        &["hold", "clear", "1", "--reason", "r"],
    ] {
        let output = unhang(args)
            .env("UNHANG_URL", &url)
            .env("UNHANG_TOKEN", "secret-word")
            .env("RUST_BACKTRACE", "1")
            .output()
            .unwrap();
        assert_eq!(code(&output), 3, "{args:?}");
        let text = stderr(&output);
        assert!(text.starts_with("error: cannot reach the service at http://127.0.0.1:"), "{args:?}: {text}");
        assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
        assert!(!text.contains("secret-word"), "{text}");
    }
    unhang(&["why", "90000001"]).assert().code(2).stderr(predicate::str::contains("UNHANG_TOKEN"));
}
