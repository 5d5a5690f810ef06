//! Tables and wrapped text for eighty columns.
//!
//! Never: cuts what has to be copied, or counts a character for a column.

use std::io;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::out::{Out, clean};

/// Widest line that is not asked to be wide.
pub(super) const WIDTH: usize = 80;
/// Gap between columns.
const GAP: usize = 2;

/// Rows under headings, fitted to a width by clipping the widest columns.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    /// A column that is not clipped while another can be: one that people copy.
    whole: Option<usize>,
}

impl Table {
    /// A table with these headings.
    pub(super) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()], whole: None }
    }

    /// Keeps a column whole: nobody can use half an identifier.
    pub(super) fn keep(mut self, heading: &str) -> Self {
        self.whole = self.rows.first().and_then(|headings| headings.iter().position(|one| one == heading));
        self
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
        let widths = if wide { self.widths() } else { self.fitted() };
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let cell = clip(cell, *width);
                line.push_str(&cell);
                line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width()) + GAP));
            }
            out.line(line.trim_end())?;
        }
        Ok(())
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        (0..columns).map(|column| cells(column).map(|cell| cell.width()).max().unwrap_or(0)).collect()
    }

    /// The widths with the widest columns made narrower; the one that is kept whole only when nothing else helps.
    fn fitted(&self) -> Vec<usize> {
        let mut widths = self.widths();
        let gaps = GAP * widths.len().saturating_sub(1);
        for spared in [self.whole, None] {
            while widths.iter().sum::<usize>() + gaps > WIDTH {
                let others = widths.iter_mut().enumerate().filter(|(column, _)| Some(*column) != spared);
                let Some((_, width)) =
                    others.max_by_key(|(_, width)| **width).filter(|(_, width)| **width > 4)
                else {
                    break;
                };
                *width -= 1;
            }
        }
        widths
    }
}

/// The beginning of a cell that fits, with … where something is left out.
fn clip(cell: &str, width: usize) -> String {
    if cell.width() <= width {
        return cell.to_owned();
    }
    let mut kept = String::new();
    let mut used = 1;
    // Marks without a width may pile up without an end on one letter.
    for c in cell.chars().take(width.saturating_mul(4)) {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

/// A text in lines of at most 80 columns, the later ones two columns further in; a word that is longer stays whole.
pub(super) fn wrapped(indent: &str, text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in clean(text).split_whitespace() {
        let first = line.is_empty();
        if !first && line.width() + word.width() + 1 > WIDTH {
            lines.push(std::mem::take(&mut line));
        }
        if line.is_empty() {
            line.push_str(indent);
            if !lines.is_empty() {
                line.push_str("  ");
            }
        } else {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// A text in a column: padded, or clipped.
pub(super) fn fixed(text: &str, width: usize) -> String {
    let mut cell = clip(&clean(text), width);
    cell.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width())));
    cell
}

/// The beginning of a line that fits into eighty columns, unless `wide`.
pub(super) fn fitted(line: &str, wide: bool) -> String {
    let line = clean(line);
    if wide { line } else { clip(line.trim_end(), WIDTH) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(table: &Table, wide: bool) -> Vec<String> {
        let widths = if wide { table.widths() } else { table.fitted() };
        let line = |row: &Vec<String>| {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| fixed(cell, *width)).collect();
            cells.join("  ").trim_end().to_owned()
        };
        table.rows.iter().map(line).collect()
    }

    #[test]
    fn tables_fit_eighty_columns_whatever_is_in_them() {
        let mut table = Table::new(&["time", "id", "what", "who"]).keep("id");
        let id = "01a22215-207d-716e-b554-ec45169eb4e1";
        for what in ["서버 ".repeat(40), "サーバー".repeat(30), "x".repeat(90), "e\u{301}".repeat(90)] {
            table.row(["11-22 00:51:07".to_owned(), id.to_owned(), what.clone(), what]);
        }
        table.row([
            "\x1b[31mred".to_owned(),
            id.to_owned(),
            format!("a{}", "\u{301}".repeat(5000)),
            "👩‍👩‍👧".repeat(30),
        ]);
        let lines = printed(&table, false);
        assert!(lines.iter().all(|line| line.width() <= WIDTH), "{lines:#?}");
        assert!(lines.iter().skip(1).all(|line| line.contains(id)), "{lines:#?}");
        let text = lines.join("\n");
        assert!(text.contains('…') && !text.contains('\x1b'), "{text}");
        assert!(printed(&table, true).iter().any(|line| line.contains(&"x".repeat(90))));
    }

    #[test]
    fn wrapped_lines_count_columns() {
        let lines = wrapped("  ", &"가나다라 ".repeat(40));
        assert!(lines.len() > 3 && lines.iter().all(|line| line.width() <= WIDTH), "{lines:#?}");
        assert_eq!(fitted(&"가".repeat(60), false).width(), 79);
    }
}
