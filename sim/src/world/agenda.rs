//! When each source of events is due next.
//!
//! A tournament tree over a dense set of sources: each leaf holds the time of
//! its source's next event, each inner node the least of its two children.
//! Against a binary heap of events: no stale entries when a time changes,
//! ties come out in the order of the sources without sorting, and a clone is
//! one copy of flat memory. Changing a time is O(log n), finding the ties
//! O(ties · log n). In adversarial running, where time stands still and
//! everything that is due is asked for again and again, who is due is kept as a
//! set of bits.

/// The time of a source that has no event.
pub(super) const NEVER: u64 = u64::MAX;

/// See the module. Invariant: every inner node is the least of its children.
#[derive(Clone, Debug)]
pub(super) struct Agenda {
    /// Node 1 is the root; leaf i is node `leaves + i`.
    tree: Vec<u64>,
    leaves: usize,
    /// A bit for each leaf: whether it is due at `watched`.
    due: Vec<u64>,
    watched: u64,
}

impl Agenda {
    pub(super) fn new(sources: usize) -> Self {
        let leaves = sources.next_power_of_two().max(2);
        Self {
            tree: vec![NEVER; 2 * leaves],
            leaves,
            due: vec![0; leaves.div_ceil(64)],
            watched: 0,
        }
    }

    /// Sets the time of a source's next event. Makes room for new sources.
    pub(super) fn set(&mut self, source: usize, time: u64) {
        if source >= self.leaves {
            self.grow(source + 1);
        }
        let mut at = self.leaves + source;
        if self.tree[at] == time {
            return;
        }
        self.tree[at] = time;
        self.mark(source);
        while at > 1 {
            at /= 2;
            let least = self.tree[2 * at].min(self.tree[2 * at + 1]);
            if self.tree[at] == least {
                return;
            }
            self.tree[at] = least;
        }
    }

    pub(super) fn get(&self, source: usize) -> u64 {
        self.tree[self.leaves + source]
    }

    /// The earliest time of all.
    fn earliest(&self) -> u64 {
        self.tree[1]
    }

    /// Appends the sources whose time is the earliest, in order.
    pub(super) fn first(&self, out: &mut Vec<usize>) {
        if self.earliest() != NEVER {
            self.collect(1, self.earliest(), out);
        }
    }

    /// From now on keeps who is due at `now`.
    pub(super) fn watch(&mut self, now: u64) {
        if self.watched != now {
            self.watched = now;
            (0..self.leaves).for_each(|source| self.mark(source));
        }
    }

    /// Appends the sources due at `now`, in order. O(sources), or O(due +
    /// sources ÷ 64) if they are kept.
    pub(super) fn due(&self, now: u64, out: &mut Vec<usize>) {
        if self.watched != now {
            let leaves = self.tree[self.leaves..].iter().enumerate();
            return out.extend(leaves.filter(|(_, t)| **t <= now).map(|(s, _)| s));
        }
        for (word, first) in self.due.iter().zip((0..).step_by(64)) {
            let mut left = *word;
            while left != 0 {
                out.push(first + left.trailing_zeros() as usize);
                left &= left - 1;
            }
        }
    }

    fn mark(&mut self, source: usize) {
        let bit = 1 << (source % 64);
        if self.get(source) <= self.watched {
            self.due[source / 64] |= bit;
        } else {
            self.due[source / 64] &= !bit;
        }
    }

    /// Appends the sources that are the earliest after `now`, in order.
    /// O(sources).
    pub(super) fn next_after(&self, now: u64, out: &mut Vec<usize>) {
        let leaves = &self.tree[self.leaves..];
        let next = leaves.iter().copied().filter(|t| *t > now).min();
        if let Some(next) = next.filter(|t| *t != NEVER) {
            out.extend((0..self.leaves).filter(|s| leaves[*s] == next));
        }
    }

    fn collect(&self, node: usize, time: u64, out: &mut Vec<usize>) {
        if self.tree[node] > time {
            return;
        }
        if node >= self.leaves {
            out.push(node - self.leaves);
            return;
        }
        self.collect(2 * node, time, out);
        self.collect(2 * node + 1, time, out);
    }

    fn grow(&mut self, sources: usize) {
        let old = core::mem::replace(self, Self::new(sources));
        self.watched = old.watched;
        for source in 0..old.leaves {
            self.set(source, old.get(source));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_plain_list(
            changes in prop::collection::vec((0usize..40, prop_oneof![0u64..20, Just(NEVER)]), 1..200),
            now in 0u64..20,
            earlier in 0u64..20,
        ) {
            let mut agenda = Agenda::new(3);
            let mut plain = vec![NEVER; 64];
            agenda.watch(earlier);
            for (source, time) in changes {
                agenda.set(source, time);
                plain[source] = time;
                let least = *plain.iter().min().unwrap();
                prop_assert_eq!(agenda.earliest(), least);
                let mut first = Vec::new();
                agenda.first(&mut first);
                let ties: Vec<usize> = (0..64).filter(|s| least != NEVER && plain[*s] == least).collect();
                prop_assert_eq!(first, ties);
            }
            for now in [earlier, now] { // who is due is kept, and is not
                let mut due = Vec::new();
                agenda.due(now, &mut due);
                let expected: Vec<usize> = (0..64).filter(|s| plain[*s] <= now).collect();
                prop_assert_eq!(due, expected);
            }
            let mut open = Vec::new();
            agenda.due(now, &mut open);
            agenda.next_after(now, &mut open);
            let next = plain.iter().copied().filter(|t| *t > now).min().unwrap_or(NEVER);
            let mut expected: Vec<usize> = (0..64).filter(|s| plain[*s] <= now).collect();
            expected.extend((0..64).filter(|s| next != NEVER && plain[*s] == next));
            prop_assert_eq!(open, expected);
        }
    }
}
