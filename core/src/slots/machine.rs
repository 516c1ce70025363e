//! The operations of [`Slots`]. What every one of them does before and after
//! acting is in `housekeeping`; what can be read is in `observe`.

use alloc::collections::VecDeque;
use core::hash::Hash;

use hashbrown::HashTable;

use super::hash::Seed;
use super::heap::Heap;
use super::line::Line;
use super::slab::{Slab, Slot};
use super::{
    Class, Config, ConfigError, Ended, Event, Fence, Flow, Nonce, Outcome, Rejected, Reply, Stats,
};
use crate::time::StoreTime;

/// The gate: `capacity` slots and a FIFO queue, for ids of any kind.
///
/// * **Commands** (change state; `now` first): [`acquire`](Self::acquire),
///   [`poll`](Self::poll), [`renew`](Self::renew), [`release`](Self::release),
///   [`cancel`](Self::cancel), [`resize`](Self::resize), [`sweep`](Self::sweep).
///   Each does bounded housekeeping first and promotes last, and answers with a
///   [`Reply`], whose `more` asks for another call.
/// * **Output**, to be drained after every command:
///   [`poll_event`](Self::poll_event) until `None` (the next command drops what
///   was left), then [`deadline`](Self::deadline).
/// * **Getters** (change nothing): [`status`](Self::status),
///   [`position`](Self::position), [`held`](Self::held),
///   [`waiting`](Self::waiting), [`absent`](Self::absent),
///   [`config`](Self::config), [`check`](Self::check).
///
/// Every command is O(B·log n) in places, with B the batch of the
/// configuration, and O(log n) when nothing is due; the index adds an amortised
/// O(1). Nothing is allocated once the high-water mark has been reached.
/// `Hash` covers what decides the future and not the statistics; it does not
/// depend on where places lie in memory.
///
/// ```
/// use sluice_core::slots::{Class, Config, Outcome, Slots};
/// use sluice_core::time::StoreTime;
///
/// let mut slots = Slots::new(Config::limiter(1, None), 0)?;
/// let now = StoreTime(0);
/// let first = slots.acquire(now, 7u64, 1, Class::ZERO, true);
/// let Outcome::Granted { fence, .. } = first.outcome else { panic!("{first:?}") };
/// let second = slots.acquire(now, 8, 1, Class::ZERO, true);
/// assert!(matches!(second.outcome, Outcome::Waiting { position: 1, .. }));
/// assert_eq!(slots.release(now, &7, fence).outcome, Outcome::Released);
/// assert!(slots.poll_event().is_some(), "8 is woken");
/// # Ok::<(), sluice_core::slots::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Slots<Id> {
    /// With the capacity in force.
    pub(super) config: Config,
    pub(super) seed: Seed,
    pub(super) places: Slab<Place<Id>>,
    /// Every place by its id.
    pub(super) index: HashTable<Slot>,
    /// In line and present, by order key.
    pub(super) waiting: Line,
    /// In line and not heard of, by order key.
    pub(super) absent: Line,
    /// Places held, offers included.
    pub(super) held: u32,
    pub(super) offers: u32,
    /// Deadlines of held places; those without lease and idle have none.
    pub(super) held_due: Heap,
    /// Deadlines of places in line.
    pub(super) due: Heap,
    /// Expiry of every ended place.
    pub(super) ended: Heap,
    /// The last ticket taken.
    pub(super) ticket: u64,
    /// The last fencing number taken.
    pub(super) fence: Fence,
    pub(super) flow: Flow,
    /// The last promotion, if the queue has not been empty since.
    pub(super) promoted_at: Option<StoreTime>,
    pub(super) stats: Stats,
    pub(super) events: VecDeque<Event<Id>>,
}

/// One id's place. For an ended one only `id`, `nonce` and `state` mean anything.
#[derive(Clone, Debug)]
pub(super) struct Place<Id> {
    pub(super) id: Id,
    /// Of the id, so that it is computed once.
    pub(super) hash: u64,
    pub(super) nonce: Nonce,
    pub(super) order: u64,
    pub(super) joined_at: StoreTime,
    pub(super) heard_at: StoreTime,
    pub(super) state: State,
}

/// The zone of a place, with what only places there have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    Waiting,
    Absent,
    /// Held, not claimed yet; the claim deadline is in `held_due`.
    Offered {
        fence: Fence,
    },
    /// Held and claimed. The deadlines mean something only where configured.
    Held {
        fence: Fence,
        wait_ms: u64,
        alive_until: StoreTime,
        active_until: StoreTime,
    },
    Ended {
        how: Ended,
    },
}

/// Who calls, as far as promotion is concerned: the caller's place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) slot: Slot,
    /// It joined in this very operation.
    pub(super) joined: bool,
    /// Its place ended while others, or it, were promoted.
    pub(super) ended: Option<Ended>,
}

impl Caller {
    /// The caller of an operation without a place of its own.
    pub(super) const NOBODY: Self = Self {
        slot: Slot::MAX,
        joined: false,
        ended: None,
    };

    const fn at(slot: Slot) -> Self {
        Self {
            slot,
            ..Self::NOBODY
        }
    }
}

/// A tombstone set aside while its id tries to join again.
struct Tombstone {
    nonce: Nonce,
    how: Ended,
    until: StoreTime,
}

impl<Id: Clone + Ord + Hash> Slots<Id> {
    /// An empty gate. `first_fence` is the number before the first grant's: the
    /// store's time in milliseconds, so that a gate that is forgotten and born
    /// again never repeats a number, or 0 where nobody checks them.
    ///
    /// # Errors
    /// See [`Config::validate`].
    pub fn new(config: Config, first_fence: Fence) -> Result<Self, ConfigError> {
        config.validate()?;
        if first_fence > Config::FIRST_FENCE_MAX {
            return Err(ConfigError::FirstFence);
        }
        Ok(Self {
            config,
            seed: Seed::new(first_fence),
            places: Slab::new(),
            index: HashTable::new(),
            waiting: Line::default(),
            absent: Line::default(),
            held: 0,
            offers: 0,
            held_due: Heap::default(),
            due: Heap::default(),
            ended: Heap::default(),
            ticket: 0,
            fence: first_fence,
            flow: Flow::default(),
            promoted_at: None,
            stats: Stats::default(),
            events: VecDeque::new(),
        })
    }

    /// Joins, or repeats a join: the same id and nonce always find the same
    /// place. With `wait` false a newcomer that would have to wait is rejected
    /// as busy.
    ///
    /// Answers Granted, Waiting, Rejected, Stale, or Ended (its wait timed out
    /// in this very call).
    pub fn acquire(
        &mut self,
        now: StoreTime,
        id: Id,
        nonce: Nonce,
        class: Class,
        wait: bool,
    ) -> Reply {
        self.begin(now);
        let hash = self.seed.hash(&id);
        let Some(slot) = self.find(hash, &id) else {
            return self.join(now, hash, id, nonce, class, wait);
        };
        let known = self.places.get(slot).nonce;
        match self.places.get(slot).state {
            State::Ended { how } if nonce > known => {
                let until = self.ended.deadline(slot).unwrap_or_default();
                let tombstone = Tombstone {
                    nonce: known,
                    how,
                    until,
                };
                return self.rejoin(now, slot, tombstone, nonce, class, wait);
            }
            State::Ended { .. } => {
                return self.finish(now, Caller::NOBODY, Some(Outcome::Stale { nonce: known }));
            }
            State::Waiting | State::Absent | State::Offered { .. } | State::Held { .. } => {}
        }
        if nonce < known {
            return self.finish(now, Caller::NOBODY, Some(Outcome::Stale { nonce: known }));
        }
        if nonce > known {
            self.take_over(now, slot, nonce);
        }
        self.hear(now, slot);
        self.finish(now, Caller::at(slot), None)
    }

    /// A waiter asks how it stands, and is heard. Claims an offer.
    ///
    /// Answers Granted, Waiting, Ended, Stale or Unknown.
    pub fn poll(&mut self, now: StoreTime, id: &Id, nonce: Nonce) -> Reply {
        self.begin(now);
        let Some(slot) = self.find(self.seed.hash(id), id) else {
            return self.finish(now, Caller::NOBODY, Some(Outcome::Unknown));
        };
        let place = self.places.get(slot);
        let outcome = if place.nonce != nonce {
            Outcome::Stale { nonce: place.nonce }
        } else if let State::Ended { how } = place.state {
            Outcome::Ended(how)
        } else {
            self.hear(now, slot);
            return self.finish(now, Caller::at(slot), None);
        };
        self.finish(now, Caller::NOBODY, Some(outcome))
    }

    /// Heartbeat of a holder; with `touch` also a sign of real use.
    ///
    /// Answers Renewed, or Lost: stop, the slot is not yours.
    pub fn renew(&mut self, now: StoreTime, id: &Id, fence: Fence, touch: bool) -> Reply {
        self.begin(now);
        let outcome = match self.find_holder(now, id, fence) {
            Some(slot) => self.extend(now, slot, touch),
            None => Outcome::Lost,
        };
        self.finish(now, Caller::NOBODY, Some(outcome))
    }

    /// Gives a slot back and promotes whoever is next.
    ///
    /// Answers Released, or Lost: it was not this holder's any more, and
    /// nothing was changed.
    pub fn release(&mut self, now: StoreTime, id: &Id, fence: Fence) -> Reply {
        self.begin(now);
        let hash = self.seed.hash(id);
        let places = &self.places;
        let found = self
            .index
            .find_entry(hash, |&slot| places.get(slot).id == *id);
        let outcome = match found {
            Ok(entry) if Self::holds(places, &self.held_due, now, *entry.get(), fence) => {
                let slot = *entry.get();
                self.stats.released += 1;
                if self.config.remembers() {
                    self.end(now, slot, Ended::Released);
                } else {
                    // What `end` comes to, without looking for the entry again.
                    entry.remove();
                    self.unlink(slot);
                    self.places.remove(slot);
                }
                Outcome::Released
            }
            Ok(_) | Err(_) => Outcome::Lost,
        };
        self.finish(now, Caller::NOBODY, Some(outcome))
    }

    /// Ends an attempt whatever became of it: waiting, held, or not even here
    /// yet (then a tombstone turns its join away when it arrives).
    ///
    /// Answers Cancelled, or Stale if a newer attempt of the id is known.
    pub fn cancel(&mut self, now: StoreTime, id: &Id, nonce: Nonce) -> Reply {
        self.begin(now);
        let hash = self.seed.hash(id);
        let outcome = match self.find(hash, id) {
            None => {
                self.entomb(now, hash, id, nonce);
                Outcome::Cancelled
            }
            Some(slot) => {
                let place = self.places.get_mut(slot);
                if place.nonce > nonce {
                    Outcome::Stale { nonce: place.nonce }
                } else {
                    place.nonce = nonce;
                    if !matches!(place.state, State::Ended { .. }) {
                        self.stats.cancelled += 1;
                        self.end(now, slot, Ended::Cancelled);
                    }
                    Outcome::Cancelled
                }
            }
        };
        self.finish(now, Caller::NOBODY, Some(outcome))
    }

    /// Changes the capacity of a live gate. Nobody is evicted: after shrinking,
    /// nobody is granted until enough holders have left.
    ///
    /// # Errors
    /// [`ConfigError::Capacity`], and nothing is changed.
    pub fn resize(&mut self, now: StoreTime, capacity: u32) -> Result<Reply, ConfigError> {
        let config = Config {
            capacity,
            ..self.config
        };
        config.validate()?;
        self.begin(now);
        let from = self.config.capacity;
        self.config = config;
        self.flow.rescale(from, capacity);
        Ok(self.finish(now, Caller::NOBODY, Some(Outcome::Resized { from })))
    }

    /// Housekeeping alone, for gates whose clients do not poll.
    pub fn sweep(&mut self, now: StoreTime) -> Reply {
        self.begin(now);
        self.finish(now, Caller::NOBODY, Some(Outcome::Swept))
    }

    /// The next thing that others than the caller must hear of, until `None`.
    pub fn poll_event(&mut self) -> Option<Event<Id>> {
        self.events.pop_front()
    }

    #[inline]
    fn begin(&mut self, now: StoreTime) {
        if !self.events.is_empty() {
            self.events.clear();
        }
        self.expire(now);
    }

    /// Promotes, claims, and answers: with `outcome`, or by where the caller's
    /// place now is.
    #[inline]
    fn finish(&mut self, now: StoreTime, mut caller: Caller, outcome: Option<Outcome>) -> Reply {
        self.promote(now, &mut caller);
        let outcome = match outcome {
            Some(outcome) => outcome,
            None => self.answer(now, caller),
        };
        self.settle(now, outcome)
    }

    #[inline(always)]
    fn settle(&mut self, now: StoreTime, outcome: Outcome) -> Reply {
        let in_line = u64::from(self.waiting.len()) + u64::from(self.absent.len());
        self.stats.held_max = self.stats.held_max.max(u64::from(self.held));
        self.stats.in_line_max = self.stats.in_line_max.max(in_line);
        let more = self.left_over(now);
        #[cfg(debug_assertions)]
        self.check_counts();
        Reply { outcome, more }
    }

    #[inline]
    fn answer(&mut self, now: StoreTime, caller: Caller) -> Outcome {
        if let Some(how) = caller.ended {
            return Outcome::Ended(how);
        }
        let slot = caller.slot;
        if let State::Offered { fence } = self.places.get(slot).state {
            self.offers -= 1;
            self.claim(now, slot, fence);
        }
        let place = self.places.get(slot);
        match place.state {
            State::Held { fence, wait_ms, .. } => Outcome::Granted {
                fence,
                ttl_ms: self.ttl_ms(now, slot),
                wait_ms,
            },
            State::Waiting | State::Absent => Outcome::Waiting {
                position: self.position_of(place.order),
                flow: self.flow,
            },
            State::Offered { .. } | State::Ended { .. } => {
                unreachable!("an offer was just claimed, an ending is in `caller.ended`")
            }
        }
    }

    #[inline]
    fn join(
        &mut self,
        now: StoreTime,
        hash: u64,
        id: Id,
        nonce: Nonce,
        class: Class,
        wait: bool,
    ) -> Reply {
        if wait && self.is_full() {
            return self.reject(now, Rejected::Full);
        }
        let order = self.take_order(class);
        let walks_in = self.walks_in(now);
        let slot = self.places.insert(Place {
            id,
            hash,
            nonce,
            order,
            joined_at: now,
            heard_at: now,
            state: if walks_in {
                self.held_state(now, self.fence + 1, 0)
            } else {
                State::Waiting
            },
        });
        self.index_insert(hash, slot);
        if walks_in {
            return self.admit(now, slot);
        }
        self.enter(now, slot, None, wait)
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
        let walks_in = self.walks_in(now);
        let held = self.held_state(now, self.fence + 1, 0);
        self.set_ended(slot, None);
        let place = self.places.get_mut(slot);
        place.nonce = nonce;
        place.order = order;
        place.joined_at = now;
        place.heard_at = now;
        if walks_in {
            place.state = held;
            return self.admit(now, slot);
        }
        place.state = State::Waiting;
        self.enter(now, slot, Some(tombstone), wait)
    }

    /// Whether a newcomer finds a free slot and nobody in line: it is granted
    /// without being put in line only to be taken out of it again. (At the end
    /// of time even a newcomer's deadline has passed already.)
    #[inline]
    fn walks_in(&self, now: StoreTime) -> bool {
        self.waiting.is_empty() && self.held < self.config.capacity && now.0 < u64::MAX
    }

    /// The rest of a join that walks in: what entering the line, promotion and
    /// claim would come to.
    #[inline(always)]
    fn admit(&mut self, now: StoreTime, slot: Slot) -> Reply {
        self.promoted_at = None;
        self.fence += 1;
        self.held += 1;
        self.stats.claimed(0);
        self.refresh_held(slot);
        let outcome = Outcome::Granted {
            fence: self.fence,
            ttl_ms: self.ttl_ms(now, slot),
            wait_ms: 0,
        };
        self.settle(now, outcome)
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

    /// Moves the deadlines of a claimed place.
    fn extend(&mut self, now: StoreTime, slot: Slot, touch: bool) -> Outcome {
        let (lease, idle) = (self.config.lease_ms, self.config.idle_ms);
        match &mut self.places.get_mut(slot).state {
            State::Held {
                alive_until,
                active_until,
                ..
            } => {
                *alive_until = now.plus(lease.unwrap_or(0));
                if touch {
                    *active_until = now.plus(idle.unwrap_or(0));
                }
            }
            // An offer is renewed by claiming it.
            State::Waiting | State::Absent | State::Offered { .. } | State::Ended { .. } => {
                return Outcome::Lost;
            }
        }
        self.refresh_held(slot);
        Outcome::Renewed {
            ttl_ms: self.ttl_ms(now, slot),
        }
    }

    /// A tombstone for an attempt that has not arrived yet.
    fn entomb(&mut self, now: StoreTime, hash: u64, id: &Id, nonce: Nonce) {
        if !self.config.remembers() {
            return;
        }
        let slot = self.places.insert(Place {
            id: id.clone(),
            hash,
            nonce,
            order: 0,
            joined_at: now,
            heard_at: now,
            state: State::Waiting,
        });
        self.index_insert(hash, slot);
        self.bury(slot, Ended::Cancelled, now.plus(self.config.tombstone_ms));
    }

    #[inline(always)]
    fn find(&self, hash: u64, id: &Id) -> Option<Slot> {
        self.index
            .find(hash, |&slot| self.places.get(slot).id == *id)
            .copied()
    }

    /// The slot that `id` holds under `fence`, unless its deadline has passed.
    #[inline]
    fn find_holder(&self, now: StoreTime, id: &Id, fence: Fence) -> Option<Slot> {
        let slot = self.find(self.seed.hash(id), id)?;
        Self::holds(&self.places, &self.held_due, now, slot, fence).then_some(slot)
    }

    #[inline(always)]
    fn holds(
        places: &Slab<Place<Id>>,
        held_due: &Heap,
        now: StoreTime,
        slot: Slot,
        fence: Fence,
    ) -> bool {
        match places.get(slot).state {
            State::Offered { fence: own } | State::Held { fence: own, .. } => {
                own == fence && held_due.deadline(slot).is_none_or(|at| at > now)
            }
            State::Waiting | State::Absent | State::Ended { .. } => false,
        }
    }

    #[inline(always)]
    fn index_insert(&mut self, hash: u64, slot: Slot) {
        let places = &self.places;
        self.index
            .insert_unique(hash, slot, |&slot| places.get(slot).hash);
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

    fn ttl_ms(&self, now: StoreTime, slot: Slot) -> Option<u64> {
        self.held_due.deadline(slot).map(|at| at.since(now))
    }
}
