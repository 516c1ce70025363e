//! The in-process limiter: at most `capacity` callers at a time, everyone else
//! waits in line.
//!
//! ```
//! use sluice_gate::limiter::Limiter;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let limiter = Limiter::new(10)?;
//! let permit = limiter.acquire().await?;
//! // … at most ten callers are here at a time …
//! drop(permit);
//! assert_eq!(limiter.status().current_active, 0);
//! # Ok(())
//! # }
//! ```
//!
//! Who is let in is decided by [`sluice_core::slots::Slots`], the very machine
//! that is verified and that the Redis scripts agree with. This module adds
//! what a process needs around it: a lock, wakers, a clock.
//!
//! * **Strict FIFO, no barging**: a newcomer never passes anyone in line, also
//!   not with [`Limiter::try_acquire`].
//! * **Cancel-safe**: drop a future or a permit anywhere, at any time.
//! * **One table**: clones of a [`Limiter`] share it, so cloning a service does
//!   not multiply its permits (B25).
//! * **One process**: with k processes behind one gate, k such limiters admit k
//!   times the capacity (R3.1); use the Redis gate there.
//!
//! A limiter waits for ever unless it is told otherwise: give it a
//! [`wait_timeout`](LimiterBuilder::wait_timeout), such as the 300 s of
//! [`FIELD_WAIT_TIMEOUT`], or a caller its own with [`Limiter::acquire_timeout`].
//! Off is the default because a timeout needs a tokio runtime with time enabled
//! and costs a timer per waiter, and because a caller's own patience is
//! usually the one that counts. The queue is bounded by default, at
//! [`Config::QUEUE_LIMIT_DEFAULT`].

mod status;
mod sync;
mod table;
#[cfg(test)]
mod tests;
mod turnstile;

use std::time::Duration;

use sluice_core::slots::{CLASSES, Config, ConfigError};

pub use self::status::LimiterStatus;
use self::sync::Clock;
pub use self::turnstile::{Acquire, AcquireError, Limiter, Permit, TryAcquireError};

/// The wait timeout of the field's request gates (`REQUEST_QUEUE_TIMEOUT`).
pub const FIELD_WAIT_TIMEOUT: Duration = Duration::from_secs(300);

impl Limiter {
    /// A limiter of `capacity` slots, without wait timeout or priorities.
    ///
    /// # Errors
    /// [`ConfigError::Capacity`] for 0 or more than [`Config::CAPACITY_MAX`].
    pub fn new(capacity: u32) -> Result<Self, ConfigError> {
        Self::builder(capacity).build()
    }

    /// A limiter of `capacity` slots, to be configured further.
    pub const fn builder(capacity: u32) -> LimiterBuilder {
        LimiterBuilder {
            config: Config::limiter(capacity, None),
        }
    }

    /// What the limiter has done and is doing (R1.12). O(1).
    #[must_use]
    pub fn status(&self) -> LimiterStatus {
        let (status, out_of_time) = self.snapshot();
        LimiterStatus::new(&status, out_of_time)
    }
}

/// Configures a [`Limiter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct LimiterBuilder {
    config: Config,
}

impl LimiterBuilder {
    /// Most callers in line at a time; more get [`AcquireError::Full`]. 0 means
    /// that nobody waits.
    pub const fn queue_limit(mut self, queue_limit: u32) -> Self {
        self.config.queue_limit = queue_limit;
        self
    }

    /// Longest wait in line; then [`AcquireError::TimedOut`]. Whole
    /// milliseconds, rounded up.
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        let ms = timeout.as_nanos().div_ceil(1_000_000);
        self.config.wait_timeout_ms = Some(u64::try_from(ms).unwrap_or(u64::MAX));
        self
    }

    /// By how many places in line each class of [`Acquire::class`] is moved
    /// ahead (R1.14). Class 0 must be 0. Nobody starves: a boost is a head
    /// start, not a rank.
    pub const fn boosts(mut self, boosts: [u32; CLASSES]) -> Self {
        self.config.boosts = boosts;
        self
    }

    /// Makes the limiter.
    ///
    /// # Errors
    /// [`ConfigError`] says which value is out of range, and the range.
    pub fn build(self) -> Result<Limiter, ConfigError> {
        Limiter::start(self.config, Clock::start())
    }
}
