//! Two processes on one data folder, one of them killed anywhere: at most one works, the other says why it does not.
//! `UNHANG_PAIRS` is the number of rounds.

use std::time::{Duration, Instant};

use crate::shim::Order;
use crate::story::{Dice, Sender, Stage, seed, setting};
use crate::support::{PATIENCE, Service, alert, delivery, now_text};

const FLEET: u32 = 400;
/// How long a pair is given to ask the cloud for something.
const ASKED_WITHIN: Duration = Duration::from_secs(3);

#[test]
fn of_two_processes_on_one_store_at_most_one_works() {
    let pairs = setting("UNHANG_PAIRS").unwrap_or(30);
    let seed = seed("two processes", &format!("UNHANG_PAIRS={pairs}"));
    let mut dice = Dice::new(seed);
    let (mut left, mut refused, mut effects) = (pairs, 0, 0);
    while left > 0 {
        let round = left.min(50);
        left -= round;
        let stage = Stage::new(FLEET, |settings| settings);
        let mut sender = Sender::default();
        for _ in 0..round {
            refused += one_pair(&stage, &mut dice, &mut sender, seed);
        }
        let service = stage.site.start();
        assert_eq!(service.stop().0, 0, "a graceful stop\n{}", stage.log_tail());
        stage.hold_to_the_laws(&service, &sender, seed, "two processes");
        effects += stage.cloud.effects().len();
        println!("{left} pairs to go; {refused} refused, {effects} effects");
    }
    println!("counts: {pairs} pairs, {refused} refused, {effects} effects");
    assert!(
        refused > 0 && effects > 0,
        "the run must reach what it tests: {refused} refused, {effects} effects"
    );
}

/// Both start at once. One carries an order that kills it somewhere, the other is plain. Returns how many were refused.
fn one_pair(stage: &Stage, dice: &mut Dice, sender: &mut Sender, seed: u64) -> usize {
    let event = ["any-db", "wal-sync", "cloud-send", "client-send"][dice.index(4)];
    stage.shim.order(Order::before(event).nth(1 + dice.below(60)));
    let (marked, plain) = std::thread::scope(|scope| {
        let marked = scope.spawn(|| stage.shim.start(&stage.site));
        let plain = stage.site.try_start();
        (marked.join().unwrap(), plain)
    });
    let mut running: Vec<Service> = Vec::new();
    let mut refused = 0;
    for (name, process) in [("marked", marked), ("plain", plain)] {
        match process {
            Ok(service) => running.push(service),
            Err(said) if said.contains("in use by another unhang process") => {
                assert!(said.contains("exit status: 3"), "{said}");
                refused += 1;
            }
            Err(said) => {
                assert!(name == "marked" && stage.shim.fired() > 0, "UNHANG_SEED={seed} {name}: {said}");
            }
        }
    }
    // One that has died since let go of the lock; two that live are two owners.
    let living = || running.iter().filter(|service| service.ended().is_none()).count();
    let begun = Instant::now();
    while living() > 1 && begun.elapsed() < PATIENCE {
        std::thread::park_timeout(Duration::from_millis(10));
    }
    let living = living();
    assert!(living <= 1, "UNHANG_SEED={seed} broken laws: {{8}}\nlaw 8: two processes own one store");
    running.iter().for_each(Sender::promote);
    let starts_at = now_text();
    for n in 0..=dice.below(6) {
        let server = (91_000_001 + dice.below(u64::from(FLEET))).to_string();
        for service in &running {
            let body = delivery(&[alert(&server, "firing", &starts_at)], &format!("{starts_at} {n}"));
            sender.offer(service, &body);
        }
    }
    // Half of them are ended at once, half when the cloud has been asked for something, if it ever is.
    if dice.below(2) == 0 {
        let (asked, begun) = (stage.cloud.running.ledger().len(), Instant::now());
        let idle = || stage.cloud.running.ledger().len() == asked;
        while idle() && begun.elapsed() < ASKED_WITHIN && running.iter().any(|one| one.ended().is_none()) {
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }
    for service in &running {
        service.kill();
    }
    stage.shim.disarm();
    refused
}
