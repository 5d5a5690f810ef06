use jiff::Timestamp;
use serde_json::json;

use super::super::audit::{Actor, chain_hash};
use super::super::audit_head::no_head;
use super::super::audit_key::AuditKey;
use super::*;

struct Row {
    seq: i64,
    event: AuditEvent,
    prev_hash: String,
    hash: String,
    key_id: Option<String>,
}

fn key() -> AuditKey {
    AuditKey::new(secrecy::SecretString::from("k".repeat(32))).unwrap()
}

fn ring() -> KeyRing {
    KeyRing::new(Some(key()), [])
}

fn event(kind: &str) -> AuditEvent {
    AuditEvent::new(Timestamp::UNIX_EPOCH, kind, Actor::service("test"))
}

/// A hold that was set: an event that folding takes for a row.
fn hold(id: i64) -> AuditEvent {
    event("hold_set").with_detail(&json!({ "id": id }))
}

fn checkpoint(before: &Row, keyed: bool, pruned: bool) -> AuditEvent {
    event(CHECKPOINT).with_detail(&Checkpoint {
        first_seq: 1,
        last_seq: before.seq,
        first_hash: "first".to_owned(),
        last_hash: before.hash.clone(),
        keyed,
        export_sha256: "sum".to_owned(),
        export_name: None,
        before: Timestamp::UNIX_EPOCH,
        pruned,
    })
}

/// Puts an event behind the last row.
fn push(rows: &mut Vec<Row>, event: AuditEvent, key: Option<&AuditKey>) {
    let (seq, prev_hash) = rows.last().map_or((1, GENESIS.to_owned()), |row| (row.seq + 1, row.hash.clone()));
    let hash = chain_hash(key, &prev_hash, seq, &event);
    rows.push(Row { seq, event, prev_hash, hash, key_id: key.map(|key| key.id().to_owned()) });
}

/// Four holds; the last two are keyed.
fn chain() -> Vec<Row> {
    let (mut rows, key) = (Vec::new(), key());
    for id in 1..=4 {
        push(&mut rows, hold(id), (id > 2).then_some(&key));
    }
    rows
}

fn head(seq: i64, hash: &str) -> Head {
    Head::sealed(None, Timestamp::UNIX_EPOCH, (seq, hash.to_owned()), seq, no_head())
}

/// Walks exports, then the rows of the store.
fn walk(exported: &[Row], stored: &[Row], heads: &[Head], ever: i64) -> ChainReport {
    let mut inspection = Inspection::new(ring(), heads, true);
    let take = |inspection: &mut Inspection, rows: &[Row]| {
        for row in rows {
            let Row { seq, event, prev_hash, hash, key_id } = row;
            let link = Link { seq: *seq, event, prev_hash, hash, key_id: key_id.as_deref() };
            assert_eq!(inspection.take(&link), inspection.fault().is_none());
        }
    };
    take(&mut inspection, exported);
    if !exported.is_empty() {
        inspection.now_the_store();
    }
    take(&mut inspection, stored);
    let deep = inspection.folded().map(Fold::finish);
    assert!(inspection.folded().is_none(), "it is given once");
    inspection.finish(ever, deep)
}

fn fault(exported: &[Row], stored: &[Row], heads: &[Head], ever: i64) -> (i64, String) {
    let fault = walk(exported, stored, heads, ever).fault.expect("a fault");
    (fault.seq, fault.what)
}

/// Changes the whole chain, and says where and how that shows.
fn changed(change: impl FnOnce(&mut Vec<Row>)) -> (i64, String) {
    let mut rows = chain();
    change(&mut rows);
    fault(&[], &rows, &[], 4)
}

#[test]
fn a_whole_chain_verifies_and_says_what_it_saw() {
    let rows = chain();
    let report = walk(&[], &rows, &[head(0, GENESIS), head(2, &rows[1].hash)], 4);
    assert_eq!(report.fault, None);
    assert_eq!((report.rows, report.first_seq, report.last_seq, report.keyed_rows), (4, 1, 4, 2));
    assert_eq!((report.heads, report.heads_not_compared, report.exported_rows), (2, 0, 0));
    assert_eq!(report.deep.map(|deep| deep.differences.len()), Some(4), "four holds are in no table");
    let shallow = Inspection::new(ring(), &[], false).folded();
    assert!(shallow.is_none());
}

#[test]
fn whatever_is_changed_shows_at_its_row() {
    let told = |found: (i64, String), seq: i64, what: &str| {
        assert!(found.0 == seq && found.1.contains(what), "{found:?}, wanted {seq}: {what}");
    };
    told(changed(|rows| drop(rows.remove(1))), 3, "expected row 2");
    told(changed(|rows| "other".clone_into(&mut rows[1].prev_hash)), 2, "does not continue the row before");
    told(changed(|rows| rows[1].event = hold(9)), 2, "content does not give its hash");
    told(changed(|rows| rows[3].key_id = None), 4, "it has no key");
    told(changed(|rows| rows[2].key_id = Some("0000".to_owned())), 3, "needs key 0000");
    told(changed(|rows| drop(rows.pop())), 4, "4 rows were written: the end is missing");
    // The first fault stays, whatever follows.
    let two = changed(|rows| {
        rows[1].event = hold(9);
        rows[2].event = hold(9);
    });
    told(two, 2, "content");
}

#[test]
fn a_head_that_knows_another_row_or_a_later_one_shows() {
    let rows = chain();
    let (seq, what) = fault(&[], &rows, &[head(2, "other")], 4);
    assert!(seq == 2 && what.contains("knows it with hash other"), "{seq} {what}");
    let (seq, what) = fault(&[], &rows, &[head(0, "other")], 4);
    assert!(seq == 0 && what.contains("knows it with hash other"), "{seq} {what}");
    let (seq, what) = fault(&[], &rows, &[head(6, "x")], 4);
    assert!(seq == 5 && what.contains("the end is missing"), "{seq} {what}");
}

#[test]
fn a_store_continues_its_exports_and_may_overlap_them() {
    let rows = chain();
    let whole = walk(&rows[..2], &rows[2..], &[], 4);
    // Without a checkpoint nothing in the store says that rows were taken out of it.
    assert!(whole.fault.unwrap().what.contains("no checkpoint tells"));
    let both = walk(&rows[..3], &rows, &[], 4);
    assert_eq!((both.fault, both.exported_rows, both.rows), (None, 3, 4));
    assert_eq!(both.deep.map(|deep| deep.differences.len()), Some(4), "an overlap is folded once");
    assert_eq!(walk(&rows, &rows, &[], 4).fault, None, "all of it was exported, and nothing pruned");
    let mut gaps = Vec::new();
    for _ in 0..3 {
        let gap = json!({ "from": Timestamp::UNIX_EPOCH, "until": Timestamp::UNIX_EPOCH });
        push(&mut gaps, event("watch_gap").with_detail(&gap), None);
    }
    let both = walk(&gaps[..2], &gaps, &[], 3).deep.unwrap();
    assert_eq!(both.differences.len(), 3, "each gap is one, wherever it was read: {both:?}");
    let (seq, what) = fault(&rows[..1], &rows[2..], &[], 4);
    assert!(seq == 3 && what.contains("rows 2 to 2 are neither here nor exported"), "{what}");
    let (seq, what) = fault(&rows, &rows[..2], &[], 2);
    assert!(seq == 3 && what.contains("the export ends with row 4"), "{what}");
}

#[test]
fn an_export_of_another_chain_shows() {
    let (rows, mut other) = (chain(), Vec::new());
    for id in [7, 8] {
        push(&mut other, hold(id), None);
    }
    let (seq, what) = fault(&other, &rows, &[], 4);
    assert!(seq == 2 && what.contains("ends with another row in this place"), "{what}");
    let (seq, what) = fault(&other, &rows[2..], &[], 4);
    assert!(seq == 3 && what.contains("does not continue the export"), "{what}");
}

/// The chain with a checkpoint at its end, and without its first two rows.
fn pruned(tell: impl FnOnce(&Row) -> AuditEvent) -> Vec<Row> {
    let mut rows = chain();
    let event = tell(&rows[1]);
    push(&mut rows, event, Some(&key()));
    rows.split_off(2)
}

#[test]
fn rows_that_were_pruned_need_a_checkpoint_that_tells_of_them() {
    let good = pruned(|before| checkpoint(before, false, true));
    let last = good[0].prev_hash.clone();
    let report = walk(&[], &good, &[head(1, "x"), head(2, &last)], 5);
    assert_eq!(report.fault, None);
    assert_eq!((report.first_seq, report.heads, report.heads_not_compared), (3, 1, 1));
    assert_eq!(report.prunings.len(), 1);
    assert_eq!(report.deep.unwrap().begins_at, Some(3));
    // The export may hold more than what was pruned.
    let both = walk(&chain()[..3], &good, &[], 5);
    assert_eq!((both.fault, both.exported_rows, both.deep.unwrap().begins_at), (None, 3, None));
    let (_, what) = fault(&[], &good, &[head(2, "other")], 5);
    assert!(what.contains("knows it with hash other"), "{what}");

    let none = "no checkpoint tells of them";
    let not_pruned = pruned(|before| checkpoint(before, false, false));
    let of_another_hash =
        pruned(|before| checkpoint(&Row { hash: "other".into(), ..copy(before) }, false, true));
    let of_another_row = pruned(|before| checkpoint(&Row { seq: 1, ..copy(before) }, false, true));
    for rows in [not_pruned, of_another_hash, of_another_row] {
        let (seq, what) = fault(&[], &rows, &[], 5);
        assert!(seq == 3 && what.contains(none), "{what}");
    }
    let torn = pruned(|_| event(CHECKPOINT));
    let (seq, what) = fault(&[], &torn, &[], 5);
    assert!(seq == 5 && what.contains("is no checkpoint"), "{what}");
}

fn copy(row: &Row) -> Row {
    let Row { seq, event, prev_hash, hash, key_id } = row;
    Row {
        seq: *seq,
        event: event.clone(),
        prev_hash: prev_hash.clone(),
        hash: hash.clone(),
        key_id: key_id.clone(),
    }
}

#[test]
fn behind_pruned_keyed_rows_every_row_has_a_key() {
    assert_eq!(walk(&[], &pruned(|before| checkpoint(before, true, true)), &[], 5).fault, None);
    let mut rows = Vec::new();
    for id in 1..=2 {
        push(&mut rows, hold(id), None);
    }
    let tells = checkpoint(&rows[0], true, true);
    push(&mut rows, tells, None);
    let (seq, what) = fault(&[], &rows[1..], &[], 3);
    assert!(seq == 2 && what.contains("it has no key, but rows before it had one"), "{what}");
}

#[test]
fn a_missing_end_shows_where_the_walk_stands() {
    let mut inspection = Inspection::new(ring(), &[], false);
    for row in chain() {
        let Row { seq, event, prev_hash, hash, key_id } = &row;
        inspection.take(&Link { seq: *seq, event, prev_hash, hash, key_id: key_id.as_deref() });
    }
    assert_eq!(inspection.fault_at_end(4), None);
    assert_eq!(inspection.fault_at_end(3), None, "a row that was written since");
    let fault = inspection.fault_at_end(6).unwrap();
    assert_eq!((fault.seq, fault.what.contains("6 rows were written")), (5, true), "{fault:?}");
}
