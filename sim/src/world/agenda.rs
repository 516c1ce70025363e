//! When each source of events is due next.
//!
//! A tournament tree over a dense set of sources: each leaf holds the time of
//! its source's next event, each inner node the least of its two children.
//! Against a binary heap of events: no stale entries when a time changes,
//! ties come out in the order of the sources without sorting, and a clone is
//! one copy of flat memory. Changing a time is O(log n), finding the ties
//! O(ties · log n).

/// The time of a source that has no event.
pub(super) const NEVER: u64 = u64::MAX;

/// See the module. Invariant: every inner node is the least of its children.
#[derive(Clone, Debug)]
pub(super) struct Agenda {
    /// Node 1 is the root; leaf i is node `leaves + i`.
    tree: Vec<u64>,
    leaves: usize,
}

impl Agenda {
    pub(super) fn new(sources: usize) -> Self {
        let leaves = sources.next_power_of_two().max(2);
        Self {
            tree: vec![NEVER; 2 * leaves],
            leaves,
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

    /// Appends the sources due at `now`, in order. O(sources).
    pub(super) fn due(&self, now: u64, out: &mut Vec<usize>) {
        let leaves = self.tree[self.leaves..].iter().enumerate();
        out.extend(leaves.filter(|(_, t)| **t <= now).map(|(s, _)| s));
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
        ) {
            let mut agenda = Agenda::new(3);
            let mut plain = vec![NEVER; 64];
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
