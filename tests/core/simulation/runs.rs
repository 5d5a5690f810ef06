//! Many histories: the laws hold in all of them, the checker sees each planted misbehaviour, and a seed is a history.
//!
//! Never: a failure without its seed, the laws it broke, and the last steps before it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::bugs::Bug;
use super::steps::{Ended, play};
use super::tally::Tally;
use crate::sizes::{seed, size, threads};

/// Plays histories side by side. The first that breaks a law is returned with its seed.
fn play_all(first: u64, count: u64, bug: Option<Bug>, settling: bool) -> (Tally, Option<(u64, Ended)>) {
    let stop = AtomicBool::new(false);
    let parts = u64::try_from(threads()).unwrap();
    let stop = &stop;
    let run = move |part: u64| {
        let mut tally = Tally::default();
        for seed in (first..first + count).filter(|seed| seed % parts == part) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let ended = play(seed, bug, settling, false);
            tally.merge(&ended.tally);
            if !ended.broken.is_empty() {
                stop.store(true, Ordering::Relaxed);
                return (tally, Some((seed, ended)));
            }
        }
        (tally, None)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..parts).map(|part| scope.spawn(move || run(part))).collect();
        let mut all = (Tally::default(), None);
        for worker in workers {
            let (tally, found) = worker.join().unwrap();
            all.0.merge(&tally);
            all.1 = all.1.or(found);
        }
        all
    })
}

fn report(seed: u64, settling: bool, bug: Option<Bug>) -> String {
    let again = play(seed, bug, settling, true);
    let from = again.told.len().saturating_sub(size("UNHANG_LINES", 30));
    let laws: Vec<String> = again.broken.iter().map(|(law, why)| format!("law {law}: {why}")).collect();
    format!("seed {seed} breaks\n  {}\nlast steps:\n  {}", laws.join("\n  "), again.told[from..].join("\n  "))
}

fn must_hold(name: &str, count: u64, settling: bool) -> Tally {
    let begun = Instant::now();
    let (tally, found) = play_all(seed(), count, None, settling);
    if let Some((seed, _)) = found {
        panic!("{name}, {count} histories from seed {}:\n{}", self::seed(), report(seed, settling, None));
    }
    eprintln!("{name}: {count} histories from seed {} in {:.1} s", seed(), begun.elapsed().as_secs_f64());
    tally
}

#[test]
fn the_laws_hold_in_every_history() {
    let count = size("UNHANG_HISTORIES", 20_000);
    let tally = must_hold("simulation", count, false);
    let missing = if count < 20_000 { Vec::new() } else { tally.missing() };
    assert!(missing.is_empty(), "no history reached {missing:?}; reached: {tally:#?}");
}

#[test]
fn everything_comes_to_an_end_once_faults_stop() {
    must_hold("liveness", size("UNHANG_HISTORIES", 20_000) / 10, true);
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in seed()..seed() + 200 {
        let (one, two) = (play(seed, None, true, false), play(seed, None, true, true));
        assert_eq!(one.hash, two.hash, "seed {seed}");
        assert_ne!(one.hash, play(seed + 1, None, true, false).hash, "seed {seed}");
    }
}

#[test]
fn the_checker_sees_each_planted_misbehaviour() {
    let most = size("UNHANG_BUG_HISTORIES", 12_000);
    let unsafe_ones = Bug::UNSAFE.into_iter().map(|(bug, laws)| (bug, laws, false));
    let stuck_ones = Bug::STUCK.into_iter().map(|(bug, laws)| (bug, laws, true));
    let mut unseen = Vec::new();
    for (bug, laws, settling) in unsafe_ones.chain(stuck_ones) {
        let (_, found) = play_all(seed(), most, Some(bug), settling);
        match found {
            None => unseen.push(format!("{bug:?}: not seen in {most} histories")),
            Some((seed, ended)) if !ended.broken.iter().any(|(law, _)| laws.contains(law)) => {
                unseen.push(format!("{bug:?}: seed {seed} broke other laws: {:?}", ended.broken));
            }
            Some((seed, ended)) => eprintln!("{bug:?}: seed {seed} breaks {:?}", ended.broken[0]),
        }
    }
    assert!(unseen.is_empty(), "{}", unseen.join("\n"));
}
