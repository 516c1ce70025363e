//! Shuttle on the very source of gate's limiter: random and PCT schedules of
//! scopes too large for loom. The source is included by path, with its `sync`
//! names bound to shuttle's.
//!
//! The callers do everything a caller can: wait, give up at any await point,
//! time out, try, resize, hold over awaits. Shuttle reports a lost wake-up as a
//! deadlock; leaks are asserted at the end. Two planted bugs show that both are
//! found, under both schedulers.
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
    pub(crate) use shuttle::sync::{Arc, Mutex, MutexGuard};
}

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use shuttle::future::{block_on, spawn, yield_now};
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use sluice_core::slots::Config;

use sync::{Clock, failure_with};
use table::Flaw;
use turnstile::{AcquireError, Limiter, Permit};

const TASKS: u64 = 8;
const SCHEDULES: usize = 2_000;
/// Bugs that need up to this many ordering constraints (Burckhardt et al. 2010).
const DEPTH: usize = 3;

/// What happened in all schedules of a check: each premise must have been met.
#[derive(Debug, Default)]
struct Seen {
    waited: AtomicU64,
    gave_up: AtomicU64,
    timed_out: AtomicU64,
    grown_and_shrunk: AtomicU64,
}

impl Seen {
    #[track_caller]
    fn everything(&self) {
        for (what, count) in [
            ("waited", &self.waited),
            ("gave up", &self.gave_up),
            ("timed out", &self.timed_out),
            ("grown and shrunk", &self.grown_and_shrunk),
        ] {
            assert!(
                count.load(Ordering::Relaxed) >= 100,
                "{what}: too rarely seen in {self:?}"
            );
        }
    }
}

fn random() -> RandomScheduler {
    RandomScheduler::new_from_seed(20, SCHEDULES)
}

fn pct() -> PctScheduler {
    PctScheduler::new_from_seed(20, DEPTH, SCHEDULES)
}

fn run(scheduler: impl Scheduler + 'static, scope: impl Fn() + Send + Sync + 'static) {
    let mut config = shuttle::Config::new();
    config.failure_persistence = shuttle::FailurePersistence::None;
    shuttle::Runner::new(scheduler, config).run(scope);
}

/// Polls the future up to `polls` times and then drops it.
struct GiveUp<F> {
    future: Option<Pin<Box<F>>>,
    polls: u64,
}

impl<F: Future> Future for GiveUp<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.future else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        if self.polls == 0 {
            self.future = None;
            return Poll::Ready(None);
        }
        self.polls -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Inside at most `capacity` at a time, as long as nobody resizes.
async fn use_slot(permit: Permit, inside: &AtomicU64, capacity: u64) {
    let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
    assert!(now <= capacity, "{now} are inside a limit of {capacity}");
    yield_now().await;
    inside.fetch_sub(1, Ordering::SeqCst);
    drop(permit);
}

/// Eight callers on two or three slots, each waiting, giving up or timing out.
fn crowd(seen: &Arc<Seen>) {
    let capacity = thread_rng().gen_range(2..=3_u32);
    let clock = Clock::moving();
    let limiter = Limiter::start(Config::limiter(capacity, Some(6)), clock.clone()).unwrap();
    let inside = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (limiter, inside, seen) = (limiter.clone(), Arc::clone(&inside), Arc::clone(seen));
            let capacity = u64::from(capacity);
            let (polls, patience) = (thread_rng().gen_range(0..4), thread_rng().gen_range(1..8));
            spawn(async move {
                match thread_rng().gen_range(0..4) {
                    0 => {
                        let future = Some(Box::pin(limiter.acquire()));
                        match (GiveUp { future, polls }).await {
                            Some(Ok(permit)) => use_slot(permit, &inside, capacity).await,
                            Some(Err(error)) => assert_eq!(error, AcquireError::TimedOut),
                            None => {
                                seen.gave_up.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                    1 => {
                        if let Ok(permit) = limiter.try_acquire() {
                            use_slot(permit, &inside, capacity).await;
                        }
                    }
                    _ => match limiter
                        .acquire_timeout(Duration::from_millis(patience))
                        .await
                    {
                        Ok(permit) => {
                            let waited = !permit.wait_time().is_zero();
                            seen.waited.fetch_add(u64::from(waited), Ordering::Relaxed);
                            use_slot(permit, &inside, capacity).await;
                        }
                        Err(error) => {
                            assert_eq!(error, AcquireError::TimedOut);
                            seen.timed_out.fetch_add(1, Ordering::Relaxed);
                        }
                    },
                }
            })
        })
        .collect();
    let ticking = spawn(async move {
        for _ in 0..6 {
            clock.advance(1);
            yield_now().await;
        }
    });
    block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
        ticking.await.unwrap();
    });
    all_left(&limiter);
}

/// Patient callers while the capacity moves: nobody is forgotten.
fn moving_capacity(seen: &Arc<Seen>) {
    let limiter = Limiter::start(Config::limiter(2, None), Clock::still()).unwrap();
    let inside = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|i| {
            let (limiter, inside, seen) = (limiter.clone(), Arc::clone(&inside), Arc::clone(seen));
            spawn(async move {
                if i % 4 == 0 {
                    let from = limiter.resize(thread_rng().gen_range(1..=4)).unwrap();
                    seen.grown_and_shrunk
                        .fetch_add(u64::from(from != 2), Ordering::Relaxed);
                    yield_now().await;
                }
                use_slot(limiter.acquire().await.unwrap(), &inside, 4).await;
            })
        })
        .collect();
    block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    all_left(&limiter);
}

/// Strict FIFO: whoever joined earlier is granted earlier.
fn in_order() {
    let limiter = Limiter::start(Config::limiter(1, None), Clock::still()).unwrap();
    let permit = limiter.try_acquire().unwrap();
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut line: Vec<_> = (0..TASKS).map(|_| Box::pin(limiter.acquire())).collect();
    for future in &mut line {
        assert!(future.as_mut().poll(&mut cx).is_pending());
    }
    let barger = spawn({
        let limiter = limiter.clone();
        async move {
            let fence = limiter.acquire().await.unwrap().fence();
            assert_eq!(
                fence,
                2 + TASKS,
                "the last to join is the last to be granted"
            );
        }
    });
    yield_until_waiting(&limiter, TASKS + 1);
    let holder = spawn(async move { drop(permit) });
    block_on(async {
        for (i, future) in (0..).zip(&mut line) {
            assert_eq!(future.await.unwrap().fence(), 2 + i);
        }
        holder.await.unwrap();
        barger.await.unwrap();
    });
}

fn yield_until_waiting(limiter: &Limiter, waiting: u64) {
    while limiter.snapshot().0.waiting < waiting {
        shuttle::thread::yield_now();
    }
}

#[track_caller]
fn all_left(limiter: &Limiter) {
    let (status, _) = limiter.snapshot();
    assert_eq!(status.held, 0, "a permit leaked");
    assert_eq!(status.waiting, 0, "a place in line leaked");
}

fn every_scope<S: Scheduler + 'static>(scheduler: impl Fn() -> S) {
    let seen = Arc::new(Seen::default());
    let (a, b) = (Arc::clone(&seen), Arc::clone(&seen));
    run(scheduler(), move || crowd(&a));
    run(scheduler(), move || moving_capacity(&b));
    run(scheduler(), in_order);
    println!("{SCHEDULES} schedules of each of three scopes: {seen:?}");
    seen.everything();
}

#[test]
fn random_schedules() {
    every_scope(random);
}

#[test]
fn pct_schedules() {
    every_scope(pct);
}

#[test]
fn a_planted_lost_wake_up_is_found_at_random() {
    lost_wake_up(random());
}

#[test]
fn a_planted_lost_wake_up_is_found_by_pct() {
    lost_wake_up(pct());
}

#[test]
fn a_planted_permit_leak_is_found_at_random() {
    permit_leak(random());
}

#[test]
fn a_planted_permit_leak_is_found_by_pct() {
    permit_leak(pct());
}

fn lost_wake_up(scheduler: impl Scheduler + 'static) {
    let message = failure_with(Flaw::LostWakeUp, || {
        run(scheduler, || moving_capacity(&Arc::default()));
    });
    assert!(message.contains("deadlock"), "{message}");
}

fn permit_leak(scheduler: impl Scheduler + 'static) {
    let message = failure_with(Flaw::PermitLeak, || {
        run(scheduler, || crowd(&Arc::default()))
    });
    assert!(
        message.contains("a permit leaked") || message.contains("deadlock"),
        "{message}"
    );
}
