//! `audit verify`: rows, heads, exports, and with `--deep` the tables.
//!
//! Never: calls whole what it did not walk to its end.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::keys::KeyArgs;
use crate::cli::failure::Failure;
use crate::cli::out::{Format, Out};
use crate::cli::place::StoreArgs;
use crate::domain::audit_head::{Heads, read_heads};
use crate::domain::audit_key::KeyRing;
use crate::domain::chain::{ChainReport, Inspection};
use crate::export;
use crate::store::inspect;
use crate::telemetry::chain;

/// Verify the audit: its chain, its keys, its heads, and with --deep the tables
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang audit verify
  unhang audit verify --deep --heads /mnt/elsewhere/unhang.heads
  unhang audit verify --export 2026-11.ndjson --export 2026-12.ndjson --deep
  unhang audit verify --store /backup/unhang.db --key-file /etc/unhang/audit-key --output json

Keys and heads come from the configuration where it names them. A chain that was cut or rewritten as a whole shows
against its heads: keep them where the store is not.
Exit codes: 0 whole, 1 a fault (its row is named), 3 no store.")]
pub(in crate::cli) struct VerifyArgs {
    /// File of heads to compare with; else the one of the configuration, where the store is its own
    #[arg(long, value_name = "FILE")]
    heads: Option<PathBuf>,
    /// Fold all events and compare the result with the tables
    #[arg(long)]
    deep: bool,
    /// A last row or a newest head without a key is a fault: say it once the service runs with a key
    #[arg(long)]
    require_key: bool,
    /// Exported rows that come before those of the store, oldest file first
    #[arg(long, value_name = "FILE")]
    export: Vec<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// What a verification has to go by.
pub(super) struct Witness {
    pub(super) ring: KeyRing,
    pub(super) heads: Heads,
    pub(super) notes: Vec<String>,
}

impl Witness {
    /// Reads keys and heads; call it before the store is read.
    pub(super) fn read(keys: &KeyArgs, store: &StoreArgs, named: Option<&Path>) -> Result<Self, Failure> {
        let place = keys.place(store)?;
        let mut notes = Vec::new();
        let path = named.or(place.heads.as_deref());
        let text = match path.map(|path| (path, std::fs::read_to_string(path))) {
            None => None,
            Some((_, Ok(text))) => Some(text),
            Some((path, Err(error))) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                notes.push(format!(
                    "there are no heads at {}: a chain cut or rewritten as a whole does not show",
                    path.display()
                ));
                None
            }
            Some((path, Err(error))) => {
                return Err(Failure::unreachable(format!(
                    "cannot read the heads {}: {error}",
                    path.display()
                )));
            }
        };
        let heads = text.map_or_else(Heads::default, |text| read_heads(&text, &place.ring));
        if heads.torn > 0 {
            notes.push(format!(
                "{} lines of the heads file are no head: writes that were cut short",
                heads.torn
            ));
        }
        Ok(Self { ring: place.ring, heads, notes })
    }

    /// Begins an inspection with them.
    pub(super) fn inspection(&self, deep: bool) -> Inspection {
        Inspection::new(self.ring.clone(), &self.heads.heads, deep)
    }
}

/// Verifies.
pub(super) async fn run(args: VerifyArgs, out: &mut Out) -> Result<(), Failure> {
    let store = args.store.open_read_only().await?;
    let mut witness = Witness::read(&args.keys, &args.store, args.heads.as_deref())?;
    let mut inspection = witness.inspection(args.deep);
    if !args.export.is_empty() {
        for path in &args.export {
            walk_export(&mut inspection, path)?;
        }
        inspection.now_the_store();
    }
    let mut progress = Out::stderr();
    let mut told = Ok(());
    let report = Box::pin(inspect(&store, inspection, |rows| {
        told = progress.progress(format_args!("verified {rows} rows"));
    }))
    .await?;
    told?;
    progress.end_progress()?;
    witness.notes.extend(notes_of(&report, !witness.ring.is_empty()));
    let unsigned = args.require_key && !is_signed(&report, &witness.heads);
    let verdict = verdict(&report, &witness.heads)
        .or_else(|| unsigned.then(|| "the last row or the newest head has no key".to_owned()));
    match args.output {
        Format::Json => out.json(&json!({
            "ok": verdict.is_none(), "report": report, "notes": witness.notes,
            "headsFault": witness.heads.fault.as_ref().map(|(line, what)| json!({ "line": line, "what": what })),
        }))?,
        Format::Text => tell(&report, &witness.notes, verdict.is_none(), out)?,
    }
    verdict.map_or(Ok(()), |what| Err(Failure::not_so(what)))
}

/// Feeds the rows of an export to an inspection.
pub(super) fn walk_export(inspection: &mut Inspection, path: &Path) -> Result<(), Failure> {
    let trouble =
        |error: std::io::Error| Failure::unreachable(format!("cannot read {}: {error}", path.display()));
    for (line, text) in BufReader::new(File::open(path).map_err(trouble)?).lines().enumerate() {
        let text = text.map_err(trouble)?;
        let item = export::read_row(&text).map_err(|error| {
            let line = line + 1;
            Failure::not_so(format!("{} line {line} is no exported row: {}", path.display(), chain(&error)))
        })?;
        if !inspection.take(&item.link()) {
            let what = inspection.fault().map_or_else(String::new, |fault| fault.what.clone());
            return Err(Failure::not_so(format!(
                "{} does not verify: row {}: {what}",
                path.display(),
                item.seq
            )));
        }
    }
    Ok(())
}

/// Keys are never given up again, so the first keyed row or head makes all that follow keyed.
fn is_signed(report: &ChainReport, heads: &Heads) -> bool {
    report.keyed_rows > 0 && heads.heads.last().is_none_or(|head| head.key_id.is_some())
}

fn verdict(report: &ChainReport, heads: &Heads) -> Option<String> {
    if let Some(fault) = &report.fault {
        return Some(format!("the audit does not verify: row {}: {}", fault.seq, fault.what));
    }
    if let Some((line, what)) = &heads.fault {
        return Some(format!("the heads do not verify: line {line}: {what}"));
    }
    let differences = report.deep.as_ref().map_or(0, |deep| deep.differences.len());
    (differences > 0).then(|| format!("the tables differ from what the audit tells in {differences} places"))
}

fn notes_of(report: &ChainReport, with_key: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if with_key && report.keyed_rows == 0 && report.rows > 0 {
        notes.push(
            "no row is keyed, though a key is given: right only before the first start with it".to_owned(),
        );
    }
    if report.first_seq > 1 && report.exported_rows == 0 {
        notes.push(format!("rows before {} were pruned; give their exports with --export", report.first_seq));
    }
    if report.heads_not_compared > 0 {
        notes.push(format!("{} heads are of rows that are not here", report.heads_not_compared));
    }
    let Some(deep) = &report.deep else { return notes };
    if deep.rows_not_told > 0 || deep.begins_at.is_some() {
        notes.push(format!(
            "events before row {} are not here: {} older rows of the tables cannot be folded",
            deep.begins_at.unwrap_or(1),
            deep.rows_not_told
        ));
    }
    if !deep.fields_not_told.is_empty() {
        let fields: Vec<&str> = deep.fields_not_told.iter().map(String::as_str).collect();
        notes.push(format!("not told by some events: {}", fields.join(", ")));
    }
    notes
}

fn tell(report: &ChainReport, notes: &[String], good: bool, out: &mut Out) -> Result<(), Failure> {
    let verdict = if good { "the audit verifies" } else { "verified before the fault" };
    out.line(format_args!(
        "{verdict}: {} rows, last seq {}, last hash {}",
        report.rows, report.last_seq, report.last_hash
    ))?;
    let at = report.last_at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    out.line(format_args!("verified to row {} at {at}, {} heads agree", report.last_seq, report.heads))?;
    if let Some(deep) = &report.deep {
        out.line(format_args!("folded: {} rows of the tables compared", deep.rows))?;
        for difference in &deep.differences {
            out.line(format_args!("difference: {difference}"))?;
        }
    }
    for note in notes {
        out.line(format_args!("note: {note}"))?;
    }
    Ok(())
}
