//! Texts of strangers made safe to print.
//!
//! Never: lets a control or direction character, or an endless text, reach a log, a page or a row.

/// Longest text kept from the vendor, in characters.
pub const TEXT_CHARS_MAX: usize = 256;

/// Line breaks and tabs become spaces, other control, direction and invisible characters vanish, the rest is
/// cut at [`TEXT_CHARS_MAX`] characters.
pub fn safe(raw: &str) -> String {
    let kept = raw.chars().filter_map(|c| match c {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => Some(' '),
        c if c.is_control() || is_invisible(c) => None,
        c => Some(c),
    });
    kept.take(TEXT_CHARS_MAX).collect::<String>().trim().to_owned()
}

/// Characters that change direction, join, hide or tag other characters.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// An error and all its sources as one safe line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    safe(&crate::telemetry::chain(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_texts_become_one_short_line() {
        for (raw, expected) in [
            ("plain", "plain"),
            ("two\nlines", "two lines"),
            ("\u{1b}[31mred\u{7}", "[31mred"),
            ("abc\u{202e}cba\u{2066}x\u{200f}", "abccbax"),
            ("한국어 テスト", "한국어 テスト"),
            ("\u{feff} x \u{0}", "x"),
        ] {
            assert_eq!(safe(raw), expected, "{raw:?}");
        }
        assert_eq!(safe(&"é".repeat(5_000)).chars().count(), TEXT_CHARS_MAX);
    }
}
