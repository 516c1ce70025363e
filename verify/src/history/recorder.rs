//! Records what real clients do, from any number of threads.

use std::sync::{Mutex, PoisonError};

use super::{Answer, History};

/// Collects operations. Time is given by the caller: nanoseconds of one
/// monotone clock that all threads share, read before the request is sent and
/// after the answer has come.
#[derive(Debug)]
pub struct Recorder<O, R> {
    history: Mutex<History<O, R>>,
}

/// An operation under way. To drop it is to say that its outcome is unknown.
#[derive(Debug)]
pub struct Ticket(usize);

impl<O, R> Default for Recorder<O, R> {
    fn default() -> Self {
        Self {
            history: Mutex::default(),
        }
    }
}

impl<O, R> Recorder<O, R> {
    /// The client is about to ask.
    #[must_use = "without it the answer cannot be recorded"]
    pub fn begin(&self, client: &str, key: &str, now: u64, op: O) -> Ticket {
        Ticket(self.locked(|history| history.begin(client, key, now, op)))
    }

    /// The client was answered.
    pub fn finish(&self, ticket: Ticket, now: u64, reply: R) {
        self.locked(|history| {
            let operation = &mut history.operations[ticket.0];
            let end = now.max(operation.start);
            operation.answer = Some(Answer { end, reply });
        });
    }

    /// What was recorded. Operations still under way have unknown outcomes.
    #[must_use]
    pub fn into_history(self) -> History<O, R> {
        let inner = self.history.into_inner();
        inner.unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread that panicked elsewhere leaves nothing half-written here.
    fn locked<T>(&self, change: impl FnOnce(&mut History<O, R>) -> T) -> T {
        change(&mut self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
