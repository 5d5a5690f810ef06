//! The only clock. Everything else takes the time as an argument.
//!
//! Never: goes backwards within one run, or behind what the store already knows.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

/// Wall clock with a floor: the latest instant that was ever handed out or found in the store.
/// A wall clock that jumps back therefore cannot re-open a cooldown or a budget.
#[derive(Debug, Default)]
pub struct Clock {
    floor_ms: AtomicI64,
}

impl Clock {
    /// A clock that never answers earlier than `floor`.
    pub fn starting_at(floor: Timestamp) -> Self {
        Self { floor_ms: AtomicI64::new(floor.as_millisecond()) }
    }

    /// The wall clock as it is, in whole milliseconds.
    #[expect(clippy::disallowed_methods, reason = "the only clock")]
    pub fn wall(&self) -> Timestamp {
        let now = Timestamp::now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }

    /// Now, never earlier than any answer before.
    pub fn now(&self) -> Timestamp {
        let wall = self.wall();
        let before = self.floor_ms.fetch_max(wall.as_millisecond(), Ordering::AcqRel);
        Timestamp::from_millisecond(before.max(wall.as_millisecond())).unwrap_or(wall)
    }

    /// How far the wall clock is behind the floor, in milliseconds; zero when it is not.
    pub fn behind_ms(&self) -> i64 {
        (self.floor_ms.load(Ordering::Acquire) - self.wall().as_millisecond()).max(0)
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
}
