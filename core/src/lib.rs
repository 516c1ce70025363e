//! The decisions of an admission gate as pure state machines.
//!
//! No I/O, no clock, no randomness, no threads, no async: whatever a machine
//! needs to know comes in as an argument, whatever it wants done comes out as
//! a value. That is what lets one and the same code run in production, under a
//! simulated clock and network, and inside an exhaustive search.
//!
//! # The contract of every machine
//!
//! * `now` is the first argument after `self`. A machine never asks for time.
//!   Store time ([`time::StoreTime`]) and a client's local time
//!   ([`time::LocalTime`]) are different types and never meet.
//! * **Every input must be followed by a complete drain of `poll_*`.** Commands
//!   and `handle*` change state; `poll_*` hands out what follows from it:
//!   events, things to send, and the next deadline with its reason.
//! * A spurious wake-up is harmless. A `now` that runs backwards never
//!   corrupts: deadlines are only met later.
//! * No allocation per operation once warm; no unordered iteration in any
//!   result.
//! * Invariants are asserted in debug builds after every input.
//!
//! # Where to read next
//!
//! [`slots`] is the gate itself. [`redis`] is a Redis command and reply as
//! data. [`client`] is the client side of the Redis gate.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod bytes;
pub mod client;
pub mod eta;
pub mod redis;
pub mod script;
pub mod slots;
pub mod time;
