//! R3.4 · Idle sessions are reclaimed: one that only beats is idle (R1.8's
//! second deadline).
//!
//! When a session was last used is noted here, from the calls that say so: an
//! *active* deadline that moves by itself would make nobody idle.

use std::collections::BTreeMap;

use sluice_core::slots::Fence;

use super::moment::name;
use super::{Broken, Code, Moment, Property};
use crate::subject::gate::Level;

#[derive(Default)]
pub(super) struct Idle {
    premises: u64,
    /// By fencing number: the store's time at which the slot was last used.
    used: BTreeMap<Fence, u64>,
}

impl Property for Idle {
    fn code(&self) -> Code {
        Code("R3.4")
    }

    fn title(&self) -> &'static str {
        "sessions without use are reclaimed after the idle time, and not before"
    }

    fn watch(&mut self, moment: &Moment<'_>) -> Result<(), Broken> {
        let now = moment.store_ms;
        let sessions = moment.gates.iter().filter(|g| g.level == Level::Sessions);
        for gate in sessions {
            let Some(idle_ms) = gate.gate.config().and_then(|c| c.idle_ms) else {
                continue;
            };
            if moment.loses_data() {
                // The uses that it knows of now are earlier ones; which may have
                // been at a later time, if its clock went back since.
                let held = gate.after.held.iter().filter(|p| p.claimed);
                let known = held.filter_map(|p| Some((p.fence, p.active_until?)));
                let used = known.map(|(fence, until)| (fence, until.saturating_sub(idle_ms)));
                self.used = used.collect();
            }
            let Some((_, operation)) = &gate.operation else {
                continue;
            };
            for place in gate.ended() {
                self.used.remove(&place.fence);
            }
            for place in gate.after.held.iter().filter(|p| p.claimed) {
                // Not one that was refused, by the gate or by NOSCRIPT, say.
                let touched = operation.answer == "renewed"
                    && operation.touches
                    && *operation.id == *place.id;
                let before = gate.before.holder(&place.id);
                let claimed = before.is_none_or(|b| !b.claimed || b.fence != place.fence);
                if touched || claimed {
                    self.used.insert(place.fence, now);
                }
                let used = self.used.get(&place.fence).copied().unwrap_or(now);
                let until = used.saturating_add(idle_ms);
                if place.active_until.is_none_or(|at| at > until) {
                    let words = format!(
                        "{} has not used its session for {} ms, and a `{}` prolonged it all the same",
                        name(place),
                        now.saturating_sub(used),
                        operation.script
                    );
                    return Err(Broken::at(gate.level, words));
                }
                if until <= now && gate.is_settled() {
                    let words =
                        format!("{} is idle for too long and keeps its session", name(place));
                    return Err(Broken::at(gate.level, words));
                }
            }
            // Its own client stops, and gives back, a little before the store
            // would reclaim: drift and margin, about a thousandth and 100 ms.
            let soon = now + idle_ms / 1_000 + 100;
            let ended = gate.ended().filter(|p| p.claimed);
            self.premises += ended
                .filter(|p| p.active_until.is_some_and(|at| at <= soon))
                .count() as u64;
        }
        Ok(())
    }

    fn premises(&self) -> u64 {
        self.premises
    }
}
