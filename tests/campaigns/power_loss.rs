//! The power goes: a recorded run of the real binary is played back without what had not been synced, and the store
//! must open, hold every promise and every intent of a request, and have no change half done. The attempt journal has a
//! line of each of these requests as well.
//!
//! `UNHANG_STATES` is the number of states, `UNHANG_RECORDINGS` the number of runs that they come from.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, mpsc};
use std::time::Instant;

use sqlx::Connection as _;
use unhang::domain::audit_key::{AuditKey, KeyRing};
use unhang::journal::Journal;
use unhang::store::{Store, verify_chain};

use crate::checker::{laws_of_the_store, open, report};
use crate::replay::{Recording, State};
use crate::story::{Dice, Sender, Stage, seed, setting};
use crate::support::{AUDIT_KEY, alert, delivery, eventually, now_text};

const FLEET: u32 = 120;
/// Deliveries of a recorded run, at least; it goes on until the log has been folded into the file.
const DELIVERIES: usize = 120;

#[test]
fn after_a_power_loss_nothing_that_was_promised_or_asked_for_is_missing() {
    let states = usize::try_from(setting("UNHANG_STATES").unwrap_or(500)).unwrap();
    let recordings = usize::try_from(setting("UNHANG_RECORDINGS").unwrap_or(1)).unwrap();
    let seed = seed("power loss", &format!("UNHANG_STATES={states} UNHANG_RECORDINGS={recordings}"));
    let mut dice = Dice::new(seed);
    let (mut steps, mut promises, mut requests) = (0, 0, 0);
    for _ in 0..recordings {
        let recording = record(&mut dice);
        println!(
            "recorded {} steps, {} promises, {} requests",
            recording.len(),
            recording.promises.len(),
            recording.requests.len()
        );
        play_back(&recording, states.div_ceil(recordings), &mut dice, seed);
        steps += recording.len();
        promises += recording.promises.len();
        requests += recording.requests.len();
    }
    println!(
        "counts: {states} states of {recordings} runs with {steps} steps, {promises} promises, {requests} requests"
    );
}

/// Real traffic through the real binary, with everything that it does to its files.
fn record(dice: &mut Dice) -> Recording {
    let mut stage = Stage::new(FLEET, |settings| settings);
    let to = stage.site.dir.path().join("recording");
    stage.shim = crate::shim::Shim::new(&stage.site, &stage.cloud).recording(&to);
    let mut sender = Sender::default();
    // Two lives, so that recovery and an orderly end are in it.
    for life in 0..2 {
        let service = stage.shim.start(&stage.site).unwrap();
        service.wait_for_inventory(usize::try_from(FLEET).unwrap());
        Sender::promote(&service);
        let starts_at = now_text();
        let mut n = 0;
        while n < DELIVERIES || (life == 1 && stage.shim.count("db-write") < 50 && n < DELIVERIES * 20) {
            n += 1;
            let alerts: Vec<_> = (0..=dice.below(3))
                .map(|_| {
                    let server = (91_000_001 + dice.below(u64::from(FLEET))).to_string();
                    alert(&server, if dice.below(8) == 0 { "resolved" } else { "firing" }, &starts_at)
                })
                .collect();
            sender.offer(&service, &delivery(&alerts, &format!("{life} {n}")));
        }
        if life == 0 {
            service.kill();
        } else {
            eventually("some proof", || {
                let proven = |one: &serde_json::Value| one["state"] == "confirmed";
                service.remediations().iter().any(proven).then_some(())
            });
            assert_eq!(service.stop().0, 0, "{}", stage.log_tail());
        }
    }
    stage.hold_to_the_laws(&stage.site.start(), &sender, 0, "the recorded run itself");
    let recording = Recording::read(&to);
    let promised: BTreeSet<&String> = recording.promises.iter().collect();
    assert!(sender.acknowledged.iter().all(|id| promised.contains(id)), "a promise was not recorded");
    assert!(recording.requests.len() > 10 && stage.shim.count("db-write") > 0, "too little was recorded");
    recording
}

/// Opens many states at once; every broken law of any of them is told.
fn play_back(recording: &Recording, count: usize, dice: &mut Dice, seed: u64) {
    let begun = Instant::now();
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let (give, states) = mpsc::sync_channel::<State>(workers * 2);
    let states = Mutex::new(states);
    let broken = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                loop {
                    let Ok(state) = states.lock().unwrap().recv() else { return };
                    // A folder of its own: connections to the last one may still be closing, and tidy up by path.
                    let dir = in_memory();
                    let found = runtime.block_on(judge(dir.path(), &state, recording));
                    if !found.is_empty() {
                        broken.lock().unwrap().push(format!(
                            "{}: {}\nbefore it:\n{}",
                            state.how,
                            report(&found),
                            recording.before(state.point)
                        ));
                    }
                }
            });
        }
        let mut given = 0;
        recording.states(count, dice, |state| {
            give.send(state).unwrap();
            given += 1;
            if given % 5000 == 0 {
                println!("{given} of {count} states, {} broken", broken.lock().unwrap().len());
            }
        });
        drop(give);
    });
    let broken = broken.into_inner().unwrap();
    let rate = u128::try_from(count).unwrap() * 1000 / begun.elapsed().as_millis().max(1);
    println!("{count} states in {:?}, {rate} a second, {} broken", begun.elapsed(), broken.len());
    let shown = broken.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
    assert!(broken.is_empty(), "UNHANG_SEED={seed} {} of {count} states break laws\n{shown}", broken.len());
}

/// A folder in memory where there is one: what is judged here is what was synced before, not this disk.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Puts a state on disk, opens it as the service does, and asks the laws.
async fn judge(dir: &Path, state: &State, recording: &Recording) -> Vec<String> {
    for (name, bytes) in &state.files {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
    let path = dir.join("unhang.db");
    let (store, writer) = match Store::open(&path, audit_key(), |_| {}).await {
        Ok(opened) => opened,
        Err(error) => return vec![format!("law 39: it does not open: {error}")],
    };
    #[expect(clippy::disallowed_methods, reason = "the test owns the writer")]
    let writer = tokio::spawn(writer);
    let mut broken = Vec::new();
    match verify_chain(&store, &KeyRing::new(audit_key(), []), |_| {}).await {
        Ok(report) => broken.extend(report.fault.map(|fault| format!("law 41: {fault:?}"))),
        Err(error) => broken.push(format!("law 41: the chain cannot be read: {error}")),
    }
    let mut db = open(&path).await;
    broken.extend(laws_of_the_store(&mut db).await);
    let delivered: BTreeSet<String> = column(&mut db, "SELECT id FROM delivery").await;
    let audited: BTreeSet<String> =
        column(&mut db, "SELECT DISTINCT delivery_id FROM audit WHERE delivery_id IS NOT NULL").await;
    for id in &recording.promises[..state.promises] {
        if !delivered.contains(id) || !audited.contains(id) {
            broken.push(format!("law 1: the promised delivery {id} is lost"));
        }
    }
    let intents: BTreeSet<String> =
        column(&mut db, "SELECT server_no || ' ' || signed_at FROM attempt").await;
    let journal = Journal::read(&dir.join("JOURNAL"));
    let journal = journal.map(Option::unwrap_or_default).unwrap_or_default();
    broken.extend(journal.faults.iter().map(|fault| format!("law 39: the attempt journal: {fault}")));
    let lines: BTreeSet<String> = journal
        .intents
        .iter()
        .map(|known| {
            format!("{} {}", known.intent.server_instance_no, known.intent.signed_at.as_millisecond())
        })
        .collect();
    let asked = &recording.requests[..state.requests];
    for (server, signed) in asked {
        if !intents.contains(&format!("{server} {signed}")) {
            broken.push(format!("law 10: the intent of the request to {server} is lost, so law 8 is open"));
        }
        if !lines.contains(&format!("{server} {signed}")) {
            broken
                .push(format!("law 10: the line of the request to {server} is lost in the attempt journal"));
        }
    }
    let servers: BTreeSet<&String> = asked.iter().map(|(server, _)| server).collect();
    if servers.len() < asked.len() {
        broken.push("law 8: a server was asked twice".to_owned());
    }
    drop(db.close().await);
    drop(store);
    let _ended = writer.await;
    broken
}

/// The key of the recorded service.
fn audit_key() -> Option<AuditKey> {
    AuditKey::new(AUDIT_KEY.into())
}

async fn column(db: &mut sqlx::sqlite::SqliteConnection, sql: &'static str) -> BTreeSet<String> {
    // What cannot be read is missing, and is told as that.
    let rows: Vec<String> = sqlx::query_scalar(sql).fetch_all(db).await.unwrap_or_default();
    rows.into_iter().collect()
}
