//! Senders: a thousand that are slow, some that never read, and one that sends 10 MB at once; each beside normal ones.
//!
//! Never: leaves out what a bad sender was promised: its 202s are looked for as well.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::bench::{Bench, CONNECTIONS, KNOWN, Round};
use crate::board::{Spread, short};
use crate::contestant::Contestant;
use crate::fleet::Fleet;
use crate::load::{Tally, closed};
use crate::machine::{forget_peak_of, memory_of, peak_of};
use crate::payload::Request;
use crate::rough::{Deaf, End, chunked, deaf, drip, huge};
use crate::unhang::Setup;

/// Slow senders. Half of them are done before the service's patience of 10 s ends, the others are not.
const SLOW: u32 = 1000;
/// Rest of a slow sender between two pieces.
const REST: Duration = Duration::from_millis(500);
/// Pieces of those that come in time: 8 s.
const IN_TIME: usize = 16;
/// Bytes in a piece of the others.
const FEW: usize = 4;
/// How long normal senders go on beside slow ones, and beside deaf ones.
const BESIDE: Duration = Duration::from_secs(12);
/// Senders that never read.
const DEAF: u32 = 8;
/// How long they go on at most: long enough that what lies unread fills every buffer on the way.
const DEAF_FOR: Duration = Duration::from_secs(40);
/// A client that takes nothing for so long is cut off.
const CUT_OFF: &str = "4s";
/// Bytes of the group that is too large.
const HUGE: usize = 10_000_000;
/// As many alerts as a delivery may have, as shipped.
const ALERTS_MAX: usize = 2000;
/// So many of them at once, the second time.
const HUGE_AT_ONCE: usize = 20;

pub(super) async fn run(bench: &mut Bench) {
    slow(bench).await;
    never_reading(bench).await;
    ten_megabytes(bench).await;
}

async fn slow(bench: &mut Bench) {
    println!("\n{SLOW} slow senders beside {CONNECTIONS} normal ones");
    let fleet = Fleet::start(KNOWN);
    let unhang = bench.taught(&fleet, &Setup::default()).await;
    let alone = alone(bench, &unhang).await;
    let mut slow = JoinSet::new();
    for (n, mut request) in bench.repeats(&unhang, SLOW, 1).into_iter().enumerate() {
        request.next();
        let addr = unhang.process().addr;
        let body = request.bytes().len() - request.head();
        let in_time = n % 2 == 0;
        let piece = if in_time { body.div_ceil(IN_TIME) } else { FEW };
        slow.spawn_local(async move { (in_time, drip(addr, &request, piece, REST).await) });
    }
    let beside = beside(bench, &unhang).await;
    let (mut ends, mut kept, mut longest) =
        (BTreeMap::<(bool, String), u64>::new(), Tally::default(), 0.0_f64);
    while let Some(done) = slow.join_next().await {
        let (in_time, (end, after)) = done.unwrap();
        *ends.entry((in_time, end.word())).or_default() += 1;
        if let End::Accepted(id) = end {
            kept.accept(id, 1);
        }
        longest = longest.max(after);
    }
    bench.confirm(&unhang, &kept).await;
    let told: Vec<String> = ends
        .iter()
        .map(|((in_time, end), count)| {
            format!("{} {}: {end}", count, if *in_time { "that take 8 s" } else { "that take minutes" })
        })
        .collect();
    println!(
        "  the slow ones: {}; the last of them was done with after {} s",
        told.join(", "),
        short(longest)
    );
    let as_hoped = ends.keys().all(|(in_time, end)| end == if *in_time { "202" } else { "408" });
    let what = format!("{SLOW} slow senders: those in time are accepted, the others get 408");
    bench.board.must(&what, as_hoped, &told.join(", "));
    tell(bench, &format!("{SLOW} slow senders"), &alone, &beside);
}

async fn never_reading(bench: &mut Bench) {
    println!("\n{DEAF} senders that never read beside {CONNECTIONS} normal ones; cut off after {CUT_OFF}");
    let fleet = Fleet::start(KNOWN);
    let setup = Setup { write_timeout: CUT_OFF, ..Setup::default() };
    let unhang = bench.taught(&fleet, &setup).await;
    let alone = alone(bench, &unhang).await;
    let mut all = JoinSet::new();
    for request in bench.repeats(&unhang, DEAF, 1) {
        all.spawn_local(deaf(unhang.process().addr, request, DEAF_FOR));
    }
    let beside = beside(bench, &unhang).await;
    let all: Vec<Deaf> = all.join_all().await;
    let cut: Vec<f64> = all.iter().map(|one| one.cut_off).filter(|after| !after.is_nan()).collect();
    let sent: u64 = all.iter().map(|one| one.sent).sum();
    let mut unread = Tally::default();
    for one in all {
        unread.add(one.tally);
    }
    println!(
        "  the deaf ones: {} requests sent, {} cut off after {} s; {} acceptances lay unread",
        short(sent as f64),
        cut.len(),
        Spread::of(&cut),
        unread.accepted
    );
    bench.confirm(&unhang, &unread).await;
    let what = format!("{DEAF} senders that never read are cut off");
    let figure = format!("{} of {DEAF} after {} s", cut.len(), Spread::of(&cut));
    bench.board.must(&what, cut.len() == DEAF as usize, &figure);
    tell(bench, &format!("{DEAF} senders that never read"), &alone, &beside);
}

async fn ten_megabytes(bench: &mut Bench) {
    println!("\none request of {} MB", HUGE / 1_000_000);
    let fleet = Fleet::start(KNOWN);
    let unhang = bench.taught(&fleet, &Setup::default()).await;
    let many = alerts_in(bench, &unhang, HUGE);
    for (how, alerts, in_chunks) in [
        ("of 10 MB", many, false),
        ("of 10 MB in chunks", many, true),
        ("of as many alerts as may be", ALERTS_MAX, false),
    ] {
        let (end, figure) = one_group(bench, &unhang, alerts, in_chunks).await;
        let wanted = if alerts == many { end == End::Status(413) } else { matches!(end, End::Accepted(_)) };
        let what = format!("a group {how}: {}", if alerts == many { "413" } else { "202" });
        bench.board.must(&what, wanted, &figure);
    }
    at_once(bench, &unhang).await;
    // Who raises the limits gets what the writer can do in its time; nothing is promised of it.
    let setup = Setup { body_bytes_max: 16_000_000, alerts_max: 100_000, ..Setup::default() };
    let unhang = bench.taught(&fleet, &setup).await;
    let (_, figure) = one_group(bench, &unhang, many, false).await;
    bench.board.note("a group of 10 MB where the limits are raised", &figure);
}

/// Sends one group; gives what came of it, also in words.
async fn one_group(bench: &mut Bench, unhang: &Contestant, alerts: usize, in_chunks: bool) -> (End, String) {
    let mut request = bench.repeats(unhang, 1, alerts).remove(0);
    request.next();
    let bytes = if in_chunks { chunked(&request) } else { request.bytes().to_vec() };
    let pid = unhang.process().pid();
    let before = memory_of(pid);
    forget_peak_of(pid);
    let (end, seconds) = huge(unhang.process().addr, &bytes).await;
    bench.digested(unhang).await;
    let figure = format!(
        "{alerts} alerts: {} after {} ms, {} MiB before, {} at most",
        end.word(),
        short(seconds * 1000.0),
        short(before),
        short(peak_of(pid))
    );
    println!(
        "  {} MB{}, {figure}",
        short(bytes.len() as f64 / 1e6),
        if in_chunks { " in chunks" } else { "" }
    );
    if let End::Accepted(id) = end {
        let mut kept = Tally::default();
        kept.accept(id, alerts as u64);
        bench.confirm(unhang, &kept).await;
    }
    (end, figure)
}

/// Many that are too large, again and again, beside normal ones.
async fn at_once(bench: &mut Bench, unhang: &Contestant) {
    let alone = alone(bench, unhang).await;
    let alerts = alerts_in(bench, unhang, HUGE);
    let mut all = JoinSet::new();
    let mut request = bench.repeats(unhang, 1, alerts).remove(0);
    request.next();
    for _ in 0..HUGE_AT_ONCE {
        let (addr, request) = (unhang.process().addr, request.clone());
        all.spawn_local(async move {
            let bytes = chunked(&request);
            loop {
                huge(addr, &bytes).await;
                tokio::time::sleep(REST).await;
            }
        });
    }
    let beside = bench.round(unhang, 1).await;
    all.shutdown().await;
    tell(bench, &format!("{HUGE_AT_ONCE} senders of 10 MB, twice a second"), &alone, &beside);
}

/// How many alerts make a body of so many bytes.
fn alerts_in(bench: &Bench, unhang: &Contestant, bytes: usize) -> usize {
    let size = |alerts: usize| {
        bench.repeats(unhang, 1, alerts).first().map_or(0, |request: &Request| request.bytes().len())
    };
    bytes.div_ceil(size(2) - size(1))
}

async fn alone(bench: &mut Bench, unhang: &Contestant) -> Round {
    let mut round = bench.round(unhang, 1).await;
    round.tell("alone");
    bench.confirm(unhang, &round.tally).await;
    round
}

async fn beside(bench: &mut Bench, unhang: &Contestant) -> Round {
    let requests = bench.repeats(unhang, CONNECTIONS, 1);
    let mut round = bench.watched(unhang, closed(unhang.process().addr, requests, BESIDE)).await;
    round.tell("beside them");
    bench.confirm(unhang, &round.tally).await;
    round
}

fn tell(bench: &mut Bench, what: &str, alone: &Round, beside: &Round) {
    let ratio = short(beside.tally.rate() / alone.tally.rate());
    let figure = format!("{ratio} ×, {} MiB at most ({} alone)", short(beside.peak), short(alone.peak));
    bench.board.note(&format!("repeats beside {what}: alerts/s against alone"), &figure);
    let lost = beside.tally.not_accepted();
    let note = format!("{} accepted, {lost} not", short(beside.tally.accepted as f64));
    bench.board.must(&format!("beside {what}: every normal request is accepted"), lost == 0, &note);
}
