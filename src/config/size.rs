//! Sizes as people write them: bytes, or a number with KiB, MiB, GiB or TiB.
//!
//! Never: guesses between powers of 1000 and 1024; `MB` is refused.

use super::section::Section;

/// One MiB in bytes.
pub(super) const MIB: u64 = 1 << 20;
/// Largest size that makes sense here.
const MAX: u64 = 1 << 50;
const UNITS: [(&str, u32); 4] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];

/// Takes a size; 0 switches off what it is for.
pub(super) fn size(section: &mut Section<'_>, key: &'static str, default: u64) -> u64 {
    const EXPECTED: &str =
        "a size such as \"512MiB\", \"1GiB\" or a number of bytes in quotes; \"0\" switches it off";
    section.parsed(key, EXPECTED, parse).unwrap_or(default)
}

fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, shift) = UNITS
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?.trim_end(), *shift)))
        .unwrap_or((text, 0));
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = plain.then(|| number.parse().ok()).flatten()?;
    number.checked_mul(1 << shift).filter(|bytes| *bytes <= MAX)
}

/// A size for people.
pub(super) fn size_text(bytes: u64) -> String {
    let whole = |shift: u32| bytes >= 1 << shift && bytes.trailing_zeros() >= shift;
    match UNITS.iter().rev().find(|(_, shift)| whole(*shift)) {
        Some((unit, shift)) => format!("{}{unit}", bytes >> shift),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("4096", Some(4096)),
            ("64MiB", Some(64 << 20)),
            ("1 GiB", Some(1 << 30)),
            ("1TiB", Some(1 << 40)),
            ("8KiB", Some(8192)),
            ("64MB", None),
            ("64M", None),
            ("-1", None),
            ("+1", None),
            ("1.5GiB", None),
            ("MiB", None),
            ("99999999999999999999", None),
            ("18446744073709551615TiB", None),
        ] {
            assert_eq!(parse(text), bytes, "{text}");
        }
        assert_eq!(size_text(64 << 20), "64MiB");
        assert_eq!(size_text(1000), "1000 bytes");
    }
}
