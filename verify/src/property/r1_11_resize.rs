//! R1.11 · Live resize never evicts a holder; while held exceeds the capacity
//! nobody is granted. And the capacity, which every cap is judged by, is what
//! was asked for: by a resize, or by the configuration of a gate that is new.

use super::moment::name;
use super::{Broken, Code, GateMoment, Moment, Property};

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
            capacity_was_asked_for(gate)?;
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

fn capacity_was_asked_for(gate: &GateMoment) -> Result<(), Broken> {
    let (Some(config), Some((_, operation))) = (gate.gate.config(), &gate.operation) else {
        return Ok(());
    };
    let (before, after) = (gate.before.capacity, gate.after.capacity);
    let right = if operation.script == "resize" && operation.done {
        std::str::from_utf8(&operation.id).is_ok_and(|asked| asked.parse() == Ok(after))
    } else {
        // One that nobody is in may have been forgotten, and be born again.
        after == before || (gate.before.is_empty() && after == config.capacity)
    };
    if right {
        return Ok(());
    }
    let words = format!(
        "a `{}` made the capacity {after}, which nobody has asked for",
        operation.script
    );
    Err(Broken::at(gate.level, words))
}
