//! The stored state of a history, as plain values: what survives a crash, and nothing else.
//!
//! Never: judges, or keeps what a process only has in memory.

use std::collections::BTreeMap;

use unhang::domain::claim::Waiting;
use unhang::domain::facts::{Gap, Past};
use unhang::domain::hold::{Hold, Silence};
use unhang::domain::ladder::Demotion;
use unhang::domain::remediation::State;
use unhang::domain::server::Server;
use unhang::domain::storm::Sighting;

use super::values::Notice;

/// A stored remediation.
#[derive(Debug, Clone)]
pub(crate) struct Rem {
    pub(crate) waiting: Waiting,
    pub(crate) server: usize,
    pub(crate) state: State,
    pub(crate) version: i64,
    pub(crate) requested_by: Option<u8>,
    pub(crate) settle_until: i64,
    pub(crate) not_before: i64,
    /// Fingerprints that opened or joined it, as far as the store links them, and when that was noticed.
    pub(crate) joined: Vec<(String, i64)>,
    pub(crate) sender_time: Option<i64>,
    pub(crate) received_at: i64,
    /// The world's time of the last notice, or of the last person who vouched.
    pub(crate) noticed_true_at: i64,
    /// How long our clock had stood still by then.
    pub(crate) noticed_stalled: i64,
    pub(crate) truncated: bool,
    /// Configuration it was decided under.
    pub(crate) config: usize,
    pub(crate) created_at: i64,
    /// The world's time in which it was opened.
    pub(crate) opened_true_at: i64,
    /// The world's times in which people said that the server hangs, and how long our clock had stood still by then.
    pub(crate) confirmed: Vec<(i64, i64)>,
    pub(crate) approvals: Vec<Approval>,
    pub(crate) said: Vec<(u8, bool)>,
}

/// A recorded approval.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Approval {
    pub(crate) person: u8,
    pub(crate) at: i64,
    pub(crate) seen_version: i64,
    pub(crate) version: i64,
    pub(crate) waited: i64,
}

/// A stored attempt, with what the checker wants to know of its making.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) nonce: u64,
    pub(crate) rem: usize,
    pub(crate) number: u32,
    pub(crate) epoch: i64,
    pub(crate) signed_at: i64,
    pub(crate) uptime_at: Option<i64>,
    pub(crate) past: Past,
    pub(crate) server: usize,
    /// The world's time of the intent.
    pub(crate) true_at: i64,
    /// How long before it the pre-flight was read.
    pub(crate) read_age: i64,
    pub(crate) read: Box<Server>,
    /// How long the clock had stood still when the process began that claimed; `None` where that made it doubt.
    pub(crate) began_stalled: Option<i64>,
    /// Configuration of the process that claimed.
    pub(crate) config: usize,
}

/// A stored delivery, as far as repeats and replays need it.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) source: usize,
    pub(crate) received_at: i64,
    pub(crate) notices: Vec<Notice>,
    pub(crate) truncated: bool,
}

/// An alert whose target is not known yet.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) source: usize,
    pub(crate) received_at: i64,
    pub(crate) true_at: i64,
    pub(crate) stalled: i64,
    pub(crate) notice: Notice,
    pub(crate) truncated: bool,
}

/// What was told of fingerprints and remediations, in the order of the commits.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    /// An alert opened a remediation.
    Opened(usize, String),
    /// An alert joined one.
    Joined(usize, String),
    /// A resolved notice came; its end.
    Ended(String, i64),
    /// A firing alert named a server of a region.
    Sighted(String, String, i64),
    /// A person cleared the storm of a region.
    StormCleared(String, i64),
    /// A person promoted a policy.
    Promoted(String),
}

/// A stored storm.
#[derive(Debug, Clone)]
pub(crate) struct StormRow {
    pub(crate) region: String,
    pub(crate) why: String,
    pub(crate) opened_at: i64,
    pub(crate) cleared_at: Option<i64>,
}

/// Everything that is stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    pub(crate) epoch: i64,
    pub(crate) latest: i64,
    pub(crate) rems: Vec<Rem>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) holds: Vec<(Hold, bool)>,
    pub(crate) silences: Vec<(Silence, bool)>,
    /// Newest end of each fingerprint, and when the newest notice of an end came.
    pub(crate) resolved: BTreeMap<String, (i64, i64)>,
    pub(crate) told: Vec<Told>,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) pending: Vec<Pending>,
    pub(crate) inventory: Vec<Server>,
    pub(crate) storms: Vec<StormRow>,
    /// By region, server and policy; with the newest time.
    pub(crate) sightings: BTreeMap<(String, String, String), (Sighting, i64)>,
    /// Newest reset of each policy's breaker.
    pub(crate) resets: BTreeMap<String, i64>,
    pub(crate) demoted: BTreeMap<String, Demotion>,
    pub(crate) promoted: BTreeMap<String, i64>,
    pub(crate) quarantine: Option<String>,
    pub(crate) gaps: Vec<Gap>,
    /// When the dump of each server was last collected.
    pub(crate) collected: BTreeMap<String, i64>,
    pub(crate) beat: Option<i64>,
}

impl Memory {
    /// The server's live remediation.
    pub(crate) fn live(&self, server: usize) -> Option<usize> {
        self.rems.iter().position(|rem| rem.server == server && !rem.state.is_terminal())
    }
}
