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
            Ok((inner, Turn { count, ..Turn::default() }))
        }
        Pool::Postgres(pool) => {
            let mut inner = Connection::PostgresTx(pool.begin_with("BEGIN").await.map_err(not_begun)?);
            // The row is locked until the end of the transaction: that is the turn.
            let (count, server): (i64, String) =
                query_as("UPDATE turn SET count = count + 1 RETURNING count, this_server()")
                    .fetch_one(&mut inner)
                    .await
                    .map_err(not_begun)?;
            let turn = Turn { count, server: Some(server), ended_badly: false };
            match turn.went_back(before) {
                None => Ok((inner, turn)),
                Some(why) => Err(StoreError::WentBack { why }),
            }
        }
    }
}

/// Ends a turn and keeps what was written. `newest`: the last audit row, which other replicas are told of.
pub(super) async fn end(mut inner: Connection, newest: Option<i64>) -> Result<(), StoreError> {
    if let (Connection::PostgresTx(inner), Some(newest)) = (&mut inner, newest) {
        let tell = sqlx::query("SELECT pg_notify('unhang', $1)").bind(newest.to_string());
        inner.execute(tell).await.doing("telling the other replicas")?;
    }
    let may_be_kept = inner.is_postgres();
    inner.commit().await.map_err(|source| {
        // Where the server has said no, nothing was kept.
        if may_be_kept && source.as_database_error().is_none() {
            StoreError::InDoubt { source }
        } else {
            StoreError::Commit { source }
        }
    })
}
