//! A row of either database.
//!
//! Never: invents a value for one that cannot be read.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Column as _, ColumnIndex, Row as _, TypeInfo as _, ValueRef as _};

/// A row.
pub(in crate::store) enum Row {
    /// Of a file.
    Sqlite(SqliteRow),
    /// Of a server.
    Postgres(PgRow),
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl Row {
    /// The value of a column, by its name or place.
    pub(in crate::store) fn get<T, I>(&self, column: I) -> Result<T, sqlx::Error>
    where
        T: FromColumn,
        I: ColumnIndex<SqliteRow> + ColumnIndex<PgRow>,
    {
        match self {
            Self::Sqlite(row) => T::of_sqlite(row, column.index(row)?),
            Self::Postgres(row) => T::of_postgres(row, column.index(row)?),
        }
    }

    /// The bytes of a column, where they lie.
    pub(in crate::store) fn bytes(&self, column: &'static str) -> Result<Option<&[u8]>, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    /// The value of a column as it lies there, whatever it is.
    pub(in crate::store) fn cell(&self, place: usize) -> Result<Cell<'_>, sqlx::Error> {
        match self {
            Self::Sqlite(row) => {
                let value = row.try_get_raw(place)?;
                match value.type_info().name() {
                    _ if value.is_null() => Ok(Cell::Missing),
                    "TEXT" => row.try_get(place).map(Cell::Text),
                    "BLOB" => row.try_get(place).map(Cell::Bytes),
                    _ => self.get(place).map(Cell::Int),
                }
            }
            Self::Postgres(row) => {
                let value = row.try_get_raw(place)?;
                match value.type_info().name() {
                    _ if value.is_null() => Ok(Cell::Missing),
                    "TEXT" => row.try_get(place).map(Cell::Text),
                    "BYTEA" => row.try_get(place).map(Cell::Bytes),
                    _ => self.get(place).map(Cell::Int),
                }
            }
        }
    }

    /// Names of the columns, in their order.
    pub(in crate::store) fn names(&self) -> Vec<&str> {
        match self {
            Self::Sqlite(row) => row.columns().iter().map(sqlx::Column::name).collect(),
            Self::Postgres(row) => row.columns().iter().map(sqlx::Column::name).collect(),
        }
    }
}

/// A value as it lies in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Cell<'r> {
    /// None.
    Missing,
    /// A number.
    Int(i64),
    /// A text.
    Text(&'r str),
    /// Bytes.
    Bytes(&'r [u8]),
}

/// A value that a column can have.
pub(in crate::store) trait FromColumn: Sized {
    fn of_sqlite(row: &SqliteRow, index: usize) -> Result<Self, sqlx::Error>;
    fn of_postgres(row: &PgRow, index: usize) -> Result<Self, sqlx::Error>;
}

macro_rules! plain {
    ($($of:ty),*) => {
        $(impl FromColumn for $of {
            fn of_sqlite(row: &SqliteRow, index: usize) -> Result<Self, sqlx::Error> {
                row.try_get(index)
            }

            fn of_postgres(row: &PgRow, index: usize) -> Result<Self, sqlx::Error> {
                row.try_get(index)
            }
        })*
    };
}

plain!(String, Vec<u8>);

impl FromColumn for i64 {
    fn of_sqlite(row: &SqliteRow, index: usize) -> Result<Self, sqlx::Error> {
        row.try_get(index)
    }

    /// SQLite has one kind of number, and it is what a comparison gives, too.
    fn of_postgres(row: &PgRow, index: usize) -> Result<Self, sqlx::Error> {
        match row.column(index).type_info().name() {
            "BOOL" => row.try_get::<bool, _>(index).map(Self::from),
            "INT4" => row.try_get::<i32, _>(index).map(Self::from),
            _ => row.try_get(index),
        }
    }
}

impl<T: FromColumn> FromColumn for Option<T> {
    fn of_sqlite(row: &SqliteRow, index: usize) -> Result<Self, sqlx::Error> {
        if row.try_get_raw(index)?.is_null() { Ok(None) } else { T::of_sqlite(row, index).map(Some) }
    }

    fn of_postgres(row: &PgRow, index: usize) -> Result<Self, sqlx::Error> {
        if row.try_get_raw(index)?.is_null() { Ok(None) } else { T::of_postgres(row, index).map(Some) }
    }
}

/// Values of the first columns, in their order.
pub(in crate::store) trait FromColumns: Sized {
    fn from_columns(row: &Row) -> Result<Self, sqlx::Error>;
}

impl<A: FromColumn, B: FromColumn> FromColumns for (A, B) {
    fn from_columns(row: &Row) -> Result<Self, sqlx::Error> {
        Ok((row.get(0)?, row.get(1)?))
    }
}

impl<A: FromColumn, B: FromColumn, C: FromColumn> FromColumns for (A, B, C) {
    fn from_columns(row: &Row) -> Result<Self, sqlx::Error> {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    }
}
