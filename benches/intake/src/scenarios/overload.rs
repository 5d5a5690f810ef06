//! Overload: ten times as much as is possible, over more connections than may wait; then a normal day again.
//!
//! Never: forgets a 202 that was given in the worst moment.

use std::time::{Duration, Instant};

use crate::bench::{Bench, KNOWN};
use crate::board::{Goal, Spread, short};
use crate::contestant::Contestant;
use crate::fleet::Fleet;
use crate::load::paced;
use crate::unhang::Setup;
use crate::wire::Wire;

/// More than may wait for the writer.
const SENDERS: u32 = 4000;
/// As shipped.
const QUEUE: u32 = 1024;
/// An answer that is normal again.
const NORMAL: Duration = Duration::from_millis(50);
/// So many of them in a row.
const IN_A_ROW: u32 = 20;

pub(super) async fn run(bench: &mut Bench) {
    let seconds = if bench.options.long { 60 } else { 10 };
    println!(
        "\noverload: ten times the top rate for {seconds} s over {SENDERS} connections, {QUEUE} may wait"
    );
    let fleet = Fleet::start(KNOWN);
    let setup = Setup { queue_max: QUEUE, ..Setup::default() };
    let unhang = bench.taught(&fleet, &setup).await;
    let top = bench.top_rate(&unhang).await;
    let requests = bench.repeats(&unhang, SENDERS, 1);
    let time = Duration::from_secs(seconds);
    // Nothing more is sent when the time is over, so that what follows can be told from it.
    let load = paced(unhang.process().addr, requests, top * 10.0, time, Duration::ZERO);
    let after = async {
        tokio::time::sleep(time).await;
        until_normal(bench, &unhang).await
    };
    let (mut round, calm) = tokio::join!(bench.watched(&unhang, load), after);
    println!("  times run from when a request was due, and most were due long before:");
    round.tell("unhang");
    let tally = &round.tally;
    let answered = tally.accepted + tally.not_accepted();
    println!(
        "  {} answers a second, {} accepted, {:?} refused, {} without an answer",
        short(answered as f64 / tally.seconds),
        tally.accepted,
        tally.refused,
        tally.broken
    );
    let only_503 = tally.refused.keys().all(|status| *status == 503) && tally.without_retry_after == 0;
    let figure = format!(
        "{:?}, {} without Retry-After, {} broken",
        tally.refused, tally.without_retry_after, tally.broken
    );
    bench.board.truth(
        "overload: what is not accepted is 503 with Retry-After",
        only_503 && tally.broken == 0,
        &figure,
    );
    bench.confirm(&unhang, &round.tally).await;
    // No goal of its own in the table: "bounded" is twice that of the top rate.
    let what = "overload: memory, highest";
    bench.board.judge(what, Goal::Below(128.0), " MiB", Spread::of(&[round.peak]));
    let what = "overload: normal again after";
    bench.board.judge(what, Goal::Below(5.0), " s", Spread::of(&[calm]));
}

/// Seconds until answers are accepted and quick again.
pub(super) async fn until_normal(bench: &Bench, contestant: &Contestant) -> f64 {
    let begun = Instant::now();
    let mut request = bench.repeats(contestant, 1, 1).remove(0);
    let mut row = 0;
    while row < IN_A_ROW {
        assert!(begun.elapsed() < Duration::from_mins(2), "never normal again");
        let from = Instant::now();
        let sent = request.next().unwrap();
        let Ok(mut wire) = Wire::connect(contestant.process().addr).await else { continue };
        let accepted = wire.ask(sent).await.is_ok_and(|answer| answer.status == 202);
        row = if accepted && from.elapsed() < NORMAL { row + 1 } else { 0 };
        if !accepted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    begun.elapsed().as_secs_f64()
}
