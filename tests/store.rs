//! The store by itself: the schema says the laws again, wrong files are refused, one failure spoils nobody else.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use sqlx::{Connection as _, SqliteConnection};
use unhang::config::Place;
use unhang::domain::audit::{Actor, AuditEvent};
use unhang::domain::audit_key::KeyRing;
use unhang::domain::facts::{Facts, TargetFact};
use unhang::domain::guest::GuestFacts;
use unhang::domain::ids::DeliveryId;
use unhang::domain::remediation::{Event, State, transition};
use unhang::domain::server::{RegionCode, Server, ServerNo};
use unhang::domain::storm::{Sighting, Trip};
use unhang::store::{
    FactSource as _, FactsWanted, GuardsWanted, KeptBody, NewDelivery, OpenError, Renewal, Store, StoreError,
};

#[path = "postgres/mod.rs"]
#[expect(dead_code, reason = "each test program uses some of it")]
mod postgres;

async fn open(path: &Path) -> Store {
    open_at(&Place::File(path.to_owned())).await
}

async fn open_at(place: &Place) -> Store {
    let (store, writer) = Store::open_at(place, None, |_| {}).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "the test owns the writer")]
    tokio::spawn(writer);
    store
}

async fn raw(path: &Path) -> SqliteConnection {
    let options =
        sqlx::sqlite::SqliteConnectOptions::new().filename(path).foreign_keys(true).create_if_missing(true);
    SqliteConnection::connect_with(&options).await.unwrap()
}

/// Runs statements behind the store's back; what is said against them.
async fn try_to_run(place: &Place, sql: &str) -> Result<(), String> {
    match place {
        Place::File(path) => {
            let mut db = raw(path).await;
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
                .execute(&mut db)
                .await
                .map(|_| ())
                .map_err(|error| error.to_string())
        }
        Place::Server(server) => {
            let database = server.url().rsplit('/').next().unwrap();
            let sql = format!("SET search_path = unhang; {sql}");
            postgres::server().try_to_run(database, &sql).map(|_| ())
        }
    }
}

async fn run(place: &Place, sql: &str) {
    try_to_run(place, sql).await.unwrap();
}

fn event(kind: &str) -> AuditEvent {
    AuditEvent::new(Timestamp::UNIX_EPOCH, kind, Actor::service("test"))
}

async fn refused(place: &Place, sql: &str, why: &str) {
    let said = try_to_run(place, sql).await.expect_err(sql);
    // The two call a rule that is broken by the same name.
    assert!(said.to_lowercase().contains(&why.to_lowercase()), "{sql}: {said}");
}

const ROWS: &str = "
INSERT INTO owner (epoch, started_at, pid, version) VALUES (1, 0, 1, 't');
INSERT INTO incident (id, server_no, region_code, server_name, opened_at, last_seen_at) VALUES ('i', '1', 'KR', 'n', 0, 0);
INSERT INTO remediation (id, incident_id, state, server_no, region_code, server, policy, policy_hash, config_hash, source,
  alert, needs_person, trace_id, created_at, settle_until, not_before, last_notice_at, waiting_since)
  VALUES ('r', 'i', 'settling', '1', 'KR', '{}', 'p', 'h', 'c', 's', '{}', 0, 't', 0, 0, 0, 0, 0);
INSERT INTO attempt (remediation_id, try, nonce, epoch, server_no, region_code, policy, intent_at, signed_at, send_before,
  request_hash, memory_bytes, cooldown_until) VALUES ('r', 1, 'a', 1, '1', 'KR', 'p', 0, 0, 0, 'h', 1, 0);
";

#[tokio::test]
async fn the_schema_knows_the_same_moves_as_the_code() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let _store = open(&path).await;
    let mut db = raw(&path).await;
    let table: Vec<(String, String)> =
        sqlx::query_as("SELECT from_state, to_state FROM legal_move").fetch_all(&mut db).await.unwrap();
    let code: BTreeSet<(String, String)> = State::ALL
        .into_iter()
        .flat_map(|from| {
            Event::ALL.into_iter().filter_map(move |event| Some((from, transition(from, event).ok()?)))
        })
        .map(|(from, to)| (from.as_str().to_owned(), to.as_str().to_owned()))
        .collect();
    assert_eq!(table.into_iter().collect::<BTreeSet<_>>(), code);
    let url = postgres::server().new_database();
    let _store = open_at(&Place::parse(&url).unwrap()).await;
    let told = postgres::server()
        .run(url.rsplit('/').next().unwrap(), "SELECT from_state || '|' || to_state FROM unhang.legal_move");
    let told = told.lines().filter_map(|line| line.split_once('|'));
    assert_eq!(told.map(|(from, to)| (from.to_owned(), to.to_owned())).collect::<BTreeSet<_>>(), code);
}

#[tokio::test]
async fn the_schema_refuses_what_the_laws_forbid() {
    for (place, _folder) in postgres::places() {
        forbidden(&place).await;
    }
}

async fn forbidden(place: &Place) {
    let _store = open_at(place).await;
    run(place, ROWS).await;
    for (sql, why) in [
        ("UPDATE remediation SET state = 'intent'", "illegal move"),
        ("UPDATE remediation SET state = 'confirmed', finished_at = 1", "illegal move"),
        ("UPDATE remediation SET state = 'cancelled'", "finished_exactly_when_terminal"),
        ("UPDATE remediation SET approved_by = 'kim'", "approval_names_a_person"),
        ("DELETE FROM remediation", "kept"),
        ("DELETE FROM attempt", "kept"),
        ("UPDATE attempt SET signed_at = 1", "not rewritten"),
        (
            "INSERT INTO attempt (remediation_id, try, nonce, epoch, server_no, region_code, policy, intent_at, signed_at, \
             send_before, request_hash, memory_bytes, cooldown_until) VALUES ('r', 2, 'b', 1, '1', 'KR', 'p', 0, 0, 0, 'h', 1, 0)",
            "UNIQUE",
        ),
        (
            "INSERT INTO remediation SELECT 'r2', incident_id, 'settling', 1, server_no, region_code, server, policy, \
             policy_hash, config_hash, source, alert, 0, NULL, NULL, NULL, 't', 0, 0, 0, NULL, 0, 0, NULL, NULL, NULL, \
             NULL, '', NULL, NULL FROM remediation",
            "UNIQUE",
        ),
    ] {
        refused(place, sql, why).await;
    }
    run(place, "UPDATE attempt SET outcome = 'unknown', outcome_at = 1").await;
    refused(place, "UPDATE attempt SET outcome = 'not_sent'", "final").await;
    run(place, "UPDATE attempt SET outcome = 'accepted'").await;
}

fn delivery(body: &str) -> NewDelivery {
    NewDelivery {
        id: DeliveryId::generate(),
        trace_id: "t".to_owned(),
        source: "s".to_owned(),
        received_at: Timestamp::UNIX_EPOCH,
        peer: "127.0.0.1".to_owned(),
        credential: 0,
        body_sha256: body.to_owned(),
        body: KeptBody::Plain(body.as_bytes().to_vec().into()),
        sender_time: None,
        alert_count: 1,
        truncated: 0,
        dedupable: true,
        replay_of: None,
        actor: "s".to_owned(),
        config_hash: "c".to_owned(),
    }
}

fn renewal() -> Renewal {
    serde_json::from_value(serde_json::json!({
        "idx": 0, "fingerprint": "f", "status": "firing", "alert": {}, "serverNo": "1", "regionCode": "KR", "policy": "p",
        "decision": "duplicate", "reason": "duplicate", "until": null, "detail": "goes on", "trace": [], "incidentId": null,
        "remediationId": null,
    }))
    .unwrap()
}

#[tokio::test]
async fn rows_that_wait_are_found_by_whoever_asks_in_the_same_transaction() {
    for (place, _folder) in postgres::places() {
        rows_that_wait_are_found_by_whoever_asks_in_the_same_transaction_at(&place).await;
    }
}

async fn rows_that_wait_are_found_by_whoever_asks_in_the_same_transaction_at(place: &Place) {
    let store = open_at(place).await;
    let (first, other) = (delivery("body"), delivery("another"));
    let (one, two) = (first.id.clone(), other.id.clone());
    let told = store.write(move |tx| {
        let (first, other) = (first.clone(), other.clone());
        Box::pin(async move {
            tx.insert_delivery(&first, None);
            tx.insert_delivery(&other, None);
            tx.set_answer(&first.id, "answer", &[]).await?;
            let known = tx.has_delivery(&other.id).await?;
            let unknown = tx.has_delivery(&DeliveryId::generate()).await?;
            let earlier = tx.earlier_delivery("s", "body", Timestamp::UNIX_EPOCH).await?;
            // It is written by now; the answer still finds it.
            tx.set_answer(&other.id, "later", &[renewal()]).await?;
            Ok((known, unknown, earlier))
        })
    });
    let (known, unknown, earlier) = told.await.unwrap();
    assert_eq!((known, unknown), (true, false));
    let earlier = earlier.unwrap();
    assert_eq!((earlier.id, earlier.answer.as_str(), earlier.same), (one.clone(), "answer", true));
    assert_eq!(store.delivery(&one).await.unwrap().unwrap().body, b"body");
    assert_eq!(store.delivery(&two).await.unwrap().unwrap().answer, "later");
    let alerts = store.delivery_detail(two.as_str()).await.unwrap().unwrap().alerts;
    let told: Vec<_> =
        alerts.iter().map(|alert| (alert.fingerprint.as_deref(), alert.detail.as_str())).collect();
    assert_eq!(told, [(Some("f"), "goes on")], "renewed notices find it as well");
}

#[tokio::test]
async fn rows_that_were_lost_by_a_swallowed_error_are_not_answered_for() {
    for (place, _folder) in postgres::places() {
        rows_that_were_lost_by_a_swallowed_error_are_not_answered_for_at(&place).await;
    }
}

async fn rows_that_were_lost_by_a_swallowed_error_are_not_answered_for_at(place: &Place) {
    let store = open_at(place).await;
    let (good, orphan) = (delivery("body"), delivery("another"));
    let id = good.id.clone();
    let told = store.write(move |tx| {
        let (good, orphan) = (good.clone(), orphan.clone());
        Box::pin(async move {
            tx.insert_delivery(&good, None);
            tx.insert_delivery(&orphan, Some(&DeliveryId::generate()));
            // It repeats a delivery that is not there, and whoever asks next hears of it.
            assert!(tx.open_quarantine().await.is_err());
            Ok(())
        })
    });
    assert!(matches!(told.await, Err(StoreError::Unwritten)));
    assert!(store.delivery(&id).await.unwrap().is_none());
}

#[tokio::test]
async fn what_another_connection_wrote_is_not_taken_from_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = open(&path).await;
    let holds = || {
        store.write(|tx| {
            Box::pin(async move {
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
                Ok(tx.remembered().facts(wanted).await?.holds.len())
            })
        })
    };
    assert_eq!(holds().await.unwrap(), 0);
    let mut db = raw(&path).await;
    let set = "INSERT INTO hold (scope, name, author, reason, set_at) VALUES ('global', '', 'kim', 'r', 0)";
    sqlx::raw_sql(set).execute(&mut db).await.unwrap();
    assert_eq!(holds().await.unwrap(), 1);
}

const OPEN: &str = "
INSERT INTO storm (region_code, opened_at, why, servers, policies) VALUES ('KR', 0, 'w', '[]', '[]')";

#[tokio::test]
async fn the_schema_keeps_one_open_storm_a_region_and_no_lifting_without_a_person() {
    for (place, _folder) in postgres::places() {
        one_open_storm(&place).await;
    }
}

async fn one_open_storm(place: &Place) {
    let _store = open_at(place).await;
    run(place, OPEN).await;
    for (sql, why) in [
        (OPEN, "UNIQUE"),
        ("UPDATE storm SET cleared_at = 1", "a_clearing_names_person_and_reason"),
        ("UPDATE storm SET cleared_at = 1, cleared_by = 'kim'", "a_clearing_names_person_and_reason"),
        ("DELETE FROM storm", "kept"),
        ("INSERT INTO policy_standing (policy, demoted_at) VALUES ('p', 1)", "a_demotion_says_why"),
        (
            "INSERT INTO policy_standing (policy, promoted_at) VALUES ('p', 1)",
            "a_promotion_names_person_and_reason",
        ),
        ("INSERT INTO breaker_reset (policy, at, person, reason) VALUES ('p', 1, 'kim', '')", "CHECK"),
    ] {
        refused(place, sql, why).await;
    }
    run(place, "UPDATE storm SET cleared_at = 1, cleared_by = 'kim', reason = 'over'").await;
    refused(place, "UPDATE storm SET cleared_at = NULL, cleared_by = NULL, reason = NULL", "once").await;
    run(place, OPEN).await;
}

/// What the guards read of a region and a target at a second of the test's time.
async fn facts(store: &Store, target: TargetFact, region: &str, now: i64) -> Facts {
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    let guards = GuardsWanted {
        region: RegionCode::parse(region).unwrap(),
        policy: "p".to_owned(),
        since: at(now - 600),
        sightings_min: 0,
        tried_max: 10,
    };
    let wanted = FactsWanted {
        ends: Vec::new(),
        target,
        server: None,
        fingerprint: String::new(),
        trust: None,
        remediation: None,
        starts_at: Some(Timestamp::UNIX_EPOCH),
        attempts_since: at(0),
        now: at(now),
        heartbeats: Vec::new(),
        hold_file: None,
        guards: Some(guards),
    };
    store.clone().facts(wanted).await.unwrap()
}

/// What the storm guard reads of a region at a second of the test's time.
async fn counted(store: &Store, region: &str, now: i64) -> (bool, Vec<String>) {
    let seen = facts(store, TargetFact::Pending, region, now).await.storm;
    let servers: BTreeSet<_> = seen.sightings.servers().iter().map(ToString::to_string).collect();
    (seen.open.is_some(), servers.into_iter().collect())
}

#[tokio::test]
async fn a_storm_counts_its_region_since_the_window_began_and_since_it_was_cleared() {
    for (place, _folder) in postgres::places() {
        a_storm_counts_its_region_since_the_window_began_and_since_it_was_cleared_at(&place).await;
    }
}

async fn a_storm_counts_its_region_since_the_window_began_and_since_it_was_cleared_at(place: &Place) {
    let store = open_at(place).await;
    let (kr, jpn) = (RegionCode::parse("KR").unwrap(), RegionCode::parse("JPN").unwrap());
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    for (region, no, seconds) in [(&kr, "11", 1000), (&kr, "12", 1500), (&kr, "11", 1200), (&jpn, "13", 1500)]
    {
        let (region, server_no) = (region.clone(), ServerNo::parse(no).unwrap());
        let none = String::new;
        let sighting = Sighting {
            server_no,
            policy: "p".into(),
            zone_code: none(),
            subnet_no: none(),
            placement_group_no: none(),
        };
        store
            .write(move |tx| {
                let (region, sighting) = (region.clone(), sighting.clone());
                Box::pin(async move {
                    tx.note_sighting(&region, &sighting, at(seconds));
                    Ok(())
                })
            })
            .await
            .unwrap();
    }
    let (both, second) = (vec!["11".to_owned(), "12".to_owned()], vec!["12".to_owned()]);
    assert_eq!(counted(&store, "KR", 1799).await, (false, both), "the newest notice of a server counts");
    assert_eq!(
        counted(&store, "KR", 1800).await,
        (false, second.clone()),
        "a window is open at its beginning"
    );
    assert_eq!(counted(&store, "KR", 2100).await, (false, vec![]));

    let open = |region: RegionCode| {
        let trip = Trip { why: "w".into(), servers: BTreeSet::new(), policies: BTreeSet::new() };
        store.write(move |tx| {
            let (region, trip) = (region.clone(), trip.clone());
            Box::pin(async move { tx.open_storm(&region, &trip, at(1600)).await })
        })
    };
    let id = open(kr.clone()).await.unwrap().unwrap();
    assert_eq!(open(kr).await.unwrap(), None, "one is open");
    assert!(counted(&store, "KR", 1700).await.0);
    assert_eq!(counted(&store, "JPN", 1700).await, (false, vec!["13".to_owned()]), "another region goes on");
    store
        .write(move |tx| Box::pin(async move { tx.clear_storm(id, "kim", "over", at(1650)).await }))
        .await
        .unwrap();
    assert_eq!(counted(&store, "KR", 1700).await, (false, vec![]), "what was seen before it was cleared");

    // One that was sent and is not proven counts however old it is, unless it was there at the clearing.
    run(place, ROWS).await;
    let sent = "UPDATE remediation SET state = 'queued', created_at = 1660000; UPDATE remediation SET state = 'intent'";
    run(place, sent).await;
    assert_eq!(counted(&store, "KR", 9000).await, (false, vec!["1".to_owned()]));
    run(place, "UPDATE remediation SET created_at = 1640000").await;
    assert_eq!(counted(&store, "KR", 9000).await, (false, vec![]));
}

/// What guest and people said of the server 1 of a region that was created at a second of the test's time.
async fn said_of(store: &Store, region: &str, created: i64) -> GuestFacts {
    let server = Server {
        no: ServerNo::parse("1").unwrap(),
        region: RegionCode::parse(region).unwrap(),
        name: "win-1".into(),
        created_at: Timestamp::from_second(created).unwrap(),
        uptime_at: None,
        platform_code: "WND64".into(),
        hypervisor_code: "XEN".into(),
        status_code: "RUN".into(),
        operation_code: "NULL".into(),
        memory_bytes: 1,
        zone_code: String::new(),
        subnet_no: String::new(),
        placement_group_no: String::new(),
    };
    facts(store, TargetFact::Found(Box::new(server)), region, 9000).await.guest
}

#[tokio::test]
async fn the_newest_word_of_this_very_machine_counts() {
    for (place, _folder) in postgres::places() {
        the_newest_word_of_this_very_machine_counts_at(&place).await;
    }
}

async fn the_newest_word_of_this_very_machine_counts_at(place: &Place) {
    let store = open_at(place).await;
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    let words = [
        ("KR", 1000, 1000, 3),
        ("KR", 5000, 3100, 1),
        ("KR", 3000, 3200, 2),
        ("KR", 2000, 3300, 7),
        ("JPN", 4000, 4000, 0),
    ];
    for (region, said_at, received, enabled) in words {
        let settings =
            serde_json::json!({ "crashDumpEnabled": enabled, "dumpFile": "x", "autoReboot": true });
        let said = serde_json::json!({ "kind": "dump_settings", "at": at(said_at), "settings": settings });
        let sql = format!(
            "INSERT INTO attestation (source, region_code, server_no, kind, at, received_at, said) \
             VALUES ('s', '{region}', '1', 'dump_settings', {said_at}000, {received}000, '{said}')"
        );
        run(place, &sql).await;
    }
    let collected = "INSERT INTO dump_collected (region_code, server_no, at, person, reason) \
                     VALUES ('KR', '1', 2000000, 'kim', 'r')";
    run(place, collected).await;
    let newest = |said: GuestFacts| said.dump_settings.map(|s| (s.at, s.settings.crash_dump_enabled));
    let said = said_of(&store, "KR", 500).await;
    assert_eq!(said.dump_collected_at, Some(at(2000)));
    assert_eq!(newest(said), Some((at(3100), 1)), "a guest cannot date itself past the receipt");
    // The number was given to another machine: what was said of the one before is not said of it.
    assert_eq!(said_of(&store, "KR", 2001).await.dump_collected_at, None);
    assert_eq!(newest(said_of(&store, "KR", 3101).await), None);
    let elsewhere = said_of(&store, "JPN", 500).await;
    assert_eq!(elsewhere.dump_collected_at, None, "another region's server of this number");
    assert_eq!(newest(elsewhere), Some((at(4000), 0)));
    let late = "INSERT INTO attestation (source, region_code, server_no, kind, at, received_at, said) \
                SELECT source, region_code, server_no, kind, at, 8000000, said FROM attestation WHERE id = 1";
    run(place, late).await;
    assert_eq!(newest(said_of(&store, "KR", 500).await), Some((at(3100), 1)), "an old word that comes late");
}

#[tokio::test]
async fn what_only_the_cloud_recorded_is_told_from_a_reboot_that_was_seen() {
    for (place, _folder) in postgres::places() {
        what_only_the_cloud_recorded_is_told_from_a_reboot_that_was_seen_at(&place).await;
    }
}

async fn what_only_the_cloud_recorded_is_told_from_a_reboot_that_was_seen_at(place: &Place) {
    let store = open_at(place).await;
    run(place, ROWS).await;
    let mut seen = Vec::new();
    for step in [
        "UPDATE remediation SET state = 'queued'; UPDATE remediation SET state = 'intent';
         UPDATE attempt SET outcome = 'unknown', outcome_at = 0; UPDATE remediation SET state = 'unknown';",
        "UPDATE attempt SET evidence = '{\"kind\":\"uptime\"}'",
        "UPDATE attempt SET evidence = '{\"kind\":\"activity\"}'",
    ] {
        run(place, step).await;
        let tried = facts(&store, TargetFact::Pending, "KR", 9000).await.tried;
        seen.push(tried.first().unwrap().by_record);
    }
    assert_eq!(seen, [false, false, true]);
}

#[tokio::test]
async fn the_audit_is_append_only() {
    for (place, _folder) in postgres::places() {
        let store = open_at(&place).await;
        store.write(|tx| Box::pin(async move { tx.append(&event("one")).await })).await.unwrap();
        for sql in ["UPDATE audit SET kind = 'two'", "DELETE FROM audit", "UPDATE audit SET seq = 9"] {
            refused(&place, sql, "append-only").await;
        }
    }
    refused(&on_a_server().await.0, "TRUNCATE audit", "append-only").await;
}

async fn on_a_server() -> (Place, Store) {
    let place = postgres::place();
    let store = open_at(&place).await;
    (place, store)
}

#[tokio::test]
async fn one_job_that_fails_spoils_no_other_of_its_batch() {
    for (place, _folder) in postgres::places() {
        one_job_that_fails_spoils_no_other_of_its_batch_at(&place).await;
    }
}

async fn one_job_that_fails_spoils_no_other_of_its_batch_at(place: &Place) {
    let store = open_at(place).await;
    let mut jobs = tokio::task::JoinSet::new();
    for n in 0..40 {
        let store = store.clone();
        jobs.spawn(async move {
            let done = store
                .write(move |tx| {
                    Box::pin(async move {
                        tx.append(&event(&format!("job {n}"))).await?;
                        if n % 10 == 3 { Err(StoreError::Unreadable { what: "on purpose" }) } else { Ok(n) }
                    })
                })
                .await;
            (n, done.is_ok())
        });
    }
    let mut kept = 0;
    while let Some(done) = jobs.join_next().await {
        let (n, ok) = done.unwrap();
        assert_eq!(ok, n % 10 != 3, "job {n}");
        kept += i64::from(ok);
    }
    let report = unhang::store::verify_chain(&store, &KeyRing::default(), |_| {}).await.unwrap();
    assert_eq!((report.rows, report.fault), (kept, None), "what failed left no row, what did not left one");
}

async fn opening(path: &Path) -> OpenError {
    match Store::open(path, None, |_| {}).await {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

#[tokio::test]
async fn files_that_are_not_ours_are_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let garbage = dir.path().join("garbage.db");
    std::fs::write(
        &garbage,
        "this is a letter, not a database, and long enough to be looked at as one".repeat(40),
    )
    .unwrap();
    assert!(matches!(opening(&garbage).await, OpenError::Foreign { .. }));

    let other = dir.path().join("other.db");
    let mut db = raw(&other).await;
    sqlx::raw_sql("PRAGMA application_id = 77; CREATE TABLE t (x)").execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    let before = std::fs::read(&other).unwrap();
    let error = opening(&other).await;
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    assert_eq!(std::fs::read(&other).unwrap(), before);

    let newer = dir.path().join("newer.db");
    drop(open(&newer).await);
    let mut db = raw(&newer).await;
    sqlx::raw_sql("INSERT INTO _sqlx_migrations SELECT 9999, description, installed_on, success, checksum, execution_time FROM _sqlx_migrations WHERE version = 1")
        .execute(&mut db)
        .await
        .unwrap();
    db.close().await.unwrap();
    let error = opening(&newer).await;
    assert!(matches!(error, OpenError::Newer { .. }), "{error}");
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = open(&path).await;
    for n in 0..200 {
        store
            .write(move |tx| Box::pin(async move { tx.append(&event(&format!("{n}"))).await }))
            .await
            .unwrap();
    }
    drop(store);
    let mut db = raw(&path).await;
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() - 6 * 4096;
    bytes[middle..middle + 4096].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let error = opening(&path).await;
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}
