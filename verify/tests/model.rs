//! The slot machine against its specification: any sequence of operations, on
//! any configuration, with a clock that jumps both ways, gets the same replies,
//! statistics, wake-ups and zones from both.

use proptest::prelude::*;
use sluice_core::slots::{CLASSES, Class, Config, Event, Index, Presence, Slots};
use sluice_core::time::StoreTime;
use verify::model::{Model, Zone};

const START: u64 = 1_000_000;

#[derive(Clone, Debug)]
enum Op {
    Acquire {
        id: u32,
        nonce: u64,
        class: u8,
        wait: bool,
    },
    Poll {
        id: u32,
        nonce: u64,
    },
    /// With the fence of the place as it is, or one beside it.
    Renew {
        id: u32,
        beside: bool,
        touch: bool,
    },
    Release {
        id: u32,
        beside: bool,
    },
    Cancel {
        id: u32,
        nonce: u64,
    },
    Resize {
        capacity: u32,
    },
    Sweep,
    Forward {
        ms: u64,
    },
    Back {
        ms: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let id = 0..7u32;
    let nonce = prop_oneof![8 => Just(1u64), 3 => Just(2), 1 => Just(3)];
    prop_oneof![
        8 => (id.clone(), nonce.clone(), 0..CLASSES as u8, prop::bool::weighted(0.85))
            .prop_map(|(id, nonce, class, wait)| Op::Acquire { id, nonce, class, wait }),
        4 => (id.clone(), nonce.clone()).prop_map(|(id, nonce)| Op::Poll { id, nonce }),
        2 => (id.clone(), prop::bool::weighted(0.1), any::<bool>())
            .prop_map(|(id, beside, touch)| Op::Renew { id, beside, touch }),
        4 => (id.clone(), prop::bool::weighted(0.1)).prop_map(|(id, beside)| Op::Release { id, beside }),
        2 => (id, nonce).prop_map(|(id, nonce)| Op::Cancel { id, nonce }),
        1 => (1..5u32).prop_map(|capacity| Op::Resize { capacity }),
        1 => Just(Op::Sweep),
        5 => prop_oneof![4 => 0..12u64, 2 => 0..60u64, 1 => 100..400u64].prop_map(|ms| Op::Forward { ms }),
        1 => (1..40u64).prop_map(|ms| Op::Back { ms }),
    ]
}

prop_compose! {
    fn config()(
        capacity in 1..4u32,
        lease_ms in prop::option::of(5..60u64),
        idle_ms in prop::option::weighted(0.3, 5..90u64),
        wait_timeout_ms in prop::option::weighted(0.4, 5..80u64),
        presence in prop::option::of((3..25u64, 1..40u64, 2..20u64)),
        queue_limit in prop_oneof![0..4u32, Just(1_000)],
        count_absent in any::<bool>(),
        boosts in prop::array::uniform3(0..6u32),
        batch in prop_oneof![3 => 1..3u32, 1 => Just(16)],
        tombstone_ms in prop_oneof![1 => Just(0), 3 => 5..100u64],
        tombstones_max in prop_oneof![1 => 1..3u32, 3 => Just(100)],
    ) -> Config {
        Config {
            capacity,
            lease_ms,
            idle_ms,
            wait_timeout_ms,
            presence: presence.map(|(absent, more, claim)| Presence {
                absent_after_ms: absent,
                abandon_after_ms: absent + more,
                claim_within_ms: claim,
            }),
            queue_limit,
            count_absent,
            boosts: [0, boosts[0], boosts[1], boosts[2]],
            batch,
            tombstone_ms,
            tombstones_max,
        }
    }
}

/// Runs both side by side; panics at the first difference.
fn agree<Ix: Index<u32>>(mut slots: Slots<u32, Ix>, ops: &[Op]) {
    let config = *slots.config();
    let mut model = Model::new(config, START);
    let mut now = StoreTime(START);
    for (step, op) in ops.iter().enumerate() {
        let fence = |slots: &Slots<u32, Ix>, id: u32, beside: bool| {
            let fence = slots
                .held()
                .find(|h| *h.id == id)
                .map_or(START, |h| h.fence);
            fence + u64::from(beside)
        };
        let (ours, spec) = match *op {
            Op::Forward { ms } => {
                now = now.plus(ms);
                continue;
            }
            Op::Back { ms } => {
                now = StoreTime(now.0 - ms.min(now.0));
                continue;
            }
            Op::Acquire {
                id,
                nonce,
                class,
                wait,
            } => {
                let class = Class::new(class).expect("in range");
                (
                    slots.acquire(now, id, nonce, class, wait),
                    model.acquire(now, id, nonce, class, wait),
                )
            }
            Op::Poll { id, nonce } => (slots.poll(now, &id, nonce), model.poll(now, &id, nonce)),
            Op::Renew { id, beside, touch } => {
                let fence = fence(&slots, id, beside);
                (
                    slots.renew(now, &id, fence, touch),
                    model.renew(now, &id, fence, touch),
                )
            }
            Op::Release { id, beside } => {
                let fence = fence(&slots, id, beside);
                (
                    slots.release(now, &id, fence),
                    model.release(now, &id, fence),
                )
            }
            Op::Cancel { id, nonce } => {
                (slots.cancel(now, &id, nonce), model.cancel(now, &id, nonce))
            }
            Op::Resize { capacity } => (
                slots.resize(now, capacity).expect("in range"),
                model.resize(now, capacity),
            ),
            Op::Sweep => (slots.sweep(now), model.sweep(now)),
        };
        assert_eq!(ours, spec, "reply to step {step}, {op:?}, at {now:?}");
        compare(&mut slots, &mut model, step);
    }
}

fn compare<Ix: Index<u32>>(slots: &mut Slots<u32, Ix>, model: &mut Model<u32>, step: usize) {
    slots.check();
    let mut wakes = Vec::new();
    while let Some(event) = slots.poll_event() {
        match event {
            Event::Granted { id, .. } => wakes.push(id),
            Event::Ended { .. } => {}
        }
    }
    assert_eq!(wakes, model.take_wakes(), "wake-ups after step {step}");
    let status = slots.status();
    assert_eq!(&status.stats, model.stats(), "statistics after step {step}");
    assert_eq!(status.flow, model.flow(), "flow after step {step}");

    let held: Vec<_> = slots.held().map(|h| (*h.id, h.nonce, h.fence)).collect();
    let spec: Vec<_> = model
        .held_places()
        .iter()
        .map(|p| match p.zone {
            Zone::Held { fence, .. } => (p.id, p.nonce, fence),
            Zone::Ended { .. } | Zone::Waiting | Zone::Absent => unreachable!("held"),
        })
        .collect();
    assert_eq!(sorted(held), sorted(spec), "held after step {step}");
    let waiting: Vec<_> = slots.waiting().map(|w| (*w.id, w.nonce, w.order)).collect();
    let spec: Vec<_> = model
        .waiting_places()
        .iter()
        .map(|p| (p.id, p.nonce, p.order))
        .collect();
    assert_eq!(waiting, spec, "waiting after step {step}");
    let absent: Vec<_> = slots.absent().map(|w| (*w.id, w.nonce, w.order)).collect();
    let spec: Vec<_> = model
        .absent_places()
        .iter()
        .map(|p| (p.id, p.nonce, p.order))
        .collect();
    assert_eq!(absent, spec, "absent after step {step}");
    let ended: Vec<_> = slots
        .ended()
        .map(|(id, nonce, how, until)| (*id, nonce, how, until))
        .collect();
    let spec: Vec<_> = model
        .ended_places()
        .iter()
        .map(|p| match p.zone {
            Zone::Ended { how, until } => (p.id, p.nonce, how, until),
            Zone::Held { .. } | Zone::Waiting | Zone::Absent => unreachable!("ended"),
        })
        .collect();
    assert_eq!(sorted(ended), sorted(spec), "remembered after step {step}");
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items
}

/// 2,000 sequences of one seed; `PROPTEST_CASES` asks for more of them, and
/// `PROPTEST_RNG_SEED` for others.
fn proptest_config() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: default.cases.max(2_000),
        failure_persistence: None,
        ..default
    }
}

proptest! {
    #![proptest_config(proptest_config())]

    #[test]
    fn slots_do_what_the_specification_says(config in config(), ops in prop::collection::vec(op(), 1..120)) {
        agree(Slots::new(config, START)?, &ops);
        agree(Slots::numbered(config, START)?, &ops);
    }
}

/// An id whose ending is remembered tries again and is turned away, while
/// another one's absence ends: only one ending may be remembered, so putting the
/// first back must drop the second. The specification once kept both.
#[test]
fn a_failed_second_try_leaves_no_more_endings_than_may_be_remembered() {
    let config = Config {
        capacity: 2,
        idle_ms: Some(14),
        presence: Some(Presence {
            absent_after_ms: 3,
            abandon_after_ms: 4,
            claim_within_ms: 2,
        }),
        queue_limit: 2,
        count_absent: false,
        batch: 2,
        tombstone_ms: 5,
        tombstones_max: 1,
        ..Config::limiter(2, None)
    };
    let join = |id, nonce, wait| Op::Acquire {
        id,
        nonce,
        class: 0,
        wait,
    };
    let ops = [
        join(1, 1, false),
        join(5, 1, false),
        join(0, 1, true),
        join(2, 1, true),
        Op::Forward { ms: 14 },
        join(5, 2, false),
    ];
    agree(Slots::new(config, START).expect("valid"), &ops);
}

/// The comparison is worth something only if a wrong machine fails it: one with
/// a batch of one more leaves other things over.
#[test]
fn a_machine_with_another_batch_is_told_apart() {
    let config = Config {
        batch: 1,
        ..Config::limiter(3, None)
    };
    let other = Config { batch: 2, ..config };
    let mut slots = Slots::<u32>::new(other, START).expect("valid");
    let mut model = Model::new(config, START);
    let now = StoreTime(START);
    for id in 0..6 {
        slots.acquire(now, id, 1, Class::ZERO, true);
        model.acquire(now, id, 1, Class::ZERO, true);
    }
    assert!(!slots.resize(now, 5).expect("in range").more);
    assert!(model.resize(now, 5).more, "one promotion is left over");
}
