//! From a history that is not linearizable to the smallest part of it that is
//! not, either.
//!
//! Two ways to leave something out keep a right history right: to look no
//! further than some moment (what was not answered by then has an unknown
//! outcome), and to leave out a part that the model names ([`Model::parts`]).
//! They are tried until none of them leaves anything wrong.

use super::check::{Judged, judge};
use super::model::Model;
use super::{Budget, Operation};

/// Most operations looked at in all, over all attempts.
const WORK_MAX: usize = 30_000_000;
/// For each attempt that has to be searched.
const BUDGET: Budget = Budget {
    configurations: 100_000,
};

type Operations<M> = Vec<Operation<<M as Model>::Op, <M as Model>::Reply>>;

/// The smallest part, by start; what is wrong with it; and whether nothing more
/// can be left out of it.
pub(super) fn narrow<M: Model>(
    model: &M,
    operations: Operations<M>,
    name: &dyn Fn(u32) -> String,
) -> (Operations<M>, String, bool) {
    let mut narrowing = Narrowing {
        model,
        name,
        work: 0,
    };
    let mut window = operations;
    loop {
        let size = window.len();
        window = narrowing.shortest(window);
        window = narrowing.fewest(window);
        if window.len() == size {
            break;
        }
    }
    window.sort_by_key(|operation| (operation.start, operation.end()));
    let why = match judge(model, &window, name, Budget::default()) {
        Judged::Violated(why) => why,
        Judged::Holds | Judged::OutOfBudget => "no order agrees with the answers".to_owned(),
    };
    let is_minimal = narrowing.work < WORK_MAX;
    (window, why, is_minimal)
}

struct Narrowing<'a, M: Model> {
    model: &'a M,
    name: &'a dyn Fn(u32) -> String,
    work: usize,
}

impl<M: Model> Narrowing<'_, M> {
    fn is_wrong(&mut self, operations: &[Operation<M::Op, M::Reply>]) -> bool {
        self.work += operations.len();
        self.work < WORK_MAX
            && matches!(
                judge(self.model, operations, self.name, BUDGET),
                Judged::Violated(_)
            )
    }

    /// Up to the earliest answer by which it is wrong. A right history has only
    /// right beginnings, so halving finds it.
    fn shortest(&mut self, operations: Operations<M>) -> Operations<M> {
        let answers = operations.iter().filter(|o| o.answer.is_some());
        let mut ends: Vec<u64> = answers.map(Operation::end).collect();
        ends.sort_unstable();
        ends.dedup();
        let (mut right, mut wrong) = (0, ends.len());
        // The beginning up to ends[wrong - 1] is wrong, that up to ends[right - 1] is not.
        while wrong - right > 1 {
            let middle = right + (wrong - right) / 2;
            if self.is_wrong(&until(&operations, ends[middle - 1])) {
                wrong = middle;
            } else {
                right = middle;
            }
        }
        match ends.get(wrong.wrapping_sub(1)) {
            Some(end) => until(&operations, *end),
            None => operations,
        }
    }

    fn fewest(&mut self, mut operations: Operations<M>) -> Operations<M> {
        'smaller: loop {
            for part in self.model.parts(&operations) {
                let mut keep = vec![true; operations.len()];
                for at in part {
                    keep[at] = false;
                }
                let mut kept = keep.iter();
                let mut fewer = operations.clone();
                fewer.retain(|_| *kept.next().expect("one for each"));
                if fewer.len() < operations.len() && self.is_wrong(&fewer) {
                    operations = fewer;
                    continue 'smaller;
                }
            }
            return operations;
        }
    }
}

/// What could be known at this moment.
fn until<O: Clone, R: Clone>(operations: &[Operation<O, R>], time: u64) -> Vec<Operation<O, R>> {
    let begun = operations.iter().filter(|o| o.start <= time);
    let known = begun.map(|operation| {
        let mut operation = operation.clone();
        if operation.end() > time {
            operation.answer = None;
        }
        operation
    });
    known.collect()
}
