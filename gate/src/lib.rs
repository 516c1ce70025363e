//! The production shell: an in-process async limiter and a Redis gate over the
//! verified machines. The only room with a real clock and sockets.

pub mod limiter;

pub use limiter::{Limiter, Permit};
