//! `migrate`: a store of this version's schema, and a store that moves from a file to a server.
//!
//! Never: moves a store that does not agree with its attempt journal, or into one that holds anything.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::failure::Failure;
use super::out::Out;
use super::place::{StoreArgs, store_place};
use super::store::{walk, with_writer};
use super::table::Table;
use crate::clock::Clock;
use crate::config::{Config, Place, Server, audit_key_from, read_key_file};
use crate::domain::audit::{Actor, AuditEvent};
use crate::domain::audit_key::{AuditKey, KeyRing};
use crate::journal::{Identity, Journal};
use crate::quarantine::{At, compare, wanted};
use crate::store::{DataLock, History, MovedTable, OpenError, Store, StoreError};
use crate::telemetry::chain;

/// Bring the store to this version's schema, making it where there is none; or move it to PostgreSQL
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang migrate --config unhang.toml
  unhang migrate --store data/unhang.db
  unhang migrate --from data/unhang.db --config new.toml
  unhang migrate --from sqlite://data/unhang.db --to postgres://unhang@127.0.0.1/unhang --to-password-file secrets/pg

The service must not run; it migrates by itself when it starts. With --from the store is moved whole, in one
transaction: what was interrupted has left nothing, and is begun again. The configuration is asked for the key of the
audit, and for store.url where --to is left out.

The attempt journal must agree with the store, and goes along: it is marked as that of the new place. Move it, and the
heads of the audit, into the store.folder of one replica before that is started. Never start a service on the old file
again: it would not know what is sent from then on.

Exit codes: 0 done, 1 the store cannot be moved as it is, 2 bad usage, 3 a store cannot be reached.")]
pub(super) struct MigrateArgs {
    /// Move this store, a file, as a path or `sqlite://PATH`
    #[arg(long, value_name = "PATH|URL", value_parser = store_place, conflicts_with = "store")]
    from: Option<Place>,
    /// Where it is moved to, `postgres://…` without a password; else `store.url` of the configuration
    #[arg(long, value_name = "URL", value_parser = store_place, requires = "from")]
    to: Option<Place>,
    /// File with the password of the server
    #[arg(long, value_name = "FILE", requires = "to")]
    to_password_file: Option<PathBuf>,
    /// The attempt journal of the store that is moved; else JOURNAL beside it
    #[arg(long, value_name = "PATH", requires = "from")]
    journal: Option<PathBuf>,
    /// File with the key of the audit; else `audit.key_file` of the configuration
    #[arg(long, value_name = "FILE", requires = "from")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    store: StoreArgs,
}

/// Brings a store up to date, or moves one.
pub(super) async fn migrate(args: MigrateArgs, out: &mut Out) -> Result<(), Failure> {
    match &args.from {
        None => bring_up_to_date(&args.store, out).await,
        Some(Place::Server(_)) => Err(Failure::usage(
            "a store on PostgreSQL is moved by the means of its server: pg_dump, or a standby that is promoted",
        )),
        Some(Place::File(path)) => move_store(path, &args, out).await,
    }
}

/// Opens the store to write, which migrates it.
async fn bring_up_to_date(store: &StoreArgs, out: &mut Out) -> Result<(), Failure> {
    let place = store.place()?;
    if let Some(path) = place.file() {
        Store::make_folder(path)?;
    }
    let lock = DataLock::of(&place).map_err(|error| Failure::unreachable(chain(&error)))?;
    with_writer(&place, None, async |_store| Ok(())).await?;
    drop(lock);
    out.line(format_args!("{place} is ready"))?;
    Ok(())
}

async fn move_store(path: &Path, args: &MigrateArgs, out: &mut Out) -> Result<(), Failure> {
    let config = args.store.config_if_named()?;
    let to = target(args, config.as_ref())?;
    let (key, ring) = keys(args, config)?;
    if !path.exists() {
        return Err(OpenError::Missing { path: path.display().to_string() }.into());
    }
    let lock = DataLock::take(path).map_err(|error| Failure::unreachable(chain(&error)))?;
    let from = source(path).await?;
    refuse_what_is_in_use(&to, &from).await?;
    let (journal, history) = with_its_journal(&from, path, args.journal.as_deref()).await?;
    let moved = carry(&from, &to, key).await?;
    let mark = history
        .identity
        .clone()
        .map(|before| Identity { store_id: before.store_id, machine_id: Some(moved.server.clone()) });
    if let (Some(journal), Some(identity)) = (&journal, mark) {
        journal.begin(identity, history.high_water, moved.at).map_err(|error| {
            let text = "the store has been moved, but its journal could not be marked, so that the first start there \
                        will want a person (unhang audit reconcile)";
            Failure::unreachable(format!("{text}: {}", chain(&error)))
        })?;
    }
    tell(&moved.tables, out)?;
    let folder = "the folder of one replica (store.folder) before that is started";
    if let Some(journal) = &journal {
        out.line(format_args!(
            "move {} into {folder}; so with the heads of the audit",
            journal.path().display()
        ))?;
    }
    out.line(format_args!("never start a service on {} again", path.display()))?;
    let verified = verify(&to, &ring, path, out).await;
    drop(lock);
    verified
}

/// Where it is moved to.
fn target(args: &MigrateArgs, config: Option<&Config>) -> Result<Place, Failure> {
    let Some(named) = &args.to else {
        return match config.map(|config| &config.store.place) {
            Some(place @ Place::Server(_)) => Ok(place.clone()),
            Some(Place::File(_)) | None => Err(Failure::usage(
                "name the server with --to postgres://…, or a configuration whose store.url is one",
            )),
        };
    };
    let server = match named {
        Place::Server(server) => server.clone(),
        Place::File(_) => {
            return Err(Failure::usage("--to must be a server, postgres://…; copy a file with backup"));
        }
    };
    if server.has_password() {
        return Err(Failure::usage(
            "--to holds a password; put it into a file and name it with --to-password-file",
        ));
    }
    if !server.is_safe() {
        return Err(Failure::usage(format!("--to: {}", Server::NOT_SAFE)));
    }
    let Some(file) = &args.to_password_file else { return Ok(Place::Server(server)) };
    let password = read_key_file(file)
        .map_err(|why| Failure::usage(format!("cannot use the password file {}: {why}", file.display())))?;
    Ok(Place::Server(server.with_password(password)))
}

/// The key for new rows of the audit, and all keys to verify it with.
fn keys(args: &MigrateArgs, config: Option<Config>) -> Result<(Option<AuditKey>, KeyRing), Failure> {
    let read = |path: &PathBuf| {
        audit_key_from(path)
            .map_err(|why| Failure::usage(format!("cannot use the key {}: {why}", path.display())))
    };
    let named = args.key_file.as_ref().map(read).transpose()?;
    let audit = config.map(|config| config.audit);
    let key = named.or_else(|| audit.as_ref().and_then(|audit| audit.key.clone()));
    let old = audit.into_iter().flat_map(|audit| audit.old_keys.into_iter().chain(audit.key));
    Ok((key.clone(), KeyRing::new(key, old)))
}

/// The store that is moved, of this version.
async fn source(path: &Path) -> Result<Store, Failure> {
    let from = Store::open_read_only(path).await?;
    if from.is_current().await? {
        return Ok(from);
    }
    let path = path.display();
    Err(Failure::usage(format!(
        "{path} does not have the schema of this version; bring it there first: unhang migrate --store {path}"
    )))
}

/// The journal of the store, where there is one, and the history of the store, which must agree: a move must not make
/// one forget what the other knew.
async fn with_its_journal(
    from: &Store,
    store: &Path,
    named: Option<&Path>,
) -> Result<(Option<Journal>, History), Failure> {
    let beside = store.parent().unwrap_or(Path::new("")).join("JOURNAL");
    let path = named.unwrap_or(&beside);
    let journal = path.exists().then(|| Journal::open(path));
    if let Some(trouble) = journal.as_ref().and_then(Journal::trouble) {
        return Err(Failure::unreachable(trouble));
    }
    let known = journal.as_ref().map(Journal::known).unwrap_or_default();
    let (from_attempt, audit_seq) = wanted(&known);
    let history = from.history(from_attempt, audit_seq).await?;
    let findings = compare(&known, &history, &At::of(from).await?).findings;
    if findings.is_empty() {
        return Ok((journal, history));
    }
    Err(Failure::not_so(format!(
        "the store and its attempt journal {} do not agree: {}; name the journal with --journal, or start the service \
         where the store is and let a person look (unhang audit reconcile), then move it",
        path.display(),
        findings.join("; ")
    )))
}

/// Refuses before anything is made there.
async fn refuse_what_is_in_use(to: &Place, from: &Store) -> Result<(), Failure> {
    let there = match Store::open_read_only_at(to).await {
        Ok(there) => there,
        Err(OpenError::Missing { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let Some(table) = there.first_table_in_use().await? else { return Ok(()) };
    let theirs = there.history(i64::MAX, 0).await?.identity.map(|identity| identity.store_id);
    let ours = from.history(i64::MAX, 0).await?.identity.map(|identity| identity.store_id);
    if theirs.is_some() && theirs == ours {
        return Err(Failure::usage(format!(
            "this store was moved to {to} before; it is there, and nothing was done"
        )));
    }
    Err(Failure::usage(format!(
        "{to} is in use: its table {table} is not empty; name a database without a store, nothing was done"
    )))
}

/// What was moved, and where to.
struct Moved {
    tables: Vec<MovedTable>,
    server: String,
    at: Timestamp,
}

/// Moves it, with a word in the audit.
async fn carry(from: &Store, to: &Place, key: Option<AuditKey>) -> Result<Moved, Failure> {
    with_writer(to, key, async |store| {
        let server = store.server().await?.unwrap_or_default();
        let now = Clock::starting_at(from.latest_time().await?.unwrap_or(Timestamp::UNIX_EPOCH)).now();
        let progress = Arc::new(Mutex::new(Out::stderr()));
        let job = Arc::new((from.clone(), server.clone(), Arc::clone(&progress)));
        let done = store
            .write_long(move |tx| {
                let job = Arc::clone(&job);
                Box::pin(async move {
                    let (from, server, progress) = job.as_ref();
                    let show = |table: &str, rows: i64| {
                        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
                        // Nobody watches any more.
                        drop(progress.progress(format_args!("{table}: {rows} rows")));
                    };
                    let tables = tx.copy_from(from, &show).await?;
                    let before = from.history(i64::MAX, 0).await?.identity;
                    tx.settle_here().await?;
                    let detail = json!({
                        "storeId": before.as_ref().map(|before| &before.store_id),
                        "machineIdBefore": before.as_ref().map(|before| &before.machine_id),
                        "machineId": server,
                        "rows": tables.iter().map(|table| table.rows).sum::<i64>(),
                    });
                    let event =
                        AuditEvent::new(now, "store_moved", Actor::service("migrate")).with_detail(&detail);
                    tx.append(&event).await?;
                    Ok(tables)
                })
            })
            .await;
        progress.lock().unwrap_or_else(PoisonError::into_inner).end_progress()?;
        match done {
            Ok(tables) => Ok(Moved { tables, server, at: now }),
            Err(error @ StoreError::Unmovable { .. }) => {
                Err(Failure::not_so(format!("{}; nothing was written", chain(&error))))
            }
            Err(error) => Err(error.into()),
        }
    })
    .await
}

fn tell(tables: &[MovedTable], out: &mut Out) -> Result<(), Failure> {
    let mut table = Table::new(&["table", "rows"]);
    for moved in tables {
        table.row([moved.table.to_owned(), moved.rows.to_string()]);
    }
    Ok(table.print(out, true)?)
}

/// Walks the audit of the store where it is now.
async fn verify(to: &Place, ring: &KeyRing, from: &Path, out: &mut Out) -> Result<(), Failure> {
    let store = Store::open_read_only_at(to).await?;
    let report = walk(&store, ring).await?;
    if let Some(fault) = report.fault {
        return Err(Failure::not_so(format!(
            "the store has been moved to {to}, and its audit does not verify: row {}: {}; compare with unhang audit verify \
             --store {}",
            fault.seq,
            fault.what,
            from.display()
        )));
    }
    out.line(format_args!("{to}: {} audit rows verified, last hash {}", report.rows, report.last_hash))?;
    Ok(())
}
