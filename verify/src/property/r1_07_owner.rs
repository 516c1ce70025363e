//! R1.7 · Owner only: release and renew act only for the holder of the current
//! fencing number; a late release changes nothing; fencing numbers only rise.

use sluice_core::slots::Fence;
use sluice_sim::world::Happening;

use super::moment::name;
use super::{Broken, Code, Moment, Property};
use crate::subject::view::Place;

#[derive(Default)]
pub(super) struct OwnerOnly {
    premises: u64,
    greatest: [Fence; 2],
    clock_went_back: bool,
}

impl Property for OwnerOnly {
    fn code(&self) -> Code {
        Code("R1.7")
    }

    fn title(&self) -> &'static str {
        "only the holder's own number gives a slot back, and numbers only rise"
    }

    fn watch(&mut self, moment: &Moment<'_>) -> Result<(), Broken> {
        for happening in moment.happenings {
            if let Happening::ServerClockStepped { by_us } = happening {
                self.clock_went_back |= *by_us < 0;
            }
        }
        // A gate born again (and one that lost its last numbers) starts from the
        // store's clock: if that went back, the numbers before are no longer
        // below it.
        if self.clock_went_back && moment.loses_data() {
            self.greatest = [0; 2];
        }
        for gate in moment.gates.iter().filter(|g| g.gate.is_atomic()) {
            let Some((_, operation)) = &gate.operation else {
                continue;
            };
            let greatest = &mut self.greatest[gate.level as usize];
            if self.clock_went_back && gate.before.is_empty() && gate.before.ended.is_empty() {
                *greatest = 0; // forgotten, perhaps
            }
            let fresh = |p: &&Place| {
                let before = gate.before.holder(&p.id);
                before.is_none_or(|b| b.fence != p.fence)
            };
            let mut numbers: Vec<_> = gate.after.held.iter().filter(fresh).collect();
            numbers.sort_by_key(|p| p.fence);
            for place in numbers {
                if place.fence <= *greatest {
                    let words = format!(
                        "{} was given fencing number {}, not above {greatest}",
                        name(place),
                        place.fence
                    );
                    return Err(Broken::at(gate.level, words));
                }
                *greatest = place.fence;
            }
            let held = gate.before.holder(&operation.id);
            if matches!(&*operation.script, "release" | "renew")
                && held.is_none_or(|p| p.fence != operation.number)
            {
                self.premises += 1; // somebody calls with a number that is not current
            }
            let over = |p: &&Place| p.deadline.is_some_and(|at| at <= moment.store_ms);
            for place in gate.before.held.iter().filter(|p| p.claimed).filter(over) {
                let later = gate.after.holder(&place.id).filter(|a| {
                    a.fence == place.fence && a.deadline.is_none_or(|at| at > moment.store_ms)
                });
                if later.is_some() {
                    let words = format!(
                        "the lease of {} was over, and a `{}` brought it back to life",
                        name(place),
                        operation.script
                    );
                    return Err(Broken::at(gate.level, words));
                }
            }
            for place in gate.ended() {
                let over = place.deadline.is_some_and(|at| at <= moment.store_ms);
                let own = *operation.id == *place.id
                    && match &*operation.script {
                        "release" => operation.number == place.fence,
                        "cancel" => operation.number >= place.nonce,
                        "acquire" => operation.number > place.nonce,
                        _ => false,
                    };
                if !over && !own {
                    let words = format!(
                        "{} lost its slot (number {}) to a `{}` that was not its own, before its lease was over",
                        name(place),
                        place.fence,
                        operation.script
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
