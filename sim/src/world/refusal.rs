//! What a server answers that cannot, or must not, do what it is asked.
//!
//! None of it means "denied": a client that takes it for an answer of the gate
//! lets somebody in, or throws somebody out, for no reason.

use crate::choice::Touch;

/// An error that a server gives for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// It has become a replica, and refuses to write.
    ReadOnly,
    /// `maxmemory` is reached, and nothing may be evicted.
    OutOfMemory,
    /// Another script has been running for too long.
    Busy,
    /// A replica without its master.
    MasterDown,
    /// A node of a cluster that lacks slots.
    ClusterDown,
    /// Fewer replicas than `min-replicas-to-write`.
    NoReplicas,
    /// The slot has gone to another node.
    Moved,
    /// The slot is on its way to another node.
    TryAgain,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::ReadOnly,
        Self::OutOfMemory,
        Self::Busy,
        Self::MasterDown,
        Self::ClusterDown,
        Self::NoReplicas,
        Self::Moved,
        Self::TryAgain,
    ];

    /// The text of the error reply, as Redis has it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::ReadOnly => "READONLY You can't write against a read only replica.",
            Self::OutOfMemory => "OOM command not allowed when used memory > 'maxmemory'.",
            Self::Busy => {
                "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
            }
            Self::MasterDown => {
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
            }
            Self::ClusterDown => "CLUSTERDOWN The cluster is down",
            Self::NoReplicas => "NOREPLICAS Not enough good replicas to write.",
            Self::Moved => "MOVED 3999 127.0.0.1:6381",
            Self::TryAgain => "TRYAGAIN Multiple keys request during rehashing of slot",
        }
    }

    /// Whether a command that touches these keys is refused.
    #[must_use]
    pub const fn concerns(self, touch: &Touch) -> bool {
        match self {
            Self::ReadOnly | Self::OutOfMemory | Self::NoReplicas => {
                touch.keys != 0 && touch.writes
            }
            Self::ClusterDown | Self::Moved | Self::TryAgain => touch.keys != 0,
            Self::Busy | Self::MasterDown => true,
        }
    }
}
