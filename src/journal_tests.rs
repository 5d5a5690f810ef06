use std::fs::OpenOptions;
use std::io::Write as _;

use super::*;
use crate::domain::answer::CloudAnswer;
use crate::domain::remediation::Outcome;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn identity(store: &str) -> Identity {
    Identity { store_id: store.to_owned(), machine_id: Some("machine".to_owned()) }
}

fn intent(attempt_id: i64, signed_at: Timestamp) -> Entry {
    Entry::Intent(IntentLine {
        attempt_id,
        nonce: format!("nonce-{attempt_id}"),
        server_instance_no: "90000001".to_owned(),
        region_code: "KR".to_owned(),
        signed_at,
        counts: None,
    })
}

fn answer(attempt_id: i64, outcome: Outcome) -> Entry {
    Entry::Answer(AnswerLine {
        nonce: format!("nonce-{attempt_id}"),
        outcome,
        cause: "as the test says".to_owned(),
        request_id: Some(format!("request-{attempt_id}")),
        return_code: Some("0".to_owned()),
        return_message: None,
        http_status: Some(200),
        body_sha256: None,
        raises_hold: false,
        answer: None,
    })
}

fn stamp(seconds: i64, seq: i64) -> Entry {
    let audit = Some(Head { seq, hash: format!("hash-{seq}") });
    Entry::Stamp(Stamp { at: at(seconds), boot_id: None, boot_seconds: Some(7), audit })
}

/// A journal with three intents, the path of it, and the folder that it lives in.
fn journal() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("inner/JOURNAL");
    let journal = Journal::open(&path);
    assert_eq!((journal.known(), journal.trouble()), (Known::default(), None));
    journal.begin(identity("a"), 0, at(0)).unwrap();
    for id in 1..=3 {
        journal.append(intent(id, at(id))).unwrap();
    }
    journal.append(answer(1, Outcome::Accepted)).unwrap();
    journal.append(stamp(9, 40)).unwrap();
    (dir, path)
}

#[test]
fn what_was_written_is_read_again() {
    let (_dir, path) = journal();
    let known = Journal::open(&path).known();
    assert_eq!(known.identity, Some(identity("a")));
    assert_eq!((known.high_water, known.intents.len(), known.answers.len()), (3, 3, 1));
    assert_eq!(known.head.as_ref().unwrap().seq, 40);
    assert!(known.faults.is_empty());
    assert_eq!(Journal::read(&path).unwrap(), Some(known));
    assert_eq!(Journal::read(&path.with_file_name("nowhere")).unwrap(), None);
}

#[test]
fn a_torn_last_line_is_cut_off_wherever_it_tore() {
    let (_dir, path) = journal();
    let whole = std::fs::read(&path).unwrap();
    let last = lines::text_of(&intent(4, at(4))).unwrap();
    for cut in 1..last.len() {
        std::fs::write(&path, [&whole, last.get(..cut).unwrap().as_bytes()].concat()).unwrap();
        let journal = Journal::open(&path);
        assert_eq!((journal.known().high_water, journal.known().faults.len()), (3, 0), "{cut}");
        journal.append(intent(5, at(5))).unwrap();
        drop(journal);
        let known = Journal::open(&path).known();
        assert_eq!((known.high_water, known.faults.len(), known.intents.len()), (5, 0, 4), "{cut}");
    }
}

#[test]
fn a_flipped_byte_anywhere_is_a_fault() {
    let (_dir, path) = journal();
    let whole = std::fs::read(&path).unwrap();
    for place in 0..whole.len() - 1 {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x01;
        std::fs::write(&path, &bytes).unwrap();
        assert!(!Journal::open(&path).known().faults.is_empty(), "byte {place}");
    }
}

#[test]
fn leaving_out_what_is_old_keeps_the_highest_number_and_what_was_accepted() {
    let (_dir, path) = journal();
    let journal = Journal::open(&path);
    let reconciled = Reconciled {
        at: at(10),
        person: "lead".to_owned(),
        reason: "looked at".to_owned(),
        high_water: 7,
        identity: identity("b"),
    };
    journal.reconcile(reconciled).unwrap();
    assert!(journal.known().head.is_none(), "the chain that was seen before is not the one of now");
    journal.append(intent(8, at(11))).unwrap();
    journal.append(stamp(12, 5)).unwrap();
    let before = journal.known();
    journal.begin(identity("b"), 8, at(13)).unwrap();
    assert_eq!(journal.known(), before, "nothing is old yet");
    let much_later = at(33 * 24 * 3600);
    journal.append(intent(9, much_later)).unwrap();
    journal.append(intent(10, at(12))).unwrap();
    journal.begin(identity("b"), 0, much_later).unwrap();
    drop(journal);
    let known = Journal::open(&path).known();
    let left: Vec<_> = known.intents.iter().map(|one| (one.intent.attempt_id, one.accepted)).collect();
    assert_eq!((left, known.high_water), (vec![(9, false)], 10));
    assert_eq!((known.reconciled.len(), known.head.unwrap().seq), (1, 5));
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_long_file_is_shortened() {
    let (_dir, path) = journal();
    let journal = Journal::open(&path);
    let text = lines::text_of(&stamp(10, 41)).unwrap();
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(text.repeat(10_000).as_bytes()).unwrap();
    drop(journal);
    let journal = Journal::open(&path);
    journal.shorten(at(20)).unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() < 10_000);
    assert_eq!((journal.known().high_water, journal.known().head.unwrap().seq), (3, 41));
}

#[test]
fn a_shortened_file_keeps_the_newest_answers_whole_and_the_verdict_of_all() {
    let (_dir, path) = journal();
    let journal = Journal::open(&path);
    // Twenty answers of 64 KiB each, none of them text.
    for id in 10..30 {
        journal.append(intent(id, at(id))).unwrap();
        let mut line = answer(id, Outcome::Accepted);
        if let Entry::Answer(line) = &mut line {
            line.answer = Some(CloudAnswer { bytes: vec![0xff; 64 << 10], ..CloudAnswer::default() });
        }
        journal.append(line).unwrap();
    }
    assert!(std::fs::metadata(&path).unwrap().len() > 1 << 20);
    journal.shorten(at(40)).unwrap();
    drop(journal);
    assert!(std::fs::metadata(&path).unwrap().len() < 1 << 20);
    let known = Journal::open(&path).known();
    let whole =
        |id: i64| known.answers[&format!("nonce-{id}")].answer.as_ref().map(|answer| answer.bytes.len());
    assert_eq!((whole(29), whole(22), whole(21), whole(10)), (Some(64 << 10), Some(64 << 10), None, None));
    assert_eq!((known.answers.len(), known.faults.len()), (21, 0));
}

#[test]
fn a_damaged_journal_is_kept_beside_the_one_that_goes_on() {
    let (dir, path) = journal();
    let mut bytes = std::fs::read(&path).unwrap();
    let second = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 5;
    bytes[second] ^= 0x01;
    std::fs::write(&path, &bytes).unwrap();
    let journal = Journal::open(&path);
    assert_eq!(journal.known().faults.len(), 1);
    let reconciled = Reconciled {
        at: at(10),
        person: "lead".to_owned(),
        reason: "a bad disk".to_owned(),
        high_water: 3,
        identity: identity("a"),
    };
    journal.reconcile(reconciled).unwrap();
    drop(journal);
    assert!(Journal::open(&path).known().faults.is_empty());
    let kept = std::fs::read_dir(dir.path().join("inner")).unwrap().flatten();
    assert!(kept.into_iter().any(|file| file.file_name().to_string_lossy().contains("damaged")));
}

#[test]
fn what_is_late_decides_over_unknown_and_over_nothing_else() {
    let (_dir, path) = journal();
    let journal = Journal::open(&path);
    journal.append(answer(2, Outcome::Unknown)).unwrap();
    journal.append(answer(2, Outcome::Accepted)).unwrap();
    journal.append(answer(1, Outcome::Unknown)).unwrap();
    let known = journal.known();
    assert!(known.answers.values().all(|answer| answer.outcome == Outcome::Accepted));
}

#[test]
fn a_journal_that_was_moved_away_takes_no_line_until_it_is_back() {
    let (_dir, path) = journal();
    let journal = Journal::open(&path);
    let away = path.with_file_name("away");
    std::fs::rename(&path, &away).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(journal.append(intent(4, at(4))).is_err());
    assert!(journal.trouble().unwrap().contains("replaced"));
    std::fs::remove_dir(&path).unwrap();
    assert!(journal.append(intent(4, at(4))).is_err());
    assert!(journal.begin(identity("a"), 0, at(4)).is_err(), "nothing is made anew in its place");
    std::fs::rename(&away, &path).unwrap();
    journal.append(intent(4, at(4))).unwrap();
    assert_eq!(journal.trouble(), None);
    drop(journal);
    assert_eq!(Journal::open(&path).known().high_water, 4);
}

#[test]
fn a_second_service_does_not_write_into_it() {
    let (_dir, path) = journal();
    let first = Journal::open(&path);
    let second = Journal::open(&path);
    assert!(second.trouble().unwrap().contains("another running service"));
    assert!(second.append(intent(4, at(4))).is_err());
    drop(first);
    assert_eq!(Journal::open(&path).trouble(), None);
}

#[test]
fn a_file_of_something_else_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("JOURNAL");
    for other in [&b"SQLite format 3\0\n rest"[..], b"no line end", b"one\ntwo\nhalf"] {
        std::fs::write(&path, other).unwrap();
        let journal = Journal::open(&path);
        assert!(journal.trouble().unwrap().contains("some other file"), "{:?}", journal.trouble());
        assert!(journal.append(intent(1, Timestamp::UNIX_EPOCH)).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), other);
    }
}
