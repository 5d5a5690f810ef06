//! `audit verify`: rows, heads, exports, and with `--deep` the tables.
//!
//! Never: calls whole what it did not walk to its end.

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
use crate::files;
use crate::store::inspect;
use crate::telemetry::chain;

/// Rows of an export between two signs of progress.
const PROGRESS_EVERY: usize = 1000;

/// Verify the audit: its chain, its keys, its heads, and with --deep the tables
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang audit verify
  unhang audit verify --deep --heads /mnt/elsewhere/unhang.heads
  unhang audit verify --export 2026-11.ndjson --export 2026-12.ndjson --deep
  unhang audit verify --store /backup/unhang.db --key-file /etc/unhang/audit-key --output json

Keys and heads come from the configuration where it names them. A chain that was cut or rewritten as a whole shows
against its heads: keep them where the store is not. A heads file that the configuration or --heads names, and with
--require-key any, must be there and hold a head.
Exit codes: 0 whole, 1 a fault (its row is named), 3 no store.")]
pub(in crate::cli) struct VerifyArgs {
    /// File of heads to compare with; else the one of the configuration, where the store is its own
    #[arg(long, value_name = "FILE")]
    heads: Option<PathBuf>,
    /// Fold all events and compare the result with the tables
    #[arg(long)]
    deep: bool,
    /// A last row or a newest head without a key, or no head at all, is a fault: say it once the service runs with a key
    #[arg(long)]
    require_key: bool,
    /// Exported rows that come before those of the store, oldest file first
    #[arg(long, value_name = "FILE")]
    export: Vec<PathBuf>,
    /// With --deep: rows that were pruned and are not given are no fault; what they tell is not compared
    #[arg(long, requires = "deep")]
    allow_gaps: bool,
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
    /// Heads that must be there are not.
    missing: Option<String>,
}

impl Witness {
    /// Reads keys and heads; call it before the store is read. Heads that somebody named, or that are `required`, must be
    /// there.
    pub(super) fn read(
        keys: &KeyArgs,
        store: &StoreArgs,
        named: Option<&Path>,
        required: bool,
    ) -> Result<Self, Failure> {
        let place = keys.place(store)?;
        let path = named.or(place.heads.as_deref());
        let text = match path.map(|path| files::text(path, u64::MAX)) {
            None => None,
            Some(Ok(text)) => Some(text),
            Some(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => None,
            Some(Err(error)) => {
                let path = path.unwrap_or(Path::new("")).display();
                return Err(Failure::unreachable(format!("cannot read the heads {path}: {error}")));
            }
        };
        let is_there = text.is_some();
        let heads = text.map_or_else(Heads::default, |text| read_heads(&text, &place.ring));
        let must = required || named.is_some() || place.heads_named;
        let (mut notes, mut missing) = (Vec::new(), None);
        if heads.heads.is_empty() && heads.fault.is_none() {
            let what = match path {
                None => "no heads file is known; name it with --heads".to_owned(),
                Some(path) if is_there => format!("there is no head in {}", path.display()),
                Some(path) => format!("there are no heads at {}", path.display()),
            };
            let what = format!("{what}: a chain cut or rewritten as a whole does not show");
            if must {
                missing = Some(what);
            } else if path.is_some() {
                notes.push(what);
            }
        }
        if heads.torn > 0 {
            notes.push(format!(
                "{} lines of the heads file are no head: writes that were cut short",
                heads.torn
            ));
        }
        Ok(Self { ring: place.ring, heads, notes, missing })
    }

    /// What is wrong with the heads by themselves.
    pub(super) fn fault(&self) -> Option<String> {
        let told = |(line, what): &(usize, String)| format!("the heads do not verify: line {line}: {what}");
        self.heads.fault.as_ref().map(told).or_else(|| self.missing.clone())
    }

    /// Begins an inspection with them.
    pub(super) fn inspection(&self, deep: bool) -> Inspection {
        Inspection::new(self.ring.clone(), &self.heads.heads, deep)
    }
}

/// Verifies.
pub(super) async fn run(args: VerifyArgs, out: &mut Out) -> Result<(), Failure> {
    let store = args.store.open_read_only().await?;
    let mut witness = Witness::read(&args.keys, &args.store, args.heads.as_deref(), args.require_key)?;
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
    let verdict = verdict(&report, &witness)
        .or_else(|| unsigned.then(|| "the last row or the newest head has no key".to_owned()))
        .or_else(|| gap(&report).filter(|_| !args.allow_gaps));
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
    let mut progress = Out::stderr();
    for (line, text) in BufReader::new(files::open(path).map_err(trouble)?).lines().enumerate() {
        if line % PROGRESS_EVERY == 0 {
            progress.progress(format_args!("{}: verified {line} rows", path.display()))?;
        }
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
    progress.end_progress()?;
    Ok(())
}

/// Keys are never given up again, so the first keyed row or head makes all that follow keyed.
fn is_signed(report: &ChainReport, heads: &Heads) -> bool {
    report.keyed_rows > 0 && heads.heads.last().is_none_or(|head| head.key_id.is_some())
}

/// The rows that folding would have begun with, and who has them.
fn gap(report: &ChainReport) -> Option<String> {
    let begins_at = report.deep.as_ref()?.begins_at?;
    let needed: Vec<String> = report
        .prunings
        .iter()
        .filter(|one| one.first_seq < begins_at)
        .map(|one| {
            let name = one.export_name.as_deref().unwrap_or("a file");
            format!("{name} (rows {} to {}, sha256 {})", one.first_seq, one.last_seq, one.export_sha256)
        })
        .collect();
    let older = report.prunings.iter().map(|one| one.first_seq).min().filter(|first| *first > 1);
    let older =
        older.map_or_else(String::new, |first| format!(", and the exports of the rows before {first}"));
    Some(format!(
        "rows before {begins_at} were pruned, and --deep needs them: give --export {}{older}; --allow-gaps compares the rest",
        needed.join(", --export ")
    ))
}

fn verdict(report: &ChainReport, witness: &Witness) -> Option<String> {
    if let Some(fault) = &report.fault {
        return Some(format!("the audit does not verify: row {}: {}", fault.seq, fault.what));
    }
    if let Some(what) = witness.fault() {
        return Some(what);
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
    let older = deep.rows_not_told;
    match deep.begins_at {
        Some(seq) => notes.push(format!(
            "events before row {seq} are not here: {older} older rows of the tables cannot be folded"
        )),
        None if older > 0 => notes.push(format!(
            "{older} rows of the tables are of an older version, whose events do not tell of them"
        )),
        None => {}
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
