//! [`LimiterStatus`]: the figures of a limiter under the names the field uses.

use sluice_core::slots::{HISTOGRAM_BUCKETS, Status};

/// Figures of a [`Limiter`](super::Limiter) since its birth (R1.12). Times are
/// in seconds, measured in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LimiterStatus {
    /// The capacity in force.
    pub max_concurrent: u32,
    /// Slots held; above `max_concurrent` only after shrinking.
    pub current_active: u64,
    /// Callers in line.
    pub waiting_requests: u64,
    /// Slots granted.
    pub total_processed: u64,
    /// Callers turned away: at the door (`rejected`), or after waiting too
    /// long (`timeouts`).
    pub total_rejected: u64,
    /// Sum of the waits of all grants, in seconds.
    pub total_wait_time: f64,
    /// Mean wait of all grants, in seconds; 0 without any.
    pub average_wait_time: f64,
    /// Turned away at the door: queue full, or busy for `try_acquire`.
    pub rejected: u64,
    /// Waited too long, by the limiter's timeout or by their own.
    pub timeouts: u64,
    /// Futures dropped in line or between grant and delivery, and callers in
    /// line when the limiter was closed.
    pub cancelled: u64,
    /// Permits given back.
    pub released: u64,
    /// Most slots held at a time.
    pub peak_active: u64,
    /// Most callers in line at a time.
    pub peak_waiting: u64,
    /// Grants by how long they waited: bucket 0 counts waits of 0 ms, bucket k
    /// those of 2ᵏ⁻¹ up to 2ᵏ ms.
    pub wait_histogram: [u64; HISTOGRAM_BUCKETS],
}

impl LimiterStatus {
    pub(super) fn new(status: &Status, out_of_time: u64) -> Self {
        let stats = &status.stats;
        let timeouts = stats.timed_out + out_of_time;
        Self {
            max_concurrent: status.config.capacity,
            current_active: status.held,
            waiting_requests: status.waiting + status.absent,
            total_processed: stats.processed,
            total_rejected: stats.rejected + timeouts,
            total_wait_time: stats.total_wait_ms as f64 / 1_000.0,
            average_wait_time: stats.average_wait_ms() / 1_000.0,
            rejected: stats.rejected,
            timeouts,
            cancelled: stats.cancelled - out_of_time,
            released: stats.released,
            peak_active: stats.held_max,
            peak_waiting: stats.in_line_max,
            wait_histogram: stats.wait_histogram,
        }
    }
}
