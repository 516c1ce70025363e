//! The transitions of the machine, one by one, and its invariants under random
//! use. Agreement with the specification is tested in `verify`.

mod extremes;
mod housekeeping;
mod invariants;
mod operations;

use super::*;
use crate::time::StoreTime;

pub(super) const PRESENCE: Presence = Presence {
    absent_after_ms: 10,
    abandon_after_ms: 100,
    claim_within_ms: 5,
};

/// One slot, a queue, nothing else; endings are remembered for 1,000 ms.
pub(super) fn plain(capacity: u32) -> Config {
    Config {
        tombstone_ms: 1_000,
        tombstones_max: 100,
        ..Config::limiter(capacity, None)
    }
}

/// A gate under test: named ids, and `check()` after every operation.
pub(super) struct Gate(pub(super) Slots<&'static str>);

impl Gate {
    pub(super) fn new(config: Config) -> Self {
        Self(Slots::new(config, 0).unwrap())
    }

    pub(super) fn acquire(&mut self, now: u64, id: &'static str, nonce: Nonce) -> Outcome {
        let reply = self.0.acquire(StoreTime(now), id, nonce, Class::ZERO, true);
        self.checked(reply)
    }

    pub(super) fn try_acquire(&mut self, now: u64, id: &'static str, nonce: Nonce) -> Outcome {
        let reply = self
            .0
            .acquire(StoreTime(now), id, nonce, Class::ZERO, false);
        self.checked(reply)
    }

    pub(super) fn poll(&mut self, now: u64, id: &'static str, nonce: Nonce) -> Outcome {
        let reply = self.0.poll(StoreTime(now), &id, nonce);
        self.checked(reply)
    }

    pub(super) fn renew(
        &mut self,
        now: u64,
        id: &'static str,
        fence: Fence,
        touch: bool,
    ) -> Outcome {
        let reply = self.0.renew(StoreTime(now), &id, fence, touch);
        self.checked(reply)
    }

    pub(super) fn release(&mut self, now: u64, id: &'static str, fence: Fence) -> Outcome {
        let reply = self.0.release(StoreTime(now), &id, fence);
        self.checked(reply)
    }

    pub(super) fn cancel(&mut self, now: u64, id: &'static str, nonce: Nonce) -> Outcome {
        let reply = self.0.cancel(StoreTime(now), &id, nonce);
        self.checked(reply)
    }

    pub(super) fn resize(&mut self, now: u64, capacity: u32) -> Outcome {
        let reply = self.0.resize(StoreTime(now), capacity).unwrap();
        self.checked(reply)
    }

    pub(super) fn sweep(&mut self, now: u64) -> bool {
        let reply = self.0.sweep(StoreTime(now));
        self.checked(reply);
        reply.more
    }

    /// Joins and must be granted; the fencing number.
    pub(super) fn grant(&mut self, now: u64, id: &'static str, nonce: Nonce) -> Fence {
        match self.acquire(now, id, nonce) {
            Outcome::Granted { fence, .. } => fence,
            other => panic!("{id}: {other:?}"),
        }
    }

    /// Who is woken by the last operation.
    pub(super) fn woken(&mut self) -> Vec<&'static str> {
        self.events()
            .into_iter()
            .filter_map(|event| match event {
                Event::Granted { id, .. } => Some(id),
                Event::Ended { .. } => None,
            })
            .collect()
    }

    pub(super) fn events(&mut self) -> Vec<Event<&'static str>> {
        core::iter::from_fn(|| self.0.poll_event()).collect()
    }

    pub(super) fn stats(&self) -> Stats {
        self.0.status().stats
    }

    fn checked(&mut self, reply: Reply) -> Outcome {
        self.0.check();
        reply.outcome
    }
}

/// The position of one who waits.
pub(super) fn position(outcome: Outcome) -> u64 {
    match outcome {
        Outcome::Waiting { position, .. } => position,
        other => panic!("not waiting: {other:?}"),
    }
}

use alloc::vec::Vec;
