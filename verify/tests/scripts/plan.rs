//! Random plans: a gate's configuration and operations, small enough that
//! everything in them happens soon.

use proptest::prelude::*;
use sluice_core::slots::{Class, Config, Presence};

/// One operation, of the client `id`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Acquire {
        id: u8,
        nonce: u64,
        class: u8,
        wait: bool,
    },
    Poll {
        id: u8,
        nonce: u64,
    },
    Renew {
        id: u8,
        right: bool,
        touch: bool,
    },
    Release {
        id: u8,
        right: bool,
    },
    Cancel {
        id: u8,
        nonce: u64,
    },
    Resize(u32),
    Sweep,
    Advance(u64),
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let id = 0u8..7;
    let nonce = prop_oneof![6 => 1u64..3, 1 => 0u64..6];
    let right = prop::bool::weighted(0.9);
    prop_oneof![
        12 => (id.clone(), nonce.clone(), prop_oneof![4 => Just(0u8), 1 => 0u8..4], prop::bool::weighted(0.9))
            .prop_map(|(id, nonce, class, wait)| Op::Acquire { id, nonce, class, wait }),
        5 => (id.clone(), nonce.clone()).prop_map(|(id, nonce)| Op::Poll { id, nonce }),
        4 => (id.clone(), right, any::<bool>())
            .prop_map(|(id, right, touch)| Op::Renew { id, right, touch }),
        5 => (id.clone(), right).prop_map(|(id, right)| Op::Release { id, right }),
        3 => (id, nonce).prop_map(|(id, nonce)| Op::Cancel { id, nonce }),
        1 => (1u32..5).prop_map(Op::Resize),
        1 => Just(Op::Sweep),
        8 => prop_oneof![4 => 0u64..4, 2 => 0u64..40].prop_map(Op::Advance),
    ]
}

/// A small gate: everything in it happens soon. Durations up to 24 times `unit`.
pub(crate) fn config(unit: u64) -> impl Strategy<Value = Config> {
    let ms = move || prop::option::of((1u64..24).prop_map(move |n| n * unit));
    let presence = (1u64..8, 1u64..24, 1u64..6).prop_map(move |(absent, more, claim)| Presence {
        absent_after_ms: absent * unit,
        abandon_after_ms: (absent + more) * unit,
        claim_within_ms: claim * unit,
    });
    let limits = (
        1u32..4,
        prop_oneof![Just(0u32), 1u32..5, Just(1000)],
        prop_oneof![Just(1u32), Just(2), Just(16)],
        prop_oneof![Just(0u64), 1u64..40, Just(100_000)],
        prop_oneof![Just(0u32), 1u32..4, Just(1000)],
    );
    let boosts = prop_oneof![Just([0; 4]), Just([0, 1, 2, 10])];
    (
        ms(),
        ms(),
        ms(),
        prop::option::of(presence),
        limits,
        any::<bool>(),
        boosts,
    )
        .prop_map(
            move |(lease_ms, idle_ms, wait_timeout_ms, presence, limits, count_absent, boosts)| {
                let (capacity, queue_limit, batch, tombstone, tombstones_max) = limits;
                Config {
                    capacity,
                    lease_ms,
                    idle_ms,
                    wait_timeout_ms,
                    presence,
                    queue_limit,
                    count_absent,
                    boosts,
                    batch,
                    tombstone_ms: tombstone * unit,
                    tombstones_max,
                }
            },
        )
}

/// How many plans, and of which kind.
#[derive(Clone, Copy)]
pub(crate) struct Plans {
    pub(crate) cases: u32,
    /// Durations and steps of time are multiples of this.
    pub(crate) unit_ms: u64,
    /// As in [`GateKeys::retain`].
    pub(crate) retain_ms: u64,
}

/// Ids of which some are prefixes of others, and not all are text.
pub(crate) fn name(id: u8) -> Vec<u8> {
    match id {
        0 => b"a".to_vec(),
        1 => b"ab".to_vec(),
        2 => vec![0xff, 0xfe],
        n => format!("user:{n}").into_bytes(),
    }
}

pub(crate) fn priority(class: u8) -> Class {
    Class::new(class).expect("plans know the classes")
}
