//! The answers of an earlier run, given again.

use core::fmt;

use crate::choice::{Chooser, Label};
use crate::dist::Dist;
use crate::log::Decision;

/// Answers from a log, in order, and checks that each question is the one that
/// was asked then.
///
/// When it is not (the code under test has changed, or the file is of another
/// run) the first such place is kept as the [`Divergence`], and from there on
/// every answer is the first or least possible one. The caller stops the run
/// when it sees [`Replay::divergence`].
#[derive(Clone, Debug)]
pub struct Replay {
    decisions: Vec<Decision>,
    at: usize,
    divergence: Option<Divergence>,
}

/// Where a replay left its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// Index of the decision in the log, from 0.
    pub decision: usize,
    /// What the log says there; `None` at its end.
    pub recorded: Option<Decision>,
    /// What was asked instead.
    pub asked: Asked,
}

/// A question, as far as a reader needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// One of these.
    Pick(Vec<Label>),
    /// A number below this one.
    Draw(Label, u64),
    /// A duration.
    Sample(Label, Dist),
}

impl Replay {
    /// Answers as in this log.
    #[must_use]
    pub fn new(mut decisions: Vec<Decision>) -> Self {
        // Places are for those who follow; here the order is all.
        decisions.retain(|d| !matches!(d, Decision::After(_)));
        Self {
            decisions,
            at: 0,
            divergence: None,
        }
    }

    /// The first question to which the log has no answer, if there was one.
    #[must_use]
    pub const fn divergence(&self) -> Option<&Divergence> {
        self.divergence.as_ref()
    }

    /// How many decisions of the log are left.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.decisions.len() - self.at
    }

    /// The next answer, if the log has one that `fits`.
    fn answer<T>(
        &mut self,
        fits: impl FnOnce(Decision) -> Option<T>,
        asked: impl FnOnce() -> Asked,
    ) -> Option<T> {
        if self.divergence.is_some() {
            return None;
        }
        let recorded = self.decisions.get(self.at).copied();
        let answer = recorded.and_then(fits);
        match answer {
            Some(_) => self.at += 1,
            None => {
                self.divergence = Some(Divergence {
                    decision: self.at,
                    recorded,
                    asked: asked(),
                });
            }
        }
        answer
    }

    fn choose(&mut self, options: &[Label], allowed: impl Fn(usize) -> bool) -> usize {
        let fits = |decision| match decision {
            Decision::Pick(label) => {
                (0..options.len()).find(|i| options[*i] == label && allowed(*i))
            }
            Decision::Draw(..) | Decision::After(_) => None,
        };
        self.answer(fits, || Asked::Pick(options.to_vec()))
            .unwrap_or(0)
    }
}

impl Chooser for Replay {
    fn pick(&mut self, options: &[Label]) -> usize {
        self.choose(options, |_| true)
    }

    fn draw(&mut self, what: Label, bound: u64) -> u64 {
        let fits = |decision| match decision {
            Decision::Draw(label, value) if label == what && value < bound => Some(value),
            Decision::Draw(..) | Decision::Pick(_) | Decision::After(_) => None,
        };
        self.answer(fits, || Asked::Draw(what, bound)).unwrap_or(0)
    }

    fn weigh(&mut self, options: &[Label], weights: &[u32]) -> usize {
        self.choose(options, |i| weights[i] > 0)
    }

    fn sample(&mut self, what: Label, dist: Dist) -> u64 {
        let fits = |decision| match decision {
            Decision::Draw(label, value) if label == what => Some(value),
            Decision::Draw(..) | Decision::Pick(_) | Decision::After(_) => None,
        };
        self.answer(fits, || Asked::Sample(what, dist))
            .unwrap_or_else(|| dist.sample(|_| 0))
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "decision {}: ", self.decision)?;
        match &self.recorded {
            Some(recorded) => write!(f, "the log says `{recorded}`, ")?,
            None => f.write_str("the log ends here, ")?,
        }
        match &self.asked {
            Asked::Pick(options) => {
                f.write_str("but the run asks for one of")?;
                for option in options.iter().take(8) {
                    write!(f, " `{option}`")?;
                }
                match options.len() {
                    0..=8 => Ok(()),
                    n => write!(f, " and {} others", n - 8),
                }
            }
            Asked::Draw(what, bound) => {
                write!(f, "but the run asks for `{what}` below {bound}")
            }
            Asked::Sample(what, dist) => {
                write!(f, "but the run asks for `{what}` out of {dist:?}")
            }
        }
    }
}
