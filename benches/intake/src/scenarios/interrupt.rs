//! Interrupt: from the webhook to the request at the cloud, on a quiet service and beside repeats; and what a whole
//! remediation takes of the store.
//!
//! Never: counts an interrupt that the cloud did not see.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::bench::{Bench, CONNECTIONS, KNOWN};
use crate::board::{Goal, Spread, short};
use crate::contestant::Contestant;
use crate::fleet::Fleet;
use crate::load::{PATIENT, paced};
use crate::machine::wall;
use crate::payload::FIRST_SERVER;
use crate::unhang::{Setup, Unhang, authorization};
use crate::wire::Wire;

/// Interrupts of each part.
const EACH: u32 = 100;
/// Repeats a second beside them.
const BESIDE: f64 = 10_000.0;
/// Longest wait for all proofs.
const PROOF_WITHIN: Duration = Duration::from_secs(90);

pub(super) async fn run(bench: &mut Bench) {
    println!("\nwebhook to interrupt request, settle 0, {EACH} servers one after the other");
    // The first ones have incidents that repeat; the others are interrupted.
    let fleet = Fleet::start(KNOWN + 2 * EACH);
    let contestant = bench.taught(&fleet, &Setup::default()).await;
    let Contestant::Unhang(name, unhang) = contestant else { return };
    let unhang = unhang.restart().await;
    let before = unhang.store_bytes();
    let mut quiet = some(&unhang, &fleet, KNOWN, EACH).await;
    judge(bench, "", &mut quiet);
    all_proven(&unhang).await;
    let unhang = unhang.restart().await;
    let each = (unhang.store_bytes() - before) as f64 / f64::from(EACH);
    println!("  {} bytes of the store for each remediation, from alert to proof", short(each));
    let what = "store, for each remediation from alert to proof";
    bench.board.judge(what, Goal::Below(4096.0), " bytes", Spread::of(&[each]));

    let contestant = Contestant::Unhang(name, unhang);
    let rate = (bench.top_rate(&contestant).await * 0.6).min(BESIDE);
    println!("  beside {} repeats a second:", short(rate));
    let requests = bench.repeats(&contestant, CONNECTIONS, 1);
    let Contestant::Unhang(_, unhang) = &contestant else { return };
    let load = paced(unhang.process.addr, requests, rate, Duration::from_secs(12), PATIENT);
    let beside = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        some(unhang, &fleet, KNOWN + EACH, EACH).await
    };
    let (tally, mut busy) = tokio::join!(load, beside);
    println!("  {} repeats accepted meanwhile, {} not", tally.accepted, tally.not_accepted());
    let note = format!(", beside {} repeats/s", short(rate));
    judge(bench, &note, &mut busy);
    bench.confirm(&contestant, &tally).await;
}

fn judge(bench: &mut Bench, note: &str, took: &mut [f64]) {
    took.sort_by(f64::total_cmp);
    let p99 = took[(took.len() * 99).div_ceil(100) - 1];
    println!("  ms {}, p99 {}", Spread::of(took), short(p99));
    let what = |which: &str| format!("webhook to interrupt request{note}: {which}");
    bench.board.judge(&what("median"), Goal::Below(5.0), " ms", Spread::of(took));
    bench.board.judge(&what("p99"), Goal::Below(15.0), " ms", Spread::of(&[p99]));
}

/// Interrupts some servers one after the other; gives the milliseconds of each.
pub(super) async fn some(unhang: &Unhang, fleet: &Fleet, first: u32, count: u32) -> Vec<f64> {
    let mut wire = Wire::connect(unhang.process.addr).await.unwrap();
    let mut took = Vec::new();
    for n in first..first + count {
        let server = (FIRST_SERVER + n).to_string();
        let request = request(&server);
        let sent = wall().as_microsecond();
        assert_eq!(wire.ask(request.as_bytes()).await.unwrap().status, 202);
        let begun = Instant::now();
        let at = loop {
            let ledger = fleet.cloud.ledger();
            let mine = |entry: &&simulator::LedgerEntry| entry.server_instance_no.as_deref() == Some(&server);
            if let Some(entry) = ledger.iter().rev().find(mine) {
                break entry.at;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "no interrupt for {server}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        // The ledger's clock has whole milliseconds: the one that was begun is counted.
        took.push((at * 1000 + 1000 - sent) as f64 / 1000.0);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    took
}

fn request(server: &str) -> String {
    let body = json!({
        "version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing", "receiver": "bench",
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://bench.example",
        "alerts": [{
            "status": "firing", "labels": { "alertname": "WindowsVmHungNow", "server_instance_no": server },
            "annotations": {}, "startsAt": wall().to_string(), "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "", "fingerprint": format!("{server:0>16}"),
        }],
    })
    .to_string();
    format!(
        "POST /webhooks/alertmanager HTTP/1.1\r\nhost: 127.0.0.1\r\n{}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        authorization(),
        body.len()
    )
}

async fn all_proven(unhang: &Unhang) {
    let begun = Instant::now();
    loop {
        let page = unhang.api("/api/v1/remediations?state=confirmed&limit=1000").await;
        let proven = page["items"].as_array().map_or(0, Vec::len);
        if proven >= EACH as usize {
            return;
        }
        if begun.elapsed() > PROOF_WITHIN {
            println!("  only {proven} of {EACH} were proven within {} s", PROOF_WITHIN.as_secs());
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
