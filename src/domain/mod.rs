//! Values and decisions. Everything here is a pure function of its arguments.
//!
//! Never: I/O, async, a clock, logging. Time is always an argument.

pub mod activity;
pub mod address;
pub mod advice;
pub mod alert;
pub mod answer;
pub mod audit;
pub mod audit_head;
pub mod audit_key;
pub mod breaker;
pub mod chain;
pub mod claim;
pub mod corroboration;
pub mod decision;
pub mod evidence;
pub mod facts;
pub mod fold;
pub mod guard;
pub mod guest;
pub mod hold;
pub mod ids;
pub mod ladder;
pub mod limits;
pub mod matcher;
pub mod notice;
pub mod policy;
pub mod reboot;
pub mod recurring;
pub mod remediation;
pub mod seal;
pub mod server;
pub mod sightings;
pub mod signs;
pub mod standing;
pub mod still_named;
pub mod storm;
pub mod target;
pub mod turns;

#[cfg(test)]
mod testing;
