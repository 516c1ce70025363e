//! The client side of a gate, as a machine.
//!
//! A [`Client`] takes [`Input`]s, and hands out [`Output`]s and the next
//! deadline. It owns every decision a client takes: heartbeats, polling,
//! retries, lease arithmetic, cancellation, what to make of an unknown outcome.
//! A driver (tokio and redis-rs in `gate`, the world in `sim`) carries bytes
//! and keeps timers, and takes no decision.
//!
//! * Inputs: [`Client::handle`].
//! * Outputs: [`Client::poll_output`], to be drained until `None` after every input.
//! * Timer: [`Client::deadline`], to be read again after every drain.
//! * Getter: [`Client::belief`].

use alloc::boxed::Box;
use core::fmt::Debug;
use core::hash::{Hash, Hasher};

use crate::redis::{Bytes, Command, Reply};
use crate::slots::{Ended, Fence, Rejected};
use crate::time::LocalTime;

pub mod slots;

/// Which of the client's connections. Commands on one connection are executed
/// in order and answered in order; across connections nothing is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Conn {
    /// Request and reply.
    Commands,
    /// Subscriptions only.
    Messages,
}

/// Identifies a request within one client, so that a late reply finds its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What the application asks of its gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ask {
    /// Join, and wait for a slot.
    Acquire,
    /// Join only if a slot is free now.
    TryAcquire,
    /// The slot is in real use (moves the *active* deadline).
    Touch,
    /// Give the slot back.
    Release,
    /// Leave, whatever the state: waiting, unknown, or holding.
    Cancel,
}

/// Why a request has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Failure {
    /// It certainly never reached the server.
    NotSent,
    /// It may or may not have been executed, or may yet be.
    Unknown,
}

/// Everything that can happen to a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// The application asks.
    Ask(Ask),
    /// The server answered.
    Reply(RequestId, Reply),
    /// There will be no answer.
    Failed(RequestId, Failure),
    /// The subscription is in place; messages from now on arrive.
    Subscribed,
    /// The subscription is gone; messages may have been missed.
    Unsubscribed,
    /// A message on the subscribed channel.
    Message(Bytes),
    /// The deadline, or any other moment: look at `now`.
    Wake,
}

/// Everything a client can want.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// Send this command; answer with `Input::Reply` or `Input::Failed`. A
    /// driver without a connection makes one first.
    Send {
        /// For the answer.
        request: RequestId,
        /// What to send on [`Conn::Commands`].
        command: Command,
    },
    /// Drop the connection with all that is outstanding on it (each request
    /// gets its `Failed`); the next send makes a new one. Bytes already under
    /// way may still reach the server.
    Reset(Conn),
    /// Subscribe to this channel on [`Conn::Messages`], for as long as the
    /// client lives or until `Unsubscribe`.
    Subscribe(Bytes),
    /// End the subscription.
    Unsubscribe,
    /// Tell the application.
    Tell(Event),
}

/// What the application is told. Between `Ask::Acquire` and one of the final
/// events there may be any number of `Waiting`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// In line, at this position.
    Waiting {
        /// Places ahead plus one.
        position: u64,
    },
    /// The slot is held, until `until` by the client's own clock at the latest.
    Granted {
        /// Fencing number, to be shown to every guarded resource.
        fence: Fence,
        /// When to stop unless renewed (the machine renews by itself).
        until: Option<LocalTime>,
        /// Time spent waiting, in milliseconds, by the store's clock.
        wait_ms: u64,
    },
    /// Final: not accepted.
    Rejected(Rejected),
    /// Final: the place ended while waiting, or the lease while holding. Stop.
    Ended(Ended),
    /// Final: the slot is given back (or was no longer ours to give).
    Released,
    /// Final: out of the gate.
    Cancelled,
    /// The gate cannot be reached or does not answer properly; the machine
    /// keeps trying. Never means "denied".
    Trouble(Box<str>),
    /// Final: the server refuses for a reason that trying again cannot mend.
    Fatal(Box<str>),
}

/// A sans-IO client of a gate.
///
/// `Clone` and `Hash` let the exhaustive search fork and recognise it; two
/// clients that will behave alike must hash alike.
pub trait Client: Clone + Hash + Debug {
    /// Takes one input. Drain [`Client::poll_output`] afterwards.
    fn handle(&mut self, now: LocalTime, input: Input);

    /// The next thing to do, in order; `None` once drained.
    fn poll_output(&mut self) -> Option<Output>;

    /// When to call with [`Input::Wake`] at the latest, and why.
    fn deadline(&self) -> Option<(LocalTime, &'static str)>;

    /// The fencing number of the slot that this client believes, by its own
    /// clock at `now`, to hold. Subjects without fencing answer 0.
    fn belief(&self, now: LocalTime) -> Option<Fence>;

    /// Feeds the state with points in time relative to `now`: two clients that
    /// will behave alike from now on, by whatever o'clock, should feed the same.
    /// Without better knowledge, everything and the time.
    fn identity<H: Likeness>(&self, now: LocalTime, state: &mut H) {
        self.hash(state);
        now.hash(state);
    }
}

/// A hasher that is told what some numbers are, and may see less of them: what
/// a search tells states apart by. Feeding a number as itself is never wrong.
pub trait Likeness: Hasher {
    /// A fencing number, of which only counts how it compares with others.
    fn fence(&mut self, fence: Fence) {
        self.write_u64(fence);
    }

    /// A figure that is told to the application, and that no machine heeds.
    fn figure(&mut self, figure: u64) {
        self.write_u64(figure);
    }

    /// A deadline, so many nanoseconds ahead (0: reached), that is only ever
    /// compared with the time at which it is looked at.
    fn deadline(&mut self, ahead_ns: u64) {
        self.write_u64(ahead_ns);
    }

    /// A span of nanoseconds that will be counted from a moment in the past; at
    /// least `least_ns` of it before anything comes of it.
    fn span(&mut self, ns: u64, least_ns: u64) {
        let _ = least_ns;
        self.write_u64(ns);
    }

    /// How long ago a clock was read, in nanoseconds: it counts only where the
    /// clock may step back.
    fn age(&mut self, ns: u64) {
        self.write_u64(ns);
    }
}
