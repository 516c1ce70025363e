//! The one interface for every non-deterministic choice.
//!
//! Which message lands next, its delay, where a connection is cut; crash,
//! pause, clock step: whatever is not determined is asked of a [`Chooser`], as a
//! decision with a label that says what it means. Strategies answer; the log of
//! answers is the run.
//!
//! Four questions, not one: a strategy that explores every schedule forks on
//! [`Chooser::pick`] and [`Chooser::weigh`], cuts [`Chooser::draw`] into classes,
//! and replaces [`Chooser::sample`] by a constant. With a single "give me a
//! random number" it could not tell an order of events from a delay.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::dist::Dist;

/// What a decision, or one alternative of it, is about. Small and `Copy`: it
/// is made millions of times and printed rarely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Label {
    /// What happens.
    pub kind: Kind,
    /// Which host it happens to; [`Label::SERVER`] for the server itself.
    pub host: u16,
    /// Which actor on the host.
    pub actor: u16,
    /// Tells this one from others of the same (kind, host, actor): the number
    /// of the frame among all that its actor sent, of the connection among its
    /// connections, or how often the kind has come up before. Decisions are
    /// keyed by meaning, not by their index in the run.
    pub occurrence: u32,
}

impl Label {
    /// Stands for the server where a host is named.
    pub const SERVER: u16 = u16::MAX;

    /// A label; see the fields.
    #[must_use]
    pub const fn new(kind: Kind, host: u16, actor: u16, occurrence: u32) -> Self {
        Self {
            kind,
            host,
            actor,
            occurrence,
        }
    }
}

/// The kinds of decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Which of the enabled events is next; among faults: none of them.
    Next,
    /// A connection is made, or refused.
    Connect,
    /// The server executes the next command of a connection.
    Execute,
    /// The server learns that a connection has ended.
    HangUp,
    /// The client receives the next reply.
    Deliver,
    /// The client learns that a connection has ended.
    Loss,
    /// A message of a subscription is received.
    Publish,
    /// A timer fires.
    Wake,
    /// The application acts (arrives, uses, leaves).
    Act,
    /// Network delay or service time, in nanoseconds.
    Delay,
    /// Time until the next fault, and which fault that is.
    Fault,
    /// A connection is cut, after so many bytes in flight.
    Cut,
    /// A connection stalls, for so many nanoseconds.
    Stall,
    /// A host is cut off from the server, for so many nanoseconds.
    Partition,
    /// The server refuses new connections of a host, for so many nanoseconds.
    Refuse,
    /// The network of a host works again.
    Mend,
    /// A process crashes; it restarts after so many nanoseconds.
    Crash,
    /// A crashed process starts again.
    Restart,
    /// A process stands still for so many nanoseconds.
    Pause,
    /// A paused process goes on.
    Resume,
    /// A host's clock steps.
    ClockStep,
    /// The server's clock steps.
    ServerClockStep,
    /// The server's script cache is flushed.
    ScriptFlush,
    /// The server restarts with all its data.
    ServerRestart,
    /// The server restarts with none of its data.
    ServerWipe,
    /// A replica takes the server's place.
    ServerFailover,
    /// A replica takes the server's place, and the server does not know.
    ServerSplit,
    /// The server answers with errors for so many nanoseconds.
    ServerErrors,
    /// The server throws a key away.
    Eviction,
    /// The server's machine loses power.
    PowerLoss,
    /// A replica has, or has not yet, what a connection wrote.
    Replicate,
    /// The server is up again.
    ServerStart,
    /// The time of faults is over, everything heals.
    Heal,
    /// A value drawn while the scenario is set up.
    Setup,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host == Self::SERVER {
            write!(f, "{:?} server #{}", self.kind, self.occurrence)
        } else {
            write!(
                f,
                "{:?} {}.{} #{}",
                self.kind, self.host, self.actor, self.occurrence
            )
        }
    }
}

/// What an event reads or changes. Two events that do not [meet](Touch::meets)
/// can be swapped, and nothing can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Touch {
    /// The host whose program it runs, if it runs one.
    pub host: Option<u16>,
    /// The server's keys, as bits of their hashes (see [`key_bit`]).
    pub keys: u64,
    /// It may change those keys.
    pub writes: bool,
    /// It lets time pass, or changes what may happen at all: it touches
    /// everything.
    pub everything: bool,
}

impl Touch {
    /// Touches everything.
    pub const EVERYTHING: Self = Self {
        host: None,
        keys: 0,
        writes: true,
        everything: true,
    };

    /// Whether the order of the two may matter. Errs on the side of yes: two
    /// keys may share a bit.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.everything
            || other.everything
            || (self.host.is_some() && self.host == other.host)
            || ((self.writes || other.writes) && self.keys & other.keys != 0)
    }
}

/// The bit of a key in [`Touch::keys`].
#[must_use]
pub fn key_bit(key: &[u8]) -> u64 {
    1 << (Digest::of(key) >> 58)
}

/// The events that may be next, never none. What they are called and touch is
/// made when a strategy asks: a walk at random wants to know neither.
pub trait Events {
    /// How many there are.
    fn count(&self) -> usize;

    /// What one is called.
    fn label(&self, at: usize) -> Label;

    /// What one touches, for strategies that care which events commute.
    fn touch(&self, at: usize) -> Touch;
}

/// Events whose labels are known.
impl<F: Fn(usize) -> Touch> Events for (&[Label], F) {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn label(&self, at: usize) -> Label {
        self.0[at]
    }

    fn touch(&self, at: usize) -> Touch {
        self.1(at)
    }
}

/// Answers every non-deterministic choice of a run.
pub trait Chooser {
    /// Picks one of `options` (never empty) by index: an order of events.
    fn pick(&mut self, options: &[Label]) -> usize;

    /// The same for the next event of a world. In adversarial running every
    /// event is asked for, also when there is only one.
    fn pick_event(&mut self, events: &dyn Events) -> usize {
        let labels: Vec<Label> = (0..events.count()).map(|at| events.label(at)).collect();
        self.pick(&labels)
    }

    /// Draws a number from `0..bound` (`bound` ≥ 1) for a magnitude or a chance.
    fn draw(&mut self, what: Label, bound: u64) -> u64;

    /// Picks one of `options` by index, each as likely as its weight; one of
    /// weight 0 is never picked. The weights' sum is at least 1.
    fn weigh(&mut self, options: &[Label], weights: &[u32]) -> usize {
        debug_assert_eq!(options.len(), weights.len());
        let total = weights.iter().map(|w| u64::from(*w)).sum::<u64>();
        let mut at = self.draw(options[0], total.max(1));
        for (i, weight) in weights.iter().enumerate() {
            match at.checked_sub(u64::from(*weight)) {
                Some(rest) => at = rest,
                None => return i,
            }
        }
        options.len() - 1
    }

    /// A duration in nanoseconds from a distribution.
    fn sample(&mut self, what: Label, dist: Dist) -> u64 {
        dist.sample(|bound| self.draw(what, bound))
    }
}

impl<C: Chooser + ?Sized> Chooser for Box<C> {
    fn pick(&mut self, options: &[Label]) -> usize {
        (**self).pick(options)
    }

    fn pick_event(&mut self, events: &dyn Events) -> usize {
        (**self).pick_event(events)
    }

    fn draw(&mut self, what: Label, bound: u64) -> u64 {
        (**self).draw(what, bound)
    }

    fn weigh(&mut self, options: &[Label], weights: &[u32]) -> usize {
        (**self).weigh(options, weights)
    }

    fn sample(&mut self, what: Label, dist: Dist) -> u64 {
        (**self).sample(what, dist)
    }
}

impl<C: Chooser + ?Sized> Chooser for &mut C {
    fn pick(&mut self, options: &[Label]) -> usize {
        (**self).pick(options)
    }

    fn pick_event(&mut self, events: &dyn Events) -> usize {
        (**self).pick_event(events)
    }

    fn draw(&mut self, what: Label, bound: u64) -> u64 {
        (**self).draw(what, bound)
    }

    fn weigh(&mut self, options: &[Label], weights: &[u32]) -> usize {
        (**self).weigh(options, weights)
    }

    fn sample(&mut self, what: Label, dist: Dist) -> u64 {
        (**self).sample(what, dist)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_meet_on_hosts_on_written_keys_and_over_time() {
        let (a, b) = (key_bit(b"a"), key_bit(b"b"));
        assert_ne!(a, b);
        let server = |keys, writes| Touch {
            keys,
            writes,
            ..Touch::default()
        };
        let host = |n| Touch {
            host: Some(n),
            ..Touch::default()
        };
        assert!(!server(a, true).meets(&server(b, true)));
        assert!(!server(a, false).meets(&server(a, false)), "two reads");
        assert!(server(a, false).meets(&server(a | b, true)));
        assert!(host(1).meets(&host(1)) && !host(1).meets(&host(2)));
        assert!(!host(1).meets(&server(a, true)));
        assert!(Touch::EVERYTHING.meets(&Touch::default()));
    }
}
