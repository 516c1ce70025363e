//! A part of a world that forks share until one of them changes it.
//!
//! A search forks a world at every step, and a step changes one host and one or
//! two links: everything else is shared, and so is what was computed of it.

use core::cell::Cell;
use core::hash::{Hash, Hasher};
use core::ops::{Deref, DerefMut};
use std::rc::Rc;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Shared<T>(Rc<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    value: T,
    /// What was computed of it, and under which circumstances.
    known: Cell<Option<(u64, Known)>>,
}

/// The identity of a part, see `identity.rs`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) identity: u64,
    /// It mentions the name of another host.
    pub(super) others: bool,
    /// The fencing numbers in it, in the order in which they come.
    pub(super) fences: Fences,
}

/// A few fencing numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fences {
    list: [u64; 3],
    len: u8,
}

impl Fences {
    /// Adds one; false if there is no room.
    pub(super) fn add(&mut self, fence: u64) -> bool {
        match self.list.get_mut(usize::from(self.len)) {
            None => false,
            Some(slot) => {
                *slot = fence;
                self.len += 1;
                true
            }
        }
    }

    pub(super) fn iter(&self) -> core::slice::Iter<'_, u64> {
        self.list[..usize::from(self.len)].iter()
    }
}

impl<T: Clone> Clone for Inner<T> {
    fn clone(&self) -> Self {
        Self {
            value: self.value.clone(),
            known: Cell::new(None),
        }
    }
}

impl<T> Shared<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Rc::new(Inner {
            value,
            known: Cell::new(None),
        }))
    }

    /// What `compute` makes of it, if it was not known under this key.
    pub(super) fn known(&self, key: u64, compute: impl FnOnce(&T) -> Known) -> Known {
        match self.0.known.get() {
            Some((known_key, known)) if known_key == key => known,
            Some(_) | None => {
                let known = compute(&self.0.value);
                self.0.known.set(Some((key, known)));
                known
            }
        }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        let inner = Rc::make_mut(&mut self.0);
        inner.known.set(None);
        &mut inner.value
    }
}

impl<T: Hash> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}
