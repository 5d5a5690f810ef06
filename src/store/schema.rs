//! The schema of a store against the one that the migrations make: tables, indexes, triggers, and the legal moves.
//!
//! Never: mends it. A guard that was taken out is told, and the person decides.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::migrate::Migrator;
use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::db::{Connection, query, query_as, query_scalar};
use super::rows::Columns as _;
use super::{Doing as _, StoreError};
use crate::domain::fold::Fold;

const DOING: &str = "comparing the schema";

/// Compares the schema, and notes each difference.
pub(super) async fn compare(fold: &mut Fold, db: &mut Connection) -> Result<(), StoreError> {
    let on_a_server = db.is_postgres();
    let ours =
        if on_a_server { sqlx::migrate!("migrations/postgres") } else { sqlx::migrate!("migrations/sqlite") };
    let done: Vec<(i64, Vec<u8>)> =
        query_as("SELECT version, checksum FROM _sqlx_migrations ORDER BY version")
            .fetch_all(&mut *db)
            .await
            .doing(DOING)?;
    let newest = done.last().map_or(0, |(version, _)| *version);
    let wanted: Vec<(i64, Vec<u8>)> = ours
        .iter()
        .filter(|one| one.version <= newest)
        .map(|one| (one.version, one.checksum.to_vec()))
        .collect();
    if done != wanted {
        fold.differs("the migrations that the store says were made are not those of this version".to_owned());
    }
    // A store of an older version is compared with what that version made.
    let made = Made::up_to(if on_a_server { i64::MAX } else { newest }).await.doing(DOING)?;
    let moves: Vec<(String, String)> =
        query_as("SELECT from_state, to_state FROM legal_move").fetch_all(&mut *db).await.doing(DOING)?;
    let moves: BTreeSet<_> = moves.into_iter().collect();
    for (from, to) in moves.symmetric_difference(&made.moves) {
        let is = if made.moves.contains(&(from.clone(), to.clone())) { "is missing" } else { "was added" };
        fold.differs(format!("the legal move from {from} to {to} {is}"));
    }
    if on_a_server {
        compare_names(fold, db, &ours, newest).await
    } else {
        compare_texts(fold, db, &made.texts).await
    }
}

/// What the migrations make in a file.
struct Made {
    /// By kind and name, with single spaces.
    texts: BTreeMap<(String, String), String>,
    moves: BTreeSet<(String, String)>,
}

impl Made {
    async fn up_to(version: i64) -> Result<Self, sqlx::Error> {
        let mut made = SqliteConnection::connect("sqlite::memory:").await?;
        let ours = sqlx::migrate!("migrations/sqlite");
        let upto: Vec<_> = ours.iter().filter(|one| one.version <= version).cloned().collect();
        Migrator::with_migrations(upto).run(&mut made).await?;
        let texts = sqlx::query(TEXTS).fetch_all(&mut made).await?;
        let texts = texts.iter().map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), plain(row.try_get(2)?))));
        let texts = texts.collect::<Result<_, sqlx::Error>>()?;
        let moves =
            sqlx::query_as("SELECT from_state, to_state FROM legal_move").fetch_all(&mut made).await?;
        Ok(Self { texts, moves: moves.into_iter().collect() })
    }
}

const TEXTS: &str = "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite@_%' ESCAPE '@'";

fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

async fn compare_texts(
    fold: &mut Fold,
    db: &mut Connection,
    made: &BTreeMap<(String, String), String>,
) -> Result<(), StoreError> {
    let mut left = made.clone();
    for row in query(TEXTS).fetch_all(&mut *db).await.doing(DOING)? {
        let (kind, name, text) = (row.text("type")?, row.text("name")?, plain(&row.text("sql")?));
        match left.remove(&(kind.clone(), name.clone())) {
            Some(wanted) if wanted == text => {}
            Some(_) => fold.differs(format!("the {kind} {name} is not as the migrations make it")),
            None => fold.differs(format!("the {kind} {name} was made by no migration")),
        }
    }
    for (kind, name) in left.into_keys() {
        fold.differs(format!("the {kind} {name} is missing"));
    }
    Ok(())
}

/// A server keeps its own words for what was made, so indexes and triggers are known by their names, and functions by
/// their bodies, which stand in the migrations.
async fn compare_names(
    fold: &mut Fold,
    db: &mut Connection,
    ours: &Migrator,
    newest: i64,
) -> Result<(), StoreError> {
    let text: String = ours
        .iter()
        .filter(|one| one.version <= newest)
        .map(|one| one.sql.as_str())
        .collect::<Vec<_>>()
        .join("\n");
    let indexes: Vec<String> =
        query_scalar("SELECT indexname::text FROM pg_indexes WHERE schemaname = current_schema()")
            .fetch_all(&mut *db)
            .await
            .doing(DOING)?;
    let triggers: Vec<String> = query_scalar(
        "SELECT t.tgname::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = current_schema() AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')",
    )
    .fetch_all(&mut *db)
    .await
    .doing(DOING)?;
    let functions: Vec<(String, String)> = query_as(
        "SELECT p.proname::text, p.prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
         WHERE n.nspname = current_schema()",
    )
    .fetch_all(&mut *db)
    .await
    .doing(DOING)?;
    let kinds = [
        ("index", ["CREATE INDEX ", "CREATE UNIQUE INDEX "], "DROP INDEX ", &indexes),
        ("trigger", ["CREATE TRIGGER ", "CREATE CONSTRAINT TRIGGER "], "DROP TRIGGER ", &triggers),
    ];
    for (kind, begins, ends, there) in kinds {
        let dropped: BTreeSet<&str> = named(&text, ends).collect();
        for name in begins.into_iter().flat_map(|begin| named(&text, begin)) {
            if !dropped.contains(name) && there.iter().all(|one| one != name) {
                fold.differs(format!("the {kind} {name} is missing or switched off"));
            }
        }
    }
    let made: Vec<&str> = ["CREATE FUNCTION ", "CREATE OR REPLACE FUNCTION "]
        .into_iter()
        .flat_map(|begin| named(&text, begin))
        .collect();
    for name in &made {
        if functions.iter().all(|(there, _)| there != name) {
            fold.differs(format!("the function {name} is missing"));
        }
    }
    for (name, body) in functions.iter().filter(|(name, _)| made.contains(&name.as_str())) {
        if !text.contains(body.as_str()) {
            fold.differs(format!("the function {name} is not as the migrations make it"));
        }
    }
    Ok(())
}

/// The names behind such words at the begin of a line.
fn named<'t>(text: &'t str, begin: &'static str) -> impl Iterator<Item = &'t str> {
    text.lines().filter_map(move |line| {
        line.trim_start().strip_prefix(begin)?.split(|c: char| !c.is_alphanumeric() && c != '_').next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_where_something_is_made() {
        let text = "CREATE INDEX one ON a (b);\n-- CREATE INDEX two\n  CREATE INDEX three_3\n ON a;\nDROP INDEX one;\n";
        assert_eq!(named(text, "CREATE INDEX ").collect::<Vec<_>>(), ["one", "three_3"]);
        assert_eq!(named(text, "DROP INDEX ").collect::<Vec<_>>(), ["one"]);
    }

    #[tokio::test]
    async fn the_legal_moves_of_the_schema_are_those_of_the_code() {
        let made = Made::up_to(i64::MAX).await.unwrap();
        assert!(made.moves.contains(&("queued".to_owned(), "intent".to_owned())));
        assert!(!made.moves.contains(&("unknown".to_owned(), "queued".to_owned())));
        assert!(made.texts.contains_key(&("trigger".to_owned(), "remediation_moves_legally".to_owned())));
    }
}
