//! [`Slots`] and its operations but `acquire`, which is in `join`. What every one
//! of them does before and after acting is in `housekeeping`; what can be read is
//! in `observe`.

use alloc::collections::VecDeque;
use core::hash::Hash;

use super::due::Due;
use super::index::{ByHash, ByNumber, Index};
use super::line::Line;
use super::slab::{Slab, Slot};
use super::{Config, ConfigError, Ended, Event, Fence, Flow, Nonce, Outcome, Reply, Stats};
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
pub struct Slots<Id, Ix: Index<Id> = ByHash> {
    /// With the capacity in force.
    pub(super) config: Config,
    pub(super) places: Slab<Place<Id, Ix::Key>>,
    /// Every place by its id.
    pub(super) index: Ix,
    /// In line and present, by order key.
    pub(super) waiting: Line,
    /// In line and not heard of, by order key.
    pub(super) absent: Line,
    /// Places held, offers included.
    pub(super) held: u32,
    pub(super) offers: u32,
    /// Deadlines of held places; those without lease and idle have none.
    pub(super) held_due: Due,
    /// Deadlines of places in line.
    pub(super) due: Due,
    /// Expiry of every ended place.
    pub(super) ended: Due,
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
pub(super) struct Place<Id, Key> {
    pub(super) id: Id,
    /// Of the id in the index.
    pub(super) key: Key,
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

    pub(super) const fn at(slot: Slot) -> Self {
        Self {
            slot,
            ..Self::NOBODY
        }
    }
}

impl<Id: Clone + Ord + Hash> Slots<Id> {
    /// An empty gate, for ids of any kind from anyone. `first_fence` is the number before the first grant's: the
    /// store's time in milliseconds, so that a gate that is forgotten and born
    /// again never repeats a number, or 0 where nobody checks them.
    ///
    /// # Errors
    /// See [`Config::validate`].
    pub fn new(config: Config, first_fence: Fence) -> Result<Self, ConfigError> {
        Self::with_index(config, first_fence)
    }
}

impl Slots<u32, ByNumber> {
    /// As [`Slots::new`], for ids that are small numbers: a table that is as
    /// long as the greatest of them takes the place of hashing.
    ///
    /// # Errors
    /// See [`Config::validate`].
    pub fn numbered(config: Config, first_fence: Fence) -> Result<Self, ConfigError> {
        Self::with_index(config, first_fence)
    }
}

impl<Id: Clone + Ord, Ix: Index<Id>> Slots<Id, Ix> {
    fn with_index(config: Config, first_fence: Fence) -> Result<Self, ConfigError> {
        config.validate()?;
        if first_fence > Config::FIRST_FENCE_MAX {
            return Err(ConfigError::FirstFence);
        }
        Ok(Self {
            config,
            places: Slab::new(),
            index: Ix::new(first_fence),
            waiting: Line::default(),
            absent: Line::default(),
            held: 0,
            offers: 0,
            held_due: Due::default(),
            due: Due::default(),
            ended: Due::default(),
            ticket: 0,
            fence: first_fence,
            flow: Flow::default(),
            promoted_at: None,
            stats: Stats::default(),
            events: VecDeque::new(),
        })
    }

    /// A waiter asks how it stands, and is heard. Claims an offer.
    ///
    /// Answers Granted, Waiting, Ended, Stale or Unknown.
    pub fn poll(&mut self, now: StoreTime, id: &Id, nonce: Nonce) -> Reply {
        self.begin(now);
        let Some(slot) = self.find(self.index.key(id), id) else {
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
    #[inline]
    pub fn release(&mut self, now: StoreTime, id: &Id, fence: Fence) -> Reply {
        self.begin(now);
        let outcome = match self.find_holder(now, id, fence) {
            Some(slot) => {
                self.stats.released += 1;
                self.end(now, slot, Ended::Released);
                Outcome::Released
            }
            None => Outcome::Lost,
        };
        self.finish(now, Caller::NOBODY, Some(outcome))
    }

    /// Ends an attempt whatever became of it: waiting, held, or not even here
    /// yet (then a tombstone turns its join away when it arrives).
    ///
    /// Answers Cancelled, or Stale if a newer attempt of the id is known.
    pub fn cancel(&mut self, now: StoreTime, id: &Id, nonce: Nonce) -> Reply {
        self.begin(now);
        let key = self.index.key(id);
        let outcome = match self.find(key, id) {
            None => {
                self.entomb(now, key, id, nonce);
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
    #[inline]
    pub fn poll_event(&mut self) -> Option<Event<Id>> {
        self.events.pop_front()
    }

    #[inline]
    pub(super) fn begin(&mut self, now: StoreTime) {
        if !self.events.is_empty() {
            self.events.clear();
        }
        self.expire(now);
    }

    /// Promotes, claims, and answers: with `outcome`, or by where the caller's
    /// place now is.
    #[inline]
    pub(super) fn finish(
        &mut self,
        now: StoreTime,
        mut caller: Caller,
        outcome: Option<Outcome>,
    ) -> Reply {
        self.promote(now, &mut caller);
        let outcome = match outcome {
            Some(outcome) => outcome,
            None => self.answer(now, caller),
        };
        self.settle(now, outcome)
    }

    #[inline(always)]
    pub(super) fn settle(&mut self, now: StoreTime, outcome: Outcome) -> Reply {
        let in_line = u64::from(self.waiting.len()) + u64::from(self.absent.len());
        self.stats.held_max = self.stats.held_max.max(u64::from(self.held));
        self.stats.in_line_max = self.stats.in_line_max.max(in_line);
        let more = self.left_over(now);
        #[cfg(debug_assertions)]
        self.check_counts();
        Reply { outcome, more }
    }

    #[inline]
    pub(super) fn answer(&mut self, now: StoreTime, caller: Caller) -> Outcome {
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

    /// Moves the deadlines of a claimed place.
    pub(super) fn extend(&mut self, now: StoreTime, slot: Slot, touch: bool) -> Outcome {
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
    fn entomb(&mut self, now: StoreTime, key: Ix::Key, id: &Id, nonce: Nonce) {
        if !self.config.remembers() {
            return;
        }
        let slot = self.places.insert(Place {
            id: id.clone(),
            key,
            nonce,
            order: 0,
            joined_at: now,
            heard_at: now,
            state: State::Waiting,
        });
        self.index_insert(key, slot);
        self.bury(slot, Ended::Cancelled, now.plus(self.config.tombstone_ms));
    }

    #[inline(always)]
    pub(super) fn find(&self, key: Ix::Key, id: &Id) -> Option<Slot> {
        self.index.find(key, |slot| self.places.get(slot).id == *id)
    }

    /// The slot that `id` holds under `fence`, unless its deadline has passed.
    #[inline]
    fn find_holder(&self, now: StoreTime, id: &Id, fence: Fence) -> Option<Slot> {
        let slot = self.find(self.index.key(id), id)?;
        let holds = match self.places.get(slot).state {
            State::Offered { fence: own } | State::Held { fence: own, .. } => {
                own == fence && self.held_due.deadline(slot).is_none_or(|at| at > now)
            }
            State::Waiting | State::Absent | State::Ended { .. } => false,
        };
        holds.then_some(slot)
    }

    #[inline(always)]
    pub(super) fn index_insert(&mut self, key: Ix::Key, slot: Slot) {
        let places = &self.places;
        self.index.insert(key, slot, |slot| places.get(slot).key);
    }

    #[inline]
    pub(super) fn ttl_ms(&self, now: StoreTime, slot: Slot) -> Option<u64> {
        self.held_due.deadline(slot).map(|at| at.since(now))
    }
}
