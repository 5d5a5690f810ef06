//! Errors: why the simulator could not start or could not do what its controller asked.
//!
//! Never: an answer to a cloud call; those are the vendor's shapes, in `gateway` and `actions`.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the simulator refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The control endpoints have no password, so only loopback may reach them.
    #[error("the simulator listens on loopback only, and {0} is not loopback")]
    NotLoopback(SocketAddr),
    /// The address could not be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The ledger file could not be opened, read or written.
    #[error("cannot use ledger file {}", path.display())]
    LedgerFile {
        /// The file asked for.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The scenario is not TOML of the expected shape.
    #[error("cannot read the scenario")]
    ScenarioSyntax(#[source] toml::de::Error),
    /// The scenario is well-formed and contradicts itself.
    #[error("scenario: {0}")]
    Scenario(String),
    /// No such server in the fleet.
    #[error("no server {0} in the fleet")]
    UnknownServer(String),
    /// A server with this number is there already.
    #[error("server {0} is in the fleet already")]
    ServerExists(String),
}
