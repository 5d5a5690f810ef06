//! The tables as folding the audit must give them: one query per table, for `domain::fold`.
//!
//! Never: a column that no event tells of.

use super::db::{Connection, query};
use super::rows::Columns;
use super::{Doing, StoreError};
use crate::domain::fold::{Fold, StoredRow};

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
         repeat_of, replay_of FROM delivery",
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
         CAST(confirmed_at AS TEXT) AS confirmed_at, CAST(finished_at AS TEXT) AS finished_at FROM remediation",
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
];

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
                if !matches!(name, "key" | "created_at") {
                    let value: Option<String> =
                        row.get(place).map_err(|_error| StoreError::Unreadable { what: table })?;
                    stored.fields.insert(name.to_owned(), value);
                }
            }
            fold.compare(&stored);
        }
    }
    Ok(())
}
