//! The first seed that breaks a property (R6.5).

use std::ops::Range;

use sluice_sim::redis::Engine;

use crate::guided::Guided;
use crate::pool;
use crate::run::{Outcome, Run, Trace, Until};
use crate::scenario::Scenario;
use crate::strategy::{Strategy, Tactic};
use crate::subject::Subject;

/// Runs of one guided search. The same on every machine, and small enough that
/// several searches share the work.
pub const BLOCK: u64 = 500;

/// What to look for, and how.
#[derive(Clone, Debug)]
pub struct Search<'a> {
    /// The gate.
    pub subject: &'a Subject,
    /// The workload.
    pub scenario: &'a Scenario,
    /// Who makes decisions; fitted to the workload by the search.
    pub strategy: Tactic,
    /// Which seeds; a guided search makes as many runs as there are, in blocks
    /// of [`BLOCK`], each a search of its own by the first seed of the block.
    pub seeds: Range<u64>,
    /// Break the property with this code; `None` for any.
    pub code: Option<&'a str>,
    /// On how many threads; no influence on what is found.
    pub threads: usize,
}

/// A run that broke something.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its seed; if it was guided, that of its search.
    pub seed: u64,
    /// Runs of the search until then, this one included.
    pub tried: u64,
    /// The run, up to the step at which it broke.
    pub trace: Trace,
}

impl Search<'_> {
    /// The first seed that breaks it; `each` sees the outcome of every run, in
    /// any order and on any thread.
    #[must_use]
    pub fn go(&self, each: impl Fn(u64, &Outcome) + Sync) -> Option<Found> {
        match self.strategy {
            Tactic::BySeed(strategy) => self.by_seed(strategy, each),
            Tactic::Guided => self.guided(each),
        }
    }

    fn by_seed(&self, strategy: Strategy, each: impl Fn(u64, &Outcome) + Sync) -> Option<Found> {
        let engine = Engine::new();
        let strategy = strategy.fitted(self.subject, self.scenario, &engine);
        let run = |seed| {
            let run = Run::new(*self.subject, self.scenario.clone(), seed).by(strategy);
            match self.code {
                Some(_) => run,
                None => run.until_violation(),
            }
        };
        let (seed, ()) = pool::first(self.seeds.clone(), self.threads, |engine, seed| {
            let outcome = run(seed).go(engine);
            each(seed, &outcome);
            self.broken(&outcome).then_some(())
        })?;
        Some(Found {
            seed,
            tried: seed - self.seeds.start + 1,
            trace: run(seed).trace(&engine),
        })
    }

    fn guided(&self, each: impl Fn(u64, &Outcome) + Sync) -> Option<Found> {
        let Range { start, end } = self.seeds;
        let blocks = 0..end.saturating_sub(start).div_ceil(BLOCK);
        let until = match self.code {
            Some(_) => Until::End,
            None => Until::Violation,
        };
        let (_, found) = pool::first(blocks, self.threads, |engine, block| {
            let seed = start + block * BLOCK;
            let run = Run {
                until,
                ..Run::new(*self.subject, self.scenario.clone(), seed)
            };
            let mut search = Guided::new(run, engine);
            (seed..end.min(seed + BLOCK)).find_map(|at| {
                let outcome = search.step();
                each(at, &outcome);
                self.broken(&outcome).then(|| Found {
                    seed,
                    tried: at - start + 1,
                    trace: search.trace(),
                })
            })
        })?;
        Some(found)
    }

    fn broken(&self, outcome: &Outcome) -> bool {
        match self.code {
            Some(code) => outcome.breaks(code),
            None => !outcome.is_clean(),
        }
    }
}

/// The first seed of a range that breaks a property, at random: any, or the one
/// with this code.
pub fn first(
    subject: &Subject,
    scenario: &Scenario,
    seeds: Range<u64>,
    code: Option<&str>,
) -> Option<Found> {
    let search = Search {
        subject,
        scenario,
        strategy: Tactic::default(),
        seeds,
        code,
        threads: pool::threads(),
    };
    search.go(|_, _| {})
}
