//! Priorities with a few changes: PCT.
//!
//! Burckhardt, Kothari, Musuvathi, Nagarakatte: *A randomized scheduler with
//! probabilistic guarantees of finding bugs*, ASPLOS 2010. Every thread gets a
//! random priority, the highest runs, and at d − 1 random steps of k whoever has
//! just run falls below all others. A bug that needs d orderings among n threads
//! is then found with a probability of at least 1 ÷ (n · k^(d − 1)), where a
//! walk that picks at random at every step may need exponentially many.
//!
//! Three deviations. A thread here is a *lane*: what one actor does, what is on
//! its way from it, and what is on its way to it, each for itself, because a
//! message may be overtaken by what its sender does next. Whoever lets time pass
//! yields: it falls below all others, or one who polls would starve the rest
//! for ever. And faults and magnitudes are drawn at random from the same seed.

use std::collections::BTreeMap;

use super::Random;
use crate::choice::{Chooser, Events, Kind, Label};

/// A lane: host, actor, and where in between.
type Lane = (u16, u16, u8);

/// The strategy. See the module.
#[derive(Clone, Debug)]
pub struct Pct {
    random: Random,
    /// The larger runs first.
    priorities: BTreeMap<Lane, u64>,
    /// Steps at which the lane that runs is to fall, the latest first.
    changes: Vec<u64>,
    /// Priorities below all others, given in this order.
    lowest: u64,
    step: u64,
}

/// Initial priorities lie above this.
const BASE: u64 = 1 << 62;

impl Pct {
    /// The run of this seed, for bugs of a depth of up to `depth` (at least 1)
    /// in runs of about `steps` events.
    #[must_use]
    pub fn new(seed: u64, depth: u32, steps: u64) -> Self {
        let mut random = Random::new(seed);
        let mut changes: Vec<u64> = (1..depth).map(|_| random.below(steps.max(1))).collect();
        changes.sort_unstable_by(|a, b| b.cmp(a));
        Self {
            random,
            priorities: BTreeMap::new(),
            changes,
            lowest: BASE,
            step: 0,
        }
    }

    fn priority(&mut self, lane: Lane) -> u64 {
        let random = &mut self.random;
        *self
            .priorities
            .entry(lane)
            .or_insert_with(|| BASE + (random.bits() >> 2))
    }

    fn fall(&mut self, lane: Lane) {
        self.lowest -= 1;
        self.priorities.insert(lane, self.lowest);
    }
}

/// Lanes never fall among one another while they wait.
fn lane(label: &Label) -> Lane {
    let direction = match label.kind {
        Kind::Execute | Kind::HangUp => 1,
        Kind::Deliver | Kind::Loss | Kind::Publish | Kind::Connect => 2,
        _ => 0,
    };
    (label.host, label.actor, direction)
}

impl Chooser for Pct {
    fn pick(&mut self, options: &[Label]) -> usize {
        self.random.pick(options)
    }

    fn pick_event(&mut self, events: &dyn Events) -> usize {
        let mut best = (0, 0);
        for i in 0..events.count() {
            let priority = self.priority(lane(&events.label(i)));
            // Of two in one lane, the first.
            if priority > best.1 {
                best = (i, priority);
            }
        }
        let picked = best.0;
        if self.changes.last().is_some_and(|at| *at <= self.step) {
            self.changes.pop();
            self.fall(lane(&events.label(picked)));
        } else if events.touch(picked).everything {
            self.fall(lane(&events.label(picked)));
        }
        self.step += 1;
        picked
    }

    fn draw(&mut self, what: Label, bound: u64) -> u64 {
        self.random.draw(what, bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::Touch;

    fn options() -> [Label; 3] {
        [0, 1, 2].map(|actor| Label::new(Kind::Execute, 0, actor, 1))
    }

    /// Of three lanes that are always enabled, one runs until it falls.
    #[test]
    fn the_highest_runs_until_its_change_point() {
        let local = |_: usize| Touch::default();
        let run = |seed, depth| {
            let mut pct = Pct::new(seed, depth, 20);
            let picks: Vec<usize> = (0..20)
                .map(|_| pct.pick_event(&(&options()[..], local)))
                .collect();
            picks
        };
        for seed in 0..50 {
            assert!(run(seed, 1).windows(2).all(|w| w[0] == w[1]), "depth 1");
            let changes = run(seed, 3).windows(2).filter(|w| w[0] != w[1]).count();
            assert!(changes <= 2, "{changes} changes");
            assert_eq!(run(seed, 3), run(seed, 3));
        }
        let first: Vec<usize> = (0..50).map(|seed| run(seed, 1)[0]).collect();
        assert!((0..3).all(|lane| first.contains(&lane)), "{first:?}");
        assert!((0..50).any(|seed| run(seed, 2).windows(2).any(|w| w[0] != w[1])));
    }

    #[test]
    fn who_lets_time_pass_yields() {
        let mut pct = Pct::new(1, 1, 20);
        let leap = |_: usize| Touch::EVERYTHING;
        let picks: Vec<usize> = (0..6)
            .map(|_| pct.pick_event(&(&options()[..], leap)))
            .collect();
        let mut round = picks[..3].to_vec();
        round.sort_unstable();
        assert_eq!(round, [0, 1, 2]);
        assert_eq!(picks[..3], picks[3..]);
    }
}
