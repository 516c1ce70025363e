//! A held slot.

use std::fmt;
use std::time::Instant;

use sluice_core::redis::Bytes;
use sluice_core::slots::{Ended, Fence};
use sluice_core::time::LocalTime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep_until;

use super::ReleaseError;
use super::driver::{Order, Standing};
use crate::clock::Clock;

/// A slot, held until it is released, dropped, or lost. Renewed in the
/// background.
#[must_use = "dropping a permit gives its slot back"]
pub struct RedisPermit {
    id: Bytes,
    ticket: u64,
    fence: Fence,
    wait_ms: u64,
    standing: watch::Receiver<Standing>,
    orders: mpsc::UnboundedSender<Order>,
    clock: Clock,
    released: bool,
}

impl RedisPermit {
    pub(super) fn new(
        id: Bytes,
        ticket: u64,
        fence: Fence,
        wait_ms: u64,
        standing: watch::Receiver<Standing>,
        orders: mpsc::UnboundedSender<Order>,
        clock: Clock,
    ) -> Self {
        Self {
            id,
            ticket,
            fence,
            wait_ms,
            standing,
            orders,
            clock,
            released: false,
        }
    }

    /// The id it was acquired under.
    #[must_use]
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    /// The fencing number: greater than that of every earlier grant of this
    /// gate. A resource that refuses smaller numbers than it has seen is safe
    /// from holders that do not know yet that they have lost their slot.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// How long it waited in line, in milliseconds, by the server's clock.
    #[must_use]
    pub fn wait_ms(&self) -> u64 {
        self.wait_ms
    }

    /// Until when the slot is certainly held if no renewal succeeds from now on;
    /// `None` if the gate has no lease. Moves on as renewals succeed.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        let until = self.standing.borrow().until?;
        Some(self.clock.instant(until).into_std())
    }

    /// Whether the slot is held now.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let standing = *self.standing.borrow();
        standing.lost.is_none() && !self.passed(standing.until) && self.task_lives()
    }

    /// Tells that the slot is in real use: moves the gate's idle deadline.
    /// Cheap: it goes with the next heartbeat.
    pub fn touch(&self) {
        // Without a task the slot is lost, which `lost` tells.
        let _ = self.orders.send(Order::Touch {
            id: self.id.clone(),
            ticket: self.ticket,
        });
    }

    /// Returns when the slot is lost, and how: stop at once what it guards.
    /// Also returns in time when the background task is held up. Cancel-safe.
    pub async fn lost(&self) -> Ended {
        let mut watched = self.standing.clone();
        loop {
            let standing = *watched.borrow_and_update();
            if let Some(how) = standing.lost {
                return how;
            }
            if self.passed(standing.until) {
                return Ended::Expired;
            }
            let changed = async {
                match standing.until {
                    Some(until) => tokio::select! {
                        changed = watched.changed() => changed,
                        () = sleep_until(self.clock.instant(until)) => Ok(()),
                    },
                    None => watched.changed().await,
                }
            };
            if changed.await.is_err() {
                let last = watched.borrow().lost;
                return last.unwrap_or(Ended::Expired);
            }
        }
    }

    /// Gives the slot back, and returns when the server has answered (or would
    /// have ended the lease by itself). If the future is dropped the release
    /// goes on in the background. Releasing a slot that was lost is no error.
    ///
    /// # Errors
    /// If the server refuses; it is tried again in the background.
    pub async fn release(mut self) -> Result<(), ReleaseError> {
        self.released = true;
        let (done, answered) = oneshot::channel();
        let order = self.order_release(Some(done));
        self.orders.send(order).map_err(|_| ReleaseError::Closed)?;
        answered.await.unwrap_or(Err(ReleaseError::Closed))
    }

    fn order_release(&self, done: Option<oneshot::Sender<Result<(), ReleaseError>>>) -> Order {
        Order::Release {
            id: self.id.clone(),
            ticket: self.ticket,
            done,
        }
    }

    fn passed(&self, until: Option<LocalTime>) -> bool {
        until.is_some_and(|until| until <= self.clock.now())
    }

    fn task_lives(&self) -> bool {
        self.standing.has_changed().is_ok()
    }
}

impl Drop for RedisPermit {
    fn drop(&mut self) {
        if !self.released {
            let _ = self.orders.send(self.order_release(None));
        }
    }
}

impl fmt::Debug for RedisPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisPermit")
            .field("id", &String::from_utf8_lossy(&self.id))
            .field("fence", &self.fence)
            .field("standing", &*self.standing.borrow())
            .finish_non_exhaustive()
    }
}
