//! Histories of concurrent operations, and whether they are linearizable: could
//! each operation have taken effect at one moment between its start and its
//! end, so that the answers are those of the specification (Herlihy & Wing
//! 1990)?
//!
//! Properties look into the store; a history is what clients can know: when
//! they asked, when they were answered, and what. So it can be recorded of any
//! system, in any language, and judged by somebody who has never seen it.
//!
//! * Record: [`Recorder`] in threads that call a real system, [`simulated`] from
//!   a run, [`read`] from lines of JSON that anybody may have written.
//! * Judge: [`check`], by a [`Model`]: [`slots::Slots`] (also a lock) or
//!   [`queue::Queue`]. Each has a checker of its own that takes O(n log n);
//!   where that one does not apply, [`search`] decides, which knows only
//!   [`Model::step`].
//! * Show: a [`Conflict`] carries the smallest part of the history that is still
//!   wrong; [`drawing::draw`] draws it.
//!
//! **Unknown outcomes.** An operation without an answer may have taken effect at
//! any time after its start, may yet, or never will. It is never left out of a
//! recording: a grant that nobody heard of holds a slot, too.
//!
//! **Time** is in nanoseconds of one monotone clock that all clients share; it
//! comes in with each call. Operations whose intervals share a point are
//! concurrent.

mod check;
pub mod drawing;
mod format;
mod model;
mod narrow;
pub mod queue;
mod recorder;
pub mod sample;
pub mod search;
pub mod simulated;
pub mod slots;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use check::{Conflict, Verdict, check};
pub use format::{Error, Header, Kind, NAME_BYTES_MAX, Recording, read, write};
pub use model::Model;
pub use recorder::{Recorder, Ticket};

/// How an operation was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Answer<R> {
    /// When the client learnt of it; not before the operation's start.
    pub end: u64,
    /// What it says.
    pub reply: R,
}

/// One operation of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operation<O, R> {
    /// Who: an index into [`History::clients`].
    pub client: u32,
    /// On what: an index into [`History::keys`]. Keys know nothing of each other.
    pub key: u32,
    /// When the client began to ask.
    pub start: u64,
    /// What it asked.
    pub op: O,
    /// `None`: the outcome is unknown.
    pub answer: Option<Answer<R>>,
}

impl<O, R> Operation<O, R> {
    /// When it was over; never, if its outcome is unknown.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.answer.as_ref().map_or(u64::MAX, |answer| answer.end)
    }

    /// What it was answered.
    #[must_use]
    pub fn reply(&self) -> Option<&R> {
        self.answer.as_ref().map(|answer| &answer.reply)
    }
}

/// Operations, in any order, with the names of their clients and keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History<O, R> {
    /// What clients are called.
    pub clients: Names,
    /// What keys are called.
    pub keys: Names,
    /// What they did.
    pub operations: Vec<Operation<O, R>>,
}

impl<O, R> Default for History<O, R> {
    fn default() -> Self {
        Self {
            clients: Names::default(),
            keys: Names::default(),
            operations: Vec::new(),
        }
    }
}

impl<O, R> History<O, R> {
    /// Adds an operation without an answer; returns its place.
    pub fn begin(&mut self, client: &str, key: &str, start: u64, op: O) -> usize {
        let (client, key) = (self.clients.number(client), self.keys.number(key));
        self.operations.push(Operation {
            client,
            key,
            start,
            op,
            answer: None,
        });
        self.operations.len() - 1
    }

    /// Adds an operation that was answered; returns its place. An end before
    /// the start counts as the start.
    pub fn push(
        &mut self,
        (client, key): (&str, &str),
        (start, end): (u64, u64),
        op: O,
        reply: R,
    ) -> usize {
        let at = self.begin(client, key, start, op);
        let end = end.max(start);
        self.operations[at].answer = Some(Answer { end, reply });
        at
    }
}

/// Names by number, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    names: Vec<String>,
    numbers: BTreeMap<String, u32>,
}

impl Names {
    /// The number of this name; a new one, if it has none. O(log n).
    pub fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    /// The name of this number; empty if there is none.
    #[must_use]
    pub fn name(&self, number: u32) -> &str {
        self.names.get(number as usize).map_or("", String::as_str)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// How much a check may cost before it gives up as inconclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Most pairs of (what has taken effect, state) that [`search`] looks at
    /// for one key. Each costs some hundred bytes.
    pub configurations: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            configurations: 1_000_000,
        }
    }
}
