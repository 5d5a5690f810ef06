//! `audit export`: every matching event, oldest first, as NDJSON or CSV.
//!
//! Never: leaves half a file under the name that was asked for, or hands a formula to a spreadsheet.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::FilterArgs;
use crate::cli::failure::Failure;
use crate::cli::out::Out;
use crate::cli::place::StoreArgs;
use crate::export;
use crate::store::{AuditFilter, PAGE_MAX, PageRequest, Store};
use crate::telemetry::chain;

/// Export events, oldest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  unhang audit export --format ndjson | jq 'select(.outcome == \"unknown\")'
  unhang audit export --format csv --to audit.csv --since 2026-12-01T00:00:00Z

In CSV a cell that begins with = + - @, tab or CR gets a ' in front, so that no spreadsheet runs it.")]
pub(in crate::cli) struct ExportArgs {
    /// How it is written
    #[arg(long, value_enum)]
    format: ExportFormat,
    /// File to write, as a whole or not at all; else standard output
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// One JSON object a line
    Ndjson,
    /// With a heading
    Csv,
}

/// Exports.
pub(super) async fn run(args: ExportArgs, out: &mut Out) -> Result<(), Failure> {
    let store = args.store.open_read_only().await?;
    let filter = args.filter.filter();
    let Some(path) = &args.to else {
        write_all(&store, &filter, args.format, out).await?;
        return Ok(());
    };
    let trouble =
        |error: std::io::Error| Failure::unreachable(format!("cannot write {}: {error}", path.display()));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let half = tempfile::NamedTempFile::new_in(folder).map_err(trouble)?;
    let mut file = Out::file(half.as_file().try_clone().map_err(trouble)?);
    let rows = write_all(&store, &filter, args.format, &mut file).await?;
    file.flush().map_err(trouble)?;
    half.as_file().sync_all().map_err(trouble)?;
    half.persist(path).map_err(|error| trouble(error.error))?;
    Out::stderr().line(format_args!("{}: {rows} rows", path.display()))?;
    Ok(())
}

async fn write_all(
    store: &Store,
    filter: &AuditFilter,
    format: ExportFormat,
    out: &mut Out,
) -> Result<u64, Failure> {
    let mut progress = Out::stderr();
    let mut page = PageRequest { limit: PAGE_MAX, cursor: None, ascending: true };
    let mut rows: u64 = 0;
    while !out.closed() {
        let found = store.audit(filter, &page).await?;
        let text = match format {
            ExportFormat::Ndjson => export::ndjson(&found.items),
            ExportFormat::Csv => export::csv(&found.items, rows == 0),
        };
        out.file_text(&text.map_err(|error| Failure::not_so(chain(&error)))?)?;
        rows += u64::try_from(found.items.len()).unwrap_or(u64::MAX);
        progress.progress(format_args!("exported {rows} rows"))?;
        let Some(cursor) = found.next_cursor else { break };
        page.cursor = Some(cursor);
    }
    progress.end_progress()?;
    Ok(rows)
}
