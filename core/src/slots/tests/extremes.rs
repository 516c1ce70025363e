//! R1.15, and the contract of the crate: no input panics, whatever the clock.

use super::*;
use proptest::prelude::*;

const TIMES: [u64; 7] = [
    0,
    1,
    1_000,
    Config::DURATION_MS_MAX,
    1 << 53,
    u64::MAX - 1,
    u64::MAX,
];

fn config() -> impl Strategy<Value = Config> {
    let duration = || prop::sample::select(&[1, 2, 1_000, Config::DURATION_MS_MAX - 1][..]);
    let maybe = move || prop::option::of(duration());
    let presence = prop::option::of((duration(), duration())).prop_map(|pair| {
        pair.map(|(absent_after_ms, claim_within_ms)| Presence {
            absent_after_ms,
            abandon_after_ms: absent_after_ms + 1,
            claim_within_ms,
        })
    });
    let boosts = prop::sample::select(&[[0; CLASSES], [0, 1, 5, Config::BOOST_MAX]][..]);
    (
        (
            prop::sample::select(&[1, 3, Config::CAPACITY_MAX][..]),
            maybe(),
            maybe(),
            maybe(),
            presence,
        ),
        (
            prop::sample::select(&[0, 2, u32::MAX][..]),
            any::<bool>(),
            boosts,
        ),
        prop::sample::select(&[1, 3, Config::BATCH_MAX][..]),
        (
            prop::sample::select(&[0, 1, Config::DURATION_MS_MAX][..]),
            prop::sample::select(&[0, 1, u32::MAX][..]),
        ),
    )
        .prop_map(
            |(
                (capacity, lease_ms, idle_ms, wait_timeout_ms, presence),
                (queue_limit, count_absent, boosts),
                batch,
                (tombstone_ms, tombstones_max),
            )| Config {
                capacity,
                lease_ms,
                idle_ms,
                wait_timeout_ms,
                presence,
                queue_limit,
                count_absent,
                boosts,
                batch,
                tombstone_ms,
                tombstones_max,
            },
        )
}

proptest! {
    #[test]
    fn no_clock_no_number_and_no_order_of_calls_panics(
        config in config(),
        first_fence in prop::sample::select(&[0, Config::FIRST_FENCE_MAX][..]),
        calls in prop::collection::vec((0u8..8, prop::sample::select(&TIMES[..]), 0u64..5, prop::sample::select(&[0, 1, 2, u64::MAX][..]), any::<bool>(), 0u8..4), 1..80),
    ) {
        let mut slots = Slots::new(config, first_fence).unwrap();
        for (call, now, id, n, flag, class) in calls {
            let now = StoreTime(now);
            match call {
                0..=2 => { slots.acquire(now, id, n, Class::new(class).unwrap(), flag); }
                3 => { slots.poll(now, &id, n); }
                4 => { slots.renew(now, &id, first_fence + id, flag); }
                5 => {
                    let fence = slots.held().find(|h| *h.id == id).map_or(n, |h| h.fence);
                    slots.release(now, &id, fence);
                }
                6 => { slots.cancel(now, &id, n); }
                _ => {
                    let capacity = [1, 2, Config::CAPACITY_MAX][id as usize % 3];
                    slots.resize(now, capacity).unwrap();
                }
            }
            slots.check();
            let _ = (slots.deadline(), slots.status(), slots.position(&id));
        }
    }
}
