//! Slots: a counting semaphore with leases and fencing numbers; with one slot,
//! a lock.
//!
//! **The reading.** An attempt of a client is one place: `acquire` takes effect
//! when the slot is granted, somewhere between the first request and the answer
//! that tells of it. From then on the attempt holds a slot until one of these
//! takes effect: its `release`; a `cancel` of this or a later attempt of the
//! same client; an `acquire` of a later attempt, which takes its place over
//! (R1.6); or the end of its lease.
//!
//! * *Cap* (R1.1): a grant finds fewer held than there are slots.
//! * *Fencing* (R1.7): numbers rise with every grant. So they tell the order of
//!   grants, also among those that overlap.
//! * *Owner only* (R1.7): `released` and `renewed` are answers to holders;
//!   `lost` to those who are not.
//! * *Leases* (R1.8): an answer may carry how long the lease lasts at least,
//!   by the store's clock, counted from when it took effect. It took effect
//!   after its start, so before start + lease the slot is held. When the lease
//!   ends is not judged, for expiry may be late.
//! * *Delayed copies* (R1.6): what comes late from an attempt changes nothing
//!   about a later attempt of the same client.
//! * *Refusals*: with several slots, nothing is demanded of them: whoever is let
//!   in and takes its offer too late, or is in line, is not in the history. Of a
//!   lock ([`Slots::lock`]) it is demanded that somebody may have held it.
//!
//! Order in the queue (R1.2) is not judged: a queue is entered by a request that
//! is not answered yet, at a moment that only the store knows.

use super::{Model, Operation};

mod holds;
mod parts;
mod words;

pub use words::{Op, Reply};

type Asked = Operation<Op, Reply>;

/// When the lease that this answer tells of can end at the earliest.
pub(super) fn until(operation: &Asked) -> Option<u64> {
    match operation.reply() {
        Some(Reply::Granted { lease, .. } | Reply::Renewed { lease }) => {
            Some(lease.map_or(u64::MAX, |lease| operation.start.saturating_add(lease)))
        }
        _ => None,
    }
}

/// The specification: so many slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// How many.
    capacity: u32,
    /// Refusals are judged.
    is_lock: bool,
}

impl Slots {
    /// So many slots. Refusals are not judged.
    #[must_use]
    pub const fn new(capacity: u32) -> Self {
        Self {
            capacity,
            is_lock: false,
        }
    }

    /// A lock: one slot, which is refused only while it may be held.
    #[must_use]
    pub const fn lock() -> Self {
        Self {
            capacity: 1,
            is_lock: true,
        }
    }
}

/// A slot that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Held {
    client: u32,
    attempt: u64,
    /// Its lease lasts at least until here.
    until: u64,
    /// Its client has heard of it.
    is_known: bool,
}

/// One gate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    capacity: u32,
    /// The last fencing number.
    fence: Option<u64>,
    /// By client, each once.
    held: Vec<Held>,
}

impl State {
    fn place(&self, client: u32) -> Result<usize, usize> {
        self.held.binary_search_by_key(&client, |h| h.client)
    }

    fn without(&self, client: u32) -> Self {
        let mut state = self.clone();
        state.held.retain(|h| h.client != client);
        state
    }
}

impl State {
    /// The same, with this slot held, taken over or free before.
    fn with(&self, held: Held) -> Option<Self> {
        let mut next = self.clone();
        match self.place(held.client) {
            Ok(at) if self.held[at].attempt < held.attempt => next.held[at] = held,
            Err(at) if self.held.len() < self.capacity as usize => next.held.insert(at, held),
            Ok(_) | Err(_) => return None,
        }
        Some(next)
    }

    fn granted(&self, asked: &Asked, attempt: u64, fence: Option<u64>) -> Option<Self> {
        if fence.is_some() && fence <= self.fence {
            return None;
        }
        let mut next = self.with(Held {
            client: asked.client,
            attempt,
            until: until(asked)?,
            is_known: true,
        })?;
        next.fence = fence.or(self.fence);
        Some(next)
    }

    /// A grant that nobody has heard of: it may be over at any time.
    fn unheard(&self, asked: &Asked, attempt: u64) -> Option<Self> {
        self.with(Held {
            client: asked.client,
            attempt,
            until: asked.start,
            is_known: false,
        })
    }
}

impl Model for Slots {
    type Op = Op;
    type Reply = Reply;
    type State = State;

    fn start(&self) -> State {
        State {
            capacity: self.capacity,
            fence: None,
            held: Vec::new(),
        }
    }

    fn step(&self, state: &State, asked: &Asked, next: &mut Vec<State>) {
        let client = asked.client;
        let own = state.place(client).ok().map(|at| state.held[at]);
        let holds = |attempt| own.is_some_and(|h| h.is_known && h.attempt == attempt);
        let same = || Some(state.clone());
        let new = match (asked.op, asked.reply()) {
            (Op::Acquire { attempt }, Some(Reply::Granted { fence, .. })) => {
                state.granted(asked, attempt, *fence)
            }
            (Op::Acquire { .. }, Some(_)) if self.is_lock && state.held.is_empty() => None,
            (Op::Acquire { .. }, Some(_)) => same(),
            (Op::Acquire { attempt }, None) => state.unheard(asked, attempt),
            (Op::Renew { attempt } | Op::Release { attempt }, Some(Reply::Lost)) => {
                if holds(attempt) { None } else { same() }
            }
            (Op::Renew { attempt }, Some(_)) if holds(attempt) => same().map(|mut next| {
                let at = next.place(client).expect("it holds a slot");
                let until = until(asked).unwrap_or(0);
                next.held[at].until = next.held[at].until.max(until);
                next
            }),
            (Op::Renew { .. }, _) => None,
            (Op::Release { attempt }, _) => holds(attempt).then(|| state.without(client)),
            (Op::Cancel { attempt }, _) => {
                if own.is_some_and(|held| held.attempt <= attempt) {
                    Some(state.without(client))
                } else {
                    same()
                }
            }
            (Op::Resize { capacity }, _) => Some(State {
                capacity,
                ..state.clone()
            }),
            (Op::Expire { attempt, until }, _) => {
                let ends = own.is_some_and(|h| h.attempt == attempt && h.until == until);
                ends.then(|| state.without(client))
            }
        };
        next.extend(new);
    }

    fn hopeless(&self, state: &State, asked: &Asked) -> bool {
        matches!(asked.reply(), Some(Reply::Granted { fence: Some(fence), .. })
            if Some(*fence) <= state.fence)
    }

    fn internal(&self, operations: &[Asked]) -> Vec<Asked> {
        let ends = operations.iter().filter_map(|asked| match asked.op {
            Op::Acquire { attempt } | Op::Renew { attempt } => {
                let until = match (asked.op, &asked.answer) {
                    (Op::Acquire { .. }, None) => asked.start,
                    _ => until(asked).filter(|until| *until != u64::MAX)?,
                };
                Some(Asked {
                    start: until,
                    op: Op::Expire { attempt, until },
                    answer: None,
                    ..*asked
                })
            }
            _ => None,
        });
        ends.collect()
    }

    fn shortcut(
        &self,
        operations: &[Asked],
        name: &dyn Fn(u32) -> String,
    ) -> Option<Result<(), String>> {
        holds::decide(self, operations, name)
    }

    fn parts(&self, operations: &[Asked]) -> Vec<Vec<usize>> {
        parts::parts(operations, self.is_lock)
    }
}
