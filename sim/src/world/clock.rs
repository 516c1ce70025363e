//! A host's clock: it starts anywhere, runs a little fast or slow, and can step.

use sluice_core::time::LocalTime;

use super::agenda::NEVER;

const MILLION: i64 = 1_000_000;

/// Shows `offset + t + t·drift` at true time `t`, never less than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Clock {
    offset_ns: i64,
    drift_ppm: i32,
}

impl Clock {
    pub(super) fn new(offset_ns: u64, drift_ppm: i32) -> Self {
        Self {
            offset_ns: i64::try_from(offset_ns).unwrap_or(i64::MAX),
            drift_ppm: drift_ppm.max(1 - MILLION as i32),
        }
    }

    /// What it shows at true time `t_ns`.
    pub(super) fn local(self, t_ns: u64) -> LocalTime {
        let own = if self.drift_ppm == 0 {
            i128::from(t_ns)
        } else {
            i128::from(t_ns) * i128::from(MILLION + i64::from(self.drift_ppm)) / i128::from(MILLION)
        };
        let shown = (own + i128::from(self.offset_ns)).max(0);
        LocalTime(u64::try_from(shown).unwrap_or(u64::MAX))
    }

    /// Parts per million by which it is fast.
    pub(super) const fn drift(self) -> i32 {
        self.drift_ppm
    }

    /// The first true time at which it shows `local` or more, unless it steps.
    pub(super) fn when(self, local: LocalTime) -> u64 {
        let own = i128::from(local.0) - i128::from(self.offset_ns);
        if own <= 0 {
            return 0;
        }
        let t = if self.drift_ppm == 0 {
            own
        } else {
            let rate = i128::from(MILLION + i64::from(self.drift_ppm));
            (own * i128::from(MILLION) + rate - 1) / rate
        };
        u64::try_from(t).unwrap_or(NEVER)
    }

    /// From now on it shows `by_ns` more.
    pub(super) fn step(&mut self, by_ns: i64) {
        self.offset_ns = self.offset_ns.saturating_add(by_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn when_is_the_first_moment_that_shows_it(
            offset in 0u64..1 << 50,
            drift in -500_000i32..500_000,
            step in -(1i64 << 40)..1 << 40,
            local in 0u64..1 << 55,
        ) {
            let mut clock = Clock::new(offset, drift);
            clock.step(step);
            let t = clock.when(LocalTime(local));
            prop_assert!(clock.local(t).0 >= local);
            prop_assert!(t == 0 || clock.local(t - 1).0 < local);
        }

        #[test]
        fn never_runs_backwards_without_a_step(
            drift in -999_999i32..2_000_000, a in 0u64..1 << 55, b in 0u64..1 << 20,
        ) {
            let clock = Clock::new(5, drift);
            prop_assert!(clock.local(a) <= clock.local(a + b));
        }
    }

    #[test]
    fn drift_is_parts_per_million() {
        let fast = Clock::new(100, 20);
        assert_eq!(fast.local(1_000_000_000).0, 1_000_020_100);
        let mut stepped = Clock::new(0, 0);
        stepped.step(-50);
        assert_eq!((stepped.local(20).0, stepped.local(70).0), (0, 20));
    }
}
