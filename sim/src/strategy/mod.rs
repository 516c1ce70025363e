//! Strategies: who answers the world's questions. One file each.

mod random;

pub use random::Random;
