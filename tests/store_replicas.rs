//! Several stores on one PostgreSQL: they write in turns, one of them has the lease, and what is in doubt is not tried again.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use jiff::Timestamp;
use unhang::config::Place;
use unhang::domain::audit::{Actor, AuditEvent};
use unhang::domain::audit_key::KeyRing;
use unhang::domain::facts::TargetFact;
use unhang::domain::hold::HoldScope;
use unhang::store::{FactSource as _, FactsWanted, NewHold, Replica, Store, StoreError};

#[path = "postgres/mod.rs"]
#[expect(dead_code, reason = "each test program uses some of it")]
mod postgres;

const LASTS: Duration = Duration::from_mins(1);

async fn open(url: &str) -> Store {
    let (store, writer) = Store::open_at(&Place::parse(url).unwrap(), None, |_| {}).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "the test owns the writer")]
    tokio::spawn(writer);
    store
}

fn sql(url: &str, text: &str) -> Result<String, String> {
    let database = url.rsplit('/').next().unwrap();
    postgres::server().try_to_run(database, &format!("SET search_path = unhang; {text}"))
}

async fn append(store: &Store, kind: &'static str) -> Result<i64, StoreError> {
    let event = AuditEvent::new(Timestamp::UNIX_EPOCH, kind, Actor::service("test"));
    store
        .write(move |tx| {
            let event = event.clone();
            Box::pin(async move { tx.append(&event).await })
        })
        .await
}

async fn holds(store: &Store) -> usize {
    let now = Timestamp::UNIX_EPOCH;
    let wanted = FactsWanted {
        ends: Vec::new(),
        target: TargetFact::Pending,
        server: None,
        fingerprint: String::new(),
        trust: None,
        remediation: None,
        starts_at: Some(Timestamp::UNIX_EPOCH),
        attempts_since: now,
        now,
        hold_file: None,
        guards: None,
        heartbeats: Vec::new(),
    };
    let asked = store.write(move |tx| {
        let wanted = wanted.clone();
        Box::pin(async move { Ok(tx.remembered().facts(wanted).await?.holds.len()) })
    });
    asked.await.unwrap()
}

#[tokio::test]
async fn another_replica_s_write_is_not_hidden_by_what_is_remembered() {
    let url = postgres::server().new_database();
    let (one, two) = (open(&url).await, open(&url).await);
    assert_eq!((holds(&one).await, holds(&two).await), (0, 0));
    let held = one.write(|tx| {
        let (author, reason) = ("kim".to_owned(), "r".to_owned());
        let new = NewHold { scope: HoldScope::Global, author, reason, until: None };
        Box::pin(async move { tx.insert_hold(&new, Timestamp::UNIX_EPOCH).await })
    });
    held.await.unwrap();
    assert_eq!((holds(&two).await, holds(&one).await), (1, 1));
}

#[tokio::test]
async fn two_that_write_at_once_take_turns_and_the_chain_stays_whole() {
    let url = postgres::server().new_database();
    let stores = [open(&url).await, open(&url).await, open(&url).await];
    let mut jobs = tokio::task::JoinSet::new();
    for n in 0..90 {
        let store = stores[n % stores.len()].clone();
        jobs.spawn(async move { append(&store, "row").await.unwrap() });
    }
    let mut places: Vec<i64> = jobs.join_all().await;
    places.sort_unstable();
    assert_eq!(places, (1..=90).collect::<Vec<_>>());
    let [store, ..] = stores;
    let report = unhang::store::verify_chain(&store, &KeyRing::default(), |_| {}).await.unwrap();
    assert_eq!((report.rows, report.fault), (90, None));
}

#[tokio::test]
async fn pruning_in_steps_is_all_or_nothing_and_leaves_the_audit_guarded() {
    let url = postgres::server().new_database();
    let store = open(&url).await;
    for _ in 0..20 {
        append(&store, "row").await.unwrap();
    }
    let prune = |fails: bool| {
        store.write_long(move |tx| {
            Box::pin(async move {
                let mut removed = 0;
                for end in [5, 10, 15] {
                    removed += tx.prune_audit(end).await?;
                }
                if fails { Err(StoreError::Unreadable { what: "nothing" }) } else { Ok(removed) }
            })
        })
    };
    prune(true).await.unwrap_err();
    assert_eq!(sql(&url, "SELECT count(*) FROM audit").unwrap(), "20");
    sql(&url, "DELETE FROM audit WHERE seq = 1").unwrap_err();
    assert_eq!(prune(false).await.unwrap(), 15);
    assert_eq!(sql(&url, "SELECT min(seq) FROM audit").unwrap(), "16");
    sql(&url, "DELETE FROM audit WHERE seq = 16").unwrap_err();
}

#[tokio::test]
async fn what_another_replica_committed_is_news() {
    let url = postgres::server().new_database();
    let (one, two) = (open(&url).await, open(&url).await);
    let mut news = two.news();
    // The first may be found when the listener begins; the second can only be told.
    for _ in 0..2 {
        let seq = append(&one, "row").await.unwrap();
        let told = news.wait_for(|newest| *newest == seq);
        tokio::time::timeout(Duration::from_secs(30), told).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_store_that_went_back_is_not_written_to() {
    let url = postgres::server().new_database();
    let store = open(&url).await;
    append(&store, "one").await.unwrap();
    append(&store, "two").await.unwrap();
    sql(&url, "UPDATE turn SET count = 0").unwrap();
    assert!(matches!(append(&store, "three").await, Err(StoreError::WentBack { .. })));
    assert!(matches!(append(&store, "four").await, Err(StoreError::Stopped)), "its writer has ended");
    assert_eq!(sql(&url, "SELECT count(*) FROM audit").unwrap(), "2");
}

#[tokio::test]
async fn a_store_that_went_back_and_was_written_further_is_found_by_what_is_not_there() {
    let url = postgres::server().new_database();
    let store = open(&url).await;
    for kind in ["one", "two", "three"] {
        append(&store, kind).await.unwrap();
    }
    // What others have pruned is no fault.
    let pruned = "ALTER TABLE audit DISABLE TRIGGER USER; DELETE FROM audit WHERE seq <= 2; UPDATE turn SET count = 500";
    sql(&url, pruned).unwrap();
    append(&store, "four").await.unwrap();
    sql(&url, "DELETE FROM audit WHERE seq = 4; UPDATE turn SET count = 1000").unwrap();
    assert!(matches!(append(&store, "five").await, Err(StoreError::WentBack { .. })));
}

#[tokio::test]
async fn a_commit_without_an_answer_is_not_tried_again() {
    let url = postgres::server().new_database();
    let store =
        open(&url.replace(&postgres::server().port().to_string(), &cut_at_commit().to_string())).await;
    let error = append(&store, "one").await.unwrap_err();
    assert!(matches!(error, StoreError::InDoubt { .. }), "{error:?}");
    assert!(matches!(append(&store, "two").await, Err(StoreError::Stopped)), "its writer has ended");
    assert_eq!(sql(&url, "SELECT string_agg(kind, ' ') FROM audit").unwrap(), "one", "it was kept, and once");
}

/// A way to the server on which the answer to the first COMMIT behind an event never comes.
fn cut_at_commit() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for here in listener.incoming().flatten() {
            let there = TcpStream::connect(("127.0.0.1", postgres::server().port())).unwrap();
            let back = (there.try_clone().unwrap(), here.try_clone().unwrap());
            std::thread::spawn(move || drop(std::io::copy(&mut &back.0, &mut &back.1)));
            std::thread::spawn(move || until_commit(here, there));
        }
    });
    port
}

fn until_commit(mut here: TcpStream, mut there: TcpStream) {
    let mut buffer = [0; 8192];
    let mut told = false;
    while let Ok(read @ 1..) = here.read(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
        told |= text.contains("pg_notify");
        if told && text.contains("COMMIT") {
            here.shutdown(Shutdown::Both).unwrap();
            there.write_all(&buffer[..read]).unwrap();
            // The server is heard out: it has committed when it ends the connection.
            there.shutdown(Shutdown::Write).unwrap();
            return;
        }
        there.write_all(&buffer[..read]).unwrap();
    }
}

#[tokio::test]
async fn an_intent_of_an_older_epoch_is_refused_by_the_database() {
    const ATTEMPT: &str = "INSERT INTO attempt (remediation_id, try, nonce, epoch, server_no, region_code, policy, intent_at, \
         signed_at, send_before, request_hash, memory_bytes, cooldown_until) \
         VALUES ('r', 1, 'a', EPOCH, '1', 'KR', 'p', 0, 0, 0, 'h', 1, 0)";
    let url = postgres::server().new_database();
    let _store = open(&url).await;
    let before = "INSERT INTO owner (epoch, started_at, pid, version) VALUES (1, 0, 1, 't'), (2, 0, 1, 't');
        INSERT INTO incident (id, server_no, region_code, server_name, opened_at, last_seen_at) VALUES ('i', '1', 'KR', 'n', 0, 0);
        INSERT INTO remediation (id, incident_id, state, server_no, region_code, server, policy, policy_hash, config_hash, source,
          alert, needs_person, trace_id, created_at, settle_until, not_before, last_notice_at, waiting_since)
          VALUES ('r', 'i', 'settling', '1', 'KR', '{}', 'p', 'h', 'c', 's', '{}', 0, 't', 0, 0, 0, 0, 0)";
    sql(&url, before).unwrap();
    let said = sql(&url, &ATTEMPT.replace("EPOCH", "1")).unwrap_err();
    assert!(said.contains("an intent of an epoch that is over"), "{said}");
    sql(&url, &ATTEMPT.replace("EPOCH", "2")).unwrap();
}

fn replica(name: &str) -> Replica {
    Replica { name: name.to_owned(), version: "1".to_owned(), config_hash: "c".to_owned() }
}

async fn take(store: &Store, name: &str) -> Option<i64> {
    let replica = replica(name);
    let taken = store.write(move |tx| {
        let replica = replica.clone();
        Box::pin(async move { tx.take_lease(&replica, LASTS, Timestamp::UNIX_EPOCH).await })
    });
    taken.await.unwrap()
}

#[tokio::test]
async fn the_lease_has_one_holder_and_a_replaced_one_never_has_it_again() {
    let url = postgres::server().new_database();
    let (one, two) = (open(&url).await, open(&url).await);
    assert_eq!(one.lease().await.unwrap(), None);
    let first = take(&one, "one").await.unwrap();
    assert_eq!(take(&two, "two").await, None);
    assert!(one.renew_lease(first, &replica("one"), LASTS).await.unwrap());
    sql(&url, "UPDATE lease SET ends_at = clock_timestamp() - interval '1 second'").unwrap();
    // It ended, and nobody has taken it: it may go on.
    assert!(one.renew_lease(first, &replica("one"), LASTS).await.unwrap());
    sql(&url, "UPDATE lease SET ends_at = clock_timestamp() - interval '1 second'").unwrap();
    let second = take(&two, "two").await.unwrap();
    assert!(second > first);
    assert!(!one.renew_lease(first, &replica("one"), LASTS).await.unwrap());
    let lease = two.lease().await.unwrap().unwrap();
    assert_eq!((lease.epoch, lease.replica, lease.is_live), (second, replica("two"), true));
    // Given back, nobody waits for its end.
    two.write(move |tx| Box::pin(async move { tx.free_lease(second).await })).await.unwrap();
    assert!(take(&one, "one").await.unwrap() > second);
}

#[tokio::test]
async fn a_server_that_is_not_to_be_trusted_with_it_is_refused_by_name() {
    let own = postgres::Server::new("settings");
    own.start(&["fsync=off"]);
    let url = own.new_database();
    let refusal = async |url: &str| {
        let opened = Store::open_at(&Place::parse(url).unwrap(), None, |_| {}).await;
        opened.err().unwrap().to_string()
    };
    assert_eq!(refusal(&url).await, "the store's setting fsync is off, wanted on");
    let shared = postgres::server().new_database();
    let database = shared.rsplit('/').next().unwrap();
    let set = |value: &str| {
        postgres::server()
            .run("postgres", &format!("ALTER DATABASE {database} SET synchronous_commit = {value}"));
    };
    for value in ["off", "local"] {
        set(value);
        let said = refusal(&shared).await;
        assert!(said.contains("synchronous_commit is ") && said.contains("wanted on"), "{said}");
    }
    set("on");
    let store = open(&shared).await;
    drop(store);
    // One that a newer version has made.
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'n', true, '', 0)";
    sql(&shared, newer).unwrap();
    let said = refusal(&shared).await;
    assert!(said.contains("was written by a newer unhang (schema 9999)"), "{said}");
    let said = refusal("postgres://postgres@127.0.0.1:1/d").await;
    assert!(
        said.contains("cannot open the store postgres://postgres@127.0.0.1:1/d while connecting"),
        "{said}"
    );
}
