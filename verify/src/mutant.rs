//! Gates that are wrong on purpose, one or more for each way in which gates go
//! wrong in the field: the proof that the properties see, and that the schedules
//! and faults of the search go where the bugs are.
//!
//! A mutant names the property that must kill it; a mutant that survives, or is
//! killed by others only, is a failure of the checks. All of them face the pool
//! of runs that acquits the gate itself ([`pool`]), and none has a scenario made
//! for it. What each costs to find is in `verify/MUTANTS.md`.

mod clients;
mod gates;
pub mod matrix;
mod scripts;

use serde::Serialize;

use crate::scenario::Scenario;
use crate::subject::{Kind, Subject};

/// One wrong gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Mutant {
    /// The class of bug: `B01` …
    pub class: &'static str,
    /// Its name, what is wrong in a line, the one property that must kill it
    /// (`convicted_by`), and how it is made.
    pub subject: Subject,
    /// It behaves in the five scenarios of PER-002: no load test finds it.
    pub hard: bool,
}

impl Mutant {
    const fn new(
        class: &'static str,
        name: &'static str,
        about: &'static str,
        convicted_by: &'static [&'static str],
        kind: Kind,
    ) -> Self {
        let subject = Subject {
            name,
            about,
            convicted_by,
            kind,
        };
        Self {
            class,
            subject,
            hard: false,
        }
    }

    const fn hard(mut self) -> Self {
        self.hard = true;
        self
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.subject.name
    }

    /// The property that must kill it: a code, with its meaning where it has
    /// several (`R1.1(b)`).
    ///
    /// # Panics
    /// Never: a test holds that each names exactly one.
    #[must_use]
    pub const fn killed_by(&self) -> &'static str {
        self.subject.convicted_by[0]
    }
}

/// Every mutant, in the order of classes.
pub fn all() -> impl Iterator<Item = &'static Mutant> {
    let mut all: Vec<&'static Mutant> = gates::ALL
        .iter()
        .chain(scripts::ALL)
        .chain(clients::ALL)
        .collect();
    all.sort_by_key(|m| m.class);
    all.into_iter()
}

/// A name that no mutant has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown mutant `{name}`; known are: {known}")]
pub struct UnknownMutant {
    /// What was asked for, shortened.
    pub name: String,
    /// The names there are.
    pub known: String,
}

/// The mutant of this name.
///
/// # Errors
/// If there is none; the message lists those there are.
pub fn by_name(name: &str) -> Result<&'static Mutant, UnknownMutant> {
    all()
        .find(|m| m.name() == name)
        .ok_or_else(|| UnknownMutant {
            name: name.chars().take(60).collect(),
            known: all().map(Mutant::name).collect::<Vec<_>>().join(", "),
        })
}

/// The runs that all mutants and the gate itself face: workload, configuration,
/// faults and their weights are drawn from the seed.
#[must_use]
pub fn pool() -> Scenario {
    Scenario::swarm()
}
