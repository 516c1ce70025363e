//! The fixed hasher behind the id index.
//!
//! The standard hasher is seeded at random, which a deterministic core cannot
//! use, and SipHash would cost more than the rest of an acquire. This one folds
//! a 64×64→128-bit product per eight bytes (wyhash, Wang Yi 2019; the same step
//! as in foldhash), so that every input bit reaches both the low bits, which
//! pick the bucket, and the high bits, which tag it.
//!
//! One thing is kept: ids that differ in the low four bits of their last word
//! only, as numbers do that count up, share a neighbourhood of sixteen buckets
//! with sixteen different tags. A long queue of such ids is walked through the
//! cache line by line instead of at random.
//!
//! It is not a cryptographic hash: who knows the seed and may choose ids can
//! make them collide. The damage is bounded (an operation then costs up to one
//! probe per place, and places are bounded by the queue limit, the capacity and
//! the remembered endings), and the seed comes from the first fencing number,
//! for a real gate the millisecond of its birth, so it is not the same twice.

use core::hash::{Hash, Hasher};

const K0: u64 = 0x9E37_79B9_7F4A_7C15;
const K1: u64 = 0xD1B5_4A32_D192_ED03;

/// Makes hashes of one index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed(u64);

impl Seed {
    pub(super) const fn new(number: u64) -> Self {
        Self(fold(number ^ K1, K0))
    }

    #[inline]
    pub(super) fn hash<T: Hash + ?Sized>(self, value: &T) -> u64 {
        let mut state = State {
            folded: self.0,
            low: 0,
        };
        value.hash(&mut state);
        state.finish()
    }
}

/// The hash is `folded`, with `low`, the part of the last word that is not
/// folded in yet, on top.
struct State {
    folded: u64,
    low: u64,
}

const LOW: u64 = 15;

impl Hasher for State {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
        let rest = chunks.remainder();
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        // The length keeps "a" and "a\0" apart.
        self.write_u64(u64::from_le_bytes(word) ^ (bytes.len() as u64) << 56);
    }

    #[inline]
    fn write_u8(&mut self, n: u8) {
        self.write_u64(n.into());
    }

    #[inline]
    fn write_u16(&mut self, n: u16) {
        self.write_u64(n.into());
    }

    #[inline]
    fn write_u32(&mut self, n: u32) {
        self.write_u64(n.into());
    }

    #[inline]
    fn write_u64(&mut self, n: u64) {
        self.folded = fold(self.finish() ^ (n & !LOW), K0);
        self.low = n & LOW;
    }

    #[inline]
    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.folded ^ self.low ^ self.low << 58
    }
}

/// Both halves of the product, xored. The addition keeps a zero from sticking.
#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    (product as u64) ^ ((product >> 64) as u64).wrapping_add(K1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, vec, vec::Vec};

    /// Bucket bits (low) and tag bits (high 7) both spread: for the ids people
    /// use, no bucket of 2¹² gets more than a few of 2¹² ids.
    #[test]
    fn common_ids_spread_over_buckets_and_tags() {
        let seed = Seed::new(1_700_000_000_000);
        let families: [Vec<u64>; 4] = [
            (0..4096u64).map(|n| seed.hash(&n)).collect(),
            (0..4096u64).map(|n| seed.hash(&(n << 32))).collect(),
            (0..4096u64)
                .map(|n| seed.hash(&format!("user:{n}")))
                .collect(),
            (0..4096u64)
                .map(|n| seed.hash(format!("{n:040}").as_bytes()))
                .collect(),
        ];
        for (family, hashes) in families.iter().enumerate() {
            let mut low = vec![0u32; 4096];
            let mut high = vec![0u32; 128];
            for hash in hashes {
                low[(hash & 4095) as usize] += 1;
                high[(hash >> 57) as usize] += 1;
            }
            let crowd = low.iter().max().copied().unwrap_or(0);
            assert!(crowd <= 10, "family {family}: {crowd} ids in one bucket");
            assert!(high.iter().all(|&n| n < 80), "family {family}: {high:?}");
        }
    }

    #[test]
    fn hashes_are_the_same_in_every_run_and_differ_by_seed_and_length() {
        assert_eq!(Seed::new(7).hash(&1u64), Seed::new(7).hash(&1u64));
        assert_ne!(Seed::new(7).hash(&1u64), Seed::new(8).hash(&1u64));
        assert_ne!(Seed::new(7).hash(&b"a"[..]), Seed::new(7).hash(&b"a\0"[..]));
    }
}
