//! Opening a store on a PostgreSQL server: a server that can be trusted with it, or a clear refusal.
//!
//! Never: touches a table outside of the schema `unhang`, or goes on with a server that may forget a commit.

use std::future::Future;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPool, PgPoolOptions};
use tokio::sync::watch;

use super::db::{Pool, answered, silent};
use super::open::{OpenError, PEOPLE, Store};
use super::writer::{self, CommitStats, Target, Writer};
use crate::config::{Place, Server};
use crate::domain::audit_key::AuditKey;

/// Oldest server that is tried in tests.
const VERSION_MIN: i32 = 150_000;
/// Connections that only read.
const READERS: u32 = 4;
/// Prepared statements that a connection keeps.
const STATEMENTS: usize = 512;
/// How long a connection is waited for.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A connection that was not used for this long is asked whether it still leads anywhere.
const RESTED: Duration = Duration::from_secs(1);
/// How long that answer is waited for.
const PING_MAX: Duration = Duration::from_secs(2);
/// The same where somebody may have given up waiting for another answer, which must come first.
const LATE_MAX: Duration = Duration::from_secs(10);
/// Silence after which the connection is made anew.
const LISTEN_MAX: Duration = Duration::from_mins(1);
/// Pause before listening again after the connection for it was lost.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// Opens the store to write, making its tables where there are none; see [`Store::open`].
pub(super) async fn open(
    server: &Server,
    key: Option<AuditKey>,
    observe: impl Fn(CommitStats) + Send + 'static,
) -> Result<(Store, impl Future<Output = ()> + Send + 'static), OpenError> {
    let options = options(server)?;
    let pool = pool(1, options.clone(), server).await?;
    check(&pool, server).await?;
    let fail = |doing| move |source| refusal(server, doing, source);
    // Not "IF NOT EXISTS" alone: a role that may not make schemas can use one that was made for it.
    let there: bool = sqlx::query_scalar("SELECT to_regnamespace('unhang') IS NOT NULL")
        .fetch_one(&pool)
        .await
        .map_err(fail("looking for its schema"))?;
    if !there {
        sqlx::query("CREATE SCHEMA IF NOT EXISTS unhang")
            .execute(&pool)
            .await
            .map_err(fail("making its schema"))?;
    }
    sqlx::migrate!("migrations/postgres")
        .run(&pool)
        .await
        .map_err(|error| super::open::migration_refusal(server.url(), error))?;
    let readers = self::pool(READERS, options.clone(), server).await?;
    let people = self::pool(PEOPLE, options.clone(), server).await?;
    let newest: i64 = sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM audit")
        .fetch_one(&readers)
        .await
        .map_err(fail("looking for the end of the audit"))?;
    let (tell, news) = watch::channel(newest);
    let listener = listen(options, tell.clone());
    let (writer, task) = Writer::new(Target { pool: Pool::Postgres(pool), key, file: None }, tell, observe);
    let store = Store {
        readers: Pool::Postgres(readers),
        people: Pool::Postgres(people),
        writer: Some(writer),
        place: Place::Server(server.clone()),
        news,
        files: None,
    };
    let both = async move {
        tokio::select! {
            () = task => {}
            () = listener => {}
        }
    };
    Ok((store, both))
}

/// Opens the store to read only.
pub(super) async fn open_read_only(server: &Server) -> Result<Store, OpenError> {
    let options = options(server)?.options([("default_transaction_read_only", "on")]);
    let readers = pool(READERS, options, server).await?;
    let there: Option<String> = sqlx::query_scalar("SELECT to_regclass('unhang.audit')::text")
        .fetch_one(&readers)
        .await
        .map_err(|source| refusal(server, "looking for its tables", source))?;
    if there.is_none() {
        return Err(OpenError::Missing { path: server.url().to_owned() });
    }
    let (_tell, news) = watch::channel(0);
    let readers = Pool::Postgres(readers);
    let place = Place::Server(server.clone());
    Ok(Store { people: readers.clone(), readers, writer: None, place, news, files: None })
}

fn options(server: &Server) -> Result<PgConnectOptions, OpenError> {
    let options = PgConnectOptions::from_str(server.url())
        .map_err(|source| refusal(server, "reading its address", source))?;
    let options = match server.password() {
        Some(password) => options.password(password),
        None => options,
    };
    Ok(options.application_name("unhang").statement_cache_capacity(STATEMENTS).options([
        ("search_path", "unhang"),
        // Whoever waits for its turn to write gives up after this, as with SQLite.
        ("lock_timeout", "5s"),
        // A writer that was frozen in the middle of its turn keeps others waiting no longer than this.
        ("idle_in_transaction_session_timeout", "5s"),
        ("statement_timeout", "30s"),
        ("client_min_messages", "warning"),
    ]))
}

fn pool_of(size: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(CONNECT_WITHIN)
        .idle_timeout(None)
        .max_lifetime(None)
}

async fn pool(size: u32, options: PgConnectOptions, server: &Server) -> Result<PgPool, OpenError> {
    pool_of(size)
        // The pool would ask each time, and wait without end.
        .test_before_acquire(false)
        .before_acquire(|connection, seen| {
            Box::pin(async move {
                if seen.idle_for < RESTED {
                    return Ok(true);
                }
                Ok(ping(connection, PING_MAX).await?.is_ok())
            })
        })
        // Whoever gave up waiting leaves a connection whose answer is still to come, or never will.
        .after_release(|connection, _seen| {
            Box::pin(async move { Ok(ping(connection, LATE_MAX).await?.is_ok()) })
        })
        .connect_with(options)
        .await
        .map_err(|source| refusal(server, "connecting", source))
}

/// What a connection answers within this time. One without an answer is not even told goodbye.
async fn ping(
    connection: &mut PgConnection,
    within: Duration,
) -> Result<Result<(), sqlx::Error>, sqlx::Error> {
    tokio::time::timeout(within, connection.ping()).await.map_err(|_elapsed| silent())
}

/// Refuses a server that is too old, that only follows another, or that may forget what it has said is kept.
async fn check(pool: &PgPool, server: &Server) -> Result<(), OpenError> {
    let fail = |source| refusal(server, "reading its settings", source);
    let (version, follows): (i32, bool) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int, pg_is_in_recovery() \
         OR current_setting('transaction_read_only')::bool",
    )
    .fetch_one(pool)
    .await
    .map_err(fail)?;
    check_version(version)?;
    if follows {
        let why = "it follows another server, or is read-only; name the one that takes writes".to_owned();
        return Err(OpenError::ReadOnly { path: server.url().to_owned(), why });
    }
    for (setting, wanted) in [
        ("fsync", &["on"][..]),
        ("full_page_writes", &["on"]),
        ("synchronous_commit", &["on", "remote_apply"]),
    ] {
        let found: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(pool)
            .await
            .map_err(fail)?;
        if !wanted.contains(&found.as_str()) {
            return Err(OpenError::Setting { setting, found, wanted: wanted.join(" or ") });
        }
    }
    Ok(())
}

fn check_version(version: i32) -> Result<(), OpenError> {
    if version >= VERSION_MIN {
        return Ok(());
    }
    Err(OpenError::Setting {
        setting: "server_version",
        found: format!("{}.{}", version / 10_000, version % 10_000),
        wanted: "15 or newer".to_owned(),
    })
}

/// Passes on what other replicas have committed, for as long as it is run.
async fn listen(options: PgConnectOptions, tell: watch::Sender<i64>) {
    loop {
        if let Err(error) = pass_on(options.clone(), &tell).await {
            tracing::warn!(%error, "other replicas are not heard; it is tried again");
        }
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}

async fn pass_on(options: PgConnectOptions, tell: &watch::Sender<i64>) -> Result<(), sqlx::Error> {
    // Of its own: it says goodbye to a server that is gone without a bound, and would keep a place of those that read.
    let pool = pool_of(1).connect_lazy_with(options);
    let mut listener = answered(async {
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen("unhang").await?;
        Ok(listener)
    })
    .await?;
    // What was said before anybody listened.
    let newest = sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM audit").fetch_one(&mut listener);
    writer::tell(tell, Some(answered(newest).await?));
    // It ends where the connection was lost, or may be without a word: what was said meanwhile is looked up then.
    while let Ok(told) = tokio::time::timeout(LISTEN_MAX, listener.try_recv()).await {
        match told? {
            Some(told) => writer::tell(tell, told.payload().parse().ok()),
            None => return Ok(()),
        }
    }
    Ok(())
}

fn refusal(server: &Server, doing: &'static str, source: sqlx::Error) -> OpenError {
    OpenError::Database { path: server.url().to_owned(), doing, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_too_old_is_refused_by_name() {
        check_version(150_019).unwrap();
        let said = check_version(140_022).unwrap_err().to_string();
        assert_eq!(said, "the store's setting server_version is 14.22, wanted 15 or newer");
    }
}
