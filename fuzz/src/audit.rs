//! The readers of `audit verify` and of the attempt journal: files that lay where others could write.
//!
//! Never: knows a secret that its inputs know; what is keyed or sealed in them cannot verify.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use jiff::Timestamp;
use unhang::domain::audit::{GENESIS, chain_hash};
use unhang::domain::audit_head::{Head, no_head, read_heads};
use unhang::domain::audit_key::{AuditKey, KeyRing, seal};
use unhang::domain::chain::{ChainReport, Inspection};
use unhang::export;
use unhang::journal::Journal;
use unhang::store::AuditItem;

/// Between the rows of an export and the lines of a heads file.
const HEADS_FOLLOW: &str = "\n--\n";

/// Rows as an export holds them, then heads. As they are they are nobody's; hashed anew, as whoever has no key can, they
/// are a chain, and any change of it must show.
pub(crate) fn verifier(data: &[u8]) {
    static RING: LazyLock<KeyRing> = LazyLock::new(|| {
        KeyRing::new(AuditKey::new("a key that no fuzzer finds: 0c4b19f2a77d".to_owned().into()), [])
    });
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (rows, heads) = text.split_once(HEADS_FOLLOW).unwrap_or((text, ""));
    let heads = read_heads(heads, &RING).heads;
    assert!(heads.iter().all(|head| head.key_id.is_none()), "a head was signed without the key");
    let items: Vec<AuditItem> = rows.lines().filter_map(|line| export::read_row(line).ok()).collect();
    let ever = items.last().map_or(0, |item| item.seq);
    assert_eq!(verified(&[], &items, &heads, &RING, ever).keyed_rows, 0, "a row was keyed without the key");
    for item in &items {
        let line = export::ndjson(std::slice::from_ref(item)).unwrap();
        let again = export::read_row(std::str::from_utf8(&line).unwrap().trim_end()).unwrap();
        assert_eq!(&again, item, "an export reads back as something else");
    }
    let chain = chained(items);
    let Some(last) = chain.last() else { return };
    let end = (last.seq, last.hash.clone());
    let head = Head::sealed(None, Timestamp::UNIX_EPOCH, end, last.seq, no_head());
    // Some checkpoints that they tell of are none.
    let report = verified(&[], &chain, std::slice::from_ref(&head), &KeyRing::default(), last.seq);
    if report.fault.is_none() {
        every_change_shows(&chain, &head, data.len());
        // The store may hold what was exported as well.
        let exported = &chain[..data.len() % chain.len()];
        let both = verified(exported, &chain, std::slice::from_ref(&head), &KeyRing::default(), last.seq);
        assert_eq!(both.fault, None);
        assert_eq!(both.deep, report.deep, "an overlap was folded twice");
    }
}

/// One row of the chain, chosen by the input, is removed, doubled, changed, moved or cut off.
fn every_change_shows(chain: &[AuditItem], head: &Head, choice: usize) {
    let (place, ever) = (choice % chain.len(), head.seq);
    let shows = |what: &str, changed: &[AuditItem], ever: i64| {
        let report = verified(&[], changed, std::slice::from_ref(head), &KeyRing::default(), ever);
        assert!(report.fault.is_some(), "{what} {place} of {} does not show", chain.len());
    };
    let change = |make: &dyn Fn(&mut Vec<AuditItem>)| {
        let mut changed = chain.to_vec();
        make(&mut changed);
        changed
    };
    shows("removing", &change(&|rows| drop(rows.remove(place))), ever);
    shows("doubling", &change(&|rows| rows.insert(place, rows[place].clone())), ever);
    shows("another detail in", &change(&|rows| rows[place].event.detail.push(' ')), ever);
    shows("another kind of", &change(&|rows| rows[place].event.kind.push('x')), ever);
    if chain.len() > 1 {
        shows("moving", &change(&|rows| rows.rotate_left(1 + place % (chain.len() - 1))), ever);
    }
    // From here on the number of rows ever written was changed as well: only the head knows better.
    shows("cutting at", &chain[..place], i64::try_from(place).unwrap());
    let anew = chained(change(&|rows| rows[place].event.detail.push(' ')));
    shows("a chain made anew from", &anew, ever);
}

/// The rows hashed anew without a key, from the first place on.
fn chained(items: Vec<AuditItem>) -> Vec<AuditItem> {
    let mut before = GENESIS.to_owned();
    let mut chain = Vec::with_capacity(items.len());
    for (seq, item) in (1..).zip(items) {
        let hash = chain_hash(None, &before, seq, &item.event);
        let prev_hash = std::mem::replace(&mut before, hash.clone());
        chain.push(AuditItem { seq, event: item.event, prev_hash, hash, key_id: None });
    }
    chain
}

/// Walks and folds them, exports before the store, as `audit verify --deep` does.
fn verified(
    exported: &[AuditItem],
    stored: &[AuditItem],
    heads: &[Head],
    ring: &KeyRing,
    ever: i64,
) -> ChainReport {
    let mut inspection = Inspection::new(ring.clone(), heads, true);
    let take = |inspection: &mut Inspection, items: &[AuditItem]| {
        let _whole = items.iter().all(|item| inspection.take(&item.link()));
    };
    take(&mut inspection, exported);
    if !exported.is_empty() {
        inspection.now_the_store();
    }
    take(&mut inspection, stored);
    let deep = inspection.folded().map(unhang::domain::fold::Fold::finish);
    inspection.finish(ever, deep)
}

/// The attempt journal, which says what may have been sent. A line behind a `+` gets the checksum that belongs to it.
pub(crate) fn journal(data: &[u8]) {
    static PLACE: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| super::place("JOURNAL"));
    let mut bytes = Vec::with_capacity(data.len());
    for line in data.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_prefix(b"+").map(<[u8]>::trim_ascii_end) {
            None => bytes.extend_from_slice(line),
            Some(entry) => {
                let sum = &seal(None, entry)[..16];
                bytes.extend_from_slice(format!("{{\"sum\":\"{sum}\",\"entry\":").as_bytes());
                bytes.extend_from_slice(entry);
                bytes.extend_from_slice(b"}\n");
            }
        }
    }
    fs::write(&PLACE.1, &bytes).unwrap();
    let known = Journal::read(&PLACE.1).unwrap().unwrap();
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
    let told = known.intents.len() + known.answers.len() + known.reconciled.len() + known.faults.len();
    assert!(told <= lines, "{lines} lines told {told} things");
    assert!(known.intents.iter().all(|one| one.intent.attempt_id <= known.high_water));
}
