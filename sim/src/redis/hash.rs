//! One fixed hash, for lookups and for digests.
//!
//! The standard library's hasher is seeded per process, so a digest made with
//! it could not be compared between two runs. This one is a plain
//! multiply-and-fold over eight bytes at a time: fast on short keys, the same
//! on every machine, and not meant to withstand an adversary.

use std::hash::{BuildHasher, Hasher};

const A: u64 = 0x9E37_79B9_7F4A_7C15;
const B: u64 = 0xD6E8_FEB8_6659_FD93;

/// Folds the 128-bit product of the two onto itself.
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    (wide as u64) ^ ((wide >> 64) as u64)
}

/// Fewer than eight bytes as a little-endian number. Reads that overlap cost
/// less than a copy of unknown length.
fn short(bytes: &[u8]) -> u64 {
    let n = bytes.len();
    if let (Some(low), Some(high)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (low, high) = (u32::from_le_bytes(*low), u32::from_le_bytes(*high));
        return u64::from(low) | u64::from(high) << (8 * (n - 4));
    }
    let byte = |at: usize| u64::from(bytes[at]) << (8 * at);
    match n {
        0 => 0,
        _ => byte(0) | byte(n / 2) | byte(n - 1),
    }
}

/// A hasher without a seed.
#[derive(Clone, Copy, Debug)]
pub struct FixedHasher(u64);

impl Default for FixedHasher {
    fn default() -> Self {
        Self(A)
    }
}

impl Hasher for FixedHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
            self.0 = fold(self.0 ^ word, B);
        }
        let word = short(chunks.remainder());
        self.0 = fold(self.0 ^ word, B ^ (bytes.len() as u64));
    }

    fn write_u8(&mut self, n: u8) {
        self.write_u64(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = fold(self.0 ^ n, B);
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }

    fn finish(&self) -> u64 {
        fold(self.0, A)
    }
}

/// Makes [`FixedHasher`]s.
#[derive(Clone, Copy, Debug, Default)]
pub struct FixedState;

impl BuildHasher for FixedState {
    type Hasher = FixedHasher;

    fn build_hasher(&self) -> FixedHasher {
        FixedHasher::default()
    }
}

/// The digest of one association. Collections add these up (wrapping), so that
/// their digest depends on what they hold and not on how it got there.
pub(super) fn pair(key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = FixedHasher::default();
    hasher.write(key);
    hasher.write(value);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_and_order_matter() {
        assert_ne!(pair(b"a", b"bc"), pair(b"ab", b"c"));
        assert_ne!(pair(b"a", b"b"), pair(b"b", b"a"));
        assert_ne!(pair(b"", b""), pair(b"\0", b""));
        assert_eq!(pair(b"abcdefghij", b""), pair(b"abcdefghij", b""));
    }
}
