//! Worsening: a disk whose flush gets slower and slower, and then well again.
//!
//! Never: lets senders slow down with the disk: what is due is sent, whatever the answers take.

use std::time::Duration;

use crate::bench::{Bench, KNOWN};
use crate::board::{Goal, Spread, short};
use crate::fleet::Fleet;
use crate::load::paced;
use crate::plot::{Line, Panel, curves};
use crate::unhang::Setup;

/// Milliseconds that each flush takes more, one after the other.
const STAGES: [u32; 6] = [0, 2, 10, 50, 200, 1000];
/// From here on it is told in the table.
const TOLD: u32 = 50;
/// More than may wait for the writer, so that there can be a no.
const SENDERS: u32 = 2000;
/// As shipped.
const QUEUE: u32 = 1024;
/// Senders wait for an answer as long as Alertmanager does.
const PATIENCE: Duration = Duration::from_secs(10);
/// Share of the top rate that arrives.
const SHARE: f64 = 0.5;

pub(super) async fn run(bench: &mut Bench) {
    let Some(library) = bench.options.slow_disk.clone() else {
        println!("\nno library for a slow disk was given");
        return;
    };
    let time = Duration::from_secs(if bench.options.long { 20 } else { 3 });
    println!(
        "\na disk that gets slower every {} s, half of the top rate of a good one arrives",
        time.as_secs()
    );
    let fleet = Fleet::start(KNOWN);
    let delay = bench.folder().join("delay");
    let set = |ms: u32| std::fs::write(&delay, format!("{}", ms * 1000)).unwrap();
    set(0);
    let setup = Setup {
        slow_disk: Some(library),
        delay_from: Some(delay.clone()),
        queue_max: QUEUE,
        ..Setup::default()
    };
    let unhang = bench.taught(&fleet, &setup).await;
    let rate = bench.top_rate(&unhang).await * SHARE;
    let (mut p99, mut refused, mut peak) = (Vec::new(), Vec::new(), 0.0_f64);
    let mut no_other_no = true;
    for ms in STAGES {
        set(ms);
        let requests = bench.repeats(&unhang, SENDERS, 1);
        let load = paced(unhang.process().addr, requests, rate, time, PATIENCE);
        let mut round = bench.watched(&unhang, load).await;
        round.tell(&format!("{ms} ms more"));
        bench.confirm(&unhang, &round.tally).await;
        let tally = &mut round.tally;
        no_other_no &=
            tally.broken == 0 && tally.without_retry_after == 0 && tally.refused.keys().all(|no| *no == 503);
        let asked = (tally.accepted + tally.not_accepted()) as f64;
        let share = tally.not_accepted() as f64 / asked * 100.0;
        let figure = format!(
            "{} accepted/s, p99 {} ms, {} % refused",
            short(tally.rate()),
            short(tally.percentile(99.0)),
            short(share)
        );
        println!("  a flush takes {ms} ms more: {figure}");
        if ms >= TOLD {
            bench
                .board
                .note(&format!("a flush takes {ms} ms more, {} alerts/s arrive", short(rate)), &figure);
        }
        // The first stage has nothing to the right of zero.
        p99.push((f64::from(ms).max(0.3), tally.percentile(99.0)));
        refused.push((f64::from(ms).max(0.3), share));
        peak = peak.max(round.peak);
    }
    set(0);
    let calm = super::overload::until_normal(bench, &unhang).await;
    let what = "a disk that gets slower: what is not accepted is 503 with Retry-After";
    bench.board.must(what, no_other_no, if no_other_no { "nothing else" } else { "see above" });
    let what = "a disk that gets slower: memory, highest";
    bench.board.judge(what, Goal::Below(128.0), " MiB", Spread::of(&[peak]));
    let what = "a disk that is well again: normal after";
    bench.board.judge(what, Goal::Below(5.0), " s", Spread::of(&[calm]));
    let panel = |title: &str, up: &str, decades, line| Panel {
        title: title.into(),
        across: "ms that a flush takes more (0.3: none)".into(),
        up: up.into(),
        decades,
        lines: vec![line],
    };
    let panels = [
        panel("p99 of accepted answers, by flush", "ms", true, Line::new("p99", p99)),
        panel("Refused with 503, by flush", "% of requests", false, Line::new("refused", refused)),
    ];
    curves(&bench.options.plots.join("slower-disk.svg"), &panels);
}
