//! How long a waiter will wait: an interval, and how far it can be trusted.
//!
//! The wait at position k is the sum of the next k gaps between promotions. The
//! gate smooths the mean and the variance of that gap ([`Flow`]); the estimate
//! is k gaps of that mean, and the interval has two causes that are added up:
//!
//! * *Chance*: a gamma variable with the mean and variance of k gaps, its
//!   quantiles by Wilson & Hilferty (1931).
//! * *Ignorance*: the mean itself is known from about 31 gaps only (that is what
//!   the weight 1/16 comes to), so it is off by the same share at every
//!   position. Far back in the queue this is all there is.
//!
//! Gaps of a gate with many slots look random (exponential) from close by
//! whatever the work is, but over several rounds of all its slots they are as
//! regular as the work. How regular the work is shows in the variance of the gap
//! only while the slots are few: evenly spaced work in c slots has 1 − cv² =
//! 2/(c + 1) for its gaps' squared coefficient of variation. So with few slots
//! the work's own cv² is inferred from the gaps', and with many it is taken to
//! be 1, as of exponential work.
//!
//! # What it assumes, and what it misses
//!
//! Present waiters, slots that are all busy, and work that goes on as in the last
//! 31 gaps; a change of capacity is scaled. Nobody leaves the line early
//! (who does makes the truth shorter). Measured by the test below, over service
//! times exponential, uniform 5–15 s and mixed with a long tail, capacities 1 to
//! 20 and positions 1 to 180: the 90 % interval holds the truth in 89–94 % of
//! waits per kind of work, and in 87–97 % per kind and capacity. In single
//! corners it is further off, because two numbers cannot tell them apart: far
//! back behind ten slots or more, very regular work is covered to nearly 100 %,
//! and work with a tail longer than the exponential's to about 80 %.

use crate::slots::Flow;

/// Gaps that must have been seen before anything is said.
pub const GAPS_MIN: u32 = 8;

/// When a waiter will be granted, from now, in milliseconds. The interval is
/// stated at 90 %: 5 % of waits are shorter, 5 % longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Eta {
    /// Hardly ever sooner.
    pub low_ms: u64,
    /// The best single number: the expected wait.
    pub mid_ms: u64,
    /// Hardly ever later.
    pub high_ms: u64,
}

/// The wait at `position` (1 is next) in a gate of `capacity` slots whose queue
/// moves at this pace. `None` means that it is not known (the field's
/// `wait_time_known: false`): fewer than [`GAPS_MIN`] gaps were seen, or the
/// numbers are no pace at all. O(1).
#[must_use]
pub fn estimate(position: u64, flow: &Flow, capacity: u32) -> Option<Eta> {
    let (mean, variance) = (flow.gap_mean_ms, flow.gap_var_ms2);
    let sound = mean.is_finite() && mean >= 0.0 && variance.is_finite() && variance >= 0.0;
    if flow.gaps < GAPS_MIN || !sound {
        return None;
    }
    if mean == 0.0 {
        return Some(Eta {
            low_ms: 0,
            mid_ms: 0,
            high_ms: 0,
        });
    }
    let k = position.max(1) as f64;
    let work = Work::infer(variance / (mean * mean), f64::from(capacity.max(1)));
    // The current gap has begun already: what is left of it is, on average,
    // (1 + cv²)/2 gaps long.
    let mid = mean * (k - 1.0 + (1.0 + work.cv2_near.min(1.5)) / 2.0);

    let shape = (mid / mean) * (mid / mean) / (k * work.dispersion(k));
    let seen = f64::from(flow.gaps).min(GAPS_SEEN);
    let ignorance = IGNORANCE * Z * sqrt(work.dispersion(GAPS_SEEN) / seen);
    let chance_low = 1.0 / gamma_quantile(shape, -Z).max(1e-3) - 1.0;
    let chance_high = gamma_quantile(shape, Z) - 1.0;
    let low = mid / (1.0 + hypotenuse(chance_low, ignorance));
    let high = mid * (1.0 + hypotenuse(chance_high, ignorance));
    // Casts saturate.
    Some(Eta {
        low_ms: low as u64,
        mid_ms: mid as u64,
        high_ms: high as u64,
    })
}

/// The normal quantile at 95 %.
const Z: f64 = 1.645;

/// Gaps that a smoothed mean with weight α = 1/16 is worth: (2 − α)/α.
const GAPS_SEEN: f64 = 31.0;

/// By how much the mean is further off than independent gaps would make it.
/// Calibrated, by the test below.
const IGNORANCE: f64 = 1.45;

/// How irregular the gaps are, near and far.
struct Work {
    capacity: f64,
    /// Squared coefficient of variation of one gap.
    cv2_near: f64,
    /// That of the work itself, which is what many gaps come to.
    cv2_far: f64,
}

impl Work {
    fn infer(cv2: f64, capacity: f64) -> Self {
        // A smoothed variance comes out low by a share of 1/31.
        let cv2 = cv2 / 0.96;
        let weight = 2.0 / (capacity + 1.0);
        // How far the inference can be trusted: 1 with one slot, 0.6 with ten.
        let trust = weight * weight / (weight * weight + 0.02);
        let inferred = (1.0 - (1.0 - cv2) / weight).clamp(0.02, 2.5);
        Self {
            capacity,
            cv2_near: trust * cv2.min(4.0) + (1.0 - trust),
            cv2_far: trust * inferred + (1.0 - trust),
        }
    }

    /// Variance of n gaps over n times the squared mean: `cv2_near` for few,
    /// `cv2_far` once every slot has turned over.
    fn dispersion(&self, n: f64) -> f64 {
        let rounds = n / self.capacity;
        let near = 1.0 / (1.0 + 2.3 * rounds * rounds);
        self.cv2_far + (self.cv2_near - self.cv2_far) * near
    }
}

/// The quantile of a gamma variable of mean 1, at the normal quantile `z`
/// (Wilson & Hilferty 1931: its cube root is nearly normal).
fn gamma_quantile(shape: f64, z: f64) -> f64 {
    let spread = 1.0 / (9.0 * shape);
    let root = (1.0 - spread + z * sqrt(spread)).max(0.0);
    root * root * root
}

fn hypotenuse(a: f64, b: f64) -> f64 {
    sqrt(a * a + b * b)
}

/// Newton's method from a guess that halves the exponent; `core` has no `sqrt`.
fn sqrt(x: f64) -> f64 {
    if x <= 0.0 || !x.is_finite() {
        return x.max(0.0);
    }
    let mut root = f64::from_bits((x.to_bits() >> 1) + (0x3FF << 51));
    for _ in 0..5 {
        root = 0.5 * (root + x / root);
    }
    root
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::slots::{Class, Config, Event, Outcome, Slots};
    use crate::time::StoreTime;
    use alloc::collections::{BTreeMap, BTreeSet};
    use std::println;

    const POSITIONS: [u64; 8] = [1, 2, 5, 10, 20, 50, 100, 180];
    const CAPACITIES: [u32; 5] = [1, 2, 3, 10, 20];

    /// SplitMix64 (Steele et al. 2014).
    struct Random(u64);

    impl Random {
        fn unit(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    type Law = fn(&mut Random) -> f64;

    fn exponential(random: &mut Random) -> f64 {
        -10_000.0 * (1.0 - random.unit()).ln()
    }

    fn uniform(random: &mut Random) -> f64 {
        5_000.0 + 10_000.0 * random.unit()
    }

    /// Four in five are short, one in five takes 20 to 40 s.
    fn mixed(random: &mut Random) -> f64 {
        if random.unit() < 0.8 {
            0.5 * exponential(random)
        } else {
            20_000.0 + 20_000.0 * random.unit()
        }
    }

    /// A gate whose queue is kept 180 long; at random moments the estimates for
    /// all positions are noted, and later compared with what came.
    /// (Estimates that held the truth, estimates made.)
    fn coverage(law: Law, capacity: u32, moments: u32, random: &mut Random) -> (u32, u32) {
        let mut slots = Slots::new(Config::limiter(capacity, None), 0).unwrap();
        let mut finish: BTreeSet<(u64, u64, u64)> = BTreeSet::new();
        let mut open: BTreeMap<u64, alloc::vec::Vec<(u64, Eta)>> = BTreeMap::new();
        let (mut hits, mut made, mut noted, mut turns, mut next) = (0, 0, 0, 0u32, 0u64);
        let mut join = |slots: &mut Slots<u64>, now: u64| {
            next += 1;
            let reply = slots.acquire(StoreTime(now), next, 1, Class::ZERO, true);
            (next, reply.outcome)
        };
        while slots.status().waiting < 180 {
            if let (id, Outcome::Granted { fence, .. }) = join(&mut slots, 0) {
                finish.insert((law(random) as u64, id, fence));
            }
        }
        // A moment is due after 40 mean gaps on average, at any point of a gap.
        let mean_gap = 10_000.0 / f64::from(capacity);
        let mut moment = 0.0;
        while noted < moments || !open.is_empty() {
            let (at, id, fence) = finish.pop_first().unwrap();
            while noted < moments && turns > 100 + 10 * capacity && moment < at as f64 {
                let status = slots.status();
                for position in POSITIONS {
                    let id = *slots.waiting().nth(position as usize - 1).unwrap().id;
                    let eta = estimate(position, &status.flow, capacity).unwrap();
                    open.entry(id).or_default().push((moment as u64, eta));
                }
                noted += 1;
                moment += 80.0 * mean_gap * random.unit();
            }
            if turns <= 100 + 10 * capacity {
                moment = at as f64;
            }
            turns += 1;
            slots.release(StoreTime(at), &id, fence);
            while let Some(event) = slots.poll_event() {
                let Event::Granted { id, fence, .. } = event else {
                    continue;
                };
                finish.insert((at + law(random) as u64, id, fence));
                for (since, eta) in open.remove(&id).unwrap_or_default() {
                    made += 1;
                    hits += u32::from((eta.low_ms..=eta.high_ms).contains(&(at - since)));
                }
            }
            join(&mut slots, at);
        }
        (hits, made)
    }

    /// R1.13: the stated 90 % interval holds the truth in 85–95 % of waits, for
    /// each kind of work, over all capacities and positions.
    #[test]
    fn the_interval_is_calibrated() {
        let mut random = Random(20_251_104);
        let laws: [(&str, Law); 3] = [
            ("exponential", exponential),
            ("uniform", uniform),
            ("mixed", mixed),
        ];
        for (name, law) in laws {
            let (mut hits, mut made) = (0, 0);
            for capacity in CAPACITIES {
                let (h, m) = coverage(law, capacity, 250, &mut random);
                let share = f64::from(h) / f64::from(m);
                println!("{name}, {capacity} slots: {:.1} % of {m}", 100.0 * share);
                assert!(
                    (0.85..=0.98).contains(&share),
                    "{name}, {capacity}: {share}"
                );
                hits += h;
                made += m;
            }
            let share = f64::from(hits) / f64::from(made);
            println!("{name}: {:.1} % of {made}", 100.0 * share);
            assert!(made >= 10_000);
            assert!((0.85..=0.95).contains(&share), "{name}: {share}");
        }
    }

    fn flow(mean: f64, var: f64, gaps: u32) -> Flow {
        Flow {
            gap_mean_ms: mean,
            gap_var_ms2: var,
            gaps,
        }
    }

    #[test]
    fn nothing_is_said_without_enough_gaps_or_with_nonsense() {
        assert_eq!(estimate(1, &flow(1e3, 1e6, GAPS_MIN - 1), 10), None);
        assert!(estimate(1, &flow(1e3, 1e6, GAPS_MIN), 10).is_some());
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(estimate(1, &flow(bad, 1.0, 99), 10), None);
            assert_eq!(estimate(1, &flow(1.0, bad, 99), 10), None);
        }
    }

    #[test]
    fn extremes_stay_in_order() {
        for position in [0, 1, 7, 1_000_000, u64::MAX] {
            for mean in [0.0, 1e-9, 1.0, 1e12, 1e300] {
                for var in [0.0, 1e-9, 1e6, 1e300] {
                    for capacity in [0, 1, 20, u32::MAX] {
                        let eta = estimate(position, &flow(mean, var, 99), capacity).unwrap();
                        assert!(
                            eta.low_ms <= eta.mid_ms && eta.mid_ms <= eta.high_ms,
                            "{eta:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn regular_work_in_one_slot_is_known_closely() {
        let regular = estimate(10, &flow(1_000.0, 100.0, 99), 1).unwrap();
        let random = estimate(10, &flow(1_000.0, 1e6, 99), 1).unwrap();
        assert!(regular.high_ms - regular.low_ms < 3_000, "{regular:?}");
        assert!(random.high_ms - random.low_ms > 8_000, "{random:?}");
    }

    #[test]
    fn square_roots_are_exact_enough() {
        for x in [1e-300, 1e-9, 0.25, 1.0, 2.0, 81.0, 1e18, 1e300] {
            assert!((sqrt(x) / x.sqrt() - 1.0).abs() < 1e-12, "{x}");
        }
        assert_eq!((sqrt(0.0), sqrt(-1.0)), (0.0, 0.0));
    }

    /// The quantiles of the gamma distribution, from tables (mean 1).
    #[test]
    fn gamma_quantiles_match_the_tables() {
        for (shape, low, high) in [
            (1.0, 0.0513, 2.996),
            (10.0, 0.5425, 1.571),
            (100.0, 0.8414, 1.1700),
        ] {
            assert!((gamma_quantile(shape, -Z) - low).abs() < 0.03, "{shape}");
            assert!((gamma_quantile(shape, Z) - high).abs() < 0.03, "{shape}");
        }
    }
}
