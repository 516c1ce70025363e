//! R1.7 · Owner only: release and renew act only for the holder of the current
//! fencing number, and for that one they do; a late release changes nothing;
//! fencing numbers only rise.

use sluice_core::slots::Fence;

use super::moment::name;
use super::{Broken, Code, GateMoment, Moment, Property};
use crate::subject::gate::Operation;
use crate::subject::view::Place;

#[derive(Default)]
pub(super) struct OwnerOnly {
    premises: u64,
    greatest: [Fence; 2],
    /// Since the store may have lost its numbers, after its clock went back: what
    /// the next one is above all the same.
    floor: [Option<Fence>; 2],
}

impl Property for OwnerOnly {
    fn code(&self) -> Code {
        Code("R1.7")
    }

    fn title(&self) -> &'static str {
        "only the holder's own number gives a slot back, and numbers only rise"
    }

    fn watch(&mut self, moment: &Moment<'_>) -> Result<(), Broken> {
        let clock_went_back = moment.bounds.clock_went_back();
        // A gate born again (and one that lost its last numbers) starts from the
        // store's clock: if that went back, the numbers before are no longer
        // below it. Those that it still knows are, and so is the clock.
        if clock_went_back && moment.loses_data() {
            self.floor = [Some(Fence::MAX); 2];
        }
        for gate in moment.gates.iter().filter(|g| g.gate.is_atomic()) {
            let Some((_, operation)) = &gate.operation else {
                continue;
            };
            let greatest = &mut self.greatest[gate.level as usize];
            let floor = &mut self.floor[gate.level as usize];
            if clock_went_back && gate.before.is_empty() && gate.before.ended.is_empty() {
                *floor = floor.or(Some(Fence::MAX)); // forgotten, perhaps
            }
            if let Some(floor) = floor.as_mut().filter(|_| operation.done) {
                let known = gate.before.held.iter().map(|p| p.fence).max();
                // It is not told when it was born again: at the latest of its calls.
                *floor = (*floor).min(known.unwrap_or(0).max(moment.store_ms * 1_000));
            }
            let fresh = |p: &&Place| {
                let before = gate.before.holder(&p.id);
                before.is_none_or(|b| b.fence != p.fence)
            };
            let mut numbers: Vec<_> = gate.after.held.iter().filter(fresh).collect();
            numbers.sort_by_key(|p| p.fence);
            for place in numbers {
                let above = floor.map_or(*greatest, |floor| floor.min(*greatest));
                if place.fence <= above {
                    let words = format!(
                        "{} was given fencing number {}, not above {above}",
                        name(place),
                        place.fence
                    );
                    return Err(Broken::at(gate.level, words));
                }
                *greatest = place.fence;
                *floor = None;
            }
            answered_by_number(gate, operation, moment.store_ms)?;
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

/// While an id holds a slot, the number decides: who shows the current one in
/// time is not told that it is lost, and who shows another one is told that it is,
/// and moves no deadline.
fn answered_by_number(gate: &GateMoment, operation: &Operation, now: u64) -> Result<(), Broken> {
    let Some(held) = gate.before.holder(&operation.id) else {
        return Ok(());
    };
    if !operation.done || !matches!(&*operation.script, "release" | "renew") {
        return Ok(());
    }
    let current = held.fence == operation.number;
    let in_time = held.claimed && held.deadline.is_none_or(|at| at > now);
    if current && in_time && operation.answer == "lost" {
        let words = format!(
            "{} showed its number in time, and a `{}` told it that its slot is lost",
            name(held),
            operation.script
        );
        return Err(Broken::at(gate.level, words));
    }
    // Told anything else, it would take the other's slot for its own.
    if !current && operation.answer != "lost" {
        let words = format!(
            "a `{}` with number {} was told `{}`, though the number of {} is {}",
            operation.script,
            operation.number,
            operation.answer,
            name(held),
            held.fence
        );
        return Err(Broken::at(gate.level, words));
    }
    let deadlines = |p: &Place| (p.deadline, p.active_until);
    let after = gate.after.holder(&operation.id);
    let moved = after.is_some_and(|a| a.fence == held.fence && deadlines(a) != deadlines(held));
    if !current && moved {
        let words = format!(
            "a `{}` with number {} moved the deadlines of {}, whose number is {}",
            operation.script,
            operation.number,
            name(held),
            held.fence
        );
        return Err(Broken::at(gate.level, words));
    }
    Ok(())
}
