//! The one interface for every non-deterministic choice.
//!
//! Which message lands next, its delay, where a connection is cut; crash,
//! pause, clock step: whatever is not determined is asked of a [`Chooser`], as a
//! decision with a label that says what it means. Strategies answer; the log of
//! answers is the run.

use core::fmt;

use serde::{Deserialize, Serialize};

/// What a decision, or one alternative of it, is about. Small and `Copy`: it
/// is made millions of times and printed rarely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Label {
    /// What happens.
    pub kind: Kind,
    /// Which host it happens to.
    pub host: u16,
    /// Which actor on the host.
    pub actor: u16,
    /// How many times this (kind, host, actor) has come up before: decisions
    /// are keyed by meaning, not by their index in the run.
    pub occurrence: u32,
}

/// The kinds of decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Which of the enabled events is next.
    Next,
    /// The server executes the next command of a connection.
    Execute,
    /// The client receives the next reply.
    Deliver,
    /// A message of a subscription is received.
    Publish,
    /// A timer fires.
    Wake,
    /// The application acts (arrives, uses, leaves).
    Act,
    /// Network delay, in nanoseconds.
    Delay,
    /// A connection is cut, after so many bytes in flight.
    Cut,
    /// A connection stalls, for so many nanoseconds.
    Stall,
    /// A host is cut off from the server, for so many nanoseconds.
    Partition,
    /// A process crashes; it restarts after so many nanoseconds.
    Crash,
    /// A process stands still for so many nanoseconds.
    Pause,
    /// A clock steps.
    ClockStep,
    /// The server's script cache is flushed.
    ScriptFlush,
    /// The server restarts.
    ServerRestart,
    /// A value drawn while the scenario is set up.
    Setup,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} {}.{} #{}",
            self.kind, self.host, self.actor, self.occurrence
        )
    }
}

/// Answers every non-deterministic choice of a run.
pub trait Chooser {
    /// Picks one of `options` (never empty) by index.
    fn pick(&mut self, options: &[Label]) -> usize;

    /// Draws a number from `0..bound` (`bound` ≥ 1) for a magnitude or a chance.
    fn draw(&mut self, what: Label, bound: u64) -> u64;
}
