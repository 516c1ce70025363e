//! The nodes of a [`Line`](super::Line).

use crate::slots::slab::Slot;

pub(super) const LEAF: usize = 64;
pub(super) const INNER: usize = 32;

/// Keys in a leaf: `keys[start..start + len]`, rising.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) start: u32,
    pub(super) len: u32,
    pub(super) keys: [u64; LEAF],
    pub(super) slots: [Slot; LEAF],
}

/// `lows[i]` (i ≥ 1) is at most every key below child i and above every key
/// below child i − 1; `counts[i]` is how many keys lie below child i.
#[derive(Clone, Debug)]
pub(super) struct Inner {
    pub(super) len: usize,
    pub(super) lows: [u64; INNER],
    pub(super) counts: [u32; INNER],
    pub(super) children: [u32; INNER],
}

impl Leaf {
    pub(super) const EMPTY: Self = Self {
        start: 0,
        len: 0,
        keys: [0; LEAF],
        slots: [0; LEAF],
    };

    #[inline]
    pub(super) fn keys(&self) -> &[u64] {
        &self.keys[self.start as usize..(self.start + self.len) as usize]
    }

    #[inline]
    pub(super) fn rank(&self, key: u64) -> usize {
        let keys = self.keys();
        match keys.last() {
            Some(&last) if last >= key => keys.partition_point(|&k| k < key),
            _ => keys.len(),
        }
    }

    #[inline]
    pub(super) fn put(&mut self, i: usize, key: u64, slot: Slot) {
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
    pub(super) fn remove(&mut self, key: u64) -> Slot {
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
    pub(super) const EMPTY: Self = Self {
        len: 0,
        lows: [0; INNER],
        counts: [0; INNER],
        children: [0; INNER],
    };

    /// The child whose range holds `key`.
    #[inline]
    pub(super) fn route(&self, key: u64) -> usize {
        if key >= self.lows[self.len - 1] {
            return self.len - 1;
        }
        self.lows[1..self.len].partition_point(|&low| low <= key)
    }

    pub(super) fn put(&mut self, i: usize, low: u64, count: u32, child: u32) {
        self.lows.copy_within(i..self.len, i + 1);
        self.counts.copy_within(i..self.len, i + 1);
        self.children.copy_within(i..self.len, i + 1);
        self.lows[i] = low;
        self.counts[i] = count;
        self.children[i] = child;
        self.len += 1;
    }

    pub(super) fn take(&mut self, i: usize) {
        self.lows.copy_within(i + 1..self.len, i);
        self.counts.copy_within(i + 1..self.len, i);
        self.children.copy_within(i + 1..self.len, i);
        self.len -= 1;
    }
}
