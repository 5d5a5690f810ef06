//! A NAVER Cloud stand-in: `/vserver/v2/` over real HTTP/1.1 on loopback, with real signatures.
//!
//! Owns a made-up fleet, a script of misbehaviour, and a ledger of what was really done to each server, kept
//! apart from whatever the callers believe. The demo, the tests and `unhang simulate-cloud` stand on it.
//!
//! Never: binds an address other than loopback, calls anything outside, or knows who its callers are.
//!
//! ```no_run
//! # async fn example() -> Result<(), simulator::Error> {
//! let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
//! let mut cloud = simulator::start(listen, simulator::Scenario::demo(), None).await?;
//! assert!(cloud.endpoint().starts_with("http://127.0.0.1:"));
//! assert!(cloud.ledger().is_empty());
//! cloud.stop().await;
//! # Ok(())
//! # }
//! ```

mod actions;
mod behaviour;
mod clock;
mod cloud;
mod connection;
mod control;
mod description;
mod document;
mod error;
mod filter;
mod gateway;
mod instance;
mod ledger;
mod monitoring;
mod params;
mod performance;
mod records;
mod running;
mod scenario;
mod server;
mod signature;
mod wire;

pub use behaviour::{Behaviour, Script, Target};
pub use description::{Dump, Reaction, ServerPatch, ServerSpec, ServerView};
pub use error::Error;
pub use ledger::LedgerEntry;
pub use running::{Running, start};
pub use scenario::{RegionSpec, Scenario};
pub use signature::sign;
