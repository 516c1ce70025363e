//! R3.3 · When a session ends or expires, number 1 in the queue is activated;
//! with presence on, the first one present.

use super::moment::name;
use super::{Broken, Code, Moment, Property};
use crate::subject::gate::Level;

#[derive(Default)]
pub(super) struct NextInLine {
    premises: u64,
}

impl Property for NextInLine {
    fn code(&self) -> Code {
        Code("R3.3")
    }

    fn title(&self) -> &'static str {
        "when a session ends, the first in the queue (that is present) is activated"
    }

    fn watch(&mut self, moment: &Moment<'_>) -> Result<(), Broken> {
        let sessions = moment.gates.iter().filter(|g| g.level == Level::Sessions);
        for gate in sessions.filter(|g| g.operation.is_some()) {
            let Some(first) = gate.before.waiting.first() else {
                continue;
            };
            if gate.ended().next().is_none() {
                continue;
            }
            self.premises += 1;
            let passed = gate
                .after
                .waiting
                .iter()
                .any(|w| w.id == first.id && w.nonce == first.nonce);
            // One that stood further ahead, absent, may return by its own call.
            let other = gate.granted().find(|p| {
                let stood = gate.before.waiter(&p.id);
                stood.is_none_or(|stood| stood.order > first.order)
            });
            let free = gate.after.held.len() < gate.after.capacity as usize;
            if passed && (other.is_some() || (gate.is_settled() && free)) {
                let words = format!(
                    "a session ended and {} was activated instead of {}, number 1",
                    other.map_or("nobody".into(), name),
                    name(first)
                );
                return Err(Broken::at(gate.level, words));
            }
        }
        Ok(())
    }

    fn finish(&mut self, end: &Moment<'_>) -> Result<(), Broken> {
        for gate in end.gates.iter().filter(|g| g.level == Level::Sessions) {
            let free = gate.after.held.len() < gate.after.capacity as usize;
            if let Some(first) = gate.after.waiting.first().filter(|_| free) {
                let words = format!(
                    "slots are free at the end, and number 1, {}, was never activated",
                    name(first)
                );
                return Err(Broken::at(gate.level, words));
            }
        }
        Ok(())
    }

    fn premises(&self) -> u64 {
        self.premises
    }
}
