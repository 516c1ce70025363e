//! LZF, as Redis compresses strings of more than twenty bytes (liblzf, in its
//! variant `VERY_FAST`, with an empty table to begin with).
//!
//! Which matches are found is nobody's business but whoever compares bytes: so
//! this follows liblzf step by step, where a better search would do as well.

use std::collections::BTreeMap;

/// Longest run of literals.
const LITERALS_MAX: usize = 32;
/// A match is not farther back …
const OFFSET_MAX: usize = 8192;
/// … nor longer.
const MATCH_MAX: usize = 264;

/// Where three bytes are looked up.
fn slot(three: u32) -> u16 {
    ((three >> 8).wrapping_sub(three.wrapping_mul(5)) & 0xffff) as u16
}

/// What goes out: runs of literals, each after its length.
struct Out {
    bytes: Vec<u8>,
    most: usize,
    /// Where the length of the present run goes, which has so many literals.
    run: usize,
    literals: usize,
}

impl Out {
    fn begin(&mut self) {
        self.run = self.bytes.len();
        self.bytes.push(0);
        self.literals = 0;
    }

    /// A run without literals was none.
    fn end(&mut self) {
        match self.literals {
            0 => self.bytes.truncate(self.run),
            some => self.bytes[self.run] = (some - 1) as u8,
        }
    }

    fn literal(&mut self, byte: u8) {
        self.bytes.push(byte);
        self.literals += 1;
        if self.literals == LITERALS_MAX {
            self.end();
            self.begin();
        }
    }

    /// `len`: two less than the number of bytes.
    fn back(&mut self, offset: usize, len: usize) {
        self.end();
        let high = (offset >> 8) as u8;
        if len < 7 {
            self.bytes.push(high + ((len as u8) << 5));
        } else {
            self.bytes.extend([high + (7 << 5), (len - 7) as u8]);
        }
        self.bytes.push(offset as u8);
        self.begin();
    }
}

/// The same in less bytes, at least four less; `None` if it does not get there.
pub(super) fn compress(data: &[u8]) -> Option<Vec<u8>> {
    let most = data.len().checked_sub(4).filter(|most| *most > 0)?;
    let end = data.len();
    let mut out = Out {
        bytes: Vec::with_capacity(most),
        most,
        run: 0,
        literals: 0,
    };
    out.begin();
    let mut seen: BTreeMap<u16, usize> = BTreeMap::new();
    let two = |at: usize| u32::from(data[at]) << 8 | u32::from(data[at + 1]);
    let next = |hash: u32, at: usize| hash << 8 | u32::from(data[at + 2]);
    let mut at = 0;
    let mut hash = two(at);
    while at + 2 < end {
        hash = next(hash, at);
        let before = seen.insert(slot(hash), at);
        // The very first byte is never referred to.
        let before = before.filter(|before| {
            *before > 0 && at - before <= OFFSET_MAX && data[*before..][..3] == data[at..][..3]
        });
        let Some(before) = before else {
            if out.bytes.len() >= out.most {
                return None;
            }
            out.literal(data[at]);
            at += 1;
            continue;
        };
        if out.bytes.len() - usize::from(out.literals == 0) + 4 >= out.most {
            return None;
        }
        let len = matching(data, before, at);
        out.back(at - before - 1, len - 2);
        at += len;
        if at + 2 >= end {
            break;
        }
        at -= 2;
        hash = two(at);
        for _ in 0..2 {
            hash = next(hash, at);
            seen.insert(slot(hash), at);
            at += 1;
        }
    }
    if out.bytes.len() + 3 > out.most {
        return None;
    }
    for byte in &data[at..] {
        out.literal(*byte);
    }
    out.end();
    Some(out.bytes)
}

/// How many bytes at `at` are those at `before`, of which three are known to be.
fn matching(data: &[u8], before: usize, at: usize) -> usize {
    let mut len = 2;
    let most = (data.len() - at - len).min(MATCH_MAX);
    let same = |len: usize| data[before + len] == data[at + len];
    if most > 16 {
        for _ in 0..16 {
            len += 1;
            if !same(len) {
                return len;
            }
        }
    }
    loop {
        len += 1;
        if len >= most || !same(len) {
            return len;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::packed::decompress;
    use super::*;

    /// The bytes are those that `DUMP` of Redis 7.0.15 has.
    #[test]
    fn texts_are_compressed_as_by_redis() {
        let text = b"redis.call('SET', KEYS[1], ARGV[1]) redis.call('SET', KEYS[2], ARGV[2])";
        let dumped = compress(text).expect("it repeats itself");
        let redis = b"\x1eredis.call('SET', KEYS[1], ARGV \x08\x02) r\xe0\x0d#\x002\xc0#\x022])";
        assert_eq!(dumped, redis);
        assert_eq!(compress(b"abcdefghijklmnopqrstuvwxyz"), None);
    }

    proptest! {
        #[test]
        fn what_is_compressed_is_read_again(
            words in prop::collection::vec("[ab]{1,9}|[a-z]{1,5}|\\PC{0,3}", 0..200),
        ) {
            let text = words.concat().into_bytes();
            if let Some(compressed) = compress(&text) {
                prop_assert!(compressed.len() + 4 <= text.len());
                prop_assert_eq!(decompress(&compressed, text.len()), Some(text));
            }
        }
    }
}
