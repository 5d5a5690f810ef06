//! The pure core under random histories, the claim protocol explored to its end, and the real store beside a model of it.
//!
//! Judgements are always those of production functions; these rooms only build facts, and check the laws by themselves.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    clippy::similar_names,
    reason = "a test fails by panicking, and says with what size and seed it ran"
)]

mod model;
#[path = "../postgres/mod.rs"]
#[expect(dead_code, reason = "each test program uses some of it")]
mod postgres;
mod prng;
mod simulation;
mod sizes;
mod store_model;
