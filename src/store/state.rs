//! The tables as folding the audit must give them: one query per table, for `domain::fold`.
//!
//! Never: a column that no event tells of.

use sha2::{Digest as _, Sha256};

use super::db::{Connection, Row, query, query_scalar};
use super::packed::Long as _;
use super::rows::{Columns, from_json};
use super::{Doing, StoreError, deliveries, waiting};
use crate::domain::fold::{DecidedAlert, Fold, Judged, StoredRow};
use crate::telemetry::chain;

/// Table, and a query that gives `key`, `created_at` and every column as text.
const TABLES: &[(&str, &str)] = &[
    (
        "owner",
        "SELECT CAST(epoch AS TEXT) AS key, started_at AS created_at, version, CAST(started_at AS TEXT) AS started_at, \
         CAST(stopped_at AS TEXT) AS stopped_at FROM owner",
    ),
    (
        "delivery",
        "SELECT id AS key, received_at AS created_at, source, CAST(received_at AS TEXT) AS received_at, body_sha256, \
         repeat_of, replay_of, trace_id AS s_trace_id, peer AS s_peer, actor AS s_actor, config_hash AS s_config_hash, \
         answer AS s_answer, answer_packed AS s_answer_packed, credential AS s_credential, alert_count AS s_alert_count, \
         truncated AS s_truncated, dedupable AS s_dedupable, sender_time AS s_sender_time FROM delivery",
    ),
    (
        "incident",
        "SELECT id AS key, opened_at AS created_at, server_no, region_code, server_name, \
         CAST(opened_at AS TEXT) AS opened_at, CAST(closed_at AS TEXT) AS closed_at FROM incident",
    ),
    (
        "remediation",
        "SELECT id AS key, created_at, state, incident_id, server_no, region_code, source, policy, \
         CAST(needs_person AS TEXT) AS needs_person, requested_by, reason, approved_by, \
         CAST(approved_at AS TEXT) AS approved_at, policy_hash, CAST(last_notice_at AS TEXT) AS last_notice_at, \
         CAST(confirmed_at AS TEXT) AS confirmed_at, CAST(finished_at AS TEXT) AS finished_at, server AS s_server, alert AS s_alert, config_hash AS s_config_hash, \
         trace_id AS s_trace_id, delivery_id AS s_delivery_id, replay_of AS s_replay_of, settle_until AS s_settle_until, \
         episode_started_at AS s_episode_started_at FROM remediation",
    ),
    (
        "attempt",
        "SELECT CAST(id AS TEXT) AS key, intent_at AS created_at, remediation_id, CAST(try AS TEXT) AS try, nonce, \
         CAST(epoch AS TEXT) AS epoch, server_no, region_code, policy, CAST(intent_at AS TEXT) AS intent_at, \
         CAST(signed_at AS TEXT) AS signed_at, CAST(send_before AS TEXT) AS send_before, request_hash, \
         CAST(uptime_at AS TEXT) AS uptime_at, CAST(memory_bytes AS TEXT) AS memory_bytes, \
         CAST(cooldown_until AS TEXT) AS cooldown_until, outcome, CAST(outcome_at AS TEXT) AS outcome_at, cause, \
         request_id, return_code, return_message, CAST(http_status AS TEXT) AS http_status, body_sha256, evidence \
         FROM attempt",
    ),
    (
        "settlement",
        "SELECT remediation_id || '/' || person AS key, at AS created_at, verdict, reason, CAST(at AS TEXT) AS at \
         FROM settlement",
    ),
    (
        "hold",
        "SELECT CAST(id AS TEXT) AS key, set_at AS created_at, scope, name, author, reason, \
         CAST(set_at AS TEXT) AS set_at, CAST(until AS TEXT) AS until, CAST(cleared_at AS TEXT) AS cleared_at, \
         cleared_by FROM hold",
    ),
    (
        // A silence does not say when it was set.
        "silence",
        "SELECT CAST(id AS TEXT) AS key, 0 AS created_at, matchers, author, comment, \
         CAST(starts_at AS TEXT) AS starts_at, CAST(ends_at AS TEXT) AS ends_at, \
         CAST(expired_at AS TEXT) AS expired_at, expired_by FROM silence",
    ),
    (
        "dump_collected",
        "SELECT CAST(id AS TEXT) AS key, at AS created_at, region_code, server_no, CAST(at AS TEXT) AS at, person, \
         reason FROM dump_collected",
    ),
    (
        "storm",
        "SELECT CAST(id AS TEXT) AS key, opened_at AS created_at, region_code, CAST(opened_at AS TEXT) AS opened_at, \
         why, servers, policies, CAST(cleared_at AS TEXT) AS cleared_at, cleared_by, reason FROM storm",
    ),
    (
        "quarantine",
        "SELECT CAST(id AS TEXT) AS key, opened_at AS created_at, CAST(opened_at AS TEXT) AS opened_at, why, \
         CAST(cleared_at AS TEXT) AS cleared_at, cleared_by, reason FROM quarantine",
    ),
    (
        "policy_standing",
        "SELECT policy AS key, max(coalesce(demoted_at, 0), coalesce(promoted_at, 0)) AS created_at, \
         CAST(demoted_at AS TEXT) AS demoted_at, why, CAST(promoted_at AS TEXT) AS promoted_at, promoted_by, reason \
         FROM policy_standing",
    ),
    // Their events do not tell the row: what was said names it, and a count where the same was said twice.
    (
        "breaker_reset",
        "SELECT policy || '/' || person || '/' || at || '/' || row_number() \
         OVER (PARTITION BY policy, person, at ORDER BY id) AS key, at AS created_at, reason FROM breaker_reset",
    ),
    (
        "target_report",
        "SELECT policy || '/' || person || '/' || at || '/' || row_number() \
         OVER (PARTITION BY policy, person, at ORDER BY id) AS key, at AS created_at, reason FROM target_report",
    ),
    (
        "watch_gap",
        "SELECT from_at || '/' || until_at || '/' || row_number() OVER (PARTITION BY from_at, until_at ORDER BY id) \
         AS key, until_at AS created_at FROM watch_gap",
    ),
    (
        "attestation",
        "SELECT CAST(id AS TEXT) AS key, received_at AS created_at, source, region_code, server_no, kind, \
         CAST(at AS TEXT) AS at, CAST(received_at AS TEXT) AS received_at, said FROM attestation",
    ),
    (
        // Its newest end, so its newest notice says how old it is.
        "resolved_notice",
        "SELECT fingerprint AS key, noticed_at AS created_at, CAST(ended_at AS TEXT) AS ended_at, \
         CAST(noticed_at AS TEXT) AS noticed_at FROM resolved_notice",
    ),
    (
        "remediation_alert",
        "SELECT remediation_id || '/' || fingerprint AS key, coalesce(joined_at, 0) AS created_at, \
         CAST(joined_at AS TEXT) AS joined_at FROM remediation_alert",
    ),
    (
        "forgotten_attempt",
        "SELECT CAST(attempt_id AS TEXT) AS key, 0 AS created_at, server_no, region_code, policy, \
         CAST(intent_at AS TEXT) AS intent_at, outcome, CAST(memory_bytes AS TEXT) AS memory_bytes, \
         CAST(cooldown_until AS TEXT) AS cooldown_until FROM forgotten_attempt",
    ),
    (
        // When it was asked says nothing of what was found.
        "activity_seen",
        "SELECT remediation_id AS key, asked_at AS created_at, found, error FROM activity_seen",
    ),
    ("store_identity", "SELECT CAST(one AS TEXT) AS key, created_at, store_id FROM store_identity"),
];
/// Columns that are sealed together, and not compared one by one, begin with this.
const SEALED: &str = "s_";

/// Compares every row of every table with what was folded.
pub(super) async fn compare(fold: &mut Fold, db: &mut Connection) -> Result<(), StoreError> {
    for (table, sql) in TABLES {
        let mut rows = query(sql).fetch(&mut *db).doing("reading the state")?;
        while let Some(row) = rows.next().await {
            let row = row.doing("reading the state")?;
            let mut stored = StoredRow {
                table,
                key: row.text("key")?,
                created_at: row.int("created_at")?,
                fields: std::collections::BTreeMap::new(),
            };
            for (place, name) in row.names().into_iter().enumerate() {
                if !matches!(name, "key" | "created_at") && !name.starts_with(SEALED) {
                    let value: Option<String> =
                        row.get(place).map_err(|_error| StoreError::Unreadable { what: table })?;
                    stored.fields.insert(name.to_owned(), value);
                }
            }
            match seal(table, &row) {
                Ok(Some(seal)) => drop(stored.fields.insert("seal".to_owned(), Some(seal))),
                Ok(None) => {}
                Err(error) => fold.differs(format!("{table} {}: {}", stored.key, chain(&error))),
            }
            fold.compare(&stored);
        }
    }
    compare_alerts(fold, db).await?;
    compare_bodies(fold, db).await?;
    for (what, sql) in BESIDE_PACKED {
        let beside: i64 = query_scalar(sql).fetch_one(&mut *db).await.doing("comparing packed texts")?;
        if beside > 0 {
            fold.differs(format!("{beside} rows have another {what} beside the packed one"));
        }
    }
    Ok(())
}

/// A text is packed or plain. What lies beside a packed one is never read, and shows only here.
const BESIDE_PACKED: [(&str, &str); 5] = [
    ("body", "SELECT count(*) FROM body WHERE packed IS NOT NULL AND length(bytes) > 0"),
    ("answer", "SELECT count(*) FROM delivery WHERE answer_packed IS NOT NULL AND answer <> ''"),
    ("alert", "SELECT count(*) FROM alert WHERE alert_packed IS NOT NULL AND alert <> ''"),
    ("trace", "SELECT count(*) FROM alert WHERE trace_packed IS NOT NULL AND trace <> ''"),
    ("detail", "SELECT count(*) FROM audit WHERE detail_packed IS NOT NULL AND detail <> ''"),
];

/// The seal of a row, where its event tells one.
fn seal(table: &str, row: &Row) -> Result<Option<String>, StoreError> {
    match table {
        "delivery" => {
            let answer = row.long_text("s_answer", "s_answer_packed")?;
            let texts = [
                row.text("s_trace_id")?,
                row.text("s_peer")?,
                row.text("s_actor")?,
                row.text("s_config_hash")?,
            ];
            let [trace_id, peer, actor, config_hash] = &texts;
            let numbers = [
                row.int("s_credential")?,
                row.int("s_alert_count")?,
                row.int("s_truncated")?,
                row.int("s_dedupable")?,
            ];
            let sender_time = row.int_opt("s_sender_time")?;
            Ok(Some(deliveries::seal_of([trace_id, peer, actor, config_hash, &answer], numbers, sender_time)))
        }
        "remediation" => {
            let texts = [
                row.text("s_server")?,
                row.text("s_alert")?,
                row.text("s_config_hash")?,
                row.text("s_trace_id")?,
            ];
            let named = [row.text_opt("s_delivery_id")?, row.text_opt("s_replay_of")?];
            let times = [
                Some(row.int("created_at")?),
                Some(row.int("s_settle_until")?),
                row.int_opt("s_episode_started_at")?,
            ];
            Ok(Some(waiting::remediation_seal(
                texts.each_ref().map(String::as_str),
                named.each_ref().map(Option::as_deref),
                times,
            )))
        }
        _ => Ok(None),
    }
}

/// Every alert against the event of its decision.
async fn compare_alerts(fold: &mut Fold, db: &mut Connection) -> Result<(), StoreError> {
    const DOING: &str = "reading the alerts";
    let sql = "SELECT delivery_id, idx, source, fingerprint, status, alert, alert_packed, received_at, server_no, \
               region_code, policy, decision, reason, until, detail, trace, trace_packed, config_hash, decided_at, \
               incident_id, remediation_id FROM alert";
    let mut rows = query(sql).fetch(&mut *db).doing(DOING)?;
    while let Some(row) = rows.next().await {
        let row = row.doing(DOING)?;
        match decided_alert(&row) {
            Ok(stored) => fold.compare_alert(&stored),
            Err(error) => {
                fold.differs(format!("an alert of {}: {}", row.text("delivery_id")?, chain(&error)));
            }
        }
    }
    Ok(())
}

fn decided_alert(row: &Row) -> Result<DecidedAlert, StoreError> {
    let received_at = row.int("received_at")?;
    let alert = row.long_text_opt("alert", "alert_packed")?;
    let (fingerprint, status) = (row.text_opt("fingerprint")?, row.text_opt("status")?);
    Ok(DecidedAlert {
        key: format!("{}/{}", row.text("delivery_id")?, row.int("idx")?),
        received_at,
        seal: waiting::alert_seal(
            &row.text("source")?,
            fingerprint.as_deref(),
            status.as_deref(),
            alert.as_deref(),
            received_at,
        ),
        judged: Judged {
            server_no: row.text_opt("server_no")?,
            region_code: row.text_opt("region_code")?,
            policy: row.text_opt("policy")?,
            decision: Some(row.text("decision")?),
            reason: row.text_opt("reason")?,
            until: row.int_opt("until")?,
            detail: Some(row.text("detail")?),
            trace: from_json(&row.long_text("trace", "trace_packed")?, "trace")?,
            config_hash: Some(row.text("config_hash")?),
            decided_at: row.int("decided_at")?,
            incident_id: row.text_opt("incident_id")?,
            remediation_id: row.text_opt("remediation_id")?,
        },
    })
}

/// Every raw body against its hash, which the event of its delivery names.
async fn compare_bodies(fold: &mut Fold, db: &mut Connection) -> Result<(), StoreError> {
    const DOING: &str = "reading the bodies";
    {
        let mut rows = query("SELECT sha256, bytes, packed FROM body").fetch(&mut *db).doing(DOING)?;
        while let Some(row) = rows.next().await {
            let row = row.doing(DOING)?;
            let sha256 = row.text("sha256")?;
            match row.long_bytes("bytes", "packed") {
                Ok(body) if hex::encode(Sha256::digest(&body)) == sha256 => {}
                Ok(_) => fold.differs(format!("the body {sha256} does not have that hash")),
                Err(error) => fold.differs(format!("the body {sha256}: {}", chain(&error))),
            }
        }
    }
    let missing: Vec<String> = query_scalar(
        "SELECT id FROM delivery WHERE NOT EXISTS (SELECT 1 FROM body WHERE sha256 = delivery.body_sha256) ORDER BY id",
    )
    .fetch_all(&mut *db)
    .await
    .doing(DOING)?;
    for id in missing {
        fold.differs(format!("delivery {id}: its body is not in the store"));
    }
    Ok(())
}
