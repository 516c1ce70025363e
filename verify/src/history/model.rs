//! What a specification has to say so that histories can be judged by it.

use std::fmt::Debug;
use std::hash::Hash;

use super::Operation;

/// A sequential specification of one key.
///
/// [`Model::step`] alone is enough. The rest makes checks fast
/// ([`Model::hopeless`], [`Model::shortcut`]), models what happens by itself
/// ([`Model::internal`]), and makes counterexamples small ([`Model::parts`]).
pub trait Model {
    /// What can be asked.
    type Op: Clone + Debug;
    /// What can be answered.
    type Reply: Clone + Debug;
    /// The state of one key.
    type State: Clone + Hash + Eq;

    /// The state before anything has happened.
    fn start(&self) -> Self::State;

    /// Adds to `next` every state that the operation can lead to, if it takes
    /// effect in `state` with the reply that it got. None, if it cannot. With
    /// an unknown outcome: every state of any reply, where those that leave the
    /// state as it is may be left out.
    fn step(
        &self,
        state: &Self::State,
        operation: &Operation<Self::Op, Self::Reply>,
        next: &mut Vec<Self::State>,
    );

    /// Whether an answered operation can take effect neither in this state nor
    /// in any that comes after it.
    fn hopeless(
        &self,
        _state: &Self::State,
        _operation: &Operation<Self::Op, Self::Reply>,
    ) -> bool {
        false
    }

    /// What the system may do by itself in such a history, at any time from the
    /// start of each or never: a lease that runs out.
    fn internal(
        &self,
        _operations: &[Operation<Self::Op, Self::Reply>],
    ) -> Vec<Operation<Self::Op, Self::Reply>> {
        Vec::new()
    }

    /// Decides in O(n log n) whether the operations, all of one key, are
    /// linearizable, with the reason why not, in words. `None`: it cannot tell,
    /// and the search has to.
    fn shortcut(
        &self,
        _operations: &[Operation<Self::Op, Self::Reply>],
        _name: &dyn Fn(u32) -> String,
    ) -> Option<Result<(), String>> {
        None
    }

    /// Parts of a history, as indices, any one of which may be left out of a
    /// linearizable history so that it stays linearizable. Counterexamples are
    /// made smaller by leaving out such parts, larger ones first.
    fn parts(&self, _operations: &[Operation<Self::Op, Self::Reply>]) -> Vec<Vec<usize>> {
        Vec::new()
    }
}
