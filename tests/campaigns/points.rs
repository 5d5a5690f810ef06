//! Every named point of the way from an alert to its proof: killed there, frozen there, an error there; then kills at
//! random calls. `UNHANG_POINT` picks points by their names, `UNHANG_ROUNDS` repeats the list, `UNHANG_KILLS` is the
//! number of all kills.
//!
//! A point is told from outside: by the call, and by bytes that went before. What a crash there must lead to is the
//! crash table of `docs/ARCHITECTURE.md`. A kill loses nothing that was written, synced or not: for that there is
//! `power_loss`.
//!
//! The attempt journal is passed twice on this way: its intent line before the hand-over, its answer line before the
//! outcome is stored. Up to the answer line a crash leaves `unknown`; from then on it costs nothing.

use std::time::{Duration, Instant};

use serde_json::json;
use simulator::{Script, ServerSpec};

use crate::checker::{Seen, broken_laws, report};
use crate::shim::{Order, is_frozen, thaw};
use crate::story::{Dice, FIRST, PATIENCE, REST, SECOND, Sender, Stage, seed, setting};
use crate::support::{Service, Settings, alert, delivery, eventually, now_text};

/// What is played, so that the point is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    /// The policy acts by itself.
    Auto,
    /// A hold-down comes first.
    Settling,
    /// A person approves.
    Approve,
    /// The server is new, and must be looked up.
    Unknown,
    /// The cloud's answer comes a few bytes at a time.
    Dripping,
    /// So much is written that the log is folded into the file.
    Much,
}

#[derive(Debug)]
struct Point {
    name: &'static str,
    order: Order,
    scene: Scene,
    after_kill: AfterKill,
}

/// What is to be found when the process was killed, and started again.
#[derive(Debug, Clone)]
struct AfterKill {
    /// Where the remediation may end up.
    states: &'static [&'static str],
    /// How many requests the cloud may have.
    requests: std::ops::RangeInclusive<usize>,
    /// What may be stored of its last attempt.
    outcomes: &'static [&'static str],
}

const fn point(name: &'static str, scene: Scene, order: Order, after_kill: AfterKill) -> Point {
    Point { name, order, scene, after_kill }
}

// Words that a change writes into the log of the store: the kind of its audit event, and who did it.
const DECIDED: &str = "alert_decided";
const OPENED: &str = "incident_opened";
const SETTLED: &str = "remediation_movedservicedispatcher";
const APPROVED: &str = "remediation_movedpersonlead";
const INTENT: &str = "attempt_intentservicedispatcher";
const OUTCOME: &str = "attempt_outcomeservicedispatcher";
const PROOF: &str = "evidenceserviceverifier";
// Words on the wire.
const READ: &str = "getServerInstanceDetail";
const INTERRUPT: &str = "interruptServerInstance";

// Words of a line of the attempt journal.
const INTENT_LINE: &str = "\"kind\":\"intent\"";
const ANSWER_LINE: &str = "\"kind\":\"answer\"";

/// Nothing is lost: the answer is there, or nothing had begun.
const GOES_ON: AfterKill = AfterKill { states: &["confirmed"], requests: 1..=1, outcomes: &["accepted"] };
const NOTHING_LEFT: AfterKill = AfterKill { states: &["unknown"], requests: 0..=0, outcomes: &["unknown"] };
/// The reboot may prove what the lost answer could not.
const MAY_HAVE_LEFT: AfterKill =
    AfterKill { states: &["unknown", "confirmed"], requests: 0..=1, outcomes: &["unknown"] };
const HAS_LEFT: AfterKill =
    AfterKill { states: &["unknown", "confirmed"], requests: 1..=1, outcomes: &["unknown"] };

#[rustfmt::skip]
const POINTS: [Point; 25] = {
    use Scene::{Approve, Auto, Dripping, Much, Settling, Unknown};
    [
        point("before-delivery-commit", Auto, Order::before("wal-write").since("wal-write", DECIDED), GOES_ON),
        point("after-delivery-commit", Auto, Order::after("wal-sync").since("wal-write", DECIDED), GOES_ON),
        point("after-reply", Auto, Order::after("client-send").holding("deliveryId"), GOES_ON),
        point("before-decision-commit", Unknown, Order::before("wal-write").since("wal-write", OPENED), GOES_ON),
        point("after-decision-commit", Unknown, Order::after("wal-sync").since("wal-write", OPENED), GOES_ON),
        point("settle-timer", Settling, Order::before("wal-write").since("wal-write", SETTLED), GOES_ON),
        point("approval-commit", Approve, Order::after("wal-sync").since("wal-write", APPROVED), GOES_ON),
        point("before-preflight", Auto, Order::before("cloud-send").holding(READ), GOES_ON),
        point("after-preflight", Auto, Order::after("cloud-recv").since("cloud-send", READ), GOES_ON),
        point("before-intent-begin", Auto, Order::before("begin").since("cloud-recv", "getServerInstanceDetailResponse"), GOES_ON),
        point("in-intent-transaction", Auto, Order::before("wal-write").since("wal-write", INTENT), GOES_ON),
        // The pages are in the log, unsynced: a kill keeps them.
        point("before-intent-commit", Auto, Order::before("wal-sync").since("wal-write", INTENT), NOTHING_LEFT),
        point("after-intent-commit", Auto, Order::after("wal-sync").since("wal-write", INTENT), NOTHING_LEFT),
        point("before-journal-intent", Auto, Order::before("file-write").holding(INTENT_LINE), NOTHING_LEFT),
        point("after-journal-intent", Auto, Order::after("file-sync").since("file-write", INTENT_LINE), NOTHING_LEFT),
        point("after-connect", Auto, Order::after("cloud-connect").since("wal-write", INTENT), NOTHING_LEFT),
        point("after-request", Auto, Order::after("cloud-send").holding(INTERRUPT), MAY_HAVE_LEFT),
        point("after-status-line", Dripping, Order::after("cloud-recv").since("cloud-send", INTERRUPT), HAS_LEFT),
        point("after-body", Auto, Order::before("file-write").holding(ANSWER_LINE), HAS_LEFT),
        point("after-journal-answer", Auto, Order::after("file-sync").since("file-write", ANSWER_LINE), GOES_ON),
        point("before-outcome-commit", Auto, Order::before("wal-write").since("wal-write", OUTCOME), GOES_ON),
        point("after-outcome-commit", Auto, Order::after("wal-sync").since("wal-write", OUTCOME), GOES_ON),
        point("before-evidence-commit", Auto, Order::before("wal-write").since("wal-write", PROOF), GOES_ON),
        point("after-evidence-commit", Auto, Order::after("wal-sync").since("wal-write", PROOF), GOES_ON),
        point("during-checkpoint", Much, Order::before("db-write").nth(3), GOES_ON),
    ]
};

/// How long a frozen process stays so.
const FREEZE: Duration = Duration::from_millis(300);

fn stage_for(scene: Scene) -> Stage {
    let stage = Stage::new(2, |settings| match scene {
        Scene::Settling => Settings { settle: "1s", ..settings },
        Scene::Approve => Settings { mode: "approve", ..settings },
        Scene::Auto | Scene::Unknown | Scene::Dripping | Scene::Much => settings,
    });
    if scene == Scene::Dripping {
        let dripping = json!({ "kind": "ok_dripped", "bytes_per_second": 2000 });
        let dripping = serde_json::from_value(dripping).unwrap();
        stage.cloud.running.set_behaviour(Script::next_interrupt(FIRST, dripping)).unwrap();
    }
    stage
}

/// A server that the inventory has not read.
fn add_server(stage: &Stage) -> &'static str {
    const NEW: &str = "91000900";
    let like = simulator::Scenario::demo().servers[0].clone();
    let spec = ServerSpec {
        no: NEW.to_owned(),
        name: "win-900".to_owned(),
        private_ip: "10.1.9.9".to_owned(),
        memory_bytes: 1 << 30,
        ..like
    };
    stage.cloud.running.add_server(spec).unwrap();
    NEW
}

/// Plays the scene until the order has been carried out and what follows is at rest, or the process has ended.
fn play(stage: &Stage, service: &Service, scene: Scene, server: &str, sender: &mut Sender) -> Option<String> {
    let state = sender.bring_to_rest(service, server, "first", PATIENCE);
    if scene == Scene::Much {
        let same = now_text();
        let (begun, mut n) = (Instant::now(), 0);
        while stage.shim.fired() == 0 && service.ended().is_none() && begun.elapsed() < PATIENCE {
            n += 1;
            sender.offer(service, &delivery(&[alert(server, "firing", &same)], &format!("much {n}")));
        }
    }
    state
}

/// One life that meets an order at a point, and what comes after it.
fn meet(point: &Point, action: &'static str, seed: u64) {
    let what = format!("{action} at {}", point.name);
    let stage = stage_for(point.scene);
    let mut sender = Sender::default();
    let service = stage.shim.start(&stage.site).unwrap();
    service.wait_for_inventory(2);
    let server = if point.scene == Scene::Unknown { add_server(&stage) } else { FIRST };
    stage.shim.order(point.order.with(action));
    let state = std::thread::scope(|scope| {
        if action == "stop" {
            scope.spawn(|| freeze_and_thaw(&stage, &service, FREEZE));
        }
        play(&stage, &service, point.scene, server, &mut sender)
    });
    assert_eq!(stage.shim.fired(), 1, "{what}: the point was not reached\n{}", stage.log_tail());
    match action {
        "kill" => assert_eq!(eventually("the end of the killed", || service.ended()), -1, "{what}"),
        "stop" => {
            assert_eq!(state.as_deref(), Some("confirmed"), "{what}: a short freeze harms nothing");
            assert_eq!(service.ended(), None, "{what}");
        }
        _ => {}
    }
    stage.shim.disarm();
    service.kill();

    let service = stage.site.start();
    let held = stage.lift_hold_file();
    assert!(!held || action == "fail", "{what}: a hold file");
    let state = sender.bring_to_rest(&service, server, "first", PATIENCE);
    let state = state.unwrap_or_else(|| panic!("{what}: not at rest\n{}", stage.log_tail()));
    let requests = stage.cloud.requests(server);
    let mut wrong = Vec::new();
    if action == "kill" {
        wrong.extend(recovered(point, &stage, &service, server, &state));
    }
    if !REST.contains(&&*state) || requests > 1 {
        wrong.push(format!("{what}: {state} with {requests} requests"));
    }
    if !wrong.is_empty() {
        service.kill();
        wrong.extend(broken_laws(&Seen::of(&stage, &sender)));
        panic!("UNHANG_SEED={seed} {what}\n{}\n{}", report(&wrong), stage.log_tail());
    }
    stage.is_well_again(&service, &mut sender, SECOND, &what);
    stage.hold_to_the_laws(&service, &sender, seed, &what);
}

/// What is not found after the kill as the crash table says.
fn recovered(point: &Point, stage: &Stage, service: &Service, server: &str, state: &str) -> Vec<String> {
    let AfterKill { states, requests, outcomes } = &point.after_kill;
    let all = service.remediations();
    let one = all.iter().find(|one| one["serverInstanceNo"] == server).unwrap();
    let attempt = one["attempts"].as_array().unwrap().last().unwrap();
    let outcome = attempt["outcome"].as_str().unwrap_or("open");
    let found = stage.cloud.requests(server);
    let mut wrong = Vec::new();
    if !states.contains(&state) || !requests.contains(&found) || !outcomes.contains(&outcome) {
        wrong
            .push(format!("the crash table: {} ended {state}, {outcome}, with {found} requests", point.name));
    }
    let ledger = stage.cloud.running.ledger();
    let of_this = |entry: &&simulator::LedgerEntry| entry.server_instance_no.as_deref() == Some(server);
    let given = ledger
        .iter()
        .filter(of_this)
        .any(|entry| entry.request_id.as_deref() == attempt["requestId"].as_str());
    if outcome == "accepted" && !given {
        wrong.push(format!("law 38: {} keeps requestId {}", point.name, attempt["requestId"]));
    }
    wrong
}

/// Waits until the order has frozen the process, and lets it go on later.
fn freeze_and_thaw(stage: &Stage, service: &Service, how_long: Duration) {
    eventually("the process to be frozen", || {
        (stage.shim.fired() > 0 && is_frozen(service.pid())).then_some(())
    });
    let begun = Instant::now();
    eventually("the freeze to be over", || (begun.elapsed() >= how_long).then_some(()));
    thaw(service.pid());
}

fn every_point(action: &'static str) {
    let rounds = setting("UNHANG_ROUNDS").unwrap_or(1);
    let seed = seed("points", &format!("UNHANG_ROUNDS={rounds} action={action}"));
    #[expect(clippy::disallowed_methods, reason = "how a person picks one")]
    let wanted = std::env::var("UNHANG_POINT").unwrap_or_default();
    let mut met = 0;
    for _ in 0..rounds {
        for point in POINTS.iter().filter(|point| point.name.contains(&wanted)) {
            let begun = Instant::now();
            meet(point, action, seed);
            println!("{action} at {}: {:?}", point.name, begun.elapsed());
            met += 1;
        }
    }
    println!("counts: {met} times {action}");
}

#[test]
fn killed_at_every_named_point_it_recovers_as_the_crash_table_says() {
    every_point("kill");
}

#[test]
fn frozen_at_every_named_point_it_goes_on_as_if_nothing_had_happened() {
    every_point("stop");
}

#[test]
fn an_error_at_every_named_point_sends_nothing_twice_and_is_got_over() {
    every_point("fail");
}

#[test]
fn killed_while_it_makes_its_store_it_starts_again() {
    let seed = seed("first start", "");
    // The file begins with a rollback journal, and goes on with a log. Then the attempt journal is made, and put in its
    // place by renaming.
    for (event, calls) in [
        ("file-sync", 4),
        ("db-write", 1),
        ("db-sync", 1),
        ("file-remove", 2),
        ("wal-write", 3),
        ("wal-sync", 3),
    ] {
        for nth in 1..=calls {
            for order in [Order::before(event), Order::after(event)] {
                let what = order.nth(nth).to_string();
                let stage = stage_for(Scene::Auto);
                let mut sender = Sender::default();
                stage.shim.order(order.nth(nth));
                let first = stage.shim.start(&stage.site);
                assert_eq!(stage.shim.fired(), 1, "{what}: not reached");
                drop(first);
                let service = stage.site.start();
                stage.is_well_again(&service, &mut sender, SECOND, &what);
                stage.hold_to_the_laws(&service, &sender, seed, &what);
            }
        }
    }
}

#[test]
fn frozen_between_intent_and_hand_over_it_sends_nothing_late() {
    let seed = seed("freeze", "");
    let stage = stage_for(Scene::Auto);
    let mut sender = Sender::default();
    let service = stage.shim.start(&stage.site).unwrap();
    service.wait_for_inventory(2);
    stage.shim.order(Order::after("wal-sync").since("wal-write", INTENT).with("stop"));
    let state = std::thread::scope(|scope| {
        scope.spawn(|| freeze_and_thaw(&stage, &service, Duration::from_secs(11)));
        sender.bring_to_rest(&service, FIRST, "first", PATIENCE * 2)
    });
    // The first try was not sent: its time had passed. The second was.
    assert_eq!(state.as_deref(), Some("confirmed"), "{}", stage.log_tail());
    let all = service.remediations();
    let outcomes: Vec<&str> = all[0]["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|attempt| attempt["outcome"].as_str())
        .collect();
    assert_eq!(outcomes, ["not_sent", "accepted"], "{}", all[0]);
    assert_eq!(stage.cloud.requests(FIRST), 1);
    stage.hold_to_the_laws(&service, &sender, seed, "frozen for 11 s");
}

/// Calls at which a process is killed at random.
const ANYWHERE: [&str; 10] = [
    "begin",
    "wal-write",
    "wal-sync",
    "db-write",
    "client-recv",
    "client-send",
    "cloud-connect",
    "cloud-send",
    "cloud-recv",
    "any-file",
];
const FLEET: u32 = 300;
/// Lives on one store, so that there is always somebody left to interrupt.
const LIVES: u64 = 60;

#[test]
fn killed_at_random_calls_again_and_again_no_law_is_broken() {
    let named = u64::try_from(POINTS.len()).unwrap();
    let kills = setting("UNHANG_KILLS").unwrap_or(150).saturating_sub(named);
    let seed = seed("random kills", &format!("UNHANG_KILLS={}", kills + named));
    let mut dice = Dice::new(seed);
    let (mut left, mut effects, mut acknowledged, mut struck) = (kills, 0, 0, 0);
    while left > 0 {
        let round = left.min(LIVES);
        left -= round;
        let stage = Stage::new(FLEET, |settings| settings);
        let mut sender = Sender::default();
        for _ in 0..round {
            struck += u64::from(one_life(&stage, &mut dice, &mut sender));
        }
        // One more life without a kill, so that what was in flight is told.
        let service = stage.site.start();
        assert_eq!(service.stop().0, 0, "a graceful stop\n{}", stage.log_tail());
        stage.hold_to_the_laws(&service, &sender, seed, "random kills");
        effects += stage.cloud.effects().len();
        acknowledged += sender.acknowledged.len();
        println!("{left} kills to go; {effects} effects, {acknowledged} promises, {struck} at an order");
    }
    println!(
        "counts: {kills} random kills, {struck} at an order, {effects} effects, {acknowledged} promises"
    );
    assert!(
        kills == 0 || (effects > 0 && acknowledged > 0 && struck > 0),
        "the run must reach the machine that it tests"
    );
}

/// Starts, sends, and dies at a random call. True when the order did it.
fn one_life(stage: &Stage, dice: &mut Dice, sender: &mut Sender) -> bool {
    let order = Order::before(ANYWHERE[dice.index(ANYWHERE.len())]);
    let order = if dice.below(2) == 0 { order } else { Order::after(order.event) };
    let order = order.nth(1 + dice.below(20));
    // Some die while they start.
    let early = dice.below(5) == 0;
    if early {
        stage.shim.order(order);
    }
    let Ok(service) = stage.shim.start(&stage.site) else {
        return stage.shim.fired() > 0;
    };
    Sender::promote(&service);
    if !early {
        stage.shim.order(order);
    }
    let starts_at = now_text();
    for n in 0..12 {
        let alerts: Vec<_> = (0..=dice.below(2))
            .map(|_| {
                let server = (91_000_001 + dice.below(u64::from(FLEET))).to_string();
                alert(&server, if dice.below(8) == 0 { "resolved" } else { "firing" }, &starts_at)
            })
            .collect();
        sender.offer(&service, &delivery(&alerts, &format!("{starts_at} {n}")));
        if stage.shim.fired() > 0 {
            break;
        }
    }
    let struck = stage.shim.fired() > 0;
    service.kill();
    stage.shim.disarm();
    struck
}
