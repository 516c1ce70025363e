//! An ordered sequence that knows ranks: a counted B+-tree.
//!
//! A sorted set must answer "how many come before" and "the k-th" in O(log n),
//! and forking a world must not copy it. So every inner entry carries the
//! number of items below it, and nodes are shared between clones until one of
//! them writes. Rejected: a skip list (not persistent) and a treap (shorter
//! code, but a pointer chase per bit of n; here a hundred items are two
//! contiguous leaves).

use std::rc::Rc;

use sluice_core::redis::Bytes;

/// Most items of a leaf, and most children of an inner node.
const CAP: usize = 128;

/// A member with its score; ordered by (score, member bytes).
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) score: f64,
    pub(crate) member: Bytes,
}

impl Item {
    /// Whether it comes before this one.
    #[inline]
    fn precedes(&self, score: f64, member: &[u8]) -> bool {
        self.score < score || self.score == score && *self.member < *member
    }
}

#[derive(Clone, Debug)]
enum Node {
    Leaf(Vec<Item>),
    Inner(Vec<Child>),
}

#[derive(Clone, Debug)]
struct Child {
    /// Items below.
    count: usize,
    /// The last item below: what a search compares with.
    last: Item,
    node: Rc<Node>,
}

impl Child {
    fn of(node: Node) -> Self {
        let (count, last) = match &node {
            Node::Leaf(items) => (items.len(), items.last().expect("no empty node").clone()),
            Node::Inner(children) => (
                children.iter().map(|c| c.count).sum(),
                children.last().expect("no empty node").last.clone(),
            ),
        };
        Self {
            count,
            last,
            node: Rc::new(node),
        }
    }
}

/// The sequence. Every operation is O(log n); a clone is O(1).
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    root: Rc<Node>,
    len: usize,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            root: Rc::new(Node::Leaf(Vec::new())),
            len: 0,
        }
    }
}

impl Tree {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds an item that is not there yet.
    pub(crate) fn insert(&mut self, score: f64, member: Bytes) {
        self.len += 1;
        if let Some(right) = Rc::make_mut(&mut self.root).insert(Item { score, member }) {
            let left = std::mem::replace(Rc::make_mut(&mut self.root), Node::Leaf(Vec::new()));
            self.root = Rc::new(Node::Inner(vec![Child::of(left), Child::of(right)]));
        }
    }

    /// Gives an item that is there another score.
    pub(crate) fn shift(&mut self, before: f64, member: &Bytes, score: f64) {
        // A small set is one leaf.
        if let Node::Leaf(items) = Rc::make_mut(&mut self.root) {
            let from = items.partition_point(|item| item.precedes(before, member));
            items[from].score = score;
            let precedes = |item: &Item| item.precedes(score, member);
            if score > before {
                let up = items[from + 1..].partition_point(precedes);
                items[from..=from + up].rotate_left(1);
            } else {
                let to = items[..from].partition_point(precedes);
                items[to..=from].rotate_right(1);
            }
            return;
        }
        self.remove(before, member);
        self.insert(score, member.clone());
    }

    /// Removes an item that is there; returns its member.
    pub(crate) fn remove(&mut self, score: f64, member: &[u8]) -> Bytes {
        let removed = Rc::make_mut(&mut self.root).remove(score, member);
        let member = removed.expect("the index of a sorted set has lost a member");
        self.len -= 1;
        while let Node::Inner(children) = &*self.root {
            match children.len() {
                0 => self.root = Rc::new(Node::Leaf(Vec::new())),
                1 => self.root = children[0].node.clone(),
                _ => break,
            }
        }
        member
    }

    /// How many items there are before the first for which `before` is false;
    /// `before` must be true for a prefix only.
    pub(crate) fn partition(&self, before: impl Fn(&Item) -> bool) -> usize {
        let mut node = &*self.root;
        let mut rank = 0;
        loop {
            match node {
                Node::Leaf(items) => return rank + items.partition_point(|item| before(item)),
                Node::Inner(children) => {
                    let at = children.partition_point(|child| before(&child.last));
                    rank += children[..at].iter().map(|c| c.count).sum::<usize>();
                    match children.get(at) {
                        Some(child) => node = &child.node,
                        None => return rank,
                    }
                }
            }
        }
    }

    /// How many items come before this one.
    pub(crate) fn rank(&self, score: f64, member: &[u8]) -> usize {
        self.partition(|item| item.precedes(score, member))
    }

    /// The items with ranks in `start..end`, in order.
    pub(crate) fn range(&self, start: usize, end: usize) -> Vec<&Item> {
        let end = end.min(self.len);
        let mut out = Vec::with_capacity(end.saturating_sub(start));
        if start < end {
            self.root.collect(start, end, &mut out);
        }
        out
    }
}

impl Node {
    /// Inserts below; if the node had to split, its right half.
    fn insert(&mut self, item: Item) -> Option<Node> {
        match self {
            Node::Leaf(items) => {
                let at = items.partition_point(|other| other.precedes(item.score, &item.member));
                // A queue grows at its end: leave full leaves behind, not halves.
                if items.len() == CAP && at == CAP {
                    return Some(Node::Leaf(vec![item]));
                }
                items.insert(at, item);
                (items.len() > CAP).then(|| Node::Leaf(items.split_off(CAP / 2)))
            }
            Node::Inner(children) => {
                let at = children
                    .partition_point(|c| c.last.precedes(item.score, &item.member))
                    .min(children.len() - 1);
                let child = &mut children[at];
                if child.last.precedes(item.score, &item.member) {
                    child.last = item.clone();
                }
                child.count += 1;
                if let Some(right) = Rc::make_mut(&mut child.node).insert(item) {
                    let right = Child::of(right);
                    child.count -= right.count;
                    child.last = child.node.last().clone();
                    children.insert(at + 1, right);
                }
                if children.len() <= CAP {
                    return None;
                }
                let half = if at + 2 >= children.len() {
                    CAP
                } else {
                    CAP / 2
                };
                Some(Node::Inner(children.split_off(half)))
            }
        }
    }

    fn remove(&mut self, score: f64, member: &[u8]) -> Option<Bytes> {
        match self {
            Node::Leaf(items) => {
                let at = items.partition_point(|item| item.precedes(score, member));
                let found = items.get(at).is_some_and(|item| *item.member == *member);
                found.then(|| items.remove(at).member)
            }
            Node::Inner(children) => {
                let at = children.partition_point(|c| c.last.precedes(score, member));
                let child = children.get_mut(at)?;
                let removed = Rc::make_mut(&mut child.node).remove(score, member)?;
                child.count -= 1;
                if child.count == 0 {
                    children.remove(at);
                } else {
                    if *child.last.member == *member {
                        child.last = child.node.last().clone();
                    }
                    Self::join(children, at);
                }
                Some(removed)
            }
        }
    }

    /// Merges the child with a neighbour when both fit into one node easily.
    fn join(children: &mut Vec<Child>, at: usize) {
        if children[at].node.width() > CAP / 4 || children.len() < 2 {
            return;
        }
        let left = if at + 1 < children.len() { at } else { at - 1 };
        if children[left].node.width() + children[left + 1].node.width() > CAP / 2 {
            return;
        }
        let right = children.remove(left + 1);
        let child = &mut children[left];
        match (Rc::make_mut(&mut child.node), &*right.node) {
            (Node::Leaf(a), Node::Leaf(b)) => a.extend(b.iter().cloned()),
            (Node::Inner(a), Node::Inner(b)) => a.extend(b.iter().cloned()),
            (Node::Leaf(_), Node::Inner(_)) | (Node::Inner(_), Node::Leaf(_)) => {
                unreachable!("all leaves have one depth")
            }
        }
        child.count += right.count;
        child.last = right.last;
    }

    fn width(&self) -> usize {
        match self {
            Node::Leaf(items) => items.len(),
            Node::Inner(children) => children.len(),
        }
    }

    fn last(&self) -> &Item {
        match self {
            Node::Leaf(items) => items.last().expect("no empty node"),
            Node::Inner(children) => &children.last().expect("no empty node").last,
        }
    }

    fn collect<'a>(&'a self, start: usize, end: usize, out: &mut Vec<&'a Item>) {
        match self {
            Node::Leaf(items) => out.extend(&items[start..end.min(items.len())]),
            Node::Inner(children) => {
                let mut base = 0;
                for child in children {
                    let (lo, hi) = (start.max(base), end.min(base + child.count));
                    if lo < hi {
                        child.node.collect(lo - base, hi - base, out);
                    }
                    base += child.count;
                    if base >= end {
                        break;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(n: u64) -> Bytes {
        Bytes::from(format!("m{n:03}").as_bytes())
    }

    fn check(node: &Node) -> usize {
        match node {
            Node::Leaf(items) => {
                assert!(items.len() <= CAP);
                items.len()
            }
            Node::Inner(children) => {
                assert!(children.len() <= CAP);
                for child in children {
                    assert_eq!(child.count, check(&child.node));
                    assert!(child.count > 0);
                    let last = child.node.last();
                    assert_eq!(last.score, child.last.score);
                    assert_eq!(last.member, child.last.member);
                }
                children.iter().map(|c| c.count).sum()
            }
        }
    }

    /// Against a sorted vector, through growth, shrinking and forks.
    #[test]
    fn agrees_with_a_sorted_vector() {
        let mut tree = Tree::default();
        let mut plain: Vec<(u64, Bytes)> = Vec::new();
        let mut seed = 7u64;
        let mut draw = |bound: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % bound
        };
        for round in 0..30_000 {
            let growing = (round / 7_500) % 2 == 0;
            let fork = tree.clone();
            let before = plain.len();
            if draw(10) < if growing { 7 } else { 2 } {
                let entry = (draw(50), bytes(draw(100_000)));
                if let Err(at) = plain.binary_search(&entry) {
                    tree.insert(entry.0 as f64, entry.1.clone());
                    plain.insert(at, entry);
                }
            } else if !plain.is_empty() {
                let at = draw(plain.len() as u64) as usize;
                let (score, member) = plain.remove(at);
                assert_eq!(tree.rank(score as f64, &member), at);
                tree.remove(score as f64, &member);
            }
            assert_eq!(fork.len(), before);
            assert_eq!(tree.len(), plain.len());
            if round % 500 == 0 {
                assert_eq!(check(&tree.root), plain.len());
                let lo = draw(plain.len() as u64 + 1) as usize;
                let hi = lo + draw(200) as usize;
                let ours: Vec<_> = tree
                    .range(lo, hi)
                    .iter()
                    .map(|i| i.member.clone())
                    .collect();
                let theirs: Vec<_> = plain[lo..hi.min(plain.len())]
                    .iter()
                    .map(|p| p.1.clone())
                    .collect();
                assert_eq!(ours, theirs);
                assert_eq!(
                    tree.partition(|item| item.score < 25.0),
                    plain.partition_point(|p| p.0 < 25)
                );
            }
        }
    }

    /// To shift is to remove and to insert, in one leaf and in many.
    #[test]
    fn shifts_as_if_it_were_another() {
        for count in [1u64, 2, 100, 128, 1000] {
            let (mut one, mut other) = (Tree::default(), Tree::default());
            for n in 0..count {
                one.insert((n / 3) as f64, bytes(n));
                other.insert((n / 3) as f64, bytes(n));
            }
            let mut scores: Vec<f64> = (0..count).map(|n| (n / 3) as f64).collect();
            for round in 0..2000u64 {
                let n = round * 7919 % count;
                let score = (round * 104_729 % (count / 3 + 2)) as f64 - 1.0;
                let before = std::mem::replace(&mut scores[n as usize], score);
                one.shift(before, &bytes(n), score);
                other.remove(before, &bytes(n));
                other.insert(score, bytes(n));
            }
            let all = |tree: &Tree| {
                let items = tree.range(0, usize::MAX);
                let items = items.iter().map(|item| (item.score, item.member.clone()));
                items.collect::<Vec<_>>()
            };
            assert_eq!(all(&one), all(&other), "{count}");
        }
    }

    #[test]
    fn a_queue_stays_shallow() {
        let mut tree = Tree::default();
        for n in 0..20_000u64 {
            tree.insert(n as f64, bytes(n));
            if n >= 100 {
                tree.remove((n - 100) as f64, &bytes(n - 100));
            }
        }
        let mut depth = 1;
        let mut node = tree.root.clone();
        while let Node::Inner(children) = &*node.clone() {
            depth += 1;
            node = children[0].node.clone();
        }
        assert!(depth <= 2, "{depth}");
    }
}
