//! Slow: a disk whose fsync takes 2 ms more, as in a cloud, beside one transaction for each request on the same disk.
//!
//! Never: slows one of the two only.

use crate::bench::{Bench, KNOWN, leave_out_busy, ratios, tell_all};
use crate::board::{Goal, Spread};
use crate::contestant::Contestant;
use crate::fleet::Fleet;
use crate::unhang::Setup;

pub(super) async fn run(bench: &mut Bench) {
    let Some(library) = bench.options.slow_disk.clone() else {
        println!("\nno library for a slow disk was given");
        return;
    };
    println!("\nevery fsync takes 2 ms more: repeats, 1 in a request");
    let fleet = Fleet::start(KNOWN);
    let setup = Setup { slow_disk: Some(library.clone()), ..Setup::default() };
    let unhang = bench.taught(&fleet, &setup).await;
    let naive = Contestant::naive(bench.folder().join("naive.db"), Some(&library));
    bench.teach(&naive).await;
    let (mut ours, mut theirs, mut p99) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.rounds() {
        for (contestant, mine) in [(&unhang, &mut ours), (&naive, &mut theirs)] {
            let mut round = bench.round(contestant, 1).await;
            round.tell(contestant.name());
            bench.confirm(contestant, &round.tally).await;
            mine.push(round);
        }
        let half = ours.last().map_or(0.0, |round| round.tally.rate() / 2.0);
        println!("  at half of it:");
        p99.push(bench.paced_round(&unhang, half, bench.time()).await.tally.percentile(99.0));
    }
    let mut both = [ours, theirs];
    leave_out_busy(&mut both);
    println!("  in all rounds, median (min–max):");
    let [ours, theirs] = &mut both;
    tell_all("unhang", ours);
    tell_all("one transaction each", theirs);
    let what = "2 ms fsync: alerts/s against one transaction for each request";
    bench.board.judge(what, Goal::AtLeast(20.0), " ×", ratios(ours, theirs));
    let what = "2 ms fsync: p99 of acceptance at half of the top rate";
    bench.board.judge(what, Goal::Below(12.0), " ms", Spread::of(&p99));
}
