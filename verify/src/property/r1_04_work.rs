//! R1.4 · Work conservation: after an operation that does not report `more`, a
//! free slot and a present waiter never coexist.
//!
//! Where one command is not one operation there is no such "after", and only
//! the end of the run is judged: everybody has had plenty of time by then.

use super::moment::name;
use super::{Broken, Code, GateMoment, Moment, Property};

#[derive(Default)]
pub(super) struct WorkConservation {
    premises: u64,
}

impl Property for WorkConservation {
    fn code(&self) -> Code {
        Code("R1.4")
    }

    fn title(&self) -> &'static str {
        "no slot is free while someone waits for it"
    }

    fn watch(&mut self, moment: &Moment<'_>) -> Result<(), Broken> {
        for gate in moment.gates.iter().filter(|g| g.operation.is_some()) {
            let freed = gate.ended().next().is_some() || gate.after.capacity > gate.before.capacity;
            if freed && !gate.before.waiting.is_empty() {
                self.premises += 1;
            }
            if gate.is_settled() {
                idle_slot(gate, "after an operation that left nothing over")?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, end: &Moment<'_>) -> Result<(), Broken> {
        for gate in end.gates.iter().filter(|g| g.gate.is_in_store()) {
            idle_slot(gate, "at the end, long after all faults")?;
        }
        Ok(())
    }

    fn premises(&self) -> u64 {
        self.premises
    }
}

fn idle_slot(gate: &GateMoment, when: &str) -> Result<(), Broken> {
    let (view, level) = (&gate.after, gate.level);
    match view.waiting.first() {
        Some(first) if view.held.len() < view.capacity as usize => Err(Broken::at(
            level,
            format!(
                "{} of {} {} are held and {} waits, {when}: {} active beside {} queued",
                view.held.len(),
                view.capacity,
                level.name(),
                name(first),
                view.held.len(),
                view.waiting.len()
            ),
        )),
        Some(_) | None => Ok(()),
    }
}
