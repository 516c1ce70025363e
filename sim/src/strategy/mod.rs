//! Strategies: who answers the world's questions. One file each.

pub mod exhaustive;
mod follow;
mod pct;
mod pos;
mod random;
mod record;
mod replay;
mod spliced;

pub use follow::{Follow, Role};
pub use pct::Pct;
pub use pos::Pos;
pub use random::Random;
pub use record::Recorder;
pub use replay::{Asked, Divergence, Replay};
pub use spliced::{Base, Genes, Spliced};
