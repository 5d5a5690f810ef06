//! Storm: a zone goes dark: 10,000 alerts on 500 servers, from 20 connections at once.
//!
//! Never: stops the clock before the last of them is answered.

use std::time::{Duration, Instant};

use crate::bench::{Bench, KNOWN};
use crate::board::{Spread, short};
use crate::contestant::Contestant;
use crate::fleet::Fleet;
use crate::load::closed;
use crate::payload::Subjects;
use crate::unhang::Setup;

const ALERTS: usize = 10_000;
const EACH: usize = 100;
const SENDERS: usize = 20;
/// Each on a service and a store of its own.
const ROUNDS: u32 = 3;

pub(super) async fn run(bench: &mut Bench) {
    println!(
        "\na storm of {ALERTS} alerts on {KNOWN} servers, {EACH} in a request, from {SENDERS} connections"
    );
    let fleet = Fleet::start(KNOWN);
    let names = ["servers that were quiet", "servers with an open incident"];
    let (mut took, mut p99) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let mut lost = 0;
    for _ in 0..bench.rounds().min(ROUNDS) {
        let binary = bench.options.binary.clone();
        // The first storm of a service meets servers that are new; the second one finds them with their incidents.
        let unhang = bench.unhang("unhang", &binary, &fleet, &Setup::default()).await;
        for (n, name) in names.iter().enumerate() {
            let (ms, tail, refused) = one(bench, &unhang, name).await;
            took[n].push(ms);
            p99[n].push(tail);
            lost += refused;
            // What a refused request asked for may still be worked on.
            bench.digested(&unhang).await;
        }
    }
    for (n, name) in names.iter().enumerate() {
        let what = format!("a storm of {ALERTS} alerts on {KNOWN} {name}: until all are answered");
        bench.board.note(&what, &format!("{} ms, p99 {} ms", Spread::of(&took[n]), Spread::of(&p99[n])));
    }
    let figure = format!("{lost} requests were not");
    bench.board.must("a storm: every request is accepted", lost == 0, &figure);
}

async fn one(bench: &mut Bench, unhang: &Contestant, name: &str) -> (f64, f64, u64) {
    let known = |n: u32| Subjects::Known { of: KNOWN, next: n * EACH as u32 % KNOWN };
    let mut requests = unhang.requests(SENDERS as u32, EACH, &bench.stamp, known);
    for request in &mut requests {
        request.end_after(ALERTS / EACH / SENDERS);
    }
    let begun = Instant::now();
    let load = closed(unhang.process().addr, requests, Duration::from_mins(1));
    let mut round = bench.watched(unhang, load).await;
    let ms = begun.elapsed().as_secs_f64() * 1000.0;
    println!("  {name}: all answered after {} ms", short(ms));
    round.tell("unhang");
    bench.confirm(unhang, &round.tally).await;
    (ms, round.tally.percentile(99.0), round.tally.not_accepted())
}
