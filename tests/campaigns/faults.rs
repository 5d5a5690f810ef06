//! The k-th call fails, for every k: on the store, on other files, on sockets; once, or from then on.
//!
//! A story is played without a fault to count its calls, then again and again with one. Whatever fails: no panic, no
//! promise without a row, nothing sent twice; and once the fault is gone all is well, without a restart or with one
//! that the exit code asked for.
//!
//! `UNHANG_FAULTS` is the number of faults per story, spread over all its calls; 0 means every call, which also lets
//! each fault last. `UNHANG_FAULT_PAIRS` is the number of plays with two faults, each any call, once or lasting.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulator::{Behaviour, Script};

use crate::shim::Order;
use crate::story::{Dice, FIRST, SECOND, Sender, Stage, THIRD, seed, setting, state_of};
use crate::support::{
    LEAD, OPERATOR, PATIENCE, Service, Settings, VIEWER, alert, delivery, eventually, now_text,
};

/// The stories. Whoever adds one gives it a stage and a course.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Story {
    FireAndConfirm,
    ResolveWhileSettling,
    ApproveUnknownEvidence,
    HoldAndClear,
    StartAfterACrash,
    StormHoldAndClear,
}

const SERVERS: u32 = 5;
/// The storm guard as it is by default: the third server within the window trips it.
const STORM: &str = "[storm]\nshare = 0.1\ncount = 2\nsame_zone = 3\nwindow = \"10m\"\n";
const FOURTH: &str = "91000004";
const FIFTH: &str = "91000005";
/// How long a story with a fault may take before it is left as it is.
const LONG_ENOUGH: Duration = Duration::from_secs(12);
/// The same when the fault lasts.
const LASTING: Duration = Duration::from_secs(3);

impl Story {
    fn stage(self) -> Stage {
        let stage = Stage::new(SERVERS, |settings| match self {
            Self::ResolveWhileSettling => Settings { settle: "1s", ..settings },
            Self::ApproveUnknownEvidence => Settings { mode: "approve", ..settings },
            Self::StormHoldAndClear => Settings { more: STORM.to_owned(), ..settings },
            Self::FireAndConfirm | Self::HoldAndClear | Self::StartAfterACrash => settings,
        });
        if self == Self::ApproveUnknownEvidence {
            let lost = Script::next_interrupt(FIRST, Behaviour::DoneThenClosed);
            stage.cloud.running.set_behaviour(lost).unwrap();
        }
        stage
    }

    /// The data folder at the beginning: what a store holds that has read its inventory, or that crashed.
    fn beginning(self) -> Vec<(String, Vec<u8>)> {
        let stage = self.stage();
        let service = stage.shim.start(&stage.site).unwrap();
        service.wait_for_inventory(usize::try_from(SERVERS).unwrap());
        if self == Self::StartAfterACrash {
            let intent = "attempt_intentservicedispatcher";
            stage.shim.order(Order::before("cloud-connect").since("wal-write", intent));
            let mut sender = Sender::default();
            assert_eq!(sender.bring_to_rest(&service, FIRST, "before", PATIENCE), None);
            assert_eq!(stage.shim.fired(), 1, "{}", stage.log_tail());
        } else {
            service.stop();
        }
        let folder = stage.site.store().parent().unwrap().to_owned();
        std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_none_or(|given| given != "lock"))
            .map(|path| {
                (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap())
            })
            .collect()
    }

    /// Plays it. True when it came to its end.
    fn play(self, service: &Service, sender: &mut Sender, patience: Duration) -> bool {
        let begun = Instant::now();
        let left = || patience.saturating_sub(begun.elapsed());
        let goes_on = || service.ended().is_none() && !left().is_zero();
        match self {
            Self::FireAndConfirm => {
                sender.bring_to_rest(service, FIRST, "fire", left()).is_some_and(|state| state == "confirmed")
            }
            Self::ResolveWhileSettling => {
                let starts_at = now_text();
                for status in ["firing", "resolved"] {
                    let body = delivery(&[alert(FIRST, status, &starts_at)], status);
                    while goes_on() && sender.offer(service, &body).is_none() {
                        pause();
                    }
                }
                becomes(service, FIRST, "cancelled", &goes_on)
            }
            Self::ApproveUnknownEvidence => {
                let state = sender.bring_to_rest(service, FIRST, "fire", left());
                state.is_some() && becomes(service, FIRST, "confirmed", &goes_on)
            }
            Self::HoldAndClear => {
                set_a_hold(service, &goes_on);
                let body = delivery(&[alert(FIRST, "firing", &now_text())], "held");
                while goes_on() && sender.offer(service, &body).is_none() {
                    pause();
                }
                while goes_on() && !holds_are_cleared(service) {
                    pause();
                }
                sender.bring_to_rest(service, FIRST, "fire", left()).is_some_and(|state| state == "confirmed")
            }
            Self::StormHoldAndClear => {
                // One delivery, so that all three are seen or none.
                let starts_at = now_text();
                let alerts = [FIRST, SECOND, FOURTH].map(|server| alert(server, "firing", &starts_at));
                let body = delivery(&alerts, "three at once");
                while goes_on() && sender.offer(service, &body).is_none() {
                    pause();
                }
                while goes_on() && open_storms(service).is_none_or(|open| open.is_empty()) {
                    pause();
                }
                set_a_hold(service, &goes_on);
                while goes_on() && !(storms_are_cleared(service) && holds_are_cleared(service)) {
                    pause();
                }
                sender
                    .bring_to_rest(service, FIFTH, "one more", left())
                    .is_some_and(|state| state == "confirmed")
            }
            Self::StartAfterACrash => {
                becomes(service, FIRST, "unknown", &goes_on)
                    && sender
                        .bring_to_rest(service, SECOND, "fire", left())
                        .is_some_and(|state| state == "confirmed")
            }
        }
    }
}

fn pause() {
    std::thread::park_timeout(Duration::from_millis(10));
}

fn becomes(service: &Service, server: &str, wanted: &str, goes_on: &dyn Fn() -> bool) -> bool {
    while goes_on() {
        if state_of(service, server).is_some_and(|(state, _)| state == wanted) {
            return true;
        }
        pause();
    }
    false
}

fn set_a_hold(service: &Service, goes_on: &dyn Fn() -> bool) {
    let held = json!({ "scope": "global", "reason": "looking" });
    let set = || service.try_post("/api/v1/holds", OPERATOR, &held).is_some_and(|(code, _)| code == 201);
    while goes_on() && !set() {
        pause();
    }
}

/// Storms that nobody has cleared; `None` when they cannot be read.
fn open_storms(service: &Service) -> Option<Vec<Value>> {
    let (status, page) = service.try_get("/api/v1/storms?state=open", VIEWER)?;
    (status == 200).then(|| page["items"].as_array().cloned().unwrap_or_default())
}

/// An approver clears every storm; true when none was left to clear.
fn storms_are_cleared(service: &Service) -> bool {
    let Some(open) = open_storms(service) else { return false };
    for storm in &open {
        let path = format!("/api/v1/storms/{}/clear", storm["id"]);
        let _asked_again_if_it_failed = service.try_post(&path, LEAD, &json!({ "reason": "one switch" }));
    }
    open.is_empty()
}

/// A journal that could not be opened at the start holds everything until a person has put it right, restarted, and
/// said so.
fn without_quarantine(stage: &Stage, service: Service) -> Service {
    let asked = || service.try_get("/api/v1/quarantine", VIEWER).map(|(_, said)| said);
    if service.ended().is_some() || asked().is_none_or(|said| said["quarantine"].is_null()) {
        return service;
    }
    service.kill();
    let service = stage.site.start();
    let looked = json!({ "reason": "the disk is well again" });
    eventually("the quarantine to be cleared", || {
        let _asked_again_if_it_failed = service.try_post("/api/v1/quarantine/clear", LEAD, &looked);
        let (_, said) = service.try_get("/api/v1/quarantine", VIEWER)?;
        said["quarantine"].is_null().then_some(())
    });
    service
}

/// Clears every hold; true when none was left to clear.
fn holds_are_cleared(service: &Service) -> bool {
    let Some((200, page)) = service.try_get("/api/v1/holds", VIEWER) else { return false };
    let holds = page["items"].as_array().cloned().unwrap_or_default();
    for hold in &holds {
        let url = format!("{}/api/v1/holds/{}", service.url, hold["id"]);
        let client = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
        let asking = client.delete(url).bearer_auth(OPERATOR).header("content-type", "application/json");
        let _asked_again_if_it_failed = asking.body(json!({ "reason": "looked" }).to_string()).send();
    }
    holds.iter().all(|hold| hold["clearedAt"] != Value::Null)
}

/// A story at its beginning, once more.
fn begin(story: Story, beginning: &[(String, Vec<u8>)]) -> Stage {
    let stage = story.stage();
    let folder = stage.site.store().parent().unwrap().to_owned();
    std::fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in beginning {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    stage
}

/// Plays the story with orders in force from the start of the process. How often they struck.
fn with_faults(
    story: Story,
    beginning: &[(String, Vec<u8>)],
    orders: &[Order],
    lasts: bool,
    seed: u64,
) -> u64 {
    let lines: Vec<String> = orders.iter().map(ToString::to_string).collect();
    let what = format!("{story:?}, {}", lines.join(" and "));
    let stage = begin(story, beginning);
    let mut sender = Sender::default();
    stage.shim.orders(orders);
    let mut running = match stage.shim.start(&stage.site) {
        Ok(service) => {
            story.play(&service, &mut sender, if lasts { LASTING } else { LONG_ENOUGH });
            Some(service)
        }
        Err(said) => {
            assert!(said.ends_with("exit status: 3"), "UNHANG_SEED={seed} {what}: {said}");
            None
        }
    };
    let fired = stage.shim.fired();
    stage.shim.disarm();
    if let Some(service) = &running
        && service.ended().is_none()
        && lasts
    {
        // Whoever stops because of the fault has begun to.
        eventually("an answer, or the end", || {
            (service.ended().is_some() || service.try_get("/livez", VIEWER).is_some()).then_some(())
        });
    }
    stage.lift_hold_file();
    if let Some(code) = running.as_ref().and_then(Service::ended) {
        assert_eq!(code, 3, "UNHANG_SEED={seed} {what}: it ended\n{}", stage.log_tail());
        running = None;
    }
    let service = without_quarantine(&stage, running.unwrap_or_else(|| stage.site.start()));
    if matches!(story, Story::HoldAndClear | Story::StormHoldAndClear) {
        eventually("the holds to be cleared, or the end", || {
            (service.ended().is_some() || (holds_are_cleared(&service) && storms_are_cleared(&service)))
                .then_some(())
        });
    }
    serve_again(&stage, service, &mut sender, seed, &what);
    fired
}

/// A server that had no part in it is served. A process that is about to stop may do so first.
fn serve_again(stage: &Stage, service: Service, sender: &mut Sender, seed: u64, what: &str) {
    let served = sender.bring_to_rest(&service, THIRD, "after", PATIENCE);
    let service = match (served, service.ended()) {
        (Some(state), _) => {
            assert_eq!(state, "confirmed", "UNHANG_SEED={seed} {what}\n{}", stage.log_tail());
            service
        }
        (None, Some(code)) => {
            assert_eq!(code, 3, "UNHANG_SEED={seed} {what}: it ended\n{}", stage.log_tail());
            stage.lift_hold_file();
            let service = stage.site.start();
            stage.is_well_again(&service, sender, THIRD, what);
            service
        }
        (None, None) => panic!(
            "UNHANG_SEED={seed} {what}: broken laws: {{44}}\nthe fault is gone, and it is not well\n{}",
            stage.log_tail()
        ),
    };
    stage.hold_to_the_laws(&service, sender, seed, what);
}

fn every_fault(story: Story) {
    let wanted = setting("UNHANG_FAULTS").unwrap_or(12);
    let seed = seed("k-th fault", &format!("UNHANG_FAULTS={wanted} {story:?}"));
    let beginning = story.beginning();
    let counted = {
        let stage = begin(story, &beginning);
        let mut sender = Sender::default();
        let service = stage.shim.start(&stage.site).unwrap();
        let came_to_its_end = story.play(&service, &mut sender, PATIENCE);
        assert!(came_to_its_end, "{story:?} without a fault\n{}", stage.log_tail());
        ["any-db", "any-file", "any-client", "any-cloud"].map(|group| (group, stage.shim.count(group)))
    };
    println!("{story:?}: calls {counted:?}");
    let (mut played, mut hit) = (0, 0);
    let mut play = |order: Order, lasts: bool| {
        played += 1;
        hit += u64::from(with_faults(story, &beginning, &[order], lasts, seed) > 0);
    };
    let shares = [wanted / 2, wanted / 6, wanted / 12, wanted / 4];
    for ((group, calls), share) in counted.into_iter().zip(shares) {
        if wanted == 0 {
            for k in 1..=calls {
                let files = group == "any-db" || group == "any-file";
                for action in ["fail", "full"].into_iter().take(if files { 2 } else { 1 }) {
                    play(Order::before(group).nth(k).with(action), false);
                    play(Order::before(group).nth(k).with(action).ever(), true);
                }
                println!("{story:?}: {group} {k} of {calls}");
            }
            continue;
        }
        let share = share.clamp(1, calls.max(1));
        for n in 0..share {
            let k = 1 + (n * calls + seed % calls.max(1)) / share % calls.max(1);
            let action = if n % 3 == 2 && group == "any-db" { "full" } else { "fail" };
            play(Order::before(group).nth(k).with(action), false);
        }
    }
    println!("counts: {story:?} {played} plays, {hit} met their fault");
    assert!(hit * 2 > played, "{story:?}: only {hit} of {played} plays met their fault");
    pairs_of_faults(story, &beginning, &counted, seed);
}

/// Two faults in one play, each at any call of any group, once or from then on.
fn pairs_of_faults(
    story: Story,
    beginning: &[(String, Vec<u8>)],
    counted: &[(&'static str, u64)],
    seed: u64,
) {
    let pairs = setting("UNHANG_FAULT_PAIRS").unwrap_or(1);
    let mut dice = Dice::new(seed);
    let (mut one, mut both) = (0_u64, 0_u64);
    for pair in 0..pairs {
        let mut lasting = false;
        let orders: Vec<Order> = (0..2)
            .map(|_| {
                let (group, calls) = counted[dice.index(counted.len())];
                let files = group == "any-db" || group == "any-file";
                let action = if files && dice.below(3) == 0 { "full" } else { "fail" };
                let order = Order::before(group).nth(1 + dice.below(calls.max(1))).with(action);
                let lasts = dice.below(3) == 0;
                lasting |= lasts;
                if lasts { order.ever() } else { order }
            })
            .collect();
        let struck = with_faults(story, beginning, &orders, lasting, seed);
        one += u64::from(struck > 0);
        both += u64::from(struck > 1);
        if pair % 50 == 49 {
            println!("{story:?}: pair {} of {pairs}", pair + 1);
        }
    }
    println!("counts: {story:?} {pairs} pairs, {one} met a fault, {both} more than one");
}

#[test]
fn fire_and_confirm_with_every_call_failing() {
    every_fault(Story::FireAndConfirm);
}

#[test]
fn resolve_while_settling_with_every_call_failing() {
    every_fault(Story::ResolveWhileSettling);
}

#[test]
fn approve_unknown_evidence_with_every_call_failing() {
    every_fault(Story::ApproveUnknownEvidence);
}

#[test]
fn hold_and_clear_with_every_call_failing() {
    every_fault(Story::HoldAndClear);
}

#[test]
fn start_after_a_crash_with_every_call_failing() {
    every_fault(Story::StartAfterACrash);
}

#[test]
fn storm_hold_and_clear_with_every_call_failing() {
    every_fault(Story::StormHoldAndClear);
}
