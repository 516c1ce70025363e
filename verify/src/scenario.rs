//! Workloads: who arrives when, what they do inside, and what goes wrong.

use serde::{Deserialize, Serialize};

/// A workload and its world. Small and plain, so that a decision file can
/// carry it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Scenario {
    /// Its name on the command line and in reports.
    pub name: String,
    /// Which workload.
    pub load: Load,
    /// Users, spread evenly over the processes.
    pub users: u16,
    /// Server processes.
    pub processes: u16,
    /// Session cap (R3.2).
    pub sessions: u32,
    /// Query cap (R3.1); `None` for a workload of one level.
    pub queries: Option<u32>,
}

/// The kinds of workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// All arrive at once and hold until active and queued have been read;
    /// then everybody leaves and the gate drains. Timed, without faults.
    Burst,
    /// Users keep arriving for `seconds`, with sessions of 5 to 15 s. Timed,
    /// without faults.
    Sustained {
        /// How long new sessions are begun.
        seconds: u32,
    },
    /// Sessions that only beat, never used, for longer than the idle time.
    Idle,
    /// Faults of all kinds, weights drawn per run, any order of events.
    Swarm,
    /// Any order of events, no faults, no passing of time needed: for finding
    /// races and for repeating them on a real server.
    Race,
}
