//! Fault campaigns against the real binary: killed and frozen at named points, power lost, two processes on one store,
//! the k-th call failing, the wall clock jumping. Nothing in the service knows of it: the faults come from `shim.c`.
//!
//! Here are the short forms. `tests/campaigns/run.sh` runs the long ones; their sizes are environment variables, and
//! every run prints the seed that repeats it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]
#![expect(clippy::print_stdout, reason = "the seed, the progress and the figures of a run")]
#![expect(clippy::similar_names, reason = "a stage is no state, and a seed nothing seen")]

mod checker;
mod clocks;
#[path = "../contract/mod.rs"]
mod contract;
mod faults;
mod points;
#[path = "../postgres/mod.rs"]
#[expect(dead_code, reason = "each test program uses some of it")]
mod postgres;
mod power_loss;
mod replay;
mod shim;
mod story;
#[path = "../service/support.rs"]
#[expect(dead_code, reason = "the tests of the service use the rest")]
mod support;
mod two_processes;
