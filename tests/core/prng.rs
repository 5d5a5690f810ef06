//! A small generator of random numbers (splitmix64): the same seed gives the same history everywhere.
//!
//! Never: asks the system for randomness.

/// Random numbers from a seed.
#[derive(Debug, Clone)]
pub(crate) struct Prng(u64);

impl Prng {
    /// A generator that begins at `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; zero when `end` is zero.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap_or(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    /// True in `in_thousand` of 1000 cases.
    pub(crate) fn chance(&mut self, in_thousand: u64) -> bool {
        self.next() % 1000 < in_thousand
    }

    /// One of several values.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// One of several values by weight.
    pub(crate) fn weighted<T: Copy>(&mut self, of: &[(usize, T)]) -> T {
        let all = of.iter().map(|(weight, _)| *weight).sum();
        let mut left = self.below(all);
        for (weight, value) in of {
            if left < *weight {
                return *value;
            }
            left -= weight;
        }
        of[0].1
    }
}
