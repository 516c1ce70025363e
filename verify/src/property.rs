//! What must hold, as code: one invariant a file, named after its requirement.
//!
//! A property watches every step of a run and reaches a [`Verdict`]. It also
//! counts how often its premise was met: an invariant that was never put to
//! the test has not been shown to hold (R6.8), and its verdict is then
//! *inconclusive*, not *holds*.

mod moment;
mod r1_01_cap;
mod r1_02_fifo;
mod r1_03_barging;
mod r1_04_work;
mod r1_05_lost;
mod r1_06_one_place;
mod r1_07_owner;
mod r1_08_lease;
mod r1_09_presence;
mod r1_10_cancel;
mod r1_11_resize;
mod r1_15_bounded;
mod r1_16_batch;
mod r3_03_next;
mod r3_04_idle;

use std::fmt;

use serde::Serialize;

pub use moment::{Believer, Bounds, Broken, GateMoment, Moment};

/// A requirement as these checks know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Code(pub &'static str);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

/// Which cap is meant by "at most N" (see R1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// (s) what the store has granted.
    Store,
    /// (b) how many holders believe, by their own clocks, that they hold.
    Belief,
    /// (e) effects at a resource that checks fencing numbers.
    Effects,
}

/// Where and how a property broke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The step of the run at which it broke.
    pub step: u64,
    /// What broke, in words.
    pub words: String,
    /// The gate's state before that step, in words.
    pub before: String,
    /// The gate's state after that step, in words.
    pub after: String,
}

/// What a run says about a property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Its premise was met, and it held at every step.
    Holds,
    /// It broke.
    Violated(Violation),
    /// Nothing can be said, for this reason.
    Inconclusive(String),
}

/// A property with its verdict in one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The requirement.
    pub code: Code,
    /// Which cap is meant, where that matters.
    pub meaning: Option<Meaning>,
    /// The requirement in a few words.
    pub title: &'static str,
    /// What the run says.
    pub verdict: Verdict,
    /// How often the property's premise was met.
    pub premises: u64,
}

impl Finding {
    /// Code and meaning: `R1.1(s)`.
    #[must_use]
    pub fn name(&self) -> String {
        let meaning = match self.meaning {
            None => "",
            Some(Meaning::Store) => "(s)",
            Some(Meaning::Belief) => "(b)",
            Some(Meaning::Effects) => "(e)",
        };
        format!("{}{meaning}", self.code)
    }

    /// Whether this is the property of that name: its code, with its meaning
    /// where it has one (`R1.1(b)`), or its code alone.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        is(self.code, self.meaning, name)
    }
}

/// Whether a property has this name; see [`Finding::is`].
#[must_use]
pub fn is(code: Code, meaning: Option<Meaning>, name: &str) -> bool {
    match name.strip_prefix(code.0) {
        Some("") => true,
        Some("(s)") => meaning == Some(Meaning::Store),
        Some("(b)") => meaning == Some(Meaning::Belief),
        Some("(e)") => meaning == Some(Meaning::Effects),
        Some(_) | None => false,
    }
}

/// One invariant, watching one run.
pub trait Property {
    /// The requirement.
    fn code(&self) -> Code;

    /// Which cap is meant, where that matters.
    fn meaning(&self) -> Option<Meaning> {
        None
    }

    /// The requirement in a few words.
    fn title(&self) -> &'static str;

    /// Looks at a step.
    ///
    /// # Errors
    /// If the invariant broke in it.
    fn watch(&mut self, moment: &Moment<'_>) -> Result<(), Broken>;

    /// Looks at the end of the run: faults are over, everything has healed, and
    /// everybody has had plenty of time.
    ///
    /// # Errors
    /// If what should have come about by then has not.
    fn finish(&mut self, _end: &Moment<'_>) -> Result<(), Broken> {
        Ok(())
    }

    /// How often its premise was met.
    fn premises(&self) -> u64;
}

/// Every property, fresh, in the order of their codes.
#[must_use]
pub fn all() -> Vec<Box<dyn Property>> {
    vec![
        Box::new(r1_01_cap::Store::all_gates()),
        Box::new(r1_01_cap::Belief::all_gates()),
        Box::new(r1_01_cap::Effects::default()),
        Box::new(r1_02_fifo::Fifo::default()),
        Box::new(r1_03_barging::NoBarging::default()),
        Box::new(r1_04_work::WorkConservation::default()),
        Box::new(r1_05_lost::NothingLost::default()),
        Box::new(r1_06_one_place::OnePlace::default()),
        Box::new(r1_07_owner::OwnerOnly::default()),
        Box::new(r1_08_lease::Leases::default()),
        Box::new(r1_09_presence::Presence::default()),
        Box::new(r1_10_cancel::Cancellation::default()),
        Box::new(r1_11_resize::Resize::default()),
        Box::new(r1_15_bounded::Bounded::default()),
        Box::new(r1_16_batch::Batches::default()),
        Box::new(r1_01_cap::Belief::queries()),
        Box::new(r1_01_cap::Store::sessions()),
        Box::new(r3_03_next::NextInLine::default()),
        Box::new(r3_04_idle::Idle::default()),
    ]
}
