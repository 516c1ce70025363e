//! The digest of what is stored.

use std::hash::Hasher;

use crate::digest::Digest;

/// The digest of one association. Collections add these up (wrapping), so that
/// their digest depends on what they hold and not on how it got there.
#[inline]
pub(super) fn pair(key: &[u8], value: &[u8]) -> u64 {
    let mut digest = Digest::default();
    digest.write(key);
    digest.write(value);
    digest.finish()
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
