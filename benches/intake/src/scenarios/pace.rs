//! Pace: how long an answer takes while half of what is possible arrives, at a fixed rate.
//!
//! Never: hides waiting: an answer's time runs from when its request was due.

use crate::bench::{Bench, KNOWN};
use crate::board::{Goal, Spread};
use crate::fleet::Fleet;
use crate::unhang::Setup;

pub(super) async fn run(bench: &mut Bench) {
    println!("\nrepeats at half of the top rate, 1 in a request");
    let fleet = Fleet::start(KNOWN);
    let unhang = bench.taught(&fleet, &Setup::default()).await;
    let mut p99 = Vec::new();
    for _ in 0..bench.rounds() {
        let top = bench.top_rate(&unhang).await;
        let mut round = bench.paced_round(&unhang, top / 2.0, bench.time()).await;
        p99.push(round.tally.percentile(99.0));
    }
    bench.board.judge("p99 of acceptance at half of the top rate", Goal::Below(5.0), " ms", Spread::of(&p99));
}
