//! R1.15 · Bounded: nothing grows without bound. The line is no longer than its
//! limit; the store keeps nothing but the gates' own keys, nothing of anybody
//! without a place, and forgets endings when their time has come.

use super::moment::name;
use super::{Broken, Code, GateMoment, Moment, Property};
use crate::subject::view::Place;

#[derive(Default)]
pub(super) struct Bounded {
    premises: u64,
}

impl Property for Bounded {
    fn code(&self) -> Code {
        Code("R1.15")
    }

    fn title(&self) -> &'static str {
        "the line keeps its limit, and nothing is left of those who are gone"
    }

    fn watch(&mut self, moment: &Moment<'_>) -> Result<(), Broken> {
        let keys = moment.world.server().keyspace();
        for gate in moment.gates.iter().filter(|g| g.operation.is_some()) {
            let now_us = moment.world.server_time_us();
            let own = |key: &[u8]| moment.gates.iter().any(|g| g.gate.owns(key));
            if let Some((key, _)) = keys.iter(now_us).find(|(key, _)| !own(key)) {
                let key = String::from_utf8_lossy(key);
                let words = format!("the key {key} belongs to no gate, and nobody removes it");
                return Err(Broken::at(gate.level, words));
            }
            if let Some(id) = gate.after.residue.first() {
                let id = String::from_utf8_lossy(id);
                let words = format!("something of {id} is kept that no place of it needs");
                return Err(Broken::at(gate.level, words));
            }
            self.line(gate)?;
            self.endings(gate, moment.store_ms)?;
        }
        Ok(())
    }

    fn premises(&self) -> u64 {
        self.premises
    }
}

impl Bounded {
    fn line(&mut self, gate: &GateMoment) -> Result<(), Broken> {
        let (Some(config), Some((_, operation))) = (gate.gate.config(), &gate.operation) else {
            return Ok(());
        };
        let (before, after) = (&gate.before, &gate.after);
        let newcomer = after.waiting.iter().find(|p| {
            *p.id == *operation.id
                && before.waiter(&p.id).is_none()
                && before.holder(&p.id).is_none()
        });
        let absent = if config.count_absent {
            after.absent.len()
        } else {
            0
        };
        let (length, limit) = (after.waiting.len() + absent, config.queue_limit as usize);
        self.premises += u64::from(operation.script == "acquire" && length >= limit);
        match newcomer {
            Some(newcomer) if gate.is_settled() && length > limit => {
                let words = format!(
                    "{} joined a line of {length} that may have {limit}",
                    name(newcomer)
                );
                Err(Broken::at(gate.level, words))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// An operation that found nothing else to do has forgotten something, if
    /// anything was there to be forgotten.
    fn endings(&self, gate: &GateMoment, now: u64) -> Result<(), Broken> {
        let (before, after) = (&gate.before, &gate.after);
        let old = before.ended.first().filter(|e| e.until <= now);
        let Some(old) = old.filter(|_| gate.is_settled()) else {
            return Ok(());
        };
        let forgot = after
            .ended
            .first()
            .is_none_or(|e| e.id != old.id || e.until > now);
        let presence = gate.gate.config().and_then(|config| config.presence);
        let late = |heard_at: u64| {
            presence.is_some_and(|p| heard_at.saturating_add(p.absent_after_ms) <= now)
        };
        // By number: an offer may lapse, and be made again in the same call.
        let slot = |p: &Place| (p.id.clone(), p.fence);
        let busy = !before.held.iter().map(slot).eq(after.held.iter().map(slot))
            || before.waiting.len() != after.waiting.len()
            || before.absent.len() != after.absent.len()
            // Who became absent and was heard in one call is where it was.
            || before.waiting.iter().any(|p| late(p.heard_at));
        if forgot || busy {
            return Ok(());
        }
        let id = String::from_utf8_lossy(&old.id);
        let words = format!("the ending of {id} is remembered beyond its time");
        Err(Broken::at(gate.level, words))
    }
}
