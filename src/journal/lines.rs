//! The lines of the attempt journal: their kinds, their checksum, and what all of them together say.
//!
//! Never: I/O, or a line taken for whole whose checksum does not agree.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::domain::answer::CloudAnswer;
use crate::domain::remediation::Outcome;

/// Bytes of answers that stay when the file is written anew: the newest, as only those may not be stored yet.
const ANSWER_BYTES_KEPT: usize = 512 << 10;

/// Hex digits of SHA-256 that guard a line.
const SUM_LENGTH: usize = 16;

/// Whose journal it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The store that it was written beside.
    pub store_id: String,
    /// The machine that wrote it; `None` where the system names none.
    pub machine_id: Option<String>,
}

/// The journal was found to agree with the store, or was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Opened {
    /// When.
    pub at: Timestamp,
    /// Whose it is.
    #[serde(flatten)]
    pub identity: Identity,
    /// Version that wrote it.
    pub version: String,
    /// Highest attempt number ever seen.
    pub high_water: i64,
}

/// An intent, before its request is handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IntentLine {
    /// Number of the attempt.
    pub attempt_id: i64,
    /// Ties the answer to this attempt.
    pub nonce: String,
    /// `serverInstanceNo`
    pub server_instance_no: String,
    /// `regionCode`
    pub region_code: String,
    /// The time that was signed.
    pub signed_at: Timestamp,
    /// What limits count by; `None` in lines of before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub counts: Option<Counts>,
}

/// What limits count an interrupt by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Policy that sent it.
    pub policy: String,
    /// Memory of the server, which the dump must hold.
    pub memory_bytes: u64,
    /// End of the cooldown.
    pub cooldown_until: Timestamp,
}

/// What became of an attempt, before it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnswerLine {
    /// The attempt.
    pub nonce: String,
    /// The verdict.
    pub outcome: Outcome,
    /// One sentence: what happened.
    pub cause: String,
    /// The cloud's own `requestId`.
    pub request_id: Option<String>,
    /// `returnCode` or gateway `errorCode`.
    pub return_code: Option<String>,
    /// `returnMessage`, safe to print.
    pub return_message: Option<String>,
    /// HTTP status.
    pub http_status: Option<u16>,
    /// SHA-256 of the answer's body.
    pub body_sha256: Option<String>,
    /// Whether it refuses our credentials, which holds everything.
    pub raises_hold: bool,
    /// The body itself; left out of the lines of older answers when the file is written anew.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub answer: Option<CloudAnswer>,
}

/// A place of the audit chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// Row.
    pub seq: i64,
    /// Its hash.
    pub hash: String,
}

/// The service was alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stamp {
    /// Wall clock.
    pub at: Timestamp,
    /// Which boot of the machine.
    pub boot_id: Option<String>,
    /// Seconds since that boot.
    pub boot_seconds: Option<u64>,
    /// End of the audit; `None` while the store is in quarantine.
    pub audit: Option<Head>,
}

/// A person has accepted that the store does not know everything above.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reconciled {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub person: String,
    /// Why.
    pub reason: String,
    /// Attempt numbers go on above this.
    pub high_water: i64,
    /// Whose journal it is from now on.
    #[serde(flatten)]
    pub identity: Identity,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// Journal and store agree.
    Opened(Opened),
    /// Before the hand-over.
    Intent(IntentLine),
    /// After the answer.
    Answer(AnswerLine),
    /// Every half minute.
    Stamp(Stamp),
    /// By a person.
    Reconciled(Reconciled),
}

#[derive(Serialize, Deserialize)]
struct Guarded<'a> {
    sum: String,
    #[serde(borrow)]
    entry: &'a RawValue,
}

/// How every line begins.
pub(super) const BEGIN: &[u8] = b"{\"sum\":";

/// The text of a line with its end; `None` if it cannot be written as JSON.
pub(super) fn text_of(entry: &Entry) -> Option<String> {
    let entry = serde_json::value::to_raw_value(entry).ok()?;
    let line = Guarded { sum: sum(entry.get()), entry: &entry };
    let mut text = serde_json::to_string(&line).ok()?;
    text.push('\n');
    Some(text)
}

/// Reads a line without its end.
pub(super) fn read(line: &[u8]) -> Result<Entry, &'static str> {
    let guarded: Guarded<'_> = serde_json::from_slice(line).map_err(|_error| "it is no line of a journal")?;
    if guarded.sum != sum(guarded.entry.get()) {
        return Err("its checksum does not agree");
    }
    serde_json::from_str(guarded.entry.get()).map_err(|_error| "this version does not know its kind")
}

fn sum(text: &str) -> String {
    let mut digits = hex::encode(Sha256::digest(text));
    digits.truncate(SUM_LENGTH);
    digits
}

/// An intent, and whether a person has accepted that the store may not know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownIntent {
    /// The line.
    pub intent: IntentLine,
    /// A `reconciled` line came after it.
    pub accepted: bool,
}

/// What all lines together say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Whose journal it is; `None` where it was never found to agree with a store.
    pub identity: Option<Identity>,
    /// Highest attempt number ever seen.
    pub high_water: i64,
    /// Intents in their order.
    pub intents: Vec<KnownIntent>,
    /// The answer that counts, by nonce.
    pub answers: BTreeMap<String, AnswerLine>,
    /// What people accepted.
    pub reconciled: Vec<Reconciled>,
    /// The newest sign of life.
    pub stamp: Option<Stamp>,
    /// The newest end of the audit that was seen since anybody reconciled.
    pub head: Option<Head>,
    /// Lines that are not whole, the end of the file aside.
    pub faults: Vec<String>,
}

impl Known {
    /// Whether any line was one of a journal.
    pub(super) fn has_lines(&self) -> bool {
        let said = [self.identity.is_some(), self.stamp.is_some(), !self.intents.is_empty()];
        said.into_iter().any(|any| any) || !self.answers.is_empty() || !self.reconciled.is_empty()
    }

    /// Number of the oldest attempt that is listed.
    pub fn oldest_attempt(&self) -> Option<i64> {
        self.intents.iter().map(|known| known.intent.attempt_id).min()
    }

    /// Takes the next line.
    pub(super) fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Opened(opened) => {
                self.high_water = self.high_water.max(opened.high_water);
                self.identity = Some(opened.identity);
            }
            Entry::Intent(intent) => {
                self.high_water = self.high_water.max(intent.attempt_id);
                self.intents.push(KnownIntent { intent, accepted: false });
            }
            Entry::Answer(answer) => {
                // A late answer decides over "unknown"; nothing decides over an answer that decided.
                let open = |kept: &AnswerLine| kept.outcome == Outcome::Unknown;
                if self.answers.get(&answer.nonce).is_none_or(open) {
                    self.answers.insert(answer.nonce.clone(), answer);
                }
            }
            Entry::Stamp(stamp) => {
                self.head = stamp.audit.clone().or_else(|| self.head.take());
                self.stamp = Some(stamp);
            }
            Entry::Reconciled(reconciled) => {
                self.high_water = self.high_water.max(reconciled.high_water);
                self.identity = Some(reconciled.identity.clone());
                self.intents.iter_mut().for_each(|known| known.accepted = true);
                self.head = None;
                self.reconciled.push(reconciled);
            }
        }
    }

    /// Newest first, the answers whose bodies stay.
    fn whole_answers(&self) -> BTreeSet<&str> {
        let newest = self.intents.iter().rev().filter_map(|known| self.answers.get(&known.intent.nonce));
        let with_length = newest.scan(0, |total, line| {
            *total += line.answer.as_ref().map_or(0, |answer| answer.bytes.len());
            (*total <= ANSWER_BYTES_KEPT).then_some(line.nonce.as_str())
        });
        with_length.collect()
    }

    /// The lines that say the same with intents older than `since` left out, and the bodies of older answers. The highest
    /// number stays.
    pub(super) fn lines(&self, since: Timestamp, now: Timestamp) -> Vec<Entry> {
        let whole = self.whole_answers();
        let answered = |nonce: &str| {
            let mut line = self.answers.get(nonce)?.clone();
            line.answer = line.answer.filter(|_| whole.contains(nonce));
            Some(Entry::Answer(line))
        };
        let kept = |accepted: bool| {
            let young =
                move |known: &&KnownIntent| known.accepted == accepted && known.intent.signed_at >= since;
            let both = |known: &KnownIntent| {
                [Some(Entry::Intent(known.intent.clone())), answered(&known.intent.nonce)]
            };
            self.intents.iter().filter(young).flat_map(both).flatten()
        };
        let opened = self.identity.clone().map(|identity| {
            let version = env!("CARGO_PKG_VERSION").to_owned();
            Entry::Opened(Opened { at: now, identity, version, high_water: self.high_water })
        });
        let stamp = self.stamp.clone().map(|stamp| Entry::Stamp(Stamp { audit: self.head.clone(), ..stamp }));
        kept(true)
            .chain(self.reconciled.iter().cloned().map(Entry::Reconciled))
            .chain(kept(false))
            .chain(opened)
            .chain(stamp)
            .collect()
    }
}
