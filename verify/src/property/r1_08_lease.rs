//! R1.8 · Leases: an expired lease frees its slot at the next operation that
//! leaves nothing over, never before its expiry by the store's clock, and what
//! a client is told ends before the lease does.

use super::moment::{name, person};
use super::{Believer, Broken, Code, GateMoment, Moment, Property};
use crate::scenario::user::Stage;
use crate::subject::gate::Level;

#[derive(Default)]
pub(super) struct Leases {
    premises: u64,
}

impl Property for Leases {
    fn code(&self) -> Code {
        Code("R1.8")
    }

    fn title(&self) -> &'static str {
        "a lease frees its slot in time, not early, and its holder stops before it"
    }

    fn watch(&mut self, moment: &Moment<'_>) -> Result<(), Broken> {
        for gate in moment.gates.iter().filter(|g| g.gate.is_atomic()) {
            if gate.operation.is_some() {
                self.at_the_store(gate, moment.store_ms)?;
            }
            // Only these two bring store and belief apart; a belief that ends
            // by itself does not.
            if gate.ended().next().is_some() || moment.tells() {
                in_the_belief(gate, moment.believers(gate.level))?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, end: &Moment<'_>) -> Result<(), Broken> {
        let all_through = end.users().all(|(_, user)| user.stage == Stage::Done);
        for gate in end.gates {
            if let Some(place) = gate.after.held.first().filter(|_| all_through) {
                let words = format!(
                    "everybody is through, and {} still holds a slot that nobody uses",
                    name(place)
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

impl Leases {
    fn at_the_store(&mut self, gate: &GateMoment, now: u64) -> Result<(), Broken> {
        for place in gate.ended().filter(|p| p.claimed) {
            let over = place.deadline.is_some_and(|at| at <= now);
            self.premises += u64::from(over);
            let expired = gate.after.ending(&place.id).is_some_and(|e| e.manner == 2);
            if expired && !over {
                let words = format!("{} was ended before its lease was over", name(place));
                return Err(Broken::at(gate.level, words));
            }
        }
        let left = gate
            .after
            .held
            .iter()
            .find(|p| p.deadline.is_some_and(|at| at <= now));
        match left {
            Some(place) if gate.is_settled() => {
                let words = format!(
                    "{} keeps its slot beyond its deadline, after an operation that left nothing over",
                    name(place)
                );
                Err(Broken::at(gate.level, words))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Whoever believes to hold a slot holds it in the store, under that number.
fn in_the_belief(gate: &GateMoment, believers: &[Believer<'_>]) -> Result<(), Broken> {
    let level: Level = gate.level;
    for Believer { user, fence, .. } in believers.iter().filter(|b| b.in_bounds && !b.may_be_lost) {
        let id = user.id();
        let held = gate.after.holder(id.as_bytes()).or_else(|| {
            let mut held = gate.after.held.iter();
            held.find(|p| person(&p.id) == id.as_bytes())
        });
        if held.is_none_or(|p| p.fence != *fence) {
            let words = format!(
                "{id} still believes to hold a slot (number {fence}) that the store has taken back"
            );
            return Err(Broken::at(level, words));
        }
    }
    Ok(())
}
