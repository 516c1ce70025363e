//! Queues that are mostly empty, or as good as empty, and copied all the time.

use smallvec::SmallVec;

/// First in, first out. One item needs no memory of its own: a search forks
/// these a million times a second.
pub type InOrder<T> = SmallVec<[T; 1]>;

/// Takes the first. O(items).
pub fn pop_first<T>(list: &mut InOrder<T>) -> Option<T> {
    match list.len() {
        0 | 1 => list.pop(), // the rule: nothing to move
        _ => Some(list.remove(0)),
    }
}
