//! Turns: the names that alerts of several sources wait for, and whose is looked up next.
//!
//! Never: lets the backlog of one source stand before the first name of another, or grows without bound.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::time::Instant;

/// Most names of one source that wait for a look-up.
pub const OPEN_NAMES_MAX: usize = 200;

/// What becomes of a name that is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It waits for its turn.
    Open,
    /// Too many names of this source wait already.
    TooMany,
}

/// Names that wait, by source. Sources take turns; within one the oldest name is first.
#[derive(Debug)]
pub struct Turns<K> {
    sources: BTreeMap<String, VecDeque<(K, Instant)>>,
    last: String,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { sources: BTreeMap::new(), last: String::new() }
    }
}

impl<K: Ord + Clone> Turns<K> {
    /// Adds a name behind the others of its source, unless it waits already.
    pub fn offer(&mut self, source: &str, name: &K, now: Instant) -> Offered {
        let names = self.sources.entry(source.to_owned()).or_default();
        if names.iter().any(|(open, _)| open == name) {
            return Offered::Open;
        }
        if names.len() >= OPEN_NAMES_MAX {
            return Offered::TooMany;
        }
        names.push_back((name.clone(), now));
        Offered::Open
    }

    /// The next name that may be asked for now: of the source that comes after the one that was served last, and is not
    /// being served. It keeps its place until it is closed.
    pub fn next(&mut self, now: Instant, is_served: impl Fn(&str, &K) -> bool) -> Option<(String, K)> {
        let last = self.last.as_str();
        let after = self.sources.range::<str, _>((Bound::Excluded(last), Bound::Unbounded));
        let before = self.sources.range::<str, _>((Bound::Unbounded, Bound::Included(last)));
        let (source, name) = after.chain(before).find_map(|(source, names)| {
            let (name, _) = names.iter().find(|(_, not_before)| *not_before <= now)?;
            (!is_served(source, name)).then(|| (source.clone(), name.clone()))
        })?;
        self.last.clone_from(&source);
        Some((source, name))
    }

    /// A name that could not be looked up: to the end of every source that waits for it, and not before then.
    pub fn again(&mut self, name: &K, not_before: Instant) {
        for names in self.sources.values_mut() {
            let had = names.len();
            names.retain(|(open, _)| open != name);
            if names.len() < had {
                names.push_back((name.clone(), not_before));
            }
        }
    }

    /// Keeps only the names that something still waits for.
    pub fn retain(&mut self, is_wanted: impl Fn(&str, &K) -> bool) {
        for (source, names) in &mut self.sources {
            names.retain(|(name, _)| is_wanted(source, name));
        }
        self.sources.retain(|_, names| !names.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn served(turns: &mut Turns<u32>, now: Instant, count: usize) -> Vec<(String, u32)> {
        let mut order = Vec::new();
        for _ in 0..count {
            let Some((source, name)) = turns.next(now, |_, _| false) else { break };
            turns.retain(|_, open| *open != name);
            order.push((source, name));
        }
        order
    }

    fn check(order: &[(String, u32)], expected: &[(&str, u32)]) {
        let order: Vec<_> = order.iter().map(|(source, name)| (source.as_str(), *name)).collect();
        assert_eq!(order, expected);
    }

    #[test]
    fn sources_take_turns_and_a_new_one_is_served_before_the_backlog() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        for name in 0..100 {
            assert_eq!(turns.offer("flood", &name, now), Offered::Open);
        }
        check(&served(&mut turns, now, 2), &[("flood", 0), ("flood", 1)]);
        turns.offer("quiet", &1000, now);
        turns.offer("quiet", &1001, now);
        turns.offer("able", &2000, now);
        let expected =
            [("quiet", 1000), ("able", 2000), ("flood", 2), ("quiet", 1001), ("flood", 3), ("flood", 4)];
        check(&served(&mut turns, now, 6), &expected);
    }

    #[test]
    fn a_source_has_a_cap_of_its_own_and_a_name_that_waits_counts_once() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        let names = 0..u32::try_from(OPEN_NAMES_MAX).unwrap();
        for name in names.clone().chain(names) {
            assert_eq!(turns.offer("flood", &name, now), Offered::Open);
        }
        assert_eq!(turns.offer("flood", &9999, now), Offered::TooMany);
        assert_eq!(turns.offer("quiet", &9999, now), Offered::Open);
        served(&mut turns, now, 2);
        assert_eq!(turns.offer("flood", &9999, now), Offered::Open, "a place became free");
    }

    #[test]
    fn a_source_that_is_being_served_waits_and_a_name_that_failed_is_last_and_later() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        turns.offer("a", &1, now);
        turns.offer("a", &2, now);
        turns.offer("b", &1, now);
        assert_eq!(turns.next(now, |source, _| source == "a"), Some(("b".to_owned(), 1)));
        assert_eq!(turns.next(now, |_, _| true), None);
        let then = now + Duration::from_secs(2);
        turns.again(&1, then);
        check(&served(&mut turns, now, 3), &[("a", 2)]);
        assert_eq!(turns.next(now, |_, _| false), None);
        assert_eq!(turns.next(then, |_, _| false), Some(("b".to_owned(), 1)));
    }
}
