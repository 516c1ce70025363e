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
//! a permit of this very limiter): both happen after the lock is let go.
//!
//! **Time.** A slot here has no lease, so time matters only to those who wait.
//! When a slot is free and nobody waits, the last reading is passed to `Slots`
//! instead of a new one, which saves about as much as a permit costs; whenever
//! somebody is in line, or is about to be, the clock is read.
//!
//! *Rejected:* a lock-free fast path beside the table (a counter of free slots,
//! as in tokio's semaphore) would be faster, but would be a second truth beside
//! the verified one (B20).
//!
//! What this file and `turnstile` take from the outside comes through
//! `super::sync`, so that loom and shuttle run this very source.

use core::mem;
use core::task::{Poll, Waker};
use std::collections::VecDeque;
use std::sync::PoisonError;

use sluice_core::slots::{
    ByNumber, Class, Config, ConfigError, Ended, Event, Fence, Nonce, Outcome, Rejected, Slots,
    Status,
};
use sluice_core::time::StoreTime;

use super::sync::{Clock, Mutex, MutexGuard, planted};
use super::turnstile::AcquireError;

/// Bugs that the checks plant to show that they would be found. In production
/// [`planted`] is constantly false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The waker is left behind in a second step, after the place was taken.
    LostWakeUp,
    /// A future that is dropped after its grant keeps the slot.
    PermitLeak,
}

/// A slot that was given out: to be given back with [`Gate::release`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    pub(super) id: Id,
    pub(super) fence: Fence,
    pub(super) wait_ms: u64,
}

/// In line since `at`, until [`Gate::look`] is ready or [`Gate::leave`] is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct InLine {
    pub(super) id: Id,
    pub(super) at: StoreTime,
}

/// What has become of a newcomer.
pub(super) enum Joined {
    In(Grant),
    InLine(InLine),
    Refused(AcquireError),
}

/// Index into [`Table::places`]. Each id has one attempt at a time and leaves
/// no tombstone, so the number of the attempt never changes.
pub(super) type Id = u32;
const NONCE: Nonce = 1;

/// A [`Slots`] that many may use at once.
pub(super) struct Gate {
    table: Mutex<Table>,
    pub(super) clock: Clock,
    /// As in the configuration of the slots; it never changes.
    pub(super) wait_timeout_ms: Option<u64>,
}

/// What the mutex guards. An id is in `free` unless a future in line or a
/// permit has it.
struct Table {
    slots: Slots<Id, ByNumber>,
    places: Vec<Place>,
    free: Vec<Id>,
    /// How many of `places` are `Waiting`.
    in_line: usize,
    /// The last reading of the clock.
    now: StoreTime,
    /// Waiters that left by their own deadline.
    out_of_patience: u64,
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
    pub(super) fn new(config: Config, clock: Clock) -> Result<Self, ConfigError> {
        Ok(Self {
            table: Mutex::new(Table {
                slots: Slots::numbered(config, Clock::first_fence())?,
                places: Vec::new(),
                free: Vec::new(),
                in_line: 0,
                now: StoreTime::default(),
                out_of_patience: 0,
                closed: false,
            }),
            clock,
            wait_timeout_ms: config.wait_timeout_ms,
        })
    }

    /// In, in line with the waker left behind, or turned away.
    #[inline]
    pub(super) fn join(&self, class: Class, waker: &Waker) -> Joined {
        let mut table = self.lock();
        if table.closed {
            return Joined::Refused(AcquireError::Closed);
        }
        if !table.slots.is_open() {
            // The wait begins now.
            table.now = self.clock.now();
        }
        let at = table.now;
        let id = table.take_id();
        let reply = table.slots.acquire(at, id, NONCE, class, true);
        let joined = match reply.outcome {
            Outcome::Granted { fence, wait_ms, .. } => Joined::In(Grant { id, fence, wait_ms }),
            Outcome::Waiting { .. } => {
                let waker = (!planted(Flaw::LostWakeUp)).then(|| waker.clone());
                table.places[id as usize] = Place::Waiting(waker);
                table.in_line += 1;
                Joined::InLine(InLine { id, at })
            }
            Outcome::Rejected(Rejected::Full) => {
                table.free.push(id);
                Joined::Refused(AcquireError::Full)
            }
            other => unreachable!("a new id is granted, waiting or rejected, not {other:?}"),
        };
        self.unlock(table, reply.more);
        if planted(Flaw::LostWakeUp)
            && let Place::Waiting(late) = &mut self.lock().places[id as usize]
        {
            *late = Some(waker.clone());
        }
        joined
    }

    /// In, or nothing.
    pub(super) fn try_join(&self) -> Result<Option<Grant>, AcquireError> {
        let mut table = self.lock();
        if table.closed {
            return Err(AcquireError::Closed);
        }
        let now = table.time(&self.clock);
        let id = table.take_id();
        let reply = table.slots.acquire(now, id, NONCE, Class::ZERO, false);
        let grant = match reply.outcome {
            Outcome::Granted { fence, wait_ms, .. } => Some(Grant { id, fence, wait_ms }),
            Outcome::Rejected(Rejected::Busy) => {
                table.free.push(id);
                None
            }
            other => unreachable!("a join without waiting is granted or busy, not {other:?}"),
        };
        self.unlock(table, reply.more);
        Ok(grant)
    }

    /// What has become of a place in line? If its timer has `fired`, `Slots`
    /// judges its own timeout, and then the caller's `deadline` is looked at.
    pub(super) fn look(
        &self,
        id: Id,
        waker: &Waker,
        fired: bool,
        deadline: Option<StoreTime>,
    ) -> Poll<Result<Grant, AcquireError>> {
        let mut table = self.lock();
        let place = &mut table.places[id as usize];
        if let Place::Granted { fence, wait_ms } = *place {
            *place = Place::Idle;
            return Poll::Ready(Ok(Grant { id, fence, wait_ms }));
        }
        let mut wakes = Wakes::default();
        let more = fired && table.time_out(id, deadline, &self.clock, &mut wakes);
        let poll = match &mut table.places[id as usize] {
            Place::Waiting(old) => {
                if !old.as_ref().is_some_and(|old| old.will_wake(waker)) {
                    wakes.dead = old.replace(waker.clone());
                }
                Poll::Pending
            }
            place => Poll::Ready(match mem::replace(place, Place::Idle) {
                Place::Granted { fence, wait_ms } => Ok(Grant { id, fence, wait_ms }),
                Place::Failed(error) => {
                    table.free.push(id);
                    Err(error)
                }
                Place::Idle | Place::Waiting(_) => unreachable!("place {id} has an owner"),
            }),
        };
        self.deliver(table, wakes, more);
        poll
    }

    /// A future in line goes away: whatever it has, `Slots` passes it on.
    pub(super) fn leave(&self, id: Id) {
        let mut table = self.lock();
        let mut wakes = Wakes::default();
        let now = table.time(&self.clock);
        let mut more = false;
        match table.resolve(id, Place::Idle) {
            Place::Granted { .. } if planted(Flaw::PermitLeak) => {}
            Place::Granted { .. } => more = table.slots.cancel(now, &id, NONCE).more,
            Place::Waiting(waker) => {
                more = table.slots.cancel(now, &id, NONCE).more;
                wakes.dead = waker;
            }
            Place::Failed(_) => {}
            Place::Idle => unreachable!("place {id} has an owner"),
        }
        table.free.push(id);
        self.deliver(table, wakes, more);
    }

    /// A permit comes back.
    #[inline]
    pub(super) fn release(&self, id: Id, fence: Fence) {
        let mut table = self.lock();
        let now = table.time(&self.clock);
        let reply = table.slots.release(now, &id, fence);
        debug_assert_eq!(reply.outcome, Outcome::Released, "a permit is a slot held");
        table.free.push(id);
        self.unlock(table, reply.more);
    }

    pub(super) fn resize(&self, capacity: u32) -> Result<u32, ConfigError> {
        let mut table = self.lock();
        let now = table.time(&self.clock);
        let reply = table.slots.resize(now, capacity)?;
        let from = match reply.outcome {
            Outcome::Resized { from } => from,
            other => unreachable!("a resize answers with the capacity before, not {other:?}"),
        };
        self.unlock(table, reply.more);
        Ok(from)
    }

    pub(super) fn close(&self) {
        let mut table = self.lock();
        let mut wakes = Wakes::default();
        table.closed = true;
        let now = table.time(&self.clock);
        for id in 0..table.places.len() as Id {
            if table.waits(id) {
                table.slots.cancel(now, &id, NONCE);
                wakes.take(table.resolve(id, Place::Failed(AcquireError::Closed)));
                table.settle_all(&mut wakes);
            }
        }
        self.deliver(table, wakes, false);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The state of the slots, and how many waiters left by their own
    /// deadline (which `Slots` counts as cancelled).
    pub(super) fn snapshot(&self) -> (Status, u64) {
        let table = self.lock();
        (table.slots.status(), table.out_of_patience)
    }

    /// A panic while the lock was held is a bug of ours and was reported as
    /// one; the table is a table still, and permits must come back while other
    /// tasks unwind.
    #[inline]
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of every critical section in which `Slots` was called: drains
    /// its events, lets the lock go, then wakes, and goes on while work is left.
    /// Mostly there is nothing of the kind, or one to be woken, and nothing is
    /// spent on more.
    #[inline(always)]
    fn unlock(&self, mut table: MutexGuard<'_, Table>, more: bool) {
        let event = table.slots.poll_event();
        if event.is_some() || more {
            self.tell(table, event, more);
        }
    }

    fn tell(&self, mut table: MutexGuard<'_, Table>, event: Option<Event<Id>>, more: bool) {
        let first = event.and_then(|event| table.settle(event));
        let event = table.slots.poll_event();
        if event.is_some() || more {
            let mut wakes = Wakes::default();
            wakes.awake.extend(first);
            wakes
                .awake
                .extend(event.and_then(|event| table.settle(event)));
            return self.deliver(table, wakes, more);
        }
        drop(table);
        if let Some(waker) = first {
            waker.wake();
        }
    }

    #[cold]
    fn deliver(&self, mut table: MutexGuard<'_, Table>, mut wakes: Wakes, more: bool) {
        table.settle_all(&mut wakes);
        drop(table);
        // Work that is left is done before anybody is woken: a waker may panic.
        let mut more = more;
        while more {
            let mut table = self.lock();
            let now = table.time(&self.clock);
            more = table.slots.sweep(now).more;
            table.settle_all(&mut wakes);
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
    fn take_id(&mut self) -> Id {
        match self.free.pop() {
            Some(id) => id,
            None => self.new_id(),
        }
    }

    #[cold]
    fn new_id(&mut self) -> Id {
        let id = Id::try_from(self.places.len()).expect("fewer than 2³² callers");
        self.places.push(Place::Idle);
        // So that giving an id back never allocates.
        self.free.reserve(self.places.len());
        id
    }

    /// Puts `place` where `id` stands, and hands out what stood there.
    fn resolve(&mut self, id: Id, place: Place) -> Place {
        let before = mem::replace(&mut self.places[id as usize], place);
        if let Place::Waiting(_) = before {
            self.in_line -= 1;
        }
        before
    }

    /// Drains the events of `Slots` into the places.
    fn settle_all(&mut self, wakes: &mut Wakes) {
        while let Some(event) = self.slots.poll_event() {
            let woken = self.settle(event);
            wakes.awake.extend(woken);
        }
    }

    /// Who is to be woken.
    #[inline]
    fn settle(&mut self, event: Event<Id>) -> Option<Waker> {
        let (id, place) = match event {
            Event::Granted {
                id, fence, wait_ms, ..
            } => (id, Place::Granted { fence, wait_ms }),
            Event::Ended { id, how, .. } => {
                debug_assert_eq!(how, Ended::TimedOut, "no lease and no presence here");
                (id, Place::Failed(AcquireError::TimedOut))
            }
        };
        self.resolve(id, place).waker()
    }

    /// Whether work is left over.
    fn time_out(
        &mut self,
        id: Id,
        deadline: Option<StoreTime>,
        clock: &Clock,
        wakes: &mut Wakes,
    ) -> bool {
        let now = self.time(clock);
        let mut more = true;
        while more && self.waits(id) {
            more = self.slots.sweep(now).more;
            self.settle_all(wakes);
        }
        if self.waits(id) && deadline.is_some_and(|deadline| deadline <= now) {
            more = self.slots.cancel(now, &id, NONCE).more;
            self.out_of_patience += 1;
            wakes.take(self.resolve(id, Place::Failed(AcquireError::TimedOut)));
        }
        more
    }

    fn waits(&self, id: Id) -> bool {
        matches!(self.places[id as usize], Place::Waiting(_))
    }
}

impl Place {
    #[inline]
    fn waker(self) -> Option<Waker> {
        match self {
            Self::Waiting(waker) => waker,
            Self::Idle | Self::Granted { .. } | Self::Failed(_) => None,
        }
    }
}

/// Wakers to be called, or dropped, when the lock has been let go: to drop this
/// is to wake them, so that one that panics keeps no other from being woken.
#[derive(Default)]
struct Wakes {
    awake: VecDeque<Waker>,
    dead: Option<Waker>,
}

impl Wakes {
    fn take(&mut self, place: Place) {
        self.awake.extend(place.waker());
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        /// Goes on with the rest while a panic unwinds.
        struct Rest<'a>(&'a mut VecDeque<Waker>);

        impl Drop for Rest<'_> {
            fn drop(&mut self) {
                while let Some(waker) = self.0.pop_front() {
                    waker.wake();
                }
            }
        }

        let rest = Rest(&mut self.awake);
        while let Some(waker) = rest.0.pop_front() {
            waker.wake();
        }
    }
}
