//! How a place is found by its id.
//!
//! By hash for ids of any kind; or, for ids that are small numbers which their
//! owner hands out again and again, by looking into a table at that number.
//! The table takes four bytes per number up to the greatest one ever used, so
//! it is no choice for ids from outside. In an in-process limiter hashing cost
//! more than the rest of an admission.

use alloc::vec::Vec;
use core::fmt::Debug;
use core::hash::Hash;

use hashbrown::HashTable;

use super::hash::Seed;
use super::slab::Slot;

/// A way to find places by ids of type `Id`: [`ByHash`] or [`ByNumber`].
pub trait Index<Id>: Find<Id> {}

impl<Id, T: Find<Id>> Index<Id> for T {}

/// What [`super::Slots`] asks of its index. Each id is in it at most once.
pub trait Find<Id>: Clone {
    /// What an id is looked up by; kept with its place.
    type Key: Copy + Debug;

    fn new(seed: u64) -> Self;
    fn key(&self, id: &Id) -> Self::Key;
    /// The place with this key for which `is` holds.
    fn find(&self, key: Self::Key, is: impl Fn(Slot) -> bool) -> Option<Slot>;
    /// Adds one that is not there; `key_of` knows the keys of all that are.
    fn insert(&mut self, key: Self::Key, slot: Slot, key_of: impl Fn(Slot) -> Self::Key);
    /// Removes one that is there.
    fn remove(&mut self, key: Self::Key, slot: Slot);
    fn len(&self) -> usize;
}

/// By a hash of the id: for ids of any kind, from anyone. Amortised O(1).
#[derive(Clone, Debug)]
pub struct ByHash {
    seed: Seed,
    table: HashTable<Slot>,
}

impl<Id: Hash> Find<Id> for ByHash {
    type Key = u64;

    fn new(seed: u64) -> Self {
        Self {
            seed: Seed::new(seed),
            table: HashTable::new(),
        }
    }

    #[inline]
    fn key(&self, id: &Id) -> u64 {
        self.seed.hash(id)
    }

    #[inline]
    fn find(&self, key: u64, is: impl Fn(Slot) -> bool) -> Option<Slot> {
        self.table.find(key, |&slot| is(slot)).copied()
    }

    #[inline]
    fn insert(&mut self, key: u64, slot: Slot, key_of: impl Fn(Slot) -> u64) {
        self.table.insert_unique(key, slot, |&slot| key_of(slot));
    }

    #[inline]
    fn remove(&mut self, key: u64, slot: Slot) {
        match self.table.find_entry(key, |&other| other == slot) {
            Ok(entry) => {
                entry.remove();
            }
            Err(_) => unreachable!("every place is in the index"),
        }
    }

    fn len(&self) -> usize {
        self.table.len()
    }
}

/// By the id itself, a small number: for ids that the owner of the gate hands
/// out, densely. O(1), and four bytes per number up to the greatest one used.
#[derive(Clone, Debug)]
pub struct ByNumber {
    /// The place of each number, or `NONE`.
    table: Vec<Slot>,
    len: usize,
}

const NONE: Slot = Slot::MAX;

impl Find<u32> for ByNumber {
    type Key = u32;

    fn new(_: u64) -> Self {
        Self {
            table: Vec::new(),
            len: 0,
        }
    }

    #[inline]
    fn key(&self, id: &u32) -> u32 {
        *id
    }

    #[inline]
    fn find(&self, key: u32, _: impl Fn(Slot) -> bool) -> Option<Slot> {
        let slot = self.table.get(key as usize).copied();
        slot.filter(|&slot| slot != NONE)
    }

    #[inline]
    fn insert(&mut self, key: u32, slot: Slot, _: impl Fn(Slot) -> u32) {
        let key = key as usize;
        if key >= self.table.len() {
            self.grow(key);
        }
        self.table[key] = slot;
        self.len += 1;
    }

    #[inline]
    fn remove(&mut self, key: u32, slot: Slot) {
        let place = &mut self.table[key as usize];
        assert!(*place == slot, "every place is in the index");
        *place = NONE;
        self.len -= 1;
    }

    fn len(&self) -> usize {
        self.len
    }
}

impl ByNumber {
    #[cold]
    fn grow(&mut self, key: usize) {
        self.table.resize(key + 1, NONE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    fn agrees<Ix: Find<u32>>(mut index: Ix, ops: &[u32]) {
        let mut plain: BTreeMap<u32, Slot> = BTreeMap::new();
        let mut ids = Vec::new();
        for &id in ops {
            let key = index.key(&id);
            let found = index.find(key, |slot| ids[slot as usize] == id);
            assert_eq!(found, plain.get(&id).copied());
            if let Some(slot) = plain.remove(&id) {
                index.remove(key, slot);
            } else {
                ids.push(id);
                let keys: Vec<_> = ids.iter().map(|id| index.key(id)).collect();
                let slot = ids.len() as Slot - 1;
                index.insert(key, slot, |slot| keys[slot as usize]);
                plain.insert(id, slot);
            }
            assert_eq!(index.len(), plain.len());
        }
    }

    proptest! {
        #[test]
        fn both_agree_with_a_map(ops in prop::collection::vec(0u32..60, 1..300)) {
            agrees::<ByHash>(<ByHash as Find<u32>>::new(7), &ops);
            agrees(ByNumber::new(7), &ops);
        }
    }
}
