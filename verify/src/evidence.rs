//! A past report, judged by its own figures.
//!
//! A report's words ("PASS", "confirmed", "distributed") weigh nothing here:
//! each verdict is computed from the figures beside them, so that a figure that
//! is altered flips its verdict, and a claim without a figure is *not
//! verified*. Figures that cannot all be true, or that come from another scenario
//! than PER-002's, are *inconclusive*: they pass nothing.
//!
//! What the report of the field does not have can be given too, each optional:
//! `processes`; `concurrency_10_evidence` as `{"max_in_flight", "processes"}`;
//! a scenario's `active_max`; `idle_reclaim` as `{"sessions", "after_s": [first,
//! last]}`; and `fifo` as `{"promoted", "inversions"}`. Rejected: trusting a scenario's own verdict when it is FAIL; even
//! that is computed.

use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use crate::report::Report;

mod claims;
mod doubt;
mod judge;

/// Larger files are not read: the longest report known has 3 kB.
const SIZE_MAX: u64 = 1 << 20;
const SCENARIOS_MAX: usize = 1_000;
/// The layout that is understood; a file may name it as `version`.
const VERSION: u32 = 1;

/// Why a report cannot be judged. All of these are the file's fault.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read {file}: {source}; check the path")]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is too large.
    #[error("{file} has more than {SIZE_MAX} bytes: not a report in this layout")]
    Huge {
        /// The file.
        file: String,
    },
    /// It is not JSON of the right layout.
    #[error("{file}: {source}; it should look like verify/data/per-002-report.json")]
    Layout {
        /// The file.
        file: String,
        /// What and where.
        source: serde_json::Error,
    },
    /// It is JSON of another version.
    #[error("{file} has version {found}; this program reads version {VERSION}")]
    Version {
        /// The file.
        file: String,
        /// Its version.
        found: u32,
    },
    /// A figure is impossible.
    #[error("{file}: {what}; correct the figure")]
    Figure {
        /// The file.
        file: String,
        /// Which, and why.
        what: String,
    },
}

/// The file: other sections than the report's are passed over.
#[derive(Debug, Deserialize)]
struct File {
    #[serde(default = "version")]
    version: u32,
    per_002_report: Past,
}

fn version() -> u32 {
    VERSION
}

/// The report's figures.
#[derive(Debug, Deserialize)]
struct Past {
    date: String,
    redis: String,
    max_active_sessions: u64,
    max_concurrent_queries: u64,
    session_timeout_s: u64,
    response_limit_ms: f64,
    redis_bytes_per_session: Option<u64>,
    /// Processes the gate was spread over, if the report says.
    processes: Option<u64>,
    scenarios: Vec<Figures>,
    concurrency_10_evidence: Concurrency,
    #[serde(default)]
    naive_overshoot: Vec<Overshoot>,
    /// Sessions that were left idle, and when they were reclaimed.
    idle_reclaim: Option<IdleReclaim>,
    /// The order of promotions, if it was looked at.
    fifo: Option<Fifo>,
}

#[derive(Debug, Deserialize)]
struct IdleReclaim {
    /// Sessions that were left idle until they were reclaimed.
    sessions: u64,
    /// The first and the last to be reclaimed, in seconds after its last use.
    after_s: [f64; 2],
}

#[derive(Debug, Deserialize)]
struct Fifo {
    /// Users that were promoted from the queue, over all scenarios.
    promoted: u64,
    /// How many of them were promoted before somebody ahead of them.
    inversions: u64,
}

/// One scenario. Either a snapshot (`active`, `queued`) or a run to the end
/// (`active_final`, `queued_final`).
#[derive(Debug, Deserialize)]
struct Figures {
    name: String,
    users: u64,
    requests: u64,
    duration_s: Option<u64>,
    /// Shortest and longest session.
    session_s: Option<[f64; 2]>,
    success_pct: f64,
    active: Option<u64>,
    queued: Option<u64>,
    active_final: Option<u64>,
    queued_final: Option<u64>,
    active_max: Option<u64>,
    mean_ms: Option<f64>,
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
    max_ms: Option<f64>,
    reported: String,
}

/// What is said of the ten concurrent queries: words, or a measurement.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Concurrency {
    Words(String),
    Measured { max_in_flight: u64, processes: u64 },
}

#[derive(Debug, Deserialize)]
struct Overshoot {
    users: u64,
    active: u64,
}

/// Reads a past report and judges it.
///
/// # Errors
/// [`Error`], if the file is not a report that can be judged.
pub fn audit(file: &Path) -> Result<Report, Error> {
    let name = file.display().to_string();
    let read = |source| Error::Read {
        file: name.clone(),
        source,
    };
    let mut text = Vec::new();
    std::fs::File::open(file)
        .map_err(read)?
        .take(SIZE_MAX + 1)
        .read_to_end(&mut text)
        .map_err(read)?;
    if text.len() as u64 > SIZE_MAX {
        return Err(Error::Huge { file: name });
    }
    audit_text(&name, &text)
}

/// As [`audit`], on the file's content; `name` is for messages.
///
/// # Errors
/// [`Error`], if the text is not a report that can be judged.
pub fn audit_text(name: &str, text: &[u8]) -> Result<Report, Error> {
    let layout = |source| Error::Layout {
        file: name.to_owned(),
        source,
    };
    // The version first: another version may have another layout.
    #[derive(Deserialize)]
    struct Head {
        #[serde(default = "version")]
        version: u32,
    }
    let head: Head = serde_json::from_slice(text).map_err(layout)?;
    if head.version != VERSION {
        return Err(Error::Version {
            file: name.to_owned(),
            found: head.version,
        });
    }
    let file: File = serde_json::from_slice(text).map_err(layout)?;
    debug_assert_eq!(file.version, VERSION);
    possible(&file.per_002_report).map_err(|what| Error::Figure {
        file: name.to_owned(),
        what,
    })?;
    Ok(judge::judge(name, &file.per_002_report))
}

/// Refuses figures that no run can have had.
fn possible(past: &Past) -> Result<(), String> {
    if past.max_active_sessions == 0 || past.max_concurrent_queries == 0 {
        return Err("a limit of 0 admits nobody".to_owned());
    }
    if past.scenarios.len() > SCENARIOS_MAX {
        return Err(format!("more than {SCENARIOS_MAX} scenarios"));
    }
    for text in [&past.date, &past.redis] {
        if text.len() > 40 || text.chars().any(char::is_control) {
            return Err("date or redis is too long, or has control characters".to_owned());
        }
    }
    for scenario in &past.scenarios {
        let name: String = scenario.name.chars().take(40).collect();
        for text in [&scenario.name, &scenario.reported] {
            if text.is_empty() || text.len() > 40 || text.chars().any(char::is_control) {
                return Err(format!(
                    "scenario {}: name and reported need 1 to 40 bytes without control characters",
                    name.escape_debug()
                ));
            }
        }
        if !(0.0..=100.0).contains(&scenario.success_pct) {
            return Err(format!(
                "scenario {name}: success_pct is not between 0 and 100"
            ));
        }
        let rising = [
            scenario.p50_ms,
            scenario.p95_ms,
            scenario.p99_ms,
            scenario.max_ms,
        ];
        let rising: Vec<f64> = rising.into_iter().flatten().collect();
        if !rising.is_sorted() {
            return Err(format!("scenario {name}: its percentiles do not rise"));
        }
        if rising.iter().chain(&scenario.mean_ms).any(|ms| *ms < 0.0) {
            return Err(format!("scenario {name}: a time is negative"));
        }
        let snapshot = scenario.active.is_some() && scenario.queued.is_some();
        let run = scenario.active_final.is_some() && scenario.queued_final.is_some();
        if snapshot == run {
            return Err(format!(
                "scenario {name}: it needs active and queued, or active_final and queued_final"
            ));
        }
    }
    Ok(())
}
