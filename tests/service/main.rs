//! The whole service: the real binary, real HTTP, a real store, real senders; only the cloud is simulated.
//!
//! Every wait is bounded; every process that is ended was started here.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod audit;
mod authority;
#[path = "../contract/mod.rs"]
mod contract;
mod corroboration;
mod crash;
mod drill;
mod evidence;
mod faults;
mod guest;
mod hands;
mod health;
mod hostile;
mod journal;
mod lookups;
mod moved;
mod notify;
mod outcomes;
mod pages;
mod past;
mod people;
#[path = "../postgres/mod.rs"]
#[expect(dead_code, reason = "each test program uses some of it")]
mod postgres;
mod rebooted;
mod receiver;
mod replaced;
mod replicas;
mod rotation;
mod senders;
mod server_role;
mod stack;
mod startup;
mod storm;
mod stream;
mod support;
mod tampering;
mod targets;
mod threats;
mod tls;
mod traces;
mod upgrade;
mod verbs;
mod why;
