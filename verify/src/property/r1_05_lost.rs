//! R1.5 · Nothing lost: every accepted join ends in exactly one of granted,
//! cancelled, timed out, abandoned; never in silence.
//!
//! Seen from the store at every step: who left the line is held, or ended in a
//! way that was due. From the user: who is told "no" was denied by the gate, not
//! by an error or a silence (B40, B45); and at the end every ask was answered.

use std::collections::BTreeSet;

use sluice_core::client::Event;
use sluice_sim::world::{ActorId, Happening};

use super::moment::name;
use super::{Broken, Code, GateMoment, Moment, Property};
use crate::scenario::user::{QueryStage, Stage};
use crate::subject::gate::{Gate, Level};
use crate::subject::view::Place;

const CANCELLED: u8 = 3;
const TIMED_OUT: u8 = 4;
const ABANDONED: u8 = 5;

/// Errors that trying again cannot mend, and that no gate is to blame for.
const BEYOND_REPAIR: [&[u8]; 2] = [b"MOVED", b"NOPERM"];

#[derive(Default)]
pub(super) struct NothingLost {
    premises: u64,
    /// Whom the gate has denied a place, or the server all service.
    denied: BTreeSet<ActorId>,
    refused: BTreeSet<ActorId>,
}

impl Property for NothingLost {
    fn code(&self) -> Code {
        Code("R1.5")
    }

    fn title(&self) -> &'static str {
        "nobody who waits is lost"
    }

    fn watch(&mut self, moment: &Moment<'_>) -> Result<(), Broken> {
        self.told(moment)?;
        for gate in moment.gates.iter().filter(|g| g.operation.is_some()) {
            let after = &gate.after;
            for place in gate.before.waiting.iter().chain(&gate.before.absent) {
                if after.waiter(&place.id).is_some() {
                    continue;
                }
                self.premises += 1;
                let accounted = after.holder(&place.id).is_some()
                    || after
                        .ending(&place.id)
                        .is_some_and(|e| e.nonce >= place.nonce)
                    || !gate.gate.is_atomic();
                if !accounted {
                    let words = format!(
                        "{} left the line without being granted or ended",
                        name(place)
                    );
                    return Err(Broken::at(gate.level, words));
                }
                thrown_out(gate, place, moment.store_ms)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, end: &Moment<'_>) -> Result<(), Broken> {
        if let Some((_, user)) = end.users().find(|(_, user)| user.tally.open() > 0) {
            let level = match (user.stage, user.query) {
                (Stage::Inside, QueryStage::Joining) => Level::Queries,
                _ => Level::Sessions,
            };
            let popped = end.gates.iter().any(|g| {
                g.after
                    .transit
                    .iter()
                    .any(|id| **id == *user.id().as_bytes())
            });
            let how = if popped {
                "was popped off the queue and let in by nobody"
            } else {
                "waits"
            };
            let words = format!(
                "{} {how}: its ask was still unanswered at the end, long after all faults",
                user.id()
            );
            return Err(Broken::at(level, words));
        }
        Ok(())
    }

    fn premises(&self) -> u64 {
        self.premises
    }
}

impl NothingLost {
    /// Who is told that it has no place was told so by the gate.
    fn told(&mut self, moment: &Moment<'_>) -> Result<(), Broken> {
        for gate in moment.gates {
            if let Some((who, operation)) = &gate.operation {
                let busy = operation.script == "acquire" && !operation.waits;
                if operation.answer == "rejected" || (busy && operation.answer == "waiting") {
                    self.denied.insert(*who);
                }
            }
        }
        for happening in moment.happenings {
            match happening {
                Happening::Executed { who, reply, .. }
                    if reply
                        .error_code()
                        .is_some_and(|code| BEYOND_REPAIR.contains(&code)) =>
                {
                    self.refused.insert(*who);
                }
                Happening::Told { who, event } => {
                    let level = level_of(*who);
                    let real =
                        |g: &&GateMoment| g.level == level && matches!(g.gate, Gate::Slots(_));
                    if !moment.gates.iter().any(|g| real(&g)) {
                        continue;
                    }
                    let words = match event {
                        Event::Rejected(_) if !self.denied.remove(who) => {
                            "was told \"no\" though the gate had never said so"
                        }
                        Event::Fatal(_) if !self.refused.contains(who) => {
                            "was told that the gate cannot serve, though the server was well"
                        }
                        _ => continue,
                    };
                    let id = moment.user(*who).map_or("?", |user| user.id());
                    return Err(Broken::at(level, format!("{id} {words}")));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// An ending in line must have been due.
fn thrown_out(gate: &GateMoment, place: &Place, now: u64) -> Result<(), Broken> {
    let (Some(config), Some(ending)) = (gate.gate.config(), gate.after.ending(&place.id)) else {
        return Ok(());
    };
    let passed = |since: u64, ms: Option<u64>| ms.is_some_and(|ms| since.saturating_add(ms) <= now);
    let abandon = config.presence.map(|p| p.abandon_after_ms);
    let due = match ending.manner {
        TIMED_OUT => passed(place.joined_at, config.wait_timeout_ms),
        ABANDONED => passed(place.heard_at, abandon),
        CANCELLED => gate.operation.as_ref().is_some_and(|(_, op)| {
            op.script == "cancel" && *op.id == *place.id && op.number >= place.nonce
        }),
        _ => false, // who has no slot can neither give one back nor let one expire
    };
    if due {
        return Ok(());
    }
    let words = format!(
        "{} was thrown out of the line before its time, or by somebody else",
        name(place)
    );
    Err(Broken::at(gate.level, words))
}

/// Actors with even numbers are at the session gate (see `scenario::process`).
fn level_of(who: ActorId) -> Level {
    if who.actor.is_multiple_of(2) {
        Level::Sessions
    } else {
        Level::Queries
    }
}
