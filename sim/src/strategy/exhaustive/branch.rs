//! The questions of one step, answered in every way, one after the other.
//!
//! An odometer over the answers (as TigerBeetle's `exhaustigen` has it): answer
//! as before as far as there are answers, with the first alternative after that,
//! and write down how many there were; then count up.
//!
//! Magnitudes are cut into classes. Bytes that still arrive after a cut: none or
//! all (a client has one request under way). A clock steps either way by the
//! most. Outages, and the time that a replaced server goes on, are of the
//! greatest length. Durations are constant. Which of some things (which error,
//! which key, how many writes are lost) is any of them, however many there are.

use crate::choice::{Chooser, Kind, Label};
use crate::dist::Dist;
use crate::log::Decision;

/// So many answers are few. (An outage is one of ten magnitudes, the first of
/// which is the greatest, and what it falls short of that by.)
const FEW: u64 = 9;

/// See the module.
#[derive(Debug)]
pub(super) struct Branch {
    answers: Vec<(usize, usize)>,
    at: usize,
    /// What was answered in the present round.
    pub(super) decisions: Vec<Decision>,
}

impl Branch {
    pub(super) const NEW: Self = Self {
        answers: Vec::new(),
        at: 0,
        decisions: Vec::new(),
    };

    /// The next round; false when there is none.
    pub(super) fn next_round(&mut self) -> bool {
        self.at = 0;
        self.decisions.clear();
        while let Some((answer, of)) = self.answers.pop() {
            if answer + 1 < of {
                self.answers.push((answer + 1, of));
                return true;
            }
        }
        false
    }

    fn answer(&mut self, of: usize) -> usize {
        if self.at == self.answers.len() {
            self.answers.push((0, of));
        }
        let (answer, known) = self.answers[self.at];
        debug_assert_eq!(known, of, "the same step asks the same questions");
        self.at += 1;
        answer
    }
}

impl Chooser for Branch {
    fn pick(&mut self, options: &[Label]) -> usize {
        let picked = self.answer(options.len());
        self.decisions.push(Decision::Pick(options[picked]));
        picked
    }

    fn draw(&mut self, what: Label, bound: u64) -> u64 {
        let value = match (what.kind, bound) {
            (_, 1) => 0,
            (Kind::Cut, _) => [0, bound - 1][self.answer(2)],
            (Kind::Replicate | Kind::Eviction, _) | (_, ..=FEW) => {
                self.answer(bound as usize) as u64
            }
            (Kind::ServerSplit, _) => bound - 1,
            _ => 0,
        };
        self.decisions.push(Decision::Draw(what, value));
        value
    }

    fn sample(&mut self, _: Label, dist: Dist) -> u64 {
        dist.mean()
    }
}
