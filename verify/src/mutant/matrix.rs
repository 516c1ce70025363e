//! The kill matrix: what each mutant costs to find, by strategy.
//!
//! A *trial* runs seeds of its own, one after the other (or is one guided search
//! from a seed of its own), until the property that the mutant names has broken.
//! Trials are apart from each other, so their costs are a sample; replay does not
//! count as finding. A trial that spends its budget
//! without the kill is a survivor, and says which other properties broke in the
//! first of its runs: a mutant that is only ever caught by another property than
//! its own has shown that its own is blind. A mutant is dead if one strategy at least kills it in
//! every trial.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use serde::Serialize;
use sluice_sim::redis::Engine;

use super::{Mutant, pool as runs};
use crate::guided::Guided;
use crate::pool;
use crate::run::{Outcome, Run, Trace, Until};
use crate::shrink::{self, Size};
use crate::strategy::{Strategy, Tactic};
use crate::subject::Subject;

/// Trials have seeds so far apart that they never share one.
const SEEDS_PER_TRIAL: u64 = 1 << 32;

/// So many runs of a mutant that got away are judged by all properties.
const LOOKED_AT: u64 = 50;

/// How hard to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Trials of each mutant.
    pub trials: u64,
    /// Most executions of a trial.
    pub budget: u64,
    /// After this time no trial is begun any more; one at least is. Those that
    /// were begun go on to their end, or the costly ones would be missing.
    pub time: Option<Duration>,
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// Executions, the killing one included; all of the budget if none was.
    pub executions: u64,
    /// Seconds of one core: what else the machine does is not counted, where
    /// the system tells.
    pub seconds: f64,
    /// The seed that killed; if it was guided, that of its search.
    pub seed: Option<u64>,
    /// Where the named property did not break: what did, in the first runs.
    pub others: BTreeSet<&'static str>,
}

/// A row of the matrix: a mutant under all strategies.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The class.
    pub class: &'static str,
    /// The mutant.
    pub mutant: &'static str,
    /// What is wrong about it.
    pub about: &'static str,
    /// The property that must kill it.
    pub property: &'static str,
    /// It behaves in the five scenarios of PER-002.
    pub hard: bool,
    /// What each strategy needed.
    pub cells: Vec<Cell>,
    /// The counterexample of the first kill, shrunken, if that was asked for.
    pub least: Option<Least>,
}

/// What a strategy needed for a mutant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// The strategy.
    pub strategy: String,
    /// Trials that killed it, of those that were made.
    pub killed: (u64, u64),
    /// Executions to the kill: median and 95th percentile.
    pub executions: (u64, u64),
    /// Seconds to the kill: median and 95th percentile.
    pub seconds: (f64, f64),
    /// The seed that killed it in the first trial that did, and after how many
    /// executions.
    pub kill: Option<(u64, u64)>,
    /// Properties that broke in the first runs of trials that did not kill it.
    pub others: BTreeSet<&'static str>,
}

/// How small a counterexample has become.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Least {
    /// Its size.
    pub size: Size,
    /// Nothing of it can be left out; false if the time was up before that.
    pub reached: bool,
}

/// `cap 1, 2 clients, …`, or `(not reached) cap 3, …` if the time was up.
impl fmt::Display for Least {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.reached {
            f.write_str("(not reached) ")?;
        }
        self.size.fmt(f)
    }
}

impl Row {
    /// Whether some strategy has killed it in every trial.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.cells.iter().any(Cell::is_sure)
    }

    /// The cell with the least median of seconds, among those whose median is
    /// that of a kill.
    #[must_use]
    pub fn best(&self) -> Option<&Cell> {
        let known = self.cells.iter().filter(|c| c.killed.0 * 2 > c.killed.1);
        known.min_by(|a, b| a.seconds.0.total_cmp(&b.seconds.0))
    }
}

impl Cell {
    /// Whether every trial has killed it.
    #[must_use]
    pub const fn is_sure(&self) -> bool {
        self.killed.0 == self.killed.1
    }

    /// # Panics
    /// If there are no trials.
    fn of(tactic: Tactic, trials: &[Trial]) -> Self {
        let killed = trials.iter().filter(|t| t.seed.is_some()).count();
        // Who survived has cost more than anyone who did not.
        let mut order: Vec<&Trial> = trials.iter().collect();
        order.sort_unstable_by_key(|t| (t.seed.is_none(), t.executions));
        let mut seconds = order.clone();
        seconds.sort_by(|a, b| {
            let survived = a.seed.is_none().cmp(&b.seed.is_none());
            survived.then(a.seconds.total_cmp(&b.seconds))
        });
        let at = |share: f64| ((trials.len() as f64 * share).ceil() as usize).max(1) - 1;
        let (median, most) = (at(0.5), at(0.95));
        let survivors = trials.iter().filter(|t| t.seed.is_none());
        Self {
            strategy: tactic.to_string(),
            killed: (killed as u64, trials.len() as u64),
            executions: (order[median].executions, order[most].executions),
            seconds: (seconds[median].seconds, seconds[most].seconds),
            kill: trials.iter().find_map(|t| Some((t.seed?, t.executions))),
            others: survivors.flat_map(|t| t.others.iter().copied()).collect(),
        }
    }
}

/// Hunts a mutant with these strategies, on so many threads. The executions do
/// not depend on how many there are, if no time is set; the seconds do, a
/// little. `say` hears which strategy is next.
#[must_use]
pub fn hunt(
    mutant: &Mutant,
    tactics: &[Tactic],
    effort: Effort,
    threads: usize,
    say: impl Fn(&str),
) -> Row {
    let hunted = tactics.iter().map(|tactic| {
        say(&tactic.to_string());
        let tactic = &tactic.fitted(&mutant.subject, &runs(), &Engine::new());
        let more = within(effort.time);
        let trials = pool::each_while(0..effort.trials, threads, more, |engine, n| {
            trial(mutant, *tactic, n, effort.budget, engine)
        });
        Cell::of(*tactic, &trials)
    });
    Row {
        class: mutant.class,
        mutant: mutant.name(),
        about: mutant.subject.about,
        property: mutant.killed_by(),
        hard: mutant.hard,
        cells: hunted.collect(),
        least: None,
    }
}

/// Shrinks the counterexample of the first kill, for at most so long; `None` if
/// there is none. Costs more than the hunt.
#[must_use]
pub fn least(
    mutant: &Mutant,
    row: &Row,
    tactics: &[Tactic],
    time: Option<Duration>,
    engine: &Engine,
) -> Option<Least> {
    let mut kills = tactics.iter().zip(&row.cells);
    let (tactic, (seed, executions)) = kills.find_map(|(t, cell)| Some((*t, cell.kill?)))?;
    let property = mutant.killed_by();
    let more = within(time);
    let tactic = tactic.fitted(&mutant.subject, &runs(), engine);
    let mut hunt = Hunt::new(
        &mutant.subject,
        tactic,
        Until::Breaks(property),
        seed,
        engine,
    );
    let decisions = hunt.again(executions).file.decisions;
    let stop = || !more();
    let subject = &mutant.subject;
    let shrunken = shrink::to_within(property, subject, &runs(), &decisions, engine, stop)?;
    Some(Least {
        size: shrunken.shrunken,
        reached: shrunken.least,
    })
}

/// What a gate that should hold has shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Acquittal {
    /// Which gate.
    pub subject: &'static str,
    /// Who looked.
    pub strategy: String,
    /// Runs that were made.
    pub runs: u64,
    /// What broke in which of them: a seed; if it was guided, that of its search.
    pub broken: Vec<(u64, String)>,
}

/// Hunts a gate that should hold with the whole effort.
#[must_use]
pub fn acquit(subject: &Subject, tactic: Tactic, effort: Effort, threads: usize) -> Acquittal {
    let tactic = tactic.fitted(subject, &runs(), &Engine::new());
    let more = within(effort.time);
    let shown = |outcome: &Outcome| {
        let broken = outcome.violations().next();
        let broken = broken.map(|f| format!("{} {:?}", f.code, f.verdict));
        // Where nothing goes on nothing can break.
        broken.or_else(|| {
            outcome
                .is_stuck()
                .then(|| "it makes no progress".to_owned())
        })
    };
    let tried: Vec<(u64, Vec<(u64, String)>)> = match tactic {
        Tactic::BySeed(_) => {
            let all = 0..effort.trials * effort.budget;
            pool::each_while(all, threads, more, |engine, n| {
                let seed = n / effort.budget * SEEDS_PER_TRIAL + n % effort.budget;
                let mut hunt = Hunt::new(subject, tactic, Until::End, seed, engine);
                let broken = shown(&hunt.next());
                (1, broken.map(|what| (seed, what)).into_iter().collect())
            })
        }
        Tactic::Guided => pool::each(0..effort.trials, threads, |engine, n| {
            let seed = n * SEEDS_PER_TRIAL;
            let mut hunt = Hunt::new(subject, tactic, Until::End, seed, engine);
            let mut broken = Vec::new();
            let mut runs = 0;
            while runs < effort.budget && (runs == 0 || more()) {
                runs += 1;
                broken.extend(shown(&hunt.next()).map(|what| (seed, what)));
            }
            (runs, broken)
        }),
    };
    Acquittal {
        subject: subject.name,
        strategy: tactic.to_string(),
        runs: tried.iter().map(|(runs, _)| runs).sum(),
        broken: tried.into_iter().flat_map(|(_, broken)| broken).collect(),
    }
}

/// The runs of a trial, one after the other.
enum Hunt<'a> {
    /// From this seed on.
    BySeed(Box<Run>, &'a Engine),
    Guided(Box<Guided<'a>>),
}

impl<'a> Hunt<'a> {
    fn new(subject: &Subject, tactic: Tactic, until: Until, seed: u64, engine: &'a Engine) -> Self {
        let run = |strategy| Run {
            until,
            ..Run::new(*subject, runs(), seed).by(strategy)
        };
        match tactic {
            Tactic::BySeed(strategy) => Self::BySeed(Box::new(run(strategy)), engine),
            Tactic::Guided => Self::Guided(Box::new(Guided::new(run(Strategy::Random), engine))),
        }
    }

    fn next(&mut self) -> Outcome {
        match self {
            Self::BySeed(run, engine) => {
                let outcome = run.go(engine);
                run.seed += 1;
                outcome
            }
            Self::Guided(search) => search.step(),
        }
    }

    /// The seed that leads to the last run.
    fn seed(&self) -> u64 {
        match self {
            Self::BySeed(run, _) => run.seed - 1,
            Self::Guided(search) => search.seed(),
        }
    }

    /// The run that a seed led to, after so many executions.
    fn again(&mut self, executions: u64) -> Trace {
        match self {
            Self::BySeed(run, engine) => run.trace(engine),
            Self::Guided(search) => {
                for _ in 0..executions {
                    let _ = search.step();
                }
                search.trace()
            }
        }
    }
}

/// One trial of so many executions at most: the one of this number.
#[must_use]
pub fn trial(mutant: &Mutant, tactic: Tactic, n: u64, budget: u64, engine: &Engine) -> Trial {
    let start = ThreadTime::now();
    let property = mutant.killed_by();
    let first = n * SEEDS_PER_TRIAL;
    let hunt = |until| Hunt::new(&mutant.subject, tactic, until, first, engine);
    let mut named = hunt(Until::Breaks(property));
    for executions in 1..=budget {
        if named.next().breaks(property) {
            return Trial {
                executions,
                seconds: seconds(start.elapsed()),
                seed: Some(named.seed()),
                others: BTreeSet::new(),
            };
        }
    }
    let seconds = seconds(start.elapsed());
    // It has got away: does anything else see it?
    let mut all = hunt(Until::End);
    let runs = (0..budget.min(LOOKED_AT)).map(|_| all.next());
    let seen = |outcome: Outcome| outcome.violations().map(|f| f.code.0).collect::<Vec<_>>();
    Trial {
        executions: budget,
        seconds,
        seed: None,
        others: runs.flat_map(seen).collect(),
    }
}

/// Whether there is time left.
fn within(time: Option<Duration>) -> impl Fn() -> bool + Sync {
    let spent = stopwatch();
    move || time.is_none_or(|time| spent() < time)
}

#[expect(
    clippy::disallowed_methods,
    reason = "measures the search, outside of any run"
)]
fn stopwatch() -> impl Fn() -> Duration + Sync {
    let start = Instant::now();
    move || start.elapsed()
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(executions: u64, kills: bool) -> Trial {
        Trial {
            executions,
            seconds: executions as f64 / 10.0,
            seed: kills.then_some(executions),
            others: ["R1.4"].into(),
        }
    }

    #[test]
    fn a_survivor_is_counted_and_says_what_else_broke() {
        let mut trials: Vec<Trial> = (1..=20).map(|n| trial(n, true)).collect();
        let cell = Cell::of(Tactic::default(), &trials);
        assert_eq!(cell.executions, (10, 19));
        assert_eq!(cell.seconds, (1.0, 1.9));
        assert!(cell.is_sure() && cell.others.is_empty());
        trials[7] = trial(8, false);
        let cell = Cell::of(Tactic::default(), &trials);
        assert_eq!(cell.killed, (19, 20));
        assert!(!cell.is_sure() && cell.others.contains("R1.4"));
    }
}
