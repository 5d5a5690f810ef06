//! Whether this process does what only one may do: alone with a file, or as the replica that holds the lease.
//!
//! Never: asks anybody; `crate::replica` does, and says here what it was told.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long the lease lasts after it was renewed. A holder that is not heard of for so long is replaced.
pub const LASTS: Duration = Duration::from_secs(6);
/// A holder sends nothing for this long before its lease may be another's.
const MARGIN: Duration = Duration::from_secs(2);

/// The part of this process in it.
#[derive(Debug)]
pub struct Lease {
    state: Mutex<State>,
    /// Why this replica may not take the lease, whoever else has it.
    barred: Mutex<Option<String>>,
    /// The server as it was first seen; see `Store::server`.
    server: OnceLock<String>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Nobody else can have the store.
    Alone(i64),
    /// Another replica dispatches, or none does yet.
    Standby,
    /// We do, until then unless it is renewed.
    Holder { epoch: i64, until: Instant },
}

impl Lease {
    /// The only process that has the store.
    pub fn alone(epoch: i64) -> Self {
        Self::new(State::Alone(epoch))
    }

    /// One of several.
    pub fn standby() -> Self {
        Self::new(State::Standby)
    }

    fn new(state: State) -> Self {
        Self { state: Mutex::new(state), barred: Mutex::new(None), server: OnceLock::new() }
    }

    fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Our number as the one that dispatches; intents of smaller numbers are of the dead. 0 in a standby.
    pub fn epoch(&self) -> i64 {
        match self.state() {
            State::Alone(epoch) | State::Holder { epoch, .. } => epoch,
            State::Standby => 0,
        }
    }

    /// Whether this process does what only one may do.
    pub fn is_held(&self) -> bool {
        !matches!(self.state(), State::Standby)
    }

    /// Why this process may not send; `None` when the lease is certainly its own.
    pub fn why_not(&self) -> Option<String> {
        match self.state() {
            State::Alone(_) => None,
            State::Standby => Some("this replica is a standby: another one dispatches".to_owned()),
            State::Holder { until, .. } => (Instant::now() >= until)
                .then(|| "the lease could not be renewed; another replica may have it".to_owned()),
        }
    }

    /// Why this replica may not take the lease; `None` when it may, or has it.
    pub fn barred(&self) -> Option<String> {
        self.barred.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it may take the lease, as was just found.
    pub fn bar(&self, why: Option<String>) {
        *self.barred.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// The server as it was first seen. Which one answers now is kept where none was seen before.
    pub fn first_server(&self, now: &str) -> &str {
        self.server.get_or_init(|| now.to_owned())
    }

    /// It is ours, as was asked at that time.
    pub fn hold(&self, epoch: i64, asked_at: Instant) {
        let until = asked_at + LASTS.saturating_sub(MARGIN);
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Holder { epoch, until };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_stops_before_its_lease_may_be_another_s() {
        let lease = Lease::standby();
        assert!(!lease.is_held() && lease.why_not().is_some() && lease.epoch() == 0);
        let now = Instant::now();
        lease.hold(7, now);
        assert_eq!((lease.epoch(), lease.why_not()), (7, None));
        let Some(long_ago) = now.checked_sub(LASTS.saturating_sub(MARGIN)) else { return };
        lease.hold(7, long_ago);
        assert!(lease.is_held() && lease.why_not().is_some(), "it has the lease and may not send");
        assert_eq!(Lease::alone(3).why_not(), None);
    }

    #[test]
    fn the_first_server_counts() {
        let lease = Lease::standby();
        assert_eq!((lease.first_server("a"), lease.first_server("b")), ("a", "a"));
    }
}
