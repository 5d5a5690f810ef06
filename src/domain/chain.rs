//! Walking the audit chain: rows in order, their keys, the heads taken of them, and where a pruned one begins.
//!
//! Never: stops at "the hashes agree": places, keys, heads and the number of rows ever written are checked too.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::audit::{AuditEvent, GENESIS, chain_hash};
use super::audit_head::Head;
use super::audit_key::KeyRing;
use super::fold::{DeepReport, Fold};

/// Kind of the event that a checkpoint leaves.
pub const CHECKPOINT: &str = "audit_checkpoint";

/// One row of the chain.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// Place.
    pub seq: i64,
    /// The event.
    pub event: &'a AuditEvent,
    /// Hash of the row before.
    pub prev_hash: &'a str,
    /// Hash of this row.
    pub hash: &'a str,
    /// Key it was hashed with.
    pub key_id: Option<&'a str>,
}

/// The first thing wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChainFault {
    /// Place where it shows.
    pub seq: i64,
    /// What is wrong.
    pub what: String,
}

/// What an export took with it: the detail of an `audit_checkpoint`. Rows before it may be pruned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// First row of the export.
    pub first_seq: i64,
    /// Last row of the export.
    pub last_seq: i64,
    /// Hash of the first.
    pub first_hash: String,
    /// Hash of the last.
    pub last_hash: String,
    /// A row up to the last was keyed: every later one must be.
    pub keyed: bool,
    /// SHA-256 of the export.
    pub export_sha256: String,
    /// Name that the export was written under; older events do not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export_name: Option<String>,
    /// Rows before this time were exported.
    pub before: Timestamp,
    /// The rows were removed from the store with this event.
    pub pruned: bool,
}

/// Result of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChainReport {
    /// Rows that were verified in the store.
    pub rows: i64,
    /// Place of the first one; 1 unless older rows were pruned.
    pub first_seq: i64,
    /// Place of the last one.
    pub last_seq: i64,
    /// Its hash.
    pub last_hash: String,
    /// Its time.
    pub last_at: Option<Timestamp>,
    /// Rows that are hashed with a key.
    pub keyed_rows: i64,
    /// Rows that were verified in exports before it.
    pub exported_rows: i64,
    /// Heads that agree.
    pub heads: usize,
    /// Heads of rows that are not here any more.
    pub heads_not_compared: usize,
    /// The prunings that the rows tell of, oldest first.
    pub prunings: Vec<Checkpoint>,
    /// The first fault; `None` when the chain is whole.
    pub fault: Option<ChainFault>,
    /// What folding the rows gave, where that was asked for.
    pub deep: Option<DeepReport>,
}

/// How far a walk that goes on beside the work has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChainSeen {
    /// The last row that is known to be whole; 0 before the first.
    pub seq: i64,
    /// When that was seen.
    pub at: Option<Timestamp>,
    /// The walk has come to the end of the audit at least once.
    pub complete: bool,
    /// What is wrong.
    pub fault: Option<ChainFault>,
}

/// The way along one run of rows.
#[derive(Debug, Clone)]
struct Walk {
    rows: i64,
    first_seq: i64,
    last_seq: i64,
    last_hash: String,
    last_at: Option<Timestamp>,
    keyed_rows: i64,
}

impl Walk {
    fn new() -> Self {
        Self {
            rows: 0,
            first_seq: 0,
            last_seq: 0,
            last_hash: GENESIS.to_owned(),
            last_at: None,
            keyed_rows: 0,
        }
    }

    fn step(&mut self, link: &Link<'_>, ring: &KeyRing) -> Result<(), String> {
        if link.seq != self.last_seq + 1 {
            return Err(format!("expected row {}: rows are missing or out of place", self.last_seq + 1));
        }
        if link.prev_hash != self.last_hash {
            return Err("it does not continue the row before it".to_owned());
        }
        let key = match link.key_id {
            None if self.keyed_rows > 0 => {
                return Err("it has no key, but rows before it have one".to_owned());
            }
            None => None,
            Some(id) => match ring.find(id) {
                None => return Err(format!("needs key {id}")),
                found => found,
            },
        };
        if chain_hash(key, link.prev_hash, link.seq, link.event) != link.hash {
            return Err("its content does not give its hash".to_owned());
        }
        if self.rows == 0 {
            self.first_seq = link.seq;
        }
        self.rows += 1;
        self.last_seq = link.seq;
        link.hash.clone_into(&mut self.last_hash);
        self.last_at = Some(link.event.at);
        self.keyed_rows += i64::from(link.key_id.is_some());
        Ok(())
    }
}

/// A run of rows that begins behind pruned ones: what an `audit_checkpoint` must prove.
#[derive(Debug)]
struct Begin {
    last_seq: i64,
    last_hash: String,
    keyed: bool,
}

/// A verification on its way: exports first, where there are any, then the store.
#[derive(Debug)]
pub struct Inspection {
    ring: KeyRing,
    walk: Walk,
    heads: BTreeMap<i64, Vec<Head>>,
    agreed: usize,
    fold: Option<Fold>,
    exported: Option<Walk>,
    begins: Vec<Begin>,
    checkpoints: Vec<Checkpoint>,
    fault: Option<ChainFault>,
}

impl Inspection {
    /// Begins one with these keys and heads; `deep` folds the rows as well.
    pub fn new(ring: KeyRing, heads: &[Head], deep: bool) -> Self {
        let mut by_seq: BTreeMap<i64, Vec<Head>> = BTreeMap::new();
        for head in heads {
            by_seq.entry(head.seq).or_default().push(head.clone());
        }
        Self {
            ring,
            walk: Walk::new(),
            heads: by_seq,
            agreed: 0,
            fold: deep.then(Fold::default),
            exported: None,
            begins: Vec::new(),
            checkpoints: Vec::new(),
            fault: None,
        }
    }

    /// The place behind which the next row is wanted.
    pub fn last_seq(&self) -> i64 {
        self.walk.last_seq
    }

    /// Place and hash of the last row that was taken.
    pub fn last(&self) -> (i64, &str) {
        (self.walk.last_seq, &self.walk.last_hash)
    }

    /// Rows that were walked since the begin or [`Inspection::now_the_store`].
    pub fn rows(&self) -> i64 {
        self.walk.rows
    }

    /// Takes the next row; false once something is wrong, and nothing more needs to be taken.
    pub fn take(&mut self, link: &Link<'_>) -> bool {
        if self.fault.is_none()
            && let Err(what) = self.judge(link)
        {
            self.fault = Some(ChainFault { seq: link.seq, what });
        }
        self.fault.is_none()
    }

    fn judge(&mut self, link: &Link<'_>) -> Result<(), String> {
        if self.walk.rows == 0 && link.seq > 1 {
            self.begin_behind(link)?;
        }
        self.walk.step(link, &self.ring)?;
        let end_of_export = self.exported.as_ref().map(|walk| (walk.last_seq, walk.last_hash.as_str()));
        if end_of_export.is_some_and(|(seq, hash)| seq == link.seq && hash != link.hash) {
            return Err("the export ends with another row in this place".to_owned());
        }
        for head in self.heads.remove(&link.seq).unwrap_or_default() {
            if head.hash != link.hash {
                return Err(format!("the head of {} knows it with hash {}", head.at, head.hash));
            }
            self.agreed += 1;
        }
        if link.event.kind == CHECKPOINT {
            let detail: Checkpoint = serde_json::from_str(&link.event.detail)
                .map_err(|error| format!("its detail is no checkpoint: {error}"))?;
            self.checkpoints.push(detail);
        }
        if end_of_export.is_none_or(|(seq, _)| seq < link.seq)
            && let Some(fold) = &mut self.fold
        {
            fold.take(link.seq, link.event);
        }
        Ok(())
    }

    /// The first row is not the first ever: it continues the export, or a checkpoint must tell of the row before it.
    fn begin_behind(&mut self, link: &Link<'_>) -> Result<(), String> {
        if let Some(export) = &self.exported {
            if link.seq > export.last_seq + 1 {
                return Err(format!(
                    "rows {} to {} are neither here nor exported",
                    export.last_seq + 1,
                    link.seq - 1
                ));
            }
            if link.seq == export.last_seq + 1 && link.prev_hash != export.last_hash {
                return Err("it does not continue the export".to_owned());
            }
        }
        self.begins.push(Begin {
            last_seq: link.seq - 1,
            last_hash: link.prev_hash.to_owned(),
            keyed: link.key_id.is_some(),
        });
        self.walk.last_seq = link.seq - 1;
        link.prev_hash.clone_into(&mut self.walk.last_hash);
        Ok(())
    }

    /// The exports are over; the rows of the store follow. They may overlap.
    pub fn now_the_store(&mut self) {
        self.exported = Some(std::mem::replace(&mut self.walk, Walk::new()));
    }

    /// The first fault so far.
    pub fn fault(&self) -> Option<&ChainFault> {
        self.fault.as_ref()
    }

    /// The first fault, at what is the end for now. `ever` is the number of rows that had been written before the last
    /// ones were read.
    pub fn fault_at_end(&self, ever: i64) -> Option<ChainFault> {
        let end = self.walk.last_seq;
        let cut = if end < ever { self.judge_end(end, ever) } else { None };
        self.fault.clone().or(cut).or_else(|| self.judge_begins())
    }

    /// The folded state, to be compared with the tables; once.
    pub fn folded(&mut self) -> Option<Fold> {
        if self.fault.is_some() { None } else { self.fold.take() }
    }

    /// Ends it. `ever` is the number of rows that were ever written to the store.
    pub fn finish(mut self, ever: i64, deep: Option<DeepReport>) -> ChainReport {
        let end = self.walk.last_seq;
        let mut not_compared = 0;
        if self.fault.is_none() {
            not_compared = self.judge_heads_left(end);
        }
        let fault = self.fault.take().or_else(|| self.judge_end(end, ever)).or_else(|| self.judge_begins());
        ChainReport {
            rows: self.walk.rows,
            first_seq: self.walk.first_seq,
            last_seq: end,
            last_hash: self.walk.last_hash,
            last_at: self.walk.last_at,
            keyed_rows: self.walk.keyed_rows,
            exported_rows: self.exported.map_or(0, |walk| walk.rows),
            heads: self.agreed,
            heads_not_compared: not_compared,
            prunings: self.checkpoints.into_iter().filter(|one| one.pruned).collect(),
            fault,
            deep,
        }
    }

    /// Heads of rows that were not walked: of none at all, of pruned ones, or of ones that were cut off.
    fn judge_heads_left(&mut self, end: i64) -> usize {
        let mut not_compared = 0;
        for (seq, heads) in std::mem::take(&mut self.heads) {
            for head in heads {
                let told =
                    self.checkpoints.iter().find(|one| one.last_seq == seq).map(|one| one.last_hash.as_str());
                let known = if seq == 0 { Some(GENESIS) } else { told };
                let what = match known {
                    _ if seq > end => {
                        format!(
                            "the head of {} knows row {seq}, but the last row is {end}: the end is missing",
                            head.at
                        )
                    }
                    Some(hash) if hash == head.hash => {
                        self.agreed += 1;
                        continue;
                    }
                    Some(_) => format!("the head of {} knows it with hash {}", head.at, head.hash),
                    None => {
                        not_compared += 1;
                        continue;
                    }
                };
                let seq = if seq > end { end + 1 } else { seq };
                self.fault.get_or_insert(ChainFault { seq, what });
            }
        }
        not_compared
    }

    fn judge_end(&self, end: i64, ever: i64) -> Option<ChainFault> {
        if ever != end {
            let what = format!("the last row is {end}, but {ever} rows were written: the end is missing");
            return Some(ChainFault { seq: end + 1, what });
        }
        let exported = self.exported.as_ref().map_or(0, |walk| walk.last_seq);
        (exported > end).then(|| ChainFault {
            seq: end + 1,
            what: format!(
                "the export ends with row {exported}, the store with row {end}: the end is missing"
            ),
        })
    }

    fn judge_begins(&self) -> Option<ChainFault> {
        self.begins.iter().find_map(|begin| {
            let tells = |one: &&Checkpoint| {
                one.pruned && one.last_seq == begin.last_seq && one.last_hash == begin.last_hash
            };
            let what = match self.checkpoints.iter().find(tells) {
                None => "rows before it are missing, and no checkpoint tells of them",
                Some(checkpoint) if checkpoint.keyed && !begin.keyed => {
                    "it has no key, but rows before it had one"
                }
                Some(_) => return None,
            };
            Some(ChainFault { seq: begin.last_seq + 1, what: what.to_owned() })
        })
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
