//! [`Slots::acquire`]: joining, joining again, taking over.

use super::index::Index;
use super::machine::{Caller, Place, Slots, State};
use super::slab::Slot;
use super::{Class, Ended, Nonce, Outcome, Rejected, Reply};
use crate::time::StoreTime;

/// A tombstone set aside while its id tries to join again.
struct Tombstone {
    nonce: Nonce,
    how: Ended,
    until: StoreTime,
}

impl<Id: Clone + Ord, Ix: Index<Id>> Slots<Id, Ix> {
    /// Joins, or repeats a join: the same id and nonce always find the same
    /// place. With `wait` false a newcomer that would have to wait is rejected
    /// as busy.
    ///
    /// Answers Granted, Waiting, Rejected, Stale, or Ended (its wait timed out
    /// in this very call).
    #[inline]
    pub fn acquire(
        &mut self,
        now: StoreTime,
        id: Id,
        nonce: Nonce,
        class: Class,
        wait: bool,
    ) -> Reply {
        self.begin(now);
        let key = self.index.key(&id);
        match self.find(key, &id) {
            None if self.walks_in(now) => self.walk_in(now, key, id, nonce, class),
            None => self.join(now, key, id, nonce, class, wait),
            Some(slot) => self.join_again(now, slot, nonce, class, wait),
        }
    }

    /// Whether a newcomer finds a free slot and nobody in line. (At the end of
    /// time even a newcomer's deadline has passed already.)
    #[inline]
    fn walks_in(&self, now: StoreTime) -> bool {
        self.held < self.config.capacity
            && self.waiting.is_empty()
            && self.absent.is_empty()
            && now.0 < u64::MAX
    }

    /// A newcomer that [`walks_in`](Self::walks_in) is granted without being put
    /// in line only to be taken out of it again: this is what joining, promotion
    /// and claim come to.
    #[inline]
    fn walk_in(
        &mut self,
        now: StoreTime,
        key: Ix::Key,
        id: Id,
        nonce: Nonce,
        class: Class,
    ) -> Reply {
        self.fence += 1;
        self.held += 1;
        let fence = self.fence;
        let order = self.take_order(class);
        let slot = self.places.insert(Place {
            id,
            key,
            nonce,
            order,
            joined_at: now,
            heard_at: now,
            state: self.held_state(now, fence, 0),
        });
        self.index_insert(key, slot);
        self.promoted_at = None;
        self.stats.claimed(0);
        self.refresh_held(slot);
        let ttl_ms = self.ttl_ms(now, slot);
        let outcome = Outcome::Granted {
            fence,
            ttl_ms,
            wait_ms: 0,
        };
        self.settle(now, outcome)
    }

    fn join(
        &mut self,
        now: StoreTime,
        key: Ix::Key,
        id: Id,
        nonce: Nonce,
        class: Class,
        wait: bool,
    ) -> Reply {
        if wait && self.is_full() {
            return self.reject(now, Rejected::Full);
        }
        let order = self.take_order(class);
        let slot = self.places.insert(Place {
            id,
            key,
            nonce,
            order,
            joined_at: now,
            heard_at: now,
            state: State::Waiting,
        });
        self.index_insert(key, slot);
        self.enter(now, slot, None, wait)
    }

    /// A join whose id is known.
    fn join_again(
        &mut self,
        now: StoreTime,
        slot: Slot,
        nonce: Nonce,
        class: Class,
        wait: bool,
    ) -> Reply {
        let known = self.places.get(slot).nonce;
        let stale = Some(Outcome::Stale { nonce: known });
        match self.places.get(slot).state {
            State::Ended { how } if nonce > known => {
                let until = self.ended.deadline(slot).unwrap_or_default();
                let tombstone = Tombstone {
                    nonce: known,
                    how,
                    until,
                };
                self.rejoin(now, slot, tombstone, nonce, class, wait)
            }
            State::Ended { .. } => self.finish(now, Caller::NOBODY, stale),
            State::Waiting | State::Absent | State::Offered { .. } | State::Held { .. } => {
                if nonce < known {
                    return self.finish(now, Caller::NOBODY, stale);
                }
                if nonce > known {
                    self.take_over(now, slot, nonce);
                }
                self.hear(now, slot);
                self.finish(now, Caller::at(slot), None)
            }
        }
    }

    fn rejoin(
        &mut self,
        now: StoreTime,
        slot: Slot,
        tombstone: Tombstone,
        nonce: Nonce,
        class: Class,
        wait: bool,
    ) -> Reply {
        if wait && self.is_full() {
            return self.reject(now, Rejected::Full);
        }
        let order = self.take_order(class);
        self.set_ended(slot, None);
        let place = self.places.get_mut(slot);
        place.nonce = nonce;
        place.order = order;
        place.joined_at = now;
        place.heard_at = now;
        place.state = State::Waiting;
        self.enter(now, slot, Some(tombstone), wait)
    }

    /// The rest of a join that enters the line.
    #[inline]
    fn enter(
        &mut self,
        now: StoreTime,
        slot: Slot,
        tombstone: Option<Tombstone>,
        wait: bool,
    ) -> Reply {
        if self.waiting.is_empty() {
            self.promoted_at = None;
        }
        let order = self.places.get(slot).order;
        self.waiting.insert(order, slot);
        self.refresh_due(slot);
        let mut caller = Caller {
            slot,
            joined: true,
            ended: None,
        };
        self.promote(now, &mut caller);
        if !wait && caller.ended.is_none() && self.is_in_line(slot) {
            self.unlink(slot);
            match tombstone {
                None => self.forget(slot),
                Some(Tombstone { nonce, how, until }) => {
                    self.places.get_mut(slot).nonce = nonce;
                    self.bury(slot, how, until);
                }
            }
            self.stats.rejected += 1;
            return self.settle(now, Outcome::Rejected(Rejected::Busy));
        }
        let outcome = self.answer(now, caller);
        self.settle(now, outcome)
    }

    fn reject(&mut self, now: StoreTime, why: Rejected) -> Reply {
        self.stats.rejected += 1;
        self.finish(now, Caller::NOBODY, Some(Outcome::Rejected(why)))
    }

    /// A newer attempt of the same id takes its place over.
    fn take_over(&mut self, now: StoreTime, slot: Slot, nonce: Nonce) {
        let fence = self.fence + 1;
        let place = self.places.get_mut(slot);
        place.nonce = nonce;
        match &mut place.state {
            State::Offered { fence: own } => {
                *own = fence;
                self.fence = fence;
            }
            State::Held { fence: own, .. } => {
                *own = fence;
                self.fence = fence;
                self.extend(now, slot, true);
            }
            State::Waiting | State::Absent | State::Ended { .. } => {}
        }
    }

    #[inline]
    fn is_full(&self) -> bool {
        let counted = if self.config.count_absent {
            u64::from(self.absent.len())
        } else {
            0
        };
        let in_line = u64::from(self.waiting.len()) + counted;
        let free = u64::from(self.config.capacity.saturating_sub(self.held));
        in_line + 1 > u64::from(self.config.queue_limit) + free
    }

    /// Takes a ticket and makes the order key of it.
    #[inline]
    fn take_order(&mut self, class: Class) -> u64 {
        self.ticket += 1;
        let boost = u64::from(self.config.boosts[usize::from(class.get())]);
        (self.ticket + (1 << 32) - boost) * 4 + u64::from(class.get())
    }

    fn is_in_line(&self, slot: Slot) -> bool {
        match self.places.get(slot).state {
            State::Waiting | State::Absent => true,
            State::Offered { .. } | State::Held { .. } | State::Ended { .. } => false,
        }
    }
}
