//! One run: a subject in a scenario, from a seed or from recorded decisions.

use serde::Serialize;

use crate::property::Finding;
use crate::scenario::Scenario;
use crate::subject::Subject;

/// What to run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The gate under test.
    pub subject: Subject,
    /// The workload.
    pub scenario: Scenario,
    /// Where decisions come from.
    pub seed: u64,
}

/// Latencies of requests to the gate, in microseconds of simulated time: a
/// model's output, never a measurement of a real system.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// Samples.
    pub count: u64,
    /// Mean.
    pub mean_us: f64,
    /// Median.
    pub p50_us: u64,
    /// 95th percentile.
    pub p95_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// Largest.
    pub max_us: u64,
}

/// What a run showed.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// One per property, in the order of their codes.
    pub findings: Vec<Finding>,
    /// Steps taken.
    pub steps: u64,
    /// Each kind of fault that fired, with how often.
    pub faults: Vec<(&'static str, u64)>,
    /// Digest of the whole trace: equal runs have equal digests.
    pub digest: u64,
    /// Simulated time at the end, in milliseconds.
    pub elapsed_ms: u64,
    /// Sessions active and queued when the burst was measured.
    pub measured: Option<(u64, u64)>,
    /// Sessions active and queued at the end.
    pub end: (u64, u64),
    /// Most sessions ever held at once, by the store.
    pub sessions_max: u64,
    /// Most queries ever at work at once, by those who work.
    pub queries_max: u64,
    /// Asks by users, and how many of them ended as they should.
    pub requests: (u64, u64),
    /// Latency of requests, in timed scenarios.
    pub latency: Option<Latency>,
}
