//! The first seed that breaks a property (R6.5).

use crate::run::Outcome;

/// A run that broke something.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its seed.
    pub seed: u64,
    /// Seeds tried, this one included.
    pub tried: u64,
    /// What it showed.
    pub outcome: Outcome,
}
