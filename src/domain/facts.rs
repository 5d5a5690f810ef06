//! Facts that decisions are made from, as values. The store and the inventory fill them in.
//!
//! Never: a judgement. Cooldown, budgets and windows are computed from these in `limits`.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::breaker::Tried;
use super::guest::GuestFacts;
use super::hold::{Hold, Silence};
use super::ladder::Demotion;
use super::policy::Trust;
use super::remediation::{Outcome, State};
use super::server::{RegionCode, Server, ServerNo};
use super::storm::StormFacts;

/// What is known of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetFact {
    /// No label holds what its rule reads.
    Missing {
        /// The labels that were looked for.
        labels: Vec<String>,
    },
    /// A label holds something that no rule may pass over.
    Malformed {
        /// The label.
        label: String,
        /// What was expected.
        why: String,
    },
    /// Not in a fresh list; it must be looked up.
    Pending,
    /// The look-up failed; nothing can be said.
    Unreadable {
        /// What failed.
        why: String,
    },
    /// A complete answer of the cloud does not hold it.
    Unknown {
        /// How it was named.
        named: String,
    },
    /// A complete answer of the cloud holds several.
    Ambiguous {
        /// How it was named.
        named: String,
        /// Their numbers, where they are known.
        numbers: Vec<ServerNo>,
    },
    /// The alert speaks of another region than the policy, or the account does not have the policy's.
    RegionUnknown {
        /// The region that was named.
        seen: String,
        /// Which one was expected.
        wanted: String,
    },
    /// The labels of the alert name different servers.
    Disagree {
        /// Which label names which server.
        seen: String,
    },
    /// Exactly one server.
    Found(Box<Server>),
}

/// The live remediation of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Live {
    /// Its identifier.
    pub remediation_id: String,
    /// Its incident.
    pub incident_id: String,
    /// Where it stands.
    pub state: State,
}

/// One attempt of the past, as far as limits look at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Past {
    /// Its remediation.
    pub remediation_id: String,
    /// When the intent was committed.
    pub intent_at: Timestamp,
    /// Its server.
    pub server_no: ServerNo,
    /// Its region.
    pub region: RegionCode,
    /// Its policy.
    pub policy: String,
    /// How it ended; `None` while in flight.
    pub outcome: Option<Outcome>,
    /// Memory of the server, which the dump must hold.
    pub memory_bytes: u64,
    /// End of the cooldown by the policy that sent it: a laxer policy does not shorten it.
    pub cooldown_until: Timestamp,
}

impl Past {
    /// Whether the request may have had an effect. Only *not sent* and *rejected* certainly had none.
    pub fn may_have_acted(&self) -> bool {
        match self.outcome {
            Some(Outcome::NotSent | Outcome::Rejected) => false,
            Some(Outcome::Accepted | Outcome::Unknown) | None => true,
        }
    }
}

/// What is known of one heartbeat that is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Its source.
    pub source: String,
    /// Silence that is borne.
    pub within: SignedDuration,
    /// The last one; `None` when there never was one.
    pub last_at: Option<Timestamp>,
}

/// All facts about one question.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The target.
    pub target: TargetFact,
    /// End of the newest resolved notice of the same fingerprint, from any source.
    pub newest_resolved_end: Option<Timestamp>,
    /// The delivery that brings the alert also ends one that opened or joined a remediation of the same server.
    pub ended_in_delivery: bool,
    /// How far the source is believed now; `None` where the configuration no longer has it.
    pub trust: Option<Trust>,
    /// When the newest end was noticed of an alert that had opened or joined the remediation by then.
    pub joined_end: Option<Timestamp>,
    /// The server's live remediation.
    pub live: Option<Live>,
    /// Every attempt that any limit may still count, newest first.
    pub attempts: Vec<Past>,
    /// Holds that have not been cleared.
    pub holds: Vec<Hold>,
    /// Why the hold file stops everything: it is there, or cannot be read.
    pub hold_file: Option<String>,
    /// Silences, shared: whether one has ended is asked where it is matched.
    pub silences: Arc<[Silence]>,
    /// How many servers of the region fire, and the storm that is open there.
    pub storm: StormFacts,
    /// The policy's newest attempts since its breaker was last reset, newest first.
    pub tried: Vec<Tried>,
    /// The policy's demotion that nobody has taken back.
    pub demoted: Option<Demotion>,
    /// Why nothing is sent at all: the store is in quarantine until a person has reconciled it.
    pub quarantine: Option<String>,
    /// Times in which this service saw nothing.
    pub unwatched: Vec<Gap>,
    /// `uptime` of the server in the newest list of the cloud; only of a remediation's server.
    pub listed_uptime_at: Option<Timestamp>,
    /// When the server's open incident began; only for an alert that gives no start.
    pub incident_opened_at: Option<Timestamp>,
    /// Heartbeats that are expected; empty where none is configured.
    pub heartbeats: Vec<Heartbeat>,
    /// What the server's guest and its people said.
    pub guest: GuestFacts,
}

/// A time in which this service saw nothing. A reboot in it may have been anybody's interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// The last sign of life before it.
    pub from: Timestamp,
    /// The start that ended it.
    pub until: Timestamp,
}
