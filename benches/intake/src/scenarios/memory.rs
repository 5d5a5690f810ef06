//! Memory: idle, and over time at the top rate.
//!
//! Never: takes a mean for the most.

use std::time::{Duration, Instant};

use crate::bench::{Bench, CONNECTIONS, KNOWN};
use crate::board::{Goal, Spread, short};
use crate::fleet::Fleet;
use crate::load::closed;
use crate::machine::memory_of;
use crate::unhang::Setup;

/// Growth of the second half over the first that is still flat.
const FLAT: f64 = 1.05;

pub(super) async fn run(bench: &mut Bench) {
    let seconds = if bench.options.long { 600 } else { 60 };
    println!("\nmemory, idle and {seconds} s at the top rate");
    let fleet = Fleet::start(KNOWN);
    let binary = bench.options.binary.clone();
    let unhang = bench.unhang("unhang", &binary, &fleet, &Setup::default()).await;
    let pid = unhang.process().pid();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let idle = memory_of(pid);
    bench.board.judge("memory, idle", Goal::Below(20.0), " MiB", Spread::of(&[idle]));
    bench.teach(&unhang).await;

    let time = Duration::from_secs(seconds);
    let requests = bench.repeats(&unhang, CONNECTIONS, 1);
    let watch = async {
        let (begun, mut seen) = (Instant::now(), Vec::new());
        while begun.elapsed() < time {
            tokio::time::sleep(Duration::from_millis(500)).await;
            seen.push(memory_of(pid));
        }
        seen
    };
    let load = bench.watched(&unhang, closed(unhang.process().addr, requests, time));
    let (mut round, seen) = tokio::join!(load, watch);
    round.tell("unhang");
    bench.confirm(&unhang, &round.tally).await;
    // The first sixth is the warming up.
    let warm = &seen[seen.len() / 6..];
    let (first, second) = warm.split_at(warm.len() / 2);
    let (first, second) = (Spread::of(first), Spread::of(second));
    println!("  MiB in the first half {first}, in the second {second}; idle before it {}", short(idle));
    let what = format!("memory over {seconds} s at the top rate, highest");
    bench.board.judge(&what, Goal::Below(64.0), " MiB", Spread::of(&[round.peak]));
    let what = format!("memory over {seconds} s at the top rate, second half against the first");
    bench.board.judge(&what, Goal::Below(FLAT), " ×", Spread::of(&[second.median / first.median]));
}
