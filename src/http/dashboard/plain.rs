//! Raw texts for the eye: bodies laid out in lines, and nothing in them that hides or turns what stands beside it.
//!
//! Never: changes a value; what is laid out means the same, and the raw text stands beside it.

use std::fmt::Write as _;

use serde::de::IgnoredAny;

/// Deepest step to the right.
const STEPS_MAX: usize = 40;

/// A text in which what cannot be seen, or would turn the direction of reading, is written as `\u202e`.
pub(super) fn visible(text: &str) -> String {
    written(text, hides)
}

/// The same for a whole page: whatever of a stranger is in it, and wherever, it is read in the order in which it is
/// written. Its own texts hold nothing of the kind.
pub(super) fn visible_page(page: String) -> String {
    // Fields of several lines come with carriage returns.
    let turns = |c| c != '\r' && hides(c);
    if page.chars().any(turns) { written(&page, turns) } else { page }
}

fn hides(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{61c}'
        | '\u{feff}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{fff9}'..='\u{fffb}' => true,
        c => c.is_control(),
    }
}

fn written(text: &str, hides: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if hides(c) {
            // A String takes everything.
            let _always = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// JSON in lines, token by token: no key is sorted, no number rounded. `None` where it is not JSON.
pub(super) fn laid_out(text: &str) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut shown = String::with_capacity(text.len() * 2);
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    let mut chars = text.chars().filter(|c| *c != '\u{feff}').peekable();
    while let Some(c) = chars.next() {
        if quoted {
            shown.push(c);
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '"' => {
                quoted = true;
                shown.push(c);
            }
            '{' | '[' => {
                while chars.next_if(char::is_ascii_whitespace).is_some() {}
                shown.push(c);
                if let Some(end) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    shown.push(end);
                } else {
                    depth += 1;
                    new_line(&mut shown, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut shown, depth);
                shown.push(c);
            }
            ',' => {
                shown.push(c);
                new_line(&mut shown, depth);
            }
            ':' => shown.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => shown.push(c),
        }
    }
    Some(shown)
}

fn new_line(shown: &mut String, depth: usize) {
    shown.push('\n');
    for _ in 0..depth.min(STEPS_MAX) {
        shown.push_str("  ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_is_written_out() {
        assert_eq!(visible("a\u{202e}b\u{0}c\r\n\td\u{7f}"), "a\\u202eb\\u0000c\\u000d\n\td\\u007f");
        assert_eq!(visible("한국어 日本語 ü"), "한국어 日本語 ü");
        assert_eq!(visible_page("<p>a\r\n\u{2066}b</p>".to_owned()), "<p>a\r\n\\u2066b</p>");
        assert_eq!(visible_page("<p>한국어\r\n</p>".to_owned()), "<p>한국어\r\n</p>");
    }

    #[test]
    fn json_is_laid_out_and_means_the_same() {
        let raw = r#"{"b":1e400,"a":[ ],"t":"x\"}{,:\\","n":[1,{"k":null}], "b":2.0}"#;
        let shown = laid_out(raw).unwrap();
        assert_eq!(
            shown,
            "{\n  \"b\": 1e400,\n  \"a\": [],\n  \"t\": \"x\\\"}{,:\\\\\",\n  \"n\": [\n    1,\n    {\n      \
             \"k\": null\n    }\n  ],\n  \"b\": 2.0\n}"
        );
        for bad in ["", "{", "x", "[1,]", "{} {}"] {
            assert_eq!(laid_out(bad), None, "{bad}");
        }
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(laid_out(&deep).unwrap().len() < 20_000);
    }
}
