//! The verdict on a whole history: key by key, first the fast way, then the
//! search.

use super::model::Model;
use super::narrow::narrow;
use super::search::{Found, search};
use super::{Budget, History, Operation};

/// Whether a history is linearizable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<O, R> {
    /// It is.
    Holds,
    /// It is not.
    Violated(Box<Conflict<O, R>>),
    /// It may be: the check was given up, for this reason.
    Inconclusive(String),
}

/// The smallest part of a history that is still not linearizable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict<O, R> {
    /// The key that it is about.
    pub key: String,
    /// What is wrong, in words.
    pub why: String,
    /// The operations, in the order of their starts.
    pub window: History<O, R>,
    /// Nothing can be left out of it; otherwise it was too large to find out.
    pub is_minimal: bool,
}

/// Judges every key by itself. The first that is violated is told, the smallest
/// key number first.
#[must_use]
pub fn check<M: Model>(
    model: &M,
    history: &History<M::Op, M::Reply>,
    budget: Budget,
) -> Verdict<M::Op, M::Reply> {
    let mut keys: Vec<Vec<Operation<M::Op, M::Reply>>> = Vec::new();
    keys.resize_with(history.keys.len(), Vec::new);
    for operation in &history.operations {
        keys[operation.key as usize].push(operation.clone());
    }
    let name = |client: u32| history.clients.name(client).to_owned();
    let mut doubt = None;
    for (key, operations) in keys.into_iter().enumerate() {
        let key = history.keys.name(key as u32);
        match judge(model, &operations, &name, budget) {
            Judged::Holds => {}
            Judged::Violated(_) => {
                let (window, why, is_minimal) = narrow(model, operations, &name);
                return Verdict::Violated(Box::new(Conflict {
                    key: key.to_owned(),
                    why,
                    window: named(history, window),
                    is_minimal,
                }));
            }
            Judged::OutOfBudget => {
                doubt.get_or_insert_with(|| {
                    format!(
                        "{} operations on {key:?}: no order was found among {} configurations, \
                         and others are left; record a shorter history, or fewer clients",
                        operations.len(),
                        budget.configurations
                    )
                });
            }
        }
    }
    doubt.map_or(Verdict::Holds, Verdict::Inconclusive)
}

pub(super) enum Judged {
    Holds,
    Violated(String),
    OutOfBudget,
}

/// Judges the operations of one key.
pub(super) fn judge<M: Model>(
    model: &M,
    operations: &[Operation<M::Op, M::Reply>],
    name: &dyn Fn(u32) -> String,
    budget: Budget,
) -> Judged {
    match model.shortcut(operations, name) {
        Some(Ok(())) => return Judged::Holds,
        Some(Err(why)) => return Judged::Violated(why),
        None => {}
    }
    match search(model, operations, budget) {
        Found::Order(_) => Judged::Holds,
        Found::Nothing => {
            Judged::Violated("in whatever order these take effect, some answer is wrong".to_owned())
        }
        Found::OutOfBudget => Judged::OutOfBudget,
    }
}

/// These operations, with only the names that they use.
fn named<O, R>(history: &History<O, R>, operations: Vec<Operation<O, R>>) -> History<O, R> {
    let mut window = History::default();
    for mut operation in operations {
        operation.client = window
            .clients
            .number(history.clients.name(operation.client));
        operation.key = window.keys.number(history.keys.name(operation.key));
        window.operations.push(operation);
    }
    window
}
