//! R1.6 · One place each: an id holds at most one slot or one place, and a
//! delayed copy of a join whose place has ended makes no new one.
//!
//! What has ended is remembered here, not read from the store's tombstones: a
//! store that keeps none would otherwise convict nobody.

use std::collections::BTreeMap;

use sluice_core::redis::Bytes;
use sluice_core::slots::Nonce;

use super::moment::{name, person};
use super::{Broken, Code, GateMoment, Moment, Property};
use crate::subject::gate::Level;

#[derive(Default)]
pub(super) struct OnePlace {
    premises: u64,
    /// The greatest attempt of an id that has ended, and when.
    ended: BTreeMap<(Level, Bytes), (Nonce, u64)>,
}

impl Property for OnePlace {
    fn code(&self) -> Code {
        Code("R1.6")
    }

    fn title(&self) -> &'static str {
        "one slot or one place each, however often a join is repeated"
    }

    fn watch(&mut self, moment: &Moment<'_>) -> Result<(), Broken> {
        if moment.loses_data() {
            // What the store has lost it cannot know.
            self.ended.clear();
        }
        for gate in moment.gates.iter().filter(|g| g.operation.is_some()) {
            // A second place is a new one: held, or in line.
            let in_line = gate.after.waiting.iter().chain(&gate.after.absent);
            let in_line = in_line.filter(|p| gate.before.waiter(&p.id).is_none());
            for new in gate.granted().chain(in_line) {
                let person = person(&new.id);
                let places = gate.after.live().filter(|p| self::person(&p.id) == person);
                if places.count() > 1 {
                    let words = format!("{} has two places", String::from_utf8_lossy(person));
                    return Err(Broken::at(gate.level, words));
                }
            }
            self.corpses(gate, moment.store_ms)?;
        }
        Ok(())
    }

    fn premises(&self) -> u64 {
        self.premises
    }
}

impl OnePlace {
    fn corpses(&mut self, gate: &GateMoment, now: u64) -> Result<(), Broken> {
        let (Some(config), Some((_, operation))) = (gate.gate.config(), &gate.operation) else {
            return Ok(());
        };
        // Bounded: a tombstone is kept for so long by the store's clock, which
        // may step; half of it is certain.
        let certain_ms = config.tombstone_ms / 2;
        let key = (gate.level, Bytes::from(&operation.id[..]));
        let after = &gate.after;
        let place = after.holder(&key.1).or_else(|| after.waiter(&key.1));
        let before = &gate.before;
        let was = before.holder(&key.1).or_else(|| before.waiter(&key.1));
        if operation.script == "acquire"
            && let Some((nonce, at)) = self.ended.get(&key)
            && now.saturating_sub(*at) < certain_ms
        {
            self.premises += 1;
            if let Some(place) = place.filter(|p| p.nonce <= *nonce)
                && was.is_none_or(|was| was.nonce != place.nonce)
            {
                let words = format!(
                    "attempt {} of {} had ended and has a place again",
                    place.nonce,
                    name(place)
                );
                return Err(Broken::at(gate.level, words));
            }
        }
        for place in gate.over() {
            self.end((gate.level, place.id.clone()), place.nonce, now, certain_ms);
        }
        if operation.script == "cancel" && operation.answer == "cancelled" {
            self.end(key, operation.number, now, certain_ms);
        }
        Ok(())
    }

    /// A greater attempt that ended earlier is still what counts, from then and
    /// not from now; until the store may have forgotten it, and let in one that
    /// counts anew (after a crash, say).
    fn end(&mut self, key: (Level, Bytes), nonce: Nonce, now: u64, certain_ms: u64) {
        let ended = self.ended.entry(key).or_default();
        if nonce > ended.0 || now.saturating_sub(ended.1) >= certain_ms {
            *ended = (nonce, now);
        }
    }
}
