//! Claims of servers that somebody started since.

use super::*;

#[test]
fn a_reboot_that_nobody_watched_counts_as_an_interrupt() {
    let rebooted = |seconds: i64| {
        case(Mode::Auto).with(|c| {
            c.boots(Some(seconds));
            c.facts.unwatched.push(Gap { from: at(-90_000), until: at(-1000) });
        })
    };
    check(rebooted(-2000), "cancel cooldown");
    check(rebooted(-86_399), "cancel cooldown");
    check(rebooted(-86_400), "go");
    check(rebooted(-90_000), "go");
    let watched = case(Mode::Auto).with(|c| {
        c.boots(Some(-2000));
        c.facts.unwatched.push(Gap { from: at(-90_000), until: at(-2001) });
    });
    check(watched, "go");
}

#[test]
fn a_server_that_somebody_rebooted_is_not_the_hung_one_any_more() {
    let seen = |mode, seconds: i64| case(mode).with(|c| c.sees(Some(seconds)));
    check(seen(Mode::Auto, -200), "cancel rebooted");
    // Whatever its date says, it is not the one that was decided about.
    check(seen(Mode::Auto, -50_000), "cancel rebooted");
    check(case(Mode::Auto).with(|c| c.sees(None)), "cancel rebooted");
    let approved = |confirmed: Option<i64>, booted: i64| {
        seen(Mode::Approve, booted).with(|c| {
            c.waiting.approved_at = Some(at(-10));
            c.waiting.confirmed_at = confirmed.map(at);
        })
    };
    check(approved(None, -200), "cancel rebooted");
    check(approved(Some(-10), -5), "cancel rebooted");
    check(approved(Some(-10), -3000), "go");
    // A list that the cloud gave meanwhile tells it as well, before any read.
    let listed = case(Mode::Auto).with(|c| {
        c.facts.listed_uptime_at = Some(at(-200));
        c.preflight = None;
    });
    check(listed, "cancel rebooted");
}

#[test]
fn what_began_before_a_boot_is_not_claimed_before_a_person_has_seen_it_hang() {
    let old_start = |confirmed: Option<i64>| {
        case(Mode::Auto).with(|c| {
            c.waiting.alert.starts_at = Some(at(-9000));
            c.boots(Some(-5000));
            c.waiting.confirmed_at = confirmed.map(at);
        })
    };
    check(old_start(None), "ask rebooted");
    check(old_start(Some(-10)), "go");
    let settled = |case: Case| settled(&case.waiting, &case.rules, &case.facts, at(0)).0;
    assert_eq!(settled(old_start(None)), Settled::AskPerson(Some(Reason::Rebooted)));
    assert_eq!(settled(old_start(Some(-10))), Settled::Queue);
    let case = old_start(None);
    let (verdict, trace) = approvable(&case.waiting, &case.rules, &case.facts, at(0));
    assert_eq!((verdict, trace.first(Verdict::AskPerson).map(|c| c.guard)), (Ok(()), Some(Reason::Rebooted)));
    // The clock stood still for longer than since the boot: nobody knows which came first.
    let stalled = old_start(Some(-10)).with(|c| {
        c.health.stall = Some(Stall { until: at(-5), by: SignedDuration::from_hours(2) });
    });
    check(stalled, "cancel rebooted");
}

#[test]
fn an_alert_without_a_start_began_with_its_incident_or_with_its_notice() {
    let case = |opened: Option<i64>, booted: i64| {
        case(Mode::Auto).with(|c| {
            c.waiting.alert.starts_at = None;
            c.facts.incident_opened_at = opened.map(at);
            c.boots(Some(booted));
        })
    };
    check(case(None, -2000), "go");
    check(case(Some(-1000), -2000), "go");
    check(case(Some(-3000), -2000), "ask rebooted");
    check(case(Some(-2050), -2100), "ask rebooted");
}

#[test]
fn no_boot_is_interrupted_while_its_dump_may_be_written() {
    // Our own history is empty; who started it is not asked.
    let young = |seconds: i64| {
        case(Mode::Auto).with(|c| {
            c.boots(Some(seconds));
            c.waiting.alert.starts_at = Some(at(-60));
        })
    };
    check(young(-1799), "cancel dump_window");
    check(young(-1800), "go");
    let big = |seconds: i64| {
        young(seconds).with(|c| {
            let Some(Preflight { seen: PreflightSeen::Server(server), .. }) = &mut c.preflight else {
                return;
            };
            server.memory_bytes = 64 << 30;
        })
    };
    check(big(-3600), "cancel dump_window");
    check(big(-3700), "go");
}
