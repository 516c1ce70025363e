//! R1.11 · Live resize never evicts a holder; while held exceeds the capacity
//! nobody is granted.

use super::moment::name;
use super::{Broken, Code, Moment, Property};

#[derive(Default)]
pub(super) struct Resize {
    premises: u64,
}

impl Property for Resize {
    fn code(&self) -> Code {
        Code("R1.11")
    }

    fn title(&self) -> &'static str {
        "a new capacity evicts nobody, and admits nobody above it"
    }

    fn watch(&mut self, moment: &Moment<'_>) -> Result<(), Broken> {
        for gate in moment.gates {
            let Some((_, operation)) = &gate.operation else {
                continue;
            };
            if !gate.gate.is_atomic() {
                continue; // cannot be resized: too many there is R1.1's
            }
            let capacity = gate.after.capacity as usize;
            if gate.before.held.len() > gate.before.capacity as usize
                && gate.after.held.len() > capacity
                && let Some(place) = gate.granted().next()
            {
                let words = format!("{} was granted while too many held", name(place));
                return Err(Broken::at(gate.level, words));
            }
            if operation.script != "resize" || !operation.done {
                continue;
            }
            self.premises += u64::from(gate.before.capacity != gate.after.capacity);
            let evicted = gate
                .ended()
                .find(|p| p.deadline.is_none_or(|at| at > moment.store_ms));
            if let Some(place) = evicted {
                let words = format!("{} was evicted by a resize", name(place));
                return Err(Broken::at(gate.level, words));
            }
        }
        Ok(())
    }

    fn premises(&self) -> u64 {
        self.premises
    }
}
