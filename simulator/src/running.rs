//! Running: starts the simulator on an address and gives its owner the strings.
//!
//! Never: outlives its owner; dropping it ends every connection.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::behaviour::Script;
use crate::cloud::Cloud;
use crate::connection;
use crate::description::{ServerPatch, ServerSpec, ServerView};
use crate::error::Error;
use crate::ledger::{Ledger, LedgerEntry};
use crate::scenario::Scenario;
use crate::server::Server;

/// A running simulator. It stops when dropped.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    cloud: Arc<Cloud>,
    tasks: JoinSet<()>,
}

/// Starts a simulator in the current tokio runtime. Port 0 takes any free port.
///
/// Only loopback addresses are accepted: the control endpoints have no password.
/// With `ledger_file`, every ledger entry is appended to it before its answer leaves.
pub async fn start(
    listen: SocketAddr,
    scenario: Scenario,
    ledger_file: Option<PathBuf>,
) -> Result<Running, Error> {
    if !listen.ip().to_canonical().is_loopback() {
        return Err(Error::NotLoopback(listen));
    }
    let cloud = Arc::new(Cloud::new(scenario, Ledger::open(ledger_file.as_deref())?)?);
    let trouble = |source| Error::Listen { address: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(trouble)?;
    let address = listener.local_addr().map_err(trouble)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(connection::serve(listener, Arc::clone(&cloud)));
    Ok(Running { address, cloud, tasks })
}

impl Running {
    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The address as an endpoint for a client, without a slash at the end.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every interrupt request so far.
    pub fn ledger(&self) -> Vec<LedgerEntry> {
        self.cloud.ledger()
    }

    /// The fleet as it is now.
    pub fn servers(&self) -> Vec<ServerView> {
        self.cloud.servers()
    }

    /// Orders misbehaviour; refused for a server that is not there.
    pub fn set_behaviour(&self, script: Script) -> Result<(), Error> {
        self.cloud.order(script)
    }

    /// Makes the guest of a server hang.
    pub fn hang(&self, server_instance_no: &str) -> Result<ServerView, Error> {
        self.cloud.hang(server_instance_no)
    }

    /// Changes a server.
    pub fn patch(&self, server_instance_no: &str, patch: ServerPatch) -> Result<ServerView, Error> {
        self.cloud.patch(server_instance_no, patch)
    }

    /// Fetches the dump of a server, if it is complete: another interrupt can no longer ruin it.
    pub fn collect_dump(&self, server_instance_no: &str) -> Result<ServerView, Error> {
        self.cloud.change(server_instance_no, Server::collect_dump)
    }

    /// Adds a server to the fleet.
    pub fn add_server(&self, server: ServerSpec) -> Result<ServerView, Error> {
        self.cloud.add(server)
    }

    /// Removes a server: details of it are empty from now on.
    pub fn remove_server(&self, server_instance_no: &str) -> Result<(), Error> {
        self.cloud.remove(server_instance_no)
    }

    /// Sets how far the cloud's clock is ahead of the machine's.
    pub fn set_clock_offset_ms(&self, offset_ms: i64) {
        self.cloud.set_clock_offset_ms(offset_ms);
    }

    /// Stops listening and ends every connection. The ledger can still be read.
    pub async fn stop(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Waits until it stops, which by itself it never does.
    pub async fn wait(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}
