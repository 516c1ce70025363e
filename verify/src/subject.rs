//! What is put on trial: gates right and wrong, each a client machine of the
//! same shape, and an observer of what the store has granted.

pub mod gate;
pub mod hash_gate;
pub mod quirk;
pub mod variant;
pub mod view;

use serde::Serialize;

use crate::mutant;
use hash_gate::{Activation, Door};
use variant::Variant;

/// A gate under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// The properties expected to convict it; empty for a gate that should hold.
    pub convicted_by: &'static [&'static str],
    /// How it is built.
    pub kind: Kind,
}

/// How a subject is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A hash of sessions and a list of waiters.
    Hash(Door, Activation),
    /// Sessions by the real scripts, queries by one semaphore in each process.
    PerProcess,
    /// The real client and the real scripts, at both levels, with what is wrong
    /// about them.
    Slots(Variant),
}

/// Every subject but the [mutants](crate::mutant), in the order of the story they tell.
pub const ALL: &[Subject] = &[
    Subject {
        name: "naive",
        about: "HLEN, then HSET, as two round trips; a queue beside it that is polled",
        convicted_by: &["R1.1"],
        kind: Kind::Hash(Door::TwoRoundTrips, Activation::Unconditional),
    },
    Subject {
        name: "hash-script-unconditional",
        about: "an atomic cap script, with queue push, pop and a bare HSET outside it",
        convicted_by: &["R1.1", "R1.3", "R1.4"],
        kind: Kind::Hash(Door::Script, Activation::Unconditional),
    },
    Subject {
        name: "hash-script-reentry",
        about: "an atomic cap script, with queue push and pop outside it and a second try for the popped",
        convicted_by: &["R1.5", "R1.3", "R1.4"],
        kind: Kind::Hash(Door::Script, Activation::Reentry),
    },
    Subject {
        name: "per-process",
        about: "a semaphore of 10 in each process",
        convicted_by: &["R3.1"],
        kind: Kind::PerProcess,
    },
    Subject {
        name: "slots",
        about: "the gate: the scripts in lua/ and the client machine of core",
        convicted_by: &[],
        kind: Kind::Slots(Variant::NONE),
    },
    Subject {
        name: "slots-guarded",
        about: "the gate, guarded against failover: a new server gives no slot for a lease",
        convicted_by: &[],
        kind: Kind::Slots(Variant::GUARDED),
    },
];

/// Its clients look at something outside of the run: what `verify
/// check-determinism` must find out. In no list, since nothing else is wrong.
const UNSTEADY: Subject = Subject {
    name: "unsteady",
    about: "the gate, with clients that sign with an address of this process",
    convicted_by: &[],
    kind: Kind::Slots(Variant::NONE.with(quirk::Quirk::SignsWithAnAddress)),
};

/// A name that no subject has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown subject `{0}`; known are: {list}, and the mutants (`verify mutants`)", list = names())]
pub struct UnknownSubject(pub String);

/// The subject or mutant of this name.
///
/// # Errors
/// If there is none; the message lists those there are.
pub fn by_name(name: &str) -> Result<Subject, UnknownSubject> {
    ALL.iter()
        .chain(mutant::all().map(|m| &m.subject))
        .chain([&UNSTEADY])
        .find(|s| s.name == name)
        .copied()
        .ok_or_else(|| UnknownSubject(name.chars().take(60).collect()))
}

fn names() -> String {
    ALL.iter().map(|s| s.name).collect::<Vec<_>>().join(", ")
}
