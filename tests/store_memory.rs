//! What the writer remembers is what the file says, after each kind of write.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use unhang::config::Place;
use unhang::domain::alert::{Alert, AlertStatus};
use unhang::domain::facts::{Gap, TargetFact};
use unhang::domain::hold::HoldScope;
use unhang::domain::ids::RemediationId;
use unhang::domain::matcher::Matchers;
use unhang::domain::policy::Trust;
use unhang::domain::remediation::Event;
use unhang::domain::server::{RegionCode, Server, ServerNo};
use unhang::domain::storm::{Sighting, Trip};
use unhang::domain::target::{ServerName, TargetName};
use unhang::store::{
    FactSource as _, FactsWanted, GuardsWanted, Move, NewHold, NewRemediation, NewSilence, Store, StoreError,
    Tx,
};

#[path = "postgres/mod.rs"]
#[expect(dead_code, reason = "each test program uses some of it")]
mod postgres;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn kr() -> RegionCode {
    RegionCode::parse("KR").unwrap()
}

fn server(no: &str, name: &str) -> Server {
    Server {
        no: ServerNo::parse(no).unwrap(),
        region: kr(),
        name: name.to_owned(),
        created_at: at(0),
        uptime_at: None,
        platform_code: "WND64".to_owned(),
        hypervisor_code: "XEN".to_owned(),
        status_code: "RUN".to_owned(),
        operation_code: "NULL".to_owned(),
        memory_bytes: 1,
        zone_code: "KR-1".to_owned(),
        subnet_no: String::new(),
        placement_group_no: String::new(),
    }
}

fn wanted(target: TargetFact) -> FactsWanted {
    FactsWanted {
        ends: Vec::new(),
        target,
        server: Some((kr(), ServerNo::parse("1").unwrap())),
        fingerprint: "f".to_owned(),
        trust: Some(Trust::Act),
        remediation: None,
        starts_at: None,
        attempts_since: at(0),
        now: at(1000),
        hold_file: None,
        guards: Some(GuardsWanted {
            region: kr(),
            policy: "p".to_owned(),
            since: at(500),
            sightings_min: 0,
            tried_max: 10,
        }),
        heartbeats: vec![("s".to_owned(), SignedDuration::from_secs(1))],
    }
}

/// Asks memory and file the same in one transaction; the second answer is the file's.
async fn both(tx: &mut Tx, what: &'static str) -> Result<String, StoreError> {
    let fresh_for = SignedDuration::from_mins(10);
    let mut told = Vec::new();
    let names = [TargetName::No(ServerNo::parse("1").unwrap()), TargetName::Name(ServerName::new("Win"))];
    for name in names.into_iter().chain([TargetName::Ip("10.0.0.1".parse().unwrap())]) {
        let remembered = tx.remembered().target(&kr(), &name, at(1000), fresh_for).await?;
        let read = tx.target(&kr(), &name, at(1000), fresh_for).await?;
        assert_eq!(remembered, read, "{what}: {name}");
        told.push(read);
    }
    let found = TargetFact::Found(Box::new(server("1", "win")));
    let remembered = tx.remembered().facts(wanted(found.clone())).await?;
    let read = tx.facts(wanted(found)).await?;
    assert_eq!(remembered, read, "{what}");
    Ok(format!("{told:?}{read:?}"))
}

/// Does one write, and asks before and after it: what is asked must have changed, in memory as in the file.
macro_rules! after {
    ($store:expr, $what:literal, |$tx:ident| $write:expr) => {{
        let asked = $store.write(|$tx| {
            Box::pin(async move {
                let before = both($tx, concat!("before ", $what)).await?;
                $write;
                let after = both($tx, $what).await?;
                Ok((before, after))
            })
        });
        let (before, after) = asked.await.unwrap();
        assert_ne!(before, after, "{} changes nothing that is asked", $what);
        let later = $store.write(|tx| Box::pin(both(tx, concat!("in the batch after ", $what))));
        assert_eq!(later.await.unwrap(), after);
    }};
}

async fn open(place: &Place) -> Store {
    let (store, writer) = Store::open_at(place, None, |_| {}).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "the test owns the writer")]
    tokio::spawn(writer);
    store
}

#[tokio::test]
async fn each_write_is_seen_by_whoever_remembers() {
    for (place, _folder) in postgres::places() {
        each_write_is_seen_by_whoever_remembers_at(&place).await;
    }
}

async fn each_write_is_seen_by_whoever_remembers_at(place: &Place) {
    let store = open(place).await;
    after!(store, "a server", |tx| tx.upsert_server(&server("1", "win"), at(900)).await?);
    after!(store, "a look-up", |tx| {
        let ip = TargetName::Ip("10.0.0.1".parse().unwrap());
        tx.keep_lookup(&kr(), &ip, &[server("2", "other")], at(950)).await?;
    });
    after!(store, "a list", |tx| {
        tx.replace_inventory(&kr(), &[server("1", "win"), server("3", "win")], at(960)).await?;
    });
    after!(store, "a hold", |tx| {
        let (author, reason) = ("kim".to_owned(), "r".to_owned());
        tx.insert_hold(&NewHold { scope: HoldScope::Global, author, reason, until: None }, at(970)).await?
    });
    after!(store, "no hold", |tx| tx.clear_hold(1, "kim", at(971)).await?);
    after!(store, "a silence", |tx| {
        let matchers = Matchers::parse(&["a=b".to_owned()]).unwrap();
        let (author, comment) = ("kim".to_owned(), "c".to_owned());
        let silence = NewSilence { matchers, author, comment, starts_at: at(972), ends_at: at(2000) };
        tx.insert_silence(&silence).await?
    });
    after!(store, "no silence", |tx| tx.expire_silence(1, "kim", at(973)).await?);
    after!(store, "a heartbeat", |tx| tx.note_heartbeat("s", at(974)).await?);
    after!(store, "an end", |tx| tx.note_resolved("f", at(975), at(975)).await?);
    after!(store, "a gap", |tx| tx.note_gap(Gap { from: at(1), until: at(2) }).await?);
    after!(store, "a demotion", |tx| tx.demote_policy("p", "why", at(976)).await?);
    after!(store, "a promotion", |tx| tx.promote_policy("p", "kim", "r", at(977)).await?);
    after!(store, "a collected dump", |tx| {
        tx.insert_dump_collected(&kr(), &ServerNo::parse("1").unwrap(), "kim", "r", at(978)).await?
    });
    after!(store, "a sighting", |tx| {
        tx.note_sighting(&kr(), &Sighting::of(&server("1", "win"), "p"), at(979));
    });
    after!(store, "a storm", |tx| {
        let trip = Trip { why: "w".into(), servers: BTreeSet::new(), policies: BTreeSet::new() };
        tx.open_storm(&kr(), &trip, at(980)).await?
    });
    after!(store, "no storm", |tx| tx.clear_storm(1, "kim", "r", at(981)).await?);
    after!(store, "a quarantine", |tx| tx.open_new_quarantine("why", at(982)).await?);
    after!(store, "no quarantine", |tx| tx.clear_quarantine(1, "kim", "r", at(983)).await?);
}

#[tokio::test]
async fn an_incident_that_was_closed_is_not_joined() {
    for (place, _folder) in postgres::places() {
        an_incident_that_was_closed_is_not_joined_at(&place).await;
    }
}

async fn an_incident_that_was_closed_is_not_joined_at(place: &Place) {
    let store = open(place).await;
    let told = store.write(|tx| {
        Box::pin(async move {
            let first = tx.join_incident(&server("1", "win"), at(1)).await?;
            let again = tx.join_incident(&server("1", "win"), at(2)).await?;
            tx.close_incident_if_over(&first.id, at(3)).await?;
            let next = tx.join_incident(&server("1", "win"), at(4)).await?;
            Ok((first, again, next))
        })
    });
    let (first, again, next) = told.await.unwrap();
    assert_eq!((first.opened, again.opened, next.opened), (true, false, true));
    assert_eq!(first.id, again.id);
    assert_ne!(first.id, next.id);
}

async fn create(tx: &mut Tx, no: &str) -> Result<(), StoreError> {
    let server = server(no, "win");
    let incident = tx.join_incident(&server, at(900)).await?;
    let alert = Alert {
        fingerprint: format!("f{no}"),
        status: AlertStatus::Firing,
        name: "Hung".into(),
        labels: std::collections::BTreeMap::new(),
        starts_at: None,
        ends_at: None,
        sender_time: None,
        never_actionable: None,
    };
    tx.insert_remediation(&NewRemediation {
        id: &RemediationId::from_text(no),
        incident_id: &incident.id,
        server: &server,
        policy: "p",
        policy_hash: "ph",
        config_hash: "ch",
        source: "am",
        alert: &alert,
        needs_person: false,
        reason: None,
        requested_by: None,
        replay_of: None,
        delivery_id: None,
        trace_id: "t",
        now: at(900),
        noticed_at: at(900),
        settle_until: at(900),
        episode_started_at: None,
        confirmed_at: None,
    })
    .map(|_seal| ())
}

async fn step(tx: &mut Tx, no: &str, event: Event) -> Result<(), StoreError> {
    let remediation = tx.remediation(&RemediationId::from_text(no)).await?.unwrap();
    let moved = tx.move_remediation(&remediation, event, &Move::default(), at(901)).await?;
    assert!(moved.is_some(), "{event:?} of {:?}", remediation.state);
    Ok(())
}

#[tokio::test]
async fn a_remediation_is_seen_in_each_state_by_whoever_remembers() {
    for (place, _folder) in postgres::places() {
        a_remediation_is_seen_in_each_state_by_whoever_remembers_at(&place).await;
    }
}

async fn a_remediation_is_seen_in_each_state_by_whoever_remembers_at(place: &Place) {
    let store = open(place).await;
    after!(store, "a remediation", |tx| create(tx, "1").await?);
    after!(store, "a move to the queue", |tx| step(tx, "1", Event::Settled).await?);
    after!(store, "an intent", |tx| step(tx, "1", Event::Claimed).await?);
    after!(store, "a return to the queue", |tx| step(tx, "1", Event::NotSentTryAgain).await?);
    after!(store, "another intent", |tx| step(tx, "1", Event::Claimed).await?);
    // Another server's is seen where all that fires is counted, and nowhere else.
    after!(store, "an intent of another server", |tx| {
        create(tx, "2").await?;
        step(tx, "2", Event::Settled).await?;
        step(tx, "2", Event::Claimed).await?;
    });
    after!(store, "the end of another", |tx| step(tx, "2", Event::Rejected).await?);
    after!(store, "an accepted interrupt", |tx| step(tx, "1", Event::Accepted).await?);
    after!(store, "a reboot", |tx| step(tx, "1", Event::RebootSeen).await?);
}

#[tokio::test]
async fn a_remediation_is_joined_by_the_next_alert_before_it_is_written() {
    for (place, _folder) in postgres::places() {
        let store = open(&place).await;
        let told = store.write(|tx| {
            Box::pin(async move {
                create(tx, "1").await?;
                create(tx, "2").await?;
                tx.join_live(&server("1", "win"), "another", at(902)).await
            })
        });
        assert_eq!(told.await.unwrap(), Some((RemediationId::from_text("1"), true)));
    }
}
