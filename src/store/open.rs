//! Opening a store: the right file, the right settings, or a clear refusal.
//!
//! Never: touches a file of another program or of a newer version.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, Row};
use tokio::sync::watch;

use super::db::{Pool, query, query_scalar};
use super::deliveries::BodyKey;
use super::files::Files;
use super::wal::Wal;
use super::writer::{Announced, CommitStats, Target, Tx, TxFuture, Writer};
use super::{Doing, StoreError, postgres};
use crate::config::Place;
use crate::domain::audit_key::AuditKey;
use crate::files;

/// `application_id` of our files: "unhg".
const APPLICATION_ID: i64 = 0x756e_6867;
/// Oldest SQLite without the WAL-reset corruption.
const SQLITE_MIN: (u32, u32, u32) = (3, 51, 3);
/// Stores below this size are checked from end to end at every start.
const CHECK_BYTES_MAX: u64 = 32 << 20;
/// Prepared statements that the writer keeps: those for many rows come in several lengths.
const STATEMENTS: usize = 256;
/// Pages that the writer keeps, in negative KiB: with fewer a large batch is written to the log twice.
const WRITER_CACHE: &str = "-16384";
/// Connections that only read.
const READERS: u32 = 4;
/// Connections for what people ask.
pub(super) const PEOPLE: u32 = 3;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be made.
    #[error("cannot make the data folder {path}: {source}")]
    Folder {
        /// The folder.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no such file, and this command does not make one.
    #[error("there is no store at {path}; `unhang serve` makes one, or name another with --store")]
    Missing {
        /// The file.
        path: String,
    },
    /// The file belongs to another program.
    #[error("{path} is not an unhang store: {why}; set store.url to another file")]
    Foreign {
        /// The file.
        path: String,
        /// How that is known.
        why: String,
    },
    /// The file was written by a newer version.
    #[error("{path} was written by a newer unhang ({why}); run that version, or restore a backup")]
    Newer {
        /// The file.
        path: String,
        /// What was found.
        why: String,
    },
    /// The file or its folder cannot be written.
    #[error("{path} cannot be written; check owner and mode of the file and its folder: {why}")]
    ReadOnly {
        /// The file.
        path: String,
        /// What SQLite said.
        why: String,
    },
    /// SQLite does not do what is needed.
    #[error("the store's setting {setting} is {found}, wanted {wanted}")]
    Setting {
        /// Which one.
        setting: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        wanted: String,
    },
    /// The file is damaged.
    #[error("{path} is damaged: {why}; restore a backup, and keep this file for analysis")]
    Damaged {
        /// The file.
        path: String,
        /// What the check said.
        why: String,
    },
    /// Its files were changed while they were opened.
    #[error("{why}, while it was being opened; start again")]
    Files {
        /// What was seen.
        why: String,
    },
    /// Anything else that the database said.
    #[error("cannot open the store {path} while {doing}: {source}")]
    Database {
        /// The file.
        path: String,
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        source: sqlx::Error,
    },
}

/// An open store.
#[derive(Debug, Clone)]
pub struct Store {
    /// For the work: deciding, claiming, proving.
    pub(super) readers: Pool,
    /// For whatever people ask; however long they wait for each other, the work does not wait with them.
    pub(super) people: Pool,
    pub(super) writer: Option<Writer>,
    pub(super) place: Place,
    pub(super) news: watch::Receiver<i64>,
    /// Its files as they were when it was opened to write.
    pub(super) files: Option<Files>,
}

impl Store {
    /// Opens the store to write, making it where there is none. Audit rows are hashed with the key, where there is one. The returned future is the writer; it must be
    /// spawned, and ends when every clone of the store is gone.
    pub async fn open(
        path: &Path,
        key: Option<AuditKey>,
        observe: impl Fn(CommitStats) + Send + 'static,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), OpenError> {
        Self::make_folder(path)?;
        let shown = path.display().to_string();
        if path.exists() {
            check_owner(path).await?;
        }
        let options = options(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .statement_cache_capacity(STATEMENTS)
            .pragma("cache_size", WRITER_CACHE)
            .pragma("temp_store", "MEMORY");
        let pool =
            pool(1).connect_with(options).await.map_err(|source| refusal(&shown, "opening", source))?;
        sqlx::migrate!("migrations/sqlite")
            .run(&pool)
            .await
            .map_err(|error| migration_refusal(&shown, error))?;
        sqlx::query("PRAGMA application_id = 1970169959")
            .execute(&pool)
            .await
            .map_err(|source| refusal(&shown, "marking the file", source))?;
        check_settings(&pool, &shown).await?;
        check_health(&pool, path).await?;
        let (readers, people) = (readers(path, READERS).await?, readers(path, PEOPLE).await?);
        check_settings(&readers, &shown).await?;
        check_settings(&people, &shown).await?;
        let newest: i64 = sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM audit")
            .fetch_one(&readers)
            .await
            .map_err(|source| refusal(&shown, "looking for the end of the audit", source))?;
        let (tell, news) = watch::channel(newest);
        let files = Files::of(path).map_err(|why| OpenError::Files { why })?;
        let target = Target { pool: Pool::Sqlite(pool), key, file: Some((Wal::of(path), files.clone())) };
        let (writer, task) = Writer::new(target, tell, observe);
        let place = Place::File(path.to_owned());
        let (readers, people) = (Pool::Sqlite(readers), Pool::Sqlite(people));
        Ok((Self { readers, people, writer: Some(writer), place, news, files: Some(files) }, task))
    }

    /// Makes the folder that a store of this path is kept in.
    pub fn make_folder(path: &Path) -> Result<(), OpenError> {
        let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
            return Ok(());
        };
        std::fs::create_dir_all(folder)
            .map_err(|source| OpenError::Folder { path: folder.display().to_string(), source })
    }

    /// Opens the store of a place to write; see [`Store::open`].
    pub async fn open_at(
        place: &Place,
        key: Option<AuditKey>,
        observe: impl Fn(CommitStats) + Send + 'static,
    ) -> Result<(Self, Pin<Box<dyn Future<Output = ()> + Send>>), OpenError> {
        match place {
            Place::File(path) => {
                let (store, writer) = Self::open(path, key, observe).await?;
                Ok((store, Box::pin(writer)))
            }
            Place::Server(server) => {
                let (store, writer) = postgres::open(server, key, observe).await?;
                Ok((store, Box::pin(writer)))
            }
        }
    }

    /// Opens the store of a place to read only.
    pub async fn open_read_only_at(place: &Place) -> Result<Self, OpenError> {
        match place {
            Place::File(path) => Self::open_read_only(path).await,
            Place::Server(server) => postgres::open_read_only(server).await,
        }
    }

    /// Opens the store to read only; nothing can be written through it.
    pub async fn open_read_only(path: &Path) -> Result<Self, OpenError> {
        if !path.exists() {
            return Err(OpenError::Missing { path: path.display().to_string() });
        }
        check_owner(path).await?;
        // Nobody writes through it, so it has no news either.
        let (_tell, news) = watch::channel(0);
        let readers = Pool::Sqlite(readers(path, READERS).await?);
        let place = Place::File(path.to_owned());
        Ok(Self { people: readers.clone(), readers, writer: None, place, news, files: None })
    }

    /// The place of the newest audit row that this process has committed; changes with each commit that adds one.
    pub fn news(&self) -> watch::Receiver<i64> {
        self.news.clone()
    }

    /// The same store, read over the connections that people share.
    #[must_use]
    pub fn for_people(&self) -> Self {
        Self { readers: self.people.clone(), ..self.clone() }
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Bytes of the store's file and its write-ahead log, or of its tables and indexes on a server.
    pub async fn size_bytes(&self) -> Result<u64, StoreError> {
        match &self.place {
            Place::File(path) => {
                Ok(std::fs::metadata(path).map_or(0, |meta| meta.len()) + Wal::of(path).bytes())
            }
            Place::Server(_) => {
                let bytes: i64 = query_scalar("SELECT size_of_the_store()")
                    .fetch_one(&self.readers)
                    .await
                    .doing("asking how large the store is")?;
                Ok(u64::try_from(bytes).unwrap_or(0))
            }
        }
    }

    /// Jobs that wait for the writer.
    pub fn waiting(&self) -> usize {
        self.writer.as_ref().map_or(0, Writer::waiting)
    }

    /// Runs a job in the next write transaction; see [`Tx`]. The job may run twice.
    pub async fn write<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnMut(&'c mut Tx) -> TxFuture<'c, T> + Send + 'static,
    {
        self.writer.as_ref().ok_or(StoreError::Stopped)?.write(job, Announced::default()).await
    }

    /// As [`Store::write`], for a job that will ask whether this body came before: that is asked for all that wait at
    /// once.
    pub async fn write_delivery<T, F>(&self, body: BodyKey, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnMut(&'c mut Tx) -> TxFuture<'c, T> + Send + 'static,
    {
        let announced = Announced { body: Some(body), ..Announced::default() };
        self.writer.as_ref().ok_or(StoreError::Stopped)?.write(job, announced).await
    }

    /// As [`Store::write`], for a job that takes as long as it takes: the move of a whole store.
    pub async fn write_long<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnMut(&'c mut Tx) -> TxFuture<'c, T> + Send + 'static,
    {
        let announced = Announced { takes_long: true, ..Announced::default() };
        self.writer.as_ref().ok_or(StoreError::Stopped)?.write(job, announced).await
    }

    /// Whether nothing can be written any more: the writer has ended, as it does when the store is in doubt.
    pub fn has_ended(&self) -> bool {
        self.writer.as_ref().is_none_or(Writer::has_ended)
    }

    /// Why the writer has ended, where the store is in doubt.
    pub fn doubt(&self) -> Option<String> {
        self.writer.as_ref().and_then(Writer::doubt)
    }

    /// Has another file watched like those of the store: where it is not as it was left, nobody is answered any more.
    pub fn also_watch(&self, witness: impl Fn() -> Option<String> + Send + Sync + 'static) {
        if let Some(writer) = &self.writer {
            writer.also_watch(Box::new(witness));
        }
    }

    /// What has been taken away underneath; `None` when all that is written to is still there.
    pub fn taken_away(&self) -> Option<String> {
        let files = self.files.as_ref().and_then(|files| files.are_there().err());
        files.or_else(|| self.writer.as_ref().and_then(Writer::witness))
    }

    /// The latest time that the store knows of; the clock must not run behind it.
    pub async fn latest_time(&self) -> Result<Option<Timestamp>, StoreError> {
        let at: Option<i64> =
            query_scalar("SELECT max(at) FROM (SELECT at FROM audit ORDER BY seq DESC LIMIT 1) newest")
                .fetch_one(&self.readers)
                .await
                .doing("reading the latest time")?;
        Ok(at.and_then(|ms| Timestamp::from_millisecond(ms).ok()))
    }

    /// Moves everything from the write-ahead log into the file, so that the file is whole by itself. For an orderly end:
    /// readers that are open keep it from doing so, which harms nothing.
    pub async fn fold_log(&self) -> Result<(), StoreError> {
        // A server keeps its own; and one that does not answer would have us wait for its last connection.
        let Place::File(path) = &self.place else { return Ok(()) };
        self.people.close().await;
        self.readers.close().await;
        let options = options(path);
        let fail = |source| StoreError::Query { doing: "folding the log into the file", source };
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.map_err(fail)?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.map_err(fail)?;
        connection.close().await.map_err(fail)
    }

    /// Whether the store answers a read.
    pub async fn ping(&self) -> Result<(), StoreError> {
        query("SELECT 1").execute(&self.readers).await.doing("asking whether it answers").map(|_| ())
    }

    /// Writes a complete copy to a new file.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let to = to.display().to_string();
        query("VACUUM INTO ?").bind(to).execute(&self.readers).await.doing("copying the store").map(|_| ())
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .foreign_keys(true)
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        .pragma("mmap_size", "0")
        .pragma("journal_size_limit", "67108864")
        .pragma("wal_autocheckpoint", "1000")
}

/// A pool that closes a connection which comes back inside a transaction: after a commit that failed because the
/// disk was full it would refuse every later one.
fn pool(size: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(size)
        .idle_timeout(None)
        .max_lifetime(None)
        // A file does not hang up.
        .test_before_acquire(false)
        .after_release(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
}

async fn readers(path: &Path, count: u32) -> Result<SqlitePool, OpenError> {
    let shown = path.display().to_string();
    pool(count)
        .connect_with(options(path).read_only(true))
        .await
        .map_err(|source| refusal(&shown, "opening it to read", source))
}

/// Refuses a file that is no database, or another program's.
async fn check_owner(path: &Path) -> Result<(), OpenError> {
    let shown = path.display().to_string();
    if path.is_dir() {
        return Err(OpenError::Foreign { path: shown, why: "it is a folder".to_owned() });
    }
    if !path.is_file() {
        return Err(OpenError::Foreign { path: shown, why: "it is no regular file".to_owned() });
    }
    if std::fs::metadata(path).is_ok_and(|meta| meta.len() == 0) || is_half_made(path) {
        return Ok(());
    }
    let fail = |source| refusal(&shown, "looking whose file it is", source);
    let mut connection =
        sqlx::SqliteConnection::connect_with(&options(path).read_only(true)).await.map_err(fail)?;
    let id: i64 =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut connection).await.map_err(fail)?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut connection)
        .await
        .map_err(fail)?;
    let migrated: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'")
            .fetch_one(&mut connection)
            .await
            .map_err(fail)?;
    drop(connection.close().await);
    // A first start that was killed leaves our tables without the mark; the migrations tell whose they are.
    if id == APPLICATION_ID || tables == 0 || (id == 0 && migrated == 1) {
        return Ok(());
    }
    Err(OpenError::Foreign { path: shown, why: format!("its application_id is {id:#x}") })
}

/// A first start that ended while it made the file leaves one page and a rollback journal. A reader may not roll it
/// back, so it could not be asked whose it is; one page has no room for a table of anybody.
fn is_half_made(path: &Path) -> bool {
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    let small = std::fs::metadata(path).is_ok_and(|meta| meta.len() <= 4096);
    // Bytes 16 and 17 are the size of a page (https://www.sqlite.org/fileformat.html#page_size).
    let one_page = || files::read(path, 4096).is_ok_and(|bytes| bytes.get(16..18) == Some(&[0x10, 0x00]));
    small && Path::new(&journal).exists() && one_page()
}

async fn check_settings(pool: &SqlitePool, shown: &str) -> Result<(), OpenError> {
    let ask = |sql: &'static str| async move {
        let Some(row) = sqlx::query(sql).fetch_optional(pool).await? else { return Ok("0".to_owned()) };
        row.try_get::<String, _>(0).or_else(|_| row.try_get::<i64, _>(0).map(|n| n.to_string()))
    };
    let expect = [
        ("journal_mode", "PRAGMA journal_mode", "wal"),
        ("synchronous", "PRAGMA synchronous", "2"),
        ("foreign_keys", "PRAGMA foreign_keys", "1"),
        ("trusted_schema", "PRAGMA trusted_schema", "0"),
        ("cell_size_check", "PRAGMA cell_size_check", "1"),
        ("mmap_size", "PRAGMA mmap_size", "0"),
        ("busy_timeout", "PRAGMA busy_timeout", "5000"),
        ("wal_autocheckpoint", "PRAGMA wal_autocheckpoint", "1000"),
    ];
    for (setting, sql, wanted) in expect {
        let found = ask(sql).await.map_err(|source| refusal(shown, "reading its settings", source))?;
        if found != wanted {
            return Err(OpenError::Setting { setting, found, wanted: wanted.to_owned() });
        }
    }
    let version = ask("SELECT sqlite_version()")
        .await
        .map_err(|source| refusal(shown, "reading its settings", source))?;
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if found < SQLITE_MIN {
        return Err(OpenError::Setting {
            setting: "sqlite_version",
            found: version,
            wanted: "3.51.3 or newer".into(),
        });
    }
    Ok(())
}

async fn check_health(pool: &SqlitePool, path: &Path) -> Result<(), OpenError> {
    if std::fs::metadata(path).map_or(0, |meta| meta.len()) > CHECK_BYTES_MAX {
        return Ok(());
    }
    let shown = path.display().to_string();
    let fail = |source| refusal(&shown, "checking it", source);
    let quick: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(pool).await.map_err(fail)?;
    if quick != "ok" {
        return Err(OpenError::Damaged { path: shown, why: quick });
    }
    let broken = sqlx::query("PRAGMA foreign_key_check").fetch_all(pool).await.map_err(fail)?.len();
    if broken > 0 {
        return Err(OpenError::Damaged { path: shown, why: format!("{broken} broken references") });
    }
    Ok(())
}

fn refusal(shown: &str, doing: &'static str, source: sqlx::Error) -> OpenError {
    let path = shown.to_owned();
    let text = source.to_string();
    let code = source.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default();
    // Primary result codes: 8 READONLY, 14 CANTOPEN, 26 NOTADB, 11 CORRUPT (https://www.sqlite.org/rescode.html).
    let primary = code.parse::<u32>().unwrap_or(0) & 0xff;
    match primary {
        8 | 14 => OpenError::ReadOnly { path, why: text },
        26 => OpenError::Foreign { path, why: "it is no SQLite database".to_owned() },
        11 => OpenError::Damaged { path, why: text },
        _ => OpenError::Database { path, doing, source },
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is foreign and open")]
pub(super) fn migration_refusal(shown: &str, error: sqlx::migrate::MigrateError) -> OpenError {
    use sqlx::migrate::MigrateError;
    let path = shown.to_owned();
    match error {
        MigrateError::VersionMissing(version) => OpenError::Newer { path, why: format!("schema {version}") },
        MigrateError::VersionMismatch(version) => {
            OpenError::Foreign { path, why: format!("its schema {version} differs from ours") }
        }
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
            refusal(&path, "migrating", source)
        }
        other => {
            OpenError::Database { path, doing: "migrating", source: sqlx::Error::Migrate(Box::new(other)) }
        }
    }
}
