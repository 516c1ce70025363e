//! A run put together from seeds.
//!
//! A search that learns from its runs wants to come back to a moment of one and
//! go on otherwise from there. So a run is written as [`Genes`]: seeds, each with
//! the question from which on it answers, and numbers of the setup that are
//! drawn anew. Two runs whose genes agree up to a question are the same up to
//! there; and genes are some words, where a log would be thousands of answers.

use std::cell::Cell;

use super::{Pos, Random};
use crate::choice::{Chooser, Events, Kind, Label};
use crate::dist::Dist;

/// Who turns the seeds into answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Base {
    /// Every choice at random.
    Random,
    /// Partial-order sampling.
    Pos,
}

/// What a run is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Genes {
    /// Who answers.
    pub base: Base,
    /// The seed of the beginning.
    pub seed: u64,
    /// From which question on (counted from 0) which seed answers, in order.
    pub splices: Vec<(u64, u64)>,
    /// Numbers of the setup, by label, that are drawn from a seed of their own.
    pub redrawn: Vec<(Label, u64)>,
}

impl Genes {
    /// The run of this seed.
    #[must_use]
    pub const fn new(base: Base, seed: u64) -> Self {
        Self {
            base,
            seed,
            splices: Vec::new(),
            redrawn: Vec::new(),
        }
    }

    /// The same up to a question, and from there on by another seed.
    #[must_use]
    pub fn spliced(&self, at: u64, seed: u64) -> Self {
        let mut genes = self.clone();
        genes.splices.retain(|(from, _)| *from < at);
        genes.splices.push((at, seed));
        genes
    }

    /// The same, but this number of the setup is drawn anew.
    #[must_use]
    pub fn redrawn(&self, what: Label, seed: u64) -> Self {
        let mut genes = self.clone();
        genes.redrawn.retain(|(label, _)| *label != what);
        genes.redrawn.push((what, seed));
        genes
    }
}

/// The strategy. See the module.
#[derive(Debug)]
pub struct Spliced<'a> {
    genes: Genes,
    answers: Answers,
    /// How many splices have been made.
    made: usize,
    /// Questions asked so far; somebody else may look.
    asked: &'a Cell<u64>,
}

#[derive(Debug)]
enum Answers {
    Random(Random),
    Pos(Pos),
}

impl<'a> Spliced<'a> {
    /// The run of these genes, which counts its questions there.
    #[must_use]
    pub fn new(genes: Genes, asked: &'a Cell<u64>) -> Self {
        asked.set(0);
        let answers = match genes.base {
            Base::Random => Answers::Random(Random::new(genes.seed)),
            Base::Pos => Answers::Pos(Pos::new(genes.seed)),
        };
        Self {
            genes,
            answers,
            made: 0,
            asked,
        }
    }

    /// Who answers the next question.
    fn next(&mut self) -> &mut dyn Chooser {
        let at = self.asked.replace(self.asked.get() + 1);
        while let Some(&(from, seed)) = self.genes.splices.get(self.made)
            && from <= at
        {
            self.made += 1;
            match &mut self.answers {
                Answers::Random(random) => *random = Random::new(seed),
                Answers::Pos(pos) => pos.go_on_from(seed),
            }
        }
        match &mut self.answers {
            Answers::Random(random) => random,
            Answers::Pos(pos) => pos,
        }
    }
}

impl Chooser for Spliced<'_> {
    fn pick(&mut self, options: &[Label]) -> usize {
        self.next().pick(options)
    }

    fn pick_event(&mut self, events: &dyn Events) -> usize {
        self.next().pick_event(events)
    }

    fn draw(&mut self, what: Label, bound: u64) -> u64 {
        let value = self.next().draw(what, bound);
        if what.kind == Kind::Setup
            && let Some((_, seed)) = self.genes.redrawn.iter().find(|(l, _)| *l == what)
        {
            return Random::new(*seed).below(bound);
        }
        value
    }

    fn weigh(&mut self, options: &[Label], weights: &[u32]) -> usize {
        self.next().weigh(options, weights)
    }

    fn sample(&mut self, what: Label, dist: Dist) -> u64 {
        self.next().sample(what, dist)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn setup(n: u32) -> Label {
        Label::new(Kind::Setup, Label::SERVER, 0, n)
    }

    fn answers(genes: &Genes) -> Vec<u64> {
        let asked = Cell::new(9);
        let mut spliced = Spliced::new(genes.clone(), &asked);
        let answers = (0..20).map(|n| spliced.draw(setup(n), 1 << 40)).collect();
        assert_eq!(asked.get(), 20);
        answers
    }

    #[test]
    fn unspliced_genes_are_the_run_of_their_seed() {
        let mut random = Random::new(7);
        let plain: Vec<u64> = (0..20).map(|_| random.below(1 << 40)).collect();
        assert_eq!(answers(&Genes::new(Base::Random, 7)), plain);
        assert_eq!(answers(&Genes::new(Base::Pos, 7)), plain);
    }

    #[test]
    fn a_run_is_the_same_up_to_its_splice_and_another_after_it() {
        for base in [Base::Random, Base::Pos] {
            let parent = Genes::new(base, 7);
            let child = parent.spliced(5, 8);
            let (a, b) = (answers(&parent), answers(&child));
            assert_eq!(a[..5], b[..5]);
            assert!((5..20).all(|i| a[i] != b[i]));
            // An earlier splice makes all later ones meaningless.
            let again = child.spliced(12, 9).spliced(3, 10);
            assert_eq!(again.splices, [(3, 10)]);
            assert_eq!(answers(&again)[..3], a[..3]);
            assert_eq!(child.spliced(12, 9).splices, [(5, 8), (12, 9)]);
        }
    }

    #[test]
    fn a_number_of_the_setup_changes_alone() {
        let parent = Genes::new(Base::Random, 7);
        let child = parent.redrawn(setup(3), 1).redrawn(setup(3), 2);
        let (a, b) = (answers(&parent), answers(&child));
        let changed: Vec<usize> = (0..20).filter(|i| a[*i] != b[*i]).collect();
        assert_eq!((changed, child.redrawn.len()), (vec![3], 1));
    }
}
