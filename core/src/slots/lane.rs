//! Deadlines that came in order: a queue from which any may be taken.
//!
//! What is taken from the middle leaves a gap, so that nothing moves; gaps at
//! either end go at once, and when there are more gaps than deadlines the lane
//! is packed, which costs O(1) per gap and bounds the memory by twice the
//! high-water mark. `back[slot]` is the number of the slot's last entry, counted
//! from the first entry ever; whether that entry is still the slot's is seen in
//! the entry itself.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::slab::Slot;
use crate::time::StoreTime;

/// In place of a slab number: the entry is a gap.
const GAP: Slot = Slot::MAX;
/// Gaps that are no reason to pack.
const GAPS: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: StoreTime,
    slot: Slot,
}

/// See the module's header. The first and the last entry are no gaps.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    entries: VecDeque<Entry>,
    /// The number of the first entry; numbers wrap around.
    base: u32,
    back: Vec<u32>,
    len: usize,
}

impl Lane {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(super) fn first(&self) -> Option<(StoreTime, Slot)> {
        self.entries.front().map(|entry| (entry.at, entry.slot))
    }

    #[inline]
    pub(super) fn deadline(&self, slot: Slot) -> Option<StoreTime> {
        self.position(slot).map(|i| self.entries[i].at)
    }

    /// Whether this deadline may be pushed.
    #[inline]
    pub(super) fn is_behind(
        &self,
        at: StoreTime,
        slot: Slot,
        less: impl Fn(Slot, Slot) -> bool,
    ) -> bool {
        self.entries
            .back()
            .is_none_or(|last| last.at < at || (last.at == at && less(last.slot, slot)))
    }

    /// Adds a deadline behind all others, of a slot that has none here.
    #[inline]
    pub(super) fn push(&mut self, at: StoreTime, slot: Slot) {
        if self.back.len() <= slot as usize {
            self.back.resize(slot as usize + 1, 0);
        }
        self.back[slot as usize] = self.base.wrapping_add(self.entries.len() as u32);
        self.entries.push_back(Entry { at, slot });
        self.len += 1;
    }

    /// Takes the deadline of `slot` away, if it has one here.
    #[inline]
    pub(super) fn remove(&mut self, slot: Slot) {
        let Some(i) = self.position(slot) else {
            return;
        };
        self.entries[i].slot = GAP;
        self.len -= 1;
        while self.entries.front().is_some_and(|entry| entry.slot == GAP) {
            self.entries.pop_front();
            self.base = self.base.wrapping_add(1);
        }
        while self.entries.back().is_some_and(|entry| entry.slot == GAP) {
            self.entries.pop_back();
        }
        if self.entries.len() > 2 * self.len + GAPS {
            self.pack();
        }
    }

    #[cold]
    fn pack(&mut self) {
        self.entries.retain(|entry| entry.slot != GAP);
        for (number, entry) in (self.base..=u32::MAX).chain(0..).zip(&self.entries) {
            self.back[entry.slot as usize] = number;
        }
    }

    #[inline]
    fn position(&self, slot: Slot) -> Option<usize> {
        let &number = self.back.get(slot as usize)?;
        let i = number.wrapping_sub(self.base) as usize;
        (self.entries.get(i)?.slot == slot).then_some(i)
    }

    /// Those with a deadline here.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        let slots = self.entries.iter().map(|entry| entry.slot);
        slots.filter(|&slot| slot != GAP)
    }

    /// Panics unless deadlines rise, gaps are few and inside, and `back` is
    /// exact. O(n).
    pub(super) fn check(&self, less: impl Fn(Slot, Slot) -> bool) {
        let mut last: Option<Entry> = None;
        for (i, &entry) in self.entries.iter().enumerate() {
            if entry.slot != GAP {
                assert_eq!(self.position(entry.slot), Some(i), "back reference");
                assert!(
                    last.is_none_or(|last| last.at < entry.at
                        || (last.at == entry.at && less(last.slot, entry.slot))),
                    "deadlines rise at {i}"
                );
                last = Some(entry);
            }
        }
        assert_eq!(self.slots().count(), self.len, "entries that are no gaps");
        assert!(self.entries.len() <= 2 * self.len + GAPS, "gaps are few");
        for end in [self.entries.front(), self.entries.back()] {
            assert!(end.is_none_or(|entry| entry.slot != GAP), "gaps are inside");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that stays at the front while others come and go, with numbers that
    /// wrap around: the lane is packed, and finds everyone.
    #[test]
    fn gaps_are_packed_and_numbers_wrap() {
        let less = |a: Slot, b: Slot| a < b;
        let mut lane = Lane {
            base: u32::MAX - 1_000,
            ..Lane::default()
        };
        lane.push(StoreTime(0), 0);
        for n in 1..5_000 {
            let slot = 1 + n % 7;
            lane.remove(slot);
            lane.push(StoreTime(u64::from(n)), slot);
            lane.check(less);
            assert_eq!(lane.deadline(slot), Some(StoreTime(u64::from(n))));
        }
        assert_eq!((lane.len(), lane.first()), (8, Some((StoreTime(0), 0))));
        // Packed where the numbers wrap.
        lane.base = u32::MAX - 2;
        lane.pack();
        lane.check(less);
        lane.remove(0);
        lane.check(less);
        assert_eq!(lane.len(), 7);
    }
}
