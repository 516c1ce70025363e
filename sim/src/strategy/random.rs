//! Every choice at random, from one seed.

use crate::choice::{Chooser, Events, Label};

/// Uniform random choices.
///
/// The generator is xoshiro256++ (Blackman, Vigna: *Scrambled linear
/// pseudorandom number generators*, ACM TOMS 47, 2021), seeded through
/// SplitMix64 as its authors advise. Bounded numbers by multiply-and-shift
/// with rejection (Lemire: *Fast random integer generation in an interval*,
/// ACM TOMACS 29, 2019), so without bias. Written here because a seed must
/// mean the same run in ten years.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The run of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut s = seed;
        let state = core::array::from_fn(|_| {
            s = s.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = s;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        });
        Self { state }
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number from `0..bound`, each as likely (`bound` ≥ 1).
    pub fn below(&mut self, bound: u64) -> u64 {
        debug_assert!(bound > 0, "an empty range has no numbers");
        let mut product = u128::from(self.bits()) * u128::from(bound);
        if (product as u64) < bound {
            let threshold = bound.wrapping_neg() % bound;
            while (product as u64) < threshold {
                product = u128::from(self.bits()) * u128::from(bound);
            }
        }
        (product >> 64) as u64
    }
}

impl Chooser for Random {
    fn pick(&mut self, options: &[Label]) -> usize {
        match options.len() {
            1 => 0,
            n => self.below(n as u64) as usize,
        }
    }

    fn pick_event(&mut self, events: &dyn Events) -> usize {
        match events.count() {
            1 => 0,
            n => self.below(n as u64) as usize,
        }
    }

    fn draw(&mut self, _: Label, bound: u64) -> u64 {
        self.below(bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generator_matches_the_reference() {
        // First outputs of xoshiro256++ from state 1, 2, 3, 4, from the authors' C code.
        let mut random = Random {
            state: [1, 2, 3, 4],
        };
        let first: [u64; 4] = core::array::from_fn(|_| random.bits());
        assert_eq!(
            first,
            [41943041, 58720359, 3588806011781223, 3591011842654386]
        );
    }

    #[test]
    fn bounded_numbers_are_even() {
        let mut random = Random::new(1);
        let mut counts = [0u32; 6];
        for _ in 0..60_000 {
            counts[random.below(6) as usize] += 1;
        }
        assert!(
            counts.iter().all(|n| (9_600..10_400).contains(n)),
            "{counts:?}"
        );
        assert_eq!(random.below(1), 0);
    }
}
