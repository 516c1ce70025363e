//! From a run that broke something to the least that breaks it (R6.4).
//!
//! A failure that a search has met is full of what does not matter: twenty
//! slots, twenty-one clients, a thousand decisions. What matters is looked for
//! in two ways, one after the other:
//!
//! 1. *The workload*: fewer clients, fewer slots, fewer processes, one gate
//!    instead of two. A smaller workload has other labels, so nothing of the old
//!    schedule can be kept; but a bug in a small workload is found at once, so
//!    it is searched for anew, the smallest workload first, from fixed seeds.
//! 2. *The decisions*: delta debugging (Zeller, Hildebrandt: *Simplifying and
//!    isolating failure-inducing input*, IEEE TSE 28, 2002) over all of them
//!    together: events that must come early (preemptions), faults with what they
//!    strike, magnitudes, leaps of time. What is left out goes by the rules of
//!    [`Follow`](sluice_sim::strategy::Follow). At the end every single one that
//!    is left has been tried without: the result is 1-minimal.
//!
//! The same bug is the same property (and meaning of "at most N") broken at the
//! first step at which anything breaks; or one that was named, whatever breaks
//! before it. Everything here is determined by the input: the same run shrinks to
//! the same result.

mod workload;

use std::fmt;

use serde::Serialize;
use sluice_sim::log::{Decision, DecisionFile, Shrunken};
use sluice_sim::redis::Engine;
use sluice_sim::strategy::Role;

use crate::property::{Finding, Meaning, Verdict};
use crate::run::{Outcome, Run, Trace, Until};
use crate::scenario::Scenario;
use crate::subject::Subject;
use workload::Seeker;

/// Which invariant broke, so that two runs can be told to break the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Bug {
    /// The property.
    pub code: String,
    /// Which cap is meant, where that matters.
    pub meaning: Option<Meaning>,
}

/// How large a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Slots of the session gate.
    pub cap: u32,
    /// Clients.
    pub clients: u16,
    /// Processes.
    pub processes: u16,
    /// Steps until it broke.
    pub steps: u64,
    /// Decisions that were recorded, or that matter.
    pub decisions: usize,
    /// Of these, faults.
    pub faults: usize,
}

/// A run and the least of it.
#[derive(Clone, Debug)]
pub struct Shrink {
    /// What breaks.
    pub bug: Bug,
    /// What there was.
    pub original: Size,
    /// What is left.
    pub shrunken: Size,
    /// The run that is left, with its steps. Its file holds only the decisions
    /// that matter.
    pub trace: Trace,
    /// Runs that were tried on the way.
    pub tried: u64,
    /// Nothing of it can be left out; false if it was stopped before that was
    /// known.
    pub least: bool,
}

impl Bug {
    /// The first thing that breaks in a run.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Option<Self> {
        let at = |f: &Finding| match &f.verdict {
            Verdict::Violated(violation) => violation.step,
            Verdict::Holds | Verdict::Inconclusive(_) => u64::MAX,
        };
        let first = outcome.violations().min_by_key(|f| at(f))?;
        Some(Self::found(first))
    }

    fn found(found: &Finding) -> Self {
        Self {
            code: found.code.to_string(),
            meaning: found.meaning,
        }
    }

    /// Whether a run breaks it before anything else.
    #[must_use]
    pub fn is_in(&self, outcome: &Outcome) -> bool {
        Self::of(outcome).as_ref() == Some(self)
    }
}

/// What a smaller run must still break.
#[derive(Clone, Debug)]
enum Goal {
    /// This, before anything else.
    First(Bug),
    /// The property of this name, whatever breaks before.
    Named(&'static str),
}

impl Goal {
    /// How far a run has to go to show it.
    const fn until(&self) -> Until {
        match self {
            Self::First(_) => Until::Violation,
            Self::Named(name) => Until::Breaks(name),
        }
    }

    /// What of it a run shows.
    fn bug(&self, outcome: &Outcome) -> Option<Bug> {
        match self {
            Self::First(bug) => bug.is_in(outcome).then(|| bug.clone()),
            Self::Named(name) => {
                let named = outcome.violations().find(|f| f.is(name));
                named.map(Bug::found)
            }
        }
    }
}

/// `R1.1 (store)`
impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = match self.meaning {
            None => return f.write_str(&self.code),
            Some(Meaning::Store) => "store",
            Some(Meaning::Belief) => "belief",
            Some(Meaning::Effects) => "effects",
        };
        write!(f, "{} ({meaning})", self.code)
    }
}

/// `cap 20, 21 clients, 4 processes: 66 decisions (0 faults), 63 steps`
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let many = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        write!(
            f,
            "cap {}, {}, {}: {} ({}), {}",
            self.cap,
            many(self.clients.into(), "client"),
            many(self.processes.into(), "process").replace("processs", "processes"),
            many(self.decisions, "decision"),
            many(self.faults, "fault"),
            many(self.steps as usize, "step")
        )
    }
}

impl Size {
    fn of(scenario: &Scenario, decisions: &[Decision], steps: u64) -> Self {
        Self {
            cap: scenario.sessions,
            clients: scenario.users,
            processes: scenario.processes,
            steps,
            decisions: decisions
                .iter()
                .filter(|d| !matches!(d.role(), Role::Place | Role::NoFault))
                .count(),
            faults: decisions.iter().filter(|d| d.role() == Role::Fault).count(),
        }
    }
}

/// Shrinks a run that broke something. `decisions`: all of its answers, or
/// those of an earlier shrinking. `None` if it breaks nothing.
#[must_use]
pub fn shrink(
    subject: &Subject,
    scenario: &Scenario,
    decisions: &[Decision],
    engine: &Engine,
) -> Option<Shrink> {
    let run = Run::new(*subject, scenario.clone(), 0).until_violation();
    let (outcome, _) = run.follow(decisions, engine);
    let goal = Goal::First(Bug::of(&outcome)?);
    towards(&goal, subject, scenario, decisions, engine, || false)
}

/// The same for the property of this name, though others may break before it.
#[must_use]
pub fn to(
    property: &'static str,
    subject: &Subject,
    scenario: &Scenario,
    decisions: &[Decision],
    engine: &Engine,
) -> Option<Shrink> {
    to_within(property, subject, scenario, decisions, engine, || false)
}

/// The same, but once `stop` says so, what there is by then has to do.
#[must_use]
pub fn to_within(
    property: &'static str,
    subject: &Subject,
    scenario: &Scenario,
    decisions: &[Decision],
    engine: &Engine,
    stop: impl Fn() -> bool,
) -> Option<Shrink> {
    let goal = Goal::Named(property);
    towards(&goal, subject, scenario, decisions, engine, stop)
}

fn towards(
    goal: &Goal,
    subject: &Subject,
    scenario: &Scenario,
    decisions: &[Decision],
    engine: &Engine,
    stop: impl Fn() -> bool,
) -> Option<Shrink> {
    let run = |scenario: &Scenario| Run {
        until: goal.until(),
        ..Run::new(*subject, scenario.clone(), 0)
    };
    let (outcome, _) = run(scenario).follow(decisions, engine);
    let bug = goal.bug(&outcome)?;
    let original = Size::of(scenario, decisions, outcome.steps);
    let mut seeker = Seeker {
        subject,
        goal,
        engine,
        stop: &stop,
        tried: 0,
    };
    let smaller = seeker.smallest(scenario);
    let mut tried = seeker.tried;
    let (scenario, decisions) = smaller.unwrap_or((scenario.clone(), decisions.to_vec()));

    let run = run(&scenario);
    let fails = |units: &[Unit]| {
        tried += 1;
        goal.bug(&run.follow(&flat(units), engine).0).is_some()
    };
    let units = least_units(units(&decisions), fails, &stop);
    let is_least = !stop();
    let decisions = flat(&units);
    let (mut trace, _) = run.trace_along(&decisions, engine);
    let shrunken = Size::of(&scenario, &decisions, trace.outcome.steps);
    trace.file = DecisionFile {
        shrunken: Some(Shrunken {
            breaks: bug.to_string(),
            from: original.to_string(),
            note: String::new(),
        }),
        decisions,
        ..trace.file
    };
    Some(Shrink {
        bug,
        original,
        shrunken,
        trace,
        tried,
        least: is_least,
    })
}

/// The same for decisions of any run: those without which it does not fail.
pub(crate) fn least_decisions(
    decisions: &[Decision],
    mut fails: impl FnMut(&[Decision]) -> bool,
) -> Vec<Decision> {
    let fails = |units: &[Unit]| fails(&flat(units));
    flat(&least_units(units(decisions), fails, || false))
}

/// Decisions that make sense only together: a fault with its place, its target
/// and its magnitudes.
type Unit = Vec<Decision>;

fn units(decisions: &[Decision]) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let mut place = None;
    let mut in_fault = false;
    for decision in decisions {
        let role = decision.role();
        match role {
            Role::NoFault => in_fault = false,
            Role::Place => place = Some(*decision),
            Role::Event => {
                in_fault = false;
                if let Decision::Pick(label) = decision {
                    place = Some(Decision::After(*label));
                }
                units.push(vec![*decision]);
            }
            Role::Fault => {
                in_fault = true;
                units.push(place.into_iter().chain([*decision]).collect());
            }
            Role::Target | Role::Number => match units.last_mut() {
                Some(fault) if in_fault => fault.push(*decision),
                _ => units.push(vec![*decision]),
            },
        }
    }
    units
}

fn flat(units: &[Unit]) -> Vec<Decision> {
    units.iter().flatten().copied().collect()
}

/// As few units as it takes, and of each as little: a fault may do without its
/// place, its target or a number, and take what comes by itself.
fn least_units(
    mut units: Vec<Unit>,
    mut fails: impl FnMut(&[Unit]) -> bool,
    stop: impl Fn() -> bool,
) -> Vec<Unit> {
    loop {
        units = least(units, &mut fails, &stop);
        let mut any = false;
        for at in 0..units.len() {
            let mut part = 0;
            while part < units[at].len() && units[at].len() > 1 && !stop() {
                let removed = units[at].remove(part);
                if removed.role() != Role::Fault && fails(&units) {
                    any = true;
                } else {
                    units[at].insert(part, removed);
                    part += 1;
                }
            }
        }
        if !any {
            return units;
        }
    }
}

/// Delta debugging: leaves out as much as it can while `fails` holds, in ever
/// smaller pieces, until not one unit can be left out. O(n²) runs at worst.
/// Or until it is to `stop`.
fn least<T: Clone>(
    mut units: Vec<T>,
    mut fails: impl FnMut(&[T]) -> bool,
    stop: impl Fn() -> bool,
) -> Vec<T> {
    let mut size = units.len();
    while size > 0 {
        let mut at = 0;
        let mut any = false;
        while at < units.len() {
            if stop() {
                return units;
            }
            let end = (at + size).min(units.len());
            let rest = [&units[..at], &units[end..]].concat();
            if fails(&rest) {
                units = rest;
                any = true;
            } else {
                at = end;
            }
        }
        // The last pass goes over single units, until it finds none.
        if size > 1 {
            size = size.div_ceil(2);
        } else if !any {
            break;
        }
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_sim::choice::{Kind, Label};

    /// What is needed is found, in any combination, and nothing else is kept.
    #[test]
    fn what_is_left_is_one_minimal() {
        let needed: [&[u32]; 4] = [&[], &[7], &[0, 63], &[3, 4, 40, 41]];
        for needed in needed {
            let fails = |some: &[u32]| needed.iter().all(|n| some.contains(n));
            assert_eq!(least((0..64).collect(), fails, || false), needed);
            let stopped = least((0..64).collect(), fails, || true);
            assert_eq!(stopped.len(), 64);
        }
        // Either of two, or three others: whatever it ends with is minimal.
        let fails = |some: &[u32]| {
            some.contains(&5) || (some.len() > 2 && some.contains(&1) && !some.contains(&9))
        };
        let left = least((0..10).collect(), fails, || false);
        assert!(fails(&left));
        for i in 0..left.len() {
            let mut less = left.clone();
            less.remove(i);
            assert!(!fails(&less), "{left:?} without {i}");
        }
    }

    #[test]
    fn a_fault_is_kept_or_dropped_with_all_that_belongs_to_it() {
        let event = Label::new(Kind::Execute, 0, 1, 2);
        let none = Decision::Pick(Label::new(Kind::Next, Label::SERVER, 0, 0));
        let crash = Decision::Pick(Label::new(Kind::Crash, Label::SERVER, 0, 0));
        let victim = Label::new(Kind::Crash, 1, 0, 0);
        let parts = [Decision::Pick(victim), Decision::Draw(victim, 3)];
        let log = [Decision::Pick(event), crash, parts[0], parts[1], none];
        let units = units(&log);
        let place = Decision::After(event);
        assert_eq!(
            units,
            [
                vec![Decision::Pick(event)],
                vec![place, crash, parts[0], parts[1]]
            ]
        );
        let again = super::units(&flat(&units));
        assert_eq!(again, units);
    }
}
