//! Crowd: what 1,000 idle connections and 20 open dashboards cost the ones that are busy.
//!
//! Never: lets a dashboard rest: each has its stream open and reads its pages again and again.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::bench::{Bench, KNOWN, Round, leave_out_busy, ratios, tell_all};
use crate::fleet::Fleet;
use crate::unhang::{Setup, get_request};
use crate::wire::Wire;

const IDLE: usize = 1000;
const DASHBOARDS: usize = 20;
/// Rest of a dashboard between two readings.
const REST: Duration = Duration::from_secs(1);
/// What a dashboard shows, as the API has it.
const READ: [&str; 3] = ["/api/v1/incidents", "/api/v1/deliveries", "/api/v1/audit"];

pub(super) async fn run(bench: &mut Bench) {
    println!("\nrepeats beside {IDLE} idle connections, and beside {DASHBOARDS} dashboards");
    let fleet = Fleet::start(KNOWN);
    let unhang = bench.taught(&fleet, &Setup::default()).await;
    let addr = unhang.process().addr;
    let names = ["alone", "idle connections", "dashboards"];
    let mut rounds: Vec<Vec<Round>> = names.iter().map(|_| Vec::new()).collect();
    for _ in 0..bench.rounds() {
        for (name, mine) in names.iter().zip(&mut rounds) {
            let mut beside = JoinSet::new();
            if *name == "idle connections" {
                let mut idle = Vec::new();
                for _ in 0..IDLE {
                    idle.push(Wire::connect(addr).await.unwrap());
                }
                beside.spawn_local(async move {
                    std::future::pending::<()>().await;
                    drop(idle);
                });
            } else if *name == "dashboards" {
                for _ in 0..DASHBOARDS {
                    beside.spawn_local(dashboard(addr));
                }
            }
            let mut round = bench.round(&unhang, 1).await;
            beside.shutdown().await;
            round.tell(name);
            bench.confirm(&unhang, &round.tally).await;
            mine.push(round);
        }
    }
    leave_out_busy(&mut rounds);
    println!("  in all rounds, median (min–max):");
    for (name, mine) in names.iter().zip(&mut rounds) {
        tell_all(name, mine);
    }
    for (mine, beside) in [(1, format!("{IDLE} idle connections")), (2, format!("{DASHBOARDS} dashboards"))] {
        let ratio = ratios(&rounds[mine], &rounds[0]);
        bench.board.note(&format!("repeats beside {beside}: alerts/s against alone"), &format!("{ratio} ×"));
    }
    let lost: u64 = rounds.iter().flatten().map(|round| round.tally.not_accepted()).sum();
    let what = "beside idle connections and dashboards: every request is accepted";
    bench.board.must(what, lost == 0, &format!("{lost} were not"));
}

async fn dashboard(addr: SocketAddr) {
    let _stream = async {
        let mut stream = Wire::connect(addr).await?;
        stream.send(get_request("/api/v1/stream?brief=true").as_bytes()).await?;
        std::io::Result::Ok(stream)
    }
    .await;
    let Ok(mut wire) = Wire::connect(addr).await else { return };
    loop {
        for path in READ {
            if wire.ask(get_request(path).as_bytes()).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(REST).await;
    }
}
