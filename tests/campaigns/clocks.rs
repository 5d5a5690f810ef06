//! The wall clock jumps, forwards and back, over a leap day, and before a start: no second effect, no cooldown re-opened.
//!
//! Nothing is played in which our clock and the cloud's both jump beyond a cooldown: two clocks that do not know of each
//! other agree that the time has passed, and so it is believed to have passed. A third to ask there is not.

use serde_json::Value;

use crate::checker::{Seen, hold_to_the_laws};
use crate::story::{FIRST, SECOND, Sender, Stage, seed};
use crate::support::{Service, VIEWER, alert, delivery, eventually};

const HOUR_MS: i64 = 60 * 60 * 1000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The time that a sender with this clock writes.
#[expect(clippy::disallowed_methods, reason = "a sender has its own clock")]
fn now_text(offset: i64) -> String {
    let now = jiff::Timestamp::now().as_millisecond() + offset;
    jiff::Timestamp::from_millisecond(now).unwrap().to_string()
}

/// Milliseconds from now to that instant.
#[expect(clippy::disallowed_methods, reason = "the distance to a faked clock")]
fn until(instant: &str) -> i64 {
    let wanted: jiff::Timestamp = instant.parse().unwrap();
    wanted.as_millisecond() - jiff::Timestamp::now().as_millisecond()
}

/// Moves the clock of the service, and of the cloud as well if it is to agree.
fn jump(stage: &Stage, offset: i64, cloud_agrees: bool) {
    stage.shim.set_clock_offset_ms(offset);
    stage.cloud.running.set_clock_offset_ms(if cloud_agrees { offset } else { 0 });
}

fn fire(sender: &mut Sender, service: &Service, server: &str, offset: i64, note: &str) -> Value {
    let body = delivery(&[alert(server, "firing", &now_text(offset))], note);
    eventually("the delivery to be taken", || sender.offer(service, &body))["alerts"][0].clone()
}

/// What became of the newest alert. An inventory of the day before is not believed: until it is read anew, the answer
/// is that the alert waits.
fn decided_in_the_end(sender: &Sender, service: &Service) -> Value {
    let path = format!("/api/v1/deliveries/{}", sender.acknowledged.last().unwrap());
    eventually("the alert to be decided", || {
        let (_, delivery) = service.get(&path, VIEWER);
        let decided = delivery["alerts"][0].clone();
        (decided["decision"].is_string() && decided["decision"] != "pending").then_some(decided)
    })
}

/// That nothing is sent can only be watched for a while: several ticks of the dispatcher.
fn let_it_try(service: &Service) {
    let begun = std::time::Instant::now();
    eventually("some ticks", || {
        let (status, _) = service.get("/livez", VIEWER);
        (begun.elapsed().as_millis() > 500 && status == 200).then_some(())
    });
}

fn interrupted_once(stage: &Stage, sender: &mut Sender, service: &Service, offset: i64) {
    service.wait_for_inventory(2);
    fire(sender, service, FIRST, offset, "before the jump");
    service.wait_for(FIRST, &["confirmed"]);
    assert_eq!(stage.cloud.requests(FIRST), 1);
}

fn judge(stage: &Stage, sender: &Sender, service: &Service, seed: u64, what: &str) {
    let told = || format!("UNHANG_SEED={seed} {what}: broken laws: {{25}}\n{}", stage.log_tail());
    assert_eq!(stage.cloud.requests(FIRST), 1, "{}", told());
    service.kill();
    hold_to_the_laws(&Seen { true_clock: false, ..Seen::of(stage, sender) }, seed, what);
}

/// While it runs, the clock jumps, the alert fires again, and the clock jumps home.
fn jumps_while_running(offsets: &[i64], cloud_agrees: bool) {
    let seed = seed("clock jumps", &format!("cloud agrees: {cloud_agrees}"));
    for offset in offsets {
        let stage = Stage::new(2, |settings| settings);
        let mut sender = Sender::default();
        let service = stage.shim.start(&stage.site).unwrap();
        interrupted_once(&stage, &mut sender, &service, 0);
        jump(&stage, *offset, cloud_agrees);
        fire(&mut sender, &service, FIRST, *offset, "after the jump");
        let_it_try(&service);
        jump(&stage, 0, cloud_agrees);
        fire(&mut sender, &service, FIRST, 0, "home again");
        let_it_try(&service);
        judge(&stage, &sender, &service, seed, &format!("jump of {offset} ms"));
    }
    println!("counts: {} jumps there and back, cloud agrees: {cloud_agrees}", offsets.len());
}

#[test]
fn a_jump_of_our_clock_alone_re_opens_nothing() {
    jumps_while_running(&[HOUR_MS, -HOUR_MS, DAY_MS + HOUR_MS, -DAY_MS], false);
}

#[test]
fn a_jump_back_of_both_clocks_or_one_within_the_cooldown_re_opens_nothing() {
    jumps_while_running(&[HOUR_MS, -HOUR_MS, DAY_MS - HOUR_MS, -DAY_MS], true);
}

#[test]
fn while_our_clock_alone_is_a_day_ahead_nothing_is_sent_until_a_date_of_the_cloud_agrees() {
    let seed = seed("our clock a day ahead", "");
    let ahead = DAY_MS + HOUR_MS;
    let stage = Stage::new(2, |settings| settings);
    let mut sender = Sender::default();
    let service = stage.shim.start(&stage.site).unwrap();
    interrupted_once(&stage, &mut sender, &service, 0);
    jump(&stage, ahead, false);
    // The sender has our clock, so nothing but the cloud's is in the way of a fresh server.
    let answer = fire(&mut sender, &service, SECOND, ahead, "a fresh server");
    assert_ne!(answer["decision"], "suppressed", "{answer}");
    let_it_try(&service);
    assert_eq!(
        stage.cloud.requests(SECOND),
        0,
        "UNHANG_SEED={seed} sent by a clock in doubt\n{}",
        stage.log_tail()
    );
    // What waited is sent once, and the one before stays as it is: nobody has told of it again.
    jump(&stage, ahead, true);
    service.wait_for(SECOND, &["accepted", "confirmed"]);
    assert_eq!(stage.cloud.requests(SECOND), 1, "{}", stage.log_tail());
    println!("counts: 1 jump of {ahead} ms of our clock alone");
    judge(&stage, &sender, &service, seed, "our clock a day ahead");
}

#[test]
fn a_start_with_a_clock_that_is_wrong_re_opens_nothing() {
    let seed = seed("clock wrong at the start", "");
    for offset in [HOUR_MS, -HOUR_MS, DAY_MS + HOUR_MS, -DAY_MS] {
        let stage = Stage::new(2, |settings| settings);
        let mut sender = Sender::default();
        let service = stage.shim.start(&stage.site).unwrap();
        interrupted_once(&stage, &mut sender, &service, 0);
        service.kill();
        jump(&stage, offset, false);
        let service = stage.shim.start(&stage.site).unwrap();
        fire(&mut sender, &service, FIRST, offset, "after the start");
        let_it_try(&service);
        jump(&stage, 0, false);
        let_it_try(&service);
        judge(&stage, &sender, &service, seed, &format!("start at {offset} ms"));
    }
    println!("counts: 4 starts with a clock that is wrong");
}

#[test]
fn over_a_leap_day_the_cooldown_stays_and_a_fresh_server_is_served() {
    let seed = seed("leap day", "");
    let before = until("2028-02-28T23:59:00Z");
    let stage = Stage::new(2, |settings| settings);
    let mut sender = Sender::default();
    jump(&stage, before, true);
    let service = stage.shim.start(&stage.site).unwrap();
    interrupted_once(&stage, &mut sender, &service, before);
    service.kill();
    // The morning of the day that is not in every year, and its end: both within the 24 h.
    for (later, note, why) in [
        (2 * 60 * 1000, "the 29th", "dump_window"),
        (DAY_MS - 2 * 60 * 1000, "the end of the 29th", "cooldown"),
    ] {
        let now = before + later;
        jump(&stage, now, true);
        let service = stage.shim.start(&stage.site).unwrap();
        fire(&mut sender, &service, FIRST, now, note);
        let decided = decided_in_the_end(&sender, &service);
        assert_eq!(decided["decision"], "suppressed", "{decided}");
        assert_eq!(decided["reason"], why, "{decided}");
        let_it_try(&service);
        service.kill();
    }
    let now = before + 3 * 60 * 1000;
    jump(&stage, now + DAY_MS - 60_000, true);
    let service = stage.shim.start(&stage.site).unwrap();
    fire(&mut sender, &service, SECOND, now + DAY_MS - 60_000, "a fresh server");
    let_it_try(&service);
    judge(&stage, &sender, &service, seed, "leap day");
}
