//! The concurrent part of the limiter: one mutex around the verified
//! [`Slots`], and a waker for everyone in line.
//!
//! The problem is not who is next (that is decided by `Slots`, and only there)
//! but the gap between a grant and its delivery. A grant is made by whoever
//! releases, on another thread, while the waiter's future may be polled,
//! moved to another task, timed out or dropped. Two rules close the gap:
//!
//! * A waiter's place and its waker appear in *one* critical section, and a
//!   grant marks the place in the same critical section in which `Slots` made
//!   it. So a future that looks at its place sees the truth, and a grant always
//!   finds a waker (B17).
//! * A future that goes away, in whatever state, cancels by its id; `Slots`
//!   knows whether there is a slot to pass on. So a dropped future neither
//!   keeps a slot nor eats a wake-up (B16, B25).
//!
//! Wakers run user code, and so does dropping one (it may drop a task that owns
//! a [`Permit`] of this very limiter): both happen after the lock is let go.
//!
//! **Time.** A slot here has no lease, so time matters only to those who wait.
//! When a slot is free and nobody waits, the last reading is passed to `Slots`
//! instead of a new one, which saves most of the cost of a permit; whenever
//! somebody is in line, or is about to be, the clock is read.
//!
//! *Rejected:* a lock-free fast path beside the table (a counter of free slots,
//! as in tokio's semaphore) would be faster, but would be a second truth beside
//! the verified one (B20).
//!
//! Everything that this file takes from the outside comes through
//! `super::sync`, so that loom and shuttle run this very source.

use core::fmt;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker, ready};
use std::sync::PoisonError;
use std::time::Duration;

use sluice_core::slots::{
    Class, Config, ConfigError, Ended, Event, Fence, Nonce, Outcome, Rejected, Slots, Status,
};
use sluice_core::time::StoreTime;

use super::sync::{self, Arc, Clock, Flaw, Mutex, Timer, planted};

/// Lets at most `capacity` callers in at a time; everyone else waits in line.
///
/// Clones share one table. See the [module](self) for an example.
#[derive(Clone)]
pub struct Limiter {
    gate: Arc<Gate>,
}

/// Why [`Limiter::acquire`] gave no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AcquireError {
    /// The queue is at its limit; the caller was not let into it.
    Full,
    /// The caller waited as long as it may.
    TimedOut,
    /// [`Limiter::close`] was called.
    Closed,
}

/// Why [`Limiter::try_acquire`] gave no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TryAcquireError {
    /// No slot is free, or someone is ahead in line.
    Busy,
    /// [`Limiter::close`] was called.
    Closed,
}

impl Limiter {
    pub(super) fn start(config: Config, clock: Clock) -> Result<Self, ConfigError> {
        Ok(Self {
            gate: Arc::new(Gate {
                table: Mutex::new(Table {
                    slots: Slots::new(config, Clock::first_fence())?,
                    places: Vec::new(),
                    free: Vec::new(),
                    in_line: 0,
                    now: StoreTime::default(),
                    out_of_time: 0,
                    closed: false,
                }),
                wait_timeout_ms: config.wait_timeout_ms,
                clock,
            }),
        })
    }

    /// Waits for a slot, in strict FIFO order. The place in line is taken at
    /// the first poll; dropping the future gives it up.
    ///
    /// Cancel-safe: dropping the future before, during or after the grant
    /// leaks nothing, and whoever is next is woken. O(log n) in those waiting.
    ///
    /// # Errors
    /// [`AcquireError`]: queue full, waited too long, or limiter closed.
    ///
    /// # Panics
    /// If it has to wait with a timeout outside a tokio runtime with time
    /// enabled. Without a timeout any executor will do.
    pub fn acquire(&self) -> Acquire<'_> {
        Acquire {
            gate: &self.gate,
            step: Step::Outside,
            class: Class::ZERO,
            patience: None,
            deadline: None,
            timer: None,
        }
    }

    /// Like [`Limiter::acquire`], waiting for at most `patience` (or for the
    /// limiter's own wait timeout, if that is shorter).
    ///
    /// # Errors
    /// [`AcquireError`]; after `patience`, [`AcquireError::TimedOut`].
    pub fn acquire_timeout(&self, patience: Duration) -> Acquire<'_> {
        self.acquire().within(patience)
    }

    /// Takes a slot if one is free now and nobody is ahead in line.
    ///
    /// # Errors
    /// [`TryAcquireError`]: busy, or closed.
    pub fn try_acquire(&self) -> Result<Permit, TryAcquireError> {
        let mut table = self.gate.lock();
        if table.closed {
            return Err(TryAcquireError::Closed);
        }
        let now = table.time(&self.gate.clock);
        let id = table.take_id();
        let reply = table.slots.acquire(now, id, NONCE, Class::ZERO, false);
        let grant = match reply.outcome {
            Outcome::Granted { fence, wait_ms, .. } => Some((fence, wait_ms)),
            Outcome::Rejected(Rejected::Busy) => {
                table.free.push(id);
                None
            }
            other => unreachable!("a join without waiting is granted or busy, not {other:?}"),
        };
        let wakes = table.settle();
        drop(table);
        self.gate.follow_up(wakes, reply.more);
        match grant {
            Some((fence, wait_ms)) => Ok(self.gate.permit(id, fence, wait_ms)),
            None => Err(TryAcquireError::Busy),
        }
    }

    /// Changes the capacity, and says what it was. Growing lets waiters in at
    /// once; shrinking evicts nobody, and nobody is let in until enough
    /// holders have left.
    ///
    /// # Errors
    /// [`ConfigError::Capacity`]: nothing was changed.
    pub fn resize(&self, capacity: u32) -> Result<u32, ConfigError> {
        let mut table = self.gate.lock();
        let now = table.time(&self.gate.clock);
        let reply = table.slots.resize(now, capacity)?;
        let from = match reply.outcome {
            Outcome::Resized { from } => from,
            other => unreachable!("a resize answers with the capacity before, not {other:?}"),
        };
        let wakes = table.settle();
        drop(table);
        self.gate.follow_up(wakes, reply.more);
        Ok(from)
    }

    /// Lets nobody in any more: all who wait, and all who come, get
    /// [`AcquireError::Closed`]. Permits stay good. O(n log n) in those waiting.
    pub fn close(&self) {
        let mut table = self.gate.lock();
        table.closed = true;
        let now = table.time(&self.gate.clock);
        let mut wakes = Wakes::default();
        for id in 0..table.places.len() as u64 {
            if matches!(table.places[id as usize], Place::Waiting(_)) {
                table.slots.cancel(now, &id, NONCE);
                wakes.take(table.resolve(id, Place::Failed(AcquireError::Closed)));
                table.settle_into(&mut wakes);
            }
        }
        drop(table);
        wakes.wake();
    }

    /// Whether [`Limiter::close`] was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.gate.lock().closed
    }

    /// The state of the slots, and how many waiters left by their own
    /// deadline (which `Slots` counts as cancelled).
    pub(super) fn snapshot(&self) -> (Status, u64) {
        let table = self.gate.lock();
        (table.slots.status(), table.out_of_time)
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (status, _) = self.snapshot();
        f.debug_struct("Limiter")
            .field("capacity", &status.config.capacity)
            .field("held", &status.held)
            .field("waiting", &status.waiting)
            .finish_non_exhaustive()
    }
}

/// The future of [`Limiter::acquire`].
#[must_use = "a future takes its place in line when it is first polled"]
pub struct Acquire<'a> {
    gate: &'a Arc<Gate>,
    step: Step,
    class: Class,
    patience: Option<Duration>,
    /// When the wait is over, by the caller's patience alone; set in line.
    deadline: Option<StoreTime>,
    timer: Option<Timer>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Outside,
    InLine(u64),
    Through,
}

impl Acquire<'_> {
    /// Waits for at most `patience`, counted from the first poll.
    pub fn within(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Joins in this priority class (R1.14). Without boosts in the limiter's
    /// configuration all classes are alike.
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// First poll: in, out, or in line with the waker left at the place.
    #[inline]
    fn join(&mut self, cx: &mut Context<'_>) -> Poll<Result<Permit, AcquireError>> {
        let gate = self.gate;
        let mut table = gate.lock();
        if table.closed {
            self.step = Step::Through;
            return Poll::Ready(Err(AcquireError::Closed));
        }
        if !table.slots.is_open() {
            // The wait begins now.
            table.now = gate.clock.now();
        }
        let now = table.now;
        let id = table.take_id();
        let reply = table.slots.acquire(now, id, NONCE, self.class, true);
        let result = match reply.outcome {
            Outcome::Granted { fence, wait_ms, .. } => Poll::Ready(Ok((fence, wait_ms))),
            Outcome::Rejected(Rejected::Full) => {
                table.free.push(id);
                Poll::Ready(Err(AcquireError::Full))
            }
            Outcome::Waiting { .. } => {
                table.in_line += 1;
                let waker = (!planted(Flaw::LostWakeUp)).then(|| cx.waker().clone());
                table.places[id as usize] = Place::Waiting(waker);
                Poll::Pending
            }
            other => unreachable!("a new id is granted, full or waiting, not {other:?}"),
        };
        let wakes = table.settle();
        drop(table);
        gate.follow_up(wakes, reply.more);
        match result {
            Poll::Ready(result) => {
                self.step = Step::Through;
                Poll::Ready(result.map(|(fence, wait_ms)| gate.permit(id, fence, wait_ms)))
            }
            Poll::Pending => {
                self.step = Step::InLine(id);
                self.settle_in(now, id, cx)
            }
        }
    }

    /// Just in line: sets the timer, if the wait has an end.
    fn settle_in(
        &mut self,
        now: StoreTime,
        id: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Permit, AcquireError>> {
        if planted(Flaw::LostWakeUp) {
            let mut table = self.gate.lock();
            if let Place::Waiting(waker) = &mut table.places[id as usize] {
                *waker = Some(cx.waker().clone());
            }
        }
        self.deadline = self.patience.map(|patience| {
            let ms = patience.as_nanos().div_ceil(1_000_000);
            now.plus(
                u64::try_from(ms)
                    .unwrap_or(u64::MAX)
                    .min(Config::DURATION_MS_MAX),
            )
        });
        let theirs = self.gate.wait_timeout_ms.map(|ms| now.plus(ms));
        let Some(at) = self.deadline.into_iter().chain(theirs).min() else {
            return Poll::Pending;
        };
        let timer = self.timer.insert(Timer::new(&self.gate.clock, at));
        match timer.poll(cx) {
            Poll::Ready(()) => self.look(id, cx),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Polled in line: what has become of the place?
    fn look(&mut self, id: u64, cx: &mut Context<'_>) -> Poll<Result<Permit, AcquireError>> {
        let gate = self.gate;
        let fired = self
            .timer
            .as_mut()
            .is_some_and(|timer| timer.poll(cx).is_ready());
        let mut wakes = Wakes::default();
        let mut table = gate.lock();
        let more = fired && table.time_out(id, self.deadline, &gate.clock, &mut wakes);
        let end = match &mut table.places[id as usize] {
            Place::Waiting(waker) => {
                if !waker
                    .as_ref()
                    .is_some_and(|waker| waker.will_wake(cx.waker()))
                {
                    wakes.discard(waker.replace(cx.waker().clone()));
                }
                None
            }
            place => Some(mem::replace(place, Place::Idle)),
        };
        if let Some(Place::Failed(_)) = end {
            table.free.push(id);
        }
        drop(table);
        gate.follow_up(wakes, more);
        let Some(end) = end else {
            if fired {
                // The timer was ahead of the clock; they agree within a tick.
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        };
        self.step = Step::Through;
        self.timer = None;
        Poll::Ready(match end {
            Place::Granted { fence, wait_ms } => Ok(gate.permit(id, fence, wait_ms)),
            Place::Failed(error) => Err(error),
            Place::Idle | Place::Waiting(_) => unreachable!("place {id} belongs to this future"),
        })
    }
}

impl Future for Acquire<'_> {
    type Output = Result<Permit, AcquireError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A task that never has to wait still yields now and then.
        let budget = ready!(sync::poll_proceed(cx));
        let this = self.get_mut();
        let poll = match this.step {
            Step::Outside => this.join(cx),
            Step::InLine(id) => this.look(id, cx),
            Step::Through => panic!("`Acquire` was polled after it had completed"),
        };
        if poll.is_ready() {
            budget.made_progress();
        }
        poll
    }
}

impl Drop for Acquire<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Step::InLine(id) = self.step {
            self.gate.leave(id);
        }
    }
}

impl fmt::Debug for Acquire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire")
            .field("step", &self.step)
            .field("class", &self.class)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// A slot that is held. Dropping it, on whatever thread and also while
/// unwinding, gives the slot to the next in line. It owns its share of the
/// limiter, so it may outlive every [`Limiter`] handle.
#[must_use = "dropping the permit gives the slot back at once"]
pub struct Permit {
    gate: Arc<Gate>,
    id: u64,
    fence: Fence,
    wait_ms: u64,
}

impl Permit {
    /// The fencing number of this grant: larger than that of every grant
    /// before it. To be shown to a resource that checks such numbers.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// How long the caller waited in line, to the millisecond.
    #[must_use]
    pub fn wait_time(&self) -> Duration {
        Duration::from_millis(self.wait_ms)
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        self.gate.release(self.id, self.fence);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("fence", &self.fence)
            .field("wait_time", &self.wait_time())
            .finish_non_exhaustive()
    }
}

/// Each id has one attempt at a time and leaves no tombstone, so the number of
/// the attempt never changes.
const NONCE: Nonce = 1;

struct Gate {
    table: Mutex<Table>,
    clock: Clock,
    /// As in the configuration of `table.slots`; it never changes.
    wait_timeout_ms: Option<u64>,
}

/// What the mutex guards. An id is an index into `places`; it is in `free`
/// unless a future in line or a permit has it.
struct Table {
    slots: Slots<u64>,
    places: Vec<Place>,
    free: Vec<u64>,
    /// How many of `places` are `Waiting`.
    in_line: usize,
    /// The last reading of the clock.
    now: StoreTime,
    /// Waiters that left by their own deadline.
    out_of_time: u64,
    closed: bool,
}

/// What a future in line finds when it looks.
enum Place {
    /// Free, or held by a permit.
    Idle,
    /// In line. The waker is there whenever the lock is free.
    Waiting(Option<Waker>),
    /// A slot, not picked up yet.
    Granted { fence: Fence, wait_ms: u64 },
    /// No slot, and no place in line any more; not picked up yet.
    Failed(AcquireError),
}

impl Gate {
    /// A panic while the lock was held is a bug of ours and was reported as
    /// one; the table is a table still, and permits must come back while other
    /// tasks unwind.
    #[inline]
    fn lock(&self) -> sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn permit(self: &Arc<Self>, id: u64, fence: Fence, wait_ms: u64) -> Permit {
        Permit {
            gate: Arc::clone(self),
            id,
            fence,
            wait_ms,
        }
    }

    #[inline]
    fn release(&self, id: u64, fence: Fence) {
        let mut table = self.lock();
        let now = table.time(&self.clock);
        let reply = table.slots.release(now, &id, fence);
        debug_assert_eq!(reply.outcome, Outcome::Released, "a permit is a slot held");
        table.free.push(id);
        let wakes = table.settle();
        drop(table);
        self.follow_up(wakes, reply.more);
    }

    /// A future in line is dropped: whatever it has, `Slots` passes it on.
    fn leave(&self, id: u64) {
        let mut table = self.lock();
        let now = table.time(&self.clock);
        let mut wakes = Wakes::default();
        let mut more = false;
        match table.resolve(id, Place::Idle) {
            Place::Granted { .. } if planted(Flaw::PermitLeak) => {}
            Place::Granted { .. } => more = table.slots.cancel(now, &id, NONCE).more,
            Place::Waiting(waker) => {
                more = table.slots.cancel(now, &id, NONCE).more;
                wakes.discard(waker);
            }
            Place::Failed(_) => {}
            Place::Idle => unreachable!("place {id} belongs to the future that leaves"),
        }
        table.free.push(id);
        table.settle_into(&mut wakes);
        drop(table);
        self.follow_up(wakes, more);
    }

    /// What is to be done after the lock was let go: wake, and go on while an
    /// operation has left work over.
    #[inline]
    fn follow_up(&self, wakes: Wakes, more: bool) {
        wakes.wake();
        if more {
            self.sweep();
        }
    }

    #[cold]
    fn sweep(&self) {
        loop {
            let mut table = self.lock();
            let now = table.time(&self.clock);
            let more = table.slots.sweep(now).more;
            let wakes = table.settle();
            drop(table);
            wakes.wake();
            if !more {
                return;
            }
        }
    }
}

impl Table {
    /// The time to pass to `Slots`: a new reading only if anyone is in line
    /// (see the head of this file).
    #[inline]
    fn time(&mut self, clock: &Clock) -> StoreTime {
        if self.in_line > 0 {
            self.now = clock.now();
        }
        self.now
    }

    #[inline]
    fn take_id(&mut self) -> u64 {
        self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::Idle);
            // So that giving an id back never allocates.
            self.free.reserve(self.places.len());
            self.places.len() as u64 - 1
        })
    }

    /// Ends the wait of `id`, if it waits, and hands out what its place was.
    fn resolve(&mut self, id: u64, place: Place) -> Place {
        let before = mem::replace(&mut self.places[id as usize], place);
        if let Place::Waiting(_) = before {
            self.in_line -= 1;
        }
        before
    }

    #[inline]
    fn settle(&mut self) -> Wakes {
        let mut wakes = Wakes::default();
        self.settle_into(&mut wakes);
        wakes
    }

    /// Drains the events of `Slots` into the places.
    #[inline]
    fn settle_into(&mut self, wakes: &mut Wakes) {
        while let Some(event) = self.slots.poll_event() {
            let (id, place) = match event {
                Event::Granted {
                    id, fence, wait_ms, ..
                } => (id, Place::Granted { fence, wait_ms }),
                Event::Ended { id, how, .. } => {
                    debug_assert_eq!(how, Ended::TimedOut, "no lease and no presence here");
                    (id, Place::Failed(AcquireError::TimedOut))
                }
            };
            wakes.take(self.resolve(id, place));
        }
    }

    /// The timer of `id` has fired. `Slots` judges its own timeout; if it
    /// leaves the place in line, the caller's own `deadline` is looked at.
    /// Whether work is left over.
    fn time_out(
        &mut self,
        id: u64,
        deadline: Option<StoreTime>,
        clock: &Clock,
        wakes: &mut Wakes,
    ) -> bool {
        let now = self.time(clock);
        let mut more = true;
        while more && self.waits(id) {
            more = self.slots.sweep(now).more;
            self.settle_into(wakes);
        }
        if self.waits(id) && deadline.is_some_and(|deadline| deadline <= now) {
            more = self.slots.cancel(now, &id, NONCE).more;
            self.out_of_time += 1;
            wakes.take(self.resolve(id, Place::Failed(AcquireError::TimedOut)));
            self.settle_into(wakes);
        }
        more
    }

    fn waits(&self, id: u64) -> bool {
        matches!(self.places[id as usize], Place::Waiting(_))
    }
}

/// Wakers to be called, or dropped, when the lock has been let go. Nearly
/// always there is at most one, so that nothing is allocated.
#[derive(Default)]
struct Wakes {
    first: Option<Waker>,
    rest: Vec<Waker>,
    dead: Option<Waker>,
}

impl Wakes {
    #[inline]
    fn take(&mut self, place: Place) {
        if let Place::Waiting(Some(waker)) = place {
            match self.first {
                None => self.first = Some(waker),
                Some(_) => self.rest.push(waker),
            }
        }
    }

    fn discard(&mut self, waker: Option<Waker>) {
        debug_assert!(self.dead.is_none(), "a future has one waker");
        self.dead = waker;
    }

    #[inline]
    fn wake(self) {
        if let Some(waker) = self.first {
            waker.wake();
            self.rest.into_iter().for_each(Waker::wake);
        }
    }
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => {
                "the limiter's queue is full: refuse the request, or raise the queue limit"
            }
            Self::TimedOut => "no slot became free in time: try again later, or wait longer",
            Self::Closed => "the limiter is closed: it is not going to let anyone in",
        })
    }
}

impl core::error::Error for AcquireError {}

impl fmt::Display for TryAcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "the limiter has no free slot: wait with `acquire`, or try again later",
            Self::Closed => "the limiter is closed: it is not going to let anyone in",
        })
    }
}

impl core::error::Error for TryAcquireError {}
