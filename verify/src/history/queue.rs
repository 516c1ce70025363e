//! A first-in-first-out queue.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Model, Operation};

mod order;

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// Puts a value at the end.
    Enqueue {
        /// Best no value twice: only then is there a fast answer.
        value: u64,
    },
    /// Takes the first value.
    Dequeue,
}

/// What a client is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// To an enqueue.
    Enqueued,
    /// To a dequeue.
    Dequeued {
        /// The first value.
        value: u64,
    },
    /// To a dequeue: there is none.
    Empty,
}

impl Op {
    /// Whether this can be answered so at all.
    #[must_use]
    pub const fn fits(&self, reply: &Reply) -> bool {
        matches!(
            (self, reply),
            (Self::Enqueue { .. }, Reply::Enqueued)
                | (Self::Dequeue, Reply::Dequeued { .. } | Reply::Empty)
        )
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enqueue { value } => write!(f, "enqueue {value}"),
            Self::Dequeue => f.write_str("dequeue"),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enqueued => f.write_str("enqueued"),
            Self::Dequeued { value } => write!(f, "{value}"),
            Self::Empty => f.write_str("empty"),
        }
    }
}

type Asked = Operation<Op, Reply>;

/// The specification: first in, first out, empty at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue;

impl Model for Queue {
    type Op = Op;
    type Reply = Reply;
    type State = VecDeque<u64>;

    fn start(&self) -> VecDeque<u64> {
        VecDeque::new()
    }

    fn step(&self, state: &VecDeque<u64>, asked: &Asked, next: &mut Vec<VecDeque<u64>>) {
        let takes = match (asked.op, asked.reply()) {
            (Op::Enqueue { value }, _) => {
                let mut longer = state.clone();
                longer.push_back(value);
                next.push(longer);
                return;
            }
            (Op::Dequeue, Some(Reply::Empty)) => {
                next.extend(state.is_empty().then(VecDeque::new));
                return;
            }
            (Op::Dequeue, Some(Reply::Dequeued { value })) => state.front() == Some(value),
            (Op::Dequeue, _) => !state.is_empty(),
        };
        if takes {
            let mut shorter = state.clone();
            shorter.pop_front();
            next.push(shorter);
        }
    }

    fn shortcut(
        &self,
        operations: &[Asked],
        name: &dyn Fn(u32) -> String,
    ) -> Option<Result<(), String>> {
        order::decide(operations, name)
    }

    /// All that is about one value; an answer of "empty".
    fn parts(&self, operations: &[Asked]) -> Vec<Vec<usize>> {
        let mut values: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        let mut empties = Vec::new();
        for (at, asked) in operations.iter().enumerate() {
            match (asked.op, asked.reply().copied()) {
                (Op::Enqueue { value }, _) | (_, Some(Reply::Dequeued { value })) => {
                    values.entry(value).or_default().push(at);
                }
                (_, Some(Reply::Empty)) => empties.push(vec![at]),
                _ => {}
            }
        }
        let all: Vec<Vec<usize>> = values.into_values().collect();
        let mut parts = Vec::new();
        let mut size = all.len() / 2;
        while size > 0 {
            parts.extend(all.chunks(size).map(<[Vec<usize>]>::concat));
            size /= 2;
        }
        parts.extend(empties);
        parts
    }
}
