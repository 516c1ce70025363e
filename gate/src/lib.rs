//! The production shell: an in-process async limiter and a Redis gate over the
//! verified machines. The only room with a real clock and sockets.
//!
//! | you have | use |
//! |---|---|
//! | one process | [`Limiter`]: a permit costs less than a microsecond, no server |
//! | several processes, one limit | [`RedisSlots`]: the same machine as scripts inside Redis |
//!
//! Both are first come, first served, never exceed their capacity, and lose
//! neither a slot nor a place when a future is dropped. Across k processes k
//! limiters admit k times their capacity (R3.1): that is what the Redis gate is for.
//!
//! ```no_run
//! use sluice_gate::redis_slots::{Options, RedisSlots};
//! use sluice_gate::slots::Config;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let ten = sluice_gate::Limiter::new(10)?; // of this process
//! let permit = ten.acquire().await?;
//!
//! let config = Config::semaphore(3, 60_000, 300_000); // of all processes: 3 slots,
//! let options = Options::default(); //                   60 s lease, 300 s to wait
//! let three = RedisSlots::connect("redis://127.0.0.1", "embedding_batch", config, options).await?;
//! let permit_of_all = three.acquire("request-17").await?;
//! permit_of_all.release().await?;
//! drop(permit);
//! three.close().await;
//! # Ok(())
//! # }
//! ```

mod clock;
pub mod limiter;
pub mod redis_slots;

pub use limiter::{Limiter, Permit};
pub use redis_slots::{RedisPermit, RedisSlots};
/// The gate itself: configurations, outcomes, statistics.
pub use sluice_core::slots;
