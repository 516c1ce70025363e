//! What every operation does around its own act: expire first, promote last;
//! and the transitions of a place that both share.

use super::due::Due;
use super::index::Index;
use super::machine::{Caller, Place, Slots, State};
use super::slab::{Slab, Slot};
use super::{Ended, Event, Fence};
use crate::time::StoreTime;

impl<Id: Clone + Ord, Ix: Index<Id>> Slots<Id, Ix> {
    /// Step 1: meets up to B deadlines, of holders first.
    #[inline]
    pub(super) fn expire(&mut self, now: StoreTime) {
        if self.held_due.is_due(now) || self.due.is_due(now) || self.ended.is_due(now) {
            self.expire_batch(now);
        }
    }

    #[cold]
    fn expire_batch(&mut self, now: StoreTime) {
        let mut steps = self.config.batch;
        while steps > 0 {
            if let Some(slot) = self.reached(&self.held_due, now) {
                self.expire_held(now, slot);
            } else if let Some(slot) = self.reached(&self.due, now) {
                self.expire_in_line(now, slot, &mut Caller::NOBODY.clone());
            } else if let Some(slot) = self.reached(&self.ended, now) {
                self.set_ended(slot, None);
                self.forget(slot);
            } else {
                break;
            }
            steps -= 1;
        }
    }

    /// Whose deadline is next, if it has been reached.
    fn reached(&self, due: &Due, now: StoreTime) -> Option<Slot> {
        let first = due.first(by_id(&self.places));
        first.filter(|&(at, _)| at <= now).map(|(_, slot)| slot)
    }

    /// Step 3: up to B waiters are granted, or turn out to be over.
    #[inline]
    pub(super) fn promote(&mut self, now: StoreTime, caller: &mut Caller) {
        if self.can_promote() {
            self.promote_batch(now, caller);
        }
    }

    fn promote_batch(&mut self, now: StoreTime, caller: &mut Caller) {
        let mut steps = self.config.batch;
        while steps > 0 && self.held < self.config.capacity {
            let Some((_, slot)) = self.waiting.first() else {
                break;
            };
            if self.due.deadline(slot).is_some_and(|at| at <= now) {
                self.expire_in_line(now, slot, caller);
            } else {
                self.grant(now, slot, *caller);
            }
            steps -= 1;
        }
    }

    /// Whether housekeeping is left: what `more` reports.
    #[inline]
    pub(super) fn left_over(&self, now: StoreTime) -> bool {
        self.can_promote() || self.held_due.is_due(now) || self.due.is_due(now)
    }

    #[inline]
    pub(super) fn can_promote(&self) -> bool {
        self.held < self.config.capacity && !self.waiting.is_empty()
    }

    fn expire_held(&mut self, now: StoreTime, slot: Slot) {
        let place = self.places.get_mut(slot);
        match place.state {
            State::Held { .. } => {
                self.stats.reclaimed += 1;
                self.tell_ended(slot, Ended::Expired);
                self.end(now, slot, Ended::Expired);
            }
            State::Offered { .. } => {
                let order = place.order;
                self.stats.lapsed += 1;
                self.unlink(slot);
                self.places.get_mut(slot).state = State::Absent;
                self.absent.insert(order, slot);
                self.refresh_due(slot);
            }
            State::Waiting | State::Absent | State::Ended { .. } => {
                unreachable!("only held places are in `held_due`")
            }
        }
    }

    fn expire_in_line(&mut self, now: StoreTime, slot: Slot, caller: &mut Caller) {
        let place = self.places.get_mut(slot);
        let passed = |from: StoreTime, ms: Option<u64>| ms.is_some_and(|ms| from.plus(ms) <= now);
        let abandon = self.config.presence.map(|p| p.abandon_after_ms);
        let how = if passed(place.joined_at, self.config.wait_timeout_ms) {
            self.stats.timed_out += 1;
            Ended::TimedOut
        } else if passed(place.heard_at, abandon) {
            self.stats.abandoned += 1;
            Ended::Abandoned
        } else {
            let order = place.order;
            place.state = State::Absent;
            self.waiting.remove(order);
            self.absent.insert(order, slot);
            self.refresh_due(slot);
            return;
        };
        if caller.slot == slot {
            caller.ended = Some(how);
        } else {
            self.tell_ended(slot, how);
        }
        self.end(now, slot, how);
    }

    /// Promotes the first of the line.
    #[inline]
    fn grant(&mut self, now: StoreTime, slot: Slot, caller: Caller) {
        self.unlink(slot);
        let own = caller.slot == slot;
        if !(own && caller.joined) {
            if let Some(last) = self.promoted_at {
                self.flow.record(now.since(last));
            }
            self.promoted_at = (!self.waiting.is_empty()).then_some(now);
        }
        self.fence += 1;
        self.held += 1;
        let fence = self.fence;
        let wait_ms = match self.config.presence {
            Some(presence) => {
                self.offers += 1;
                let place = self.places.get_mut(slot);
                place.state = State::Offered { fence };
                let wait_ms = now.since(place.joined_at);
                let until = now.plus(presence.claim_within_ms);
                let less = by_id(&self.places);
                self.held_due.set(slot, Some(until), less);
                wait_ms
            }
            None => self.claim(now, slot, fence),
        };
        if !own {
            let place = self.places.get(slot);
            self.events.push_back(Event::Granted {
                id: place.id.clone(),
                nonce: place.nonce,
                fence,
                wait_ms,
                offer: self.config.presence.is_some(),
            });
        }
    }

    /// Makes a held place claimed, and counts it. Says how long it waited.
    #[inline]
    pub(super) fn claim(&mut self, now: StoreTime, slot: Slot, fence: Fence) -> u64 {
        let wait_ms = now.since(self.places.get(slot).joined_at);
        self.places.get_mut(slot).state = self.held_state(now, fence, wait_ms);
        self.stats.claimed(wait_ms);
        self.refresh_held(slot);
        wait_ms
    }

    #[inline]
    pub(super) fn held_state(&self, now: StoreTime, fence: Fence, wait_ms: u64) -> State {
        State::Held {
            fence,
            wait_ms,
            alive_until: now.plus(self.config.lease_ms.unwrap_or(0)),
            active_until: now.plus(self.config.idle_ms.unwrap_or(0)),
        }
    }

    /// The waiter was heard of: an absent one is back in its old place.
    pub(super) fn hear(&mut self, now: StoreTime, slot: Slot) {
        let place = self.places.get_mut(slot);
        place.heard_at = now;
        match place.state {
            State::Waiting => {}
            State::Absent => {
                let order = place.order;
                place.state = State::Waiting;
                self.absent.remove(order);
                self.waiting.insert(order, slot);
            }
            State::Offered { .. } | State::Held { .. } | State::Ended { .. } => return,
        }
        self.refresh_due(slot);
    }

    /// Ends a live place: its tombstone, if any, is remembered from now on.
    #[inline]
    pub(super) fn end(&mut self, now: StoreTime, slot: Slot, how: Ended) {
        self.unlink(slot);
        if self.config.remembers() {
            self.bury(slot, how, now.plus(self.config.tombstone_ms));
        } else {
            self.forget(slot);
        }
    }

    /// Takes a live place out of its zone; the caller puts it into another.
    #[inline(always)]
    pub(super) fn unlink(&mut self, slot: Slot) {
        let place = self.places.get(slot);
        match place.state {
            State::Waiting => {
                self.waiting.remove(place.order);
                self.unlink_due(slot);
            }
            State::Absent => {
                self.absent.remove(place.order);
                self.unlink_due(slot);
            }
            State::Offered { .. } => {
                self.offers -= 1;
                self.unlink_held(slot);
            }
            State::Held { .. } => self.unlink_held(slot),
            State::Ended { .. } => unreachable!("an ended place is not live"),
        }
    }

    #[inline]
    fn unlink_due(&mut self, slot: Slot) {
        if !self.due.is_empty() {
            let less = by_id(&self.places);
            self.due.set(slot, None, less);
        }
    }

    #[inline]
    fn unlink_held(&mut self, slot: Slot) {
        self.held -= 1;
        if !self.held_due.is_empty() {
            let less = by_id(&self.places);
            self.held_due.set(slot, None, less);
        }
    }

    /// Puts an unlinked place among the ended, and drops the oldest of these
    /// that are too many (it may be this one).
    pub(super) fn bury(&mut self, slot: Slot, how: Ended, until: StoreTime) {
        self.places.get_mut(slot).state = State::Ended { how };
        self.set_ended(slot, Some(until));
        while self.ended.len() > self.config.tombstones_max as usize {
            let Some((_, oldest)) = self.ended.first(by_id(&self.places)) else {
                break;
            };
            self.set_ended(oldest, None);
            self.forget(oldest);
        }
    }

    /// Removes every trace of an unlinked place.
    #[inline]
    pub(super) fn forget(&mut self, slot: Slot) {
        let key = self.places.get(slot).key;
        self.places.remove(slot);
        self.index.remove(key, slot);
    }

    #[inline]
    pub(super) fn set_ended(&mut self, slot: Slot, until: Option<StoreTime>) {
        let less = by_id(&self.places);
        self.ended.set(slot, until, less);
    }

    /// Sets the next deadline of a place in line.
    #[inline]
    pub(super) fn refresh_due(&mut self, slot: Slot) {
        let at = self.next_due(slot);
        let less = by_id(&self.places);
        self.due.set(slot, at, less);
    }

    /// The next deadline of a place in line, from what its record says.
    #[inline]
    pub(super) fn next_due(&self, slot: Slot) -> Option<StoreTime> {
        let place = self.places.get(slot);
        let waiting = place.state == State::Waiting;
        let (config, joined_at, heard_at) = (&self.config, place.joined_at, place.heard_at);
        let wait = config.wait_timeout_ms.map(|ms| joined_at.plus(ms));
        let silence = config.presence.map(|presence| {
            let abandon = heard_at.plus(presence.abandon_after_ms);
            if waiting {
                abandon.min(heard_at.plus(presence.absent_after_ms))
            } else {
                abandon
            }
        });
        least(wait, silence)
    }

    /// Sets the deadline of a claimed place.
    #[inline]
    pub(super) fn refresh_held(&mut self, slot: Slot) {
        let leased = self.config.lease_ms.is_some() || self.config.idle_ms.is_some();
        // Without leases only offers have deadlines, this one perhaps.
        if leased || !self.held_due.is_empty() {
            self.set_held(slot);
        }
    }

    fn set_held(&mut self, slot: Slot) {
        if let State::Held {
            alive_until,
            active_until,
            ..
        } = self.places.get(slot).state
        {
            let alive = self.config.lease_ms.map(|_| alive_until);
            let active = self.config.idle_ms.map(|_| active_until);
            let less = by_id(&self.places);
            self.held_due.set(slot, least(alive, active), less);
        }
    }

    fn tell_ended(&mut self, slot: Slot, how: Ended) {
        let place = self.places.get(slot);
        self.events.push_back(Event::Ended {
            id: place.id.clone(),
            nonce: place.nonce,
            how,
        });
    }
}

/// Equal deadlines are met in the order of ids.
pub(super) fn by_id<Id: Ord, Key>(
    places: &Slab<Place<Id, Key>>,
) -> impl Fn(Slot, Slot) -> bool + '_ {
    |a, b| places.get(a).id < places.get(b).id
}

/// The lesser of two, where `None` is never.
#[inline]
fn least(a: Option<StoreTime>, b: Option<StoreTime>) -> Option<StoreTime> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
