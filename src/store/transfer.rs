//! Moving a store from a file to a server: every row as it is, and the highest numbers ever given, in one transaction.
//!
//! Never: leaves half of it, changes a value, or writes into a store that holds anything.

use sqlx::postgres::PgDatabaseError;

use super::db::{Cell, Connection, Row, built, query, query_as, query_scalar};
use super::open::Store;
use super::writer::Tx;
use super::{Doing as _, StoreError};

/// Bytes that are sent at a time.
const BATCH_BYTES: usize = 1 << 20;
/// What begins and ends rows in the binary form (<https://www.postgresql.org/docs/15/sql-copy.html>).
const BEGIN: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const END: &[u8] = &(-1_i16).to_be_bytes();
/// Length that stands for a value that is missing.
const MISSING: [u8; 4] = (-1_i32).to_be_bytes();

/// A table that is moved.
#[derive(Debug, Clone, Copy)]
struct Table {
    name: &'static str,
    /// The column that the database numbers.
    number: Option<&'static str>,
    /// Its rows refer to earlier ones of the same table, so they come as they were written.
    in_order: bool,
}

const fn numbered(name: &'static str, number: &'static str) -> Table {
    Table { name, number: Some(number), in_order: false }
}

const fn named(name: &'static str) -> Table {
    Table { name, number: None, in_order: false }
}

/// Each one after those that it refers to. To add a table: a line here; a store with one that is missing is refused.
const TABLES: [Table; 34] = [
    numbered("owner", "epoch"),
    named("body"),
    Table { name: "delivery", number: None, in_order: true },
    named("incident"),
    named("incident_alert"),
    named("resolved_notice"),
    named("remediation"),
    named("remediation_alert"),
    numbered("attempt", "id"),
    numbered("alert", "id"),
    named("renewal_count"),
    numbered("hold", "id"),
    numbered("silence", "id"),
    named("settlement"),
    named("server"),
    named("lookup"),
    named("inventory_read"),
    named("idempotency"),
    numbered("audit", "seq"),
    named("store_identity"),
    numbered("quarantine", "id"),
    numbered("watch_gap", "id"),
    named("sighting"),
    numbered("storm", "id"),
    numbered("breaker_reset", "id"),
    named("policy_standing"),
    numbered("target_report", "id"),
    named("heartbeat"),
    named("activity_seen"),
    numbered("dump_collected", "id"),
    numbered("attestation", "id"),
    named("forgotten_attempt"),
    named("outbox_cursor"),
    numbered("outbox", "id"),
];
/// Tables that each kind of store fills by itself.
const OWN: [&str; 2] = ["legal_move", "_sqlx_migrations"];

/// How many rows of a table were moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MovedTable {
    /// The table.
    pub table: &'static str,
    /// Its rows.
    pub rows: i64,
}

impl Store {
    /// Whether a file has the schema of this version, and no other.
    pub async fn is_current(&self) -> Result<bool, StoreError> {
        let ours = sqlx::migrate!("migrations/sqlite");
        let there: Option<i64> =
            query_scalar("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'")
                .fetch_optional(&self.readers)
                .await
                .doing("looking for its schema")?;
        if there.is_none() {
            return Ok(false);
        }
        let found: Vec<(i64, Vec<u8>)> =
            query_as("SELECT version, checksum FROM _sqlx_migrations WHERE success = 1 ORDER BY version")
                .fetch_all(&self.readers)
                .await
                .doing("reading its schema")?;
        let wanted = ours.iter().map(|one| (one.version, one.checksum.to_vec()));
        Ok(found.into_iter().eq(wanted))
    }

    /// The first table of a store on a server that holds a row; of an older version, too.
    pub async fn first_table_in_use(&self) -> Result<Option<&'static str>, StoreError> {
        let mut connection = self.readers.acquire().await.doing("taking a reader")?;
        first_in_use(&mut connection).await
    }
}

impl Tx {
    /// Copies everything from a file into this store, which must be empty. `progress` hears the table and its rows so far.
    pub async fn copy_from(
        &mut self,
        file: &Store,
        progress: &(dyn Fn(&str, i64) + Send + Sync),
    ) -> Result<Vec<MovedTable>, StoreError> {
        let mut from = file.readers.snapshot().await.doing("beginning to read the file")?;
        let to = self.db().await?;
        if let Some(table) = first_in_use(to).await? {
            return Err(unmovable(format!("the other store is in use, its table {table} is not empty")));
        }
        check_tables(&mut from).await?;
        // A batch takes as long as the disks need. A process that stands still does not keep the store for ever.
        for sql in
            ["SET LOCAL statement_timeout = 0", "SET LOCAL idle_in_transaction_session_timeout = '5min'"]
        {
            query(sql).execute(&mut *to).await.doing("beginning to copy")?;
        }
        let mut moved = Vec::with_capacity(TABLES.len());
        for table in &TABLES {
            let rows = copy_table(table, &mut from, to, progress).await?;
            moved.push(MovedTable { table: table.name, rows });
        }
        go_on_above(&mut from, to).await?;
        from.rollback().await.doing("ending to read the file")?;
        Ok(moved)
    }

    /// Says that the store was last used on the server that it is on.
    pub async fn settle_here(&mut self) -> Result<(), StoreError> {
        query("UPDATE store_identity SET machine_id = this_server()")
            .execute(self.db().await?)
            .await
            .doing("saying which server the store is on")
            .map(|_| ())
    }
}

/// The first table that holds a row.
async fn first_in_use(db: &mut Connection) -> Result<Option<&'static str>, StoreError> {
    const DOING: &str = "looking whether the store is empty";
    let there: Vec<String> =
        query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'unhang'")
            .fetch_all(&mut *db)
            .await
            .doing(DOING)?;
    for table in TABLES.iter().map(|table| table.name).chain(["lease"]) {
        if there.iter().any(|name| name == table) {
            let row = built(format!("SELECT 1 FROM {table} LIMIT 1")).fetch_optional(&mut *db).await;
            if row.doing(DOING)?.is_some() {
                return Ok(Some(table));
            }
        }
    }
    Ok(None)
}

/// Refuses a file with a table that nobody would copy.
async fn check_tables(from: &mut Connection) -> Result<(), StoreError> {
    let found: Vec<String> = query_scalar(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
    )
    .fetch_all(from)
    .await
    .doing("reading which tables there are")?;
    let known = |name: &str| OWN.contains(&name) || TABLES.iter().any(|table| table.name == name);
    match found.iter().find(|name| !known(name)) {
        Some(name) => Err(unmovable(format!("its table {name} is not one of this version"))),
        None => Ok(()),
    }
}

/// Copies a table. What its triggers refuse or note was refused and noted when the rows were first written.
async fn copy_table(
    table: &Table,
    from: &mut Connection,
    to: &mut Connection,
    progress: &(dyn Fn(&str, i64) + Send + Sync),
) -> Result<i64, StoreError> {
    const READING: &str = "reading rows to move";
    let name = table.name;
    let columns = columns(name, from, to).await?;
    built(format!("ALTER TABLE {name} DISABLE TRIGGER USER"))
        .execute(&mut *to)
        .await
        .doing("beginning to copy")?;
    let list = columns.iter().map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", ");
    let order = if table.in_order { " ORDER BY rowid" } else { "" };
    let copy = format!("COPY {name} ({list}) FROM STDIN WITH (FORMAT binary)");
    let counted = count(name, from).await?;
    let mut rows = built(format!("SELECT {list} FROM {name}{order}")).fetch(from).doing(READING)?;
    let mut batch = BEGIN.to_vec();
    let mut moved = 0;
    while let Some(row) = rows.next().await {
        push_row(&mut batch, name, &columns, &row.doing(READING)?)?;
        if batch.len() >= BATCH_BYTES {
            moved += send(name, &copy, &mut batch, to).await?;
            progress(name, moved);
        }
    }
    drop(rows);
    moved += send(name, &copy, &mut batch, to).await?;
    progress(name, moved);
    let kept = count(name, to).await?;
    if (moved, kept) != (counted, counted) {
        return Err(unmovable(format!(
            "table {name} has {counted} rows, {moved} were sent and {kept} are there"
        )));
    }
    built(format!("ALTER TABLE {name} ENABLE TRIGGER USER")).execute(to).await.doing("ending to copy")?;
    Ok(moved)
}

async fn count(table: &str, db: &mut Connection) -> Result<i64, StoreError> {
    let row = built(format!("SELECT count(*) FROM {table}")).fetch_one(db).await;
    row.and_then(|row| row.get(0)).doing("counting rows")
}

/// A column, and whether it is one of those that name a row.
struct Column {
    name: String,
    is_key: bool,
}

/// The columns of a table, which are the same on both sides.
async fn columns(table: &str, from: &mut Connection, to: &mut Connection) -> Result<Vec<Column>, StoreError> {
    const DOING: &str = "reading which columns there are";
    let rows = query("SELECT name, pk FROM pragma_table_info(?) ORDER BY cid")
        .bind(table)
        .fetch_all(from)
        .await
        .doing(DOING)?;
    let column = |row: &Row| Ok(Column { name: row.get("name")?, is_key: row.get::<i64, _>("pk")? > 0 });
    let columns: Vec<Column> = rows.iter().map(column).collect::<Result<_, _>>().doing(DOING)?;
    let mut there: Vec<String> = query_scalar(
        "SELECT attname::text FROM pg_attribute \
         WHERE attrelid = to_regclass(?) AND attnum > 0 AND NOT attisdropped",
    )
    .bind(table)
    .fetch_all(to)
    .await
    .doing(DOING)?;
    let mut names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    names.sort_unstable();
    there.sort_unstable();
    if names == there {
        Ok(columns)
    } else {
        Err(unmovable(format!("table {table} has other columns there")))
    }
}

/// Adds a row in PostgreSQL's binary form: how many values, and before each its length.
fn push_row(batch: &mut Vec<u8>, table: &str, columns: &[Column], row: &Row) -> Result<(), StoreError> {
    let length = |bytes: usize| i32::try_from(bytes).map(i32::to_be_bytes);
    let fault = |place: usize, what: &str| {
        let column = columns.get(place).map_or("", |column| column.name.as_str());
        unmovable(format!("table {table}, row {}, column {column}: {what}", named_by(columns, row)))
    };
    let many = i16::try_from(columns.len()).map_err(|_error| fault(0, "there are too many columns"))?;
    batch.extend_from_slice(&many.to_be_bytes());
    for place in 0..columns.len() {
        let number;
        let bytes = match row.cell(place).map_err(|error| fault(place, &error.to_string()))? {
            Cell::Missing => {
                batch.extend_from_slice(&MISSING);
                continue;
            }
            Cell::Int(value) => {
                number = value.to_be_bytes();
                &number[..]
            }
            Cell::Text(text) if text.contains('\0') => {
                return Err(fault(place, "it holds the character U+0000, which PostgreSQL cannot hold"));
            }
            Cell::Text(text) => text.as_bytes(),
            Cell::Bytes(bytes) => bytes,
        };
        let length = length(bytes.len()).map_err(|_error| fault(place, "it is too long"))?;
        batch.extend_from_slice(&length);
        batch.extend_from_slice(bytes);
    }
    Ok(())
}

/// What names a row.
fn named_by(columns: &[Column], row: &Row) -> String {
    let keys = columns.iter().enumerate().filter(|(_, column)| column.is_key);
    let shown = keys.map(|(place, _)| match row.cell(place) {
        Ok(Cell::Int(value)) => value.to_string(),
        Ok(Cell::Text(text)) => text.escape_debug().to_string(),
        Ok(Cell::Bytes(_) | Cell::Missing) | Err(_) => "?".to_owned(),
    });
    shown.collect::<Vec<_>>().join("/")
}

/// Sends rows, and begins the next batch.
async fn send(table: &str, copy: &str, batch: &mut Vec<u8>, to: &mut Connection) -> Result<i64, StoreError> {
    batch.extend_from_slice(END);
    let sent = to.copy_in(copy, batch).await.map_err(|source| refused(table, source))?;
    batch.truncate(BEGIN.len());
    Ok(i64::try_from(sent).unwrap_or(i64::MAX))
}

/// What the server has against rows, with the table and the place among the rows that were sent together.
fn refused(table: &str, source: sqlx::Error) -> StoreError {
    let said = source.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    match said {
        Some(said) => {
            let place = said.r#where().map(|place| format!(" ({place})")).unwrap_or_default();
            unmovable(format!("table {table}: {}{place}", said.message()))
        }
        None => StoreError::Query { doing: "sending rows", source },
    }
}

/// The next numbers are above every one that was ever given, those of rows that are gone included.
async fn go_on_above(from: &mut Connection, to: &mut Connection) -> Result<(), StoreError> {
    const DOING: &str = "moving the numbers on";
    for table in &TABLES {
        let Some(number) = table.number else { continue };
        let given: Option<i64> = query_scalar("SELECT seq FROM high_water WHERE name = ?")
            .bind(table.name)
            .fetch_optional(&mut *from)
            .await
            .doing(DOING)?;
        let given = given.unwrap_or(0);
        built(format!(
            "SELECT setval(pg_get_serial_sequence('{}', '{number}'), greatest(1, ?1), ?1 > 0)",
            table.name
        ))
        .bind(given)
        .execute(&mut *to)
        .await
        .doing(DOING)?;
        query("UPDATE high_water SET seq = max(seq, ?) WHERE name = ?")
            .bind(given)
            .bind(table.name)
            .execute(&mut *to)
            .await
            .doing(DOING)?;
    }
    Ok(())
}

fn unmovable(why: String) -> StoreError {
    StoreError::Unmovable { why }
}
