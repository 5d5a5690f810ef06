//! The checker of the campaigns: the cloud's ledger, what senders were promised, the store and the log, held to the laws.
//!
//! It says which laws are broken, by number, with the seed that shows it again. What every test of the service checks is
//! in `support::broken_laws`; here is what only faults can break. The attempt journal beside the store is one more
//! witness: what was requested has its line there, what was answered agrees with the store, and it never knows less of
//! what may have been sent.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use simulator::LedgerEntry;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{Connection as _, Row as _};
use unhang::journal::Journal;

use crate::story::{Sender, Stage};
use crate::support::{self, Cloud, Site};

/// What a campaign leaves to judge.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) site: &'a Site,
    pub(crate) cloud: &'a Cloud,
    pub(crate) sender: &'a Sender,
    /// The processes had the clock of the ledger.
    pub(crate) true_clock: bool,
}

impl<'a> Seen<'a> {
    pub(crate) fn of(stage: &'a Stage, sender: &'a Sender) -> Self {
        Self { site: &stage.site, cloud: &stage.cloud, sender, true_clock: true }
    }
}

/// Fails with the numbers of the laws that are broken. No process may run.
pub(crate) fn hold_to_the_laws(seen: &Seen<'_>, seed: u64, what: &str) {
    let broken = broken_laws(seen);
    let told = report(&broken);
    assert!(broken.is_empty(), "UNHANG_SEED={seed} {what}\n{told}");
}

/// What is broken, each with the number of its law. No process may run.
pub(crate) fn broken_laws(seen: &Seen<'_>) -> Vec<String> {
    let mut broken = support::broken_laws(seen.site, seen.cloud, &seen.sender.acknowledged);
    broken.extend(seen.sender.strange.iter().cloned());
    let ledger = seen.cloud.running.ledger();
    let journal = Lines::read(&seen.site.store().with_file_name("JOURNAL"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut db = open(&seen.site.store()).await;
        broken.extend(laws_of_the_store(&mut db).await);
        broken.extend(laws_of_attempts(&mut db, &ledger, seen.true_clock).await);
        broken.extend(laws_of_the_journal(&mut db, &journal, &ledger, seen.true_clock).await);
        db.close().await.unwrap();
    });
    broken.extend(laws_of_the_log(&seen.site.log()));
    broken
}

/// The numbers first, then the sentences.
pub(crate) fn report(broken: &[String]) -> String {
    let numbers: BTreeSet<u32> =
        broken.iter().filter_map(|one| one.strip_prefix("law ")?.split(':').next()?.parse().ok()).collect();
    format!("broken laws: {numbers:?}\n{}", broken.join("\n"))
}

/// Opens a store to look at it.
pub(crate) async fn open(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    SqliteConnection::connect_with(&options).await.unwrap()
}

/// Statements that find nothing in a store that keeps the laws, and what it means when they do.
const LAWS: [(&str, &str); 7] = [
    (
        "law 7: a remediation has two attempts that may have been sent",
        "SELECT remediation_id FROM attempt WHERE outcome IS NULL OR outcome <> 'not_sent' \
         GROUP BY remediation_id HAVING count(*) > 1",
    ),
    (
        "law 35: an attempt without exactly one event of its intent",
        "SELECT nonce FROM attempt a WHERE \
         (SELECT count(*) FROM audit WHERE kind = 'attempt_intent' AND attempt_id = a.id) <> 1",
    ),
    (
        "law 35: the outcome of an attempt is not that of its newest event",
        "SELECT nonce FROM attempt a WHERE outcome IS NOT (SELECT outcome FROM audit \
         WHERE kind = 'attempt_outcome' AND attempt_id = a.id ORDER BY seq DESC LIMIT 1)",
    ),
    (
        "law 38: an accepted attempt without the answer",
        "SELECT nonce FROM attempt WHERE outcome = 'accepted' AND (http_status IS NULL OR body_sha256 IS NULL)",
    ),
    (
        "law 40: a delivery without a decision for each of its alerts",
        "SELECT id FROM delivery d WHERE repeat_of IS NULL AND replay_of IS NULL \
         AND alert_count <> d.renewal_count + (SELECT count(*) FROM alert WHERE delivery_id = d.id)",
    ),
    (
        "law 40: an open attempt of a remediation that is not at its intent",
        "SELECT nonce FROM attempt a JOIN remediation r ON r.id = a.remediation_id \
         WHERE a.outcome IS NULL AND r.state <> 'intent'",
    ),
    (
        "law 40: an intent without an open attempt",
        "SELECT id FROM remediation r WHERE state = 'intent' \
         AND NOT EXISTS (SELECT 1 FROM attempt WHERE remediation_id = r.id AND outcome IS NULL)",
    ),
];

/// Laws that the store alone can break.
pub(crate) async fn laws_of_the_store(db: &mut SqliteConnection) -> Vec<String> {
    let mut broken = Vec::new();
    for (law, sql) in LAWS {
        match sqlx::query_scalar::<_, String>(sql).fetch_all(&mut *db).await {
            Ok(found) => broken.extend(found.iter().map(|id| format!("{law}: {id}"))),
            Err(error) => broken.push(format!("law 39: the store cannot be read: {error}")),
        }
    }
    match states_told(db).await {
        Ok(found) => broken.extend(found),
        Err(error) => broken.push(format!("law 39: the store cannot be read: {error}")),
    }
    broken
}

/// Remediations whose state is not the one that their newest event tells of.
async fn states_told(db: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT r.id, r.state, a.detail, a.detail_packed FROM remediation r LEFT JOIN audit a ON a.seq = \
         (SELECT max(seq) FROM audit WHERE kind = 'remediation_moved' AND remediation_id = r.id)",
    )
    .fetch_all(&mut *db)
    .await?;
    let told = |row: &SqliteRow| -> Option<String> {
        let detail = match row.get::<Option<Vec<u8>>, _>("detail_packed") {
            Some(packed) => unhang::store::unpack(&packed, "detail").ok()?,
            None => row.get::<Option<String>, _>("detail")?.into_bytes(),
        };
        let detail: Value = serde_json::from_slice(&detail).ok()?;
        Some(detail["to"].as_str()?.to_owned())
    };
    Ok(rows
        .iter()
        .filter(|row| row.get::<String, _>("state") != told(row).as_deref().unwrap_or("settling"))
        .map(|row| row.get::<String, _>("id"))
        .map(|id| format!("law 35: the state of a remediation is not that of its newest event: {id}"))
        .collect())
}

/// Laws about attempts and what the cloud saw of them.
async fn laws_of_attempts(
    db: &mut SqliteConnection,
    ledger: &[LedgerEntry],
    true_clock: bool,
) -> Vec<String> {
    let mut broken = Vec::new();
    let newest: i64 =
        sqlx::query_scalar("SELECT max(epoch) FROM owner").fetch_one(&mut *db).await.unwrap_or_default();
    let attempts = sqlx::query(
        "SELECT a.nonce, a.server_no, a.signed_at, a.intent_at, a.send_before, a.epoch, a.outcome, r.state \
         FROM attempt a JOIN remediation r ON r.id = a.remediation_id",
    )
    .fetch_all(&mut *db)
    .await
    .unwrap();
    for attempt in attempts {
        let (nonce, server): (String, String) = (attempt.get("nonce"), attempt.get("server_no"));
        let (signed, epoch): (i64, i64) = (attempt.get("signed_at"), attempt.get("epoch"));
        let (intent, send_before): (i64, i64) = (attempt.get("intent_at"), attempt.get("send_before"));
        let (outcome, state): (Option<String>, String) = (attempt.get("outcome"), attempt.get("state"));
        let mine: Vec<&LedgerEntry> = ledger
            .iter()
            .filter(|entry| entry.server_instance_no.as_deref() == Some(&*server))
            .filter(|entry| entry.timestamp.as_deref() == Some(&*signed.to_string()))
            .collect();
        if mine.len() > 1 {
            broken.push(format!("law 7: attempt {nonce} of {server} was requested {} times", mine.len()));
        }
        for entry in mine.iter().filter(|_| true_clock) {
            if entry.at < intent {
                broken.push(format!("law 10: {server} was asked {} ms before the intent", intent - entry.at));
            }
            // The request needs a moment from the hand-over to the cloud.
            if entry.at > send_before + 1000 {
                broken.push(format!("law 15: {server} was asked {} ms too late", entry.at - send_before));
            }
        }
        if state == "confirmed"
            && outcome.as_deref() != Some("not_sent")
            && !mine.iter().any(|entry| entry.effect)
        {
            broken.push(format!("law 18: {server} is confirmed, but nothing reached it"));
        }
        if outcome.is_none() && epoch < newest {
            broken.push(format!("law 36: attempt {nonce} of {server} is open, and its owner is dead"));
        }
    }
    broken
}

/// What the attempt journal says, line by line.
#[derive(Debug)]
struct Lines {
    intents: Vec<Intent>,
    /// Nonce, outcome, and whether the intent came before it.
    answers: Vec<(String, String, bool)>,
    high_water: i64,
    faults: Vec<String>,
}

#[derive(Debug)]
struct Intent {
    nonce: String,
    server: String,
    signed_ms: i64,
}

impl Lines {
    /// Reads the order of the lines here, and what they amount to as the service does.
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_default();
        let mut lines = Self { intents: Vec::new(), answers: Vec::new(), high_water: 0, faults: Vec::new() };
        match Journal::read(path) {
            Ok(Some(known)) => (lines.high_water, lines.faults) = (known.high_water, known.faults),
            Ok(None) => lines.faults.push("it is missing".to_owned()),
            Err(error) => lines.faults.push(error.to_string()),
        }
        // What has no end of line is torn, and was never relied upon.
        for line in bytes.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            let line: Value = serde_json::from_slice(line).unwrap_or_default();
            let entry = &line["entry"];
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            match entry["kind"].as_str() {
                Some("intent") => {
                    let signed: jiff::Timestamp = text("signedAt").parse().unwrap();
                    lines.intents.push(Intent {
                        nonce: text("nonce"),
                        server: text("serverInstanceNo"),
                        signed_ms: signed.as_millisecond(),
                    });
                }
                Some("answer") => {
                    let known = lines.intents.iter().any(|intent| intent.nonce == text("nonce"));
                    lines.answers.push((text("nonce"), text("outcome"), known));
                }
                _ => {}
            }
        }
        lines
    }
}

/// Laws that the attempt journal witnesses.
async fn laws_of_the_journal(
    db: &mut SqliteConnection,
    journal: &Lines,
    ledger: &[LedgerEntry],
    true_clock: bool,
) -> Vec<String> {
    let mut broken: Vec<String> =
        journal.faults.iter().map(|fault| format!("law 39: the attempt journal: {fault}")).collect();
    for entry in ledger {
        let (server, signed) = (entry.server_instance_no.as_deref(), entry.timestamp.as_deref());
        let line = journal
            .intents
            .iter()
            .find(|intent| Some(&*intent.server) == server && Some(&*intent.signed_ms.to_string()) == signed);
        match line {
            None => broken.push(format!("law 10: request {} has no line in the attempt journal", entry.seq)),
            Some(intent) if true_clock && intent.signed_ms > entry.at => {
                broken.push(format!("law 10: request {} is older than its line in the journal", entry.seq));
            }
            Some(_) => {}
        }
    }
    let stored: Vec<(i64, String, Option<String>)> =
        sqlx::query_as("SELECT id, nonce, outcome FROM attempt").fetch_all(&mut *db).await.unwrap();
    let outcome_of =
        |nonce: &str| stored.iter().find(|(_, known, _)| known == nonce).map(|(_, _, outcome)| outcome);
    for (nonce, answer, after_intent) in &journal.answers {
        if !after_intent {
            broken.push(format!("law 10: the journal has an answer of {nonce} without its intent"));
        }
        // An answer that came late settles what was unknown. What is open belongs to the newest owner, or breaks law 36.
        match outcome_of(nonce) {
            Some(None) => {}
            None => {
                broken.push(format!("law 38: the journal has an answer of {nonce}, the store no attempt"));
            }
            Some(Some(kept)) if kept == answer || answer == "unknown" => {}
            Some(Some(kept)) => {
                broken.push(format!("law 38: {nonce} was answered {answer}, the store has {kept}"));
            }
        }
    }
    for (id, nonce, outcome) in &stored {
        let may_have_left = matches!(outcome.as_deref(), Some("accepted" | "rejected" | "unknown"));
        if may_have_left && *id > journal.high_water {
            broken.push(format!(
                "law 10: attempt {id} ({nonce}) is above {}, the journal's",
                journal.high_water
            ));
        }
    }
    broken
}

/// Laws that show in what the processes wrote.
fn laws_of_the_log(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut broken = Vec::new();
    for line in text.lines().filter(|line| line.contains("panicked at")) {
        broken.push(format!("law 45: it panicked: {line}"));
    }
    let secrets = [support::ALERTMANAGER_TOKEN, support::BASIC_PASSWORD, support::LEAD, support::OPERATOR];
    if secrets.iter().any(|secret| text.contains(secret)) {
        broken.push("law 48: a secret is in the log".to_owned());
    }
    broken
}
