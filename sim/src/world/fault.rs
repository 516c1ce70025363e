//! The fault alphabet: what can go wrong, how often, how badly, and until when.
//!
//! A fault that never fired proves nothing (R6.8), so the world counts what
//! fired. Faults end at a stated time, after which everything heals: liveness
//! is judged only then.

use core::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

use super::disk::Persistence;
use crate::choice::Kind;

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A connection is cut at some byte in flight, in each direction.
    Cut,
    /// A connection carries nothing for a while, in both directions.
    Stall,
    /// All connections of a host carry nothing, and none can be made.
    Partition,
    /// The server refuses new connections of a host for a while.
    Refuse,
    /// A process dies, and starts again after a while.
    Crash,
    /// A process stands still for a while.
    Pause,
    /// A host's clock steps, forwards or backwards.
    ClockStep,
    /// The server's clock steps, forwards or backwards.
    ServerClockStep,
    /// The server forgets its cached scripts.
    ScriptFlush,
    /// The server is killed and comes back with what it has written to its disk
    /// ([`Persistence`]).
    ServerRestart,
    /// The server goes down and comes back empty.
    ServerWipe,
    /// The server dies, and a replica takes its place: replication is
    /// asynchronous, so that it may lack the last commands, answered or not.
    ServerFailover,
    /// The same, but the old server does not die: until it is told, it goes on
    /// serving those who are connected to it. Nothing of that is kept.
    ServerSplit,
    /// The server answers commands with an error for a while: it is read-only,
    /// out of memory, busy, cut off from its replicas or its cluster …
    ServerErrors,
    /// Memory is short, and the server throws a key away, if its policy lets it.
    Eviction,
    /// The server's machine loses power: it comes back with what was synced to
    /// its disk ([`Persistence`]).
    PowerLoss,
}

impl FaultKind {
    /// How many kinds there are.
    pub const COUNT: usize = 16;

    /// All kinds, in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Cut,
        Self::Stall,
        Self::Partition,
        Self::Refuse,
        Self::Crash,
        Self::Pause,
        Self::ClockStep,
        Self::ServerClockStep,
        Self::ScriptFlush,
        Self::ServerRestart,
        Self::ServerWipe,
        Self::ServerFailover,
        Self::ServerSplit,
        Self::ServerErrors,
        Self::Eviction,
        Self::PowerLoss,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Stall => "stall",
            Self::Partition => "partition",
            Self::Refuse => "refuse",
            Self::Crash => "crash",
            Self::Pause => "pause",
            Self::ClockStep => "clock_step",
            Self::ServerClockStep => "server_clock_step",
            Self::ScriptFlush => "script_flush",
            Self::ServerRestart => "server_restart",
            Self::ServerWipe => "server_wipe",
            Self::ServerFailover => "server_failover",
            Self::ServerSplit => "server_split",
            Self::ServerErrors => "server_errors",
            Self::Eviction => "eviction",
            Self::PowerLoss => "power_loss",
        }
    }

    /// The kind of the decision that lets it happen.
    #[must_use]
    pub const fn decision(self) -> Kind {
        match self {
            Self::Cut => Kind::Cut,
            Self::Stall => Kind::Stall,
            Self::Partition => Kind::Partition,
            Self::Refuse => Kind::Refuse,
            Self::Crash => Kind::Crash,
            Self::Pause => Kind::Pause,
            Self::ClockStep => Kind::ClockStep,
            Self::ServerClockStep => Kind::ServerClockStep,
            Self::ScriptFlush => Kind::ScriptFlush,
            Self::ServerRestart => Kind::ServerRestart,
            Self::ServerWipe => Kind::ServerWipe,
            Self::ServerFailover => Kind::ServerFailover,
            Self::ServerSplit => Kind::ServerSplit,
            Self::ServerErrors => Kind::ServerErrors,
            Self::Eviction => Kind::Eviction,
            Self::PowerLoss => Kind::PowerLoss,
        }
    }
}

/// One number per kind of fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PerFault([u32; FaultKind::COUNT]);

impl PerFault {
    /// The same number for all kinds.
    #[must_use]
    pub const fn all(n: u32) -> Self {
        Self([n; FaultKind::COUNT])
    }

    /// The same, but with this number for one kind.
    #[must_use]
    pub const fn with(mut self, kind: FaultKind, n: u32) -> Self {
        self.0[kind as usize] = n;
        self
    }

    /// The numbers, in the order of [`FaultKind::ALL`].
    #[must_use]
    pub const fn numbers(&self) -> &[u32; FaultKind::COUNT] {
        &self.0
    }

    /// Each kind with its number.
    pub fn iter(&self) -> impl Iterator<Item = (FaultKind, u32)> + '_ {
        FaultKind::ALL.into_iter().zip(self.0)
    }

    /// Their sum.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().map(|n| u64::from(*n)).sum()
    }
}

impl Index<FaultKind> for PerFault {
    type Output = u32;

    fn index(&self, kind: FaultKind) -> &u32 {
        &self.0[kind as usize]
    }
}

impl IndexMut<FaultKind> for PerFault {
    fn index_mut(&mut self, kind: FaultKind) -> &mut u32 {
        &mut self.0[kind as usize]
    }
}

/// How often each kind of fault has fired. A fault without an effect (no
/// connection to cut, no script cached) is not counted.
pub type FiredFaults = PerFault;

/// What goes wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Faults {
    /// How likely each kind is, relative to the others; 0 for never.
    pub weights: PerFault,
    /// Most faults of a run.
    pub budget: u32,
    /// After this time nothing fires, and everything heals.
    pub until_ns: u64,
    /// Timed running: mean time between two faults.
    pub gap_ns: u64,
    /// Adversarial running: one step in so many is a fault (at least 1).
    pub one_in: u32,
    /// Longest stall, partition, refusal, pause, or time of being down;
    /// each lasts between a thousandth of it and all of it.
    pub outage_ns_max: u64,
    /// Largest step of a host's clock, either way.
    pub step_ns_max: u64,
    /// Largest step of the server's clock, either way.
    pub server_step_us_max: u64,
    /// Longest time for which a restarted server answers `-LOADING`.
    pub loading_ns_max: u64,
    /// How the server keeps its data: what it loses when it is killed, or when
    /// its machine is without power.
    pub persistence: Persistence,
}

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Self = Self {
        weights: PerFault::all(0),
        budget: 0,
        until_ns: 0,
        gap_ns: 1,
        one_in: 1,
        outage_ns_max: 0,
        step_ns_max: 0,
        server_step_us_max: 0,
        loading_ns_max: 0,
        persistence: Persistence::AofAlways,
    };

    /// Faults of these weights until `until_ns`: in timed running about 30 of
    /// them, in adversarial running one step in 40; outages of up to 5 s, clock
    /// steps of up to 2 s; what was answered is on the disk.
    #[must_use]
    pub fn new(weights: PerFault, until_ns: u64) -> Self {
        Self {
            weights,
            budget: 100,
            until_ns,
            gap_ns: (until_ns / 30).max(1),
            one_in: 40,
            outage_ns_max: 5_000_000_000,
            step_ns_max: 2_000_000_000,
            server_step_us_max: 2_000_000,
            loading_ns_max: 500_000_000,
            persistence: Persistence::AofAlways,
        }
    }

    /// Whether any fault can ever fire.
    #[must_use]
    pub fn any(&self) -> bool {
        self.budget > 0 && self.until_ns > 0 && self.weights.total() > 0
    }
}
