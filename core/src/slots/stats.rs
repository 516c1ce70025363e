//! What a gate counts (R1.12), and the pace of its queue.

use super::Flow;

/// Buckets of the wait histogram: bucket 0 holds waits of 0 ms, bucket k those
/// of 2ᵏ⁻¹ up to 2ᵏ ms, the last one everything longer.
pub const HISTOGRAM_BUCKETS: usize = 32;

/// Counters since the gate's birth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stats {
    /// Slots claimed (the field's `total_processed`).
    pub processed: u64,
    /// Joins refused, full or busy (the field's `total_rejected`).
    pub rejected: u64,
    /// Sum of the waits of all claims, in milliseconds (`total_wait_time`).
    pub total_wait_ms: u64,
    /// Slots taken back because a lease or idle time ran out.
    pub reclaimed: u64,
    /// Offers not claimed in time.
    pub lapsed: u64,
    /// Waiters whose place ended because they were silent.
    pub abandoned: u64,
    /// Waiters that waited too long.
    pub timed_out: u64,
    /// Live places cancelled.
    pub cancelled: u64,
    /// Slots given back.
    pub released: u64,
    /// Most places held at the end of an operation.
    pub held_max: u64,
    /// Most places in line, present or absent, at the end of an operation.
    pub in_line_max: u64,
    /// Claims by how long they waited; see [`HISTOGRAM_BUCKETS`].
    pub wait_histogram: [u64; HISTOGRAM_BUCKETS],
}

impl Stats {
    /// Mean wait of all claims in milliseconds, 0 without any
    /// (`average_wait_time`).
    #[must_use]
    pub fn average_wait_ms(&self) -> f64 {
        if self.processed == 0 {
            0.0
        } else {
            self.total_wait_ms as f64 / self.processed as f64
        }
    }

    #[inline]
    pub(super) fn claimed(&mut self, wait_ms: u64) {
        self.processed += 1;
        self.total_wait_ms = self.total_wait_ms.saturating_add(wait_ms);
        let bucket = (u64::BITS - wait_ms.leading_zeros()) as usize;
        self.wait_histogram[bucket.min(HISTOGRAM_BUCKETS - 1)] += 1;
    }
}

impl Flow {
    /// Takes one more gap between promotions into the smoothed mean and
    /// variance (West 1979): plain averages up to 16 gaps, weight 1/16 from then on.
    pub(super) fn record(&mut self, gap_ms: u64) {
        self.gaps = self.gaps.saturating_add(1);
        let alpha = 1.0 / f64::from(self.gaps.min(16));
        let d = gap_ms as f64 - self.gap_mean_ms;
        self.gap_mean_ms += alpha * d;
        self.gap_var_ms2 = (1.0 - alpha) * (self.gap_var_ms2 + alpha * (d * d));
    }

    /// The pace after the capacity changed, if work goes on as before.
    pub(super) fn rescale(&mut self, from: u32, to: u32) {
        let ratio = f64::from(from) / f64::from(to);
        self.gap_mean_ms *= ratio;
        self.gap_var_ms2 *= ratio * ratio;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_fall_into_their_buckets() {
        let mut stats = Stats::default();
        for wait in [0, 1, 2, 3, 4, u64::MAX] {
            stats.claimed(wait);
        }
        assert_eq!(stats.wait_histogram[..4], [1, 1, 2, 1]);
        assert_eq!(stats.wait_histogram[HISTOGRAM_BUCKETS - 1], 1);
        assert_eq!((stats.processed, stats.total_wait_ms), (6, u64::MAX));
        assert_eq!(Stats::default().average_wait_ms(), 0.0);
    }

    #[test]
    fn sixteen_gaps_average_plainly_then_old_ones_fade() {
        let mut flow = Flow::default();
        for gap in [10, 20, 30, 40] {
            flow.record(gap);
        }
        assert!((flow.gap_mean_ms - 25.0).abs() < 1e-9);
        assert!((flow.gap_var_ms2 - 125.0).abs() < 1e-9);
        for _ in 0..500 {
            flow.record(1_000);
        }
        assert!((flow.gap_mean_ms - 1_000.0).abs() < 1e-6);
        assert!(flow.gap_var_ms2 < 1e-3);
        flow.rescale(10, 20);
        assert!((flow.gap_mean_ms - 500.0).abs() < 1e-6);
    }
}
