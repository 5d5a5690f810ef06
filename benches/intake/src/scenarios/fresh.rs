//! Fresh: every alert is the first of its server; each round on a store and in a process of its own.
//!
//! Never: counts an alert twice; a round ends when the servers do.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::bench::{Bench, CONNECTIONS, Round, leave_out_busy, ratios, tell_all};
use crate::board::Goal;
use crate::contestant::Contestant;
use crate::fleet::Fleet;
use crate::load::closed;
use crate::payload::Subjects;
use crate::unhang::Setup;

/// As many as the service reads of one region.
const SERVERS: u32 = 20_000;

pub(super) async fn run(bench: &mut Bench) {
    println!("\nnew alerts on new servers, 1 in a request, at most {SERVERS} in a round");
    let fleet = Fleet::start(SERVERS);
    let binaries = bench.binaries();
    let mut names: Vec<String> = binaries.iter().map(|(name, _)| name.clone()).collect();
    if !bench.options.no_peers {
        names.push("alertmanager".into());
    }
    let mut rounds: Vec<Vec<Round>> = names.iter().map(|_| Vec::new()).collect();
    for _ in 0..bench.rounds().min(3) {
        for (n, mine) in rounds.iter_mut().enumerate() {
            let contestant = match binaries.get(n) {
                Some((name, binary)) => bench.unhang(name, binary, &fleet, &Setup::default()).await,
                None => Contestant::alertmanager(&bench.folder(), &bench.options.peers),
            };
            mine.push(round(bench, &contestant).await);
        }
    }
    leave_out_busy(&mut rounds);
    println!("  in all rounds, median (min–max):");
    for (name, mine) in names.iter().zip(&mut rounds) {
        tell_all(name, mine);
    }
    println!("  {:<22} decided {:?}", "", rounds[0][0].tally.decisions.keys().collect::<Vec<_>>());
    for (name, other) in names.iter().zip(&rounds).skip(1) {
        let what = format!("new alerts on new servers, 1 in a request: alerts/s against {name}");
        let ratio = ratios(&rounds[0], other);
        if name == "alertmanager" {
            bench.board.judge(&what, Goal::AtLeast(0.7), " ×", ratio);
        } else {
            println!("  {what}: {ratio} ×");
        }
    }
}

async fn round(bench: &mut Bench, contestant: &Contestant) -> Round {
    let next = Rc::new(Cell::new(0));
    let new = |_| Subjects::New { next: Rc::clone(&next), end: SERVERS };
    let requests = contestant.requests(CONNECTIONS, 1, &bench.stamp, new);
    let load = closed(contestant.process().addr, requests, bench.time() + Duration::from_secs(1));
    let mut round = bench.watched(contestant, load).await;
    round.tell(contestant.name());
    bench.confirm(contestant, &round.tally).await;
    round
}
