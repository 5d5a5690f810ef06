//! Whose turn it is to write: one transaction at a time, on SQLite by its lock and on PostgreSQL by the row `turn`; and
//! whether anybody else has written since the last one.
//!
//! Never: lets two write at once, or goes on over a store that knows less than it did.

use sqlx::Executor as _;

use super::db::{Connection, Pool, query_as, query_scalar};
use super::{Doing as _, StoreError, error_code};

/// What was seen when a turn was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Turn {
    /// SQLite: changes when another connection has written (<https://www.sqlite.org/pragma.html#pragma_data_version>).
    /// PostgreSQL: how many turns there were.
    count: i64,
    /// PostgreSQL: which server it is, and how often a standby of it was promoted.
    server: Option<String>,
    /// The transaction of the turn before did not come to its end here.
    ended_badly: bool,
    /// The newest audit row that was written here, and its hash.
    head: Option<(i64, String)>,
    /// SQLite: our number as the owner of the file, once we have one.
    epoch: Option<i64>,
}

impl Turn {
    /// Whether nobody has written between that turn and this one.
    pub(super) fn follows(&self, before: &Self) -> bool {
        let next = if self.server.is_some() { before.count.saturating_add(1) } else { before.count };
        !before.ended_badly && self.count == next && self.server == before.server
    }

    /// The same, whose transaction has failed.
    pub(super) fn ended_badly(&self) -> Self {
        Self { ended_badly: true, ..self.clone() }
    }

    /// The same, with what was written in it: the newest audit row, and our number where it was given.
    pub(super) fn with(self, head: Option<(i64, String)>, epoch: Option<i64>) -> Self {
        Self { head: head.or(self.head), epoch: epoch.or(self.epoch), ..self }
    }

    /// Whether the store has gone back behind that turn: a standby that had not heard of all was promoted, or a copy
    /// was put in its place.
    fn went_back(&self, before: &Self) -> Option<String> {
        let (Some(now), Some(then)) = (&self.server, &before.server) else { return None };
        if now != then {
            return Some(format!("it was on server {then} and is on {now} now"));
        }
        (self.count <= before.count)
            .then(|| format!("it was written {} times, and now {} times", before.count, self.count))
    }
}

/// Waits for the turn and begins a transaction.
pub(super) async fn take(pool: &Pool, before: &Turn) -> Result<(Connection, Turn), StoreError> {
    let not_begun =
        |source: sqlx::Error| StoreError::NotBegun { code: error_code(&source), why: source.to_string() };
    match pool {
        Pool::Sqlite(pool) => {
            let inner = pool.begin_with("BEGIN IMMEDIATE").await.map_err(not_begun)?;
            let mut inner = Connection::SqliteTx(inner);
            let count: i64 = query_scalar("PRAGMA data_version")
                .fetch_one(&mut inner)
                .await
                .doing("asking whether anybody else has written")?;
            let turn = Turn { count, server: None, ended_badly: false, ..before.clone() };
            if !turn.follows(before) {
                still_there(&mut inner, before).await?;
                still_ours(&mut inner, before).await?;
            }
            Ok((inner, turn))
        }
        Pool::Postgres(pool) => {
            let mut inner = Connection::PostgresTx(pool.begin_with("BEGIN").await.map_err(not_begun)?);
            // The row is locked until the end of the transaction: that is the turn.
            let (count, server): (i64, String) =
                query_as("UPDATE turn SET count = count + 1 RETURNING count, this_server()")
                    .fetch_one(&mut inner)
                    .await
                    .map_err(not_begun)?;
            let turn = Turn { count, server: Some(server), ended_badly: false, ..before.clone() };
            if let Some(why) = turn.went_back(before) {
                return Err(StoreError::WentBack { why });
            }
            if !turn.follows(before) {
                still_there(&mut inner, before).await?;
            }
            Ok((inner, turn))
        }
    }
}

/// Others have written since. They may have done so on an older copy, and counted further than we had: then what we wrote
/// last is not there.
async fn still_there(inner: &mut Connection, before: &Turn) -> Result<(), StoreError> {
    let Some((seq, hash)) = &before.head else { return Ok(()) };
    let found: Option<String> = query_scalar("SELECT hash FROM audit WHERE seq = ?")
        .bind(*seq)
        .fetch_optional(&mut *inner)
        .await
        .doing("looking for the last row of the audit that was written here")?;
    let first: Option<i64> = query_scalar("SELECT min(seq) FROM audit")
        .fetch_one(inner)
        .await
        .doing("looking for the begin of the audit")?;
    // What was pruned is gone rightly.
    let was_pruned = found.is_none() && first.is_some_and(|first| first > *seq);
    if was_pruned || found.as_ref() == Some(hash) {
        return Ok(());
    }
    Err(StoreError::WentBack { why: format!("audit row {seq}, which was written here, is not in it") })
}

/// Of a file only one is the owner, and whoever begins has a larger number. On a server each replica writes, and the
/// database itself refuses an intent of an older number.
async fn still_ours(inner: &mut Connection, before: &Turn) -> Result<(), StoreError> {
    let Some(own) = before.epoch else { return Ok(()) };
    let epoch: i64 = query_scalar("SELECT coalesce(max(epoch), 0) FROM owner")
        .fetch_one(inner)
        .await
        .doing("asking who owns the store")?;
    if epoch > own { Err(StoreError::Fenced { epoch }) } else { Ok(()) }
}

/// Ends a turn and keeps what was written. `newest`: the last audit row, which other replicas are told of.
pub(super) async fn end(mut inner: Connection, newest: Option<i64>) -> Result<(), StoreError> {
    if let Connection::PostgresTx(inner) = &mut inner {
        // Asked in any case: a transaction that was broken off answers a COMMIT as if all were well, and this with an error.
        let tell = sqlx::query("SELECT pg_notify('unhang', $1)").bind(newest.unwrap_or(0).to_string());
        inner.execute(tell).await.doing("telling the other replicas")?;
    }
    let may_be_kept = inner.is_postgres();
    inner.commit().await.map_err(|source| {
        // Where the server has said no, nothing was kept. Words of its end, or of a pooler in between, are no such answer.
        let code = source.as_database_error().and_then(sqlx::error::DatabaseError::code);
        let said_no = code.is_some_and(|code| !["08", "57P"].iter().any(|class| code.starts_with(class)));
        if may_be_kept && !said_no { StoreError::InDoubt { source } } else { StoreError::Commit { source } }
    })
}
