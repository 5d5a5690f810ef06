//! The rules for Prometheus: sound, and each alert is seen to fire and to keep still.

use std::fmt::Write as _;
use std::path::Path;

use crate::{asked, content, shipped, text_of};

const ALERTS: &str = "prometheus/unhang-alerts.rules.yml";
const TESTS: &str = "prometheus/unhang-alerts.test.yml";

#[test]
fn rules_are_sound_and_do_what_their_tests_say() {
    let path = |file: &str| shipped(file).display().to_string();
    for name in ["hung-windows", "unhang-alerts", "unhang-recording"] {
        content("promtool", &["check", "rules", &path(&format!("prometheus/{name}.rules.yml"))]);
        content("promtool", &["test", "rules", &path(&format!("prometheus/{name}.test.yml"))]);
    }
}

/// One alert: its name, the lines of its rule after the name, and its tests.
struct Alert {
    name: String,
    rule: Vec<String>,
    tests: Vec<String>,
}

impl Alert {
    /// Tests that expect it, or those that expect it not.
    fn tests(&self, fires: bool) -> Vec<&str> {
        let wanted = |test: &&String| test.contains("exp_labels") == fires;
        self.tests.iter().filter(wanted).map(String::as_str).collect()
    }

    /// Its rule with another expression.
    fn with_expr(&self, expr: &str) -> String {
        let mut text = format!("groups:\n  - name: one\n    rules:\n      - alert: {}\n", self.name);
        let mut in_expr = false;
        for line in &self.rule {
            if line.starts_with("        expr:") {
                in_expr = true;
                writeln!(text, "        expr: {expr}").unwrap();
            } else if in_expr && line.starts_with("          ") {
                // The rest of the old expression.
            } else {
                in_expr = false;
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}

/// Every alert of the file with its tests.
fn alerts() -> Vec<Alert> {
    let (rules, tests) = (text_of(ALERTS), text_of(TESTS));
    let tests: Vec<&str> = tests.split("\n  - name: \"").skip(1).collect();
    let alerts = rules.split("\n      - alert: ").skip(1).map(|block| {
        let mut lines = block.lines();
        let name = lines.next().unwrap().to_owned();
        let rule = lines.take_while(|line| line.starts_with("        ")).map(str::to_owned).collect();
        let of_this = format!("{name}: ");
        let tests = tests.iter().filter(|test| test.starts_with(&of_this)).map(|test| (*test).to_owned());
        Alert { tests: tests.collect(), rule, name }
    });
    alerts.collect()
}

/// Whether promtool passes these tests of this rule.
fn passes(folder: &Path, alert: &Alert, rule: &str, tests: &[&str]) -> bool {
    let entries: Vec<String> =
        tests.iter().map(|test| format!("  - name: \"{}\n", test.trim_end())).collect();
    let entries = entries.concat();
    let header = "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n";
    std::fs::write(folder.join("rules.yml"), rule).unwrap();
    std::fs::write(folder.join("test.yml"), format!("{header}{entries}")).unwrap();
    let (fine, said) = asked("promtool", &["test", "rules", &folder.join("test.yml").display().to_string()]);
    // A fault of syntax is no verdict.
    assert!(fine || said.contains("exp:"), "{}: {said}\n{rule}", alert.name);
    fine
}

fn faults_of(alert: &Alert) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (fires, quiet) = (alert.tests(true), alert.tests(false));
    if fires.is_empty() || quiet.is_empty() {
        return vec![format!("{}: wants a test that fires and one that keeps still", alert.name)];
    }
    let mut faults = Vec::new();
    if passes(folder.path(), alert, &alert.with_expr("vector(0) > 1"), &fires) {
        faults.push(format!("{}: its tests do not notice when it never fires", alert.name));
    }
    if passes(folder.path(), alert, &alert.with_expr("vector(1)"), &quiet) {
        faults.push(format!("{}: its tests do not notice when it always fires", alert.name));
    }
    faults
}

#[test]
fn each_alert_has_tests_that_notice_when_it_never_fires_and_when_it_always_does() {
    let alerts = alerts();
    assert!(alerts.len() > 25, "only {} alerts were found", alerts.len());
    let half = alerts.len().div_ceil(2);
    let faults: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = alerts
            .chunks(half)
            .map(|some| scope.spawn(|| some.iter().flat_map(faults_of).collect::<Vec<_>>()))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
