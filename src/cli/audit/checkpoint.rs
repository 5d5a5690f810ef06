//! `audit checkpoint`: old rows go to a file that is verified, an event tells of it, and only then may they be pruned.
//!
//! Never: removes a row that was not read back from the export, or works beside a running service.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::keys::KeyArgs;
use super::verify::{Witness, walk_export};
use crate::cli::failure::Failure;
use crate::cli::out::Out;
use crate::cli::place::StoreArgs;
use crate::cli::store::with_writer;
use crate::cli::when;
use crate::clock::Clock;
use crate::config::Place;
use crate::domain::audit::{Actor, AuditEvent};
use crate::domain::audit_key::AuditKey;
use crate::domain::chain::{CHECKPOINT, Checkpoint, Inspection};
use crate::durable::Half;
use crate::export;
use crate::files;
use crate::journal::Journal;
use crate::store::{DataLock, Store, inspect};
use crate::telemetry::chain;

/// Rows written at a time.
const PAGE: i64 = 1000;
/// Rows removed by one statement: a server ends each that takes longer than 30 s.
const SLICE: i64 = 20_000;

/// Export old rows of the audit, and prune them if asked to
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang audit checkpoint --before 2026-12-01T00:00:00Z --export /archive/unhang-2026-11.ndjson
  unhang audit checkpoint --before 2160h --export /archive/unhang-old.ndjson --prune

The service must not run. The whole audit is verified first, the export after it is written; an event keeps its range
and its SHA-256. The newest row, and the rows from the one on that the attempt journal names, are never removed. Keep the files in order: unhang audit verify --export FILE --export FILE --deep reads them.")]
pub(in crate::cli) struct CheckpointArgs {
    /// Rows older than this: a time, or an age such as 2160h
    #[arg(long, value_name = "TIME", value_parser = when::instant_or_age)]
    before: Timestamp,
    /// File to write; must not exist yet
    #[arg(long, value_name = "FILE")]
    export: PathBuf,
    /// Keep the rows in the store (the default)
    #[arg(long, conflicts_with = "prune")]
    keep: bool,
    /// Remove the rows from the store once the export is verified
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// Makes one.
pub(super) async fn run(args: CheckpointArgs, out: &mut Out) -> Result<(), Failure> {
    let place = args.store.place()?;
    if std::fs::symlink_metadata(&args.export).is_ok() {
        return Err(Failure::usage(format!("{} is there already; name a new file", args.export.display())));
    }
    drop(args.store.open_read_only().await?);
    let lock = DataLock::of(&place)
        .map_err(|error| Failure::unreachable(format!("stop the service first: {}", chain(&error))))?;
    if place.is_shared()
        && let Some(lease) = args.store.open_read_only().await?.lease().await?.filter(|lease| lease.is_live)
    {
        let holder = lease.replica.name;
        return Err(Failure::unreachable(format!("stop all replicas first: {holder} dispatches")));
    }
    let key = args.keys.place(&args.store)?.key;
    let witness = Witness::read(&args.keys, &args.store, None, false)?;
    let store = args.store.open_read_only().await?;
    let whole = Box::pin(inspect(&store, witness.inspection(false), |_rows| {})).await?;
    if let Some(fault) = whole.fault {
        let (seq, what) = (fault.seq, fault.what);
        return Err(Failure::not_so(format!(
            "nothing was done: the audit does not verify: row {seq}: {what}"
        )));
    }
    if let Some(what) = witness.fault() {
        return Err(Failure::not_so(format!("nothing was done: {what}")));
    }
    let old = store.audit_last_before(args.before).await?;
    let stays = if args.prune { first_to_stay(&store, &args.store).await? } else { None };
    let last = old.map(|last| stays.map_or(last, |stays| last.min(stays - 1)));
    let Some(last_seq) = last.filter(|last| *last >= whole.first_seq) else {
        let stays = stays.filter(|stays| old >= Some(*stays));
        let why = stays.map_or_else(String::new, |stays| {
            format!(" and may go: rows from {stays} on stay, the attempt journal is compared with them")
        });
        return Err(Failure::not_so(format!("no row is older than {}{why}", args.before)));
    };
    let half = write_export(&store, last_seq, &args.export).await?;
    let mut checkpoint = read_back(&store, &witness, half.path(), last_seq).await?;
    checkpoint.export_name = args.export.file_name().map(|name| name.to_string_lossy().into_owned());
    half.create()
        .map_err(|error| Failure::unreachable(format!("cannot write {}: {error}", args.export.display())))?;
    drop(store);
    checkpoint.before = args.before;
    checkpoint.pruned = args.prune;
    let (row, removed) = record(&place, key, &checkpoint).await?;
    drop(lock);
    out.line(format_args!(
        "{}: rows {} to {}, sha256 {}",
        args.export.display(),
        checkpoint.first_seq,
        checkpoint.last_seq,
        checkpoint.export_sha256
    ))?;
    out.line(format_args!("row {row} tells of it; {removed} rows were removed from the store"))?;
    if let Some(stays) = stays.filter(|stays| old >= Some(*stays)) {
        out.line(format_args!(
            "note: rows from {stays} on stay: the newest does, and the attempt journal is compared with them"
        ))?;
    }
    Ok(())
}

/// The first row that is never pruned: the one that the attempt journal names, as the next start looks for it there and
/// calls a store without it one that forgot; and always the newest.
async fn first_to_stay(store: &Store, args: &StoreArgs) -> Result<Option<i64>, Failure> {
    let journal = Journal::read(&args.journal()?).map_err(|error| Failure::unreachable(chain(&error)))?;
    let named = journal.and_then(|known| known.head).map(|head| head.seq);
    let newest = store.audit_end().await?.map(|(seq, _hash)| seq);
    Ok(named.into_iter().chain(newest).min())
}

async fn write_export(store: &Store, last_seq: i64, path: &Path) -> Result<Half, Failure> {
    let trouble =
        |error: std::io::Error| Failure::unreachable(format!("cannot write {}: {error}", path.display()));
    let mut half = Half::of(path).map_err(trouble)?;
    let mut after = 0;
    loop {
        let page = store.audit_between(after, last_seq, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        let text = export::ndjson(&page).map_err(|error| Failure::not_so(chain(&error)))?;
        half.file().write_all(&text).map_err(trouble)?;
    }
    half.file().sync_all().map_err(trouble)?;
    Ok(half)
}

/// Reads the file as it is on the disk now: every row, its place in the chain, and its end beside the store's.
async fn read_back(
    store: &Store,
    witness: &Witness,
    path: &Path,
    last_seq: i64,
) -> Result<Checkpoint, Failure> {
    let mut inspection = Inspection::new(witness.ring.clone(), &[], false);
    walk_export(&mut inspection, path)?;
    let trouble =
        |error: std::io::Error| Failure::unreachable(format!("cannot read {}: {error}", path.display()));
    let sha256 = sha256_of(path).map_err(trouble)?;
    let ends = store.audit_between(last_seq - 1, last_seq, 1).await?;
    let begins = store.audit_between(0, last_seq, 1).await?;
    let (Some(begin), Some(end)) = (begins.into_iter().next(), ends.into_iter().next()) else {
        return Err(Failure::not_so("the rows went away while they were exported"));
    };
    if inspection.last() != (end.seq, end.hash.as_str()) {
        return Err(Failure::not_so(format!("{} does not end where the store does", path.display())));
    }
    Ok(Checkpoint {
        first_seq: begin.seq,
        last_seq,
        first_hash: begin.hash,
        last_hash: end.hash,
        keyed: end.key_id.is_some(),
        export_sha256: sha256,
        export_name: None,
        before: Timestamp::UNIX_EPOCH,
        pruned: false,
    })
}

fn sha256_of(path: &Path) -> std::io::Result<String> {
    let mut file = BufReader::new(files::open(path)?);
    let mut hasher = Sha256::new();
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(bytes);
        let read = bytes.len();
        file.consume(read);
    }
}

/// Where each statement ends that removes rows.
fn slices(first: i64, last: i64) -> impl Iterator<Item = i64> {
    let ends = std::iter::successors(Some(first.saturating_add(SLICE - 1)), |end| end.checked_add(SLICE));
    ends.take_while(move |end| *end < last).chain([last])
}

/// The event, and with `pruned` the removal of the rows, in one transaction, however long that takes.
async fn record(
    place: &Place,
    key: Option<AuditKey>,
    checkpoint: &Checkpoint,
) -> Result<(i64, u64), Failure> {
    with_writer(place, key, async |store| {
        let floor = store.latest_time().await?.unwrap_or(Timestamp::UNIX_EPOCH);
        let now = Clock::starting_at(floor).now();
        let job = checkpoint.clone();
        let done = store
            .write_long(move |tx| {
                let job = job.clone();
                Box::pin(async move {
                    let event =
                        AuditEvent::new(now, CHECKPOINT, Actor::service("checkpoint")).with_detail(&job);
                    let row = tx.append(&event).await?;
                    let mut removed = 0;
                    let last = job.pruned.then_some(job.last_seq);
                    for end in last.into_iter().flat_map(|last| slices(job.first_seq, last)) {
                        removed += tx.prune_audit(end).await?;
                    }
                    Ok((row, removed))
                })
            })
            .await;
        Ok(done?)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_end_where_the_checkpoint_does() {
        let of = |first, last| slices(first, last).collect::<Vec<_>>();
        assert_eq!(of(1, 5), [5]);
        assert_eq!(of(1, SLICE), [SLICE]);
        assert_eq!(of(1, SLICE + 1), [SLICE, SLICE + 1]);
        assert_eq!(of(7, 2 * SLICE + 10), [SLICE + 6, 2 * SLICE + 6, 2 * SLICE + 10]);
        assert_eq!(of(5, 5), [5]);
        assert_eq!(of(i64::MAX - 1, i64::MAX), [i64::MAX]);
    }
}
