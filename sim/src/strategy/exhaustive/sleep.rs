//! Sleep sets: of two events that commute, one order is enough.
//!
//! When an event was taken from a state, whatever begins with it has been looked
//! at; in the states that the others lead to it *sleeps* until one is taken that
//! it does not commute with, and is not taken before (Godefroid:
//! *Partial-order methods for the verification of concurrent systems*, ch. 5).
//! States are matched by identity here, so what has slept is kept with each: who
//! comes back with fewer asleep takes those that it wakes, and no others.
//!
//! No state is left out by it, only transitions between them. Events commute if
//! they touch nothing in common ([`Touch`]), and if the judge sees at most one of
//! the two: then what it sees comes in an order that is looked at.

use crate::choice::{Label, Touch};
use crate::store::Store;
use crate::world::{Event, Program, Recognised, World};

/// An event that sleeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sleeper {
    pub(super) label: Label,
    touch: Touch,
    seen: bool,
}

impl Sleeper {
    /// `seen`: the judge may have seen it happen.
    pub(super) const fn new(event: &Event, seen: bool) -> Self {
        let Event { label, touch, .. } = *event;
        Self { label, touch, seen }
    }

    fn commutes(&self, other: &Self) -> bool {
        self.label != other.label && !self.touch.meets(&other.touch) && !(self.seen && other.seen)
    }
}

/// Those who sleep in one state: by name, and as bits that mean the same in
/// every state of its identity.
#[derive(Clone, Debug, Default)]
pub(super) struct Asleep {
    sleepers: Vec<Sleeper>,
    pub(super) bits: u64,
}

impl Asleep {
    /// Nobody.
    pub(super) const NOBODY: Self = Self {
        sleepers: Vec::new(),
        bits: 0,
    };

    /// Those of `before` who sleep on in `after`, where `taken` has led.
    pub(super) fn after<P: Program, S: Store>(
        before: &[Sleeper],
        taken: &Sleeper,
        after: &World<P, S>,
        known: &Recognised,
    ) -> Self {
        let mut asleep = Self::NOBODY;
        let mut still = before.iter().filter(|s| s.commutes(taken)).peekable();
        if still.peek().is_none() {
            return asleep;
        }
        let events = after.events();
        for sleeper in still {
            let event = events.iter().find(|event| event.label == sleeper.label);
            debug_assert!(event.is_some(), "{} has undone {sleeper:?}", taken.label);
            // Who has no bit could not be woken: it is taken.
            let bit = event.map_or(0, |event| after.mark(event, known));
            if bit != 0 {
                asleep.sleepers.push(*sleeper);
                asleep.bits |= bit;
            }
        }
        asleep
    }

    /// Whether this event need not be taken.
    pub(super) fn holds(&self, event: &Event) -> bool {
        self.sleepers.iter().any(|s| s.label == event.label)
    }

    /// Those of them, in this state, who have these bits.
    pub(super) fn only<P: Program, S: Store>(
        mut self,
        bits: u64,
        world: &World<P, S>,
        known: &Recognised,
    ) -> Self {
        let events = world.events();
        self.sleepers.retain(|s| {
            let event = events.iter().find(|event| event.label == s.label);
            event.is_some_and(|event| world.mark(event, known) & bits != 0)
        });
        self.bits &= bits;
        self
    }

    pub(super) fn into_sleepers(self) -> Vec<Sleeper> {
        self.sleepers
    }
}
