//! Strategies: who answers the world's questions. One file each.

mod random;
mod record;
mod replay;

pub use random::Random;
pub use record::Recorder;
pub use replay::{Asked, Divergence, Replay};
