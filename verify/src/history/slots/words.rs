//! What clients of slots ask, and what they are answered.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a client asks. An attempt is the client's own number, rising with each
/// acquire; the other operations name the attempt that they are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// A slot.
    Acquire {
        /// Greater than all before of this client.
        attempt: u64,
    },
    /// To keep it, or to be told that it is still held.
    Renew {
        /// Whose slot.
        attempt: u64,
    },
    /// To give it back.
    Release {
        /// Whose slot.
        attempt: u64,
    },
    /// To be out, whatever became of it.
    Cancel {
        /// This attempt, and those before it.
        attempt: u64,
    },
    /// Another number of slots.
    Resize {
        /// So many. Holders are not evicted.
        capacity: u32,
    },
    /// The store ends a lease by itself. Never recorded: it follows from the
    /// leases that were told.
    #[serde(skip)]
    Expire {
        /// Whose slot.
        attempt: u64,
        /// The end of the lease that runs out.
        until: u64,
    },
}

/// What a client is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// To an acquire: it holds a slot.
    Granted {
        /// Its fencing number, where there are such.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fence: Option<u64>,
        /// How long the lease lasts at least, in nanoseconds from when this took
        /// effect; `None`: it does not end by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lease: Option<u64>,
    },
    /// To an acquire: it got no slot.
    Refused,
    /// To a renewal: it still holds the slot.
    Renewed {
        /// As in [`Reply::Granted`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lease: Option<u64>,
    },
    /// To a renewal or a release: it does not hold the slot.
    Lost,
    /// To a release.
    Released,
    /// To a cancel.
    Cancelled,
    /// To a resize.
    Resized,
}

impl Op {
    /// Whether this can be answered so at all.
    #[must_use]
    pub const fn fits(&self, reply: &Reply) -> bool {
        matches!(
            (self, reply),
            (Self::Acquire { .. }, Reply::Granted { .. } | Reply::Refused)
                | (Self::Renew { .. }, Reply::Renewed { .. } | Reply::Lost)
                | (Self::Release { .. }, Reply::Released | Reply::Lost)
                | (Self::Cancel { .. }, Reply::Cancelled)
                | (Self::Resize { .. }, Reply::Resized)
        )
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acquire { attempt } => write!(f, "acquire {attempt}"),
            Self::Renew { attempt } => write!(f, "renew {attempt}"),
            Self::Release { attempt } => write!(f, "release {attempt}"),
            Self::Cancel { attempt } => write!(f, "cancel {attempt}"),
            Self::Resize { capacity } => write!(f, "resize to {capacity}"),
            Self::Expire { attempt, .. } => write!(f, "lease of {attempt} ends"),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, fence, lease) = match self {
            Self::Granted { fence, lease } => ("granted", *fence, *lease),
            Self::Renewed { lease } => ("renewed", None, *lease),
            Self::Refused => ("refused", None, None),
            Self::Lost => ("lost", None, None),
            Self::Released => ("released", None, None),
            Self::Cancelled => ("cancelled", None, None),
            Self::Resized => ("resized", None, None),
        };
        f.write_str(word)?;
        if let Some(fence) = fence {
            write!(f, " #{fence}")?;
        }
        match lease {
            Some(lease) => write!(f, " for {} ms", lease / 1_000_000),
            None => Ok(()),
        }
    }
}
