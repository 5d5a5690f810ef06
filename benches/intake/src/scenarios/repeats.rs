//! Repeats: alerts of incidents that are known, the daily bread; 1, 20 and 100 in a request, beside others, in turns.
//!
//! Never: lets contestants run at the same time.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::bench::{Bench, KNOWN, Round, leave_out_busy, ratios, tell_all};
use crate::board::{Goal, Spread};
use crate::contestant::Contestant;
use crate::fleet::Fleet;
use crate::load::closed;
use crate::plot::bars;
use crate::unhang::{Setup, Unhang};

pub(super) async fn run(bench: &mut Bench) {
    let fleet = Fleet::start(KNOWN);
    let mut all = Vec::new();
    for (name, binary) in bench.binaries() {
        all.push(bench.unhang(&name, &binary, &fleet, &Setup::default()).await);
    }
    if !bench.options.no_peers {
        all.push(Contestant::alertmanager(&bench.folder(), &bench.options.peers));
        all.push(Contestant::webhook(&bench.options.peers));
    }
    for contestant in &all {
        bench.teach(contestant).await;
    }
    let sizes: &[usize] = if bench.options.quick { &[1, 100] } else { &[1, 20, 100] };
    let mut medians: Vec<(String, Vec<f64>)> =
        all.iter().map(|one| (one.name().to_owned(), Vec::new())).collect();
    for alerts in sizes {
        println!("\nrepeats of known incidents, {alerts} in a request");
        let rounds = interleaved(bench, &all, *alerts).await;
        for ((_, mine), rounds) in medians.iter_mut().zip(&rounds) {
            mine.push(Spread::of(&rounds.iter().map(|round| round.tally.rate()).collect::<Vec<_>>()).median);
        }
        judge(bench, &all, rounds, *alerts);
    }
    let groups: Vec<String> = sizes.iter().map(|alerts| format!("{alerts} in a request")).collect();
    let title = "Repeats of known incidents that were accepted";
    bars(&bench.options.plots.join("throughput.svg"), title, "alerts a second", &groups, &medians);
    for contestant in all {
        if let Contestant::Unhang(name, unhang) = contestant {
            crash(bench, name, unhang).await;
        }
    }
}

async fn interleaved(bench: &mut Bench, all: &[Contestant], alerts: usize) -> Vec<Vec<Round>> {
    let mut rounds: Vec<Vec<Round>> = all.iter().map(|_| Vec::new()).collect();
    for _ in 0..bench.rounds() {
        for (contestant, mine) in all.iter().zip(&mut rounds) {
            let mut round = bench.round(contestant, alerts).await;
            round.tell(contestant.name());
            bench.digested(contestant).await;
            bench.confirm(contestant, &round.tally).await;
            mine.push(round);
        }
    }
    rounds
}

fn judge(bench: &mut Bench, all: &[Contestant], mut rounds: Vec<Vec<Round>>, alerts: usize) {
    leave_out_busy(&mut rounds);
    println!("  in all rounds, median (min–max):");
    for (contestant, mine) in all.iter().zip(&mut rounds) {
        tell_all(contestant.name(), mine);
        let seen: BTreeSet<&String> = mine.iter().flat_map(|round| round.tally.decisions.keys()).collect();
        if !seen.is_empty() {
            println!("  {:<22} decided {seen:?}", "");
        }
    }
    for (contestant, other) in all.iter().zip(&rounds).skip(1) {
        let ratio = ratios(&rounds[0], other);
        let goal = match (contestant, alerts) {
            (Contestant::Alertmanager(_), 1) => Some(1.2),
            (Contestant::Alertmanager(_), 100) => Some(1.5),
            (Contestant::Webhook(_), 1) => Some(8.0),
            _ => None,
        };
        let what = format!("repeats, {alerts} in a request: alerts/s against {}", contestant.name());
        match goal {
            Some(least) => bench.board.judge(&what, Goal::AtLeast(least), " ×", ratio),
            None => println!("  {what}: {ratio} ×"),
        }
    }
    if let Some(Contestant::Unhang(..)) = all.first() {
        let peaks: Vec<f64> = rounds[0].iter().map(|round| round.peak).collect();
        let what = format!("memory at the top rate, {alerts} in a request");
        bench.board.judge(&what, Goal::Below(64.0), " MiB", Spread::of(&peaks));
    }
}

/// Killed in the middle of a load: what was accepted before is there afterwards.
async fn crash(bench: &mut Bench, name: String, unhang: Unhang) {
    let contestant = Contestant::Unhang(name, unhang);
    let requests = bench.repeats(&contestant, 16, 1);
    let (addr, pid) = (contestant.process().addr, contestant.process().pid());
    let load = closed(addr, requests, Duration::from_millis(2500));
    let killer = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let killed = std::process::Command::new("kill").arg("-9").arg(pid.to_string()).status();
        assert!(killed.unwrap().success());
    };
    let (tally, ()) = tokio::join!(load, killer);
    let Contestant::Unhang(name, unhang) = contestant else { return };
    let unhang = unhang.crash_and_restart().await;
    let (missing, alerts) = unhang.missing(&tally.ids).await;
    let what = format!("{name}: killed under load, what was accepted is in the store");
    if tally.accepted == 0 {
        bench.board.unmeasured(&what, "nothing was accepted before the kill");
        return;
    }
    let figure = format!("{} accepted, {missing} not there", tally.accepted);
    bench.board.truth(&what, missing == 0 && alerts == tally.alerts, &figure);
}
