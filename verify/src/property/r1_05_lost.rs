//! R1.5 · Nothing lost: every accepted join ends in exactly one of granted,
//! cancelled, timed out, abandoned; never in silence.
//!
//! Seen from the store at every step (who left the line is held, or remembered
//! as ended), and from the user at the end: every ask was answered.

use super::moment::name;
use super::{Broken, Code, Moment, Property};
use crate::scenario::user::{QueryStage, Stage};
use crate::subject::gate::Level;

#[derive(Default)]
pub(super) struct NothingLost {
    premises: u64,
}

impl Property for NothingLost {
    fn code(&self) -> Code {
        Code("R1.5")
    }

    fn title(&self) -> &'static str {
        "nobody who waits is lost"
    }

    fn watch(&mut self, moment: &Moment<'_>) -> Result<(), Broken> {
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
