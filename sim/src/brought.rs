//! Async code, brought as it is, as a program of the world.
//!
//! Write against [`Redis`], and the same `async fn` runs here, where every
//! delay and every fault is decided, and in production, over a real client.
//!
//! A future can neither be copied nor compared. So a copy of the program is
//! made by *re-execution*: a new future is given everything that the first has
//! observed (replies, failures, wake-ups, the times of each), in the same
//! order; and what it has observed is its identity. That costs as much as the
//! run so far: random search and replay never copy.
//!
//! Brought code must be deterministic: time from [`Redis::now`], waiting by
//! [`Redis::sleep`], no threads, no global randomness.

use core::fmt;
use core::future::Future;
use core::hash::{Hash, Hasher};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use sluice_core::client::{Event, Failure, Input, Output, RequestId};
use sluice_core::redis::{Command, Reply};
use sluice_core::time::LocalTime;

use crate::world::Program;

/// What brought code may do. In production a few lines over a Redis client.
#[allow(
    async_fn_in_trait,
    reason = "simulated futures are not Send, and need not be"
)]
pub trait Redis {
    /// Executes one command.
    ///
    /// # Errors
    /// The connection failed: whether the command was executed is then unknown,
    /// unless the failure is [`Failure::NotSent`]. An error *reply* is a reply.
    async fn call(&self, command: Command) -> Result<Reply, Failure>;

    /// Waits.
    async fn sleep(&self, time: Duration);

    /// Time by this process's own clock, since some moment.
    fn now(&self) -> Duration;

    /// From here on this client acts as one that was let in. Shown in pictures
    /// and counted by invariants; costs nothing in production.
    fn enter(&self) {}

    /// It does so no more.
    fn leave(&self) {}
}

/// The world's own [`Redis`].
#[derive(Clone, Debug)]
pub struct Simulated {
    shared: Rc<RefCell<Shared>>,
}

/// What the future and its program have in common.
#[derive(Debug, Default)]
struct Shared {
    now: LocalTime,
    requests: u64,
    answers: BTreeMap<u64, Result<Reply, Failure>>,
    timers: BTreeMap<u64, LocalTime>,
    timers_made: u64,
    outputs: VecDeque<Output>,
    inside: bool,
}

impl Redis for Simulated {
    async fn call(&self, command: Command) -> Result<Reply, Failure> {
        let id = {
            let mut shared = self.shared.borrow_mut();
            shared.requests += 1;
            let id = shared.requests;
            let request = RequestId(id);
            shared.outputs.push_back(Output::Send { request, command });
            id
        };
        let shared = &self.shared;
        core::future::poll_fn(|_| match shared.borrow_mut().answers.remove(&id) {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        })
        .await
    }

    async fn sleep(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mut timer = Timer {
            shared: &self.shared,
            id: None,
            nanos,
        };
        core::future::poll_fn(|_| timer.poll()).await;
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.shared.borrow().now.0)
    }

    fn enter(&self) {
        self.pass(
            true,
            Event::Granted {
                fence: 0,
                until: None,
                wait_ms: 0,
            },
        );
    }

    fn leave(&self) {
        self.pass(false, Event::Released);
    }
}

impl Simulated {
    fn pass(&self, inside: bool, event: Event) {
        let mut shared = self.shared.borrow_mut();
        if shared.inside != inside {
            shared.inside = inside;
            shared.outputs.push_back(Output::Tell(event));
        }
    }
}

/// Runs from its first poll; forgotten when it is dropped.
struct Timer<'a> {
    shared: &'a RefCell<Shared>,
    id: Option<u64>,
    nanos: u64,
}

impl Timer<'_> {
    fn poll(&mut self) -> Poll<()> {
        let mut shared = self.shared.borrow_mut();
        let id = *self.id.get_or_insert_with(|| {
            shared.timers_made += 1;
            let (id, at) = (shared.timers_made, shared.now.0.saturating_add(self.nanos));
            shared.timers.insert(id, LocalTime(at));
            id
        });
        if shared.timers.get(&id).is_none_or(|at| *at <= shared.now) {
            shared.timers.remove(&id);
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.shared.borrow_mut().timers.remove(&id);
        }
    }
}

type Brought = Pin<Box<dyn Future<Output = ()>>>;

/// One process with one client that runs brought code. A process that crashes
/// starts it from the beginning.
pub struct AsyncProgram {
    make: Rc<dyn Fn(Simulated) -> Brought>,
    shared: Rc<RefCell<Shared>>,
    future: Option<Brought>,
    started: bool,
    /// All that it has observed since its start, with the time of each.
    observed: Vec<(LocalTime, Input)>,
    /// Outputs that the world has taken.
    taken: usize,
}

impl AsyncProgram {
    /// A client that runs what `make` makes.
    pub fn new<F: Future<Output = ()> + 'static>(make: impl Fn(Simulated) -> F + 'static) -> Self {
        Self::of(Rc::new(move |redis| Box::pin(make(redis))))
    }

    fn of(make: Rc<dyn Fn(Simulated) -> Brought>) -> Self {
        let shared = Rc::<RefCell<Shared>>::default();
        let redis = Simulated {
            shared: shared.clone(),
        };
        Self {
            future: Some(make(redis)),
            make,
            shared,
            started: false,
            observed: Vec::new(),
            taken: 0,
        }
    }

    /// Whether it has entered and not left.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.shared.borrow().inside
    }

    /// Whether its code has come to an end.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.future.is_none()
    }

    fn observe(&mut self, now: LocalTime, input: Input) {
        self.started = true;
        {
            let mut shared = self.shared.borrow_mut();
            shared.now = now;
            match &input {
                Input::Reply(request, reply) => {
                    shared.answers.insert(request.0, Ok(reply.clone()));
                }
                Input::Failed(request, failure) => {
                    shared.answers.insert(request.0, Err(*failure));
                }
                // There are no subscriptions, and nothing is asked of it.
                Input::Wake
                | Input::Ask(_)
                | Input::Subscribed
                | Input::Unsubscribed
                | Input::Message(_) => {}
            }
        }
        if let Some(future) = &mut self.future {
            // Whatever it waits for is looked at again: nothing needs waking.
            let mut context = Context::from_waker(Waker::noop());
            if future.as_mut().poll(&mut context).is_ready() {
                self.future = None;
            }
        }
        self.observed.push((now, input));
    }
}

impl Program for AsyncProgram {
    fn handle(&mut self, now: LocalTime, _actor: u16, input: Input) {
        self.observe(now, input);
    }

    fn poll_output(&mut self) -> Option<(u16, Output)> {
        let output = self.shared.borrow_mut().outputs.pop_front()?;
        self.taken += 1;
        Some((0, output))
    }

    fn deadline(&self) -> Option<(LocalTime, u16, &'static str)> {
        let shared = self.shared.borrow();
        if !self.started {
            return Some((shared.now, 0, "start"));
        }
        self.future.as_ref()?;
        let next = shared.timers.values().min()?;
        Some((*next, 0, "sleep"))
    }

    fn restart(&mut self, now: LocalTime) {
        *self = Self::of(self.make.clone());
        self.shared.borrow_mut().now = now;
    }
}

impl Clone for AsyncProgram {
    fn clone(&self) -> Self {
        let mut copy = Self::of(self.make.clone());
        for (now, input) in &self.observed {
            copy.observe(*now, input.clone());
        }
        copy.started = self.started;
        let mut shared = copy.shared.borrow_mut();
        shared.outputs.drain(..self.taken);
        shared.now = self.shared.borrow().now;
        drop(shared);
        copy.taken = self.taken;
        copy
    }
}

impl Hash for AsyncProgram {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.observed.hash(state);
        self.taken.hash(state);
    }
}

impl fmt::Debug for AsyncProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncProgram")
            .field("observed", &self.observed)
            .field("done", &self.is_done())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn counts(redis: Simulated) {
        redis.sleep(Duration::from_millis(5)).await;
        let Ok(Reply::Int(n)) = redis.call(Command::new("INCR").arg("n")).await else {
            return;
        };
        if n < 3 {
            redis.enter();
            redis.sleep(Duration::from_millis(7)).await;
            redis.leave();
        }
    }

    fn drained(program: &mut AsyncProgram) -> Vec<Output> {
        std::iter::from_fn(|| program.poll_output().map(|(_, output)| output)).collect()
    }

    #[test]
    fn a_copy_goes_on_where_the_first_one_is() {
        let ms = |n: u64| LocalTime(n * 1_000_000);
        let mut program = AsyncProgram::new(counts);
        assert_eq!(program.deadline().map(|d| d.2), Some("start"));
        program.handle(ms(0), 0, Input::Wake);
        assert_eq!(program.deadline(), Some((ms(5), 0, "sleep")));
        assert!(drained(&mut program).is_empty());
        // A wake-up too early changes nothing.
        program.handle(ms(4), 0, Input::Wake);
        assert_eq!(program.deadline(), Some((ms(5), 0, "sleep")));
        program.handle(ms(5), 0, Input::Wake);
        let mut copy = program.clone();
        for one in [&mut program, &mut copy] {
            assert!(matches!(
                drained(one)[..],
                [Output::Send {
                    request: RequestId(1),
                    ..
                }]
            ));
            assert!(!one.is_inside() && !one.is_done());
            one.handle(ms(6), 0, Input::Reply(RequestId(1), Reply::Int(1)));
            assert!(one.is_inside());
            assert!(matches!(
                drained(one)[..],
                [Output::Tell(Event::Granted { .. })]
            ));
            one.handle(ms(13), 0, Input::Wake);
            assert!(!one.is_inside() && one.is_done() && one.deadline().is_none());
        }
        assert!(program.clone().is_done());
    }

    #[test]
    fn a_crash_starts_it_again_and_an_unknown_outcome_is_told() {
        let mut program = AsyncProgram::new(counts);
        program.handle(LocalTime(0), 0, Input::Wake);
        program.handle(LocalTime(5_000_000), 0, Input::Wake);
        drained(&mut program);
        let mut crashed = program.clone();
        program.handle(
            LocalTime(6_000_000),
            0,
            Input::Failed(RequestId(1), Failure::Unknown),
        );
        assert!(program.is_done());
        crashed.restart(LocalTime(9_000_000));
        assert_eq!(crashed.deadline(), Some((LocalTime(9_000_000), 0, "start")));
        crashed.handle(LocalTime(9_000_000), 0, Input::Wake);
        assert_eq!(crashed.deadline().map(|d| d.0), Some(LocalTime(14_000_000)));
    }
}
