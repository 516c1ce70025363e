//! An indexed heap of deadlines: the next one in O(1), and insert, change and
//! removal of any slab number in O(log n).
//!
//! Four children per node instead of two: half the levels, and the four lie in
//! one or two cache lines (LaMarca & Ladner 1996). Ties are broken by the caller
//! (by id), because the order in which equal deadlines are met is part of the
//! shared semantics. `back[slot]` is where a slab number stands in the heap, so
//! that a renewal finds its entry without a search. A timer wheel would be O(1),
//! but has no total order.

use alloc::vec::Vec;

use super::slab::Slot;
use crate::time::StoreTime;

const ARITY: usize = 4;
const ABSENT: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    at: StoreTime,
    slot: Slot,
}

/// Deadlines of slab numbers, least first; `less` breaks ties.
#[derive(Clone, Debug, Default)]
pub(super) struct Heap {
    entries: Vec<Entry>,
    /// Slab number → position in `entries`, or `ABSENT`.
    back: Vec<u32>,
}

impl Heap {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The least deadline and whose it is.
    #[inline]
    pub(super) fn first(&self) -> Option<(StoreTime, Slot)> {
        self.entries.first().map(|entry| (entry.at, entry.slot))
    }

    #[inline]
    pub(super) fn deadline(&self, slot: Slot) -> Option<StoreTime> {
        self.position(slot).map(|i| self.entries[i].at)
    }

    /// Gives `slot` this deadline, or takes its deadline away.
    pub(super) fn set(
        &mut self,
        slot: Slot,
        at: Option<StoreTime>,
        less: impl Fn(Slot, Slot) -> bool,
    ) {
        match (self.position(slot), at) {
            (None, None) => {}
            (Some(i), None) => self.take(i, less),
            (None, Some(at)) => {
                if self.back.len() <= slot as usize {
                    self.back.resize(slot as usize + 1, ABSENT);
                }
                let i = self.entries.len();
                self.entries.push(Entry { at, slot });
                self.up(i, less);
            }
            (Some(i), Some(at)) => {
                let before = core::mem::replace(&mut self.entries[i].at, at);
                if at < before {
                    self.up(i, less);
                } else if at > before {
                    self.down(i, less);
                }
            }
        }
    }

    #[inline]
    fn position(&self, slot: Slot) -> Option<usize> {
        match self.back.get(slot as usize) {
            None | Some(&ABSENT) => None,
            Some(&i) => Some(i as usize),
        }
    }

    fn take(&mut self, i: usize, less: impl Fn(Slot, Slot) -> bool) {
        let gone = self.entries.swap_remove(i);
        self.back[gone.slot as usize] = ABSENT;
        if i < self.entries.len() {
            // What came from the end may belong above or below this position.
            if i > 0 && before(self.entries[i], self.entries[(i - 1) / ARITY], &less) {
                self.up(i, less);
            } else {
                self.down(i, less);
            }
        }
    }

    fn up(&mut self, mut i: usize, less: impl Fn(Slot, Slot) -> bool) {
        let moving = self.entries[i];
        while i > 0 {
            let parent = (i - 1) / ARITY;
            if !before(moving, self.entries[parent], &less) {
                break;
            }
            self.put(i, self.entries[parent]);
            i = parent;
        }
        self.put(i, moving);
    }

    fn down(&mut self, mut i: usize, less: impl Fn(Slot, Slot) -> bool) {
        let moving = self.entries[i];
        loop {
            let children = i * ARITY + 1;
            let end = self.entries.len().min(children + ARITY);
            if children >= end {
                break;
            }
            let mut least = children;
            for child in children + 1..end {
                if before(self.entries[child], self.entries[least], &less) {
                    least = child;
                }
            }
            if !before(self.entries[least], moving, &less) {
                break;
            }
            self.put(i, self.entries[least]);
            i = least;
        }
        self.put(i, moving);
    }

    #[inline]
    fn put(&mut self, i: usize, entry: Entry) {
        self.entries[i] = entry;
        self.back[entry.slot as usize] = i as u32;
    }

    /// Panics unless parents come before children and `back` is exact. O(n).
    pub(super) fn check(&self, less: impl Fn(Slot, Slot) -> bool) {
        for (i, &entry) in self.entries.iter().enumerate() {
            assert_eq!(self.position(entry.slot), Some(i), "back reference");
            if i > 0 {
                let parent = self.entries[(i - 1) / ARITY];
                assert!(!before(entry, parent, &less), "heap order at {i}");
            }
        }
        let referred = self.back.iter().filter(|&&i| i != ABSENT).count();
        assert_eq!(referred, self.entries.len(), "one back reference each");
    }
}

#[inline]
fn before(a: Entry, b: Entry, less: &impl Fn(Slot, Slot) -> bool) -> bool {
    a.at < b.at || (a.at == b.at && less(a.slot, b.slot))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::{BTreeMap, BTreeSet};
    use proptest::prelude::*;

    proptest! {
        /// Against a sorted set of (deadline, slot), ties by descending number
        /// so that the tie-break is seen to be the caller's.
        #[test]
        fn agrees_with_a_sorted_set(ops in prop::collection::vec((0u32..40, prop::option::of(0u64..30)), 1..400)) {
            let less = |a: Slot, b: Slot| a > b;
            let mut heap = Heap::default();
            let mut plain: BTreeMap<Slot, u64> = BTreeMap::new();
            for (slot, at) in ops {
                heap.set(slot, at.map(StoreTime), less);
                match at {
                    Some(at) => plain.insert(slot, at),
                    None => plain.remove(&slot),
                };
                heap.check(less);
                let sorted: BTreeSet<_> = plain.iter().map(|(&slot, &at)| (at, u32::MAX - slot)).collect();
                let first = sorted.first().map(|&(at, slot)| (StoreTime(at), u32::MAX - slot));
                prop_assert_eq!(heap.first(), first);
                prop_assert_eq!(heap.len(), plain.len());
                prop_assert_eq!(heap.deadline(slot), plain.get(&slot).copied().map(StoreTime));
            }
        }
    }
}
