//! One way of asking two databases: SQLite's file, and PostgreSQL. Statements are written once, in the words that both
//! know; what PostgreSQL calls otherwise its first migration gives it as functions of the same names.
//!
//! Never: knows a table, or decides by what is in one.

mod builder;
mod query;
mod row;

pub(in crate::store) use builder::{Binds, QueryBuilder};
pub(in crate::store) use query::{built, query, query_as, query_scalar};
pub(in crate::store) use row::{Cell, Row};

use std::future::Future;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPool;
use sqlx::sqlite::SqlitePool;
use sqlx::{Postgres, Sqlite, Transaction};

/// Longest wait for what a server answers to one question. It ends each statement after 30 s by itself, so one that is silent for
/// longer is gone, and its machine may never say so.
const ANSWER_MAX: Duration = Duration::from_secs(35);

/// Does not wait without end for a server that is gone without a word.
pub(in crate::store) async fn answered<T>(
    asking: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    tokio::time::timeout(ANSWER_MAX, asking).await.unwrap_or_else(|_elapsed| Err(silent()))
}

/// The server has said nothing.
pub(in crate::store) fn silent() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "the server does not answer"))
}

/// Connections to one of the two.
#[derive(Debug, Clone)]
pub(in crate::store) enum Pool {
    /// To a file.
    Sqlite(SqlitePool),
    /// To a server.
    Postgres(PgPool),
}

impl Pool {
    /// A connection of its own.
    pub(in crate::store) async fn acquire(&self) -> Result<Connection, sqlx::Error> {
        match self {
            Self::Sqlite(pool) => pool.acquire().await.map(Connection::Sqlite),
            Self::Postgres(pool) => pool.acquire().await.map(Connection::Postgres),
        }
    }

    /// A transaction in which each statement sees the same rows.
    pub(in crate::store) async fn snapshot(&self) -> Result<Connection, sqlx::Error> {
        match self {
            Self::Sqlite(pool) => pool.begin_with("BEGIN").await.map(Connection::SqliteTx),
            Self::Postgres(pool) => {
                answered(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))
                    .await
                    .map(Connection::PostgresSnapshot)
            }
        }
    }

    /// Closes every connection.
    pub(in crate::store) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// One connection, with or without a transaction. A transaction that is dropped is rolled back.
#[derive(Debug)]
pub(in crate::store) enum Connection {
    /// To a file.
    Sqlite(PoolConnection<Sqlite>),
    /// To a file, in a transaction.
    SqliteTx(Transaction<'static, Sqlite>),
    /// To a server.
    Postgres(PoolConnection<Postgres>),
    /// To a server, in a transaction that only reads.
    PostgresSnapshot(Transaction<'static, Postgres>),
    /// To a server, in a transaction that writes.
    PostgresTx(Transaction<'static, Postgres>),
}

impl Connection {
    /// Whether it leads to PostgreSQL.
    pub(in crate::store) fn is_postgres(&self) -> bool {
        match self {
            Self::Sqlite(_) | Self::SqliteTx(_) => false,
            Self::Postgres(_) | Self::PostgresSnapshot(_) | Self::PostgresTx(_) => true,
        }
    }

    /// Sends rows to a server's `COPY … FROM STDIN`; how many it took.
    pub(in crate::store) async fn copy_in(
        &mut self,
        statement: &str,
        rows: &[u8],
    ) -> Result<u64, sqlx::Error> {
        let server = match self {
            Self::Postgres(inner) => &mut **inner,
            Self::PostgresSnapshot(inner) | Self::PostgresTx(inner) => &mut **inner,
            Self::Sqlite(_) | Self::SqliteTx(_) => {
                return Err(sqlx::Error::Configuration("a file takes no rows in this form".into()));
            }
        };
        let mut copy = server.copy_in_raw(statement).await?;
        if let Err(error) = copy.send(rows).await {
            drop(copy.abort("the rows could not be sent").await);
            return Err(error);
        }
        copy.finish().await
    }

    /// Keeps what the transaction did. Without one there is nothing to do.
    pub(in crate::store) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::SqliteTx(inner) => inner.commit().await,
            Self::PostgresSnapshot(inner) => answered(inner.commit()).await,
            Self::PostgresTx(inner) => inner.commit().await,
            Self::Sqlite(_) | Self::Postgres(_) => Ok(()),
        }
    }

    /// Drops what the transaction did. Without one there is nothing to do.
    pub(in crate::store) async fn rollback(self) -> Result<(), sqlx::Error> {
        match self {
            Self::SqliteTx(inner) => inner.rollback().await,
            Self::PostgresSnapshot(inner) => answered(inner.rollback()).await,
            Self::PostgresTx(inner) => inner.rollback().await,
            Self::Sqlite(_) | Self::Postgres(_) => Ok(()),
        }
    }
}
