//! A verdict per requirement of PER-002, with evidence to run again.
//!
//! The wrong gates run beside the one under audit, as negative controls: an
//! audit in which they are not convicted has shown that its alarm does not
//! work, and says so instead of passing.

mod convict;
pub mod crowd;
mod drive;
mod judge;
pub mod server;
pub mod simulator;
mod stop;

pub use stop::Stop;

use crate::report;
use crate::scenario::{Load, Scenario};

/// The session cap that PER-002 asks for (R3.2).
pub const SESSIONS: u32 = 20;
/// The query cap, over all processes together (R3.1).
pub const QUERIES: u32 = 10;
/// Idle time after which a session is reclaimed, in milliseconds (R3.4).
pub const IDLE_MS: u64 = 30 * 60_000;
/// Mean and 95th percentile of response times, in milliseconds (R3.5).
pub const LIMIT_MS: f64 = 200.0;
/// The scenarios in which all users come at once (R3.5), with their users.
pub const BURSTS: [(&str, u32); 4] = [
    ("normal", 20),
    ("over-50", 50),
    ("over-100", 100),
    ("over-200", 200),
];
/// Users of the sustained scenario (R3.5).
pub const SUSTAINED_USERS: u32 = 30;

/// The scripts under audit, with their digests.
fn scripts() -> Vec<report::Script> {
    sluice_core::script::ALL
        .iter()
        .map(|script| report::Script {
            name: script.name.to_owned(),
            sha1: script.sha1.to_owned(),
        })
        .collect()
}

/// The arguments that name a scenario on the command line, each after a blank.
#[must_use]
pub fn scenario_arguments(scenario: &Scenario) -> String {
    match scenario.load {
        Load::Race => format!(" --cap {} --clients {}", scenario.sessions, scenario.users),
        Load::Rush => format!(
            " --scenario rush --cap {} --clients {}",
            scenario.sessions, scenario.users
        ),
        Load::Burst
        | Load::Sustained { .. }
        | Load::Idle
        | Load::Swarm
        | Load::Repeatable
        | Load::Proof { .. } => {
            format!(" --scenario {}", scenario.name)
        }
    }
}
