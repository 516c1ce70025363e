//! Time as one client may rely on it.
//!
//! Two things make a client's clock unfit for judging a lease: it may step
//! back, and it does not run at the store's pace. [`Steady`] answers the first:
//! a clock that goes on from where it was when the one under it steps back. So
//! a step backwards lengthens a belief by at most the time between two inputs,
//! and never freezes a timer. [`believed_until`] answers the second (R1.8).
//!
//! *Rejected:* the largest time ever seen as `now`. After a step back by an
//! hour it would stand still for an hour, and a lease that is counted by it
//! would last as long.

use core::hash::{Hash, Hasher};

use crate::time::LocalTime;

const NANOS_PER_MS: u64 = 1_000_000;

/// A clock that never goes back, made from one that may.
#[derive(Clone, Debug, Default)]
pub(super) struct Steady {
    /// Sum of all steps back, in nanoseconds.
    bridged: u64,
    /// The latest reading.
    last: LocalTime,
}

impl Steady {
    /// Takes a reading in.
    pub(super) fn read(&mut self, now: LocalTime) -> LocalTime {
        let ahead = LocalTime(now.0.saturating_add(self.bridged));
        if ahead < self.last {
            self.bridged = self.bridged.saturating_add(self.last.0 - ahead.0);
        } else {
            self.last = ahead;
        }
        self.last
    }

    /// What [`Steady::read`] would answer.
    pub(super) fn peek(&self, now: LocalTime) -> LocalTime {
        LocalTime(now.0.saturating_add(self.bridged)).max(self.last)
    }

    /// How long ago, at this steady time, it was read last: what a step back
    /// would be measured against.
    pub(super) const fn age(&self, now: LocalTime) -> u64 {
        now.0.saturating_sub(self.last.0)
    }

    /// A steady time as the caller's clock will show it, if it does not step.
    pub(super) fn outside(&self, at: LocalTime) -> LocalTime {
        LocalTime(at.0.saturating_sub(self.bridged))
    }
}

/// What was read last has no influence on what follows as long as the clock
/// does not step back, so it is left out: clients in equal states are equal
/// whatever the hour of their last input.
impl Hash for Steady {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bridged.hash(state);
    }
}

/// Until when a holder may believe in its slot: *send time + lease × (1 − drift)
/// − margin*, by its own clock. Counted from when the request was **sent**: the
/// store executed it then or later. The store's clock shows whole milliseconds,
/// so a lease can be up to one shorter than it says.
pub(super) fn believed_until(
    sent: LocalTime,
    ttl_ms: u64,
    drift_ppm: u32,
    margin_ms: u64,
) -> LocalTime {
    let certain = ttl_ms.saturating_sub(1);
    let by_own_clock = certain.saturating_mul(NANOS_PER_MS - u64::from(drift_ppm));
    let margin = margin_ms.saturating_mul(NANOS_PER_MS);
    LocalTime(sent.0.saturating_add(by_own_clock.saturating_sub(margin)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_step_back_is_bridged_and_time_goes_on() {
        let mut clock = Steady::default();
        assert_eq!(clock.read(LocalTime(100)), LocalTime(100));
        assert_eq!(clock.read(LocalTime(40)), LocalTime(100));
        assert_eq!(clock.read(LocalTime(50)), LocalTime(110));
        assert_eq!(clock.peek(LocalTime(55)), LocalTime(115));
        assert_eq!(clock.peek(LocalTime(1)), LocalTime(110));
        assert_eq!(clock.outside(LocalTime(115)), LocalTime(55));
    }

    #[test]
    fn belief_ends_before_the_lease_by_drift_margin_and_a_millisecond() {
        let until = believed_until(LocalTime(5 * MS), 1_001, 1_000, 50);
        assert_eq!(until, LocalTime(5 * MS + 999 * MS - 50 * MS));
        let none = believed_until(LocalTime(5 * MS), 10, 0, 50);
        assert_eq!(none, LocalTime(5 * MS));
        let forever = believed_until(LocalTime(u64::MAX), u64::MAX, 0, 0);
        assert_eq!(forever, LocalTime(u64::MAX));
    }
}
