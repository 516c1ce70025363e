//! Decision files that outlive the code they were recorded from (R6.6).
//!
//! A shrunken file names what broke and the few decisions that matter, by
//! meaning. Followed on today's code it says one of four things
//! ([`Verdict`]); `verify/regressions` keeps one file for every bug that was
//! worth remembering, and a test follows them all.

use std::fmt;

use sluice_sim::log::DecisionFile;
use sluice_sim::redis::Engine;

use crate::run::{Run, Trace, Until};
use crate::scenario::Scenario;
use crate::shrink::Bug;
use crate::strategy::Strategy;
use crate::subject::{self, Subject};

/// What a decision file says about today's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The same invariant breaks. `moved`: by other steps than those recorded.
    SameBug {
        /// The run's digest is another one.
        moved: bool,
    },
    /// Another invariant breaks, or the same by another meaning.
    OtherBug(String),
    /// Every decision of the file came up, and nothing breaks.
    Fixed,
    /// Nothing breaks, and so the file is no evidence: this decision of it
    /// (from 1) never came up, or the run is another one.
    Stale {
        /// Which decision; one more than there are if the end differs.
        step: usize,
        /// What about it.
        what: String,
    },
}

impl Verdict {
    /// Nothing breaks where nothing goes on: no evidence that a bug is mended.
    fn stuck(decisions: usize) -> Self {
        Self::Stale {
            step: decisions + 1,
            what: "the run makes no progress after it".to_owned(),
        }
    }
}

/// `same bug`, `another bug: R1.4`, `fixed`, `stale at step 3: …`
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameBug { moved: false } => f.write_str("same bug"),
            Self::SameBug { moved: true } => f.write_str("same bug, by other steps than recorded"),
            Self::OtherBug(bug) => write!(f, "another bug: {bug}"),
            Self::Fixed => f.write_str("fixed"),
            Self::Stale { step, what } => write!(f, "stale at step {step}: {what}"),
        }
    }
}

/// A decision file, ready to be run.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file.
    pub file: DecisionFile,
    /// Who is on trial.
    pub subject: Subject,
    /// In which workload.
    pub scenario: Scenario,
}

impl Case {
    /// The subject and the workload that a file names.
    ///
    /// # Errors
    /// If this version does not know them; says which, and what there is.
    pub fn of(file: DecisionFile) -> Result<Self, String> {
        let subject = subject::by_name(&file.subject).map_err(|error| error.to_string())?;
        let scenario = serde_json::from_str(&file.scenario)
            .map_err(|error| format!("its scenario is not one of this version: {error}"))?;
        Ok(Self {
            file,
            subject,
            scenario,
        })
    }

    /// Runs it: a whole file to the letter, a shrunken one as far as it goes.
    #[must_use]
    pub fn run(&self, until: Until, engine: &Engine) -> (Trace, Verdict) {
        let run = Run {
            subject: self.subject,
            scenario: self.scenario.clone(),
            seed: 0,
            strategy: Strategy::Random,
            until,
        };
        match &self.file.shrunken {
            None => self.repeat(&run, engine),
            Some(shrunken) => self.follow(&run, &shrunken.breaks, engine),
        }
    }

    fn repeat(&self, run: &Run, engine: &Engine) -> (Trace, Verdict) {
        let trace = run.repeat(self.file.decisions.clone(), engine);
        let verdict = if let Some(divergence) = &trace.divergence {
            Verdict::Stale {
                step: divergence.decision + 1,
                what: divergence.to_string(),
            }
        } else if run.until == Until::Violation && trace.outcome.digest != self.file.digest {
            Verdict::Stale {
                step: self.file.decisions.len() + 1,
                what: format!(
                    "the run's digest is {:016x}, the file has {:016x}",
                    trace.outcome.digest, self.file.digest
                ),
            }
        } else if trace.outcome.is_clean() && trace.outcome.is_stuck() {
            Verdict::stuck(self.file.decisions.len())
        } else if trace.outcome.is_clean() {
            Verdict::Fixed
        } else {
            Verdict::SameBug { moved: false }
        };
        (trace, verdict)
    }

    fn follow(&self, run: &Run, breaks: &str, engine: &Engine) -> (Trace, Verdict) {
        let (trace, unmet) = run.trace_along(&self.file.decisions, engine);
        let verdict = match (Bug::of(&trace.outcome), unmet) {
            (Some(bug), _) if bug.to_string() == breaks => Verdict::SameBug {
                moved: run.until == Until::Violation && trace.outcome.digest != self.file.digest,
            },
            (Some(bug), _) => Verdict::OtherBug(bug.to_string()),
            (None, None) if trace.outcome.is_stuck() => Verdict::stuck(self.file.decisions.len()),
            (None, None) => Verdict::Fixed,
            (None, Some((at, decision))) => Verdict::Stale {
                step: at + 1,
                what: format!("`{decision}` never came up"),
            },
        };
        (trace, verdict)
    }

    /// Whether the verdict is what it has to be: a gate that is known to be wrong
    /// stays so, if by other steps; in one that should hold the bug has been
    /// mended. Stale is never expected.
    #[must_use]
    pub fn is_as_expected(&self, verdict: &Verdict) -> bool {
        if self.subject.convicted_by.is_empty() {
            *verdict == Verdict::Fixed
        } else {
            matches!(verdict, Verdict::SameBug { .. })
        }
    }
}
