//! The kill matrix: what each mutant costs to find, by strategy.
//!
//! A *trial* runs seeds of its own, one after the other, until the property that
//! the mutant names has broken. Trials are apart from each other, so their costs
//! are a sample; replay does not count as finding. A trial that spends its budget
//! without the kill is a survivor, and says which other properties broke.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use sluice_sim::redis::Engine;

use super::{Mutant, pool};
use crate::run::{Run, Until};
use crate::subject::Subject;

/// Trials have seeds so far apart that they never share one.
const SEEDS_PER_TRIAL: u64 = 1 << 32;

/// How hard to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Trials of each mutant.
    pub trials: u64,
    /// Most executions of a trial.
    pub budget: u64,
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// Executions, the killing one included; all of the budget if none was.
    pub executions: u64,
    /// Time spent, in seconds, on one core.
    pub seconds: f64,
    /// The seed that killed.
    pub seed: Option<u64>,
    /// Properties that broke on the way, the named one left out.
    pub others: BTreeSet<&'static str>,
}

/// A row of the matrix: a mutant under one strategy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The class.
    pub class: &'static str,
    /// The mutant.
    pub mutant: &'static str,
    /// What is wrong about it.
    pub about: &'static str,
    /// The property that must kill it.
    pub property: &'static str,
    /// It behaves in the five scenarios of PER-002.
    pub hard: bool,
    /// The strategy.
    pub strategy: &'static str,
    /// Trials that killed it, of all.
    pub killed: (u64, u64),
    /// Executions to the kill: median and 95th percentile.
    pub executions: (u64, u64),
    /// Seconds to the kill: median and 95th percentile.
    pub seconds: (f64, f64),
    /// A seed that kills it.
    pub seed: Option<u64>,
    /// Properties that broke in trials that did not kill it.
    pub others: BTreeSet<&'static str>,
}

impl Row {
    /// Whether every trial has killed it.
    #[must_use]
    pub const fn is_dead(&self) -> bool {
        self.killed.0 == self.killed.1
    }
}

/// Hunts a mutant with one strategy, on all cores. The executions do not depend
/// on how many there are; the seconds do, a little.
#[must_use]
pub fn hunt(mutant: &Mutant, effort: Effort) -> Row {
    let trials = in_parallel(effort.trials, |engine, n| {
        trial(
            &mutant.subject,
            mutant.killed_by(),
            n,
            effort.budget,
            engine,
        )
    });
    let killed = trials.iter().filter(|t| t.seed.is_some()).count() as u64;
    let mut executions: Vec<u64> = trials.iter().map(|t| t.executions).collect();
    executions.sort_unstable();
    let mut seconds: Vec<f64> = trials.iter().map(|t| t.seconds).collect();
    seconds.sort_unstable_by(f64::total_cmp);
    let at = |of: usize, share: f64| ((of as f64 * share).ceil() as usize).clamp(1, of) - 1;
    let (median, most) = (at(trials.len(), 0.5), at(trials.len(), 0.95));
    let survivors = trials.iter().filter(|t| t.seed.is_none());
    Row {
        class: mutant.class,
        mutant: mutant.name(),
        about: mutant.subject.about,
        property: mutant.killed_by(),
        hard: mutant.hard,
        strategy: "random",
        killed: (killed, effort.trials),
        executions: (executions[median], executions[most]),
        seconds: (seconds[median], seconds[most]),
        seed: trials.iter().find_map(|t| t.seed),
        others: survivors.flat_map(|t| t.others.iter().copied()).collect(),
    }
}

/// Hunts a gate that should hold with the whole effort: what broke, by seed.
#[must_use]
pub fn acquit(subject: &Subject, effort: Effort) -> Vec<(u64, String)> {
    let found = in_parallel(effort.trials * effort.budget, |engine, n| {
        let seed = n / effort.budget * SEEDS_PER_TRIAL + n % effort.budget;
        let outcome = Run::new(*subject, pool(), seed).go(engine);
        let broken = outcome.violations().next();
        broken.map(|f| (seed, format!("{} {:?}", f.code, f.verdict)))
    });
    found.into_iter().flatten().collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "measures the search, outside of any run"
)]
fn trial(subject: &Subject, property: &'static str, n: u64, budget: u64, engine: &Engine) -> Trial {
    let start = Instant::now();
    let mut others = BTreeSet::new();
    let seeds = (0..budget).map(|i| n * SEEDS_PER_TRIAL + i);
    for (seed, executions) in seeds.zip(1..) {
        let mut run = Run::new(*subject, pool(), seed);
        run.until = Until::Breaks(property);
        let outcome = run.go(engine);
        if outcome.breaks(property) {
            return Trial {
                executions,
                seconds: seconds(start.elapsed()),
                seed: Some(seed),
                others,
            };
        }
        others.extend(outcome.violations().map(|f| f.code.0));
    }
    Trial {
        executions: budget,
        seconds: seconds(start.elapsed()),
        seed: None,
        others,
    }
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}

/// Calls `work` with every number below `count`, and returns the results in
/// their order.
fn in_parallel<T: Send>(count: u64, work: impl Fn(&Engine, u64) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let engine = Engine::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed) as u64;
                    if n >= count {
                        return;
                    }
                    let result = work(&engine, n);
                    done.lock().expect("no run panics").push((n, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no run panics");
    done.sort_by_key(|(n, _)| *n);
    done.into_iter().map(|(_, result)| result).collect()
}
