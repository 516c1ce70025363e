//! [`Limiter`], and what its callers hold: a future while they are in line, a
//! permit while they are in. What happens between them is in `table`.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::time::Duration;

use sluice_core::slots::{Class, Config, ConfigError, Fence, Status};
use sluice_core::time::StoreTime;

use super::sync::{Arc, Clock, Timer, poll_proceed};
use super::table::{Gate, Grant, Id, InLine, Joined};

/// Lets at most `capacity` callers in at a time; everyone else waits in line.
///
/// Clones share one table.
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
            gate: Arc::new(Gate::new(config, clock)?),
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
    #[inline]
    pub fn acquire(&self) -> Acquire<'_> {
        Acquire {
            gate: &self.gate,
            step: Step::Outside,
            class: Class::ZERO,
            patience: None,
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
        match self.gate.try_join() {
            Ok(Some(grant)) => Ok(Permit::new(&self.gate, grant)),
            Ok(None) => Err(TryAcquireError::Busy),
            Err(_) => Err(TryAcquireError::Closed),
        }
    }

    /// Changes the capacity, and says what it was. Growing lets waiters in at
    /// once; shrinking evicts nobody, and nobody is let in until enough
    /// holders have left.
    ///
    /// # Errors
    /// [`ConfigError::Capacity`]: nothing was changed.
    pub fn resize(&self, capacity: u32) -> Result<u32, ConfigError> {
        self.gate.resize(capacity)
    }

    /// Lets nobody in any more: all who wait, and all who come, get
    /// [`AcquireError::Closed`]. Permits, and grants under way, stay good.
    /// O(n log n) in those waiting.
    pub fn close(&self) {
        self.gate.close();
    }

    /// Whether [`Limiter::close`] was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.gate.is_closed()
    }

    pub(super) fn snapshot(&self) -> (Status, u64) {
        self.gate.snapshot()
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
}

enum Step {
    Outside,
    InLine {
        id: Id,
        /// When the wait is over by `patience`.
        deadline: Option<StoreTime>,
        /// Set if the wait has an end.
        timer: Option<Timer>,
    },
    Through,
}

impl Acquire<'_> {
    /// Waits for at most `patience`, counted from the first poll, in whole
    /// milliseconds, rounded up.
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

    /// In line now: sets the timer, if the wait has an end.
    #[inline]
    fn wait(
        &mut self,
        InLine { id, at }: InLine,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Grant, AcquireError>> {
        let deadline = self.patience.map(|patience| {
            let ms = u64::try_from(patience.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
            at.plus(ms.min(Config::DURATION_MS_MAX))
        });
        let theirs = self.gate.wait_timeout_ms.map(|ms| at.plus(ms));
        let first = deadline.into_iter().chain(theirs).min();
        // Before the timer, which may panic: then the place is given up.
        let timer = None;
        self.step = Step::InLine {
            id,
            deadline,
            timer,
        };
        let (Some(first), Step::InLine { timer, .. }) = (first, &mut self.step) else {
            return Poll::Pending;
        };
        let timer = timer.insert(Timer::new(&self.gate.clock, first));
        match timer.poll(cx) {
            Poll::Ready(()) => self.look(cx),
            Poll::Pending => Poll::Pending,
        }
    }

    fn look(&mut self, cx: &mut Context<'_>) -> Poll<Result<Grant, AcquireError>> {
        let Step::InLine {
            id,
            deadline,
            timer,
        } = &mut self.step
        else {
            panic!("`Acquire` was polled after it had completed")
        };
        let fired = timer
            .as_mut()
            .is_some_and(|timer| timer.poll(cx).is_ready());
        let poll = self.gate.look(*id, cx.waker(), fired, *deadline);
        if fired && poll.is_pending() {
            // The timer was ahead of the clock; they agree within a tick.
            cx.waker().wake_by_ref();
        }
        poll
    }
}

impl Future for Acquire<'_> {
    type Output = Result<Permit, AcquireError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A task that never has to wait still yields now and then.
        let budget = ready!(poll_proceed(cx));
        let this = self.get_mut();
        let result = match this.step {
            Step::Outside => match this.gate.join(this.class, cx.waker()) {
                Joined::In(grant) => Ok(grant),
                Joined::InLine(in_line) => ready!(this.wait(in_line, cx)),
                Joined::Refused(error) => Err(error),
            },
            Step::InLine { .. } | Step::Through => ready!(this.look(cx)),
        };
        budget.made_progress();
        this.step = Step::Through;
        Poll::Ready(result.map(|grant| Permit::new(this.gate, grant)))
    }
}

impl Drop for Acquire<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Step::InLine { id, .. } = self.step {
            self.gate.leave(id);
        }
    }
}

impl fmt::Debug for Acquire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire")
            .field("in_line", &matches!(self.step, Step::InLine { .. }))
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
    grant: Grant,
}

impl Permit {
    #[inline]
    fn new(gate: &Arc<Gate>, grant: Grant) -> Self {
        Self {
            gate: Arc::clone(gate),
            grant,
        }
    }

    /// The fencing number of this grant: larger than that of every grant
    /// before it. To be shown to a resource that checks such numbers.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.grant.fence
    }

    /// How long the caller waited in line, to the millisecond.
    #[must_use]
    pub fn wait_time(&self) -> Duration {
        Duration::from_millis(self.grant.wait_ms)
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        self.gate.release(self.grant.id, self.grant.fence);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("fence", &self.fence())
            .field("wait_time", &self.wait_time())
            .finish_non_exhaustive()
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
