//! What stands in for the limiter's `sync` module under loom and shuttle: their
//! locks (from `crate::checker`), a clock that only a test moves, and planted
//! bugs.

use std::cell::Cell;
use std::task::{Context, Poll, Waker};

use sluice_core::time::StoreTime;

pub(crate) use crate::checker::{Arc, Mutex, MutexGuard};
use crate::table::Flaw;

thread_local! {
    static PLANTED: Cell<Option<Flaw>> = const { Cell::new(None) };
}

/// Whether the limiter has this bug now.
pub(crate) fn planted(flaw: Flaw) -> bool {
    PLANTED.get() == Some(flaw)
}

/// Runs `check` on a limiter with this bug, and hands out the message with
/// which it fails. Both checkers run all threads of a model on the thread that
/// calls them, so the bug is seen by this check only.
pub(crate) fn failure_with(flaw: Flaw, check: impl FnOnce()) -> String {
    PLANTED.set(Some(flaw));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
    PLANTED.set(None);
    let Err(panic) = result else {
        panic!("the check did not find the planted {flaw:?}");
    };
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => panic
            .downcast_ref::<&str>()
            .unwrap_or(&"no message")
            .to_string(),
    }
}

/// A clock that stands still, or is moved by the test that made it.
#[derive(Clone)]
pub(crate) struct Clock(Option<Arc<Mutex<Face>>>);

struct Face {
    now: StoreTime,
    alarms: Vec<Waker>,
}

impl Clock {
    pub(crate) fn still() -> Self {
        Self(None)
    }

    pub(crate) fn moving() -> Self {
        let face = Face {
            now: StoreTime(0),
            alarms: Vec::new(),
        };
        Self(Some(Arc::new(Mutex::new(face))))
    }

    /// Lets time pass, and every timer look at it.
    pub(crate) fn advance(&self, ms: u64) {
        let alarms = {
            let mut face = self.face().lock().unwrap();
            face.now = face.now.plus(ms);
            std::mem::take(&mut face.alarms)
        };
        alarms.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn now(&self) -> StoreTime {
        match &self.0 {
            Some(face) => face.lock().unwrap().now,
            None => StoreTime(0),
        }
    }

    pub(crate) fn first_fence() -> u64 {
        0
    }

    fn face(&self) -> &Mutex<Face> {
        self.0.as_ref().expect("this clock stands still")
    }
}

pub(crate) struct Timer {
    clock: Clock,
    at: StoreTime,
}

impl Timer {
    pub(crate) fn new(clock: &Clock, at: StoreTime) -> Self {
        Self {
            clock: clock.clone(),
            at,
        }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut face = self.clock.face().lock().unwrap();
        if self.at <= face.now {
            return Poll::Ready(());
        }
        face.alarms.push(cx.waker().clone());
        Poll::Pending
    }
}

/// No executor here has a budget.
pub(crate) fn poll_proceed(_: &mut Context<'_>) -> Poll<Unlimited> {
    Poll::Ready(Unlimited)
}

pub(crate) struct Unlimited;

impl Unlimited {
    pub(crate) fn made_progress(self) {}
}
