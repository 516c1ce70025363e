//! R1.10 · A waiter that timed out or was cancelled never eats a slot. (That
//! its going wakes whoever is next is R1.4.)
//!
//! Three readings: the store grants nothing to whose wait is over; a carried out
//! cancellation leaves nothing held; and who is out, and does nothing more about
//! it, has no place. The last one needs care: a client may stop cancelling when
//! the store must have ended its place by itself, which takes a lease at least;
//! so it is judged by calls that were sent less than that before.

use sluice_core::client::Event;
use sluice_sim::world::Happening;

use super::moment::name;
use super::{Broken, Code, GateMoment, Moment, Property};
use crate::subject::gate::AnyClient;
use crate::subject::view::Place;

#[derive(Default)]
pub(super) struct Cancellation {
    premises: u64,
    /// Since when a client has had nothing to do, in true time; by level, then
    /// by user.
    idle: [PerUser; 2],
    /// When the latest call that keeps a place was sent, of those executed.
    kept: [PerUser; 2],
    /// When a client gave up for good, or its process was started anew.
    gave_up: PerUser,
}

/// A point in time per user, for those who have one.
#[derive(Default)]
struct PerUser(Vec<Option<u64>>);

impl PerUser {
    fn get(&self, user: u16) -> Option<u64> {
        self.0.get(usize::from(user)).copied().flatten()
    }

    fn set(&mut self, user: u16, at: Option<u64>) {
        let user = usize::from(user);
        if self.0.len() <= user {
            self.0.resize(user + 1, None);
        }
        self.0[user] = at;
    }
}

impl Property for Cancellation {
    fn code(&self) -> Code {
        Code("R1.10")
    }

    fn title(&self) -> &'static str {
        "who timed out or cancelled eats no slot"
    }

    fn watch(&mut self, moment: &Moment<'_>) -> Result<(), Broken> {
        for gate in moment.gates {
            let Some(config) = gate.gate.config() else {
                continue;
            };
            self.note(gate, moment);
            if gate.operation.is_none() {
                continue;
            }
            self.at_the_store(gate, config.wait_timeout_ms, moment.store_ms)?;
            let shortest = [config.lease_ms, config.idle_ms]
                .into_iter()
                .flatten()
                .min();
            self.at_the_client(gate, shortest, moment)?;
        }
        Ok(())
    }

    fn premises(&self) -> u64 {
        self.premises
    }
}

impl Cancellation {
    fn at_the_store(
        &mut self,
        gate: &GateMoment,
        timeout: Option<u64>,
        now: u64,
    ) -> Result<(), Broken> {
        for granted in gate.granted() {
            let stood = gate.before.waiter(&granted.id);
            let late = |joined: u64| timeout.is_some_and(|ms| joined.saturating_add(ms) <= now);
            // A later attempt has not waited: the old place ended, and it joined.
            let same = stood.filter(|stood| stood.nonce == granted.nonce);
            if same.is_some_and(|stood| late(stood.joined_at)) {
                let words = format!("{} had waited too long and was granted", name(granted));
                return Err(Broken::at(gate.level, words));
            }
        }
        let Some((_, operation)) = &gate.operation else {
            return Ok(());
        };
        if operation.script != "cancel" || operation.answer != "cancelled" {
            return Ok(());
        }
        self.premises += 1;
        let left = gate.after.holder(&operation.id);
        let left = left.or_else(|| gate.after.waiter(&operation.id));
        match left.filter(|p| p.nonce <= operation.number) {
            Some(place) => Err(Broken::at(
                gate.level,
                format!("{} has cancelled and keeps its place", name(place)),
            )),
            None => Ok(()),
        }
    }

    fn note(&mut self, gate: &GateMoment, moment: &Moment<'_>) {
        let idle = &mut self.idle[gate.level as usize];
        for (user, client) in moment.clients_at_work(gate.level) {
            let since = idle.get(user.number).unwrap_or(moment.now_ns);
            idle.set(user.number, client.is_idle().then_some(since));
        }
        let kept = &mut self.kept[gate.level as usize];
        if moment.loses_data() {
            // What was given back may be there again.
            *kept = PerUser::default();
        }
        for happening in moment.happenings {
            // A process that starts anew knows of no attempt, what the dead one
            // has sent may still arrive, and a guarded gate may turn its next one
            // away: the lease ends what was there.
            if let Happening::Restarted { host } = happening {
                for seat in moment.world.program(*host).seats() {
                    kept.set(seat.user.number, None);
                    self.gave_up.set(seat.user.number, Some(moment.now_ns));
                }
            }
            // Who gives up leaves the rest to the store: its lease ends it.
            if let Happening::Told {
                who,
                event: Event::Fatal(_),
            } = happening
                && let Some(user) = moment.user(*who)
            {
                kept.set(user.number, None);
                self.gave_up.set(user.number, Some(moment.now_ns));
            }
        }
        let Some((_, operation)) = &gate.operation else {
            return;
        };
        for happening in moment.happenings {
            if let Happening::Executed { who, sent_ns, .. } = happening
                && operation.done
                && matches!(&*operation.script, "acquire" | "poll" | "renew")
                && let Some(user) = moment.user(*who)
                && Some(*sent_ns) > self.gave_up.get(user.number)
            {
                let latest = kept.get(user.number);
                let latest = match &*operation.answer {
                    "granted" | "waiting" | "renewed" => latest.max(Some(*sent_ns)),
                    // Put out by the store, not by itself: what a copy of its
                    // join may get is its lease's to end.
                    "lost" => None,
                    // In a new epoch a guarded gate lets no newer attempt take
                    // over: what the older one could not give back its lease ends.
                    "rejected"
                        if (gate.before.holder(&operation.id))
                            .is_some_and(|p| p.nonce < operation.number) =>
                    {
                        None
                    }
                    // What was said to be none is not kept; nor is what a
                    // failover has brought back by then.
                    _ => latest,
                };
                kept.set(user.number, latest);
            }
        }
    }

    /// Who is out, and does nothing more about it.
    fn at_the_client(
        &self,
        gate: &GateMoment,
        lease_ms: Option<u64>,
        moment: &Moment<'_>,
    ) -> Result<(), Broken> {
        for (user, client) in moment.clients(gate.level) {
            let (idle, kept) = (
                self.idle[gate.level as usize].get(user.number),
                self.kept[gate.level as usize].get(user.number),
            );
            let (Some(since), Some(kept)) = (idle, kept) else {
                continue;
            };
            // A tenth less: clocks drift.
            let lease_ns = lease_ms.unwrap_or(u64::MAX / 2_000_000) * 900_000;
            if matches!(client, AnyClient::Hash(_))
                || !moment.bounds.keeps(gate.level, user.number, client.nonce())
                || since.saturating_sub(kept) >= lease_ns
            {
                continue;
            }
            let id = user.id().as_bytes();
            let place = gate.after.holder(id).or_else(|| gate.after.waiter(id));
            // A lease that is over ends in the batches of housekeeping, not by
            // a release that comes too late.
            let over = |p: &&Place| p.deadline.is_some_and(|at| at <= moment.store_ms);
            let place = place.filter(|p| p.nonce <= client.nonce() && !over(p));
            if let Some(place) = place {
                let words = format!(
                    "{} is out, as far as its client knows, and its attempt {} has a place",
                    name(place),
                    place.nonce
                );
                return Err(Broken::at(gate.level, words));
            }
        }
        Ok(())
    }
}
