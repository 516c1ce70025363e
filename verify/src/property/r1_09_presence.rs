//! R1.9 · Presence: who is not heard of is absent, keeps its place, and is not
//! promoted; its place ends as abandoned; an offer that nobody claims returns.

use super::moment::name;
use super::{Broken, Code, Moment, Property};
use crate::subject::view::Place;

const EXPIRED: u8 = 2;

#[derive(Default)]
pub(super) struct Presence {
    premises: u64,
}

impl Property for Presence {
    fn code(&self) -> Code {
        Code("R1.9")
    }

    fn title(&self) -> &'static str {
        "the absent neither block nor are promoted, and their places end"
    }

    fn watch(&mut self, moment: &Moment<'_>) -> Result<(), Broken> {
        for gate in moment.gates {
            let Some(presence) = gate.gate.config().and_then(|c| c.presence) else {
                continue;
            };
            let Some((_, operation)) = &gate.operation else {
                continue;
            };
            let (before, after, now) = (&gate.before, &gate.after, moment.store_ms);
            for place in &after.absent {
                self.premises += u64::from(!before.absent.iter().any(|p| p.id == place.id));
            }
            for place in &before.absent {
                let promoted = after
                    .holder(&place.id)
                    .is_some_and(|p| p.nonce == place.nonce);
                if promoted && *operation.id != *place.id {
                    let words = format!("{} was promoted while it was absent", name(place));
                    return Err(Broken::at(gate.level, words));
                }
            }
            for offer in gate.granted().filter(|p| !p.claimed) {
                let stands = offer.deadline.unwrap_or(u64::MAX).saturating_sub(now);
                if stands > presence.claim_within_ms {
                    let words = format!("an offer to {} stands for {stands} ms", name(offer));
                    return Err(Broken::at(gate.level, words));
                }
            }
            for offer in before.held.iter().filter(|p| !p.claimed) {
                let ended = after.ending(&offer.id);
                if ended.is_some_and(|e| e.nonce == offer.nonce && e.manner == EXPIRED) {
                    let words =
                        format!("an offer to {} lapsed, and its place with it", name(offer));
                    return Err(Broken::at(gate.level, words));
                }
            }
            if !gate.is_settled() {
                continue;
            }
            let silent = |place: &Place, ms: u64| place.heard_at.saturating_add(ms) <= now;
            if let Some(place) = after
                .waiting
                .iter()
                .find(|p| silent(p, presence.absent_after_ms))
            {
                let words = format!("{} is silent and still counts as present", name(place));
                return Err(Broken::at(gate.level, words));
            }
            if let Some(place) = after
                .absent
                .iter()
                .find(|p| silent(p, presence.abandon_after_ms))
            {
                let words = format!("{} is silent for too long and keeps its place", name(place));
                return Err(Broken::at(gate.level, words));
            }
        }
        Ok(())
    }

    fn premises(&self) -> u64 {
        self.premises
    }
}
