//! One run of hosts, connections and a server, in which every gap between two
//! steps is a decision.

mod fault;
mod happening;
mod setup;

pub use fault::{FaultKind, Faults, FiredFaults, PerFault};
pub use happening::{ActorId, Happening};
pub use setup::{Delays, HostSetup, Mode, Program, Setup};
