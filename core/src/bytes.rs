//! Bytes that are cheap to clone: short ones are kept in place, longer ones
//! shared.
//!
//! Names of commands, keys, ids and numbers are short. They are copied with
//! every request, reply and stored field, and a search does that millions of
//! times a second: no allocation, no count of references that two cores would
//! fight over.

use alloc::borrow::Borrow;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::Deref;

/// See the module. Redis is binary safe, so these are not text.
#[derive(Clone)]
pub struct Bytes(Kept);

/// As many as fit beside a length in three words.
const SHORT: usize = 23;

#[derive(Clone)]
enum Kept {
    Here(Short),
    Shared(Arc<[u8]>),
}

/// A few bytes, and zeros after them. Copied as a whole: what is copied piece by
/// piece is slow to read at once.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Short {
    bytes: [u8; SHORT],
    len: Len,
}

/// How many bytes. A type of its own since what it cannot be tells [`Kept::Shared`]
/// apart, and `None` and other kinds of replies around it: no word for a tag.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[rustfmt::skip]
enum Len {
    L0, L1, L2, L3, L4, L5, L6, L7, L8, L9, L10, L11, L12, L13, L14, L15, L16, L17, L18, L19,
    L20, L21, L22, L23,
}

impl Len {
    #[rustfmt::skip]
    const ALL: [Self; SHORT + 1] = {
        use Len::*;
        [
            L0, L1, L2, L3, L4, L5, L6, L7, L8, L9, L10, L11, L12, L13, L14, L15, L16, L17, L18,
            L19, L20, L21, L22, L23,
        ]
    };
}

impl Short {
    const EMPTY: Self = Self {
        bytes: [0; SHORT],
        len: Len::L0,
    };

    /// At most [`SHORT`] of them. Copies that overlap have lengths known to the
    /// compiler, and cost less than one of unknown length.
    #[inline]
    fn new(bytes: &[u8]) -> Self {
        #[inline]
        fn ends<const N: usize>(bytes: &[u8], here: &mut [u8; SHORT]) -> bool {
            let (Some(first), Some(last)) = (bytes.first_chunk::<N>(), bytes.last_chunk::<N>())
            else {
                return false;
            };
            here[..N].copy_from_slice(first);
            here[bytes.len() - N..bytes.len()].copy_from_slice(last);
            true
        }
        let mut here = [0; SHORT];
        let _ = ends::<16>(bytes, &mut here)
            || ends::<8>(bytes, &mut here)
            || ends::<4>(bytes, &mut here)
            || ends::<2>(bytes, &mut here)
            || ends::<1>(bytes, &mut here);
        Self {
            bytes: here,
            len: Len::ALL[bytes.len()],
        }
    }

    #[inline]
    fn len(&self) -> usize {
        self.len as usize
    }

    /// All of them, ordered as they are: the first sixteen, and the rest.
    #[inline]
    fn words(&self) -> (u64, u64, u64) {
        let word = |at: usize| {
            let word = self.bytes[at..].first_chunk();
            u64::from_be_bytes(*word.expect("there are 23"))
        };
        let [a, b, c, d, e, f, g] = *self.bytes.last_chunk().expect("there are 23");
        let rest = u64::from_be_bytes([a, b, c, d, e, f, g, self.len as u8]);
        (word(0), word(8), rest)
    }
}

impl Deref for Short {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len()]
    }
}

impl Bytes {
    #[inline]
    fn new(bytes: &[u8]) -> Self {
        Self(if bytes.len() <= SHORT {
            Kept::Here(Short::new(bytes))
        } else {
            Kept::Shared(Arc::from(bytes))
        })
    }

    /// The same to write to; copies them first if somebody else holds them.
    pub fn make_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Kept::Here(Short { bytes, len }) => &mut bytes[..*len as usize],
            Kept::Shared(bytes) => Arc::make_mut(bytes),
        }
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Self(Kept::Here(Short::EMPTY))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Kept::Here(short) => short,
            Kept::Shared(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Borrow<[u8]> for Bytes {
    fn borrow(&self) -> &[u8] {
        self
    }
}

/// Copies, also what could be shared: for that, clone.
impl<T: AsRef<[u8]> + ?Sized> From<&T> for Bytes {
    #[inline]
    fn from(bytes: &T) -> Self {
        Self::new(bytes.as_ref())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(&bytes)
    }
}

impl From<String> for Bytes {
    fn from(text: String) -> Self {
        Self::new(text.as_bytes())
    }
}

impl FromIterator<u8> for Bytes {
    fn from_iter<I: IntoIterator<Item = u8>>(bytes: I) -> Self {
        Self::from(bytes.into_iter().collect::<Vec<u8>>())
    }
}

impl PartialEq for Bytes {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kept::Here(here), Kept::Here(there)) => here.words() == there.words(),
            (Kept::Here(..) | Kept::Shared(_), _) => **self == **other,
        }
    }
}

impl Eq for Bytes {}

impl PartialOrd for Bytes {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bytes {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Kept::Here(here), Kept::Here(there)) => here.words().cmp(&there.words()),
            (Kept::Here(..) | Kept::Shared(_), _) => (**self).cmp(&**other),
        }
    }
}

impl Hash for Bytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(to)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Vec::deserialize(from).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::vec;
    use proptest::prelude::*;

    proptest! {
        /// As slices are, whether short or long, and with zeros at the end.
        #[test]
        fn compare_as_slices(
            a in prop::collection::vec(0u8..3, 0..30),
            b in prop::collection::vec(0u8..3, 0..30),
            common in prop::collection::vec(any::<u8>(), 0..24),
        ) {
            let (a, b) = ([&common[..], &a].concat(), [&common[..], &b].concat());
            let (x, y) = (Bytes::from(&a), Bytes::from(&b));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(x == y, a == b);
            let mut z = x.clone();
            z.make_mut().fill(9);
            prop_assert_eq!(z.cmp(&y), vec![9; a.len()].cmp(&b));
        }
    }

    #[test]
    fn are_three_words() {
        assert_eq!(size_of::<Bytes>(), 3 * size_of::<usize>());
        assert_eq!(size_of::<Option<Bytes>>(), size_of::<Bytes>());
    }

    /// Whether they are kept in place or shared must not show.
    #[test]
    fn of_every_length_are_what_they_were_made_of() {
        let all: Vec<u8> = (0..100).collect();
        for len in 0..all.len() {
            let slice = &all[..len];
            let bytes = Bytes::from(slice);
            assert_eq!(&*bytes, slice);
            assert_eq!(&*bytes.clone(), slice);
            assert_eq!(bytes, Bytes::from(slice.to_vec()));
            assert!(bytes < Bytes::from(&all[..len + 1]));
            let map = BTreeMap::from([(bytes, len)]);
            assert_eq!(map.get(slice), Some(&len));
        }
    }
}
