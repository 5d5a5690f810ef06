//! What people and scripts read: lines, JSON, tables, progress.
//!
//! Never: takes a reader that went away for an error, or lets a control character through in a cell.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal as _, Write};

use clap::ValueEnum;
use serde::Serialize;

/// Widest line of a table that is not asked to be wide.
const WIDTH: usize = 80;
/// Gap between columns.
const GAP: usize = 2;

/// How a listing is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// A stream that is written to until its reader goes away.
pub(super) struct Out {
    sink: Box<dyn Write + Send>,
    terminal: bool,
    closed: bool,
    progress_shown: bool,
}

impl Out {
    /// Standard output.
    pub(super) fn stdout() -> Self {
        let sink = io::stdout();
        Self { terminal: sink.is_terminal(), sink: Box::new(sink), closed: false, progress_shown: false }
    }

    /// Standard error.
    pub(super) fn stderr() -> Self {
        let sink = io::stderr();
        Self { terminal: sink.is_terminal(), sink: Box::new(sink), closed: false, progress_shown: false }
    }

    /// A file, buffered; call [`Out::flush`] before its end.
    pub(super) fn file(file: std::fs::File) -> Self {
        let sink = Box::new(io::BufWriter::new(file));
        Self { sink, terminal: false, closed: false, progress_shown: false }
    }

    /// Whether the reader has gone; what is still to come may be left out.
    pub(super) fn closed(&self) -> bool {
        self.closed
    }

    /// Writes bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let written = self.sink.write_all(bytes);
        self.unless_gone(written)
    }

    /// Writes a line.
    pub(super) fn line(&mut self, text: impl Display) -> io::Result<()> {
        self.end_progress()?;
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Writes a value as indented JSON.
    pub(super) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
        self.line(text)
    }

    /// Replaces the line of progress; nothing where nobody watches.
    pub(super) fn progress(&mut self, text: impl Display) -> io::Result<()> {
        if !self.terminal {
            return Ok(());
        }
        self.progress_shown = true;
        self.bytes(format!("\r\x1b[K{text}").as_bytes())?;
        self.flush()
    }

    /// Clears the line of progress.
    pub(super) fn end_progress(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.progress_shown) {
            self.bytes(b"\r\x1b[K")?;
        }
        Ok(())
    }

    /// Hands everything on.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let flushed = self.sink.flush();
        self.unless_gone(flushed)
    }

    fn unless_gone(&mut self, done: io::Result<()>) -> io::Result<()> {
        match done {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => other,
        }
    }
}

/// Rows under headings, fitted to a width by clipping the widest columns.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(super) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()] }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| clean(&cell)).collect());
    }

    /// Whether there is no row.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }

    /// Prints it, at most 80 columns wide unless `wide`.
    pub(super) fn print(&self, out: &mut Out, wide: bool) -> io::Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell: &String| columns_of(cell)).max()
        };
        let mut widths: Vec<usize> = (0..columns).map(|column| widest(column).unwrap_or(0)).collect();
        while !wide && widths.iter().sum::<usize>() + GAP * columns.saturating_sub(1) > WIDTH {
            let Some(width) = widths.iter_mut().max().filter(|width| **width > 1) else { break };
            *width -= 1;
        }
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let cell = clip(cell, *width);
                line.push_str(&cell);
                line.extend(std::iter::repeat_n(' ', width.saturating_sub(columns_of(&cell)) + GAP));
            }
            out.line(line.trim_end())?;
        }
        Ok(())
    }
}

/// A text without anything that a terminal would act on.
pub(super) fn clean(text: &str) -> String {
    let invisible = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if invisible(c) { '\u{fffd}' } else { c }).collect()
}

fn clip(cell: &str, width: usize) -> String {
    if columns_of(cell) <= width {
        return cell.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in cell.chars() {
        if used + columns_of_char(c) + 1 > width {
            break;
        }
        used += columns_of_char(c);
        kept.push(c);
    }
    kept.push('…');
    kept
}

fn columns_of(text: &str) -> usize {
    text.chars().map(columns_of_char).sum()
}

/// Hangul, Han, kana and full-width forms take two columns.
fn columns_of_char(c: char) -> usize {
    let wide = matches!(u32::from(c),
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f
        | 0xff00..=0xff60 | 0xffe0..=0xffe6);
    if wide { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(ErrorKind::BrokenPipe.into())
        }
    }

    fn out(sink: impl Write + Send + 'static) -> Out {
        Out { sink: Box::new(sink), terminal: false, closed: false, progress_shown: false }
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let mut out = out(Gone);
        out.line("one").unwrap();
        assert!(out.closed());
        out.line("two").unwrap();
        out.flush().unwrap();
    }

    #[test]
    fn tables_fit_eighty_columns_and_escape_what_a_terminal_acts_on() {
        let sink = Sink::default();
        let mut table = Table::new(&["time", "what"]);
        table.row(["11-22 00:51:07".to_owned(), "서버 ".repeat(40)]);
        table.row(["\x1b[31mred".to_owned(), "x".repeat(90)]);
        table.print(&mut out(sink.clone()), false).unwrap();
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert!(text.lines().all(|line| columns_of(line) <= 80), "{text}");
        assert!(text.contains('…') && !text.contains('\x1b'), "{text}");
    }
}
