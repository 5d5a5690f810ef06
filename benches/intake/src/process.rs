//! Process: one contestant as a process of its own, ended when it is dropped.
//!
//! Never: ends a process that it did not start.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running contestant.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Where it listens.
    pub(crate) addr: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A loopback address that was free a moment ago.
pub(crate) fn free_addr() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

impl Process {
    /// Takes over a child that listens.
    pub(crate) fn of(child: Child, addr: SocketAddr) -> Self {
        Self { child, addr }
    }

    /// Starts a program and waits until it takes connections.
    pub(crate) fn listening(mut command: Command, addr: SocketAddr) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let process = Self { child, addr };
        let begun = Instant::now();
        while TcpStream::connect(addr).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{command:?} does not listen");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        process
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) {
        let asked = Command::new("kill").arg(self.pid().to_string()).status().unwrap();
        assert!(asked.success());
        drop(self.child.wait());
    }

    /// Ends it without a word, as a crash would.
    pub(crate) fn crash(mut self) {
        self.child.kill().unwrap();
        drop(self.child.wait());
    }
}
