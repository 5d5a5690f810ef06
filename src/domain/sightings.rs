//! Servers that fire, counted in the ways that the storm guard asks for, so that its answer costs the same with many.
//!
//! Never: judges; that is [`super::storm`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::server::ServerNo;
use super::storm::Sighting;

/// How often each server was sighted.
type Servers = BTreeMap<ServerNo, usize>;

/// A collection of sightings. A clone shares what is counted until one of both is changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sightings(Arc<Counts>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Counts {
    len: usize,
    servers: Servers,
    policies: BTreeMap<String, usize>,
    places: BTreeMap<&'static str, BTreeMap<String, Servers>>,
}

impl Sightings {
    /// How many there are: a server that two policies named counts twice.
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// Adds one.
    pub fn push(&mut self, one: &Sighting) {
        let counts = Arc::make_mut(&mut self.0);
        counts.len += 1;
        more(&mut counts.servers, &one.server_no);
        // Thousands are counted at once where all is read anew: a name is copied only where it is new.
        match counts.policies.get_mut(&one.policy) {
            Some(known) => *known += 1,
            None => drop(counts.policies.insert(one.policy.clone(), 1)),
        }
        for (place, name) in one.places() {
            let names = counts.places.entry(place).or_default();
            match names.get_mut(name) {
                Some(servers) => more(servers, &one.server_no),
                None => drop(names.insert(name.to_owned(), Servers::from([(one.server_no.clone(), 1)]))),
            }
        }
    }

    /// Takes one away that was added before.
    pub fn remove(&mut self, one: &Sighting) {
        let counts = Arc::make_mut(&mut self.0);
        counts.len = counts.len.saturating_sub(1);
        fewer(&mut counts.servers, &one.server_no);
        if let Some(known) = counts.policies.get_mut(&one.policy) {
            *known -= 1;
            if *known == 0 {
                counts.policies.remove(&one.policy);
            }
        }
        for (place, name) in one.places() {
            let Some(names) = counts.places.get_mut(place) else { continue };
            let Some(servers) = names.get_mut(name) else { continue };
            fewer(servers, &one.server_no);
            if servers.is_empty() {
                names.remove(name);
            }
            if names.is_empty() {
                counts.places.remove(place);
            }
        }
    }

    /// Distinct servers, one more included.
    pub fn servers_with(&self, own: &Sighting) -> usize {
        with(&self.0.servers, own)
    }

    /// Names of these servers.
    pub fn servers(&self) -> BTreeSet<ServerNo> {
        self.0.servers.keys().cloned().collect()
    }

    /// Names of the policies that sighted them.
    pub fn policies(&self) -> BTreeSet<String> {
        self.0.policies.keys().cloned().collect()
    }

    /// The first place with at least `limit` distinct servers, one more included.
    pub fn crowded_with<'s>(
        &'s self,
        own: &'s Sighting,
        limit: usize,
    ) -> Option<(&'static str, &'s str, usize)> {
        let known = self.0.places.iter().flat_map(|(place, names)| {
            names.iter().map(|(name, servers)| {
                let here = own.places().contains(&(*place, name.as_str()));
                (*place, name.as_str(), if here { with(servers, own) } else { servers.len() })
            })
        });
        let is_known = |place, name| self.0.places.get(place).is_some_and(|names| names.contains_key(name));
        let its_own = own.places().into_iter().filter(|(place, name)| !is_known(*place, *name));
        let all = known.chain(its_own.map(|(place, name)| (place, name, 1)));
        all.filter(|(_, name, servers)| !name.is_empty() && *servers >= limit)
            .min_by_key(|(place, name, _)| (*place, *name))
    }
}

impl<'s> FromIterator<&'s Sighting> for Sightings {
    fn from_iter<I: IntoIterator<Item = &'s Sighting>>(all: I) -> Self {
        let mut sightings = Self::default();
        all.into_iter().for_each(|one| sightings.push(one));
        sightings
    }
}

impl FromIterator<Sighting> for Sightings {
    fn from_iter<I: IntoIterator<Item = Sighting>>(all: I) -> Self {
        let mut sightings = Self::default();
        all.into_iter().for_each(|one| sightings.push(&one));
        sightings
    }
}

/// Who was sighted: the server, the policy, and whether it was interrupted and nobody knows yet what came of it.
pub type Sighted = (ServerNo, String, bool);

/// Sightings that count for a time. Asking for another time costs what lies between both.
#[derive(Debug)]
pub struct Dated<T> {
    known: BTreeMap<Sighted, (Sighting, T)>,
    by_time: BTreeMap<T, BTreeSet<Sighted>>,
    after: T,
    counted: Sightings,
}

impl<T: Ord + Copy> Dated<T> {
    /// None, of which those count that are later than `after`.
    pub fn new(after: T) -> Self {
        Self { known: BTreeMap::new(), by_time: BTreeMap::new(), after, counted: Sightings::default() }
    }

    /// The time of a sighting.
    pub fn time(&self, sighted: &Sighted) -> Option<T> {
        self.known.get(sighted).map(|(_, at)| *at)
    }

    /// Every one, with its time.
    pub fn iter(&self) -> impl Iterator<Item = (&Sighted, &Sighting, T)> {
        self.known.iter().map(|(sighted, (sighting, at))| (sighted, sighting, *at))
    }

    /// Keeps a sighting and its time, instead of what was kept of the same server and policy.
    pub fn put(&mut self, sighting: &Sighting, in_flight: bool, at: T) {
        let sighted = (sighting.server_no.clone(), sighting.policy.clone(), in_flight);
        if let Some((before, then)) = self.known.get_mut(&sighted) {
            if before == sighting && *then == at {
                return;
            }
            let (counted, counts) = (*then > self.after, at > self.after);
            if counted && !(counts && before == sighting) {
                self.counted.remove(before);
            }
            if counts && !(counted && before == sighting) {
                self.counted.push(sighting);
            }
            if let Some(of_then) = self.by_time.get_mut(then) {
                of_then.remove(&sighted);
                if of_then.is_empty() {
                    self.by_time.remove(then);
                }
            }
            *then = at;
            before.clone_from(sighting);
            self.by_time.entry(at).or_default().insert(sighted);
            return;
        }
        if at > self.after {
            self.counted.push(sighting);
        }
        self.by_time.entry(at).or_default().insert(sighted.clone());
        self.known.insert(sighted, (sighting.clone(), at));
    }

    /// Forgets a sighting.
    pub fn remove(&mut self, sighted: &Sighted) {
        let Some((sighting, at)) = self.known.remove(sighted) else { return };
        if at > self.after {
            self.counted.remove(&sighting);
        }
        if let Some(of_then) = self.by_time.get_mut(&at) {
            of_then.remove(sighted);
            if of_then.is_empty() {
                self.by_time.remove(&at);
            }
        }
    }

    /// Those that are later than `after`.
    pub fn later_than(&mut self, after: T) -> Sightings {
        let (from, to) = (after.min(self.after), after.max(self.after));
        let ends = after > self.after;
        // An empty range may not be asked for.
        let between = if from == to { None } else { Some((Bound::Excluded(from), Bound::Included(to))) };
        for sighted in
            between.into_iter().flat_map(|range| self.by_time.range(range)).flat_map(|(_, all)| all)
        {
            let Some((sighting, _)) = self.known.get(sighted) else { continue };
            if ends {
                self.counted.remove(sighting);
            } else {
                self.counted.push(sighting);
            }
        }
        self.after = after;
        self.counted.clone()
    }
}

fn with(servers: &Servers, own: &Sighting) -> usize {
    servers.len() + usize::from(!servers.contains_key(&own.server_no))
}

fn more(servers: &mut Servers, no: &ServerNo) {
    match servers.get_mut(no) {
        Some(known) => *known += 1,
        None => drop(servers.insert(no.clone(), 1)),
    }
}

fn fewer(servers: &mut Servers, no: &ServerNo) {
    if let Some(known) = servers.get_mut(no) {
        *known -= 1;
        if *known == 0 {
            servers.remove(no);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sighting() -> impl Strategy<Value = Sighting> {
        (0_u32..8, 0_u32..3, 0_u32..4, 0_u32..4, 0_u32..2).prop_map(|(no, policy, zone, subnet, group)| {
            let named = |n: u32| if n == 0 { String::new() } else { format!("p{n}") };
            Sighting {
                server_no: ServerNo::parse(&(100 + no).to_string()).unwrap(),
                policy: format!("policy-{policy}"),
                zone_code: named(zone),
                subnet_no: named(subnet),
                placement_group_no: named(group),
            }
        })
    }

    /// The same by looking at each: what the counts must say.
    fn crowded<'s>(all: &[&'s Sighting], limit: usize) -> Option<(&'static str, &'s str, usize)> {
        let mut places: BTreeMap<_, BTreeSet<&ServerNo>> = BTreeMap::new();
        for one in all {
            for place in one.places().into_iter().filter(|(_, name)| !name.is_empty()) {
                places.entry(place).or_default().insert(&one.server_no);
            }
        }
        let full = places.into_iter().find(|(_, servers)| servers.len() >= limit);
        full.map(|((place, name), servers)| (place, name, servers.len()))
    }

    #[test]
    fn what_was_never_added_takes_nothing_away() {
        let one = |no: &str, zone: &str| Sighting {
            server_no: ServerNo::parse(no).unwrap(),
            policy: format!("p{no}"),
            zone_code: zone.to_owned(),
            subnet_no: String::new(),
            placement_group_no: String::new(),
        };
        let mut counts = Sightings::default();
        counts.remove(&one("1", "a"));
        assert_eq!(counts, Sightings::default());
        counts.push(&one("1", "a"));
        counts.remove(&one("2", "b"));
        assert_eq!(counts.servers(), [one("1", "a").server_no].into());
        assert_eq!(counts.policies(), ["p1".to_owned()].into());

        let mut dated = Dated::new(0);
        dated.put(&one("1", "a"), false, 5);
        dated.put(&one("1", "a"), false, 5);
        assert_eq!(dated.later_than(4).len(), 1, "the same again is the same");
    }

    proptest! {
        #[test]
        fn of_dated_ones_those_count_that_are_later(
            steps in prop::collection::vec((sighting(), any::<bool>(), any::<bool>(), 0_i64..30, 0_i64..30), 1..40),
        ) {
            let mut dated = Dated::new(0);
            let mut known = BTreeMap::new();
            for (sighting, in_flight, goes, at, after) in steps {
                let sighted = (sighting.server_no.clone(), sighting.policy.clone(), in_flight);
                if goes {
                    dated.remove(&sighted);
                    known.remove(&sighted);
                } else {
                    dated.put(&sighting, in_flight, at);
                    known.insert(sighted, (sighting, at));
                }
                let counts = known.values().filter(|(_, at)| *at > after).map(|(sighting, _)| sighting);
                prop_assert_eq!(dated.later_than(after), counts.collect::<Sightings>());
            }
        }

        #[test]
        fn counts_are_what_looking_at_each_gives(
            all in prop::collection::vec(sighting(), 0..20),
            gone in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            own in sighting(),
            limit in 1_usize..5,
        ) {
            let mut left = all.clone();
            let mut counts: Sightings = all.iter().collect();
            for index in gone {
                if !left.is_empty() {
                    counts.remove(&left.remove(index.index(left.len())));
                }
            }
            prop_assert_eq!(counts.len(), left.len());
            prop_assert_eq!(&counts, &left.iter().collect::<Sightings>(), "nothing is left of what is gone");
            let with_own: Vec<&Sighting> = left.iter().chain([&own]).collect();
            let servers: BTreeSet<&ServerNo> = with_own.iter().map(|one| &one.server_no).collect();
            prop_assert_eq!(counts.servers_with(&own), servers.len());
            prop_assert_eq!(counts.crowded_with(&own, limit), crowded(&with_own, limit));
        }
    }
}
