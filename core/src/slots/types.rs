//! The words of the gate: what goes in, what comes out, what can be read.

use super::{Config, Stats};
use crate::time::StoreTime;

/// A fencing number: rises with every grant and never repeats (Kleppmann 2016).
pub type Fence = u64;

/// Number of one attempt to join, rising within one id. Repeating it is a
/// retry; a larger one is a newer attempt of the same id; a smaller one is a
/// delayed copy.
pub type Nonce = u64;

/// How a place ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ended {
    /// Its holder released it.
    Released,
    /// Its lease, or its idle time, ran out.
    Expired,
    /// The waiter, or the holder, cancelled by nonce.
    Cancelled,
    /// It waited longer than `wait_timeout_ms`.
    TimedOut,
    /// It was silent for `abandon_after_ms` while it waited.
    Abandoned,
}

/// Why a join was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rejected {
    /// The queue is at its limit.
    Full,
    /// The join did not want to wait, and no slot was free.
    Busy,
}

/// Pace of the queue: what an ETA is computed from. Units: milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flow {
    /// Smoothed time between two promotions while someone waited.
    pub gap_mean_ms: f64,
    /// Smoothed variance of that time.
    pub gap_var_ms2: f64,
    /// Gaps seen so far (saturating).
    pub gaps: u32,
}

/// What an operation did. One enum for all, the same in core and scripts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// The caller holds a slot.
    Granted {
        /// Its fencing number; the key to renew and release.
        fence: Fence,
        /// Time until the nearer of the two deadlines; `None` without lease.
        ttl_ms: Option<u64>,
        /// How long it waited.
        wait_ms: u64,
    },
    /// The caller waits.
    Waiting {
        /// Places ahead of it, present or absent, plus one.
        position: u64,
        /// What an ETA can be computed from.
        flow: Flow,
    },
    /// The join was not accepted; no place came to be.
    Rejected(Rejected),
    /// A newer attempt of this id is known, or this one has ended.
    Stale {
        /// The newest nonce known for the id.
        nonce: Nonce,
    },
    /// The caller's place has ended, in this way.
    Ended(Ended),
    /// Nothing is known of this id.
    Unknown,
    /// The lease was renewed.
    Renewed {
        /// Time until the nearer of the two deadlines; `None` without lease.
        ttl_ms: Option<u64>,
    },
    /// Not the holder of the current fencing number: nothing was changed.
    Lost,
    /// The slot was given back.
    Released,
    /// The attempt is over, whatever it had been.
    Cancelled,
    /// The capacity is now the one asked for.
    Resized {
        /// The capacity before.
        from: u32,
    },
    /// Housekeeping was done.
    Swept,
}

/// An [`Outcome`], and whether housekeeping was left over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reply {
    /// What the operation did.
    pub outcome: Outcome,
    /// Deadlines that have passed, or promotions that are possible, are left:
    /// the batch was used up. Call again.
    pub more: bool,
}

/// What follows from an operation for others than its caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event<Id> {
    /// A waiter was promoted by someone else's operation: wake it. In Redis
    /// this is the message on the wake channel.
    Granted {
        /// Whose place it is.
        id: Id,
        /// Its attempt.
        nonce: Nonce,
        /// The fencing number of the grant.
        fence: Fence,
        /// How long it waited, in milliseconds.
        wait_ms: u64,
        /// Whether this is only an offer, to be claimed by the waiter's next
        /// call within `claim_within_ms` (with presence), or a grant at once.
        offer: bool,
    },
    /// Housekeeping ended a place.
    Ended {
        /// Whose place it was.
        id: Id,
        /// Its attempt.
        nonce: Nonce,
        /// The way it ended.
        how: Ended,
    },
}

/// Why [`super::Slots::deadline`] is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Work is left over from the last operation: call again at once.
    More,
    /// The lease of a holder ends.
    Lease,
    /// The idle time of a holder ends.
    Idle,
    /// An offer lapses.
    Claim,
    /// A waiter times out.
    WaitTimeout,
    /// A waiter becomes absent.
    Absent,
    /// The place of a silent waiter ends.
    Abandon,
}

/// A place that is held, as observers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Held<'a, Id> {
    /// Whose place.
    pub id: &'a Id,
    /// Its attempt.
    pub nonce: Nonce,
    /// Its fencing number.
    pub fence: Fence,
    /// When it ends unless renewed or claimed; `None`: not by itself.
    pub deadline: Option<StoreTime>,
    /// False for an offer that was not claimed yet.
    pub claimed: bool,
}

/// A place in line, as observers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InLine<'a, Id> {
    /// Whose place.
    pub id: &'a Id,
    /// Its attempt.
    pub nonce: Nonce,
    /// Its order key: smaller is earlier.
    pub order: u64,
    /// When it joined.
    pub joined_at: StoreTime,
    /// Its next deadline, if it has one.
    pub deadline: Option<StoreTime>,
}

/// What can be read of a gate without changing it (R1.12).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status {
    /// The configuration it runs under, with the capacity now in force
    /// (the field's `max_concurrent`).
    pub config: Config,
    /// Places held, offers included (the field's `current_active`).
    pub held: u64,
    /// Of these, offers not claimed yet.
    pub offers: u64,
    /// Waiters that are present.
    pub waiting: u64,
    /// Waiters not heard of.
    pub absent: u64,
    /// Ended places still remembered.
    pub remembered: u64,
    /// Counters since the gate's birth.
    pub stats: Stats,
    /// Pace of the queue.
    pub flow: Flow,
}
