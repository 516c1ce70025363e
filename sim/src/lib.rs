//! A deterministic world: time, hosts, network, a simulated Redis that runs
//! the real Lua scripts, and one decision log.
#![forbid(unsafe_code)]
pub mod choice;
