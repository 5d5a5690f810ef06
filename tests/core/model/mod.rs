//! The claim protocol explored to its end: every order of two dispatchers, people, the network, crashes and commits
//! that fail, over a few instants. Breadth first, so that a counterexample is a shortest one.
//!
//! The search is written here and not taken from a library: it is short, states are compared as a whole and never by a
//! fingerprint, and verdicts of production functions are remembered by their inputs, which keeps it quick unoptimised.
//!
//! Never: a verdict of its own. Facts are built from the model's state; production functions judge them.

mod checks;
mod facts;
mod moves;
mod state;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use facts::Judge;
use state::{Action, Plant, Size, State};

/// What a search found.
struct Found {
    states: usize,
    depth: u32,
    /// Everything that was reached at least once.
    reached: BTreeSet<&'static str>,
    /// The law that broke, and the shortest way there.
    broken: Option<(&'static str, Vec<Action>)>,
    whole: bool,
}

fn explore(size: Size, plant: Option<Plant>, most: usize) -> Found {
    let mut judge = Judge::new(plant);
    let begin = State::begin();
    let mut seen: BTreeMap<State, u32> = BTreeMap::from([(begin.clone(), 0)]);
    let mut ways: Vec<(u32, Action, u32)> = vec![(0, Action::Begin, 0)];
    let mut queue = VecDeque::from([(begin, 0_u32)]);
    let mut found = Found { states: 1, depth: 0, reached: BTreeSet::new(), broken: None, whole: true };
    while let Some((state, index)) = queue.pop_front() {
        let depth = ways[usize::try_from(index).unwrap()].2;
        found.depth = found.depth.max(depth);
        for (action, next) in moves::all(&state, &size, &mut judge) {
            checks::reached(&state, action, &next, &mut found.reached);
            if seen.contains_key(&next) {
                continue;
            }
            let place = u32::try_from(ways.len()).unwrap();
            ways.push((index, action, depth + 1));
            if let Some(law) = next.broken {
                found.broken = Some((law, way_to(place, &ways)));
                found.states = seen.len();
                return found;
            }
            if seen.len() >= most {
                found.whole = false;
                found.states = seen.len();
                return found;
            }
            seen.insert(next.clone(), place);
            queue.push_back((next, place));
        }
    }
    found.states = seen.len();
    found
}

fn way_to(place: u32, ways: &[(u32, Action, u32)]) -> Vec<Action> {
    let mut way = Vec::new();
    let mut at = usize::try_from(place).unwrap();
    while at != 0 {
        way.push(ways[at].1);
        at = usize::try_from(ways[at].0).unwrap();
    }
    way.reverse();
    way
}

fn must_hold(name: &str, size: Size, wanted: &[&str]) {
    let begun = Instant::now();
    let most = crate::sizes::size("UNHANG_MODEL_STATES", 3_000_000);
    let found = explore(size, None, most);
    let seconds = begun.elapsed().as_secs_f64();
    let whole = if found.whole { "all" } else { "the first" };
    eprintln!("{name}: {whole} {} states, depth {}, {seconds:.1} s", found.states, found.depth);
    if let Some((law, way)) = found.broken {
        panic!("{name}: {law}, by:\n  {}", lines(&way));
    }
    let missing: Vec<&&str> = wanted.iter().filter(|what| !found.reached.contains(**what)).collect();
    assert!(missing.is_empty(), "{name}: never reached {missing:?}; reached {:?}", found.reached);
    assert!(found.whole, "{name}: UNHANG_MODEL_STATES={most} is too small to see all of it");
}

fn lines(way: &[Action]) -> String {
    way.iter().map(|action| format!("{action:?}")).collect::<Vec<_>>().join("\n  ")
}

#[test]
fn the_claim_protocol_holds_through_crashes_and_rivals() {
    let wanted = [
        "queued",
        "intent",
        "accepted",
        "unknown",
        "confirmed",
        "unconfirmed",
        "not_sent",
        "rejected",
        "cancelled",
        "a late answer decided an unknown",
        "an intent whose commit had failed was there",
    ];
    must_hold("crashes", Size::crashes(), &wanted);
}

#[test]
fn the_claim_protocol_holds_whatever_people_and_senders_do() {
    let wanted = [
        "expired",
        "cancelled",
        "closed_happened",
        "closed_not_happened",
        "a second effect after the cooldown",
    ];
    must_hold("people", Size::people(), &wanted);
}

#[test]
fn the_claim_protocol_holds_with_an_approval() {
    must_hold(
        "approval",
        Size::approval(),
        &["awaiting_approval", "queued", "intent", "confirmed", "expired"],
    );
}

#[test]
fn the_claim_protocol_holds_for_two_servers() {
    must_hold("two servers", Size::two_servers(), &["queued", "intent", "accepted", "unknown"]);
}

#[test]
fn the_claim_protocol_holds_whenever_somebody_restarts_a_server() {
    let wanted = ["intent", "confirmed", "cancelled", "an intent on a server that was started before"];
    must_hold("boots", Size::boots(), &wanted);
}

#[test]
fn the_search_finds_each_planted_fault() {
    for (plant, size, laws) in Plant::all() {
        let found = explore(size, Some(plant), 3_000_000);
        let Some((broken, way)) = found.broken else {
            panic!("{plant:?}: not found among {} states", found.states);
        };
        assert!(laws.contains(&broken), "{plant:?} broke {broken:?} by:\n  {}", lines(&way));
        eprintln!("{plant:?}: {broken} after {} steps, {} states", way.len(), found.states);
    }
}
