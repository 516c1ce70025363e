//! What a world is made of.

use core::fmt::Debug;
use core::hash::Hash;

use serde::{Deserialize, Serialize};
use sluice_core::client::{Input, Likeness, Output};
use sluice_core::redis::Bytes;
use sluice_core::time::LocalTime;

use super::fault::Faults;
use crate::dist::Dist;
use crate::redis::Server;

/// What runs on a host: one process with its actors (its users, each with its
/// own pair of connections, see [`sluice_core::client::Conn`]).
///
/// A program holds its own workload and acts by deadlines; the world never
/// hands it an [`Input::Ask`]. Like any machine it is drained after every
/// call; what it tells ([`Output::Tell`]) is traced and goes nowhere.
pub trait Program: Clone + Hash + Debug {
    /// Takes one input for an actor. Actors are numbered from 0, densely: the
    /// world keeps room for the largest number it has seen.
    fn handle(&mut self, now: LocalTime, actor: u16, input: Input);

    /// The next thing an actor wants, in order; `None` once drained.
    fn poll_output(&mut self) -> Option<(u16, Output)>;

    /// The next deadline of all actors: when to call whom with
    /// [`Input::Wake`], and why. After that wake-up it must have moved on.
    fn deadline(&self) -> Option<(LocalTime, u16, &'static str)>;

    /// The process starts again after a crash: whatever it kept in memory is
    /// gone, its connections are closed, no request will be answered.
    fn restart(&mut self, now: LocalTime);

    /// Feeds the logical state, with points in time relative to `now` where it
    /// can be: two programs that will behave alike from now on, by whatever
    /// o'clock, should feed the same. Without better knowledge, everything.
    fn identity<H: Likeness>(&self, now: LocalTime, state: &mut H) {
        self.hash(state);
        now.hash(state);
    }

    /// By which names others know it: ids in commands and keys, each a whole
    /// argument or member, all of the same length. Programs that differ in
    /// nothing else may be taken for one another by a search. None, unless it
    /// says so.
    fn names(&self) -> Vec<Bytes> {
        Vec::new()
    }
}

/// One host, with its own clock.
#[derive(Clone, Debug)]
pub struct HostSetup<P> {
    /// What runs on it.
    pub program: P,
    /// What its clock shows at the start, in nanoseconds.
    pub offset_ns: u64,
    /// How much faster than true time its clock runs, in parts per million;
    /// more than −1,000,000.
    pub drift_ppm: i32,
}

impl<P> HostSetup<P> {
    /// A host with a perfect clock.
    pub const fn new(program: P) -> Self {
        Self {
            program,
            offset_ns: 0,
            drift_ppm: 0,
        }
    }
}

/// How long things take, in timed running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Delays {
    /// From the client to the server, per command.
    pub up: Dist,
    /// From the server to the client, per reply or message.
    pub down: Dist,
    /// Until a connection is made or refused.
    pub connect: Dist,
    /// How long the server, which does one thing at a time, is busy with one
    /// command.
    pub service: Dist,
}

impl Delays {
    /// A local network: about 0.1 ms each way, 20 µs of work per command.
    pub const LOCAL: Self = Self {
        up: Dist::Exponential {
            min: 50_000,
            mean: 50_000,
        },
        down: Dist::Exponential {
            min: 50_000,
            mean: 50_000,
        },
        connect: Dist::Constant(300_000),
        service: Dist::Constant(20_000),
    };

    /// A bad network: 1 ms each way at least, often ten, now and then seconds.
    pub const WILD: Self = Self {
        up: Dist::HeavyTail {
            min: 1_000_000,
            max: 5_000_000_000,
        },
        down: Dist::HeavyTail {
            min: 1_000_000,
            max: 5_000_000_000,
        },
        connect: Dist::HeavyTail {
            min: 1_000_000,
            max: 1_000_000_000,
        },
        service: Dist::Exponential {
            min: 10_000,
            mean: 30_000,
        },
    };
}

/// How time passes, and what may be next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Delays are sampled and events happen in the order of time; the chooser
    /// only breaks ties. A discrete-event simulation, which measures latency.
    Timed(Delays),
    /// Nothing takes time, and any enabled event may be next: the next frame
    /// of any connection, any timer that is due, or, once none is, the earliest
    /// timer that is not, which is how time moves. So the network may be
    /// arbitrarily slow, while processes are prompt unless a fault pauses them.
    /// Once faults are over, nothing is held up for more than five seconds: what
    /// is to happen in the end can be asked only of a network that delivers.
    /// Finds races; says nothing about latency.
    Adversarial,
    /// The same, but time stands still for as long as anything else can happen:
    /// for races that need no time, which can then be repeated where time is
    /// not the world's to decide.
    Untimed,
}

/// All that a run starts from.
#[derive(Clone, Debug)]
pub struct Setup<P, S = Server> {
    /// The hosts, numbered in this order.
    pub hosts: Vec<HostSetup<P>>,
    /// The server.
    pub server: S,
    /// How time passes.
    pub mode: Mode,
    /// What goes wrong.
    pub faults: Faults,
    /// The server's clock at the start, in microseconds since 1970.
    pub epoch_us: u64,
}
