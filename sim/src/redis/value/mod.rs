//! What a key can hold.

mod nodes;
mod stream;
mod tree;
mod zset;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use sluice_core::redis::Bytes;

use super::hash;
pub(super) use nodes::{Full, Trim};
pub use stream::{Consumer, Fields, Group, Pending, Stream, StreamId};
pub use zset::ZSet;

/// A value. Clones share until one of them writes.
#[derive(Clone, Debug)]
pub enum Value {
    /// A string.
    Str(Bytes),
    /// A hash.
    Hash(Rc<Hash>),
    /// A list.
    List(Rc<List>),
    /// A set.
    Set(Rc<Set>),
    /// A sorted set.
    ZSet(Rc<ZSet>),
    /// A stream.
    Stream(Rc<Stream>),
}

impl Value {
    /// The name that `TYPE` answers.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Str(_) => "string",
            Self::Hash(_) => "hash",
            Self::List(_) => "list",
            Self::Set(_) => "set",
            Self::ZSet(_) => "zset",
            Self::Stream(_) => "stream",
        }
    }

    /// Depends on the content alone, not on how it came about.
    pub(super) fn digest(&self) -> u64 {
        let (tag, digest) = match self {
            Self::Str(bytes) => (1u8, hash::pair(bytes, b"")),
            Self::Hash(hash) => (2, hash.digest),
            Self::List(list) => (3, list.digest()),
            Self::Set(set) => (4, set.digest),
            Self::ZSet(zset) => (5, zset.digest()),
            Self::Stream(stream) => (6, stream.digest()),
        };
        hash::pair(&[tag], &digest.to_le_bytes())
    }
}

/// A type of value that commands address by name.
pub(super) trait Typed: Default {
    fn of(value: &Value) -> Option<&Self>;
    fn of_mut(value: &mut Value) -> Option<&mut Self>;
    fn wrap(self) -> Value;
    fn is_empty(&self) -> bool;
}

macro_rules! typed {
    ($($name:ident),*) => {$(
        impl Typed for $name {
            fn of(value: &Value) -> Option<&Self> {
                match value {
                    Value::$name(inner) => Some(inner),
                    _ => None,
                }
            }
            fn of_mut(value: &mut Value) -> Option<&mut Self> {
                match value {
                    Value::$name(inner) => Some(Rc::make_mut(inner)),
                    _ => None,
                }
            }
            fn wrap(self) -> Value {
                Value::$name(Rc::new(self))
            }
            fn is_empty(&self) -> bool {
                self.len() == 0
            }
        }
    )*};
}

typed!(Hash, List, Set, Stream, ZSet);

/// Field to value. Iterates in the fields' byte order: Redis promises no order,
/// and a canonical one keeps runs comparable.
#[derive(Clone, Debug, Default)]
pub struct Hash {
    fields: BTreeMap<Bytes, Bytes>,
    digest: u64,
}

impl Hash {
    /// Number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The field's value.
    #[must_use]
    pub fn get(&self, field: &[u8]) -> Option<&Bytes> {
        self.fields.get(field)
    }

    /// All fields with their values, by the fields' byte order.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.fields.iter()
    }

    /// Sets a field; whether it is new.
    pub(super) fn insert(&mut self, field: Bytes, value: Bytes) -> bool {
        self.digest = self.digest.wrapping_add(hash::pair(&field, &value));
        if let Some(slot) = self.fields.get_mut(&field) {
            self.digest = self.digest.wrapping_sub(hash::pair(&field, slot));
            *slot = value;
            return false;
        }
        self.fields.insert(field, value);
        true
    }

    /// Removes a field; whether it was there.
    pub(super) fn remove(&mut self, field: &[u8]) -> bool {
        match self.fields.remove(field) {
            Some(value) => {
                self.digest = self.digest.wrapping_sub(hash::pair(field, &value));
                true
            }
            None => false,
        }
    }
}

/// Members without order; iterates in byte order, as [`struct@Hash`] does.
#[derive(Clone, Debug, Default)]
pub struct Set {
    members: BTreeSet<Bytes>,
    digest: u64,
}

impl Set {
    /// Number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether this is a member.
    #[must_use]
    pub fn contains(&self, member: &[u8]) -> bool {
        self.members.contains(member)
    }

    /// All members in byte order.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.members.iter()
    }

    /// Adds a member; whether it is new.
    pub(super) fn insert(&mut self, member: Bytes) -> bool {
        let digest = hash::pair(&member, b"");
        let new = self.members.insert(member);
        if new {
            self.digest = self.digest.wrapping_add(digest);
        }
        new
    }

    /// Removes a member; whether it was there.
    pub(super) fn remove(&mut self, member: &[u8]) -> bool {
        let gone = self.members.remove(member);
        if gone {
            self.digest = self.digest.wrapping_sub(hash::pair(member, b""));
        }
        gone
    }
}

/// A list, head first.
pub type List = VecDeque<Bytes>;

trait ListDigest {
    fn digest(&self) -> u64;
}

impl ListDigest for List {
    fn digest(&self) -> u64 {
        self.iter()
            .fold(0, |sum, item| hash::pair(&u64::to_le_bytes(sum), item))
    }
}
