//! A deterministic world: time, hosts, network, a simulated Redis that runs
//! the real Lua scripts, and one decision log.
//!
//! * [`world::World`] is one run: hosts with their programs, connections, the
//!   server, faults. `step` does one thing; what may come next is asked of a
//! * [`choice::Chooser`]: [`strategy`] has the strategies, [`log`] the file of
//!   decisions that repeats a run.
//! * [`trace::Trace`] keeps what happened, for timelines and comparisons.
//! * [`brought`] runs async code as it is.
//! * [`store::Store`] is the server as the world sees it.
pub mod brought;
pub mod choice;
pub mod digest;
pub mod dist;
pub mod in_order;
pub mod log;
pub mod redis;
pub mod store;
pub mod strategy;
pub mod trace;
pub mod world;
