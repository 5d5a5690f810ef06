//! Values and decisions. Everything here is a pure function of its arguments.
//!
//! Never: I/O, async, a clock, logging. Time is always an argument.

pub mod alert;
pub mod audit;
pub mod audit_head;
pub mod audit_key;
pub mod chain;
pub mod claim;
pub mod decision;
pub mod evidence;
pub mod facts;
pub mod fold;
pub mod guard;
pub mod hold;
pub mod ids;
pub mod limits;
pub mod matcher;
pub mod policy;
pub mod remediation;
pub mod server;
pub mod standing;

#[cfg(test)]
mod testing;
