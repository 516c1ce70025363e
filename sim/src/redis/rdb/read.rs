//! From bytes to values. What is read may be anything: `None` is nonsense.

use sluice_core::redis::Bytes;

use super::packed::{decompress, intset, listpack, ziplist};
use super::{form, stream};
use crate::redis::number::parse_f64;
use crate::redis::value::{Hash, List, Set, Typed, Value, ZSet};

/// Bytes yet to be read.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) const fn left(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// A number of so many bytes, at most eight, the least first.
    pub(super) fn le(&mut self, width: usize) -> Option<u64> {
        let bytes = self.take(width)?.iter().rev();
        Some(bytes.fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    /// The same with the greatest first.
    pub(super) fn be(&mut self, width: usize) -> Option<u64> {
        let bytes = self.take(width)?.iter();
        Some(bytes.fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    /// The same as [`Reader::le`], with a sign.
    pub(super) fn signed(&mut self, width: usize) -> Option<i64> {
        let unused = 64 - 8 * width as u32;
        Some((self.le(width)? << unused) as i64 >> unused)
    }

    /// A length, or `Err` with the number of a special form.
    fn len_or_form(&mut self) -> Option<Result<u64, u8>> {
        let first = self.byte()?;
        Some(match first >> 6 {
            0 => Ok(u64::from(first & 0x3f)),
            1 => Ok(u64::from(first & 0x3f) << 8 | u64::from(self.byte()?)),
            2 if first == 0x80 => Ok(self.be(4)?),
            2 if first == 0x81 => Ok(self.be(8)?),
            2 => return None,
            _ => Err(first & 0x3f),
        })
    }

    pub(super) fn len(&mut self) -> Option<u64> {
        self.len_or_form()?.ok()
    }

    pub(super) fn string(&mut self) -> Option<Bytes> {
        let number = |n: i64| Bytes::from(n.to_string().as_bytes());
        Some(match self.len_or_form()? {
            Ok(len) => Bytes::from(self.take(usize::try_from(len).ok()?)?),
            Err(0) => number(self.signed(1)?),
            Err(1) => number(self.signed(2)?),
            Err(2) => number(self.signed(4)?),
            Err(3) => {
                let compressed = usize::try_from(self.len()?).ok()?;
                let len = usize::try_from(self.len()?).ok()?;
                Bytes::from(decompress(self.take(compressed)?, len)?)
            }
            Err(_) => return None,
        })
    }

    /// So many things, of which each takes a byte at least.
    fn many<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.len()?;
        let mut out = Vec::new();
        for _ in 0..count {
            out.push(read(self)?);
        }
        Some(out)
    }

    /// A score as text, as it was before there was a better way.
    fn score_text(&mut self) -> Option<f64> {
        Some(match self.byte()? {
            255 => f64::NEG_INFINITY,
            254 => f64::INFINITY,
            253 => f64::NAN,
            len => parse_f64(self.take(usize::from(len))?)?,
        })
    }
}

/// No key holds nothing.
fn wrap<T: Typed>(value: T) -> Option<Value> {
    (!value.is_empty()).then(|| value.wrap())
}

fn set(members: Vec<Bytes>) -> Option<Value> {
    let mut set = Set::default();
    let fresh = members.into_iter().all(|member| set.insert(member));
    fresh.then(|| wrap(set)).flatten()
}

fn hash(pairs: impl Iterator<Item = (Bytes, Bytes)>) -> Option<Value> {
    let mut hash = Hash::default();
    for (field, value) in pairs {
        if !hash.insert(field, value) {
            return None;
        }
    }
    wrap(hash)
}

fn zset(pairs: impl Iterator<Item = (Bytes, f64)>) -> Option<Value> {
    let mut zset = ZSet::default();
    for (member, score) in pairs {
        if score.is_nan() || zset.score(&member).is_some() {
            return None;
        }
        zset.insert(&member, score);
    }
    wrap(zset)
}

/// Items two by two.
fn pairs(items: Vec<Bytes>) -> Option<Vec<(Bytes, Bytes)>> {
    let pairs = items.chunks_exact(2);
    let whole = pairs.remainder().is_empty();
    whole.then(|| {
        pairs
            .map(|pair| (pair[0].clone(), pair[1].clone()))
            .collect()
    })
}

fn scored(items: Vec<Bytes>) -> Option<Value> {
    let pairs = pairs(items)?.into_iter();
    let scored: Option<Vec<_>> = pairs
        .map(|(member, score)| Some((member, parse_f64(&score)?)))
        .collect();
    zset(scored?.into_iter())
}

/// The one value that these bytes are.
pub(super) fn value(bytes: &[u8]) -> Option<Value> {
    let mut from = Reader::new(bytes);
    let kind = from.byte()?;
    let value = match kind {
        form::STRING => Value::Str(from.string()?),
        form::LIST => wrap(List::from(from.many(Reader::string)?))?,
        form::SET => set(from.many(Reader::string)?)?,
        form::HASH => {
            let pairs = from.many(|from| Some((from.string()?, from.string()?)))?;
            hash(pairs.into_iter())?
        }
        form::ZSET_TEXT => {
            let pairs = from.many(|from| Some((from.string()?, from.score_text()?)))?;
            zset(pairs.into_iter())?
        }
        form::ZSET => {
            let pairs = from.many(|from| {
                let member = from.string()?;
                Some((member, f64::from_bits(from.le(8)?)))
            })?;
            zset(pairs.into_iter())?
        }
        form::LIST_ZIPLIST => wrap(List::from(ziplist(&from.string()?)?))?,
        form::SET_INTSET => set(intset(&from.string()?)?)?,
        form::SET_LISTPACK => set(listpack(&from.string()?)?)?,
        form::HASH_ZIPLIST => hash(pairs(ziplist(&from.string()?)?)?.into_iter())?,
        form::HASH_LISTPACK => hash(pairs(listpack(&from.string()?)?)?.into_iter())?,
        form::ZSET_ZIPLIST => scored(ziplist(&from.string()?)?)?,
        form::ZSET_LISTPACK => scored(listpack(&from.string()?)?)?,
        form::LIST_QUICKLIST => {
            let nodes = from.many(|from| ziplist(&from.string()?))?;
            wrap(nodes.into_iter().flatten().collect::<List>())?
        }
        form::LIST_QUICKLIST_2 => {
            let nodes = from.many(|from| match from.len()? {
                1 => Some(vec![from.string()?]),
                2 => listpack(&from.string()?),
                _ => None,
            })?;
            wrap(nodes.into_iter().flatten().collect::<List>())?
        }
        form::STREAM | form::STREAM_2 | form::STREAM_3 => stream::read(&mut from, kind)?.wrap(),
        _ => return None,
    };
    (from.left() == 0).then_some(value)
}
