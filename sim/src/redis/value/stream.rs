//! A stream: entries by id, and the consumer groups that share them out.
//!
//! A group knows what it has delivered last and what is still unacknowledged
//! (*pending*); each pending entry belongs to one consumer. Pending entries may
//! outlive the entry itself, when that is deleted or trimmed away.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;
use std::rc::Rc;

use sluice_core::redis::Bytes;

use super::nodes::{Full, Nodes};
use crate::digest::Digest;

/// When an entry was added, in milliseconds, and a number among those of that
/// millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    /// Milliseconds since the Unix epoch, unless the producer chose otherwise.
    pub ms: u64,
    /// Number within the millisecond.
    pub seq: u64,
}

impl StreamId {
    pub(crate) const MIN: Self = Self { ms: 0, seq: 0 };
    pub(crate) const MAX: Self = Self {
        ms: u64::MAX,
        seq: u64::MAX,
    };

    /// The id after this one; none after the last.
    pub(crate) fn next(self) -> Option<Self> {
        match (self.ms, self.seq) {
            (u64::MAX, u64::MAX) => None,
            (ms, u64::MAX) => Some(Self { ms: ms + 1, seq: 0 }),
            (ms, seq) => Some(Self { ms, seq: seq + 1 }),
        }
    }

    /// The id before this one; none before the first.
    pub(crate) fn previous(self) -> Option<Self> {
        match (self.ms, self.seq) {
            (0, 0) => None,
            (ms, 0) => Some(Self {
                ms: ms - 1,
                seq: u64::MAX,
            }),
            (ms, seq) => Some(Self { ms, seq: seq - 1 }),
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// Fields and values of an entry, alternating.
pub type Fields = Rc<[Bytes]>;

/// An append-only log with groups. Lookup and change by id are O(log n).
#[derive(Clone, Debug, Default, Hash)]
pub struct Stream {
    pub(crate) entries: BTreeMap<StreamId, Fields>,
    pub(crate) last: StreamId,
    /// How many were ever added.
    pub(crate) added: u64,
    /// The greatest id that was deleted by name.
    pub(crate) max_deleted: StreamId,
    pub(crate) groups: BTreeMap<Bytes, Group>,
    pub(super) nodes: Nodes,
}

/// Consumers who share a stream between them.
#[derive(Clone, Debug, Default, Hash)]
pub struct Group {
    pub(crate) last: StreamId,
    /// How many of the stream's entries it has read or passed over, if known.
    pub(crate) read: Option<i64>,
    pub(crate) pending: BTreeMap<StreamId, Pending>,
    pub(crate) consumers: BTreeMap<Bytes, Consumer>,
}

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Debug, Hash)]
pub struct Pending {
    pub(crate) consumer: Bytes,
    pub(crate) delivered_ms: i64,
    pub(crate) count: i64,
}

/// A member of a group.
#[derive(Clone, Debug, Hash)]
pub struct Consumer {
    /// Its share of the group's pending entries.
    pub(crate) pending: BTreeSet<StreamId>,
    /// When it last asked.
    pub(crate) seen_ms: i64,
    /// When it last was given something.
    pub(crate) active_ms: Option<i64>,
}

impl Stream {
    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry. The key of an empty stream stays.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All entries with their fields and values (alternating), oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (StreamId, &[Bytes])> {
        self.entries.iter().map(|(id, fields)| (*id, &**fields))
    }

    /// The ids that are delivered to a group and not acknowledged, with the
    /// consumer who has each; `None` without such a group.
    #[must_use]
    pub fn pending(&self, group: &[u8]) -> Option<Vec<(StreamId, &[u8])>> {
        let pending = self.groups.get(group)?.pending.iter();
        Some(pending.map(|(id, p)| (*id, &*p.consumer)).collect())
    }

    pub(crate) fn first(&self) -> StreamId {
        self.entries.keys().next().copied().unwrap_or_default()
    }

    pub(crate) fn append(&mut self, id: StreamId, fields: Fields, full: Full) {
        debug_assert!(id > self.last, "ids grow");
        self.nodes.add(id, &fields, full);
        self.entries.insert(id, fields);
        self.last = id;
        self.added += 1;
    }

    /// Deletes an entry by name; whether it was there.
    pub(crate) fn delete(&mut self, id: StreamId) -> bool {
        let gone = self.entries.remove(&id).is_some();
        if gone {
            self.nodes.delete(id);
            self.max_deleted = self.max_deleted.max(id);
        }
        gone
    }

    /// Drops the oldest entries, so many.
    pub(super) fn drop_first(&mut self, count: usize) {
        for _ in 0..count {
            self.entries.pop_first();
        }
    }

    /// Whether something in this range was deleted by name, as far as it is
    /// remembered.
    fn has_gaps(&self, range: RangeInclusive<StreamId>) -> bool {
        let known = !self.entries.is_empty() && self.max_deleted != StreamId::MIN;
        known && range.contains(&self.max_deleted)
    }

    /// How many entries there ever were up to this id, if that can be told.
    pub(crate) fn count_until(&self, id: StreamId) -> Option<i64> {
        let (added, len) = (self.added as i64, self.len() as i64);
        if self.added == 0 {
            return Some(0);
        }
        if self.is_empty() && id <= self.last {
            return Some(added);
        }
        if id != StreamId::MIN && id < self.max_deleted || id > self.last {
            return None;
        }
        if id == self.last {
            return Some(added);
        }
        let first = self.first();
        let whole = self.max_deleted == StreamId::MIN || self.max_deleted < first;
        match id.cmp(&first) {
            std::cmp::Ordering::Less if whole => Some(added - len),
            std::cmp::Ordering::Equal if whole => Some(added - len + 1),
            _ => None,
        }
    }

    /// How far a group is behind, if that can be told; `ahead`: also where only
    /// what lies ahead of it can be counted.
    pub(crate) fn lag(&self, group: &Group, ahead: bool) -> Option<i64> {
        if self.added == 0 || ahead && self.is_empty() {
            return Some(0);
        }
        if ahead && group.last < self.first() && self.max_deleted < self.first() {
            return Some(self.len() as i64);
        }
        let known = group
            .read
            .filter(|_| !self.has_gaps(group.last..=StreamId::MAX));
        let read = known.or_else(|| self.count_until(group.last))?;
        Some(self.added as i64 - read)
    }

    /// What the group's count becomes when it goes on to this id.
    pub(crate) fn read_after(&self, group: &Group, id: StreamId) -> Option<i64> {
        match group.read {
            Some(read) if !self.has_gaps(id..=StreamId::MAX) => Some(read + 1),
            read if self.added == 0 => read,
            _ => self.count_until(id),
        }
    }

    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = Digest::default();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

impl Group {
    /// The consumer is seen now, and made if it is new; whether it is.
    pub(crate) fn see(&mut self, name: &Bytes, now_ms: i64) -> bool {
        let new = !self.consumers.contains_key(name);
        let consumer = self.consumers.entry(name.clone()).or_insert(Consumer {
            pending: BTreeSet::new(),
            seen_ms: now_ms,
            active_ms: None,
        });
        consumer.seen_ms = now_ms;
        new
    }

    /// Makes an entry pending with a consumer who exists, whoever had it before.
    pub(crate) fn assign(&mut self, id: StreamId, pending: Pending) {
        self.release(id);
        if let Some(consumer) = self.consumers.get_mut(&pending.consumer) {
            consumer.pending.insert(id);
            self.pending.insert(id, pending);
        }
    }

    /// The entry is not pending any more; what was known of it.
    pub(crate) fn release(&mut self, id: StreamId) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        if let Some(consumer) = self.consumers.get_mut(&pending.consumer) {
            consumer.pending.remove(&id);
        }
        Some(pending)
    }

    /// The consumer is gone, and all that was pending with it; how many.
    pub(crate) fn dismiss(&mut self, name: &[u8]) -> usize {
        let Some(consumer) = self.consumers.remove(name) else {
            return 0;
        };
        for id in &consumer.pending {
            self.pending.remove(id);
        }
        consumer.pending.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_step_over_the_edge_of_a_millisecond() {
        let edge = StreamId {
            ms: 1,
            seq: u64::MAX,
        };
        let after = StreamId { ms: 2, seq: 0 };
        assert_eq!(edge.next(), Some(after));
        assert_eq!(after.previous(), Some(edge));
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(StreamId::MIN.previous(), None);
    }
}
