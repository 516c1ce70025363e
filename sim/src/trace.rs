//! What happened in a run, kept for those who want to look back.
//!
//! The world itself remembers only its last step, so that it stays cheap to
//! clone. A [`Trace`] keeps the latest happenings, for timelines, within a
//! bound; a digest after every step tells where two runs part (R6.7).

use std::collections::VecDeque;

use crate::store::Store;
use crate::world::{Happening, Program, World};

/// One happening, with its place in the run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// In which step, from 1.
    pub step: u64,
    /// When, in nanoseconds of true time.
    pub at_ns: u64,
    /// What.
    pub happening: Happening,
}

/// The latest happenings of a run, and the digest after each step.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    entries: VecDeque<Entry>,
    limit: usize,
    dropped: u64,
    digests: Vec<u64>,
    digests_max: usize,
}

impl Trace {
    /// Keeps at most `entries` happenings (the latest) and `digests` digests
    /// (the first).
    #[must_use]
    pub fn new(entries: usize, digests: usize) -> Self {
        Self {
            limit: entries,
            digests_max: digests,
            ..Self::default()
        }
    }

    /// Keeps what the last step of this world did. Call it once after each.
    pub fn record<P: Program, S: Store>(&mut self, world: &World<P, S>) {
        if self.digests.len() < self.digests_max {
            self.digests.push(world.digest());
        }
        for happening in world.happenings() {
            if self.entries.len() >= self.limit {
                self.dropped += 1;
                if self.entries.pop_front().is_none() {
                    continue;
                }
            }
            self.entries.push_back(Entry {
                step: world.steps(),
                at_ns: world.now(),
                happening: happening.clone(),
            });
        }
    }

    /// What is kept, in order.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.entries.iter()
    }

    /// How many earlier happenings are not kept any more.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The digest after each step, from the first.
    #[must_use]
    pub fn digests(&self) -> &[u64] {
        &self.digests
    }

    /// The first step (from 1) after which two runs differ, as far as both
    /// kept digests; `None` if they are the same and equally long.
    #[must_use]
    pub fn parts_from(&self, other: &Self) -> Option<u64> {
        let (a, b) = (&self.digests, &other.digests);
        let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        (same < a.len().max(b.len())).then_some(same as u64 + 1)
    }
}
