//! What can be read of [`Slots`] without changing it, and the checks that it
//! is sound.

use alloc::vec::Vec;
use core::fmt;
use core::hash::{Hash, Hasher};

use super::due::Due;
use super::housekeeping::by_id;
use super::index::Index;
use super::machine::{Slots, State};
use super::slab::Slot;
use super::{Config, Ended, Held, InLine, Nonce, Reason, Status};
use crate::time::StoreTime;

impl<Id: Clone + Ord, Ix: Index<Id>> Slots<Id, Ix> {
    /// Everything that is counted. O(1).
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            config: self.config,
            held: u64::from(self.held),
            offers: u64::from(self.offers),
            waiting: u64::from(self.waiting.len()),
            absent: u64::from(self.absent.len()),
            remembered: self.ended.len() as u64,
            stats: self.stats,
            flow: self.flow,
        }
    }

    /// The configuration, with the capacity now in force.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Whether a newcomer would be granted at once: a slot is free and nobody
    /// present waits for it. O(1).
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.held < self.config.capacity && self.waiting.is_empty()
    }

    /// Places ahead of `id` plus one, if it is in line. O(log n).
    #[must_use]
    pub fn position(&self, id: &Id) -> Option<u64> {
        let slot = self.find(self.index.key(id), id)?;
        let place = self.places.get(slot);
        match place.state {
            State::Waiting | State::Absent => Some(self.position_of(place.order)),
            State::Offered { .. } | State::Held { .. } | State::Ended { .. } => None,
        }
    }

    /// When to call [`sweep`](Self::sweep) (or anything else) at the latest, and
    /// why. Forgetting an ended place is no reason: it waits for the next call.
    #[must_use]
    pub fn deadline(&self) -> Option<(StoreTime, Reason)> {
        if self.can_promote() {
            return Some((StoreTime(0), Reason::More));
        }
        let first = |due: &Due| {
            let first = due.first(by_id(&self.places));
            first.map(|(at, slot)| (at, self.why(at, slot)))
        };
        let (held, in_line) = (first(&self.held_due), first(&self.due));
        match (held, in_line) {
            (Some(a), Some(b)) => Some(if b.0 < a.0 { b } else { a }),
            (a, b) => a.or(b),
        }
    }

    /// Places held, by (deadline, id), those without deadline last. O(n log n).
    pub fn held(&self) -> impl Iterator<Item = Held<'_, Id>> {
        let mut held: Vec<_> = self
            .places
            .iter()
            .filter_map(|(slot, place)| {
                let (fence, claimed) = match place.state {
                    State::Offered { fence } => (fence, false),
                    State::Held { fence, .. } => (fence, true),
                    State::Waiting | State::Absent | State::Ended { .. } => return None,
                };
                Some(Held {
                    id: &place.id,
                    nonce: place.nonce,
                    fence,
                    deadline: self.held_due.deadline(slot),
                    claimed,
                })
            })
            .collect();
        held.sort_by(|a, b| {
            let key = |h: &Held<'_, Id>| (h.deadline.is_none(), h.deadline);
            key(a).cmp(&key(b)).then_with(|| a.id.cmp(b.id))
        });
        held.into_iter()
    }

    /// Waiters that are present, in order. O(log n) each.
    pub fn waiting(&self) -> impl Iterator<Item = InLine<'_, Id>> {
        self.waiting.iter().map(|(_, slot)| self.in_line(slot))
    }

    /// Waiters that are absent, in order. O(log n) each.
    pub fn absent(&self) -> impl Iterator<Item = InLine<'_, Id>> {
        self.absent.iter().map(|(_, slot)| self.in_line(slot))
    }

    /// Endings remembered, by id: whose, which attempt, how, and until when.
    /// O(n log n).
    pub fn ended(&self) -> impl Iterator<Item = (&Id, Nonce, Ended, StoreTime)> {
        self.by_id()
            .into_iter()
            .filter_map(|slot| match self.places.get(slot).state {
                State::Ended { how } => {
                    let place = self.places.get(slot);
                    let until = self.ended.deadline(slot)?;
                    Some((&place.id, place.nonce, how, until))
                }
                State::Waiting | State::Absent | State::Offered { .. } | State::Held { .. } => None,
            })
    }

    pub(super) fn position_of(&self, order: u64) -> u64 {
        1 + u64::from(self.waiting.rank(order)) + u64::from(self.absent.rank(order))
    }

    /// Panics if any invariant is broken: a bug of ours. O(n log n), for tests;
    /// debug builds check the counts after every operation by themselves.
    pub fn check(&self) {
        self.check_counts();
        self.waiting.check();
        self.absent.check();
        for due in [&self.held_due, &self.due, &self.ended] {
            due.check(by_id(&self.places));
        }
        let (mut held, mut offers) = (0, 0);
        for (slot, place) in self.places.iter() {
            let found = self.find(self.index.key(&place.id), &place.id);
            assert_eq!(found, Some(slot), "each id has one place");
            let deadlines = [&self.held_due, &self.due, &self.ended].map(|h| h.deadline(slot));
            let leased = self.config.lease_ms.is_some() || self.config.idle_ms.is_some();
            let timed = self.config.wait_timeout_ms.is_some() || self.config.presence.is_some();
            let expected = match place.state {
                State::Waiting | State::Absent => {
                    let line = if place.state == State::Waiting {
                        &self.waiting
                    } else {
                        &self.absent
                    };
                    assert_eq!(
                        line.nth(line.rank(place.order)),
                        Some((place.order, slot)),
                        "in its line"
                    );
                    [false, timed, false]
                }
                State::Offered { .. } => {
                    held += 1;
                    offers += 1;
                    [true, false, false]
                }
                State::Held { fence, .. } => {
                    assert!(fence <= self.fence, "no fence above the last one taken");
                    held += 1;
                    [leased, false, false]
                }
                State::Ended { .. } => [false, false, true],
            };
            assert_eq!(
                deadlines.map(|at| at.is_some()),
                expected,
                "deadlines where the zone has them"
            );
        }
        assert_eq!((held, offers), (self.held, self.offers), "held and offers");
        let mut fences: Vec<_> = self.held().map(|h| h.fence).collect();
        fences.sort_unstable();
        assert!(fences.windows(2).all(|w| w[0] < w[1]), "fences are unique");
    }

    /// The invariants that cost O(1).
    pub(super) fn check_counts(&self) {
        let in_line = self.waiting.len() as usize + self.absent.len() as usize;
        let places = self.held as usize + in_line + self.ended.len();
        assert_eq!(self.places.len(), places, "each place is in one zone");
        assert_eq!(self.index.len(), places, "each place is in the index");
        assert!(self.offers <= self.held, "offers are held");
        assert!(self.held_due.len() <= self.held as usize);
        assert!(self.due.len() <= in_line);
        assert!(
            self.ended.len() <= self.config.tombstones_max as usize,
            "endings are bounded"
        );
    }

    fn in_line(&self, slot: Slot) -> InLine<'_, Id> {
        let place = self.places.get(slot);
        InLine {
            id: &place.id,
            nonce: place.nonce,
            order: place.order,
            joined_at: place.joined_at,
            deadline: self.due.deadline(slot),
        }
    }

    fn why(&self, at: StoreTime, slot: Slot) -> Reason {
        let place = self.places.get(slot);
        match place.state {
            State::Offered { .. } => Reason::Claim,
            State::Held { alive_until, .. } => {
                if self.config.lease_ms.is_some() && alive_until == at {
                    Reason::Lease
                } else {
                    Reason::Idle
                }
            }
            State::Waiting | State::Absent => {
                let timeout = self.config.wait_timeout_ms;
                if timeout.is_some_and(|ms| place.joined_at.plus(ms) == at) {
                    Reason::WaitTimeout
                } else if place.state == State::Waiting {
                    Reason::Absent
                } else {
                    Reason::Abandon
                }
            }
            State::Ended { .. } => unreachable!("endings have a heap of their own"),
        }
    }

    fn by_id(&self) -> Vec<Slot> {
        let mut slots: Vec<Slot> = self.places.iter().map(|(slot, _)| slot).collect();
        slots.sort_unstable_by(|&a, &b| self.places.get(a).id.cmp(&self.places.get(b).id));
        slots
    }
}

impl<Id: Clone + Ord + Hash, Ix: Index<Id>> Hash for Slots<Id, Ix> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.config.hash(state);
        (self.ticket, self.fence, self.promoted_at).hash(state);
        let flow = &self.flow;
        (flow.gap_mean_ms.to_bits(), flow.gap_var_ms2.to_bits()).hash(state);
        flow.gaps.hash(state);
        self.events.hash(state);
        self.places.len().hash(state);
        for slot in self.by_id() {
            let place = self.places.get(slot);
            (&place.id, place.nonce, place.state).hash(state);
            match place.state {
                State::Waiting | State::Absent | State::Offered { .. } => {
                    (place.order, place.joined_at, place.heard_at).hash(state);
                    self.held_due.deadline(slot).hash(state);
                }
                State::Held { .. } => {}
                State::Ended { .. } => self.ended.deadline(slot).hash(state),
            }
        }
    }
}

impl<Id: Clone + Ord + fmt::Debug, Ix: Index<Id>> fmt::Debug for Slots<Id, Ix> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots")
            .field("capacity", &self.config.capacity)
            .field("held", &self.held().collect::<Vec<_>>())
            .field("waiting", &self.waiting().collect::<Vec<_>>())
            .field("absent", &self.absent().collect::<Vec<_>>())
            .field("ended", &self.ended().collect::<Vec<_>>())
            .field("ticket", &self.ticket)
            .field("fence", &self.fence)
            .field("flow", &self.flow)
            .finish_non_exhaustive()
    }
}
