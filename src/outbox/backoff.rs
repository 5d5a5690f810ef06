//! Backoff: how long a receiver is left alone after a try that failed.
//!
//! Never: for ever, or for the same time as every other service that lost the same receiver.

use jiff::SignedDuration;

/// After the first failure.
const FIRST_MS: i64 = 1000;
/// However many there were. An hour of silence is followed by a try within this time.
const LONGEST_MS: i64 = 5 * 60 * 1000;
/// Longest wait that a receiver may ask for.
const ASKED_MAX: SignedDuration = SignedDuration::from_mins(15);

/// Doubles with each failure in a row, up to five minutes, less up to a fifth of it. `salt` is another number for each
/// message, so that tries spread.
pub(super) fn pause(failures: i64, salt: &str, asked: Option<SignedDuration>) -> SignedDuration {
    let doublings = u32::try_from(failures.clamp(1, 30) - 1).unwrap_or(0);
    let whole = FIRST_MS.saturating_mul(1_i64 << doublings).min(LONGEST_MS);
    let mixed = salt
        .bytes()
        .fold(failures.unsigned_abs(), |mixed, byte| mixed.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte));
    let off = i64::try_from(mixed % 1000).unwrap_or(0);
    let pause = SignedDuration::from_millis(whole - whole * off / 5000);
    asked.map_or(pause, |asked| pause.max(asked.min(ASKED_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_five_minutes_and_differ() {
        let ms = |failures, salt| pause(failures, salt, None).as_millis();
        for (failures, whole) in
            [(1, 1000), (2, 2000), (3, 4000), (8, 128_000), (9, 256_000), (10, 300_000), (90, 300_000)]
        {
            let pauses: Vec<_> =
                ["msg_a", "msg_b", "msg_c", "msg_d"].iter().map(|salt| ms(failures, salt)).collect();
            assert!(
                pauses.iter().all(|pause| (whole * 4 / 5..=whole).contains(pause)),
                "{failures}: {pauses:?}"
            );
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{failures}: {pauses:?}");
        }
        assert!(ms(0, "x") <= 1000 && ms(i64::MAX, "x") <= 300_000 && ms(i64::MIN, "x") > 0);
        assert_eq!(pause(1, "x", Some(SignedDuration::from_mins(2))), SignedDuration::from_mins(2));
        assert_eq!(pause(1, "x", Some(SignedDuration::from_hours(9))), ASKED_MAX);
        assert_eq!(pause(9, "x", Some(SignedDuration::ZERO)), pause(9, "x", None));
    }
}
