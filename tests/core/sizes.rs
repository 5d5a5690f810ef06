//! Sizes of the runs: short by default, longer by the environment.
//!
//! Never: a size that is not printed when something fails.

use std::str::FromStr;

/// A size from the environment, or the short form.
#[expect(clippy::disallowed_methods, reason = "sizes of test runs are no configuration of the service")]
pub(crate) fn size<T: FromStr>(name: &str, short: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => short,
    }
}

/// Seed of the first history; each following one adds one.
pub(crate) fn seed() -> u64 {
    size("UNHANG_SEED", 1)
}

/// Threads that work side by side.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}
