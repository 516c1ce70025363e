//! The kill matrix: what each mutant costs to find, by strategy.
//!
//! A *trial* runs seeds of its own, one after the other, until the property that
//! the mutant names has broken. Trials are apart from each other, so their costs
//! are a sample; replay does not count as finding. A trial that spends its budget
//! without the kill is a survivor, and says which other properties broke: a
//! mutant that is only ever caught by another property than its own has shown
//! that its own is blind. A mutant is dead if one strategy at least kills it in
//! every trial.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde::Serialize;
use sluice_sim::redis::Engine;

use super::{Mutant, pool as runs};
use crate::pool;
use crate::run::{Run, Until};
use crate::shrink::{self, Size};
use crate::strategy::Strategy;
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

/// A row of the matrix: a mutant under all strategies.
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
    /// What each strategy needed.
    pub cells: Vec<Cell>,
    /// The counterexample of the first kill, shrunken.
    pub least: Option<Size>,
}

/// What a strategy needed for a mutant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// The strategy.
    pub strategy: String,
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
    /// Whether some strategy has killed it in every trial.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.cells.iter().any(Cell::is_sure)
    }

    /// The cell with the least median of seconds, among those that are sure.
    #[must_use]
    pub fn best(&self) -> Option<&Cell> {
        let sure = self.cells.iter().filter(|cell| cell.is_sure());
        sure.min_by(|a, b| a.seconds.0.total_cmp(&b.seconds.0))
    }
}

impl Cell {
    /// Whether every trial has killed it.
    #[must_use]
    pub const fn is_sure(&self) -> bool {
        self.killed.0 == self.killed.1
    }

    /// # Panics
    /// If there are no trials.
    fn of(strategy: Strategy, trials: &[Trial]) -> Self {
        let killed = trials.iter().filter(|t| t.seed.is_some()).count();
        let mut executions: Vec<u64> = trials.iter().map(|t| t.executions).collect();
        executions.sort_unstable();
        let mut seconds: Vec<f64> = trials.iter().map(|t| t.seconds).collect();
        seconds.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| ((trials.len() as f64 * share).ceil() as usize).max(1) - 1;
        let (median, most) = (at(0.5), at(0.95));
        let survivors = trials.iter().filter(|t| t.seed.is_none());
        Self {
            strategy: strategy.to_string(),
            killed: (killed as u64, trials.len() as u64),
            executions: (executions[median], executions[most]),
            seconds: (seconds[median], seconds[most]),
            seed: trials.iter().find_map(|t| t.seed),
            others: survivors.flat_map(|t| t.others.iter().copied()).collect(),
        }
    }
}

/// Hunts a mutant with these strategies, on so many threads. The executions do
/// not depend on how many there are; the seconds do, a little. `shrinks`: also
/// look for the least counterexample, which costs more than the hunt.
#[must_use]
pub fn hunt(
    mutant: &Mutant,
    strategies: &[Strategy],
    effort: Effort,
    threads: usize,
    shrinks: bool,
) -> Row {
    let hunted = strategies.iter().map(|strategy| {
        let trials = pool::each(0..effort.trials, threads, |engine, n| {
            trial(mutant, *strategy, n, effort.budget, engine)
        });
        Cell::of(*strategy, &trials)
    });
    let cells: Vec<Cell> = hunted.collect();
    let mut kills = strategies.iter().zip(&cells);
    let first = kills.find_map(|(strategy, cell)| Some((*strategy, cell.seed?)));
    let least = first.filter(|_| shrinks).and_then(|(strategy, seed)| {
        let engine = Engine::new();
        let run = run(&mutant.subject, strategy, seed, &engine);
        let decisions = Run {
            until: Until::Breaks(mutant.killed_by()),
            ..run
        }
        .trace(&engine)
        .file
        .decisions;
        let property = mutant.killed_by();
        shrink::to(property, &mutant.subject, &runs(), &decisions, &engine)
    });
    Row {
        class: mutant.class,
        mutant: mutant.name(),
        about: mutant.subject.about,
        property: mutant.killed_by(),
        hard: mutant.hard,
        cells,
        least: least.map(|shrunken| shrunken.shrunken),
    }
}

/// Hunts a gate that should hold with the whole effort: what broke, by seed.
#[must_use]
pub fn acquit(
    subject: &Subject,
    strategy: Strategy,
    effort: Effort,
    threads: usize,
) -> Vec<(u64, String)> {
    let found = pool::each(0..effort.trials * effort.budget, threads, |engine, n| {
        let seed = n / effort.budget * SEEDS_PER_TRIAL + n % effort.budget;
        let outcome = run(subject, strategy, seed, engine).go(engine);
        let broken = outcome.violations().next();
        broken.map(|f| (seed, format!("{} {:?}", f.code, f.verdict)))
    });
    found.into_iter().flatten().collect()
}

fn run(subject: &Subject, strategy: Strategy, seed: u64, engine: &Engine) -> Run {
    let strategy = strategy.fitted(subject, &runs(), engine);
    Run::new(*subject, runs(), seed).by(strategy)
}

#[expect(
    clippy::disallowed_methods,
    reason = "measures the search, outside of any run"
)]
fn trial(mutant: &Mutant, strategy: Strategy, n: u64, budget: u64, engine: &Engine) -> Trial {
    let start = Instant::now();
    let property = mutant.killed_by();
    let mut others = BTreeSet::new();
    let first = run(&mutant.subject, strategy, n * SEEDS_PER_TRIAL, engine);
    let seeds = (0..budget).map(|i| n * SEEDS_PER_TRIAL + i);
    for (seed, executions) in seeds.zip(1..) {
        let run = Run {
            seed,
            until: Until::Breaks(property),
            ..first.clone()
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(executions: u64, kills: bool) -> Trial {
        Trial {
            executions,
            seconds: executions as f64 / 10.0,
            seed: kills.then_some(executions),
            others: ["R1.4"].into(),
        }
    }

    #[test]
    fn a_survivor_is_counted_and_says_what_else_broke() {
        let mut trials: Vec<Trial> = (1..=20).map(|n| trial(n, true)).collect();
        let cell = Cell::of(Strategy::Random, &trials);
        assert_eq!(cell.executions, (10, 19));
        assert_eq!(cell.seconds, (1.0, 1.9));
        assert!(cell.is_sure() && cell.others.is_empty());
        trials[7] = trial(8, false);
        let cell = Cell::of(Strategy::Random, &trials);
        assert_eq!(cell.killed, (19, 20));
        assert!(!cell.is_sure() && cell.others.contains("R1.4"));
    }
}
