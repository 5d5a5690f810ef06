//! Ledger: every interrupt request that came in, and whether it reached a server. The witness against the caller.
//!
//! Never: forgets or rewrites a line of its file; a late effect is a second line with the same `seq`.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::behaviour::Behaviour;
use crate::error::Error;

/// Requests kept; further ones are answered 503 and not delivered, so the ledger is always whole.
const ENTRIES_MAX: usize = 1_000_000;

/// One interrupt request as the cloud saw it.
///
/// In the file, a `done_after` request has two lines of one `seq`: at arrival, and when it took effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerEntry {
    /// Order of arrival, from 1; goes on where an existing file ended.
    pub seq: u64,
    /// Arrival, milliseconds since the epoch by the machine's clock (never shifted by the clock offset).
    pub at: i64,
    /// HTTP method.
    pub method: String,
    /// The `serverInstanceNo` parameter.
    pub server_instance_no: Option<String>,
    /// The `regionCode` parameter as given; absent means the cloud took its first region.
    pub region_code: Option<String>,
    /// The `x-ncp-apigw-timestamp` header as given.
    pub timestamp: Option<String>,
    /// Whether the signature check passed.
    pub authenticated: bool,
    /// The behaviour applied; none for a request that did not pass the signature check.
    pub behaviour: Option<Behaviour>,
    /// The vendor return code of a refusal by the server service.
    pub refused: Option<String>,
    /// The `requestId` put into the answer, whether or not the answer arrives.
    pub request_id: Option<String>,
    /// Whether the interrupt reached the server.
    pub effect: bool,
    /// When it reached the server, in the same clock as `at`.
    pub effect_at: Option<i64>,
    /// Whether it ruined a dump being written, or one complete and not yet collected.
    pub destroyed_dump: bool,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    entries: Vec<LedgerEntry>,
    first_seq: u64,
    file: Option<File>,
}

impl Ledger {
    /// Opens the ledger; an existing file is continued.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = path else {
            return Ok(Self { entries: Vec::new(), first_seq: 1, file: None });
        };
        let trouble = |source| Error::LedgerFile { path: path.to_owned(), source };
        let file = OpenOptions::new().create(true).append(true).read(true).open(path).map_err(trouble)?;
        let mut last = 0;
        for line in BufReader::new(&file).lines() {
            let line = line.map_err(trouble)?;
            if let Ok(entry) = serde_json::from_str::<LedgerEntry>(&line) {
                last = last.max(entry.seq);
            }
        }
        Ok(Self { entries: Vec::new(), first_seq: last.saturating_add(1), file: Some(file) })
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= ENTRIES_MAX
    }

    pub(crate) fn next_seq(&self) -> u64 {
        self.first_seq.saturating_add(u64::try_from(self.entries.len()).unwrap_or(u64::MAX))
    }

    /// Keeps a new entry, in the file first.
    pub(crate) fn record(&mut self, entry: LedgerEntry) {
        self.append(&entry);
        self.entries.push(entry);
    }

    /// Amends the entry `seq` in memory and appends its new form to the file.
    pub(crate) fn amend(&mut self, seq: u64, change: impl FnOnce(&mut LedgerEntry)) {
        let index = usize::try_from(seq.saturating_sub(self.first_seq)).ok();
        let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) else {
            return;
        };
        change(entry);
        let amended = entry.clone();
        self.append(&amended);
    }

    pub(crate) fn entries(&self) -> &[LedgerEntry] {
        &self.entries
    }

    fn append(&mut self, entry: &LedgerEntry) {
        let Some(file) = &mut self.file else { return };
        let written = serde_json::to_vec(entry).map_err(std::io::Error::other).and_then(|mut line| {
            line.push(b'\n');
            file.write_all(&line)?;
            file.flush()
        });
        if let Err(error) = written {
            tracing::error!(ledger.seq = entry.seq, %error, "ledger entry {} is not in the file", entry.seq);
        }
    }
}
