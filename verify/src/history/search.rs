//! The general checker: looks for an order in which the operations can have
//! taken effect.
//!
//! Depth first, as Wing & Gong ("Testing and verifying concurrent objects",
//! 1993): next may be whatever began before every other operation that is left
//! has ended. With Lowe's memory ("Testing for linearizability", 2017): what was
//! once reached, as (set of operations that have taken effect, state), is not
//! entered again. One key at a time: a history is linearizable if its parts by
//! key are (Horn & Kroening, "Faster linearizability checking via
//! P-compositionality", 2015); [`check`](super::check) splits it.
//!
//! Deviations: operations are tried in the order of their ends, those with
//! unknown outcomes last, so that a linearizable history is rarely left; unknown
//! ones that would change nothing are not tried at all; and a branch is left as
//! soon as an operation that could be next can never be
//! ([`Model::hopeless`]).
//!
//! The worst case is exponential in how many operations overlap. So it counts
//! the configurations that it enters, and gives up beyond a [`Budget`].

use hashbrown::HashSet;
use sluice_sim::digest::FixedState;

use super::model::Model;
use super::{Budget, Operation};

/// What the search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// An order: indices into the operations, without those that never took
    /// effect and without what the system did by itself.
    Order(Vec<usize>),
    /// There is none.
    Nothing,
    /// The budget was used up.
    OutOfBudget,
}

/// Looks for an order of operations of one key. Time and memory O(budget × n)
/// at worst; O(n × overlapping operations) where the first way leads to the end.
#[must_use]
pub fn search<M: Model>(
    model: &M,
    operations: &[Operation<M::Op, M::Reply>],
    budget: Budget,
) -> Found {
    Search::new(model, operations).go(budget)
}

/// An operation, and where it came from.
struct Entry<M: Model> {
    operation: Operation<M::Op, M::Reply>,
    /// Its index in the history; `None` for what the system does by itself.
    source: Option<usize>,
}

/// Operations that have taken effect: all below `from`, and those set above it.
/// One size for all equal sets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Done {
    from: u32,
    words: Vec<u64>,
}

impl Done {
    const fn new() -> Self {
        Self {
            from: 0,
            words: Vec::new(),
        }
    }

    fn has(&self, at: usize) -> bool {
        let Some(bit) = at.checked_sub(self.from as usize) else {
            return true;
        };
        self.words
            .get(bit / 64)
            .is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }

    fn set(&mut self, at: usize) {
        let bit = at - self.from as usize;
        if self.words.len() <= bit / 64 {
            self.words.resize(bit / 64 + 1, 0);
        }
        self.words[bit / 64] |= 1 << (bit % 64);
        // By whole words, so that nothing has to be shifted.
        let full = self.words.iter().take_while(|w| **w == u64::MAX).count();
        self.words.drain(..full);
        self.from += 64 * full as u32;
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Configuration<S> {
    /// Among the answered operations, by start.
    answered: Done,
    /// Among those with unknown outcomes, by start.
    unknown: Done,
    state: S,
}

/// A configuration that was entered, and the ways on that are left.
struct Node<S> {
    here: Configuration<S>,
    /// Reversed: the next one to try is the last.
    left: Vec<(Which, S)>,
    /// How it was entered.
    by: Option<usize>,
}

#[derive(Clone, Copy)]
enum Which {
    Answered(usize),
    Unknown(usize),
}

struct Search<'a, M: Model> {
    model: &'a M,
    answered: Vec<Entry<M>>,
    unknown: Vec<Entry<M>>,
}

impl<'a, M: Model> Search<'a, M> {
    fn new(model: &'a M, operations: &[Operation<M::Op, M::Reply>]) -> Self {
        let entry = |(source, operation): (usize, &Operation<M::Op, M::Reply>)| Entry {
            operation: operation.clone(),
            source: Some(source),
        };
        let all = operations.iter().enumerate().map(entry);
        let (mut answered, mut unknown): (Vec<_>, Vec<_>) =
            all.partition(|e: &Entry<M>| e.operation.answer.is_some());
        let internal = model.internal(operations).into_iter();
        unknown.extend(internal.map(|operation| Entry {
            operation,
            source: None,
        }));
        answered.sort_by_key(|e| (e.operation.start, e.operation.end()));
        unknown.sort_by_key(|e| e.operation.start);
        Self {
            model,
            answered,
            unknown,
        }
    }

    fn go(&self, budget: Budget) -> Found {
        let mut seen: HashSet<Configuration<M::State>, FixedState> = HashSet::default();
        let first = Configuration {
            answered: Done::new(),
            unknown: Done::new(),
            state: self.model.start(),
        };
        let mut path = vec![Node {
            left: self.ways(&first),
            here: first,
            by: None,
        }];
        let mut taken = 0; // answered operations on the path
        let mut unknown_taken: Vec<bool> = vec![false];
        while let Some(node) = path.last_mut() {
            if taken == self.answered.len() {
                return Found::Order(path.iter().filter_map(|node| node.by).collect());
            }
            let Some((which, state)) = node.left.pop() else {
                path.pop();
                if unknown_taken.pop() == Some(false) {
                    taken = taken.saturating_sub(1);
                }
                continue;
            };
            let mut next = Configuration {
                state,
                ..node.here.clone()
            };
            let (by, is_unknown) = match which {
                Which::Answered(at) => {
                    next.answered.set(at);
                    (self.answered[at].source, false)
                }
                Which::Unknown(at) => {
                    next.unknown.set(at);
                    (self.unknown[at].source, true)
                }
            };
            if seen.contains(&next) {
                continue;
            }
            if seen.len() as u64 >= budget.configurations {
                return Found::OutOfBudget;
            }
            seen.insert(next.clone());
            path.push(Node {
                left: self.ways(&next),
                here: next,
                by,
            });
            unknown_taken.push(is_unknown);
            taken += usize::from(!is_unknown);
        }
        Found::Nothing
    }

    /// What may be next here, the best last.
    fn ways(&self, here: &Configuration<M::State>) -> Vec<(Which, M::State)> {
        // What began after the end of something that is left has to wait for it.
        let mut end = u64::MAX;
        let mut open = Vec::new();
        for (at, entry) in self
            .answered
            .iter()
            .enumerate()
            .skip(here.answered.from as usize)
        {
            if entry.operation.start > end {
                break;
            }
            if !here.answered.has(at) {
                if self.model.hopeless(&here.state, &entry.operation) {
                    return Vec::new();
                }
                end = end.min(entry.operation.end());
                open.push(at);
            }
        }
        open.retain(|at| self.answered[*at].operation.start <= end);
        open.sort_by_key(|at| std::cmp::Reverse(self.answered[*at].operation.end()));
        let mut ways = Vec::new();
        let mut states = Vec::new();
        let begun = self.unknown.partition_point(|e| e.operation.start <= end);
        for at in (here.unknown.from as usize..begun).rev() {
            if !here.unknown.has(at) {
                self.model
                    .step(&here.state, &self.unknown[at].operation, &mut states);
                let news = states.drain(..).filter(|state| *state != here.state);
                ways.extend(news.map(|state| (Which::Unknown(at), state)));
            }
        }
        for at in open {
            self.model
                .step(&here.state, &self.answered[at].operation, &mut states);
            ways.extend(states.drain(..).map(|state| (Which::Answered(at), state)));
        }
        ways
    }
}
