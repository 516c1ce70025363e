//! A slab: values at small stable numbers, freed numbers reused first.
//!
//! The index, the lines and the heaps name a place by its slab number (four
//! bytes) and not by its id, so an id is stored once, whatever its size. Insert,
//! remove and access are O(1); memory is that of the high-water mark.

use alloc::vec::Vec;

/// Number of a value in a [`Slab`].
pub(super) type Slot = u32;

const NONE: Slot = Slot::MAX;

#[derive(Clone, Debug)]
enum Entry<T> {
    Used(T),
    Free { next: Slot },
}

#[derive(Clone, Debug)]
pub(super) struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: Slot,
    len: usize,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: NONE,
            len: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn insert(&mut self, value: T) -> Slot {
        self.len += 1;
        if self.free == NONE {
            let slot = self.entries.len() as Slot;
            assert!(slot != NONE, "a gate has fewer than 2³² places");
            self.entries.push(Entry::Used(value));
            return slot;
        }
        let slot = self.free;
        let entry = &mut self.entries[slot as usize];
        match *entry {
            Entry::Free { next } => self.free = next,
            Entry::Used(_) => unreachable!("the free list holds free entries only"),
        }
        *entry = Entry::Used(value);
        slot
    }

    #[inline]
    pub(super) fn remove(&mut self, slot: Slot) {
        let entry = &mut self.entries[slot as usize];
        match entry {
            Entry::Used(_) => *entry = Entry::Free { next: self.free },
            Entry::Free { .. } => unreachable!("slot {slot} is freed once"),
        }
        self.free = slot;
        self.len -= 1;
    }

    #[inline]
    pub(super) fn get(&self, slot: Slot) -> &T {
        match &self.entries[slot as usize] {
            Entry::Used(value) => value,
            Entry::Free { .. } => unreachable!("slot {slot} is in use"),
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: Slot) -> &mut T {
        match &mut self.entries[slot as usize] {
            Entry::Used(value) => value,
            Entry::Free { .. } => unreachable!("slot {slot} is in use"),
        }
    }

    /// All values, by number. The numbers depend on history: sort before the
    /// order shows.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &T)> {
        (0..)
            .zip(&self.entries)
            .filter_map(|(slot, entry)| match entry {
                Entry::Used(value) => Some((slot, value)),
                Entry::Free { .. } => None,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable_and_reused() {
        let mut slab = Slab::new();
        let (a, b, c) = (slab.insert('a'), slab.insert('b'), slab.insert('c'));
        assert_eq!((a, b, c, slab.len()), (0, 1, 2, 3));
        slab.remove(b);
        slab.remove(a);
        assert_eq!(
            (slab.insert('d'), slab.insert('e'), slab.insert('f')),
            (a, b, 3)
        );
        *slab.get_mut(c) = 'z';
        assert_eq!(*slab.get(c), 'z');
        let all: alloc::string::String = slab.iter().map(|(_, &x)| x).collect();
        assert_eq!(all, "dezf");
    }

    #[test]
    #[should_panic(expected = "freed once")]
    fn freeing_twice_is_our_own_bug() {
        let mut slab = Slab::new();
        let a = slab.insert(());
        slab.remove(a);
        slab.remove(a);
    }
}
