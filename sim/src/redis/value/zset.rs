//! A sorted set: scores by member, and members by (score, member).

use hashbrown::HashMap;
use sluice_core::redis::Bytes;

use super::tree::{Item, Tree};
use crate::digest::FixedState;
use crate::redis::hash;

/// A sorted set. Lookup by member is O(1); rank, range and change O(log n).
#[derive(Clone, Debug, Default)]
pub struct ZSet {
    scores: HashMap<Bytes, f64, FixedState>,
    order: Tree,
    digest: u64,
}

impl ZSet {
    /// Number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The member's score.
    #[must_use]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).copied()
    }

    /// How many members come before this one.
    #[must_use]
    pub fn rank(&self, member: &[u8]) -> Option<usize> {
        let score = self.score(member)?;
        Some(self.order.rank(score, member))
    }

    /// Members and scores of the ranks `start..end`, in order.
    #[must_use]
    pub fn range(&self, start: usize, end: usize) -> Vec<(&Bytes, f64)> {
        let items = self.order.range(start, end);
        items.into_iter().map(|i| (&i.member, i.score)).collect()
    }

    /// All members whose score is in `min..=max`, in order.
    #[must_use]
    pub fn range_by_score(&self, min: f64, max: f64) -> Vec<(&Bytes, f64)> {
        let start = self.partition(|score, _| score < min);
        let end = self.partition(|score, _| score <= max);
        self.range(start, end)
    }

    /// How many members there are before the first for which `before` is
    /// false; it must be true for a prefix only.
    pub(crate) fn partition(&self, before: impl Fn(f64, &[u8]) -> bool) -> usize {
        self.order
            .partition(|Item { score, member }| before(*score, member))
    }

    /// Sets a member's score; whether it is new.
    pub(crate) fn insert(&mut self, member: &Bytes, score: f64) -> bool {
        self.update(member, |_| Some(score)).is_none()
    }

    /// Gives a member the score that `to` says, from the one that it has; leaves
    /// it alone for `None`. Returns the score it had.
    pub(crate) fn update(
        &mut self,
        member: &Bytes,
        to: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> Option<f64> {
        let Some(kept) = self.scores.get_mut(member) else {
            if let Some(score) = to(None) {
                self.digest = self.digest.wrapping_add(mix(member, score));
                self.scores.insert(member.clone(), score);
                self.order.insert(score, member.clone());
            }
            return None;
        };
        let before = *kept;
        if let Some(score) = to(Some(before))
            && score.to_bits() != before.to_bits()
        {
            *kept = score;
            self.digest = self
                .digest
                .wrapping_sub(mix(member, before))
                .wrapping_add(mix(member, score));
            self.order.shift(before, member, score);
        }
        Some(before)
    }

    /// Removes a member; its score, if it was there.
    pub(crate) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let score = self.scores.remove(member)?;
        self.order.remove(score, member);
        self.digest = self.digest.wrapping_sub(mix(member, score));
        Some(score)
    }

    /// Depends on the members and their scores alone.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }
}

fn mix(member: &[u8], score: f64) -> u64 {
    hash::pair(member, &(score + 0.0).to_bits().to_le_bytes())
}
