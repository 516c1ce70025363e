//! A hash function that is the same everywhere and for ever.
//!
//! Digests are printed, stored in decision files, and compared between
//! machines, so the standard library's hasher (unspecified, free to change) is
//! out. This one folds the 128-bit product of state and input onto itself, 16
//! bytes at a time (the step of wyhash and its descendants; Wang Yi,
//! <https://github.com/wangyi-fudan/wyhash>): a multiplication for what others
//! spend several on, and every step of every run is digested. It is no defence
//! against an adversary, and need not be one.

use core::hash::{BuildHasherDefault, Hash, Hasher};

const A: u64 = 0x9E37_79B9_7F4A_7C15;
const B: u64 = 0xD6E8_FEB8_6659_FD93;

/// Folds the 128-bit product of the two onto itself.
const fn fold(a: u64, b: u64) -> u64 {
    let wide = a as u128 * b as u128;
    wide as u64 ^ (wide >> 64) as u64
}

/// The hasher. Integers are hashed by value, whatever the machine's byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

/// Makes hashers for maps whose keys no adversary chooses.
pub type FixedState = BuildHasherDefault<Digest>;

impl Default for Digest {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Digest {
    /// A hasher that continues from `from` (an earlier digest, or 0).
    #[must_use]
    pub const fn new(from: u64) -> Self {
        Self(from ^ A)
    }

    /// The digest of one value.
    #[must_use]
    pub fn of<T: Hash + ?Sized>(value: &T) -> u64 {
        let mut digest = Self::default();
        value.hash(&mut digest);
        digest.finish()
    }

    const fn mix(&mut self, word: u64) {
        self.0 = fold(self.0 ^ word, B);
    }
}

/// Up to sixteen bytes as two numbers, different for different bytes of one
/// length. Reads that overlap cost less than a copy of unknown length.
fn ends(bytes: &[u8]) -> (u64, u64) {
    let half = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    if let (Some(low), Some(high)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return (u64::from_le_bytes(*low), u64::from_le_bytes(*high));
    }
    if let (Some(low), Some(high)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return (half(low), half(high));
    }
    match bytes {
        [] => (0, 0),
        [first, .., last] => {
            let middle = bytes[bytes.len() / 2];
            (u64::from(*first) << 8 | u64::from(middle), u64::from(*last))
        }
        [only] => (u64::from(*only), 0),
    }
}

impl Hasher for Digest {
    #[inline]
    fn finish(&self) -> u64 {
        fold(self.0, A)
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        // The length, so that trailing zeros count.
        self.0 = self.0.wrapping_add((bytes.len() as u64).wrapping_mul(A));
        let (chunks, rest) = bytes.as_chunks::<16>();
        for chunk in chunks {
            let (low, high) = ends(chunk);
            self.0 = fold(self.0 ^ low, high ^ B);
        }
        let (low, high) = ends(rest);
        self.0 = fold(self.0 ^ low, high ^ B);
    }

    #[inline]
    fn write_u8(&mut self, n: u8) {
        self.mix(u64::from(n));
    }

    #[inline]
    fn write_u16(&mut self, n: u16) {
        self.mix(u64::from(n));
    }

    #[inline]
    fn write_u32(&mut self, n: u32) {
        self.mix(u64::from(n));
    }

    #[inline]
    fn write_u64(&mut self, n: u64) {
        self.mix(n);
    }

    #[inline]
    fn write_u128(&mut self, n: u128) {
        self.mix(n as u64);
        self.mix((n >> 64) as u64);
    }

    #[inline]
    fn write_usize(&mut self, n: usize) {
        self.mix(n as u64);
    }

    #[inline]
    fn write_i8(&mut self, n: i8) {
        self.mix(i64::from(n) as u64);
    }

    #[inline]
    fn write_i16(&mut self, n: i16) {
        self.mix(i64::from(n) as u64);
    }

    #[inline]
    fn write_i32(&mut self, n: i32) {
        self.mix(i64::from(n) as u64);
    }

    #[inline]
    fn write_i64(&mut self, n: i64) {
        self.mix(n as u64);
    }

    #[inline]
    fn write_i128(&mut self, n: i128) {
        self.write_u128(n as u128);
    }

    #[inline]
    fn write_isize(&mut self, n: isize) {
        self.mix(n as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(bytes: &[u8]) -> u64 {
        let mut digest = Digest::default();
        digest.write(bytes);
        digest.finish()
    }

    /// Written down once: a change of the function must be a decision, since
    /// it makes every stored digest stale.
    #[test]
    fn known_values() {
        assert_eq!(Digest::of(&7u64), Digest::of(&7u32));
        let known = Digest::of(&("PING", 1u16, [b'a'; 9].as_slice()));
        assert_eq!(known, 0xb91a_321e_4cbc_43de, "{known:#x}");
    }

    #[test]
    fn trailing_zeros_count() {
        let mut seen: Vec<u64> = (0..40).map(|n| of(&vec![0; n])).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 40);
    }

    proptest! {
        /// Every bit of every byte counts, wherever it stands.
        #[test]
        fn one_bit_makes_a_difference(
            bytes in prop::collection::vec(any::<u8>(), 1..50),
            at in any::<prop::sample::Index>(),
            bit in 0..8,
        ) {
            let mut other = bytes.clone();
            other[at.index(bytes.len())] ^= 1u8 << bit;
            let differ = (of(&bytes) ^ of(&other)).count_ones();
            prop_assert!((8..=56).contains(&differ), "{differ} bits differ");
        }
    }
}
