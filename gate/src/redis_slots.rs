//! The Redis gate: at most `capacity` holders, across all processes that name
//! the same gate on the same server.
//!
//! ```no_run
//! use sluice_gate::redis_slots::{Options, RedisSlots};
//! use sluice_gate::slots::Config;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::session_cap(20);
//! let gate = RedisSlots::connect("redis://127.0.0.1", "sessions", config, Options::default()).await?;
//!
//! let permit = gate.acquire("user-42").await?; // waits its turn, first come, first served
//! tokio::select! {
//!     () = use_the_session(permit.fence()) => permit.release().await?,
//!     how = permit.lost() => eprintln!("the session ended early: {how:?}; stop at once"),
//! }
//! gate.close().await;
//! # Ok(())
//! # }
//! # async fn use_the_session(_fence: u64) {}
//! ```
//!
//! What a client decides (when to poll and renew, what to repeat, when to stop)
//! is decided by [`sluice_core::client::slots::SlotsClient`], the machine that
//! is verified; what the server decides, by the scripts that are verified with
//! it. This module carries bytes and keeps timers.
//!
//! * **Cancel-safe**: drop a future or a permit anywhere, at any time. A
//!   background task owns the machines, and sends the cancellation or release
//!   until the server has answered.
//! * **One id, one place** in the whole system: two that share an id take each
//!   other's place. Use a user, session or request id.
//! * **A permit can be lost** while it is held: when renewals fail for as long as
//!   the lease, or after [`RedisPermit::touch`] was not called for the idle time.
//!   Watch [`RedisPermit::lost`], and show [`RedisPermit::fence`] to resources
//!   that can check it: only they are safe without bounds on clocks and pauses.
//! * Two connections per [`RedisSlots`] whatever the number of waiters: one for
//!   commands, one for wake-ups.
//! * Before the process ends, [`RedisSlots::close`]: without it what was held
//!   stays held until its lease ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::{AsyncConnectionConfig, Client};
use sluice_core::client::slots::Settings;
use sluice_core::redis::Bytes;
use sluice_core::script::{self, GateKeys};
use sluice_core::slots::{Config, validate_id};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::clock::Clock;

mod driver;
mod error;
mod link;
mod options;
mod permit;
mod subscription;
mod wire;

use driver::{Driver, Order};
pub use error::{AcquireError, ConnectError, ReleaseError, StatusError};
use link::Link;
pub use options::Options;
pub use permit::RedisPermit;
use subscription::Subscription;

/// A gate on a Redis server. Clones share connections and task; see the
/// [module](self) for an example.
#[derive(Clone, Debug)]
pub struct RedisSlots {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    orders: mpsc::UnboundedSender<Order>,
    tickets: AtomicU64,
    status_within: Duration,
}

impl RedisSlots {
    /// Connects to `redis://[user:password@]host[:port][/database]` and makes sure
    /// that the server answers. All clients of the gate `name` must use the same
    /// `config`.
    ///
    /// # Errors
    /// What is wrong, where, and what to do about it.
    ///
    /// # Panics
    /// Outside a tokio runtime with time and I/O enabled.
    pub async fn connect(
        url: &str,
        name: &str,
        config: Config,
        options: Options,
    ) -> Result<Self, ConnectError> {
        let keys = GateKeys::new(&options.prefix, name)
            .map_err(ConnectError::Name)?
            .retain(options.retain_ms());
        let keys = if options.guarded {
            keys.guarded()
        } else {
            keys
        };
        let settings = options.settings(keys, config);
        settings.validate().map_err(ConnectError::Settings)?;
        let client = Client::open(url).map_err(|error| ConnectError::url(&error))?;
        let address = client.get_connection_info().addr().to_string();
        // The machine has timeouts of its own; two for one thing would fight.
        let connection = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(options.connect_timeout))
            .set_response_timeout(None);
        let first = client
            .get_multiplexed_async_connection_with_config(&connection)
            .await
            .map_err(|error| ConnectError::refused(&address, &error))?;
        Self::ping(&first, &address, options.request_timeout).await?;
        Ok(Self::start(client, connection, first, settings, &options))
    }

    async fn ping(
        connection: &redis::aio::MultiplexedConnection,
        address: &str,
        within: Duration,
    ) -> Result<(), ConnectError> {
        let mut connection = connection.clone();
        let ping = redis::cmd("PING");
        let answer = timeout(within, connection.send_packed_command(&ping));
        let late = std::io::Error::from(std::io::ErrorKind::TimedOut).into();
        match wire::reply(answer.await.unwrap_or(Err(late))) {
            Ok(sluice_core::redis::Reply::Error(text)) => Err(ConnectError::server(address, &text)),
            Ok(_) => Ok(()),
            Err(error) => Err(ConnectError::refused(address, &error)),
        }
    }

    fn start(
        client: Client,
        connection: AsyncConnectionConfig,
        first: redis::aio::MultiplexedConnection,
        settings: Settings,
        options: &Options,
    ) -> Self {
        let channel = settings.keys.wake_channel();
        let (orders, inbox) = mpsc::unbounded_channel();
        let driver = Driver::new(
            Clock::start(),
            Arc::new(settings),
            orders.downgrade(),
            Link::new(client.clone(), connection, first),
            Subscription::new(client, channel, options.connect_timeout),
        );
        tokio::spawn(driver.run(inbox));
        Self {
            inner: Arc::new(Inner {
                orders,
                tickets: AtomicU64::new(0),
                status_within: options.connect_timeout + 3 * options.request_timeout,
            }),
        }
    }

    /// Joins the line under this id (1 to 512 bytes, no control characters) and
    /// waits for a slot. Dropping the future leaves the line.
    ///
    /// While the server cannot be reached it keeps trying, within
    /// [`Options::wait_limit`] if there is one.
    ///
    /// # Errors
    /// [`AcquireError`] says why there is no slot.
    pub async fn acquire(&self, id: impl AsRef<[u8]>) -> Result<RedisPermit, AcquireError> {
        self.join(id.as_ref(), true).await
    }

    /// Takes a slot only if one is free now and nobody waits for it.
    ///
    /// # Errors
    /// [`AcquireError::Busy`] if not; others as for [`RedisSlots::acquire`].
    pub async fn try_acquire(&self, id: impl AsRef<[u8]>) -> Result<RedisPermit, AcquireError> {
        self.join(id.as_ref(), false).await
    }

    /// Counts and statistics, as the server has them now.
    ///
    /// # Errors
    /// [`StatusError`] if it does not tell.
    pub async fn status(&self) -> Result<script::Status, StatusError> {
        let (answer, answered) = oneshot::channel();
        self.inner
            .orders
            .send(Order::Status(answer))
            .map_err(|_| StatusError::Closed)?;
        match timeout(self.inner.status_within, answered).await {
            Ok(Ok(status)) => status,
            Ok(Err(_)) => Err(StatusError::Closed),
            Err(_) => Err(StatusError::Unreachable),
        }
    }

    /// Gives everything back: whoever waits gets [`AcquireError::Closed`], every
    /// permit of this gate is lost and released. Returns when the server has
    /// answered for all of it, or would have ended it by itself; put a timeout
    /// around it if that is too long. Dropping the last handle and permit does
    /// the same in the background, for as long as the runtime lives.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.inner.orders.send(Order::Close(done)).is_ok() {
            let _ = closed.await;
        }
    }

    async fn join(&self, id: &[u8], wait: bool) -> Result<RedisPermit, AcquireError> {
        validate_id(id).map_err(AcquireError::Id)?;
        let (answer, answered) = oneshot::channel();
        let mut leaving = Leaving {
            orders: &self.inner.orders,
            id: Bytes::from(id),
            ticket: self.inner.tickets.fetch_add(1, Ordering::Relaxed),
            armed: true,
        };
        let order = Order::Join {
            id: leaving.id.clone(),
            ticket: leaving.ticket,
            wait,
            answer,
        };
        self.inner
            .orders
            .send(order)
            .map_err(|_| AcquireError::Closed)?;
        let result = answered.await.unwrap_or(Err(AcquireError::Closed));
        leaving.armed = false;
        result
    }
}

/// Leaves the line if the future is dropped before it has its answer.
struct Leaving<'a> {
    orders: &'a mpsc::UnboundedSender<Order>,
    id: Bytes,
    ticket: u64,
    armed: bool,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if self.armed {
            // Without a task there is nothing to leave.
            let _ = self.orders.send(Order::Abandon {
                id: self.id.clone(),
                ticket: self.ticket,
            });
        }
    }
}
