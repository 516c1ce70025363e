//! A search that learns from its runs where to look.
//!
//! Strategies that make each run out of a seed of its own forget what they have
//! seen. This one keeps the runs that met something new (`coverage.rs`), and goes
//! on from them: the same up to the moment of something rare, and from there by
//! chance; the same workload and faults once more, in another order; or the same
//! seeds, with a number of the setup drawn anew. So what takes two rare things is
//! found in the sum of their times, where chance takes the product.
//!
//! A search is one sequence of runs out of one seed, each depends on those before
//! it, and so it is not spread over threads; several searches are. What it finds
//! is a run like any other: its decisions can be recorded, repeated and shrunken.

mod corpus;
mod coverage;

use std::cell::Cell;

use sluice_sim::choice::{Kind, Label};
use sluice_sim::redis::Engine;
use sluice_sim::strategy::{Base, Genes, Random, Spliced};

use crate::run::{Outcome, Run, Trace};
use corpus::Corpus;
use coverage::Coverage;

/// One run in so many is a new beginning.
const FRESH_ONE_IN: u64 = 3;
/// Numbers of the setup that are drawn anew at a time.
const REDRAWN_MAX: u64 = 3;

/// One search: runs of this kind, by its seed.
#[expect(missing_debug_implementations, reason = "an interpreter has none")]
pub struct Guided<'a> {
    run: Run,
    engine: &'a Engine,
    random: Random,
    corpus: Corpus,
    /// Runs that began anew.
    fresh: u64,
    last: Genes,
}

impl<'a> Guided<'a> {
    /// A search by the seed of this run.
    #[must_use]
    pub fn new(run: Run, engine: &'a Engine) -> Self {
        Self {
            engine,
            random: Random::new(!run.seed),
            corpus: Corpus::default(),
            fresh: 0,
            last: Genes::new(Base::Random, run.seed),
            run,
        }
    }

    /// Makes the next run.
    pub fn step(&mut self) -> Outcome {
        let (genes, parent) = self.breed();
        let asked = Cell::new(0);
        let mut coverage = Coverage::default();
        let mut setup = None;
        let mut chooser = Spliced::new(genes.clone(), &asked);
        let outcome = self.run.watch_by(&mut chooser, self.engine, |_, moment| {
            setup.get_or_insert(asked.get());
            coverage.note(moment, asked.get());
        });
        // The first step's own questions are among these: a few too many.
        let setup = setup.unwrap_or_else(|| asked.get());
        self.corpus
            .add(genes.clone(), setup, coverage.into_met(), parent);
        self.last = genes;
        outcome
    }

    /// The seed of the search.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.run.seed
    }

    /// The last run once more, with every step and every decision.
    #[must_use]
    pub fn trace(&self) -> Trace {
        let asked = Cell::new(0);
        let chooser = Spliced::new(self.last.clone(), &asked);
        self.run.trace_by(chooser, self.engine)
    }

    /// What to run next, and which entry it goes on from.
    fn breed(&mut self) -> (Genes, Option<usize>) {
        let fresh = self.random.below(FRESH_ONE_IN) == 0;
        let chosen = if fresh {
            None
        } else {
            self.corpus.choose(&mut self.random)
        };
        let Some((at, entry, question)) = chosen else {
            let seed = self.run.seed.wrapping_add(self.fresh);
            self.fresh += 1;
            let base = if self.fresh % 2 == 1 {
                Base::Random
            } else {
                Base::Pos
            };
            return (Genes::new(base, seed), None);
        };
        let (mut genes, setup) = (entry.genes.clone(), entry.setup);
        let random = &mut self.random;
        match random.below(8) {
            0 | 1 => genes = genes.spliced(setup, random.bits()),
            2 => {
                for _ in 0..=random.below(REDRAWN_MAX) {
                    let number = random.below(setup.max(1)) as u32;
                    let what = Label::new(Kind::Setup, Label::SERVER, 0, number);
                    genes = genes.redrawn(what, random.bits());
                }
            }
            // A little before it or just after it: what was rare may be the
            // trigger itself, or what prepares it.
            _ => {
                let far = random.below(8);
                let back = random.below(1 << far);
                let splice = question.saturating_sub(back).max(setup);
                genes = genes.spliced(splice, random.bits());
            }
        }
        (genes, Some(at))
    }
}
