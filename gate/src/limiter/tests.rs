//! The limiter on a real runtime. Interleavings are the business of loom and
//! shuttle in `verify`; here are meaning, scale and the real clock.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use sluice_core::slots::Class;

use super::*;

/// A waker that counts, so that tests can poll by hand.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct Hand<'a> {
    future: Acquire<'a>,
    bell: Arc<Bell>,
}

impl<'a> Hand<'a> {
    /// A caller who is in line, or through, after its first poll.
    fn joins(future: Acquire<'a>) -> (Self, Poll<Result<Permit, AcquireError>>) {
        let bell = Arc::new(Bell::default());
        let mut hand = Self { future, bell };
        let poll = hand.poll();
        (hand, poll)
    }

    fn waits(future: Acquire<'a>) -> Self {
        let (hand, poll) = Self::joins(future);
        assert!(poll.is_pending(), "{poll:?}");
        hand
    }

    fn poll(&mut self) -> Poll<Result<Permit, AcquireError>> {
        let waker = Waker::from(Arc::clone(&self.bell));
        self.future.poll_unpin(&mut Context::from_waker(&waker))
    }

    fn rung(&self) -> usize {
        self.bell.0.load(Ordering::SeqCst)
    }

    #[track_caller]
    fn granted(&mut self) -> Permit {
        match self.poll() {
            Poll::Ready(Ok(permit)) => permit,
            other => panic!("{other:?}"),
        }
    }
}

/// Counts who is inside, and remembers the most.
#[derive(Default)]
struct Room {
    inside: AtomicU64,
    most: AtomicU64,
}

impl Room {
    async fn visit(&self) {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

fn is_owned<T: Send + Sync + 'static>(_: &T) {}

#[test]
fn permits_are_owned_and_clones_share_one_table() {
    let limiter = Limiter::new(1).unwrap();
    let permit = limiter.clone().try_acquire().unwrap();
    is_owned(&permit);
    assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::Busy);
    drop(limiter.clone());
    let last = limiter.clone();
    drop(limiter);
    std::thread::spawn(move || drop(permit)).join().unwrap();
    assert!(last.try_acquire().is_ok());
}

#[test]
fn grants_follow_the_order_of_joining_and_fences_rise() {
    let limiter = Limiter::new(2).unwrap();
    let first = limiter.try_acquire().unwrap();
    let second = limiter.try_acquire().unwrap();
    let mut hands: Vec<_> = (0..100).map(|_| Hand::waits(limiter.acquire())).collect();
    let mut held = std::collections::VecDeque::from([first, second]);
    let mut fence = held.back().unwrap().fence();
    for i in 0..hands.len() {
        drop(held.pop_front());
        let rung: Vec<_> = hands.iter().map(Hand::rung).collect();
        assert!(rung[..=i].iter().all(|&n| n == 1), "{i}: {rung:?}");
        assert!(rung[i + 1..].iter().all(|&n| n == 0), "{i}: {rung:?}");
        let permit = hands[i].granted();
        assert!(permit.fence() > fence);
        fence = permit.fence();
        held.push_back(permit);
    }
}

#[test]
fn nobody_barges() {
    let limiter = Limiter::new(1).unwrap();
    let permit = limiter.try_acquire().unwrap();
    let mut ahead = Hand::waits(limiter.acquire());
    drop(permit);
    // The slot is `ahead`'s, though it was not polled yet.
    assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::Busy);
    let mut behind = Hand::waits(limiter.acquire());
    drop(ahead.granted());
    drop(behind.granted());
    assert!(limiter.try_acquire().is_ok());
}

#[test]
fn a_boost_is_a_head_start_and_not_a_rank() {
    let limiter = Limiter::builder(1).boosts([0, 2, 0, 0]).build().unwrap();
    let permit = limiter.try_acquire().unwrap();
    let plain: Vec<_> = (0..4).map(|_| Hand::waits(limiter.acquire())).collect();
    let boosted = Hand::waits(limiter.acquire().class(Class::new(1).unwrap()));
    // Joined fifth, moved ahead by two: tickets 2 3 4 5 and 6 − 2, and where
    // keys would be equal the lower class is first.
    let mut order = Vec::new();
    let mut hands: Vec<_> = plain.into_iter().chain([boosted]).collect();
    let mut held = Some(permit);
    while order.len() < hands.len() {
        drop(held.take());
        let next = (0..hands.len())
            .find(|i| !order.contains(i) && hands[*i].rung() > 0)
            .unwrap();
        held = Some(hands[next].granted());
        order.push(next);
    }
    assert_eq!(order, [0, 1, 2, 4, 3]);
}

#[test]
fn a_dropped_future_passes_on_what_it_has() {
    let limiter = Limiter::new(1).unwrap();
    let permit = limiter.try_acquire().unwrap();
    let in_line = Hand::waits(limiter.acquire());
    let granted = Hand::waits(limiter.acquire());
    let mut last = Hand::waits(limiter.acquire());
    drop(limiter.acquire()); // never polled: was never in line
    drop(in_line);
    drop(permit);
    assert_eq!((granted.rung(), last.rung()), (1, 0));
    drop(granted); // after the grant, before it looked
    assert_eq!(last.rung(), 1);
    drop(last.granted());
    let status = limiter.status();
    assert_eq!(
        (
            status.current_active,
            status.waiting_requests,
            status.cancelled
        ),
        (0, 0, 2)
    );
}

#[test]
fn the_newest_waker_is_the_one_that_is_called() {
    let limiter = Limiter::new(1).unwrap();
    let permit = limiter.try_acquire().unwrap();
    let mut hand = Hand::waits(limiter.acquire());
    let old = std::mem::take(&mut hand.bell);
    assert!(hand.poll().is_pending());
    drop(permit);
    assert_eq!((old.0.load(Ordering::SeqCst), hand.rung()), (0, 1));
}

#[test]
fn a_waker_may_own_a_permit_of_the_limiter_it_waits_for() {
    struct Owner(Mutex<Option<Permit>>);
    impl Wake for Owner {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap().take());
        }
    }
    let limiter = Limiter::new(2).unwrap();
    let (a, b) = (
        limiter.try_acquire().unwrap(),
        limiter.try_acquire().unwrap(),
    );
    let owner = Waker::from(Arc::new(Owner(Mutex::new(Some(a)))));
    let mut first = limiter.acquire();
    assert!(
        first
            .poll_unpin(&mut Context::from_waker(&owner))
            .is_pending()
    );
    let mut second = Hand::waits(limiter.acquire());
    drop(owner);
    drop(b); // wakes `first`, whose waker drops `a`, which wakes `second`
    assert_eq!(second.rung(), 1);
    drop(second.granted());
    // A waker that is replaced may be the last to own a permit, too.
    let c = limiter.try_acquire().unwrap();
    let owner = Waker::from(Arc::new(Owner(Mutex::new(Some(c)))));
    let mut third = limiter.acquire();
    assert!(
        third
            .poll_unpin(&mut Context::from_waker(&owner))
            .is_pending()
    );
    drop(owner);
    let mut third = Hand {
        future: third,
        bell: Arc::default(),
    };
    assert!(third.poll().is_pending());
    drop(third.granted());
    drop(first);
    assert_eq!(limiter.status().current_active, 0);
}

#[test]
fn a_waker_that_panics_keeps_nobody_else_asleep() {
    struct Broken;
    impl Wake for Broken {
        fn wake(self: Arc<Self>) {
            panic!("a broken waker");
        }
    }
    // More than one batch, so that work is left over, too.
    let limiter = Limiter::new(1).unwrap();
    let held = limiter.try_acquire().unwrap();
    let broken = Waker::from(Arc::new(Broken));
    let mut first = limiter.acquire();
    assert!(
        first
            .poll_unpin(&mut Context::from_waker(&broken))
            .is_pending()
    );
    let others: Vec<Hand<'_>> = (0..100).map(|_| Hand::waits(limiter.acquire())).collect();
    let resized = std::panic::catch_unwind(AssertUnwindSafe(|| limiter.resize(102)));
    assert!(resized.is_err(), "the panic is the caller's to see");
    for other in &others {
        assert_eq!(other.rung(), 1);
    }
    drop((held, first, others));
    assert_eq!(limiter.status().current_active, 0);
}

#[test]
fn resizing_lets_in_and_never_evicts() {
    let limiter = Limiter::new(1).unwrap();
    let permit = limiter.try_acquire().unwrap();
    let mut hands: Vec<_> = (0..200).map(|_| Hand::waits(limiter.acquire())).collect();
    // More than one batch of the slot machine: what is left over is done, too.
    assert_eq!(limiter.resize(101), Ok(1));
    assert!(hands[..100].iter().all(|hand| hand.rung() == 1));
    assert!(hands[100..].iter().all(|hand| hand.rung() == 0));
    let mut held: Vec<_> = hands[..100].iter_mut().map(Hand::granted).collect();
    assert_eq!(limiter.resize(2), Ok(101));
    drop(permit);
    assert_eq!(limiter.status().current_active, 100);
    held.truncate(2);
    assert_eq!(hands[100].rung(), 0, "held is at the new capacity");
    held.truncate(1);
    assert_eq!((hands[100].rung(), hands[101].rung()), (1, 0));
    assert_eq!(limiter.resize(0), Err(ConfigError::Capacity));
    assert_eq!(limiter.status().max_concurrent, 2);
}

#[test]
fn a_full_queue_turns_away() {
    let limiter = Limiter::builder(1).queue_limit(1).build().unwrap();
    let permit = limiter.try_acquire().unwrap();
    let mut waiting = Hand::waits(limiter.acquire());
    let (_, poll) = Hand::joins(limiter.acquire());
    assert_eq!(
        poll.map(|result| result.map(drop)),
        Poll::Ready(Err(AcquireError::Full))
    );
    drop(permit);
    drop(waiting.granted());
    let status = limiter.status();
    assert_eq!((status.total_processed, status.total_rejected), (2, 1));
    assert_eq!(
        (status.peak_active, status.peak_waiting, status.released),
        (1, 1, 2)
    );
}

#[test]
fn closing_turns_everyone_away_and_permits_stay_good() {
    let limiter = Limiter::new(1).unwrap();
    let permit = limiter.try_acquire().unwrap();
    let mut granted = Hand::waits(limiter.acquire());
    drop(permit);
    let mut waiting = Hand::waits(limiter.acquire());
    limiter.close();
    assert!(limiter.is_closed());
    assert_eq!(waiting.rung(), 1);
    assert!(matches!(
        waiting.poll(),
        Poll::Ready(Err(AcquireError::Closed))
    ));
    drop(granted.granted());
    assert_eq!(limiter.try_acquire().unwrap_err(), TryAcquireError::Closed);
    assert!(matches!(
        Hand::joins(limiter.acquire()).1,
        Poll::Ready(Err(AcquireError::Closed))
    ));
    assert_eq!(limiter.status().current_active, 0);
}

#[test]
fn senseless_values_are_refused_with_a_reason() {
    let zero = Limiter::new(0).unwrap_err();
    assert!(zero.to_string().contains("capacity"), "{zero}");
    let instant = Limiter::builder(1)
        .wait_timeout(Duration::ZERO)
        .build()
        .unwrap_err();
    assert!(instant.to_string().contains("wait_timeout"), "{instant}");
    assert!(
        Limiter::builder(1)
            .wait_timeout(Duration::MAX)
            .build()
            .is_err()
    );
    assert!(
        Limiter::builder(1)
            .wait_timeout(FIELD_WAIT_TIMEOUT)
            .build()
            .is_ok()
    );
}

#[tokio::test]
async fn a_wait_ends_by_the_limiters_timeout_or_the_callers() {
    let ms = Duration::from_millis;
    let limiter = Limiter::builder(1).wait_timeout(ms(40)).build().unwrap();
    let permit = limiter.acquire().await.unwrap();
    let start = tokio::time::Instant::now();
    let (theirs, own, longer) = tokio::join!(
        limiter.acquire(),
        limiter.acquire_timeout(ms(20)),
        limiter.acquire_timeout(Duration::MAX),
    );
    assert!(start.elapsed() >= ms(40));
    for result in [theirs, own, longer] {
        assert_eq!(result.unwrap_err(), AcquireError::TimedOut);
    }
    let now = limiter.acquire_timeout(Duration::ZERO).await;
    assert_eq!(now.unwrap_err(), AcquireError::TimedOut);
    // Who waits behind those that time out is not held up by them.
    let (late, in_time) = tokio::join!(limiter.acquire_timeout(ms(5)), async {
        let mut waiting = limiter.acquire();
        assert!((&mut waiting).now_or_never().is_none());
        tokio::time::sleep(ms(15)).await;
        drop(permit);
        waiting.await
    });
    assert!(late.is_err());
    let in_time = in_time.unwrap();
    assert!(in_time.wait_time() >= ms(10), "{in_time:?}");
    let status = limiter.status();
    assert_eq!(
        (status.timeouts, status.total_rejected, status.cancelled),
        (5, 5, 0)
    );
    assert_eq!(status.total_processed, 2);
    assert!(status.total_wait_time >= 0.01);
    assert!((status.average_wait_time - status.total_wait_time / 2.0).abs() < 1e-9);
    drop(in_time);
    // With a free slot no timeout, not even zero, is in the way.
    assert!(limiter.acquire_timeout(Duration::ZERO).await.is_ok());
}

#[tokio::test]
async fn a_panic_while_holding_gives_the_slot_back() {
    let limiter = Limiter::new(1).unwrap();
    let inside = AssertUnwindSafe(async {
        let _permit = limiter.acquire().await.unwrap();
        panic!("the guarded work fails");
    });
    assert!(inside.catch_unwind().await.is_err());
    assert!(limiter.try_acquire().is_ok());
}

#[tokio::test]
async fn a_task_that_never_waits_still_lets_others_run() {
    let limiter = Limiter::new(1).unwrap();
    let hog = async {
        loop {
            drop(limiter.acquire().await.unwrap());
        }
    };
    tokio::select! {
        biased;
        () = hog => unreachable!("it never ends"),
        () = tokio::task::yield_now() => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_tasks_on_ten_permits() {
    let limiter = Limiter::new(10).unwrap();
    let room = Arc::new(Room::default());
    let tasks: Vec<_> = (0..10_000)
        .map(|_| {
            let (limiter, room) = (limiter.clone(), Arc::clone(&room));
            tokio::spawn(async move {
                let _permit = limiter.acquire().await.unwrap();
                room.visit().await;
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let status = limiter.status();
    assert!(room.most.load(Ordering::SeqCst) <= 10);
    assert_eq!((status.total_processed, status.released), (10_000, 10_000));
    assert_eq!((status.current_active, status.waiting_requests), (0, 0));
    assert_eq!(status.wait_histogram.iter().sum::<u64>(), 10_000);
    assert!(status.peak_active <= 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storm_of_cancellations_leaks_nothing_and_stalls_nobody() {
    let limiter = Limiter::builder(3)
        .wait_timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    let room = Arc::new(Room::default());
    let tasks: Vec<_> = (0..3_000_u64)
        .map(|i| {
            let (limiter, room) = (limiter.clone(), Arc::clone(&room));
            tokio::spawn(async move {
                let work = async {
                    let _permit = limiter.acquire().await.unwrap();
                    room.visit().await;
                    true
                };
                match i % 3 {
                    0 => work.await,
                    // Dropped in line, granted, or while it holds.
                    1 => tokio::select! {
                        biased;
                        () = give_up_after(i % 17) => false,
                        done = work => done,
                    },
                    _ => {
                        let wait = Duration::from_millis(i % 5);
                        limiter.acquire_timeout(wait).await.is_ok()
                    }
                }
            })
        })
        .collect();
    let mut done = 0;
    for (i, task) in tasks.into_iter().enumerate() {
        let ok = task.await.unwrap();
        assert!(ok || i % 3 != 0, "a patient caller was turned away");
        done += u64::from(ok);
    }
    let status = limiter.status();
    assert_eq!((status.current_active, status.waiting_requests), (0, 0));
    assert!(status.cancelled > 0 && status.timeouts > 0, "{status:?}");
    assert!(status.total_processed >= done && status.peak_active <= 3);
    // All three slots are there.
    let all: Vec<_> = (0..3).map(|_| limiter.try_acquire().unwrap()).collect();
    assert!(limiter.try_acquire().is_err());
    drop(all);
}

/// Gives up while the rest of the runtime goes on `polls` times.
async fn give_up_after(polls: u64) {
    for _ in 0..polls {
        tokio::task::yield_now().await;
    }
}

/// Without a runtime a timer cannot be made: the panic must not leave a place
/// in line behind, to which a slot would be given for good.
#[test]
fn a_timer_that_cannot_be_made_leaves_no_place_behind() {
    let limiter = Limiter::new(1).unwrap();
    let permit = limiter.try_acquire().unwrap();
    let waiting = AssertUnwindSafe(|| {
        limiter
            .acquire_timeout(Duration::from_secs(1))
            .now_or_never()
    });
    assert!(std::panic::catch_unwind(waiting).is_err());
    assert_eq!(limiter.status().waiting_requests, 0);
    drop(permit);
    assert!(limiter.try_acquire().is_ok(), "the slot is gone");
}

#[test]
fn futures_are_small() {
    assert!(
        size_of::<Acquire<'_>>() <= 96,
        "{}",
        size_of::<Acquire<'_>>()
    );
    assert!(size_of::<Permit>() <= 32);
}
