//! Random use with a clock that mostly runs forward, and what must hold after
//! every single step.

use super::*;
use alloc::collections::{BTreeMap, BTreeSet};
use core::hash::{Hash, Hasher};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Call {
    Acquire { class: u8, wait: bool, newer: bool },
    Poll,
    Renew { touch: bool },
    Release,
    Cancel,
    Resize(u32),
    Sweep,
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        8 => (0u8..2, prop::bool::weighted(0.8), prop::bool::weighted(0.5))
            .prop_map(|(class, wait, newer)| Call::Acquire { class, wait, newer }),
        6 => Just(Call::Poll),
        3 => any::<bool>().prop_map(|touch| Call::Renew { touch }),
        5 => Just(Call::Release),
        2 => Just(Call::Cancel),
        1 => (1u32..6).prop_map(Call::Resize),
        2 => Just(Call::Sweep),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    let maybe = |ms: u64| prop::option::of(1..ms);
    (
        (1u32..5, maybe(60), maybe(90), maybe(60)),
        prop::option::of((1u64..20, 1u64..40, 1u64..10)),
        (0u32..12, any::<bool>(), 1u32..4),
        (prop::sample::select(&[0u64, 1, 40][..]), 0u32..6, 0u32..4),
    )
        .prop_map(
            |(
                (capacity, lease_ms, idle_ms, wait_timeout_ms),
                presence,
                (queue_limit, count_absent, batch),
                (tombstone_ms, tombstones_max, boost),
            )| Config {
                capacity,
                lease_ms,
                idle_ms,
                wait_timeout_ms,
                presence: presence.map(|(absent_after_ms, more, claim_within_ms)| Presence {
                    absent_after_ms,
                    abandon_after_ms: absent_after_ms + more,
                    claim_within_ms,
                }),
                queue_limit,
                count_absent,
                boosts: [0, boost, 0, 0],
                batch,
                tombstone_ms,
                tombstones_max,
            },
        )
}

/// What an outsider can see of everyone in line: order key and attempt, by id.
fn in_line(slots: &Slots<u64>) -> BTreeMap<u64, u64> {
    slots
        .waiting()
        .chain(slots.absent())
        .map(|w| (*w.id, w.order))
        .collect()
}

fn fences(slots: &Slots<u64>) -> BTreeMap<u64, Fence> {
    slots.held().map(|h| (*h.id, h.fence)).collect()
}

fn ended_count(stats: &Stats) -> u64 {
    stats.released + stats.reclaimed + stats.cancelled + stats.timed_out + stats.abandoned
}

fn digest(slots: &Slots<u64>) -> u64 {
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn write(&mut self, bytes: &[u8]) {
            for &byte in bytes {
                self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
        fn finish(&self) -> u64 {
            self.0
        }
    }
    let mut state = Fnv(0xcbf2_9ce4_8422_2325);
    slots.hash(&mut state);
    state.finish()
}

/// One gate, and what has been seen of it so far.
struct Watched {
    slots: Slots<u64>,
    now: u64,
    nonces: BTreeMap<u64, Nonce>,
    last_fence: Fence,
    joined: u64,
}

impl Watched {
    fn step(&mut self, id: u64, call: Call, forward: i64) {
        self.now = self.now.saturating_add_signed(forward);
        let now = StoreTime(self.now);
        let before = self.slots.clone();
        let nonce = *self.nonces.entry(id).or_insert(1);
        let reply = match call {
            Call::Acquire { class, wait, newer } => {
                let nonce = nonce + u64::from(newer);
                self.nonces.insert(id, nonce);
                let reply = self
                    .slots
                    .acquire(now, id, nonce, Class::new(class).unwrap(), wait);
                let stale_place = before
                    .ended()
                    .any(|(&other, known, ..)| other == id && known >= nonce);
                if stale_place {
                    // R1.6, unless the tombstone was due to go in this call.
                    let kept = self.slots.ended().any(|(&other, ..)| other == id);
                    assert!(
                        !kept || matches!(reply.outcome, Outcome::Stale { .. } | Outcome::Ended(_))
                    );
                }
                reply
            }
            Call::Poll => self.slots.poll(now, &id, nonce),
            Call::Renew { touch } => {
                let fence = fences(&self.slots).get(&id).copied().unwrap_or(0);
                self.slots.renew(now, &id, fence, touch)
            }
            Call::Release => {
                let fence = fences(&self.slots).get(&id).copied().unwrap_or(0);
                self.slots.release(now, &id, fence)
            }
            Call::Cancel => self.slots.cancel(now, &id, nonce),
            Call::Resize(capacity) => self.slots.resize(now, capacity).unwrap(),
            Call::Sweep => self.slots.sweep(now),
        };
        self.slots.check();
        let after = self.slots.status();
        let capacity = u64::from(after.config.capacity);
        let new: Vec<(u64, Fence)> = fences(&self.slots)
            .into_iter()
            .filter(|(_, fence)| *fence > self.last_fence)
            .collect();

        // R1.1: whoever was newly granted found room (takeovers keep the count).
        if !new.is_empty() {
            let grew = after.held > before.status().held;
            assert!(!grew || after.held <= capacity, "R1.1");
        }
        // R1.4: a free slot and a present waiter coexist only while `more`.
        assert!(
            reply.more || after.held >= capacity || after.waiting == 0,
            "R1.4"
        );
        // R1.3: a newcomer without a boost is behind everyone: if it is granted,
        // nobody who was in line before is still waiting.
        let unboosted = match call {
            Call::Acquire { class, .. } => after.config.boosts[usize::from(class)] == 0,
            _ => false,
        };
        let newcomer = !fences(&before).contains_key(&id) && !in_line(&before).contains_key(&id);
        if unboosted && newcomer && matches!(reply.outcome, Outcome::Granted { .. }) {
            let older = in_line(&before);
            let passed = self.slots.waiting().find(|w| older.contains_key(w.id));
            assert!(passed.is_none(), "R1.3: {passed:?} was overtaken");
        }
        // R1.2: of those in line before and granted now, no one present stays ahead.
        let granted: Vec<u64> = new
            .iter()
            .filter_map(|(id, _)| in_line(&before).get(id).copied())
            .collect();
        if let (Some(&last), Some(first)) = (granted.iter().max(), self.slots.waiting().next()) {
            assert!(last < first.order, "R1.2");
        }
        // R1.7: fencing numbers rise with the order of grants.
        let mut by_fence: Vec<_> = new.clone();
        by_fence.sort_by_key(|&(_, fence)| fence);
        self.last_fence = by_fence.last().map_or(self.last_fence, |&(_, fence)| fence);
        // R1.5: every ticket is live, was ended in a counted way, or was busy.
        let placed = after.held + after.waiting + after.absent;
        self.joined = placed + ended_count(&after.stats);
        let before_status = before.status();
        let placed_before = before_status.held + before_status.waiting + before_status.absent;
        let joined_before = placed_before + ended_count(&before_status.stats);
        assert!(
            (joined_before..=joined_before + 1).contains(&self.joined),
            "R1.5"
        );
        // Events tell of exactly those granted who are not the caller.
        let told: BTreeSet<u64> = core::iter::from_fn(|| self.slots.poll_event())
            .filter_map(|event| match event {
                Event::Granted { id, .. } => Some(id),
                Event::Ended { .. } => None,
            })
            .collect();
        let own = matches!(reply.outcome, Outcome::Granted { .. });
        let expected: BTreeSet<u64> = new
            .iter()
            .map(|&(id, _)| id)
            .filter(|&other| !(own && other == id))
            .collect();
        assert_eq!(told, expected);
        // The histogram and the sum agree with the count.
        let in_buckets: u64 = after.stats.wait_histogram.iter().sum();
        assert_eq!(in_buckets, after.stats.processed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn every_step_keeps_the_promises(
        config in config(),
        steps in prop::collection::vec((0u64..9, call(), prop_oneof![9 => 0i64..8, 1 => -20i64..60]), 1..150),
    ) {
        let mut watched = Watched {
            slots: Slots::new(config, 0).unwrap(),
            now: 100,
            nonces: BTreeMap::new(),
            last_fence: 0,
            joined: 0,
        };
        for (id, call, forward) in steps {
            watched.step(id, call, forward);
        }
    }

    /// The hash knows the logical state only: the same history with other
    /// places in memory, and a clone, hash alike.
    #[test]
    fn the_hash_does_not_see_memory(extra in 1u64..40, ids in prop::collection::vec(0u64..20, 1..30)) {
        let config = Config { queue_limit: 1_000, ..Config::limiter(2, None) };
        let mut straight = Slots::new(config, 0).unwrap();
        let mut scattered = Slots::new(config, 0).unwrap();
        let now = StoreTime(0);
        // Both use `extra` tickets and fences; only one gets them all at once,
        // so that its slab and its index are left in another order.
        for n in 0..extra {
            let Outcome::Granted { fence, .. } = straight.acquire(now, 1_000, n, Class::ZERO, true).outcome else {
                panic!("free");
            };
            straight.release(now, &1_000, fence);
        }
        for n in 0..extra {
            scattered.acquire(now, 1_000 + n, 1, Class::ZERO, true);
        }
        for fence in 1..=extra {
            scattered.release(now, &(999 + fence), fence);
            while scattered.poll_event().is_some() {}
        }
        for id in ids {
            straight.acquire(now, id, 1, Class::ZERO, true);
            scattered.acquire(now, id, 1, Class::ZERO, true);
        }
        // The pace of the queue is part of the state; here it differs by
        // history only in how many gaps of 0 ms were seen.
        scattered.flow = straight.flow;
        scattered.promoted_at = straight.promoted_at;
        prop_assert_eq!(digest(&straight), digest(&scattered));
        prop_assert_eq!(digest(&straight), digest(&straight.clone()));
        straight.sweep(StoreTime(0));
        straight.cancel(now, &0, 9);
        straight.acquire(now, 77, 1, Class::ZERO, true);
        prop_assert_ne!(digest(&straight), digest(&scattered));
    }
}
