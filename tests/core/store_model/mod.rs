//! Random sequences of store operations on a real file, beside a small model of what must be readable afterwards.
//!
//! Laws 1 to 3 and 32 to 35: an answered delivery is there with its event, the same one is not there twice, a job that
//! fails spoils no other and leaves nothing, moves are legal, ends stay, one remediation lives, and the audit folds to
//! the state.
//!
//! Never: reaches around the store's own functions.

mod reference;
mod run;

use proptest::strategy::{Just, Strategy};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use unhang::domain::remediation::{Event, Outcome};

use crate::sizes::{seed, size};

/// One operation. Numbers choose among what is there when it runs.
#[derive(Debug, Clone)]
enum Op {
    Deliver {
        source: u8,
        body: u8,
        later_ms: i64,
    },
    Open {
        server: u8,
        needs_person: bool,
    },
    Move {
        rem: u8,
        event: Event,
        stale: bool,
    },
    Claim {
        rem: u8,
    },
    End {
        attempt: u8,
        outcome: Outcome,
    },
    SetHold {
        server: Option<u8>,
        minutes: Option<u8>,
    },
    ClearHold {
        hold: u8,
    },
    SetSilence {
        minutes: u8,
    },
    EndSilence {
        silence: u8,
    },
    Say {
        rem: u8,
        person: u8,
        happened: bool,
    },
    Resolve {
        server: u8,
    },
    /// A job that writes much and then fails.
    Fail {
        server: u8,
    },
    /// Several jobs at once, one of which fails.
    Batch {
        good: u8,
    },
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    use proptest::prelude::any;
    let event = proptest::sample::select(Event::ALL.to_vec());
    let outcomes = vec![Outcome::Accepted, Outcome::Rejected, Outcome::NotSent, Outcome::Unknown];
    proptest::prop_oneof![
        10 => (0..2_u8, 0..3_u8, proptest::sample::select(vec![0, 1, 59_999, 60_000, 60_001]))
            .prop_map(|(source, body, later_ms)| Op::Deliver { source, body, later_ms }),
        14 => (0..3_u8, any::<bool>()).prop_map(|(server, needs_person)| Op::Open { server, needs_person }),
        22 => (any::<u8>(), event, proptest::bool::weighted(0.1))
            .prop_map(|(rem, event, stale)| Op::Move { rem, event, stale }),
        14 => any::<u8>().prop_map(|rem| Op::Claim { rem }),
        12 => (any::<u8>(), proptest::sample::select(outcomes))
            .prop_map(|(attempt, outcome)| Op::End { attempt, outcome }),
        4 => (proptest::option::of(0..3_u8), proptest::option::of(0..3_u8))
            .prop_map(|(server, minutes)| Op::SetHold { server, minutes }),
        3 => any::<u8>().prop_map(|hold| Op::ClearHold { hold }),
        3 => (1..5_u8).prop_map(|minutes| Op::SetSilence { minutes }),
        2 => any::<u8>().prop_map(|silence| Op::EndSilence { silence }),
        4 => (any::<u8>(), 0..3_u8, any::<bool>())
            .prop_map(|(rem, person, happened)| Op::Say { rem, person, happened }),
        4 => (0..3_u8).prop_map(|server| Op::Resolve { server }),
        4 => (0..3_u8).prop_map(|server| Op::Fail { server }),
        2 => (1..6_u8).prop_map(|good| Op::Batch { good }),
        2 => Just(Op::Reopen),
    ]
}

#[test]
fn the_store_is_what_its_model_says() {
    search("file", size("UNHANG_STORE_CASES", 256), &async |ops| run::play_on_a_file(ops).await);
}

#[test]
fn the_store_on_a_server_is_what_the_same_model_says() {
    let cases = size("UNHANG_SERVER_STORE_CASES", 24);
    search("server", cases, &async |ops| run::play(ops, &crate::postgres::place()).await);
}

#[test]
fn a_store_that_moves_to_a_server_is_what_the_same_model_says() {
    let cases = size("UNHANG_SERVER_STORE_CASES", 24) / 2;
    search("moved", cases, &async |ops| run::play_and_move(ops).await);
}

fn search(kind: &str, cases: u32, play: &impl AsyncFn(&[Op]) -> Result<(), String>) {
    let steps = size("UNHANG_STORE_STEPS", 50);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    let mut bytes = [0_u8; 32];
    bytes[..8].copy_from_slice(&seed().to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begun = std::time::Instant::now();
    let done = runner.run(&proptest::collection::vec(op(), 1..=steps), |ops| {
        runtime.block_on(play(&ops)).map_err(TestCaseError::fail)
    });
    match done {
        Ok(()) => {
            let seconds = begun.elapsed().as_secs_f64();
            eprintln!(
                "store, {kind}: {cases} cases of at most {steps} steps, seed {}, {seconds:.1} s",
                seed()
            );
        }
        Err(TestError::Fail(why, ops)) => panic!("seed {}: {why}\nshortest steps: {ops:#?}", seed()),
        Err(TestError::Abort(why)) => panic!("seed {}: gave up: {why}", seed()),
    }
}
