//! R1.10 · A waiter that timed out or was cancelled never eats a slot. (That
//! its going wakes whoever is next is R1.4.)

use super::moment::name;
use super::{Broken, Code, Moment, Property};
use crate::subject::view::Ending;

const CANCELLED: u8 = 3;
const TIMED_OUT: u8 = 4;

#[derive(Default)]
pub(super) struct Cancellation {
    premises: u64,
}

impl Property for Cancellation {
    fn code(&self) -> Code {
        Code("R1.10")
    }

    fn title(&self) -> &'static str {
        "who timed out or cancelled eats no slot"
    }

    fn watch(&mut self, moment: &Moment<'_>) -> Result<(), Broken> {
        for gate in moment.gates.iter().filter(|g| g.operation.is_some()) {
            let (before, after) = (&gate.before, &gate.after);
            let gave_up = |e: &&Ending| matches!(e.manner, CANCELLED | TIMED_OUT);
            for ending in after.ended.iter().filter(gave_up) {
                let news = before
                    .ending(&ending.id)
                    .is_none_or(|b| b.nonce < ending.nonce);
                let waited = before.waiter(&ending.id).is_some();
                self.premises += u64::from(news && waited);
                if after.holder(&ending.id).is_some() {
                    let id = String::from_utf8_lossy(&ending.id);
                    return Err(Broken::at(
                        gate.level,
                        format!("{id} is gone and holds a slot"),
                    ));
                }
            }
            for ending in before.ended.iter().filter(gave_up) {
                if let Some(place) = after.holder(&ending.id)
                    && place.nonce <= ending.nonce
                    && gate.gate.is_atomic()
                {
                    let words = format!("{} had given up and was granted a slot", name(place));
                    return Err(Broken::at(gate.level, words));
                }
            }
        }
        Ok(())
    }

    fn premises(&self) -> u64 {
        self.premises
    }
}
