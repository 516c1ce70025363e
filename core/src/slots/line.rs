//! A line of waiters: an ordered map from order key to slab number that also
//! answers "how many are ahead of me?".
//!
//! A counted B+tree in an arena: leaves of 64 keys side by side, inner nodes of
//! 32 children that each know how many keys lie below them. Insert, remove,
//! rank and nth are O(log n), at either end without a search in the leaf. A
//! line is joined at its end and left at its front nearly always, so a full
//! last node is not split in halves but followed by a new one (nodes stay full),
//! and taking from the front moves a start mark instead of the keys.
//!
//! Nodes are not merged when they run low; they go when they are empty ("free at
//! empty", Johnson & Shasha 1993), which keeps the code small and the height
//! that of the high-water mark. Rejected: a ring by ticket with a Fenwick tree
//! (one waiter who stays for ever makes it grow without bound), a balanced
//! binary tree (a cache miss per level, and twenty levels).

use alloc::vec::Vec;

use super::slab::Slot;

const LEAF: usize = 64;
const INNER: usize = 32;

/// Keys in a leaf: `keys[start..start + len]`, rising.
#[derive(Clone, Debug)]
struct Leaf {
    start: u32,
    len: u32,
    keys: [u64; LEAF],
    slots: [Slot; LEAF],
}

/// `lows[i]` (i ≥ 1) is at most every key below child i and above every key
/// below child i − 1; `counts[i]` is how many keys lie below child i.
#[derive(Clone, Debug)]
struct Inner {
    len: usize,
    lows: [u64; INNER],
    counts: [u32; INNER],
    children: [u32; INNER],
}

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
        let mut node = self.root;
        for _ in 0..self.height {
            node = self.inners[node as usize].children[0];
        }
        let leaf = &self.leaves[node as usize];
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
    pub(super) fn rank(&self, key: u64) -> u32 {
        if self.len == 0 {
            return 0;
        }
        if key >= self.last {
            return self.len - u32::from(key == self.last);
        }
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
        if self.len == 0 || key > self.last {
            self.last = key;
        }
        self.len += 1;
    }

    /// Removes a key that is there.
    #[inline]
    pub(super) fn remove(&mut self, key: u64) -> Slot {
        assert!(self.len > 0, "key {key} is in the line");
        let (slot, _) = self.remove_below(self.root, self.height, key);
        self.len -= 1;
        while self.height > 0 && self.inners[self.root as usize].len == 1 {
            self.free_inners.push(self.root);
            self.root = self.inners[self.root as usize].children[0];
            self.height -= 1;
        }
        if key == self.last
            && let Some((last, _)) = self.nth(self.len.wrapping_sub(1))
        {
            self.last = last;
        }
        slot
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
        let empty = Leaf {
            start: 0,
            len: 0,
            keys: [0; LEAF],
            slots: [0; LEAF],
        };
        renew(&mut self.leaves, &mut self.free_leaves, empty)
    }

    fn new_inner(&mut self) -> u32 {
        let empty = Inner {
            len: 0,
            lows: [0; INNER],
            counts: [0; INNER],
            children: [0; INNER],
        };
        renew(&mut self.inners, &mut self.free_inners, empty)
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

impl Leaf {
    #[inline]
    fn keys(&self) -> &[u64] {
        &self.keys[self.start as usize..(self.start + self.len) as usize]
    }

    #[inline]
    fn rank(&self, key: u64) -> usize {
        let keys = self.keys();
        match keys.last() {
            Some(&last) if last >= key => keys.partition_point(|&k| k < key),
            _ => keys.len(),
        }
    }

    #[inline]
    fn put(&mut self, i: usize, key: u64, slot: Slot) {
        let (mut start, len) = (self.start as usize, self.len as usize);
        if start + len == LEAF {
            self.keys.copy_within(start.., 0);
            self.slots.copy_within(start.., 0);
            self.start = 0;
            start = 0;
        }
        if i < len {
            self.keys.copy_within(start + i..start + len, start + i + 1);
            self.slots
                .copy_within(start + i..start + len, start + i + 1);
        }
        self.keys[start + i] = key;
        self.slots[start + i] = slot;
        self.len += 1;
    }

    #[inline]
    fn remove(&mut self, key: u64) -> Slot {
        let (start, len) = (self.start as usize, self.len as usize);
        let i = if len > 0 && self.keys[start] == key {
            0
        } else {
            self.rank(key)
        };
        assert!(
            i < len && self.keys[start + i] == key,
            "key {key} is in the line"
        );
        let slot = self.slots[start + i];
        self.len -= 1;
        if i == 0 {
            self.start = if len == 1 { 0 } else { self.start + 1 };
        } else {
            self.keys.copy_within(start + i + 1..start + len, start + i);
            self.slots
                .copy_within(start + i + 1..start + len, start + i);
        }
        slot
    }
}

impl Inner {
    /// The child whose range holds `key`.
    #[inline]
    fn route(&self, key: u64) -> usize {
        if key >= self.lows[self.len - 1] {
            return self.len - 1;
        }
        self.lows[1..self.len].partition_point(|&low| low <= key)
    }

    fn put(&mut self, i: usize, low: u64, count: u32, child: u32) {
        self.lows.copy_within(i..self.len, i + 1);
        self.counts.copy_within(i..self.len, i + 1);
        self.children.copy_within(i..self.len, i + 1);
        self.lows[i] = low;
        self.counts[i] = count;
        self.children[i] = child;
        self.len += 1;
    }

    fn take(&mut self, i: usize) {
        self.lows.copy_within(i + 1..self.len, i);
        self.counts.copy_within(i + 1..self.len, i);
        self.children.copy_within(i + 1..self.len, i);
        self.len -= 1;
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug)]
    enum Op {
        Append,
        Insert(u64),
        PopFirst,
        RemoveNth(u32),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            6 => Just(Op::Append),
            6 => (0u64..200_000).prop_map(Op::Insert),
            4 => Just(Op::PopFirst),
            3 => any::<u32>().prop_map(Op::RemoveNth),
        ]
    }

    fn agree(ops: &[Op], base: u64, every: usize) {
        let mut line = Line::default();
        let mut plain: BTreeMap<u64, Slot> = BTreeMap::new();
        let mut last = base;
        for (step, &op) in ops.iter().enumerate() {
            match op {
                Op::Append => {
                    last += 3;
                    line.insert(last, step as Slot);
                    plain.insert(last, step as Slot);
                }
                Op::Insert(key) if plain.contains_key(&key) => {}
                Op::Insert(key) => {
                    last = last.max(key);
                    line.insert(key, step as Slot);
                    plain.insert(key, step as Slot);
                }
                Op::PopFirst => {
                    if let Some((key, slot)) = plain.pop_first() {
                        assert_eq!(line.first(), Some((key, slot)));
                        assert_eq!(line.remove(key), slot);
                    }
                }
                Op::RemoveNth(n) if !plain.is_empty() => {
                    let n = n % plain.len() as u32;
                    let (key, slot) = plain.iter().nth(n as usize).map(|(&k, &s)| (k, s)).unwrap();
                    assert_eq!(line.nth(n), Some((key, slot)));
                    assert_eq!(line.rank(key), n);
                    assert_eq!(line.rank(key + 1), n + 1);
                    assert_eq!(line.remove(key), slot);
                    plain.remove(&key);
                }
                Op::RemoveNth(_) => {}
            }
            assert_eq!(line.len() as usize, plain.len());
            assert_eq!(line.first(), plain.first_key_value().map(|(&k, &s)| (k, s)));
            if step % every == 0 {
                line.check();
            }
        }
        line.check();
        assert!(line.iter().eq(plain.iter().map(|(&k, &s)| (k, s))));
    }

    proptest! {
        #[test]
        fn agrees_with_a_btree_map(ops in prop::collection::vec(op(), 1..500), base in 0u64..300_000) {
            agree(&ops, base, 1);
        }
    }

    /// Long enough for three levels, in the four ways a line can be filled, and
    /// drained from the front, the back, the middle.
    #[test]
    fn grows_to_several_levels_and_drains_to_nothing() {
        let n: u64 = 70_000;
        let orders: [fn(u64) -> u64; 4] = [
            |i| i,
            |i| 70_000 - i,
            |i| i * 48_271 % 70_001,
            |i| if i % 2 == 0 { i } else { 140_000 - i },
        ];
        for (which, order) in orders.iter().enumerate() {
            let mut line = Line::default();
            for i in 1..n {
                line.insert(order(i), i as Slot);
            }
            assert!(line.height >= 2);
            line.check();
            for step in 0..u64::from(line.len()) {
                let rank = match which {
                    0 => 0,
                    1 => line.len() - 1,
                    _ => (step * 7_919 % u64::from(line.len())) as u32,
                };
                let (key, _) = line.nth(rank).unwrap();
                line.remove(key);
                if step % 9_973 == 0 {
                    line.check();
                }
            }
            line.check();
            assert!(line.is_empty());
            assert_eq!(line.height, 0);
        }
    }

    /// R1.15: a line that is joined and left for ever stays as large as it was.
    #[test]
    fn a_moving_queue_does_not_grow() {
        let mut line = Line::default();
        for key in 0..1_000 {
            line.insert(key, 0);
        }
        let nodes = line.leaves.len() + line.inners.len();
        for key in 1_000..200_000 {
            line.insert(key, 0);
            let (first, _) = line.first().unwrap();
            line.remove(first);
        }
        assert!(line.leaves.len() + line.inners.len() <= nodes + 4);
        line.check();
    }
}
