//! Timings: how long the newest deliveries took to be taken in, for whoever makes traces of them.
//!
//! Never: keeps more than its ring, or anything while nobody asks.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Deliveries that are remembered.
const RING: usize = 4096;

/// The newest deliveries by their identifiers.
#[derive(Debug, Default)]
pub struct Timings(Mutex<VecDeque<(String, Duration)>>);

impl Timings {
    /// Notes a delivery that was committed; the oldest makes room.
    pub fn note(&self, delivery: &str, took: Duration) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() >= RING {
            ring.pop_front();
        }
        ring.push_back((delivery.to_owned(), took));
    }

    /// How long a delivery took, told once.
    pub fn take(&self, delivery: &str) -> Option<Duration> {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = ring.iter().position(|(id, _)| id == delivery)?;
        ring.remove(place).map(|(_, took)| took)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_is_bounded_and_gives_each_once() {
        let timings = Timings::default();
        for n in 0..=RING {
            timings.note(&n.to_string(), Duration::from_millis(7));
        }
        assert_eq!(timings.take("0"), None, "the oldest has made room");
        assert_eq!(timings.take("1"), Some(Duration::from_millis(7)));
        assert_eq!(timings.take("1"), None);
        assert!(timings.0.lock().unwrap().len() < RING);
    }
}
