//! [`Slots`]: `capacity` slots, a FIFO queue, and everything that makes such a
//! thing survive real clients: leases, presence, fencing, retries.
//!
//! See `ARCHITECTURE.md`, "The slot machine", for the semantics this module,
//! the Lua scripts and the specification in `verify` share word by word.
//!
//! # How it is built
//!
//! A place lives in a slab and is named by its number there. An index finds it
//! by id; two counted trees keep the lines (waiting, absent) in order and know
//! positions; three times a lane and a heap keep the deadlines of holders, of
//! those in line, and of the remembered endings. Each of these is a small file of its own with its
//! own argument; [`Slots`] puts them together: two files for the operations,
//! one for what every operation does before and after, one for those who only
//! look.
//!
//! Rejected: a linked list for the queue (a position then costs O(n)), the
//! standard ordered maps (an allocation per handful of operations, and no
//! ranks), cleaning up lazily at the front (a cancelled waiter would linger).

mod config;
mod due;
mod hash;
mod heap;
mod housekeeping;
mod id;
mod index;
mod join;
mod lane;
mod line;
mod machine;
mod observe;
mod slab;
mod stats;
#[cfg(test)]
mod tests;
mod types;

pub use config::{CLASSES, Class, Config, ConfigError, Presence};
pub use id::{ID_BYTES_MAX, IdError, validate_id};
pub use index::{ByHash, ByNumber, Index};
pub use machine::Slots;
pub use stats::{HISTOGRAM_BUCKETS, Stats};
pub use types::{
    Ended, Event, Fence, Flow, Held, InLine, Nonce, Outcome, Reason, Rejected, Reply, Status,
};
