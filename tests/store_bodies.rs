//! Raw bodies: those that wait together are looked for at once, and an older store keeps its own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use sqlx::migrate::Migrator;
use sqlx::{Connection as _, SqliteConnection};
use tokio::task::JoinSet;
use unhang::config::Place;
use unhang::domain::ids::DeliveryId;
use unhang::store::{KeptBody, NewDelivery, Store, StoredAnswer};

#[path = "postgres/mod.rs"]
#[expect(dead_code, reason = "each test program uses some of it")]
mod postgres;

/// Deliveries that are written at the same time.
const AT_ONCE: usize = 20;

async fn open(place: &Place) -> Store {
    let (store, writer) = Store::open_at(place, None, |_| {}).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "the test owns the writer")]
    tokio::spawn(writer);
    store
}

fn delivery(source: &str, body: &str, at: Timestamp) -> NewDelivery {
    NewDelivery {
        id: DeliveryId::generate(),
        trace_id: "t".to_owned(),
        source: source.to_owned(),
        received_at: at,
        peer: "127.0.0.1".to_owned(),
        credential: 0,
        body_sha256: format!("hash of {body}"),
        body: KeptBody::of(body.as_bytes().to_vec().into(), true),
        sender_time: None,
        alert_count: 1,
        truncated: 0,
        dedupable: true,
        replay_of: None,
        actor: source.to_owned(),
        config_hash: "c".to_owned(),
    }
}

/// Writes these at the same time, as intake does. For each, in their order, its id and the earlier one that it found.
async fn deliver(store: &Store, all: Vec<NewDelivery>) -> Vec<(DeliveryId, Option<StoredAnswer>)> {
    let mut jobs = JoinSet::new();
    for (place, new) in all.into_iter().enumerate() {
        let store = store.clone();
        jobs.spawn(async move {
            let id = new.id.clone();
            let written = store.write_delivery(new.body_key(), move |tx| {
                let new = new.clone();
                Box::pin(async move {
                    let earlier = tx.earlier_delivery(&new.source, &new.body_sha256, new.received_at).await?;
                    tx.insert_delivery(&new, earlier.as_ref().map(|one| &one.id));
                    tx.set_answer(&new.id, new.id.as_str(), &[]).await?;
                    Ok(earlier)
                })
            });
            (place, id, written.await.unwrap())
        });
    }
    let mut done = jobs.join_all().await;
    done.sort_by_key(|(place, ..)| *place);
    done.into_iter().map(|(_, id, earlier)| (id, earlier)).collect()
}

#[tokio::test]
async fn bodies_that_wait_together_are_known_or_not_each_by_itself() {
    for (place, _folder) in postgres::places() {
        let store = open(&place).await;
        let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
        let some = |source: &str, seconds| {
            (0..AT_ONCE).map(|n| delivery(source, &format!("body {n}"), at(seconds))).collect::<Vec<_>>()
        };
        let first = deliver(&store, some("a", 0)).await;
        assert!(first.iter().all(|(_, earlier)| earlier.is_none()), "all are new");
        let others = deliver(&store, some("b", 1)).await;
        assert!(others.iter().all(|(_, earlier)| earlier.is_none()), "another source");
        // Known ones and new ones at once.
        let mixed = some("a", 30).into_iter().chain(some("c", 30)).collect();
        let mixed = deliver(&store, mixed).await;
        let (again, new) = mixed.split_at(AT_ONCE);
        for ((_, found), (id, _)) in again.iter().zip(&first) {
            let found = found.as_ref().unwrap();
            assert_eq!((&found.id, found.answer.as_str(), found.same), (id, id.as_str(), true));
        }
        assert!(new.iter().all(|(_, earlier)| earlier.is_none()));
        // The same new body many times: one is the first, and each other finds one of them.
        let alike = (0..AT_ONCE).map(|_| delivery("a", "the same", at(60))).collect();
        let alike = deliver(&store, alike).await;
        let firsts: Vec<_> = alike.iter().filter(|(_, earlier)| earlier.is_none()).collect();
        assert_eq!(firsts.len(), 1);
        for (id, _) in alike.iter().chain(&first) {
            let kept = store.delivery(id).await.unwrap().unwrap();
            assert_eq!(kept.answer, id.as_str());
            assert!(kept.body.starts_with(b"body ") || kept.body == b"the same");
        }
    }
}

/// A store as the migrations up to one left it.
async fn older(path: &std::path::Path, version: i64) -> SqliteConnection {
    let all = Migrator::new(std::path::Path::new("migrations/sqlite")).await.unwrap();
    let older = all.iter().filter(|one| one.version <= version).cloned().collect();
    let older = Migrator { migrations: Cow::Owned(older), ..Migrator::DEFAULT };
    let mut db = SqliteConnection::connect_with(&options(path)).await.unwrap();
    older.run(&mut db).await.unwrap();
    db
}

fn options(path: &std::path::Path) -> sqlx::sqlite::SqliteConnectOptions {
    sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .foreign_keys(true)
        .create_if_missing(true)
}

#[tokio::test]
async fn a_remediation_of_an_older_store_lives_on_and_nobody_has_confirmed_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut db = older(&path, 15).await;
    let server = serde_json::json!({
        "no": "1", "region": "KR", "name": "n", "createdAt": "2026-01-01T00:00:00Z", "uptimeAt": null,
        "platformCode": "WND64", "hypervisorCode": "XEN", "statusCode": "RUN", "operationCode": "NULL",
        "memoryBytes": 1, "zoneCode": "z", "subnetNo": "s", "placementGroupNo": "",
    });
    let alert = serde_json::json!({
        "fingerprint": "f", "status": "firing", "name": "n", "labels": {}, "startsAt": null, "endsAt": null,
        "senderTime": null, "neverActionable": null,
    });
    let sql = format!(
        "INSERT INTO incident (id, server_no, region_code, server_name, opened_at, last_seen_at) \
         VALUES ('i', '1', 'KR', 'n', 0, 0); \
         INSERT INTO remediation (id, incident_id, state, server_no, region_code, server, policy, policy_hash, config_hash, \
         source, alert, needs_person, trace_id, created_at, settle_until, not_before, last_notice_at, waiting_since, \
         approved_by, approved_at) \
         VALUES ('r', 'i', 'settling', '1', 'KR', '{server}', 'p', 'h', 'c', 's', '{alert}', 1, 't', 7, 0, 0, 0, 0, 'lead', 9); \
         UPDATE remediation SET state = 'queued' WHERE id = 'r'"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut db).await.unwrap();
    db.close().await.unwrap();

    let store = open(&Place::File(path)).await;
    let found = store.due(Timestamp::from_second(100).unwrap()).await.unwrap();
    let waiting: Vec<_> = found.into_iter().map(|one| one.waiting).collect();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].decided_at.as_millisecond(), 7);
    assert_eq!(waiting[0].approved_at.map(Timestamp::as_millisecond), Some(9));
    assert_eq!(waiting[0].confirmed_at, None);
}

#[tokio::test]
async fn bodies_of_an_older_store_are_found_in_its_newer_table() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    // The last before bodies were put in order.
    let mut db = older(&path, 14).await;
    let ids: Vec<DeliveryId> = (0..AT_ONCE).map(|_| DeliveryId::generate()).collect();
    for (n, id) in ids.iter().enumerate() {
        let sql = format!(
            "INSERT INTO body (sha256, bytes) VALUES ('hash of {n}', CAST('body {n}' AS BLOB)); \
             INSERT INTO delivery (id, trace_id, source, received_at, peer, credential, body_sha256, alert_count, \
             truncated, dedupable, actor, config_hash, answer) \
             VALUES ('{id}', 't', 's', {n}, 'p', 0, 'hash of {n}', 1, 0, 1, 's', 'c', 'answer {n}')"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut db).await.unwrap();
    }
    db.close().await.unwrap();

    let place = Place::File(path.clone());
    let store = open(&place).await;
    for (n, id) in ids.iter().enumerate() {
        let kept = store.delivery(id).await.unwrap().unwrap();
        assert_eq!((kept.body, kept.answer), (format!("body {n}").into_bytes(), format!("answer {n}")));
    }
    let again = deliver(&store, vec![delivery("s", "0", Timestamp::UNIX_EPOCH)]).await;
    assert_eq!(again.iter().filter(|(_, earlier)| earlier.is_some()).count(), 1);
    // A delivery still needs its body, and a body is still kept once.
    let mut db = SqliteConnection::connect_with(&options(&path)).await.unwrap();
    for sql in
        ["UPDATE delivery SET body_sha256 = 'none'", "INSERT INTO body VALUES ('hash of 1', x'', NULL)"]
    {
        assert!(sqlx::query(sql).execute(&mut db).await.is_err(), "{sql}");
    }
    let broken = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut db).await.unwrap();
    assert!(broken.is_empty());
}
