//! What people and scripts read: lines, JSON, progress.
//!
//! Never: takes a reader that went away for an error, or lets through what a terminal would act on.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal as _, Write};

use clap::ValueEnum;
use serde::Serialize;

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

    /// Writes a line, or several; what a terminal would act on is replaced.
    pub(super) fn line(&mut self, text: impl Display) -> io::Result<()> {
        self.end_progress()?;
        let text = text.to_string();
        let lines: Vec<String> = text.split('\n').map(clean).collect();
        self.bytes(format!("{}\n", lines.join("\n")).as_bytes())
    }

    /// Writes a value as indented JSON.
    pub(super) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
        self.json_text(&text)
    }

    /// Writes a text that is JSON. What a terminal would act on can only be inside its strings, and is escaped there.
    pub(super) fn json_text(&mut self, text: &str) -> io::Result<()> {
        self.end_progress()?;
        self.bytes(format!("{}\n", escaped(text)).as_bytes())
    }

    /// Writes the bytes of a file for programs. On a terminal, where no program reads, what it would act on is replaced.
    pub(super) fn file_text(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.terminal {
            return self.bytes(bytes);
        }
        let text = String::from_utf8_lossy(bytes);
        self.line(text.strip_suffix('\n').unwrap_or(&text))
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

/// A text without anything that a terminal would act on, or that nobody sees: control characters, marks that turn the
/// direction of what follows, and characters without a shape.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if acts(c) { '\u{fffd}' } else { c }).collect()
}

fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// JSON with the same meaning in which such characters are escapes; line ends stay.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || !acts(c) {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let escape = format!("\\u{unit:04x}");
                text.push_str(&escape);
            }
        }
    }
    text
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
    fn nothing_that_a_terminal_acts_on_comes_through() {
        let hostile = "a\x1b[2Jb\u{202e}c\u{9b}31md\re\u{feff}f\u{e0041}g\nh";
        let sink = Sink::default();
        let mut out = out(sink.clone());
        out.line(hostile).unwrap();
        out.json(&serde_json::json!({ hostile: [hostile] })).unwrap();
        out.terminal = true;
        out.file_text(hostile.as_bytes()).unwrap();
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert!(text.chars().all(|c| c == '\n' || !acts(c)), "{text:?}");
        let json = text.get(text.find('{').unwrap()..=text.rfind('}').unwrap()).unwrap();
        let told: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(told, serde_json::json!({ hostile: [hostile] }));
    }
}
