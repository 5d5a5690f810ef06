//! Scenarios: each prints its figures and judges them against the goals.
//!
//! Never: leaves a process behind.

mod crowd;
mod fresh;
mod interrupt;
mod memory;
mod overload;
mod pace;
mod pages;
mod repeats;
mod size;
mod slow;

use crate::bench::Bench;

/// Runs what was asked for.
pub(crate) async fn run(bench: &mut Bench) {
    macro_rules! scenarios {
        ($($name:ident)+) => {$(
            if bench.wants(stringify!($name)) {
                $name::run(bench).await;
            }
        )+};
    }
    scenarios!(repeats fresh pace slow interrupt memory size crowd overload pages);
}
