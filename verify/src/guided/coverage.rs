//! What a run has met, as far as properties may care: *pairs* of states.
//!
//! A pair is a state of a gate before and after an operation, together with the
//! operation; each of these for itself (all in one would make every pair a new
//! one, and everything rare):
//!
//! * whose time is over though nobody has worked it off, whether there are
//!   offers, whether more is held than there is;
//! * where the caller's own place is, and how the number it showed stands to the
//!   one in the store: older, the same, newer;
//! * where the caller's place was, and what is believed wrongly after it;
//! * what was believed wrongly before and after: who believes to hold a slot and
//!   does not, who has a slot and does not know, whether more believe than may.
//!   For faults too, with how much data was lost.
//!
//! Counts are 0, 1, or more than that. How many hold and wait is left out: that
//! told far more runs apart than there are ways to go wrong, and whoever was the
//! first at seven waiters drew tries from who was near a bug. A meeting is a hash:
//! that two fall together now and then does not matter.

use hashbrown::HashMap;
use sluice_sim::digest::Digest;
use sluice_sim::digest::FixedState;
use sluice_sim::world::{FiredFaults, Happening};

use crate::property::{GateMoment, Moment};
use crate::subject::gate::{Gate, Operation};
use crate::subject::view::{GateView, Place};

/// What a run has met, each with the question at which it first did.
pub(super) type Met = HashMap<u64, u64, FixedState>;

/// A run, as it goes by.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    met: Met,
    fired: FiredFaults,
    /// What was believed wrongly at the last look, by level.
    errors: [Errors; 2],
}

/// 0, 1, or more.
type Few = u8;

const fn few(n: usize) -> Few {
    if n > 2 { 2 } else { n as Few }
}

/// What of a gate may go wrong.
#[derive(Clone, Copy, Hash)]
struct Risk {
    /// Held, or in line, beyond their time.
    overdue: (Few, Few),
    /// Endings that could be forgotten.
    old: bool,
    offers: bool,
    /// More are held than there are: after a resize, or in the wrong.
    over: bool,
}

impl Risk {
    fn of(gate: &Gate, view: &GateView, now: u64) -> Self {
        let over = view.held.iter().filter(|p| is_over(p, now)).count();
        let line = view.waiting.iter().chain(&view.absent);
        let late = line.filter(|p| is_late(gate, p, now)).count();
        Self {
            overdue: (few(over), few(late)),
            old: view.ended.first().is_some_and(|e| e.until <= now),
            offers: view.held.iter().any(|p| !p.claimed),
            over: view.held.len() > view.capacity as usize,
        }
    }
}

/// The end of a slot has come.
fn is_over(place: &Place, now: u64) -> bool {
    place.deadline.is_some_and(|at| at <= now)
}

/// The end of a place in line has come.
fn is_late(gate: &Gate, place: &Place, now: u64) -> bool {
    let timeout = gate.config().and_then(|config| config.wait_timeout_ms);
    timeout.is_some_and(|ms| place.joined_at.saturating_add(ms) <= now)
}

/// Where the caller is, and how its number stands to the store's.
fn whereabouts(gate: &Gate, view: &GateView, op: &Operation, now: u64) -> (u8, i8) {
    let compare = |number: u64| op.number.cmp(&number) as i8;
    let by_fence = matches!(&*op.script, "renew" | "release");
    if let Some(p) = view.holder(&op.id) {
        let zone = 1 + u8::from(is_over(p, now)) + 2 * u8::from(!p.claimed);
        return (zone, compare(if by_fence { p.fence } else { p.nonce }));
    }
    if let Some(p) = view.waiter(&op.id) {
        let absent = view.absent.iter().any(|a| a.id == p.id);
        let zone = 5 + u8::from(is_late(gate, p, now)) + 2 * u8::from(absent);
        return (zone, if by_fence { 0 } else { compare(p.nonce) });
    }
    match view.ending(&op.id) {
        Some(e) => (10 + e.manner, if by_fence { 0 } else { compare(e.nonce) }),
        None => (0, 0),
    }
}

/// Believers without the slot, slots that are claimed and nobody believes in,
/// and whether more believe than may.
type Errors = (Few, Few, bool);

fn errors(moment: &Moment<'_>, gate: &GateMoment) -> Errors {
    let believers = moment.believers(gate.level);
    let holds = |fence, id: &[u8]| gate.after.holder(id).is_some_and(|p| p.fence == fence);
    let wrong = believers
        .iter()
        .filter(|b| !holds(b.fence, b.user.id().as_bytes()));
    let claimed = gate.after.held.iter().filter(|p| p.claimed);
    let believed = |p: &&Place| {
        let mut all = believers.iter();
        all.any(|b| b.fence == p.fence && *p.id == *b.user.id().as_bytes())
    };
    let unknown = claimed.filter(|p| !believed(p)).count();
    let many = believers.len() > gate.after.capacity as usize;
    (few(wrong.count()), few(unknown), many)
}

impl Coverage {
    /// What was met.
    #[must_use]
    pub(super) fn into_met(self) -> Met {
        self.met
    }

    /// Takes in a step; so many questions have been asked by then.
    pub(super) fn note(&mut self, moment: &Moment<'_>, asked: u64) {
        let now = moment.store_ms;
        let mut meet = |what: u64| {
            self.met.entry(what).or_insert(asked);
        };
        let fired = *moment.world.fired();
        if fired != self.fired {
            let before = std::mem::replace(&mut self.fired, fired);
            let mut kinds = fired.iter().zip(before.iter());
            let kind = kinds.position(|((_, now), (_, before))| now > before);
            let lost = moment.happenings.iter().find_map(|h| match h {
                Happening::ServerStopped { lost, .. } => Some(few(*lost as usize)),
                _ => None,
            });
            for gate in moment.gates {
                let errors = errors(moment, gate);
                let before = std::mem::replace(&mut self.errors[gate.level as usize], errors);
                meet(Digest::of(&(0u8, kind, lost, before, errors)));
            }
        }
        for gate in moment.gates {
            let Some((_, op)) = &gate.operation else {
                continue;
            };
            let risks = [&gate.before, &gate.after].map(|v| Risk::of(&gate.gate, v, now));
            let from = whereabouts(&gate.gate, &gate.before, op, now);
            let to = whereabouts(&gate.gate, &gate.after, op, now);
            let errors = errors(moment, gate);
            let before = std::mem::replace(&mut self.errors[gate.level as usize], errors);
            meet(Digest::of(&(1u8, &op.script, op.more, risks)));
            meet(Digest::of(&(2u8, &op.script, from, to)));
            meet(Digest::of(&(3u8, &op.script, from, errors)));
            meet(Digest::of(&(4u8, &op.script, before, errors)));
        }
    }
}
