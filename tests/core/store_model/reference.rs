//! What the store must hold, in plain values.
//!
//! Never: SQL, or a function of the store.

use std::collections::BTreeMap;

use unhang::domain::remediation::{Event, Outcome, State, TRIES_MAX, transition};

#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) id: String,
    pub(super) source: u8,
    pub(super) body: u8,
    pub(super) at: i64,
    pub(super) answer: String,
}

#[derive(Debug, Clone)]
pub(super) struct Rem {
    pub(super) id: String,
    pub(super) server: u8,
    pub(super) state: State,
    pub(super) version: i64,
    pub(super) needs_person: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) rem: usize,
    pub(super) nonce: String,
    pub(super) outcome: Option<Outcome>,
    pub(super) at: i64,
}

#[derive(Debug, Clone)]
pub(super) struct Mute {
    pub(super) id: i64,
    pub(super) until: Option<i64>,
    pub(super) ended: bool,
}

/// The whole of it.
#[derive(Debug, Default, Clone)]
pub(super) struct Reference {
    pub(super) deliveries: Vec<Delivery>,
    pub(super) rems: Vec<Rem>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) holds: Vec<Mute>,
    pub(super) silences: Vec<Mute>,
    pub(super) said: BTreeMap<(usize, u8), bool>,
    pub(super) ended: BTreeMap<u8, i64>,
    pub(super) events: i64,
    /// A remediation has been unknown: that demotes the policy.
    pub(super) unknown: bool,
}

impl Reference {
    /// The delivery that this one repeats within a minute.
    pub(super) fn same(&self, source: u8, body: u8, now: i64) -> Option<&Delivery> {
        let newest = self.deliveries.iter().rev().find(|one| (one.source, one.body) == (source, body));
        newest.filter(|one| now - one.at < 60_000)
    }

    pub(super) fn live(&self, server: u8) -> Option<usize> {
        self.rems.iter().position(|rem| rem.server == server && !rem.state.is_terminal())
    }

    /// Moves, if that is legal and the version is the one that was read.
    pub(super) fn shift(&mut self, rem: usize, event: Event, stale: bool) -> Option<State> {
        let row = &mut self.rems[rem];
        let to = transition(row.state, event).ok().filter(|_| !stale)?;
        row.state = to;
        row.version += 1;
        self.unknown |= to == State::Unknown;
        Some(to)
    }

    /// Whether another intent fits beside those that are there.
    pub(super) fn may_try(&self, rem: usize) -> bool {
        let mut own = self.attempts.iter().filter(|one| one.rem == rem);
        let proven = own.clone().all(|one| one.outcome == Some(Outcome::NotSent));
        let few = own.by_ref().count() < usize::try_from(TRIES_MAX).unwrap();
        self.rems[rem].state == State::Queued && proven && few
    }

    /// Whether an outcome may be written over what is there.
    pub(super) fn may_end(&self, attempt: usize, outcome: Outcome) -> bool {
        match self.attempts[attempt].outcome {
            None => true,
            Some(Outcome::Unknown) => matches!(outcome, Outcome::Accepted | Outcome::Rejected),
            Some(Outcome::Accepted | Outcome::Rejected | Outcome::NotSent) => false,
        }
    }
}
