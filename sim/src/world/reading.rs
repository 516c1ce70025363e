//! How a search reads what is stored and what travels, so that it takes for one
//! what differs only in what nobody can tell apart.
//!
//! The world knows times and names. What a number inside a value or an argument
//! means only the gate's own code knows: so it says, by a [`Reading`], which are
//! fencing numbers (only their order counts), which are points in time, and
//! which are mere statistics. [`Exact`] knows nothing and takes everything for
//! what it is.

use core::hash::Hash;

use sluice_core::client::Likeness;
use sluice_core::redis::{Command, Reply};

use crate::store::{Names, Store};

/// When a state is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct When {
    /// The server's clock: microseconds since 1970.
    pub now_us: u64,
    /// True time since the start, in nanoseconds: nobody remembers more.
    pub elapsed_ns: u64,
    /// No time will pass any more, and no clock will step: deadlines ahead are
    /// never reached, whatever they are.
    pub frozen: bool,
}

/// See the module. What it leaves out, no program, no script and no judge may
/// depend on.
pub trait Reading<S: Store> {
    /// Hands over each fencing number in the store; the last one that was given,
    /// after which the next come, if there was one.
    fn fences(&self, server: &S, when: &When, each: &mut dyn FnMut(u64)) -> Option<u64> {
        let _ = (server, when, each);
        None
    }

    /// Identity of the server; see [`Store::identity`].
    fn server(&self, server: &S, when: &When, names: &dyn Names, ranks: &Ranks) -> u64 {
        let _ = ranks;
        server.identity(when.now_us, names)
    }

    /// What is stored under a name; see [`Store::marks`].
    fn marks(&self, server: &S, when: &When, name: &[u8], ranks: &Ranks) -> u64 {
        let _ = ranks;
        server.marks(when.now_us, name)
    }

    /// Whether nothing depends on how many listen to a channel, which who
    /// publishes is told.
    fn ignores_listeners(&self) -> bool {
        false
    }

    /// Feeds a command on its way.
    fn command(&self, command: &Command, state: &mut impl Likeness) {
        command.hash(state);
    }

    /// Feeds a reply on its way.
    fn reply(&self, reply: &Reply, state: &mut impl Likeness) {
        reply.hash(state);
    }
}

/// Takes everything for what it is.
#[derive(Clone, Copy, Debug)]
pub struct Exact;

impl<S: Store> Reading<S> for Exact {}

/// Fencing numbers by their order.
///
/// Whoever compares them asks for equal, or for greater; a new one is the last
/// one plus one, greater than all up to there. So of these only the order
/// counts. Numbers beyond the last (of a store that lost its data) are met again
/// one day: of them the distance counts, too; and without a last one, each
/// counts as it is.
#[derive(Clone, Debug, Default)]
pub struct Ranks {
    last: Option<u64>,
    sorted: Vec<u64>,
}

impl Ranks {
    pub(super) fn note(&mut self, fence: u64) {
        if let Err(at) = self.sorted.binary_search(&fence) {
            self.sorted.insert(at, fence);
        }
    }

    pub(super) const fn set_last(&mut self, last: Option<u64>) {
        self.last = last;
    }

    /// Whether there is any fencing number, in the store or outside.
    #[must_use]
    pub fn any(&self) -> bool {
        !self.sorted.is_empty()
    }

    /// What stands for a fencing number. O(log numbers).
    #[must_use]
    pub fn of(&self, fence: u64) -> u64 {
        match self.last {
            None => fence,
            Some(_) if fence == 0 => u64::MAX, // no number at all
            Some(last) if fence > last => (1 << 63) | (fence - last),
            Some(_) => self.sorted.partition_point(|n| *n < fence) as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_counts_and_beyond_the_last_the_distance() {
        let ranks = |last, all: &[u64]| {
            let mut ranks = Ranks::default();
            all.iter().for_each(|n| ranks.note(*n));
            ranks.set_last(last);
            all.iter().map(|n| ranks.of(*n)).collect::<Vec<_>>()
        };
        assert_eq!(ranks(Some(9), &[3, 7, 3]), ranks(Some(90), &[30, 31, 30]));
        assert_ne!(ranks(Some(9), &[3, 7]), ranks(Some(9), &[7, 3]));
        assert_ne!(ranks(Some(9), &[9, 10]), ranks(Some(9), &[9, 11]));
        assert_ne!(ranks(Some(9), &[0]), ranks(Some(9), &[1]));
        assert_ne!(ranks(None, &[1]), ranks(None, &[2]));
    }
}
