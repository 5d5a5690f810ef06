//! When many servers are a storm: both sides of each boundary.

use proptest::prelude::*;

use super::super::policy::Mode;
use super::super::testing::{at, rules, server};
use super::*;

fn no(n: u32) -> ServerNo {
    ServerNo::parse(&(91_000_001 + n).to_string()).unwrap()
}

/// A server in a zone, subnet and placement group of its own.
fn alone(n: u32) -> Sighting {
    Sighting {
        server_no: no(n),
        policy: "hung-windows".into(),
        zone_code: format!("zone-{n}"),
        subnet_no: format!("subnet-{n}"),
        placement_group_no: String::new(),
    }
}

fn kinds(windows: u32, linux: u32) -> Vec<Kind> {
    let kind =
        |platform: &str, count| Kind { hypervisor_code: "XEN".into(), platform_code: platform.into(), count };
    vec![kind("WND64", windows), kind("LNX64", linux)]
}

/// Asks with `others` servers beside the one that is decided, all of them apart.
fn trips(others: u32, kinds: Vec<Kind>, change: impl Fn(&mut StormRules)) -> bool {
    let mut rules = rules(Mode::Auto);
    change(&mut rules.storm);
    let facts = StormFacts { open: None, sightings: (0..others).map(alone).collect(), kinds };
    stops(&rules, &facts)
}

fn stops(rules: &Rules, facts: &StormFacts) -> bool {
    let mut trace = Trace::default();
    ask(&mut trace, rules, facts, &server(), "hung-windows");
    let stops = trace.first(Verdict::Stop).is_some();
    let trip = trip(rules, facts, &server(), "hung-windows");
    assert_eq!(stops, trip.is_some() || facts.open.is_some(), "what stops is what opens a storm");
    stops
}

#[test]
fn more_than_count_servers_trip_and_the_one_that_is_decided_counts() {
    assert!(!trips(0, kinds(0, 0), |_| {}), "a share of no servers is none: the count bears it");
    assert!(!trips(1, kinds(0, 0), |_| {}), "two of two");
    assert!(trips(2, kinds(0, 0), |_| {}), "three of two");
    assert!(!trips(2, kinds(0, 0), |storm| storm.count = 3));
}

#[test]
fn the_share_is_of_eligible_servers_only() {
    assert!(!trips(2, kinds(30, 0), |_| {}), "three of thirty");
    assert!(trips(3, kinds(30, 0), |_| {}), "four of thirty");
    assert!(trips(2, kinds(20, 1000), |_| {}), "Linux servers do not make a fleet larger");
    assert!(!trips(9, kinds(10, 0), |storm| storm.share = 1.0), "a share of one bears all");
}

#[test]
fn servers_of_one_place_trip_below_the_share() {
    type Change = fn(&mut Sighting);
    let changes: [Change; 3] = [
        |one| one.zone_code = "same".to_owned(),
        |one| one.subnet_no = "same".to_owned(),
        |one| one.placement_group_no = "same".to_owned(),
    ];
    for (place, change) in changes.into_iter().enumerate() {
        for (others, expected) in [(2, false), (3, true)] {
            let mut sightings: Vec<Sighting> = (0..others).map(alone).collect();
            for one in &mut sightings {
                change(one);
            }
            let sightings = sightings.iter().collect();
            let facts = StormFacts { open: None, sightings, kinds: kinds(1000, 0) };
            let rules = rules(Mode::Auto);
            assert_eq!(stops(&rules, &facts), expected, "{place} {others}");
        }
    }
    let without_place = |n| Sighting { zone_code: String::new(), subnet_no: String::new(), ..alone(n) };
    let sightings = (0..9).map(without_place).collect();
    let facts = StormFacts { open: None, sightings, kinds: kinds(1000, 0) };
    assert!(!stops(&rules(Mode::Auto), &facts), "an unknown place is not one place");
}

#[test]
fn the_decided_server_counts_towards_its_own_zone() {
    let own = |n| Sighting { zone_code: server().zone_code, ..alone(n) };
    let facts = |n| StormFacts { open: None, sightings: (0..n).map(own).collect(), kinds: kinds(1000, 0) };
    assert!(!stops(&rules(Mode::Auto), &facts(1)));
    assert!(stops(&rules(Mode::Auto), &facts(2)));
}

#[test]
fn one_server_told_by_many_alerts_and_policies_is_one() {
    let again = |policy: &str| Sighting { policy: policy.into(), ..Sighting::of(&server(), "hung-windows") };
    let facts = StormFacts {
        open: None,
        sightings: ["a", "b", "c"].map(again).into_iter().collect(),
        kinds: kinds(0, 0),
    };
    assert!(!stops(&rules(Mode::Auto), &facts));
}

#[test]
fn an_open_storm_stops_whatever_is_counted() {
    let open = Storm { id: 7, opened_at: at(0), why: "three of one zone".into() };
    let facts = StormFacts { open: Some(open), ..StormFacts::default() };
    assert!(stops(&rules(Mode::Auto), &facts));
    assert!(!stops(&rules(Mode::Auto), &StormFacts::default()), "cleared");
}

#[test]
fn a_trip_names_servers_and_policies() {
    let other = Sighting { policy: "other".into(), ..alone(1) };
    let facts =
        StormFacts { open: None, sightings: [alone(0), other].into_iter().collect(), kinds: kinds(0, 0) };
    let trip = trip(&rules(Mode::Auto), &facts, &server(), "hung-windows").unwrap();
    assert_eq!(trip.servers, BTreeSet::from([no(0), no(1), server().no]));
    assert_eq!(trip.policies, BTreeSet::from(["hung-windows".to_owned(), "other".to_owned()]));
}

proptest! {
    /// With more servers a storm never goes away.
    #[test]
    fn more_servers_are_never_less_of_a_storm(others in 0_u32..60, more in 0_u32..60, fleet in 0_u32..500) {
        let fewer = trips(others, kinds(fleet, 0), |_| {});
        let more = trips(others + more, kinds(fleet, 0), |_| {});
        prop_assert!(more || !fewer);
    }
}
