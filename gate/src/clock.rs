//! The one place of this crate's Redis side that reads real clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sluice_core::time::LocalTime;
use tokio::time::Instant;

/// A process's own clock for leases: nanoseconds since the clock was made, by a
/// clock that never steps. It does not count time during which the whole machine
/// was suspended; who must survive that relies on fencing numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    born: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            born: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> LocalTime {
        LocalTime(u64::try_from(self.born.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// The same point on tokio's clock, for timers.
    pub(crate) fn instant(&self, at: LocalTime) -> Instant {
        // A century is as good as never, and does not overflow.
        const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);
        self.born + Duration::from_nanos(at.0).min(NEVER)
    }
}

/// Microseconds of wall clock: a number that rises across restarts, and differs
/// between processes. Only to save a round trip; nothing depends on it.
#[expect(
    clippy::disallowed_methods,
    reason = "the production shell has the real clock"
)]
pub(crate) fn wall_clock_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |age| u64::try_from(age.as_micros()).unwrap_or(0))
}
