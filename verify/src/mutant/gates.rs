//! Gates of their own.

use super::Mutant;
use crate::subject::Kind;
use crate::subject::hash_gate::{Activation, Door};

/// In the order of classes.
pub(super) const ALL: &[Mutant] = &[
    Mutant::new(
        "B01",
        "count-then-set",
        "HLEN, then HSET, as two round trips",
        &["R1.1(s)"],
        Kind::Hash(Door::TwoRoundTrips, Activation::Whole),
    ),
    Mutant::new(
        "B02",
        "push-after-the-decision",
        "one script decides, and who is turned away is queued afterwards: a slot freed in between wakes nobody",
        &["R1.5"],
        Kind::Hash(Door::Script, Activation::Whole),
    ),
    Mutant::new(
        "B03",
        "leave-in-three-steps",
        "leaving is HDEL, LPOP, HSET: a newcomer gets in between",
        &["R1.1(s)"],
        Kind::Hash(Door::Whole, Activation::Unconditional),
    ),
    Mutant::new(
        "B04",
        "dies-between-pop-and-grant",
        "a leaver pops the next and then lets it in: if it dies in between, the popped one is lost",
        &["R1.5"],
        Kind::Hash(Door::Whole, Activation::Swap),
    )
    .hard(),
    Mutant::new(
        "B23",
        "semaphore-per-process",
        "queries are counted in each process: k processes admit k times the cap",
        &["R3.1"],
        Kind::PerProcess,
    ),
];
