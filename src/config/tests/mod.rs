//! What the configuration accepts, refuses and never shows.
//!
//! Never: reads the process environment; every test passes its own.

mod audit;
mod hiding;
mod mistakes;
mod notify;
mod server_role;
mod shipped;
mod telemetry;

use std::path::Path;

use jiff::SignedDuration;
use secrecy::ExposeSecret as _;

use super::load::load_text;
use super::*;
use crate::domain::policy::Mode;

const CLOUD: &str = "cloud = { region = \"KR\" }\n";
const PEOPLE: &str = r#"
[[tokens]]
name = "lead"
role = "approver"
sha256 = "1111111111111111111111111111111111111111111111111111111111111111"
[[tokens]]
name = "deputy"
role = "admin"
sha256 = "2222222222222222222222222222222222222222222222222222222222222222"
"#;
const SOURCE: &str = r#"
[[sources]]
name = "am"
kind = "alertmanager"
auth = [{ kind = "bearer", secret_env = "AM_SECRET" }]
"#;

fn env(more: &[(&str, &str)]) -> Environment {
    let always = [
        ("NCLOUD_ACCESS_KEY_ID", "key-id-of-the-tests"),
        ("NCLOUD_SECRET_KEY", "secret-key-of-the-tests"),
        ("AM_SECRET", "a-strong-secret-of-am-0"),
        ("GRAFANA_SECRET", "a-strong-secret-of-gf-0"),
        ("WEAK", "weak"),
    ];
    always.iter().chain(more).map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn outcome(text: &str, more: &[(&str, &str)]) -> Result<Loaded, Vec<Problem>> {
    load_text(text, "test.toml", Path::new("/nonexistent"), &env(more))
}

fn loaded(text: &str) -> Loaded {
    outcome(&format!("{CLOUD}{text}"), &[]).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
}

fn problems(text: &str, more: &[(&str, &str)]) -> Vec<Problem> {
    outcome(text, more).err().unwrap_or_default()
}

fn check(text: &str, expected: &[&str]) {
    let text = if text.contains("[cloud]") { text.to_owned() } else { format!("{CLOUD}{text}") };
    let found = problems(&text, &[]);
    let keys: Vec<&str> = found.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, expected, "{found:#?}\n{text}");
}

fn check_warns(text: &str, key: &str) {
    let warnings = loaded(text).warnings;
    assert!(warnings.iter().any(|warning| warning.key == key), "{key}: {warnings:#?}");
}

fn policy(lines: &str) -> String {
    format!("[[policies]]\nname = \"p\"\nmatch = {{ a = \"1\" }}\n{lines}\n{PEOPLE}")
}

fn source(lines: &str) -> String {
    format!("[[sources]]\nname = \"s\"\n{lines}")
}

#[test]
fn the_least_configuration_has_the_safe_defaults() {
    let config = loaded(&format!("{SOURCE}{}", policy(""))).config;
    assert_eq!(config.cloud.endpoint, "https://ncloud.apigw.ntruss.com");
    assert_eq!(config.cloud.access_key.expose_secret(), "key-id-of-the-tests");
    assert_eq!(config.store.path, Path::new("data/unhang.db"));
    assert_eq!(config.store.hold_file, Path::new("data/HOLD"));
    assert_eq!(config.store.journal, Path::new("data/JOURNAL"));
    assert_eq!(config.sources[0].trust, Trust::Propose);
    let policy = &config.rules.policies[0];
    assert_eq!(policy.mode, Mode::Approve);
    assert_eq!(policy.settle, SignedDuration::from_mins(2));
    assert_eq!(policy.cooldown, SignedDuration::from_hours(24));
    assert_eq!(policy.region.as_str(), "KR");
    assert_eq!(policy.targets[0].label, "server_instance_no");
    let limits = &config.rules.limits;
    let texts = |budgets: &[crate::domain::policy::Budget]| {
        budgets.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(texts(&policy.budget), ["2/1h"]);
    assert_eq!(texts(&limits.server), ["2/24h"]);
    assert_eq!(texts(&limits.region), ["2/1h"]);
    assert_eq!(texts(&limits.global), ["3/1h", "6/24h"]);
    assert_eq!(limits.in_flight, 1);
    let storm = &config.rules.storm;
    assert_eq!((storm.share.to_string().as_str(), storm.count, storm.same_zone), ("0.1", 2, 3));
    assert_eq!(storm.window, SignedDuration::from_mins(10));
    let breaker = &config.rules.breaker;
    assert_eq!((breaker.failures, breaker.open_for), (3, SignedDuration::from_hours(1)));
    assert_eq!(config.hash.len(), 64);
}

#[test]
fn policies_that_ask_need_people_who_can_answer() {
    check("[[policies]]\nname = \"p\"\nmatch = { a = \"1\" }", &["tokens"]);
    check("[[policies]]\nname = \"p\"\nmode = \"auto\"\nmatch = { a = \"1\" }", &["tokens"]);
    loaded("[[policies]]\nname = \"p\"\nmode = \"shadow\"\nmatch = { a = \"1\" }");
    check(&PEOPLE.replace("1111", "xyz1"), &["tokens[0].sha256"]);
    check(&PEOPLE.replace("22", "11"), &["tokens[1].sha256"]);
    check(&PEOPLE.replace("deputy", "lead"), &["tokens[1].name"]);
    check(&PEOPLE.replace("admin", "root"), &["tokens[1].role"]);
    let alone = PEOPLE.replace("admin", "operator");
    check_warns(&policy("").replace(PEOPLE, &alone), "tokens");
}

#[test]
fn odd_things_are_warned_about() {
    check_warns("", "policies");
    check_warns("", "sources");
    check_warns(&policy("mode = \"auto\""), "policies.p.mode");
    check_warns(&policy("cooldown = \"20m\""), "policies.p.cooldown");
    check_warns(&policy("settle = \"20m\""), "policies.p.settle");
    check_warns(&policy("").replace("\"1\" }", "\"=~1\" }"), "policies.p.match.a");
    check_warns(&SOURCE.replace("AM_SECRET", "WEAK"), "sources[0].auth[0].secret_env");
    check_warns("eligibility = { XEN = [] }", "eligibility");
    check_warns("[storm]\nshare = 0.6", "storm.share");
    check_warns("", "store.url");
    check_warns("[store]\nurl = \"sqlite://data/u.db\"", "store.url");
    check_warns("", "store.journal");
    check_warns("[store]\njournal = \"elsewhere/JOURNAL\"", "store.journal");
}

#[test]
fn a_journal_on_another_file_system_is_not_warned_about() {
    let config = loaded("[store]\nurl = \"sqlite:///var/u.db\"\njournal = \"/proc/nowhere/JOURNAL\"");
    assert!(
        config.warnings.iter().all(|warning| !warning.key.starts_with("store.")),
        "{:#?}",
        config.warnings
    );
    assert_eq!(config.config.store.journal, Path::new("/proc/nowhere/JOURNAL"));
}

#[test]
fn ten_mistakes_give_ten_messages() {
    let text = r#"
[server]
listen = "nowhere"
[cloud]
site = "moon"
timeout = "soon"
[[sources]]
name = "am"
kind = "alertmanager"
auth = []
[[policies]]
name = "hung-windows"
match = { alertname = "WindowsVmHung" }
cooldown = 24
sources = ["an"]
[limits]
global = []
in_fligth = 2
[[tokens]]
name = "lead"
role = "boss"
sha256 = "1111111111111111111111111111111111111111111111111111111111111111"
"#;
    check(
        text,
        &[
            "server.listen",
            "cloud.site",
            "cloud.region",
            "cloud.timeout",
            "sources[0].auth",
            "policies.hung-windows.sources[0]",
            "policies.hung-windows.cooldown",
            "limits.global",
            "limits.in_fligth",
            "tokens[0].role",
        ],
    );
    let report = check_report(&outcome(text, &[]));
    assert_eq!(report.lines().count(), 10);
    assert!(report.lines().all(|line| line.starts_with("error: ")), "{report}");
    assert!(report.contains("limits.in_fligth: unknown key; did you mean \"in_flight\"?"), "{report}");
    assert!(report.contains("sources[0]: no source has this name; did you mean \"am\"?"), "{report}");
}

#[test]
fn the_environment_lies_over_the_file() {
    let text = format!("{CLOUD}{SOURCE}{}", policy(""));
    let config = outcome(
        &text,
        &[
            ("UNHANG__SERVER__LISTEN", "127.0.0.1:9"),
            ("UNHANG__CLOUD__TIMEOUT", "20s"),
            ("UNHANG__CLOUD__REGION", "JPN"),
            ("UNHANG__LIMITS__GLOBAL", "[\"1/1h\"]"),
            ("UNHANG__LIMITS__IN_FLIGHT", "2"),
            ("UNHANG__POLICIES__0__MODE", "shadow"),
            ("UNHANG__POLICIES__1", "{ name = \"q\", match = { b = \"1\" } }"),
            ("UNHANG__POLICIES__1__MATCH__Env", "prod"),
            ("UNHANG__ELIGIBILITY__XEN", "[\"windows\"]"),
            ("UNHANG_CONFIG", "not ours"),
        ],
    )
    .unwrap()
    .config;
    assert_eq!(config.server.listen.port(), 9);
    assert_eq!(config.cloud.timeout, SignedDuration::from_secs(20));
    assert_eq!(config.rules.limits.global.len(), 1);
    assert_eq!(config.rules.limits.in_flight, 2);
    assert_eq!(config.rules.policies[0].mode, Mode::Shadow);
    assert_eq!(config.rules.policies[0].region.as_str(), "JPN");
    assert_eq!(config.rules.policies[1].matchers.texts(), ["Env=\"prod\"", "b=\"1\""]);
    assert_eq!(config.rules.eligibility.0.len(), 1);
}

#[test]
fn unknown_variables_are_refused_and_named() {
    for (name, key) in [
        ("UNHANG__SERVER__LISTN", "server.listn"),
        ("UNHANG__SERVR__LISTEN", "servr"),
        ("UNHANG__SERVER__", "UNHANG__SERVER__"),
        ("UNHANG__POLICIES__1__MODE", "UNHANG__POLICIES__1__MODE"),
        ("UNHANG__SERVER__LISTEN__X", "UNHANG__SERVER__LISTEN__X"),
    ] {
        let text = format!("{CLOUD}server = {{ listen = \"127.0.0.1:1\" }}");
        let found = problems(&text, &[(name, "x")]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].key, key, "{found:?}");
    }
    let found = problems(CLOUD, &[("UNHANG__CLOUD__TIMEOUT", "never")]);
    assert!(found[0].message.ends_with("(set by UNHANG__CLOUD__TIMEOUT)"), "{found:?}");
}
