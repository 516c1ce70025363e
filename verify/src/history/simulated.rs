//! Histories of simulated runs: what the clients of a run could know of it.
//!
//! Of gates made of the scripts in `lua/`, every request is an operation: it
//! begins when it is sent, and its outcome is known if its reply was delivered.
//! An attempt is a nonce. The joins and polls of an attempt until the first
//! answer that grants are one acquire; later ones are renewals, for they say
//! again what is held. A refusal is a rejection as busy; whoever is turned away
//! otherwise (full, timed out, abandoned) has an unknown outcome. Requests
//! answered *stale* changed nothing and are left out.
//!
//! Of gates made of a hash and a list, which take several commands for one
//! operation, an acquire goes from the first command to what the application is
//! told, and so does leaving; attempts are counted.
//!
//! **Time.** Simulated nanoseconds, and two for each step, because much can
//! happen while the simulated clock stands still: what is sent in a step is sent
//! after what was delivered in it. Of a request only the nanosecond of sending
//! is known, so it counts as sent in the first step of that nanosecond.
//!
//! **Leases** run by the store's clock, in whole milliseconds: one less than was
//! told is certain. Where that clock steps forward, a lease may end at that
//! moment. (It drifts from the simulated time in no other way.) Where the store
//! loses its data, what it had promised is void, and the history ends.

use std::collections::BTreeMap;

use sluice_core::client::{Event, RequestId};
use sluice_core::redis::{Command, Reply as RedisReply};
use sluice_core::script;
use sluice_core::slots::{Outcome, Rejected};
use sluice_sim::world::{ActorId, FaultKind, Happening};

use super::slots::{Op, Reply};
use super::{Answer, History};
use crate::run::Step;

mod hashes;
mod scripts;

/// What was recorded of one gate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// Slots at first, by the configuration that its callers sent; `None` for a
    /// gate that does not say.
    pub capacity: Option<u32>,
    /// What its clients did; its only key is the gate's name.
    pub history: History<Op, Reply>,
}

/// The histories of a run, by the name of the gate.
#[must_use]
pub fn histories(steps: &[Step]) -> BTreeMap<String, Gate> {
    let mut gates = BTreeMap::new();
    let mut scripts = scripts::Scripts::default();
    let mut hashes = hashes::Hashes::default();
    let mut clock = Clock::default();
    let mut leaps = Vec::new();
    for step in steps {
        clock.step(step);
        for happening in &step.happenings {
            match happening {
                Happening::ServerClockStepped { by_us } if *by_us > 0 => leaps.push(clock.now()),
                Happening::ServerStopped { kind, lost, .. }
                    if *lost > 0 && *kind != FaultKind::ServerFailover =>
                {
                    scripts.is_over = true;
                }
                _ => {}
            }
            scripts.take(happening, &clock, &mut gates);
            hashes.take(happening, &clock, &mut gates);
        }
    }
    for gate in gates.values_mut() {
        for operation in &mut gate.history.operations {
            let start = operation.start;
            let Some(Answer {
                reply: Reply::Granted { lease, .. } | Reply::Renewed { lease },
                ..
            }) = &mut operation.answer
            else {
                continue;
            };
            let leap = leaps.iter().find(|leap| **leap >= start);
            if let (Some(lease), Some(leap)) = (lease, leap) {
                *lease = (*lease).min(leap - start);
            }
        }
    }
    gates
}

/// The time axis of histories.
#[derive(Clone, Debug, Default)]
struct Clock {
    now_ns: u64,
    now: u64,
    /// Of the last nanoseconds with steps in them: the first step's time.
    firsts: BTreeMap<u64, u64>,
}

impl Clock {
    fn step(&mut self, step: &Step) {
        self.now_ns = step.now_ns;
        self.now = step.now_ns + 2 * step.number;
        self.firsts.entry(self.now_ns).or_insert(self.now);
    }

    /// When what is delivered in this step arrives.
    const fn now(&self) -> u64 {
        self.now
    }

    /// When what was sent in this nanosecond was sent, at the earliest.
    fn sent(&self, at_ns: u64) -> u64 {
        let first = self.firsts.get(&at_ns);
        first.map_or(at_ns, |first| first + 1)
    }
}

/// The name in a key's hash tag.
fn tag(key: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(key).ok()?;
    let (_, rest) = text.split_once('{')?;
    Some(rest.split_once('}')?.0.to_owned())
}
