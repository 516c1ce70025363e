//! R1.6 · One place each: an id holds at most one slot or one place, and a
//! delayed copy of a join that has ended makes no new one.

use sluice_core::redis::Bytes;

use super::moment::name;
use super::{Broken, Code, Moment, Property};

#[derive(Default)]
pub(super) struct OnePlace {
    premises: u64,
}

impl Property for OnePlace {
    fn code(&self) -> Code {
        Code("R1.6")
    }

    fn title(&self) -> &'static str {
        "one slot or one place each, however often a join is repeated"
    }

    fn watch(&mut self, moment: &Moment<'_>) -> Result<(), Broken> {
        for gate in moment.gates {
            let Some((_, operation)) = &gate.operation else {
                continue;
            };
            let (before, after) = (&gate.before, &gate.after);
            let known = |id: &[u8]| {
                before.holder(id).is_some()
                    || before.waiter(id).is_some()
                    || before.ending(id).is_some()
            };
            if operation.script == "acquire" && known(&operation.id) {
                self.premises += 1;
            }
            let places = || after.held.iter().chain(&after.waiting).chain(&after.absent);
            let mut ids: Vec<&Bytes> = places().map(|place| &place.id).collect();
            ids.sort_unstable();
            if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
                let words = format!("{} has two places", String::from_utf8_lossy(twice[0]));
                return Err(Broken::at(gate.level, words));
            }
            for place in places() {
                let corpse = before.ending(&place.id).filter(|e| place.nonce <= e.nonce);
                if gate.gate.is_atomic() && corpse.is_some() {
                    let words = format!(
                        "attempt {} of {} had ended and has a place again",
                        place.nonce,
                        name(place)
                    );
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
