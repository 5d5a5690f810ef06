//! The breaker by sequences, and against a model that is driven one event at a time.

use proptest::prelude::*;

use super::super::testing::{at, bad, good, pending};
use super::*;

const HOUR: i64 = 3600;

/// Newest last, as people tell it.
fn standing(told: &[Tried], now: i64) -> Breaker {
    let tried: Vec<Tried> = told.iter().rev().copied().collect();
    breaker(&BreakerRules::default(), &tried, at(now))
}

fn tried(outcome: Option<Outcome>, state: State) -> Tried {
    Tried { intent_at: at(0), outcome, state, by_record: false }
}

/// Confirmed by the cloud's record of the call alone.
fn unjudged(seconds: i64) -> Tried {
    Tried { outcome: Some(Outcome::Unknown), by_record: true, ..good(seconds) }
}

#[test]
fn what_an_attempt_says() {
    use Outcome::{Accepted, NotSent, Rejected, Unknown};
    for (outcome, state, expected) in [
        (None, State::Intent, Some(End::Pending)),
        (Some(NotSent), State::Queued, None),
        (Some(NotSent), State::NotSent, None),
        (Some(Rejected), State::Rejected, Some(End::Bad)),
        (Some(Accepted), State::Accepted, Some(End::Pending)),
        (Some(Accepted), State::Confirmed, Some(End::Good)),
        (Some(Accepted), State::Unconfirmed, Some(End::Bad)),
        (Some(Accepted), State::ClosedHappened, Some(End::Good)),
        (Some(Accepted), State::ClosedNotHappened, Some(End::Bad)),
        (Some(Unknown), State::Unknown, Some(End::Bad)),
        (Some(Unknown), State::Confirmed, Some(End::Good)),
        (Some(Unknown), State::ClosedHappened, Some(End::Good)),
        (Some(Unknown), State::ClosedNotHappened, Some(End::Bad)),
    ] {
        assert_eq!(tried(outcome, state).end(), expected, "{outcome:?} {state:?}");
    }
    assert_eq!(unjudged(0).end(), Some(End::Unjudged));
    assert_eq!(
        Tried { state: State::ClosedHappened, ..unjudged(0) }.end(),
        Some(End::Good),
        "a person says so"
    );
}

#[test]
fn three_bad_in_a_row_open_it_for_an_hour() {
    assert_eq!(standing(&[], 0), Breaker::Closed);
    assert_eq!(standing(&[bad(0), bad(1)], 2), Breaker::Closed);
    assert_eq!(standing(&[bad(0), bad(1), bad(2)], 3), Breaker::Open { until: at(2 + HOUR) });
    assert_eq!(standing(&[bad(0), bad(1), bad(2)], 1 + HOUR), Breaker::Open { until: at(2 + HOUR) });
    assert_eq!(standing(&[bad(0), bad(1), bad(2)], 2 + HOUR), Breaker::HalfOpen { pending: false });
}

#[test]
fn a_good_one_ends_the_run_and_a_pending_one_does_not() {
    assert_eq!(standing(&[bad(0), bad(1), good(2), bad(3)], 4), Breaker::Closed);
    assert_eq!(standing(&[bad(0), pending(1), bad(2), bad(3)], 4), Breaker::Open { until: at(3 + HOUR) });
    assert_eq!(standing(&[bad(0), bad(1), pending(2)], 3), Breaker::Closed);
    let not_sent = Tried { outcome: Some(Outcome::NotSent), state: State::NotSent, ..bad(2) };
    assert_eq!(standing(&[bad(0), bad(1), not_sent], 3), Breaker::Closed);
}

#[test]
fn half_open_lets_one_try_and_goes_by_what_it_brings() {
    let run = [bad(0), bad(1), bad(2)];
    let later = 2 + HOUR;
    let with = |last: Tried| standing(&[run.as_slice(), &[last]].concat(), later + 10);
    assert_eq!(with(pending(later)), Breaker::HalfOpen { pending: true });
    let in_flight = Tried { outcome: None, state: State::Intent, ..pending(later) };
    assert_eq!(with(in_flight), Breaker::HalfOpen { pending: true });
    assert_eq!(with(good(later)), Breaker::Closed);
    // A record of the call is no reboot: the breaker closes only by one, and the next try waits as after a bad one.
    assert_eq!(with(unjudged(later)), Breaker::Open { until: at(later + HOUR) });
    let again = [run.as_slice(), &[unjudged(later)]].concat();
    assert_eq!(standing(&again, later + HOUR), Breaker::HalfOpen { pending: false });
    assert_eq!(bad_in_a_row(&again), 3);
    assert_eq!(with(bad(later)), Breaker::Open { until: at(later + HOUR) });
}

#[test]
fn the_guard_stops_with_its_end_while_open_and_without_one_while_tried() {
    let asked = |told: &[Tried], now: i64| {
        let tried: Vec<Tried> = told.iter().rev().copied().collect();
        let mut trace = Trace::default();
        ask(&mut trace, &BreakerRules::default(), &tried, at(now));
        let check = trace.0.first().cloned().unwrap();
        (check.verdict, check.until)
    };
    let run = [bad(0), bad(1), bad(2)];
    assert_eq!(asked(&run, 3), (Verdict::Stop, Some(at(2 + HOUR))));
    assert_eq!(asked(&run, 2 + HOUR), (Verdict::Pass, None));
    assert_eq!(asked(&[run.as_slice(), &[pending(HOUR * 2)]].concat(), HOUR * 2 + 1), (Verdict::Stop, None));
    assert_eq!(asked(&[], 0), (Verdict::Pass, None));
}

/// A breaker as it is usually built: a state that is moved by each event.
#[derive(Debug, Default)]
struct Model {
    run: u32,
    last_bad: i64,
}

impl Model {
    fn take(&mut self, end: End, at: i64) {
        match end {
            End::Good => self.run = 0,
            End::Bad => (self.run, self.last_bad) = (self.run + 1, at),
            End::Unjudged => self.last_bad = at,
            End::Pending => {}
        }
    }

    fn lets_pass(&self, now: i64, pending: bool) -> bool {
        self.run < 3 || (now >= self.last_bad + HOUR && !pending)
    }
}

proptest! {
    #[test]
    fn it_lets_pass_exactly_what_a_moved_breaker_lets_pass(
        events in prop::collection::vec((0_u8..4, 1_i64..2000), 0..40),
        wait in 0_i64..8000,
    ) {
        let (mut model, mut told, mut now) = (Model::default(), Vec::new(), 0);
        for (end, pause) in events {
            now += pause;
            let (attempt, end) = match end {
                0 => (good(now), End::Good),
                1 => (bad(now), End::Bad),
                2 => (unjudged(now), End::Unjudged),
                _ => (pending(now), End::Pending),
            };
            model.take(end, now);
            told.push(attempt);
        }
        let now = now + wait;
        let waits = told.iter().any(|one| one.end() == Some(End::Pending));
        let passes = match standing(&told, now) {
            Breaker::Closed | Breaker::HalfOpen { pending: false } => true,
            Breaker::Open { .. } | Breaker::HalfOpen { pending: true } => false,
        };
        prop_assert_eq!(passes, model.lets_pass(now, waits));
    }
}
