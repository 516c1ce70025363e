//! What `table` and `turnstile` take from the outside: locks, time, and the
//! executor's budget. Under loom and shuttle another module of this name stands
//! here, so that what is checked there is their very source.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sluice_core::time::StoreTime;
use tokio::time::{Instant, Sleep};

use super::table::Flaw;

pub(super) use std::sync::{Arc, Mutex, MutexGuard};
pub(super) use tokio::task::coop::poll_proceed;

/// The store's clock of a gate in this process: milliseconds since its birth,
/// by a clock that never steps. Tokio's, so that its timers agree with it and
/// its paused test time works.
#[derive(Debug)]
pub(super) struct Clock {
    born: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            born: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> StoreTime {
        let age = self.born.elapsed();
        StoreTime(age.as_secs() * 1_000 + u64::from(age.subsec_millis()))
    }

    /// Where fencing starts: the wall clock in microseconds, so that a
    /// restarted process does not repeat the numbers of the one before, unless
    /// that one granted more than a million a second.
    #[expect(
        clippy::disallowed_methods,
        reason = "the production shell has the real clock"
    )]
    pub(super) fn first_fence() -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |age| {
                age.as_secs() * 1_000_000 + u64::from(age.subsec_micros())
            })
    }
}

/// Ready when the clock has reached a point. Boxed, because only a waiter with
/// a deadline needs one, and a future without it stays small.
#[derive(Debug)]
pub(super) struct Timer(Pin<Box<Sleep>>);

impl Timer {
    /// # Panics
    /// Outside a tokio runtime with its time driver on.
    pub(super) fn new(clock: &Clock, at: StoreTime) -> Self {
        Self(Box::pin(tokio::time::sleep_until(
            clock.born + Duration::from_millis(at.0),
        )))
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

/// Whether the bug was planted by a check: here, never.
#[inline]
pub(super) const fn planted(_: Flaw) -> bool {
    false
}
