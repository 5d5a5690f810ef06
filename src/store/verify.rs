//! Verifying the audit chain from its first row to its last.
//!
//! Never: stops at "the hashes agree": places and the number of rows ever written are checked too.

use serde::Serialize;

use crate::domain::audit::{GENESIS, chain_hash};

use super::open::Store;
use super::query::{AuditItem, audit_after};
use super::{Doing, StoreError};

/// Rows read at a time.
const PAGE: i64 = 1000;

/// The first thing wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChainFault {
    /// Place where it shows.
    pub seq: i64,
    /// What is wrong.
    pub what: String,
}

/// Result of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChainReport {
    /// Rows that were verified.
    pub rows: i64,
    /// Place of the last one.
    pub last_seq: i64,
    /// Its hash: compare it with one written down elsewhere to find a chain that was cut or rewritten whole.
    pub last_hash: String,
    /// The first fault; `None` when the chain is whole.
    pub fault: Option<ChainFault>,
}

/// Walks the chain. `progress` hears the number of rows after each page.
pub async fn verify_chain(store: &Store, mut progress: impl FnMut(i64)) -> Result<ChainReport, StoreError> {
    let mut report = ChainReport { rows: 0, last_seq: 0, last_hash: GENESIS.to_owned(), fault: None };
    loop {
        let page = audit_after(store, report.last_seq, PAGE).await?;
        if page.is_empty() {
            break;
        }
        for item in page {
            if let Some(what) = fault_of(&report, &item) {
                report.fault = Some(ChainFault { seq: item.seq, what });
                return Ok(report);
            }
            report.rows += 1;
            report.last_seq = item.seq;
            report.last_hash = item.hash;
        }
        progress(report.rows);
    }
    let ever: Option<i64> = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'audit'")
        .fetch_optional(&store.readers)
        .await
        .doing("reading how many audit rows were ever written")?;
    let ever = ever.unwrap_or(0);
    if ever != report.last_seq {
        let what =
            format!("the last row is {}, but {ever} rows were written: the end is missing", report.last_seq);
        report.fault = Some(ChainFault { seq: report.last_seq + 1, what });
    }
    Ok(report)
}

fn fault_of(so_far: &ChainReport, item: &AuditItem) -> Option<String> {
    if item.seq != so_far.last_seq + 1 {
        return Some(format!("expected row {}: rows are missing or out of place", so_far.last_seq + 1));
    }
    if item.prev_hash != so_far.last_hash {
        return Some("it does not continue the row before it".to_owned());
    }
    (chain_hash(&item.prev_hash, item.seq, &item.event) != item.hash)
        .then(|| "its content does not give its hash".to_owned())
}
