//! The first seed that breaks a property (R6.5).

use std::ops::Range;

use sluice_sim::redis::Engine;

use crate::pool;
use crate::run::{Outcome, Run, Trace};
use crate::scenario::Scenario;
use crate::strategy::Strategy;
use crate::subject::Subject;

/// What to look for, and how.
#[derive(Clone, Debug)]
pub struct Search<'a> {
    /// The gate.
    pub subject: &'a Subject,
    /// The workload.
    pub scenario: &'a Scenario,
    /// Who makes decisions out of a seed; fitted to the workload by the search.
    pub strategy: Strategy,
    /// Which seeds.
    pub seeds: Range<u64>,
    /// Break the property with this code; `None` for any.
    pub code: Option<&'a str>,
    /// On how many threads; no influence on what is found.
    pub threads: usize,
}

/// A run that broke something.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its seed.
    pub seed: u64,
    /// Seeds tried, this one included.
    pub tried: u64,
    /// The run, up to the step at which it broke.
    pub trace: Trace,
}

impl Search<'_> {
    /// The first seed that breaks it; `each` sees the outcome of every run, in
    /// any order and on any thread.
    #[must_use]
    pub fn go(&self, each: impl Fn(u64, &Outcome) + Sync) -> Option<Found> {
        let engine = Engine::new();
        let strategy = self.strategy.fitted(self.subject, self.scenario, &engine);
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
            let broken = match self.code {
                Some(code) => outcome.breaks(code),
                None => !outcome.is_clean(),
            };
            broken.then_some(())
        })?;
        Some(Found {
            seed,
            tried: seed - self.seeds.start + 1,
            trace: run(seed).trace(&engine),
        })
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
        strategy: Strategy::Random,
        seeds,
        code,
        threads: pool::threads(),
    };
    search.go(|_, _| {})
}
