//! R1.16 · Housekeeping per call is bounded by the batch: no operation, however
//! much is due, does more than one batch of expiries and one of promotions
//! (each of which may find one more place overdue). What would do all of it at
//! once does so also when it is too much for the server's script engine (B27).

use super::{Broken, Code, Moment, Property};
use crate::subject::view::Ending;

const EXPIRED: u8 = 2;
const TIMED_OUT: u8 = 4;
const ABANDONED: u8 = 5;

#[derive(Default)]
pub(super) struct Batches {
    premises: u64,
}

impl Property for Batches {
    fn code(&self) -> Code {
        Code("R1.16")
    }

    fn title(&self) -> &'static str {
        "no operation does more housekeeping than its batch"
    }

    fn watch(&mut self, moment: &Moment<'_>) -> Result<(), Broken> {
        for gate in moment.gates {
            let (Some(config), Some((_, operation))) = (gate.gate.config(), &gate.operation) else {
                continue;
            };
            let batch = config.batch as usize;
            self.premises += u64::from(operation.more);
            let (before, after) = (&gate.before, &gate.after);
            let promoted = gate.granted().count();
            let due = |manner| matches!(manner, EXPIRED | TIMED_OUT | ABANDONED);
            // What has ended and is cancelled again only remembers a greater nonce.
            let new = |e: &&Ending| {
                let known = before.ending(&e.id);
                known.is_none_or(|b| b.nonce != e.nonce && *e.id != *operation.id)
            };
            let (mut endings, mut ended) = (0, 0);
            for ending in after.ended.iter().filter(new) {
                endings += 1;
                ended += usize::from(due(ending.manner));
            }
            let forgotten = before.ended.iter().filter(|e| {
                after.ending(&e.id).is_none()
                    && after.holder(&e.id).is_none()
                    && after.waiter(&e.id).is_none()
            });
            let silent = after
                .absent
                .iter()
                .filter(|p| !before.absent.iter().any(|b| b.id == p.id));
            // Each new ending may push out an old one: that is no expiry.
            let forgotten = forgotten.count().saturating_sub(endings);
            let expired = ended + forgotten + silent.count();
            if promoted > batch || expired > 2 * batch {
                let words = format!(
                    "a `{}` expired {expired} and promoted {promoted}, in batches of {batch}",
                    operation.script
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
