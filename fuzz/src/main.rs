//! Fuzzing of everything that reads what strangers wrote. The target is named by `FUZZ_TARGET`; `run.sh` runs them all.
//! No input may make a reader panic, run for long or take much memory, and what comes through must be clean.
#![no_main]

mod audit;

use std::path::PathBuf;
use std::sync::LazyLock;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use unhang::config::{CredentialConfig, Environment, SourceConfig, SourceKind};
use unhang::domain::alert::Parsed;
use unhang::domain::guest::Binding;
use unhang::domain::policy::Trust;
use unhang::domain::remediation::Outcome;
use unhang::domain::server::{RegionCode, ServerNo};
use unhang::ncloud::outcome::{AnswerBody, Asked, Exchange, classify};
use unhang::ncloud::wire;
use unhang::sources::{Headers, ParseLimits, Verifier, ends, parse};

#[expect(clippy::disallowed_methods, reason = "which target to run is told by the environment")]
static TARGET: LazyLock<String> = LazyLock::new(|| std::env::var("FUZZ_TARGET").unwrap_or_default());

fuzz_target!(|data: &[u8]| {
    match TARGET.as_str() {
        "alertmanager" => payload(SourceKind::Alertmanager, data),
        "grafana" => payload(SourceKind::Grafana, data),
        "cloud_insight" => payload(SourceKind::CloudInsight, data),
        "credential" => credential(data),
        "config" => config(data),
        "cloud" => cloud(data),
        "audit" => audit::verifier(data),
        "journal" => audit::journal(data),
        other => panic!("FUZZ_TARGET={other}: no such target"),
    }
});

fn source(kind: SourceKind, auth: Vec<CredentialConfig>) -> SourceConfig {
    let text = |text: &str| vec![text.to_owned()];
    SourceConfig {
        name: "fuzz".to_owned(),
        kind,
        trust: Trust::Propose,
        auth,
        allow_from: Vec::new(),
        firing_values: text("ALARM"),
        resolved_values: text("RESOLVE"),

        heartbeat: None,
        speaks_for: Binding::default(),
    }
}

fn payload(kind: SourceKind, body: &[u8]) {
    let limits = ParseLimits { alerts_max: 50, label_bytes_max: 256, labels_max: 16 };
    let source = source(kind, Vec::new());
    let Ok(envelope) = parse(&source, &limits, body, None, Timestamp::UNIX_EPOCH) else {
        let ends = ends(&source, &limits, body, None, Timestamp::UNIX_EPOCH);
        assert!(ends.len() <= limits.alerts_max + 1);
        return;
    };
    assert!(envelope.alerts.len() <= limits.alerts_max);
    for parsed in &envelope.alerts {
        if let Parsed::Alert(alert) = parsed {
            assert!(!alert.fingerprint.is_empty() && !alert.fingerprint.contains(char::is_control));
            assert!(alert.labels.len() <= limits.labels_max);
            for (name, value) in &alert.labels {
                assert!(name.len().max(value.len()) <= limits.label_bytes_max);
            }
        }
    }
}

/// The first line is a body, the others are headers. None of them holds the secret, so none may pass.
fn credential(data: &[u8]) {
    let secret = || "a secret that no fuzzer finds: 7f3a9c51e2d84b06".to_owned().into();
    let verifier = Verifier::new(&source(
        SourceKind::Grafana,
        vec![
            CredentialConfig::Bearer { secret: secret() },
            CredentialConfig::Basic { username: "am".to_owned(), secret: secret() },
            CredentialConfig::Header { name: "X-Unhang-Token".to_owned(), secret: secret() },
            CredentialConfig::Hmac {
                secret: secret(),
                signature_header: "X-Grafana-Alerting-Signature".to_owned(),
                timestamp_header: "X-Grafana-Alerting-Timestamp".to_owned(),
                tolerance: jiff::SignedDuration::from_secs(300),
            },
        ],
    ));
    let mut lines = data.split(|byte| *byte == b'\n');
    let body = lines.next().unwrap_or_default();
    let headers: Headers<'_> = lines
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at(colon);
            Some((std::str::from_utf8(name).ok()?, value.get(1..)?.trim_ascii()))
        })
        .collect();
    let verdict = verifier.verify(&headers, [127, 0, 0, 1].into(), body, Timestamp::UNIX_EPOCH);
    assert!(verdict.is_err());
}

/// A file of its own, in memory where there is some.
fn place(name: &str) -> (tempfile::TempDir, PathBuf) {
    let memory = std::path::Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let file = dir.path().join(name);
    (dir, file)
}

fn config(data: &[u8]) {
    static PLACE: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| place("unhang.toml"));
    std::fs::write(&PLACE.1, data).unwrap();
    if let Err(problems) = unhang::config::load(Some(&PLACE.1), &Environment::default()) {
        assert!(!problems.is_empty());
        for problem in problems {
            assert!(!problem.message.contains(|c: char| c.is_control()), "{problem:?}");
        }
    }
}

/// The first byte chooses the status; the rest is the answer.
fn cloud(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let region = RegionCode::parse("KR").unwrap();
    let asked = Asked { region: region.clone(), server_no: ServerNo::parse("90000001").unwrap() };
    let status = [200, 202, 307, 400, 401, 403, 404, 413, 429, 500, 503, 504][usize::from(*first) % 12];
    let _either = wire::parse(body, Some(&region));
    let exchange =
        Exchange::Answered { status, server_date_ms: None, body: AnswerBody::Complete(body.to_vec()) };
    let report = classify(&exchange, &asked);
    assert_ne!(report.outcome, Outcome::NotSent, "an answer came, so it was sent");
    let texts = [&report.request_id, &report.return_code, &report.return_message];
    assert!(texts.into_iter().flatten().all(|text| !text.contains(char::is_control)), "{report:?}");
    let cut = Exchange::Answered { status, server_date_ms: None, body: AnswerBody::Oversize(body.to_vec()) };
    assert_eq!(classify(&cut, &asked).outcome, Outcome::Unknown);
}
