//! Pages: a large store: time from start to ready, and pages of the audit over HTTP, the first and a deep one.
//!
//! Never: times one page only: a deep one must cost what the first does.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::bench::{Bench, KNOWN};
use crate::board::{Goal, Spread, short};
use crate::contestant::Contestant;
use crate::copies::{a_request_id, audit_rows};
use crate::fleet::Fleet;
use crate::load::{PATIENT, paced};
use crate::payload::FIRST_SERVER;
use crate::unhang::{Setup, Unhang, get_request};
use crate::wire::Wire;

/// Starts that are timed.
const STARTS: usize = 10;
/// Times that each page is asked for in a series.
const ASKED: usize = 400;
/// Series, each with its p99: one that the machine disturbed does not judge all.
const SERIES: usize = 5;
/// How many pages before the deep one.
const DEEP: u64 = 10_000;

pub(super) async fn run(bench: &mut Bench) {
    let rows: u64 = if bench.options.long { 10_000_000 } else { 1_000_000 };
    println!("\na store with {} audit rows", short(rows as f64));
    let fleet = Fleet::start(KNOWN + 20);
    let contestant = bench.taught(&fleet, &Setup::default()).await;
    // Few, so that rows of every kind are copied often.
    paced(
        contestant.process().addr,
        bench.repeats(&contestant, 8, 1),
        200.0,
        Duration::from_secs(3),
        PATIENT,
    )
    .await;
    let Contestant::Unhang(_, unhang) = contestant else { return };
    super::interrupt::some(&unhang, &fleet, KNOWN, 20).await;
    let dir = unhang.stop();
    let begun = Instant::now();
    let store = dir.join("unhang.db");
    let request_id = match audit_rows(&store, rows).await {
        Ok(_) => a_request_id(&store).await.unwrap(),
        Err(error) => {
            println!("  rows cannot be copied: {error}");
            bench.board.unmeasured(&format!("a store with {} audit rows", short(rows as f64)), &error);
            std::fs::remove_dir_all(dir).unwrap();
            return;
        }
    };
    let size = std::fs::metadata(dir.join("unhang.db")).map_or(0, |file| file.len());
    println!("  filled in {:.0} s, {} MiB", begun.elapsed().as_secs_f64(), short(size as f64 / 1_048_576.0));

    let binary = bench.options.binary.clone();
    let mut ready = Vec::new();
    for _ in 0..STARTS {
        let unhang = Unhang::again(&binary, &dir, &Setup::default()).await;
        ready.push(unhang.ready.as_secs_f64() * 1000.0);
        drop(unhang.stop());
    }
    let what = format!("start to ready with {} audit rows", short(rows as f64));
    bench.board.judge(&what, Goal::Below(150.0), " ms", Spread::of(&ready));

    let unhang = Unhang::again(&binary, &dir, &Setup::default()).await;
    let server = FIRST_SERVER + 7;
    let newest = unhang.api("/api/v1/audit?limit=1").await["items"][0]["at"].as_str().unwrap().to_owned();
    let pages = [
        ("by server", format!("serverInstanceNo={server}")),
        ("by requestId", format!("requestId={request_id}")),
        ("by time and outcome", format!("until={newest}&outcome=accepted")),
        ("of all", String::new()),
    ];
    for (name, filter) in pages {
        let first = format!("/api/v1/audit?{filter}");
        let deep = deep_page(&unhang, &first, rows).await;
        for (which, path) in [("first page", Some(first)), ("deep page", deep)] {
            let Some(path) = path else { continue };
            let (mut halves, mut tails, mut rows_of_page) = (Vec::new(), Vec::new(), 0);
            for _ in 0..SERIES {
                let (p50, p99, items) = timed(unhang.process.addr, &path).await;
                halves.push(p50);
                tails.push(p99);
                rows_of_page = items;
            }
            let (p50, p99) = (Spread::of(&halves), Spread::of(&tails));
            println!("  {name}, {which}: p50 {p50} ms, p99 {p99} ms, {rows_of_page} rows");
            let what = format!("audit page {name}, {which}: p99");
            bench.board.judge(&what, Goal::Below(2.0), " ms", p99);
        }
    }
    // Gigabytes that nobody needs any more.
    std::fs::remove_dir_all(unhang.stop()).unwrap();
}

/// The page far behind the first one of the same filter; none where there are no more.
async fn deep_page(unhang: &Unhang, first: &str, rows: u64) -> Option<String> {
    let page = unhang.api(first).await;
    let cursor: u64 = page["nextCursor"].as_str()?.parse().ok()?;
    // A cursor is a row number; the rows of a filter lie evenly among all.
    let place = cursor.saturating_sub((DEEP * 50).min(rows - rows / 8));
    Some(format!("{first}&cursor={place}"))
}

async fn timed(addr: SocketAddr, path: &str) -> (f64, f64, usize) {
    let mut wire = Wire::connect(addr).await.unwrap();
    let request = get_request(path);
    let (mut took, mut items) = (Vec::new(), 0);
    for _ in 0..ASKED {
        let from = Instant::now();
        let answer = wire.ask(request.as_bytes()).await.unwrap();
        took.push(from.elapsed().as_secs_f64() * 1000.0);
        assert_eq!(answer.status, 200, "{path}");
        if items == 0 {
            let page: serde_json::Value = serde_json::from_slice(answer.body).unwrap();
            items = page["items"].as_array().unwrap().len();
        }
    }
    took.sort_by(f64::total_cmp);
    (took[ASKED / 2], took[ASKED * 99 / 100], items)
}
