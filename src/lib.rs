//! unhang: turns a hung-server alert into one diagnostic interrupt, at most once, with proof.
//!
//! `docs/ARCHITECTURE.md` is the map of the rooms.

pub mod clock;
pub mod config;
pub mod domain;
pub mod ncloud;
pub mod sources;
pub mod store;
pub mod telemetry;
