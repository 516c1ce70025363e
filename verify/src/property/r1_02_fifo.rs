//! R1.2 · FIFO: grants follow ticket order among waiters that are present.
//!
//! Judged by the line itself: whoever stood in front of someone granted in this
//! step, and still stands there and is present, was passed over. And the line
//! itself is in the order of joining: a newcomer stands behind everyone.

use super::moment::name;
use super::{Broken, Code, Moment, Property};
use crate::subject::view::Place;

#[derive(Default)]
pub(super) struct Fifo {
    premises: u64,
    last_ticket: [u64; 2],
}

impl Property for Fifo {
    fn code(&self) -> Code {
        Code("R1.2")
    }

    fn title(&self) -> &'static str {
        "grants follow the order of the line"
    }

    fn watch(&mut self, moment: &Moment<'_>) -> Result<(), Broken> {
        if moment.loses_data() {
            self.last_ticket = [0; 2];
        }
        for gate in moment.gates.iter().filter(|g| g.operation.is_some()) {
            for granted in gate.granted() {
                let Some(stood) = gate.before.waiter(&granted.id) else {
                    continue; // a newcomer: R1.3
                };
                self.premises += 1;
                let passed = gate.after.waiting.iter().find(|w| {
                    gate.before
                        .waiter(&w.id)
                        .is_some_and(|was| was.nonce == w.nonce && was.order < stood.order)
                });
                if let Some(passed) = passed {
                    let words = format!(
                        "{} was granted though {} was ahead in line and present",
                        name(granted),
                        name(passed)
                    );
                    return Err(Broken::at(gate.level, words));
                }
            }
            if !gate.gate.is_atomic() {
                continue; // a list's order is its own ticket
            }
            let last = &mut self.last_ticket[gate.level as usize];
            if gate.before.capacity > 0 && gate.before.is_empty() && gate.before.ended.is_empty() {
                *last = 0; // a gate born anew counts anew
            }
            let waits = |p: &&Place| gate.after.holder(&p.id).is_none();
            for joined in gate.joined().filter(waits) {
                if joined.order <= *last {
                    let words = format!("{} joined, but not at the end of the line", name(joined));
                    return Err(Broken::at(gate.level, words));
                }
                *last = joined.order;
            }
        }
        Ok(())
    }

    fn premises(&self) -> u64 {
        self.premises
    }
}
