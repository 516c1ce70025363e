//! Loom on the very source of gate's limiter: every interleaving of small
//! scopes (up to a bound on preemptions where there are three threads).
//!
//! `table.rs` and `turnstile.rs` are included by path, with their `sync` names
//! bound to loom's. Loom itself reports deadlocks and leaked `Arc`s; the rest is
//! asserted. Two planted bugs show that both are found.
#![allow(missing_docs, reason = "a test")]

#[path = "limiter_seam/mod.rs"]
mod sync;
#[path = "../../gate/src/limiter/table.rs"]
#[allow(dead_code, reason = "not everything is called here")]
mod table;
#[path = "../../gate/src/limiter/turnstile.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "not everything is called here; public in gate"
)]
mod turnstile;

/// What `sync` builds upon.
mod checker {
    pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
}

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use loom::future::block_on;
use loom::thread;
use sluice_core::slots::Config;

use sync::{Clock, failure_with};
use table::Flaw;
use turnstile::{AcquireError, Limiter, Permit, TryAcquireError};

/// Explores `scope` and says how many interleavings there are.
fn explore(
    name: &str,
    preemptions: Option<usize>,
    scope: impl Fn() + Sync + Send + 'static,
) -> usize {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    let runs = std::sync::Arc::new(AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&runs);
    model.check(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        scope();
    });
    let runs = runs.load(Ordering::Relaxed);
    println!("{name}: {runs} interleavings");
    assert!(runs > 1, "{name}: nothing was interleaved");
    runs
}

fn limiter(capacity: u32) -> Limiter {
    Limiter::start(Config::limiter(capacity, None), Clock::still()).unwrap()
}

/// Polls once, by hand.
fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// What must hold when all have left: no slot leaked, nobody in line, and all
/// slots can be had again.
#[track_caller]
fn all_left(limiter: &Limiter, capacity: u32) {
    let (status, _) = limiter.snapshot();
    assert_eq!(status.held, 0, "a permit leaked");
    assert_eq!(status.waiting, 0, "a place in line leaked");
    let all: Vec<Permit> = (0..capacity)
        .map_while(|_| limiter.try_acquire().ok())
        .collect();
    assert_eq!(all.len() as u32, capacity, "a slot is gone");
}

/// How often two outcomes of a race were seen: an exploration that saw only one
/// of them has not explored.
#[derive(Clone, Default)]
struct Both(std::sync::Arc<[AtomicUsize; 2]>);

impl Both {
    fn saw(&self, which: bool) {
        self.0[usize::from(which)].fetch_add(1, Ordering::Relaxed);
    }

    #[track_caller]
    fn were_seen(&self) {
        let [no, yes] = [0, 1].map(|i| self.0[i].load(Ordering::Relaxed));
        assert!(no > 0 && yes > 0, "seen: {no} and {yes}");
    }
}

/// Notes that it was called, and is no loom object: who blocked on loom's own
/// waker could only deadlock, and a deadlock of loom's cannot be caught.
#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A holder releases while a future gets into line: once all is quiet, a future
/// that is still pending must have been woken.
fn handing_over(waited: &Both) {
    let gate = limiter(1);
    let permit = gate.try_acquire().unwrap();
    let holder = thread::spawn(move || drop(permit));
    let bell = std::sync::Arc::new(Bell::default());
    let waker = Waker::from(std::sync::Arc::clone(&bell));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(gate.acquire());
    let mut poll = future.as_mut().poll(&mut cx);
    holder.join().unwrap();
    waited.saw(poll.is_pending());
    if poll.is_pending() {
        assert!(bell.0.load(Ordering::SeqCst), "a wake-up was lost");
        poll = future.as_mut().poll(&mut cx);
    }
    assert!(matches!(poll, Poll::Ready(Ok(_))), "{poll:?}");
    drop(poll);
    all_left(&gate, 1);
}

/// A holder releases while a future is polled, and dropped whatever it has.
fn dropping(granted: &Both) {
    let gate = limiter(1);
    let permit = gate.try_acquire().unwrap();
    let other = gate.clone();
    let waiter = thread::spawn(move || {
        let mut future = pin!(other.acquire());
        poll_once(future.as_mut()).is_ready()
    });
    drop(permit);
    granted.saw(waiter.join().unwrap());
    all_left(&gate, 1);
}

#[test]
fn a_release_wakes_the_waiter() {
    let waited = Both::default();
    let seen = waited.clone();
    explore("handing over", None, move || handing_over(&seen));
    waited.were_seen();
}

#[test]
fn a_dropped_future_leaks_nothing() {
    let granted = Both::default();
    let seen = granted.clone();
    explore("dropping", None, move || dropping(&seen));
    granted.were_seen();
}

#[test]
fn a_planted_lost_wake_up_is_found() {
    let message = failure_with(Flaw::LostWakeUp, || {
        explore("lost wake-up", None, || handing_over(&Both::default()));
    });
    assert!(message.contains("a wake-up was lost"), "{message}");
}

#[test]
fn a_planted_permit_leak_is_found() {
    let message = failure_with(Flaw::PermitLeak, || {
        explore("permit leak", None, || dropping(&Both::default()));
    });
    assert!(message.contains("a permit leaked"), "{message}");
}

#[test]
fn two_tasks_are_never_inside_together() {
    explore("two tasks", None, || {
        let gate = limiter(1);
        let inside = std::sync::Arc::new(AtomicUsize::new(0));
        let visit = |gate: Limiter, inside: std::sync::Arc<AtomicUsize>| {
            let permit = block_on(gate.acquire()).unwrap();
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two are inside");
            thread::yield_now();
            inside.fetch_sub(1, Ordering::SeqCst);
            permit.fence()
        };
        let (other, room) = (gate.clone(), std::sync::Arc::clone(&inside));
        let first = thread::spawn(move || visit(other, room));
        let fences = [visit(gate.clone(), inside), first.join().unwrap()];
        assert!(fences == [1, 2] || fences == [2, 1], "{fences:?}");
        all_left(&gate, 1);
    });
}

/// B16, B17: the slot of a waiter that goes away, before or after its grant,
/// goes to the one behind it.
#[test]
fn a_dropped_future_passes_its_slot_on() {
    let passed = Both::default();
    let seen = passed.clone();
    explore("passing on", None, move || {
        let gate = limiter(1);
        let permit = gate.try_acquire().unwrap();
        let mut first = Box::pin(gate.acquire());
        assert!(poll_once(first.as_mut()).is_pending());
        let other = gate.clone();
        let behind = thread::spawn(move || {
            let permit = block_on(other.acquire()).unwrap();
            permit.fence()
        });
        let holder = thread::spawn(move || drop(permit));
        drop(first);
        holder.join().unwrap();
        // 3 if the slot had been `first`'s in between.
        seen.saw(behind.join().unwrap() == 3);
        all_left(&gate, 1);
    });
    passed.were_seen();
}

#[test]
fn a_newcomer_never_passes_a_waiter() {
    explore("barging", None, || {
        let gate = limiter(1);
        let permit = gate.try_acquire().unwrap();
        let mut ahead = pin!(gate.acquire());
        assert!(poll_once(ahead.as_mut()).is_pending());
        let holder = thread::spawn(move || drop(permit));
        assert_eq!(gate.try_acquire().unwrap_err(), TryAcquireError::Busy);
        drop(block_on(ahead.as_mut()).unwrap());
        holder.join().unwrap();
        all_left(&gate, 1);
    });
}

#[test]
fn resizing_wakes_who_fits() {
    explore("growing", Some(3), || {
        let gate = limiter(1);
        let permit = gate.try_acquire().unwrap();
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let gate = gate.clone();
                thread::spawn(move || block_on(gate.acquire()).unwrap())
            })
            .collect();
        assert_eq!(gate.resize(3), Ok(1));
        // Nobody has to leave for the others to come in.
        let all: Vec<_> = waiters
            .into_iter()
            .map(|waiter| waiter.join().unwrap())
            .collect();
        assert_eq!(gate.try_acquire().unwrap_err(), TryAcquireError::Busy);
        drop((permit, all));
        all_left(&gate, 3);
    });
}

#[test]
fn shrinking_while_holders_leave_admits_nobody_too_many() {
    explore("shrinking", Some(3), || {
        let gate = limiter(2);
        let (a, b) = (gate.try_acquire().unwrap(), gate.try_acquire().unwrap());
        let mut waiting = pin!(gate.acquire());
        assert!(poll_once(waiting.as_mut()).is_pending());
        let leaver = thread::spawn(move || drop(a));
        assert_eq!(gate.resize(1), Ok(2));
        leaver.join().unwrap();
        // In if `a` left before the shrinking, in line if after; never evicted.
        let (status, _) = gate.snapshot();
        assert_eq!(status.held + status.waiting, 2);
        drop(b);
        drop(block_on(waiting.as_mut()).unwrap());
        all_left(&gate, 1);
    });
}

/// R1.10: a grant and a timeout race; either way nothing is lost.
fn timing_out(config: Config, patience: Option<Duration>) -> impl Fn(&Both) + Sync + Send {
    move |granted: &Both| {
        let clock = Clock::moving();
        let gate = Limiter::start(config, clock.clone()).unwrap();
        let permit = gate.try_acquire().unwrap();
        let other = gate.clone();
        let waiter = thread::spawn(move || {
            let mut future = other.acquire();
            if let Some(patience) = patience {
                future = future.within(patience);
            }
            match block_on(future) {
                Ok(_) => true,
                Err(error) => {
                    assert_eq!(error, AcquireError::TimedOut);
                    false
                }
            }
        });
        let ticking = thread::spawn(move || {
            clock.advance(5);
            // A waiter that came late has its time, too.
            clock.advance(5);
        });
        drop(permit);
        ticking.join().unwrap();
        granted.saw(waiter.join().unwrap());
        all_left(&gate, 1);
    }
}

#[test]
fn a_timeout_of_the_limiter_races_the_grant() {
    let granted = Both::default();
    let (seen, scope) = (
        granted.clone(),
        timing_out(Config::limiter(1, Some(5)), None),
    );
    explore("timeout", Some(2), move || scope(&seen));
    granted.were_seen();
}

#[test]
fn a_callers_own_timeout_races_the_grant() {
    let granted = Both::default();
    let patience = Some(Duration::from_millis(5));
    let (seen, scope) = (
        granted.clone(),
        timing_out(Config::limiter(1, None), patience),
    );
    explore("patience", Some(2), move || scope(&seen));
    granted.were_seen();
}

#[test]
fn closing_races_the_grant() {
    let granted = Both::default();
    let seen = granted.clone();
    explore("closing", Some(3), move || {
        let gate = limiter(1);
        let permit = gate.try_acquire().unwrap();
        let other = gate.clone();
        let waiter = thread::spawn(move || block_on(other.acquire()).is_ok());
        let other = gate.clone();
        let closer = thread::spawn(move || other.close());
        drop(permit);
        closer.join().unwrap();
        seen.saw(waiter.join().unwrap());
        let (status, _) = gate.snapshot();
        assert_eq!((status.held, status.waiting), (0, 0));
        assert_eq!(gate.try_acquire().unwrap_err(), TryAcquireError::Closed);
    });
    granted.were_seen();
}
