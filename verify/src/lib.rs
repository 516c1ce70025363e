//! Puts gates on trial: specification, properties, subjects right and wrong,
//! audit, and replay.
#![forbid(unsafe_code)]

pub mod audit;
pub mod cli;
pub mod determinism;
pub mod diff;
pub mod evidence;
pub mod failover;
pub mod faults;
pub mod find;
pub mod guided;
pub mod history;
pub mod model;
pub mod mutant;
pub mod on_redis;
pub mod pool;
pub mod property;
pub mod prove;
pub mod real;
pub mod regression;
pub mod report;
pub mod run;
pub mod scenario;
pub mod serve;
pub mod shrink;
pub mod strategy;
pub mod subject;
pub mod timeline;
pub mod trial;
