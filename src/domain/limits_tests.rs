//! Sliding windows, over every window and not only at its ends.

use proptest::prelude::*;

use super::super::policy::Mode;
use super::super::testing::{at, past, policy, server};
use super::*;

fn check(count: u32, spent: &[i64], now: i64, expected: (usize, bool, Option<i64>)) {
    let budget = Budget { count, window: SignedDuration::from_secs(100) };
    let spent: Vec<_> = spent.iter().copied().map(at).collect();
    let usage = usage(budget, &spent, at(now));
    let free_at = usage.free_at.map(|free_at| free_at.duration_since(at(0)).as_secs());
    assert_eq!((usage.spent, usage.free, free_at), expected);
}

#[test]
fn a_window_slides() {
    check(2, &[], 0, (0, true, None));
    check(2, &[0], 50, (1, true, None));
    check(2, &[0, 50], 99, (2, false, Some(100)));
    check(2, &[0, 50], 100, (1, true, None));
    check(1, &[0, 50], 60, (2, false, Some(150)));
}

#[test]
fn what_lies_at_the_very_moment_is_not_over() {
    let stops = |trace: &Trace| trace.0.iter().filter(|check| check.verdict == Verdict::Stop).count();
    // A dump that was collected at the moment of an intent is not the dump of that intent.
    let own = [past(-7200, Some(Outcome::Accepted))];
    for (collected, stopped) in [(-7200, 1), (-7199, 0)] {
        let mut trace = Trace::default();
        ask_rest(&mut trace, &policy(Mode::Auto), &own, &server(), Some(at(collected)), at(0));
        assert_eq!(stops(&trace), stopped, "{collected}");
    }
    // A reboot at the moment when watching ended was seen until then; one when it began again was not.
    for (from, until, stopped) in [(-60, -10, 0), (-61, -60, 1), (-61, -61, 0)] {
        let mut trace = Trace::default();
        let rebooted = Server { uptime_at: Some(at(-60)), ..server() };
        let gap = Gap { from: at(from), until: at(until) };
        ask_unwatched(&mut trace, &policy(Mode::Auto), &[gap], &rebooted, at(0));
        assert_eq!(stops(&trace), stopped, "{from} {until}");
    }
}

#[test]
fn the_longest_limit_is_looked_back_to() {
    let mut rules = super::super::testing::rules(Mode::Auto);
    // The dump of the biggest server takes longest.
    assert_eq!(look_back(&rules), dump_window(32 << 40));
    rules.policies[0].cooldown = SignedDuration::from_hours(500);
    assert_eq!(look_back(&rules), SignedDuration::from_hours(500));
    rules.limits.region.push(Budget::parse("9/600h").unwrap());
    assert_eq!(look_back(&rules), SignedDuration::from_hours(600));
}

#[test]
fn a_refusal_and_an_unwatched_reboot_say_that_only_time_lifts_them() {
    let limits = |trace: &Trace| {
        let stops = trace.0.iter().filter(|check| check.verdict == Verdict::Stop);
        stops.map(|check| check.limit.clone()).collect::<Vec<_>>()
    };
    let mut trace = Trace::default();
    let refused = [past(-60, Some(Outcome::Rejected))];
    ask_rest(&mut trace, &policy(Mode::Auto), &refused, &server(), Some(at(-1)), at(0));
    assert_eq!(limits(&trace), [format!("no refusal within 15m{ONLY_TIME}")]);
    let mut trace = Trace::default();
    let rebooted = Server { uptime_at: Some(at(-60)), ..server() };
    let gap = Gap { from: at(-1000), until: at(-10) };
    ask_unwatched(&mut trace, &policy(Mode::Auto), &[gap], &rebooted, at(0));
    let limits = limits(&trace);
    assert!(matches!(limits.as_slice(), [limit] if limit.ends_with(ONLY_TIME)), "{limits:?}");
    // What a collected dump does lift does not say so.
    let mut trace = Trace::default();
    let taken = [past(-7200, Some(Outcome::Accepted))];
    ask_rest(&mut trace, &policy(Mode::Auto), &taken, &server(), None, at(0));
    assert!(trace.0.iter().any(|check| check.verdict == Verdict::Stop && !check.limit.ends_with(ONLY_TIME)));
}

#[test]
fn zero_means_never() {
    check(0, &[], 0, (0, false, None));
    check(0, &[1], 50, (1, false, None));
}

proptest! {
    /// Whoever attempts as soon as `usage` says so never has more than `count` in any window of any position.
    #[test]
    fn no_window_anywhere_holds_more_than_the_budget(
        count in 0_u32..4,
        steps in prop::collection::vec(0_i64..60, 1..60),
    ) {
        let budget = Budget { count, window: SignedDuration::from_secs(100) };
        let mut spent: Vec<i64> = Vec::new();
        let mut now = 0;
        for step in steps {
            now += step;
            let times: Vec<_> = spent.iter().copied().map(at).collect();
            if usage(budget, &times, at(now)).free {
                spent.push(now);
            }
        }
        for begin in 0..=now {
            let inside = spent.iter().filter(|t| **t > begin - 1 && **t <= begin + 99).count();
            prop_assert!(inside <= usize::try_from(count).unwrap(), "window at {begin}: {spent:?}");
        }
    }

    /// The time that is given as the end of a no really is its end, and nothing earlier is.
    #[test]
    fn free_at_is_the_first_moment_that_is_free(
        count in 1_u32..4,
        spent in prop::collection::vec(0_i64..300, 0..8),
    ) {
        let budget = Budget { count, window: SignedDuration::from_secs(100) };
        let times: Vec<_> = spent.iter().copied().map(at).collect();
        if let Some(free_at) = usage(budget, &times, at(300)).free_at {
            prop_assert!(usage(budget, &times, free_at).free);
            prop_assert!(!usage(budget, &times, earlier(free_at, SignedDuration::from_secs(1))).free);
        }
    }
}

#[test]
fn the_longest_cooldown_is_a_leap_year() {
    assert_eq!(COOLDOWN_MAX, SignedDuration::from_hours(8784));
}
