//! A statement, its parameters, and who runs it.
//!
//! Never: puts a value into the text of a statement.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;

use futures_core::Stream;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe, Executor as _, Postgres, SqlSafeStr as _, Sqlite};

use super::row::{FromColumn, FromColumns, Row};
use super::{Connection, Pool, answered};

/// A parameter. A missing one keeps its type, for PostgreSQL asks.
#[derive(Debug)]
pub(in crate::store) enum Value<'q> {
    /// A number.
    Int(Option<i64>),
    /// A text.
    Text(Option<Cow<'q, str>>),
    /// Bytes.
    Bytes(Option<Cow<'q, [u8]>>),
    /// Yes or no.
    Bool(bool),
}

macro_rules! value {
    ($($from:ty => $into:expr;)*) => {
        $(impl<'q> From<$from> for Value<'q> {
            fn from(value: $from) -> Self {
                ($into)(value)
            }
        })*
    };
}

value! {
    bool => Value::Bool;
    i64 => |value| Value::Int(Some(value));
    Option<i64> => Value::Int;
    &'q str => |value| Value::Text(Some(Cow::Borrowed(value)));
    &'q String => |value: &'q String| Value::Text(Some(Cow::Borrowed(value.as_str())));
    String => |value| Value::Text(Some(Cow::Owned(value)));
    Option<&'q str> => |value: Option<&'q str>| Value::Text(value.map(Cow::Borrowed));
    Option<String> => |value: Option<String>| Value::Text(value.map(Cow::Owned));
    &'q Option<String> => |value: &'q Option<String>| Value::Text(value.as_deref().map(Cow::Borrowed));
    &'q [u8] => |value| Value::Bytes(Some(Cow::Borrowed(value)));
    Option<&'q [u8]> => |value: Option<&'q [u8]>| Value::Bytes(value.map(Cow::Borrowed));
    Option<Vec<u8>> => |value: Option<Vec<u8>>| Value::Bytes(value.map(Cow::Owned));
}

/// The text of a statement.
#[derive(Debug)]
pub(super) enum Text {
    /// Written in the source.
    Fixed(&'static str),
    /// Put together from what is written in the source.
    Built(String),
}

/// A statement with its parameters.
#[derive(Debug)]
pub(in crate::store) struct Query<'q> {
    text: Text,
    values: Vec<Value<'q>>,
}

/// A statement; its parameters are written `?`.
pub(in crate::store) fn query<'q>(text: &'static str) -> Query<'q> {
    Query::new(Text::Fixed(text), Vec::new())
}

/// A statement that was put together from texts of the source.
pub(in crate::store) fn built<'q>(text: String) -> Query<'q> {
    Query::new(Text::Built(text), Vec::new())
}

/// A statement whose first column is wanted.
pub(in crate::store) fn query_scalar<'q, T: FromColumn>(text: &'static str) -> Typed<'q, T> {
    Typed { query: query(text), read: |row| row.get(0) }
}

/// A statement whose columns are wanted in their order.
pub(in crate::store) fn query_as<'q, T: FromColumns>(text: &'static str) -> Typed<'q, T> {
    Typed { query: query(text), read: T::from_columns }
}

impl<'q> Query<'q> {
    pub(super) fn new(text: Text, values: Vec<Value<'q>>) -> Self {
        Self { text, values }
    }

    /// The next parameter.
    pub(in crate::store) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs it; how many rows it changed.
    pub(in crate::store) async fn execute<'c>(self, on: impl Into<On<'c>>) -> Result<u64, sqlx::Error> {
        match on.into().to(self)? {
            To::SqlitePool(pool, query) => pool.execute(query).await.map(|done| done.rows_affected()),
            To::Sqlite(one, query) => one.execute(query).await.map(|done| done.rows_affected()),
            To::PostgresPool(pool, query) => {
                answered(pool.execute(query)).await.map(|done| done.rows_affected())
            }
            To::Postgres(one, query, within) => {
                within.of(one.execute(query)).await.map(|done| done.rows_affected())
            }
        }
    }

    /// The first row, if there is one.
    pub(in crate::store) async fn fetch_optional<'c>(
        self,
        on: impl Into<On<'c>>,
    ) -> Result<Option<Row>, sqlx::Error> {
        Ok(match on.into().to(self)? {
            To::SqlitePool(pool, query) => pool.fetch_optional(query).await?.map(Row::Sqlite),
            To::Sqlite(one, query) => one.fetch_optional(query).await?.map(Row::Sqlite),
            To::PostgresPool(pool, query) => answered(pool.fetch_optional(query)).await?.map(Row::Postgres),
            To::Postgres(one, query, within) => {
                within.of(one.fetch_optional(query)).await?.map(Row::Postgres)
            }
        })
    }

    /// The first row.
    pub(in crate::store) async fn fetch_one<'c>(self, on: impl Into<On<'c>>) -> Result<Row, sqlx::Error> {
        self.fetch_optional(on).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// All rows.
    pub(in crate::store) async fn fetch_all<'c>(
        self,
        on: impl Into<On<'c>>,
    ) -> Result<Vec<Row>, sqlx::Error> {
        let sqlite = |rows: Vec<SqliteRow>| rows.into_iter().map(Row::Sqlite).collect();
        let postgres = |rows: Vec<PgRow>| rows.into_iter().map(Row::Postgres).collect();
        Ok(match on.into().to(self)? {
            To::SqlitePool(pool, query) => sqlite(pool.fetch_all(query).await?),
            To::Sqlite(one, query) => sqlite(one.fetch_all(query).await?),
            To::PostgresPool(pool, query) => postgres(answered(pool.fetch_all(query)).await?),
            To::Postgres(one, query, within) => postgres(within.of(one.fetch_all(query)).await?),
        })
    }

    /// One row after the other, none of them kept.
    pub(in crate::store) fn fetch<'c>(self, on: &'c mut Connection) -> Result<Rows<'c>, sqlx::Error>
    where
        'q: 'c,
    {
        Ok(match On::from(on).to(self)? {
            To::SqlitePool(pool, query) => Rows::Sqlite(pool.fetch(query)),
            To::Sqlite(one, query) => Rows::Sqlite(one.fetch(query)),
            To::PostgresPool(pool, query) => Rows::Postgres(pool.fetch(query), Within::Bounds),
            To::Postgres(one, query, within) => Rows::Postgres(one.fetch(query), within),
        })
    }
}

type Streamed<'c, R> = Pin<Box<dyn Stream<Item = Result<R, sqlx::Error>> + Send + 'c>>;

/// Rows as they come.
pub(in crate::store) enum Rows<'c> {
    /// From a file.
    Sqlite(Streamed<'c, SqliteRow>),
    /// From a server.
    Postgres(Streamed<'c, PgRow>, Within),
}

impl Rows<'_> {
    /// The next one; `None` after the last.
    pub(in crate::store) async fn next(&mut self) -> Option<Result<Row, sqlx::Error>> {
        match self {
            Self::Sqlite(rows) => {
                let next = std::future::poll_fn(|context| rows.as_mut().poll_next(context)).await;
                next.map(|row| row.map(Row::Sqlite))
            }
            Self::Postgres(rows, within) => {
                let next = std::future::poll_fn(|context| rows.as_mut().poll_next(context));
                let next = within.of(async { next.await.transpose() }).await;
                next.transpose().map(|row| row.map(Row::Postgres))
            }
        }
    }
}

/// A statement, and what is wanted of each of its rows.
#[derive(Debug)]
pub(in crate::store) struct Typed<'q, T> {
    query: Query<'q>,
    read: fn(&Row) -> Result<T, sqlx::Error>,
}

impl<'q, T> Typed<'q, T> {
    pub(in crate::store) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.query = self.query.bind(value);
        self
    }

    pub(in crate::store) async fn fetch_optional<'c>(
        self,
        on: impl Into<On<'c>>,
    ) -> Result<Option<T>, sqlx::Error> {
        self.query.fetch_optional(on).await?.as_ref().map(self.read).transpose()
    }

    pub(in crate::store) async fn fetch_one<'c>(self, on: impl Into<On<'c>>) -> Result<T, sqlx::Error> {
        (self.read)(&self.query.fetch_one(on).await?)
    }

    pub(in crate::store) async fn fetch_all<'c>(self, on: impl Into<On<'c>>) -> Result<Vec<T>, sqlx::Error> {
        self.query.fetch_all(on).await?.iter().map(self.read).collect()
    }
}

/// Who runs a statement: any connection of a pool, or this one.
#[derive(Debug)]
pub(in crate::store) enum On<'c> {
    /// Any.
    Any(&'c Pool),
    /// This one.
    This(&'c mut Connection),
}

impl<'c> From<&'c Pool> for On<'c> {
    fn from(pool: &'c Pool) -> Self {
        Self::Any(pool)
    }
}

impl<'c> From<&'c mut Connection> for On<'c> {
    fn from(connection: &'c mut Connection) -> Self {
        Self::This(connection)
    }
}

type Ready<'q, DB, A> = sqlx::query::Query<'q, DB, A>;

/// A statement in the words of the database that runs it.
enum To<'c, 'q> {
    SqlitePool(&'c sqlx::SqlitePool, Ready<'q, Sqlite, SqliteArguments>),
    Sqlite(&'c mut sqlx::SqliteConnection, Ready<'q, Sqlite, SqliteArguments>),
    PostgresPool(&'c sqlx::PgPool, Ready<'q, Postgres, PgArguments>),
    Postgres(&'c mut sqlx::PgConnection, Ready<'q, Postgres, PgArguments>, Within),
}

/// How long a server's answer is waited for.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) enum Within {
    /// As in [`answered`].
    Bounds,
    /// By whoever writes: some of it takes as long as it takes.
    Whatever,
}

impl Within {
    async fn of<T>(self, asking: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
        match self {
            Self::Bounds => answered(asking).await,
            Self::Whatever => asking.await,
        }
    }
}

impl<'c> On<'c> {
    fn to<'q>(self, query: Query<'q>) -> Result<To<'c, 'q>, sqlx::Error> {
        Ok(match self {
            Self::Any(Pool::Sqlite(pool)) => To::SqlitePool(pool, for_sqlite(query)?),
            Self::Any(Pool::Postgres(pool)) => To::PostgresPool(pool, for_postgres(query)?),
            Self::This(Connection::Sqlite(one)) => To::Sqlite(&mut *one, for_sqlite(query)?),
            Self::This(Connection::SqliteTx(one)) => To::Sqlite(&mut *one, for_sqlite(query)?),
            Self::This(Connection::Postgres(one)) => {
                To::Postgres(&mut *one, for_postgres(query)?, Within::Bounds)
            }
            Self::This(Connection::PostgresSnapshot(one)) => {
                To::Postgres(&mut *one, for_postgres(query)?, Within::Bounds)
            }
            Self::This(Connection::PostgresTx(one)) => {
                To::Postgres(&mut *one, for_postgres(query)?, Within::Whatever)
            }
        })
    }
}

fn for_sqlite<'q>(query: Query<'_>) -> Result<Ready<'q, Sqlite, SqliteArguments>, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    for value in query.values {
        match value {
            Value::Int(value) => arguments.add(value),
            Value::Text(value) => arguments.add(value.map(Cow::into_owned)),
            Value::Bytes(value) => arguments.add(value.map(Cow::into_owned)),
            Value::Bool(value) => arguments.add(value),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    let text = match query.text {
        Text::Fixed(text) => text.into_sql_str(),
        Text::Built(text) => AssertSqlSafe(text).into_sql_str(),
    };
    Ok(sqlx::query_with(text, arguments))
}

fn for_postgres<'q>(query: Query<'_>) -> Result<Ready<'q, Postgres, PgArguments>, sqlx::Error> {
    let mut arguments = PgArguments::default();
    for value in query.values {
        match value {
            Value::Int(value) => arguments.add(value),
            Value::Text(value) => arguments.add(value),
            Value::Bytes(value) => arguments.add(value),
            Value::Bool(value) => arguments.add(value),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    let text = match &query.text {
        Text::Fixed(text) => numbered(text),
        Text::Built(text) => numbered(text),
    };
    Ok(sqlx::query_with(AssertSqlSafe(text), arguments))
}

/// The same statement with the parameters that PostgreSQL knows: `?` becomes `$1`, `$2` and so on, and `?2` becomes `$2`.
fn numbered(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let (mut number, mut quoted) = (0_usize, false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        quoted ^= letter == '\'';
        if letter != '?' || quoted {
            out.push(letter);
            continue;
        }
        out.push('$');
        if !letters.peek().is_some_and(char::is_ascii_digit) {
            number += 1;
            out.push_str(&number.to_string());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_outside_of_quotes() {
        assert_eq!(numbered("a = ?2 OR b = ?1"), "a = $2 OR b = $1");
        assert_eq!(numbered("a = ? AND b = '?' AND c IN (?, ?)"), "a = $1 AND b = '?' AND c IN ($2, $3)");
    }
}
