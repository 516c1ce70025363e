//! Two clocks that must never be confused.
//!
//! The store (Redis, or the process that owns a [`crate::slots::Slots`]) has one
//! clock, and leases are judged by it alone. A client has another, which may be
//! skewed, drift, or step. Mixing them up is bug class "lease judged by the
//! client's clock"; here it does not type-check.

use core::fmt;

/// A point on the store's clock, in milliseconds since its own epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StoreTime(pub u64);

impl StoreTime {
    /// This point plus `ms` milliseconds, saturating.
    #[must_use]
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to here; zero if the clock ran backwards.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A point on one client's own clock, in nanoseconds since its own epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LocalTime(pub u64);

impl LocalTime {
    /// This point plus `ms` milliseconds, saturating.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1_000_000)))
    }

    /// Whole milliseconds from `earlier` to here; zero if the clock ran backwards.
    #[must_use]
    pub const fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000_000
    }

    /// How far ahead of `now` it lies, in nanoseconds (what lies behind wraps
    /// around): the same for two points that are alike seen from their nows. The
    /// end of time stays where it is.
    #[must_use]
    pub const fn relative_to(self, now: Self) -> u64 {
        match self.0 {
            u64::MAX => u64::MAX,
            at => at.wrapping_sub(now.0),
        }
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:06}s",
            self.0 / 1_000_000_000,
            self.0 / 1_000 % 1_000_000
        )
    }
}
