//! A hash function that is the same everywhere and for ever.
//!
//! Digests are printed, stored in decision files, and compared between
//! machines, so the standard library's hasher (unspecified, free to change) is
//! out. This is FNV-1a's shape over 64-bit words with the finaliser of
//! SplitMix64 (Steele, Lea, Flood: *Fast splittable pseudorandom number
//! generators*, OOPSLA 2014) as its mixer. It is no defence against an
//! adversary, and need not be one.

use core::hash::{Hash, Hasher};

/// The hasher. Integers are hashed by value, whatever the machine's byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Digest {
    /// A hasher that continues from `from` (an earlier digest, or 0).
    #[must_use]
    pub const fn new(from: u64) -> Self {
        Self(from ^ 0xcbf2_9ce4_8422_2325)
    }

    /// The digest of one value.
    #[must_use]
    pub fn of<T: Hash + ?Sized>(value: &T) -> u64 {
        let mut digest = Self::default();
        value.hash(&mut digest);
        digest.finish()
    }

    const fn mix(&mut self, word: u64) {
        let mut z = (self.0 ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0 = z ^ (z >> 31);
    }
}

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let mut last = [0u8; 8];
        last[..rest.len()].copy_from_slice(rest);
        // The length, so that trailing zeros count.
        self.mix(u64::from_le_bytes(last) ^ ((bytes.len() as u64) << 56));
    }

    fn write_u8(&mut self, n: u8) {
        self.mix(u64::from(n));
    }

    fn write_u16(&mut self, n: u16) {
        self.mix(u64::from(n));
    }

    fn write_u32(&mut self, n: u32) {
        self.mix(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.mix(n);
    }

    fn write_u128(&mut self, n: u128) {
        self.mix(n as u64);
        self.mix((n >> 64) as u64);
    }

    fn write_usize(&mut self, n: usize) {
        self.mix(n as u64);
    }

    fn write_i8(&mut self, n: i8) {
        self.mix(i64::from(n) as u64);
    }

    fn write_i16(&mut self, n: i16) {
        self.mix(i64::from(n) as u64);
    }

    fn write_i32(&mut self, n: i32) {
        self.mix(i64::from(n) as u64);
    }

    fn write_i64(&mut self, n: i64) {
        self.mix(n as u64);
    }

    fn write_i128(&mut self, n: i128) {
        self.write_u128(n as u128);
    }

    fn write_isize(&mut self, n: isize) {
        self.mix(n as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written down once: a change of the function must be a decision, since
    /// it makes every stored digest stale.
    #[test]
    fn known_values() {
        assert_eq!(Digest::default().finish(), 0xcbf2_9ce4_8422_2325);
        assert_eq!(Digest::of(&7u64), Digest::of(&7u32));
        let known = Digest::of(&("PING", 1u16, [b'a'; 9].as_slice()));
        assert_eq!(known, 0xafb4_1d88_b56c_2105, "{known:#x}");
    }

    #[test]
    fn trailing_zeros_count() {
        let of = |bytes: &[u8]| {
            let mut digest = Digest::default();
            digest.write(bytes);
            digest.finish()
        };
        let mut seen: Vec<u64> = (0..40).map(|n| of(&vec![0; n])).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 40);
    }
}
