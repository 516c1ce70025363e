//! Any strategy, with its answers written down.

use crate::choice::{Chooser, Events, Label};
use crate::dist::Dist;
use crate::log::Decision;

/// Passes every question on to `C`, and keeps what was answered.
///
/// What is kept is the resolved answer (the label that was picked, the
/// nanoseconds that were sampled), not the generator's numbers, so that a log
/// still means something when a strategy changes.
#[derive(Clone, Debug)]
pub struct Recorder<C> {
    inner: C,
    decisions: Vec<Decision>,
}

impl<C: Chooser> Recorder<C> {
    /// Records the answers of this strategy.
    #[must_use]
    pub const fn new(inner: C) -> Self {
        Self {
            inner,
            decisions: Vec::new(),
        }
    }

    /// All answers so far, in order.
    #[must_use]
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// The same, without a copy.
    #[must_use]
    pub fn into_decisions(self) -> Vec<Decision> {
        self.decisions
    }

    /// The strategy.
    #[must_use]
    pub const fn inner(&self) -> &C {
        &self.inner
    }
}

impl<C: Chooser> Chooser for Recorder<C> {
    fn pick(&mut self, options: &[Label]) -> usize {
        let picked = self.inner.pick(options);
        self.decisions.push(Decision::Pick(options[picked]));
        picked
    }

    fn pick_event(&mut self, events: &dyn Events) -> usize {
        let picked = self.inner.pick_event(events);
        self.decisions.push(Decision::Pick(events.label(picked)));
        picked
    }

    fn draw(&mut self, what: Label, bound: u64) -> u64 {
        let value = self.inner.draw(what, bound);
        self.decisions.push(Decision::Draw(what, value));
        value
    }

    fn weigh(&mut self, options: &[Label], weights: &[u32]) -> usize {
        let picked = self.inner.weigh(options, weights);
        self.decisions.push(Decision::Pick(options[picked]));
        picked
    }

    fn sample(&mut self, what: Label, dist: Dist) -> u64 {
        let value = self.inner.sample(what, dist);
        self.decisions.push(Decision::Draw(what, value));
        value
    }
}
