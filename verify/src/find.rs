//! The first seed that breaks a property (R6.5).

use std::ops::Range;

use sluice_sim::redis::Engine;

use crate::run::{Run, Trace};
use crate::scenario::Scenario;
use crate::subject::Subject;

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

/// The first seed of a range that breaks a property: any, or the one with
/// this code. Seeds are tried in order on one thread, so that "first" means
/// the same everywhere; `each` is called before every one.
pub fn first(
    subject: &Subject,
    scenario: &Scenario,
    seeds: Range<u64>,
    code: Option<&str>,
    mut each: impl FnMut(u64),
) -> Option<Found> {
    let engine = Engine::new();
    for seed in seeds.clone() {
        each(seed);
        let mut run = Run::new(*subject, scenario.clone(), seed);
        if code.is_none() {
            run = run.until_violation();
        }
        let outcome = run.go(&engine);
        let broken = match code {
            Some(code) => outcome.breaks(code),
            None => !outcome.is_clean(),
        };
        if broken {
            return Some(Found {
                seed,
                tried: seed - seeds.start + 1,
                trace: run.trace(&engine),
            });
        }
    }
    None
}
