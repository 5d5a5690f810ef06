//! unhang: turns a hung-server alert into one diagnostic interrupt, at most once, with proof.
//!
//! `docs/ARCHITECTURE.md` is the map of the rooms.

pub mod app;
pub mod backtest;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dispatcher;
pub mod domain;
pub mod durable;
pub mod export;
pub mod files;
pub mod hands;
pub mod heads;
pub mod housekeeping;
pub mod http;
pub mod intake;
pub mod inventory;
pub mod journal;
pub mod lease;
pub mod moves;
pub mod ncloud;
pub mod outbox;
pub mod quarantine;
pub mod replica;
pub mod server_role;
pub mod service;
pub mod signals;
pub mod sources;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod traces;
pub mod verifier;
