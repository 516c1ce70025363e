//! Distributions of durations, in integers alone.
//!
//! A run must give the same trace on every machine, and `f64::ln` need not be
//! the same to the last bit everywhere. So the exponential uses a fixed-point
//! logarithm (bit by bit, by repeated squaring: Knuth, TAOCP vol. 1, 1.2.2,
//! exercise 28), and the heavy tail a Pareto distribution of shape 2, whose
//! inverse needs nothing but an integer square root.

use serde::{Deserialize, Serialize};

/// A distribution of durations, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dist {
    /// Always the same.
    Constant(u64),
    /// Each of `min..=max` as likely.
    Uniform {
        /// Least.
        min: u64,
        /// Greatest.
        max: u64,
    },
    /// `min` plus an exponential with this mean (at most 22 times the mean).
    Exponential {
        /// Least.
        min: u64,
        /// Mean of what is added.
        mean: u64,
    },
    /// Pareto of shape 2: mean 2·`min`, infinite variance, truncated at `max`.
    HeavyTail {
        /// Least, and the scale.
        min: u64,
        /// Greatest.
        max: u64,
    },
}

impl Dist {
    /// No time at all.
    pub const ZERO: Self = Self::Constant(0);

    /// A value, from at most one number drawn from `0..bound`.
    pub fn sample(self, mut draw: impl FnMut(u64) -> u64) -> u64 {
        match self {
            Self::Constant(ns) => ns,
            Self::Uniform { min, max } => {
                if max <= min {
                    return min;
                }
                min.saturating_add(draw((max - min).saturating_add(1)))
            }
            Self::Exponential { min, mean } => {
                let u = draw(1 << 32) + 1;
                // −ln u = (32 − log₂ u)·ln 2, for u out of 2³².
                let log2_q32 = (32 << 32) - log2_q32(u);
                const LN2_Q32: u128 = 2_977_044_472;
                let ln_q32 = (u128::from(log2_q32) * LN2_Q32) >> 32;
                let add = (u128::from(mean) * ln_q32) >> 32;
                min.saturating_add(u64::try_from(add).unwrap_or(u64::MAX))
            }
            Self::HeavyTail { min, max } => {
                let u = draw(1 << 32) + 1;
                // min ÷ √(u ÷ 2³²) = min · 2¹⁶·2¹⁶ ÷ √(u·2³²).
                let root = (u << 31).isqrt().max(1);
                let ns = u128::from(min) * ((1u128 << 63).isqrt()) / u128::from(root);
                u64::try_from(ns)
                    .unwrap_or(u64::MAX)
                    .clamp(min, max.max(min))
            }
        }
    }

    /// Its mean, rounded down; of the untruncated distribution for a heavy tail.
    #[must_use]
    pub const fn mean(self) -> u64 {
        match self {
            Self::Constant(ns) => ns,
            Self::Uniform { min, max } => {
                if max <= min {
                    min
                } else {
                    min + (max - min) / 2
                }
            }
            Self::Exponential { min, mean } => min.saturating_add(mean),
            Self::HeavyTail { min, .. } => min.saturating_mul(2),
        }
    }
}

/// log₂ of `x` ≥ 1 with 32 fractional bits (rounded down).
fn log2_q32(x: u64) -> u64 {
    let whole = u64::from(x.ilog2());
    // x = 2^whole · m with m in [1, 2), as a fixed-point number of 63 bits.
    let mut m = x << (63 - whole);
    let mut log = whole;
    for _ in 0..32 {
        let square = (u128::from(m) * u128::from(m)) >> 63;
        log <<= 1;
        if square >> 64 != 0 {
            log |= 1;
            m = (square >> 1) as u64;
        } else {
            m = square as u64;
        }
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::{Chooser, Kind, Label};
    use crate::strategy::Random;

    fn mean_of(dist: Dist) -> f64 {
        let mut random = Random::new(7);
        let n = 200_000;
        let what = Label::new(Kind::Delay, 0, 0, 0);
        let sum: u64 = (0..n).map(|_| random.sample(what, dist)).sum();
        sum as f64 / f64::from(n)
    }

    #[test]
    fn logarithm_is_right() {
        for x in [1u64, 2, 3, 5, 1 << 16, (1 << 32) - 1, 1 << 32] {
            let exact = (x as f64).log2();
            let ours = log2_q32(x) as f64 / (1u64 << 32) as f64;
            assert!((exact - ours).abs() < 1e-8, "{x}: {exact} {ours}");
        }
    }

    #[test]
    fn means_are_as_stated() {
        for (dist, slack) in [
            (Dist::Constant(700), 0.0),
            (Dist::Uniform { min: 100, max: 300 }, 0.01),
            (
                Dist::Exponential {
                    min: 50,
                    mean: 1_000,
                },
                0.02,
            ),
            (
                Dist::HeavyTail {
                    min: 1_000,
                    max: u64::MAX,
                },
                0.05,
            ),
        ] {
            let (want, got) = (dist.mean() as f64, mean_of(dist));
            assert!((want - got).abs() <= want * slack, "{dist:?}: {want} {got}");
        }
    }

    #[test]
    fn extremes_stay_in_range() {
        for at in [0, u64::MAX] {
            let end = |bound: u64| at.min(bound - 1);
            let full = Dist::Uniform {
                min: 0,
                max: u64::MAX,
            };
            assert!(full.sample(end) == 0 || full.sample(end) >= u64::MAX - 1);
            let tail = Dist::HeavyTail { min: 3, max: 9 };
            assert!((3..=9).contains(&tail.sample(end)));
            let exponential = Dist::Exponential {
                min: u64::MAX,
                mean: u64::MAX,
            };
            assert_eq!(exponential.sample(end), u64::MAX);
        }
        assert_eq!(Dist::Uniform { min: 9, max: 3 }.sample(|_| 0), 9);
    }
}
