//! What must hold, as code: one invariant a file, named after its requirement.
//!
//! A property watches every step of a run and reaches a [`Verdict`]. It also
//! counts how often its premise was met: an invariant that was never put to
//! the test has not been shown to hold (R6.8), and its verdict is then
//! *inconclusive*, not *holds*.

use std::fmt;

use serde::Serialize;

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
    /// The requirement in a few words.
    pub title: &'static str,
    /// What the run says.
    pub verdict: Verdict,
    /// How often the property's premise was met.
    pub premises: u64,
}
