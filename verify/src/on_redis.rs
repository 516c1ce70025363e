//! The same schedule on a real server: each command that the simulated server
//! executed is sent to the real one, in the same order, over one connection for
//! each simulated one, and each reply is compared (R6.10).
//!
//! There are two ways. [`stepped`]: a private server on the simulated clock, on
//! which leases end when they ended in the run, connections end as they did, the
//! server itself is killed and comes back, and every reply must be the same,
//! byte for byte. [`own_time`]: any server, also one that is somebody else's and has
//! a clock of its own, as far as nothing depends on the time.
//!
//! In the end the keys themselves are compared ([`left`]).
//!
//! What a real server cannot be made to do is said at its step, and ends the
//! replay there: *not replayable at step k*. Nothing is skipped in silence.
//! [`many`] repeats random runs by the thousand.

use std::fmt;

use serde::Serialize;
use sluice_core::redis::Reply;
use sluice_sim::world::{EVERYTHING, FaultKind, Happening};

use crate::real::Error;

pub mod left;
pub mod many;
pub mod own_time;
pub mod stepped;

/// What a replay showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The server it ran on.
    pub server: String,
    /// Commands sent and found equal.
    pub equal: u64,
    /// Of these, errors with the same code and another text, as versions have it.
    pub other_words: u64,
    /// Messages to subscribers that were found equal.
    pub messages: u64,
    /// Keys that were compared in the end.
    pub keys: u64,
    /// Commands that only fetched a script the server already had.
    pub already_loaded: u64,
    /// How it ended.
    pub end: End,
}

/// How a replay ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Every command was repeated, every reply agreed, and so did all keys in
    /// the end.
    Identical,
    /// The first reply that did not agree, or else the first key in the end.
    Differs {
        /// The step of the run.
        step: u64,
        /// What was sent, or asked in the end.
        command: String,
        /// What the simulated server had answered.
        simulated: String,
        /// What the real one answered.
        real: String,
    },
    /// From here on a real server cannot be made to do the same.
    NotReplayable {
        /// The step of the run.
        step: u64,
        /// Why.
        why: String,
    },
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = match self.messages {
            0 => String::new(),
            n => format!(" and {n} messages"),
        };
        match &self.end {
            End::Identical => write!(
                f,
                "identical: {} commands{told}, and {} keys in the end, on {}",
                self.equal, self.keys, self.server
            ),
            End::Differs {
                step,
                command,
                simulated,
                real,
            } => write!(
                f,
                "differs at step {step}, after {} equal replies from {}\n  {command}\n  \
                 simulated  {simulated}\n  real       {real}",
                self.equal, self.server
            ),
            End::NotReplayable { step, why } => write!(
                f,
                "not replayable at step {step}: {why} ({} commands{told} before it were identical \
                 on {})",
                self.equal, self.server
            ),
        }
    }
}

/// Why a replay was broken off.
#[derive(Debug, thiserror::Error)]
#[error("the replay broke off at step {step}: {source}")]
pub struct BrokenOff {
    /// The step of the run.
    pub step: u64,
    /// What the server, or the way to it, did.
    pub source: Error,
}

/// Why no server that is real, and alone, can be made to do this.
fn beyond_one_server(what: &Happening) -> Option<&'static str> {
    match what {
        Happening::ServerStopped {
            kind: FaultKind::ServerFailover,
            ..
        } => Some("a replica takes the server's place, without its last writes"),
        Happening::ServerStopped { lost, .. } if (1..EVERYTHING).contains(lost) => {
            Some("the server's disk lacks its last writes")
        }
        Happening::ServerSplit { .. }
        | Happening::ExecutedByFormer { .. }
        | Happening::FormerStopped => Some("a replica takes over beside the server"),
        Happening::Evicted { .. } => {
            Some("the server throws a key away for want of memory: which one, it asks chance")
        }
        _ => None,
    }
}

/// A difference that shows in the end, after this step.
fn in_the_end(step: u64, otherwise: left::Otherwise) -> End {
    End::Differs {
        step,
        command: format!("in the end: {}", otherwise.asked),
        simulated: otherwise.simulated,
        real: otherwise.real,
    }
}

/// How alike two replies are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alike {
    /// To the last byte.
    Same,
    /// Errors with one code, in other words: the texts differ between versions.
    OtherWords,
    No,
}

fn alike(simulated: &Reply, real: &Reply) -> Alike {
    if simulated == real {
        return Alike::Same;
    }
    match (simulated, real) {
        (Reply::Error(_), Reply::Error(_)) if simulated.error_code() == real.error_code() => {
            Alike::OtherWords
        }
        _ => Alike::No,
    }
}
