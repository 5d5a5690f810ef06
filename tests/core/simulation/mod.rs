//! Seeded histories of the pure core: faults at random, every law checked after every step.
//!
//! Never: a judgement of its own; see `world` for the facts and `checker` for the laws.

mod bugs;
pub(crate) mod checker;
mod cloud;
mod dispatch;
mod guards;
mod intake;
mod laws;
mod memory;
mod people;
mod runs;
mod steps;
mod tally;
pub(crate) mod values;
mod world;
