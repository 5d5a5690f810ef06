//! A configuration drafted from that of another receiver is one that can be used, and sends nothing.

use std::path::Path;

use crate::support::{code, run, stderr, stdout};

const EXECUTOR: &str = r#"---
listen_address: ":23222"
verbose: false
tls_key: "certs/key.pem"
tls_crt: "certs/cert.pem"
commands:
  - cmd: /usr/local/bin/reset-vm
    args: ["--now", "say \"it\""]
    match_labels:
      alertname: WindowsVmHung
      env: "prod \"one\""
    notify_on_failure: false
  - cmd: /usr/local/bin/tell
    match_labels: { env: "prod \"one\"", alertname: WindowsVmHung }
  - cmd: page
    match_labels: { alertname: WindowsVmHung }
    max: 3
  - cmd: /bin/true
    ignore_resolved: true
"#;

fn import(folder: &Path, text: &str) -> std::process::Output {
    let file = folder.join("executor.yml");
    std::fs::write(&file, text).unwrap();
    run(&["import", "am-executor", file.to_str().unwrap()])
}

#[test]
fn an_executors_file_becomes_a_configuration_that_may_be_used_and_sends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = import(folder.path(), EXECUTOR);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let draft = stdout(&output);

    // Once its secrets are there it can be used as it is.
    std::fs::create_dir(folder.path().join("secrets")).unwrap();
    for secret in ["access-key-id", "secret-key", "alertmanager-token"] {
        std::fs::write(folder.path().join("secrets").join(secret), "0123456789abcdef0123456789abcdef")
            .unwrap();
    }
    let path = folder.path().join("unhang.toml");
    std::fs::write(&path, &draft).unwrap();
    let checked = run(&["check-config", "--config", path.to_str().unwrap()]);
    assert_eq!(code(&checked), 0, "{}{}\n{draft}", stdout(&checked), stderr(&checked));

    let config: toml::Table = draft.parse().unwrap();
    let policies = config["policies"].as_array().unwrap();
    let told: Vec<(&str, &toml::Value)> =
        policies.iter().map(|policy| (policy["mode"].as_str().unwrap(), &policy["match"])).collect();
    // The same labels are one policy; what matched everything waits for a person.
    assert_eq!(told.len(), 3, "{draft}");
    assert_eq!(
        told[0],
        ("off", &toml::Value::Table([("alertname".into(), "CHANGE-ME".into())].into_iter().collect()))
    );
    assert_eq!(told[1].0, "shadow");
    assert_eq!(told[1].1["alertname"].as_str(), Some("WindowsVmHung"));
    assert_eq!(told[2].1["env"].as_str(), Some("prod \"one\""));
    for remark in [
        "Ran: /usr/local/bin/reset-vm --now say \"it\"",
        "Ran: /usr/local/bin/tell",
        "TLS of its own",
        "max = 3",
        "ignore_resolved",
        "notify_on_failure",
        "ambiguous_policy",
    ] {
        assert!(draft.contains(remark), "{remark}: {draft}");
    }
}

#[test]
fn words_of_the_file_cannot_leave_their_remark_or_their_value() {
    let folder = tempfile::tempdir().unwrap();
    let text = "commands:\n  - cmd: \"a\\n[[policies]]\\nmode = \\\"auto\\\"\"\n    match_labels: { \"a\\nb\": \"\\\"\\n}\" }\n";
    let output = import(folder.path(), text);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let config: toml::Table = stdout(&output).parse().unwrap();
    assert_eq!(config["policies"].as_array().unwrap().len(), 1);
    assert_eq!(config["policies"][0]["mode"].as_str(), Some("shadow"));
}

#[test]
fn a_file_that_is_none_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    for (text, told) in [
        ("commands: [{ args: [x] }]\n", "cmd"),
        ("commands: 7\n", "prometheus-am-executor"),
        ("listen_address: \":1\"\n", "no commands"),
        ("commands: [\n", "prometheus-am-executor"),
    ] {
        let output = import(folder.path(), text);
        assert_eq!(code(&output), 2, "{text}");
        assert!(stderr(&output).contains(told), "{text}: {}", stderr(&output));
    }
    let output = run(&["import", "am-executor", "/nowhere/executor.yml"]);
    assert_eq!(code(&output), 3);
}
