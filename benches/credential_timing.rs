//! Does the time of a refusal tell how much of a secret was right? Welch's t over interleaved measurements of two wrong
//! tokens: one that differs in its first byte, one that differs in its last. Above 4.5 the difference shows.
//!
//! `cargo bench --bench credential_timing`. A naive comparison is measured beside it: a figure that finds nothing
//! there proves nothing. Figures are printed, never asserted.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a program for people, which fails by panicking"
)]

use std::hint::black_box;
use std::time::Instant;

use jiff::Timestamp;
use unhang::config::{CredentialConfig, SourceConfig, SourceKind};
use unhang::domain::guest::Binding;
use unhang::domain::policy::Trust;
use unhang::sources::{Headers, Verifier};

const RUNS: usize = 100_000;
/// Long, so that a comparison that stops early has something to gain.
const LENGTH: usize = 512;

fn main() {
    let secret = "s".repeat(LENGTH);
    let early = format!("x{}", "s".repeat(LENGTH - 1));
    let late = format!("{}x", "s".repeat(LENGTH - 1));
    let source = SourceConfig {
        name: "alertmanager".to_owned(),
        kind: SourceKind::Alertmanager,
        trust: Trust::Propose,
        auth: vec![CredentialConfig::Bearer { secret: secret.clone().into() }],
        allow_from: Vec::new(),
        firing_values: Vec::new(),
        resolved_values: Vec::new(),

        heartbeat: None,
        speaks_for: Binding::default(),
    };
    let verifier = Verifier::new(&source);
    let (peer, now) = ("127.0.0.1".parse().unwrap(), Timestamp::UNIX_EPOCH);
    let ours = |token: &str| {
        let value = format!("Bearer {token}");
        let headers: Headers<'_> = [("authorization", value.as_bytes())].into_iter().collect();
        let begun = Instant::now();
        let refused = verifier.verify(black_box(&headers), peer, b"{}", now).is_err();
        let took = begun.elapsed();
        assert!(refused);
        took.as_nanos() as f64
    };
    let naive = |token: &str| {
        let begun = Instant::now();
        let equal = black_box(token).bytes().zip(black_box(&secret).bytes()).all(|(a, b)| a == b);
        let took = begun.elapsed();
        assert!(!equal);
        took.as_nanos() as f64
    };
    println!("{RUNS} measurements of each token, interleaved, slowest 5 % left out");
    println!("credential check   t = {:6.2}   (below 4.5: nothing shows)", t_of(&ours, &early, &late));
    println!("naive comparison   t = {:6.2}   (the control: must be far above)", t_of(&naive, &early, &late));
}

/// |t| of the two classes after leaving out what the scheduler did.
fn t_of(measure: &dyn Fn(&str) -> f64, early: &str, late: &str) -> f64 {
    let (mut first, mut second) = (Vec::with_capacity(RUNS), Vec::with_capacity(RUNS));
    let mut coin = 0x9e37_79b9_7f4a_7c15_u64;
    while first.len() < RUNS || second.len() < RUNS {
        coin ^= coin << 13;
        coin ^= coin >> 7;
        coin ^= coin << 17;
        if coin & 1 == 0 { first.push(measure(early)) } else { second.push(measure(late)) }
    }
    let crop = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times.truncate(times.len() * 95 / 100);
        let n = times.len() as f64;
        let mean = times.iter().sum::<f64>() / n;
        let variance = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (mean, variance / n)
    };
    let ((mean_1, error_1), (mean_2, error_2)) = (crop(first), crop(second));
    ((mean_1 - mean_2) / (error_1 + error_2).sqrt()).abs()
}
