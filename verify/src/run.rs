//! One run: a subject in a scenario, from a seed or from recorded decisions.
//!
//! A run is a value of its arguments: the same ones give the same steps, the
//! same digest and the same verdicts, on any machine and among any number of
//! threads. Threads exist only around runs ([`pool`]), never inside one.

mod watch;

use std::ops::Range;

use serde::Serialize;
use sluice_sim::choice::Chooser;
use sluice_sim::log::{Decision, DecisionFile};
use sluice_sim::redis::Engine;
use sluice_sim::strategy::{Divergence, Follow, Recorder, Replay};
use sluice_sim::world::Happening;

use crate::faults::Fired;
use crate::on_redis::left::Left;
use crate::pool;
use crate::property::{Finding, Moment, Verdict, Violation};
use crate::scenario::Scenario;
use crate::strategy::Strategy;
use crate::subject::Subject;
use crate::subject::gate::Level;
use crate::timeline::Names;
use watch::Watch;

/// What to run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The gate under test.
    pub subject: Subject,
    /// The workload.
    pub scenario: Scenario,
    /// Where decisions come from.
    pub seed: u64,
    /// Who makes them out of the seed.
    pub strategy: Strategy,
    /// How far to go.
    pub until: Until,
}

/// How far a run goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Until {
    /// To its end.
    #[default]
    End,
    /// To the first step that breaks any property.
    Violation,
    /// To the first step that breaks the property of this name; no other is
    /// judged.
    Breaks(&'static str),
}

/// Latencies of requests to the gates, in microseconds of simulated time: a
/// model's output, never a measurement of a real system.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// Samples.
    pub count: u64,
    /// Mean.
    pub mean_us: f64,
    /// Median.
    pub p50_us: u64,
    /// 95th percentile.
    pub p95_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// Largest.
    pub max_us: u64,
}

/// How a run came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Everybody is through and the gates are empty, or the time is up: what
    /// should have come about was judged.
    Judged,
    /// Stopped early: a violation, and that was all that was wanted.
    Stopped,
    /// Too many steps: what has not broken by then is not shown to hold.
    Stuck,
}

/// What a run showed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// How it ended.
    pub ended: Ended,
    /// One per property, in the order of their codes.
    pub findings: Vec<Finding>,
    /// Steps taken.
    pub steps: u64,
    /// Each kind of fault, with how often it fired.
    pub faults: Vec<Fired>,
    /// Joins that were given a place, at all gates: ids that were in none before.
    pub joins: u64,
    /// Digest of the whole trace: equal runs have equal digests.
    pub digest: u64,
    /// Simulated time at the end, in milliseconds.
    pub elapsed_ms: u64,
    /// Sessions active and queued when the burst was measured.
    pub measured: Option<(u64, u64)>,
    /// Sessions active and queued at the end.
    pub end: (u64, u64),
    /// Most sessions ever held at once, by the store.
    pub sessions_max: u64,
    /// Most queries ever at work at once, by those who work.
    pub queries_max: u64,
    /// Asks by users, and how many of them were answered.
    pub requests: (u64, u64),
    /// Latency of requests, in timed scenarios.
    pub latency: Option<Latency>,
}

impl Outcome {
    /// The properties that broke.
    pub fn violations(&self) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(|f| matches!(f.verdict, Verdict::Violated(_)))
    }

    /// The first of the properties that broke, in the order of their codes.
    #[must_use]
    pub fn violation(&self) -> Option<(&Finding, &Violation)> {
        self.violations().find_map(|found| match &found.verdict {
            Verdict::Violated(violation) => Some((found, violation)),
            Verdict::Holds | Verdict::Inconclusive(_) => None,
        })
    }

    /// Whether it was stopped for want of progress.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.ended == Ended::Stuck
    }

    /// Whether nothing broke.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations().next().is_none()
    }

    /// Whether the property of this name broke: a code, with or without the
    /// meaning (`R1.1(b)`).
    #[must_use]
    pub fn breaks(&self, name: &str) -> bool {
        self.violations().any(|f| f.is(name))
    }
}

/// One step, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number, from 1.
    pub number: u64,
    /// True time, in nanoseconds.
    pub now_ns: u64,
    /// What happened.
    pub happenings: Vec<Happening>,
    /// The state of the gates in words, if this step changed it.
    pub state: Option<String>,
    /// Places whose time ran out in it: leases, waits, presence.
    pub ran_out: u32,
}

impl Step {
    fn of(number: u64, moment: &Moment<'_>) -> Self {
        let changed = moment.gates.iter().filter(|g| g.before != g.after);
        let ran_out = changed.clone().map(|g| g.after.ran_out_since(&g.before));
        let news = changed.filter(|g| g.operation.is_some());
        let words = news.map(|g| match g.level {
            Level::Sessions => g.after.words(),
            Level::Queries => format!("queries {}", g.after.words()),
        });
        Self {
            number,
            now_ns: moment.now_ns,
            happenings: moment.happenings.to_vec(),
            state: words.reduce(|all, one| all + " · " + &one),
            ran_out: ran_out.sum(),
        }
    }
}

/// A run with all that is needed to show and to repeat it.
#[derive(Clone, Debug)]
pub struct Trace {
    /// What it showed.
    pub outcome: Outcome,
    /// Its steps.
    pub steps: Vec<Step>,
    /// What people call its clients.
    pub names: Names,
    /// The shortest time after which a store changes something by itself.
    pub shortest_deadline_ms: Option<u64>,
    /// The keys that it left.
    pub left: Left,
    /// Its server reads its keys from a snapshot when it restarts.
    pub from_snapshot: bool,
    /// Its decisions, for a file.
    pub file: DecisionFile,
    /// Where a replay left its file, if it did.
    pub divergence: Option<Divergence>,
}

impl Trace {
    /// Its steps as [`crate::timeline::render`] and [`crate::on_redis`]
    /// take them: one entry for each thing that happened.
    #[must_use]
    pub fn timeline(&self) -> Vec<crate::timeline::Step> {
        let entries = self.steps.iter().flat_map(|step| {
            step.happenings.iter().map(|what| crate::timeline::Step {
                step: step.number,
                at_ns: step.now_ns,
                what: what.clone(),
                state: match what {
                    Happening::Executed { .. } => step.state.clone(),
                    _ => None,
                },
            })
        });
        entries.collect()
    }
}

impl Run {
    /// This subject, in this scenario, from this seed, to the end.
    #[must_use]
    pub const fn new(subject: Subject, scenario: Scenario, seed: u64) -> Self {
        Self {
            subject,
            scenario,
            seed,
            strategy: Strategy::Random,
            until: Until::End,
        }
    }

    /// The same, with decisions made by this strategy.
    #[must_use]
    pub const fn by(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// The same, but only to the first violation.
    #[must_use]
    pub const fn until_violation(mut self) -> Self {
        self.until = Until::Violation;
        self
    }

    /// Runs. The engine only keeps compiled scripts: any will do.
    #[must_use]
    pub fn go(&self, engine: &Engine) -> Outcome {
        self.watch(engine, |_, _| {})
    }

    /// The same; `keep` sees every step with its number, from 1.
    #[must_use]
    pub fn watch(&self, engine: &Engine, keep: impl FnMut(u64, &Moment<'_>)) -> Outcome {
        self.watch_by(&mut *self.strategy.chooser(self.seed), engine, keep)
    }

    /// The same, with decisions made by this chooser instead of the seed.
    #[must_use]
    pub fn watch_by(
        &self,
        chooser: &mut dyn Chooser,
        engine: &Engine,
        keep: impl FnMut(u64, &Moment<'_>),
    ) -> Outcome {
        let mut watch = Watch::new(self.scenario.build(&self.subject, chooser));
        watch.run(engine, chooser, self.until, keep, || false)
    }

    /// Runs, and keeps every step and every decision.
    #[must_use]
    pub fn trace(&self, engine: &Engine) -> Trace {
        let mut recorder = Recorder::new(self.strategy.chooser(self.seed));
        self.record(&mut recorder, Some(self.seed), engine)
    }

    /// The same, with decisions made by this chooser instead of the seed.
    #[must_use]
    pub fn trace_by(&self, chooser: impl Chooser, engine: &Engine) -> Trace {
        self.record(&mut Recorder::new(chooser), None, engine)
    }

    fn record<C: Chooser>(
        &self,
        recorder: &mut Recorder<C>,
        seed: Option<u64>,
        engine: &Engine,
    ) -> Trace {
        let mut watch = Watch::new(self.scenario.build(&self.subject, recorder));
        let mut steps = Vec::new();
        let keep = |number, moment: &Moment<'_>| steps.push(Step::of(number, moment));
        let outcome = watch.run(engine, recorder, self.until, keep, || false);
        let file = self.file(&outcome, seed, recorder.decisions().to_vec());
        Trace {
            outcome,
            steps,
            names: watch.names(),
            shortest_deadline_ms: watch.shortest_deadline_ms(),
            left: watch.left(engine),
            from_snapshot: watch.keeps_snapshots(),
            file,
            divergence: None,
        }
    }

    /// Runs with the answers of an earlier run, and stops where they end.
    #[must_use]
    pub fn repeat(&self, decisions: Vec<Decision>, engine: &Engine) -> Trace {
        let mut replay = Replay::new(decisions.clone());
        let mut watch = Watch::new(self.scenario.build(&self.subject, &mut replay));
        let mut steps = Vec::new();
        let outcome = watch.repeat(engine, &mut replay, self.until, &mut steps);
        let divergence = replay.divergence().cloned();
        let file = self.file(&outcome, None, decisions);
        Trace {
            outcome,
            steps,
            names: watch.names(),
            shortest_deadline_ms: watch.shortest_deadline_ms(),
            left: watch.left(engine),
            from_snapshot: watch.keeps_snapshots(),
            file,
            divergence,
        }
    }

    /// Runs along a log, as far as that is possible ([`Follow`]).
    #[must_use]
    pub fn follow(&self, decisions: &[Decision], engine: &Engine) -> (Outcome, Follow) {
        let mut follow = Follow::new(decisions.to_vec());
        let outcome = self.watch_by(&mut follow, engine, |_, _| {});
        (outcome, follow)
    }

    /// The same, and keeps every step and every decision; and the first
    /// decision of the log that never came up, with its place from 0.
    #[must_use]
    pub fn trace_along(
        &self,
        decisions: &[Decision],
        engine: &Engine,
    ) -> (Trace, Option<(usize, Decision)>) {
        let mut recorder = Recorder::new(Follow::new(decisions.to_vec()));
        let trace = self.record(&mut recorder, None, engine);
        (trace, recorder.inner().unmet())
    }

    fn file(&self, outcome: &Outcome, seed: Option<u64>, decisions: Vec<Decision>) -> DecisionFile {
        DecisionFile {
            subject: self.subject.name.to_owned(),
            scenario: serde_json::to_string(&self.scenario).expect("a scenario is plain data"),
            seed,
            steps: outcome.steps,
            digest: outcome.digest,
            shrunken: None,
            decisions,
        }
    }
}

/// Runs every seed of a range and returns the outcomes in the order of seeds.
/// `each` sees them as they come, in any order, for progress.
pub fn many(
    subject: &Subject,
    scenario: &Scenario,
    seeds: Range<u64>,
    each: impl Fn(u64, &Outcome) + Sync,
) -> Vec<Outcome> {
    pool::each(seeds, pool::threads(), |engine, seed| {
        let outcome = Run::new(*subject, scenario.clone(), seed).go(engine);
        each(seed, &outcome);
        outcome
    })
}
