//! Deadlines of slab numbers, the next one first.
//!
//! Deadlines nearly always come in order: they are *now* plus a duration that
//! is the same for everyone. Those that do are put at the end of a lane and
//! taken from its front or middle, all O(1) and next to each other in memory;
//! the heap takes the others, O(log n), and pays a cache miss per level when it
//! is large. Ties are broken by the caller (by id), because the order in which
//! equal deadlines are met is part of the shared semantics; both parts keep it,
//! so the next deadline is the lesser of the two next ones.
//!
//! A deadline far ahead at the end of the lane sends those behind it to the
//! heap until it is gone: then this is a heap, and a comparison more.

use super::heap::Heap;
use super::lane::Lane;
use super::slab::Slot;
use crate::time::StoreTime;

/// Deadlines of slab numbers; `less` breaks ties and must stay the same.
#[derive(Clone, Debug)]
pub(super) struct Due {
    lane: Lane,
    heap: Heap,
    /// The least deadline, `NEVER` if there is none: asking whether anything is
    /// due is one comparison.
    next: StoreTime,
}

const NEVER: StoreTime = StoreTime(u64::MAX);

impl Default for Due {
    fn default() -> Self {
        Self {
            lane: Lane::default(),
            heap: Heap::default(),
            next: NEVER,
        }
    }
}

impl Due {
    pub(super) fn len(&self) -> usize {
        self.lane.len() + self.heap.len()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.lane.is_empty() && self.heap.is_empty()
    }

    /// The least deadline and whose it is.
    pub(super) fn first(&self, less: impl Fn(Slot, Slot) -> bool) -> Option<(StoreTime, Slot)> {
        match (self.lane.first(), self.heap.first()) {
            (Some(a), Some(b)) => {
                let lane_first = a.0 < b.0 || (a.0 == b.0 && less(a.1, b.1));
                Some(if lane_first { a } else { b })
            }
            (a, b) => a.or(b),
        }
    }

    /// Whether the least deadline has been reached.
    #[inline]
    pub(super) fn is_due(&self, now: StoreTime) -> bool {
        self.next <= now && !self.is_empty()
    }

    #[inline]
    pub(super) fn deadline(&self, slot: Slot) -> Option<StoreTime> {
        if self.is_empty() {
            return None;
        }
        self.lane
            .deadline(slot)
            .or_else(|| self.heap.deadline(slot))
    }

    /// Gives `slot` this deadline, or takes its deadline away.
    #[inline]
    pub(super) fn set(
        &mut self,
        slot: Slot,
        at: Option<StoreTime>,
        less: impl Fn(Slot, Slot) -> bool,
    ) {
        if at.is_some() || !self.is_empty() {
            self.change(slot, at, less);
        }
    }

    fn change(&mut self, slot: Slot, at: Option<StoreTime>, less: impl Fn(Slot, Slot) -> bool) {
        self.lane.remove(slot);
        match at {
            Some(at) if self.lane.is_behind(at, slot, &less) => {
                self.heap.set(slot, None, less);
                self.lane.push(at, slot);
            }
            at => self.heap.set(slot, at, less),
        }
        let least = |part: Option<(StoreTime, Slot)>| part.map_or(NEVER, |(at, _)| at);
        self.next = least(self.lane.first()).min(least(self.heap.first()));
    }

    /// Panics unless both parts are in order, disjoint, and `next` is exact. O(n).
    pub(super) fn check(&self, less: impl Fn(Slot, Slot) -> bool) {
        self.lane.check(&less);
        self.heap.check(&less);
        for slot in self.lane.slots() {
            assert_eq!(self.heap.deadline(slot), None, "in one part only");
        }
        let first = self.first(less).map(|(at, _)| at);
        assert_eq!(first.unwrap_or(NEVER), self.next, "the next deadline");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::{BTreeMap, BTreeSet};
    use proptest::prelude::*;

    /// Against a sorted set of (deadline, slot), ties by descending number so
    /// that the tie-break is seen to be the caller's.
    fn agree(ops: impl Iterator<Item = (Slot, Option<u64>)>) -> (bool, bool) {
        let less = |a: Slot, b: Slot| a > b;
        let mut due = Due::default();
        let mut plain: BTreeMap<Slot, u64> = BTreeMap::new();
        let mut sorted = BTreeSet::new();
        let mut used = (false, false);
        for (slot, at) in ops {
            due.set(slot, at.map(StoreTime), less);
            due.check(less);
            let before = match at {
                Some(at) => plain.insert(slot, at),
                None => plain.remove(&slot),
            };
            sorted.remove(&before.map(|at| (at, Slot::MAX - slot)));
            sorted.extend(at.map(|at| Some((at, Slot::MAX - slot))));
            let first = sorted.first().copied().flatten();
            let first = first.map(|(at, slot)| (StoreTime(at), Slot::MAX - slot));
            assert_eq!(due.first(less), first);
            assert_eq!(due.len(), plain.len());
            assert_eq!(due.deadline(slot), at.map(StoreTime));
            for now in [0, 10, 20, u64::MAX] {
                let reached = first.is_some_and(|(at, _)| at.0 <= now);
                assert_eq!(due.is_due(StoreTime(now)), reached);
            }
            used.0 |= !due.lane.is_empty();
            used.1 |= !due.heap.is_empty();
        }
        used
    }

    proptest! {
        #[test]
        fn agrees_with_a_sorted_set(ops in prop::collection::vec((0u32..40, prop::option::of(0u64..30)), 1..400)) {
            agree(ops.into_iter());
        }

        /// A clock that runs forward, two durations, and deadlines taken away.
        #[test]
        fn agrees_where_deadlines_come_in_order(
            ops in prop::collection::vec((0u32..200, 0u64..2, prop::bool::weighted(0.6), prop::bool::weighted(0.05)), 1..600),
        ) {
            let mut now = 0;
            agree(ops.into_iter().map(|(slot, tick, set, far)| {
                now += tick;
                (slot, set.then_some(now + if far { 100 } else { 10 }))
            }));
        }
    }

    #[test]
    fn what_comes_in_order_stays_out_of_the_heap() {
        let in_order = (0..100u32).map(|n| (n, Some(u64::from(n))));
        assert_eq!(agree(in_order), (true, false));
        let one_late = [(0, Some(5)), (1, Some(6)), (2, Some(4))];
        assert_eq!(agree(one_late.into_iter()), (true, true));
    }
}
