//! Fresh: every alert is the first of its server; each round on a store and in a process of its own.
//!
//! Never: counts an alert twice; a round ends when the servers do.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::bench::{Bench, CONNECTIONS, Round, tell_all};
use crate::board::{Goal, Spread};
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
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds().min(3) {
        let binary = bench.options.binary.clone();
        let unhang = bench.unhang("unhang", &binary, &fleet, &Setup::default()).await;
        ours.push(round(bench, &unhang).await);
        if !bench.options.no_peers {
            let peer = Contestant::alertmanager(&bench.folder(), &bench.options.peers);
            theirs.push(round(bench, &peer).await);
        }
    }
    println!("  in all rounds, median (min–max):");
    tell_all("unhang", &mut ours);
    let ratios: Vec<f64> =
        ours.iter().zip(&theirs).map(|(own, other)| own.tally.rate() / other.tally.rate()).collect();
    if !theirs.is_empty() {
        tell_all("alertmanager", &mut theirs);
    }
    println!("  {:<22} decided {:?}", "", ours[0].tally.decisions.keys().collect::<Vec<_>>());
    let what = "new alerts on new servers, 1 in a request: alerts/s against alertmanager";
    bench.board.judge(what, Goal::AtLeast(0.7), " ×", Spread::of(&ratios));
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
