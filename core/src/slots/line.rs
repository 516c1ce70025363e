//! A line of waiters: an ordered map from order key to slab number that also
//! answers "how many are ahead of me?".
//!
//! A counted B+tree in an arena: leaves of 64 keys side by side, inner nodes of
//! 32 children that each know how many keys lie below them. Insert, remove,
//! rank and nth are O(log n). A line is joined at its end and left at its front
//! nearly always: both are done without a search, a full last node is not split
//! in halves but followed by a new one (nodes stay full), and taking from the
//! front moves a start mark instead of the keys.
//!
//! Nodes are not merged when they run low; they go when they are empty ("free at
//! empty", Johnson & Shasha 1993), which keeps the code small and the height
//! that of the high-water mark. Rejected: a ring by ticket with a Fenwick tree
//! (one waiter who stays for ever makes it grow without bound), a balanced
//! binary tree (a cache miss per level, and twenty levels).

mod node;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use self::node::{INNER, Inner, LEAF, Leaf};
use super::slab::Slot;

/// The right half of a node that was split, for its parent.
struct Split {
    low: u64,
    count: u32,
    node: u32,
}

/// See the module's header.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    leaves: Vec<Leaf>,
    inners: Vec<Inner>,
    free_leaves: Vec<u32>,
    free_inners: Vec<u32>,
    root: u32,
    /// Levels of inner nodes above the leaves.
    height: u32,
    len: u32,
    /// The leaf with the least key, and the one with the greatest.
    edges: [u32; 2],
    /// The greatest key, if there is one: who joins at the end asks at once how
    /// many are ahead.
    last: u64,
}

impl Line {
    #[inline]
    pub(super) const fn len(&self) -> u32 {
        self.len
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The least key and its slab number.
    #[inline]
    pub(super) fn first(&self) -> Option<(u64, Slot)> {
        if self.len == 0 {
            return None;
        }
        let leaf = &self.leaves[self.edges[0] as usize];
        let i = leaf.start as usize;
        Some((leaf.keys[i], leaf.slots[i]))
    }

    /// The entry with exactly `rank` smaller keys.
    pub(super) fn nth(&self, mut rank: u32) -> Option<(u64, Slot)> {
        if rank >= self.len {
            return None;
        }
        let mut node = self.root;
        for _ in 0..self.height {
            let inner = &self.inners[node as usize];
            let mut i = 0;
            while rank >= inner.counts[i] {
                rank -= inner.counts[i];
                i += 1;
            }
            node = inner.children[i];
        }
        let leaf = &self.leaves[node as usize];
        let i = (leaf.start + rank) as usize;
        Some((leaf.keys[i], leaf.slots[i]))
    }

    /// How many keys are smaller than `key`, which need not be there.
    #[inline]
    pub(super) fn rank(&self, key: u64) -> u32 {
        if self.len == 0 {
            0
        } else if key >= self.last {
            self.len - u32::from(key == self.last)
        } else {
            self.rank_inside(key)
        }
    }

    fn rank_inside(&self, key: u64) -> u32 {
        let (mut node, mut rank) = (self.root, 0);
        for _ in 0..self.height {
            let inner = &self.inners[node as usize];
            let i = inner.route(key);
            rank += inner.counts[..i].iter().sum::<u32>();
            node = inner.children[i];
        }
        rank + self.leaves[node as usize].rank(key) as u32
    }

    /// Adds a key that is not there.
    #[inline]
    pub(super) fn insert(&mut self, key: u64, slot: Slot) {
        let at_end = self.len == 0 || key > self.last;
        if !(at_end && self.append(key, slot)) {
            self.insert_inside(key, slot);
        }
        if at_end {
            self.last = key;
        }
        self.len += 1;
    }

    /// Removes a key that is there.
    #[inline]
    pub(super) fn remove(&mut self, key: u64) -> Slot {
        assert!(self.len > 0, "key {key} is in the line");
        let slot = match self.take_first(key) {
            Some(slot) => slot,
            None => self.remove_inside(key),
        };
        self.len -= 1;
        slot
    }

    /// Adds the greatest key, if the last leaf has room for it.
    #[inline]
    fn append(&mut self, key: u64, slot: Slot) -> bool {
        let Some(leaf) = self.leaves.get_mut(self.edges[1] as usize) else {
            return false;
        };
        let room = (leaf.len as usize) < LEAF;
        if room {
            leaf.put(leaf.len as usize, key, slot);
            let mut node = self.root;
            for _ in 0..self.height {
                let inner = &mut self.inners[node as usize];
                let i = inner.len - 1;
                inner.counts[i] += 1;
                node = inner.children[i];
            }
        }
        room
    }

    /// Removes `key` if it is the least and not alone in its leaf.
    #[inline]
    fn take_first(&mut self, key: u64) -> Option<Slot> {
        let leaf = &mut self.leaves[self.edges[0] as usize];
        if leaf.keys().first() != Some(&key) || (leaf.len == 1 && self.height > 0) {
            return None;
        }
        let slot = leaf.remove(key);
        let mut node = self.root;
        for _ in 0..self.height {
            let inner = &mut self.inners[node as usize];
            inner.counts[0] -= 1;
            node = inner.children[0];
        }
        Some(slot)
    }

    fn insert_inside(&mut self, key: u64, slot: Slot) {
        if self.leaves.is_empty() {
            self.root = self.new_leaf();
        }
        if let Some(split) = self.insert_below(self.root, self.height, key, slot) {
            let (left, count) = (self.root, self.len + 1 - split.count);
            self.root = self.new_inner();
            self.height += 1;
            let root = &mut self.inners[self.root as usize];
            root.put(0, 0, count, left);
            root.put(1, split.low, split.count, split.node);
        }
        self.find_edges();
    }

    fn remove_inside(&mut self, key: u64) -> Slot {
        let (slot, _) = self.remove_below(self.root, self.height, key);
        while self.height > 0 && self.inners[self.root as usize].len == 1 {
            self.free_inners.push(self.root);
            self.root = self.inners[self.root as usize].children[0];
            self.height -= 1;
        }
        self.find_edges();
        if key == self.last {
            let leaf = &self.leaves[self.edges[1] as usize];
            self.last = leaf.keys().last().copied().unwrap_or(key);
        }
        slot
    }

    fn find_edges(&mut self) {
        self.edges = [self.root; 2];
        for _ in 0..self.height {
            let [first, last] = self.edges;
            let last = &self.inners[last as usize];
            self.edges = [
                self.inners[first as usize].children[0],
                last.children[last.len - 1],
            ];
        }
    }

    /// All entries by rising key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Slot)> {
        (0..self.len).filter_map(|rank| self.nth(rank))
    }

    fn insert_below(&mut self, node: u32, height: u32, key: u64, slot: Slot) -> Option<Split> {
        if height == 0 {
            return self.insert_in_leaf(node, key, slot);
        }
        let inner = &mut self.inners[node as usize];
        let i = inner.route(key);
        inner.counts[i] += 1;
        let child = inner.children[i];
        let split = self.insert_below(child, height - 1, key, slot)?;
        let inner = &mut self.inners[node as usize];
        inner.counts[i] -= split.count;
        if inner.len < INNER {
            inner.put(i + 1, split.low, split.count, split.node);
            return None;
        }
        // Full. Behind the last child a new node is begun; elsewhere, halves.
        let right_node = self.new_inner();
        let (inner, right) = two(&mut self.inners, node, right_node);
        let low = if i + 1 == INNER {
            right.put(0, split.low, split.count, split.node);
            split.low
        } else {
            let half = INNER / 2;
            for j in half..INNER {
                right.put(j - half, inner.lows[j], inner.counts[j], inner.children[j]);
            }
            inner.len = half;
            if i < half {
                inner.put(i + 1, split.low, split.count, split.node);
            } else {
                right.put(i + 1 - half, split.low, split.count, split.node);
            }
            right.lows[0]
        };
        Some(Split {
            low,
            count: right.counts[..right.len].iter().sum(),
            node: right_node,
        })
    }

    fn insert_in_leaf(&mut self, node: u32, key: u64, slot: Slot) -> Option<Split> {
        let leaf = &mut self.leaves[node as usize];
        let i = leaf.rank(key);
        if (leaf.len as usize) < LEAF {
            leaf.put(i, key, slot);
            return None;
        }
        let right_node = self.new_leaf();
        let (leaf, right) = two(&mut self.leaves, node, right_node);
        if i == LEAF {
            right.put(0, key, slot);
        } else {
            let half = LEAF / 2;
            right.keys[..half].copy_from_slice(&leaf.keys[half..]);
            right.slots[..half].copy_from_slice(&leaf.slots[half..]);
            right.len = half as u32;
            leaf.len = half as u32;
            if i <= half {
                leaf.put(i, key, slot);
            } else {
                right.put(i - half, key, slot);
            }
        }
        Some(Split {
            low: right.keys[right.start as usize],
            count: right.len,
            node: right_node,
        })
    }

    /// The slab number removed, and whether the node is empty now (and freed).
    fn remove_below(&mut self, node: u32, height: u32, key: u64) -> (Slot, bool) {
        if height == 0 {
            let leaf = &mut self.leaves[node as usize];
            let slot = leaf.remove(key);
            let empty = leaf.len == 0;
            if empty && self.height > 0 {
                self.free_leaves.push(node);
            }
            return (slot, empty);
        }
        let inner = &mut self.inners[node as usize];
        let i = inner.route(key);
        inner.counts[i] -= 1;
        let child = inner.children[i];
        let (slot, emptied) = self.remove_below(child, height - 1, key);
        if !emptied {
            return (slot, false);
        }
        let inner = &mut self.inners[node as usize];
        inner.take(i);
        let empty = inner.len == 0;
        if empty {
            self.free_inners.push(node);
        }
        (slot, empty)
    }

    fn new_leaf(&mut self) -> u32 {
        renew(&mut self.leaves, &mut self.free_leaves, Leaf::EMPTY)
    }

    fn new_inner(&mut self) -> u32 {
        renew(&mut self.inners, &mut self.free_inners, Inner::EMPTY)
    }

    /// Panics unless keys rise, counts are exact and bounds hold. O(n).
    pub(super) fn check(&self) {
        let mut last = None;
        let mut nodes = 0;
        let mut count = 0;
        if !self.leaves.is_empty() {
            count = self.check_below(self.root, self.height, &mut last, &mut nodes);
        }
        assert_eq!(count, self.len, "keys in the tree");
        assert!(last.is_none_or(|last| last == self.last), "the last key");
        let made = self.leaves.len() + self.inners.len();
        let free = self.free_leaves.len() + self.free_inners.len();
        assert_eq!(made, free + nodes, "nodes are in the tree or free");
        if !self.leaves.is_empty() {
            let ends = [self.nth(0), self.nth(self.len.wrapping_sub(1))];
            let [first, last] = self.edges.map(|leaf| self.leaves[leaf as usize].keys());
            assert_eq!(ends[0].map(|end| end.0), first.first().copied(), "edge");
            assert_eq!(ends[1].map(|end| end.0), last.last().copied(), "edge");
        }
    }

    fn check_below(
        &self,
        node: u32,
        height: u32,
        last: &mut Option<u64>,
        nodes: &mut usize,
    ) -> u32 {
        *nodes += 1;
        if height == 0 {
            let leaf = &self.leaves[node as usize];
            assert!(
                leaf.len > 0 || self.height == 0,
                "only the root may be empty"
            );
            for &key in leaf.keys() {
                assert!(last.is_none_or(|last| last < key), "keys rise at {key}");
                *last = Some(key);
            }
            return leaf.len;
        }
        let inner = &self.inners[node as usize];
        assert!(inner.len > 0, "inner nodes have children");
        let mut sum = 0;
        for i in 0..inner.len {
            assert!(
                i == 0 || last.is_some_and(|last| last < inner.lows[i]),
                "lows are above what lies left of them"
            );
            let count = self.check_below(inner.children[i], height - 1, last, nodes);
            assert_eq!(count, inner.counts[i], "counts are exact");
            sum += count;
        }
        sum
    }
}

fn renew<T>(nodes: &mut Vec<T>, free: &mut Vec<u32>, empty: T) -> u32 {
    if let Some(node) = free.pop() {
        nodes[node as usize] = empty;
        return node;
    }
    nodes.push(empty);
    (nodes.len() - 1) as u32
}

/// Two different nodes at once.
fn two<T>(nodes: &mut [T], a: u32, b: u32) -> (&mut T, &mut T) {
    let [a, b] = nodes
        .get_disjoint_mut([a as usize, b as usize])
        .expect("a new node is not the one that is split");
    (a, b)
}
