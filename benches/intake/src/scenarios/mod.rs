//! Scenarios: each prints its figures and judges them against the goals.
//!
//! Never: leaves a process behind.

mod repeats;

use crate::bench::Bench;

/// Runs what was asked for.
pub async fn run(bench: &mut Bench) {
    if bench.wants("repeats") {
        repeats::run(bench).await;
    }
}
