use tokio_util::task::TaskTracker;

use super::*;
use crate::clock::Clock;
use crate::config::{Environment, load};
use crate::domain::facts::TargetFact;
use crate::journal::{AnswerLine, IntentLine, Journal, KnownIntent};
use crate::lease::Lease;
use crate::store::{FactSource as _, FactsWanted, Store};
use crate::telemetry::Metrics;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn known() -> Known {
    let intent = |attempt_id: i64| KnownIntent {
        intent: IntentLine {
            attempt_id,
            nonce: format!("nonce-{attempt_id}"),
            server_instance_no: format!("9000000{attempt_id}"),
            region_code: "KR".to_owned(),
            signed_at: at(attempt_id),
            counts: None,
        },
        accepted: false,
    };
    let answer = AnswerLine {
        nonce: "nonce-2".to_owned(),
        outcome: Outcome::Accepted,
        cause: String::new(),
        request_id: Some("request-2".to_owned()),
        return_code: None,
        return_message: None,
        http_status: None,
        body_sha256: None,
        raises_hold: false,
        answer: None,
    };
    Known {
        identity: Some(Identity { store_id: "a".to_owned(), machine_id: Some("here".to_owned()) }),
        high_water: 2,
        intents: vec![intent(1), intent(2)],
        answers: [(answer.nonce.clone(), answer)].into(),
        head: Some(Head { seq: 9, hash: "nine".to_owned() }),
        ..Known::default()
    }
}

fn history() -> History {
    History {
        audit_begin: 1,
        identity: Some(StoreIdentity { store_id: "a".to_owned(), machine_id: Some("here".to_owned()) }),
        attempts: 2,
        high_water: 2,
        nonces: [(1, "nonce-1".to_owned()), (2, "nonce-2".to_owned())].into(),
        audit_end: 12,
        audit_hash: Some("nine".to_owned()),
    }
}

fn on(machine: &str) -> At {
    At { machine: Some(machine.to_owned()), is_shared: false }
}

#[test]
fn a_new_replica_needs_no_journal_and_a_promoted_server_is_found() {
    let at = At { machine: Some("7/1".to_owned()), is_shared: true };
    let store = History {
        identity: Some(StoreIdentity { store_id: "store".to_owned(), machine_id: Some("7/1".to_owned()) }),
        ..history()
    };
    assert_eq!(compare(&Known::default(), &store, &at).findings, Vec::<String>::new());
    // A person has cleared it at another replica, and the store says so; the journal of this one does not know yet.
    let told = |machine: &str| {
        let machine_id = Some(machine.to_owned());
        History { identity: Some(StoreIdentity { store_id: "a".to_owned(), machine_id }), ..history() }
    };
    assert_eq!(compare(&known(), &told("7/1"), &at).findings, Vec::<String>::new());
    assert_eq!(compare(&known(), &told("here"), &at).findings.len(), 2);
    let promoted = At { machine: Some("7/2".to_owned()), ..at };
    let findings = compare(&Known::default(), &store, &promoted).findings;
    assert!(
        findings.len() == 1 && findings.iter().all(|finding| finding.contains("promoted")),
        "{findings:?}"
    );
}

#[track_caller]
fn finds(journal: &Known, store: &History, mentions: &[&str]) {
    let findings = compare(journal, store, &on("here")).findings;
    assert_eq!(findings.len(), mentions.len(), "{findings:#?}");
    for (finding, wanted) in findings.iter().zip(mentions) {
        assert!(finding.contains(wanted), "{wanted:?} is not in: {finding}");
    }
}

#[test]
fn a_store_that_knows_all_is_let_be() {
    finds(&known(), &history(), &[]);
    let more = History { attempts: 3, high_water: 3, ..history() };
    finds(&known(), &more, &[]);
    assert!(
        compare(&known(), &history(), &At::default()).findings.is_empty(),
        "a system that names no machine"
    );
}

#[test]
fn an_older_store_is_found_by_each_of_its_gaps() {
    let older = History {
        attempts: 1,
        high_water: 1,
        nonces: [(1, "nonce-1".to_owned())].into(),
        audit_end: 5,
        audit_hash: None,
        ..history()
    };
    finds(&known(), &older, &["attempt 2, the store ends at 1", "2 of server 90000002", "audit row 9"]);
    let sequence_lost = History { high_water: 1, ..history() };
    finds(&known(), &sequence_lost, &["attempt 2, the store ends at 1"]);
    let went_on =
        History { nonces: [(1, "nonce-1".to_owned()), (2, "other".to_owned())].into(), ..history() };
    finds(&known(), &went_on, &["2 of server 90000002"]);
    let only_alerts_lost = History { audit_end: 8, audit_hash: None, ..history() };
    finds(&known(), &only_alerts_lost, &["audit row 9, the store ends at 8"]);
    let other_alerts = History { audit_hash: Some("another".to_owned()), ..history() };
    finds(&known(), &other_alerts, &["audit row 9 is not"]);
}

#[test]
fn a_store_or_a_journal_from_elsewhere_is_found() {
    let other = StoreIdentity { store_id: "b".to_owned(), machine_id: Some("here".to_owned()) };
    finds(&known(), &History { identity: Some(other), ..history() }, &["belongs to store a, this is b"]);
    finds(&known(), &History { identity: None, ..history() }, &["this is none"]);
    let elsewhere = compare(&known(), &history(), &on("there")).findings;
    assert_eq!(elsewhere.len(), 2, "{elsewhere:?}");
    finds(&Known::default(), &history(), &["missing or was never in use"]);
    let damaged = Known { faults: vec!["line 3: torn".to_owned()], ..known() };
    finds(&damaged, &history(), &["line 3"]);
}

#[test]
fn what_is_new_and_what_is_of_an_older_version_is_taken_as_it_is() {
    finds(&Known::default(), &History::default(), &[]);
    finds(&Known::default(), &History { identity: None, ..history() }, &[]);
    let new = History { attempts: 0, high_water: 0, nonces: [].into(), ..history() };
    finds(&Known::default(), &new, &[]);
}

#[test]
fn what_a_person_accepted_is_not_found_again_and_still_listed() {
    let mut journal = known();
    journal.intents.iter_mut().for_each(|known| known.accepted = true);
    let cleared = History { nonces: [].into(), ..history() };
    finds(&journal, &cleared, &[]);
    assert_eq!(compare(&journal, &cleared, &At::default()).missing.len(), 2);
    finds(&journal, &History { high_water: 1, ..cleared }, &["attempt 2, the store ends at 1"]);
}

#[test]
fn a_server_is_left_alone_while_a_lost_interrupt_may_count() {
    let missing = compare(&known(), &History { nonces: [].into(), ..history() }, &At::default()).missing;
    let [unanswered, accepted] = &missing[..] else { panic!("{missing:?}") };
    let day = SignedDuration::from_hours(24);
    assert!(unanswered.may_still_count(day, at(400_000)), "nobody knows what became of it");
    assert!(accepted.may_still_count(day, at(86_401)));
    assert!(!accepted.may_still_count(day, at(86_402)));
    let not_sent = Missing { outcome: Some(Outcome::NotSent), ..accepted.clone() };
    assert!(!not_sent.may_still_count(day, at(3)));
}

#[test]
fn a_gap_is_what_lies_between_two_signs_of_life() {
    let seen = |seconds: i64| Known {
        stamp: Some(Stamp { at: at(seconds), boot_id: None, boot_seconds: None, audit: None }),
        ..Known::default()
    };
    let span = |from: i64, until: i64| Some(Gap { from: at(from), until: at(until) });
    assert_eq!(gap(&Known::default(), None, at(0), at(0)), None, "a new store");
    assert_eq!(gap(&seen(0), Some(at(590)), at(600), at(600)), None);
    assert_eq!(gap(&seen(0), Some(at(590)), at(601), at(601)), span(0, 601));
    assert_eq!(gap(&Known::default(), Some(at(0)), at(601), at(601)), span(0, 601));
    assert_eq!(gap(&seen(700), None, at(0), at(0)), None);
    // A floor that is ahead of the wall clock is no gap, and does not shorten one.
    assert_eq!(gap(&seen(0), None, at(30), at(3600)), None);
    assert_eq!(gap(&seen(0), None, at(700), at(3600)), span(0, 3600));
}

#[tokio::test]
async fn a_first_start_and_a_process_that_was_frozen_are_noted_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("unhang.toml");
    let store = folder.path().join("unhang.db");
    let text = format!("[store]\nurl = \"sqlite://{}\"\n[cloud]\nregion = \"KR\"\n", store.display());
    std::fs::write(&path, text).unwrap();
    let keys =
        ["NCLOUD_ACCESS_KEY_ID", "NCLOUD_SECRET_KEY"].map(|name| (name.to_owned(), name.to_lowercase()));
    let config = load(Some(&path), &keys.into_iter().collect::<Environment>()).unwrap().config;
    let (store, writer) = Store::open(&config.store.path, None, |_stats| {}).await.unwrap();
    TaskTracker::new().spawn(writer);
    let journal = Arc::new(Journal::open(&config.store.journal));
    let service =
        Arc::new(Service::new(store, journal, Clock::default(), config, Metrics::new(), Lease::alone(1)));
    begin(&service, None, Ok(None)).await.unwrap();
    let gaps = async || {
        let facts = FactsWanted {
            ends: Vec::new(),
            target: TargetFact::Pending,
            server: None,
            fingerprint: String::new(),
            trust: None,
            remediation: None,
            starts_at: Some(Timestamp::UNIX_EPOCH),
            attempts_since: Timestamp::UNIX_EPOCH,
            now: service.clock.now(),
            hold_file: None,
            guards: None,
            heartbeats: Vec::new(),
        };
        service.store.clone().facts(facts).await.unwrap().unwatched.len()
    };
    assert_eq!(gaps().await, 1, "before its first start a store saw nothing");
    begin(&service, Some(service.clock.now()), Ok(None)).await.unwrap();
    sign_of_life(&service).await;
    assert_eq!(gaps().await, 1, "the second start");
    let long_ago = service.clock.wall() - SignedDuration::from_mins(11);
    let stamp = Stamp { at: long_ago, boot_id: None, boot_seconds: None, audit: None };
    service.journal.append(Entry::Stamp(stamp)).unwrap();
    sign_of_life(&service).await;
    sign_of_life(&service).await;
    assert_eq!(gaps().await, 2);
}
