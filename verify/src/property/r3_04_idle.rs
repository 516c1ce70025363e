//! R3.4 · Idle sessions are reclaimed: one that only beats is idle (R1.8's
//! second deadline).

use super::moment::name;
use super::{Broken, Code, Moment, Property};
use crate::subject::gate::Level;
use crate::subject::view::Place;

#[derive(Default)]
pub(super) struct Idle {
    premises: u64,
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
        for gate in sessions.filter(|g| g.operation.is_some()) {
            let idle = |p: &Place| p.claimed && p.active_until.is_some_and(|at| at <= now);
            // Its own client stops, and gives back, a little before the store
            // would reclaim: drift and margin, about a thousandth and 100 ms.
            let idle_ms = gate.gate.config().and_then(|c| c.idle_ms).unwrap_or(0);
            let soon = now + idle_ms / 1_000 + 100;
            let ended = gate.ended().filter(|p| p.claimed);
            self.premises += ended
                .filter(|p| p.active_until.is_some_and(|at| at <= soon))
                .count() as u64;
            if let Some(place) = gate.after.held.iter().find(|p| idle(p))
                && gate.is_settled()
            {
                let words = format!("{} is idle for too long and keeps its session", name(place));
                return Err(Broken::at(gate.level, words));
            }
        }
        Ok(())
    }

    fn premises(&self) -> u64 {
        self.premises
    }
}
