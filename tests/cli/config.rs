//! `check-config`, `token new` and `explain`: what needs a configuration and nothing else.

use predicates::prelude::*;
use tempfile::TempDir;

use crate::support::{code, config_in, example, run, stderr, stdout, unhang};

#[test]
fn check_config_passes_the_example_with_warnings() {
    let output = run(&["check-config", "--config", &example()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("warning: "), "{}", stdout(&output));
    assert!(stdout(&output).contains("ok: 3 sources, 1 policies, 3 tokens"), "{}", stdout(&output));
}

#[test]
fn check_config_tells_every_mistake_with_its_key() {
    let folder = TempDir::new().unwrap();
    let path = config_in(folder.path());
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace("mode = \"approve\"", "mode = \"aproove\"\nsettle = \"soon\"\ncolour = 1");
    std::fs::write(&path, text).unwrap();
    let output = run(&["check-config", "--config", path.to_str().unwrap()]);
    assert_eq!(code(&output), 2);
    for key in ["policies.hung-windows.mode", "policies.hung-windows.settle", "policies.hung-windows.colour"]
    {
        assert!(stdout(&output).contains(&format!("error: {key}: ")), "{key}: {}", stdout(&output));
    }
    assert!(stderr(&output).contains("3 problems"), "{}", stderr(&output));

    let output = run(&["check-config", "--config", path.to_str().unwrap(), "--output", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(report["problems"].as_array().unwrap().len(), 3);
}

#[test]
fn a_missing_configuration_says_where_it_was_looked_for() {
    let folder = TempDir::new().unwrap();
    unhang(&["serve"])
        .current_dir(folder.path())
        .assert()
        .code(2)
        .stderr(predicate::str::contains("--config").and(predicate::str::contains("cloud.region")));
}

#[test]
fn a_new_token_is_shown_once_and_its_hash_is_right() {
    use sha2::Digest as _;
    let output = run(&["token", "new", "--role", "approver", "--name", "le\"ad", "--output", "json"]);
    let token: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let hash = hex::encode(sha2::Sha256::digest(token["secret"].as_str().unwrap()));
    assert_eq!(token["sha256"], hash.as_str());

    let output = run(&["token", "new", "--role", "operator", "--name", "on \"call\""]);
    let lines: toml::Table = stdout(&output).parse().unwrap();
    let entry = lines["tokens"].as_array().unwrap()[0].as_table().unwrap().clone();
    assert_eq!(entry["name"].as_str().unwrap(), "on \"call\"");
    assert_eq!(entry["role"].as_str().unwrap(), "operator");
    assert_eq!(entry["sha256"].as_str().unwrap().len(), 64);
    unhang(&["token", "new", "--role", "emperor", "--name", "x"]).assert().code(2);
}

#[test]
fn explain_decides_without_a_store_and_keeps_nothing() {
    let folder = TempDir::new().unwrap();
    let config = config_in(folder.path());
    let config = config.to_str().unwrap();
    let sample = format!("{}/tests/samples/alertmanager/v0.34-firing.json", env!("CARGO_MANIFEST_DIR"));
    let output = run(&["explain", "--config", config, "--source", "alertmanager", &sample]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("no store at") && text.contains("decision: pending"), "{text}");
    assert!(
        text.lines().skip(1).all(|line| line.chars().count() <= 80 || line.starts_with("decision")),
        "{text}"
    );
    assert!(!folder.path().join("unhang.db").exists());

    let piped = unhang(&["explain", "--config", config, "--source", "alertmanager", "-", "--output", "json"])
        .write_stdin(std::fs::read(&sample).unwrap())
        .output()
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&piped.stdout).unwrap();
    assert_eq!(told["alerts"][0]["answer"]["serverInstanceNo"], "90000001");
    assert_eq!(told["alerts"][0]["trace"][0]["guard"], "no_policy");

    unhang(&["explain", "--config", config, "--source", "nobody", &sample])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("alertmanager, grafana, cloud-insight"));
    unhang(&["explain", "--config", config, "--source", "alertmanager", "-"])
        .write_stdin("{")
        .assert()
        .code(1)
        .stderr(predicate::str::contains("400"));
}
