//! Who searches, and how: names on the command line, and choosers.

use std::fmt;
use std::str::FromStr;

use sluice_sim::choice::Chooser;
use sluice_sim::redis::Engine;
use sluice_sim::strategy::{Pct, Pos, Random};

use crate::run::Run;
use crate::scenario::Scenario;
use crate::subject::Subject;

/// How decisions are made out of a seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Every choice at random.
    #[default]
    Random,
    /// Priorities with `depth` − 1 changes: see [`Pct`].
    Pct {
        /// How many orderings a bug may need.
        depth: u32,
        /// Events in a run, about; 0 if not known yet, see [`Strategy::fitted`].
        steps: u64,
    },
    /// Partial-order sampling: see [`Pos`].
    Pos,
}

impl Strategy {
    /// Those that can be named, at their usual parameters.
    pub const ALL: [Self; 3] = [Self::Random, Self::Pct { depth: 3, steps: 0 }, Self::Pos];

    /// The run of this seed.
    #[must_use]
    pub fn chooser(self, seed: u64) -> Box<dyn Chooser> {
        match self {
            Self::Random => Box::new(Random::new(seed)),
            Self::Pct { depth, steps } => Box::new(Pct::new(seed, depth, steps)),
            Self::Pos => Box::new(Pos::new(seed)),
        }
    }

    /// The same, for runs as long as this workload's: it is run once, at
    /// random from seed 0, if the strategy needs to know.
    #[must_use]
    pub fn fitted(self, subject: &Subject, scenario: &Scenario, engine: &Engine) -> Self {
        match self {
            Self::Pct { depth, steps: 0 } => {
                let run = Run::new(*subject, scenario.clone(), 0).go(engine);
                let steps = run.steps.max(1);
                Self::Pct { depth, steps }
            }
            Self::Random | Self::Pct { .. } | Self::Pos => self,
        }
    }
}

/// As on the command line: `random`, `pct` (depth 3), `pct:5`, `pos`.
impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random => f.write_str("random"),
            Self::Pct { depth: 3, .. } => f.write_str("pct"),
            Self::Pct { depth, .. } => write!(f, "pct:{depth}"),
            Self::Pos => f.write_str("pos"),
        }
    }
}

/// How a search gets its runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tactic {
    /// Each out of a seed of its own.
    BySeed(Strategy),
    /// Each by what those before it have met: see [`crate::guided`]. Its runs
    /// are not the runs of seeds.
    Guided,
}

impl Tactic {
    /// Those that can be named, at their usual parameters.
    pub const ALL: [Self; 4] = [
        Self::BySeed(Strategy::ALL[0]),
        Self::BySeed(Strategy::ALL[1]),
        Self::BySeed(Strategy::ALL[2]),
        Self::Guided,
    ];

    /// The strategy that makes the run of one seed.
    ///
    /// # Errors
    /// If there is none.
    pub const fn by_seed(self) -> Result<Strategy, NotBySeed> {
        match self {
            Self::BySeed(strategy) => Ok(strategy),
            Self::Guided => Err(NotBySeed),
        }
    }

    /// See [`Strategy::fitted`].
    #[must_use]
    pub fn fitted(self, subject: &Subject, scenario: &Scenario, engine: &Engine) -> Self {
        match self {
            Self::BySeed(strategy) => Self::BySeed(strategy.fitted(subject, scenario, engine)),
            Self::Guided => Self::Guided,
        }
    }
}

impl Default for Tactic {
    fn default() -> Self {
        Self::BySeed(Strategy::Random)
    }
}

/// As on the command line: a strategy, or `guided`.
impl fmt::Display for Tactic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BySeed(strategy) => strategy.fmt(f),
            Self::Guided => f.pad("guided"),
        }
    }
}

impl FromStr for Tactic {
    type Err = UnknownStrategy;

    fn from_str(name: &str) -> Result<Self, UnknownStrategy> {
        match name {
            "guided" => Ok(Self::Guided),
            _ => name.parse().map(Self::BySeed),
        }
    }
}

/// A guided search where the run of one seed was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a guided search makes each run out of those before it, so no seed has a run of its own; \
     use `find` or `mutants`, or another strategy: random, pct, pct:DEPTH, pos"
)]
pub struct NotBySeed;

/// A strategy that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown strategy `{0}`; known are: random, pct, pct:DEPTH (1 to 20), pos, guided")]
pub struct UnknownStrategy(pub String);

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(name: &str) -> Result<Self, UnknownStrategy> {
        let unknown = || UnknownStrategy(name.chars().take(60).collect());
        match name {
            "random" => Ok(Self::Random),
            "pct" => Ok(Self::Pct { depth: 3, steps: 0 }),
            "pos" => Ok(Self::Pos),
            _ => {
                let depth = name.strip_prefix("pct:").and_then(|d| d.parse().ok());
                let depth = depth.filter(|d| (1..=20).contains(d)).ok_or_else(unknown)?;
                Ok(Self::Pct { depth, steps: 0 })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for strategy in Strategy::ALL {
            assert_eq!(strategy.to_string().parse(), Ok(strategy));
        }
        for tactic in Tactic::ALL {
            assert_eq!(tactic.to_string().parse(), Ok(tactic));
            assert_eq!(tactic.by_seed().is_err(), tactic == Tactic::Guided);
        }
        let deep = Strategy::Pct { depth: 5, steps: 0 };
        assert_eq!("pct:5".parse(), Ok(deep));
        for wrong in ["", "pct:0", "pct:21", "pct:", "exact"] {
            let error = wrong.parse::<Strategy>().expect_err("no strategy");
            assert!(error.to_string().contains("pos"), "{error}");
        }
    }
}
