//! Puts gates on trial: specification, properties, subjects right and wrong,
//! audit, and replay.
#![forbid(unsafe_code)]

pub mod evidence;
pub mod model;
pub mod real;
pub mod report;
