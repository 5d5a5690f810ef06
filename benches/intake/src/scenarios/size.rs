//! Size: what a repeated alert takes of the store, all indexes in.
//!
//! Never: looks while the service runs: what is not yet in the main file would be missed or counted twice.

use std::time::Duration;

use crate::bench::{Bench, CONNECTIONS, KNOWN};
use crate::board::{Goal, Spread, short};
use crate::contestant::Contestant;
use crate::fleet::Fleet;
use crate::load::closed;
use crate::unhang::Setup;

pub(super) async fn run(bench: &mut Bench) {
    println!("\nbytes of the store for each repeated alert");
    let fleet = Fleet::start(KNOWN);
    for (alerts, goal) in [(1, true), (100, false)] {
        let contestant = bench.taught(&fleet, &Setup::default()).await;
        let Contestant::Unhang(name, unhang) = contestant else { return };
        let unhang = unhang.restart().await;
        let before = unhang.store_bytes();
        let contestant = Contestant::Unhang(name, unhang);
        let requests = bench.repeats(&contestant, if alerts == 1 { CONNECTIONS } else { 2 }, alerts);
        let tally = closed(contestant.process().addr, requests, Duration::from_secs(6)).await;
        let Contestant::Unhang(_, unhang) = contestant else { return };
        let unhang = unhang.restart().await;
        let each = (unhang.store_bytes() - before) as f64 / tally.alerts as f64;
        println!("  {} bytes, {alerts} in a request ({} alerts)", short(each), tally.alerts);
        if goal {
            let what = "store, for each repeated alert, 1 in a request";
            bench.board.judge(what, Goal::Below(350.0), " bytes", Spread::of(&[each]));
        }
        drop(unhang.stop());
    }
}
