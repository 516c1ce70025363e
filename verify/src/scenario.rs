//! Workloads: who arrives when, what they do inside, and what goes wrong.
//!
//! A [`Scenario`] is a few numbers; [`Scenario::build`] makes a world of it.
//! Whatever it leaves open (arrival times, lengths of stay, weights of faults,
//! the gate's own knobs in a swarm) is drawn through the run's chooser, so
//! that a seed means the workload too.

mod build;
pub mod operator;
pub mod process;
pub mod user;

use serde::{Deserialize, Serialize};
use sluice_sim::world::PerFault;

pub use build::{Built, EPOCH_US};

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
    /// The same, but only with faults that one real server can be made to repeat
    /// to the end ([`crate::on_redis::stepped`]), which is no cluster.
    Repeatable,
    /// Any order of events, no faults, no passing of time needed: for finding
    /// races and for repeating them on a real server.
    Race,
    /// Any order of events with these faults, for looking at all of them: every
    /// client on a host of its own, the scripts loaded.
    Proof {
        /// How often each client comes and goes.
        rounds: u32,
        /// The faults that may strike, each with weight 1.
        faults: PerFault,
    },
    /// Everybody tries once, in any order of events, and who gets in stays:
    /// reading and then writing, and nothing else.
    Rush,
}

impl Scenario {
    /// A burst of so many users against the caps of PER-002.
    #[must_use]
    pub fn burst(users: u16) -> Self {
        Self::per_002_gate(format!("burst-{users}"), Load::Burst, users)
    }

    /// PER-002's fifth: 30 users for 60 s, sessions of 5 to 15 s.
    #[must_use]
    pub fn sustained() -> Self {
        let load = Load::Sustained { seconds: 60 };
        Self::per_002_gate("sustained".into(), load, 30)
    }

    /// Sessions that only beat for more than 30 minutes (R3.4).
    #[must_use]
    pub fn idle() -> Self {
        Self {
            queries: None,
            ..Self::per_002_gate("idle".into(), Load::Idle, 24)
        }
    }

    /// A small gate at two levels, under faults.
    #[must_use]
    pub fn swarm() -> Self {
        Self {
            name: "swarm".into(),
            load: Load::Swarm,
            users: 8,
            processes: 3,
            sessions: 3,
            queries: Some(2),
        }
    }

    /// The same under the faults that can be repeated on a real server.
    #[must_use]
    pub fn repeatable() -> Self {
        Self {
            name: "repeatable".into(),
            load: Load::Repeatable,
            ..Self::swarm()
        }
    }

    /// So many clients at one gate of this capacity, in any order.
    #[must_use]
    pub fn race(cap: u32, clients: u16) -> Self {
        Self {
            name: "race".into(),
            load: Load::Race,
            users: clients,
            processes: clients.min(4),
            sessions: cap,
            queries: None,
        }
    }

    /// So many clients, each of which tries once and stays if it gets in.
    #[must_use]
    pub fn rush(cap: u32, clients: u16) -> Self {
        Self {
            name: "rush".into(),
            load: Load::Rush,
            processes: clients,
            ..Self::race(cap, clients)
        }
    }

    /// So many clients that each come and go so often, under these faults.
    #[must_use]
    pub fn proof(cap: u32, clients: u16, rounds: u32, faults: PerFault) -> Self {
        Self {
            name: "proof".into(),
            load: Load::Proof { rounds, faults },
            processes: clients,
            ..Self::race(cap, clients)
        }
    }

    /// The five scenarios of PER-002 (R3.5).
    #[must_use]
    pub fn per_002() -> [Self; 5] {
        [
            Self::burst(20),
            Self::burst(50),
            Self::burst(100),
            Self::burst(200),
            Self::sustained(),
        ]
    }

    /// The scenario of this name.
    ///
    /// # Errors
    /// If there is none; the message lists those there are.
    pub fn by_name(name: &str) -> Result<Self, UnknownScenario> {
        let mut all: Vec<Self> = Self::per_002().into();
        all.extend([
            Self::idle(),
            Self::swarm(),
            Self::repeatable(),
            Self::race(2, 4),
            Self::rush(20, 21),
        ]);
        let at = all.iter().position(|s| s.name == name);
        match at {
            Some(at) => Ok(all.swap_remove(at)),
            None => Err(UnknownScenario {
                name: name.chars().take(60).collect(),
                known: all.iter().map(|s| &*s.name).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// Whether the server knows the gate's scripts from the start.
    #[must_use]
    pub const fn loads_scripts(&self) -> bool {
        matches!(self.load, Load::Proof { .. })
    }

    /// Whether simulated time means anything in it.
    #[must_use]
    pub const fn is_timed(&self) -> bool {
        match self.load {
            Load::Burst | Load::Sustained { .. } | Load::Idle => true,
            Load::Swarm | Load::Repeatable | Load::Race | Load::Rush | Load::Proof { .. } => false,
        }
    }

    fn per_002_gate(name: String, load: Load, users: u16) -> Self {
        Self {
            name,
            load,
            users,
            processes: 4,
            sessions: 20,
            queries: Some(10),
        }
    }
}

/// A name that no scenario has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown scenario `{name}`; known are: {known}")]
pub struct UnknownScenario {
    /// What was asked for, shortened.
    pub name: String,
    /// The names there are.
    pub known: String,
}
