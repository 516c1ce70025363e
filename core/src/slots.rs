//! [`Slots`]: `capacity` slots, a FIFO queue, and everything that makes such a
//! thing survive real clients: leases, presence, fencing, retries.
//!
//! See `ARCHITECTURE.md`, "The slot machine", for the semantics this module,
//! the Lua scripts and the specification in `verify` share word by word.

/// A fencing number: rises with every grant and never repeats (Kleppmann 2016).
pub type Fence = u64;

/// Number of one attempt to join, rising within one id. Repeating it is a
/// retry; a larger one is a newer attempt of the same id; a smaller one is a
/// delayed copy.
pub type Nonce = u64;

/// Number of priority classes. Class 0 is the default, with no boost.
pub const CLASSES: usize = 4;

/// Why a [`Config`] or a new capacity was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConfigError {
    /// Capacity must be between 1 and [`Config::CAPACITY_MAX`].
    Capacity,
    /// The named duration must be between 1 ms and [`Config::DURATION_MS_MAX`].
    Duration(&'static str),
    /// `absent_after < abandon_after` must hold.
    Presence,
    /// The batch must be between 1 and [`Config::BATCH_MAX`].
    Batch,
    /// A boost must be at most [`Config::BOOST_MAX`], and class 0 has none.
    Boost,
}

/// Presence of waiters: who has not been heard of neither blocks nor is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Presence {
    /// Silence after which a waiter counts as absent, in milliseconds.
    pub absent_after_ms: u64,
    /// Silence after which its place ends, in milliseconds.
    pub abandon_after_ms: u64,
    /// Time to claim an offered slot, in milliseconds.
    pub claim_within_ms: u64,
}

/// Everything about a gate but its name. Durations are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// Slots; the scripts take it as the default until `resize` stores another.
    pub capacity: u32,
    /// *Alive* deadline: a holder not renewed for this long loses its slot.
    pub lease_ms: Option<u64>,
    /// *Active* deadline: a holder without real use for this long loses its slot.
    pub idle_ms: Option<u64>,
    /// A waiter older than this times out.
    pub wait_timeout_ms: Option<u64>,
    /// Presence of waiters; off means that promotion is immediate.
    pub presence: Option<Presence>,
    /// Most waiters at a time.
    pub queue_limit: u32,
    /// Whether absent waiters count towards `queue_limit`.
    pub count_absent: bool,
    /// By how many tickets each class moves ahead. Class 0 must be 0.
    pub boosts: [u32; CLASSES],
    /// Most housekeeping steps per call, for expiry and for promotion each.
    pub batch: u32,
    /// How long an ended place is remembered, in milliseconds. 0: not at all.
    pub tombstone_ms: u64,
    /// Most ended places remembered.
    pub tombstones_max: u32,
}

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
