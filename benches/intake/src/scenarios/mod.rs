//! Scenarios: each prints its figures and judges them against the goals.
//!
//! Never: leaves a process behind.

mod crowd;
mod curves;
mod fresh;
mod interrupt;
mod memory;
mod overload;
mod pace;
mod pages;
mod repeats;
mod senders;
mod size;
mod slow;
mod storm;
mod worsening;

use std::time::Instant;

use crate::bench::Bench;

/// Runs what was asked for.
pub(crate) async fn run(bench: &mut Bench) {
    macro_rules! scenarios {
        ($($name:ident)+) => {$(
            if bench.wants(stringify!($name)) {
                let begun = Instant::now();
                $name::run(bench).await;
                println!("  ({} took {:.0} s)", stringify!($name), begun.elapsed().as_secs_f64());
            }
        )+};
    }
    scenarios!(repeats fresh pace slow interrupt memory size crowd storm overload senders worsening pages curves);
}
