//! The only clock. Everything else takes the time as an argument.
//!
//! Never: goes backwards within one run, or behind what the store already knows.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::domain::claim::Stall;
use crate::domain::limits::COOLDOWN_MAX;

/// Wall and monotonic clock may part by so much since they were last confirmed together: time keeping slews slowly, and
/// only a jump is faster.
pub const DRIFT_MAX_MS: i64 = 5_000;
/// A wall clock further behind the newest time handed out has jumped back.
const BEHIND_MAX_MS: i64 = 5_000;
/// Oldest `Date` of the cloud that the clock may rest on.
const DATE_AGE_MAX: Duration = Duration::from_mins(5);
/// Without any `Date` the two clocks are compared over stretches of this length.
const STRETCH: Duration = Duration::from_mins(1);

/// Wall clock with a floor: the latest instant that was ever handed out or found in the store.
/// A wall clock that jumps back therefore cannot re-open a cooldown or a budget.
#[derive(Debug, Default)]
pub struct Clock {
    floor_ms: AtomicI64,
    stood: Mutex<Stood>,
}

/// How often and how long the clock stood still at its floor.
#[derive(Debug, Default)]
struct Stood {
    /// All stalls so far, as one that reaches to the newest floor.
    stall: Option<Stall>,
    /// How far the wall clock was behind that floor when it was last looked at.
    behind_ms: i64,
}

impl Stood {
    /// Notes how far the wall clock is behind the floor. Each time it is set back adds to what the clock does not show, also
    /// of what was noted between two such times: too old is safe.
    fn see(&mut self, floor_ms: i64, behind_ms: i64) {
        let Ok(until) = Timestamp::from_millisecond(floor_ms) else { return };
        let same = self.stall.is_some_and(|stall| stall.until == until);
        let further = behind_ms - if same { self.behind_ms } else { 0 };
        self.behind_ms = behind_ms;
        let before = self.stall.map_or(SignedDuration::ZERO, |stall| stall.by);
        let by = before.saturating_add(SignedDuration::from_millis(further.max(0)));
        self.stall = Some(Stall { until, by });
    }
}

impl Clock {
    /// A clock that never answers earlier than `floor`.
    pub fn starting_at(floor: Timestamp) -> Self {
        let clock = Self { floor_ms: AtomicI64::new(floor.as_millisecond()), stood: Mutex::default() };
        // How long it stood still in processes before this one is not known.
        if clock.behind_ms() > BEHIND_MAX_MS {
            let stall = Some(Stall { until: floor, by: COOLDOWN_MAX });
            *clock.stood.lock().unwrap_or_else(PoisonError::into_inner) =
                Stood { stall, behind_ms: clock.behind_ms() };
        }
        clock
    }

    /// The wall clock as it is, in whole milliseconds.
    #[expect(clippy::disallowed_methods, reason = "the only clock")]
    pub fn wall(&self) -> Timestamp {
        let now = Timestamp::now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }

    /// Now, never earlier than any answer before. A wall clock that is behind is noted; see [`Clock::stall`].
    pub fn now(&self) -> Timestamp {
        let wall = self.wall();
        let before = self.floor_ms.fetch_max(wall.as_millisecond(), Ordering::AcqRel);
        if before - wall.as_millisecond() > BEHIND_MAX_MS {
            let _seen = self.stall();
        }
        Timestamp::from_millisecond(before.max(wall.as_millisecond())).unwrap_or(wall)
    }

    /// Nothing earlier than this is answered from now on: another process has written it into the store.
    pub fn not_before(&self, at: Timestamp) {
        self.floor_ms.fetch_max(at.as_millisecond(), Ordering::AcqRel);
    }

    /// How far the wall clock is behind the floor, in milliseconds; zero when it is not.
    pub fn behind_ms(&self) -> i64 {
        (self.floor_ms.load(Ordering::Acquire) - self.wall().as_millisecond()).max(0)
    }

    /// The time in which this clock stood still: up to which floor, and by how much at most what was noted until then is
    /// older than it seems. Every look at the clock sees it, and the dispatcher looks at each tick.
    pub fn stall(&self) -> Option<Stall> {
        let mut stood = self.stood.lock().unwrap_or_else(PoisonError::into_inner);
        let floor_ms = self.floor_ms.load(Ordering::Acquire);
        let behind_ms = floor_ms - self.wall().as_millisecond();
        if behind_ms > BEHIND_MAX_MS {
            stood.see(floor_ms, behind_ms);
        }
        stood.stall
    }
}

/// Both clocks, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic: counts on whatever people and time keeping do. It stands still while the machine sleeps.
    pub mono: Instant,
    /// Wall clock, in milliseconds since 1970 UTC.
    pub wall_ms: i64,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Self { mono: Instant::now(), wall_ms: Clock::default().wall().as_millisecond() }
    }

    /// How much further the wall clock went than the monotonic one between two moments, in milliseconds.
    pub fn drift_ms(self, later: Self) -> i64 {
        let went = later.mono.saturating_duration_since(self.mono).as_millis();
        later.wall_ms.saturating_sub(self.wall_ms).saturating_sub(i64::try_from(went).unwrap_or(i64::MAX))
    }
}

/// A `Date` of the cloud, compared with our wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenDate {
    /// Cloud minus ours, in milliseconds.
    pub skew_ms: i64,
    /// When its answer had come.
    pub at: Moment,
}

/// How the cloud's `Date` is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateDemand {
    /// Largest difference in milliseconds.
    pub skew_max_ms: i64,
    /// Whether there must be one.
    pub required: bool,
}

/// Why the wall clock cannot be trusted at `now`. `anchor` is when both clocks were last confirmed together, `date` the
/// newest `Date` of the cloud, `behind_ms` how far the wall clock is behind the newest time handed out or stored.
pub fn clock_fault(
    anchor: Moment,
    now: Moment,
    date: Option<SeenDate>,
    demand: DateDemand,
    behind_ms: i64,
) -> Option<String> {
    if let Some(SeenDate { skew_ms, .. }) = date.filter(|date| !agrees(*date, demand)) {
        let (off, most) = (skew_ms / 1000, demand.skew_max_ms / 1000);
        return Some(format!("the cloud's clock differs from ours by {off} s; at most {most} s"));
    }
    let drift = anchor.drift_ms(now);
    if drift.abs() > DRIFT_MAX_MS {
        let by = drift / 1000;
        return Some(format!(
            "the wall clock jumped by {by} s against the monotonic clock; a Date of the cloud read after it must agree"
        ));
    }
    if behind_ms > BEHIND_MAX_MS {
        let by = behind_ms / 1000;
        return Some(format!(
            "the wall clock is {by} s behind the newest time in the store or handed out; waiting until it has caught up"
        ));
    }
    let age = date.map(|date| now.mono.saturating_duration_since(date.at.mono));
    match age {
        None if demand.required => {
            Some("no Date from the cloud has confirmed the clock yet (cloud.date = \"required\")".to_owned())
        }
        Some(age) if demand.required && age > DATE_AGE_MAX => {
            Some(format!("the last Date from the cloud is {} s old", age.as_secs()))
        }
        None | Some(_) => None,
    }
}

fn agrees(date: SeenDate, demand: DateDemand) -> bool {
    date.skew_ms.saturating_abs() <= demand.skew_max_ms
}

/// Watches the wall clock against the monotonic one and the cloud's.
#[derive(Debug)]
pub struct ClockWatch {
    state: Mutex<Watched>,
}

#[derive(Debug, Clone, Copy)]
struct Watched {
    anchor: Moment,
    date: Option<SeenDate>,
}

impl ClockWatch {
    /// Watches from now on.
    pub fn starting_at(now: Moment) -> Self {
        Self { state: Mutex::new(Watched { anchor: now, date: None }) }
    }

    /// Distrusts the wall clock: by this moment it should say something else. A `Date` of the cloud read from now on, or the
    /// clock being put right, ends that.
    pub fn expect(&self, moment: Moment) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).anchor = moment;
    }

    /// Whether the wall clock parted from the monotonic one, and nothing has confirmed it since.
    pub fn parted(&self, now: Moment) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.anchor.drift_ms(now).abs() > DRIFT_MAX_MS
    }

    /// Notes the newest `Date` of the cloud. One that agrees confirms both clocks as they were then.
    pub fn see(&self, date: SeenDate, demand: DateDemand) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.date.is_some_and(|known| known.at.mono >= date.at.mono) {
            return;
        }
        state.date = Some(date);
        if agrees(date, demand) {
            state.anchor = date.at;
        }
    }

    /// Why the wall clock cannot be trusted; see [`clock_fault`].
    pub fn fault(&self, now: Moment, demand: DateDemand, behind_ms: i64) -> Option<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = clock_fault(state.anchor, now, state.date, demand, behind_ms);
        // Slow slewing adds up over hours. With Dates each of them confirms anew; without, a clean stretch does.
        let stretch = now.mono.saturating_duration_since(state.anchor.mono);
        if fault.is_none() && !demand.required && stretch > STRETCH {
            state.anchor = now;
        }
        fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_runs_behind_its_floor() {
        let later = Timestamp::from_second(32_503_680_000).unwrap();
        let clock = Clock::starting_at(later);
        assert!(clock.now() >= later);
        assert!(clock.behind_ms() > 0);
        assert_eq!(Clock::default().behind_ms(), 0);
    }

    #[test]
    fn a_clock_that_begins_behind_its_store_does_not_know_how_old_anything_in_it_is() {
        let later = Timestamp::from_second(32_503_680_000).unwrap();
        let stall = Clock::starting_at(later).stall().unwrap();
        assert_eq!((stall.until, stall.by), (later, COOLDOWN_MAX));
        let now = Clock::default().now();
        assert_eq!(Clock::starting_at(now).stall(), None, "one that agrees knows of no stall");
    }

    #[test]
    fn every_time_that_the_wall_is_set_back_counts() {
        let (hour, minute) = (3_600_000, 60_000);
        let floor = 1_800_000_000_000;
        let mut stood = Stood::default();
        let mut see = |floor_ms, behind_ms| {
            stood.see(floor_ms, behind_ms);
            let stall = stood.stall.unwrap();
            (stall.until.as_millisecond() - floor, i64::try_from(stall.by.as_millis()).unwrap())
        };
        assert_eq!(see(floor, hour), (0, hour));
        assert_eq!(see(floor, 10 * minute), (0, hour), "it catches up");
        assert_eq!(see(floor, 40 * minute), (0, hour + 30 * minute), "set back again before it has");
        let next = floor + minute;
        assert_eq!(see(next, 20 * minute), (minute, hour + 50 * minute), "set back again after it has");
        assert_eq!(see(next, 20 * minute), (minute, hour + 50 * minute), "looked at twice");
    }

    const DEMAND: DateDemand = DateDemand { skew_max_ms: 60_000, required: true };
    const IF_SENT: DateDemand = DateDemand { required: false, ..DEMAND };

    /// A moment so many milliseconds after the first, with the wall clock ahead by `jump_ms`.
    fn after(start: Moment, ms: u64, jump_ms: i64) -> Moment {
        let went = i64::try_from(ms).unwrap();
        Moment { mono: start.mono + Duration::from_millis(ms), wall_ms: start.wall_ms + went + jump_ms }
    }

    fn start() -> Moment {
        Moment { mono: Instant::now(), wall_ms: 1_800_000_000_000 }
    }

    #[test]
    fn a_clock_is_doubted_for_a_reason_and_not_beyond_its_bound() {
        let zero = start();
        let date = |ms, skew_ms| Some(SeenDate { skew_ms, at: after(zero, ms, 0) });
        let hour = 3_600_000;
        for (now, date, demand, behind, expected) in [
            // (elapsed, jump), newest Date, demand, behind, what is said
            ((1_000, 0), None, DEMAND, 0, Some("no Date from the cloud has confirmed")),
            ((1_000, 0), None, IF_SENT, 0, None),
            ((1_000, 0), date(500, 0), DEMAND, 0, None),
            ((1_000, 0), date(500, 60_000), DEMAND, 0, None),
            ((1_000, 0), date(500, -60_000), DEMAND, 0, None),
            ((1_000, 0), date(500, 60_001), DEMAND, 0, Some("differs from ours by 60 s")),
            ((1_000, 0), date(500, -61_000), IF_SENT, 0, Some("differs from ours by -61 s")),
            ((300_500, 0), date(500, 0), DEMAND, 0, None),
            ((300_501, 0), date(500, 0), DEMAND, 0, Some("is 300 s old")),
            ((300_501, 0), date(500, 0), IF_SENT, 0, None),
            ((1_000, 5_000), date(500, 0), DEMAND, 0, None),
            ((1_000, -5_000), date(500, 0), DEMAND, 0, None),
            ((1_000, 5_001), date(500, 0), DEMAND, 0, Some("jumped by 5 s")),
            ((1_000, -5_001), date(500, 0), DEMAND, 0, Some("jumped by -5 s")),
            ((1_000, hour), date(500, 0), IF_SENT, 0, Some("jumped by 3600 s")),
            ((1_000, 24 * hour), None, IF_SENT, 0, Some("jumped by 86400 s")),
            ((1_000, -24 * hour), None, DEMAND, 0, Some("jumped by -86400 s")),
            ((1_000, 0), date(500, 0), DEMAND, 5_000, None),
            ((1_000, 0), date(500, 0), DEMAND, 5_001, Some("5 s behind")),
        ] {
            let said = clock_fault(zero, after(zero, now.0, now.1), date, demand, behind);
            match expected {
                None => assert_eq!(said, None, "{now:?} {date:?}"),
                Some(words) => assert!(said.as_ref().is_some_and(|said| said.contains(words)), "{said:?}"),
            }
        }
    }

    #[test]
    fn a_jump_is_doubted_until_a_date_read_after_it_agrees() {
        let zero = start();
        let hour = 3_600_000;
        let watch = ClockWatch::starting_at(zero);
        let seen = |ms, jump, skew_ms| SeenDate { skew_ms, at: after(zero, ms, jump) };
        watch.see(seen(1_000, 0, 200), DEMAND);
        assert_eq!(watch.fault(after(zero, 2_000, 0), DEMAND, 0), None);

        // An hour forward: the old Date says nothing any more, a new one disagrees.
        let jumped = watch.fault(after(zero, 3_000, hour), DEMAND, 0).unwrap();
        assert!(jumped.contains("jumped by 3600 s"), "{jumped}");
        watch.see(seen(1_000, 0, 200), DEMAND);
        assert!(watch.fault(after(zero, 3_000, hour), DEMAND, 0).is_some(), "the same Date again");
        watch.see(seen(4_000, hour, -hour), DEMAND);
        assert!(watch.fault(after(zero, 5_000, hour), DEMAND, 0).unwrap().contains("differs"));

        // Put right: what was handed out meanwhile is an hour ahead, so it waits until the wall clock has caught up.
        watch.see(seen(6_000, 0, 200), DEMAND);
        let waiting = watch.fault(after(zero, 7_000, 0), DEMAND, hour - 3_000).unwrap();
        assert!(waiting.contains("waiting until it has caught up"), "{waiting}");
        watch.see(seen(3_599_000, 0, 200), DEMAND);
        assert_eq!(watch.fault(after(zero, 3_600_000, 0), DEMAND, 0), None);

        // A jump that was right, such as the first synchronisation after a start: the Date confirms it.
        watch.see(seen(3_601_000, -hour, 200), DEMAND);
        assert_eq!(watch.fault(after(zero, 3_602_000, -hour), DEMAND, 0), None);
    }

    #[test]
    fn slow_slewing_is_no_jump() {
        // 500 ppm, the most that the kernel slews by itself, for two days: with Dates every 5 minutes, and without any.
        let zero = start();
        let (with, without) = (ClockWatch::starting_at(zero), ClockWatch::starting_at(zero));
        for minute in 1..=2880_u64 {
            let now = after(zero, minute * 60_000 + 1, i64::try_from(minute).unwrap() * 30);
            if minute % 5 == 1 {
                with.see(SeenDate { skew_ms: 0, at: now }, DEMAND);
            }
            assert_eq!(with.fault(now, DEMAND, 0), None, "minute {minute}");
            assert_eq!(without.fault(now, IF_SENT, 0), None, "minute {minute}");
        }
        let now = after(zero, 2881 * 60_000, 2881 * 30 + 6_000);
        assert!(with.fault(now, DEMAND, 0).is_some() && without.fault(now, IF_SENT, 0).is_some());
    }
}
